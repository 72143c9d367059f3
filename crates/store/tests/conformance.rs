//! The suite of [`Store`] over every implementation.

use carillon_interfaces::conformance::store::run_all;
use carillon_interfaces::store::Store;
use carillon_store::memory::MemoryStore;
use carillon_store::sqlite::SqliteStore;
use std::sync::Arc;

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
