//! Records: what is due, counts, lists.

use super::samples::*;
use crate::store::{Slice, Store};
use carillon_domain::agent::Variables;
use carillon_domain::ids::{CallId, CampaignId, WorkspaceId};
use carillon_domain::record::{AttemptKind, Record, RecordState, RecordStatus};
use carillon_domain::time::UnixMicros;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

fn due(ws: WorkspaceId, campaign: CampaignId, due_at: UnixMicros) -> Record {
    Record {
        state: waiting(AttemptKind::First, due_at),
        ..record(ws, campaign)
    }
}

fn ids(records: &[Record]) -> Vec<carillon_domain::ids::RecordId> {
    records.iter().map(|record| record.id).collect()
}

fn states() -> [(RecordState, RecordStatus); 8] {
    let call_id = CallId::new(next_id());
    [
        (waiting(AttemptKind::First, at(0)), RecordStatus::Queued),
        (RecordState::InProgress { call_id }, RecordStatus::InProgress),
        (RecordState::Completed, RecordStatus::Completed),
        (RecordState::Failed, RecordStatus::Failed),
        (waiting(AttemptKind::Retry, at(0)), RecordStatus::RetryPending),
        (waiting(AttemptKind::FollowUp, at(0)), RecordStatus::FollowUpPending),
        (waiting(AttemptKind::Callback, at(0)), RecordStatus::Rescheduled),
        (RecordState::Dnc, RecordStatus::Dnc),
    ]
}

pub(super) async fn variables_keep_their_order_and_every_character(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let mut variables = Variables::new();
    variables.insert("zeta".into(), json!("Zoë 你好 👩‍👩‍👧 \u{0} \u{7f} \" \\ \r\n \u{202e}"));
    variables.insert(
        "alpha".into(),
        json!({"z": [1, -2.5, null, true], "a": {"": "empty key"}}),
    );
    variables.insert(
        "Mitte".into(),
        json!([0.1, 1e300, 123_456_789.123_456_79, u64::MAX, i64::MIN]),
    );
    variables.insert("नाम".into(), json!("'; DROP TABLE records; --"));
    variables.insert("large".into(), json!("ß".repeat(300_000)));
    let record = Record {
        variables: variables.clone(),
        ..record(ws, campaign(ws).id)
    };
    put(&*store, ws, [put_record(&record)]).await;
    let stored = store.record(ws, record.id).await.unwrap().unwrap();
    assert_eq!(
        stored.variables.keys().collect::<Vec<_>>(),
        variables.keys().collect::<Vec<_>>()
    );
    assert!(stored.variables == variables, "a value changed");
    let inner = stored.variables["alpha"].as_object().unwrap();
    assert_eq!(inner.keys().collect::<Vec<_>>(), ["z", "a"]);
}

pub(super) async fn due_records_come_by_time_then_id(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let campaign = campaign(ws).id;
    assert_eq!(store.next_due_at(ws, campaign).await, Ok(None));
    let records = [30, 10, 20, 10, 5].map(|s| due(ws, campaign, at(s)));
    put(&*store, ws, records.iter().rev().map(put_record)).await;

    let [c, b1, _, b2, a] = records.each_ref().map(|record| record.id);
    let due = |now, limit| store.due_records(ws, campaign, now, limit);
    assert_eq!(ids(&due(at(10), 10).await.unwrap()), [a, b1, b2]);
    assert_eq!(ids(&due(at(99), 2).await.unwrap()), [a, b1]);
    assert_eq!(ids(&due(at(99), 99).await.unwrap()).last(), Some(&c));
    assert_eq!(due(UnixMicros(at(5).micros() - 1), 10).await, Ok(vec![]));
    assert_eq!(due(at(99), 0).await, Ok(vec![]));
    assert_eq!(store.next_due_at(ws, campaign).await, Ok(Some(at(5))));

    let moved = Record {
        version: 1,
        state: waiting(AttemptKind::Retry, at(40)),
        ..records[4].clone()
    };
    put(&*store, ws, [put_record(&moved)]).await;
    assert_eq!(ids(&due(at(10), 10).await.unwrap()), [b1, b2]);
    assert_eq!(store.next_due_at(ws, campaign).await, Ok(Some(at(10))));
}

pub(super) async fn only_waiting_records_are_due(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let campaign = campaign(ws).id;
    let all = states().map(|(state, _)| Record {
        state,
        ..record(ws, campaign)
    });
    put(&*store, ws, all.iter().map(put_record)).await;
    let waiting: Vec<_> = all.iter().filter(|record| record.due_at().is_some()).cloned().collect();
    assert_eq!(waiting.len(), 4);
    assert_eq!(
        ids(&store.due_records(ws, campaign, at(0), 99).await.unwrap()),
        ids(&waiting)
    );

    let done: Vec<_> = waiting
        .iter()
        .map(|r| Record {
            version: 1,
            state: RecordState::Failed,
            ..r.clone()
        })
        .collect();
    put(&*store, ws, done.iter().map(put_record)).await;
    assert_eq!(store.due_records(ws, campaign, at(0), 99).await, Ok(vec![]));
    assert_eq!(store.next_due_at(ws, campaign).await, Ok(None));
}

pub(super) async fn counts_always_add_up(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let campaign = campaign(ws).id;
    let mut records: Vec<_> = (0..24).map(|_| record(ws, campaign)).collect();
    put(&*store, ws, records.iter().map(put_record)).await;
    for round in 0..5_usize {
        for (index, record) in records.iter_mut().enumerate() {
            record.version = u64::try_from(round).unwrap() + 1;
            record.state = states()[(index * (round + 1)) % 8].0.clone();
        }
        let transitions = records
            .iter()
            .map(|record| transition(ws, [put_record(record)]))
            .collect();
        assert!(store.commit_many(transitions).await.iter().all(Result::is_ok));

        let mut expected = BTreeMap::new();
        records
            .iter()
            .for_each(|record| *expected.entry(record.status()).or_insert(0) += 1);
        let mut counts = store.record_counts(ws, campaign).await.unwrap();
        counts.retain(|_, count| *count > 0);
        assert_eq!(counts, expected);
    }
    assert_eq!(
        store.record_counts(ws, CampaignId::new(next_id())).await,
        Ok(BTreeMap::new())
    );
}

pub(super) async fn records_are_listed_newest_first_by_page_and_status(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let campaign = campaign(ws).id;
    let records: Vec<_> = [3, 1, 2, 3, 1]
        .iter()
        .zip(states())
        .map(|(s, (state, _))| Record {
            created_at: at(*s),
            state,
            ..record(ws, campaign)
        })
        .collect();
    put(&*store, ws, records.iter().map(put_record)).await;
    let order = [0, 3, 2, 1, 4].map(|index: usize| records[index].id);
    for (offset, limit) in [(0, 99), (0, 2), (2, 2), (4, 2), (1, 1)] {
        let page = store
            .records(ws, campaign, None, Slice { offset, limit })
            .await
            .unwrap();
        let start = usize::try_from(offset).unwrap();
        let end = (start + usize::try_from(limit).unwrap()).min(order.len());
        assert_eq!((ids(&page.items).as_slice(), page.total), (&order[start..end], 5));
    }
    for (index, (_, status)) in states().into_iter().enumerate() {
        let page = store
            .records(ws, campaign, Some(status), Slice { offset: 0, limit: 9 })
            .await
            .unwrap();
        let expected: Vec<_> = records.get(index).map(|record| record.id).into_iter().collect();
        assert_eq!(
            (ids(&page.items), page.total),
            (expected.clone(), u64::try_from(expected.len()).unwrap())
        );
    }
}

pub(super) async fn known_numbers_are_those_of_the_campaign(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let (mine, other) = (campaign(ws).id, campaign(ws).id);
    let with = |campaign, n| Record {
        phone: phone(n),
        ..record(ws, campaign)
    };
    put(
        &*store,
        ws,
        [with(mine, 3), with(mine, 1), with(mine, 1), with(other, 2)]
            .iter()
            .map(put_record),
    )
    .await;
    let asked = [4, 3, 2, 1, 3].map(phone);
    assert_eq!(
        store.known_numbers(ws, mine, &asked).await,
        Ok(vec![phone(1), phone(3)])
    );
    assert_eq!(store.known_numbers(ws, other, &asked).await, Ok(vec![phone(2)]));
    assert_eq!(store.known_numbers(ws, mine, &[]).await, Ok(vec![]));
}

pub(super) async fn a_large_push_is_one_commit(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let campaign = campaign(ws).id;
    let records: Vec<_> = (0..2_000)
        .map(|n| Record {
            phone: phone(n),
            ..record(ws, campaign)
        })
        .collect();
    let bad = records.iter().chain([&records[1_000]]).map(put_record);
    assert!(try_put(&*store, ws, bad).await.is_err());
    assert_eq!(store.record_counts(ws, campaign).await, Ok(BTreeMap::new()));

    put(&*store, ws, records.iter().map(put_record)).await;
    assert_eq!(
        store.record_counts(ws, campaign).await,
        Ok(BTreeMap::from([(RecordStatus::Queued, 2_000)]))
    );
    let numbers: Vec<_> = (1_990..2_010).map(phone).collect();
    assert_eq!(store.known_numbers(ws, campaign, &numbers).await.unwrap().len(), 10);
    let due = store.due_records(ws, campaign, at(0), 3).await.unwrap();
    assert_eq!(ids(&due), ids(&records[..3]));
}
