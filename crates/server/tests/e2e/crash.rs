//! `kill -9`, at every named point and at random. Our own far end is the witness: it keeps what it saw over all lives of the
//! server, so it knows whether anybody was rung twice and whether a telephone went on ringing.

use crate::harness::api::{calls_of, numbers, push_body, push_path};
use crate::harness::far_end::{Leg, Plan, brief};
use crate::harness::receiver::{SECRET, taken_events, verify};
use crate::harness::rtp::Sound;
use crate::harness::scene::{ANSWERS, FAR_END_HZ, PROMPT_HZ, Scene};
use crate::harness::server::Installation;
use crate::harness::wav::Wav;
use carillon_interfaces::failpoint::Failpoint;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How long everything may take to settle after the last start.
const SETTLING: Duration = Duration::from_secs(90);
/// Failpoints that are tried at the same time.
const AT_ONCE: usize = 3;

/// What becomes of a number, by its last digit: every way a call can go that ends by itself.
fn crowd(number: &str) -> Plan {
    let ring = Duration::from_millis(150);
    match number.bytes().last() {
        // Answers before anything else comes back: its tag is known only from the 200.
        Some(b'4') => Plan::Answer {
            ring: Duration::ZERO,
            talk: None,
            sound: Sound::Nothing,
        },
        Some(b'5') => Plan::Refuse { ring, code: 486 },
        Some(b'6') => Plan::Ring,
        Some(b'7') => Plan::Answer {
            ring,
            talk: Some(Duration::from_millis(300)),
            sound: Sound::Nothing,
        },
        Some(b'8') => Plan::Refuse {
            ring: Duration::ZERO,
            code: 404,
        },
        Some(b'9') => Plan::Answer {
            ring: Duration::from_millis(900),
            talk: None,
            sound: Sound::Nothing,
        },
        _ => ANSWERS,
    }
}

/// Busy is tried again soon. An unknown fate is not, unless the test says so.
fn policy(retry_unknown: bool) -> Value {
    let soon = json!({"intervals_s": [1], "max_retries": 1});
    let mut rules = json!({"busy": soon});
    if retry_unknown {
        rules["unknown"] = soon;
    }
    json!({"max_concurrent_calls": 20, "retry": {"max_attempts": 3, "rules": rules}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_dialled_twice_when_killed_at_any_failpoint() {
    let at_once = std::sync::Arc::new(Semaphore::new(AT_ONCE));
    let mut tries = JoinSet::new();
    for point in Failpoint::ALL {
        // Early, and in the middle of others' calls. A push comes once.
        let passings: &[u32] = if point == Failpoint::PushCommitted {
            &[1]
        } else {
            &[1, 4]
        };
        for passing in passings {
            let at_once = std::sync::Arc::clone(&at_once);
            tries.spawn(async move {
                let _turn = at_once.acquire_owned().await.unwrap();
                println!("{point}:{passing}");
                kill_at(point, *passing).await;
                println!("{point}:{passing} settled");
            });
        }
    }
    let mut failed = 0;
    while let Some(tried) = tries.join_next().await {
        failed += u32::from(tried.is_err());
    }
    assert_eq!(failed, 0, "failpoints after which something was wrong; see above");
}

async fn kill_at(point: Failpoint, passing: u32) {
    let mut scene = Scene::start(Installation::new(), crowd, 400, 5).await;
    let campaign = scene.campaign(&policy(false)).await;
    let name = format!("{point}:{passing}");
    scene.restart(&[("CARILLON_FAILPOINT", &name)]).await;
    let pushed = numbers(50_000_000, 10);
    // The server may die before it answers; whether the records are there is seen later.
    let answer = scene
        .api()
        .try_revrag(Method::POST, &push_path(&campaign), Some(&push_body(&pushed)))
        .await;
    assert_eq!(answer.is_err(), point == Failpoint::PushCommitted, "{name}: {answer:?}");
    scene.server.wait_for_kill().await;
    scene.restart(&[]).await;
    let records = scene.api().wait_for_all(&campaign, SETTLING).await;
    assert_eq!(records.len(), pushed.len(), "{name}: every record of the push is there");
    check_everything(&scene, &records, &name).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_dialled_twice_when_killed_at_random_times() {
    let kills: usize = environment("CARILLON_RANDOM_KILLS").unwrap_or(10);
    let seed: u64 = environment("CARILLON_SEED").unwrap_or_else(|| rand::rng().random());
    println!("{kills} kills, CARILLON_SEED={seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut scene = Scene::start(Installation::new(), crowd, 400, 5).await;
    let campaign = scene.campaign(&policy(true)).await;
    let mut pushed = 0;
    for _ in 0..kills {
        let answered = scene.api().push(&campaign, &numbers(60_000_000 + pushed, 10)).await;
        pushed += answered.len();
        let life = Duration::from_millis(random.random_range(0..1_500));
        tokio::time::sleep(life).await;
        scene.restart(&[]).await;
    }
    let records = scene.api().wait_for_all(&campaign, SETTLING).await;
    assert_eq!(records.len(), pushed);
    check_everything(&scene, &records, &format!("CARILLON_SEED={seed}")).await;
}

fn environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// What must hold after any crash, once every record is final.
async fn check_everything(scene: &Scene, records: &[Value], what: &str) {
    let legs = scene
        .far_end
        .wait_for("the end of every leg", |legs| legs.iter().all(|leg| !leg.is_up()))
        .await;
    check_legs(&legs, what);
    let mut ids = Vec::new();
    let mut calls = BTreeMap::new();
    for record in records {
        let attempts = calls_of(record);
        for id in &attempts {
            calls.insert(id.clone(), scene.api().call(id).await);
        }
        check_attempts(record, &attempts, &calls, &legs, what);
        ids.extend(attempts);
    }
    check_counters(&scene.api().stats(records[0]["campaign_id"].as_str().unwrap()).await);
    check_webhooks(scene, &ids, what).await;
    for call in calls.values() {
        check_recording(scene, call, what).await;
    }
}

/// One Call-ID and one INVITE for each attempt.
fn check_legs(legs: &[Leg], what: &str) {
    let mut of_attempt: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for leg in legs {
        assert_eq!((leg.attempts.len(), leg.branches.len()), (1, 1), "{what}: {leg:?}");
        for attempt in &leg.attempts {
            of_attempt.entry(attempt).or_default().push(&leg.sip_call_id);
        }
    }
    let twice: Vec<_> = of_attempt.iter().filter(|(_, call_ids)| call_ids.len() > 1).collect();
    assert!(twice.is_empty(), "{what}: attempts with several Call-IDs: {twice:?}");
}

/// What rang is an attempt of the record, and after an attempt of unknown fate stands a decision.
fn check_attempts(record: &Value, attempts: &[String], calls: &BTreeMap<String, Value>, legs: &[Leg], what: &str) {
    let number = record["phone_number"].as_str().unwrap();
    for leg in legs.iter().filter(|leg| leg.number == number) {
        let attempt = leg.attempts.first().unwrap();
        assert!(
            attempts.contains(attempt),
            "{what}: {number} was rung by an attempt that its record does not know"
        );
    }
    assert_eq!(record["attempt_count"], attempts.len(), "{what}: {record}");
    for (nth, id) in attempts.iter().enumerate() {
        let call = &calls[id];
        assert_eq!(call["state"], "closed", "{what}: {call}");
        if call["outcome"] == "unknown" {
            let decision = call["unknown_settled_by"].as_str().unwrap_or_default();
            assert!(
                !decision.is_empty(),
                "{what}: nothing says what became of an unknown attempt: {call}"
            );
            let again = nth + 1 < attempts.len();
            assert!(
                !again || decision.starts_with("retried"),
                "{what}: dialled again against {decision:?}"
            );
        }
    }
}

/// RevRag's eight counters add up.
fn check_counters(stats: &Value) {
    let counters = stats
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| *name != "total_records");
    let sum: u64 = counters.map(|(_, count)| count.as_u64().unwrap()).sum();
    assert_eq!(json!(sum), stats["total_records"], "{stats}");
}

/// Each call's webhook came, under one id, genuine, and says what the status answer says.
async fn check_webhooks(scene: &Scene, calls: &[String], what: &str) {
    let requests = scene.receiver.wait_for_events(calls.len()).await;
    verify(&requests, SECRET).unwrap();
    let expected: BTreeSet<&String> = calls.iter().collect();
    for id in calls {
        let about = scene.receiver.about(id);
        let events: BTreeSet<&str> = about.iter().map(|request| request.event_id()).collect();
        assert_eq!(events.len(), 1, "{what}: the webhooks of {id}");
        assert_eq!(
            about[0].json(),
            scene.api().status(id).await,
            "{what}: the webhook of {id}"
        );
    }
    assert_eq!(
        taken_events(&requests).len(),
        expected.len(),
        "{what}: webhooks of calls that nobody knows"
    );
}

/// A call that has a recording has a readable one, also when it was cut off.
async fn check_recording(scene: &Scene, call: &Value, what: &str) {
    if let Some(url) = call["recording_url"].as_str() {
        let (code, _, file) = scene.api().fetch(url).await;
        assert_eq!(code, 200, "{what}: {call}");
        let wav = Wav::parse(&file).unwrap_or_else(|problem| panic!("{what}: a recording cannot be read: {problem}"));
        assert_eq!(wav.channels, 2, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_is_there_up_to_the_kill() {
    let mut scene = Scene::start(Installation::new(), |_| ANSWERS, 20_000, 20).await;
    let campaign = scene.campaign(&policy(false)).await;
    let run = scene.api().push(&campaign, &numbers(51_000_000, 1)).await.remove(0);
    let talked = |legs: &[Leg]| legs.iter().any(|leg| leg.heard.len() >= 150);
    let legs = scene.far_end.wait_for("three seconds of sound", talked).await;
    let talked_ms = u64::try_from(legs[0].answered_at.unwrap().elapsed().as_millis()).unwrap();
    scene.restart(&[]).await;
    let record = scene.api().wait_for_record(&campaign, &run).await;
    let legs = scene
        .far_end
        .wait_for("the end of the leg", |legs| legs.iter().all(|leg| !leg.is_up()))
        .await;
    assert_eq!(legs.len(), 1, "nobody is rung again: {}", brief(&legs));
    let call = scene.api().call(&calls_of(&record)[0]).await;
    let url = call["recording_url"]
        .as_str()
        .unwrap_or_else(|| panic!("no recording: {call}"));
    let (_, _, file) = scene.api().fetch(url).await;
    let wav = Wav::parse(&file).unwrap();
    let length_ms = wav.length_ms();
    assert!(
        length_ms + 1_100 >= talked_ms && length_ms <= talked_ms + 200,
        "{length_ms} ms of {talked_ms} ms"
    );
    let shares = [wav.loudest_share(0, PROMPT_HZ), wav.loudest_share(1, FAR_END_HZ)];
    let crossed = [wav.loudest_share(1, PROMPT_HZ), wav.loudest_share(0, FAR_END_HZ)];
    let apart =
        |own: [f64; 2], other: [f64; 2]| own.iter().all(|share| *share > 0.8) && other.iter().all(|share| *share < 0.1);
    assert!(
        apart(shares, crossed) || apart(crossed, shares),
        "each side on a channel of its own: {shares:?} {crossed:?}"
    );
}
