//! What the memory store holds, and how a transition changes it: change by change, with an undo log in case a later change
//! fails.

use super::Faults;
use crate::table::{attempt_key, is_open, next_version};
use carillon_domain::agent::{Agent, Clip};
use carillon_domain::call::{Call, CallState};
use carillon_domain::campaign::Campaign;
use carillon_domain::do_not_call::DoNotCallEntry;
use carillon_domain::ids::{
    AgentId, ApiKeyId, CallId, CampaignId, ClipId, DeliveryId, EndpointId, RecordId, TrunkId, WorkspaceId,
};
use carillon_domain::phone::PhoneNumber;
use carillon_domain::record::{Record, RecordStatus};
use carillon_domain::time::UnixMicros;
use carillon_domain::transition::{Change, Removal, Transition};
use carillon_domain::trunk::Trunk;
use carillon_domain::webhook::{Delivery, DeliveryAttempt, Endpoint};
use carillon_domain::workspace::Workspace;
use carillon_interfaces::store::{ApiKey, CommitError};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

type Keyed<Id, T> = BTreeMap<(WorkspaceId, Id), T>;

/// Everything that was committed, with the indices that reads need.
#[derive(Default)]
pub(super) struct State {
    pub(super) workspaces: Keyed<WorkspaceId, Workspace>,
    pub(super) agents: Keyed<AgentId, Agent>,
    pub(super) clips: Keyed<ClipId, Clip>,
    pub(super) trunks: Keyed<TrunkId, Trunk>,
    pub(super) campaigns: Keyed<CampaignId, Campaign>,
    pub(super) records: Keyed<RecordId, Record>,
    pub(super) calls: Keyed<CallId, Call>,
    pub(super) endpoints: Keyed<EndpointId, Endpoint>,
    pub(super) deliveries: Keyed<DeliveryId, Delivery>,
    pub(super) attempts: BTreeMap<(WorkspaceId, DeliveryId, u32), DeliveryAttempt>,
    pub(super) do_not_call: BTreeMap<(WorkspaceId, PhoneNumber), DoNotCallEntry>,
    pub(super) counters: BTreeMap<(WorkspaceId, String), i64>,
    pub(super) api_keys: Keyed<ApiKeyId, ApiKey>,

    pub(super) open_campaigns: BTreeSet<(UnixMicros, WorkspaceId, CampaignId)>,
    pub(super) records_by_age: BTreeSet<(WorkspaceId, CampaignId, Reverse<UnixMicros>, RecordId)>,
    pub(super) records_due: BTreeSet<(WorkspaceId, CampaignId, UnixMicros, RecordId)>,
    pub(super) record_counts: BTreeMap<(WorkspaceId, CampaignId, RecordStatus), u64>,
    pub(super) numbers: BTreeMap<(WorkspaceId, CampaignId, PhoneNumber), u64>,
    pub(super) calls_by_age: BTreeSet<(WorkspaceId, Reverse<UnixMicros>, CallId)>,
    pub(super) open_calls: BTreeSet<(UnixMicros, WorkspaceId, CallId)>,
    pub(super) live_calls: BTreeSet<(WorkspaceId, CallId)>,
    pub(super) queued_calls: BTreeSet<(UnixMicros, WorkspaceId, CallId)>,
    pub(super) call_attempts: BTreeMap<(WorkspaceId, RecordId, u32), CallId>,
    pub(super) deliveries_by_age: BTreeSet<(WorkspaceId, Reverse<UnixMicros>, DeliveryId)>,
    pub(super) deliveries_due: BTreeSet<(UnixMicros, WorkspaceId, DeliveryId)>,
}

/// Brings one change back.
type Undo = Box<dyn FnOnce(&mut State)>;

/// An entity with a version and a place in the state.
trait Stored: Clone + 'static {
    const NOUN: &'static str;
    type Id: Copy + Ord + std::fmt::Display + 'static;

    fn key(&self) -> (WorkspaceId, Self::Id);
    fn version_mut(&mut self) -> &mut u64;
    fn map(state: &mut State) -> &mut Keyed<Self::Id, Self>;
    /// Adds the entity to the indices (`present`) or takes it out.
    fn index(&self, _state: &mut State, _present: bool) {}
    /// Refuses an entity that breaks a rule beside its id and version.
    fn check(&self, _state: &State, _faults: Faults) -> Result<(), CommitError> {
        Ok(())
    }
}

impl State {
    /// Writes all changes or none.
    pub(super) fn apply(&mut self, transition: Transition, faults: Faults) -> Result<(), CommitError> {
        let workspace = transition.workspace_id;
        let mut undo: Vec<Undo> = Vec::with_capacity(transition.changes.len());
        for change in transition.changes {
            match self.apply_one(workspace, change, faults) {
                Ok(back) => undo.push(back),
                Err(error) => {
                    undo.into_iter().rev().for_each(|back| back(self));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn apply_one(&mut self, workspace: WorkspaceId, change: Change, faults: Faults) -> Result<Undo, CommitError> {
        match change {
            Change::PutWorkspace(entity) => self.put(*entity, faults),
            Change::PutAgent(entity) => self.put(*entity, faults),
            Change::PutClip(entity) => self.put(*entity, faults),
            Change::PutTrunk(entity) => self.put(*entity, faults),
            Change::PutCampaign(entity) => self.put(*entity, faults),
            Change::PutRecord(entity) => self.put(*entity, faults),
            Change::PutCall(entity) => self.put(*entity, faults),
            Change::PutEndpoint(entity) => self.put(*entity, faults),
            Change::PutDelivery(entity) => self.put(*entity, faults),
            Change::AddDeliveryAttempt(attempt) => self.add_attempt(*attempt),
            Change::PutDoNotCall(entry) => Ok(self.put_do_not_call(*entry)),
            Change::RemoveDoNotCall(phone) => Ok(self.remove_do_not_call(workspace, phone)),
            Change::Remove { what, version } => match what {
                Removal::Agent(id) => self.remove::<Agent>((workspace, id), version, faults),
                Removal::Clip(id) => self.remove::<Clip>((workspace, id), version, faults),
                Removal::Trunk(id) => self.remove::<Trunk>((workspace, id), version, faults),
                Removal::Endpoint(id) => self.remove::<Endpoint>((workspace, id), version, faults),
            },
            Change::AddToCounter {
                counter,
                add,
                max,
                floor,
            } => self.add_to_counter(workspace, counter, add, max, floor),
        }
    }

    fn put<T: Stored>(&mut self, mut entity: T, faults: Faults) -> Result<Undo, CommitError> {
        let key = entity.key();
        let expected = *entity.version_mut();
        let old = T::map(self).get(&key).cloned();
        match old.clone().map(|mut old| *old.version_mut()) {
            Some(_) if expected == 0 => return Err(CommitError::Conflict(format!("{} {}", T::NOUN, key.1))),
            stored if stored.unwrap_or(0) == expected => {}
            Some(_) if faults.ignore_versions => {}
            _ => {
                return Err(CommitError::Stale(format!(
                    "{} {} is not at version {expected}",
                    T::NOUN,
                    key.1
                )));
            }
        }
        entity.check(self, faults)?;
        *entity.version_mut() = next_version(expected)?;
        self.set(key, Some(entity));
        Ok(Box::new(move |state| state.set(key, old)))
    }

    fn remove<T: Stored>(
        &mut self,
        key: (WorkspaceId, T::Id),
        expected: u64,
        faults: Faults,
    ) -> Result<Undo, CommitError> {
        let old = T::map(self)
            .get(&key)
            .cloned()
            .filter(|old| faults.ignore_versions || *old.clone().version_mut() == expected);
        if old.is_none() {
            return Err(CommitError::Stale(format!(
                "{} {} is not at version {expected}",
                T::NOUN,
                key.1
            )));
        }
        self.set::<T>(key, None);
        Ok(Box::new(move |state| state.set(key, old)))
    }

    /// Puts an entity in its place, or takes away what is there.
    fn set<T: Stored>(&mut self, key: (WorkspaceId, T::Id), entity: Option<T>) {
        if let Some(old) = T::map(self).remove(&key) {
            old.index(self, false);
        }
        if let Some(entity) = entity {
            entity.index(self, true);
            T::map(self).insert(key, entity);
        }
    }

    fn add_attempt(&mut self, attempt: DeliveryAttempt) -> Result<Undo, CommitError> {
        let key = (attempt.workspace_id, attempt.delivery_id, attempt.number);
        if self.attempts.contains_key(&key) {
            return Err(CommitError::Conflict(format!(
                "attempt {} of delivery {}",
                attempt.number, attempt.delivery_id
            )));
        }
        self.attempts.insert(key, attempt);
        Ok(Box::new(move |state| drop(state.attempts.remove(&key))))
    }

    fn put_do_not_call(&mut self, entry: DoNotCallEntry) -> Undo {
        let key = (entry.workspace_id, entry.phone.clone());
        let old = self.do_not_call.insert(key.clone(), entry);
        Box::new(move |state| state.set_do_not_call(key, old))
    }

    fn remove_do_not_call(&mut self, workspace: WorkspaceId, phone: PhoneNumber) -> Undo {
        let key = (workspace, phone);
        let old = self.do_not_call.remove(&key);
        Box::new(move |state| state.set_do_not_call(key, old))
    }

    fn set_do_not_call(&mut self, key: (WorkspaceId, PhoneNumber), entry: Option<DoNotCallEntry>) {
        match entry {
            Some(entry) => drop(self.do_not_call.insert(key, entry)),
            None => drop(self.do_not_call.remove(&key)),
        }
    }

    fn add_to_counter(
        &mut self,
        workspace: WorkspaceId,
        counter: String,
        add: i64,
        max: Option<i64>,
        floor: Option<i64>,
    ) -> Result<Undo, CommitError> {
        let key = (workspace, counter);
        let old = self.counters.get(&key).copied();
        let Some(new) = crate::counter::add(old.unwrap_or(0), add, max, floor) else {
            return Err(CommitError::CounterBound(key.1));
        };
        self.counters.insert(key.clone(), new);
        Ok(Box::new(move |state| match old {
            Some(old) => drop(state.counters.insert(key, old)),
            None => drop(state.counters.remove(&key)),
        }))
    }

    fn count_record(&mut self, record: &Record, present: bool) {
        let count = self
            .record_counts
            .entry((record.workspace_id, record.campaign_id, record.status()))
            .or_default();
        *count = if present {
            count.saturating_add(1)
        } else {
            count.saturating_sub(1)
        };
        let number = (record.workspace_id, record.campaign_id, record.phone.clone());
        let same = self.numbers.entry(number.clone()).or_default();
        *same = if present {
            same.saturating_add(1)
        } else {
            same.saturating_sub(1)
        };
        if *same == 0 {
            self.numbers.remove(&number);
        }
    }
}

/// Adds to an index or takes away from it.
fn member<T: Ord>(index: &mut BTreeSet<T>, item: T, present: bool) {
    if present {
        index.insert(item);
    } else {
        index.remove(&item);
    }
}

macro_rules! stored {
    ($entity:ty, $id:ty, $noun:literal, $map:ident, |$this:ident| $workspace:expr, { $($rest:item)* }) => {
        impl Stored for $entity {
            const NOUN: &'static str = $noun;
            type Id = $id;

            fn key(&self) -> (WorkspaceId, $id) {
                let $this = self;
                ($workspace, self.id)
            }

            fn version_mut(&mut self) -> &mut u64 {
                &mut self.version
            }

            fn map(state: &mut State) -> &mut Keyed<$id, Self> {
                &mut state.$map
            }

            $($rest)*
        }
    };
}

stored!(Workspace, WorkspaceId, "workspace", workspaces, |it| it.id, {});
stored!(Agent, AgentId, "agent", agents, |it| it.workspace_id, {});
stored!(Clip, ClipId, "clip", clips, |it| it.workspace_id, {});
stored!(Trunk, TrunkId, "trunk", trunks, |it| it.workspace_id, {});
stored!(Endpoint, EndpointId, "endpoint", endpoints, |it| it.workspace_id, {});
stored!(Campaign, CampaignId, "campaign", campaigns, |it| it.workspace_id, {
    fn index(&self, state: &mut State, present: bool) {
        member(
            &mut state.open_campaigns,
            (self.created_at, self.workspace_id, self.id),
            present && is_open(self),
        );
    }
});
stored!(Record, RecordId, "record", records, |it| it.workspace_id, {
    fn index(&self, state: &mut State, present: bool) {
        let (workspace, campaign) = (self.workspace_id, self.campaign_id);
        member(
            &mut state.records_by_age,
            (workspace, campaign, Reverse(self.created_at), self.id),
            present,
        );
        if let Some(due_at) = self.due_at() {
            member(&mut state.records_due, (workspace, campaign, due_at, self.id), present);
        }
        state.count_record(self, present);
    }
});
stored!(Call, CallId, "call", calls, |it| it.workspace_id, {
    fn check(&self, state: &State, faults: Faults) -> Result<(), CommitError> {
        let Some((record, attempt)) = self.record_id().zip(self.attempt()) else {
            return Ok(());
        };
        match state.call_attempts.get(&(self.workspace_id, record, attempt)) {
            Some(other) if *other != self.id && !faults.drop_unique_attempt => {
                Err(CommitError::Conflict(format!("attempt {attempt} of record {record}")))
            }
            _ => Ok(()),
        }
    }

    fn index(&self, state: &mut State, present: bool) {
        let (workspace, created_at, id) = (self.workspace_id, self.created_at, self.id);
        member(&mut state.calls_by_age, (workspace, Reverse(created_at), id), present);
        let is = |wanted: bool| present && wanted;
        member(
            &mut state.open_calls,
            (created_at, workspace, id),
            is(self.state != CallState::Closed),
        );
        member(&mut state.live_calls, (workspace, id), is(self.state.is_live()));
        member(
            &mut state.queued_calls,
            (created_at, workspace, id),
            is(self.state == CallState::Queued),
        );
        if let Some((record, attempt)) = attempt_key(self) {
            let key = (workspace, RecordId::new(record), attempt);
            if present {
                state.call_attempts.entry(key).or_insert(id);
            } else if state.call_attempts.get(&key) == Some(&id) {
                state.call_attempts.remove(&key);
            }
        }
    }
});
stored!(Delivery, DeliveryId, "delivery", deliveries, |it| it.workspace_id, {
    fn index(&self, state: &mut State, present: bool) {
        let (workspace, id) = (self.workspace_id, self.id);
        member(
            &mut state.deliveries_by_age,
            (workspace, Reverse(self.created_at), id),
            present,
        );
        if let Some(due_at) = self.due_at() {
            member(&mut state.deliveries_due, (due_at, workspace, id), present);
        }
    }
});
