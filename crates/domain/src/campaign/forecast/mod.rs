//! What a campaign will probably do: its own rules on a virtual clock, over the records it has.
//!
//! What goes in: the campaign, what a decision looks at, its records, and assumptions about the callees. What comes out:
//! when it starts, its calls by hour and day, when it ends, what holds how many records, and the numbers that will never
//! be called. Whom to dial and when is decided by `decide` and `after_call`, as in a real run; only the
//! callees are made up, each from the seed, its record and the attempt, so that a forecast can be repeated.

mod callees;
mod run;
#[cfg(test)]
mod tests;

pub use callees::{AssumptionProblem, Assumptions};

use super::{Campaign, CampaignInput, CampaignStatus, Gate, LifecycleRefusal};
use crate::agent::Agent;
use crate::do_not_call::DoNotCallEntry;
use crate::ids::RecordId;
use crate::phone::PhoneNumber;
use crate::record::{Record, RecordStatus};
use crate::time::UnixMicros;
use crate::trunk::Trunk;
use jiff::civil::{Date, DateTime};
use std::collections::BTreeMap;

/// What a forecast looks at.
#[derive(Clone, Debug)]
pub struct ForecastInput<'a> {
    /// The campaign as it is. A draft is forecast as if it were launched now, a paused one as if it were resumed now.
    pub campaign: &'a Campaign,
    /// Its agent, if it exists.
    pub agent: Option<&'a Agent>,
    /// The trunk that would carry its calls, if there is one.
    pub trunk: Option<&'a Trunk>,
    /// Most calls at once in the workspace. Calls of others are not foreseen.
    pub workspace_max: u32,
    /// Its records that are not final.
    pub records: Vec<Record>,
    /// Entries of the do-not-call list for their numbers.
    pub do_not_call: &'a BTreeMap<PhoneNumber, DoNotCallEntry>,
    /// Calls today to their numbers, where the campaign caps them.
    pub calls_today: &'a BTreeMap<PhoneNumber, u32>,
    /// The time.
    pub now: UnixMicros,
    /// What is assumed of the callees.
    pub assumptions: Assumptions,
}

/// What a campaign will probably do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forecast {
    /// Records that were not final when it began.
    pub records: u64,
    /// The first call; `None`: nobody is called.
    pub starts_at: Option<UnixMicros>,
    /// When the last record became final, or the campaign's end date came; `None`: not within the days looked at.
    pub ends_at: Option<UnixMicros>,
    /// The campaign's end date came before its records were done.
    pub cut_off: bool,
    /// Calls in all.
    pub calls: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Seconds of talk in all.
    pub talk_s: u64,
    /// Most calls at once.
    pub peak_lines: u32,
    /// By day of the campaign's zone; days without calls are left out.
    pub days: Vec<Slot<Date>>,
    /// By hour of the campaign's zone; hours without calls are left out.
    pub hours: Vec<Slot<DateTime>>,
    /// What becomes of the records, by status. Those that still wait at the end of a cut-off campaign are `failed`.
    pub statuses: BTreeMap<RecordStatus, u64>,
    /// The gates that hold records at the beginning.
    pub held: BTreeMap<Gate, HeldRecords>,
    /// How long each gate kept the whole campaign waiting while records were due, in seconds. The longest is the bottleneck.
    pub waited_s: BTreeMap<Gate, u64>,
    /// Records whose numbers will never be called, with the gate: `never_opens` or `destination_refused`.
    pub never: Vec<NeverCalled>,
}

/// Calls of an hour or a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot<T> {
    /// Its beginning, by the clock of the campaign's zone.
    pub starts: T,
    /// Calls that begin in it.
    pub calls: u64,
    /// Those that are answered.
    pub answered: u64,
    /// Most calls at once when one of them begins.
    pub peak_lines: u32,
}

/// Records that a gate holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldRecords {
    /// How many.
    pub records: u64,
    /// When it opens for the first of them, if that is known.
    pub first_opens_at: Option<UnixMicros>,
    /// When it opens for the last of them, if that is known.
    pub last_opens_at: Option<UnixMicros>,
}

/// A record that will never be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeverCalled {
    /// The record.
    pub record_id: RecordId,
    /// Its number.
    pub phone: PhoneNumber,
    /// Why.
    pub gate: Gate,
}

/// What the campaign will probably do.
///
/// # Errors
///
/// [`LifecycleRefusal`] for a campaign that has ended, or whose end date is past: it dials nobody any more.
pub fn forecast(input: ForecastInput<'_>) -> Result<Forecast, LifecycleRefusal> {
    let verb = match input.campaign.status {
        CampaignStatus::Scheduled | CampaignStatus::Running => CampaignInput::Tick,
        CampaignStatus::Draft | CampaignStatus::Completed | CampaignStatus::Cancelled => CampaignInput::Launch,
        CampaignStatus::Paused => CampaignInput::Resume,
    };
    let campaign = input.campaign.handle(input.now, verb)?;
    Ok(run::Run::new(campaign, input).finish())
}
