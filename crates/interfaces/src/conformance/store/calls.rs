//! Calls: one per attempt, and what is open, live, queued.

use super::samples::*;
use crate::store::{CallFilter, CommitError, LiveCall, Slice, Store};
use carillon_domain::call::{Call, CallState};
use carillon_domain::ids::{AgentId, CallId};
use std::sync::Arc;

fn ids(calls: &[Call]) -> Vec<CallId> {
    calls.iter().map(|call| call.id).collect()
}

pub(super) async fn an_attempt_exists_once(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let record = record(ws, campaign(ws).id);
    let first = call_for(&record, 1, CallState::Dialing);
    put(
        &*store,
        ws,
        [put_call(&first), put_call(&call_for(&record, 2, CallState::Dialing))],
    )
    .await;

    let twin = call_for(&record, 1, CallState::Dialing);
    let result = try_put(&*store, ws, [put_call(&twin)]).await;
    assert!(matches!(result, Err(CommitError::Conflict(_))), "{result:?}");
    assert_eq!(store.call(ws, twin.id).await, Ok(None));
    let both = store.commit_many(vec![
        transition(ws, [put_call(&call_for(&record, 3, CallState::Dialing))]),
        transition(ws, [put_call(&call_for(&record, 3, CallState::Dialing))]),
    ]);
    let both = both.await;
    assert!(matches!(both[..], [Ok(()), Err(CommitError::Conflict(_))]), "{both:?}");

    let closed = Call {
        version: 1,
        state: CallState::Closed,
        deadline: None,
        ..first
    };
    put(&*store, ws, [put_call(&closed)]).await;
    let result = try_put(&*store, ws, [put_call(&twin)]).await;
    assert!(matches!(result, Err(CommitError::Conflict(_))), "{result:?}");
}

pub(super) async fn rivals_for_one_attempt_have_one_winner(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let record = record(ws, campaign(ws).id);
    let rivals = (0..20).map(|_| {
        let (store, call) = (Arc::clone(&store), call_for(&record, 1, CallState::Dialing));
        tokio::spawn(async move { try_put(&*store, ws, [put_call(&call)]).await })
    });
    let results: Vec<_> = futures::future::join_all(rivals)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    let refused = |result: &Result<(), CommitError>| matches!(result, Ok(()) | Err(CommitError::Conflict(_)));
    assert!(results.iter().all(refused), "{results:?}");
    assert_eq!(store.live_calls().await.unwrap().len(), 1);
}

pub(super) async fn single_calls_share_no_attempt(store: Arc<dyn Store>) {
    let ws = workspace_id();
    put(
        &*store,
        ws,
        [
            put_call(&call(ws, CallState::Queued)),
            put_call(&call(ws, CallState::Queued)),
        ],
    )
    .await;
    assert_eq!(store.queued_calls(9).await.unwrap().len(), 2);
}

pub(super) async fn calls_are_filtered_and_paged(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let (one, two) = (record(ws, campaign(ws).id), record(ws, campaign(ws).id));
    let agent = AgentId::new(next_id());
    let a = Call {
        created_at: at(1),
        agent_id: agent,
        ..call_for(&one, 1, CallState::Closed)
    };
    let b = Call {
        created_at: at(2),
        ..call_for(&one, 2, CallState::InCall)
    };
    let c = Call {
        created_at: at(2),
        agent_id: agent,
        ..call_for(&two, 1, CallState::Closed)
    };
    let d = Call {
        created_at: at(3),
        agent_id: agent,
        ..call(ws, CallState::Queued)
    };
    put(&*store, ws, [&c, &a, &d, &b].map(put_call)).await;

    let any = CallFilter::default;
    let by_agent = CallFilter {
        agent_id: Some(agent),
        ..any()
    };
    for (filter, expected) in [
        (any(), vec![d.id, b.id, c.id, a.id]),
        (
            CallFilter {
                campaign_id: Some(one.campaign_id),
                ..any()
            },
            vec![b.id, a.id],
        ),
        (
            CallFilter {
                record_id: Some(two.id),
                ..any()
            },
            vec![c.id],
        ),
        (
            CallFilter {
                state: Some(CallState::Closed),
                ..any()
            },
            vec![c.id, a.id],
        ),
        (
            CallFilter {
                campaign_id: Some(one.campaign_id),
                ..by_agent.clone()
            },
            vec![a.id],
        ),
        (
            CallFilter {
                state: Some(CallState::Ringing),
                ..by_agent.clone()
            },
            vec![],
        ),
        (by_agent, vec![d.id, c.id, a.id]),
    ] {
        let total = u64::try_from(expected.len()).unwrap();
        for (offset, limit) in [(0, 99), (0, 1), (1, 1), (1, 99)] {
            let page = store.calls(ws, &filter, Slice { offset, limit }).await.unwrap();
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

pub(super) async fn open_live_and_queued_calls_follow_the_state(store: Arc<dyn Store>) {
    let (ws, other) = (workspace_id(), workspace_id());
    let trunk_id = Some(trunk(ws).id);
    let record = record(ws, campaign(ws).id);
    let mine = Call {
        created_at: at(2),
        trunk_id,
        ..call_for(&record, 1, CallState::Queued)
    };
    let theirs = Call {
        created_at: at(1),
        ..call(other, CallState::Queued)
    };
    put(&*store, ws, [put_call(&mine)]).await;
    put(&*store, other, [put_call(&theirs)]).await;
    assert_eq!(ids(&store.queued_calls(9).await.unwrap()), [theirs.id, mine.id]);
    assert_eq!(ids(&store.queued_calls(1).await.unwrap()), [theirs.id]);

    for (version, state) in (1..).zip(CallState::ALL) {
        put(
            &*store,
            ws,
            [put_call(&Call {
                version,
                state,
                ..mine.clone()
            })],
        )
        .await;
        let open = store.open_calls().await.unwrap();
        let expected = if state == CallState::Closed {
            vec![theirs.id]
        } else {
            vec![theirs.id, mine.id]
        };
        assert_eq!(ids(&open), expected, "{state:?}");
        let live = LiveCall {
            workspace_id: ws,
            call_id: mine.id,
            campaign_id: Some(record.campaign_id),
            trunk_id,
        };
        let expected = if state.is_live() { vec![live] } else { vec![] };
        assert_eq!(store.live_calls().await.unwrap(), expected, "{state:?}");
        let queued = ids(&store.queued_calls(9).await.unwrap());
        assert_eq!(queued.contains(&mine.id), state == CallState::Queued, "{state:?}");
    }
}
