//! The rules of a campaign, as an operator writes them.

use super::calling_window::{CallingWindow, DailyHours, ZoneName, start_of_local_day};
use crate::call::RetryCondition;
use crate::ids::TrunkId;
use crate::phone::PhoneNumber;
use crate::time::UnixMicros;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The rules of a campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CampaignPolicy {
    /// Hours and days on which it dials, in its own zone.
    pub window: CallingWindow,
    /// Hours on which a callee may be called, in every zone that the callee's number may be in.
    pub quiet_hours: Option<QuietHours>,
    /// No first attempt before this day (in the window's zone).
    pub first_attempt_date: Option<Date>,
    /// First attempts ignore `first_attempt_date` (and nothing else).
    pub dial_first_attempt_immediately: bool,
    /// It starts running then; `None`: when it is launched.
    pub starts_at: Option<UnixMicros>,
    /// It completes then; `None`: when somebody completes it.
    pub ends_at: Option<UnixMicros>,
    /// Most calls at once.
    pub max_concurrent_calls: u32,
    /// When to dial again.
    pub retry: RetryRules,
    /// Most follow-ups per record.
    pub max_follow_ups: u32,
    /// Most callbacks per record.
    pub max_callbacks: u32,
    /// Most calls to one number on one day of the window's zone, over all campaigns of the workspace.
    pub max_calls_per_number_per_day: Option<u32>,
    /// Pushes are queued while it is paused instead of refused.
    pub accept_pushes_when_paused: bool,
    /// A number that the campaign already has is refused at push.
    pub skip_known_numbers: bool,
    /// Trunk; `None`: the workspace's first enabled one.
    pub trunk_id: Option<TrunkId>,
    /// Number shown; `None`: the agent's, else the trunk's first.
    pub caller_id: Option<PhoneNumber>,
    /// Whether calls are recorded; `None`: as the agent says.
    pub record_calls: Option<bool>,
}

/// Hours on which a callee may be called, by the callee's own clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuietHours {
    /// The allowed hours (not the quiet ones).
    pub allowed: DailyHours,
}

/// When a record is dialled again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryRules {
    /// Most attempts per record, the first included. Follow-ups and callbacks may go past it.
    pub max_attempts: u32,
    /// The outcomes that are retried. An outcome that is not here is not.
    pub rules: BTreeMap<RetryCondition, RetryRule>,
}

/// How one outcome is retried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryRule {
    /// Waits in seconds: the first after the first such outcome of the record, and so on; the last one repeats.
    pub intervals_s: Vec<u32>,
    /// Most retries after this outcome; `None`: only `max_attempts` binds.
    pub max_retries: Option<u32>,
}

impl Default for RetryRules {
    /// No answer and busy on widening waits, a technical failure once (contracts section 5, retry classes).
    fn default() -> Self {
        let widening = RetryRule {
            intervals_s: vec![1_800, 3_600, 7_200],
            max_retries: None,
        };
        let once = RetryRule {
            intervals_s: vec![300],
            max_retries: Some(1),
        };
        Self {
            max_attempts: 3,
            rules: BTreeMap::from([
                (RetryCondition::NoAnswer, widening.clone()),
                (RetryCondition::Busy, widening),
                (RetryCondition::NotConnected, once),
            ]),
        }
    }
}

impl RetryRules {
    /// How long to wait after the `nth` outcome of this kind in a row of attempts (from 1); `None`: no retry.
    pub fn wait_after(&self, condition: RetryCondition, nth: u32) -> Option<Duration> {
        let rule = self.rules.get(&condition)?;
        if rule.max_retries.is_some_and(|max| nth > max) {
            return None;
        }
        let index = usize::try_from(nth.saturating_sub(1))
            .unwrap_or(usize::MAX)
            .min(rule.intervals_s.len().checked_sub(1)?);
        rule.intervals_s
            .get(index)
            .map(|wait_s| Duration::from_secs(u64::from(*wait_s)))
    }
}

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyProblem {
    /// `max_concurrent_calls` is 0.
    #[error("max_concurrent_calls must be at least 1")]
    NoLines,
    /// `max_attempts` is 0 or above 100.
    #[error("retry.max_attempts must be between 1 and 100")]
    Attempts,
    /// A rule without intervals.
    #[error("a retry rule needs at least one interval (in seconds)")]
    NoInterval,
    /// An interval above 30 days.
    #[error("a retry interval may be at most 2592000 seconds (30 days)")]
    LongInterval,
    /// The end is not after the start.
    #[error("ends_at must be after starts_at")]
    EndsBeforeStart,
    /// The zone is not known.
    #[error("unknown time zone `{0}`; use an IANA name such as Asia/Kolkata")]
    Zone(String),
}

impl CampaignPolicy {
    /// A policy that dials whenever it runs: the starting point for everything an operator does not say.
    pub fn always_open(zone: ZoneName) -> Self {
        Self {
            window: DailyHours::ALWAYS.in_zone(zone),
            quiet_hours: None,
            first_attempt_date: None,
            dial_first_attempt_immediately: false,
            starts_at: None,
            ends_at: None,
            max_concurrent_calls: 10,
            retry: RetryRules::default(),
            max_follow_ups: 2,
            max_callbacks: 2,
            max_calls_per_number_per_day: None,
            accept_pushes_when_paused: false,
            skip_known_numbers: false,
            trunk_id: None,
            caller_id: None,
            record_calls: None,
        }
    }

    /// Checks what types cannot.
    pub fn check(&self) -> Result<(), PolicyProblem> {
        if self.max_concurrent_calls == 0 {
            return Err(PolicyProblem::NoLines);
        }
        if !(1..=100).contains(&self.retry.max_attempts) {
            return Err(PolicyProblem::Attempts);
        }
        for rule in self.retry.rules.values() {
            if rule.intervals_s.is_empty() {
                return Err(PolicyProblem::NoInterval);
            }
            if rule.intervals_s.iter().any(|wait_s| *wait_s > 2_592_000) {
                return Err(PolicyProblem::LongInterval);
            }
        }
        if let (Some(start), Some(end)) = (self.starts_at, self.ends_at)
            && end <= start
        {
            return Err(PolicyProblem::EndsBeforeStart);
        }
        ZoneName::parse(self.window.zone.as_str()).map_err(|unknown| PolicyProblem::Zone(unknown.0))?;
        Ok(())
    }

    /// When first attempts open by date; `None` when no date binds them. A day that cannot be found in the zone never
    /// opens.
    pub fn first_attempt_opens_at(&self) -> Option<UnixMicros> {
        if self.dial_first_attempt_immediately {
            return None;
        }
        let date = self.first_attempt_date?;
        Some(start_of_local_day(&self.window.zone, date).unwrap_or(UnixMicros(i64::MAX)))
    }
}
