//! How a chunk becomes SQL, inside the committer's transaction.

use super::plan::{Chunk, Delta, Insert, Removed, Update};
use crate::table::{Kind, Row, Table, Value, Write};
use carillon_interfaces::store::{CommitError, StoreError};
use sqlx::postgres::{PgArguments, PgConnection, Postgres};
use sqlx::query::Query;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::LazyLock;
use uuid::Uuid;

/// Why a transition was not written.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is its own fault: it would fail again.
    Decided(CommitError),
    /// Another transaction was in the way; it may be tried again.
    Transient(sqlx::Error),
    /// The connection or the server failed.
    Broken(sqlx::Error),
}

impl Refusal {
    pub(super) fn into_commit_error(self) -> CommitError {
        match self {
            Self::Decided(error) => error,
            Self::Transient(error) | Self::Broken(error) => failed(&error),
        }
    }
}

/// What PostgreSQL says, as the error of a commit.
pub(super) fn failed(error: &sqlx::Error) -> CommitError {
    CommitError::Store(store_error(error))
}

pub(super) fn store_error(error: &sqlx::Error) -> StoreError {
    StoreError(format!("postgres: {error}"))
}

/// SQLSTATE classes, by PostgreSQL's appendix A.
fn refusal(error: sqlx::Error, conflict: impl FnOnce() -> CommitError) -> Refusal {
    let code = error
        .as_database_error()
        .and_then(|error| error.code())
        .map(|code| code.into_owned());
    match code.as_deref() {
        Some("23505") => Refusal::Decided(conflict()),
        Some("40001" | "40P01") => Refusal::Transient(error),
        // Server is shutting down or out of resources: the connection is of no more use.
        Some(code) if code.starts_with("57") || code.starts_with("53") => Refusal::Broken(error),
        Some(_) => Refusal::Decided(failed(&error)),
        None => Refusal::Broken(error),
    }
}

fn plain(error: sqlx::Error) -> Refusal {
    refusal(error, || CommitError::Conflict("a unique value".to_owned()))
}

struct Sql {
    insert: String,
    update: String,
}

static SQL: LazyLock<BTreeMap<Table, Sql>> = LazyLock::new(|| {
    let of = |table| {
        (
            table,
            Sql {
                insert: insert_sql(table),
                update: update_sql(table),
            },
        )
    };
    Table::ALL.into_iter().map(of).collect()
});

/// `unnest($1::uuid[], …) AS u (workspace_id, …)` over `first` and the key columns, and the names alone.
fn unnest(first: &[(&'static str, &str)], table: Table, numbered: bool) -> (String, Vec<&'static str>) {
    let mut columns = first.to_vec();
    columns.extend(table.key_columns().iter().map(|(name, kind)| (*name, array(*kind))));
    if numbered {
        columns.push(("number", "bigint"));
    }
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let arrays: Vec<_> = columns
        .iter()
        .zip(1..)
        .map(|((_, kind), place)| format!("${place}::{kind}[]"))
        .collect();
    (
        format!("unnest({}) AS u ({})", arrays.join(", "), names.join(", ")),
        names,
    )
}

const fn array(kind: Kind) -> &'static str {
    match kind {
        Kind::Id => "uuid",
        Kind::Text => "text",
        Kind::Int => "bigint",
    }
}

fn insert_sql(table: Table) -> String {
    let first = [("workspace_id", "uuid"), ("id", "uuid"), ("doc", "text")];
    let (rows, names) = unnest(&first, table, table.is_numbered());
    let names = names.join(", ");
    if table == Table::DeliveryAttempts {
        format!("INSERT INTO {} ({names}) SELECT {names} FROM {rows}", table.name())
    } else {
        format!(
            "INSERT INTO {} ({names}, version) SELECT {names}, 1 FROM {rows}",
            table.name()
        )
    }
}

fn update_sql(table: Table) -> String {
    let first = [
        ("workspace_id", "uuid"),
        ("id", "uuid"),
        ("doc", "text"),
        ("expected", "bigint"),
    ];
    let (rows, _) = unnest(&first, table, false);
    let mut sql = format!("UPDATE {} AS t SET version = u.expected + 1, doc = u.doc", table.name());
    for (name, _) in table.key_columns() {
        // Writing to a String cannot fail.
        let _ok = write!(sql, ", {name} = u.{name}");
    }
    sql + " FROM " + &rows + " WHERE t.workspace_id = u.workspace_id AND t.id = u.id AND t.version = u.expected"
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// Binds the key columns of all rows, one array each.
fn bind_keys<'q>(mut statement: Statement<'q>, table: Table, rows: &[&Row]) -> Statement<'q> {
    for (index, (_, kind)) in table.key_columns().iter().enumerate() {
        let values = || rows.iter().map(|row| row.keys.get(index));
        statement = match kind {
            Kind::Id => statement.bind(values().map(id).collect::<Vec<_>>()),
            Kind::Text => statement.bind(values().map(text).collect::<Vec<_>>()),
            Kind::Int => statement.bind(values().map(int).collect::<Vec<_>>()),
        };
    }
    statement
}

fn id(value: Option<&Value>) -> Option<Uuid> {
    match value {
        Some(Value::Id(id)) => *id,
        _ => None,
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    match value {
        Some(Value::Text(text)) => Some(text.clone().into_owned()),
        _ => None,
    }
}

fn int(value: Option<&Value>) -> Option<i64> {
    match value {
        Some(Value::Int(number)) => *number,
        _ => None,
    }
}

/// Writes a chunk. After a refusal, what it wrote so far is the caller's to roll back. Hot rows come last.
pub(super) async fn apply(db: &mut PgConnection, chunk: &Chunk<'_>) -> Result<(), Refusal> {
    for (table, rows) in &chunk.inserts {
        insert(db, *table, rows).await?;
    }
    for (table, rows) in &chunk.updates {
        update(db, *table, rows).await?;
    }
    for removed in &chunk.removals {
        remove(db, removed).await?;
    }
    do_not_call(db, &chunk.do_not_call).await?;
    for (workspace, write) in &chunk.api_keys {
        put_api_key(db, *workspace, write).await?;
    }
    counters(db, &chunk.counters).await
}

async fn insert(db: &mut PgConnection, table: Table, inserts: &[Insert<'_>]) -> Result<(), Refusal> {
    let rows: Vec<_> = inserts.iter().map(|insert| insert.row).collect();
    let statement = sqlx::query(SQL[&table].insert.as_str())
        .bind(inserts.iter().map(|insert| insert.workspace).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.id).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.doc.as_str()).collect::<Vec<_>>());
    let mut statement = bind_keys(statement, table, &rows);
    if table.is_numbered() {
        statement = statement.bind(inserts.iter().map(|insert| insert.number).collect::<Vec<_>>());
    }
    let conflict = || match rows.as_slice() {
        [row] => row.conflict(),
        rows => CommitError::Conflict(format!("one of {} rows: {}", rows.len(), table.noun())),
    };
    statement.execute(db).await.map_err(|error| refusal(error, conflict))?;
    Ok(())
}

async fn update(db: &mut PgConnection, table: Table, updates: &[Update<'_>]) -> Result<(), Refusal> {
    let rows: Vec<_> = updates.iter().map(|update| update.row).collect();
    let statement = sqlx::query(SQL[&table].update.as_str())
        .bind(updates.iter().map(|update| update.workspace).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.id).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.doc.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.expected).collect::<Vec<_>>());
    let conflict = || CommitError::Conflict(format!("a unique value of a {}", table.noun()));
    let done = bind_keys(statement, table, &rows)
        .execute(db)
        .await
        .map_err(|error| refusal(error, conflict))?;
    if usize::try_from(done.rows_affected()).unwrap_or(usize::MAX) == rows.len() {
        return Ok(());
    }
    Err(Refusal::Decided(match rows.as_slice() {
        [row] => row.stale(),
        rows => CommitError::Stale(format!("one of {} rows: {}", rows.len(), table.noun())),
    }))
}

async fn remove(db: &mut PgConnection, removed: &Removed) -> Result<(), Refusal> {
    let sql = format!(
        "DELETE FROM {} WHERE workspace_id = $1 AND id = $2 AND version = $3",
        removed.table.name()
    );
    let done = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(removed.workspace)
        .bind(removed.id)
        .bind(removed.expected)
        .execute(db)
        .await
        .map_err(plain)?;
    if done.rows_affected() == 0 {
        let stale = crate::table::stale(removed.table, removed.id, removed.expected);
        return Err(Refusal::Decided(stale));
    }
    Ok(())
}

async fn do_not_call(db: &mut PgConnection, entries: &BTreeMap<(Uuid, &str), Option<&str>>) -> Result<(), Refusal> {
    let put: Vec<_> = entries
        .iter()
        .filter_map(|((ws, phone), doc)| Some((*ws, *phone, (*doc)?)))
        .collect();
    let removed: Vec<_> = entries
        .iter()
        .filter(|(_, doc)| doc.is_none())
        .map(|(key, _)| *key)
        .collect();
    if !put.is_empty() {
        sqlx::query(
            "INSERT INTO do_not_call (workspace_id, phone, doc)
             SELECT workspace_id, phone, doc FROM unnest($1::uuid[], $2::text[], $3::text[]) AS u (workspace_id, phone, doc)
             ON CONFLICT (workspace_id, phone) DO UPDATE SET doc = excluded.doc",
        )
        .bind(put.iter().map(|(ws, ..)| *ws).collect::<Vec<_>>())
        .bind(put.iter().map(|(_, phone, _)| *phone).collect::<Vec<_>>())
        .bind(put.iter().map(|(.., doc)| *doc).collect::<Vec<_>>())
        .execute(&mut *db)
        .await
        .map_err(plain)?;
    }
    if !removed.is_empty() {
        sqlx::query(
            "DELETE FROM do_not_call AS t USING unnest($1::uuid[], $2::text[]) AS u (workspace_id, phone)
             WHERE t.workspace_id = u.workspace_id AND t.phone = u.phone",
        )
        .bind(removed.iter().map(|(ws, _)| *ws).collect::<Vec<_>>())
        .bind(removed.iter().map(|(_, phone)| *phone).collect::<Vec<_>>())
        .execute(db)
        .await
        .map_err(plain)?;
    }
    Ok(())
}

async fn put_api_key(db: &mut PgConnection, workspace: Uuid, write: &Write) -> Result<(), Refusal> {
    let Write::PutApiKey {
        id,
        hash,
        created_at,
        doc,
    } = write
    else {
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO api_keys (workspace_id, id, hash, created_at, doc) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (workspace_id, id) DO UPDATE
         SET hash = excluded.hash, created_at = excluded.created_at, doc = excluded.doc",
    )
    .bind(workspace)
    .bind(id)
    .bind(hash)
    .bind(created_at)
    .bind(doc)
    .execute(db)
    .await
    .map_err(|error| refusal(error, || CommitError::Conflict(format!("the hash of API key {id}"))))?;
    Ok(())
}

/// Makes missing counters, then adds where the bounds allow it. Sums are compared as `numeric`, which has no range to leave.
async fn counters(db: &mut PgConnection, counters: &BTreeMap<(Uuid, &str), Delta>) -> Result<(), Refusal> {
    if counters.is_empty() {
        return Ok(());
    }
    let workspaces: Vec<_> = counters.keys().map(|(ws, _)| *ws).collect();
    let names: Vec<_> = counters.keys().map(|(_, name)| *name).collect();
    sqlx::query(
        "INSERT INTO counters (workspace_id, name, value)
         SELECT workspace_id, name, 0 FROM unnest($1::uuid[], $2::text[]) AS u (workspace_id, name)
         ON CONFLICT (workspace_id, name) DO NOTHING",
    )
    .bind(&workspaces)
    .bind(&names)
    .execute(&mut *db)
    .await
    .map_err(plain)?;
    let deltas = |of: fn(&Delta) -> i64| counters.values().map(of).collect::<Vec<_>>();
    let added: Vec<(Uuid, String)> = sqlx::query_as(
        "UPDATE counters AS t SET value = t.value + u.add
         FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
              AS u (workspace_id, name, add, rise, fall, max, floor)
         WHERE t.workspace_id = u.workspace_id AND t.name = u.name
           AND t.value::numeric + u.rise <= u.max AND t.value::numeric + u.fall >= u.floor
         RETURNING t.workspace_id, t.name",
    )
    .bind(&workspaces)
    .bind(&names)
    .bind(deltas(|delta| delta.add))
    .bind(deltas(|delta| delta.rise))
    .bind(deltas(|delta| delta.fall))
    .bind(deltas(|delta| delta.max))
    .bind(deltas(|delta| delta.floor))
    .fetch_all(db)
    .await
    .map_err(plain)?;
    let added: BTreeSet<(Uuid, &str)> = added.iter().map(|(ws, name)| (*ws, name.as_str())).collect();
    match counters.keys().find(|key| !added.contains(key)) {
        Some((_, name)) => Err(Refusal::Decided(CommitError::CounterBound((*name).to_owned()))),
        None => Ok(()),
    }
}
