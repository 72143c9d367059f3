//! Whom to dial now, and why not the others yet. One set of gate functions answers both.

use super::calling_window::{Opening, Weekday, ZoneName, local_date, next_common_opening};
use super::{Campaign, CampaignStatus, Gate, Held};
use crate::agent::Agent;
use crate::call::{Call, Origin};
use crate::do_not_call::DoNotCallEntry;
use crate::ids::CallId;
use crate::phone::{self, PhoneNumber};
use crate::record::{Attempt, AttemptKind, Record, RecordState, Waiting};
use crate::time::UnixMicros;
use crate::trunk::Trunk;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a decision looks at.
#[derive(Clone, Debug)]
pub struct CampaignView<'a> {
    /// The campaign.
    pub campaign: &'a Campaign,
    /// Its agent, if it exists.
    pub agent: Option<&'a Agent>,
    /// The line to dial over.
    pub line: LinePlan<'a>,
    /// Live calls of the campaign.
    pub campaign_live: u32,
    /// Live calls of the workspace.
    pub workspace_live: u32,
    /// Most calls at once in the workspace.
    pub workspace_max: u32,
    /// Entries of the do-not-call list for the records in view.
    pub do_not_call: &'a BTreeMap<PhoneNumber, DoNotCallEntry>,
    /// Calls today to the numbers in view, where the campaign caps them.
    pub calls_today: &'a BTreeMap<PhoneNumber, u32>,
}

/// What the trunk allows.
#[derive(Clone, Copy, Debug)]
pub struct LinePlan<'a> {
    /// The trunk, if there is one that is enabled and allowed.
    pub trunk: Option<&'a Trunk>,
    /// Live calls on it.
    pub trunk_live: u32,
    /// New calls that may start now.
    pub starts_allowed: u32,
    /// When the next may start, if none may now.
    pub next_start_at: Option<UnixMicros>,
}

/// What a decision says.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// Records to dial, in order.
    pub dials: Vec<Dial>,
    /// Records that are on the do-not-call list, as they become.
    pub suppressed: Vec<Suppress>,
    /// Records that a gate of their own holds, as they become.
    pub waits: Vec<Wait>,
    /// Gates that hold the whole campaign.
    pub held: Vec<Held>,
    /// When to look again, if nothing else happens before.
    pub wake_at: Option<UnixMicros>,
}

/// A record to dial.
#[derive(Clone, Debug)]
pub struct Dial {
    /// The record as it was read.
    pub record: Record,
}

/// A record that must not be called, as it becomes.
#[derive(Clone, Debug)]
pub struct Suppress {
    /// The record.
    pub record: Record,
}

/// A record that is put off, as it becomes.
#[derive(Clone, Debug)]
pub struct Wait {
    /// The record.
    pub record: Record,
}

/// Whom of `due` (sorted by due time) to dial at `now`.
pub fn decide(view: &CampaignView<'_>, due: &[Record], now: UnixMicros) -> Decision {
    let mut decision = Decision {
        held: campaign_gates(view, now),
        ..Decision::default()
    };
    decision.wake_at = decision.held.iter().filter_map(|held| held.opens_at).min();
    // Lines and calls per second may be used up while records are still put off or suppressed; the rest closes everything.
    if decision.held.iter().any(|held| !is_capacity(held.gate)) {
        return decision;
    }
    let mut free = view.free_lines();
    for record in due {
        let RecordState::Waiting(waiting) = &record.state else {
            continue;
        };
        if waiting.due_at > now {
            continue;
        }
        if let Some(entry) = view.do_not_call.get(&record.phone) {
            decision.suppressed.push(Suppress {
                record: suppressed(record, entry, now),
            });
            continue;
        }
        match record_gates(view, record, waiting, now).into_iter().next() {
            Some(held) => decision.waits.push(Wait {
                record: put_off(record, waiting, held, now),
            }),
            None if free > 0 => {
                free -= 1;
                decision.dials.push(Dial { record: record.clone() });
            }
            None => {}
        }
    }
    decision
}

/// Every gate that holds a record now, and when each opens. Empty for a record that is about to be dialled, is being
/// called or is final.
pub fn why_not_yet(view: &CampaignView<'_>, record: &Record, now: UnixMicros) -> Vec<Held> {
    let RecordState::Waiting(waiting) = &record.state else {
        return Vec::new();
    };
    let mut held = campaign_gates(view, now);
    if view.do_not_call.contains_key(&record.phone) {
        held.push(Held {
            gate: Gate::DoNotCall,
            opens_at: None,
        });
    }
    held.extend(record_gates(view, record, waiting, now));
    held
}

/// The record in progress and its call, `Queued`: dispatch it at once.
pub fn new_call(
    view: &CampaignView<'_>,
    agent: &Agent,
    record: &Record,
    call_id: CallId,
    now: UnixMicros,
) -> (Record, Call) {
    let kind = match &record.state {
        RecordState::Waiting(waiting) => waiting.next,
        _ => AttemptKind::Retry,
    };
    let attempt = record.next_attempt_number();
    let mut in_progress = record.clone();
    in_progress.state = RecordState::InProgress { call_id };
    in_progress.max_attempts = view.campaign.policy.retry.max_attempts;
    in_progress.updated_at = now;
    in_progress.attempts.push(Attempt {
        call_id,
        number: attempt,
        kind,
        outcome: None,
        answered: false,
    });
    let origin = Origin::Campaign {
        campaign_id: record.campaign_id,
        record_id: record.id,
        attempt,
        attempt_kind: kind,
    };
    let call = Call {
        variables: record.variables.clone(),
        app_user_id: record.app_user_id.clone(),
        app_session_id: record.app_session_id.clone(),
        record_call: view.campaign.policy.record_calls.unwrap_or(agent.record_calls),
        ..Call::queued(agent, call_id, origin, record.phone.clone(), now)
    };
    (in_progress, call)
}

/// The number to show: the campaign's, the agent's, or the trunk's first.
pub(crate) fn caller_id(campaign: &Campaign, agent: &Agent, trunk: &Trunk) -> Option<PhoneNumber> {
    campaign
        .policy
        .caller_id
        .clone()
        .or_else(|| agent.caller_id.clone())
        .or_else(|| trunk.caller_ids.first().cloned())
}

impl CampaignView<'_> {
    /// The number that calls of this campaign show, if there is one.
    pub fn caller_id(&self) -> Option<PhoneNumber> {
        caller_id(self.campaign, self.agent?, self.line.trunk?)
    }

    /// How many calls may start now, for the lines that are free and the calls per second that are left.
    pub fn free_lines(&self) -> u32 {
        let trunk_lines = self
            .line
            .trunk
            .map_or(0, |trunk| trunk.lines.saturating_sub(self.line.trunk_live));
        let campaign_lines = self
            .campaign
            .policy
            .max_concurrent_calls
            .saturating_sub(self.campaign_live);
        let workspace_lines = self.workspace_max.saturating_sub(self.workspace_live);
        trunk_lines
            .min(campaign_lines)
            .min(workspace_lines)
            .min(self.line.starts_allowed)
    }
}

const fn is_capacity(gate: Gate) -> bool {
    gate.is_for_a_line() || matches!(gate, Gate::CallsPerSecond)
}

/// Gates of the campaign itself: status, dates, window.
pub(super) fn standing_gates(campaign: &Campaign, now: UnixMicros) -> Vec<Held> {
    let policy = &campaign.policy;
    let mut held = Vec::new();
    let mut hold = |gate, opens_at| held.push(Held { gate, opens_at });
    match campaign.status {
        CampaignStatus::Draft => hold(Gate::CampaignDraft, None),
        CampaignStatus::Scheduled => hold(Gate::CampaignScheduled, policy.starts_at),
        CampaignStatus::Paused => hold(Gate::CampaignPaused, None),
        CampaignStatus::Completed | CampaignStatus::Cancelled => hold(Gate::CampaignEnded, None),
        CampaignStatus::Running => {}
    }
    if campaign.status == CampaignStatus::Running && policy.ends_at.is_some_and(|end| now >= end) {
        hold(Gate::CampaignEnded, None);
    }
    match policy.window.opening(now) {
        Opening::Open { .. } => {}
        Opening::Closed { opens_at } => {
            let today_is_active = local_date(&policy.window.zone, now)
                .is_some_and(|date| policy.window.hours.days().contains(Weekday::of(date)));
            hold(
                if today_is_active {
                    Gate::CallingWindow
                } else {
                    Gate::ActiveDays
                },
                Some(opens_at),
            );
        }
        Opening::NeverOpens => hold(Gate::CallingWindow, None),
    }
    held
}

/// Gates that hold every record of the campaign.
fn campaign_gates(view: &CampaignView<'_>, now: UnixMicros) -> Vec<Held> {
    let policy = &view.campaign.policy;
    let mut held = standing_gates(view.campaign, now);
    let mut hold = |gate, opens_at| held.push(Held { gate, opens_at });
    if !view.agent.is_some_and(|agent| agent.active) {
        hold(Gate::AgentInactive, None);
    }
    match view.line.trunk {
        None => hold(Gate::NoTrunk, None),
        Some(trunk) => {
            if view.agent.is_some() && view.caller_id().is_none() {
                hold(Gate::NoCallerId, None);
            }
            if view.line.trunk_live >= trunk.lines {
                hold(Gate::TrunkLines, None);
            }
            if view.line.starts_allowed == 0 {
                hold(Gate::CallsPerSecond, view.line.next_start_at);
            }
        }
    }
    if view.campaign_live >= policy.max_concurrent_calls {
        hold(Gate::CampaignConcurrency, None);
    }
    if view.workspace_live >= view.workspace_max {
        hold(Gate::WorkspaceConcurrency, None);
    }
    held
}

/// Gates that hold this record alone, the do-not-call list apart.
fn record_gates(view: &CampaignView<'_>, record: &Record, waiting: &Waiting, now: UnixMicros) -> Vec<Held> {
    let policy = &view.campaign.policy;
    let mut held = Vec::new();
    let mut hold = |gate, opens_at| held.push(Held { gate, opens_at });
    if phone::is_refused_destination(&record.phone) {
        hold(Gate::DestinationRefused, None);
    }
    if waiting.next == AttemptKind::First {
        if let Some(opens_at) = policy.first_attempt_opens_at().filter(|opens_at| *opens_at > now) {
            hold(Gate::FirstAttemptDate, Some(opens_at));
        }
    } else if waiting.scheduled_at > now {
        hold(Gate::AttemptSchedule, Some(waiting.scheduled_at));
    }
    if let Some(quiet) = &policy.quiet_hours {
        let windows: Vec<_> = phone::zones(&record.phone)
            .into_iter()
            .map(|zone| quiet.allowed.in_zone(zone))
            .collect();
        match next_common_opening(&windows, now) {
            Some(opens_at) if opens_at <= now => {}
            Some(opens_at) => hold(Gate::QuietHours, Some(opens_at)),
            None => hold(Gate::NeverOpens, None),
        }
    }
    if let Some(cap) = policy.max_calls_per_number_per_day
        && view.calls_today.get(&record.phone).copied().unwrap_or(0) >= cap
    {
        hold(Gate::DailyCap, next_local_day(&policy.window.zone, now));
    }
    held
}

fn next_local_day(zone: &ZoneName, now: UnixMicros) -> Option<UnixMicros> {
    let tomorrow = local_date(zone, now)?.tomorrow().ok()?;
    super::calling_window::start_of_local_day(zone, tomorrow)
}

fn suppressed(record: &Record, entry: &DoNotCallEntry, now: UnixMicros) -> Record {
    let mut next = record.clone();
    next.state = RecordState::Dnc;
    next.dnc_at = Some(now);
    next.dnc_reason = Some(entry.reason.clone());
    next.updated_at = now;
    next
}

/// How long a record waits before a gate without a known opening is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(3_600);

fn put_off(record: &Record, waiting: &Waiting, held: Held, now: UnixMicros) -> Record {
    let mut next = record.clone();
    next.updated_at = now;
    if matches!(held.gate, Gate::NeverOpens | Gate::DestinationRefused) {
        next.state = RecordState::Failed;
        next.final_reason = Some(held.gate.as_str().to_owned());
        return next;
    }
    next.state = RecordState::Waiting(Waiting {
        due_at: held
            .opens_at
            .unwrap_or(now + ASK_AGAIN)
            .max(now + Duration::from_millis(1)),
        held_by: Some(held.gate),
        ..waiting.clone()
    });
    next
}
