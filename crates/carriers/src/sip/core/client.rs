//! Client transactions (RFC 3261 section 17.1 with RFC 6026): retransmission, time-out, and the ACK of failures.

use super::{Core, Flow, Leg, TimerOf};
use crate::sip::message::{DropReason, Message, Method, Start};
use crate::sip::writer::Writer;
use crate::ua::LegId;
use bytes::Bytes;
use std::time::{Duration, Instant};

/// Branch and kind: CANCEL shares the branch of its INVITE.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientKey {
    pub(super) branch: String,
    pub(super) kind: ClientKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ClientKind {
    Invite,
    Cancel,
    Other,
}

/// What the transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The INVITE that opens a call.
    Invite,
    /// Its CANCEL.
    Cancel,
    /// The BYE that ends a leg.
    Bye,
    /// The BYE that ends a fork we do not use.
    ForkBye,
    /// A re-INVITE with an offer of the application.
    Reinvite,
    /// A session refresh (RFC 4028).
    Refresh,
    /// INFO: nobody waits for its answer.
    Info,
}

#[derive(Debug)]
enum State {
    /// Nothing came back.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// INVITE only: a failure came and was acknowledged with this.
    Completed(Bytes),
    /// INVITE only: a 2xx came; later ones go to the leg.
    Accepted,
}

#[derive(Debug)]
pub(super) struct ClientTx {
    pub(super) leg: LegId,
    pub(super) purpose: Purpose,
    call_id: String,
    pub(super) request: Bytes,
    pub(super) flow: Flow,
    state: State,
    interval: Duration,
    retransmit_at: Option<Instant>,
    ends_at: Option<Instant>,
}

/// How a transaction ended without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Timer B or F.
    Timeout,
    /// The connection broke before anything came back.
    ConnectionLost,
}

impl Core {
    /// Sends a request under a new transaction.
    pub(super) fn start_client(
        &mut self,
        now: Instant,
        key: ClientKey,
        leg: &Leg,
        purpose: Purpose,
        request: Bytes,
        flow: Flow,
    ) {
        let t1 = self.config.timers.t1;
        let method = match key.kind {
            ClientKind::Cancel => "CANCEL",
            _ => method_of(&request),
        };
        *self.counters.requests_out.entry(method.to_owned()).or_default() += 1;
        let retransmit_at = (!flow.is_reliable()).then(|| now + t1);
        let ends_at = now + self.config.timers.give_up();
        let first_of = (purpose == Purpose::Invite && leg.local_cseq == 1).then_some(leg.id);
        self.outputs.push(super::Output::Send {
            flow,
            bytes: request.clone(),
            first_of,
        });
        if let Some(at) = retransmit_at {
            self.schedule(at, TimerOf::Client(key.clone()));
        }
        self.schedule(ends_at, TimerOf::Client(key.clone()));
        let tx = ClientTx {
            leg: leg.id,
            purpose,
            call_id: leg.call_id.clone(),
            request,
            flow,
            state: State::Calling,
            interval: t1,
            retransmit_at,
            ends_at: Some(ends_at),
        };
        self.clients.insert(key, tx);
    }

    /// Stops sending an INVITE again that nobody wants any more; what comes back is still matched.
    pub(super) fn stop_retransmissions(&mut self, key: &ClientKey) {
        if let Some(tx) = self.clients.get_mut(key) {
            tx.retransmit_at = None;
        }
    }

    pub(super) fn client_timer(&mut self, now: Instant, key: &ClientKey) {
        let t2 = self.config.timers.t2;
        let Some(tx) = self.clients.get_mut(key) else { return };
        if tx.ends_at.is_some_and(|at| at <= now) {
            let Some(tx) = self.clients.remove(key) else { return };
            if matches!(tx.state, State::Calling | State::Proceeding) {
                self.client_silent(now, tx.leg, tx.purpose, Silence::Timeout);
            }
            return;
        }
        if tx.retransmit_at.is_some_and(|at| at <= now) {
            tx.interval = match (key.kind, &tx.state) {
                (ClientKind::Invite, _) => tx.interval * 2,
                (_, State::Proceeding) => t2,
                _ => (tx.interval * 2).min(t2),
            };
            let at = now + tx.interval;
            tx.retransmit_at = Some(at);
            let (flow, bytes) = (tx.flow, tx.request.clone());
            self.counters.retransmissions += 1;
            self.send(flow, bytes);
            self.schedule(at, TimerOf::Client(key.clone()));
        }
    }

    /// A response from the network.
    pub(super) fn on_response(&mut self, now: Instant, flow: Flow, message: &Message) {
        self.count_response_in(message);
        let kind = match message.cseq_method {
            Method::Invite => ClientKind::Invite,
            Method::Cancel => ClientKind::Cancel,
            _ => ClientKind::Other,
        };
        let key = ClientKey {
            branch: message.via.branch.clone(),
            kind,
        };
        let code = message.code().unwrap_or_default();
        let (t2, give_up) = (self.config.timers.t2, self.config.timers.give_up());
        let Some(tx) = self.clients.get_mut(&key).filter(|tx| tx.call_id == message.call_id) else {
            self.stray_response(now, flow, message, code);
            return;
        };
        let (leg, purpose) = (tx.leg, tx.purpose);
        if code < 200 {
            match tx.state {
                State::Calling | State::Proceeding => {
                    tx.state = State::Proceeding;
                    if kind == ClientKind::Invite {
                        tx.retransmit_at = None;
                        if purpose == Purpose::Invite {
                            // The leg's own deadlines bound what follows.
                            tx.ends_at = None;
                        }
                    } else if tx.retransmit_at.is_some() {
                        tx.interval = t2;
                    }
                }
                State::Completed(_) | State::Accepted => return,
            }
        } else if kind != ClientKind::Invite {
            self.clients.remove(&key);
        } else if code < 300 {
            match tx.state {
                State::Completed(_) => return,
                State::Accepted => self.counters.retransmissions_in += 1,
                State::Calling | State::Proceeding => {
                    tx.state = State::Accepted;
                    tx.request = Bytes::new();
                    tx.retransmit_at = None;
                    tx.ends_at = Some(now + give_up);
                    self.schedule(now + give_up, TimerOf::Client(key));
                }
            }
        } else {
            match &tx.state {
                State::Accepted => return,
                State::Completed(ack) => {
                    let (flow, ack) = (tx.flow, ack.clone());
                    self.counters.retransmissions_in += 1;
                    self.send(flow, ack);
                    return;
                }
                State::Calling | State::Proceeding => {
                    let Some(ack) = ack_of_failure(&tx.request, message) else {
                        return;
                    };
                    let linger = if tx.flow.is_reliable() { Duration::ZERO } else { give_up };
                    tx.state = State::Completed(ack.clone());
                    tx.retransmit_at = None;
                    tx.ends_at = Some(now + linger);
                    let flow = tx.flow;
                    self.send(flow, ack);
                    self.schedule(now + linger, TimerOf::Client(key));
                }
            }
        }
        self.client_response(now, leg, purpose, flow, message, code);
    }

    /// A response without a transaction: a late message for an INVITE of ours still has to be ended properly.
    fn stray_response(&mut self, now: Instant, flow: Flow, message: &Message, code: u16) {
        let leg = message
            .from_tag
            .as_deref()
            .and_then(|tag| self.find_leg(&message.call_id, tag));
        match leg {
            Some(leg) if message.cseq_method == Method::Invite => {
                self.late_invite_response(now, leg, flow, message, code)
            }
            _ => self.counters.drop(DropReason::StrayResponse),
        }
    }

    /// A TCP connection is gone: requests on it that nothing came back for will not be answered.
    pub(crate) fn connection_lost(&mut self, now: Instant, conn: u64) {
        let lost: Vec<ClientKey> = self
            .clients
            .iter()
            .filter(|(_, tx)| tx.flow.conn == Some(conn) && matches!(tx.state, State::Calling))
            .map(|(key, _)| key.clone())
            .collect();
        for key in lost {
            if let Some(tx) = self.clients.remove(&key) {
                self.client_silent(now, tx.leg, tx.purpose, Silence::ConnectionLost);
            }
        }
    }

    fn client_response(
        &mut self,
        now: Instant,
        leg: LegId,
        purpose: Purpose,
        flow: Flow,
        message: &Message,
        code: u16,
    ) {
        match purpose {
            Purpose::Invite => self.on_invite_response(now, leg, flow, message, code),
            Purpose::Cancel => self.on_cancel_response(now, leg, code),
            Purpose::Bye => self.on_bye_response(now, leg, message, code),
            Purpose::Reinvite => self.on_reinvite_response(now, leg, message, code),
            Purpose::Refresh => self.on_refresh_response(now, leg, message, code),
            Purpose::ForkBye | Purpose::Info => {}
        }
    }

    fn client_silent(&mut self, now: Instant, leg: LegId, purpose: Purpose, silence: Silence) {
        match purpose {
            Purpose::Invite => self.on_invite_silence(now, leg, silence),
            Purpose::Bye => self.on_bye_silence(now, leg),
            Purpose::Reinvite => self.on_reinvite_silence(now, leg),
            Purpose::Refresh => self.on_refresh_silence(now, leg),
            // A CANCEL without an answer changes nothing: the INVITE's deadline runs.
            Purpose::Cancel | Purpose::ForkBye | Purpose::Info => {}
        }
    }
}

fn method_of(request: &Bytes) -> &str {
    let end = request.iter().position(|b| *b == b' ').unwrap_or(0);
    std::str::from_utf8(&request[..end]).unwrap_or_default()
}

/// The CANCEL of an INVITE of ours: same branch, same URI, same CSeq number (RFC 3261 section 9.1).
pub(super) fn cancel_of(invite: &Bytes, user_agent: &str) -> Option<Bytes> {
    let invite = Message::parse(invite).ok()?;
    let Start::Request { uri, .. } = &invite.start else {
        return None;
    };
    let mut cancel = Writer::request("CANCEL", uri)
        .header("Via", invite.header("Via")?)
        .header("Max-Forwards", "70")
        .header("From", invite.header("From")?)
        .header("To", invite.header("To")?)
        .header("Call-ID", &invite.call_id)
        .header_fmt("CSeq", format_args!("{} CANCEL", invite.cseq));
    for route in invite.headers.all("Route") {
        cancel = cancel.header("Route", route);
    }
    Some(cancel.header("User-Agent", user_agent).finish())
}

/// The ACK of a failure, which belongs to the INVITE's own transaction (RFC 3261 section 17.1.1.3).
pub(super) fn ack_of_failure(invite: &Bytes, response: &Message) -> Option<Bytes> {
    let invite = Message::parse(invite).ok()?;
    let Start::Request { uri, .. } = &invite.start else {
        return None;
    };
    let mut ack = Writer::request("ACK", uri)
        .header("Via", invite.header("Via")?)
        .header("Max-Forwards", "70")
        .header("From", invite.header("From")?)
        .header("To", response.header("To")?)
        .header("Call-ID", &invite.call_id)
        .header_fmt("CSeq", format_args!("{} ACK", invite.cseq));
    for route in invite.headers.all("Route") {
        ack = ack.header("Route", route);
    }
    Some(ack.finish())
}
