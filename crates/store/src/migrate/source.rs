//! Reads a SQLite store table by table, in one transaction.

use super::{Cells, Chunk, Kind, MigrateError, TablePlan};
use crate::sqlite::connect_reader;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::path::Path;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// Most rows of a chunk.
const CHUNK_ROWS: u64 = 2_000;
/// A chunk is sent when its texts have this many bytes.
const CHUNK_BYTES: usize = 4 << 20;
/// Tables that the target keeps by itself, or has none of: its schema's version, counts that SQLite's writer keeps, and its
/// journal, which is empty in a store that was just opened.
const LEFT_OUT: [&str; 3] = ["schema_version", "record_counts", "large_pushes"];

/// Sends the plan, then every row. A receiver that is gone has failed: nothing more is read.
pub(super) fn read(
    path: &Path,
    plan: oneshot::Sender<Vec<TablePlan>>,
    chunks: &mpsc::Sender<Chunk>,
) -> Result<(), MigrateError> {
    let connection = connect_reader(path)?;
    connection.execute_batch("BEGIN")?;
    let tables = tables(&connection)?;
    if plan.send(tables.clone()).is_err() {
        return Ok(());
    }
    for (place, table) in tables.iter().enumerate() {
        if !read_table(&connection, place, table, chunks)? {
            return Ok(());
        }
    }
    Ok(())
}

fn tables(connection: &Connection) -> Result<Vec<TablePlan>, MigrateError> {
    let mut names = connection.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid",
    )?;
    let names: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    names
        .into_iter()
        .filter(|name| !LEFT_OUT.contains(&name.as_str()))
        .map(|name| plan(connection, name))
        .collect()
}

fn plan(connection: &Connection, name: String) -> Result<TablePlan, MigrateError> {
    let mut info = connection.prepare("SELECT name, type FROM pragma_table_info(?1) ORDER BY cid")?;
    let declared: Vec<(String, String)> = info
        .query_map([&name], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut columns = Vec::with_capacity(declared.len());
    for (column, declared) in declared {
        let kind = match declared.as_str() {
            "BLOB" => Kind::Id,
            "TEXT" => Kind::Text,
            "INTEGER" => Kind::Int,
            _ => return Err(MigrateError::Column { table: name, column }),
        };
        columns.push((column, kind));
    }
    let rows: i64 = connection.query_row(&format!("SELECT count(*) FROM {name}"), [], |row| row.get(0))?;
    Ok(TablePlan {
        name,
        columns,
        rows: rows.unsigned_abs(),
    })
}

/// Whether the receiver is still there.
fn read_table(
    connection: &Connection,
    place: usize,
    table: &TablePlan,
    chunks: &mpsc::Sender<Chunk>,
) -> Result<bool, MigrateError> {
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
    let mut select = connection.prepare(&format!("SELECT {} FROM {}", names.join(", "), table.name))?;
    let mut rows = select.query([])?;
    let empty = || {
        let columns = table.columns.iter().map(|(_, kind)| Cells::new(*kind)).collect();
        Chunk {
            table: place,
            columns,
            rows: 0,
        }
    };
    let (mut chunk, mut bytes, mut read) = (empty(), 0, 0);
    while let Some(row) = rows.next()? {
        read += 1;
        for (column, cells) in chunk.columns.iter_mut().enumerate() {
            bytes += cells.push(row.get_ref(column)?).map_err(|problem| {
                let column = names.get(column).copied().unwrap_or_default().to_owned();
                let table = table.name.clone();
                match problem {
                    CellProblem::Nul => MigrateError::NulByte {
                        table,
                        row: read,
                        column,
                    },
                    CellProblem::Kind => MigrateError::Column { table, column },
                }
            })?;
        }
        chunk.rows += 1;
        if chunk.rows >= CHUNK_ROWS || bytes >= CHUNK_BYTES {
            bytes = 0;
            if chunks.blocking_send(std::mem::replace(&mut chunk, empty())).is_err() {
                return Ok(false);
            }
        }
    }
    Ok(chunk.rows == 0 || chunks.blocking_send(chunk).is_ok())
}

enum CellProblem {
    Nul,
    Kind,
}

impl Cells {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Id => Self::Id(Vec::new()),
            Kind::Text => Self::Text(Vec::new()),
            Kind::Int => Self::Int(Vec::new()),
        }
    }

    /// Adds a cell; how many bytes it has.
    fn push(&mut self, value: ValueRef<'_>) -> Result<usize, CellProblem> {
        match (self, value) {
            (Self::Id(cells), ValueRef::Null) => cells.push(None),
            (Self::Text(cells), ValueRef::Null) => cells.push(None),
            (Self::Int(cells), ValueRef::Null) => cells.push(None),
            (Self::Id(cells), ValueRef::Blob(bytes)) => {
                cells.push(Some(Uuid::from_slice(bytes).map_err(|_| CellProblem::Kind)?));
            }
            (Self::Text(cells), ValueRef::Text(bytes)) => {
                let text = std::str::from_utf8(bytes).map_err(|_| CellProblem::Kind)?;
                if text.contains('\0') {
                    return Err(CellProblem::Nul);
                }
                cells.push(Some(text.to_owned()));
                return Ok(bytes.len());
            }
            (Self::Int(cells), ValueRef::Integer(number)) => cells.push(Some(number)),
            _ => return Err(CellProblem::Kind),
        }
        Ok(16)
    }
}
