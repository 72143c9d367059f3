//! A record: one person to reach. It waits, is dialled, and ends in exactly one final status.

use crate::agent::Variables;
use crate::call::Outcome;
use crate::campaign::{Campaign, Gate};
use crate::ids::{CallId, CampaignId, RecordId, WorkspaceId};
use crate::phone::PhoneNumber;
use crate::time::UnixMicros;
use serde::{Deserialize, Serialize};

/// One person to reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its workspace.
    pub workspace_id: WorkspaceId,
    /// Its id (RevRag's `run_id`).
    pub id: RecordId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// The number to call.
    pub phone: PhoneNumber,
    /// Where it stands.
    pub state: RecordState,
    /// What was sent with it.
    pub variables: Variables,
    /// The caller's own user id.
    pub app_user_id: Option<String>,
    /// The caller's own session id.
    pub app_session_id: Option<String>,
    /// Attempts so far, oldest first. Every dial counts.
    pub attempts: Vec<Attempt>,
    /// Attempts allowed by the campaign when the record was pushed or last dialled.
    pub max_attempts: u32,
    /// Follow-ups dialled or scheduled.
    pub follow_ups: u32,
    /// Callbacks dialled or scheduled.
    pub callbacks: u32,
    /// When it was put on the do-not-call list.
    pub dnc_at: Option<UnixMicros>,
    /// Why.
    pub dnc_reason: Option<String>,
    /// Why it ended without (another) call: `campaign_ended`, `campaign_cancelled`, `never_opens`, …
    pub final_reason: Option<String>,
    /// When it was pushed.
    pub created_at: UnixMicros,
    /// When it last changed.
    pub updated_at: UnixMicros,
    /// The version that a change was decided on.
    pub version: u64,
}

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum RecordState {
    /// Waiting for its next attempt.
    Waiting(Waiting),
    /// A call for it is being placed or is live, or its post-call work is not done.
    InProgress {
        /// That call.
        call_id: CallId,
    },
    /// Final: reached.
    Completed,
    /// Final: not reached.
    Failed,
    /// Final: on the do-not-call list.
    Dnc,
}

/// What a record waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Which kind of attempt comes next.
    #[serde(rename = "for")]
    pub next: AttemptKind,
    /// The time the attempt rules (or the callee) ask for.
    pub scheduled_at: UnixMicros,
    /// When the runner looks at it next: `scheduled_at`, or later while a gate of the record itself holds it.
    pub due_at: UnixMicros,
    /// That gate.
    pub held_by: Option<Gate>,
}

/// Why an attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptKind {
    /// The first.
    First,
    /// After an attempt that did not reach anybody.
    Retry,
    /// Post-call logic asked for it.
    FollowUp,
    /// The callee asked for it.
    Callback,
}

/// One attempt in a record's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its call.
    pub call_id: CallId,
    /// From 1.
    pub number: u32,
    /// Why it was made.
    pub kind: AttemptKind,
    /// How it ended; `None` while it is live.
    pub outcome: Option<Outcome>,
    /// Whether somebody, or a machine, picked up.
    pub answered: bool,
}

/// RevRag's eight record statuses (contracts 1.6), which are ours for every dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordStatus {
    /// Waiting for its first attempt.
    Queued,
    /// Being called.
    InProgress,
    /// Final.
    Completed,
    /// Final.
    Failed,
    /// Waiting for a retry.
    RetryPending,
    /// Waiting for a follow-up.
    FollowUpPending,
    /// Waiting for a callback that the callee asked for.
    Rescheduled,
    /// Final.
    Dnc,
}

impl RecordStatus {
    /// All eight.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::InProgress,
        Self::Completed,
        Self::Failed,
        Self::RetryPending,
        Self::FollowUpPending,
        Self::Rescheduled,
        Self::Dnc,
    ];

    /// The word on the wire and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::RetryPending => "retry_pending",
            Self::FollowUpPending => "follow_up_pending",
            Self::Rescheduled => "rescheduled",
            Self::Dnc => "dnc",
        }
    }

    /// The status of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether nothing more will happen.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Dnc)
    }
}

impl Record {
    /// A record that `campaign` takes at `now`: it waits for its first attempt, which is due at `due_at`
    /// ([`Campaign::first_attempt_at`], the same for all records of a push).
    pub fn taken(campaign: &Campaign, id: RecordId, phone: PhoneNumber, now: UnixMicros, due_at: UnixMicros) -> Self {
        Self {
            workspace_id: campaign.workspace_id,
            id,
            campaign_id: campaign.id,
            phone,
            state: RecordState::Waiting(Waiting {
                next: AttemptKind::First,
                scheduled_at: now,
                due_at,
                held_by: None,
            }),
            variables: Variables::default(),
            app_user_id: None,
            app_session_id: None,
            attempts: Vec::new(),
            max_attempts: campaign.policy.retry.max_attempts,
            follow_ups: 0,
            callbacks: 0,
            dnc_at: None,
            dnc_reason: None,
            final_reason: None,
            created_at: now,
            updated_at: now,
            version: 0,
        }
    }

    /// The status as one of the eight words.
    pub fn status(&self) -> RecordStatus {
        match &self.state {
            RecordState::Waiting(waiting) => match waiting.next {
                AttemptKind::First => RecordStatus::Queued,
                AttemptKind::Retry => RecordStatus::RetryPending,
                AttemptKind::FollowUp => RecordStatus::FollowUpPending,
                AttemptKind::Callback => RecordStatus::Rescheduled,
            },
            RecordState::InProgress { .. } => RecordStatus::InProgress,
            RecordState::Completed => RecordStatus::Completed,
            RecordState::Failed => RecordStatus::Failed,
            RecordState::Dnc => RecordStatus::Dnc,
        }
    }

    /// When the runner must look at it; `None` unless it waits.
    pub fn due_at(&self) -> Option<UnixMicros> {
        match &self.state {
            RecordState::Waiting(waiting) => Some(waiting.due_at),
            _ => None,
        }
    }

    /// RevRag's `next_attempt_at`: the scheduled time of a retry, follow-up or callback.
    pub fn next_attempt_at(&self) -> Option<UnixMicros> {
        match &self.state {
            RecordState::Waiting(waiting) if waiting.next != AttemptKind::First => Some(waiting.scheduled_at),
            _ => None,
        }
    }

    /// Dials so far. An attempt that a gate refused before anything was sent is none.
    pub fn attempt_count(&self) -> u32 {
        let dialled = self
            .attempts
            .iter()
            .filter(|attempt| attempt.outcome != Some(Outcome::Refused))
            .count();
        u32::try_from(dialled).unwrap_or(u32::MAX)
    }

    /// Number of the next attempt, from 1. Numbers are never used again, so they may run ahead of `attempt_count`.
    pub fn next_attempt_number(&self) -> u32 {
        u32::try_from(self.attempts.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Whether a person answered any attempt.
    pub fn reached_a_person(&self) -> bool {
        self.attempts.iter().any(|attempt| {
            attempt.answered && !matches!(attempt.outcome, Some(Outcome::Voicemail | Outcome::NotConnected))
        })
    }
}
