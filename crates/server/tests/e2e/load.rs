//! Many records at once: taken in order, durable before the answer, and no burden on those who come after.

use crate::harness::api::{Api, TrunkTo, numbers, push_body, push_path, run_ids};
use crate::harness::far_end::{FarEnd, Plan};
use crate::harness::scene::Scene;
use crate::harness::server::Installation;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const MANY: usize = 10_000;

/// Nothing is dialled: first attempts wait for a far day.
fn held() -> Value {
    json!({"first_attempt_date": "2099-01-01"})
}

fn busy(_: &str) -> Plan {
    Plan::Refuse {
        ring: Duration::ZERO,
        code: 486,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_records_survive_a_kill_at_the_last_byte_of_the_answer() {
    let mut scene = Scene::start(Installation::new(), busy, 400, 20).await;
    let campaign = scene.campaign(&held()).await;
    let mut sent = numbers(10_000_000, MANY);
    for place in [0, 17, MANY - 1] {
        sent[place] = format!("not-a-number-{place}");
    }
    let began = Instant::now();
    let answer = push_by_hand(scene.api(), &campaign, &sent).await;
    scene.server.kill_now();
    println!("{MANY} records pushed in {:?}", began.elapsed());

    assert_eq!(
        (&answer["accepted"], &answer["rejected"]),
        (&json!(MANY - 3), &json!(3))
    );
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), MANY);
    for (number, result) in sent.iter().zip(results) {
        let refused = number.starts_with("not");
        assert_eq!(
            result["phone_number"],
            json!(number),
            "results are in the order of the request"
        );
        assert_eq!(
            (&result["accepted"], result["run_id"].is_string()),
            (&json!(!refused), !refused),
            "{result}"
        );
    }
    scene.restart(&[]).await;
    let kept: BTreeSet<String> = scene
        .api()
        .records(&campaign)
        .await
        .iter()
        .map(|record| record["id"].as_str().unwrap().to_owned())
        .collect();
    let promised: BTreeSet<String> = results
        .iter()
        .filter_map(|result| result["run_id"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(promised.len(), MANY - 3);
    let lost = promised.difference(&kept).count();
    assert_eq!(
        (lost, kept.len()),
        (0, promised.len()),
        "every promised record is there, and no other"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_records_are_durable_before_the_answer_begins() {
    let mut scene = Scene::start(Installation::new(), busy, 400, 20).await;
    let campaign = scene.campaign(&held()).await;
    scene.restart(&[("CARILLON_FAILPOINT", "push_committed")]).await;
    let body = push_body(&numbers(11_000_000, MANY));
    let answer = scene
        .api()
        .try_revrag(Method::POST, &push_path(&campaign), Some(&body))
        .await;
    assert!(answer.is_err(), "it was killed before the answer: {answer:?}");
    scene.server.wait_for_kill().await;
    scene.restart(&[]).await;
    assert_eq!(scene.api().stats(&campaign).await["total_records"], json!(MANY));
}

/// A push over a bare socket, which ends with the last byte of the answer.
async fn push_by_hand(api: &Api, campaign: &str, sent: &[String]) -> Value {
    let host = api.base_url.trim_start_matches("http://");
    let body = push_body(sent).to_string();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        push_path(campaign),
        api.revrag_key(),
        body.len()
    );
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    loop {
        let read = stream.read_buf(&mut reply).await.unwrap();
        assert!(read > 0, "the connection ended in the answer");
        let Some(at) = reply.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&reply[..at]).to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .map(str::trim);
        let length: usize = length.expect("the answer says its length").parse().unwrap();
        if reply.len() >= at + 4 + length {
            assert!(head.starts_with("http/1.1 200"), "{head}");
            return serde_json::from_slice(&reply[at + 4..]).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_queued_records_do_not_slow_dispatch() {
    let scene = Scene::start(Installation::new(), busy, 400, 20).await;
    let api = scene.api();
    let quick = scene.campaign(&json!({})).await;
    let before = push_to_invite(api, &scene.far_end, &quick, 20_000_000).await;

    // One line, taken by a telephone that rings: everything behind it is due and waits.
    let ringing = FarEnd::start(|_| Plan::Ring).await;
    let trunk = api.trunk("rings", &TrunkTo::udp(ringing.addr)).await;
    let patient = api.agent(crate::harness::scene::announce(&scene.clip), 300).await;
    let waiting = api
        .campaign(&patient, &trunk, &json!({"max_concurrent_calls": 1}))
        .await;
    let began = Instant::now();
    for part in 0..10 {
        let answer = api
            .revrag(
                Method::POST,
                &push_path(&waiting),
                Some(&push_body(&numbers(30_000_000 + part * MANY, MANY))),
            )
            .await;
        assert_eq!(run_ids(&answer.ok()).len(), MANY);
    }
    println!("{} records pushed in {:?}", 10 * MANY, began.elapsed());
    ringing.wait_for("the one call", |legs| !legs.is_empty()).await;
    assert_eq!(api.stats(&waiting).await["queued"], json!(10 * MANY - 1));

    let after = push_to_invite(api, &scene.far_end, &quick, 21_000_000).await;
    println!(
        "push to INVITE, median: {before:?} with nothing queued, {after:?} behind {} records",
        10 * MANY
    );
    assert!(
        after < before * 2 + Duration::from_millis(15),
        "{before:?} became {after:?}"
    );
    assert_eq!(ringing.legs().len(), 1, "the one line was taken all the time");
}

/// The same inside one campaign: its only line becomes free again and again, with few and with many records behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_queued_records_do_not_slow_their_own_campaign() {
    let scene = Scene::start(Installation::new(), busy, 400, 20).await;
    let quick = TrunkTo {
        calls_per_second: 1_000,
        ..TrunkTo::udp(scene.far_end.addr)
    };
    let trunk = scene.api().trunk("quick", &quick).await;
    let one_line = json!({"max_concurrent_calls": 1});
    let few = scene.api().campaign(&scene.agent, &trunk, &one_line).await;
    scene.api().push(&few, &numbers(40_000_000, 60)).await;
    let before = between_invites(&scene.far_end, 0).await;

    let many = scene.api().campaign(&scene.agent, &trunk, &one_line).await;
    for part in 0..10 {
        let body = push_body(&numbers(41_000_000 + part * MANY, MANY));
        let answer = scene.api().revrag(Method::POST, &push_path(&many), Some(&body)).await;
        assert_eq!(run_ids(&answer.ok()).len(), MANY);
    }
    let dialled = scene.far_end.legs().len();
    let after = between_invites(&scene.far_end, dialled).await;
    println!(
        "INVITE to INVITE over one line, median: {before:?} with few queued, {after:?} with nearly {}",
        10 * MANY
    );
    assert!(
        after < before * 2 + Duration::from_millis(15),
        "{before:?} became {after:?}"
    );
}

/// Median time between INVITEs, of the next fifty after the first so many.
async fn between_invites(far_end: &FarEnd, skipped: usize) -> Duration {
    const COUNT: usize = 50;
    let legs = far_end
        .wait_for("the INVITEs", |legs| legs.len() > skipped + COUNT)
        .await;
    let invited = legs.iter().skip(skipped).take(COUNT + 1).map(|leg| leg.invited_at);
    let invited: Vec<Instant> = invited.collect();
    let mut times: Vec<Duration> = invited.windows(2).map(|pair| pair[1] - pair[0]).collect();
    times.sort();
    times[times.len() / 2]
}

/// Median time from sending a push of one record to its INVITE at the far end.
async fn push_to_invite(api: &Api, far_end: &FarEnd, campaign: &str, first: usize) -> Duration {
    let mut times = Vec::new();
    for number in numbers(first, 21) {
        let began = Instant::now();
        api.push(campaign, std::slice::from_ref(&number)).await;
        let legs = far_end
            .wait_for("the INVITE", |legs| legs.iter().any(|leg| leg.number == number))
            .await;
        let leg = legs.iter().find(|leg| leg.number == number).unwrap();
        times.push(leg.invited_at - began);
    }
    times.sort();
    times[times.len() / 2]
}
