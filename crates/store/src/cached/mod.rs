//! A store with what is read for every call kept in memory.
//!
//! Kept are the things that change only when somebody changes them: workspaces, agents, trunks, campaigns, webhook
//! endpoints, API keys; and which calls hold a line. Everything else is read anew each time, above all the do-not-call
//! list, records and counters. Every write passes through here, so what is kept is forgotten with the commit that changes
//! it: a read that starts after a commit returned sees it, as [`Store`] promises.
//!
//! This holds for a store with one writing process only. A PostgreSQL database may have several, so it is never wrapped.

mod live;
mod shelf;

use async_trait::async_trait;
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
use carillon_domain::transition::{Change, Transition};
use carillon_domain::trunk::Trunk;
use carillon_domain::webhook::{Delivery, DeliveryAttempt, Endpoint};
use carillon_domain::workspace::Workspace;
use carillon_interfaces::store::{
    ApiKey, CallFilter, CommitError, DeliveryFilter, LiveCall, Page, Slice, Store, StoreError,
};
use live::{LiveCalls, call_changes};
use shelf::Shelf;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A store in front of which much-read things are kept in memory. No other process may write to the store behind it.
pub struct CachedStore {
    inner: Arc<dyn Store>,
    shelves: Arc<Mutex<Shelves>>,
    live: Mutex<LiveCalls>,
    /// One load of the live calls at a time.
    loading_live: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for CachedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachedStore").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Shelves {
    /// Raised whenever something is forgotten: what was read before that is not kept.
    age: u64,
    workspaces: Shelf<WorkspaceId, Workspace>,
    trunks: Shelf<WorkspaceId, Vec<Trunk>>,
    endpoints: Shelf<WorkspaceId, Vec<Endpoint>>,
    agents: Shelf<(WorkspaceId, AgentId), Agent>,
    campaigns: Shelf<(WorkspaceId, CampaignId), Campaign>,
    open_campaigns: Shelf<(), Vec<Campaign>>,
    api_keys: Shelf<String, ApiKey>,
}

impl Shelves {
    fn forget(&mut self) {
        *self = Self {
            age: self.age.wrapping_add(1),
            ..Self::default()
        };
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the change is of something that is kept on a shelf.
const fn is_kept(change: &Change) -> bool {
    match change {
        Change::PutWorkspace(_)
        | Change::PutAgent(_)
        | Change::PutTrunk(_)
        | Change::PutCampaign(_)
        | Change::PutEndpoint(_)
        | Change::Remove { .. } => true,
        Change::PutClip(_)
        | Change::PutRecord(_)
        | Change::PutCall(_)
        | Change::PutDelivery(_)
        | Change::AddDeliveryAttempt(_)
        | Change::PutDoNotCall(_)
        | Change::RemoveDoNotCall(_)
        | Change::AddToCounter { .. } => false,
    }
}

impl CachedStore {
    /// Keeps in memory what is read often from `inner`, which nobody else may write to.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            shelves: Arc::default(),
            live: Mutex::default(),
            loading_live: tokio::sync::Mutex::default(),
        }
    }

    /// What a shelf has under `key`, else what `read` finds, which is kept unless something was forgotten meanwhile.
    async fn kept<K: Ord + Clone, V: Clone>(
        &self,
        shelf: impl Fn(&mut Shelves) -> &mut Shelf<K, V>,
        key: K,
        read: impl Future<Output = Result<Option<V>, StoreError>>,
    ) -> Result<Option<V>, StoreError> {
        let age = {
            let mut shelves = lock(&self.shelves);
            if let Some(value) = shelf(&mut shelves).get(&key) {
                return Ok(Some(value.clone()));
            }
            shelves.age
        };
        let value = read.await?;
        let mut shelves = lock(&self.shelves);
        if let Some(value) = &value
            && shelves.age == age
        {
            shelf(&mut shelves).put(key, value.clone());
        }
        Ok(value)
    }

    /// Runs a write that changes something that is kept, and forgets all that is kept when it has ended, however it ended.
    /// It goes on if its asker goes away: a write that lands must be seen.
    async fn forgetting<T: Send + 'static>(
        &self,
        write: impl Future<Output = T> + Send + 'static,
        failed: impl FnOnce(StoreError) -> T,
    ) -> T {
        let shelves = Arc::clone(&self.shelves);
        let write = tokio::spawn(async move {
            let result = write.await;
            lock(&shelves).forget();
            result
        });
        write
            .await
            .unwrap_or_else(|error| failed(StoreError(format!("writing: {error}"))))
    }
}

#[async_trait]
impl Store for CachedStore {
    async fn commit(&self, transition: Transition) -> Result<(), CommitError> {
        let calls = call_changes(&transition);
        let result = if transition.changes.iter().any(is_kept) {
            let inner = Arc::clone(&self.inner);
            self.forgetting(async move { inner.commit(transition).await }, |error| {
                Err(CommitError::Store(error))
            })
            .await
        } else {
            self.inner.commit(transition).await
        };
        lock(&self.live).note(calls, &result);
        result
    }

    async fn commit_many(&self, transitions: Vec<Transition>) -> Vec<Result<(), CommitError>> {
        let calls: Vec<_> = transitions.iter().map(call_changes).collect();
        let count = transitions.len();
        let results = if transitions.iter().any(|each| each.changes.iter().any(is_kept)) {
            let inner = Arc::clone(&self.inner);
            self.forgetting(async move { inner.commit_many(transitions).await }, |error| {
                vec![Err(CommitError::Store(error)); count]
            })
            .await
        } else {
            self.inner.commit_many(transitions).await
        };
        let mut live = lock(&self.live);
        for (calls, result) in calls.into_iter().zip(&results) {
            live.note(calls, result);
        }
        drop(live);
        results
    }

    async fn put_api_key(&self, key: ApiKey) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.inner);
        self.forgetting(async move { inner.put_api_key(key).await }, Err).await
    }

    async fn workspace(&self, id: WorkspaceId) -> Result<Option<Workspace>, StoreError> {
        self.kept(|shelves| &mut shelves.workspaces, id, self.inner.workspace(id))
            .await
    }

    async fn api_key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, StoreError> {
        let read = self.inner.api_key_by_hash(hash);
        self.kept(|shelves| &mut shelves.api_keys, hash.to_owned(), read).await
    }

    async fn agent(&self, workspace: WorkspaceId, id: AgentId) -> Result<Option<Agent>, StoreError> {
        let read = self.inner.agent(workspace, id);
        self.kept(|shelves| &mut shelves.agents, (workspace, id), read).await
    }

    async fn trunk(&self, workspace: WorkspaceId, id: TrunkId) -> Result<Option<Trunk>, StoreError> {
        let trunks = self.trunks(workspace).await?;
        Ok(trunks.into_iter().find(|trunk| trunk.id == id))
    }

    async fn trunks(&self, workspace: WorkspaceId) -> Result<Vec<Trunk>, StoreError> {
        let read = async { self.inner.trunks(workspace).await.map(Some) };
        let trunks = self.kept(|shelves| &mut shelves.trunks, workspace, read).await?;
        Ok(trunks.unwrap_or_default())
    }

    async fn campaign(&self, workspace: WorkspaceId, id: CampaignId) -> Result<Option<Campaign>, StoreError> {
        let read = self.inner.campaign(workspace, id);
        self.kept(|shelves| &mut shelves.campaigns, (workspace, id), read).await
    }

    async fn open_campaigns(&self) -> Result<Vec<Campaign>, StoreError> {
        let read = async { self.inner.open_campaigns().await.map(Some) };
        let open = self.kept(|shelves| &mut shelves.open_campaigns, (), read).await?;
        Ok(open.unwrap_or_default())
    }

    async fn endpoint(&self, workspace: WorkspaceId, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        let endpoints = self.endpoints(workspace).await?;
        Ok(endpoints.into_iter().find(|endpoint| endpoint.id == id))
    }

    async fn endpoints(&self, workspace: WorkspaceId) -> Result<Vec<Endpoint>, StoreError> {
        let read = async { self.inner.endpoints(workspace).await.map(Some) };
        let endpoints = self.kept(|shelves| &mut shelves.endpoints, workspace, read).await?;
        Ok(endpoints.unwrap_or_default())
    }

    async fn live_calls(&self) -> Result<Vec<LiveCall>, StoreError> {
        if let Some(calls) = lock(&self.live).known() {
            return Ok(calls);
        }
        let _one_load = self.loading_live.lock().await;
        lock(&self.live).begin_load();
        let stored = self.inner.live_calls().await?;
        Ok(lock(&self.live).end_load(stored))
    }

    async fn workspaces(&self) -> Result<Vec<Workspace>, StoreError> {
        self.inner.workspaces().await
    }

    async fn api_keys(&self, workspace: WorkspaceId) -> Result<Vec<ApiKey>, StoreError> {
        self.inner.api_keys(workspace).await
    }

    async fn agents(&self, workspace: WorkspaceId) -> Result<Vec<Agent>, StoreError> {
        self.inner.agents(workspace).await
    }

    async fn clip(&self, workspace: WorkspaceId, id: ClipId) -> Result<Option<Clip>, StoreError> {
        self.inner.clip(workspace, id).await
    }

    async fn clips(&self, workspace: WorkspaceId) -> Result<Vec<Clip>, StoreError> {
        self.inner.clips(workspace).await
    }

    async fn campaigns(&self, workspace: WorkspaceId) -> Result<Vec<Campaign>, StoreError> {
        self.inner.campaigns(workspace).await
    }

    async fn record(&self, workspace: WorkspaceId, id: RecordId) -> Result<Option<Record>, StoreError> {
        self.inner.record(workspace, id).await
    }

    async fn records(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
        status: Option<RecordStatus>,
        slice: Slice,
    ) -> Result<Page<Record>, StoreError> {
        self.inner.records(workspace, campaign, status, slice).await
    }

    async fn record_counts(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
    ) -> Result<BTreeMap<RecordStatus, u64>, StoreError> {
        self.inner.record_counts(workspace, campaign).await
    }

    async fn due_records(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
        now: UnixMicros,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        self.inner.due_records(workspace, campaign, now, limit).await
    }

    async fn next_due_at(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
    ) -> Result<Option<UnixMicros>, StoreError> {
        self.inner.next_due_at(workspace, campaign).await
    }

    async fn known_numbers(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
        numbers: &[PhoneNumber],
    ) -> Result<Vec<PhoneNumber>, StoreError> {
        self.inner.known_numbers(workspace, campaign, numbers).await
    }

    async fn call(&self, workspace: WorkspaceId, id: CallId) -> Result<Option<Call>, StoreError> {
        self.inner.call(workspace, id).await
    }

    async fn calls(&self, workspace: WorkspaceId, filter: &CallFilter, slice: Slice) -> Result<Page<Call>, StoreError> {
        self.inner.calls(workspace, filter, slice).await
    }

    async fn open_calls(&self) -> Result<Vec<Call>, StoreError> {
        self.inner.open_calls().await
    }

    async fn queued_calls(&self, limit: u32) -> Result<Vec<Call>, StoreError> {
        self.inner.queued_calls(limit).await
    }

    async fn do_not_call(
        &self,
        workspace: WorkspaceId,
        phones: &[PhoneNumber],
    ) -> Result<Vec<DoNotCallEntry>, StoreError> {
        self.inner.do_not_call(workspace, phones).await
    }

    async fn do_not_call_list(&self, workspace: WorkspaceId, slice: Slice) -> Result<Page<DoNotCallEntry>, StoreError> {
        self.inner.do_not_call_list(workspace, slice).await
    }

    async fn counters(&self, workspace: WorkspaceId, names: &[String]) -> Result<BTreeMap<String, i64>, StoreError> {
        self.inner.counters(workspace, names).await
    }

    async fn delivery(&self, workspace: WorkspaceId, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.inner.delivery(workspace, id).await
    }

    async fn deliveries(
        &self,
        workspace: WorkspaceId,
        filter: &DeliveryFilter,
        slice: Slice,
    ) -> Result<Page<Delivery>, StoreError> {
        self.inner.deliveries(workspace, filter, slice).await
    }

    async fn delivery_attempts(
        &self,
        workspace: WorkspaceId,
        id: DeliveryId,
    ) -> Result<Vec<DeliveryAttempt>, StoreError> {
        self.inner.delivery_attempts(workspace, id).await
    }

    async fn due_deliveries(&self, now: UnixMicros, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        self.inner.due_deliveries(now, limit).await
    }

    async fn next_delivery_due_at(&self) -> Result<Option<UnixMicros>, StoreError> {
        self.inner.next_delivery_due_at().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{CommitFate, MemoryStore};
    use carillon_interfaces::conformance::store::samples;
    use futures::FutureExt;

    async fn with_agent() -> (Arc<MemoryStore>, CachedStore, Agent) {
        let memory = Arc::new(MemoryStore::new());
        let store = CachedStore::new(Arc::clone(&memory) as Arc<dyn Store>);
        let agent = samples::agent(samples::workspace_id());
        let put = put(&agent);
        store.commit(put).await.unwrap();
        let agent = store.agent(agent.workspace_id, agent.id).await.unwrap().unwrap();
        (memory, store, agent)
    }

    fn put(agent: &Agent) -> Transition {
        Transition::new(agent.workspace_id).with(Change::PutAgent(Box::new(agent.clone())))
    }

    fn renamed(agent: &Agent) -> Agent {
        Agent {
            name: "another".to_owned(),
            ..agent.clone()
        }
    }

    async fn name(store: &CachedStore, agent: &Agent) -> String {
        store.agent(agent.workspace_id, agent.id).await.unwrap().unwrap().name
    }

    #[tokio::test]
    async fn what_was_read_before_is_not_read_again() {
        let (memory, store, agent) = with_agent().await;
        // Behind its back, which nobody does: that shows where the answer comes from.
        memory.commit(put(&renamed(&agent))).await.unwrap();
        assert_eq!(name(&store, &agent).await, agent.name);
    }

    #[tokio::test]
    async fn a_read_that_began_before_a_change_is_not_kept() {
        let (_, store, agent) = with_agent().await;
        lock(&store.shelves).forget();
        let old = agent.clone();
        let slow = async {
            store.commit(put(&renamed(&agent))).await.unwrap();
            Ok(Some(old))
        };
        let key = (agent.workspace_id, agent.id);
        store.kept(|shelves| &mut shelves.agents, key, slow).await.unwrap();
        assert_eq!(name(&store, &agent).await, "another");
    }

    #[tokio::test]
    async fn a_change_that_failed_but_landed_is_seen() {
        let (memory, store, agent) = with_agent().await;
        memory.set_commit_hook(Some(Box::new(|_| CommitFate::WriteAndFail)));
        assert!(store.commit(put(&renamed(&agent))).await.is_err());
        assert_eq!(name(&store, &agent).await, "another");
    }

    #[tokio::test]
    async fn a_change_whose_asker_went_away_is_seen() {
        let (_, store, agent) = with_agent().await;
        let given_up = store.commit(put(&renamed(&agent))).now_or_never();
        assert_eq!(given_up, None, "the write runs beside its asker");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while name(&store, &agent).await != "another" {
            assert!(std::time::Instant::now() < deadline, "the old agent is still kept");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_revoked_key_is_seen_at_once() {
        let store = CachedStore::new(Arc::new(MemoryStore::new()));
        let key = samples::api_key(samples::workspace_id());
        store.put_api_key(key.clone()).await.unwrap();
        assert_eq!(
            store.api_key_by_hash(&key.hash).await.unwrap().unwrap().revoked_at,
            None
        );
        let revoked = ApiKey {
            revoked_at: Some(samples::at(1)),
            ..key.clone()
        };
        store.put_api_key(revoked.clone()).await.unwrap();
        assert_eq!(store.api_key_by_hash(&key.hash).await.unwrap(), Some(revoked));
    }

    #[tokio::test]
    async fn lines_follow_the_calls() {
        let store = CachedStore::new(Arc::new(MemoryStore::new()));
        assert_eq!(store.live_calls().await.unwrap(), []);
        let call = samples::call(samples::workspace_id(), carillon_domain::call::CallState::Queued);
        let put = |call: &Call| Transition::new(call.workspace_id).with(Change::PutCall(Box::new(call.clone())));
        let dialing = Call {
            state: carillon_domain::call::CallState::Dialing,
            ..call
        };
        store.commit(put(&dialing)).await.unwrap();
        assert_eq!(store.live_calls().await.unwrap().len(), 1);
        let closed = Call {
            state: carillon_domain::call::CallState::Closed,
            version: 1,
            ..dialing
        };
        let results = store.commit_many(vec![put(&closed)]).await;
        assert_eq!((results, store.live_calls().await.unwrap()), (vec![Ok(())], vec![]));
    }
}
