//! Settings of the SIP engine.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Settings of the SIP engine.
#[derive(Clone, Debug)]
pub struct SipConfig {
    /// Address for UDP and TCP; port 0 takes a free one, the same for both.
    pub listen: SocketAddr,
    /// Address that peers are told instead of the local one (behind a NAT that keeps ports).
    pub advertise: Option<IpAddr>,
    /// Whose messages are read at all.
    pub sources: SourcePolicy,
    /// Deadlines and intervals.
    pub timers: SipTimers,
    /// Most legs at once, those that linger for late messages not counted.
    pub legs_max: usize,
    /// User-Agent and Server header.
    pub user_agent: String,
    /// Seed of branches and tags; `None` draws one from the operating system.
    pub seed: Option<u64>,
}

impl SipConfig {
    /// The defaults, listening on `listen`.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            advertise: None,
            sources: SourcePolicy::Peers(Vec::new()),
            timers: SipTimers::default(),
            legs_max: 20_000,
            user_agent: "Carillon".to_owned(),
            seed: None,
        }
    }
}

/// Whose messages are read at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourcePolicy {
    /// Anybody's. For the sandbox and for tests.
    Any,
    /// These addresses, those of peers that were reached ([`crate::ua::SipUa::reach`]), and those that a live dialog
    /// names in its route set and target.
    Peers(Vec<IpAddr>),
}

/// Deadlines and intervals. The RFC 3261 ones carry their names of its table 4.
#[derive(Clone, Debug)]
pub struct SipTimers {
    /// T1: first retransmission interval; a transaction gives up after 64 of them.
    pub t1: Duration,
    /// T2: longest retransmission interval.
    pub t2: Duration,
    /// T4: longest life of a message in the network.
    pub t4: Duration,
    /// From the wish to end an unanswered call to its final event, whatever the far end does.
    pub cancel_deadline: Duration,
    /// From our BYE to the final event, whatever the far end does.
    pub bye_deadline: Duration,
    /// Longest run of [`crate::ua::SipUa::end_orphan`].
    pub orphan_deadline: Duration,
    /// How long the application may take over an offer of the far end before it is refused with 488.
    pub reoffer_deadline: Duration,
    /// How long a TCP connection may take.
    pub connect_deadline: Duration,
}

impl Default for SipTimers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            cancel_deadline: Duration::from_secs(32),
            bye_deadline: Duration::from_secs(8),
            orphan_deadline: Duration::from_secs(16),
            reoffer_deadline: Duration::from_secs(5),
            connect_deadline: Duration::from_secs(5),
        }
    }
}

impl SipTimers {
    /// 64 times T1: how long a transaction tries.
    pub fn give_up(&self) -> Duration {
        self.t1 * 64
    }
}
