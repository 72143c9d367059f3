//! Calls that we place: INVITE, its answers, CANCEL, and the races between them.

use super::client::{ClientKey, ClientKind, Purpose, Silence, cancel_of};
use super::leg::{ALLOW, Dialog, Leg, Outbox, Phase, Report, Side, Sink};
use super::{Core, Flow, TimerOf};
use crate::sip::grammar::{SipUri, reason_text};
use crate::sip::message::{DropReason, Message, Start};
use crate::sip::writer::{Writer, phrase};
use crate::ua::{LegId, OutboundCall};
use bytes::Bytes;
use carillon_domain::trunk::Transport;
use carillon_interfaces::carrier::{CallFailure, CarrierEvent, NotSent, WireState};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Most forks of one call whose 2xx we end.
const FORKS_MAX: usize = 8;
/// Most copies of a 2xx that are acknowledged: a far end that answers each ACK with a copy would go on for ever. The
/// retransmission schedule of RFC 3261 section 13.3.1.4 makes eleven.
const COPIES_MAX: u32 = 48;
/// Most times an INVITE is sent again with credentials.
const AUTH_ROUNDS_MAX: u8 = 2;

/// Why an unanswered call is being ended by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It rang for as long as it may.
    RingTimeout,
    /// The application wants it.
    HangUp,
}

/// A 2xx of another fork than the one we use: acknowledged and ended.
#[derive(Debug)]
struct Fork {
    tag: Option<String>,
    ack: (Bytes, Flow),
}

#[derive(Debug)]
pub(super) struct OutboundSide {
    pub(super) request_uri: String,
    pub(super) branch: String,
    pub(super) invite_cseq: u32,
    /// The INVITE as sent, from which CANCEL and a late ACK are made.
    invite: Bytes,
    offer: Bytes,
    headers: Vec<(&'static str, String)>,
    authorization: Option<(&'static str, String)>,
    auth_rounds: u8,
    session_expires: Option<u32>,
    started: Instant,
    ring_by: Instant,
    /// Any provisional response came: CANCEL may be sent (RFC 3261 section 9.1).
    provisional: bool,
    /// A response above 100 came.
    rang: bool,
    /// A final response came.
    finished: bool,
    pub(super) ending: Option<Ending>,
    cancel_sent: bool,
    /// A 2xx to our CANCEL came: the far end knows that the call is over, even if the INVITE's own end is lost.
    cancel_confirmed: bool,
    give_up_by: Option<Instant>,
    /// How long the ACK of the 2xx that we use may wait for [`Core::acknowledge`].
    hold_ack: Option<Duration>,
    /// Its ACK leaves then at the latest.
    ack_held_until: Option<Instant>,
    /// The To tag of the 2xx that we use, and its ACK.
    answered: Option<(Option<String>, (Bytes, Flow))>,
    forks: Vec<Fork>,
    copies: u32,
}

impl OutboundSide {
    pub(super) fn invite_key(&self) -> ClientKey {
        ClientKey {
            branch: self.branch.clone(),
            kind: ClientKind::Invite,
        }
    }

    /// Lets go of what a leg that is over does not need.
    pub(super) fn forget(&mut self) {
        self.offer = Bytes::new();
        self.headers = Vec::new();
        if self.finished {
            self.invite = Bytes::new();
        }
    }

    /// Whether a dialog with this tag is one that we acknowledged and ended.
    pub(super) fn knows_fork(&self, tag: Option<&str>) -> bool {
        self.forks.iter().any(|fork| fork.tag.as_deref() == tag)
    }
}

impl Core {
    /// Sends an INVITE.
    ///
    /// # Errors
    /// Nothing was sent, and no event follows.
    pub(crate) fn originate(
        &mut self,
        now: Instant,
        call: OutboundCall,
        conn: Option<u64>,
        events: mpsc::Sender<CarrierEvent>,
    ) -> Result<(), NotSent> {
        if self.closed {
            return Err(NotSent::NoRoom("it is stopping".to_owned()));
        }
        if self.live >= self.config.legs_max {
            return Err(NotSent::NoRoom(format!("{} calls are up", self.live)));
        }
        let known = self.find_leg(&call.identity.sip_call_id, &call.identity.local_tag);
        if known.is_some() || self.legs.contains_key(&call.leg) {
            return Err(NotSent::Invalid("this call was placed before".to_owned()));
        }
        for uri in [&call.request_uri, &call.from_uri] {
            if SipUri::parse(uri).is_none() || uri.contains(|c: char| c.is_whitespace() || c == '<' || c == '>') {
                return Err(NotSent::Invalid(
                    "the number or the trunk's domain cannot stand in a SIP URI".to_owned(),
                ));
            }
        }
        let flow = Flow {
            transport: call.destination.transport,
            peer: call.destination.addr,
            conn,
        };
        let side = OutboundSide {
            request_uri: call.request_uri.clone(),
            branch: String::new(),
            invite_cseq: 0,
            invite: Bytes::new(),
            offer: call.offer.clone(),
            headers: call.headers,
            authorization: None,
            auth_rounds: 0,
            session_expires: None,
            started: now,
            ring_by: now + call.ring_timeout,
            provisional: false,
            rang: false,
            finished: false,
            ending: None,
            cancel_sent: false,
            cancel_confirmed: false,
            give_up_by: None,
            hold_ack: call.hold_ack,
            ack_held_until: None,
            answered: None,
            forks: Vec::new(),
            copies: 0,
        };
        let mut leg = Leg {
            id: call.leg,
            call_id: call.identity.sip_call_id,
            local_tag: call.identity.local_tag,
            local_uri: call.from_uri,
            remote_uri: call.request_uri,
            dialog: Dialog::default(),
            flow,
            sent_by: self.sent_by(flow.peer),
            contact: self.contact(flow),
            local_cseq: 0,
            remote_cseq: None,
            credentials: call.credentials,
            phase: Phase::Early,
            side: Side::Outbound(Box::new(side)),
            sink: Sink::Carrier(Outbox::new(events)),
            close_by: None,
            bye_challenged: false,
            reoffer: None,
            own_offer: None,
            unacked: Vec::new(),
            session: None,
            local_sdp: call.offer,
            remote_allows_update: false,
            linger_until: None,
            named_peers: Vec::new(),
        };
        self.name_peer(&mut leg, flow.peer.ip());
        self.send_invite(now, &mut leg);
        self.schedule(now + call.ring_timeout, TimerOf::Leg(leg.id));
        self.insert_leg(leg);
        Ok(())
    }

    /// The first INVITE could not be handed to the socket: the leg never was.
    pub(crate) fn never_sent(&mut self, id: LegId) {
        let key = self.legs.get(&id).and_then(|leg| match &leg.side {
            Side::Outbound(out) => Some(out.invite_key()),
            _ => None,
        });
        if let Some(key) = key {
            self.clients.remove(&key);
        }
        self.remove_leg(id);
    }

    /// Sends the INVITE of a leg, the first one or one with credentials or another session interval.
    fn send_invite(&mut self, now: Instant, leg: &mut Leg) {
        leg.local_cseq += 1;
        let branch = leg.identity().invite_branch(leg.local_cseq);
        let Side::Outbound(out) = &mut leg.side else { return };
        out.branch = branch;
        out.invite_cseq = leg.local_cseq;
        out.provisional = false;
        out.finished = false;
        leg.dialog = Dialog::default();
        let flow = leg.flow;
        let mut text = Writer::request("INVITE", &out.request_uri)
            .header_fmt(
                "Via",
                format_args!(
                    "SIP/2.0/{} {};branch={};rport",
                    flow.via_transport(),
                    leg.sent_by,
                    out.branch
                ),
            )
            .header("Max-Forwards", "70")
            .header_fmt("From", format_args!("<{}>;tag={}", leg.local_uri, leg.local_tag))
            .header_fmt("To", format_args!("<{}>", leg.remote_uri))
            .header("Call-ID", &leg.call_id)
            .header_fmt("CSeq", format_args!("{} INVITE", out.invite_cseq))
            .header_fmt("Contact", format_args!("<{}>", leg.contact))
            .header("Allow", ALLOW)
            .header("Supported", "timer")
            .header("Accept", "application/sdp");
        if let Some(seconds) = out.session_expires {
            text = text
                .header_fmt("Session-Expires", format_args!("{seconds}"))
                .header_fmt("Min-SE", format_args!("{seconds}"));
        }
        if let Some((name, value)) = &out.authorization {
            text = text.header(name, value);
        }
        for (name, value) in &out.headers {
            text = text.header(name, value);
        }
        out.invite = text
            .header("User-Agent", &self.config.user_agent)
            .body("application/sdp", &out.offer);
        let (key, invite) = (out.invite_key(), out.invite.clone());
        self.start_client(now, key, leg, Purpose::Invite, invite, flow);
    }

    /// Ends an unanswered call: CANCEL, as soon as a provisional response allows it.
    pub(super) fn cancel_outbound(&mut self, now: Instant, leg: &mut Leg, ending: Ending) {
        let Side::Outbound(out) = &mut leg.side else { return };
        if out.ending.is_some() {
            // A hang-up during the ring time-out's CANCEL changes nothing.
            return;
        }
        out.ending = Some(ending);
        let give_up_by = now + self.config.timers.cancel_deadline;
        out.give_up_by = Some(give_up_by);
        let (provisional, key) = (out.provisional, out.invite_key());
        self.schedule(give_up_by, TimerOf::Leg(leg.id));
        if provisional {
            self.send_cancel(now, leg);
        } else {
            self.stop_retransmissions(&key);
        }
    }

    fn send_cancel(&mut self, now: Instant, leg: &mut Leg) {
        let Side::Outbound(out) = &mut leg.side else { return };
        if out.cancel_sent || out.finished {
            return;
        }
        let Some(cancel) = cancel_of(&out.invite, &self.config.user_agent) else {
            return;
        };
        out.cancel_sent = true;
        let key = ClientKey {
            branch: out.branch.clone(),
            kind: ClientKind::Cancel,
        };
        self.start_client(now, key, leg, Purpose::Cancel, cancel, leg.flow);
    }

    pub(super) fn on_cancel_response(&mut self, now: Instant, id: LegId, code: u16) {
        self.with_leg(id, |core, leg| {
            // For a call of this life the INVITE's own final response decides; if none comes, this one says that it was
            // heard (RFC 3261 section 9.1).
            match &mut leg.side {
                Side::Orphan(_) => core.orphan_cancel_response(now, leg, code),
                Side::Outbound(out) => out.cancel_confirmed |= (200..300).contains(&code),
                _ => {}
            }
        });
    }

    pub(super) fn on_invite_response(&mut self, now: Instant, id: LegId, flow: Flow, message: &Message, code: u16) {
        self.with_leg(id, |core, leg| match code {
            ..200 => core.outbound_progress(now, leg, flow, message, code),
            200..300 => core.outbound_answered(now, leg, flow, message),
            _ => core.outbound_failed(now, leg, message, code),
        });
    }

    /// A response to an INVITE whose transaction is gone.
    pub(super) fn late_invite_response(&mut self, now: Instant, id: LegId, flow: Flow, message: &Message, code: u16) {
        self.with_leg(id, |core, leg| {
            if matches!(leg.side, Side::Orphan(_)) {
                core.orphan_invite_response(now, leg, flow, message, code);
                return;
            }
            let Side::Outbound(out) = &leg.side else {
                core.counters.drop(DropReason::StrayResponse);
                return;
            };
            if message.cseq != out.invite_cseq {
                core.counters.drop(DropReason::StrayResponse);
                return;
            }
            match code {
                ..200 => core.outbound_progress(now, leg, flow, message, code),
                200..300 => core.outbound_answered(now, leg, flow, message),
                _ => {
                    let ack = super::client::ack_of_failure(&out.invite, message);
                    let flow = leg.flow;
                    if let Some(ack) = ack {
                        core.send(flow, ack);
                    }
                }
            }
        });
    }

    fn outbound_progress(&mut self, now: Instant, leg: &mut Leg, flow: Flow, message: &Message, code: u16) {
        let Side::Outbound(out) = &mut leg.side else { return };
        if out.finished {
            return;
        }
        out.provisional = true;
        let unwanted = out.ending.is_some() || leg.phase == Phase::Over;
        if code > 100 {
            out.rang = true;
            if message.to_tag.is_some() {
                leg.dialog = Dialog::of_response(message);
                self.name_peers(leg);
            }
        }
        self.adopt_flow(leg, flow);
        if unwanted {
            self.send_cancel(now, leg);
        } else if code > 100 {
            let event = CarrierEvent::Progress {
                code,
                sdp: message.sdp(),
                dialog: leg.facts(),
            };
            self.emit_carrier(now, leg, event);
        }
    }

    /// Over TCP the answers may come by another connection than the INVITE went.
    fn adopt_flow(&self, leg: &mut Leg, flow: Flow) {
        if flow.transport == Transport::Tcp {
            leg.flow.conn = flow.conn;
        }
    }

    fn outbound_answered(&mut self, now: Instant, leg: &mut Leg, flow: Flow, message: &Message) {
        self.adopt_flow(leg, flow);
        let Side::Outbound(out) = &mut leg.side else { return };
        let tag = message.to_tag.clone();
        if let Some((used, ack)) = &out.answered {
            if *used == tag && out.ack_held_until.is_some() {
                return;
            }
            let copy = if *used == tag {
                Some(ack.clone())
            } else {
                out.forks
                    .iter()
                    .find(|fork| fork.tag == tag)
                    .map(|fork| fork.ack.clone())
            };
            match copy {
                Some(_) if out.copies >= COPIES_MAX => self.counters.drop(DropReason::TooManyCopies),
                Some((ack, flow)) => {
                    out.copies += 1;
                    self.counters.retransmissions += 1;
                    self.send(flow, ack);
                }
                None => self.end_fork(now, leg, message),
            }
            return;
        }
        out.finished = true;
        let wanted = out.ending.is_none() && leg.phase == Phase::Early;
        let started = out.started;
        leg.dialog = Dialog::of_response(message);
        self.name_peers(leg);
        let ack = self.ack(leg, &leg.dialog.clone());
        let mut held_until = None;
        if let Side::Outbound(out) = &mut leg.side {
            out.answered = Some((tag, ack.clone()));
            held_until = out.hold_ack.filter(|_| wanted).map(|hold| now + hold);
            out.ack_held_until = held_until;
        }
        match held_until {
            Some(at) => self.schedule(at, TimerOf::Leg(leg.id)),
            None => self.send(ack.1, ack.0),
        }
        metrics::histogram!("carillon_sip_invite_seconds").record(now.duration_since(started).as_secs_f64());
        leg.remote_allows_update = message.lists("Allow", "UPDATE");
        if wanted {
            leg.phase = Phase::Up;
            self.start_session(now, leg, message);
            // A 2xx may leave out an answer that came with a reliable 1xx; we ask for none, so this is its only place.
            let sdp = message.sdp().unwrap_or_default();
            let event = CarrierEvent::Answered {
                sdp,
                dialog: leg.facts(),
            };
            self.emit_carrier(now, leg, event);
        } else {
            self.send_bye(now, leg, None);
        }
    }

    /// What the 2xx told is stored: its ACK may leave. Until then the far end would repeat the 2xx to whoever takes over from
    /// us, so that a leg whose answer was never stored can still be ended.
    pub(crate) fn acknowledge(&mut self, id: LegId) {
        self.with_leg(id, |core, leg| core.release_ack(leg));
    }

    /// Sends the ACK that was held back, if it was.
    pub(super) fn release_ack(&mut self, leg: &mut Leg) {
        if let Side::Outbound(out) = &mut leg.side
            && out.ack_held_until.take().is_some()
            && let Some((_, (ack, flow))) = out.answered.clone()
        {
            self.send(flow, ack);
        }
    }

    /// Acknowledges and ends a 2xx of another fork (RFC 3261 section 13.2.2.4).
    fn end_fork(&mut self, now: Instant, leg: &mut Leg, message: &Message) {
        let dialog = Dialog::of_response(message);
        let ack = self.ack(leg, &dialog);
        self.send(ack.1, ack.0.clone());
        let Side::Outbound(out) = &mut leg.side else { return };
        if out.forks.len() >= FORKS_MAX {
            return;
        }
        out.forks.push(Fork {
            tag: message.to_tag.clone(),
            ack,
        });
        let cseq = out.invite_cseq + 1;
        let (branch, bye, flow) = self.dialog_request(leg, &dialog, "BYE", cseq, &[], None);
        let key = ClientKey {
            branch,
            kind: ClientKind::Other,
        };
        self.start_client(now, key, leg, Purpose::ForkBye, bye, flow);
    }

    /// The ACK of a 2xx to the opening INVITE.
    fn ack(&mut self, leg: &Leg, dialog: &Dialog) -> (Bytes, Flow) {
        let Side::Outbound(out) = &leg.side else {
            return (Bytes::new(), leg.flow);
        };
        let authorization: Vec<(&str, &str)> = out.authorization.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let cseq = out.invite_cseq;
        let (_, ack, flow) = self.dialog_request(leg, dialog, "ACK", cseq, &authorization, None);
        (ack, flow)
    }

    fn outbound_failed(&mut self, now: Instant, leg: &mut Leg, message: &Message, code: u16) {
        let Side::Outbound(out) = &mut leg.side else { return };
        out.finished = true;
        if leg.phase != Phase::Early {
            return;
        }
        if out.ending.is_none() && self.try_again(now, leg, message, code) {
            return;
        }
        let Side::Outbound(out) = &leg.side else { return };
        let rang = out.rang;
        let ending = out.ending;
        metrics::histogram!("carillon_sip_invite_seconds").record(now.duration_since(out.started).as_secs_f64());
        self.end_leg(now, leg);
        // These say that nothing rings any more because of our CANCEL, or that nothing ever did.
        if ending == Some(Ending::HangUp) && matches!(code, 401 | 407 | 422 | 487) {
            self.emit(now, leg, Report::LocalHangUp(true));
            return;
        }
        let reason = match &message.start {
            Start::Response { reason, .. } if !reason.is_empty() => reason.clone(),
            _ => phrase(code).to_owned(),
        };
        let failure = CallFailure {
            code: Some(code),
            reason,
            reason_header: message.header("Reason").map(reason_text),
            retry_after_s: message.header("Retry-After").and_then(retry_after),
            rang,
            wire: WireState::Final,
        };
        self.emit_carrier(now, leg, CarrierEvent::Failed(failure));
    }

    /// Sends the INVITE again where its failure says how: with credentials, or with a longer session interval.
    fn try_again(&mut self, now: Instant, leg: &mut Leg, message: &Message, code: u16) -> bool {
        let Side::Outbound(out) = &mut leg.side else {
            return false;
        };
        match code {
            401 | 407 if out.auth_rounds < AUTH_ROUNDS_MAX => {
                let asks = if code == 401 {
                    "WWW-Authenticate"
                } else {
                    "Proxy-Authenticate"
                };
                let stale = crate::sip::digest::Asked::best_of(message.headers.all(asks)).is_some_and(|a| a.stale);
                if out.auth_rounds > 0 && !stale {
                    return false;
                }
                out.auth_rounds += 1;
                let uri = out.request_uri.clone();
                let authorization = self.authorize(leg.credentials.as_ref(), message, code, "INVITE", &uri);
                let Side::Outbound(out) = &mut leg.side else {
                    return false;
                };
                if authorization.is_none() {
                    return false;
                }
                out.authorization = authorization;
            }
            422 if out.session_expires.is_none() => {
                let min = message
                    .header("Min-SE")
                    .and_then(|v| v.split(';').next()?.trim().parse::<u32>().ok());
                let Some(min) = min.filter(|seconds| (90..=86_400).contains(seconds)) else {
                    return false;
                };
                out.session_expires = Some(min);
            }
            _ => return false,
        }
        self.send_invite(now, leg);
        true
    }

    pub(super) fn on_invite_silence(&mut self, now: Instant, id: LegId, silence: Silence) {
        let reason = match silence {
            Silence::Timeout => "no response to the INVITE",
            Silence::ConnectionLost => "the connection broke before a response came",
        };
        self.with_leg(id, |core, leg| {
            if leg.phase == Phase::Early {
                core.outbound_unknown(now, leg, reason);
            }
        });
    }

    /// Ends a call of which no final response came.
    fn outbound_unknown(&mut self, now: Instant, leg: &mut Leg, reason: &str) {
        let Side::Outbound(out) = &leg.side else { return };
        let (rang, ending) = (out.rang, out.ending);
        let wire = if out.cancel_confirmed {
            WireState::Final
        } else {
            WireState::Unknown
        };
        self.end_leg(now, leg);
        if ending == Some(Ending::HangUp) {
            self.emit(now, leg, Report::LocalHangUp(false));
            return;
        }
        let failure = CallFailure {
            code: None,
            reason: reason.to_owned(),
            reason_header: None,
            retry_after_s: None,
            rang,
            wire,
        };
        self.emit_carrier(now, leg, CarrierEvent::Failed(failure));
    }

    pub(super) fn outbound_timer(&mut self, now: Instant, leg: &mut Leg) {
        if let Side::Outbound(out) = &leg.side
            && out.ack_held_until.is_some_and(|at| at <= now)
        {
            self.release_ack(leg);
        }
        if leg.phase != Phase::Early {
            return;
        }
        let Side::Outbound(out) = &leg.side else { return };
        if out.give_up_by.is_some_and(|at| at <= now) {
            self.outbound_unknown(now, leg, "no final response after CANCEL");
        } else if out.ending.is_none() && out.ring_by <= now {
            self.cancel_outbound(now, leg, Ending::RingTimeout);
        }
    }

    /// A BYE before the 2xx that it ends: the far end is done with this call.
    pub(super) fn outbound_early_bye(&mut self, now: Instant, leg: &mut Leg, reason: Option<String>) {
        self.send_cancel(now, leg);
        self.end_leg(now, leg);
        self.emit(now, leg, Report::RemoteHangUp(reason));
    }
}

/// Seconds of a Retry-After value (RFC 3261 section 20.33).
fn retry_after(value: &str) -> Option<u32> {
    let digits: String = value.trim().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
