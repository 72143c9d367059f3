//! The SIP engine without sockets and clock: bytes and `now` go in, bytes to send and events come out.
//!
//! One [`Core`] owns every transaction, dialog and timer of an endpoint, so there are no locks and no task per call.
//! The order inside one call is the order of calls into the core: what a datagram or a timer causes is done before the
//! next one is looked at. Events go to each call's bounded channel; one that is full is retried on a timer, never waited
//! for.

mod client;
mod inbound;
mod ingress;
mod leg;
mod orphan;
mod outbound;
mod requests;
mod server;
mod session;
#[cfg(test)]
mod tests;

pub(crate) use leg::Leg;

use crate::sip::config::{SipConfig, SourcePolicy};
use crate::sip::grammar::host_of;
use crate::sip::message::{DropReason, Message};
use crate::ua::{IncomingCall, LegId, UaStats};
use bytes::Bytes;
use carillon_domain::trunk::Transport;
use client::{ClientKey, ClientTx};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use server::{ServerKey, ServerTx};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// How often legs are swept.
const SWEEP_EVERY: Duration = Duration::from_secs(2);
/// How soon a full event channel is tried again.
const OUTBOX_RETRY: Duration = Duration::from_millis(20);

/// Where a message goes or came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    /// UDP or TCP.
    pub transport: Transport,
    /// The other end.
    pub peer: SocketAddr,
    /// The TCP connection, if one is known.
    pub conn: Option<u64>,
}

impl Flow {
    fn is_reliable(self) -> bool {
        self.transport == Transport::Tcp
    }

    fn via_transport(self) -> &'static str {
        match self.transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        }
    }
}

/// What the shell has to do.
#[derive(Debug)]
pub(crate) enum Output {
    /// Put bytes on the wire.
    Send {
        /// Where to.
        flow: Flow,
        /// One whole message.
        bytes: Bytes,
        /// Set on the first INVITE of a leg, whose failure to leave is reported to the caller.
        first_of: Option<LegId>,
    },
    /// Wait for the application's answer to an offer and bring it back by [`Core::offer_answered`].
    AwaitAnswer {
        /// The leg.
        leg: LegId,
        /// Names the offer.
        token: u64,
        /// Gives the answer, or closes.
        answer: oneshot::Receiver<Bytes>,
    },
}

/// What a timer is for. Timers are never cancelled: when one fires, its owner looks at its own deadlines.
#[derive(Clone, Debug)]
enum TimerOf {
    Client(ClientKey),
    Server(ServerKey),
    Leg(LegId),
    Sweep,
}

struct TimerEntry {
    at: Instant,
    order: u64,
    of: TimerOf,
}

impl PartialEq for TimerEntry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for TimerEntry {}
impl PartialOrd for TimerEntry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for TimerEntry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// Call-ID and our tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct DialogKey {
    call_id: String,
    local_tag: String,
}

/// What has been counted since the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    /// Requests sent, by method.
    pub requests_out: HashMap<String, u64>,
    /// Requests received, by method; unknown methods under `other`.
    pub requests_in: HashMap<String, u64>,
    /// Responses sent, by first digit.
    pub responses_out: [u64; 7],
    /// Responses received, by first digit.
    pub responses_in: [u64; 7],
    /// Messages sent again.
    pub retransmissions: u64,
    /// Messages that the far end sent again.
    pub retransmissions_in: u64,
    /// Drops, in the order of [`DropReason::ALL`].
    pub drops: [u64; DropReason::ALL.len()],
}

impl Counters {
    pub(crate) fn drop(&mut self, reason: DropReason) {
        if let Some(at) = DropReason::ALL.iter().position(|r| *r == reason) {
            self.drops[at] += 1;
        }
    }
}

/// The engine's whole state.
pub(crate) struct Core {
    config: SipConfig,
    /// Address the sockets are bound to.
    bound: SocketAddr,
    /// Our address towards a peer, when bound to all addresses.
    route: Box<dyn Fn(IpAddr) -> IpAddr + Send>,
    rng: StdRng,
    legs: HashMap<LegId, Leg>,
    dialogs: HashMap<DialogKey, LegId>,
    clients: HashMap<ClientKey, ClientTx>,
    servers: HashMap<ServerKey, ServerTx>,
    timers: BinaryHeap<Reverse<TimerEntry>>,
    order: u64,
    outputs: Vec<Output>,
    acceptor: Option<mpsc::Sender<IncomingCall>>,
    peers: HashSet<IpAddr>,
    dialog_peers: HashMap<IpAddr, u32>,
    live: usize,
    closed: bool,
    pub(crate) counters: Counters,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("bound", &self.bound)
            .field("legs", &self.legs.len())
            .finish_non_exhaustive()
    }
}

impl Core {
    /// An engine bound to `bound`. `route` tells our address towards a peer's.
    pub(crate) fn new(
        config: SipConfig,
        bound: SocketAddr,
        route: Box<dyn Fn(IpAddr) -> IpAddr + Send>,
        now: Instant,
    ) -> Self {
        let seed = config.seed.unwrap_or_else(|| rand::rng().random());
        let mut core = Self {
            peers: match &config.sources {
                SourcePolicy::Any => HashSet::new(),
                SourcePolicy::Peers(peers) => peers.iter().copied().collect(),
            },
            config,
            bound,
            route,
            rng: StdRng::seed_from_u64(seed),
            legs: HashMap::new(),
            dialogs: HashMap::new(),
            clients: HashMap::new(),
            servers: HashMap::new(),
            timers: BinaryHeap::new(),
            order: 0,
            outputs: Vec::new(),
            acceptor: None,
            dialog_peers: HashMap::new(),
            live: 0,
            closed: false,
            counters: Counters::default(),
        };
        core.schedule(now + SWEEP_EVERY, TimerOf::Sweep);
        core
    }

    /// Takes what has to be done since the last call.
    pub(crate) fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// When [`Self::on_time`] wants to be called next.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse(entry)| entry.at)
    }

    /// Makes an address a known source.
    pub(crate) fn add_peer(&mut self, ip: IpAddr) {
        self.peers.insert(ip);
    }

    /// Makes an address unknown again, unless the settings name it. Live legs go on with theirs.
    pub(crate) fn forget_peer(&mut self, ip: IpAddr) {
        let named = matches!(&self.config.sources, SourcePolicy::Peers(peers) if peers.contains(&ip));
        if !named {
            self.peers.remove(&ip);
        }
    }

    /// Takes calls from now on.
    pub(crate) fn set_acceptor(&mut self, acceptor: mpsc::Sender<IncomingCall>) {
        self.acceptor = Some(acceptor);
    }

    /// Takes no more calls and hangs up those that are up.
    pub(crate) fn close(&mut self, now: Instant) {
        self.closed = true;
        let live: Vec<LegId> = self
            .legs
            .values()
            .filter(|leg| !leg.is_over())
            .map(|leg| leg.id)
            .collect();
        for id in live {
            self.hang_up(now, id);
        }
    }

    /// Legs whose final event has not been reported.
    pub(crate) fn live_legs(&self) -> usize {
        self.live
    }

    /// Figures of this moment.
    pub(crate) fn stats(&self) -> UaStats {
        UaStats {
            legs: self.legs.len(),
            live_legs: self.live,
            transactions: self.clients.len() + self.servers.len(),
            retransmissions: self.counters.retransmissions,
            drops: DropReason::ALL
                .iter()
                .zip(self.counters.drops)
                .filter(|(_, count)| *count > 0)
                .map(|(reason, count)| (reason.name(), count))
                .collect(),
        }
    }

    /// Does what is due at `now`.
    pub(crate) fn on_time(&mut self, now: Instant) {
        while self.timers.peek().is_some_and(|Reverse(entry)| entry.at <= now) {
            let Some(Reverse(entry)) = self.timers.pop() else {
                return;
            };
            match entry.of {
                TimerOf::Client(key) => self.client_timer(now, &key),
                TimerOf::Server(key) => self.server_timer(now, &key),
                TimerOf::Leg(id) => self.leg_timer(now, id),
                TimerOf::Sweep => self.sweep(now),
            }
        }
    }

    /// Legs whose application has gone away are hung up, and whatever should have ended is removed.
    fn sweep(&mut self, now: Instant) {
        let abandoned: Vec<LegId> = self
            .legs
            .values()
            .filter(|leg| !leg.is_over() && leg.sink.is_closed())
            .map(|leg| leg.id)
            .collect();
        for id in abandoned {
            tracing::warn!(leg = %format_args!("{:032x}", id.0), "nobody listens to this leg any more, hanging up");
            self.hang_up(now, id);
        }
        let over: Vec<LegId> = self
            .legs
            .values()
            .filter(|leg| leg.linger_until.is_some_and(|at| at <= now))
            .map(|leg| leg.id)
            .collect();
        for id in over {
            self.remove_leg(id);
        }
        self.schedule(now + SWEEP_EVERY, TimerOf::Sweep);
    }

    fn schedule(&mut self, at: Instant, of: TimerOf) {
        self.order += 1;
        self.timers.push(Reverse(TimerEntry {
            at,
            order: self.order,
            of,
        }));
    }

    /// Takes a leg out, lets `work` have it together with the core, and puts it back.
    fn with_leg<R>(&mut self, id: LegId, work: impl FnOnce(&mut Self, &mut Leg) -> R) -> Option<R> {
        let mut leg = self.legs.remove(&id)?;
        let result = work(self, &mut leg);
        self.legs.insert(id, leg);
        Some(result)
    }

    /// Puts a new leg into the tables.
    fn insert_leg(&mut self, leg: Leg) {
        self.live += 1;
        self.dialogs.insert(leg.key(), leg.id);
        self.legs.insert(leg.id, leg);
    }

    /// Takes a leg out of all tables, on every end path.
    fn remove_leg(&mut self, id: LegId) {
        if let Some(leg) = self.legs.remove(&id) {
            if !leg.is_over() {
                self.live = self.live.saturating_sub(1);
            }
            if self.dialogs.get(&leg.key()) == Some(&id) {
                self.dialogs.remove(&leg.key());
            }
            if let leg::Side::Outbound(out) = &leg.side {
                self.clients.remove(&out.invite_key());
            }
            for ip in &leg.named_peers {
                if let Some(count) = self.dialog_peers.get_mut(ip) {
                    *count -= 1;
                    if *count == 0 {
                        self.dialog_peers.remove(ip);
                    }
                }
            }
        }
    }

    fn find_leg(&self, call_id: &str, local_tag: &str) -> Option<LegId> {
        let key = DialogKey {
            call_id: call_id.to_owned(),
            local_tag: local_tag.to_owned(),
        };
        self.dialogs.get(&key).copied()
    }

    /// Our address as the peer should write it.
    fn sent_by(&self, peer: SocketAddr) -> String {
        let ip = match self.config.advertise {
            Some(ip) => ip,
            None if self.bound.ip().is_unspecified() => (self.route)(peer.ip()),
            None => self.bound.ip(),
        };
        host_of(SocketAddr::new(ip, self.bound.port()))
    }

    fn contact(&self, flow: Flow) -> String {
        let transport = match flow.transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
        };
        format!("sip:carillon@{}{transport}", self.sent_by(flow.peer))
    }

    fn new_branch(&mut self) -> String {
        format!("z9hG4bK{:032x}", self.rng.random::<u128>())
    }

    fn new_tag(&mut self) -> String {
        format!("t{:016x}", self.rng.random::<u64>())
    }

    fn new_number(&mut self) -> u64 {
        self.rng.random()
    }

    fn send(&mut self, flow: Flow, bytes: Bytes) {
        self.outputs.push(Output::Send {
            flow,
            bytes,
            first_of: None,
        });
    }

    fn count_response_in(&mut self, message: &Message) {
        if let Some(code) = message.code() {
            self.counters.responses_in[usize::from(code / 100).min(6)] += 1;
        }
    }
}
