//! How one transition becomes SQL, inside the writer's transaction.

use crate::counter;
use crate::table::{Prepared, RECORD_STATUS, Row, Table, Value, Write, stale};
use carillon_interfaces::store::{CommitError, StoreError};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OptionalExtension, ToSql, params};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use uuid::Uuid;

/// `INSERT` and `UPDATE` of each table.
static SQL: LazyLock<BTreeMap<Table, (String, String)>> = LazyLock::new(|| {
    Table::ALL
        .into_iter()
        .map(|table| (table, (insert_sql(table), update_sql(table))))
        .collect()
});

fn insert_sql(table: Table) -> String {
    let mut columns = vec!["workspace_id", "id", "doc"];
    if table != Table::DeliveryAttempts {
        columns.push("version");
    }
    columns.extend(table.key_columns().iter().map(|(name, _)| *name));
    if table.is_numbered() {
        columns.push("number");
    }
    let places: Vec<_> = (1..=columns.len()).map(|place| format!("?{place}")).collect();
    format!(
        "INSERT INTO {} ({}) VALUES ({})",
        table.name(),
        columns.join(", "),
        places.join(", ")
    )
}

fn update_sql(table: Table) -> String {
    let mut sql = format!("UPDATE {} SET version = ?3 + 1, doc = ?4", table.name());
    let changing = table.key_columns().iter().filter(|(name, _)| Table::may_change(name));
    for ((name, _), place) in changing.zip(5..) {
        sql.push_str(&format!(", {name} = ?{place}"));
    }
    sql.push_str(" WHERE workspace_id = ?1 AND id = ?2 AND version = ?3");
    sql
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Id(Some(id)) => ValueRef::Blob(id.as_bytes()),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Int(Some(number)) => ValueRef::Integer(*number),
            Self::Id(None) | Self::Int(None) => ValueRef::Null,
        }))
    }
}

/// What SQLite says, as the error of a commit.
pub(super) fn failed(error: &rusqlite::Error) -> CommitError {
    CommitError::Store(StoreError(format!("sqlite: {error}")))
}

fn refused(row: &Row, error: &rusqlite::Error) -> CommitError {
    if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) {
        row.conflict()
    } else {
        failed(error)
    }
}

/// The next number of each (workspace, table) that was used in this transaction or an earlier one. There is one writer, so
/// memory is always right; numbers of transitions that failed are not used again.
#[derive(Default)]
pub(super) struct Numbers {
    next: BTreeMap<(Uuid, Table), i64>,
    unsaved: Vec<(Uuid, Table)>,
}

impl Numbers {
    fn take(&mut self, connection: &Connection, workspace: Uuid, table: Table) -> rusqlite::Result<i64> {
        let key = (workspace, table);
        let number = match self.next.get(&key) {
            Some(next) => *next,
            None => connection
                .prepare_cached("SELECT next FROM sequences WHERE workspace_id = ?1 AND name = ?2")?
                .query_row(params![workspace.as_bytes(), table.name()], |row| row.get(0))
                .optional()?
                .unwrap_or(1),
        };
        self.next.insert(key, number.saturating_add(1));
        if self.unsaved.last() != Some(&key) && !self.unsaved.contains(&key) {
            self.unsaved.push(key);
        }
        Ok(number)
    }

    /// Stores what was taken, before the commit.
    pub(super) fn save(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        for (workspace, table) in self.unsaved.drain(..) {
            connection
                .prepare_cached(
                    "INSERT INTO sequences (workspace_id, name, next) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET next = excluded.next",
                )?
                .execute(params![
                    workspace.as_bytes(),
                    table.name(),
                    self.next.get(&(workspace, table))
                ])?;
        }
        Ok(())
    }

    /// Forgets everything: the transaction was rolled back.
    pub(super) fn forget(&mut self) {
        self.next.clear();
        self.unsaved.clear();
    }
}

/// How many records a transition adds to each (campaign, status), and takes away.
#[derive(Default)]
struct RecordCounts {
    deltas: BTreeMap<(Uuid, String), i64>,
}

impl RecordCounts {
    fn add(&mut self, campaign: Uuid, status: &str, count: i64) {
        *self.deltas.entry((campaign, status.to_owned())).or_default() += count;
    }

    fn add_row(&mut self, row: &Row) {
        let campaign_and_status = (row.keys.first(), row.keys.get(RECORD_STATUS));
        if let (Table::Records, (Some(Value::Id(Some(campaign))), Some(Value::Text(status)))) =
            (row.table, campaign_and_status)
        {
            self.add(*campaign, status, 1);
        }
    }

    /// Takes away the row that is about to be replaced, if it is still the one that was decided on.
    fn remove_stored(&mut self, connection: &Connection, workspace: Uuid, row: &Row) -> rusqlite::Result<()> {
        if row.table != Table::Records {
            return Ok(());
        }
        let stored: Option<([u8; 16], String)> = connection
            .prepare_cached(
                "SELECT campaign_id, status FROM records WHERE workspace_id = ?1 AND id = ?2 AND version = ?3",
            )?
            .query_row(params![workspace.as_bytes(), row.id.as_bytes(), row.expected], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        if let Some((campaign, status)) = stored {
            self.add(Uuid::from_bytes(campaign), &status, -1);
        }
        Ok(())
    }

    fn save(self, connection: &Connection, workspace: Uuid) -> rusqlite::Result<()> {
        for ((campaign, status), count) in self.deltas.into_iter().filter(|(_, count)| *count != 0) {
            connection
                .prepare_cached(
                    "INSERT INTO record_counts (workspace_id, campaign_id, status, count) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET count = count + excluded.count",
                )?
                .execute(params![workspace.as_bytes(), campaign.as_bytes(), status, count])?;
        }
        Ok(())
    }
}

/// Writes a transition. After an error, what it wrote so far is the caller's to roll back.
pub(super) fn apply(connection: &Connection, numbers: &mut Numbers, prepared: &Prepared) -> Result<(), CommitError> {
    let workspace = prepared.workspace_id;
    let mut counts = RecordCounts::default();
    for write in &prepared.writes {
        match write {
            Write::Put(row) if row.expected == 0 => {
                insert(connection, numbers, workspace, row)?;
                counts.add_row(row);
            }
            Write::Put(row) => {
                counts
                    .remove_stored(connection, workspace, row)
                    .map_err(|error| failed(&error))?;
                update(connection, workspace, row)?;
                counts.add_row(row);
            }
            Write::AddToCounter {
                counter,
                add,
                max,
                floor,
            } => {
                add_to_counter(connection, workspace, counter, *add, *max, *floor)?;
            }
            Write::Remove { table, id, expected } => remove(connection, workspace, *table, *id, *expected)?,
            other => simple(connection, workspace, other).map_err(|error| failed(&error))?,
        }
    }
    counts.save(connection, workspace).map_err(|error| failed(&error))
}

fn insert(connection: &Connection, numbers: &mut Numbers, workspace: Uuid, row: &Row) -> Result<(), CommitError> {
    const FIRST_VERSION: i64 = 1;
    let mut values: Vec<&dyn ToSql> = Vec::with_capacity(row.keys.len() + 5);
    let (workspace_id, id) = (workspace.as_bytes(), row.id.as_bytes());
    values.extend([workspace_id as &dyn ToSql, id, &row.doc]);
    if row.table != Table::DeliveryAttempts {
        values.push(&FIRST_VERSION);
    }
    values.extend(row.keys.iter().map(|key| key as &dyn ToSql));
    let number;
    if row.table.is_numbered() {
        number = numbers
            .take(connection, workspace, row.table)
            .map_err(|error| failed(&error))?;
        values.push(&number);
    }
    let (sql, _) = &SQL[&row.table];
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(values.as_slice()))
        .map_err(|error| refused(row, &error))?;
    Ok(())
}

fn update(connection: &Connection, workspace: Uuid, row: &Row) -> Result<(), CommitError> {
    let (workspace_id, id) = (workspace.as_bytes(), row.id.as_bytes());
    let mut values: Vec<&dyn ToSql> = Vec::with_capacity(row.keys.len() + 4);
    values.extend([workspace_id as &dyn ToSql, id, &row.expected, &row.doc]);
    let keys = row.table.key_columns().iter().zip(&row.keys);
    values.extend(
        keys.filter(|((name, _), _)| Table::may_change(name))
            .map(|(_, key)| key as &dyn ToSql),
    );
    let (_, sql) = &SQL[&row.table];
    let changed = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(values.as_slice()))
        .map_err(|error| refused(row, &error))?;
    if changed == 0 { Err(row.stale()) } else { Ok(()) }
}

fn remove(connection: &Connection, workspace: Uuid, table: Table, id: Uuid, expected: i64) -> Result<(), CommitError> {
    let sql = format!(
        "DELETE FROM {} WHERE workspace_id = ?1 AND id = ?2 AND version = ?3",
        table.name()
    );
    let removed = connection
        .prepare_cached(&sql)
        .and_then(|mut statement| statement.execute(params![workspace.as_bytes(), id.as_bytes(), expected]))
        .map_err(|error| failed(&error))?;
    if removed == 0 {
        Err(stale(table, id, expected))
    } else {
        Ok(())
    }
}

fn add_to_counter(
    connection: &Connection,
    workspace: Uuid,
    name: &str,
    add: i64,
    max: Option<i64>,
    floor: Option<i64>,
) -> Result<(), CommitError> {
    let value = connection
        .prepare_cached("SELECT value FROM counters WHERE workspace_id = ?1 AND name = ?2")
        .and_then(|mut statement| {
            statement
                .query_row(params![workspace.as_bytes(), name], |row| row.get(0))
                .optional()
        })
        .map_err(|error| failed(&error))?
        .unwrap_or(0);
    let Some(new) = counter::add(value, add, max, floor) else {
        return Err(CommitError::CounterBound(name.to_owned()));
    };
    connection
        .prepare_cached(
            "INSERT INTO counters (workspace_id, name, value) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET value = excluded.value",
        )
        .and_then(|mut statement| statement.execute(params![workspace.as_bytes(), name, new]))
        .map_err(|error| failed(&error))?;
    Ok(())
}

/// Writes that can only fail with the store.
fn simple(connection: &Connection, workspace: Uuid, write: &Write) -> rusqlite::Result<()> {
    let workspace = workspace.as_bytes();
    match write {
        Write::PutDoNotCall { phone, doc } => {
            connection
                .prepare_cached(
                    "INSERT INTO do_not_call (workspace_id, phone, doc) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET doc = excluded.doc",
                )?
                .execute(params![workspace, phone, doc])?;
        }
        Write::RemoveDoNotCall { phone } => {
            connection
                .prepare_cached("DELETE FROM do_not_call WHERE workspace_id = ?1 AND phone = ?2")?
                .execute(params![workspace, phone])?;
        }
        Write::PutApiKey {
            id,
            hash,
            created_at,
            doc,
        } => {
            connection
                .prepare_cached(
                    "INSERT INTO api_keys (workspace_id, id, hash, created_at, doc) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (workspace_id, id) DO UPDATE
                     SET hash = excluded.hash, created_at = excluded.created_at, doc = excluded.doc",
                )?
                .execute(params![workspace, id.as_bytes(), hash, created_at, doc])?;
        }
        Write::Put(_) | Write::Remove { .. } | Write::AddToCounter { .. } => {}
    }
    Ok(())
}
