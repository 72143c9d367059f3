//! Versions, atomicity, and results of several transitions.

use super::samples::*;
use crate::store::{CommitError, Slice, Store};
use carillon_domain::call::CallState;
use carillon_domain::record::{Record, RecordState};
use carillon_domain::transition::{Change, Removal, Transition};
use std::collections::BTreeMap;
use std::sync::Arc;

async fn stored(store: &dyn Store, record: &Record) -> Option<Record> {
    store.record(record.workspace_id, record.id).await.unwrap()
}

async fn inserted(store: &dyn Store) -> Record {
    let ws = workspace_id();
    let record = record(ws, campaign(ws).id);
    put(store, ws, [put_record(&record)]).await;
    Record { version: 1, ..record }
}

pub(super) async fn an_insert_is_read_back_at_version_one(store: Arc<dyn Store>) {
    let record = inserted(&*store).await;
    assert_eq!(stored(&*store, &record).await, Some(record));
}

pub(super) async fn a_replacement_raises_the_version(store: Arc<dyn Store>) {
    let mut record = inserted(&*store).await;
    for version in 1..4 {
        record.follow_ups += 1;
        record.version = version;
        put(&*store, record.workspace_id, [put_record(&record)]).await;
    }
    assert_eq!(stored(&*store, &record).await, Some(Record { version: 4, ..record }));
}

pub(super) async fn a_stale_version_changes_nothing(store: Arc<dyn Store>) {
    let record = inserted(&*store).await;
    put(&*store, record.workspace_id, [put_record(&record)]).await;
    for version in [1, 3, 99] {
        let other = Record {
            version,
            follow_ups: 9,
            ..record.clone()
        };
        let result = try_put(&*store, record.workspace_id, [put_record(&other)]).await;
        assert!(
            matches!(result, Err(CommitError::Stale(_))),
            "version {version}: {result:?}"
        );
    }
    assert_eq!(stored(&*store, &record).await, Some(Record { version: 2, ..record }));
}

pub(super) async fn a_missing_row_is_stale_for_a_replacement(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let record = Record {
        version: 1,
        ..record(ws, campaign(ws).id)
    };
    let result = try_put(&*store, ws, [put_record(&record)]).await;
    assert!(matches!(result, Err(CommitError::Stale(_))), "{result:?}");
    assert_eq!(stored(&*store, &record).await, None);
}

pub(super) async fn an_id_that_exists_is_a_conflict(store: Arc<dyn Store>) {
    let record = inserted(&*store).await;
    let again = Record {
        version: 0,
        follow_ups: 9,
        ..record.clone()
    };
    let result = try_put(&*store, record.workspace_id, [put_record(&again)]).await;
    assert!(matches!(result, Err(CommitError::Conflict(_))), "{result:?}");
    assert_eq!(stored(&*store, &record).await, Some(record));
}

pub(super) async fn a_transition_may_change_one_entity_twice(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let first = record(ws, campaign(ws).id);
    let second = Record {
        version: 1,
        follow_ups: 1,
        ..first.clone()
    };
    put(&*store, ws, [put_record(&first), put_record(&second)]).await;
    assert_eq!(stored(&*store, &first).await, Some(Record { version: 2, ..second }));

    let result = try_put(
        &*store,
        ws,
        [put_record(&record(ws, first.campaign_id)), put_record(&first)],
    )
    .await;
    assert!(matches!(result, Err(CommitError::Conflict(_))), "{result:?}");
}

/// The last change of a transition fails; whatever stands before it must not be there.
pub(super) async fn a_failing_transition_leaves_nothing_behind(store: Arc<dyn Store>) {
    let old = inserted(&*store).await;
    let ws = old.workspace_id;
    let (new, call, delivery) = (
        record(ws, old.campaign_id),
        call(ws, CallState::Dialing),
        delivery(ws, at(0)),
    );
    put(
        &*store,
        ws,
        [
            Change::PutDoNotCall(Box::new(do_not_call(ws, phone(2)))),
            add("n", 3, None, None),
        ],
    )
    .await;
    let changed = Record {
        state: RecordState::InProgress { call_id: call.id },
        ..old.clone()
    };
    let last_changes = [
        put_record(&Record {
            version: 7,
            ..record(ws, old.campaign_id)
        }),
        put_record(&Record {
            version: 0,
            ..old.clone()
        }),
        add("n", 1, Some(4), None),
    ];
    for last in last_changes {
        let before = [
            put_record(&new),
            put_record(&changed),
            put_call(&call),
            put_delivery(&delivery),
            Change::AddDeliveryAttempt(Box::new(delivery_attempt(&delivery, 1))),
            Change::PutDoNotCall(Box::new(do_not_call(ws, phone(1)))),
            Change::RemoveDoNotCall(phone(2)),
            add("n", 1, Some(4), None),
            add("new", 1, None, None),
        ];
        let result = try_put(&*store, ws, before.into_iter().chain([last])).await;
        assert!(result.is_err(), "{result:?}");

        assert_eq!(stored(&*store, &old).await, Some(old.clone()));
        assert_eq!(stored(&*store, &new).await, None);
        assert_eq!(store.call(ws, call.id).await, Ok(None));
        assert_eq!(store.open_calls().await, Ok(vec![]));
        assert_eq!(store.live_calls().await, Ok(vec![]));
        assert_eq!(store.delivery(ws, delivery.id).await, Ok(None));
        assert_eq!(store.next_delivery_due_at().await, Ok(None));
        assert_eq!(store.delivery_attempts(ws, delivery.id).await, Ok(vec![]));
        let do_not_call = store.do_not_call(ws, &[phone(1), phone(2)]).await.unwrap();
        assert_eq!(
            do_not_call.iter().map(|entry| &entry.phone).collect::<Vec<_>>(),
            [&phone(2)]
        );
        let counters = store.counters(ws, &["n".into(), "new".into()]).await.unwrap();
        assert_eq!(counters, BTreeMap::from([("n".to_owned(), 3)]));
        let counts = store.record_counts(ws, old.campaign_id).await.unwrap();
        assert_eq!(counts.values().sum::<u64>(), 1);
        assert_eq!(store.due_records(ws, old.campaign_id, at(9), 9).await.unwrap().len(), 1);
    }
}

pub(super) async fn an_empty_transition_succeeds(store: Arc<dyn Store>) {
    assert_eq!(store.commit(Transition::new(workspace_id())).await, Ok(()));
    assert_eq!(store.commit_many(Vec::new()).await, vec![]);
}

pub(super) async fn changes_of_another_workspace_are_refused(store: Arc<dyn Store>) {
    let (ws, other) = (workspace_id(), workspace_id());
    let (mine, foreign) = (record(ws, campaign(ws).id), record(other, campaign(other).id));
    let result = try_put(&*store, ws, [put_record(&mine), put_record(&foreign)]).await;
    assert!(matches!(result, Err(CommitError::Store(_))), "{result:?}");
    assert_eq!(stored(&*store, &mine).await, None);
    assert_eq!(stored(&*store, &foreign).await, None);
}

pub(super) async fn many_transitions_have_a_result_each(store: Arc<dyn Store>) {
    let old = inserted(&*store).await;
    let ws = old.workspace_id;
    let fresh = || record(ws, old.campaign_id);
    let (first, stale, last) = (fresh(), fresh(), fresh());
    let foreign = workspace_id();
    let results = store
        .commit_many(vec![
            transition(ws, [put_record(&first)]),
            transition(
                ws,
                [
                    put_record(&stale),
                    put_record(&Record {
                        version: 5,
                        ..old.clone()
                    }),
                ],
            ),
            transition(foreign, [put_record(&fresh())]),
            transition(
                ws,
                [put_record(&Record {
                    version: 0,
                    ..old.clone()
                })],
            ),
            transition(ws, [add("full", 1, Some(0), None)]),
            transition(ws, [put_record(&last)]),
        ])
        .await;
    assert_eq!(results.len(), 6);
    assert_eq!(results[0], Ok(()));
    assert!(matches!(results[1], Err(CommitError::Stale(_))), "{results:?}");
    assert!(matches!(results[2], Err(CommitError::Store(_))), "{results:?}");
    assert!(matches!(results[3], Err(CommitError::Conflict(_))), "{results:?}");
    assert_eq!(results[4], Err(CommitError::CounterBound("full".into())));
    assert_eq!(results[5], Ok(()));
    let all = store
        .records(ws, old.campaign_id, None, Slice { offset: 0, limit: 9 })
        .await
        .unwrap();
    assert_eq!(
        all.items.iter().map(|record| record.id).collect::<Vec<_>>(),
        [old.id, first.id, last.id]
    );
}

pub(super) async fn many_transitions_see_those_before_them(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let mut record = record(ws, campaign(ws).id);
    let mut steps = Vec::new();
    for version in 0..5 {
        record.version = version;
        record.follow_ups = u32::try_from(version).unwrap();
        steps.push(transition(ws, [put_record(&record), add("steps", 1, Some(5), None)]));
    }
    assert_eq!(store.commit_many(steps).await, vec![Ok(()); 5]);
    assert_eq!(stored(&*store, &record).await, Some(Record { version: 5, ..record }));
    assert_eq!(store.counters(ws, &["steps".into()]).await.unwrap()["steps"], 5);
}

pub(super) async fn rivals_for_one_version_have_one_winner(store: Arc<dyn Store>) {
    let record = inserted(&*store).await;
    let rivals = (0..20).map(|n| {
        let (store, rival) = (
            Arc::clone(&store),
            Record {
                follow_ups: n,
                ..record.clone()
            },
        );
        tokio::spawn(async move { (n, try_put(&*store, rival.workspace_id, [put_record(&rival)]).await) })
    });
    let results: Vec<_> = futures::future::join_all(rivals)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let winners: Vec<_> = results
        .iter()
        .filter(|(_, result)| result.is_ok())
        .map(|(n, _)| *n)
        .collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    assert!(
        results
            .iter()
            .all(|(_, result)| matches!(result, Ok(()) | Err(CommitError::Stale(_)))),
        "{results:?}"
    );
    assert_eq!(
        stored(&*store, &record).await,
        Some(Record {
            follow_ups: winners[0],
            version: 2,
            ..record
        })
    );
}

macro_rules! at_version {
    ($version:expr, $entity:expr) => {{
        let mut entity = $entity.clone();
        entity.version = $version;
        entity
    }};
}

pub(super) async fn every_entity_survives_the_round_trip(store: Arc<dyn Store>) {
    let workspace = workspace();
    let ws = workspace.id;
    let (agent, clip, trunk, campaign) = (agent(ws), clip(ws), trunk(ws), campaign(ws));
    let record = record(ws, campaign.id);
    let call = call_for(&record, 1, CallState::InCall);
    let (endpoint, delivery) = (endpoint(ws), delivery(ws, at(5)));
    for version in 0..3 {
        let changes = [
            Change::PutWorkspace(Box::new(at_version!(version, workspace))),
            Change::PutAgent(Box::new(at_version!(version, agent))),
            Change::PutClip(Box::new(at_version!(version, clip))),
            Change::PutTrunk(Box::new(at_version!(version, trunk))),
            Change::PutCampaign(Box::new(at_version!(version, campaign))),
            Change::PutRecord(Box::new(at_version!(version, record))),
            Change::PutCall(Box::new(at_version!(version, call))),
            Change::PutEndpoint(Box::new(at_version!(version, endpoint))),
            Change::PutDelivery(Box::new(at_version!(version, delivery))),
        ];
        put(&*store, ws, changes).await;
        let version = version + 1;
        assert_eq!(store.workspace(ws).await, Ok(Some(at_version!(version, workspace))));
        assert_eq!(store.agent(ws, agent.id).await, Ok(Some(at_version!(version, agent))));
        assert_eq!(store.clip(ws, clip.id).await, Ok(Some(at_version!(version, clip))));
        assert_eq!(store.trunk(ws, trunk.id).await, Ok(Some(at_version!(version, trunk))));
        assert_eq!(
            store.campaign(ws, campaign.id).await,
            Ok(Some(at_version!(version, campaign)))
        );
        assert_eq!(
            store.record(ws, record.id).await,
            Ok(Some(at_version!(version, record)))
        );
        assert_eq!(store.call(ws, call.id).await, Ok(Some(at_version!(version, call))));
        assert_eq!(
            store.endpoint(ws, endpoint.id).await,
            Ok(Some(at_version!(version, endpoint)))
        );
        assert_eq!(
            store.delivery(ws, delivery.id).await,
            Ok(Some(at_version!(version, delivery)))
        );
    }
}

pub(super) async fn what_is_removed_is_gone_at_its_version_only(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let (agent, clip, trunk, endpoint) = (agent(ws), clip(ws), trunk(ws), endpoint(ws));
    put(
        &*store,
        ws,
        [
            Change::PutAgent(Box::new(agent.clone())),
            Change::PutClip(Box::new(clip.clone())),
            Change::PutTrunk(Box::new(trunk.clone())),
            Change::PutEndpoint(Box::new(endpoint.clone())),
        ],
    )
    .await;
    let all = [
        Removal::Agent(agent.id),
        Removal::Clip(clip.id),
        Removal::Trunk(trunk.id),
        Removal::Endpoint(endpoint.id),
    ];
    let there = async || {
        [
            store.agent(ws, agent.id).await.unwrap().is_some(),
            store.clip(ws, clip.id).await.unwrap().is_some(),
            store.trunk(ws, trunk.id).await.unwrap().is_some(),
            store.endpoint(ws, endpoint.id).await.unwrap().is_some(),
        ]
    };
    let remove = |what, version| Change::Remove { what, version };
    for what in all {
        let stale = try_put(&*store, ws, [remove(what, 2)]).await;
        assert!(matches!(stale, Err(CommitError::Stale(_))), "{what:?}: {stale:?}");
        let foreign = workspace_id();
        let foreign = try_put(&*store, foreign, [remove(what, 1)]).await;
        assert!(matches!(foreign, Err(CommitError::Stale(_))), "{what:?}: {foreign:?}");
    }
    // A later change that fails brings the removed ones back.
    let failing = all.into_iter().map(|what| remove(what, 1)).chain([remove(all[0], 1)]);
    assert!(try_put(&*store, ws, failing).await.is_err());
    assert_eq!(there().await, [true; 4]);
    put(&*store, ws, all.map(|what| remove(what, 1))).await;
    assert_eq!(there().await, [false; 4]);
    assert!(store.agents(ws).await.unwrap().is_empty() && store.trunks(ws).await.unwrap().is_empty());
    let again = try_put(&*store, ws, [remove(all[0], 1)]).await;
    assert!(matches!(again, Err(CommitError::Stale(_))), "{again:?}");
    // An id that was removed may come again.
    put(&*store, ws, [Change::PutAgent(Box::new(agent.clone()))]).await;
}
