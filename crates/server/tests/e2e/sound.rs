//! Calls in which sound decides: keys by RFC 4733, RTP that stops, a hang-up in the middle, a single call.

use crate::harness::api::{calls_of, numbers};
use crate::harness::far_end::{End, Plan};
use crate::harness::rtp::Sound;
use crate::harness::scene::{ANSWERS, FAR_END_HZ, PROMPT_HZ, Scene};
use crate::harness::server::Installation;
use crate::sipp_calls::check_recording;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn answers_with(sound: Sound) -> Plan {
    Plan::Answer {
        ring: Duration::from_millis(100),
        talk: None,
        sound,
    }
}

/// The call of a campaign's only record, once that is final.
async fn only_call(scene: &Scene, agent: &str, first: usize) -> (Value, Value) {
    let campaign = scene.api().campaign(agent, &scene.trunk, &json!({})).await;
    let run = scene.api().push(&campaign, &numbers(first, 1)).await.remove(0);
    let record = scene.api().wait_for_record(&campaign, &run).await;
    let call = scene.api().call(&calls_of(&record)[0]).await;
    (record, call)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_by_rfc_4733_acts_and_marks_a_value() {
    let rule = |_: &str| {
        answers_with(Sound::Key {
            after: Duration::from_millis(600),
            key: 1,
        })
    };
    let scene = Scene::start(Installation::new(), rule, 10_000, 20).await;
    let keys = json!({"1": {"action": "mark", "name": "coming", "value": "yes"}});
    let script = json!({"kind": "press1", "clip_id": scene.clip, "times": 1, "wait_ms": 3_000, "keys": keys});
    let agent = scene.api().agent(script, 20).await;
    let (record, call) = only_call(&scene, &agent, 73_000_000).await;
    assert_eq!(
        (&record["status"], &call["keys"], &call["outcome"]),
        (&json!("completed"), &json!("1"), &json!("agent_hung_up"))
    );
    let webhook = scene
        .receiver
        .wait_for_call(&calls_of(&record)[0])
        .await
        .remove(0)
        .json();
    assert_eq!(
        webhook["custom_variables"],
        json!([{"key": "coming", "type": "string", "value": "yes"}]),
        "{webhook}"
    );
    check_recording(&scene.server, &call).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_can_put_the_callee_on_the_do_not_call_list() {
    let rule = |_: &str| {
        answers_with(Sound::Key {
            after: Duration::from_millis(400),
            key: 9,
        })
    };
    let scene = Scene::start(Installation::new(), rule, 10_000, 20).await;
    let keys = json!({"9": {"action": "do_not_call"}});
    let script = json!({"kind": "press1", "clip_id": scene.clip, "times": 1, "wait_ms": 3_000, "keys": keys});
    let agent = scene.api().agent(script, 20).await;
    let (record, _) = only_call(&scene, &agent, 74_000_000).await;
    assert_eq!(record["status"], "dnc", "{record}");
    assert!(
        record["dnc_at"].is_string() && record["dnc_reason"].is_string(),
        "{record}"
    );

    // The next campaign does not ring the same number.
    let campaign = scene.campaign(&json!({})).await;
    let run = scene.api().push(&campaign, &numbers(74_000_000, 1)).await.remove(0);
    let again = scene.api().wait_for_record(&campaign, &run).await;
    assert_eq!(
        (&again["status"], &again["attempt_count"]),
        (&json!("dnc"), &json!(0)),
        "{again}"
    );
    assert_eq!(scene.far_end.legs().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rtp_that_stops_ends_the_call_as_dropped() {
    let lasting = Some(Duration::from_millis(800));
    let rule = move |_: &str| {
        answers_with(Sound::Tone {
            hz: FAR_END_HZ,
            lasting,
        })
    };
    let installation = Installation::new().with("CARILLON_MEDIA__RTP_TIMEOUT_MS", "1500");
    let scene = Scene::start(installation, rule, 20_000, 20).await;
    let (record, call) = only_call(&scene, &scene.agent, 75_000_000).await;
    let webhook = scene
        .receiver
        .wait_for_call(&calls_of(&record)[0])
        .await
        .remove(0)
        .json();
    assert_eq!(
        (&record["status"], &call["outcome"]),
        (&json!("completed"), &json!("dropped")),
        "{call}"
    );
    assert_eq!(webhook["disconnection_reason"], "call_dropped", "{webhook}");
    let legs = scene
        .far_end
        .wait_for("our BYE", |legs| legs.iter().all(|leg| !leg.is_up()))
        .await;
    let (end, at) = legs[0].end.unwrap();
    let lasted = at - legs[0].answered_at.unwrap();
    assert_eq!(end, End::HungUpByCaller);
    assert!(
        (2_200..3_000).contains(&lasted.as_millis()),
        "800 ms of sound and 1500 ms of silence lasted {lasted:?}"
    );
    check_recording(&scene.server, &call).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_are_recorded_apart() {
    let scene = Scene::start(Installation::new(), |_| ANSWERS, 1_500, 20).await;
    let (_, call) = only_call(&scene, &scene.agent, 76_000_000).await;
    let wav = check_recording(&scene.server, &call).await;
    let share = |channel, hz| wav.loudest_share(channel, hz);
    let ours = usize::from(share(1, PROMPT_HZ) > share(0, PROMPT_HZ));
    assert!(
        share(ours, PROMPT_HZ) > 0.9 && share(ours, FAR_END_HZ) < 0.05,
        "our channel"
    );
    assert!(
        share(1 - ours, FAR_END_HZ) > 0.9 && share(1 - ours, PROMPT_HZ) < 0.05,
        "their channel"
    );
    let heard = scene.far_end.legs()[0].heard.concat();
    let heard_ms = heard.len() / 8;
    assert!(
        (1_460..1_600).contains(&heard_ms),
        "the far end heard {heard_ms} ms of a prompt of 1500 ms"
    );
}

/// RevRag's single trigger has words and a file format of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_call_speaks_in_capitals() {
    let scene = Scene::start(Installation::new(), |_| ANSWERS, 500, 20).await;
    let request = json!({"agent_id": scene.agent, "to_phone_number": "+919800000077", "custom_metadata": {"order": 7}});
    let made = scene
        .api()
        .revrag(Method::POST, "/v1/campaigns/trigger/single", Some(&request))
        .await
        .ok();
    let call = made["call_id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    let requests = scene.receiver.wait_for_call(&call).await;
    let told = requests[0].json();
    assert_eq!(
        (&told["call_status"], &told["disconnection_reason"]),
        (&json!("ENDED"), &json!("AGENT_HANGUP")),
        "{told}"
    );
    assert_eq!(
        (&told["campaign_id"], &told["custom_metadata"]),
        (&Value::Null, &json!({"order": 7})),
        "{told}"
    );
    assert_eq!(told, scene.api().status(&call).await);
    let (code, media_type, file) = scene.api().fetch(told["recording_url"].as_str().unwrap()).await;
    assert_eq!(
        (code, media_type.as_str(), file.get(4..8)),
        (200, "audio/mp4", Some(b"ftyp".as_slice()))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_is_never_called_faster_than_it_allows() {
    let scene = Scene::start(
        Installation::new(),
        |_| Plan::Refuse {
            ring: Duration::ZERO,
            code: 486,
        },
        500,
        20,
    )
    .await;
    let to = crate::harness::api::TrunkTo {
        calls_per_second: 4,
        ..crate::harness::api::TrunkTo::udp(scene.far_end.addr)
    };
    let trunk = scene.api().trunk("slow", &to).await;
    let campaign = scene.api().campaign(&scene.agent, &trunk, &json!({})).await;
    let began = Instant::now();
    scene.api().push(&campaign, &numbers(77_000_000, 14)).await;
    let legs = scene.far_end.wait_for("all fourteen", |legs| legs.len() == 14).await;
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "it is not much slower either: {:?}",
        began.elapsed()
    );
    for window in legs.windows(5) {
        let span = window[4].invited_at - window[0].invited_at;
        assert!(span >= Duration::from_millis(985), "five calls within {span:?}");
    }
}
