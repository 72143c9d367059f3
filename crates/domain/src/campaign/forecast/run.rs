//! The virtual clock of a forecast.

use super::callees::Reaction;
use super::{Forecast, ForecastInput, HeldRecords, NeverCalled, Slot};
use crate::call::{Call, CallEnd, CallState, Origin, WireState};
use crate::campaign::calling_window::{ZoneName, local_hour};
use crate::campaign::decide::{CampaignView, LinePlan, decide, new_call, why_not_yet};
use crate::campaign::{Campaign, CampaignInput, Gate, after_call};
use crate::ids::CallId;
use crate::phone::PhoneNumber;
use crate::record::{Record, RecordState, RecordStatus};
use crate::time::UnixMicros;
use crate::trunk::StartRate;
use jiff::civil::{Date, DateTime};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;

const DAY: Duration = Duration::from_secs(86_400);
/// Most records that one decision looks at.
const BATCH_MAX: u32 = 512;

/// A record by its place in [`Run::records`].
type Place = usize;

pub(super) struct Run<'a> {
    input: ForecastInput<'a>,
    campaign: Campaign,
    records: Vec<Record>,
    waiting: BTreeSet<(UnixMicros, Place)>,
    /// Calls by their end.
    live: BTreeMap<(UnixMicros, Place), Call>,
    rate: StartRate,
    /// Calls to a number on a day of the campaign's zone.
    dialled: BTreeMap<(PhoneNumber, Date), u32>,
    /// The gate that keeps records waiting that are due.
    blocked_by: Option<Gate>,
    days: BTreeMap<Date, Slot<Date>>,
    hours: BTreeMap<DateTime, Slot<DateTime>>,
    out: Forecast,
}

impl<'a> Run<'a> {
    pub(super) fn new(campaign: Campaign, mut input: ForecastInput<'a>) -> Self {
        let records: Vec<Record> = std::mem::take(&mut input.records)
            .into_iter()
            .filter(|record| !record.status().is_final())
            .collect();
        let dialled = match local_hour(&campaign.policy.window.zone, input.now) {
            Some(hour) => input
                .calls_today
                .iter()
                .map(|(phone, calls)| ((phone.clone(), hour.date()), *calls))
                .collect(),
            None => BTreeMap::new(),
        };
        Self {
            out: Forecast {
                records: u64::try_from(records.len()).unwrap_or(u64::MAX),
                ..Forecast::default()
            },
            input,
            campaign,
            records,
            waiting: BTreeSet::new(),
            live: BTreeMap::new(),
            rate: StartRate::default(),
            dialled,
            blocked_by: None,
            days: BTreeMap::new(),
            hours: BTreeMap::new(),
        }
    }

    pub(super) fn finish(mut self) -> Forecast {
        let started = self.input.now;
        self.count_held(started);
        self.take_up_records(started);
        let until = started + DAY * self.input.assumptions.days;
        let mut now = started;
        let mut last_change = started;
        loop {
            last_change = self.end_calls(now).unwrap_or(last_change);
            if let Ok(ticked) = self.campaign.handle(now, CampaignInput::Tick) {
                self.campaign = ticked;
            }
            let next = if self.campaign.status.has_ended() {
                self.out.cut_off |= !self.waiting.is_empty();
                if self.close_waiting() {
                    last_change = now;
                }
                None
            } else {
                self.dispatch(now, &mut last_change)
            };
            let next_end = self.live.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = [next, next_end].into_iter().flatten().min() else {
                break;
            };
            let next = [Some(next), self.campaign.next_tick_at()]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(next)
                .max(now + Duration::from_micros(1));
            if next > until {
                break;
            }
            if let Some(gate) = self.blocked_by.take() {
                *self.out.waited_s.entry(gate).or_default() += next.since(now).as_micros() as u64;
            }
            now = next;
        }
        self.told(last_change)
    }

    /// What each gate holds before anything has happened.
    fn count_held(&mut self, now: UnixMicros) {
        let mut held: BTreeMap<Gate, HeldRecords> = BTreeMap::new();
        for place in 0..self.records.len() {
            let Some(record) = self.records.get(place) else {
                continue;
            };
            let counts = self.calls_today(std::slice::from_ref(record), now);
            let starts = self.input.trunk.map_or(0, |trunk| trunk.calls_per_second);
            for gate in why_not_yet(&self.view(&counts, starts, None), record, now) {
                let entry = held.entry(gate.gate).or_default();
                entry.records += 1;
                let (first, last) = (&mut entry.first_opens_at, &mut entry.last_opens_at);
                *first = [*first, gate.opens_at].into_iter().flatten().min();
                *last = [*last, gate.opens_at].into_iter().flatten().max();
            }
        }
        self.out.held = held;
    }

    /// Records wait, or are on a call now that is assumed to have just begun.
    fn take_up_records(&mut self, now: UnixMicros) {
        for place in 0..self.records.len() {
            let Some(record) = self.records.get(place) else {
                continue;
            };
            match &record.state {
                RecordState::Waiting(waiting) => {
                    self.waiting.insert((waiting.due_at, place));
                }
                RecordState::InProgress { call_id } => {
                    if let Some(agent) = self.input.agent {
                        let origin = Origin::Campaign {
                            campaign_id: record.campaign_id,
                            record_id: record.id,
                            attempt: record.attempt_count(),
                            attempt_kind: crate::record::AttemptKind::First,
                        };
                        let call = Call::queued(agent, *call_id, origin, record.phone.clone(), now);
                        self.let_ring(place, call, now);
                    }
                }
                RecordState::Completed | RecordState::Failed | RecordState::Dnc => {}
            }
        }
    }

    /// Dials what can be dialled now. Returns when to look again, the ends of calls apart.
    fn dispatch(&mut self, now: UnixMicros, last_change: &mut UnixMicros) -> Option<UnixMicros> {
        loop {
            let (due_at, _) = *self.waiting.first()?;
            if due_at > now {
                return Some(due_at);
            }
            let (starts, next_start) = match self.input.trunk {
                Some(trunk) => (
                    self.rate.allowed(trunk.calls_per_second, now),
                    self.rate.next_start_at(trunk.calls_per_second, now),
                ),
                None => (0, None),
            };
            let nothing = BTreeMap::new();
            let view = self.view(&nothing, starts, next_start);
            let closed = decide(&view, &[], now);
            if let Some(held) = closed.held.first() {
                self.blocked_by = Some(held.gate);
                return closed.wake_at;
            }
            let free = usize::try_from(view.free_lines().min(BATCH_MAX)).unwrap_or(usize::MAX);
            let (places, due) = self.due(now, free);
            let counts = self.calls_today(&due, now);
            let decision = decide(&self.view(&counts, starts, next_start), &due, now);
            let mut place_of: BTreeMap<Uuid, Place> = BTreeMap::new();
            for (place, record) in places.iter().zip(&due) {
                place_of.insert(record.id.uuid(), *place);
                self.waiting.remove(&(record.due_at().unwrap_or(now), *place));
            }
            let changed = decision
                .suppressed
                .into_iter()
                .map(|suppress| suppress.record)
                .chain(decision.waits.into_iter().map(|wait| wait.record));
            for record in changed {
                *last_change = now;
                if let Some(place) = place_of.get(&record.id.uuid()) {
                    self.put_back(*place, record);
                }
            }
            for dial in decision.dials {
                if let Some(place) = place_of.get(&dial.record.id.uuid()) {
                    self.dial(*place, &dial.record, now);
                }
            }
        }
    }

    /// The first records that are due, at most `limit`. A number stands in it once: a decision knows the calls before it, and
    /// not its own (a real run has the store's counter behind it).
    fn due(&self, now: UnixMicros, limit: usize) -> (Vec<Place>, Vec<Record>) {
        let mut numbers = BTreeSet::new();
        self.waiting
            .range(..=(now, Place::MAX))
            .take(limit)
            .filter_map(|(_, place)| Some((*place, self.records.get(*place)?)))
            .filter(|(_, record)| numbers.insert(&record.phone))
            .map(|(place, record)| (place, record.clone()))
            .unzip()
    }

    fn dial(&mut self, place: Place, record: &Record, now: UnixMicros) {
        let Some(agent) = self.input.agent else { return };
        let nothing = BTreeMap::new();
        let number = u128::from(self.out.calls) + 1;
        let (in_progress, call) = new_call(
            &self.view(&nothing, 0, None),
            agent,
            record,
            CallId::new(Uuid::from_u128(number)),
            now,
        );
        if let Some(slot) = self.records.get_mut(place) {
            *slot = in_progress;
        }
        self.rate.started(now);
        let zone = self.campaign.policy.window.zone.clone();
        let hour = local_hour(&zone, now);
        if let (Some(hour), Some(_)) = (hour, self.campaign.policy.max_calls_per_number_per_day) {
            *self.dialled.entry((record.phone.clone(), hour.date())).or_default() += 1;
        }
        let answered = self.let_ring(place, call, now);
        self.out.calls += 1;
        self.out.answered += u64::from(answered);
        self.out.starts_at.get_or_insert(now);
        let lines = u32::try_from(self.live.len()).unwrap_or(u32::MAX);
        self.out.peak_lines = self.out.peak_lines.max(lines);
        if let Some(hour) = hour {
            count(self.hours.entry(hour).or_insert(empty(hour)), answered, lines);
            count(
                self.days.entry(hour.date()).or_insert(empty(hour.date())),
                answered,
                lines,
            );
        }
    }

    /// Decides how a call ends, and when. Returns whether it is answered.
    fn let_ring(&mut self, place: Place, mut call: Call, now: UnixMicros) -> bool {
        let (Some(agent), Some(record)) = (self.input.agent, self.records.get(place)) else {
            return false;
        };
        let attempt = call.attempt().unwrap_or(1);
        let reaction = Reaction::of(&self.input.assumptions, agent, record.id, attempt);
        let answered = reaction.outcome.implies_answer();
        let ended_at = now + reaction.ring + reaction.talk;
        call.state = CallState::Closed;
        call.answered_at = answered.then_some(now + reaction.ring);
        call.ended_at = Some(ended_at);
        call.end = Some(CallEnd {
            outcome: reaction.outcome,
            sip_code: None,
            reason: String::new(),
            reason_header: None,
            retry_after_s: None,
            wire: WireState::Final,
            gate: None,
        });
        self.out.talk_s += reaction.talk.as_secs();
        self.live.insert((ended_at, place), call);
        answered
    }

    /// Ends what has ended by `now`. Returns when the last of it did.
    fn end_calls(&mut self, now: UnixMicros) -> Option<UnixMicros> {
        let mut last = None;
        while let Some(entry) = self.live.first_entry() {
            let (ended_at, place) = *entry.key();
            if ended_at > now {
                break;
            }
            let call = entry.remove();
            if let Some(record) = self.records.get(place) {
                let next = after_call(record, &self.campaign, &call, ended_at);
                self.put_back(place, next);
            }
            last = Some(ended_at);
        }
        last
    }

    fn put_back(&mut self, place: Place, record: Record) {
        if let Some(due_at) = record.due_at() {
            self.waiting.insert((due_at, place));
        }
        if let Some(gate) = never_gate(&record) {
            self.out.never.push(NeverCalled {
                record_id: record.id,
                phone: record.phone.clone(),
                gate,
            });
        }
        if let Some(slot) = self.records.get_mut(place) {
            *slot = record;
        }
    }

    /// Closes what still waits when the campaign ends; whether there was anything.
    fn close_waiting(&mut self) -> bool {
        let waiting = std::mem::take(&mut self.waiting);
        for (_, place) in &waiting {
            if let Some(record) = self.records.get_mut(*place) {
                record.state = if record.reached_a_person() {
                    RecordState::Completed
                } else {
                    RecordState::Failed
                };
            }
        }
        !waiting.is_empty()
    }

    fn view<'b>(
        &'b self,
        calls_today: &'b BTreeMap<PhoneNumber, u32>,
        starts_allowed: u32,
        next_start_at: Option<UnixMicros>,
    ) -> CampaignView<'b> {
        let live = u32::try_from(self.live.len()).unwrap_or(u32::MAX);
        CampaignView {
            campaign: &self.campaign,
            agent: self.input.agent,
            line: LinePlan {
                trunk: self.input.trunk,
                trunk_live: live,
                starts_allowed,
                next_start_at,
            },
            campaign_live: live,
            workspace_live: live,
            workspace_max: self.input.workspace_max,
            do_not_call: self.input.do_not_call,
            calls_today,
        }
    }

    fn calls_today(&self, records: &[Record], now: UnixMicros) -> BTreeMap<PhoneNumber, u32> {
        let zone: &ZoneName = &self.campaign.policy.window.zone;
        if self.campaign.policy.max_calls_per_number_per_day.is_none() {
            return BTreeMap::new();
        }
        let Some(today) = local_hour(zone, now).map(DateTime::date) else {
            return BTreeMap::new();
        };
        let calls = |record: &Record| {
            let calls = self.dialled.get(&(record.phone.clone(), today))?;
            Some((record.phone.clone(), *calls))
        };
        records.iter().filter_map(calls).collect()
    }

    fn told(mut self, last_change: UnixMicros) -> Forecast {
        let mut open = false;
        for record in &self.records {
            *self.out.statuses.entry(record.status()).or_default() += 1;
            open |= !record.status().is_final();
        }
        self.out.statuses.retain(|_: &RecordStatus, records| *records > 0);
        self.out.ends_at = (!open).then_some(last_change);
        for micros in self.out.waited_s.values_mut() {
            *micros /= 1_000_000;
        }
        self.out.waited_s.retain(|_, seconds| *seconds > 0);
        self.out.days = self.days.into_values().collect();
        self.out.hours = self.hours.into_values().collect();
        self.out
    }
}

fn empty<T>(starts: T) -> Slot<T> {
    Slot {
        starts,
        calls: 0,
        answered: 0,
        peak_lines: 0,
    }
}

fn count<T>(slot: &mut Slot<T>, answered: bool, lines: u32) {
    slot.calls += 1;
    slot.answered += u64::from(answered);
    slot.peak_lines = slot.peak_lines.max(lines);
}

fn never_gate(record: &Record) -> Option<Gate> {
    if record.state != RecordState::Failed {
        return None;
    }
    [Gate::NeverOpens, Gate::DestinationRefused]
        .into_iter()
        .find(|gate| record.final_reason.as_deref() == Some(gate.as_str()))
}
