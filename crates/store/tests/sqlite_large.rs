//! Pushes of many records: all or nothing, although they are written in pieces, and others are served between the pieces.

use carillon_domain::ids::{CampaignId, RecordId, WorkspaceId};
use carillon_domain::record::Record;
use carillon_domain::transition::{Change, Transition};
use carillon_interfaces::conformance::store::samples::*;
use carillon_interfaces::store::{CommitError, Slice, Store};
use carillon_store::sqlite::SqliteStore;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

const MANY: usize = 2_600;

fn push(ws: WorkspaceId, campaign: CampaignId, count: usize) -> Transition {
    let record = || Record {
        id: RecordId::new(Uuid::now_v7()),
        ..record(ws, campaign)
    };
    transition(ws, (0..count).map(|_| put_record(&record())))
}

async fn stored(store: &SqliteStore, ws: WorkspaceId, campaign: CampaignId) -> (u64, u64) {
    let one = Slice { offset: 0, limit: 1 };
    let listed = store.records(ws, campaign, None, one).await.unwrap().total;
    let counted = store.record_counts(ws, campaign).await.unwrap().values().sum();
    (listed, counted)
}

#[tokio::test]
async fn a_large_push_is_stored_as_a_small_one_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("carillon.db")).unwrap();
    let (ws, campaign) = (workspace_id(), CampaignId::new(next_id()));
    let push = push(ws, campaign, MANY);
    store.commit(push.clone()).await.unwrap();
    assert_eq!(stored(&store, ws, campaign).await, (MANY as u64, MANY as u64));
    for change in push.changes {
        let Change::PutRecord(record) = change else { continue };
        let expected = Record {
            version: 1,
            ..(*record).clone()
        };
        assert_eq!(store.record(ws, record.id).await.unwrap(), Some(expected));
    }
}

#[tokio::test]
async fn a_large_push_with_a_known_id_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("carillon.db")).unwrap();
    let (ws, campaign) = (workspace_id(), CampaignId::new(next_id()));
    let known = record(ws, CampaignId::new(next_id()));
    put(&store, ws, [put_record(&known)]).await;
    let last = MANY - 1;
    let with_known = {
        let mut push = push(ws, campaign, MANY);
        push.changes[last] = put_record(&known);
        push
    };
    let with_one_twice = {
        let mut push = push(ws, campaign, MANY);
        push.changes[last] = push.changes[0].clone();
        push
    };
    for refused in [with_known, with_one_twice] {
        let result = store.commit(refused).await;
        assert!(matches!(result, Err(CommitError::Conflict(_))), "{result:?}");
        assert_eq!(stored(&store, ws, campaign).await, (0, 0));
    }
    store.commit(push(ws, campaign, MANY)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_served_between_the_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&folder.path().join("carillon.db")).unwrap());
    let (ws, campaign) = (workspace_id(), CampaignId::new(next_id()));
    let large = tokio::spawn({
        let (store, push) = (Arc::clone(&store), push(ws, campaign, 10 * MANY));
        async move { store.commit(push).await }
    });
    let deadline = Instant::now() + Duration::from_secs(60);
    while stored(&store, ws, campaign).await.1 == 0 {
        assert!(Instant::now() < deadline, "no piece was written");
        tokio::task::yield_now().await;
    }
    put(&*store, ws, [put_record(&record(ws, CampaignId::new(next_id())))]).await;
    assert!(!large.is_finished(), "the small commit waited for the large one");
    large.await.unwrap().unwrap();
    assert_eq!(stored(&store, ws, campaign).await.0, 10 * MANY as u64);
}

/// Set for the process that is killed: the database's path.
const CHILD: &str = "CARILLON_TEST_LARGE_PUSHES";

fn killed_workspace() -> WorkspaceId {
    WorkspaceId::new(Uuid::from_u128(1))
}

fn numbered(campaign: usize) -> CampaignId {
    CampaignId::new(Uuid::from_u128(1_000 + campaign as u128))
}

/// Kills a process that pushes, again and again on the same database. The process is this test in another role.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_whole_pushes_only() {
    if let Some(path) = std::env::var_os(CHILD) {
        push_for_ever(Path::new(&path)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("carillon.db");
    let ws = killed_workspace();
    let mut first = 0;
    for kill_after_ms in [0, 15, 40, 90, 160, 250] {
        let answered = run_and_kill(&path, first, Duration::from_millis(kill_after_ms));
        let store = SqliteStore::open(&path).unwrap();
        for campaign in first..answered {
            assert_eq!(
                stored(&store, ws, numbered(campaign)).await,
                (MANY as u64, MANY as u64),
                "a push that was answered is missing"
            );
        }
        let cut_off = stored(&store, ws, numbered(answered)).await;
        assert!(
            cut_off == (0, 0) || cut_off == (MANY as u64, MANY as u64),
            "kill {kill_after_ms} ms after an answer: {cut_off:?} of a push are there"
        );
        first = answered + 1;
    }
}

/// Starts with push `first` and kills the process so long after its first answer. Returns the push that was not answered.
fn run_and_kill(path: &Path, first: usize, after: Duration) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_process_leaves_whole_pushes_only", "--nocapture"])
        .env(CHILD, path)
        .env("CARILLON_TEST_FIRST_PUSH", first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = None;
    let pushed = |line: &str| {
        line.strip_prefix("pushed ")
            .and_then(|number| number.parse::<usize>().ok())
    };
    for line in lines.by_ref() {
        last = pushed(&line.unwrap());
        if last.is_some() {
            break;
        }
    }
    // Any moment will do.
    std::thread::sleep(after);
    child.kill().unwrap();
    // The pipe still holds what was printed before the kill.
    for line in lines {
        last = pushed(&line.unwrap()).or(last);
    }
    assert!(!child.wait().unwrap().success());
    last.expect("a push was answered") + 1
}

async fn push_for_ever(path: &Path) {
    let store = SqliteStore::open(path).unwrap();
    let first: usize = std::env::var("CARILLON_TEST_FIRST_PUSH").unwrap().parse().unwrap();
    for campaign in first.. {
        let ws = killed_workspace();
        store.commit(push(ws, numbered(campaign), MANY)).await.unwrap();
        let line = format!("pushed {campaign}\n");
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
}
