//! The reads of the PostgreSQL store, and its place behind [`Store`].

use super::PostgresStore;
use super::apply::store_error;
use crate::batch::{self, only, prepare, prepare_many};
use crate::meters::{Backend, commit_took, read_took};
use crate::table::{Prepared, live_states, sorted};
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
use serde::de::DeserializeOwned;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::QueryScalar;
use sqlx::{Encode, QueryBuilder, Type};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Instant;
use uuid::Uuid;

type Docs<'q> = QueryScalar<'q, Postgres, String, PgArguments>;
type Moment<'q> = QueryScalar<'q, Postgres, Option<i64>, PgArguments>;

fn entity<T: DeserializeOwned>(doc: &str) -> Result<T, StoreError> {
    serde_json::from_str(doc).map_err(|error| StoreError(format!("a stored entity cannot be read: {error}")))
}

/// A limit or an offset as PostgreSQL takes it.
fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl PostgresStore {
    /// The entities that a query selects.
    async fn all<T: DeserializeOwned>(&self, read: &'static str, query: Docs<'_>) -> Result<Vec<T>, StoreError> {
        let started = Instant::now();
        let docs = query.fetch_all(&self.pool).await.map_err(|error| store_error(&error))?;
        read_took(Backend::Postgres, read, started);
        docs.iter().map(|doc| entity(doc)).collect()
    }

    async fn one<T: DeserializeOwned>(&self, read: &'static str, query: Docs<'_>) -> Result<Option<T>, StoreError> {
        Ok(self.all(read, query).await?.pop())
    }

    /// All entities that `sql` selects by workspace.
    async fn of_workspace<T: DeserializeOwned>(
        &self,
        read: &'static str,
        sql: &'static str,
        workspace: WorkspaceId,
    ) -> Result<Vec<T>, StoreError> {
        self.all(read, sqlx::query_scalar(sql).bind(workspace.uuid())).await
    }

    /// The entity that `sql` selects by workspace and id.
    async fn by_id<T: DeserializeOwned>(
        &self,
        read: &'static str,
        sql: &'static str,
        workspace: WorkspaceId,
        id: Uuid,
    ) -> Result<Option<T>, StoreError> {
        self.one(read, sqlx::query_scalar(sql).bind(workspace.uuid()).bind(id))
            .await
    }

    async fn moment(&self, read: &'static str, query: Moment<'_>) -> Result<Option<UnixMicros>, StoreError> {
        let started = Instant::now();
        let micros = query
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| store_error(&error))?;
        read_took(Backend::Postgres, read, started);
        Ok(micros.flatten().map(UnixMicros))
    }

    /// A page of a list, newest first, then by id.
    async fn page<T: DeserializeOwned>(
        &self,
        read: &'static str,
        conditions: Conditions,
        slice: Slice,
    ) -> Result<Page<T>, StoreError> {
        let Conditions { mut count, mut docs } = conditions;
        docs.push(" ORDER BY created_at DESC, id LIMIT ")
            .push_bind(i64::from(slice.limit));
        docs.push(" OFFSET ").push_bind(bigint(slice.offset));
        let items = self.all(read, docs.build_query_scalar()).await?;
        let total: i64 = count
            .build_query_scalar()
            .fetch_one(&self.pool)
            .await
            .map_err(|error| store_error(&error))?;
        Ok(Page {
            items,
            total: u64::try_from(total).unwrap_or(0),
        })
    }

    async fn write_one(&self, prepared: Prepared) -> Result<(), CommitError> {
        only(self.committer.write(vec![prepared]).await?)
    }
}

/// Conditions that a list was asked for: the query of its total and that of its items.
struct Conditions {
    count: QueryBuilder<Postgres>,
    docs: QueryBuilder<Postgres>,
}

impl Conditions {
    fn workspace(table: &'static str, id: WorkspaceId) -> Self {
        let start = |what: &str| {
            let mut query = QueryBuilder::new("SELECT ");
            query
                .push(what)
                .push(" FROM ")
                .push(table)
                .push(" WHERE workspace_id = ")
                .push_bind(id.uuid());
            query
        };
        Self {
            count: start("count(*)"),
            docs: start("doc"),
        }
    }

    fn and<T>(mut self, column: &'static str, value: Option<T>) -> Self
    where
        T: Clone + Encode<'static, Postgres> + Type<Postgres> + Send + 'static,
    {
        if let Some(value) = value {
            for query in [&mut self.count, &mut self.docs] {
                query.push(" AND ").push(column).push(" = ").push_bind(value.clone());
            }
        }
        self
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn commit(&self, transition: Transition) -> Result<(), CommitError> {
        let started = Instant::now();
        let result = self.write_one(prepare(transition).await?).await;
        commit_took(Backend::Postgres, started);
        result
    }

    async fn commit_many(&self, transitions: Vec<Transition>) -> Vec<Result<(), CommitError>> {
        let started = Instant::now();
        let (results, ready) = prepare_many(transitions).await;
        let results = results.with(self.committer.write(ready).await);
        commit_took(Backend::Postgres, started);
        results
    }

    async fn workspaces(&self) -> Result<Vec<Workspace>, StoreError> {
        self.all(
            "workspaces",
            sqlx::query_scalar("SELECT doc FROM workspaces ORDER BY workspace_id"),
        )
        .await
    }

    async fn workspace(&self, id: WorkspaceId) -> Result<Option<Workspace>, StoreError> {
        self.by_id(
            "workspace",
            "SELECT doc FROM workspaces WHERE workspace_id = $1 AND id = $2",
            id,
            id.uuid(),
        )
        .await
    }

    async fn put_api_key(&self, key: ApiKey) -> Result<(), StoreError> {
        self.write_one(Prepared::api_key(&key)?)
            .await
            .map_err(batch::store_error)
    }

    async fn api_key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, StoreError> {
        let sql = "SELECT doc FROM api_keys WHERE hash = $1";
        self.one("api_key_by_hash", sqlx::query_scalar(sql).bind(hash.to_owned()))
            .await
    }

    async fn api_keys(&self, workspace: WorkspaceId) -> Result<Vec<ApiKey>, StoreError> {
        let sql = "SELECT doc FROM api_keys WHERE workspace_id = $1 ORDER BY created_at, id";
        self.of_workspace("api_keys", sql, workspace).await
    }

    async fn agent(&self, workspace: WorkspaceId, id: AgentId) -> Result<Option<Agent>, StoreError> {
        let sql = "SELECT doc FROM agents WHERE workspace_id = $1 AND id = $2";
        self.by_id("agent", sql, workspace, id.uuid()).await
    }

    async fn agents(&self, workspace: WorkspaceId) -> Result<Vec<Agent>, StoreError> {
        let sql = "SELECT doc FROM agents WHERE workspace_id = $1 ORDER BY created_at, id";
        self.of_workspace("agents", sql, workspace).await
    }

    async fn clip(&self, workspace: WorkspaceId, id: ClipId) -> Result<Option<Clip>, StoreError> {
        let sql = "SELECT doc FROM clips WHERE workspace_id = $1 AND id = $2";
        self.by_id("clip", sql, workspace, id.uuid()).await
    }

    async fn clips(&self, workspace: WorkspaceId) -> Result<Vec<Clip>, StoreError> {
        let sql = "SELECT doc FROM clips WHERE workspace_id = $1 ORDER BY created_at, id";
        self.of_workspace("clips", sql, workspace).await
    }

    async fn trunk(&self, workspace: WorkspaceId, id: TrunkId) -> Result<Option<Trunk>, StoreError> {
        let sql = "SELECT doc FROM trunks WHERE workspace_id = $1 AND id = $2";
        self.by_id("trunk", sql, workspace, id.uuid()).await
    }

    async fn trunks(&self, workspace: WorkspaceId) -> Result<Vec<Trunk>, StoreError> {
        let sql = "SELECT doc FROM trunks WHERE workspace_id = $1 ORDER BY id";
        self.of_workspace("trunks", sql, workspace).await
    }

    async fn campaign(&self, workspace: WorkspaceId, id: CampaignId) -> Result<Option<Campaign>, StoreError> {
        let sql = "SELECT doc FROM campaigns WHERE workspace_id = $1 AND id = $2";
        self.by_id("campaign", sql, workspace, id.uuid()).await
    }

    async fn campaigns(&self, workspace: WorkspaceId) -> Result<Vec<Campaign>, StoreError> {
        let sql = "SELECT doc FROM campaigns WHERE workspace_id = $1 ORDER BY created_at DESC, id";
        self.of_workspace("campaigns", sql, workspace).await
    }

    async fn open_campaigns(&self) -> Result<Vec<Campaign>, StoreError> {
        let sql = "SELECT doc FROM campaigns WHERE is_open = 1 ORDER BY created_at, workspace_id, id";
        self.all("open_campaigns", sqlx::query_scalar(sql)).await
    }

    async fn record(&self, workspace: WorkspaceId, id: RecordId) -> Result<Option<Record>, StoreError> {
        let sql = "SELECT doc FROM records WHERE workspace_id = $1 AND id = $2";
        self.by_id("record", sql, workspace, id.uuid()).await
    }

    async fn records(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
        status: Option<RecordStatus>,
        slice: Slice,
    ) -> Result<Page<Record>, StoreError> {
        let conditions = Conditions::workspace("records", workspace)
            .and("campaign_id", Some(campaign.uuid()))
            .and("status", status.map(RecordStatus::as_str));
        self.page("records", conditions, slice).await
    }

    async fn record_counts(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
    ) -> Result<BTreeMap<RecordStatus, u64>, StoreError> {
        let started = Instant::now();
        let counts: Vec<(String, i64)> = sqlx::query_as(
            "SELECT status, count(*) FROM records WHERE workspace_id = $1 AND campaign_id = $2 GROUP BY status",
        )
        .bind(workspace.uuid())
        .bind(campaign.uuid())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| store_error(&error))?;
        read_took(Backend::Postgres, "record_counts", started);
        let known = counts.into_iter().filter_map(|(word, count)| {
            let status = RecordStatus::parse(&word)?;
            Some((status, u64::try_from(count).unwrap_or(0)))
        });
        Ok(known.collect())
    }

    async fn due_records(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
        now: UnixMicros,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        let sql = "SELECT doc FROM records WHERE workspace_id = $1 AND campaign_id = $2 AND due_at <= $3
                   ORDER BY due_at, id LIMIT $4";
        let query = sqlx::query_scalar(sql).bind(workspace.uuid()).bind(campaign.uuid());
        self.all("due_records", query.bind(now.micros()).bind(i64::from(limit)))
            .await
    }

    async fn next_due_at(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
    ) -> Result<Option<UnixMicros>, StoreError> {
        let sql = "SELECT due_at FROM records WHERE workspace_id = $1 AND campaign_id = $2 AND due_at IS NOT NULL
                   ORDER BY due_at LIMIT 1";
        self.moment(
            "next_due_at",
            sqlx::query_scalar(sql).bind(workspace.uuid()).bind(campaign.uuid()),
        )
        .await
    }

    async fn known_numbers(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
        numbers: &[PhoneNumber],
    ) -> Result<Vec<PhoneNumber>, StoreError> {
        let started = Instant::now();
        // A subquery of its own for each number: as a join, the planner may read the whole campaign instead.
        let sql = "SELECT asked.phone FROM unnest($3::text[]) AS asked (phone)
                   WHERE (SELECT true FROM records AS r WHERE r.workspace_id = $1 AND r.campaign_id = $2
                          AND r.phone = asked.phone ORDER BY r.phone LIMIT 1)";
        let asked: Vec<_> = numbers.iter().map(PhoneNumber::as_str).collect();
        let known: Vec<String> = sqlx::query_scalar(sql)
            .bind(workspace.uuid())
            .bind(campaign.uuid())
            .bind(asked)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| store_error(&error))?;
        read_took(Backend::Postgres, "known_numbers", started);
        let known: Vec<_> = known
            .iter()
            .filter_map(|number| PhoneNumber::from_e164_shape(number))
            .collect();
        Ok(sorted(&known))
    }

    async fn call(&self, workspace: WorkspaceId, id: CallId) -> Result<Option<Call>, StoreError> {
        let sql = "SELECT doc FROM calls WHERE workspace_id = $1 AND id = $2";
        self.by_id("call", sql, workspace, id.uuid()).await
    }

    async fn calls(&self, workspace: WorkspaceId, filter: &CallFilter, slice: Slice) -> Result<Page<Call>, StoreError> {
        let conditions = Conditions::workspace("calls", workspace)
            .and("campaign_id", filter.campaign_id.map(CampaignId::uuid))
            .and("record_id", filter.record_id.map(RecordId::uuid))
            .and("agent_id", filter.agent_id.map(AgentId::uuid))
            .and("state", filter.state.map(|state| state.as_str()));
        self.page("calls", conditions, slice).await
    }

    async fn open_calls(&self) -> Result<Vec<Call>, StoreError> {
        let sql = "SELECT doc FROM calls WHERE state <> 'closed' ORDER BY created_at, workspace_id, id";
        self.all("open_calls", sqlx::query_scalar(sql)).await
    }

    async fn live_calls(&self) -> Result<Vec<LiveCall>, StoreError> {
        static SQL: LazyLock<String> = LazyLock::new(|| {
            format!(
                "SELECT workspace_id, id, campaign_id, trunk_id FROM calls WHERE state IN ({}) ORDER BY workspace_id, id",
                live_states()
            )
        });
        let started = Instant::now();
        let rows: Vec<(Uuid, Uuid, Option<Uuid>, Option<Uuid>)> = sqlx::query_as(SQL.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(|error| store_error(&error))?;
        read_took(Backend::Postgres, "live_calls", started);
        let calls = rows.into_iter().map(|(workspace, call, campaign, trunk)| LiveCall {
            workspace_id: WorkspaceId::new(workspace),
            call_id: CallId::new(call),
            campaign_id: campaign.map(CampaignId::new),
            trunk_id: trunk.map(TrunkId::new),
        });
        Ok(calls.collect())
    }

    async fn queued_calls(&self, limit: u32) -> Result<Vec<Call>, StoreError> {
        let sql = "SELECT doc FROM calls WHERE state = 'queued' ORDER BY created_at, workspace_id, id LIMIT $1";
        self.all("queued_calls", sqlx::query_scalar(sql).bind(i64::from(limit)))
            .await
    }

    async fn do_not_call(
        &self,
        workspace: WorkspaceId,
        phones: &[PhoneNumber],
    ) -> Result<Vec<DoNotCallEntry>, StoreError> {
        let sql = "SELECT doc FROM do_not_call WHERE workspace_id = $1 AND phone = ANY($2) ORDER BY phone";
        let asked: Vec<_> = phones.iter().map(PhoneNumber::as_str).collect();
        self.all(
            "do_not_call",
            sqlx::query_scalar(sql).bind(workspace.uuid()).bind(asked),
        )
        .await
    }

    async fn do_not_call_list(&self, workspace: WorkspaceId, slice: Slice) -> Result<Page<DoNotCallEntry>, StoreError> {
        let sql = "SELECT doc FROM do_not_call WHERE workspace_id = $1 ORDER BY phone LIMIT $2 OFFSET $3";
        let query = sqlx::query_scalar(sql).bind(workspace.uuid());
        let query = query.bind(i64::from(slice.limit)).bind(bigint(slice.offset));
        let items = self.all("do_not_call_list", query).await?;
        let total: i64 = sqlx::query_scalar("SELECT count(*) FROM do_not_call WHERE workspace_id = $1")
            .bind(workspace.uuid())
            .fetch_one(&self.pool)
            .await
            .map_err(|error| store_error(&error))?;
        Ok(Page {
            items,
            total: u64::try_from(total).unwrap_or(0),
        })
    }

    async fn counters(&self, workspace: WorkspaceId, names: &[String]) -> Result<BTreeMap<String, i64>, StoreError> {
        let started = Instant::now();
        let values: Vec<(String, i64)> =
            sqlx::query_as("SELECT name, value FROM counters WHERE workspace_id = $1 AND name = ANY($2)")
                .bind(workspace.uuid())
                .bind(names)
                .fetch_all(&self.pool)
                .await
                .map_err(|error| store_error(&error))?;
        read_took(Backend::Postgres, "counters", started);
        Ok(values.into_iter().collect())
    }

    async fn endpoint(&self, workspace: WorkspaceId, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        let sql = "SELECT doc FROM endpoints WHERE workspace_id = $1 AND id = $2";
        self.by_id("endpoint", sql, workspace, id.uuid()).await
    }

    async fn endpoints(&self, workspace: WorkspaceId) -> Result<Vec<Endpoint>, StoreError> {
        let sql = "SELECT doc FROM endpoints WHERE workspace_id = $1 ORDER BY created_at, id";
        self.of_workspace("endpoints", sql, workspace).await
    }

    async fn delivery(&self, workspace: WorkspaceId, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let sql = "SELECT doc FROM deliveries WHERE workspace_id = $1 AND id = $2";
        self.by_id("delivery", sql, workspace, id.uuid()).await
    }

    async fn deliveries(
        &self,
        workspace: WorkspaceId,
        filter: &DeliveryFilter,
        slice: Slice,
    ) -> Result<Page<Delivery>, StoreError> {
        let conditions = Conditions::workspace("deliveries", workspace)
            .and("endpoint_id", filter.endpoint_id.map(EndpointId::uuid))
            .and("call_id", filter.call_id.map(CallId::uuid))
            .and("state", filter.state.clone());
        self.page("deliveries", conditions, slice).await
    }

    async fn delivery_attempts(
        &self,
        workspace: WorkspaceId,
        id: DeliveryId,
    ) -> Result<Vec<DeliveryAttempt>, StoreError> {
        let sql = "SELECT doc FROM delivery_attempts WHERE workspace_id = $1 AND id = $2 ORDER BY number";
        self.all(
            "delivery_attempts",
            sqlx::query_scalar(sql).bind(workspace.uuid()).bind(id.uuid()),
        )
        .await
    }

    async fn due_deliveries(&self, now: UnixMicros, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        let sql = "SELECT doc FROM deliveries WHERE due_at <= $1 ORDER BY due_at, workspace_id, id LIMIT $2";
        self.all(
            "due_deliveries",
            sqlx::query_scalar(sql).bind(now.micros()).bind(i64::from(limit)),
        )
        .await
    }

    async fn next_delivery_due_at(&self) -> Result<Option<UnixMicros>, StoreError> {
        let sql = "SELECT due_at FROM deliveries WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1";
        self.moment("next_delivery_due_at", sqlx::query_scalar(sql)).await
    }
}
