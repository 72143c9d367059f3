//! Webhooks beyond the one that goes right: refused and retried, replayed, forged.

use crate::harness::api::{calls_of, numbers};
use crate::harness::receiver::{SECRET, verify};
use crate::harness::scene::{ANSWERS, Scene};
use crate::harness::server::Installation;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_webhook_comes_again_under_the_same_id_and_is_logged() {
    let scene = Scene::start(Installation::new(), |_| ANSWERS, 300, 20).await;
    scene.receiver.refuse_next(1);
    let campaign = scene.campaign(&json!({})).await;
    let run = scene.api().push(&campaign, &numbers(70_000_000, 1)).await.remove(0);
    let record = scene.api().wait_for_record(&campaign, &run).await;
    let call = calls_of(&record).remove(0);
    let requests = scene.receiver.wait_for_call(&call).await;
    assert_eq!(
        requests.iter().map(|request| request.answered).collect::<Vec<_>>(),
        [503, 200]
    );
    verify(&requests, SECRET).unwrap();
    assert_eq!(requests[0].event_id(), requests[1].event_id());
    assert_eq!(
        requests[0].body, requests[1].body,
        "the body is the same, byte for byte"
    );
    let stamp = |nth: usize| requests[nth].headers["x-webhook-timestamp"].parse::<u64>().unwrap();
    assert!(
        stamp(1) >= stamp(0) + 10,
        "the second is signed afresh, ten seconds later"
    );

    let delivery = delivered(&scene, &call).await;
    let attempts = delivery["log"]
        .as_array()
        .unwrap_or_else(|| panic!("no log in {delivery}"));
    assert_eq!(attempts.len(), 2, "{delivery}");

    let id = delivery["id"].as_str().unwrap();
    scene
        .api()
        .native(Method::POST, &format!("/deliveries/{id}/replay"), Some(&json!({})))
        .await
        .ok();
    let deadline = Instant::now() + Duration::from_secs(10);
    while scene.receiver.about(&call).len() < 3 {
        assert!(Instant::now() < deadline, "the replay never came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let replayed = scene.receiver.about(&call).remove(2);
    assert_eq!(
        (replayed.event_id(), &replayed.body),
        (requests[0].event_id(), &requests[0].body)
    );
    verify(&[replayed], SECRET).unwrap();
}

/// The delivery of a call, once the store knows that it went through.
async fn delivered(scene: &Scene, call: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let listed = scene.api().native(Method::GET, "/deliveries", None).await.ok();
        let items = listed["items"].as_array().unwrap().clone();
        let found = items
            .into_iter()
            .find(|item| item["call_id"] == call && item["state"] == "delivered");
        if let Some(found) = found {
            let id = found["id"].as_str().unwrap();
            return scene
                .api()
                .native(Method::GET, &format!("/deliveries/{id}"), None)
                .await
                .ok();
        }
        assert!(Instant::now() < deadline, "no delivered webhook in {listed}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A verifier that was never seen refusing proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verifier_refuses_what_was_changed_on_the_way() {
    let scene = Scene::start(Installation::new(), |_| ANSWERS, 300, 20).await;
    let campaign = scene.campaign(&json!({})).await;
    scene.api().push(&campaign, &numbers(71_000_000, 1)).await;
    let genuine = scene.receiver.wait_for_events(1).await.remove(0);
    verify(std::slice::from_ref(&genuine), SECRET).unwrap();
    let forged = |change: fn(&mut crate::harness::receiver::Received)| {
        let mut forged = genuine.clone();
        change(&mut forged);
        verify(&[forged], SECRET).unwrap_err()
    };
    assert!(
        verify(std::slice::from_ref(&genuine), "another secret")
            .unwrap_err()
            .contains("signature is wrong")
    );
    assert!(forged(|request| request.body.push(b' ')).contains("signature is wrong"));
    let other_time = |request: &mut crate::harness::receiver::Received| {
        request.headers.insert("x-webhook-timestamp".to_owned(), "1".to_owned());
    };
    assert!(forged(other_time).contains("not the one in the header"));
    assert!(forged(|request| drop(request.headers.remove("x-webhook-signature"))).contains("no x-webhook-signature"));
    assert!(forged(|request| drop(request.headers.remove("x-webhook-id"))).contains("no x-webhook-id"));
    let old = |request: &mut crate::harness::receiver::Received| {
        request
            .headers
            .insert("x-webhook-timestamp".to_owned(), "1000".to_owned());
        request
            .headers
            .insert("x-webhook-signature".to_owned(), "t=1000,v1=00".to_owned());
    };
    assert!(forged(old).contains("300 s away"));
}
