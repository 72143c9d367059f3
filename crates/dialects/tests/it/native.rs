//! Our own API: what it keeps, what it shows, what it refuses and how.

use crate::world::{AGENT, Answer, CAMPAIGN, World};
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

pub(crate) const NOBODY: Uuid = Uuid::from_u128(0x44444444_4444_4444_4444_444444444444);

pub(crate) fn id(answer: &Value) -> String {
    answer["id"].as_str().unwrap().to_owned()
}

/// The answer of a request that must go well.
pub(crate) async fn ok(world: &World, method: &str, path: &str, body: Option<Value>) -> Value {
    let answer = world.native(method, path, body).await;
    assert!(
        answer.status.is_success(),
        "{method} {path}: {} {}",
        answer.status,
        answer.json()
    );
    answer.json()
}

/// An answer without what differs from run to run, or is shown elsewhere.
pub(crate) fn hidden(answer: &Value, pointers: &[&str]) -> Value {
    let mut shown = answer.clone();
    for pointer in pointers {
        *shown.pointer_mut(pointer).unwrap() = json!("[hidden]");
    }
    shown
}

/// Status, code and field of a refusal.
pub(crate) fn refusal(answer: &Answer) -> (u16, String, Option<String>) {
    let error = &answer.json()["error"];
    let text = |name: &str| error[name].as_str().map(str::to_owned);
    assert!(text("message").is_some_and(|message| !message.is_empty()));
    (answer.status.as_u16(), text("code").unwrap(), text("field"))
}

pub(crate) async fn refused(world: &World, method: &str, path: &str, body: Value) -> (u16, String, Option<String>) {
    refusal(&world.native(method, path, Some(body)).await)
}

pub(crate) fn invalid(field: &str) -> (u16, String, Option<String>) {
    (422, "invalid_request".to_owned(), Some(field.to_owned()))
}

pub(crate) async fn document(world: &World) -> Value {
    let request = Request::get("/carillon/v1/openapi.json").body(Body::empty()).unwrap();
    world.send(request).await.json()
}

/// Method, path as the document has it, path with ids that name nothing.
pub(crate) fn operations(document: &Value) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let mut filled = path.clone();
        for (place, value) in [
            ("{id}", NOBODY.to_string()),
            ("{record_id}", NOBODY.to_string()),
            ("{phone}", "+911".into()),
        ] {
            filled = filled.replace(place, &value);
        }
        for method in methods.as_object().unwrap().keys() {
            all.push((method.to_uppercase(), path.clone(), filled.clone()));
        }
    }
    all
}

#[tokio::test]
async fn the_document_lists_every_operation() {
    let world = World::new().await;
    let document = document(&world).await;
    let all: Vec<String> = operations(&document)
        .iter()
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    insta::assert_json_snapshot!(all);
    assert_eq!(document["servers"][0]["url"], "https://calls.example/carillon/v1");
}

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document(&World::new().await).await;
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[tokio::test]
async fn every_operation_wants_a_key_and_survives_nonsense() {
    let world = World::new().await;
    let operations = operations(&document(&world).await);
    assert!(operations.len() > 35);
    for (method, path, filled) in operations {
        let request = Request::builder()
            .method(method.as_str())
            .uri(format!("/carillon/v1{filled}"));
        let answer = world.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(refusal(&answer).0, 401, "{method} {path}");
        for body in [None, Some(json!([])), Some(json!({"unheard_of": {"of": [1]}}))] {
            let answer = world.native(&method, &filled, body.clone()).await;
            let status = answer.status.as_u16();
            assert!(status < 500 && status != 405, "{method} {path} with {body:?}: {status}");
            if !answer.status.is_success() {
                refusal(&answer);
            }
        }
    }
}

#[tokio::test]
async fn keys_of_other_dialects_and_halves_of_keys_open_nothing() {
    let world = World::new().await;
    let half = world.native_key[..world.native_key.len() - 1].to_owned();
    for header in [
        format!("Bearer {}", world.revrag_key),
        format!("Bearer {half}"),
        format!("Basic {}", world.native_key),
        world.native_key.clone(),
        "Bearer ".to_owned(),
    ] {
        let request = Request::get("/carillon/v1/agents")
            .header("Authorization", &header)
            .body(Body::empty())
            .unwrap();
        assert_eq!(world.send(request).await.status, 401, "{header:.12}…");
    }
}

#[tokio::test]
async fn errors_that_belong_to_no_handler_are_in_our_style() {
    let world = World::new().await;
    for (method, path, expected) in [
        ("GET", "/unheard-of", (404, "unknown_path")),
        ("DELETE", "/agents", (405, "method_not_allowed")),
        ("GET", "/agents/not-an-id", (404, "not_found")),
        ("GET", "/campaigns/%FF/counts", (404, "unknown_path")),
        ("GET", "/agents?limit=0", (422, "invalid_request")),
        ("GET", "/agents?limit=501", (422, "invalid_request")),
        ("GET", "/agents?limit=many", (422, "invalid_request")),
        ("GET", "/agents?unheard=of", (422, "invalid_request")),
        ("GET", "/calls?state=sleeping", (422, "invalid_request")),
        ("GET", "/deliveries?state=lost", (422, "invalid_request")),
    ] {
        let (status, code, _) = refusal(&world.native(method, path, None).await);
        assert_eq!((status, code.as_str()), expected, "{method} {path}");
    }
    let elsewhere = world.send(Request::get("/nowhere").body(Body::empty()).unwrap()).await;
    assert_eq!(refusal(&elsewhere), (404, "unknown_path".to_owned(), None));
}

#[tokio::test]
async fn bodies_that_do_not_fit_are_refused_by_name() {
    let world = World::new().await;
    let send = async |content_type: &str, body: Vec<u8>| {
        let request = Request::post("/carillon/v1/agents")
            .header("Authorization", format!("Bearer {}", world.native_key))
            .header("Content-Type", content_type)
            .body(Body::from(body))
            .unwrap();
        refusal(&world.send(request).await)
    };
    let json = "application/json";
    assert_eq!(send("text/plain", b"{}".to_vec()).await.0, 415);
    assert_eq!(send(json, b"{\"name\":".to_vec()).await.0, 422);
    assert_eq!(send(json, b"{} {}".to_vec()).await.0, 422);
    assert_eq!(send(json, "[".repeat(100_000).into_bytes()).await.0, 422);
    assert_eq!(send(json, vec![b' '; (16 << 20) + 1]).await.0, 413);
}

#[tokio::test]
async fn an_agent_is_made_shown_changed_and_listed() {
    let world = World::new().await;
    let clip = world.clip;
    let new = json!({
        "name": "Survey",
        "variables": [{"name": "first_name"}, {"name": "age", "type": "number", "default_value": "30"}],
        "script": {"kind": "press1", "clip_id": clip, "keys": {
            "1": {"action": "mark", "name": "choice", "value": "yes", "clip_id": clip},
            "9": {"action": "do_not_call"},
            "*": {"action": "call_back", "after_s": 3600},
        }},
        "caller_id": "+911140000001",
    });
    let made = ok(&world, "POST", "/agents", Some(new)).await;
    insta::assert_json_snapshot!("agent", made);
    let path = format!("/agents/{}", id(&made));
    assert_eq!(ok(&world, "GET", &path, None).await, made);

    let changed = ok(
        &world,
        "PATCH",
        &path,
        Some(json!({"name": "Poll", "caller_id": null, "active": false})),
    )
    .await;
    let mut expected = made.clone();
    expected["name"] = json!("Poll");
    expected["caller_id"] = Value::Null;
    expected["active"] = json!(false);
    assert_eq!(changed, expected);

    let announce = json!({"script": {"kind": "announce", "clip_id": clip, "times": 2}});
    let other = ok(&world, "PATCH", &path, Some(announce)).await;
    assert_eq!(
        other["script"],
        json!({"kind": "announce", "clip_id": clip, "times": 2, "gap_ms": 0})
    );

    let list = ok(&world, "GET", "/agents?limit=1", None).await;
    assert_eq!(
        (list["total"].as_u64(), list["items"][0]["id"].as_str()),
        (Some(2), Some(id(&made).as_str()))
    );
}

#[tokio::test]
async fn an_agent_that_cannot_work_is_refused_by_the_field() {
    let world = World::new().await;
    let clip = world.clip;
    let script = json!({"kind": "announce", "clip_id": clip});
    let press1 = |keys: Value| json!({"kind": "press1", "clip_id": clip, "keys": keys});
    let table = [
        (json!({"script": script}), None),
        (json!({"name": "", "script": script}), Some("name")),
        (
            json!({"name": "a", "script": script, "unheard_of": 1}),
            Some("unheard_of"),
        ),
        (
            json!({"name": "a", "script": {"kind": "announce", "clip_id": NOBODY}}),
            Some("script.clip_id"),
        ),
        (
            json!({"name": "a", "script": {"kind": "announce", "clip_id": clip, "times": 0}}),
            Some("script.times"),
        ),
        (json!({"name": "a", "script": {"kind": "sing"}}), Some("script.kind")),
        (
            json!({"name": "a", "script": press1(json!({"11": {"action": "hang_up"}}))}),
            Some("script.keys.11"),
        ),
        (
            json!({"name": "a", "script": press1(json!({"1": {"action": "play", "clip_id": NOBODY}}))}),
            Some("script.keys.1.clip_id"),
        ),
        (
            json!({"name": "a", "script": press1(json!({"1": {"action": "call_back", "after_s": 0}}))}),
            Some("script.keys.1.after_s"),
        ),
        (
            json!({"name": "a", "script": script, "ring_timeout_s": 4}),
            Some("ring_timeout_s"),
        ),
        (
            json!({"name": "a", "script": script, "max_duration_s": "long"}),
            Some("max_duration_s"),
        ),
        (
            json!({"name": "a", "script": script, "caller_id": "me"}),
            Some("caller_id"),
        ),
        (
            json!({"name": "a", "script": script, "trunk_id": NOBODY}),
            Some("trunk_id"),
        ),
        (
            json!({"name": "a", "script": script, "variables": [{"name": "x"}, {"name": "x"}]}),
            Some("variables[1].name"),
        ),
        (
            json!({"name": "a", "script": script, "variables": [{"name": "x", "type": "colour"}]}),
            Some("variables[0].type"),
        ),
    ];
    for (body, field) in table {
        let refusal = refused(&world, "POST", "/agents", body.clone()).await;
        assert_eq!(
            refusal,
            (422, "invalid_request".to_owned(), field.map(str::to_owned)),
            "{body}"
        );
    }
    assert_eq!(ok(&world, "GET", "/agents", None).await["total"], 1);
}

#[tokio::test]
async fn a_campaign_lives_from_draft_to_cancelled() {
    let world = World::new().await;
    let new = json!({
        "name": "Spring", "agent_id": AGENT, "time_zone": "asia/kolkata",
        "calling_window": {"start": "09:00", "end": "21:00", "days": ["monday", "tuesday"]},
        "callee_hours": {"start": "10:00", "end": "19:00"},
        "first_attempt_date": "2026-06-01", "ends_at": "2026-06-30T00:00:00+05:30",
        "retry": {"max_attempts": 2, "rules": {"busy": {"intervals_s": [60, 120]}}},
    });
    let made = ok(&world, "POST", "/campaigns", Some(new)).await;
    insta::assert_json_snapshot!("campaign", made);
    let path = format!("/campaigns/{}", id(&made));
    let status = async |verb: &str| ok(&world, "POST", &format!("{path}/{verb}"), None).await["status"].clone();
    assert_eq!(status("launch").await, "running");
    assert_eq!(status("pause").await, "paused");
    let patch = json!({"calling_window": null, "max_concurrent_calls": 3, "retry": {"rules": {"busy": null}}});
    let changed = ok(&world, "PATCH", &path, Some(patch)).await;
    assert_eq!(changed["calling_window"], Value::Null);
    assert_eq!(changed["retry"], json!({"max_attempts": 2, "rules": {}}));
    assert_eq!(
        (changed["status"].as_str(), changed["name"].as_str()),
        (Some("paused"), Some("Spring"))
    );
    assert_eq!(status("resume").await, "running");
    assert_eq!(status("cancel").await, "cancelled");
    let wrong = (409, "wrong_status".to_owned(), None);
    assert_eq!(
        refused(&world, "POST", &format!("{path}/launch"), json!({})).await,
        wrong
    );
    assert_eq!(refused(&world, "PATCH", &path, json!({"name": "Summer"})).await, wrong);
    let shown = ok(&world, "GET", &path, None).await;
    assert_eq!(shown["records"]["total"], 0);
    assert_eq!(ok(&world, "GET", "/campaigns", None).await["total"], 2);
}

#[tokio::test]
async fn a_campaign_that_contradicts_itself_is_refused_by_the_field() {
    let world = World::new().await;
    let with = |change: Value| {
        let mut body = json!({"name": "a", "agent_id": AGENT, "time_zone": "Asia/Kolkata"});
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        body
    };
    let table = [
        (json!({"agent_id": NOBODY}), "agent_id"),
        (json!({"time_zone": "Moon/Base"}), "time_zone"),
        (
            json!({"calling_window": {"start": "9", "end": "21:00"}}),
            "calling_window.start",
        ),
        (
            json!({"calling_window": {"start": "09:00", "end": "24:01"}}),
            "calling_window.end",
        ),
        (
            json!({"calling_window": {"start": "09:00", "end": "09:00"}}),
            "calling_window",
        ),
        (
            json!({"calling_window": {"start": "09:00", "end": "10:00", "days": []}}),
            "calling_window",
        ),
        (
            json!({"calling_window": {"start": "09:00", "end": "10:00", "days": ["someday"]}}),
            "calling_window.days[0]",
        ),
        (json!({"first_attempt_date": "tomorrow"}), "first_attempt_date"),
        (json!({"starts_at": "2026-06-01"}), "starts_at"),
        (
            json!({"starts_at": "2026-06-02T00:00:00Z", "ends_at": "2026-06-01T00:00:00Z"}),
            "ends_at",
        ),
        (json!({"max_concurrent_calls": 0}), "max_concurrent_calls"),
        (
            json!({"max_calls_per_number_per_day": 0}),
            "max_calls_per_number_per_day",
        ),
        (json!({"retry": {"max_attempts": 0}}), "retry.max_attempts"),
        (
            json!({"retry": {"max_attempts": 2, "rules": {"busy": {"intervals_s": []}}}}),
            "retry.rules",
        ),
        (
            json!({"retry": {"max_attempts": 2, "rules": {"bored": {"intervals_s": [1]}}}}),
            "retry.rules",
        ),
        (json!({"caller_id": "x"}), "caller_id"),
        (json!({"trunk_id": NOBODY}), "trunk_id"),
        (json!({"budget": 1}), "budget"),
    ];
    for (change, field) in table {
        assert_eq!(
            refused(&world, "POST", "/campaigns", with(change.clone())).await,
            invalid(field),
            "{change}"
        );
    }
}

#[tokio::test]
async fn records_are_pushed_listed_counted_and_explained() {
    let world = World::new().await;
    let path = format!("/campaigns/{CAMPAIGN}");
    ok(
        &world,
        "PATCH",
        &path,
        Some(json!({"calling_window": {"start": "09:00", "end": "21:00"}})),
    )
    .await;
    let push = json!({"records": [
        {"phone": "98765 43210", "variables": {"first_name": "Riya"}, "app_user_id": "u1"},
        {"phone": "+442071838750"}, {"phone": "nobody"},
    ]});
    let pushed = ok(&world, "POST", &format!("{path}/records"), Some(push)).await;
    insta::assert_json_snapshot!("pushed", pushed);
    let record = format!("{path}/records/{}", pushed["results"][0]["record_id"].as_str().unwrap());
    insta::assert_json_snapshot!("record", ok(&world, "GET", &record, None).await);
    insta::assert_json_snapshot!(
        "why_not_yet",
        ok(&world, "GET", &format!("{record}/why-not-yet"), None).await
    );
    insta::assert_json_snapshot!("counts", ok(&world, "GET", &format!("{path}/counts"), None).await);
    assert_eq!(
        ok(&world, "GET", &format!("{path}/records?status=queued"), None).await["total"],
        1
    );
    assert_eq!(
        ok(&world, "GET", &format!("{path}/records?status=failed"), None).await["total"],
        0
    );
    let records = format!("{path}/records");
    let unknown = refusal(&world.native("GET", &format!("{records}?status=asleep"), None).await);
    assert_eq!(unknown, invalid("status"));
    assert_eq!(
        refused(&world, "POST", &records, json!({"records": []})).await,
        invalid("records")
    );
    let extra = json!({"records": [{"phone": "+919876543210", "colour": "red"}]});
    assert_eq!(
        refused(&world, "POST", &records, extra).await,
        invalid("records[0].colour")
    );
    ok(&world, "POST", &format!("{path}/complete"), None).await;
    let late = json!({"records": [{"phone": "+919876543210"}]});
    assert_eq!(refused(&world, "POST", &records, late).await.1, "wrong_status");
}

#[tokio::test]
async fn a_single_call_is_placed_shown_and_cancelled() {
    let world = World::new().await;
    let new = json!({"agent_id": AGENT, "to": "+919876543210", "custom_metadata": {"order": 17}});
    let placed = ok(&world, "POST", "/calls", Some(new)).await;
    insta::assert_json_snapshot!("queued_call", placed);
    let path = format!("/calls/{}", id(&placed));
    assert_eq!(ok(&world, "GET", "/calls?state=queued", None).await["items"][0], placed);
    ok(&world, "POST", &format!("{path}/cancel"), None).await;
    let shown = ok(&world, "GET", &path, None).await;
    assert_eq!(
        (shown["state"].as_str(), shown["outcome"].as_str()),
        (Some("closed"), Some("cancelled"))
    );
    assert_eq!(ok(&world, "GET", "/calls?state=queued", None).await["total"], 0);

    ok(
        &world,
        "POST",
        "/do-not-call",
        Some(json!({"phones": ["+919876543210"]})),
    )
    .await;
    let table = [
        (
            json!({"agent_id": AGENT, "to": "+919876543210"}),
            (409, "do_not_call", None),
        ),
        (
            json!({"agent_id": AGENT, "to": "+91112"}),
            (422, "invalid_request", Some("to")),
        ),
        (
            json!({"agent_id": NOBODY, "to": "+919876543211"}),
            (422, "invalid_request", Some("agent_id")),
        ),
        (
            json!({"agent_id": AGENT, "to": "+919876543211", "now": true}),
            (422, "invalid_request", Some("now")),
        ),
    ];
    for (body, (status, code, field)) in table {
        let refusal = refused(&world, "POST", "/calls", body.clone()).await;
        assert_eq!(refusal, (status, code.to_owned(), field.map(str::to_owned)), "{body}");
    }
    let trunk = id(&ok(&world, "GET", "/trunks", None).await["items"][0]);
    ok(
        &world,
        "PATCH",
        &format!("/trunks/{trunk}"),
        Some(json!({"enabled": false})),
    )
    .await;
    let refusal = refused(
        &world,
        "POST",
        "/calls",
        json!({"agent_id": AGENT, "to": "+919876543211"}),
    )
    .await;
    assert_eq!(refusal.1, "no_trunk");
}

#[tokio::test]
async fn a_clip_is_uploaded_as_a_body_or_as_a_form() {
    let world = World::new().await;
    let upload = async |query: &str, content_type: &str, body: &str| {
        let request = Request::post(format!("/carillon/v1/clips{query}"))
            .header("Authorization", format!("Bearer {}", world.native_key))
            .header("Content-Type", content_type)
            .body(Body::from(body.to_owned()))
            .unwrap();
        world.send(request).await
    };
    let raw = upload("?name=greeting", "audio/wav", "RIFF").await;
    assert_eq!(raw.status, 201);
    insta::assert_json_snapshot!("clip", raw.json());
    let form = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"hello.wav\"\r\n\r\nRIFF\r\n--x--\r\n";
    let form_type = "multipart/form-data; boundary=x";
    assert_eq!(upload("", form_type, form).await.json()["name"], "hello.wav");
    let named = format!("--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nWelcome\r\n{form}");
    assert_eq!(upload("", form_type, &named).await.json()["name"], "Welcome");
    assert_eq!(refusal(&upload("", "audio/wav", "MThd").await), invalid("file"));
    assert_eq!(refusal(&upload("", "audio/wav", "").await), invalid("file"));
    assert_eq!(refusal(&upload("", form_type, "--x\r\n").await).0, 422);
    let stray = form.replace("\"file\"", "\"sound\"");
    assert_eq!(refusal(&upload("", form_type, &stray).await), invalid("sound"));
    let audio = world
        .native("GET", &format!("/clips/{}/audio.wav", id(&raw.json())), None)
        .await;
    assert_eq!(
        (audio.status.as_u16(), audio.headers["content-type"].to_str().unwrap()),
        (200, "audio/wav")
    );
    assert_eq!(ok(&world, "GET", "/clips", None).await["total"], 4);
}

#[tokio::test]
async fn the_do_not_call_list_takes_json_and_csv_and_gives_numbers_back() {
    let world = World::new().await;
    let body = json!({"phones": ["+919876543210", "98765 43210", "nobody"], "reason": "asked by letter"});
    insta::assert_json_snapshot!(
        "do_not_call_added",
        ok(&world, "POST", "/do-not-call", Some(body)).await
    );
    let csv = Request::post("/carillon/v1/do-not-call?scope=marketing&reason=list%20of%20May")
        .header("Authorization", format!("Bearer {}", world.native_key))
        .header("Content-Type", "text/csv; charset=utf-8")
        .body(Body::from("name,phone\nRiya,+442071838750\n,\n"))
        .unwrap();
    assert_eq!(world.send(csv).await.json(), json!({"added": 1, "rejected": []}));
    insta::assert_json_snapshot!("do_not_call", ok(&world, "GET", "/do-not-call", None).await);
    assert_eq!(
        ok(&world, "GET", "/do-not-call/98765%2043210", None).await["phone"],
        "+919876543210"
    );
    assert_eq!(
        ok(&world, "DELETE", "/do-not-call/+919876543210", None).await["reason"],
        "asked by letter"
    );
    assert_eq!(
        world.native("DELETE", "/do-not-call/+919876543210", None).await.status,
        404
    );
    assert_eq!(
        refused(&world, "POST", "/do-not-call", json!({"phones": []})).await,
        invalid("phones")
    );
}
