//! What only the PostgreSQL store promises: several nodes on one database, and a server that comes back.

mod support;

use carillon_domain::call::CallState;
use carillon_domain::record::Record;
use carillon_interfaces::conformance::store::samples::*;
use carillon_interfaces::store::{CommitError, Store};
use carillon_store::OpenError;
use carillon_store::postgres::PostgresStore;
use sqlx::Connection;
use std::collections::BTreeSet;
use std::sync::Arc;
use support::postgres::Server;

async fn run(url: &str, sql: &'static str) {
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_together_share_one_schema() {
    let Some(server) = Server::start(&["fsync=off"]).await else {
        return;
    };
    let url = server.new_database().await;
    let stores = futures::future::join_all((0..4).map(|_| PostgresStore::open(&url))).await;
    assert!(stores.iter().all(Result::is_ok), "{stores:?}");
}

/// Counters, attempts and numbers hold between nodes, and nodes that touch rows in different orders get on.
#[tokio::test(flavor = "multi_thread")]
async fn guards_hold_between_nodes() {
    let Some(server) = Server::start(&["fsync=off", "deadlock_timeout=10ms"]).await else {
        return;
    };
    let url = server.new_database().await;
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Arc::new(PostgresStore::open(&url).await.unwrap()));
    }
    let ws = workspace_id();
    let record = record(ws, campaign(ws).id);
    let tasks = (0..150).map(|n: usize| {
        let (store, record) = (Arc::clone(&nodes[n % nodes.len()]), record.clone());
        tokio::spawn(async move {
            let attempt = u32::try_from(n / 3).unwrap();
            let call = call_for(&record, attempt, CallState::Dialing);
            let (first, second) = if n.is_multiple_of(2) { ("a", "b") } else { ("b", "a") };
            let adds = [
                add(first, 1, Some(40), None),
                put_call(&call),
                add(second, 1, Some(40), None),
            ];
            try_put(&*store, ws, adds).await
        })
    });
    let results: Vec<_> = futures::future::join_all(tasks)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let written = results.iter().filter(|result| result.is_ok()).count();
    let lawful = |result: &Result<(), CommitError>| {
        matches!(
            result,
            Ok(()) | Err(CommitError::CounterBound(_) | CommitError::Conflict(_))
        )
    };
    assert!(results.iter().all(lawful), "{results:?}");
    assert_eq!(written, 40);
    for node in &nodes {
        let values = node.counters(ws, &["a".into(), "b".into()]).await.unwrap();
        assert_eq!(values.into_values().collect::<Vec<_>>(), [40, 40]);
        assert_eq!(node.live_calls().await.unwrap().len(), 40);
    }
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    let numbers: Vec<i64> = sqlx::query_scalar("SELECT number FROM calls")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_connections_are_replaced() {
    let Some(server) = Server::start(&["fsync=off"]).await else {
        return;
    };
    let url = server.new_database().await;
    let store = PostgresStore::open(&url).await.unwrap();
    let ws = workspace_id();
    put(&store, ws, [add("n", 1, None, None)]).await;
    run(
        &server.url("postgres"),
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'carillon'",
    )
    .await;
    put(&store, ws, [add("n", 1, None, None)]).await;
    assert_eq!(store.counters(ws, &["n".into()]).await.unwrap()["n"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_lax_defaults_is_told_to_be_durable() {
    let settings = [
        "fsync=off",
        "synchronous_commit=off",
        "default_transaction_isolation=serializable",
    ];
    let Some(server) = Server::start(&settings).await else {
        return;
    };
    let url = server.new_database().await;
    let store = PostgresStore::open(&url).await.unwrap();
    assert_eq!(store.setting("synchronous_commit").await.unwrap(), "on");
    assert_eq!(store.setting("transaction_isolation").await.unwrap(), "read committed");
    assert_eq!(store.setting("enable_seqscan").await.unwrap(), "off");
}

/// Counts what the server read, since a table that has just been filled looks small to a planner without statistics.
#[tokio::test(flavor = "multi_thread")]
async fn hot_paths_read_only_what_they_need_of_a_table_just_filled() {
    const RECORDS: u64 = 5_000;
    const TURNS: u64 = 12;
    const ASKED: u64 = 40;
    let Some(server) = Server::start(&["fsync=off", "autovacuum=off"]).await else {
        return;
    };
    let url = server.new_database().await;
    let store = PostgresStore::open(&url).await.unwrap();
    let ws = workspace_id();
    let campaign = campaign(ws).id;
    // Plans are made for the empty table, too.
    for count in [1, RECORDS] {
        let records: Vec<_> = (0..count)
            .map(|n| Record {
                phone: phone(n),
                ..record(ws, campaign)
            })
            .collect();
        put(&store, ws, records.iter().map(put_record)).await;
        for turn in 0..TURNS {
            store
                .due_records(ws, campaign, at(0), u32::try_from(ASKED).unwrap())
                .await
                .unwrap();
            store.next_due_at(ws, campaign).await.unwrap();
            let numbers: Vec<_> = (RECORDS - ASKED / 2..RECORDS + ASKED / 2).map(phone).collect();
            store.known_numbers(ws, campaign, &numbers).await.unwrap();
            let Some(record) = records.get(usize::try_from(turn).unwrap()) else {
                continue;
            };
            store.record(ws, record.id).await.unwrap();
            put(
                &store,
                ws,
                [put_record(&Record {
                    version: 1,
                    ..record.clone()
                })],
            )
            .await;
        }
    }
    // Ended connections have reported what they read.
    store.close().await;
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    let whole: i64 = sqlx::query_scalar("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'records'")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let by_index: Vec<(String, i64)> = sqlx::query_as(
        "SELECT indexrelname::text, idx_tup_read FROM pg_stat_user_indexes WHERE relname = 'records' AND idx_tup_read > 0",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let read = whole + by_index.iter().map(|(_, read)| read).sum::<i64>();
    let needed = i64::try_from(2 * TURNS * (2 * ASKED + 3)).unwrap();
    assert!(
        (1..=needed).contains(&read),
        "needed {needed}, read {whole} in sequence and by index {by_index:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused() {
    let Some(server) = Server::start(&["fsync=off"]).await else {
        return;
    };
    let url = server.new_database().await;
    PostgresStore::open(&url).await.unwrap().close().await;
    run(&url, "INSERT INTO schema_version (version) VALUES (99)").await;
    let error = PostgresStore::open(&url).await.unwrap_err();
    assert!(
        matches!(error, OpenError::NewerSchema { found: 99, known: 1 }),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_closed_says_so() {
    let Some(server) = Server::start(&["fsync=off"]).await else {
        return;
    };
    let store = PostgresStore::open(&server.new_database().await).await.unwrap();
    store.close().await;
    let result = try_put(&store, workspace_id(), [add("n", 1, None, None)]).await;
    assert!(matches!(result, Err(CommitError::Store(_))), "{result:?}");
    assert!(store.workspaces().await.is_err());
}

#[tokio::test]
async fn passwords_stay_out_of_errors() {
    let folder = tempfile::tempdir().unwrap();
    for url in [
        "postgres://carillon:geheim@127.0.0.1:1/db",
        "postgres://carillon@127.0.0.1:1/db?password=geheim",
        "postgres://carillon:geheim@127.0.0.1:port/db",
        "oracle://carillon:geheim@db/main?password=geheim",
    ] {
        let error = carillon_store::open(url, folder.path()).await.err().unwrap();
        assert!(!error.to_string().contains("geheim"), "{error}");
    }
}
