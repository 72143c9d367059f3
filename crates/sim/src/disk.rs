//! The store as one life of the process sees it: the memory store behind a disk that is slow at times and fails at times.
//!
//! A write that is under way when the process dies is finished or not, as on a real machine; what was finished is in the
//! ledger. Planted bugs that a store can have are here too (`planted`).

use crate::Bug;
use crate::life::Life;
use crate::planted;
use crate::world::World;
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
use carillon_domain::transition::Transition;
use carillon_domain::trunk::Trunk;
use carillon_domain::webhook::{Delivery, DeliveryAttempt, Endpoint};
use carillon_domain::workspace::Workspace;
use carillon_interfaces::store::{
    ApiKey, CallFilter, CommitError, DeliveryFilter, LiveCall, Page, Slice, Store, StoreError,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Written,
    Fails,
    /// It is written, but the answer says that it failed.
    WrittenAndFails,
}

/// The store of one life.
pub(crate) struct Disk {
    world: Arc<World>,
    life: Arc<Life>,
    planted: Arc<planted::Planted>,
}

impl Disk {
    pub(crate) fn new(world: Arc<World>, life: Arc<Life>, planted: Arc<planted::Planted>) -> Self {
        Self { world, life, planted }
    }

    fn is_bad(&self) -> bool {
        let world = &self.world;
        let now = world.now().since(world.plan.begins_at);
        world.plan.bad_disk.iter().any(|(from, to)| (*from..*to).contains(&now))
    }

    fn draw(&self, writes: bool) -> (Fate, Option<Duration>) {
        let bad = self.is_bad();
        let calm = self.life.number == 0;
        let mut dice = self.world.disk_dice();
        let fate = match dice.below(10_000) {
            0..10 if writes && !calm => Fate::Fails,
            10..14 if writes && !calm => Fate::WrittenAndFails,
            0..2 if !calm => Fate::Fails,
            14..2_000 if bad => Fate::Fails,
            2_000..2_600 if bad && writes => Fate::WrittenAndFails,
            _ => Fate::Written,
        };
        let slow = dice.chance(if bad { 300 } else { 40 });
        let latency = slow.then(|| if bad { dice.ms(1, 400) } else { dice.ms(1, 20) });
        (fate, latency)
    }

    /// Before every read.
    async fn read(&self) -> Result<(), StoreError> {
        let (fate, latency) = self.draw(false);
        if let Some(latency) = latency {
            tokio::time::sleep(latency).await;
        }
        if fate == Fate::Written { Ok(()) } else { Err(broken()) }
    }

    /// Writes each transition in a task of its own, which the death of the process does not stop.
    async fn write(&self, transitions: Vec<Transition>) -> Vec<Result<(), CommitError>> {
        let count = transitions.len();
        let (_, latency) = self.draw(true);
        let fates: Vec<Fate> = transitions.iter().map(|_| self.draw(true).0).collect();
        let finishes = self.world.disk_dice().chance(500);
        let (world, life, planted) = (
            Arc::clone(&self.world),
            Arc::clone(&self.life),
            Arc::clone(&self.planted),
        );
        let writing = tokio::spawn(async move {
            if let Some(latency) = latency {
                let crashed = tokio::select! {
                    biased;
                    () = life.over() => true,
                    () = tokio::time::sleep(latency) => false,
                };
                if crashed && !finishes {
                    return vec![Err(CommitError::Store(broken())); count];
                }
            }
            let mut results = Vec::with_capacity(count);
            for (transition, fate) in transitions.into_iter().zip(fates) {
                results.push(write_one(&world, &planted, transition, fate).await);
            }
            results
        });
        writing
            .await
            .unwrap_or_else(|_| vec![Err(CommitError::Store(broken())); count])
    }

    fn has(&self, bug: Bug) -> bool {
        self.world.has(bug)
    }
}

async fn write_one(
    world: &Arc<World>,
    planted: &Arc<planted::Planted>,
    mut transition: Transition,
    fate: Fate,
) -> Result<(), CommitError> {
    if fate == Fate::Fails {
        return Err(CommitError::Store(broken()));
    }
    if let Some(claimed) = planted.before_write(world, &mut transition) {
        return claimed;
    }
    let result = write_now(world, transition).await;
    if fate == Fate::WrittenAndFails && result.is_ok() {
        Err(CommitError::Store(broken()))
    } else {
        result
    }
}

/// Writes, and tells the ledger and the checkers.
pub(crate) async fn write_now(world: &Arc<World>, transition: Transition) -> Result<(), CommitError> {
    world.store.commit(transition.clone()).await?;
    crate::checkers::on_write(world, &transition);
    Ok(())
}

fn broken() -> StoreError {
    StoreError("the disk failed".to_owned())
}

#[async_trait]
impl Store for Disk {
    async fn commit(&self, transition: Transition) -> Result<(), CommitError> {
        self.write(vec![transition])
            .await
            .pop()
            .unwrap_or_else(|| Err(broken().into()))
    }

    async fn commit_many(&self, transitions: Vec<Transition>) -> Vec<Result<(), CommitError>> {
        self.write(transitions).await
    }

    async fn workspaces(&self) -> Result<Vec<Workspace>, StoreError> {
        self.read().await?;
        self.world.store.workspaces().await
    }

    async fn workspace(&self, id: WorkspaceId) -> Result<Option<Workspace>, StoreError> {
        self.read().await?;
        self.world.store.workspace(id).await
    }

    async fn put_api_key(&self, key: ApiKey) -> Result<(), StoreError> {
        self.world.store.put_api_key(key).await
    }

    async fn api_key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, StoreError> {
        self.world.store.api_key_by_hash(hash).await
    }

    async fn api_keys(&self, workspace: WorkspaceId) -> Result<Vec<ApiKey>, StoreError> {
        self.world.store.api_keys(workspace).await
    }

    async fn agent(&self, workspace: WorkspaceId, id: AgentId) -> Result<Option<Agent>, StoreError> {
        self.read().await?;
        self.world.store.agent(workspace, id).await
    }

    async fn agents(&self, workspace: WorkspaceId) -> Result<Vec<Agent>, StoreError> {
        self.read().await?;
        self.world.store.agents(workspace).await
    }

    async fn clip(&self, workspace: WorkspaceId, id: ClipId) -> Result<Option<Clip>, StoreError> {
        self.read().await?;
        self.world.store.clip(workspace, id).await
    }

    async fn clips(&self, workspace: WorkspaceId) -> Result<Vec<Clip>, StoreError> {
        self.read().await?;
        self.world.store.clips(workspace).await
    }

    async fn trunk(&self, workspace: WorkspaceId, id: TrunkId) -> Result<Option<Trunk>, StoreError> {
        self.read().await?;
        let trunk = self.world.store.trunk(workspace, id).await?;
        Ok(trunk.map(|trunk| self.planted.read_trunk(trunk)))
    }

    async fn trunks(&self, workspace: WorkspaceId) -> Result<Vec<Trunk>, StoreError> {
        self.read().await?;
        let trunks = self.world.store.trunks(workspace).await?;
        Ok(trunks.into_iter().map(|trunk| self.planted.read_trunk(trunk)).collect())
    }

    async fn campaign(&self, workspace: WorkspaceId, id: CampaignId) -> Result<Option<Campaign>, StoreError> {
        self.read().await?;
        let campaign = self.world.store.campaign(workspace, id).await?;
        Ok(campaign.map(|campaign| self.planted.read_campaign(&self.world, campaign)))
    }

    async fn campaigns(&self, workspace: WorkspaceId) -> Result<Vec<Campaign>, StoreError> {
        self.read().await?;
        self.world.store.campaigns(workspace).await
    }

    async fn open_campaigns(&self) -> Result<Vec<Campaign>, StoreError> {
        self.read().await?;
        let campaigns = self.world.store.open_campaigns().await?;
        Ok(campaigns
            .into_iter()
            .map(|campaign| self.planted.read_campaign(&self.world, campaign))
            .collect())
    }

    async fn record(&self, workspace: WorkspaceId, id: RecordId) -> Result<Option<Record>, StoreError> {
        self.read().await?;
        self.world.store.record(workspace, id).await
    }

    async fn records(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
        status: Option<RecordStatus>,
        slice: Slice,
    ) -> Result<Page<Record>, StoreError> {
        self.read().await?;
        self.world.store.records(workspace, campaign, status, slice).await
    }

    async fn record_counts(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
    ) -> Result<BTreeMap<RecordStatus, u64>, StoreError> {
        self.read().await?;
        let mut counts = self.world.store.record_counts(workspace, campaign).await?;
        if self.has(Bug::CounterWrong) {
            counts.remove(&RecordStatus::RetryPending);
        }
        Ok(counts)
    }

    async fn due_records(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
        now: UnixMicros,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        self.read().await?;
        if self.has(Bug::SettlingForgotten) && now == UnixMicros(i64::MAX) {
            return Ok(Vec::new());
        }
        let due = self.world.store.due_records(workspace, campaign, now, limit).await?;
        Ok(self.planted.read_due(campaign, due, now))
    }

    async fn next_due_at(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
    ) -> Result<Option<UnixMicros>, StoreError> {
        self.read().await?;
        self.world.store.next_due_at(workspace, campaign).await
    }

    async fn known_numbers(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
        numbers: &[PhoneNumber],
    ) -> Result<Vec<PhoneNumber>, StoreError> {
        self.read().await?;
        self.world.store.known_numbers(workspace, campaign, numbers).await
    }

    async fn call(&self, workspace: WorkspaceId, id: CallId) -> Result<Option<Call>, StoreError> {
        self.read().await?;
        self.world.store.call(workspace, id).await
    }

    async fn calls(&self, workspace: WorkspaceId, filter: &CallFilter, slice: Slice) -> Result<Page<Call>, StoreError> {
        self.read().await?;
        self.world.store.calls(workspace, filter, slice).await
    }

    async fn open_calls(&self) -> Result<Vec<Call>, StoreError> {
        self.read().await?;
        self.world.store.open_calls().await
    }

    async fn live_calls(&self) -> Result<Vec<LiveCall>, StoreError> {
        self.read().await?;
        let live = self.world.store.live_calls().await?;
        if self.has(Bug::LinesForgotten) {
            return Ok(live
                .into_iter()
                .filter(|call| call.call_id.uuid().as_u128() >> 32 & 1 == 0)
                .collect());
        }
        Ok(live)
    }

    async fn queued_calls(&self, limit: u32) -> Result<Vec<Call>, StoreError> {
        self.read().await?;
        self.world.store.queued_calls(limit).await
    }

    async fn do_not_call(
        &self,
        workspace: WorkspaceId,
        phones: &[PhoneNumber],
    ) -> Result<Vec<DoNotCallEntry>, StoreError> {
        self.read().await?;
        let mut entries = self.world.store.do_not_call(workspace, phones).await?;
        if self.has(Bug::DoNotCallStale) {
            let an_hour_ago = self.world.now() - Duration::from_secs(3_600);
            entries.retain(|entry| entry.added_at < an_hour_ago);
        }
        Ok(entries)
    }

    async fn do_not_call_list(&self, workspace: WorkspaceId, slice: Slice) -> Result<Page<DoNotCallEntry>, StoreError> {
        self.read().await?;
        self.world.store.do_not_call_list(workspace, slice).await
    }

    async fn counters(&self, workspace: WorkspaceId, names: &[String]) -> Result<BTreeMap<String, i64>, StoreError> {
        self.read().await?;
        if self.has(Bug::CapIgnored) {
            return Ok(BTreeMap::new());
        }
        self.world.store.counters(workspace, names).await
    }

    async fn endpoint(&self, workspace: WorkspaceId, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        self.read().await?;
        self.world.store.endpoint(workspace, id).await
    }

    async fn endpoints(&self, workspace: WorkspaceId) -> Result<Vec<Endpoint>, StoreError> {
        self.read().await?;
        self.world.store.endpoints(workspace).await
    }

    async fn delivery(&self, workspace: WorkspaceId, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.read().await?;
        self.world.store.delivery(workspace, id).await
    }

    async fn deliveries(
        &self,
        workspace: WorkspaceId,
        filter: &DeliveryFilter,
        slice: Slice,
    ) -> Result<Page<Delivery>, StoreError> {
        self.read().await?;
        self.world.store.deliveries(workspace, filter, slice).await
    }

    async fn delivery_attempts(
        &self,
        workspace: WorkspaceId,
        id: DeliveryId,
    ) -> Result<Vec<DeliveryAttempt>, StoreError> {
        self.read().await?;
        self.world.store.delivery_attempts(workspace, id).await
    }

    async fn due_deliveries(&self, now: UnixMicros, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        self.read().await?;
        let due = self.world.store.due_deliveries(now, limit).await?;
        Ok(due
            .into_iter()
            .filter_map(|delivery| self.planted.read_delivery(&self.world, delivery))
            .collect())
    }

    async fn next_delivery_due_at(&self) -> Result<Option<UnixMicros>, StoreError> {
        self.read().await?;
        self.world.store.next_delivery_due_at().await
    }
}
