//! Why a store cannot be opened.

use carillon_interfaces::store::StoreError;
use std::path::PathBuf;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no store that we know.
    #[error("`{0}` is no store; use `sqlite:`, `sqlite:PATH`, `postgres://USER@HOST/DATABASE` or `memory:`")]
    UnknownUrl(String),
    /// Another process has the database open.
    #[error("{path} is in use by {owner}: stop it, or use another data folder")]
    InUse {
        /// The database.
        path: PathBuf,
        /// What the other process wrote about itself.
        owner: String,
    },
    /// A newer program has changed the schema.
    #[error(
        "the database has schema version {found}, this program knows {known}: use a newer carillon, or restore a backup"
    )]
    NewerSchema {
        /// The version in the database.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// SQLite cannot use a write-ahead log there, as on some network file systems.
    #[error("{path} cannot use a write-ahead log (journal mode `{mode}`): put it on a local disk")]
    NoWal {
        /// The database.
        path: PathBuf,
        /// The mode that SQLite fell back to.
        mode: String,
    },
    /// A file cannot be made or read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A large push of an earlier run cannot be brought to its end.
    #[error(
        "a large push of an earlier run cannot be brought to its end: {0}; restore a backup, or remove it from `large_pushes`"
    )]
    Push(String),
    /// SQLite refused.
    #[error("sqlite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL refused.
    #[error("postgres: {0}")]
    Postgres(#[from] sqlx::Error),
    /// The server is too old.
    #[error("the server is PostgreSQL {found}; 15 or later is needed")]
    OldServer {
        /// What it says it is.
        found: String,
    },
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        Self(error.to_string())
    }
}
