//! Guarded counters.

use super::samples::*;
use crate::store::{CommitError, Store};
use carillon_domain::ids::WorkspaceId;
use std::collections::BTreeMap;
use std::sync::Arc;

async fn value(store: &dyn Store, ws: WorkspaceId, name: &str) -> Option<i64> {
    store.counters(ws, &[name.to_owned()]).await.unwrap().get(name).copied()
}

pub(super) async fn a_counter_starts_at_zero_and_adds_up(store: Arc<dyn Store>) {
    let ws = workspace_id();
    assert_eq!(value(&*store, ws, "a").await, None);
    put(
        &*store,
        ws,
        [
            add("a", 2, None, None),
            add("b", -1, None, None),
            add("a", 3, None, None),
        ],
    )
    .await;
    put(
        &*store,
        ws,
        [add("a", -1, None, None), add("zero", 0, Some(0), Some(0))],
    )
    .await;
    let names = ["a", "b", "zero", "none", "a"].map(str::to_owned);
    let values = store.counters(ws, &names).await.unwrap();
    let expected = [("a", 4), ("b", -1), ("zero", 0)].map(|(name, value)| (name.to_owned(), value));
    assert_eq!(values, BTreeMap::from(expected));
    assert_eq!(store.counters(ws, &[]).await, Ok(BTreeMap::new()));
}

pub(super) async fn a_counter_never_passes_its_bounds(store: Arc<dyn Store>) {
    let ws = workspace_id();
    // add, max, floor → value
    for (delta, max, floor, after) in [
        (4, Some(3), None, None),
        (-1, None, Some(0), None),
        (3, Some(3), Some(0), Some(3)),
        (1, Some(3), None, Some(3)),
        (-4, None, Some(0), Some(3)),
        (-3, Some(3), Some(0), Some(0)),
        (-5, None, Some(-5), Some(-5)),
        (8, Some(3), None, Some(3)),
        (i64::MAX, None, None, Some(3)),
        (i64::MIN, None, None, Some(i64::MIN + 3)),
        (-4, None, None, Some(i64::MIN + 3)),
    ] {
        let before = value(&*store, ws, "c").await;
        let result = try_put(&*store, ws, [add("c", delta, max, floor)]).await;
        let fits = after != before || delta == 0;
        let expected = if fits {
            Ok(())
        } else {
            Err(CommitError::CounterBound("c".into()))
        };
        assert_eq!(result, expected, "{before:?} {delta} {max:?} {floor:?}");
        assert_eq!(value(&*store, ws, "c").await, after);
    }
}

pub(super) async fn a_counter_at_its_bound_fails_the_whole_transition(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let record = record(ws, campaign(ws).id);
    let changes = [
        put_record(&record),
        add("a", 1, Some(1), None),
        add("b", 1, Some(0), None),
    ];
    assert_eq!(
        try_put(&*store, ws, changes).await,
        Err(CommitError::CounterBound("b".into()))
    );
    assert_eq!(value(&*store, ws, "a").await, None);
    assert_eq!(store.record(ws, record.id).await, Ok(None));
}

pub(super) async fn a_hundred_rivals_never_pass_the_maximum(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let rivals = (0..100).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { try_put(&*store, ws, [add("lines", 1, Some(37), None)]).await })
    });
    let results: Vec<_> = futures::future::join_all(rivals)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let refused = Err(CommitError::CounterBound("lines".into()));
    assert_eq!(results.iter().filter(|result| **result == Ok(())).count(), 37);
    assert_eq!(results.iter().filter(|result| **result == refused).count(), 63);
    assert_eq!(value(&*store, ws, "lines").await, Some(37));
}

pub(super) async fn many_transitions_share_a_bound(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let deltas = [2, 2, -1, 2, 1, 1];
    let transitions = deltas.map(|delta| transition(ws, [add("c", delta, Some(4), None)]));
    let results = store.commit_many(transitions.into()).await;
    let refused = Err(CommitError::CounterBound("c".into()));
    assert_eq!(results, vec![Ok(()), Ok(()), Ok(()), refused.clone(), Ok(()), refused]);
    assert_eq!(value(&*store, ws, "c").await, Some(4));
}
