//! The suite of [`Store`] over every implementation.

mod support;

use carillon_interfaces::conformance::store::run_all;
use carillon_interfaces::store::Store;
use carillon_store::cached::CachedStore;
use carillon_store::memory::MemoryStore;
use carillon_store::postgres::PostgresStore;
use carillon_store::sqlite::SqliteStore;
use std::sync::Arc;
use support::postgres::Server;

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_a_store() {
    run_all(async |_| Arc::new(MemoryStore::new()) as Arc<dyn Store>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    run_all(async |name| {
        let path = folder.path().join(name).join("carillon.db");
        Arc::new(SqliteStore::open(&path).unwrap()) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_store_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    run_all(async |name| {
        let path = folder.path().join(name).join("carillon.db");
        let sqlite = SqliteStore::open(&path).unwrap();
        Arc::new(CachedStore::new(Arc::new(sqlite))) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_a_store() {
    let Some(server) = Server::start(&["fsync=off"]).await else {
        return;
    };
    run_all(async |_| {
        let url = server.new_database().await;
        Arc::new(PostgresStore::open(&url).await.unwrap()) as Arc<dyn Store>
    })
    .await;
}
