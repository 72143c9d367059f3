//! What only the memory store can do: outlive an app, and be wrong on purpose.

use carillon_interfaces::conformance::store::{failing, samples::*};
use carillon_interfaces::store::{CommitError, Store};
use carillon_store::memory::{CommitFate, Faults, MemoryStore};
use std::sync::Arc;

fn faulty(faults: Faults) -> Arc<dyn Store> {
    let store = MemoryStore::new();
    store.set_faults(faults);
    Arc::new(store)
}

fn hooked(hook: fn(&mut carillon_domain::transition::Transition) -> CommitFate) -> Arc<dyn Store> {
    let store = MemoryStore::new();
    store.set_commit_hook(Some(Box::new(hook)));
    Arc::new(store)
}

/// A suite that was never seen failing does not count.
#[tokio::test(flavor = "multi_thread")]
async fn planted_bugs_are_caught() {
    let twice = failing(async |_| {
        faulty(Faults {
            drop_unique_attempt: true,
            ..Faults::default()
        })
    })
    .await;
    assert_eq!(
        twice,
        ["an_attempt_exists_once", "rivals_for_one_attempt_have_one_winner"]
    );

    let blind = failing(async |_| {
        faulty(Faults {
            ignore_versions: true,
            ..Faults::default()
        })
    })
    .await;
    assert!(blind.contains(&"a_stale_version_changes_nothing"), "{blind:?}");
    assert!(blind.contains(&"rivals_for_one_version_have_one_winner"), "{blind:?}");

    let lying = failing(async |_| hooked(|_| CommitFate::Lose)).await;
    assert!(lying.contains(&"an_insert_is_read_back_at_version_one"), "{lying:?}");

    let half = failing(async |_| {
        hooked(|transition| {
            transition.changes.pop();
            CommitFate::Write
        })
    })
    .await;
    assert!(half.contains(&"counts_always_add_up"), "{half:?}");
}

#[tokio::test]
async fn commits_fail_on_demand_and_are_counted() {
    let store = MemoryStore::new();
    let ws = workspace_id();
    let record = record(ws, campaign(ws).id);
    store.fail_next_commits(2);
    for _ in 0..2 {
        let result = try_put(&store, ws, [put_record(&record)]).await;
        assert!(matches!(result, Err(CommitError::Store(_))), "{result:?}");
    }
    assert_eq!((store.commit_count(), store.record(ws, record.id).await), (0, Ok(None)));
    put(&store, ws, [put_record(&record)]).await;
    assert_eq!(store.commit_count(), 1);
}

#[tokio::test]
async fn a_broken_connection_may_leave_a_commit_behind() {
    let store = MemoryStore::new();
    let ws = workspace_id();
    let record = record(ws, campaign(ws).id);
    store.set_commit_hook(Some(Box::new(|_| CommitFate::WriteAndFail)));
    assert!(try_put(&store, ws, [put_record(&record)]).await.is_err());
    store.set_commit_hook(None);
    assert!(store.record(ws, record.id).await.unwrap().is_some());
}
