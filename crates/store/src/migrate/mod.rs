//! Moves a SQLite store to PostgreSQL: every table, every workspace, in one transaction of the target.
//!
//! The source is locked as a server locks it, so a running server refuses the move, and no server starts on the source while
//! it lasts. It is read in one transaction and never written. The target must be empty; its tables are locked until the
//! end, so a server that starts there too early waits. Counts are compared before the commit. Whatever fails, the target
//! holds nothing but empty tables, and the move can be started again.

mod source;
mod target;

use crate::error::OpenError;
use crate::{redacted, sqlite, sqlite_path};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// Chunks of rows that may wait for the target: each is at most a few megabytes.
const CHUNKS_WAITING: usize = 2;

/// Why nothing was moved.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The source is no SQLite store.
    #[error("cannot move from `{0}`: the source is `sqlite:` or `sqlite:PATH`")]
    Source(String),
    /// The target is no PostgreSQL database.
    #[error("cannot move to `{0}`: the target is `postgres://USER@HOST/DATABASE`")]
    Target(String),
    /// There is nothing at the source.
    #[error("there is no store at {0}: name the data folder, or write sqlite:PATH")]
    NoSource(PathBuf),
    /// The target holds something already.
    #[error("the target has {rows} rows in `{table}`: move to an empty database, such as a new one")]
    NotEmpty {
        /// The first table with rows.
        table: String,
        /// How many.
        rows: u64,
    },
    /// A text that PostgreSQL cannot hold.
    #[error("row {row} of `{table}` has a NUL byte in `{column}`, which PostgreSQL cannot hold: nothing was moved")]
    NulByte {
        /// The table.
        table: String,
        /// Which row, from 1.
        row: u64,
        /// The column.
        column: String,
    },
    /// A column of a kind that the target does not know.
    #[error("`{table}.{column}` is neither an id nor text nor a whole number: use the carillon that wrote it")]
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The target has another number of rows than the source.
    #[error("`{table}` has {source_rows} rows in the source and {target_rows} in the target: nothing was moved")]
    Counts {
        /// The table.
        table: String,
        /// Rows of the source.
        source_rows: u64,
        /// Rows that arrived.
        target_rows: u64,
    },
    /// One of the two cannot be opened; for a source that a server uses [`OpenError::InUse`].
    #[error(transparent)]
    Open(#[from] OpenError),
    /// SQLite refused a read.
    #[error("reading the source: {0}")]
    Read(#[from] rusqlite::Error),
    /// PostgreSQL refused.
    #[error("writing the target: {0}")]
    Write(#[from] sqlx::Error),
    /// A task of the move ended early.
    #[error("the move broke off: {0}")]
    BrokeOff(String),
}

/// How far a move is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrateProgress {
    /// The table that is being moved.
    pub table: String,
    /// Rows moved so far, over all tables.
    pub moved: u64,
    /// Rows in all.
    pub total: u64,
}

/// What was moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigrateReport {
    /// The file that was read.
    pub source: PathBuf,
    /// Rows by table, in the order in which they were moved.
    pub tables: Vec<(String, u64)>,
}

/// What a cell holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Id,
    Text,
    Int,
}

/// A table of the source. Its columns follow from the source's own schema, so that a table which is added to the
/// migrations is moved as well.
#[derive(Clone, Debug)]
struct TablePlan {
    name: String,
    columns: Vec<(String, Kind)>,
    rows: u64,
}

/// Rows of one table, column by column.
#[derive(Debug)]
struct Chunk {
    /// Place of the table among the plans.
    table: usize,
    columns: Vec<Cells>,
    rows: u64,
}

/// The cells of one column.
#[derive(Clone, Debug)]
enum Cells {
    Id(Vec<Option<uuid::Uuid>>),
    Text(Vec<Option<String>>),
    Int(Vec<Option<i64>>),
}

/// Moves the SQLite store of `from` (as for [`crate::open`], below `data_dir`) to the PostgreSQL database of `to`, and tells
/// how far it is.
///
/// # Errors
///
/// [`MigrateError`]; nothing was moved then.
pub async fn migrate(
    from: &str,
    data_dir: &Path,
    to: &str,
    mut progress: impl FnMut(&MigrateProgress),
) -> Result<MigrateReport, MigrateError> {
    let Some(("sqlite", path)) = from.split_once(':') else {
        return Err(MigrateError::Source(redacted(from)));
    };
    if !matches!(to.split_once(':'), Some(("postgres" | "postgresql", _))) {
        return Err(MigrateError::Target(redacted(to)));
    }
    let path = sqlite_path(path, data_dir);
    if !path.is_file() {
        return Err(MigrateError::NoSource(path));
    }
    // Opening takes the lock and brings an older file's schema up to date.
    let opened = path.clone();
    let lock = blocking(move || sqlite::SqliteStore::open(&opened).map_err(MigrateError::from)).await?;
    let (sender, mut chunks) = mpsc::channel(CHUNKS_WAITING);
    let (plan_sender, plan) = tokio::sync::oneshot::channel();
    let reading = path.clone();
    let reader = tokio::task::spawn_blocking(move || source::read(&reading, plan_sender, &sender));
    let Ok(tables) = plan.await else {
        // It ended before it had a plan: its own words say why.
        joined(reader.await)?;
        return Err(MigrateError::BrokeOff("the source has no plan".to_owned()));
    };
    let total = tables.iter().map(|table| table.rows).sum();
    let mut target = target::Target::open(to).await?;
    let mut moving = target.begin().await?;
    moving.refuse_unless_empty(&tables).await?;
    let mut moved = 0;
    while let Some(chunk) = chunks.recv().await {
        let Some(table) = tables.get(chunk.table) else { continue };
        moving.insert(table, &chunk).await?;
        moved += chunk.rows;
        progress(&MigrateProgress {
            table: table.name.clone(),
            moved,
            total,
        });
    }
    joined(reader.await)?;
    moving.compare(&tables).await?;
    moving.commit().await?;
    drop(lock);
    Ok(MigrateReport {
        source: path,
        tables: tables.into_iter().map(|table| (table.name, table.rows)).collect(),
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MigrateError> + Send + 'static,
) -> Result<T, MigrateError> {
    joined(tokio::task::spawn_blocking(work).await)
}

fn joined<T>(result: Result<Result<T, MigrateError>, tokio::task::JoinError>) -> Result<T, MigrateError> {
    result.map_err(|error| MigrateError::BrokeOff(error.to_string()))?
}
