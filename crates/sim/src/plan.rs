//! The plan of a run, drawn from the seed before it begins: workspaces, campaigns, records, what operators do, what breaks.

use crate::dice::Dice;
use crate::numbers::{FAMILIES, Family};
use crate::receivers::LONGEST_OUTAGE;
use crate::zones::{self, Zone};
use carillon_domain::call::RetryCondition;
use carillon_domain::campaign::calling_window::{DailyHours, MinuteOfDay, Weekday, WeekdaySet, ZoneName};
use carillon_domain::campaign::{CampaignInput, CampaignPolicy, QuietHours, RetryRule, RetryRules};
use carillon_domain::phone::PhoneNumber;
use carillon_domain::time::UnixMicros;
use carillon_domain::webhook::Dialect;
use carillon_interfaces::failpoint::Failpoint;
use std::collections::BTreeMap;
use std::time::Duration;

/// Everything that is decided before a run begins. Times count from its beginning.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) begins_at: UnixMicros,
    /// When the last campaign ends by its date.
    pub(crate) ends_after: Duration,
    pub(crate) workspaces: Vec<WorkspacePlan>,
    pub(crate) crashes: Vec<CrashPlan>,
    /// Times at which the disk fails often.
    pub(crate) bad_disk: Vec<(Duration, Duration)>,
}

/// A workspace.
#[derive(Debug)]
pub(crate) struct WorkspacePlan {
    pub(crate) max_concurrent_calls: u32,
    pub(crate) trunks: Vec<TrunkPlan>,
    pub(crate) endpoints: Vec<EndpointPlan>,
    pub(crate) campaigns: Vec<CampaignPlan>,
    /// Single calls, and when they are asked for.
    pub(crate) single_calls: Vec<(Duration, PhoneNumber)>,
    /// Numbers that go on the do-not-call list, and when; some come off it again.
    pub(crate) do_not_call: Vec<(Duration, PhoneNumber, Option<Duration>)>,
}

/// A trunk.
#[derive(Debug)]
pub(crate) struct TrunkPlan {
    pub(crate) lines: u32,
    pub(crate) calls_per_second: u32,
}

/// A webhook endpoint.
#[derive(Debug)]
pub(crate) struct EndpointPlan {
    pub(crate) url: String,
    pub(crate) dialect: Dialect,
    pub(crate) enabled: bool,
    /// Only this event.
    pub(crate) only: Option<&'static str>,
    pub(crate) outages: Vec<(Duration, Duration)>,
}

/// A campaign.
#[derive(Debug)]
pub(crate) struct CampaignPlan {
    pub(crate) policy: CampaignPolicy,
    /// Place of its trunk in the workspace; none: the first.
    pub(crate) trunk: Option<usize>,
    pub(crate) launch_at: Duration,
    pub(crate) batches: Vec<(Duration, Vec<PhoneNumber>)>,
    pub(crate) acts: Vec<(Duration, Act)>,
}

/// What an operator does to a campaign.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Input(CampaignInput),
    /// The whole policy, changed.
    Change(Box<CampaignPolicy>),
}

/// A crash.
#[derive(Clone, Debug)]
pub(crate) struct CrashPlan {
    /// Not before this time.
    pub(crate) from: Duration,
    pub(crate) at: CrashAt,
    /// Passes of the failpoint that are survived first.
    pub(crate) skip: u32,
    pub(crate) down_for: Duration,
}

/// Where a crash falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrashAt {
    Point(Failpoint),
    Sudden,
}

/// Changes of the clock, and the zones that they fall in.
static CLOCK_CHANGES: [(i64, &[&Zone]); 4] = [
    (1_774_746_000, &[&zones::LONDON, &zones::BERLIN]),
    (1_792_890_000, &[&zones::LONDON, &zones::BERLIN]),
    (1_772_953_200, &[&zones::NEW_YORK]),
    (1_793_512_800, &[&zones::NEW_YORK]),
];

const HOUR: u64 = 3_600;

/// How large a run is.
#[derive(Clone, Copy, Debug)]
struct Scale {
    workspaces: usize,
    campaigns_per_workspace: u64,
    push_hours: u64,
    end_hours: (u64, u64),
    crashes: usize,
    outage: Duration,
}

impl Scale {
    fn of(records: u32) -> Self {
        if records <= 1_500 {
            Self {
                workspaces: 3,
                campaigns_per_workspace: 3,
                push_hours: 2,
                end_hours: (7, 13),
                crashes: 9,
                outage: Duration::from_secs(2_000),
            }
        } else {
            Self {
                workspaces: 4,
                campaigns_per_workspace: 5,
                push_hours: 10,
                end_hours: (26, 42),
                crashes: 44,
                outage: LONGEST_OUTAGE,
            }
        }
    }
}

/// Draws plans.
struct Draw {
    dice: Dice,
    begins_at: UnixMicros,
    scale: Scale,
    /// Zones whose clocks change in the run.
    changing: &'static [&'static Zone],
    numbers: u64,
}

impl Plan {
    /// The plan of a seed.
    pub(crate) fn draw(seed: u64, records: u32) -> Self {
        let mut dice = Dice::of(seed, "plan", 0);
        let scale = Scale::of(records);
        let (change_at, changing) = *dice.pick(&CLOCK_CHANGES);
        let before_change = dice.between(HOUR, scale.push_hours * HOUR);
        let begins_at = UnixMicros::from_seconds(change_at - i64::try_from(before_change).unwrap_or(0));
        let mut draw = Draw {
            dice,
            begins_at,
            scale,
            changing,
            numbers: 0,
        };
        let workspaces = draw.workspaces(u64::from(records));
        let ends_after = Duration::from_secs(scale.end_hours.1 * HOUR);
        let crashes = draw.crashes(seed);
        let bad_disk = draw.bad_disk();
        Self {
            begins_at,
            ends_after,
            workspaces,
            crashes,
            bad_disk,
        }
    }
}

impl Draw {
    fn workspaces(&mut self, records: u64) -> Vec<WorkspacePlan> {
        let count = self.scale.workspaces;
        let campaigns = self.scale.campaigns_per_workspace * count as u64;
        let per_campaign = records / campaigns;
        let mut left_over = records % campaigns;
        (0..count)
            .map(|index| {
                let campaigns = (0..self.scale.campaigns_per_workspace)
                    .map(|place| {
                        let size = per_campaign + u64::from(left_over > 0);
                        left_over = left_over.saturating_sub(1);
                        self.campaign(index, place, size)
                    })
                    .collect::<Vec<_>>();
                self.workspace(index, campaigns)
            })
            .collect()
    }

    fn workspace(&mut self, index: usize, campaigns: Vec<CampaignPlan>) -> WorkspacePlan {
        let families = families_of(index);
        let pushed: Vec<PhoneNumber> = campaigns
            .iter()
            .flat_map(|c| &c.batches)
            .flat_map(|(_, numbers)| numbers)
            .cloned()
            .collect();
        let push_for = self.scale.push_hours * HOUR;
        let single_calls = (0..pushed.len() / 40 + 2)
            .map(|_| (self.dice.seconds(60, push_for + HOUR), self.number(families)))
            .collect();
        let do_not_call = (0..pushed.len() / 25 + 1)
            .map(|_| {
                let on = self.dice.seconds(0, push_for * 2);
                let off = self.dice.chance(100).then(|| on + self.dice.seconds(600, 4 * HOUR));
                (on, self.dice.pick(&pushed).clone(), off)
            })
            .collect();
        let small = self.scale.workspaces < 4;
        let trunks = (0..2)
            .map(|_| TrunkPlan {
                lines: u32::try_from(self.dice.between(3, if small { 8 } else { 30 })).unwrap_or(3),
                calls_per_second: u32::try_from(self.dice.between(1, 6)).unwrap_or(1),
            })
            .collect();
        let endpoints = (0..3).map(|place| self.endpoint(index, place)).collect();
        let max_concurrent_calls = u32::try_from(self.dice.between(4, if small { 12 } else { 50 })).unwrap_or(4);
        WorkspacePlan {
            max_concurrent_calls,
            trunks,
            endpoints,
            campaigns,
            single_calls,
            do_not_call,
        }
    }

    fn endpoint(&mut self, workspace: usize, place: usize) -> EndpointPlan {
        let end = self.scale.end_hours.1 * HOUR;
        let outages = (0..self.dice.below(4))
            .map(|_| {
                let from = self.dice.seconds(0, end);
                (from, from + self.dice.seconds(20, self.scale.outage.as_secs()))
            })
            .collect();
        EndpointPlan {
            url: format!("https://w{workspace}-e{place}.example/hook"),
            dialect: if place == 1 { Dialect::Agentive } else { Dialect::Revrag },
            enabled: place != 2 || self.dice.chance(500),
            only: if place == 1 && self.dice.chance(300) {
                Some("call.answered")
            } else {
                None
            },
            outages,
        }
    }

    fn campaign(&mut self, workspace: usize, place: u64, size: u64) -> CampaignPlan {
        let families = families_of(workspace);
        let zone = if place == 0 {
            *self.dice.pick(self.changing)
        } else {
            self.dice.pick(families).zones[0]
        };
        let launch_at = self.dice.seconds(30, 1_800);
        let end_hours = self.dice.between(self.scale.end_hours.0, self.scale.end_hours.1);
        let mut policy = CampaignPolicy::always_open(zone_name(zone));
        let zone = self.window(&mut policy, zone, place);
        policy.ends_at = Some(self.begins_at + Duration::from_secs(end_hours * HOUR));
        policy.starts_at = self
            .dice
            .chance(250)
            .then(|| self.begins_at + self.dice.seconds(60, 2 * HOUR));
        policy.max_concurrent_calls = u32::try_from(self.dice.between(1, 9)).unwrap_or(1);
        policy.retry = self.retry_rules();
        policy.max_follow_ups = u32::try_from(self.dice.below(3)).unwrap_or(0);
        policy.max_callbacks = u32::try_from(self.dice.below(3)).unwrap_or(0);
        policy.accept_pushes_when_paused = self.dice.chance(500);
        policy.skip_known_numbers = self.dice.chance(300);
        policy.record_calls = self.dice.chance(500).then_some(true);
        if self.dice.chance(350) {
            policy.max_calls_per_number_per_day = u32::try_from(self.dice.between(1, 2)).ok();
        }
        if self.dice.chance(300) {
            policy.quiet_hours = Some(QuietHours {
                allowed: hours(480, 1_260, WeekdaySet::EVERY_DAY),
            });
        }
        if self.dice.chance(250) {
            let today = zone.civil(self.begins_at).day;
            policy.first_attempt_date = date_of(today + i64::from(self.dice.chance(450)));
            policy.dial_first_attempt_immediately = self.dice.chance(300);
        }
        let trunk = self
            .dice
            .chance(500)
            .then(|| usize::try_from(self.dice.below(2)).unwrap_or(0));
        let batches = self.batches(launch_at, families, size);
        let acts = self.acts(&policy, end_hours);
        CampaignPlan {
            policy,
            trunk,
            launch_at,
            batches,
            acts,
        }
    }

    /// Hours that open within the run, by the zone's own clock. Returns the zone.
    fn window(&mut self, policy: &mut CampaignPolicy, zone: &'static Zone, place: u64) -> &'static Zone {
        if self.dice.chance(300) && place != 0 {
            return zone;
        }
        let begins = zone.civil(self.begins_at);
        let (start, length) = if place == 0 {
            // Hours around the change of the clock.
            (self.dice.between(30, 170), self.dice.between(60, 240))
        } else {
            let opens = u64::try_from(begins.minute).unwrap_or(0) + self.dice.below(self.scale.push_hours * 60);
            (opens % 1_440, self.dice.between(150, 720))
        };
        let start = start - start % 5;
        let end = (start + length - length % 5) % 1_440;
        let end = if end == start { (start + 60) % 1_440 } else { end };
        let today = usize::try_from(begins.weekday()).unwrap_or(0);
        let days: WeekdaySet = match self.dice.below(20) {
            0..=13 => WeekdaySet::EVERY_DAY,
            14..=17 => [Weekday::ALL[today], Weekday::ALL[(today + 1) % 7]]
                .into_iter()
                .collect(),
            18 => [Weekday::ALL[(today + 1) % 7]].into_iter().collect(),
            _ => WeekdaySet::WORKING_DAYS,
        };
        policy.window = hours(start, end, days).in_zone(zone_name(zone));
        zone
    }

    fn retry_rules(&mut self) -> RetryRules {
        let mut rules = BTreeMap::new();
        for condition in [
            RetryCondition::NoAnswer,
            RetryCondition::Busy,
            RetryCondition::Declined,
            RetryCondition::NotConnected,
            RetryCondition::Dropped,
            RetryCondition::Error,
            RetryCondition::Unknown,
        ] {
            if self.dice.chance(600) {
                let intervals_s = (0..self.dice.between(1, 3))
                    .map(|_| u32::try_from(self.dice.between(30, 2_400)).unwrap_or(30))
                    .collect();
                let max_retries = self
                    .dice
                    .chance(300)
                    .then(|| u32::try_from(self.dice.between(1, 3)).unwrap_or(1));
                rules.insert(
                    condition,
                    RetryRule {
                        intervals_s,
                        max_retries,
                    },
                );
            }
        }
        RetryRules {
            max_attempts: u32::try_from(self.dice.between(1, 4)).unwrap_or(1),
            rules,
        }
    }

    fn batches(
        &mut self,
        launch_at: Duration,
        families: &[&'static Family],
        size: u64,
    ) -> Vec<(Duration, Vec<PhoneNumber>)> {
        let mut left = size;
        let mut batches = Vec::new();
        let mut before: Vec<PhoneNumber> = Vec::new();
        let most = (size / 3).clamp(8, 500);
        while left > 0 {
            let length = self.dice.between(1, most).min(left);
            left -= length;
            let numbers: Vec<PhoneNumber> = (0..length)
                .map(|_| match before.is_empty() || !self.dice.chance(40) {
                    true => self.number(families),
                    false => self.dice.pick(&before).clone(),
                })
                .collect();
            before.extend(numbers.iter().cloned());
            let at = launch_at + self.dice.seconds(1, self.scale.push_hours * HOUR);
            batches.push((at, numbers));
        }
        batches.sort_by_key(|(at, _)| *at);
        batches
    }

    fn number(&mut self, families: &[&'static Family]) -> PhoneNumber {
        // Some people are in the lists of several campaigns.
        let index = if self.dice.chance(60) {
            self.dice.below(40)
        } else {
            100 + self.numbers
        };
        self.numbers += 1;
        families[usize::try_from(index).unwrap_or(0) % families.len()].number(index)
    }

    fn acts(&mut self, policy: &CampaignPolicy, end_hours: u64) -> Vec<(Duration, Act)> {
        let mut acts = Vec::new();
        let end = end_hours * HOUR;
        if self.dice.chance(450) {
            let pause_at = self.dice.seconds(1_800, end / 2);
            acts.push((pause_at, Act::Input(CampaignInput::Pause)));
            acts.push((
                pause_at + self.dice.seconds(60, end / 4),
                Act::Input(CampaignInput::Resume),
            ));
        }
        match self.dice.below(10) {
            0 => acts.push((self.dice.seconds(end / 3, end), Act::Input(CampaignInput::Cancel))),
            1 => acts.push((self.dice.seconds(end / 3, end), Act::Input(CampaignInput::Complete))),
            2..=4 => {
                let mut changed = policy.clone();
                changed.max_concurrent_calls = u32::try_from(self.dice.between(1, 9)).unwrap_or(1);
                changed.retry = self.retry_rules();
                if self.dice.chance(500) {
                    changed.ends_at = policy.ends_at.map(|at| at + Duration::from_secs(HOUR / 2));
                }
                if self.dice.chance(300) {
                    changed.first_attempt_date = None;
                }
                if self.dice.chance(500)
                    && let Some(zone) = Zone::named(policy.window.zone.as_str())
                {
                    self.window(&mut changed, zone, 1);
                }
                acts.push((self.dice.seconds(HOUR / 2, end / 2), Act::Change(Box::new(changed))));
            }
            _ => {}
        }
        acts.sort_by_key(|(at, _)| *at);
        acts
    }

    fn crashes(&mut self, seed: u64) -> Vec<CrashPlan> {
        let mut points = Vec::new();
        // Runs with fewer crashes than failpoints begin at different ones, so that a few seeds cover all.
        let turn = usize::try_from(seed % Failpoint::ALL.len() as u64).unwrap_or(0) * 7;
        for index in 0..self.scale.crashes {
            let sudden = index % 4 == 3;
            let place = turn + index - index / 4;
            points.push(if sudden {
                CrashAt::Sudden
            } else {
                CrashAt::Point(Failpoint::ALL[place % Failpoint::ALL.len()])
            });
        }
        points
            .into_iter()
            .map(|at| {
                let push = CrashAt::Point(Failpoint::PushCommitted);
                let until = if at == push {
                    self.scale.push_hours * HOUR * 3 / 4
                } else {
                    self.scale.end_hours.0 * HOUR
                };
                CrashPlan {
                    from: self.dice.seconds(900, until),
                    at,
                    skip: u32::try_from(self.dice.below(if at == push { 2 } else { 6 })).unwrap_or(0),
                    down_for: match self.dice.below(10) {
                        0 => self.dice.ms(80, 900),
                        1..=4 => self.dice.seconds(1, 6),
                        5..=7 => self.dice.seconds(6, 90),
                        _ => self.dice.seconds(90, 1_200),
                    },
                }
            })
            .collect()
    }

    fn bad_disk(&mut self) -> Vec<(Duration, Duration)> {
        let spells = if self.scale.workspaces < 4 { 4 } else { 16 };
        (0..spells)
            .map(|_| {
                let from = self.dice.seconds(1_200, self.scale.end_hours.1 * HOUR);
                (from, from + self.dice.seconds(2, 45))
            })
            .collect()
    }
}

/// The families of a workspace's numbers.
fn families_of(workspace: usize) -> &'static [&'static Family] {
    FAMILIES[workspace % FAMILIES.len()]
}

fn zone_name(zone: &Zone) -> ZoneName {
    // The table's names are checked by a test; a wrong one would show as a campaign that never opens.
    ZoneName::parse(zone.name).unwrap_or_else(|_| CampaignPolicy::always_open(utc()).window.zone)
}

fn utc() -> ZoneName {
    ZoneName::parse("UTC").unwrap_or_else(|_| unreachable!("UTC is in every edition of the database"))
}

fn hours(start: u64, end: u64, days: WeekdaySet) -> DailyHours {
    let minute = |minutes: u64| MinuteOfDay::new(u16::try_from(minutes % 1_441).unwrap_or(0));
    minute(start)
        .zip(minute(end))
        .and_then(|(start, end)| DailyHours::new(start, end, days).ok())
        .unwrap_or(DailyHours::ALWAYS)
}

/// The date of a day number.
fn date_of(day: i64) -> Option<jiff::civil::Date> {
    jiff::civil::date(1970, 1, 1)
        .checked_add(jiff::Span::new().try_days(day).ok()?)
        .ok()
}
