//! Calls that come to us: the sandbox's far end answers them.

use super::leg::{ALLOW, Dialog, Leg, Outbox, Phase, Report, Side, Sink};
use super::server::{Answer, ServerKey};
use super::{Core, Flow, TimerOf};
use crate::sip::grammar::{NameAddr, SipUri};
use crate::sip::message::Message;
use crate::ua::{InboundEvent, IncomingCall, LegId};
use bytes::Bytes;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long a call may stay unanswered by the application before it gets 480.
const ANSWER_WITHIN: Duration = Duration::from_secs(300);
/// Room for events of one call.
const EVENTS_ROOM: usize = 32;

#[derive(Debug)]
pub(super) struct InboundSide {
    key: ServerKey,
    pub(super) invite_cseq: u32,
    answer_by: Instant,
    session: Option<(u32, bool)>,
    /// The ACK of our 200 came.
    pub(super) established: bool,
    /// BYE is to be sent as soon as the ACK is there.
    pub(super) close_wanted: bool,
    /// We act dead.
    pub(super) vanished: bool,
}

impl Core {
    /// An INVITE outside of any dialog.
    pub(super) fn on_invite(&mut self, now: Instant, key: &ServerKey, flow: Flow, message: &Message, uri: &str) {
        let Some(acceptor) = self.acceptor.clone().filter(|acceptor| !acceptor.is_closed()) else {
            let answer = Answer {
                reason: "No calls are taken here",
                ..Answer::code(403)
            };
            return self.refuse(now, key, message, answer);
        };
        if self.closed || self.live >= self.config.legs_max || acceptor.capacity() == 0 {
            return self.refuse(now, key, message, Answer::code(503).header("Retry-After", "5"));
        }
        if !message.body.is_empty() && message.sdp().is_none() {
            return self.refuse(now, key, message, Answer::code(415).header("Accept", "application/sdp"));
        }
        let session = super::session::asked_by(message);
        if session.is_some_and(|(seconds, _)| seconds < super::session::MIN_SECONDS) {
            let min = super::session::MIN_SECONDS.to_string();
            return self.refuse(now, key, message, Answer::code(422).header("Min-SE", min));
        }
        let (Some(from), Some(to)) = (
            message.header("From").and_then(NameAddr::parse),
            message.header("To").and_then(NameAddr::parse),
        ) else {
            return self.refuse(now, key, message, Answer::code(400));
        };
        let id = LegId(u128::from(self.new_number()) << 64 | u128::from(self.new_number()));
        let (sender, events) = mpsc::channel(EVENTS_ROOM);
        let user = |uri: &str| SipUri::parse(uri).map(|uri| uri.user.to_owned()).unwrap_or_default();
        let call = IncomingCall {
            leg: id,
            source: flow.peer,
            call_id: message.call_id.clone(),
            cseq: message.cseq,
            request_uri: uri.to_owned(),
            to_user: user(uri),
            from_user: user(from.uri),
            headers: message
                .headers
                .iter()
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
            offer: message.sdp(),
            events,
        };
        let answer_by = now + ANSWER_WITHIN;
        let side = InboundSide {
            key: key.clone(),
            invite_cseq: message.cseq,
            answer_by,
            session,
            established: false,
            close_wanted: false,
            vanished: false,
        };
        let mut leg = Leg {
            id,
            call_id: message.call_id.clone(),
            local_tag: self.new_tag(),
            local_uri: to.uri.to_owned(),
            remote_uri: from.uri.to_owned(),
            dialog: Dialog {
                remote_tag: message.from_tag.clone(),
                target: message.contact_uri().map(str::to_owned),
                // The route set of the called side keeps the order (RFC 3261 section 12.1.1).
                routes: message.headers.list("Record-Route").map(str::to_owned).collect(),
            },
            flow,
            sent_by: self.sent_by(flow.peer),
            contact: self.contact(flow),
            local_cseq: 0,
            remote_cseq: Some(message.cseq),
            credentials: None,
            phase: Phase::Early,
            side: Side::Inbound(Box::new(side)),
            sink: Sink::Inbound(Outbox::new(sender)),
            close_by: None,
            bye_challenged: false,
            reoffer: None,
            own_offer: None,
            unacked: Vec::new(),
            session: None,
            local_sdp: Bytes::new(),
            remote_allows_update: message.lists("Allow", "UPDATE"),
            linger_until: None,
            named_peers: Vec::new(),
        };
        self.name_peers(&mut leg);
        if let Some(tx) = self.servers.get_mut(key) {
            tx.leg = Some(id);
        }
        self.schedule(answer_by, TimerOf::Leg(id));
        self.respond(now, key, Answer::code(100));
        self.insert_leg(leg);
        // There was room just before, and only this task fills it.
        if acceptor.try_send(call).is_err() {
            self.with_leg(id, |core, leg| core.refuse_inbound(now, leg, Answer::code(503)));
        }
    }

    /// Answers a waiting call provisionally.
    pub(crate) fn ring(&mut self, now: Instant, id: LegId, code: u16, sdp: Option<&Bytes>) {
        self.with_leg(id, |core, leg| {
            let Side::Inbound(inbound) = &leg.side else { return };
            if leg.phase != Phase::Early || !(101..200).contains(&code) || inbound.vanished {
                return;
            }
            let contact = format!("<{}>", leg.contact);
            let mut answer = Answer::code(code)
                .tag(&leg.local_tag)
                .header("Contact", contact)
                .header("Allow", ALLOW);
            if let Some(sdp) = sdp {
                answer = answer.sdp(sdp);
            }
            core.respond(now, &inbound.key, answer);
        });
    }

    /// Answers a waiting call with 200.
    pub(crate) fn answer(&mut self, now: Instant, id: LegId, sdp: Bytes) {
        self.with_leg(id, |core, leg| {
            let Side::Inbound(inbound) = &leg.side else { return };
            if leg.phase != Phase::Early || inbound.vanished {
                return;
            }
            let (key, cseq, session) = (inbound.key.clone(), inbound.invite_cseq, inbound.session);
            let contact = format!("<{}>", leg.contact);
            let mut answer = Answer::code(200)
                .tag(&leg.local_tag)
                .header("Contact", contact)
                .header("Allow", ALLOW)
                .header("Supported", "timer")
                .sdp(&sdp);
            if let Some((seconds, we_refresh)) = session {
                answer = answer
                    .header("Require", "timer")
                    .header("Session-Expires", super::session::value_as_uas(seconds, we_refresh));
            }
            core.respond(now, &key, answer);
            leg.phase = Phase::Up;
            leg.unacked.push((cseq, key));
            leg.local_sdp = sdp.clone();
            if let Some((seconds, we_refresh)) = session {
                core.set_session(now, leg, seconds, we_refresh);
            }
        });
    }

    /// Refuses a waiting call.
    pub(crate) fn reject(&mut self, now: Instant, id: LegId, code: u16, reason: &str, headers: &[(String, String)]) {
        self.with_leg(id, |core, leg| {
            if leg.phase == Phase::Early && (300..700).contains(&code) {
                let mut answer = Answer {
                    reason,
                    ..Answer::code(code)
                };
                answer.headers = headers.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
                core.refuse_inbound(now, leg, answer);
            }
        });
    }

    /// Swallows whatever still comes for a leg.
    pub(crate) fn vanish(&mut self, now: Instant, id: LegId) {
        self.with_leg(id, |core, leg| {
            let Side::Inbound(inbound) = &mut leg.side else { return };
            inbound.vanished = true;
            leg.sink = Sink::Nobody;
            let key = inbound.key.clone();
            core.server_acked(now, &key);
            for (_, key) in std::mem::take(&mut leg.unacked) {
                core.server_acked(now, &key);
            }
            core.end_leg(now, leg);
            // Long enough for every copy of whatever the caller still sends.
            let until = now + core.config.timers.give_up() * 4;
            leg.linger_until = Some(until);
            core.schedule(until, TimerOf::Leg(id));
        });
    }

    pub(super) fn refuse_inbound(&mut self, now: Instant, leg: &mut Leg, answer: Answer<'_>) {
        let Side::Inbound(inbound) = &leg.side else { return };
        let key = inbound.key.clone();
        let tag = leg.local_tag.clone();
        self.respond(now, &key, answer.tag(&tag));
        self.end_leg(now, leg);
        // A refusal has no event of its own: the channel just closes.
        leg.sink = Sink::Nobody;
    }

    /// CANCEL (RFC 3261 section 9.2).
    pub(super) fn on_cancel(&mut self, now: Instant, key: &ServerKey) {
        let invite = key.invite();
        let Some(leg) = self.servers.get(&invite).map(|tx| tx.leg) else {
            self.respond(now, key, Answer::code(481));
            return;
        };
        let tag = leg.and_then(|id| self.legs.get(&id)).map(|leg| leg.local_tag.clone());
        let vanished = leg
            .and_then(|id| self.legs.get(&id))
            .is_some_and(|leg| matches!(&leg.side, Side::Inbound(inbound) if inbound.vanished));
        if vanished {
            self.servers.remove(key);
            return;
        }
        self.respond(
            now,
            key,
            Answer {
                to_tag: tag.as_deref(),
                ..Answer::code(200)
            },
        );
        let Some(id) = leg else { return };
        self.with_leg(id, |core, leg| {
            let Side::Inbound(inbound) = &leg.side else { return };
            if leg.phase != Phase::Early || inbound.key != invite {
                return;
            }
            let tag = leg.local_tag.clone();
            core.respond(now, &invite, Answer::code(487).tag(&tag));
            core.end_leg(now, leg);
            core.emit_inbound(now, leg, InboundEvent::Cancelled);
        });
    }

    /// The ACK of our 200 came.
    pub(super) fn inbound_acked(&mut self, now: Instant, leg: &mut Leg, message: &Message) {
        let Side::Inbound(inbound) = &mut leg.side else { return };
        inbound.established = true;
        let close_wanted = inbound.close_wanted;
        if leg.phase != Phase::Up {
            return;
        }
        self.emit_inbound(now, leg, InboundEvent::Established { sdp: message.sdp() });
        if close_wanted {
            self.send_bye(now, leg, None);
        }
    }

    /// The ACK of our 200 did not come in time.
    pub(super) fn inbound_unacked(&mut self, now: Instant, leg: &mut Leg) {
        self.send_bye(now, leg, None);
        self.end_leg(now, leg);
        self.emit_inbound(now, leg, InboundEvent::AckMissing);
    }

    /// A BYE before we answered: the caller is done with this call.
    pub(super) fn inbound_early_bye(&mut self, now: Instant, leg: &mut Leg, reason: Option<String>) {
        let Side::Inbound(inbound) = &leg.side else { return };
        let (key, tag) = (inbound.key.clone(), leg.local_tag.clone());
        self.respond(now, &key, Answer::code(487).tag(&tag));
        self.end_leg(now, leg);
        self.emit(now, leg, Report::RemoteHangUp(reason));
    }

    pub(super) fn inbound_timer(&mut self, now: Instant, leg: &mut Leg) {
        let Side::Inbound(inbound) = &leg.side else { return };
        if leg.phase == Phase::Early && inbound.answer_by <= now {
            self.refuse_inbound(now, leg, Answer::code(480));
        }
    }
}
