//! A carrier places calls. The one that matters is SIP; the simulator has another.

use async_trait::async_trait;
use bytes::Bytes;
pub use carillon_domain::call::{CallFailure, DialogFacts, SipIdentity, WireState};
use carillon_domain::ids::CallId;
use carillon_domain::script::Digit;
use carillon_domain::trunk::Trunk;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// One call to place.
#[derive(Clone, Debug)]
pub struct OriginateRequest {
    /// The attempt; it also travels as the header `X-Carillon-Attempt`.
    pub call_id: CallId,
    /// The SIP names of the INVITE, decided and stored before it leaves, so that a restart can end the leg.
    pub identity: SipIdentity,
    /// Where to.
    pub trunk: Arc<Trunk>,
    /// Called number, already in the trunk's number format (user part of the request URI).
    pub to_user: String,
    /// Caller number, already in the trunk's number format (user part of From).
    pub from_user: String,
    /// The offer. Opaque to the carrier.
    pub offer_sdp: Bytes,
    /// How long it may ring before it is cancelled. The carrier keeps this deadline by itself.
    pub ring_timeout: Duration,
}

/// What happens to a placed call, in order. After an event for which [`CarrierEvent::is_final`] holds nothing more comes.
#[derive(Debug)]
pub enum CarrierEvent {
    /// A provisional response above 100. `sdp` carries early media.
    Progress {
        /// 180, 181, 182, 183.
        code: u16,
        /// Early media, if the response has a body.
        sdp: Option<Bytes>,
        /// What is needed to end this leg after a restart.
        dialog: DialogFacts,
    },
    /// 200 to the INVITE; its ACK waits for [`Carrier::acknowledge`]. `sdp` is the answer (empty if it had none).
    Answered {
        /// The answer.
        sdp: Bytes,
        /// What is needed to end this leg after a restart.
        dialog: DialogFacts,
    },
    /// The call ended without an answer (also after our CANCEL).
    Failed(CallFailure),
    /// The far end sent BYE.
    RemoteHangUp {
        /// Text of its Reason header, if any.
        reason: Option<String>,
    },
    /// Our BYE (or CANCEL, or BYE after a 200 that crossed it) is through, or its own deadline passed.
    LocalHangUp {
        /// Whether the far end confirmed it.
        confirmed: bool,
    },
    /// A re-INVITE or UPDATE with an offer. Answer with SDP, or drop the sender to refuse with 488.
    Reoffer {
        /// The offer; empty for an offerless re-INVITE, whose answer must then be an offer.
        sdp: Bytes,
        /// Takes our answer.
        answer: oneshot::Sender<Bytes>,
    },
    /// A key press by SIP INFO (`application/dtmf-relay` or `application/dtmf`).
    InfoDigit(Digit),
}

impl CarrierEvent {
    /// Whether this is the last event of the call.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Failed(_) | Self::RemoteHangUp { .. } | Self::LocalHangUp { .. }
        )
    }
}

/// Why an INVITE was not sent at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The trunk's host name does not resolve or its address cannot be reached.
    #[error("trunk cannot be reached: {0}")]
    Unreachable(String),
    /// The carrier is stopping or has no room.
    #[error("the SIP stack takes no more calls: {0}")]
    NoRoom(String),
    /// The request cannot be made into a valid INVITE.
    #[error("cannot make a valid INVITE: {0}")]
    Invalid(String),
}

/// Places and ends calls.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// Sends the INVITE, paced so that the trunk's calls per second are never exceeded in any sliding second.
    /// Returns when it has been handed to the socket. Events follow on `events` until a final one.
    async fn originate(&self, request: OriginateRequest, events: mpsc::Sender<CarrierEvent>) -> Result<(), NotSent>;

    /// The answer is stored: its ACK may leave. Until then the far end repeats its 200 to whoever comes after us, so that a leg
    /// can be ended even if we die between its answer and our writing it down. A carrier does not wait for this longer than
    /// the far end waits before it repeats itself. Unknown calls are ignored.
    async fn acknowledge(&self, call_id: CallId);

    /// Ends a call in whatever state it is (CANCEL, or BYE). The final event follows within the carrier's own deadline,
    /// whatever the far end does. Unknown calls are ignored.
    async fn hang_up(&self, call_id: CallId);

    /// Ends a leg of an earlier life of this process: CANCEL if it was not answered, BYE if it was, both when it is not
    /// known. Returns whether the far end confirmed.
    async fn end_orphan(&self, trunk: Arc<Trunk>, dialog: DialogFacts) -> bool;

    /// The trunks that may be used from now on, all of them: their peers are known before the first call, and those of trunks
    /// that are missing no longer are. Called at start, after each change, and now and then, since names may resolve anew.
    async fn set_trunks(&self, trunks: Vec<Arc<Trunk>>);
}
