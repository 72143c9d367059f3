//! The reads of the SQLite store, and its place behind [`Store`].

use super::SqliteStore;
use crate::batch::{only, prepare, prepare_many, store_error};
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
use rusqlite::{Connection, OptionalExtension, ToSql, params};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Instant;
use uuid::Uuid;

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("sqlite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("a stored entity cannot be read: {0}")]
    Entity(#[from] serde_json::Error),
}

type Read<T> = Result<T, ReadError>;

/// As many rows are read on the asking thread at most.
const FEW: u32 = 16;

impl SqliteStore {
    /// Runs `query` on a reader, off the async threads. All that it reads is of one moment.
    async fn read<T: Send + 'static>(
        &self,
        name: &'static str,
        query: impl FnOnce(&Connection) -> Read<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let started = Instant::now();
        let readers = Arc::clone(&self.readers);
        let permit = Arc::clone(&readers.free)
            .acquire_owned()
            .await
            .map_err(|_| no_reader())?;
        let answer = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection = readers.take().ok_or_else(no_reader)?;
            let answer = in_one_moment(&connection, query);
            readers.put_back(connection);
            answer.map_err(|error| StoreError(error.to_string()))
        });
        let answer = answer.await.map_err(|error| StoreError(format!("reading: {error}")))?;
        read_took(Backend::Sqlite, name, started);
        answer
    }

    /// Runs one statement that finds a few rows by an index, right here: changing threads would cost ten times as much as
    /// reading them.
    async fn look_up<T>(
        &self,
        name: &'static str,
        query: impl FnOnce(&Connection) -> Read<T> + Send,
    ) -> Result<T, StoreError> {
        let started = Instant::now();
        let _permit = self.readers.free.acquire().await.map_err(|_| no_reader())?;
        let connection = self.readers.take().ok_or_else(no_reader)?;
        let answer = query(&connection);
        self.readers.put_back(connection);
        read_took(Backend::Sqlite, name, started);
        answer.map_err(|error| StoreError(error.to_string()))
    }

    /// All entities that `sql` selects by workspace.
    async fn of_workspace<T: DeserializeOwned + Send + 'static>(
        &self,
        name: &'static str,
        sql: &'static str,
        workspace: WorkspaceId,
    ) -> Result<Vec<T>, StoreError> {
        self.read(name, move |db| all(db, sql, &[workspace.uuid().as_bytes()]))
            .await
    }

    /// The entity that `sql` selects by workspace and id.
    async fn by_id<T: DeserializeOwned + Send + 'static>(
        &self,
        name: &'static str,
        sql: &'static str,
        workspace: WorkspaceId,
        id: Uuid,
    ) -> Result<Option<T>, StoreError> {
        self.look_up(name, move |db| {
            one(db, sql, &[workspace.uuid().as_bytes(), id.as_bytes()])
        })
        .await
    }

    async fn write_one(&self, prepared: Prepared) -> Result<(), CommitError> {
        only(self.writer.write(vec![prepared]).await?)
    }
}

fn no_reader() -> StoreError {
    StoreError("no reader is left".to_owned())
}

fn in_one_moment<T>(connection: &Connection, query: impl FnOnce(&Connection) -> Read<T>) -> Read<T> {
    let moment = connection.unchecked_transaction()?;
    let answer = query(&moment)?;
    moment.commit()?;
    Ok(answer)
}

fn all<T: DeserializeOwned>(db: &Connection, sql: &str, values: &[&dyn ToSql]) -> Read<Vec<T>> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut entities = Vec::new();
    while let Some(row) = rows.next()? {
        let doc = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        entities.push(serde_json::from_str(doc)?);
    }
    Ok(entities)
}

fn one<T: DeserializeOwned>(db: &Connection, sql: &str, values: &[&dyn ToSql]) -> Read<Option<T>> {
    Ok(all(db, sql, values)?.pop())
}

fn count(db: &Connection, sql: &str, values: &[&dyn ToSql]) -> Read<u64> {
    let count: i64 = db.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The moment in the only column of the only row, which may be NULL.
fn moment(db: &Connection, sql: &str, values: &[&dyn ToSql]) -> Read<Option<UnixMicros>> {
    let micros: Option<Option<i64>> = db.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?;
    Ok(micros.flatten().map(UnixMicros))
}

/// Conditions that a list was asked for, in SQL and values.
struct Conditions {
    sql: String,
    values: Vec<Box<dyn ToSql>>,
}

impl Conditions {
    fn workspace(id: WorkspaceId) -> Self {
        Self {
            sql: "workspace_id = ?1".to_owned(),
            values: vec![Box::new(*id.uuid().as_bytes())],
        }
    }

    fn and(&mut self, column: &str, value: Option<impl ToSql + 'static>) {
        if let Some(value) = value {
            self.values.push(Box::new(value));
            self.sql.push_str(&format!(" AND {column} = ?{}", self.values.len()));
        }
    }

    /// A page of `table`, newest first, then by id.
    fn page<T: DeserializeOwned>(&self, db: &Connection, table: &str, slice: Slice) -> Read<Page<T>> {
        let mut values: Vec<&dyn ToSql> = self.values.iter().map(AsRef::as_ref).collect();
        let total = count(db, &format!("SELECT count(*) FROM {table} WHERE {}", self.sql), &values)?;
        let (limit, offset) = (i64::from(slice.limit), i64::try_from(slice.offset).unwrap_or(i64::MAX));
        values.extend([&limit as &dyn ToSql, &offset]);
        let sql = format!(
            "SELECT doc FROM {table} WHERE {} ORDER BY created_at DESC, id LIMIT ?{} OFFSET ?{}",
            self.sql,
            values.len() - 1,
            values.len()
        );
        Ok(Page {
            items: all(db, &sql, &values)?,
            total,
        })
    }
}

fn id_bytes(id: Option<Uuid>) -> Option<[u8; 16]> {
    id.map(|id| *id.as_bytes())
}

fn optional_id(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<Uuid>> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(Uuid::from_bytes))
}

fn record_counts(db: &Connection, workspace: WorkspaceId, campaign: CampaignId) -> Read<BTreeMap<RecordStatus, u64>> {
    let mut statement = db.prepare_cached(
        "SELECT status, count FROM record_counts WHERE workspace_id = ?1 AND campaign_id = ?2 AND count > 0",
    )?;
    let mut rows = statement.query(params![workspace.uuid().as_bytes(), campaign.uuid().as_bytes()])?;
    let mut counts = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let word = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        if let Some(status) = RecordStatus::parse(word) {
            counts.insert(status, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0));
        }
    }
    Ok(counts)
}

fn entries(db: &Connection, workspace: WorkspaceId, phones: &[PhoneNumber]) -> Read<Vec<DoNotCallEntry>> {
    let sql = "SELECT doc FROM do_not_call WHERE workspace_id = ?1 AND phone = ?2";
    let workspace = workspace.uuid();
    let mut entries = Vec::new();
    for phone in phones {
        entries.extend(one::<DoNotCallEntry>(
            db,
            sql,
            &[workspace.as_bytes(), &phone.as_str()],
        )?);
    }
    Ok(entries)
}

fn live_calls(db: &Connection) -> Read<Vec<LiveCall>> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        format!(
            "SELECT workspace_id, id, campaign_id, trunk_id FROM calls WHERE state IN ({}) ORDER BY workspace_id, id",
            live_states()
        )
    });
    let mut statement = db.prepare_cached(&SQL)?;
    let calls = statement.query_map([], |row| {
        Ok(LiveCall {
            workspace_id: WorkspaceId::new(Uuid::from_bytes(row.get(0)?)),
            call_id: CallId::new(Uuid::from_bytes(row.get(1)?)),
            campaign_id: optional_id(row, 2)?.map(CampaignId::new),
            trunk_id: optional_id(row, 3)?.map(TrunkId::new),
        })
    })?;
    Ok(calls.collect::<Result<_, _>>()?)
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, transition: Transition) -> Result<(), CommitError> {
        let started = Instant::now();
        let result = self.write_one(prepare(transition).await?).await;
        commit_took(Backend::Sqlite, started);
        result
    }

    async fn commit_many(&self, transitions: Vec<Transition>) -> Vec<Result<(), CommitError>> {
        let started = Instant::now();
        let (results, ready) = prepare_many(transitions).await;
        let results = results.with(self.writer.write(ready).await);
        commit_took(Backend::Sqlite, started);
        results
    }

    async fn workspaces(&self) -> Result<Vec<Workspace>, StoreError> {
        self.read("workspaces", |db| {
            all(db, "SELECT doc FROM workspaces ORDER BY workspace_id", &[])
        })
        .await
    }

    async fn workspace(&self, id: WorkspaceId) -> Result<Option<Workspace>, StoreError> {
        self.by_id(
            "workspace",
            "SELECT doc FROM workspaces WHERE workspace_id = ?1 AND id = ?2",
            id,
            id.uuid(),
        )
        .await
    }

    async fn put_api_key(&self, key: ApiKey) -> Result<(), StoreError> {
        self.write_one(Prepared::api_key(&key)?).await.map_err(store_error)
    }

    async fn api_key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, StoreError> {
        let hash = hash.to_owned();
        self.look_up("api_key_by_hash", move |db| {
            one(db, "SELECT doc FROM api_keys WHERE hash = ?1", &[&hash])
        })
        .await
    }

    async fn api_keys(&self, workspace: WorkspaceId) -> Result<Vec<ApiKey>, StoreError> {
        let sql = "SELECT doc FROM api_keys WHERE workspace_id = ?1 ORDER BY created_at, id";
        self.of_workspace("api_keys", sql, workspace).await
    }

    async fn agent(&self, workspace: WorkspaceId, id: AgentId) -> Result<Option<Agent>, StoreError> {
        let sql = "SELECT doc FROM agents WHERE workspace_id = ?1 AND id = ?2";
        self.by_id("agent", sql, workspace, id.uuid()).await
    }

    async fn agents(&self, workspace: WorkspaceId) -> Result<Vec<Agent>, StoreError> {
        let sql = "SELECT doc FROM agents WHERE workspace_id = ?1 ORDER BY created_at, id";
        self.of_workspace("agents", sql, workspace).await
    }

    async fn clip(&self, workspace: WorkspaceId, id: ClipId) -> Result<Option<Clip>, StoreError> {
        let sql = "SELECT doc FROM clips WHERE workspace_id = ?1 AND id = ?2";
        self.by_id("clip", sql, workspace, id.uuid()).await
    }

    async fn clips(&self, workspace: WorkspaceId) -> Result<Vec<Clip>, StoreError> {
        let sql = "SELECT doc FROM clips WHERE workspace_id = ?1 ORDER BY created_at, id";
        self.of_workspace("clips", sql, workspace).await
    }

    async fn trunk(&self, workspace: WorkspaceId, id: TrunkId) -> Result<Option<Trunk>, StoreError> {
        let sql = "SELECT doc FROM trunks WHERE workspace_id = ?1 AND id = ?2";
        self.by_id("trunk", sql, workspace, id.uuid()).await
    }

    async fn trunks(&self, workspace: WorkspaceId) -> Result<Vec<Trunk>, StoreError> {
        let sql = "SELECT doc FROM trunks WHERE workspace_id = ?1 ORDER BY id";
        self.look_up("trunks", |db| all(db, sql, &[workspace.uuid().as_bytes()]))
            .await
    }

    async fn campaign(&self, workspace: WorkspaceId, id: CampaignId) -> Result<Option<Campaign>, StoreError> {
        let sql = "SELECT doc FROM campaigns WHERE workspace_id = ?1 AND id = ?2";
        self.by_id("campaign", sql, workspace, id.uuid()).await
    }

    async fn campaigns(&self, workspace: WorkspaceId) -> Result<Vec<Campaign>, StoreError> {
        let sql = "SELECT doc FROM campaigns WHERE workspace_id = ?1 ORDER BY created_at DESC, id";
        self.of_workspace("campaigns", sql, workspace).await
    }

    async fn open_campaigns(&self) -> Result<Vec<Campaign>, StoreError> {
        let sql = "SELECT doc FROM campaigns WHERE is_open = 1 ORDER BY created_at, workspace_id, id";
        self.look_up("open_campaigns", move |db| all(db, sql, &[])).await
    }

    async fn record(&self, workspace: WorkspaceId, id: RecordId) -> Result<Option<Record>, StoreError> {
        let sql = "SELECT doc FROM records WHERE workspace_id = ?1 AND id = ?2";
        self.by_id("record", sql, workspace, id.uuid()).await
    }

    async fn records(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
        status: Option<RecordStatus>,
        slice: Slice,
    ) -> Result<Page<Record>, StoreError> {
        self.read("records", move |db| {
            let mut conditions = Conditions::workspace(workspace);
            conditions.and("campaign_id", id_bytes(Some(campaign.uuid())));
            conditions.and("status", status.map(RecordStatus::as_str));
            conditions.page(db, "records", slice)
        })
        .await
    }

    async fn record_counts(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
    ) -> Result<BTreeMap<RecordStatus, u64>, StoreError> {
        self.read("record_counts", move |db| record_counts(db, workspace, campaign))
            .await
    }

    async fn due_records(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
        now: UnixMicros,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        let sql = "SELECT doc FROM records WHERE workspace_id = ?1 AND campaign_id = ?2 AND due_at <= ?3
                   ORDER BY due_at, id LIMIT ?4";
        let query = move |db: &Connection| {
            let (workspace, campaign) = (workspace.uuid(), campaign.uuid());
            all(
                db,
                sql,
                &[workspace.as_bytes(), campaign.as_bytes(), &now.micros(), &limit],
            )
        };
        match limit {
            0..=FEW => self.look_up("due_records", query).await,
            _ => self.read("due_records", query).await,
        }
    }

    async fn next_due_at(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
    ) -> Result<Option<UnixMicros>, StoreError> {
        let sql = "SELECT due_at FROM records WHERE workspace_id = ?1 AND campaign_id = ?2 AND due_at IS NOT NULL
                   ORDER BY due_at LIMIT 1";
        self.look_up("next_due_at", move |db| {
            moment(db, sql, &[workspace.uuid().as_bytes(), campaign.uuid().as_bytes()])
        })
        .await
    }

    async fn known_numbers(
        &self,
        workspace: WorkspaceId,
        campaign: CampaignId,
        numbers: &[PhoneNumber],
    ) -> Result<Vec<PhoneNumber>, StoreError> {
        let mut numbers = sorted(numbers);
        self.read("known_numbers", move |db| {
            let (workspace, campaign) = (workspace.uuid(), campaign.uuid());
            let sql = "SELECT 1 FROM records WHERE workspace_id = ?1 AND campaign_id = ?2 AND phone = ?3";
            let mut statement = db.prepare_cached(sql)?;
            let mut known = Vec::new();
            for number in numbers.drain(..) {
                if statement.exists(params![workspace.as_bytes(), campaign.as_bytes(), number.as_str()])? {
                    known.push(number);
                }
            }
            Ok(known)
        })
        .await
    }

    async fn call(&self, workspace: WorkspaceId, id: CallId) -> Result<Option<Call>, StoreError> {
        let sql = "SELECT doc FROM calls WHERE workspace_id = ?1 AND id = ?2";
        self.by_id("call", sql, workspace, id.uuid()).await
    }

    async fn calls(&self, workspace: WorkspaceId, filter: &CallFilter, slice: Slice) -> Result<Page<Call>, StoreError> {
        let filter = filter.clone();
        self.read("calls", move |db| {
            let mut conditions = Conditions::workspace(workspace);
            conditions.and("campaign_id", id_bytes(filter.campaign_id.map(CampaignId::uuid)));
            conditions.and("record_id", id_bytes(filter.record_id.map(RecordId::uuid)));
            conditions.and("agent_id", id_bytes(filter.agent_id.map(AgentId::uuid)));
            conditions.and("state", filter.state.map(|state| state.as_str()));
            conditions.page(db, "calls", slice)
        })
        .await
    }

    async fn open_calls(&self) -> Result<Vec<Call>, StoreError> {
        let sql = "SELECT doc FROM calls WHERE state <> 'closed' ORDER BY created_at, workspace_id, id";
        self.read("open_calls", move |db| all(db, sql, &[])).await
    }

    async fn live_calls(&self) -> Result<Vec<LiveCall>, StoreError> {
        self.read("live_calls", live_calls).await
    }

    async fn queued_calls(&self, limit: u32) -> Result<Vec<Call>, StoreError> {
        let sql = "SELECT doc FROM calls WHERE state = 'queued' ORDER BY created_at, workspace_id, id LIMIT ?1";
        self.look_up("queued_calls", move |db| all(db, sql, &[&limit])).await
    }

    async fn do_not_call(
        &self,
        workspace: WorkspaceId,
        phones: &[PhoneNumber],
    ) -> Result<Vec<DoNotCallEntry>, StoreError> {
        match phones {
            phones if phones.len() <= FEW as usize => {
                let phones = sorted(phones);
                self.look_up("do_not_call", |db| entries(db, workspace, &phones)).await
            }
            phones => {
                let phones = sorted(phones);
                self.read("do_not_call", move |db| entries(db, workspace, &phones))
                    .await
            }
        }
    }

    async fn do_not_call_list(&self, workspace: WorkspaceId, slice: Slice) -> Result<Page<DoNotCallEntry>, StoreError> {
        self.read("do_not_call_list", move |db| {
            let workspace = workspace.uuid();
            let (limit, offset) = (slice.limit, i64::try_from(slice.offset).unwrap_or(i64::MAX));
            let total = count(
                db,
                "SELECT count(*) FROM do_not_call WHERE workspace_id = ?1",
                &[workspace.as_bytes()],
            )?;
            let sql = "SELECT doc FROM do_not_call WHERE workspace_id = ?1 ORDER BY phone LIMIT ?2 OFFSET ?3";
            Ok(Page {
                items: all(db, sql, &[workspace.as_bytes(), &limit, &offset])?,
                total,
            })
        })
        .await
    }

    async fn counters(&self, workspace: WorkspaceId, names: &[String]) -> Result<BTreeMap<String, i64>, StoreError> {
        let names = names.to_vec();
        self.read("counters", move |db| {
            let workspace = workspace.uuid();
            let mut statement =
                db.prepare_cached("SELECT value FROM counters WHERE workspace_id = ?1 AND name = ?2")?;
            let mut values = BTreeMap::new();
            for name in names {
                let value = statement
                    .query_row(params![workspace.as_bytes(), name], |row| row.get(0))
                    .optional()?;
                values.extend(value.map(|value| (name, value)));
            }
            Ok(values)
        })
        .await
    }

    async fn endpoint(&self, workspace: WorkspaceId, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        let sql = "SELECT doc FROM endpoints WHERE workspace_id = ?1 AND id = ?2";
        self.by_id("endpoint", sql, workspace, id.uuid()).await
    }

    async fn endpoints(&self, workspace: WorkspaceId) -> Result<Vec<Endpoint>, StoreError> {
        let sql = "SELECT doc FROM endpoints WHERE workspace_id = ?1 ORDER BY created_at, id";
        self.look_up("endpoints", |db| all(db, sql, &[workspace.uuid().as_bytes()]))
            .await
    }

    async fn delivery(&self, workspace: WorkspaceId, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let sql = "SELECT doc FROM deliveries WHERE workspace_id = ?1 AND id = ?2";
        self.by_id("delivery", sql, workspace, id.uuid()).await
    }

    async fn deliveries(
        &self,
        workspace: WorkspaceId,
        filter: &DeliveryFilter,
        slice: Slice,
    ) -> Result<Page<Delivery>, StoreError> {
        let filter = filter.clone();
        self.read("deliveries", move |db| {
            let mut conditions = Conditions::workspace(workspace);
            conditions.and("endpoint_id", id_bytes(filter.endpoint_id.map(EndpointId::uuid)));
            conditions.and("call_id", id_bytes(filter.call_id.map(CallId::uuid)));
            conditions.and("state", filter.state);
            conditions.page(db, "deliveries", slice)
        })
        .await
    }

    async fn delivery_attempts(
        &self,
        workspace: WorkspaceId,
        id: DeliveryId,
    ) -> Result<Vec<DeliveryAttempt>, StoreError> {
        let sql = "SELECT doc FROM delivery_attempts WHERE workspace_id = ?1 AND id = ?2 ORDER BY number";
        self.look_up("delivery_attempts", move |db| {
            all(db, sql, &[workspace.uuid().as_bytes(), id.uuid().as_bytes()])
        })
        .await
    }

    async fn due_deliveries(&self, now: UnixMicros, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        let sql = "SELECT doc FROM deliveries WHERE due_at <= ?1 ORDER BY due_at, workspace_id, id LIMIT ?2";
        self.look_up("due_deliveries", move |db| all(db, sql, &[&now.micros(), &limit]))
            .await
    }

    async fn next_delivery_due_at(&self) -> Result<Option<UnixMicros>, StoreError> {
        let sql = "SELECT due_at FROM deliveries WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1";
        self.look_up("next_delivery_due_at", move |db| moment(db, sql, &[]))
            .await
    }
}
