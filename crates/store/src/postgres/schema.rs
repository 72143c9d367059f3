//! The schema and its migrations.

use crate::error::OpenError;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

/// Every migration; the first makes version 1.
const MIGRATIONS: [&str; 1] = [include_str!("../../migrations/postgres/0001_init.sql")];
/// The oldest server, as `server_version_num` counts.
const OLDEST_SERVER: i64 = 150_000;
/// Nodes that start together take turns on this advisory lock. Any number that nobody else uses.
const MIGRATION_LOCK: i64 = 0x0ca2_1110;

pub(super) async fn check_server(db: &mut PgConnection) -> Result<(), OpenError> {
    let (number, found): (i64, String) =
        sqlx::query_as("SELECT current_setting('server_version_num')::bigint, current_setting('server_version')")
            .fetch_one(db)
            .await?;
    if number < OLDEST_SERVER {
        Err(OpenError::OldServer { found })
    } else {
        Ok(())
    }
}

/// Brings the schema up to date, in one transaction.
pub(super) async fn migrate(db: &mut PgConnection) -> Result<(), OpenError> {
    let mut transaction = db.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS schema_version (
             version BIGINT PRIMARY KEY,
             applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
         )",
    )
    .execute(&mut *transaction)
    .await?;
    let found: i64 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM schema_version")
        .fetch_one(&mut *transaction)
        .await?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OpenError::NewerSchema { found, known });
    }
    for (version, sql) in (1_i64..).zip(MIGRATIONS) {
        if version > found {
            sqlx::raw_sql(sql).execute(&mut *transaction).await?;
            sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
                .bind(version)
                .execute(&mut *transaction)
                .await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}
