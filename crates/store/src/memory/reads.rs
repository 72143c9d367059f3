//! The reads of the memory store, and its place behind [`Store`].

use super::{ApiKey, CommitError, MemoryStore, StoreError, Transition, async_trait, wait_like_a_disk};
use crate::table::delivery_state;
use carillon_domain::agent::{Agent, Clip};
use carillon_domain::call::Call;
use carillon_domain::campaign::Campaign;
use carillon_domain::do_not_call::DoNotCallEntry;
use carillon_domain::ids::{
    AgentId, CallId, CampaignId, ClipId, DeliveryId, EndpointId, RecordId, TrunkId, WorkspaceId,
};
use carillon_domain::phone::PhoneNumber;
use carillon_domain::record::{Record, RecordStatus};
use carillon_domain::time::UnixMicros;
use carillon_domain::trunk::Trunk;
use carillon_domain::webhook::{Delivery, DeliveryAttempt, Endpoint};
use carillon_domain::workspace::Workspace;
use carillon_interfaces::store::{CallFilter, DeliveryFilter, LiveCall, Page, Slice, Store};
use std::collections::{BTreeMap, BTreeSet};

/// One page of the items in `all`, which come in list order.
fn page<'a, T: Clone + 'a>(all: impl Iterator<Item = &'a T>, slice: Slice) -> Page<T> {
    let offset = usize::try_from(slice.offset).unwrap_or(usize::MAX);
    let limit = usize::try_from(slice.limit).unwrap_or(usize::MAX);
    let mut items = Vec::new();
    let mut total = 0;
    for (index, item) in all.enumerate() {
        total += 1;
        if index >= offset && items.len() < limit {
            items.push(item.clone());
        }
    }
    Page { items, total }
}

/// All entities of a workspace, which is the first part of their key.
fn of_workspace<Id: Ord, T>(
    map: &BTreeMap<(WorkspaceId, Id), T>,
    workspace: WorkspaceId,
) -> impl Iterator<Item = (&Id, &T)> {
    map.iter()
        .filter(move |((owner, _), _)| *owner == workspace)
        .map(|((_, id), entity)| (id, entity))
}

fn oldest_first<Id: Ord + Copy, T: Clone>(
    map: &BTreeMap<(WorkspaceId, Id), T>,
    workspace: WorkspaceId,
    created_at: impl Fn(&T) -> UnixMicros,
) -> Vec<T> {
    let mut all: Vec<_> = of_workspace(map, workspace).collect();
    all.sort_by_key(|(id, entity)| (created_at(entity), **id));
    all.into_iter().map(|(_, entity)| entity.clone()).collect()
}

fn wanted_call(call: &Call, filter: &CallFilter) -> bool {
    filter.campaign_id.is_none_or(|id| call.campaign_id() == Some(id))
        && filter.record_id.is_none_or(|id| call.record_id() == Some(id))
        && filter.agent_id.is_none_or(|id| call.agent_id == id)
        && filter.state.is_none_or(|state| call.state == state)
}

fn wanted_delivery(delivery: &Delivery, filter: &DeliveryFilter) -> bool {
    filter.endpoint_id.is_none_or(|id| delivery.endpoint_id == id)
        && filter.call_id.is_none_or(|id| delivery.call_id == id)
        && filter
            .state
            .as_deref()
            .is_none_or(|state| delivery_state(delivery) == state)
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, transition: Transition) -> Result<(), CommitError> {
        wait_like_a_disk().await;
        let result = self.write(transition);
        wait_like_a_disk().await;
        result
    }

    async fn commit_many(&self, transitions: Vec<Transition>) -> Vec<Result<(), CommitError>> {
        wait_like_a_disk().await;
        let results = transitions
            .into_iter()
            .map(|transition| self.write(transition))
            .collect();
        wait_like_a_disk().await;
        results
    }

    async fn workspaces(&self) -> Result<Vec<Workspace>, StoreError> {
        Ok(self.lock().state.workspaces.values().cloned().collect())
    }

    async fn workspace(&self, id: WorkspaceId) -> Result<Option<Workspace>, StoreError> {
        Ok(self.lock().state.workspaces.get(&(id, id)).cloned())
    }

    async fn put_api_key(&self, key: ApiKey) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let keys = &mut inner.state.api_keys;
        if keys.values().any(|other| other.hash == key.hash && other.id != key.id) {
            return Err(StoreError(format!("exists already: the hash of API key {}", key.id)));
        }
        keys.insert((key.workspace_id, key.id), key);
        Ok(())
    }

    async fn api_key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, StoreError> {
        Ok(self
            .lock()
            .state
            .api_keys
            .values()
            .find(|key| key.hash == hash)
            .cloned())
    }

    async fn api_keys(&self, workspace: WorkspaceId) -> Result<Vec<ApiKey>, StoreError> {
        Ok(oldest_first(&self.lock().state.api_keys, workspace, |key| {
            key.created_at
        }))
    }

    async fn agent(&self, workspace: WorkspaceId, id: AgentId) -> Result<Option<Agent>, StoreError> {
        Ok(self.lock().state.agents.get(&(workspace, id)).cloned())
    }

    async fn agents(&self, workspace: WorkspaceId) -> Result<Vec<Agent>, StoreError> {
        Ok(oldest_first(&self.lock().state.agents, workspace, |agent| {
            agent.created_at
        }))
    }

    async fn clip(&self, workspace: WorkspaceId, id: ClipId) -> Result<Option<Clip>, StoreError> {
        Ok(self.lock().state.clips.get(&(workspace, id)).cloned())
    }

    async fn clips(&self, workspace: WorkspaceId) -> Result<Vec<Clip>, StoreError> {
        Ok(oldest_first(&self.lock().state.clips, workspace, |clip| {
            clip.created_at
        }))
    }

    async fn trunk(&self, workspace: WorkspaceId, id: TrunkId) -> Result<Option<Trunk>, StoreError> {
        Ok(self.lock().state.trunks.get(&(workspace, id)).cloned())
    }

    async fn trunks(&self, workspace: WorkspaceId) -> Result<Vec<Trunk>, StoreError> {
        Ok(of_workspace(&self.lock().state.trunks, workspace)
            .map(|(_, trunk)| trunk.clone())
            .collect())
    }

    async fn campaign(&self, workspace: WorkspaceId, id: CampaignId) -> Result<Option<Campaign>, StoreError> {
        Ok(self.lock().state.campaigns.get(&(workspace, id)).cloned())
    }

    async fn campaigns(&self, workspace: WorkspaceId) -> Result<Vec<Campaign>, StoreError> {
        let inner = self.lock();
        let mut all: Vec<_> = of_workspace(&inner.state.campaigns, workspace)
            .map(|(_, campaign)| campaign)
            .collect();
        all.sort_by_key(|campaign| (std::cmp::Reverse(campaign.created_at), campaign.id));
        Ok(all.into_iter().cloned().collect())
    }

    async fn open_campaigns(&self) -> Result<Vec<Campaign>, StoreError> {
        let state = &self.lock().state;
        let open = state.open_campaigns.iter();
        Ok(open
            .filter_map(|(_, workspace, id)| state.campaigns.get(&(*workspace, *id)))
            .cloned()
            .collect())
    }

    async fn record(&self, workspace: WorkspaceId, id: RecordId) -> Result<Option<Record>, StoreError> {
        Ok(self.lock().state.records.get(&(workspace, id)).cloned())
    }

    async fn records(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
        status: Option<RecordStatus>,
        slice: Slice,
    ) -> Result<Page<Record>, StoreError> {
        let state = &self.lock().state;
        let all = state
            .records_by_age
            .range(
                (
                    workspace,
                    campaign,
                    std::cmp::Reverse(UnixMicros(i64::MAX)),
                    RecordId::new(uuid::Uuid::nil()),
                )..,
            )
            .take_while(|(owner, of, ..)| (*owner, *of) == (workspace, campaign))
            .filter_map(|(_, _, _, id)| state.records.get(&(workspace, *id)))
            .filter(|record| status.is_none_or(|status| record.status() == status));
        Ok(page(all, slice))
    }

    async fn record_counts(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
    ) -> Result<BTreeMap<RecordStatus, u64>, StoreError> {
        let state = &self.lock().state;
        let counts = RecordStatus::ALL.into_iter().filter_map(|status| {
            let count = *state.record_counts.get(&(workspace, campaign, status))?;
            (count > 0).then_some((status, count))
        });
        Ok(counts.collect())
    }

    async fn due_records(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
        now: UnixMicros,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        let state = &self.lock().state;
        let due = state
            .records_due
            .range(
                (
                    workspace,
                    campaign,
                    UnixMicros(i64::MIN),
                    RecordId::new(uuid::Uuid::nil()),
                )..,
            )
            .take_while(|(owner, of, due_at, _)| (*owner, *of) == (workspace, campaign) && *due_at <= now)
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .filter_map(|(_, _, _, id)| state.records.get(&(workspace, *id)));
        Ok(due.cloned().collect())
    }

    async fn next_due_at(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
    ) -> Result<Option<UnixMicros>, StoreError> {
        let state = &self.lock().state;
        let first = state
            .records_due
            .range(
                (
                    workspace,
                    campaign,
                    UnixMicros(i64::MIN),
                    RecordId::new(uuid::Uuid::nil()),
                )..,
            )
            .next();
        Ok(first
            .filter(|(owner, of, ..)| (*owner, *of) == (workspace, campaign))
            .map(|(_, _, due_at, _)| *due_at))
    }

    async fn known_numbers(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
        numbers: &[PhoneNumber],
    ) -> Result<Vec<PhoneNumber>, StoreError> {
        let state = &self.lock().state;
        let asked: BTreeSet<_> = numbers.iter().collect();
        let known = asked
            .into_iter()
            .filter(|number| state.numbers.contains_key(&(workspace, campaign, (*number).clone())));
        Ok(known.cloned().collect())
    }

    async fn call(&self, workspace: WorkspaceId, id: CallId) -> Result<Option<Call>, StoreError> {
        Ok(self.lock().state.calls.get(&(workspace, id)).cloned())
    }

    async fn calls(&self, workspace: WorkspaceId, filter: &CallFilter, slice: Slice) -> Result<Page<Call>, StoreError> {
        let state = &self.lock().state;
        let all = state
            .calls_by_age
            .range(
                (
                    workspace,
                    std::cmp::Reverse(UnixMicros(i64::MAX)),
                    CallId::new(uuid::Uuid::nil()),
                )..,
            )
            .take_while(|(owner, ..)| *owner == workspace)
            .filter_map(|(_, _, id)| state.calls.get(&(workspace, *id)))
            .filter(|call| wanted_call(call, filter));
        Ok(page(all, slice))
    }

    async fn open_calls(&self) -> Result<Vec<Call>, StoreError> {
        let state = &self.lock().state;
        let open = state.open_calls.iter();
        Ok(open
            .filter_map(|(_, workspace, id)| state.calls.get(&(*workspace, *id)))
            .cloned()
            .collect())
    }

    async fn live_calls(&self) -> Result<Vec<LiveCall>, StoreError> {
        let state = &self.lock().state;
        let live = state.live_calls.iter().filter_map(|key| state.calls.get(key));
        Ok(live
            .map(|call| LiveCall {
                workspace_id: call.workspace_id,
                call_id: call.id,
                campaign_id: call.campaign_id(),
                trunk_id: call.trunk_id,
            })
            .collect())
    }

    async fn queued_calls(&self, limit: u32) -> Result<Vec<Call>, StoreError> {
        let state = &self.lock().state;
        let queued = state
            .queued_calls
            .iter()
            .take(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(queued
            .filter_map(|(_, workspace, id)| state.calls.get(&(*workspace, *id)))
            .cloned()
            .collect())
    }

    async fn do_not_call(
        &self,
        workspace: WorkspaceId,
        phones: &[PhoneNumber],
    ) -> Result<Vec<DoNotCallEntry>, StoreError> {
        let state = &self.lock().state;
        let asked: BTreeSet<_> = phones.iter().collect();
        let entries = asked
            .into_iter()
            .filter_map(|phone| state.do_not_call.get(&(workspace, phone.clone())));
        Ok(entries.cloned().collect())
    }

    async fn do_not_call_list(&self, workspace: WorkspaceId, slice: Slice) -> Result<Page<DoNotCallEntry>, StoreError> {
        let state = &self.lock().state;
        Ok(page(
            of_workspace(&state.do_not_call, workspace).map(|(_, entry)| entry),
            slice,
        ))
    }

    async fn counters(&self, workspace: WorkspaceId, names: &[String]) -> Result<BTreeMap<String, i64>, StoreError> {
        let state = &self.lock().state;
        let values = names.iter().filter_map(|name| {
            let value = *state.counters.get(&(workspace, name.clone()))?;
            Some((name.clone(), value))
        });
        Ok(values.collect())
    }

    async fn endpoint(&self, workspace: WorkspaceId, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        Ok(self.lock().state.endpoints.get(&(workspace, id)).cloned())
    }

    async fn endpoints(&self, workspace: WorkspaceId) -> Result<Vec<Endpoint>, StoreError> {
        Ok(oldest_first(&self.lock().state.endpoints, workspace, |endpoint| {
            endpoint.created_at
        }))
    }

    async fn delivery(&self, workspace: WorkspaceId, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        Ok(self.lock().state.deliveries.get(&(workspace, id)).cloned())
    }

    async fn deliveries(
        &self,
        workspace: WorkspaceId,
        filter: &DeliveryFilter,
        slice: Slice,
    ) -> Result<Page<Delivery>, StoreError> {
        let state = &self.lock().state;
        let all = state
            .deliveries_by_age
            .range(
                (
                    workspace,
                    std::cmp::Reverse(UnixMicros(i64::MAX)),
                    DeliveryId::new(uuid::Uuid::nil()),
                )..,
            )
            .take_while(|(owner, ..)| *owner == workspace)
            .filter_map(|(_, _, id)| state.deliveries.get(&(workspace, *id)))
            .filter(|delivery| wanted_delivery(delivery, filter));
        Ok(page(all, slice))
    }

    async fn delivery_attempts(
        &self,
        workspace: WorkspaceId,
        id: DeliveryId,
    ) -> Result<Vec<DeliveryAttempt>, StoreError> {
        let state = &self.lock().state;
        Ok(state
            .attempts
            .range((workspace, id, 0)..=(workspace, id, u32::MAX))
            .map(|(_, attempt)| attempt.clone())
            .collect())
    }

    async fn due_deliveries(&self, now: UnixMicros, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        let state = &self.lock().state;
        let due = state.deliveries_due.iter().take_while(|(due_at, ..)| *due_at <= now);
        Ok(due
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .filter_map(|(_, workspace, id)| state.deliveries.get(&(*workspace, *id)))
            .cloned()
            .collect())
    }

    async fn next_delivery_due_at(&self) -> Result<Option<UnixMicros>, StoreError> {
        Ok(self.lock().state.deliveries_due.first().map(|(due_at, ..)| *due_at))
    }
}
