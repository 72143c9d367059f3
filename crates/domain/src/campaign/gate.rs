//! The gates in front of the wire. Each refusal has a name, and the time at which it opens where that is known.

use crate::time::UnixMicros;
use serde::{Deserialize, Serialize};

/// A gate that holds a call back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// The campaign is a draft.
    CampaignDraft,
    /// The campaign starts later.
    CampaignScheduled,
    /// The campaign is paused.
    CampaignPaused,
    /// The campaign has ended or was cancelled.
    CampaignEnded,
    /// Outside the daily hours of the campaign.
    CallingWindow,
    /// Not one of the campaign's days.
    ActiveDays,
    /// The first-attempt day has not come.
    FirstAttemptDate,
    /// The retry, follow-up or callback is scheduled for later.
    AttemptSchedule,
    /// The campaign's lines are in use.
    CampaignConcurrency,
    /// The workspace's lines are in use.
    WorkspaceConcurrency,
    /// The trunk's lines are in use.
    TrunkLines,
    /// The trunk takes no more new calls in this second.
    CallsPerSecond,
    /// No enabled trunk can carry it.
    NoTrunk,
    /// No number can be shown to the callee.
    NoCallerId,
    /// On the do-not-call list.
    DoNotCall,
    /// Outside the callee's own hours, in one of the zones the number may be in.
    QuietHours,
    /// The callee's zones are not known, or have no common opening: it will never be dialled.
    NeverOpens,
    /// The number was called often enough today.
    DailyCap,
    /// Emergency, short-code and premium numbers are not called.
    DestinationRefused,
    /// The agent is missing or inactive.
    AgentInactive,
}

impl Gate {
    /// The word in our API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CampaignDraft => "campaign_draft",
            Self::CampaignScheduled => "campaign_scheduled",
            Self::CampaignPaused => "campaign_paused",
            Self::CampaignEnded => "campaign_ended",
            Self::CallingWindow => "calling_window",
            Self::ActiveDays => "active_days",
            Self::FirstAttemptDate => "first_attempt_date",
            Self::AttemptSchedule => "attempt_schedule",
            Self::CampaignConcurrency => "campaign_concurrency",
            Self::WorkspaceConcurrency => "workspace_concurrency",
            Self::TrunkLines => "trunk_lines",
            Self::CallsPerSecond => "calls_per_second",
            Self::NoTrunk => "no_trunk",
            Self::NoCallerId => "no_caller_id",
            Self::DoNotCall => "do_not_call",
            Self::QuietHours => "quiet_hours",
            Self::NeverOpens => "never_opens",
            Self::DailyCap => "daily_cap",
            Self::DestinationRefused => "destination_refused",
            Self::AgentInactive => "agent_inactive",
        }
    }

    /// Whether a line that becomes free may open it.
    pub const fn is_for_a_line(self) -> bool {
        matches!(
            self,
            Self::CampaignConcurrency | Self::WorkspaceConcurrency | Self::TrunkLines
        )
    }

    /// A sentence for people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::CampaignDraft => "the campaign has not been launched",
            Self::CampaignScheduled => "the campaign starts later",
            Self::CampaignPaused => "the campaign is paused",
            Self::CampaignEnded => "the campaign has ended",
            Self::CallingWindow => "outside the campaign's calling window",
            Self::ActiveDays => "today is not one of the campaign's days",
            Self::FirstAttemptDate => "the first-attempt day has not come",
            Self::AttemptSchedule => "the next attempt is scheduled for later",
            Self::CampaignConcurrency => "all lines of the campaign are in use",
            Self::WorkspaceConcurrency => "all lines of the workspace are in use",
            Self::TrunkLines => "all lines of the trunk are in use",
            Self::CallsPerSecond => "the trunk takes no more new calls in this second",
            Self::NoTrunk => "no enabled trunk can carry the call",
            Self::NoCallerId => "no number can be shown to the callee: give the trunk, agent or campaign one",
            Self::DoNotCall => "the number is on the do-not-call list",
            Self::QuietHours => "outside the hours in which the callee may be called",
            Self::NeverOpens => "the callee's time zones leave no hour in which a call is allowed",
            Self::DailyCap => "the number was called often enough today",
            Self::DestinationRefused => "emergency, short-code and premium numbers are not called",
            Self::AgentInactive => "the agent is missing or inactive",
        }
    }
}

/// A gate that holds a record back, and when it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The gate.
    pub gate: Gate,
    /// When it opens; `None` when that depends on what people or other calls do.
    pub opens_at: Option<UnixMicros>,
}

impl super::Campaign {
    /// The gate of the campaign itself that is closed at `now`: status, dates, window. Asked again right before the INVITE.
    pub fn closed_gate(&self, now: UnixMicros) -> Option<Gate> {
        super::decide::standing_gates(self, now).first().map(|held| held.gate)
    }
}
