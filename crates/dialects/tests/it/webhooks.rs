//! Webhooks, verified as their receivers are told to.

use crate::world::{NOW, WEBHOOK_SECRET, World, eventually};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use carillon_domain::webhook::Dialect;
use carillon_interfaces::webhook_transport::WebhookRequest;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::time::Duration;

fn header<'a>(request: &'a WebhookRequest, name: &str) -> &'a str {
    let found = request.headers.iter().find(|(header, _)| *header == name);
    found.map_or_else(
        || panic!("no header {name} in {:?}", request.headers),
        |(_, value)| value,
    )
}

/// What the campaign page says of headers: four of them, the signature over `"{timestamp}.{raw_body}"`.
pub(crate) fn verify_revrag(request: &WebhookRequest) {
    assert_eq!(header(request, "Content-Type"), "application/json");
    assert_eq!(header(request, "X-Webhook-Event"), "call.ended");
    let id = header(request, "X-Webhook-ID").strip_prefix("evt_").unwrap();
    assert!(
        id.len() == 26 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "{id}"
    );
    let timestamp = header(request, "X-Webhook-Timestamp");
    let seconds: i64 = timestamp.parse().unwrap();
    assert!((seconds - NOW.seconds()).abs() < 3_600, "{seconds}");
    let (signed_at, signature) = header(request, "X-Webhook-Signature")
        .strip_prefix("t=")
        .unwrap()
        .split_once(",v1=")
        .unwrap();
    assert_eq!(signed_at, timestamp);
    let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).unwrap();
    mac.update(format!("{timestamp}.{}", request.body).as_bytes());
    let expected: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(signature, expected);
}

async fn one_answered_call(world: &World) -> WebhookRequest {
    world.app.start().await.unwrap();
    let records = json!({"records": [{"phone_number": "+919876543210", "variables": {"first_name": "Pankaj"}}]});
    let pushed = world
        .revrag(
            "POST",
            &format!("/v1/campaigns/{}/records/push-bulk", crate::world::CAMPAIGN),
            Some(records),
        )
        .await;
    assert_eq!(pushed.status, 200);
    eventually(async || world.posted.all().into_iter().next()).await
}

#[tokio::test]
async fn a_webhook_says_what_the_status_answer_says() {
    let world = World::new().await;
    world.add_endpoint(Dialect::Revrag).await;
    let request = one_answered_call(&world).await;
    verify_revrag(&request);
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let call_id = body["call_id"].as_str().unwrap();
    let status = world
        .revrag("GET", &format!("/v1/campaigns/trigger/status/{call_id}"), None)
        .await;
    assert_eq!(std::str::from_utf8(&status.bytes).unwrap(), request.body);
}

#[tokio::test]
async fn a_native_webhook_follows_standard_webhooks() {
    let world = World::new().await;
    world.add_endpoint(Dialect::Native).await;
    let request = one_answered_call(&world).await;
    let (id, timestamp) = (header(&request, "webhook-id"), header(&request, "webhook-timestamp"));
    let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).unwrap();
    mac.update(format!("{id}.{timestamp}.{}", request.body).as_bytes());
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(header(&request, "webhook-signature"), expected);
    let body: Value = serde_json::from_str(&request.body).unwrap();
    insta::assert_json_snapshot!(body);
}

#[tokio::test]
async fn a_replay_sends_the_same_body_under_the_same_id_with_a_fresh_signature() {
    let world = World::new().await;
    world.add_endpoint(Dialect::Revrag).await;
    let first = one_answered_call(&world).await;
    let delivered = eventually(async || {
        let list = world.native("GET", "/deliveries?state=delivered", None).await.json();
        list["items"].as_array().unwrap().first().cloned()
    })
    .await;
    world.clock.set(NOW + Duration::from_secs(3_000));
    let replayed = world
        .native(
            "POST",
            &format!("/deliveries/{}/replay", delivered["id"].as_str().unwrap()),
            None,
        )
        .await;
    assert_eq!(replayed.status, 200);
    let second = eventually(async || world.posted.all().into_iter().nth(1)).await;
    verify_revrag(&second);
    assert_eq!(second.body, first.body);
    assert_eq!(header(&second, "X-Webhook-ID"), header(&first, "X-Webhook-ID"));
    assert_ne!(
        header(&second, "X-Webhook-Timestamp"),
        header(&first, "X-Webhook-Timestamp")
    );
    assert_ne!(
        header(&second, "X-Webhook-Signature"),
        header(&first, "X-Webhook-Signature")
    );
}
