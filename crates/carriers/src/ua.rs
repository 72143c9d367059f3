//! What a SIP user agent does for us. One engine of our own implements it today (`crate::sip`); another stack can.

use async_trait::async_trait;
use bytes::Bytes;
use carillon_domain::call::{DialogFacts, SipIdentity};
use carillon_domain::script::Digit;
use carillon_domain::trunk::{Credentials, Transport};
use carillon_interfaces::carrier::{CarrierEvent, NotSent};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Names a call leg at its user agent. For calls that we place it is the call's UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(pub u128);

/// A peer's address and how it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Address and port.
    pub addr: SocketAddr,
    /// UDP or TCP.
    pub transport: Transport,
}

/// A call to place.
#[derive(Clone)]
pub struct OutboundCall {
    /// Chosen by the caller, unique among live legs.
    pub leg: LegId,
    /// Call-ID and From tag, used exactly as they are.
    pub identity: SipIdentity,
    /// Where the INVITE goes.
    pub destination: Destination,
    /// Request URI, also the To address.
    pub request_uri: String,
    /// From address.
    pub from_uri: String,
    /// More headers of the INVITE.
    pub headers: Vec<(&'static str, String)>,
    /// Answers 401 and 407.
    pub credentials: Option<Credentials>,
    /// The offer, `application/sdp`.
    pub offer: Bytes,
    /// How long it may ring, from the INVITE on.
    pub ring_timeout: Duration,
    /// How long the ACK of a 2xx waits for [`SipUa::acknowledge`]; `None`: it leaves at once.
    pub hold_ack: Option<Duration>,
}

impl fmt::Debug for OutboundCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URIs hold phone numbers.
        f.debug_struct("OutboundCall")
            .field("leg", &self.leg)
            .field("destination", &self.destination)
            .finish_non_exhaustive()
    }
}

/// An INVITE that came to us. Nothing above 100 has been answered yet: [`SipUa::ring`], [`SipUa::answer`],
/// [`SipUa::reject`] or [`SipUa::challenge`] does that, by `leg`.
pub struct IncomingCall {
    /// The leg, for the methods of [`SipUa`].
    pub leg: LegId,
    /// Where it came from.
    pub source: SocketAddr,
    /// Its Call-ID.
    pub call_id: String,
    /// CSeq of the INVITE.
    pub cseq: u32,
    /// Request URI.
    pub request_uri: String,
    /// User part of the request URI.
    pub to_user: String,
    /// User part of From.
    pub from_user: String,
    /// All headers as they came.
    pub headers: Vec<(String, String)>,
    /// The offer; `None` for an offerless INVITE.
    pub offer: Option<Bytes>,
    /// What happens to it. The channel closes when the leg is gone.
    pub events: mpsc::Receiver<InboundEvent>,
}

impl IncomingCall {
    /// First value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }
}

impl fmt::Debug for IncomingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingCall")
            .field("leg", &self.leg)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// What happens to a call that came to us.
#[derive(Debug)]
pub enum InboundEvent {
    /// The ACK of our 200 came. `sdp` is the answer to our offer if the INVITE had none.
    Established {
        /// Body of the ACK.
        sdp: Option<Bytes>,
    },
    /// The caller cancelled before we answered; 487 has been sent. Final.
    Cancelled,
    /// No ACK came for our 200; BYE has been sent. Final.
    AckMissing,
    /// The caller sent BYE. Final.
    RemoteHangUp {
        /// Text of its Reason header, if any.
        reason: Option<String>,
    },
    /// Our BYE is through, or its deadline passed. Final.
    LocalHangUp {
        /// Whether the caller confirmed it.
        confirmed: bool,
    },
    /// A re-INVITE or UPDATE with an offer (empty: offerless). Answer with SDP, or drop the sender to refuse with 488.
    Reoffer {
        /// The offer.
        sdp: Bytes,
        /// Takes our answer.
        answer: oneshot::Sender<Bytes>,
    },
    /// A key press by SIP INFO.
    InfoDigit(Digit),
}

/// Why a re-INVITE of ours changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferRefused {
    /// No such leg, or it is not answered, or an offer is already under way.
    #[error("the leg takes no offer now")]
    NotNow,
    /// The far end answered with this final status.
    #[error("the far end refused the offer with {0}")]
    Status(u16),
    /// Nothing came back in time.
    #[error("the far end did not answer the offer")]
    Timeout,
}

/// How a caller is asked for credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// 407 with Proxy-Authenticate instead of 401 with WWW-Authenticate.
    pub proxy: bool,
    /// Realm.
    pub realm: String,
    /// Nonce.
    pub nonce: String,
    /// Whether `qop="auth"` is offered.
    pub qop: bool,
    /// Whether SHA-256 is asked for instead of MD5.
    pub sha256: bool,
}

/// Figures of a user agent at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UaStats {
    /// Legs in memory, those that linger for late messages included.
    pub legs: usize,
    /// Legs whose final event has not been reported.
    pub live_legs: usize,
    /// Client and server transactions in memory.
    pub transactions: usize,
    /// Messages that we sent again.
    pub retransmissions: u64,
    /// Dropped messages by reason name; reasons that never happened are left out.
    pub drops: Vec<(&'static str, u64)>,
}

/// A SIP user agent: places calls, takes calls, and ends both on every path within deadlines of its own.
#[async_trait]
pub trait SipUa: Send + Sync {
    /// The address it listens on (UDP and TCP).
    fn local_addr(&self) -> SocketAddr;

    /// Makes a peer known as a source of messages and, over TCP, connects to it.
    ///
    /// # Errors
    /// [`NotSent::Unreachable`] if no connection can be made in time.
    async fn reach(&self, destination: Destination) -> Result<(), NotSent>;

    /// Makes an address a known source of messages, without a connection to it.
    async fn know(&self, ip: IpAddr);

    /// Reads this address's messages no more, once no live leg speaks with it. Those of the settings stay known.
    async fn forget(&self, ip: IpAddr);

    /// Sends an INVITE. Returns when it has been handed to the socket; events follow until a final one.
    ///
    /// # Errors
    /// Nothing was sent, and no event follows.
    async fn originate(&self, call: OutboundCall, events: mpsc::Sender<CarrierEvent>) -> Result<(), NotSent>;

    /// Sends the ACK that [`OutboundCall::hold_ack`] holds back. Unknown legs, and those that need none, are ignored.
    async fn acknowledge(&self, leg: LegId);

    /// Ends a leg in whatever state it is. Unknown legs are ignored.
    async fn hang_up(&self, leg: LegId);

    /// Sends a re-INVITE and waits for the answer.
    ///
    /// # Errors
    /// The session is as it was before.
    async fn reinvite(&self, leg: LegId, offer: Bytes) -> Result<Bytes, OfferRefused>;

    /// Sends a key press by INFO (`application/dtmf-relay`) in an answered leg.
    async fn send_info_digit(&self, leg: LegId, digit: Digit);

    /// Ends a leg that this user agent never knew: CANCEL if not answered, BYE if answered, both when it is not known.
    /// Returns within the configured deadline whether the far end confirmed.
    async fn end_orphan(&self, destination: Destination, credentials: Option<Credentials>, facts: DialogFacts) -> bool;

    /// Takes calls from now on; a later call takes over. Without it an INVITE is answered 403; while `capacity` calls
    /// wait unread, 503.
    async fn accept(&self, capacity: usize) -> mpsc::Receiver<IncomingCall>;

    /// Answers a call that came to us provisionally (101-199), with early media if there is SDP.
    async fn ring(&self, leg: LegId, code: u16, sdp: Option<Bytes>);

    /// Answers a call that came to us with 200.
    async fn answer(&self, leg: LegId, sdp: Bytes);

    /// Refuses a call that came to us with a final status (300-699).
    async fn reject(&self, leg: LegId, code: u16, reason: &str, headers: Vec<(String, String)>);

    /// Asks the caller for credentials. Its next INVITE is a new [`IncomingCall`].
    async fn challenge(&self, leg: LegId, challenge: Challenge);

    /// Acts dead: whatever still comes for this leg is swallowed.
    async fn vanish(&self, leg: LegId);

    /// Figures of this moment.
    async fn stats(&self) -> UaStats;

    /// Takes no more calls, hangs up those that are up, and stops when they have ended or after `patience`.
    async fn shut_down(&self, patience: Duration);
}
