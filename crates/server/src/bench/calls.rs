//! How many whole calls a second: pushed, dialled, answered, a prompt played, hung up, closed and stored.

use super::Wishes;
use super::far_end::{Behaviour, FarEnd, Figures};
use super::installation::{CampaignWish, Installation, LINES, records};
use super::report::{Report, figure};
use super::server::Usage;
use serde_json::json;
use std::time::{Duration, Instant};

const PROMPT_S: u32 = 2;
/// Packets of a prompt that plays to its end.
const PROMPT_PACKETS: u64 = PROMPT_S as u64 * 50;
/// How often records are pushed.
const TICK: Duration = Duration::from_millis(20);
/// Calls before the first measured one: clips are loaded, statements prepared.
const WARM_UP: u64 = 20;
/// Tenths of a percent.
const LATE_PER_MILLE_MAX: f64 = 1.0;

/// What came of calls at one rate.
struct Step {
    calls: u64,
    figures: Figures,
    /// Records that ended as answered calls.
    completed: u64,
    pushing_s: f64,
    cpu_ms_per_call: f64,
    server_core_percent: f64,
    far_end_core_percent: f64,
    resident_mb: f64,
}

impl Step {
    fn late_percent(&self) -> f64 {
        100.0 * self.figures.late as f64 / (self.figures.packets as f64).max(1.0)
    }

    fn failed(&self) -> u64 {
        self.calls - self.completed.min(self.figures.ended).min(self.calls)
    }

    /// No retransmission, no failure, no lost packet, every prompt whole, less than 0.1 % of packets over 40 ms late.
    fn is_clean(&self) -> bool {
        let figures = &self.figures;
        let disturbances = figures.retransmissions
            + figures.own_retransmissions
            + figures.unexpected
            + figures.lost
            + figures.overflows
            + figures.silent;
        let whole = figures
            .packets_per_call
            .is_some_and(|(fewest, _)| fewest >= PROMPT_PACKETS);
        self.failed() == 0 && disturbances == 0 && whole && self.late_percent() * 10.0 < LATE_PER_MILLE_MAX
    }
}

/// Pushes records at a steady rate and waits until all their calls have ended.
async fn step(
    installation: &Installation,
    far_end: &FarEnd,
    campaign: usize,
    first: u64,
    rate: u32,
    duration: Duration,
) -> anyhow::Result<Step> {
    far_end.forget()?;
    let completed_before = completed(installation, campaign).await?;
    let (before, ours) = (installation.server.usage()?, Usage::of("self")?);
    let started = Instant::now();
    let calls = (f64::from(rate) * duration.as_secs_f64()) as u64;
    let mut pushed = 0;
    let mut tick = tokio::time::interval(TICK);
    while pushed < calls {
        tick.tick().await;
        let due = ((started.elapsed().as_secs_f64() * f64::from(rate)) as u64 + 1).min(calls);
        if due > pushed {
            installation
                .push(campaign, records(first + pushed, due - pushed))
                .await?;
            pushed = due;
        }
    }
    let pushing_s = started.elapsed().as_secs_f64();
    let (server, far) = (installation.server.usage()?, Usage::of("self")?);
    let resident_mb = installation.server.resident_mb()?;
    let patience = Duration::from_secs(u64::from(PROMPT_S) + 20);
    let figures = far_end.wait_until(patience, |figures| figures.ended >= calls).await?;
    let deadline = Instant::now() + patience;
    let mut completed_now = completed(installation, campaign).await? - completed_before;
    while completed_now < calls && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
        completed_now = completed(installation, campaign).await? - completed_before;
    }
    let after = installation.server.usage()?;
    Ok(Step {
        calls,
        figures,
        completed: completed_now,
        pushing_s,
        cpu_ms_per_call: after.cpu_s_since(&before) * 1_000.0 / calls as f64,
        server_core_percent: server.core_percent_since(&before),
        far_end_core_percent: far.core_percent_since(&ours),
        resident_mb,
    })
}

async fn completed(installation: &Installation, campaign: usize) -> anyhow::Result<u64> {
    let counts = installation.counts(campaign).await?;
    Ok(counts.get("completed").and_then(serde_json::Value::as_u64).unwrap_or(0))
}

/// Tries rising rates until one is not clean, without and with recordings.
pub(crate) async fn calls(wishes: &Wishes) -> anyhow::Result<Report> {
    let mut report = Report::new("calls", "Whole calls a second, each with a prompt of 2 s");
    report.note(
        "Each call: a record pushed by API, dialled, answered at once, the prompt played, BYE, closed; every step durable (SQLite, \
         synchronous=FULL).",
    );
    report.note(
        "Clean: no retransmission, failure or lost packet, and less than 0.1 % of packets over 40 ms late. The far end and the \
         client share the cores.",
    );
    for record in [false, true] {
        let far_end = FarEnd::start(Behaviour::Answer { talks: false })?;
        let wish = CampaignWish {
            clip_s: PROMPT_S,
            times: 1,
            record,
            open: true,
            lines: LINES,
        };
        let installation = Installation::start(wishes, &far_end, &[wish]).await?;
        let idle_mb = installation.server.resident_mb()?;
        step(&installation, &far_end, 0, 0, WARM_UP as u32, Duration::from_secs(1)).await?;
        let mut first = WARM_UP;
        let mut unclean = 0;
        for rate in &wishes.rates {
            wishes.out.note(&format!(
                "  {rate} calls a second, {}…",
                if record { "recorded" } else { "not recorded" }
            ));
            let step = step(
                &installation,
                &far_end,
                0,
                first,
                *rate,
                Duration::from_secs(wishes.seconds),
            )
            .await?;
            first += step.calls;
            let figures = &step.figures;
            report.row([
                ("recorded", json!(record)),
                ("calls/s", json!(rate)),
                ("clean", json!(step.is_clean())),
                ("CPU ms/call", figure(step.cpu_ms_per_call)),
                ("server % of a core", figure(step.server_core_percent)),
                ("far end %", figure(step.far_end_core_percent)),
                ("pushed/s", figure(step.calls as f64 / step.pushing_s)),
                (
                    "retransmitted",
                    json!(figures.retransmissions + figures.own_retransmissions),
                ),
                ("failed", json!(step.failed())),
                ("lost", json!(figures.lost + figures.overflows)),
                ("late %", figure(step.late_percent())),
                ("latest ms", figure(figures.latest_us as f64 / 1_000.0)),
                ("first packet p50 ms", figure(figures.first_packet.percentile_ms(50))),
                ("p99 ms", figure(figures.first_packet.percentile_ms(99))),
                ("RSS MB", figure(step.resident_mb)),
            ]);
            unclean += u32::from(!step.is_clean());
            // One more shows whether it was chance.
            if unclean == 2 {
                break;
            }
        }
        report.note(format!(
            "{}: resident memory {idle_mb:.0} MB before, {:.0} MB after the last call; {} lines logged.",
            if record { "Recorded" } else { "Not recorded" },
            installation.server.resident_mb()?,
            installation.warnings(),
        ));
        installation.stop().await?;
    }
    Ok(report)
}

/// Measures how soon sound follows an answer, on a server that is not busy.
pub(crate) async fn answers(wishes: &Wishes) -> anyhow::Result<Report> {
    let mut report = Report::new("answer", "From the answer to the first packet of sound");
    report.note("From the moment the far end's 200 leaves to the arrival of the first packet, by the kernel's clock; 20 calls/s.");
    let far_end = FarEnd::start(Behaviour::Answer { talks: false })?;
    for record in [false, true] {
        let wish = CampaignWish {
            clip_s: PROMPT_S,
            times: 1,
            record,
            open: true,
            lines: LINES,
        };
        let installation = Installation::start(wishes, &far_end, &[wish]).await?;
        step(&installation, &far_end, 0, 0, WARM_UP as u32, Duration::from_secs(1)).await?;
        let duration = Duration::from_secs(wishes.seconds.max(10));
        let step = step(&installation, &far_end, 0, WARM_UP, 20, duration).await?;
        let first = &step.figures.first_packet;
        report.row([
            ("recorded", json!(record)),
            ("p50 ms", figure(first.percentile_ms(50))),
            ("p99 ms", figure(first.percentile_ms(99))),
            ("longest ms", figure(first.longest_ms())),
            ("calls", json!(first.count())),
        ]);
        installation.stop().await?;
    }
    Ok(report)
}
