//! The schema and its migrations.

use crate::error::OpenError;
use rusqlite::{Connection, TransactionBehavior};

/// Every migration; the first makes version 1.
const MIGRATIONS: [&str; 2] = [
    include_str!("../../migrations/sqlite/0001_init.sql"),
    include_str!("../../migrations/sqlite/0002_large_pushes.sql"),
];

/// Brings the schema up to date, one transaction per migration.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_version (
             version INTEGER PRIMARY KEY,
             applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
         ) STRICT",
    )?;
    let found: i64 = connection.query_row("SELECT coalesce(max(version), 0) FROM schema_version", [], |row| {
        row.get(0)
    })?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OpenError::NewerSchema { found, known });
    }
    for (version, sql) in (1..).zip(MIGRATIONS) {
        if version > found {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(sql)?;
            transaction.execute("INSERT INTO schema_version (version) VALUES (?1)", [version])?;
            transaction.commit()?;
        }
    }
    Ok(())
}
