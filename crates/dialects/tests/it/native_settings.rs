//! Our own API: trunks, endpoints, deliveries, keys, the workspace.

use crate::native::{NOBODY, hidden, id, invalid, ok, refusal, refused};
use crate::world::{CAMPAIGN, NOW, World, eventually};
use axum::body::Body;
use axum::http::Request;
use carillon_domain::webhook::Dialect;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn a_trunk_keeps_its_password_and_never_shows_it() {
    let world = World::new().await;
    let new = json!({
        "name": "carrier", "host": "sip.carrier.example", "transport": "tcp", "username": "acme", "password": "geheim-1",
        "caller_ids": ["+911140000002"], "number_format": {"kind": "national", "country_code": "91", "prefix": "0"},
        "lines": 4,
    });
    let made = ok(&world, "POST", "/trunks", Some(new.clone())).await;
    insta::assert_json_snapshot!("trunk", made);
    let path = format!("/trunks/{}", id(&made));
    let workspace = carillon_domain::ids::WorkspaceId::new(crate::world::WORKSPACE);
    let password = async || {
        let trunks = world.app.store().trunks(workspace).await.unwrap();
        let credentials = trunks
            .into_iter()
            .find(|trunk| trunk.name == "carrier")
            .unwrap()
            .credentials;
        credentials.map(|credentials| credentials.password.expose().to_owned())
    };
    ok(&world, "PATCH", &path, Some(json!({"lines": 8}))).await;
    assert_eq!(password().await.as_deref(), Some("geheim-1"));
    let changed = ok(&world, "PATCH", &path, Some(json!({"password": "geheim-2"}))).await;
    assert_eq!(password().await.as_deref(), Some("geheim-2"));
    assert!(!changed.to_string().contains("geheim"));
    let without = ok(&world, "PATCH", &path, Some(json!({"username": null}))).await;
    assert_eq!(
        (without["has_password"].as_bool(), password().await),
        (Some(false), None)
    );

    assert_eq!(refused(&world, "POST", "/trunks", new).await.1, "exists");
    let with = |change: Value| {
        let mut body = json!({"name": "other", "host": "sip.example"});
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        body
    };
    for (change, field) in [
        (json!({"host": "sip.example;lr\r\nX: y"}), "host"),
        (json!({"domain": "a b"}), "domain"),
        (json!({"port": 0}), "port"),
        (json!({"codecs": []}), "codecs"),
        (json!({"codecs": ["pcmu", "pcmu"]}), "codecs"),
        (json!({"lines": 0}), "lines"),
        (json!({"calls_per_second": 0}), "calls_per_second"),
        (json!({"username": "a"}), "password"),
        (json!({"password": "a"}), "username"),
        (json!({"username": "a\"b", "password": "c"}), "username"),
        (json!({"caller_ids": ["+911140000002", "x"]}), "caller_ids[1]"),
        (
            json!({"number_format": {"kind": "national", "country_code": "+91"}}),
            "number_format",
        ),
    ] {
        assert_eq!(
            refused(&world, "POST", "/trunks", with(change.clone())).await,
            invalid(field),
            "{change}"
        );
    }
}

#[tokio::test]
async fn an_endpoint_shows_its_secret_once() {
    let world = World::new().await;
    let made = ok(
        &world,
        "POST",
        "/endpoints",
        Some(json!({"url": "https://hooks.example/a"})),
    )
    .await;
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_") && secret.len() > 40, "{}", secret.len());
    insta::assert_json_snapshot!("endpoint", hidden(&made, &["/secret"]));
    let path = format!("/endpoints/{}", id(&made));
    assert_eq!(ok(&world, "GET", &path, None).await.get("secret"), None);
    let changed = ok(
        &world,
        "PATCH",
        &path,
        Some(json!({"enabled": false, "events": ["call.ended"]})),
    )
    .await;
    assert_eq!(changed.get("secret"), None);
    let rotated = ok(&world, "PATCH", &path, Some(json!({"secret": "a-secret-of-our-own"}))).await;
    assert_eq!(rotated["secret"], "a-secret-of-our-own");
    assert_eq!(rotated["enabled"], false);
    assert!(
        !ok(&world, "GET", "/endpoints", None)
            .await
            .to_string()
            .contains("secret")
    );
    for (change, field) in [
        (json!({"url": "hooks.example"}), "url"),
        (json!({"url": "ftp://hooks.example/"}), "url"),
        (json!({"events": ["call.started"]}), "events"),
        (json!({"secret": "short"}), "secret"),
        (json!({"agent_id": NOBODY}), "agent_id"),
        (json!({"campaign_id": NOBODY}), "campaign_id"),
        (json!({"dialect": "agoralia"}), "dialect"),
    ] {
        assert_eq!(
            refused(&world, "PATCH", &path, change.clone()).await,
            invalid(field),
            "{change}"
        );
    }
}

#[tokio::test]
async fn deliveries_are_shown_with_their_log_and_replayed_by_time() {
    let world = World::new().await;
    world.add_endpoint(Dialect::Revrag).await;
    world.app.start().await.unwrap();
    let push = json!({"records": [{"phone": "+919876543210"}]});
    ok(&world, "POST", &format!("/campaigns/{CAMPAIGN}/records"), Some(push)).await;
    let delivered = eventually(async || {
        let list = ok(&world, "GET", "/deliveries?state=delivered", None).await;
        list["items"].as_array().unwrap().first().cloned()
    })
    .await;
    let detail = ok(&world, "GET", &format!("/deliveries/{}", id(&delivered)), None).await;
    assert_eq!(detail["body"], world.posted.all()[0].body);
    insta::assert_json_snapshot!("delivery", hidden(&detail, &["/body", "/log/0/duration_ms"]));

    let at = |seconds: u64| {
        let at = jiff::Timestamp::from_microsecond((NOW + Duration::from_secs(seconds)).micros()).unwrap();
        at.to_string()
    };
    let replay = async |from: u64, to: u64, more: Value| {
        let mut body = json!({"from": at(from), "to": at(to)});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ok(&world, "POST", "/deliveries/replay", Some(body)).await["replayed"].clone()
    };
    // The call ended 372 s after it was asked for.
    assert_eq!(replay(0, 372, json!({})).await, 0);
    assert_eq!(replay(373, 900, json!({})).await, 0);
    assert_eq!(replay(0, 900, json!({"state": "exhausted"})).await, 0);
    assert_eq!(replay(0, 900, json!({"endpoint_id": NOBODY})).await, 0);
    assert_eq!(replay(372, 373, json!({})).await, 1);
    let second = eventually(async || world.posted.all().into_iter().nth(1)).await;
    assert_eq!(second.body, world.posted.all()[0].body);
    let backwards = json!({"from": at(2), "to": at(1)});
    assert_eq!(
        refused(&world, "POST", "/deliveries/replay", backwards).await,
        invalid("to")
    );
    let pending = json!({"from": at(1), "to": at(2), "state": "pending"});
    assert_eq!(
        refused(&world, "POST", "/deliveries/replay", pending).await,
        invalid("state")
    );
}

#[tokio::test]
async fn a_key_is_shown_once_and_the_last_one_stays() {
    let world = World::new().await;
    let first = id(&ok(&world, "GET", "/keys", None).await["items"][0]);
    let last = refusal(&world.native("DELETE", &format!("/keys/{first}"), None).await);
    assert_eq!(last, (409, "last_key".to_owned(), None));
    let new = json!({"name": "dialler", "dialect": "revrag", "expires_at": "2026-05-28T03:00:00Z"});
    let made = ok(&world, "POST", "/keys", Some(new)).await;
    assert!(made["secret"].as_str().unwrap().starts_with("rr_live_"));
    insta::assert_json_snapshot!("key", hidden(&made, &["/secret", "/prefix"]));
    assert!(
        !ok(&world, "GET", "/keys", None)
            .await
            .to_string()
            .contains("\"secret\"")
    );
    let other = ok(&world, "POST", "/keys", Some(json!({"name": "second"}))).await;
    assert_eq!(
        ok(&world, "DELETE", &format!("/keys/{first}"), None).await["revoked_at"],
        "2026-05-27T03:00:00.000000Z"
    );
    assert_eq!(world.native("GET", "/keys", None).await.status, 401);
    let request = Request::get("/carillon/v1/keys")
        .header("Authorization", format!("bearer {}", other["secret"].as_str().unwrap()))
        .body(Body::empty())
        .unwrap();
    assert_eq!(world.send(request).await.status, 200);
}

#[tokio::test]
async fn a_key_stops_at_its_end() {
    let world = World::new().await;
    let new = json!({"name": "short", "expires_at": "2026-05-27T04:00:00Z"});
    let made = ok(&world, "POST", "/keys", Some(new)).await;
    let ask = async || {
        let request = Request::get("/carillon/v1/keys")
            .header("Authorization", format!("Bearer {}", made["secret"].as_str().unwrap()))
            .body(Body::empty())
            .unwrap();
        world.send(request).await.status.as_u16()
    };
    assert_eq!(ask().await, 200);
    world.clock.set(NOW + Duration::from_secs(3_600));
    assert_eq!(ask().await, 401);
    let past = json!({"name": "past", "expires_at": "2026-05-27T03:30:00Z"});
    assert_eq!(refused(&world, "POST", "/keys", past).await, invalid("expires_at"));
}

#[tokio::test]
async fn the_workspace_is_shown_and_changed() {
    let world = World::new().await;
    insta::assert_json_snapshot!("workspace", ok(&world, "GET", "/workspace", None).await);
    let change = json!({"region": "GB", "allowed_regions": [], "status_style": "upper", "mode": "sandbox"});
    let changed = ok(&world, "PATCH", "/workspace", Some(change)).await;
    assert_eq!(changed["region"], "GB");
    let push = json!({"records": [{"phone": "020 7183 8750"}]});
    let pushed = ok(&world, "POST", &format!("/campaigns/{CAMPAIGN}/records"), Some(push)).await;
    assert_eq!(pushed["accepted"], 1);
    for (change, field) in [
        (json!({"region": "Atlantis"}), "region"),
        (json!({"allowed_regions": ["IN", "XX"]}), "allowed_regions[1]"),
        (json!({"max_concurrent_calls": 0}), "max_concurrent_calls"),
        (json!({"status_style": "loud"}), "status_style"),
        (json!({"id": NOBODY}), "id"),
    ] {
        assert_eq!(
            refused(&world, "PATCH", "/workspace", change.clone()).await,
            invalid(field),
            "{change}"
        );
    }
}

#[tokio::test]
async fn the_sandbox_tells_its_numbers() {
    let world = World::new().await;
    insta::assert_json_snapshot!("sandbox_numbers", ok(&world, "GET", "/sandbox/numbers", None).await);
}

#[tokio::test]
async fn a_forecast_tells_what_a_campaign_will_do_and_refuses_what_cannot_be() {
    let world = World::new().await;
    let path = format!("/campaigns/{CAMPAIGN}/forecast");
    let records = json!({"records": [{"phone": "9876543210"}, {"phone": "9876543211"}]});
    ok(&world, "POST", &format!("/campaigns/{CAMPAIGN}/records"), Some(records)).await;
    let everybody = "answer_rate=1&busy_rate=0&not_connected_rate=0&ring_s=10&talk_s=60&seed=3";
    let forecast = ok(&world, "GET", &format!("{path}?{everybody}"), None).await;
    insta::assert_json_snapshot!("forecast", forecast);
    let imagined = ok(&world, "GET", &format!("{path}?{everybody}&imagined_records=500"), None).await;
    assert_eq!(
        (&imagined["records"], &imagined["answered"]),
        (&json!(502), &json!(502)),
        "{imagined}"
    );
    for (query, field) in [
        ("answer_rate=1.5", "answer_rate"),
        ("answer_rate=0.95", "answer_rate"),
        ("ring_s=0", "ring_s"),
        ("days=401", "days"),
        ("imagined_records=100001", "imagined_records"),
    ] {
        let answer = world.native("GET", &format!("{path}?{query}"), None).await;
        assert_eq!(refusal(&answer), invalid(field), "{query}");
    }
    for query in ["answer_rate=many", "luck=1"] {
        assert_eq!(
            world
                .native("GET", &format!("{path}?{query}"), None)
                .await
                .status
                .as_u16(),
            422
        );
    }
    ok(&world, "POST", &format!("/campaigns/{CAMPAIGN}/cancel"), None).await;
    let ended = world.native("GET", &path, None).await;
    assert_eq!(refusal(&ended).1, "wrong_status");
}

#[tokio::test]
async fn what_nothing_live_uses_can_be_deleted_and_the_rest_says_what_uses_it() {
    let world = World::new().await;
    let clip = world.clip.to_string();
    let trunk = id(&ok(
        &world,
        "POST",
        "/trunks",
        Some(json!({"name": "other", "host": "sip.example"})),
    )
    .await);
    let script = json!({"kind": "announce", "clip_id": clip, "times": 1, "gap_ms": 0});
    let agent = json!({"name": "second", "script": script, "trunk_id": trunk});
    let agent = id(&ok(&world, "POST", "/agents", Some(agent)).await);
    let campaign = json!({"name": "c", "agent_id": agent, "time_zone": "Asia/Kolkata"});
    let campaign = id(&ok(&world, "POST", "/campaigns", Some(campaign)).await);
    let endpoint = json!({"url": "https://receiver.example/a", "dialect": "native", "agent_id": agent});
    let endpoint = id(&ok(&world, "POST", "/endpoints", Some(endpoint)).await);
    let delete = async |path: String| world.native("DELETE", &path, None).await;
    let in_use = async |path: String, by: &str| {
        let answer = delete(path.clone()).await;
        assert_eq!(refusal(&answer), (409, "in_use".to_owned(), None), "{path}");
        let message = answer.json()["error"]["message"].to_string();
        assert!(message.contains(by), "{path}: {message}");
    };

    in_use(format!("/clips/{clip}"), "plays it").await;
    in_use(format!("/trunks/{trunk}"), "the agent `second`").await;
    in_use(format!("/agents/{agent}"), "the campaign `c`").await;
    ok(&world, "POST", &format!("/campaigns/{campaign}/cancel"), None).await;
    // Nobody runs the campaigns in this world: it has ended, and is not settled.
    in_use(format!("/agents/{agent}"), "the campaign `c`").await;
    let workspace = carillon_domain::ids::WorkspaceId::new(crate::world::WORKSPACE);
    let cancelled = carillon_domain::ids::CampaignId::new(campaign.parse().unwrap());
    let stored = world.app.store().campaign(workspace, cancelled).await.unwrap().unwrap();
    let settled = carillon_domain::campaign::Campaign {
        settled: true,
        ..stored
    };
    world
        .put(carillon_domain::transition::Change::PutCampaign(Box::new(settled)))
        .await;
    in_use(format!("/agents/{agent}"), "endpoint").await;

    let removed = ok(&world, "DELETE", &format!("/endpoints/{endpoint}"), None).await;
    assert_eq!(removed["id"], json!(endpoint));
    for path in [format!("/agents/{agent}"), format!("/trunks/{trunk}")] {
        ok(&world, "DELETE", &path, None).await;
        for method in ["GET", "DELETE"] {
            assert_eq!(
                refusal(&world.native(method, &path, None).await).0,
                404,
                "{method} {path}"
            );
        }
    }
    // What is over keeps the id of what is gone.
    let campaign = ok(&world, "GET", &format!("/campaigns/{campaign}"), None).await;
    assert_eq!(campaign["agent_id"], json!(agent));
    let listed = ok(&world, "GET", "/trunks", None).await;
    assert_eq!(listed["total"], json!(1), "{listed}");
}
