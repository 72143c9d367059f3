//! Server transactions (RFC 3261 section 17.2 with RFC 6026): answers, and answers again to what comes again.

use super::{Core, Flow, TimerOf};
use crate::sip::grammar::split_list;
use crate::sip::message::{Message, Method, Start};
use crate::sip::writer::{Writer, phrase};
use crate::ua::LegId;
use bytes::Bytes;
use carillon_domain::trunk::Transport;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Branch, sent-by and kind (RFC 3261 section 17.2.3): the ACK of a failure has its INVITE's key, CANCEL its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ServerKey {
    branch: String,
    host: String,
    port: u16,
    kind: ServerKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ServerKind {
    Invite,
    Cancel,
    Other,
}

impl ServerKey {
    pub(super) fn of(message: &Message) -> Self {
        let kind = match &message.start {
            Start::Request {
                method: Method::Invite | Method::Ack,
                ..
            } => ServerKind::Invite,
            Start::Request {
                method: Method::Cancel, ..
            } => ServerKind::Cancel,
            _ => ServerKind::Other,
        };
        Self {
            branch: message.via.branch.clone(),
            host: message.via.host.clone(),
            port: message.via.port.unwrap_or(5060),
            kind,
        }
    }

    /// The INVITE that a CANCEL is for.
    pub(super) fn invite(&self) -> Self {
        Self {
            kind: ServerKind::Invite,
            ..self.clone()
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerState {
    /// No final answer yet.
    Proceeding,
    /// A failure was answered; its ACK is awaited.
    Completed,
    /// A 2xx was answered to an INVITE; its ACK is awaited.
    Accepted,
    /// Only copies are still absorbed.
    Confirmed,
}

#[derive(Debug)]
pub(super) struct ServerTx {
    pub(super) leg: Option<LegId>,
    pub(super) state: ServerState,
    flow: Flow,
    head: ResponseHead,
    last: Option<Bytes>,
    interval: Duration,
    retransmit_at: Option<Instant>,
    ends_at: Option<Instant>,
}

/// What every response copies from its request.
#[derive(Debug)]
struct ResponseHead {
    vias: Vec<String>,
    record_routes: Vec<String>,
    from: String,
    to: String,
    has_to_tag: bool,
    call_id: String,
    cseq: String,
    invite: bool,
}

/// A response in the making.
#[derive(Debug, Default)]
pub(super) struct Answer<'a> {
    pub(super) code: u16,
    /// Empty: the usual phrase.
    pub(super) reason: &'a str,
    /// Put on To if the request had none.
    pub(super) to_tag: Option<&'a str>,
    pub(super) headers: Vec<(&'a str, String)>,
    pub(super) body: Option<(&'a str, &'a [u8])>,
}

impl<'a> Answer<'a> {
    pub(super) fn code(code: u16) -> Self {
        Self {
            code,
            ..Self::default()
        }
    }

    pub(super) fn tag(mut self, tag: &'a str) -> Self {
        self.to_tag = Some(tag);
        self
    }

    pub(super) fn header(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn sdp(mut self, sdp: &'a [u8]) -> Self {
        self.body = Some(("application/sdp", sdp));
        self
    }
}

impl Core {
    /// Opens a server transaction. `false`: the request is a copy of one that is already here, and has been dealt with.
    pub(super) fn open_server(&mut self, key: &ServerKey, message: &Message, flow: Flow) -> bool {
        if let Some(tx) = self.servers.get(key) {
            self.counters.retransmissions_in += 1;
            let resend = match tx.state {
                ServerState::Proceeding | ServerState::Completed => tx.last.clone(),
                // RFC 6026: the 2xx is sent again by its timer, not by copies of the INVITE.
                ServerState::Accepted => None,
                ServerState::Confirmed if key.kind == ServerKind::Invite => None,
                ServerState::Confirmed => tx.last.clone(),
            };
            let flow = tx.flow;
            if let Some(bytes) = resend {
                self.counters.retransmissions += 1;
                self.send(flow, bytes);
            }
            return false;
        }
        let vias = message
            .headers
            .all("Via")
            .enumerate()
            .map(|(at, line)| {
                if at == 0 {
                    received_via(line, flow)
                } else {
                    line.to_owned()
                }
            })
            .collect();
        let head = ResponseHead {
            vias,
            record_routes: message.headers.all("Record-Route").map(str::to_owned).collect(),
            from: message.header("From").unwrap_or_default().to_owned(),
            to: message.header("To").unwrap_or_default().to_owned(),
            has_to_tag: message.to_tag.is_some(),
            call_id: message.call_id.clone(),
            cseq: format!("{} {}", message.cseq, message.cseq_method.as_str()),
            invite: key.kind == ServerKind::Invite,
        };
        let tx = ServerTx {
            leg: None,
            state: ServerState::Proceeding,
            flow: response_flow(flow, message),
            head,
            last: None,
            interval: self.config.timers.t1,
            retransmit_at: None,
            ends_at: None,
        };
        self.servers.insert(key.clone(), tx);
        true
    }

    /// Answers a request whose transaction is open. Nothing happens after a final answer.
    pub(super) fn respond(&mut self, now: Instant, key: &ServerKey, answer: Answer<'_>) {
        let (t1, give_up) = (self.config.timers.t1, self.config.timers.give_up());
        let Some(tx) = self
            .servers
            .get_mut(key)
            .filter(|tx| tx.state == ServerState::Proceeding)
        else {
            return;
        };
        let bytes = tx.head.write(&answer, &self.config.user_agent);
        let flow = tx.flow;
        tx.last = Some(bytes.clone());
        if answer.code >= 200 {
            let invite = tx.head.invite;
            tx.state = match (invite, answer.code) {
                (true, 200..=299) => ServerState::Accepted,
                (true, _) => ServerState::Completed,
                (false, _) => ServerState::Confirmed,
            };
            // A 2xx is sent again on every transport (RFC 3261 section 13.3.1.4), a failure where packets get lost.
            let again = match tx.state {
                ServerState::Accepted => true,
                ServerState::Completed => !flow.is_reliable(),
                _ => false,
            };
            tx.retransmit_at = again.then(|| now + t1);
            tx.ends_at = Some(now + give_up);
            if again {
                self.schedule(now + t1, TimerOf::Server(key.clone()));
            }
            self.schedule(now + give_up, TimerOf::Server(key.clone()));
        }
        self.counters.responses_out[usize::from(answer.code / 100).min(6)] += 1;
        self.send(flow, bytes);
    }

    /// The ACK came: nothing is sent again.
    pub(super) fn server_acked(&mut self, now: Instant, key: &ServerKey) {
        let t4 = self.config.timers.t4;
        if let Some(tx) = self.servers.get_mut(key) {
            tx.state = ServerState::Confirmed;
            tx.retransmit_at = None;
            tx.ends_at = Some(now + t4);
            self.schedule(now + t4, TimerOf::Server(key.clone()));
        }
    }

    pub(super) fn server_timer(&mut self, now: Instant, key: &ServerKey) {
        let t2 = self.config.timers.t2;
        let Some(tx) = self.servers.get_mut(key) else { return };
        if tx.ends_at.is_some_and(|at| at <= now) {
            let Some(tx) = self.servers.remove(key) else { return };
            if let (ServerState::Accepted, Some(leg)) = (tx.state, tx.leg) {
                self.ack_missing(now, leg);
            }
            return;
        }
        if tx.retransmit_at.is_some_and(|at| at <= now)
            && let Some(bytes) = tx.last.clone()
        {
            tx.interval = (tx.interval * 2).min(t2);
            let at = now + tx.interval;
            tx.retransmit_at = Some(at);
            let flow = tx.flow;
            self.counters.retransmissions += 1;
            self.send(flow, bytes);
            self.schedule(at, TimerOf::Server(key.clone()));
        }
    }
}

impl ResponseHead {
    fn write(&self, answer: &Answer<'_>, user_agent: &str) -> Bytes {
        let reason = if answer.reason.is_empty() {
            phrase(answer.code)
        } else {
            answer.reason
        };
        let mut text = Writer::response(answer.code, reason);
        for via in &self.vias {
            text = text.header("Via", via);
        }
        if answer.code < 300 && answer.code > 100 {
            for route in &self.record_routes {
                text = text.header("Record-Route", route);
            }
        }
        text = text.header("From", &self.from);
        text = match answer.to_tag {
            Some(tag) if !self.has_to_tag => text.header_fmt("To", format_args!("{};tag={tag}", self.to)),
            _ => text.header("To", &self.to),
        };
        text = text
            .header("Call-ID", &self.call_id)
            .header("CSeq", &self.cseq)
            .header("Server", user_agent);
        for (name, value) in &answer.headers {
            text = text.header(name, value);
        }
        match answer.body {
            Some((content_type, body)) => text.body(content_type, body),
            None => text.finish(),
        }
    }
}

/// The first Via line with `received` and `rport` filled in on its first value (RFC 3261 section 18.2.1, RFC 3581).
fn received_via(line: &str, flow: Flow) -> String {
    let values = split_list(line);
    let Some((first, rest)) = values.split_first() else {
        return line.to_owned();
    };
    let mut text = String::with_capacity(line.len() + 48);
    for (at, part) in first.split(';').enumerate() {
        let name = part.split('=').next().unwrap_or_default().trim();
        if at > 0 && (name.eq_ignore_ascii_case("received")) {
            continue;
        }
        if at > 0 {
            text.push(';');
        }
        if at > 0 && name.eq_ignore_ascii_case("rport") {
            text.push_str(&format!("rport={}", flow.peer.port()));
        } else {
            text.push_str(part.trim());
        }
    }
    text.push_str(&format!(";received={}", flow.peer.ip()));
    for value in rest {
        text.push_str(", ");
        text.push_str(value);
    }
    text
}

/// Where a response goes: back to the source, to its port only if the request asks so (RFC 3581). Over TCP it goes by the
/// connection that the request came by, and if that is gone to the port of sent-by (RFC 3261 section 18.2.2).
fn response_flow(flow: Flow, message: &Message) -> Flow {
    if flow.transport == Transport::Udp && message.via.rport {
        return flow;
    }
    Flow {
        peer: SocketAddr::new(flow.peer.ip(), message.via.port.unwrap_or(5060)),
        ..flow
    }
}
