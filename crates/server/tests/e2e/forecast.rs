//! A forecast before launch, as an operator asks for it.

use crate::harness::api::numbers;
use crate::harness::far_end::Plan;
use crate::harness::scene::Scene;
use crate::harness::server::{Installation, carillon};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const MANY: usize = 10_000;

/// What the command prints.
fn forecast(data: &Path, campaign: &str, more: &[&str]) -> String {
    let output = std::process::Command::new(carillon())
        .args(["forecast", campaign, "--data"])
        .arg(data)
        .args(more)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_records_are_forecast_before_their_campaign_begins() {
    let nobody = |_: &str| Plan::Refuse {
        ring: Duration::ZERO,
        code: 486,
    };
    let scene = Scene::start(Installation::new(), nobody, 400, 20).await;
    let campaign = scene
        .campaign(&json!({
            "starts_at": "2099-01-01T00:00:00Z", "max_concurrent_calls": 20, "retry": {"max_attempts": 1},
            "calling_window": {"start": "10:00", "end": "12:00"}, "callee_hours": {"start": "09:00", "end": "21:00"},
        }))
        .await;
    scene.api().push(&campaign, &numbers(30_000_000, MANY)).await;

    let began = Instant::now();
    let data = scene.installation.data.clone();
    let json = forecast(&data, &campaign, &["--json", "--answer-rate", "0.5", "--days", "400"]);
    let took = began.elapsed();
    println!("{MANY} records forecast in {took:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    // It begins in many years: nobody is called within the days looked at, and the gate says why.
    let told: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&told["records"], &told["calls"]), (&json!(MANY), &json!(0)), "{told}");
    assert_eq!(told["starts_at"], Value::Null);
    let held = told["held"].as_array().unwrap();
    let scheduled = held.iter().find(|held| held["gate"] == "campaign_scheduled").unwrap();
    assert_eq!(scheduled["records"], json!(MANY), "{told}");

    let paused = scene
        .campaign(&json!({"max_concurrent_calls": 20, "accept_pushes_when_paused": true}))
        .await;
    scene
        .api()
        .native(
            reqwest::Method::POST,
            &format!("/campaigns/{paused}/pause"),
            Some(&json!({})),
        )
        .await
        .ok();
    scene.api().push(&paused, &numbers(31_000_000, MANY)).await;
    let began = Instant::now();
    let assumed = [
        "--answer-rate",
        "1",
        "--busy-rate",
        "0",
        "--not-connected-rate",
        "0",
        "--talk-s",
        "30",
    ];
    let table = forecast(&data, &paused, &assumed);
    println!("{MANY} calls forecast in {:?}\n{table}", began.elapsed());
    for words in [
        "Records      10000",
        "Calls        10000, 10000 answered",
        "Records end  completed 10000",
        "at most 20 at once",
        "day (Asia/Kolkata)",
        "hour (Asia/Kolkata)",
        "campaign_concurrency",
    ] {
        assert!(table.contains(words), "`{words}` is not in:\n{table}");
    }
    let calls = |table: &str| table.lines().find(|line| line.starts_with("Calls")).map(str::to_owned);
    assert_eq!(
        calls(&table),
        calls(&forecast(&data, &paused, &assumed)),
        "the same seed gives the same forecast"
    );
    assert!(scene.far_end.legs().is_empty(), "a forecast calls nobody");
}
