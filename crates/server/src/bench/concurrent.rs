//! What calls cost that are up at the same time.

use super::Wishes;
use super::far_end::{Behaviour, FarEnd};
use super::installation::{CampaignWish, Installation, records};
use super::report::{Report, figure};
use super::server::Usage;
use anyhow::bail;
use serde_json::{Value, json};
use std::time::Duration;

/// New calls a second while they are set up.
const SET_UP_RATE: u64 = 100;
/// Ended calls a second.
const END_RATE: u64 = 200;
/// Legs linger for late messages so long (64 times T1 of RFC 3261); memory is looked at after that.
const LINGER: Duration = Duration::from_secs(36);
/// How often the same calls are set up: what the first round leaves behind and the second does not is no leak.
const ROUNDS: u64 = 2;

/// Measures processor time and memory of calls one way (the far end is silent) and both ways (it talks, and all is
/// recorded).
pub(crate) async fn concurrent(wishes: &Wishes) -> anyhow::Result<Report> {
    let mut report = Report::new("concurrent", "Calls that are up at the same time");
    report.note(
        "One way: we play a prompt, the far end is silent. Both ways: it sends sound too, and both sides are recorded.",
    );
    report.note(
        "Memory is resident memory; `after` is 36 s after the last call has ended (SIP keeps legs for 32 s), once for each of \
         two rounds of the same calls.",
    );
    for talks in [false, true] {
        for calls in &wishes.concurrent {
            held(wishes, &mut report, u64::from(*calls), talks).await?;
        }
    }
    Ok(report)
}

async fn held(wishes: &Wishes, report: &mut Report, calls: u64, talks: bool) -> anyhow::Result<()> {
    let far_end = FarEnd::start(Behaviour::Answer { talks })?;
    let wish = CampaignWish {
        clip_s: 60,
        times: 255,
        record: talks,
        open: true,
    };
    let installation = Installation::start(wishes, &far_end, &[wish]).await?;
    let ways = if talks { "both ways" } else { "one way" };
    // One call brings in what is loaded once.
    round(&installation, &far_end, 99_000_000, 1, Duration::from_secs(1)).await?;
    let idle_mb = installation.server.resident_mb()?;
    let mut after_mb = Vec::new();
    for turn in 0..ROUNDS {
        wishes
            .out
            .note(&format!("  {calls} calls {ways}, round {} of {ROUNDS}…", turn + 1));
        let seconds = Duration::from_secs(if turn == 0 { wishes.seconds } else { 2 });
        let held = round(&installation, &far_end, turn * calls, calls, seconds).await?;
        tokio::time::sleep(LINGER).await;
        after_mb.push(installation.server.resident_mb()?);
        if turn > 0 {
            continue;
        }
        let per_hundred = 100.0 / calls as f64;
        report.row([
            ("sound", json!(ways)),
            ("recorded", json!(talks)),
            ("calls", json!(calls)),
            ("% of a core per 100", figure(held.server_core_percent * per_hundred)),
            ("server % of a core", figure(held.server_core_percent)),
            ("far end %", figure(held.far_end_core_percent)),
            (
                "late %",
                figure(100.0 * held.late as f64 / (held.packets as f64).max(1.0)),
            ),
            ("latest ms", figure(held.latest_us as f64 / 1_000.0)),
            ("lost", json!(held.lost)),
            ("retransmitted", json!(held.retransmissions)),
            (
                "kB per call",
                figure((held.resident_mb - idle_mb) * 1_000.0 / calls as f64),
            ),
            ("RSS MB idle", figure(idle_mb)),
            ("with calls", figure(held.resident_mb)),
            ("after", Value::Null),
            ("after round 2", Value::Null),
        ]);
    }
    let mut after = after_mb.into_iter().map(figure);
    report.complete([("after", after.next()), ("after round 2", after.next())]);
    if installation.warnings() > 0 {
        report.note(format!(
            "{calls} calls {ways}: {} lines logged.",
            installation.warnings()
        ));
    }
    installation.stop().await
}

struct Held {
    server_core_percent: f64,
    far_end_core_percent: f64,
    resident_mb: f64,
    packets: u64,
    lost: u64,
    late: u64,
    latest_us: u64,
    retransmissions: u64,
}

/// Sets calls up, holds them for so long, and ends them.
async fn round(
    installation: &Installation,
    far_end: &FarEnd,
    first: u64,
    calls: u64,
    hold: Duration,
) -> anyhow::Result<Held> {
    far_end.forget()?;
    let mut tick = tokio::time::interval(Duration::from_secs(1) / SET_UP_RATE as u32);
    for number in first..first + calls {
        tick.tick().await;
        installation.push(0, records(number, 1)).await?;
    }
    let up = far_end
        .wait_until(Duration::from_secs(20), |figures| figures.up == calls)
        .await?
        .up;
    if up != calls {
        bail!("{up} of {calls} calls are up");
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, ours) = (installation.server.usage()?, Usage::of("self")?);
    tokio::time::sleep(hold).await;
    let (after, far) = (installation.server.usage()?, Usage::of("self")?);
    let resident_mb = installation.server.resident_mb()?;
    let figures = far_end.figures().await?;
    if figures.up != calls {
        bail!("{} of {calls} calls are still up", figures.up);
    }
    far_end.hang_up_all(END_RATE)?;
    let patience = Duration::from_secs(20 + calls / END_RATE);
    let ended = far_end
        .wait_until(patience, |figures| figures.ended == calls)
        .await?
        .ended;
    if ended != calls {
        bail!("{ended} of {calls} calls have ended");
    }
    Ok(Held {
        server_core_percent: after.core_percent_since(&before),
        far_end_core_percent: far.core_percent_since(&ours),
        resident_mb,
        packets: figures.packets,
        lost: figures.lost + figures.overflows,
        late: figures.late,
        latest_us: figures.latest_us,
        retransmissions: figures.retransmissions + figures.own_retransmissions,
    })
}
