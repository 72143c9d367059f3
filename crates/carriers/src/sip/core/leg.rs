//! One call leg, whichever side began it: its dialog, its events, and its end.

use super::client::{ClientKey, ClientKind, Purpose};
use super::inbound::InboundSide;
use super::orphan::OrphanSide;
use super::outbound::OutboundSide;
use super::requests::Reoffer;
use super::server::{Answer, ServerKey};
use super::session::Session;
use super::{Core, DialogKey, Flow, OUTBOX_RETRY, TimerOf};
use crate::sip::digest::Asked;
use crate::sip::grammar::SipUri;
use crate::sip::message::{DropReason, Message};
use crate::sip::writer::Writer;
use crate::ua::{InboundEvent, LegId, OfferRefused};
use bytes::Bytes;
use carillon_domain::call::{DialogFacts, SipIdentity};
use carillon_domain::script::Digit;
use carillon_domain::trunk::Credentials;
use carillon_interfaces::carrier::CarrierEvent;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

/// Most events of one leg that wait for room in its channel.
const OUTBOX_MAX: usize = 64;

/// Methods that we take, as the value of Allow.
pub(super) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE";

/// How far a leg has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not answered.
    Early,
    /// Answered.
    Up,
    /// Our BYE is on its way.
    Closing,
    /// The final event is out; the leg lingers for late messages.
    Over,
}

/// Who began the leg.
#[derive(Debug)]
pub(super) enum Side {
    Outbound(Box<OutboundSide>),
    Inbound(Box<InboundSide>),
    Orphan(Box<OrphanSide>),
}

/// The far end's part of a dialog (RFC 3261 section 12).
#[derive(Clone, Debug, Default)]
pub(super) struct Dialog {
    pub(super) remote_tag: Option<String>,
    pub(super) target: Option<String>,
    /// In sending order.
    pub(super) routes: Vec<String>,
}

impl Dialog {
    /// The dialog that a response to our INVITE belongs to: the route set is Record-Route from the bottom up.
    pub(super) fn of_response(message: &Message) -> Self {
        let mut routes: Vec<String> = message.headers.list("Record-Route").map(str::to_owned).collect();
        routes.reverse();
        Self {
            remote_tag: message.to_tag.clone(),
            target: message.contact_uri().map(str::to_owned),
            routes,
        }
    }
}

/// Events on their way to the application, in order.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    sender: Option<mpsc::Sender<T>>,
    waiting: VecDeque<T>,
    last_is_in: bool,
}

impl<T> Outbox<T> {
    pub(super) fn new(sender: mpsc::Sender<T>) -> Self {
        Self {
            sender: Some(sender),
            waiting: VecDeque::new(),
            last_is_in: false,
        }
    }

    /// Queues an event. `false`: there was no room for one that may be dropped.
    fn push(&mut self, event: T, is_final: bool) -> bool {
        if self.sender.is_none() || self.last_is_in {
            return true;
        }
        if self.waiting.len() >= OUTBOX_MAX && !is_final {
            return false;
        }
        self.last_is_in = is_final;
        self.waiting.push_back(event);
        true
    }

    /// Hands over what the channel takes; closes it after the final event. `true`: nothing is left to do.
    fn flush(&mut self) -> bool {
        while let Some(event) = self.waiting.pop_front() {
            let Some(sender) = &self.sender else { return true };
            match sender.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.waiting.push_front(event);
                    return false;
                }
                Err(TrySendError::Closed(_)) => self.waiting.clear(),
            }
        }
        if self.last_is_in {
            self.sender = None;
        }
        true
    }
}

/// Where a leg's events go.
#[derive(Debug)]
pub(super) enum Sink {
    Carrier(Outbox<CarrierEvent>),
    Inbound(Outbox<InboundEvent>),
    Nobody,
}

impl Sink {
    fn flush(&mut self) -> bool {
        match self {
            Self::Carrier(outbox) => outbox.flush(),
            Self::Inbound(outbox) => outbox.flush(),
            Self::Nobody => true,
        }
    }

    /// Whether the application has dropped its end.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Carrier(outbox) => outbox.sender.as_ref().is_some_and(mpsc::Sender::is_closed),
            Self::Inbound(outbox) => outbox.sender.as_ref().is_some_and(mpsc::Sender::is_closed),
            Self::Nobody => false,
        }
    }
}

/// What both kinds of legs report.
#[derive(Debug)]
pub(super) enum Report {
    RemoteHangUp(Option<String>),
    LocalHangUp(bool),
    Reoffer { sdp: Bytes, answer: oneshot::Sender<Bytes> },
    InfoDigit(Digit),
}

/// A re-INVITE of ours that is under way or was just answered.
#[derive(Debug)]
pub(super) struct OwnOffer {
    pub(super) cseq: u32,
    pub(super) reply: Option<oneshot::Sender<Result<Bytes, OfferRefused>>>,
    /// ACK of its 2xx, for copies of the 2xx.
    pub(super) ack: Option<(Bytes, Flow)>,
    pub(super) done: bool,
}

#[derive(Debug)]
pub(crate) struct Leg {
    pub(super) id: LegId,
    pub(super) call_id: String,
    pub(super) local_tag: String,
    /// Our address as it stands in From of our requests.
    pub(super) local_uri: String,
    /// The far end's address as it stands in To of our requests.
    pub(super) remote_uri: String,
    pub(super) dialog: Dialog,
    pub(super) flow: Flow,
    pub(super) sent_by: String,
    pub(super) contact: String,
    pub(super) local_cseq: u32,
    pub(super) remote_cseq: Option<u32>,
    pub(super) credentials: Option<Credentials>,
    pub(super) phase: Phase,
    pub(super) side: Side,
    pub(super) sink: Sink,
    /// Deadline of phase Closing.
    pub(super) close_by: Option<Instant>,
    pub(super) bye_challenged: bool,
    pub(super) reoffer: Option<Reoffer>,
    pub(super) own_offer: Option<OwnOffer>,
    /// INVITEs that we answered with 2xx and whose ACK is awaited: CSeq and transaction.
    pub(super) unacked: Vec<(u32, ServerKey)>,
    pub(super) session: Option<Session>,
    /// Our current session description.
    pub(super) local_sdp: Bytes,
    pub(super) remote_allows_update: bool,
    pub(super) linger_until: Option<Instant>,
    pub(super) named_peers: Vec<IpAddr>,
}

impl Leg {
    pub(super) fn key(&self) -> DialogKey {
        DialogKey {
            call_id: self.call_id.clone(),
            local_tag: self.local_tag.clone(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Call-ID and our tag.
    pub(super) fn identity(&self) -> SipIdentity {
        SipIdentity {
            sip_call_id: self.call_id.clone(),
            local_tag: self.local_tag.clone(),
        }
    }

    /// What is needed to end this leg after a restart.
    pub(super) fn facts(&self) -> DialogFacts {
        let (branch, cseq, uri) = match &self.side {
            Side::Outbound(out) => (Some(out.branch.clone()), out.invite_cseq, out.request_uri.clone()),
            _ => (None, self.local_cseq, self.remote_uri.clone()),
        };
        DialogFacts {
            identity: self.identity(),
            invite_branch: branch,
            invite_cseq: cseq,
            invite_uri: uri,
            local_uri: self.local_uri.clone(),
            contact_uri: Some(self.contact.clone()),
            remote_uri: self.remote_uri.clone(),
            remote_tag: self.dialog.remote_tag.clone(),
            remote_target: self.dialog.target.clone(),
            route_set: self.dialog.routes.clone(),
            peer: Some(self.flow.peer.to_string()),
            answered: matches!(self.phase, Phase::Up | Phase::Closing),
        }
    }
}

impl Core {
    /// Reports to the application.
    pub(super) fn emit(&mut self, now: Instant, leg: &mut Leg, report: Report) {
        let is_final = matches!(report, Report::RemoteHangUp(_) | Report::LocalHangUp(_));
        let queued = match (&mut leg.sink, report) {
            (Sink::Carrier(outbox), report) => outbox.push(
                match report {
                    Report::RemoteHangUp(reason) => CarrierEvent::RemoteHangUp { reason },
                    Report::LocalHangUp(confirmed) => CarrierEvent::LocalHangUp { confirmed },
                    Report::Reoffer { sdp, answer } => CarrierEvent::Reoffer { sdp, answer },
                    Report::InfoDigit(digit) => CarrierEvent::InfoDigit(digit),
                },
                is_final,
            ),
            (Sink::Inbound(outbox), report) => outbox.push(
                match report {
                    Report::RemoteHangUp(reason) => InboundEvent::RemoteHangUp { reason },
                    Report::LocalHangUp(confirmed) => InboundEvent::LocalHangUp { confirmed },
                    Report::Reoffer { sdp, answer } => InboundEvent::Reoffer { sdp, answer },
                    Report::InfoDigit(digit) => InboundEvent::InfoDigit(digit),
                },
                is_final,
            ),
            (Sink::Nobody, _) => true,
        };
        self.after_push(now, leg, queued);
    }

    pub(super) fn emit_carrier(&mut self, now: Instant, leg: &mut Leg, event: CarrierEvent) {
        let queued = match &mut leg.sink {
            Sink::Carrier(outbox) => {
                let is_final = event.is_final();
                outbox.push(event, is_final)
            }
            _ => true,
        };
        self.after_push(now, leg, queued);
    }

    pub(super) fn emit_inbound(&mut self, now: Instant, leg: &mut Leg, event: InboundEvent) {
        let is_final = matches!(event, InboundEvent::Cancelled | InboundEvent::AckMissing);
        let queued = match &mut leg.sink {
            Sink::Inbound(outbox) => outbox.push(event, is_final),
            _ => true,
        };
        self.after_push(now, leg, queued);
    }

    fn after_push(&mut self, now: Instant, leg: &mut Leg, queued: bool) {
        if !queued {
            self.counters.drop(DropReason::EventQueueFull);
        }
        if !leg.sink.flush() {
            self.schedule(now + OUTBOX_RETRY, TimerOf::Leg(leg.id));
        }
    }

    /// Ends a leg in whatever state it is.
    pub(crate) fn hang_up(&mut self, now: Instant, id: LegId) {
        self.with_leg(id, |core, leg| match (leg.phase, &leg.side) {
            (Phase::Early, Side::Outbound(_)) => core.cancel_outbound(now, leg, super::outbound::Ending::HangUp),
            (Phase::Early, Side::Inbound(_)) => core.refuse_inbound(now, leg, Answer::code(480)),
            (Phase::Up, _) => core.close_leg(now, leg),
            (Phase::Early, Side::Orphan(_)) | (Phase::Closing | Phase::Over, _) => {}
        });
    }

    /// Ends an answered leg by BYE; one of ours that waits for its ACK gets it after that (RFC 3261 section 15).
    pub(super) fn close_leg(&mut self, now: Instant, leg: &mut Leg) {
        if let Side::Inbound(inbound) = &mut leg.side
            && !inbound.established
        {
            inbound.close_wanted = true;
            return;
        }
        self.send_bye(now, leg, None);
    }

    /// Sends BYE and sets the deadline of the final event.
    pub(super) fn send_bye(&mut self, now: Instant, leg: &mut Leg, authorization: Option<(&'static str, String)>) {
        self.release_ack(leg);
        leg.local_cseq += 1;
        let headers: Vec<(&str, &str)> = authorization
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let (branch, bye, flow) = self.dialog_request(leg, &leg.dialog.clone(), "BYE", leg.local_cseq, &headers, None);
        if leg.close_by.is_none() {
            let close_by = now + self.config.timers.bye_deadline;
            leg.close_by = Some(close_by);
            self.schedule(close_by, TimerOf::Leg(leg.id));
        }
        if leg.phase != Phase::Over {
            leg.phase = Phase::Closing;
        }
        let key = ClientKey {
            branch,
            kind: ClientKind::Other,
        };
        self.start_client(now, key, leg, Purpose::Bye, bye, flow);
    }

    pub(super) fn on_bye_response(&mut self, now: Instant, id: LegId, message: &Message, code: u16) {
        self.with_leg(id, |core, leg| {
            if code < 200 {
                return;
            }
            if matches!(code, 401 | 407) && !leg.bye_challenged {
                let target = request_uri(&leg.dialog).unwrap_or(&leg.remote_uri).to_owned();
                if let Some(authorization) = core.authorize(leg.credentials.as_ref(), message, code, "BYE", &target) {
                    leg.bye_challenged = true;
                    core.send_bye(now, leg, Some(authorization));
                    return;
                }
            }
            let confirmed = code < 300 || code == 481;
            core.closed(now, leg, confirmed);
        });
    }

    pub(super) fn on_bye_silence(&mut self, now: Instant, id: LegId) {
        self.with_leg(id, |core, leg| core.closed(now, leg, false));
    }

    /// Our BYE is through or given up.
    pub(super) fn closed(&mut self, now: Instant, leg: &mut Leg, confirmed: bool) {
        if matches!(leg.side, Side::Orphan(_)) {
            self.conclude_orphan(now, leg, confirmed);
        } else if leg.phase == Phase::Closing {
            self.end_leg(now, leg);
            self.emit(now, leg, Report::LocalHangUp(confirmed));
        }
    }

    /// The one place where a leg becomes over. Its final event is reported by the caller.
    pub(super) fn end_leg(&mut self, now: Instant, leg: &mut Leg) {
        if leg.phase == Phase::Over {
            return;
        }
        self.release_ack(leg);
        leg.phase = Phase::Over;
        self.live = self.live.saturating_sub(1);
        leg.session = None;
        leg.local_sdp = Bytes::new();
        if let Side::Outbound(out) = &mut leg.side {
            out.forget();
        }
        if let Some(reoffer) = leg.reoffer.take() {
            self.respond(now, &reoffer.key, Answer::code(487));
        }
        if let Some(reply) = leg.own_offer.as_mut().and_then(|offer| offer.reply.take()) {
            let _ = reply.send(Err(OfferRefused::NotNow));
        }
        let linger_until = now + self.config.timers.give_up();
        leg.linger_until = Some(linger_until);
        self.schedule(linger_until, TimerOf::Leg(leg.id));
    }

    pub(super) fn leg_timer(&mut self, now: Instant, id: LegId) {
        let remove = self.with_leg(id, |core, leg| {
            let flushed = leg.sink.flush();
            if !flushed {
                core.schedule(now + OUTBOX_RETRY, TimerOf::Leg(id));
            }
            if leg.phase == Phase::Over {
                return flushed && leg.linger_until.is_some_and(|at| at <= now);
            }
            if leg.phase == Phase::Closing && leg.close_by.is_some_and(|at| at <= now) {
                core.closed(now, leg, false);
                return false;
            }
            match leg.side {
                Side::Outbound(_) => core.outbound_timer(now, leg),
                Side::Inbound(_) => core.inbound_timer(now, leg),
                Side::Orphan(_) => core.orphan_timer(now, leg),
            }
            core.reoffer_timer(now, leg);
            core.session_timer(now, leg);
            false
        });
        if remove == Some(true) {
            self.remove_leg(id);
        }
    }

    /// Writes a request inside a dialog (RFC 3261 section 12.2.1.1). Returns its branch, the bytes and where they go.
    pub(super) fn dialog_request(
        &mut self,
        leg: &Leg,
        dialog: &Dialog,
        method: &str,
        cseq: u32,
        headers: &[(&str, &str)],
        body: Option<(&str, &[u8])>,
    ) -> (String, Bytes, Flow) {
        let branch = self.new_branch();
        let target = dialog.target.as_deref().unwrap_or(&leg.remote_uri);
        // A first route without `lr` is a strict router: it gets the request URI, and the target comes last.
        let strict = dialog
            .routes
            .first()
            .and_then(|r| route_uri(r))
            .filter(|uri| SipUri::parse(uri).is_some_and(|uri| uri.param("lr").is_none()));
        let mut text = Writer::request(method, strict.unwrap_or(target))
            .header_fmt(
                "Via",
                format_args!(
                    "SIP/2.0/{} {};branch={branch};rport",
                    leg.flow.via_transport(),
                    leg.sent_by
                ),
            )
            .header("Max-Forwards", "70")
            .header_fmt("From", format_args!("<{}>;tag={}", leg.local_uri, leg.local_tag));
        text = match &dialog.remote_tag {
            Some(tag) => text.header_fmt("To", format_args!("<{}>;tag={tag}", leg.remote_uri)),
            None => text.header_fmt("To", format_args!("<{}>", leg.remote_uri)),
        };
        text = text
            .header("Call-ID", &leg.call_id)
            .header_fmt("CSeq", format_args!("{cseq} {method}"));
        match strict {
            Some(_) => {
                for route in dialog.routes.iter().skip(1) {
                    text = text.header("Route", route);
                }
                text = text.header_fmt("Route", format_args!("<{target}>"));
            }
            None => {
                for route in &dialog.routes {
                    text = text.header("Route", route);
                }
            }
        }
        if matches!(method, "INVITE" | "UPDATE") {
            text = text
                .header_fmt("Contact", format_args!("<{}>", leg.contact))
                .header("Allow", ALLOW);
        }
        for (name, value) in headers {
            text = text.header(name, value);
        }
        text = text.header("User-Agent", &self.config.user_agent);
        let bytes = match body {
            Some((content_type, body)) => text.body(content_type, body),
            None => text.finish(),
        };
        (branch, bytes, next_hop(leg.flow, dialog))
    }

    /// Remembers the addresses that a dialog names as sources for as long as the leg is there.
    pub(super) fn name_peers(&mut self, leg: &mut Leg) {
        let uris = leg
            .dialog
            .routes
            .iter()
            .filter_map(|r| route_uri(r))
            .chain(leg.dialog.target.as_deref());
        let ips: Vec<IpAddr> = uris
            .filter_map(|uri| SipUri::parse(uri)?.socket_addr())
            .map(|addr| addr.ip())
            .take(8)
            .collect();
        for ip in ips {
            self.name_peer(leg, ip);
        }
    }

    /// Remembers one address as a source for as long as the leg is there.
    pub(super) fn name_peer(&mut self, leg: &mut Leg, ip: IpAddr) {
        if leg.named_peers.len() < 16 && !leg.named_peers.contains(&ip) {
            leg.named_peers.push(ip);
            *self.dialog_peers.entry(ip).or_default() += 1;
        }
    }

    /// The header that answers a 401 or 407, if there are credentials for it.
    pub(super) fn authorize(
        &mut self,
        credentials: Option<&Credentials>,
        message: &Message,
        code: u16,
        method: &str,
        uri: &str,
    ) -> Option<(&'static str, String)> {
        let (asks, answers) = match code {
            401 => ("WWW-Authenticate", "Authorization"),
            _ => ("Proxy-Authenticate", "Proxy-Authorization"),
        };
        let asked = Asked::best_of(message.headers.all(asks))?;
        let cnonce = format!("{:016x}", self.new_number());
        Some((answers, asked.answer(credentials?, method, uri, &cnonce)))
    }
}

/// The URI inside a route.
pub(super) fn route_uri(route: &str) -> Option<&str> {
    crate::sip::grammar::NameAddr::parse(route).map(|address| address.uri)
}

fn request_uri(dialog: &Dialog) -> Option<&str> {
    dialog.target.as_deref()
}

/// Where a request inside a dialog goes: the first route or the target if it is a literal address, else back to where
/// the far end's messages come from. So does a private address that a public peer names: it sits behind a NAT.
fn next_hop(flow: Flow, dialog: &Dialog) -> Flow {
    let uri = dialog
        .routes
        .first()
        .and_then(|r| route_uri(r))
        .or(dialog.target.as_deref());
    let named: Option<SocketAddr> = uri.and_then(|uri| SipUri::parse(uri)?.socket_addr());
    match named {
        Some(addr) if is_local(addr.ip()) && !is_local(flow.peer.ip()) => flow,
        Some(addr) if addr.port() != 0 && addr.is_ipv4() == flow.peer.is_ipv4() => Flow { peer: addr, ..flow },
        _ => flow,
    }
}

fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}
