//! What only the SQLite store promises: durability, one process at a time, files.

use carillon_domain::ids::{CampaignId, RecordId, WorkspaceId};
use carillon_domain::record::Record;
use carillon_interfaces::conformance::store::samples::*;
use carillon_interfaces::store::{DeliveryFilter, Slice, Store};
use carillon_store::OpenError;
use carillon_store::sqlite::SqliteStore;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use uuid::Uuid;

const ALL: Slice = Slice {
    offset: 0,
    limit: u32::MAX,
};

/// Set for the process that is killed: the database's path.
const CHILD: &str = "CARILLON_TEST_CRASH_DATABASE";
const WRITERS: usize = 8;

fn killed_workspace() -> (WorkspaceId, CampaignId) {
    (
        WorkspaceId::new(Uuid::from_u128(1)),
        CampaignId::new(Uuid::from_u128(2)),
    )
}

/// Kills a process that commits, again and again on the same database. The process is this test in another role.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_loses_no_commit_that_returned() {
    if let Some(path) = std::env::var_os(CHILD) {
        commit_for_ever(Path::new(&path)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("carillon.db");
    let (ws, campaign) = killed_workspace();
    let mut printed = BTreeSet::new();
    for lines in [1, 50, 200, 7, 333] {
        let before = printed.len();
        run_and_kill(&path, lines, &mut printed);
        assert!(printed.len() >= before + lines);

        let store = SqliteStore::open(&path).unwrap();
        let stored = store.records(ws, campaign, None, ALL).await.unwrap();
        let ids: BTreeSet<RecordId> = stored.items.iter().map(|record| record.id).collect();
        assert_eq!(printed.difference(&ids).count(), 0, "commits that returned are missing");
        // Each transition holds a record and a delivery; counts are kept beside them.
        let deliveries = store
            .deliveries(ws, &DeliveryFilter::default(), Slice { limit: 1, ..ALL })
            .await
            .unwrap();
        assert_eq!(deliveries.total, stored.total);
        assert_eq!(
            store.record_counts(ws, campaign).await.unwrap().values().sum::<u64>(),
            stored.total
        );
    }
}

fn run_and_kill(path: &Path, lines: usize, printed: &mut BTreeSet<RecordId>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_killed_process_loses_no_commit_that_returned",
            "--nocapture",
        ])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut read = 0;
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        // After the kill the pipe still holds what was printed before.
        let Some(id) = line.unwrap().strip_prefix("committed ").and_then(|id| id.parse().ok()) else {
            continue;
        };
        printed.insert(id);
        read += 1;
        if read >= lines && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    assert!(!child.wait().unwrap().success());
}

async fn commit_for_ever(path: &Path) {
    let (ws, campaign) = killed_workspace();
    let store = Arc::new(SqliteStore::open(path).unwrap());
    let writers = (0..WRITERS).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            loop {
                let record = Record {
                    id: RecordId::new(Uuid::new_v4()),
                    ..record(ws, campaign)
                };
                let delivery = carillon_domain::webhook::Delivery {
                    id: carillon_domain::ids::DeliveryId::new(Uuid::new_v4()),
                    ..delivery(ws, at(0))
                };
                put(&*store, ws, [put_record(&record), put_delivery(&delivery)]).await;
                let line = format!("committed {}\n", record.id);
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
        })
    });
    futures::future::join_all(writers).await;
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new").join("carillon.db");
    let ws = workspace_id();
    let agent = agent(ws);
    let store = SqliteStore::open(&path).unwrap();
    put(
        &store,
        ws,
        [carillon_domain::transition::Change::PutAgent(Box::new(agent.clone()))],
    )
    .await;
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.agent(ws, agent.id).await.unwrap().unwrap().name, agent.name);
}

#[test]
fn a_commit_waits_for_the_disk() {
    const FULL: i64 = 2;
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        SqliteStore::open(&folder.path().join("carillon.db"))
            .unwrap()
            .synchronous(),
        FULL
    );
}

#[test]
fn a_database_is_open_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("carillon.db");
    let first = SqliteStore::open(&path).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(
        error.to_string().contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    drop(first);
    SqliteStore::open(&path).unwrap();
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("carillon.db");
    drop(SqliteStore::open(&path).unwrap());
    let database = rusqlite::Connection::open(&path).unwrap();
    database
        .execute("INSERT INTO schema_version (version) VALUES (99)", [])
        .unwrap();
    drop(database);
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(
        matches!(error, OpenError::NewerSchema { found: 99, known: 2 }),
        "{error}"
    );
}

#[test]
fn a_file_that_is_no_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("carillon.db");
    std::fs::write(&path, "this is not a database, it is a text of some length ".repeat(20)).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(error.to_string().contains("not a database"), "{error}");
    let error = SqliteStore::open(&path.join("below")).unwrap_err();
    assert!(matches!(error, OpenError::File { .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_database() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("carillon.db");
    let _store = SqliteStore::open(&path).unwrap();
    for file in [path.clone(), folder.path().join("carillon.db-wal")] {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
}

/// Numbers count up in each workspace and table, also over restarts and refused transitions.
#[tokio::test]
async fn numbers_are_unique_and_count_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("carillon.db");
    let (ws, other) = (workspace_id(), workspace_id());
    let campaign = campaign(ws).id;
    for _ in 0..2 {
        let store = SqliteStore::open(&path).unwrap();
        put(
            &store,
            ws,
            [put_record(&record(ws, campaign)), put_record(&record(ws, campaign))],
        )
        .await;
        let twice = record(ws, campaign);
        assert!(
            try_put(&store, ws, [put_record(&twice), put_record(&twice)])
                .await
                .is_err()
        );
        put(
            &store,
            ws,
            [put_call(&call(ws, carillon_domain::call::CallState::Closed))],
        )
        .await;
        put(&store, other, [put_record(&record(other, campaign))]).await;
    }
    let database = rusqlite::Connection::open(&path).unwrap();
    let numbers = |sql: &str, ws: WorkspaceId| -> Vec<i64> {
        let mut statement = database.prepare(sql).unwrap();
        let rows = statement.query_map([ws.uuid().as_bytes()], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let records = "SELECT number FROM records WHERE workspace_id = ?1 ORDER BY id";
    assert_eq!(
        numbers("SELECT number FROM calls WHERE workspace_id = ?1 ORDER BY id", ws),
        [1, 2]
    );
    assert_eq!(numbers(records, other), [1, 2]);
    let mine = numbers(records, ws);
    assert_eq!(mine.len(), 4);
    assert!(
        mine.is_sorted() && mine.iter().collect::<BTreeSet<_>>().len() == 4,
        "{mine:?}"
    );
}

/// The questions of the hot paths are answered from an index in its order, without a sort.
#[test]
fn hot_reads_use_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("carillon.db");
    let _store = SqliteStore::open(&path).unwrap();
    let database = rusqlite::Connection::open(&path).unwrap();
    for (sql, index) in [
        (
            "SELECT doc FROM records WHERE workspace_id = ?1 AND campaign_id = ?2 AND due_at <= ?3
          ORDER BY due_at, id LIMIT ?4",
            "records_due",
        ),
        (
            "SELECT due_at FROM records WHERE workspace_id = ?1 AND campaign_id = ?2 AND due_at IS NOT NULL
          ORDER BY due_at LIMIT 1",
            "records_due",
        ),
        (
            "SELECT doc FROM records WHERE workspace_id = ?1 AND campaign_id = ?2
          ORDER BY created_at DESC, id LIMIT 9",
            "records_listed",
        ),
        (
            "SELECT doc FROM records WHERE workspace_id = ?1 AND campaign_id = ?2 AND status = ?3
          ORDER BY created_at DESC, id LIMIT 9",
            "records_by_status",
        ),
        (
            "SELECT 1 FROM records WHERE workspace_id = ?1 AND campaign_id = ?2 AND phone = ?3",
            "records_by_phone",
        ),
        (
            "SELECT workspace_id, id, campaign_id, trunk_id FROM calls
          WHERE state IN ('dialing', 'ringing', 'in_call', 'hanging_up') ORDER BY workspace_id, id",
            "calls_live",
        ),
        (
            "SELECT doc FROM calls WHERE state = 'queued' ORDER BY created_at, workspace_id, id LIMIT 9",
            "calls_queued",
        ),
        (
            "SELECT doc FROM calls WHERE state <> 'closed' ORDER BY created_at, workspace_id, id",
            "calls_open",
        ),
        (
            "SELECT doc FROM deliveries WHERE due_at <= ?1 ORDER BY due_at, workspace_id, id LIMIT 9",
            "deliveries_due",
        ),
        (
            "SELECT doc FROM campaigns WHERE is_open = 1 ORDER BY created_at, workspace_id, id",
            "campaigns_open",
        ),
    ] {
        let mut statement = database.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let rows = statement.raw_query();
        let plan: Vec<String> = rows.mapped(|row| row.get("detail")).map(Result::unwrap).collect();
        let plan = plan.join("; ");
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}
