//! Workspaces never see each other.

use super::samples::*;
use crate::store::{CallFilter, DeliveryFilter, Slice, Store};
use carillon_domain::agent::Agent;
use carillon_domain::call::CallState;
use carillon_domain::record::Record;
use carillon_domain::transition::Change;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every read that takes a workspace, asked for another one's ids.
pub(super) async fn no_read_crosses_workspaces(store: Arc<dyn Store>) {
    let (ws, other) = (workspace_id(), workspace_id());
    let (agent, clip, trunk, campaign) = (agent(ws), clip(ws), trunk(ws), campaign(ws));
    let record = record(ws, campaign.id);
    let call = call_for(&record, 1, CallState::Dialing);
    let (endpoint, delivery) = (endpoint(ws), delivery(ws, at(0)));
    let changes = [
        Change::PutAgent(Box::new(agent.clone())),
        Change::PutClip(Box::new(clip.clone())),
        Change::PutTrunk(Box::new(trunk.clone())),
        put_campaign(&campaign),
        put_record(&record),
        put_call(&call),
        Change::PutEndpoint(Box::new(endpoint.clone())),
        put_delivery(&delivery),
        Change::AddDeliveryAttempt(Box::new(delivery_attempt(&delivery, 1))),
        Change::PutDoNotCall(Box::new(do_not_call(ws, phone(1)))),
        add("c", 1, None, None),
    ];
    put(&*store, ws, changes).await;
    store.put_api_key(api_key(ws)).await.unwrap();
    let all = Slice { offset: 0, limit: 9 };

    // What is there for the owner is not there for the other one.
    for (asker, sees) in [(ws, 1), (other, 0)] {
        let seen = [
            store.agent(asker, agent.id).await.unwrap().iter().count(),
            store.agents(asker).await.unwrap().len(),
            store.clip(asker, clip.id).await.unwrap().iter().count(),
            store.clips(asker).await.unwrap().len(),
            store.trunk(asker, trunk.id).await.unwrap().iter().count(),
            store.trunks(asker).await.unwrap().len(),
            store.campaign(asker, campaign.id).await.unwrap().iter().count(),
            store.campaigns(asker).await.unwrap().len(),
            store.record(asker, record.id).await.unwrap().iter().count(),
            store.records(asker, campaign.id, None, all).await.unwrap().items.len(),
            store.record_counts(asker, campaign.id).await.unwrap().len(),
            store.due_records(asker, campaign.id, at(9), 9).await.unwrap().len(),
            store.next_due_at(asker, campaign.id).await.unwrap().iter().count(),
            store
                .known_numbers(asker, campaign.id, std::slice::from_ref(&record.phone))
                .await
                .unwrap()
                .len(),
            store.call(asker, call.id).await.unwrap().iter().count(),
            store
                .calls(asker, &CallFilter::default(), all)
                .await
                .unwrap()
                .items
                .len(),
            store.do_not_call(asker, &[phone(1)]).await.unwrap().len(),
            store.do_not_call_list(asker, all).await.unwrap().items.len(),
            store.counters(asker, &["c".into()]).await.unwrap().len(),
            store.endpoint(asker, endpoint.id).await.unwrap().iter().count(),
            store.endpoints(asker).await.unwrap().len(),
            store.delivery(asker, delivery.id).await.unwrap().iter().count(),
            store
                .deliveries(asker, &DeliveryFilter::default(), all)
                .await
                .unwrap()
                .items
                .len(),
            store.delivery_attempts(asker, delivery.id).await.unwrap().len(),
            store.api_keys(asker).await.unwrap().len(),
        ];
        assert_eq!(
            seen,
            [sees; 25],
            "asked by the {}",
            if sees == 1 { "owner" } else { "other" }
        );
    }
    assert_eq!(store.workspace(other).await, Ok(None));
}

pub(super) async fn ids_may_repeat_in_another_workspace(store: Arc<dyn Store>) {
    let (ws, other) = (workspace_id(), workspace_id());
    let mine = agent(ws);
    let theirs = Agent {
        workspace_id: other,
        name: "theirs".into(),
        ..mine.clone()
    };
    put(
        &*store,
        ws,
        [Change::PutAgent(Box::new(mine.clone())), add("c", 1, None, None)],
    )
    .await;
    put(
        &*store,
        other,
        [Change::PutAgent(Box::new(theirs)), add("c", 5, None, None)],
    )
    .await;
    assert_eq!(store.agent(ws, mine.id).await.unwrap().unwrap().name, mine.name);
    assert_eq!(store.agent(other, mine.id).await.unwrap().unwrap().name, "theirs");
    assert_eq!(
        store.counters(ws, &["c".into()]).await,
        Ok(BTreeMap::from([("c".to_owned(), 1)]))
    );

    let record = record(ws, campaign(ws).id);
    let twin = Record {
        workspace_id: other,
        ..record.clone()
    };
    put(&*store, ws, [put_call(&call_for(&record, 1, CallState::Dialing))]).await;
    put(&*store, other, [put_call(&call_for(&twin, 1, CallState::Dialing))]).await;
    assert_eq!(store.live_calls().await.unwrap().len(), 2);

    let changed = Agent {
        version: 1,
        name: "changed".into(),
        ..mine.clone()
    };
    put(
        &*store,
        ws,
        [Change::PutAgent(Box::new(changed)), Change::RemoveDoNotCall(phone(1))],
    )
    .await;
    assert_eq!(store.agent(other, mine.id).await.unwrap().unwrap().version, 1);
}
