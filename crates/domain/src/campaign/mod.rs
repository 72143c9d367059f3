//! A campaign: an agent, a schedule, attempt rules and a number of lines, over records.
//!
//! `lifecycle` says what people and dates do to it, `gate` what holds a record back, `decide` whom to dial now,
//! `after_call` what becomes of the record when a call is over.

mod after_call;
pub mod calling_window;
mod decide;
pub mod forecast;
mod gate;
mod lifecycle;
mod policy;
#[cfg(test)]
mod rules_tests;

pub use after_call::after_call;
pub use decide::{CampaignView, Decision, Dial, LinePlan, Suppress, Wait, decide, new_call, why_not_yet};
pub use gate::{Gate, Held};
pub use lifecycle::{CampaignInput, LifecycleRefusal};
pub use policy::{CampaignPolicy, PolicyProblem, QuietHours, RetryRule, RetryRules};

use crate::ids::{AgentId, CampaignId, WorkspaceId};
use crate::time::UnixMicros;
use serde::{Deserialize, Serialize};

/// A campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// Its workspace.
    pub workspace_id: WorkspaceId,
    /// Its id.
    pub id: CampaignId,
    /// A name for people.
    pub name: String,
    /// Who talks.
    pub agent_id: AgentId,
    /// Where it stands.
    pub status: CampaignStatus,
    /// Its rules.
    pub policy: CampaignPolicy,
    /// It has ended and no record of it waits any more.
    pub settled: bool,
    /// When it was made.
    pub created_at: UnixMicros,
    /// When it last changed.
    pub updated_at: UnixMicros,
    /// The version that a change was decided on.
    pub version: u64,
}

/// Where a campaign stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CampaignStatus {
    /// Being written; dials nobody, takes no pushes.
    Draft,
    /// Launched for a later start; takes pushes.
    Scheduled,
    /// Dials.
    Running,
    /// Stopped for now.
    Paused,
    /// Ended by its date or by a person.
    Completed,
    /// Called off.
    Cancelled,
}

impl CampaignStatus {
    /// Every status, for tables.
    pub const ALL: [Self; 6] = [
        Self::Draft,
        Self::Scheduled,
        Self::Running,
        Self::Paused,
        Self::Completed,
        Self::Cancelled,
    ];

    /// The word on the wire and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it dials nobody ever again.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }

    /// What records that still wait are told when it has ended (contracts 1.9, item 4a).
    pub const fn final_reason(self) -> Option<&'static str> {
        match self {
            Self::Completed => Some("campaign_ended"),
            Self::Cancelled => Some("campaign_cancelled"),
            Self::Draft | Self::Scheduled | Self::Running | Self::Paused => None,
        }
    }
}

impl Campaign {
    /// Whether a push is taken now (contracts 1.9, item 3).
    pub fn accepts_pushes(&self) -> bool {
        match self.status {
            CampaignStatus::Scheduled | CampaignStatus::Running => true,
            CampaignStatus::Paused => self.policy.accept_pushes_when_paused,
            CampaignStatus::Draft | CampaignStatus::Completed | CampaignStatus::Cancelled => false,
        }
    }

    /// When a record pushed at `now` is first due: the start of its first-attempt day, unless the campaign dials first
    /// attempts immediately.
    pub fn first_attempt_at(&self, now: UnixMicros) -> UnixMicros {
        self.policy.first_attempt_opens_at().map_or(now, |opens| opens.max(now))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::calling_window::ZoneName;
    use super::*;
    use uuid::Uuid;

    pub(crate) fn campaign() -> Campaign {
        Campaign {
            workspace_id: WorkspaceId::new(Uuid::from_u128(1)),
            id: CampaignId::new(Uuid::from_u128(2)),
            name: "spring".into(),
            agent_id: AgentId::new(Uuid::from_u128(3)),
            status: CampaignStatus::Running,
            policy: CampaignPolicy::always_open(ZoneName::parse("Asia/Kolkata").unwrap()),
            settled: false,
            created_at: UnixMicros(0),
            updated_at: UnixMicros(0),
            version: 1,
        }
    }
}
