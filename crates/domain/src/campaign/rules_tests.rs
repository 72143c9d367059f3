//! The gates and the retry rules, as tables.

use super::calling_window::{DailyHours, MinuteOfDay, WeekdaySet, ZoneName};
use super::tests::campaign;
use super::*;
use crate::agent::{Agent, Variables};
use crate::call::tests::call_in;
use crate::call::{Call, CallEnd, CallState, Outcome, RetryCondition, WireState};
use crate::do_not_call::{DoNotCallEntry, DoNotCallScope};
use crate::ids::{AgentId, CallId, ClipId, RecordId, TrunkId};
use crate::phone::PhoneNumber;
use crate::record::{Attempt, AttemptKind, Record, RecordState, RecordStatus, Waiting};
use crate::script::Script;
use crate::trunk::{Codec, NumberFormat, Transport, Trunk};
use std::collections::BTreeMap;
use uuid::Uuid;

pub(super) fn at(text: &str) -> UnixMicros {
    UnixMicros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
}

fn number() -> PhoneNumber {
    PhoneNumber::from_e164_shape("+919876543210").unwrap()
}

pub(super) fn record(next: AttemptKind, scheduled_at: UnixMicros) -> Record {
    Record {
        workspace_id: campaign().workspace_id,
        id: RecordId::new(Uuid::from_u128(3)),
        campaign_id: campaign().id,
        phone: number(),
        state: RecordState::Waiting(Waiting {
            next,
            scheduled_at,
            due_at: scheduled_at,
            held_by: None,
        }),
        variables: Variables::default(),
        app_user_id: None,
        app_session_id: None,
        attempts: Vec::new(),
        max_attempts: 3,
        follow_ups: 0,
        callbacks: 0,
        dnc_at: None,
        dnc_reason: None,
        final_reason: None,
        created_at: UnixMicros(0),
        updated_at: UnixMicros(0),
        version: 1,
    }
}

pub(super) fn agent() -> Agent {
    Agent {
        workspace_id: campaign().workspace_id,
        id: AgentId::new(Uuid::from_u128(4)),
        name: "a".into(),
        variables: Vec::new(),
        script: Script::Announce {
            clip: ClipId::new(Uuid::nil()),
            times: 1,
            gap_ms: 0,
        },
        caller_id: None,
        trunk_id: None,
        ring_timeout_s: 30,
        max_duration_s: 600,
        record_calls: true,
        active: true,
        created_at: UnixMicros(0),
        version: 1,
    }
}

pub(super) fn trunk() -> Trunk {
    Trunk {
        workspace_id: campaign().workspace_id,
        id: TrunkId::new(Uuid::from_u128(5)),
        name: "t".into(),
        host: "127.0.0.1".into(),
        port: 5060,
        transport: Transport::Udp,
        credentials: None,
        domain: None,
        caller_ids: vec![PhoneNumber::from_e164_shape("+911140000000").unwrap()],
        number_format: NumberFormat::E164,
        codecs: vec![Codec::Pcmu],
        lines: 10,
        calls_per_second: 10,
        assert_identity: false,
        sandbox: false,
        enabled: true,
        version: 1,
    }
}

/// Everything a decision looks at, open; a test closes one gate.
struct World {
    campaign: Campaign,
    agent: Option<Agent>,
    trunk: Option<Trunk>,
    campaign_live: u32,
    workspace_live: u32,
    trunk_live: u32,
    starts_allowed: u32,
    do_not_call: BTreeMap<PhoneNumber, DoNotCallEntry>,
    calls_today: BTreeMap<PhoneNumber, u32>,
    record: Record,
    now: UnixMicros,
}

impl World {
    fn open() -> Self {
        let now = at("2026-05-27T06:30:00Z"); // Wednesday, 12:00 in Kolkata.
        let mut campaign = campaign();
        let hours = DailyHours::new(
            MinuteOfDay::parse("09:00").unwrap(),
            MinuteOfDay::parse("18:00").unwrap(),
            WeekdaySet::WORKING_DAYS,
        );
        campaign.policy.window = hours.unwrap().in_zone(ZoneName::parse("Asia/Kolkata").unwrap());
        Self {
            campaign,
            agent: Some(agent()),
            trunk: Some(trunk()),
            campaign_live: 0,
            workspace_live: 0,
            trunk_live: 0,
            starts_allowed: 10,
            do_not_call: BTreeMap::new(),
            calls_today: BTreeMap::new(),
            record: record(AttemptKind::First, now),
            now,
        }
    }

    fn view(&self) -> CampaignView<'_> {
        CampaignView {
            campaign: &self.campaign,
            agent: self.agent.as_ref(),
            line: LinePlan {
                trunk: self.trunk.as_ref(),
                trunk_live: self.trunk_live,
                starts_allowed: self.starts_allowed,
                next_start_at: None,
            },
            campaign_live: self.campaign_live,
            workspace_live: self.workspace_live,
            workspace_max: 10,
            do_not_call: &self.do_not_call,
            calls_today: &self.calls_today,
        }
    }

    fn why(&self) -> Vec<(Gate, Option<UnixMicros>)> {
        why_not_yet(&self.view(), &self.record, self.now)
            .into_iter()
            .map(|held| (held.gate, held.opens_at))
            .collect()
    }

    fn decide(&self) -> Decision {
        decide(&self.view(), std::slice::from_ref(&self.record), self.now)
    }
}

type Close = fn(&mut World);

#[test]
fn each_gate_holds_the_record_by_its_name_and_says_when_it_opens() {
    let table: Vec<(Gate, Option<&str>, Close)> = vec![
        (Gate::CampaignDraft, None, |w| w.campaign.status = CampaignStatus::Draft),
        (Gate::CampaignPaused, None, |w| {
            w.campaign.status = CampaignStatus::Paused
        }),
        (Gate::CampaignEnded, None, |w| {
            w.campaign.status = CampaignStatus::Cancelled
        }),
        (Gate::CampaignEnded, None, |w| w.campaign.policy.ends_at = Some(w.now)),
        (Gate::CampaignScheduled, Some("2026-05-28T00:00:00Z"), |w| {
            w.campaign.status = CampaignStatus::Scheduled;
            w.campaign.policy.starts_at = Some(at("2026-05-28T00:00:00Z"));
        }),
        (Gate::CallingWindow, Some("2026-05-28T03:30:00Z"), |w| {
            w.now = at("2026-05-27T12:30:00Z")
        }),
        (Gate::ActiveDays, Some("2026-06-01T03:30:00Z"), |w| {
            w.now = at("2026-05-30T06:30:00Z")
        }),
        (Gate::FirstAttemptDate, Some("2026-05-31T18:30:00Z"), |w| {
            w.campaign.policy.first_attempt_date = Some(jiff::civil::date(2026, 6, 1));
        }),
        (Gate::AttemptSchedule, Some("2026-05-27T09:00:00Z"), |w| {
            w.record = record(AttemptKind::Retry, at("2026-05-27T09:00:00Z"));
        }),
        (Gate::CampaignConcurrency, None, |w| {
            w.campaign_live = w.campaign.policy.max_concurrent_calls
        }),
        (Gate::WorkspaceConcurrency, None, |w| w.workspace_live = 10),
        (Gate::TrunkLines, None, |w| w.trunk_live = 10),
        (Gate::CallsPerSecond, None, |w| w.starts_allowed = 0),
        (Gate::NoTrunk, None, |w| w.trunk = None),
        (Gate::NoCallerId, None, |w| {
            if let Some(trunk) = &mut w.trunk {
                trunk.caller_ids.clear();
            }
        }),
        (Gate::AgentInactive, None, |w| w.agent = None),
        (Gate::DoNotCall, None, |w| {
            let entry = DoNotCallEntry {
                workspace_id: w.campaign.workspace_id,
                phone: number(),
                scope: DoNotCallScope::All,
                reason: "asked".into(),
                added_at: UnixMicros(0),
                call_id: None,
            };
            w.do_not_call.insert(number(), entry);
        }),
        (Gate::DailyCap, Some("2026-05-27T18:30:00Z"), |w| {
            w.campaign.policy.max_calls_per_number_per_day = Some(2);
            w.calls_today.insert(number(), 2);
        }),
        (Gate::QuietHours, Some("2026-05-27T07:30:00Z"), |w| {
            let allowed = DailyHours::new(
                MinuteOfDay::parse("13:00").unwrap(),
                MinuteOfDay::parse("20:00").unwrap(),
                WeekdaySet::EVERY_DAY,
            );
            w.campaign.policy.quiet_hours = Some(QuietHours {
                allowed: allowed.unwrap(),
            });
        }),
        (Gate::NeverOpens, None, |w| {
            // No country has this calling code, so nobody knows what time it is there.
            w.record.phone = PhoneNumber::from_e164_shape("+2109876543").unwrap();
            w.campaign.policy.quiet_hours = Some(QuietHours {
                allowed: DailyHours::ALWAYS,
            });
        }),
    ];
    assert_eq!(World::open().why(), []);
    assert_eq!(World::open().decide().dials.len(), 1);
    for (gate, opens_at, close) in table {
        let mut world = World::open();
        close(&mut world);
        assert_eq!(world.why(), [(gate, opens_at.map(at))]);
        assert_eq!(world.decide().dials.len(), 0, "{gate:?} must hold the record");
    }
}

#[test]
fn dialling_the_first_attempt_immediately_skips_the_first_attempt_date_and_nothing_else() {
    let mut world = World::open();
    world.campaign.policy.first_attempt_date = Some(jiff::civil::date(2026, 6, 1));
    world.campaign.policy.dial_first_attempt_immediately = true;
    assert_eq!(world.decide().dials.len(), 1);
    world.now = at("2026-05-27T20:30:00Z");
    assert_eq!(world.decide().dials.len(), 0, "the window still binds");
    world.now = at("2026-05-27T06:30:00Z");
    world.campaign_live = world.campaign.policy.max_concurrent_calls;
    assert_eq!(world.decide().dials.len(), 0, "concurrency still binds");
}

#[test]
fn no_more_records_are_dialled_than_lines_are_free() {
    let mut world = World::open();
    world.campaign_live = 8;
    let due = vec![world.record.clone(); 9];
    assert_eq!(decide(&world.view(), &due, world.now).dials.len(), 2);
    world.starts_allowed = 1;
    assert_eq!(decide(&world.view(), &due, world.now).dials.len(), 1);
}

#[test]
fn a_listed_number_is_marked_even_while_all_lines_are_in_use() {
    let mut world = World::open();
    let entry = DoNotCallEntry {
        workspace_id: world.campaign.workspace_id,
        phone: number(),
        scope: DoNotCallScope::All,
        reason: "asked in writing".into(),
        added_at: UnixMicros(0),
        call_id: None,
    };
    world.do_not_call.insert(number(), entry);
    world.trunk_live = 10;
    let suppressed = world.decide().suppressed;
    assert_eq!(suppressed[0].record.status(), RecordStatus::Dnc);
    assert_eq!(suppressed[0].record.dnc_reason.as_deref(), Some("asked in writing"));
    assert_eq!(suppressed[0].record.dnc_at, Some(world.now));
}

#[test]
fn a_number_that_never_opens_fails_by_name_instead_of_waiting() {
    let mut world = World::open();
    world.record.phone = PhoneNumber::from_e164_shape("+2109876543").unwrap();
    world.campaign.policy.quiet_hours = Some(QuietHours {
        allowed: DailyHours::ALWAYS,
    });
    let waits = world.decide().waits;
    assert_eq!(waits[0].record.status(), RecordStatus::Failed);
    assert_eq!(waits[0].record.final_reason.as_deref(), Some("never_opens"));
}

/// A call that ended so, and its record in progress.
fn ended(outcome: Outcome, answered: bool, earlier: &[Outcome]) -> (Record, Call) {
    let mut call = call_in(CallState::Closed);
    call.end = Some(CallEnd {
        outcome,
        sip_code: None,
        reason: String::new(),
        reason_header: None,
        retry_after_s: None,
        wire: WireState::Final,
        gate: None,
    });
    call.answered_at = answered.then_some(UnixMicros::from_seconds(1));
    call.ended_at = Some(UnixMicros::from_seconds(100));
    let mut record = record(AttemptKind::First, UnixMicros(0));
    record.state = RecordState::InProgress { call_id: call.id };
    for (index, outcome) in earlier.iter().enumerate() {
        record.attempts.push(Attempt {
            call_id: CallId::new(Uuid::from_u128(1_000 + index as u128)),
            number: index as u32 + 1,
            kind: AttemptKind::First,
            outcome: Some(*outcome),
            answered: outcome.implies_answer(),
        });
    }
    let number = record.next_attempt_number();
    record.attempts.push(Attempt {
        call_id: call.id,
        number,
        kind: AttemptKind::First,
        outcome: None,
        answered: false,
    });
    (record, call)
}

#[test]
fn the_outcome_decides_what_becomes_of_the_record() {
    use Outcome as O;
    use RecordStatus as S;
    let now = UnixMicros::from_seconds(101);
    //            outcome           answered  earlier attempts          status            waits (s)
    let table: Vec<(O, bool, &[O], S, Option<i64>)> = vec![
        (O::CalleeHungUp, true, &[], S::Completed, None),
        (O::AgentHungUp, true, &[], S::Completed, None),
        (O::MaxDuration, true, &[], S::Completed, None),
        (O::NoAnswer, false, &[], S::RetryPending, Some(1_800)),
        (O::NoAnswer, false, &[O::NoAnswer], S::RetryPending, Some(3_600)),
        (O::NoAnswer, false, &[O::NoAnswer, O::NoAnswer], S::Failed, None),
        (O::Busy, false, &[O::NoAnswer], S::RetryPending, Some(1_800)),
        (O::NotConnected, false, &[], S::RetryPending, Some(300)),
        (O::NotConnected, false, &[O::NotConnected], S::Failed, None),
        (O::InvalidNumber, false, &[], S::Failed, None),
        (O::Declined, false, &[], S::Failed, None),
        (O::Voicemail, true, &[], S::Failed, None),
        (O::Dropped, true, &[], S::Completed, None),
        (O::Unknown, false, &[], S::Failed, None),
        (O::InternalError, true, &[], S::Completed, None),
        (O::Cancelled, false, &[], S::Failed, None),
        (O::NoAnswer, false, &[O::Dropped, O::NoAnswer], S::Completed, None),
    ];
    for (outcome, answered, earlier, status, wait) in table {
        let (record, call) = ended(outcome, answered, earlier);
        let after = after_call(&record, &campaign(), &call, now);
        assert_eq!(after.status(), status, "{outcome:?} after {earlier:?}");
        assert_eq!(
            after.next_attempt_at(),
            wait.map(|s| UnixMicros::from_seconds(100 + s)),
            "{outcome:?}"
        );
    }
}

#[test]
fn the_callees_wishes_come_before_the_rules() {
    let now = UnixMicros::from_seconds(101);
    let (record, mut call) = ended(Outcome::AgentHungUp, true, &[Outcome::NoAnswer, Outcome::NoAnswer]);
    call.result.call_back_at = Some(UnixMicros::from_seconds(5_000));
    let after = after_call(&record, &campaign(), &call, now);
    assert_eq!(
        (after.status(), after.next_attempt_at()),
        (RecordStatus::Rescheduled, call.result.call_back_at)
    );
    assert_eq!(after.callbacks, 1);

    let used_up = Record {
        callbacks: 2,
        ..record.clone()
    };
    assert_eq!(
        after_call(&used_up, &campaign(), &call, now).status(),
        RecordStatus::Completed
    );

    call.result.follow_up_at = call.result.call_back_at.take();
    assert_eq!(
        after_call(&record, &campaign(), &call, now).status(),
        RecordStatus::FollowUpPending
    );

    call.result.do_not_call = true;
    assert_eq!(after_call(&record, &campaign(), &call, now).status(), RecordStatus::Dnc);
}

#[test]
fn an_ended_campaign_retries_nothing_and_says_so() {
    let now = UnixMicros::from_seconds(101);
    for (status, reason) in [
        (CampaignStatus::Completed, "campaign_ended"),
        (CampaignStatus::Cancelled, "campaign_cancelled"),
    ] {
        let (record, call) = ended(Outcome::NoAnswer, false, &[]);
        let after = after_call(&record, &Campaign { status, ..campaign() }, &call, now);
        assert_eq!(
            (after.status(), after.final_reason.as_deref()),
            (RecordStatus::Failed, Some(reason))
        );
    }
}

#[test]
fn a_refusal_at_the_last_gate_uses_no_attempt() {
    let now = UnixMicros::from_seconds(101);
    let (record, mut call) = ended(Outcome::Refused, false, &[Outcome::NoAnswer, Outcome::NoAnswer]);
    call.end.as_mut().unwrap().gate = Some(Gate::CallingWindow);
    let after = after_call(&record, &campaign(), &call, now);
    assert_eq!(
        (after.status(), after.attempt_count(), after.next_attempt_number()),
        (RecordStatus::Queued, 2, 4)
    );
    call.end.as_mut().unwrap().gate = Some(Gate::DoNotCall);
    assert_eq!(after_call(&record, &campaign(), &call, now).status(), RecordStatus::Dnc);
}

#[test]
fn a_far_end_that_asks_for_time_gets_it() {
    let (record, mut call) = ended(Outcome::NotConnected, false, &[]);
    call.end.as_mut().unwrap().retry_after_s = Some(900);
    let after = after_call(&record, &campaign(), &call, UnixMicros::from_seconds(101));
    assert_eq!(after.next_attempt_at(), Some(UnixMicros::from_seconds(1_000)));
}

#[test]
fn a_retry_rule_for_unknown_is_the_only_way_to_dial_after_one() {
    let (record, call) = ended(Outcome::Unknown, false, &[]);
    let mut willing = campaign();
    willing.policy.retry.rules.insert(
        RetryCondition::Unknown,
        RetryRule {
            intervals_s: vec![60],
            max_retries: Some(1),
        },
    );
    assert_eq!(
        after_call(&record, &willing, &call, UnixMicros(0)).status(),
        RecordStatus::RetryPending
    );
    assert_eq!(
        after_call(&record, &campaign(), &call, UnixMicros(0)).status(),
        RecordStatus::Failed
    );
}
