//! A call: one attempt to reach one number, from the decision to dial to the last piece of work after it.
//!
//! `Queued -> Dialing -> Ringing -> InCall -> HangingUp -> PostCall -> Closed`, with short cuts. `Dialing` is committed
//! before the INVITE leaves. Every state but the last carries a deadline. [`Call::handle`] answers every (state, input).

mod dialog;
mod handle;
mod outcome;

#[cfg(test)]
pub(crate) mod tests;

pub use dialog::{DialogFacts, SipIdentity};
pub use handle::{CallInput, CallStep, DIAL_GRACE, HANG_UP_DEADLINE, POST_CALL_DEADLINE, QUEUE_LIFETIME};
pub use outcome::{CallFailure, Outcome, RetryCondition, WireState};

use crate::agent::{Agent, Variables};
use crate::campaign::Gate;
use crate::ids::{AgentId, CallId, CampaignId, RecordId, TrunkId, WorkspaceId};
use crate::phone::PhoneNumber;
use crate::record::AttemptKind;
use crate::script::{Script, ScriptResult};
use crate::time::UnixMicros;
use crate::webhook::Dialect;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One attempt to reach one number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Its workspace.
    pub workspace_id: WorkspaceId,
    /// Its id, which is also the attempt's.
    pub id: CallId,
    /// Why it is made.
    pub origin: Origin,
    /// Who talks.
    pub agent_id: AgentId,
    /// Over which trunk, once that is chosen.
    pub trunk_id: Option<TrunkId>,
    /// Number shown to the callee, once that is chosen.
    pub from: Option<PhoneNumber>,
    /// Number called.
    pub to: PhoneNumber,
    /// What it says, as it was when the call was made.
    pub script: Script,
    /// What was sent for it.
    pub variables: Variables,
    /// Free values that are echoed.
    pub custom_metadata: Option<Variables>,
    /// The caller's own user id.
    pub app_user_id: Option<String>,
    /// The caller's own session id.
    pub app_session_id: Option<String>,
    /// Whether it is recorded.
    pub record_call: bool,
    /// How long it may ring, in seconds.
    pub ring_timeout_s: u32,
    /// How long it may last once answered, in seconds.
    pub max_duration_s: u32,
    /// Where it stands.
    pub state: CallState,
    /// When something must have happened; `None` once it is closed.
    pub deadline: Option<UnixMicros>,
    /// When it was asked for.
    pub created_at: UnixMicros,
    /// When it was decided to dial.
    pub dialing_at: Option<UnixMicros>,
    /// When the first response above 100 came.
    pub ringing_at: Option<UnixMicros>,
    /// Whether early media came.
    pub early_media: bool,
    /// When it was answered.
    pub answered_at: Option<UnixMicros>,
    /// When the leg ended.
    pub ended_at: Option<UnixMicros>,
    /// What is needed to end the leg after a restart.
    pub dialog: Option<DialogFacts>,
    /// How it ended, once that is decided.
    pub end: Option<CallEnd>,
    /// What the callee pressed and what came of it.
    pub result: ScriptResult,
    /// Its recording.
    pub recording: Option<Recording>,
    /// Its sound is closed: the recording is whole, and the script's result is final.
    pub sound_closed: bool,
    /// The decision by which an attempt of unknown fate was settled.
    pub unknown_settled_by: Option<String>,
    /// The version that a change was decided on.
    pub version: u64,
}

/// Why a call is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// By a campaign, for a record.
    Campaign {
        /// The campaign.
        campaign_id: CampaignId,
        /// The record.
        record_id: RecordId,
        /// Number of the attempt, from 1.
        attempt: u32,
        /// Why it is made.
        attempt_kind: AttemptKind,
    },
    /// By itself, through an API.
    Single {
        /// Whose.
        dialect: Dialect,
    },
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Asked for; waits for a line.
    Queued,
    /// It will be dialled, or has been: the INVITE leaves after this is durable.
    Dialing,
    /// A response above 100 came.
    Ringing,
    /// Answered.
    InCall,
    /// We are ending it.
    HangingUp,
    /// The leg is gone; the work after the call is not done.
    PostCall,
    /// Nothing more will happen.
    Closed,
}

impl CallState {
    /// Every state, for tables.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Dialing,
        Self::Ringing,
        Self::InCall,
        Self::HangingUp,
        Self::PostCall,
        Self::Closed,
    ];

    /// The word in the store and in our own API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Dialing => "dialing",
            Self::Ringing => "ringing",
            Self::InCall => "in_call",
            Self::HangingUp => "hanging_up",
            Self::PostCall => "post_call",
            Self::Closed => "closed",
        }
    }

    /// Whether it holds a line.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Dialing | Self::Ringing | Self::InCall | Self::HangingUp)
    }
}

/// How a call ended, with the wire's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallEnd {
    /// Our word.
    pub outcome: Outcome,
    /// The final SIP status, if there was one.
    pub sip_code: Option<u16>,
    /// Reason phrase, or what happened.
    pub reason: String,
    /// The Reason header (Q.850), if any.
    pub reason_header: Option<String>,
    /// `Retry-After` in seconds.
    pub retry_after_s: Option<u32>,
    /// Whether the callee's side may have seen it.
    pub wire: WireState,
    /// The gate that refused it.
    pub gate: Option<Gate>,
}

/// The recording of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Path below the recordings folder.
    pub path: String,
    /// Length in milliseconds.
    pub duration_ms: u64,
}

impl Call {
    /// A call of this agent that waits for a line: nothing has happened to it yet.
    pub fn queued(agent: &Agent, id: CallId, origin: Origin, to: PhoneNumber, now: UnixMicros) -> Self {
        Self {
            workspace_id: agent.workspace_id,
            id,
            origin,
            agent_id: agent.id,
            trunk_id: None,
            from: None,
            to,
            script: agent.script.clone(),
            variables: Variables::default(),
            custom_metadata: None,
            app_user_id: None,
            app_session_id: None,
            record_call: agent.record_calls,
            ring_timeout_s: agent.ring_timeout_s,
            max_duration_s: agent.max_duration_s,
            state: CallState::Queued,
            deadline: Some(now + QUEUE_LIFETIME),
            created_at: now,
            dialing_at: None,
            ringing_at: None,
            early_media: false,
            answered_at: None,
            ended_at: None,
            dialog: None,
            end: None,
            result: ScriptResult::default(),
            recording: None,
            sound_closed: false,
            unknown_settled_by: None,
            version: 0,
        }
    }

    /// The campaign, if one made it.
    pub fn campaign_id(&self) -> Option<CampaignId> {
        match self.origin {
            Origin::Campaign { campaign_id, .. } => Some(campaign_id),
            Origin::Single { .. } => None,
        }
    }

    /// The record, if there is one.
    pub fn record_id(&self) -> Option<RecordId> {
        match self.origin {
            Origin::Campaign { record_id, .. } => Some(record_id),
            Origin::Single { .. } => None,
        }
    }

    /// Number of the attempt, from 1, if a campaign made it.
    pub fn attempt(&self) -> Option<u32> {
        match self.origin {
            Origin::Campaign { attempt, .. } => Some(attempt),
            Origin::Single { .. } => None,
        }
    }

    /// How it ended, once that is decided.
    pub fn outcome(&self) -> Option<Outcome> {
        self.end.as_ref().map(|end| end.outcome)
    }

    /// From answer to end; zero when it was not answered, `now` standing in for an end that has not come.
    pub fn talk_time(&self, now: UnixMicros) -> Duration {
        self.answered_at
            .map_or(Duration::ZERO, |answered| self.ended_at.unwrap_or(now).since(answered))
    }
}
