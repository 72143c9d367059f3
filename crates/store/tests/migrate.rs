//! A SQLite store moves to PostgreSQL whole, or not at all.

mod support;

use carillon_domain::call::CallState;
use carillon_domain::ids::WorkspaceId;
use carillon_domain::record::AttemptKind;
use carillon_domain::transition::Change;
use carillon_domain::workspace::Workspace;
use carillon_interfaces::conformance::store::samples::*;
use carillon_interfaces::store::{ApiKey, CallFilter, DeliveryFilter, Slice, Store};
use carillon_store::OpenError;
use carillon_store::migrate::{MigrateError, MigrateProgress, MigrateReport, migrate};
use carillon_store::postgres::PostgresStore;
use carillon_store::sqlite::SqliteStore;
use serde_json::json;
use std::path::Path;
use support::postgres::Server;

const ALL: Slice = Slice {
    offset: 0,
    limit: 10_000,
};
const RECORDS: usize = 5_000;

/// Two workspaces with something in every table.
async fn fill(store: &SqliteStore) -> Vec<WorkspaceId> {
    let mut workspaces = Vec::new();
    for _ in 0..2 {
        let workspace = workspace();
        let ws = workspace.id;
        let campaign = campaign(ws);
        put(
            store,
            ws,
            [
                Change::PutWorkspace(Box::new(workspace)),
                Change::PutAgent(Box::new(agent(ws))),
                Change::PutClip(Box::new(clip(ws))),
                Change::PutTrunk(Box::new(trunk(ws))),
                Change::PutEndpoint(Box::new(endpoint(ws))),
                put_campaign(&campaign),
            ],
        )
        .await;
        let records: Vec<_> = (0..RECORDS)
            .map(|n| {
                let mut record = record(ws, campaign.id);
                record.phone = phone(u64::try_from(n).unwrap());
                record.variables.insert("name".into(), json!("Zoë \u{0} 你好"));
                record.state = waiting(AttemptKind::First, at(i64::try_from(n).unwrap()));
                record
            })
            .collect();
        put(store, ws, records.iter().map(put_record)).await;
        let delivery = delivery(ws, at(5));
        let calls = [CallState::Closed, CallState::Queued, CallState::InCall];
        let changes = calls.into_iter().map(|state| put_call(&call(ws, state)));
        put(store, ws, changes).await;
        put(
            store,
            ws,
            [
                put_call(&call_for(&records[0], 1, CallState::Closed)),
                put_delivery(&delivery),
                Change::AddDeliveryAttempt(Box::new(delivery_attempt(&delivery, 1))),
                Change::PutDoNotCall(Box::new(do_not_call(ws, phone(3)))),
                add("dialled/today", 3, None, None),
            ],
        )
        .await;
        store.put_api_key(api_key(ws)).await.unwrap();
        workspaces.push(ws);
    }
    workspaces
}

/// Everything that a store shows of a workspace.
async fn shown(store: &dyn Store, ws: WorkspaceId) -> String {
    let workspaces: Vec<Workspace> = store.workspaces().await.unwrap();
    let keys: Vec<ApiKey> = store.api_keys(ws).await.unwrap();
    let campaigns = store.campaigns(ws).await.unwrap();
    let mut text = format!("{workspaces:?} {keys:?} {campaigns:?}");
    text += &format!("{:?}", store.agents(ws).await.unwrap());
    text += &format!("{:?}", store.clips(ws).await.unwrap());
    text += &format!("{:?}", store.trunks(ws).await.unwrap());
    text += &format!("{:?}", store.endpoints(ws).await.unwrap());
    for campaign in &campaigns {
        let records = store.records(ws, campaign.id, None, ALL).await.unwrap();
        assert_eq!(records.items.len(), RECORDS);
        text += &serde_json::to_string(&records.items).unwrap();
        text += &format!("{:?}", store.record_counts(ws, campaign.id).await.unwrap());
        text += &format!("{:?}", store.next_due_at(ws, campaign.id).await.unwrap());
    }
    let calls = store.calls(ws, &CallFilter::default(), ALL).await.unwrap();
    text += &serde_json::to_string(&calls.items).unwrap();
    text += &format!("{:?}", store.open_calls().await.unwrap().len());
    let deliveries = store.deliveries(ws, &DeliveryFilter::default(), ALL).await.unwrap();
    for delivery in deliveries.items {
        text += &format!("{:?}", store.delivery_attempts(ws, delivery.id).await.unwrap());
        text += &serde_json::to_string(&delivery).unwrap();
    }
    text += &format!("{:?}", store.do_not_call_list(ws, ALL).await.unwrap());
    text += &format!("{:?}", store.counters(ws, &["dialled/today".to_owned()]).await.unwrap());
    text
}

async fn moved(data: &Path, to: &str) -> Result<(MigrateReport, Vec<MigrateProgress>), MigrateError> {
    let mut steps = Vec::new();
    let report = migrate("sqlite:", data, to, |step| steps.push(step.clone())).await?;
    Ok((report, steps))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_of_every_workspace_arrives() {
    let Some(server) = Server::start(&["fsync=off"]).await else {
        return;
    };
    let url = server.new_database().await;
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&data.path().join("carillon.db")).unwrap();
    let workspaces = fill(&store).await;
    let mut before = Vec::new();
    for ws in &workspaces {
        before.push(shown(&store, *ws).await);
    }

    let in_use = moved(data.path(), &url).await.unwrap_err();
    assert!(
        matches!(&in_use, MigrateError::Open(OpenError::InUse { .. })),
        "a source that is open elsewhere: {in_use}"
    );
    drop(store);

    let (report, steps) = moved(data.path(), &url).await.unwrap();
    let rows: u64 = report.tables.iter().map(|(_, rows)| rows).sum();
    assert_eq!(
        report.tables.iter().find(|(name, _)| name == "records").unwrap().1,
        10_000
    );
    assert!(report.tables.iter().all(|(_, rows)| *rows > 0), "{report:?}");
    assert!(steps.len() > 10 && steps.is_sorted_by_key(|step| step.moved));
    assert_eq!(steps.last().map(|step| (step.moved, step.total)), Some((rows, rows)));

    let target = PostgresStore::open(&url).await.unwrap();
    for (ws, before) in workspaces.iter().zip(&before) {
        assert!(shown(&target, *ws).await == *before, "what is shown differs");
    }
    // Numbers go on where they were.
    put(
        &target,
        workspaces[0],
        [Change::PutAgent(Box::new(agent(workspaces[0])))],
    )
    .await;
    target.close().await;

    let again = moved(data.path(), &url).await.unwrap_err();
    assert!(matches!(again, MigrateError::NotEmpty { .. }), "{again}");
    let source = SqliteStore::open(&data.path().join("carillon.db")).unwrap();
    assert!(
        shown(&source, workspaces[0]).await == before[0],
        "the source is as it was"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_fails_half_way_leaves_nothing_and_can_be_repeated() {
    let Some(server) = Server::start(&["fsync=off"]).await else {
        return;
    };
    let url = server.new_database().await;
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("carillon.db");
    let store = SqliteStore::open(&file).unwrap();
    fill(&store).await;
    drop(store);
    // Counters are moved after the records.
    let run = |sql: &str| {
        let connection = rusqlite::Connection::open(&file).unwrap();
        assert_eq!(connection.execute(sql, []).unwrap(), 1);
    };
    run("INSERT INTO counters SELECT workspace_id, 'a' || char(0), 1 FROM workspaces LIMIT 1");
    let failed = moved(data.path(), &url).await.unwrap_err();
    assert!(
        matches!(&failed, MigrateError::NulByte { table, column, .. } if table == "counters" && column == "name"),
        "{failed}"
    );
    let target = PostgresStore::open(&url).await.unwrap();
    assert!(target.workspaces().await.unwrap().is_empty());
    target.close().await;
    run("DELETE FROM counters WHERE name = 'a' || char(0)");
    moved(data.path(), &url).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_moved_is_refused_at_once() {
    let data = tempfile::tempdir().unwrap();
    let refused = async |from: &str, to: &str| {
        let error = migrate(from, data.path(), to, |_| ()).await.unwrap_err();
        error.to_string()
    };
    let postgres = "postgres://carillon:geheim@localhost/carillon";
    for (from, to, words) in [
        ("memory:", postgres, "the source is `sqlite:`"),
        (postgres, "sqlite:", "the source is `sqlite:`"),
        ("sqlite:", "sqlite:other.db", "the target is `postgres://"),
        ("sqlite:", postgres, "there is no store at"),
    ] {
        let said = refused(from, to).await;
        assert!(said.contains(words) && !said.contains("geheim"), "{from} {to}: {said}");
    }
    assert!(
        !data.path().join("carillon.db").exists(),
        "a missing source is not made"
    );
}
