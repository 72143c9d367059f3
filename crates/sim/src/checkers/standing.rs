//! What must be true at any time, looked at now and then, and what must be true at the end.

use crate::ledger::Ledger;
use crate::verdict::Checker;
use crate::world::World;
use carillon_domain::call::CallState;
use carillon_domain::ids::{CallId, RecordId, WorkspaceId};
use carillon_domain::record::RecordStatus;
use carillon_domain::time::UnixMicros;
use carillon_domain::webhook::{Delivery, DeliveryState};
use carillon_interfaces::store::{Slice, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long a call may be open past its deadline while the process lives: the sweeper's interval, the end of an orphan, a
/// spell of a bad disk.
const LATE: Duration = Duration::from_secs(100);
/// How long a call may hold a line without a leg, or a leg be up without a call, while the process lives.
const MISMATCH: Duration = Duration::from_secs(200);
/// How long an ended campaign may have waiting records while the process lives.
const SETTLING: Duration = Duration::from_secs(300);

/// What was seen at earlier looks.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Since when something has been wrong, in time that the process lived.
    since: BTreeMap<Wrong, Duration>,
    up_time: Duration,
    looked_at: Option<UnixMicros>,
}

/// What can be wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    Late(CallId),
    LineWithoutLeg(CallId),
    LegWithoutLine(CallId),
    RecordWithoutCall(RecordId),
    Unsettled(carillon_domain::ids::CampaignId),
}

impl Wrong {
    const fn patience(self) -> Duration {
        match self {
            Self::Late(_) | Self::RecordWithoutCall(_) => LATE,
            Self::LineWithoutLeg(_) | Self::LegWithoutLine(_) => MISMATCH,
            Self::Unsettled(_) => SETTLING,
        }
    }

    const fn checker(self) -> Checker {
        match self {
            Self::Late(_) | Self::RecordWithoutCall(_) => Checker::NothingStuck,
            Self::LineWithoutLeg(_) | Self::LegWithoutLine(_) => Checker::Slots,
            Self::Unsettled(_) => Checker::RecordsEnd,
        }
    }

    fn describe(self) -> String {
        match self {
            Self::Late(call) => format!("{call} is open long past its deadline"),
            Self::LineWithoutLeg(call) => format!("{call} holds a line, and no leg is up"),
            Self::LegWithoutLine(call) => format!("the leg of {call} is up, and no line is held"),
            Self::RecordWithoutCall(record) => format!("record {record} is in progress, and no call of it is open"),
            Self::Unsettled(campaign) => format!("campaign {campaign} has ended, and records of it wait"),
        }
    }
}

impl Standing {
    /// Looks at everything; `alive` tells whether the process has lived since the last look.
    pub(crate) fn look(&mut self, world: &World, alive: bool) {
        let now = world.now();
        if let Some(before) = self.looked_at.replace(now).filter(|_| alive) {
            self.up_time += now.since(before);
        }
        let wrong = wrong_now(world, now);
        self.since.retain(|known, _| wrong.contains(known));
        for known in wrong {
            let since = *self.since.entry(known).or_insert(self.up_time);
            if self.up_time.saturating_sub(since) > known.patience() {
                world.fail(known.checker(), known.describe());
            }
        }
    }
}

fn wrong_now(world: &World, now: UnixMicros) -> BTreeSet<Wrong> {
    let ledger = world.ledger();
    let legs = world.legs();
    let mut wrong = BTreeSet::new();
    for call in ledger.open_calls.iter().filter_map(|id| ledger.call(*id)) {
        if call.deadline.is_some_and(|deadline| deadline < now) {
            wrong.insert(Wrong::Late(call.id));
        }
        if call.state.is_live() && !legs.up.contains_key(&call.id) {
            wrong.insert(Wrong::LineWithoutLeg(call.id));
        }
    }
    for leg in legs.up_legs().filter(|leg| !leg.beyond_reach) {
        if !ledger.call(leg.call_id).is_some_and(|call| call.state.is_live()) {
            wrong.insert(Wrong::LegWithoutLine(leg.call_id));
        }
    }
    for (id, record) in ledger
        .in_progress
        .iter()
        .filter_map(|id| Some((id, ledger.records.get(id)?)))
    {
        let open = record.call_id.is_some_and(|call| ledger.open_calls.contains(&call));
        if !open {
            wrong.insert(Wrong::RecordWithoutCall(*id));
        }
    }
    for (id, campaign) in ledger
        .campaigns
        .iter()
        .filter(|(_, campaign)| campaign.status().has_ended())
    {
        let waiting = |status: &RecordStatus| !status.is_final() && *status != RecordStatus::InProgress;
        if campaign
            .counts
            .iter()
            .any(|(status, count)| waiting(status) && *count > 0)
        {
            wrong.insert(Wrong::Unsettled(*id));
        }
    }
    wrong
}

/// The eight counters of every campaign, as the app would tell them, against the ledger.
pub(crate) async fn counters(world: &World, store: &dyn Store) {
    let campaigns: Vec<_> = world
        .ledger()
        .campaigns
        .iter()
        .map(|(id, seen)| (*id, seen.workspace_id))
        .collect();
    for (id, workspace) in campaigns {
        // The disk may fail; the next look sees more.
        let Ok(told) = store.record_counts(workspace, id).await else {
            continue;
        };
        let Some(counts) = world.ledger().campaigns.get(&id).map(|seen| seen.counts.clone()) else {
            continue;
        };
        let told_of = |status: &RecordStatus| told.get(status).copied().unwrap_or(0);
        let sum: u64 = RecordStatus::ALL.iter().map(told_of).sum();
        let total: u64 = counts.values().sum();
        let wrong = RecordStatus::ALL
            .iter()
            .find(|status| told_of(status) != counts.get(status).copied().unwrap_or(0));
        if sum != total {
            world.fail(
                Checker::Counters,
                format!("the counters of campaign {id} add up to {sum}, not to {total}"),
            );
        } else if let Some(status) = wrong {
            let status = status.as_str();
            world.fail(
                Checker::Counters,
                format!("campaign {id} miscounts the records that are {status}"),
            );
        }
    }
}

/// Whether everything has come to its end: all campaigns settled, all calls closed, all legs down, all webhooks delivered.
pub(crate) fn is_over(world: &World) -> bool {
    let ledger = world.ledger();
    ledger
        .campaigns
        .values()
        .all(|campaign| campaign.status().has_ended() && campaign.settled)
        && ledger.open_calls.is_empty()
        && world.legs().up.is_empty()
        && ledger.deliveries.values().all(is_delivered)
}

fn is_delivered(delivery: &Delivery) -> bool {
    matches!(delivery.state, DeliveryState::Delivered { .. })
}

/// What is left when the run has taken far too long.
pub(crate) fn overdue(world: &World) {
    let ledger = world.ledger();
    if let Some((id, campaign)) = ledger
        .campaigns
        .iter()
        .find(|(_, c)| !c.status().has_ended() || !c.settled)
    {
        let status = campaign.status().as_str();
        world.fail(
            Checker::RecordsEnd,
            format!("campaign {id} never came to its end: it is {status}"),
        );
    }
    if let Some(call) = ledger.open_calls.first() {
        world.fail(Checker::NothingStuck, format!("{call} was never closed"));
    }
    if let Some(call) = world.legs().up.keys().next() {
        world.fail(Checker::Slots, format!("the leg of {call} is up for ever"));
    }
    if let Some(delivery) = ledger.deliveries.values().find(|delivery| !is_delivered(delivery)) {
        world.fail(
            Checker::Webhooks,
            format!("delivery {} was never delivered", delivery.id),
        );
    }
}

/// What must be true when everything is over.
pub(crate) async fn at_the_end(world: &Arc<World>) {
    {
        let ledger = world.ledger();
        records_have_ended(world, &ledger);
        webhooks_arrived(world, &ledger);
    }
    counters(world, world.store.as_ref()).await;
    stored_as_written(world).await;
}

fn records_have_ended(world: &World, ledger: &Ledger) {
    for (id, record) in &ledger.records {
        if !record.status.is_final() {
            let status = record.status.as_str();
            world.fail(
                Checker::RecordsEnd,
                format!("record {id} is {status} after its campaign has ended"),
            );
        }
        if record.attempts.iter().any(|(call, _)| ledger.call(*call).is_none()) {
            world.fail(Checker::History, format!("record {id} has an attempt without a call"));
        }
    }
    for call in ledger.calls.values().filter(|call| call.state != CallState::Closed) {
        world.fail(
            Checker::NothingStuck,
            format!("{} is {} at the end", call.id, call.state.as_str()),
        );
    }
}

fn webhooks_arrived(world: &World, ledger: &Ledger) {
    let events = world.receivers.events();
    for delivery in ledger.deliveries.values() {
        let event_id = carillon_domain::webhook::event_id(delivery.id);
        let url = ledger
            .endpoints
            .get(&delivery.endpoint_id)
            .map(|endpoint| endpoint.url.as_str());
        let arrived = events
            .get(&event_id)
            .filter(|event| event.taken && Some(event.url.as_str()) == url);
        let Some(event) = arrived else {
            world.fail(
                Checker::Webhooks,
                format!("delivery {} never arrived as {event_id}", delivery.id),
            );
            continue;
        };
        if event.body != delivery.body || !event.body.contains(&delivery.call_id.to_string()) {
            world.fail(
                Checker::Webhooks,
                format!("delivery {} arrived with another body", delivery.id),
            );
        }
    }
    if events.len() != ledger.deliveries.len() {
        let (arrived, written) = (events.len(), ledger.deliveries.len());
        world.fail(
            Checker::Webhooks,
            format!("{arrived} events arrived, {written} were written"),
        );
    }
}

/// The store holds what was written to it, to the last record.
async fn stored_as_written(world: &Arc<World>) {
    let campaigns: Vec<(_, WorkspaceId)> = world
        .ledger()
        .campaigns
        .iter()
        .map(|(id, seen)| (*id, seen.workspace_id))
        .collect();
    let mut stored = 0;
    for (id, workspace) in campaigns {
        let everything = Slice {
            offset: 0,
            limit: u32::MAX,
        };
        let Ok(page) = world.store.records(workspace, id, None, everything).await else {
            continue;
        };
        stored += page.items.len();
        let ledger = world.ledger();
        for record in page.items {
            if ledger.records.get(&record.id).map(|seen| seen.status) != Some(record.status()) {
                world.fail(
                    Checker::Durable,
                    format!("record {} is not as it was written", record.id),
                );
            }
        }
    }
    let written = world.ledger().records.len();
    if stored != written {
        world.fail(
            Checker::Durable,
            format!("{written} records were written, {stored} are there"),
        );
    }
}
