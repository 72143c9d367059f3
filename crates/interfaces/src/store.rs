//! The store: one write, [`Store::commit`], and reads named for the question that they answer.

use async_trait::async_trait;
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
use carillon_domain::transition::Transition;
use carillon_domain::trunk::Trunk;
use carillon_domain::webhook::{Delivery, DeliveryAttempt, Dialect, Endpoint};
use carillon_domain::workspace::Workspace;
use std::collections::BTreeMap;

/// Why a commit changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// An entity has another version than the one decided on: read it again and decide again.
    #[error("stale: {0}")]
    Stale(String),
    /// An id or a unique pair (record and attempt) exists already.
    #[error("exists already: {0}")]
    Conflict(String),
    /// A guarded counter would pass its bound.
    #[error("counter `{0}` is at its bound")]
    CounterBound(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The store failed. Nothing is known to be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("store: {0}")]
pub struct StoreError(pub String);

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// How many there are in all.
    pub total: u64,
}

/// Which page: `offset` items are skipped, `limit` returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Items to skip.
    pub offset: u64,
    /// Items to return.
    pub limit: u32,
}

/// A call that holds a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveCall {
    /// Its workspace.
    pub workspace_id: WorkspaceId,
    /// Its id.
    pub call_id: CallId,
    /// Its campaign, if one made it.
    pub campaign_id: Option<CampaignId>,
    /// Its trunk.
    pub trunk_id: Option<TrunkId>,
}

/// Which calls a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// Of this campaign.
    pub campaign_id: Option<CampaignId>,
    /// For this record.
    pub record_id: Option<RecordId>,
    /// Of this agent.
    pub agent_id: Option<AgentId>,
    /// In this state.
    pub state: Option<CallState>,
}

/// Which deliveries a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// To this endpoint.
    pub endpoint_id: Option<EndpointId>,
    /// About this call.
    pub call_id: Option<CallId>,
    /// `pending`, `delivered` or `exhausted`.
    pub state: Option<String>,
}

/// An API key. The key itself is shown once and stored only as a hash.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ApiKey {
    /// Its workspace.
    pub workspace_id: WorkspaceId,
    /// Its id.
    pub id: ApiKeyId,
    /// A name for people.
    pub name: String,
    /// Whose API it opens.
    pub dialect: Dialect,
    /// The visible beginning.
    pub prefix: String,
    /// BLAKE3 of the whole key, lower-case hex.
    pub hash: String,
    /// When it was made.
    pub created_at: UnixMicros,
    /// When it stops working.
    pub expires_at: Option<UnixMicros>,
    /// When it was revoked.
    pub revoked_at: Option<UnixMicros>,
}

/// Where everything is kept.
///
/// A commit is durable when it returns, and visible to every read that starts afterwards. Lists are newest first, then
/// by id, unless said otherwise.
#[async_trait]
pub trait Store: Send + Sync {
    /// Writes all changes of a transition, or none. Effects are not the store's business.
    async fn commit(&self, transition: Transition) -> Result<(), CommitError>;

    /// Writes several transitions, each with its own result, in as few durable steps as the store can.
    async fn commit_many(&self, transitions: Vec<Transition>) -> Vec<Result<(), CommitError>>;

    /// All workspaces, oldest first.
    async fn workspaces(&self) -> Result<Vec<Workspace>, StoreError>;
    /// One workspace.
    async fn workspace(&self, id: WorkspaceId) -> Result<Option<Workspace>, StoreError>;

    /// Adds or replaces a key.
    async fn put_api_key(&self, key: ApiKey) -> Result<(), StoreError>;
    /// The key with this hash, revoked and expired ones included.
    async fn api_key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, StoreError>;
    /// All keys of a workspace, oldest first.
    async fn api_keys(&self, workspace: WorkspaceId) -> Result<Vec<ApiKey>, StoreError>;

    /// One agent.
    async fn agent(&self, workspace: WorkspaceId, id: AgentId) -> Result<Option<Agent>, StoreError>;
    /// All agents, oldest first.
    async fn agents(&self, workspace: WorkspaceId) -> Result<Vec<Agent>, StoreError>;
    /// One clip.
    async fn clip(&self, workspace: WorkspaceId, id: ClipId) -> Result<Option<Clip>, StoreError>;
    /// All clips, oldest first.
    async fn clips(&self, workspace: WorkspaceId) -> Result<Vec<Clip>, StoreError>;
    /// One trunk.
    async fn trunk(&self, workspace: WorkspaceId, id: TrunkId) -> Result<Option<Trunk>, StoreError>;
    /// All trunks, oldest first.
    async fn trunks(&self, workspace: WorkspaceId) -> Result<Vec<Trunk>, StoreError>;

    /// One campaign.
    async fn campaign(&self, workspace: WorkspaceId, id: CampaignId) -> Result<Option<Campaign>, StoreError>;
    /// All campaigns.
    async fn campaigns(&self, workspace: WorkspaceId) -> Result<Vec<Campaign>, StoreError>;
    /// Campaigns of all workspaces that are scheduled, running, paused, or ended and not settled; oldest first.
    async fn open_campaigns(&self) -> Result<Vec<Campaign>, StoreError>;

    /// One record.
    async fn record(&self, workspace: WorkspaceId, id: RecordId) -> Result<Option<Record>, StoreError>;
    /// A campaign's records, newest first.
    async fn records(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
        status: Option<RecordStatus>,
        slice: Slice,
    ) -> Result<Page<Record>, StoreError>;
    /// How many records of a campaign are in each status; statuses without records may be missing.
    async fn record_counts(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
    ) -> Result<BTreeMap<RecordStatus, u64>, StoreError>;
    /// Waiting records whose due time is not after `now`, by due time, then id.
    async fn due_records(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
        now: UnixMicros,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError>;
    /// The earliest due time of a waiting record, past ones included.
    async fn next_due_at(&self, workspace: WorkspaceId, campaign: CampaignId)
    -> Result<Option<UnixMicros>, StoreError>;
    /// Which of these numbers the campaign already has.
    async fn known_numbers(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
        numbers: &[PhoneNumber],
    ) -> Result<Vec<PhoneNumber>, StoreError>;

    /// One call.
    async fn call(&self, workspace: WorkspaceId, id: CallId) -> Result<Option<Call>, StoreError>;
    /// A workspace's calls, newest first.
    async fn calls(&self, workspace: WorkspaceId, filter: &CallFilter, slice: Slice) -> Result<Page<Call>, StoreError>;
    /// All calls that are not closed, in every workspace, oldest first.
    async fn open_calls(&self) -> Result<Vec<Call>, StoreError>;
    /// All calls that hold a line, in every workspace.
    async fn live_calls(&self) -> Result<Vec<LiveCall>, StoreError>;
    /// Calls that wait for a line, in every workspace, oldest first.
    async fn queued_calls(&self, limit: u32) -> Result<Vec<Call>, StoreError>;

    /// The entry of a number.
    async fn do_not_call(
        &self,
        workspace: WorkspaceId,
        phones: &[PhoneNumber],
    ) -> Result<Vec<DoNotCallEntry>, StoreError>;
    /// The list, by number.
    async fn do_not_call_list(&self, workspace: WorkspaceId, slice: Slice) -> Result<Page<DoNotCallEntry>, StoreError>;

    /// Values of counters; those that were never added to are missing.
    async fn counters(&self, workspace: WorkspaceId, names: &[String]) -> Result<BTreeMap<String, i64>, StoreError>;

    /// One webhook endpoint.
    async fn endpoint(&self, workspace: WorkspaceId, id: EndpointId) -> Result<Option<Endpoint>, StoreError>;
    /// All webhook endpoints, oldest first.
    async fn endpoints(&self, workspace: WorkspaceId) -> Result<Vec<Endpoint>, StoreError>;
    /// One delivery.
    async fn delivery(&self, workspace: WorkspaceId, id: DeliveryId) -> Result<Option<Delivery>, StoreError>;
    /// A workspace's deliveries, newest first.
    async fn deliveries(
        &self,
        workspace: WorkspaceId,
        filter: &DeliveryFilter,
        slice: Slice,
    ) -> Result<Page<Delivery>, StoreError>;
    /// Requests of a delivery, oldest first.
    async fn delivery_attempts(
        &self,
        workspace: WorkspaceId,
        id: DeliveryId,
    ) -> Result<Vec<DeliveryAttempt>, StoreError>;
    /// Pending deliveries of all workspaces that are due, by due time.
    async fn due_deliveries(&self, now: UnixMicros, limit: u32) -> Result<Vec<Delivery>, StoreError>;
    /// The earliest due time of a pending delivery, past ones included.
    async fn next_delivery_due_at(&self) -> Result<Option<UnixMicros>, StoreError>;
}
