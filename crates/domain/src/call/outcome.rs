//! How a call ended, in our words. Dialects translate these (contracts section 5); retry rules act on them.

use serde::{Deserialize, Serialize};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The callee hung up.
    CalleeHungUp,
    /// We hung up when the script was over.
    AgentHungUp,
    /// The longest duration was reached.
    MaxDuration,
    /// The callee said nothing for too long.
    Silence,
    /// A machine answered.
    Voicemail,
    /// Sound stopped arriving, or the call broke.
    Dropped,
    /// It rang, and nobody answered.
    NoAnswer,
    /// Busy (486, 600).
    Busy,
    /// Declined (603).
    Declined,
    /// The network did not connect it.
    NotConnected,
    /// The number does not exist (404, 484, 604).
    InvalidNumber,
    /// Handed to somebody else.
    Transferred,
    /// It may have rung, or still ring: we stopped while it was being dialled, or nothing final came back.
    Unknown,
    /// A gate refused it before anything was sent.
    Refused,
    /// Our own failure.
    InternalError,
    /// Cancelled by an operator before it was answered.
    Cancelled,
}

impl Outcome {
    /// Every outcome, for tables.
    pub const ALL: [Self; 16] = [
        Self::CalleeHungUp,
        Self::AgentHungUp,
        Self::MaxDuration,
        Self::Silence,
        Self::Voicemail,
        Self::Dropped,
        Self::NoAnswer,
        Self::Busy,
        Self::Declined,
        Self::NotConnected,
        Self::InvalidNumber,
        Self::Transferred,
        Self::Unknown,
        Self::Refused,
        Self::InternalError,
        Self::Cancelled,
    ];

    /// The word in the store and in our own API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CalleeHungUp => "callee_hung_up",
            Self::AgentHungUp => "agent_hung_up",
            Self::MaxDuration => "max_duration",
            Self::Silence => "silence",
            Self::Voicemail => "voicemail",
            Self::Dropped => "dropped",
            Self::NoAnswer => "no_answer",
            Self::Busy => "busy",
            Self::Declined => "declined",
            Self::NotConnected => "not_connected",
            Self::InvalidNumber => "invalid_number",
            Self::Transferred => "transferred",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::InternalError => "internal_error",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether only an answered call can end so.
    pub const fn implies_answer(self) -> bool {
        matches!(
            self,
            Self::CalleeHungUp
                | Self::AgentHungUp
                | Self::MaxDuration
                | Self::Silence
                | Self::Voicemail
                | Self::Dropped
                | Self::Transferred
        )
    }

    /// The retry rule that applies; `None`: never retried.
    pub const fn retry_condition(self) -> Option<RetryCondition> {
        match self {
            Self::NoAnswer => Some(RetryCondition::NoAnswer),
            Self::Busy => Some(RetryCondition::Busy),
            Self::Declined => Some(RetryCondition::Declined),
            Self::NotConnected => Some(RetryCondition::NotConnected),
            Self::Voicemail => Some(RetryCondition::Voicemail),
            Self::Dropped => Some(RetryCondition::Dropped),
            Self::Silence => Some(RetryCondition::Silence),
            Self::InternalError => Some(RetryCondition::Error),
            Self::Unknown => Some(RetryCondition::Unknown),
            Self::CalleeHungUp
            | Self::AgentHungUp
            | Self::MaxDuration
            | Self::InvalidNumber
            | Self::Transferred
            | Self::Refused
            | Self::Cancelled => None,
        }
    }
}

/// Outcomes that a campaign may retry, each by a rule of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryCondition {
    /// It rang, and nobody answered.
    NoAnswer,
    /// Busy.
    Busy,
    /// Declined.
    Declined,
    /// The network did not connect it.
    NotConnected,
    /// A machine answered.
    Voicemail,
    /// The call broke.
    Dropped,
    /// The callee said nothing.
    Silence,
    /// Our own failure.
    Error,
    /// It may have rung. Retried only where the campaign says so.
    Unknown,
}

/// Why a call was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFailure {
    /// The final SIP status; `None` when there was none (time-out, transport error).
    pub code: Option<u16>,
    /// Reason phrase, or our words when there was no response.
    pub reason: String,
    /// The Reason header's text (Q.850 cause), if any.
    pub reason_header: Option<String>,
    /// `Retry-After` in seconds.
    pub retry_after_s: Option<u32>,
    /// A response above 100 came before.
    pub rang: bool,
    /// What is known about the wire.
    pub wire: WireState,
}

impl CallFailure {
    /// Our word for it (contracts section 5, by code and by whether it rang). Silence is nobody's answer: an INVITE that left
    /// and was never finally answered may have rung, or still ring.
    pub fn outcome(&self) -> Outcome {
        if self.wire == WireState::Unknown {
            return Outcome::Unknown;
        }
        match self.code {
            Some(486 | 600) => Outcome::Busy,
            Some(603) => Outcome::Declined,
            Some(404 | 484 | 604) => Outcome::InvalidNumber,
            Some(408 | 480 | 487) | None if self.rang => Outcome::NoAnswer,
            Some(_) | None => Outcome::NotConnected,
        }
    }
}

/// Whether the callee's side may have seen the INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireState {
    /// Nothing left this machine.
    NothingSent,
    /// A final response came, or the far end confirmed our CANCEL: nothing rings any more.
    Final,
    /// Something was sent, and no final response came: it may have rung.
    Unknown,
}
