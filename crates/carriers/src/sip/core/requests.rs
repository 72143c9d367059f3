//! Requests of the far end inside a dialog, and our re-INVITE and INFO.

use super::client::{ClientKey, ClientKind, Purpose};
use super::ingress::options_answer;
use super::leg::{ALLOW, Leg, OwnOffer, Phase, Report, Side};
use super::server::{Answer, ServerKey, ServerState};
use super::{Core, Output, TimerOf};
use crate::sip::grammar::reason_text;
use crate::sip::message::{DropReason, Message, Method, media_type};
use crate::ua::{LegId, OfferRefused};
use bytes::Bytes;
use carillon_domain::script::Digit;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long a re-INVITE may wait before 100 tells its sender that it came (RFC 3261 section 17.2.1).
const TRYING_AFTER: Duration = Duration::from_millis(150);

/// An offer of the far end that the application thinks about.
#[derive(Debug)]
pub(super) struct Reoffer {
    pub(super) key: ServerKey,
    token: u64,
    cseq: u32,
    invite: bool,
    offerless: bool,
    target: Option<String>,
    trying_at: Option<Instant>,
    answer_by: Instant,
    session: Option<(u32, bool)>,
}

impl Core {
    pub(super) fn on_dialog_request(
        &mut self,
        now: Instant,
        id: LegId,
        key: &ServerKey,
        message: &Message,
        method: &Method,
    ) {
        if let Some(tx) = self.servers.get_mut(key) {
            tx.leg = Some(id);
        }
        self.with_leg(id, |core, leg| core.dialog_request_in(now, leg, key, message, method));
    }

    fn dialog_request_in(&mut self, now: Instant, leg: &mut Leg, key: &ServerKey, message: &Message, method: &Method) {
        if let Side::Inbound(inbound) = &leg.side
            && inbound.vanished
        {
            self.servers.remove(key);
            return;
        }
        let ours = leg.dialog.remote_tag == message.from_tag;
        if !ours {
            let fork = matches!(&leg.side, Side::Outbound(out) if out.knows_fork(message.from_tag.as_deref()));
            let code = if fork && *method == Method::Bye { 200 } else { 481 };
            // Before any tag is known, a BYE may overtake the 2xx that it ends.
            if leg.dialog.remote_tag.is_some() || code == 200 || *method != Method::Bye || leg.is_over() {
                self.respond(now, key, Answer::code(code));
                return;
            }
        }
        if leg.remote_cseq.is_some_and(|last| message.cseq < last) {
            self.respond(now, key, Answer::code(500).header("Retry-After", "0"));
            return;
        }
        leg.remote_cseq = Some(message.cseq);
        match method {
            Method::Bye => self.on_bye(now, leg, key, message),
            Method::Invite => self.on_reoffer(now, leg, key, message, true),
            Method::Update if message.body.is_empty() => self.on_refresh_request(now, leg, key, message),
            Method::Update => self.on_reoffer(now, leg, key, message, false),
            Method::Info => self.on_info(now, leg, key, message),
            Method::Options => self.respond(now, key, options_answer()),
            _ => self.respond(now, key, Answer::code(405).header("Allow", ALLOW)),
        }
    }

    fn on_bye(&mut self, now: Instant, leg: &mut Leg, key: &ServerKey, message: &Message) {
        self.respond(now, key, Answer::code(200));
        let reason = message.header("Reason").map(reason_text);
        match leg.phase {
            Phase::Over => {}
            // Both sides hung up at once: ours is as good as confirmed.
            Phase::Closing => self.closed(now, leg, true),
            Phase::Up => {
                self.stop_waiting_for_acks(now, leg);
                self.end_leg(now, leg);
                self.emit(now, leg, Report::RemoteHangUp(reason));
            }
            Phase::Early => match &leg.side {
                Side::Outbound(_) => self.outbound_early_bye(now, leg, reason),
                Side::Inbound(_) => self.inbound_early_bye(now, leg, reason),
                Side::Orphan(_) => self.closed(now, leg, true),
            },
        }
    }

    /// A leg that has ended does not send its 2xx again.
    fn stop_waiting_for_acks(&mut self, now: Instant, leg: &mut Leg) {
        for (_, key) in std::mem::take(&mut leg.unacked) {
            self.server_acked(now, &key);
        }
    }

    fn on_info(&mut self, now: Instant, leg: &mut Leg, key: &ServerKey, message: &Message) {
        if message.body.is_empty() {
            self.respond(now, key, Answer::code(200));
            return;
        }
        match info_digit(message) {
            Info::Digit(digit) => {
                self.respond(now, key, Answer::code(200));
                if leg.phase == Phase::Up {
                    self.emit(now, leg, Report::InfoDigit(digit));
                }
            }
            Info::Unreadable => self.respond(now, key, Answer::code(400)),
            Info::OtherType => {
                let accept = "application/dtmf-relay, application/dtmf";
                self.respond(now, key, Answer::code(415).header("Accept", accept));
            }
        }
    }

    /// A re-INVITE, or an UPDATE with a body.
    fn on_reoffer(&mut self, now: Instant, leg: &mut Leg, key: &ServerKey, message: &Message, invite: bool) {
        match leg.phase {
            Phase::Up => {}
            Phase::Early => return self.respond(now, key, Answer::code(500).header("Retry-After", "1")),
            Phase::Closing | Phase::Over => return self.respond(now, key, Answer::code(481)),
        }
        if leg.own_offer.as_ref().is_some_and(|offer| !offer.done) {
            return self.respond(now, key, Answer::code(491));
        }
        if leg.reoffer.is_some() {
            let seconds = 1 + self.new_number() % 9;
            return self.respond(now, key, Answer::code(500).header("Retry-After", seconds.to_string()));
        }
        let sdp = message.sdp();
        if sdp.is_none() && !message.body.is_empty() {
            return self.respond(now, key, Answer::code(415).header("Accept", "application/sdp"));
        }
        let (answer, receiver) = oneshot::channel();
        let token = self.new_number();
        let answer_by = now + self.config.timers.reoffer_deadline;
        let trying_at = invite.then(|| now + TRYING_AFTER);
        leg.reoffer = Some(Reoffer {
            key: key.clone(),
            token,
            cseq: message.cseq,
            invite,
            offerless: sdp.is_none(),
            target: message.contact_uri().map(str::to_owned),
            trying_at,
            answer_by,
            session: super::session::asked_by(message),
        });
        if let Some(at) = trying_at {
            self.schedule(at, TimerOf::Leg(leg.id));
        }
        self.schedule(answer_by, TimerOf::Leg(leg.id));
        self.outputs.push(Output::AwaitAnswer {
            leg: leg.id,
            token,
            answer: receiver,
        });
        self.emit(
            now,
            leg,
            Report::Reoffer {
                sdp: sdp.unwrap_or_default(),
                answer,
            },
        );
    }

    /// The application has answered an offer, or refused it.
    pub(crate) fn offer_answered(&mut self, now: Instant, id: LegId, token: u64, answer: Option<Bytes>) {
        self.with_leg(id, |core, leg| {
            if leg.reoffer.as_ref().is_some_and(|reoffer| reoffer.token == token) {
                core.settle_reoffer(now, leg, answer);
            }
        });
    }

    fn settle_reoffer(&mut self, now: Instant, leg: &mut Leg, answer: Option<Bytes>) {
        let Some(reoffer) = leg.reoffer.take() else { return };
        let Some(sdp) = answer.filter(|sdp| !sdp.is_empty()) else {
            self.respond(now, &reoffer.key, Answer::code(488));
            return;
        };
        if reoffer.target.is_some() {
            leg.dialog.target = reoffer.target;
            self.name_peers(leg);
        }
        let mut response = Answer::code(200)
            .header("Contact", format!("<{}>", leg.contact))
            .header("Allow", ALLOW)
            .sdp(&sdp);
        if let Some((seconds, we_refresh)) = reoffer.session {
            response = response.header("Session-Expires", super::session::value_as_uas(seconds, we_refresh));
            self.set_session(now, leg, seconds, we_refresh);
        }
        self.respond(now, &reoffer.key, response);
        leg.local_sdp = sdp;
        if reoffer.invite {
            leg.unacked.push((reoffer.cseq, reoffer.key.clone()));
            if let Side::Inbound(_) | Side::Outbound(_) = leg.side
                && reoffer.offerless
            {
                leg.own_offer = None;
            }
        }
    }

    pub(super) fn reoffer_timer(&mut self, now: Instant, leg: &mut Leg) {
        let Some(reoffer) = &mut leg.reoffer else { return };
        if reoffer.answer_by <= now {
            self.settle_reoffer(now, leg, None);
        } else if reoffer.trying_at.is_some_and(|at| at <= now) {
            reoffer.trying_at = None;
            let key = reoffer.key.clone();
            self.respond(now, &key, Answer::code(100));
        }
    }

    /// An ACK: of a failure by its INVITE's branch, of a 2xx by dialog and CSeq.
    pub(super) fn on_ack(&mut self, now: Instant, key: &ServerKey, message: &Message) {
        if self
            .servers
            .get(key)
            .is_some_and(|tx| tx.state == ServerState::Completed)
        {
            self.server_acked(now, key);
            return;
        }
        let leg = message
            .to_tag
            .as_deref()
            .and_then(|tag| self.find_leg(&message.call_id, tag));
        let Some(leg) = leg else {
            // Copies of the ACK of a failure end here while its transaction is still known.
            if !self.servers.contains_key(key) {
                self.counters.drop(DropReason::StrayAck);
            }
            return;
        };
        self.with_leg(leg, |core, leg| {
            let Some(at) = leg.unacked.iter().position(|(cseq, _)| *cseq == message.cseq) else {
                return;
            };
            let (cseq, key) = leg.unacked.remove(at);
            core.server_acked(now, &key);
            match &leg.side {
                Side::Inbound(inbound) if inbound.invite_cseq == cseq => core.inbound_acked(now, leg, message),
                _ => {
                    // The answer to the offer that our 200 to an offerless re-INVITE made: it may move the media. The
                    // application hears it as an offer; what it answers has nobody to go to.
                    if let Some(sdp) = message.sdp()
                        && leg.phase == Phase::Up
                    {
                        let (answer, _) = oneshot::channel();
                        core.emit(now, leg, Report::Reoffer { sdp, answer });
                    }
                }
            }
        });
    }

    /// No ACK came for a 2xx of ours: the session ends (RFC 3261 section 13.3.1.4).
    pub(super) fn ack_missing(&mut self, now: Instant, id: LegId) {
        self.with_leg(id, |core, leg| {
            leg.unacked.clear();
            if leg.phase != Phase::Up {
                return;
            }
            match &leg.side {
                Side::Inbound(inbound) if !inbound.established => core.inbound_unacked(now, leg),
                _ => core.send_bye(now, leg, None),
            }
        });
    }

    /// Sends a re-INVITE. The reply comes by `reply`.
    pub(crate) fn reinvite(
        &mut self,
        now: Instant,
        id: LegId,
        offer: Bytes,
        reply: oneshot::Sender<Result<Bytes, OfferRefused>>,
    ) {
        let mut reply = Some(reply);
        self.with_leg(id, |core, leg| {
            let busy = leg.reoffer.is_some() || leg.own_offer.as_ref().is_some_and(|offer| !offer.done);
            let waits = matches!(&leg.side, Side::Inbound(inbound) if !inbound.established);
            if leg.phase != Phase::Up || busy || waits {
                return;
            }
            core.release_ack(leg);
            leg.local_cseq += 1;
            let cseq = leg.local_cseq;
            let dialog = leg.dialog.clone();
            let body = Some(("application/sdp", offer.as_ref()));
            let (branch, invite, flow) = core.dialog_request(leg, &dialog, "INVITE", cseq, &[], body);
            leg.own_offer = Some(OwnOffer {
                cseq,
                reply: reply.take(),
                ack: None,
                done: false,
            });
            leg.local_sdp = offer.clone();
            let key = ClientKey {
                branch,
                kind: ClientKind::Invite,
            };
            core.start_client(now, key, leg, Purpose::Reinvite, invite, flow);
        });
        if let Some(reply) = reply {
            let _ = reply.send(Err(OfferRefused::NotNow));
        }
    }

    pub(super) fn on_reinvite_response(&mut self, now: Instant, id: LegId, message: &Message, code: u16) {
        self.with_leg(id, |core, leg| {
            let Some(offer) = leg.own_offer.as_mut().filter(|offer| offer.cseq == message.cseq) else {
                return;
            };
            match code {
                ..200 => {}
                200..300 => {
                    if let Some((ack, flow)) = offer.ack.clone() {
                        core.send(flow, ack);
                        return;
                    }
                    offer.done = true;
                    let reply = offer.reply.take();
                    if let Some(target) = message.contact_uri() {
                        leg.dialog.target = Some(target.to_owned());
                        core.name_peers(leg);
                    }
                    let (_, ack, flow) = core.dialog_request(leg, &leg.dialog.clone(), "ACK", message.cseq, &[], None);
                    core.send(flow, ack.clone());
                    if let Some(offer) = &mut leg.own_offer {
                        offer.ack = Some((ack, flow));
                    }
                    core.start_session(now, leg, message);
                    if let Some(reply) = reply {
                        let _ = reply.send(Ok(message.sdp().unwrap_or_default()));
                    }
                }
                _ => {
                    offer.done = true;
                    if let Some(reply) = offer.reply.take() {
                        let _ = reply.send(Err(OfferRefused::Status(code)));
                    }
                    if matches!(code, 408 | 481) && leg.phase == Phase::Up {
                        core.send_bye(now, leg, None);
                    }
                }
            }
        });
    }

    pub(super) fn on_reinvite_silence(&mut self, now: Instant, id: LegId) {
        self.with_leg(id, |core, leg| {
            if let Some(offer) = &mut leg.own_offer {
                offer.done = true;
                if let Some(reply) = offer.reply.take() {
                    let _ = reply.send(Err(OfferRefused::Timeout));
                }
            }
            if leg.phase == Phase::Up {
                core.send_bye(now, leg, None);
            }
        });
    }

    /// Sends a key press by INFO.
    pub(crate) fn send_info_digit(&mut self, now: Instant, id: LegId, digit: Digit) {
        self.with_leg(id, |core, leg| {
            if leg.phase != Phase::Up {
                return;
            }
            core.release_ack(leg);
            leg.local_cseq += 1;
            let body = format!("Signal={}\r\nDuration=160\r\n", char::from(digit));
            let body = Some(("application/dtmf-relay", body.as_bytes()));
            let (branch, info, flow) = core.dialog_request(leg, &leg.dialog.clone(), "INFO", leg.local_cseq, &[], body);
            let key = ClientKey {
                branch,
                kind: ClientKind::Other,
            };
            core.start_client(now, key, leg, Purpose::Info, info, flow);
        });
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Info {
    Digit(Digit),
    Unreadable,
    OtherType,
}

/// The key of an INFO: `Signal=5` lines of `application/dtmf-relay`, or the bare key of `application/dtmf`.
fn info_digit(message: &Message) -> Info {
    let Some(content_type) = message.header("Content-Type") else {
        return Info::OtherType;
    };
    let media = media_type(content_type).to_ascii_lowercase();
    let Ok(body) = std::str::from_utf8(&message.body) else {
        return Info::Unreadable;
    };
    let signal = match media.as_str() {
        "application/dtmf-relay" => body.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            name.trim().eq_ignore_ascii_case("signal").then(|| value.trim())
        }),
        "application/dtmf" => Some(body.trim()),
        _ => return Info::OtherType,
    };
    let digit = signal.and_then(|signal| match signal {
        // Event codes of RFC 4733 are also in use.
        "10" => Some('*'),
        "11" => Some('#'),
        "12" => Some('A'),
        "13" => Some('B'),
        "14" => Some('C'),
        "15" => Some('D'),
        one => {
            let mut chars = one.chars();
            chars.next().filter(|_| chars.next().is_none())
        }
    });
    digit.and_then(Digit::parse).map_or(Info::Unreadable, Info::Digit)
}
