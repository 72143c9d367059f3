//! RevRag's API beyond its examples: sizes, failures, prefixes.

use crate::world::{AGENT, CAMPAIGN, World};
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

fn push_path() -> String {
    format!("/v1/campaigns/{CAMPAIGN}/records/push-bulk")
}

fn records(count: usize) -> Value {
    let record =
        |index: usize| json!({"phone_number": format!("+9198{index:08}"), "variables": {"first_name": "Riya"}});
    json!({"records": (0..count).map(record).collect::<Vec<_>>()})
}

#[tokio::test]
async fn ten_thousand_records_are_taken_in_order_and_one_more_is_too_many() {
    let world = World::new().await;
    let mut body = records(10_000);
    body["records"][4_999]["phone_number"] = json!("nobody");
    let answer = world.revrag("POST", &push_path(), Some(body)).await;
    assert_eq!(answer.status, 200);
    let pushed = answer.json();
    assert_eq!(
        (pushed["accepted"].as_u64(), pushed["rejected"].as_u64()),
        (Some(9_999), Some(1))
    );
    for (index, result) in pushed["results"].as_array().unwrap().iter().enumerate() {
        match index {
            4_999 => assert_eq!(result["error"], "Invalid Indian phone number: nobody"),
            _ => assert_eq!(result["phone_number"], format!("+9198{index:08}")),
        }
    }
    let status = world
        .revrag("GET", &format!("/v1/campaigns/{CAMPAIGN}/status"), None)
        .await
        .json();
    assert_eq!(status["stats"]["total_records"], 9_999);

    let answer = world.revrag("POST", &push_path(), Some(records(10_001))).await;
    assert_eq!(answer.status, 422);
    insta::assert_json_snapshot!(answer.json());
}

#[tokio::test]
async fn a_body_above_16_mib_is_413_whether_it_says_so_or_not() {
    let world = World::new().await;
    let huge = vec![b' '; (16 << 20) + 1];
    let declared = Request::post(push_path())
        .header("X-API-Key", &world.revrag_key)
        .header("Content-Length", huge.len())
        .body(Body::from(huge.clone()))
        .unwrap();
    let pieces = huge
        .chunks(1 << 20)
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
        .collect::<Vec<_>>();
    let streamed = Request::post(push_path())
        .header("X-API-Key", &world.revrag_key)
        .body(Body::from_stream(futures::stream::iter(pieces)))
        .unwrap();
    for request in [declared, streamed] {
        let answer = world.send(request).await;
        assert_eq!(answer.status, 413);
        assert_eq!(
            answer.json(),
            json!({"detail": "Request body is too large: at most 16 MiB."})
        );
    }
}

#[tokio::test]
async fn a_huge_body_is_not_even_read_without_a_key() {
    let world = World::new().await;
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1 << 16]));
    let request = Request::post(push_path()).body(Body::from_stream(endless)).unwrap();
    assert_eq!(world.send(request).await.status, 401);
}

#[tokio::test]
async fn ten_thousand_broken_records_name_a_hundred_places() {
    let world = World::new().await;
    let body = json!({"records": vec![json!({}); 10_000]});
    let answer = world.revrag("POST", &push_path(), Some(body)).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["detail"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn deep_json_is_refused_and_not_a_crash() {
    let world = World::new().await;
    let body = format!("{{\"records\":{}", "[".repeat(1 << 20));
    let request = Request::post(push_path())
        .header("X-API-Key", &world.revrag_key)
        .header("Content-Type", "application/json")
        .body(Body::from(body))
        .unwrap();
    let answer = world.send(request).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["detail"][0]["type"], "json_invalid");
}

#[tokio::test]
async fn a_store_that_fails_is_500_and_nothing_is_taken() {
    let world = World::new().await;
    world.store.fail_next_commits(1);
    let answer = world.revrag("POST", &push_path(), Some(records(3))).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json(), json!({"detail": "Internal Server Error"}));
    let status = world
        .revrag("GET", &format!("/v1/campaigns/{CAMPAIGN}/status"), None)
        .await
        .json();
    assert_eq!(status["stats"]["total_records"], 0);
}

#[tokio::test]
async fn a_key_of_another_dialect_or_a_revoked_one_opens_nothing() {
    let world = World::new().await;
    let path = format!("/v1/campaigns/{CAMPAIGN}/status");
    let ask = async |key: &str| {
        let request = Request::get(&path)
            .header("X-API-Key", key)
            .body(Body::empty())
            .unwrap();
        world.send(request).await.status.as_u16()
    };
    assert_eq!(ask(&world.native_key).await, 401);
    assert_eq!(ask(&world.revrag_key).await, 200);
    let keys = world.native("GET", "/keys", None).await.json();
    let revrag = keys["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["dialect"] == "revrag")
        .unwrap()
        .clone();
    world
        .native("DELETE", &format!("/keys/{}", revrag["id"].as_str().unwrap()), None)
        .await;
    assert_eq!(ask(&world.revrag_key).await, 401);
}

#[tokio::test]
async fn a_busy_call_tells_its_history() {
    let world = World::new().await;
    world.app.start().await.unwrap();
    let body = json!({"records": [{"phone_number": "+919876543219"}]});
    let pushed = world.revrag("POST", &push_path(), Some(body)).await.json();
    let path = format!(
        "/v1/campaigns/{CAMPAIGN}/records/{}",
        pushed["results"][0]["run_id"].as_str().unwrap()
    );
    let record = crate::world::eventually(async || {
        let record = world.revrag("GET", &path, None).await.json();
        (record["status"] == "retry_pending").then_some(record)
    })
    .await;
    insta::assert_json_snapshot!(record);
}

/// "The original variable fields that were passed": the agent's defaults are said on the call, and not echoed.
#[tokio::test]
async fn variables_fields_are_what_was_sent_and_nothing_else() {
    let world = World::new().await;
    let declared = json!({"variables": [
        {"name": "first_name"}, {"name": "plan", "default_value": "basic"}, {"name": "city", "default_value": "Pune"},
    ]});
    let changed = world.native("PATCH", &format!("/agents/{AGENT}"), Some(declared)).await;
    assert_eq!(changed.status, 200, "{}", changed.json());
    for sent in [
        json!({"first_name": "Pankaj", "plan": "gold"}),
        json!({"city": "Delhi"}),
    ] {
        let single = json!({"agent_id": AGENT, "to_phone_number": "+919876543210", "variable_fields": sent});
        let made = world
            .revrag("POST", "/v1/campaigns/trigger/single", Some(single))
            .await
            .json();
        let call = made["call_id"].as_str().unwrap().to_owned();
        let status = world
            .revrag("GET", &format!("/v1/campaigns/trigger/status/{call}"), None)
            .await
            .json();
        assert_eq!(status["variables_fields"], sent, "{status}");
    }
}
