//! Measures SQLite and PostgreSQL on this machine: `cargo run --release -p carillon-store --example store_figures`,
//! with `sqlite` or `postgres` as an argument for one of them.
//!
//! An intent is what the runner commits before an INVITE: a call in `dialing`, its record in progress, a guarded counter.

#[path = "../tests/support/mod.rs"]
mod support;

use carillon_domain::call::CallState;
use carillon_domain::ids::{CampaignId, WorkspaceId};
use carillon_domain::record::{Record, RecordState};
use carillon_domain::transition::Transition;
use carillon_interfaces::conformance::store::samples::*;
use carillon_interfaces::store::{Slice, Store};
use carillon_store::postgres::PostgresStore;
use carillon_store::sqlite::SqliteStore;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::postgres::Server;

const PUSH: u64 = 10_000;
const PUSHES: u64 = 10;

fn say(line: &str) {
    // A reader who closed the pipe has seen enough.
    let _closed = writeln!(std::io::stdout(), "{line}");
}

fn quantile(sorted: &[Duration], of_hundred: usize) -> Duration {
    sorted[(sorted.len() * of_hundred / 100).min(sorted.len() - 1)]
}

fn pushed(ws: WorkspaceId, campaign: CampaignId, count: u64) -> Vec<Record> {
    let mut variables = carillon_domain::agent::Variables::new();
    for name in ["first_name", "due_date", "amount", "language"] {
        variables.insert(name.to_owned(), "a value of usual length".into());
    }
    (0..count)
        .map(|n| Record {
            phone: phone(n),
            variables: variables.clone(),
            ..record(ws, campaign)
        })
        .collect()
}

fn intent(record: &Record) -> Transition {
    let call = call_for(record, 1, CallState::Dialing);
    let dialled = Record {
        version: 1,
        state: RecordState::InProgress { call_id: call.id },
        ..record.clone()
    };
    let counter = format!("dialled/{}/2026-05-27", record.phone.as_str());
    transition(
        record.workspace_id,
        [put_call(&call), put_record(&dialled), add(&counter, 1, Some(10), None)],
    )
}

async fn intents(store: &Arc<dyn Store>, committers: usize, each: usize) {
    let ws = workspace_id();
    let count = u64::try_from(committers * each).unwrap();
    let records = pushed(ws, campaign(ws).id, count);
    put(&**store, ws, records.iter().map(put_record)).await;
    let started = Instant::now();
    // Side by side, as the runner takes records in the order in which they are due.
    let tasks = (0..committers).map(|first| {
        let mine = records.iter().skip(first).step_by(committers);
        let (store, intents) = (Arc::clone(store), mine.map(intent).collect::<Vec<_>>());
        tokio::spawn(async move {
            let mut took = Vec::new();
            for intent in intents {
                let started = Instant::now();
                store.commit(intent).await.unwrap();
                took.push(started.elapsed());
            }
            took
        })
    });
    let took = futures::future::join_all(tasks).await;
    let elapsed = started.elapsed();
    let mut took: Vec<_> = took.into_iter().flat_map(Result::unwrap).collect();
    took.sort_unstable();
    let rate = f64::from(u32::try_from(count).unwrap()) / elapsed.as_secs_f64();
    let (p50, p99) = (quantile(&took, 50), quantile(&took, 99));
    say(&format!(
        "  intents, {committers:>3} committers: {rate:>6.0}/s, p50 {p50:.1?}, p99 {p99:.1?}"
    ));
}

async fn intents_in_batches(store: &Arc<dyn Store>, batch: usize, batches: usize) {
    let ws = workspace_id();
    let count = u64::try_from(batch * batches).unwrap();
    let records = pushed(ws, campaign(ws).id, count);
    put(&**store, ws, records.iter().map(put_record)).await;
    let started = Instant::now();
    for records in records.chunks(batch) {
        assert!(
            store
                .commit_many(records.iter().map(intent).collect())
                .await
                .iter()
                .all(Result::is_ok)
        );
    }
    let rate = f64::from(u32::try_from(count).unwrap()) / started.elapsed().as_secs_f64();
    say(&format!("  intents, commit_many of {batch}: {rate:>6.0}/s"));
}

async fn timed<T>(what: &str, read: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let answer = read.await;
    say(&format!("  {what}: {:.1?}", started.elapsed()));
    answer
}

async fn measure(name: &str, store: Arc<dyn Store>) {
    say(name);
    intents(&store, 1, 200).await;
    intents(&store, 8, 200).await;
    intents(&store, 64, 200).await;
    intents_in_batches(&store, 50, 100).await;
    let ws = workspace_id();
    let campaign = campaign(ws).id;
    for _ in 0..PUSHES {
        let push = transition(ws, pushed(ws, campaign, PUSH).iter().map(put_record));
        timed("push of 10,000 records", store.commit(push)).await.unwrap();
    }
    for _ in 0..2 {
        let due = timed("50 due of 100,000 queued", store.due_records(ws, campaign, at(0), 50))
            .await
            .unwrap();
        assert_eq!(due.len(), 50);
    }
    timed("next due time", store.next_due_at(ws, campaign)).await.unwrap();
    timed("counts of 100,000", store.record_counts(ws, campaign))
        .await
        .unwrap();
    let numbers: Vec<_> = (0..PUSH).map(|n| phone(n * 2)).collect();
    timed(
        "known among 10,000 numbers",
        store.known_numbers(ws, campaign, &numbers),
    )
    .await
    .unwrap();
    timed(
        "a page of 50",
        store.records(ws, campaign, None, Slice { offset: 0, limit: 50 }),
    )
    .await
    .unwrap();
    timed("live calls", store.live_calls()).await.unwrap();
    intents(&store, 64, 100).await;
}

#[tokio::main]
async fn main() {
    let only = std::env::args().nth(1);
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    if wanted("sqlite") {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = SqliteStore::open(&folder.path().join("carillon.db")).unwrap();
        measure("SQLite, synchronous=FULL", Arc::new(sqlite)).await;
    }
    if wanted("postgres") {
        let settings = ["fsync=on", "shared_buffers=256MB", "max_wal_size=2GB"];
        let Some(server) = Server::start(&settings).await else {
            return;
        };
        let postgres = PostgresStore::open(&server.new_database().await).await.unwrap();
        measure("PostgreSQL, fsync=on, Unix socket", Arc::new(postgres)).await;
    }
}
