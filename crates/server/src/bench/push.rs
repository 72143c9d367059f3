//! How fast records are taken in: durable on disk before each answer.

use super::Wishes;
use super::far_end::{Behaviour, FarEnd};
use super::installation::{CampaignWish, Installation, LINES, records};
use super::quantiles::Quantiles;
use super::report::{Report, figure};
use super::server::Usage;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Records in a push, and how many clients push at once.
const STEPS: [(u64, usize); 6] = [(1, 1), (1, 32), (100, 1), (100, 8), (10_000, 1), (10_000, 2)];

/// Measures it over RevRag's `push-bulk`, into a campaign whose window is closed.
pub(crate) async fn push(wishes: &Wishes) -> anyhow::Result<Report> {
    let far_end = FarEnd::start(Behaviour::Busy)?;
    let wish = CampaignWish {
        clip_s: 1,
        times: 1,
        record: false,
        open: false,
        lines: LINES,
    };
    let installation = Arc::new(Installation::start(wishes, &far_end, &[wish]).await?);
    let mut report = Report::new(
        "push",
        "Records pushed, durable (SQLite, synchronous=FULL) before each answer",
    );
    report.note(
        "The campaign's window is closed. Clients run on the same cores; rows fill one database, one after the other.",
    );
    let first_free = Arc::new(AtomicU64::new(0));
    for (size, clients) in STEPS {
        wishes
            .out
            .note(&format!("  pushing {size} at a time from {clients} clients…"));
        let before = installation.server.usage()?;
        let ours = Usage::of("self")?;
        let started = Instant::now();
        let until = started + Duration::from_secs(wishes.seconds);
        let mut pushing = JoinSet::new();
        for _ in 0..clients {
            let (installation, first_free) = (Arc::clone(&installation), Arc::clone(&first_free));
            pushing.spawn(async move {
                let mut took_us = Vec::new();
                while Instant::now() < until {
                    let body = records(first_free.fetch_add(size, Ordering::Relaxed), size);
                    let sent = Instant::now();
                    installation.push(0, body).await?;
                    took_us.push(sent.elapsed().as_micros() as u64);
                }
                anyhow::Ok(took_us)
            });
        }
        let mut took_us = Vec::new();
        while let Some(pushed) = pushing.join_next().await {
            took_us.extend(pushed??);
        }
        let elapsed_s = started.elapsed().as_secs_f64();
        let pushed = took_us.len() as f64 * size as f64;
        let took = Quantiles::of(took_us);
        let after = installation.server.usage()?;
        report.row([
            ("records in a push", json!(size)),
            ("clients", json!(clients)),
            ("records/s", figure(pushed / elapsed_s)),
            ("push p50 ms", figure(took.percentile_ms(50))),
            ("push p99 ms", figure(took.percentile_ms(99))),
            (
                "server CPU us/record",
                figure(after.cpu_s_since(&before) * 1e6 / pushed),
            ),
            ("server % of a core", figure(after.core_percent_since(&before))),
            (
                "clients % of a core",
                figure(Usage::of("self")?.core_percent_since(&ours)),
            ),
            ("pushes", json!(took.count())),
        ]);
    }
    report.note(format!(
        "Resident memory at the end: {:.0} MB.",
        installation.server.resident_mb()?
    ));
    if let Some(installation) = Arc::into_inner(installation) {
        installation.stop().await?;
    }
    Ok(report)
}
