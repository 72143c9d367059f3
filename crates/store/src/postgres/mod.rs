//! The store on a PostgreSQL server, version 15 or later, which any number of nodes may share.
//!
//! One task per node commits for all: it takes what has come while the last flush was running and writes it with one
//! statement per kind of row (`committer`, `plan`, `apply`). Reads use a pool.

mod apply;
mod committer;
mod growth;
mod plan;
mod reads;
mod schema;

use crate::error::OpenError;
use committer::Committer;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Connections of a node: one for the committer, one for its numbers, the rest for reads.
const CONNECTIONS: u32 = 10;
/// How long a read may wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements that each connection keeps prepared: more than there are.
const CACHED_STATEMENTS: usize = 256;

/// Every question has an index made for it, in its order. Without statistics (see `growth`) the planner takes a table that
/// has just been filled for a small one, reads and sorts all of it, and keeps that plan: 45 ms instead of 2 for 64 updates
/// among 100,000 records. The last line is for our own ANALYZE: 3,000 rows are sample enough.
const PLANS: [(&str, &str); 8] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_material", "off"),
    ("enable_sort", "off"),
    ("jit", "off"),
    ("default_statistics_target", "10"),
];

/// The store on a PostgreSQL server.
pub struct PostgresStore {
    pool: PgPool,
    committer: Committer,
    place: String,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Connects to the database of `url` (`postgres://USER:PASSWORD@HOST/DATABASE`) and brings its schema up to date. Must
    /// be called inside a tokio runtime, which carries the committer from then on.
    ///
    /// # Errors
    ///
    /// [`OpenError::OldServer`] below version 15, [`OpenError::NewerSchema`] if a newer program wrote it,
    /// [`OpenError::Postgres`] if it cannot be reached.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let options = options(url)?;
        let place = format!("{}/{}", options.get_host(), options.get_database().unwrap_or_default());
        // Alone, since a pool would try again and then only say that it timed out.
        connect_with(&options).await?.close().await?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        let committer = Committer::start(pool.clone());
        Ok(Self { pool, committer, place })
    }

    /// The value of a server setting as our connections have it.
    ///
    /// # Errors
    ///
    /// If there is no such setting, or no server.
    pub async fn setting(&self, name: &str) -> Result<String, OpenError> {
        let query = sqlx::query_scalar("SELECT current_setting($1)").bind(name.to_owned());
        Ok(query.fetch_one(&self.pool).await?)
    }

    /// Ends all connections after what they are doing.
    pub async fn close(&self) {
        self.committer.stop().await;
        self.pool.close().await;
    }
}

fn options(url: &str) -> Result<PgConnectOptions, OpenError> {
    Ok(PgConnectOptions::from_str(url)?
        .application_name("carillon")
        .statement_cache_capacity(CACHED_STATEMENTS)
        // Whatever the server's defaults are: a commit that returned is on disk, and guards see committed rows.
        .options([
            ("synchronous_commit", "on"),
            ("default_transaction_isolation", "read committed"),
        ])
        .options(PLANS)
        .disable_statement_logging())
}

/// One connection to the database of `url`, whose schema is up to date.
pub(crate) async fn connect(url: &str) -> Result<PgConnection, OpenError> {
    connect_with(&options(url)?).await
}

async fn connect_with(options: &PgConnectOptions) -> Result<PgConnection, OpenError> {
    let mut connection = options.connect().await?;
    schema::check_server(&mut connection).await?;
    schema::migrate(&mut connection).await?;
    Ok(connection)
}
