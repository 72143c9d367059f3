//! The order of lists, and what is small.

use super::samples::*;
use crate::store::{ApiKey, CallFilter, DeliveryFilter, Slice, Store};
use carillon_domain::agent::{Agent, Clip};
use carillon_domain::campaign::{Campaign, CampaignStatus};
use carillon_domain::do_not_call::{DoNotCallEntry, DoNotCallScope};
use carillon_domain::ids::CampaignId;
use carillon_domain::transition::Change;
use carillon_domain::webhook::Endpoint;
use std::sync::Arc;

/// Three of each entity, made at 2, 1, 1: oldest first they are 1, 2, 0, newest first 0, 1, 2.
pub(super) async fn lists_are_in_their_order(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let ages = [at(2), at(1), at(1)];
    let agents = ages.map(|created_at| Agent {
        created_at,
        ..agent(ws)
    });
    let clips = ages.map(|created_at| Clip { created_at, ..clip(ws) });
    let campaigns = ages.map(|created_at| Campaign {
        created_at,
        ..campaign(ws)
    });
    let endpoints = ages.map(|created_at| Endpoint {
        created_at,
        ..endpoint(ws)
    });
    let keys = ages.map(|created_at| ApiKey {
        created_at,
        ..api_key(ws)
    });
    let trunks = [trunk(ws), trunk(ws)];
    for index in [2, 0, 1] {
        let changes = [
            Change::PutAgent(Box::new(agents[index].clone())),
            Change::PutClip(Box::new(clips[index].clone())),
            Change::PutCampaign(Box::new(campaigns[index].clone())),
            Change::PutEndpoint(Box::new(endpoints[index].clone())),
        ];
        put(&*store, ws, changes).await;
        store.put_api_key(keys[index].clone()).await.unwrap();
    }
    put(
        &*store,
        ws,
        trunks
            .iter()
            .rev()
            .map(|trunk| Change::PutTrunk(Box::new(trunk.clone()))),
    )
    .await;

    macro_rules! check {
        ($read:ident, $all:ident, $order:expr) => {
            let listed: Vec<_> = store
                .$read(ws)
                .await
                .unwrap()
                .into_iter()
                .map(|entity| entity.id)
                .collect();
            assert_eq!(
                listed,
                $order.map(|index: usize| $all[index].id),
                stringify!($read)
            );
        };
    }
    check!(agents, agents, [1, 2, 0]);
    check!(clips, clips, [1, 2, 0]);
    check!(endpoints, endpoints, [1, 2, 0]);
    check!(api_keys, keys, [1, 2, 0]);
    check!(trunks, trunks, [0, 1]);
    check!(campaigns, campaigns, [0, 1, 2]);
    let open: Vec<_> = store
        .open_campaigns()
        .await
        .unwrap()
        .into_iter()
        .map(|campaign| campaign.id)
        .collect();
    assert_eq!(open, [1, 2, 0].map(|index: usize| campaigns[index].id));

    let (first, second) = (workspace(), workspace());
    for workspace in [&second, &first] {
        put(
            &*store,
            workspace.id,
            [Change::PutWorkspace(Box::new(workspace.clone()))],
        )
        .await;
    }
    let listed: Vec<_> = store
        .workspaces()
        .await
        .unwrap()
        .into_iter()
        .map(|workspace| workspace.id)
        .collect();
    assert_eq!(listed, [first.id, second.id]);
}

pub(super) async fn open_campaigns_are_those_with_work_left(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let mut campaign = campaign(ws);
    for status in CampaignStatus::ALL {
        for settled in [false, true] {
            campaign = Campaign {
                status,
                settled,
                ..campaign
            };
            put(&*store, ws, [put_campaign(&campaign)]).await;
            campaign.version += 1;
            let open: Vec<CampaignId> = store
                .open_campaigns()
                .await
                .unwrap()
                .into_iter()
                .map(|c| c.id)
                .collect();
            let has_work = match status {
                CampaignStatus::Draft => false,
                CampaignStatus::Scheduled | CampaignStatus::Running | CampaignStatus::Paused => true,
                CampaignStatus::Completed | CampaignStatus::Cancelled => !settled,
            };
            assert_eq!(
                open,
                if has_work { vec![campaign.id] } else { vec![] },
                "{status:?}, settled {settled}"
            );
        }
    }
}

pub(super) async fn do_not_call_entries_are_put_replaced_and_removed(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let entry = |n| do_not_call(ws, phone(n));
    let put_entry = |entry: &DoNotCallEntry| Change::PutDoNotCall(Box::new(entry.clone()));
    put(&*store, ws, [entry(3), entry(1), entry(2)].iter().map(put_entry)).await;
    let asked = [9, 3, 1, 3].map(phone);
    assert_eq!(store.do_not_call(ws, &asked).await, Ok(vec![entry(1), entry(3)]));
    assert_eq!(store.do_not_call(ws, &[]).await, Ok(vec![]));

    let marketing = DoNotCallEntry {
        scope: DoNotCallScope::Marketing,
        added_at: at(9),
        ..entry(1)
    };
    put(
        &*store,
        ws,
        [
            put_entry(&marketing),
            Change::RemoveDoNotCall(phone(3)),
            Change::RemoveDoNotCall(phone(8)),
        ],
    )
    .await;
    let page = store.do_not_call_list(ws, Slice { offset: 0, limit: 9 }).await.unwrap();
    assert_eq!((page.items, page.total), (vec![marketing.clone(), entry(2)], 2));
    let page = store.do_not_call_list(ws, Slice { offset: 1, limit: 1 }).await.unwrap();
    assert_eq!((page.items, page.total), (vec![entry(2)], 2));

    put(&*store, ws, [Change::RemoveDoNotCall(phone(1)), put_entry(&entry(1))]).await;
    assert_eq!(store.do_not_call(ws, &[phone(1)]).await, Ok(vec![entry(1)]));
}

pub(super) async fn keys_are_found_by_hash(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let key = api_key(ws);
    assert_eq!(store.api_key_by_hash(&key.hash).await, Ok(None));
    store.put_api_key(key.clone()).await.unwrap();
    store.put_api_key(api_key(ws)).await.unwrap();
    assert_eq!(store.api_key_by_hash(&key.hash).await, Ok(Some(key.clone())));

    let revoked = ApiKey {
        revoked_at: Some(at(5)),
        ..key.clone()
    };
    store.put_api_key(revoked.clone()).await.unwrap();
    assert_eq!(store.api_key_by_hash(&key.hash).await, Ok(Some(revoked)));
    assert_eq!(store.api_keys(ws).await.unwrap().len(), 2);
    assert_eq!(store.api_key_by_hash("").await, Ok(None));

    let twin = ApiKey {
        hash: key.hash.clone(),
        ..api_key(workspace_id())
    };
    assert!(store.put_api_key(twin).await.is_err());
}

pub(super) async fn pages_past_the_end_are_empty(store: Arc<dyn Store>) {
    let ws = workspace_id();
    let record = record(ws, campaign(ws).id);
    let changes = [
        put_record(&record),
        put_call(&call(ws, carillon_domain::call::CallState::Closed)),
        put_delivery(&delivery(ws, at(0))),
        Change::PutDoNotCall(Box::new(do_not_call(ws, phone(1)))),
    ];
    put(&*store, ws, changes).await;
    for (offset, limit) in [(1, 5), (u64::MAX, u32::MAX), (0, 0)] {
        let slice = Slice { offset, limit };
        let page = store.records(ws, record.campaign_id, None, slice).await.unwrap();
        assert_eq!((page.items.len(), page.total), (0, 1));
        let page = store.calls(ws, &CallFilter::default(), slice).await.unwrap();
        assert_eq!((page.items.len(), page.total), (0, 1));
        let page = store.deliveries(ws, &DeliveryFilter::default(), slice).await.unwrap();
        assert_eq!((page.items.len(), page.total), (0, 1));
        let page = store.do_not_call_list(ws, slice).await.unwrap();
        assert_eq!((page.items.len(), page.total), (0, 1));
    }
}
