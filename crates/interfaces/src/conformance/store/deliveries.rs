//! Webhook deliveries and their log.

use super::samples::*;
use crate::store::{CommitError, DeliveryFilter, Slice, Store};
use carillon_domain::ids::DeliveryId;
use carillon_domain::time::UnixMicros;
use carillon_domain::transition::Change;
use carillon_domain::webhook::{Delivery, DeliveryState};
use std::sync::Arc;

fn ids(deliveries: &[Delivery]) -> Vec<DeliveryId> {
    deliveries.iter().map(|delivery| delivery.id).collect()
}

pub(super) async fn due_deliveries_come_by_time(store: Arc<dyn Store>) {
    let (ws, other) = (workspace_id(), workspace_id());
    assert_eq!(store.next_delivery_due_at().await, Ok(None));
    let (late, early) = (delivery(ws, at(20)), delivery(ws, at(5)));
    let theirs = delivery(other, at(10));
    let done = Delivery {
        state: DeliveryState::Delivered { at: at(1) },
        ..delivery(ws, at(0))
    };
    let given_up = Delivery {
        state: DeliveryState::Exhausted { at: at(1) },
        ..delivery(ws, at(0))
    };
    put(&*store, ws, [&late, &early, &done, &given_up].map(put_delivery)).await;
    put(&*store, other, [put_delivery(&theirs)]).await;

    assert_eq!(
        ids(&store.due_deliveries(at(10), 9).await.unwrap()),
        [early.id, theirs.id]
    );
    assert_eq!(
        ids(&store.due_deliveries(at(99), 9).await.unwrap()),
        [early.id, theirs.id, late.id]
    );
    assert_eq!(ids(&store.due_deliveries(at(99), 1).await.unwrap()), [early.id]);
    assert_eq!(
        store.due_deliveries(UnixMicros(at(5).micros() - 1), 9).await,
        Ok(vec![])
    );
    assert_eq!(store.next_delivery_due_at().await, Ok(Some(at(5))));

    let delivered = Delivery {
        version: 1,
        state: DeliveryState::Delivered { at: at(6) },
        ..early
    };
    put(&*store, ws, [put_delivery(&delivered)]).await;
    assert_eq!(store.next_delivery_due_at().await, Ok(Some(at(10))));
    assert_eq!(ids(&store.due_deliveries(at(10), 9).await.unwrap()), [theirs.id]);
}

pub(super) async fn deliveries_are_filtered_and_paged(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let a = Delivery {
        created_at: at(1),
        ..delivery(ws, at(0))
    };
    let b = Delivery {
        created_at: at(2),
        endpoint_id: a.endpoint_id,
        ..delivery(ws, at(0))
    };
    let c = Delivery {
        created_at: at(2),
        call_id: a.call_id,
        ..delivery(ws, at(0))
    };
    let a = Delivery {
        state: DeliveryState::Exhausted { at: at(3) },
        ..a
    };
    let c = Delivery {
        state: DeliveryState::Delivered { at: at(3) },
        ..c
    };
    put(&*store, ws, [&c, &a, &b].map(put_delivery)).await;

    let any = DeliveryFilter::default;
    let in_state = |state: &str| DeliveryFilter {
        state: Some(state.to_owned()),
        ..any()
    };
    for (filter, expected) in [
        (any(), vec![b.id, c.id, a.id]),
        (
            DeliveryFilter {
                endpoint_id: Some(a.endpoint_id),
                ..any()
            },
            vec![b.id, a.id],
        ),
        (
            DeliveryFilter {
                call_id: Some(a.call_id),
                ..any()
            },
            vec![c.id, a.id],
        ),
        (in_state("pending"), vec![b.id]),
        (in_state("delivered"), vec![c.id]),
        (in_state("exhausted"), vec![a.id]),
        (in_state("lost"), vec![]),
        (
            DeliveryFilter {
                endpoint_id: Some(a.endpoint_id),
                ..in_state("exhausted")
            },
            vec![a.id],
        ),
    ] {
        let total = u64::try_from(expected.len()).unwrap();
        for (offset, limit) in [(0, 99), (0, 1), (1, 1), (2, 99)] {
            let page = store.deliveries(ws, &filter, Slice { offset, limit }).await.unwrap();
            let shown = expected
                .iter()
                .skip(usize::try_from(offset).unwrap())
                .take(usize::try_from(limit).unwrap());
            assert_eq!(
                (ids(&page.items), page.total),
                (shown.copied().collect(), total),
                "{filter:?}"
            );
        }
    }
}

pub(super) async fn the_attempt_log_only_grows(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let delivery = delivery(ws, at(0));
    let log = |number| Change::AddDeliveryAttempt(Box::new(delivery_attempt(&delivery, number)));
    put(&*store, ws, [put_delivery(&delivery), log(2), log(10)]).await;
    put(&*store, ws, [log(1)]).await;
    let result = try_put(&*store, ws, [log(3), log(2)]).await;
    assert!(matches!(result, Err(CommitError::Conflict(_))), "{result:?}");
    let attempts = store.delivery_attempts(ws, delivery.id).await.unwrap();
    assert_eq!(attempts, [1, 2, 10].map(|number| delivery_attempt(&delivery, number)));
}
