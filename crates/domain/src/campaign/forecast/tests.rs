//! Forecasts as tables: what windows, limits, lists and dates make of them.

use super::*;
use crate::call::RetryCondition;
use crate::campaign::calling_window::{DailyHours, MinuteOfDay, WeekdaySet, ZoneName};
use crate::campaign::rules_tests::{agent, at, record, trunk};
use crate::campaign::tests::campaign;
use crate::campaign::{QuietHours, RetryRule, RetryRules};
use crate::do_not_call::DoNotCallScope;
use crate::record::AttemptKind;
use uuid::Uuid;

/// A Monday, 08:00 in Kolkata.
const MORNING: &str = "2026-05-25T02:30:00Z";

struct Scene {
    campaign: Campaign,
    agent: Agent,
    trunk: Trunk,
    records: Vec<Record>,
    do_not_call: BTreeMap<PhoneNumber, DoNotCallEntry>,
    calls_today: BTreeMap<PhoneNumber, u32>,
    assumptions: Assumptions,
}

impl Scene {
    /// This many records that wait, ten lines, one attempt, everybody answers.
    fn of(records: u32) -> Self {
        let mut campaign = campaign();
        campaign.policy.retry = RetryRules {
            max_attempts: 1,
            rules: BTreeMap::new(),
        };
        let mut trunk = trunk();
        trunk.lines = 1_000;
        trunk.calls_per_second = 100;
        Self {
            campaign,
            agent: agent(),
            trunk,
            records: (0..records).map(nth).collect(),
            do_not_call: BTreeMap::new(),
            calls_today: BTreeMap::new(),
            assumptions: Assumptions {
                answer_rate: 1.0,
                busy_rate: 0.0,
                not_connected_rate: 0.0,
                ..Assumptions::default()
            },
        }
    }

    fn forecast(&self) -> Forecast {
        let input = ForecastInput {
            campaign: &self.campaign,
            agent: Some(&self.agent),
            trunk: Some(&self.trunk),
            workspace_max: 1_000,
            records: self.records.clone(),
            do_not_call: &self.do_not_call,
            calls_today: &self.calls_today,
            now: at(MORNING),
            assumptions: self.assumptions,
        };
        forecast(input).unwrap()
    }
}

fn nth(n: u32) -> Record {
    Record {
        id: RecordId::new(Uuid::from_u128(u128::from(n) + 1_000)),
        phone: PhoneNumber::from_e164_shape(&format!("+9198{n:08}")).unwrap(),
        ..record(AttemptKind::First, at(MORNING))
    }
}

fn hours(start: u16, end: u16, days: WeekdaySet) -> DailyHours {
    let minute = |hour: u16| MinuteOfDay::new(hour * 60).unwrap();
    DailyHours::new(minute(start), minute(end), days).unwrap()
}

fn kolkata() -> ZoneName {
    ZoneName::parse("Asia/Kolkata").unwrap()
}

fn statuses(forecast: &Forecast) -> Vec<(RecordStatus, u64)> {
    forecast
        .statuses
        .iter()
        .map(|(status, records)| (*status, *records))
        .collect()
}

#[test]
fn everybody_who_answers_is_called_once_over_the_lines_there_are() {
    let forecast = Scene::of(100).forecast();
    assert_eq!((forecast.calls, forecast.answered, forecast.peak_lines), (100, 100, 10));
    assert_eq!(forecast.starts_at, Some(at(MORNING)));
    assert_eq!(statuses(&forecast), [(RecordStatus::Completed, 100)]);
    // 100 calls of 72 s over 10 lines take 12 minutes, and not much longer.
    let minutes = forecast.ends_at.unwrap().since(at(MORNING)).as_secs() / 60;
    assert!((11..=14).contains(&minutes), "{minutes}");
    assert_eq!(
        forecast.waited_s.keys().collect::<Vec<_>>(),
        [&Gate::CampaignConcurrency],
        "its own lines are the bottleneck"
    );
}

#[test]
fn a_window_moves_the_start_and_spreads_the_calls_over_its_days() {
    let mut scene = Scene::of(1_000);
    scene.campaign.policy.window = hours(10, 11, WeekdaySet::WORKING_DAYS).in_zone(kolkata());
    let forecast = scene.forecast();
    assert_eq!(forecast.starts_at, Some(at("2026-05-25T04:30:00Z")), "Monday, 10:00");
    let days: Vec<String> = forecast.days.iter().map(|day| day.starts.to_string()).collect();
    // 500 calls an hour; a call that began at 10:59 ends on the next day's count.
    assert_eq!(days.first().map(String::as_str), Some("2026-05-25"));
    assert!(days.len() >= 2 && days.len() <= 3, "{days:?}");
    assert!(
        forecast.hours.iter().all(|hour| hour.starts.hour() == 10),
        "{:?}",
        forecast.hours
    );
    assert_eq!(forecast.hours.iter().map(|hour| hour.calls).sum::<u64>(), 1_000);
    let held = forecast.held[&Gate::CallingWindow];
    assert_eq!(
        (held.records, held.first_opens_at),
        (1_000, Some(at("2026-05-25T04:30:00Z")))
    );
}

#[test]
fn days_off_and_the_first_attempt_day_are_waited_for() {
    let mut scene = Scene::of(5);
    scene.campaign.policy.window = hours(
        0,
        24,
        [crate::campaign::calling_window::Weekday::Wednesday]
            .into_iter()
            .collect(),
    )
    .in_zone(kolkata());
    let forecast = scene.forecast();
    assert_eq!(forecast.starts_at, Some(at("2026-05-26T18:30:00Z")), "Wednesday, 00:00");
    assert_eq!(forecast.held[&Gate::ActiveDays].records, 5);

    let mut scene = Scene::of(5);
    scene.campaign.policy.first_attempt_date = Some(jiff::civil::date(2026, 5, 28));
    let forecast = scene.forecast();
    assert_eq!(forecast.starts_at, Some(at("2026-05-27T18:30:00Z")), "Thursday, 00:00");
    assert_eq!(forecast.held[&Gate::FirstAttemptDate].records, 5);
}

#[test]
fn each_limit_binds_and_is_named() {
    let lines = |change: fn(&mut Scene)| {
        let mut scene = Scene::of(200);
        change(&mut scene);
        let forecast = scene.forecast();
        let longest = forecast.waited_s.iter().max_by_key(|(_, seconds)| **seconds);
        (forecast.peak_lines, longest.map(|(gate, _)| *gate))
    };
    assert_eq!(lines(|_| ()), (10, Some(Gate::CampaignConcurrency)));
    assert_eq!(
        lines(|scene| {
            scene.campaign.policy.max_concurrent_calls = 500;
            scene.trunk.lines = 7;
        }),
        (7, Some(Gate::TrunkLines))
    );
    let (peak, gate) = lines(|scene| {
        scene.campaign.policy.max_concurrent_calls = 500;
        scene.trunk.calls_per_second = 1;
    });
    assert_eq!(gate, Some(Gate::CallsPerSecond));
    assert!((60..=90).contains(&peak), "a call a second, each of 72 s: {peak}");
}

#[test]
fn the_do_not_call_list_and_hopeless_numbers_are_never_dialled() {
    let mut scene = Scene::of(3);
    scene.campaign.policy.quiet_hours = Some(QuietHours {
        allowed: hours(9, 10, WeekdaySet::EVERY_DAY),
    });
    let dnc = scene.records[0].phone.clone();
    scene.do_not_call.insert(
        dnc.clone(),
        DoNotCallEntry {
            workspace_id: scene.campaign.workspace_id,
            phone: dnc,
            scope: DoNotCallScope::All,
            reason: "asked".to_owned(),
            added_at: UnixMicros(0),
            call_id: None,
        },
    );
    // Any zone of the United States: no hour is between nine and ten in all of them.
    scene.records[1].phone = PhoneNumber::from_e164_shape("+18005550199").unwrap();
    let hopeless = scene.records[1].clone();
    let forecast = scene.forecast();
    assert_eq!(
        statuses(&forecast),
        [
            (RecordStatus::Completed, 1),
            (RecordStatus::Failed, 1),
            (RecordStatus::Dnc, 1)
        ]
    );
    assert_eq!(
        forecast.never,
        [NeverCalled {
            record_id: hopeless.id,
            phone: hopeless.phone,
            gate: Gate::NeverOpens,
        }]
    );
    let held: Vec<(Gate, u64)> = forecast.held.iter().map(|(gate, held)| (*gate, held.records)).collect();
    assert_eq!(
        held,
        [(Gate::DoNotCall, 1), (Gate::QuietHours, 2), (Gate::NeverOpens, 1)]
    );
    assert_eq!(
        forecast.starts_at,
        Some(at("2026-05-25T03:30:00Z")),
        "nine o'clock at the callee"
    );
}

#[test]
fn a_daily_cap_moves_the_rest_to_the_next_day() {
    let mut scene = Scene::of(4);
    scene.campaign.policy.max_calls_per_number_per_day = Some(2);
    for record in &mut scene.records {
        record.phone = nth(0).phone;
    }
    scene.calls_today.insert(nth(0).phone, 1);
    let forecast = scene.forecast();
    let days: Vec<(String, u64)> = forecast
        .days
        .iter()
        .map(|day| (day.starts.to_string(), day.calls))
        .collect();
    assert_eq!(
        days,
        [
            ("2026-05-25".to_owned(), 1),
            ("2026-05-26".to_owned(), 2),
            ("2026-05-27".to_owned(), 1)
        ]
    );
}

#[test]
fn attempts_that_reach_nobody_are_retried_by_the_campaigns_rules() {
    let mut scene = Scene::of(10);
    scene.assumptions.answer_rate = 0.0;
    scene.campaign.policy.retry = RetryRules {
        max_attempts: 3,
        rules: BTreeMap::from([(
            RetryCondition::NoAnswer,
            RetryRule {
                intervals_s: vec![3_600],
                max_retries: None,
            },
        )]),
    };
    let forecast = scene.forecast();
    assert_eq!((forecast.calls, forecast.answered), (30, 0));
    assert_eq!(statuses(&forecast), [(RecordStatus::Failed, 10)]);
    // Three times 30 s of ringing with an hour between.
    assert_eq!(forecast.ends_at, Some(at("2026-05-25T04:31:30Z")));
}

#[test]
fn an_end_date_cuts_it_off() {
    let mut scene = Scene::of(1_000);
    scene.campaign.policy.ends_at = Some(at("2026-05-25T03:00:00Z"));
    let forecast = scene.forecast();
    assert!(forecast.cut_off);
    assert!(forecast.calls < 500, "{}", forecast.calls);
    let all: u64 = forecast.statuses.values().sum();
    assert_eq!(
        (all, forecast.statuses[&RecordStatus::Completed]),
        (1_000, forecast.calls),
        "live calls go on to their end"
    );
}

#[test]
fn what_can_never_start_says_why() {
    let mut scene = Scene::of(3);
    scene.agent.active = false;
    let forecast = scene.forecast();
    assert_eq!((forecast.calls, forecast.starts_at, forecast.ends_at), (0, None, None));
    assert_eq!(forecast.held[&Gate::AgentInactive].records, 3);

    let mut scene = Scene::of(3);
    scene.campaign.status = CampaignStatus::Completed;
    let input = ForecastInput {
        campaign: &scene.campaign,
        agent: None,
        trunk: None,
        workspace_max: 1,
        records: Vec::new(),
        do_not_call: &scene.do_not_call,
        calls_today: &scene.calls_today,
        now: at(MORNING),
        assumptions: scene.assumptions,
    };
    assert!(super::forecast(input).is_err(), "it has ended");
}

#[test]
fn a_draft_and_a_paused_campaign_are_forecast_as_if_started_now() {
    for status in [CampaignStatus::Draft, CampaignStatus::Paused, CampaignStatus::Running] {
        let mut scene = Scene::of(3);
        scene.campaign.status = status;
        assert_eq!(scene.forecast().calls, 3, "{status:?}");
    }
    let mut scene = Scene::of(3);
    scene.campaign.status = CampaignStatus::Draft;
    scene.campaign.policy.starts_at = Some(at("2026-05-26T02:30:00Z"));
    let forecast = scene.forecast();
    assert_eq!(forecast.starts_at, scene.campaign.policy.starts_at);
    assert_eq!(forecast.held[&Gate::CampaignScheduled].records, 3);
}

#[test]
fn the_same_seed_repeats_and_another_does_not() {
    let mut scene = Scene::of(300);
    scene.assumptions = Assumptions::default();
    let first = scene.forecast();
    assert_eq!(first, scene.forecast());
    let share = first.answered * 100 / first.calls;
    assert!((20..=40).contains(&share), "three in ten answer: {share} %");
    scene.assumptions.seed = 2;
    assert_ne!(first, scene.forecast());
}

#[test]
fn assumptions_that_cannot_be_are_refused() {
    let fine = Assumptions::default();
    let table = [
        (fine, None),
        (
            Assumptions {
                answer_rate: 1.1,
                ..fine
            },
            Some("answer_rate"),
        ),
        (
            Assumptions {
                busy_rate: f64::NAN,
                ..fine
            },
            Some("busy_rate"),
        ),
        (
            Assumptions {
                answer_rate: 0.95,
                ..fine
            },
            Some("answer_rate"),
        ),
        (Assumptions { ring_s: 0, ..fine }, Some("ring_s")),
        (Assumptions { talk_s: 7_201, ..fine }, Some("talk_s")),
        (Assumptions { days: 0, ..fine }, Some("days")),
    ];
    for (assumptions, blamed) in table {
        let problem = assumptions.check().err();
        assert_eq!(problem.map(AssumptionProblem::field), blamed, "{assumptions:?}");
    }
}

/// The figure that counts is the release build's; this one only keeps it from becoming a matter of minutes.
#[test]
fn ten_thousand_records_are_forecast_at_once() {
    let mut scene = Scene::of(10_000);
    scene.assumptions = Assumptions::default();
    scene.campaign.policy.retry = RetryRules::default();
    scene.campaign.policy.window = hours(9, 21, WeekdaySet::EVERY_DAY).in_zone(kolkata());
    scene.campaign.policy.quiet_hours = Some(QuietHours {
        allowed: hours(9, 20, WeekdaySet::EVERY_DAY),
    });
    scene.campaign.policy.max_concurrent_calls = 50;
    let forecast = scene.forecast();
    assert!(forecast.calls > 15_000 && forecast.ends_at.is_some(), "{forecast:?}");
}
