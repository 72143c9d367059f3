//! What calls cost that are up at the same time.

use super::Wishes;
use super::far_end::{Behaviour, FarEnd, Figures};
use super::installation::{CampaignWish, Installation, LINES, records};
use super::report::{Report, figure};
use super::server::Usage;
use serde_json::json;
use std::time::Duration;

/// New calls a second while they are set up.
const SET_UP_RATE: u64 = 100;
/// Ended calls a second.
const END_RATE: u64 = 200;
/// Legs linger for late messages so long (64 times T1 of RFC 3261); memory is looked at after that.
const LINGER: Duration = Duration::from_secs(36);
/// After calls have come up, before the measurement begins.
const SETTLES: Duration = Duration::from_secs(2);
/// Part of all packets, in percent, that may be over 40 ms late.
const LATE_PERCENT_MAX: f64 = 0.1;

/// Measures processor time and memory of calls one way (the far end is silent) and both ways (it talks, and all is
/// recorded).
pub(crate) async fn concurrent(wishes: &Wishes) -> anyhow::Result<Report> {
    let mut report = Report::new("concurrent", "Calls that are up at the same time");
    report.note(
        "One way: we play a prompt, the far end is silent. Both ways: it sends sound too, and both sides are recorded. The \
         percentages are of one core, the server process's own; the far end shares the cores.",
    );
    report.note(
        "Clean: every call comes up, stays up and ends, no retransmission or lost packet, less than 0.1 % of packets over 40 ms \
         late. `lost` counts packets that the far end's own socket dropped as well. Numbers stop rising where a step is broken.",
    );
    if wishes.rounds > 0 {
        report.note(
            "Memory is resident memory; `after` is 36 s after the last call has ended (SIP keeps legs for 32 s), `after last` the \
             same after the last round of the same calls: what one round leaves behind and the next does not is no leak.",
        );
    }
    for talks in [false, true] {
        for calls in &wishes.concurrent {
            let whole = held(wishes, &mut report, u64::from(*calls), talks).await?;
            if !whole {
                break;
            }
        }
    }
    Ok(report)
}

/// Returns whether all calls came up, stayed up and ended.
async fn held(wishes: &Wishes, report: &mut Report, calls: u64, talks: bool) -> anyhow::Result<bool> {
    let far_end = FarEnd::start(Behaviour::Answer { talks })?;
    let wish = CampaignWish {
        clip_s: 60,
        times: 255,
        record: talks,
        open: true,
        lines: LINES,
    };
    let installation = Installation::start(wishes, &far_end, &[wish]).await?;
    let ways = if talks { "both ways" } else { "one way" };
    // One call brings in what is loaded once.
    round(&installation, &far_end, 99_000_000, 1, Duration::from_secs(1)).await?;
    let idle_mb = installation.server.resident_mb()?;
    wishes.out.note(&format!("  {calls} calls {ways}…"));
    let held = round(&installation, &far_end, 0, calls, Duration::from_secs(wishes.seconds)).await?;
    let mut after_mb = Vec::new();
    for turn in 1..=wishes.rounds {
        tokio::time::sleep(LINGER).await;
        after_mb.push(installation.server.resident_mb()?);
        if turn < wishes.rounds {
            wishes.out.note(&format!("  the same again, for memory ({turn})…"));
            round(&installation, &far_end, turn * calls, calls, Duration::from_secs(2)).await?;
        }
    }
    let figures = &held.figures;
    let lost = figures.lost + figures.overflows;
    let retransmitted = figures.retransmissions + figures.own_retransmissions;
    let late_percent = 100.0 * figures.late as f64 / (figures.packets as f64).max(1.0);
    let whole = held.up == calls && held.stayed == calls && held.ended == calls;
    let clean = whole && lost == 0 && retransmitted == 0 && late_percent < LATE_PERCENT_MAX;
    report.row([
        ("sound", json!(ways)),
        ("recorded", json!(talks)),
        ("calls", json!(calls)),
        ("clean", json!(clean)),
        ("up", json!(held.up)),
        ("stayed", json!(held.stayed)),
        ("ended", json!(held.ended)),
        (
            "% of a core per 100",
            figure(held.server_core_percent * 100.0 / calls as f64),
        ),
        ("server % of a core", figure(held.server_core_percent)),
        ("far end %", figure(held.far_end_core_percent)),
        ("late %", figure(late_percent)),
        ("latest ms", figure(figures.latest_us as f64 / 1_000.0)),
        ("lost", json!(lost)),
        ("retransmitted", json!(retransmitted)),
        (
            "kB per call",
            figure((held.resident_mb - idle_mb) * 1_000.0 / calls as f64),
        ),
        ("RSS MB idle", figure(idle_mb)),
        ("with calls", figure(held.resident_mb)),
        ("after", figure(after_mb.first().copied())),
        ("after last", figure(after_mb.last().copied())),
    ]);
    if installation.warnings() > 0 {
        report.note(format!(
            "{calls} calls {ways}: {} lines logged, the first: {}",
            installation.warnings(),
            installation.first_warning()
        ));
    }
    installation.stop().await?;
    Ok(whole)
}

struct Held {
    server_core_percent: f64,
    far_end_core_percent: f64,
    resident_mb: f64,
    /// Calls that came up, those of them that were still up at the end, and those that ended when told to.
    up: u64,
    stayed: u64,
    ended: u64,
    figures: Figures,
}

/// Sets calls up, holds them for so long, and ends them. Packets are judged from the first to the last.
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
    tokio::time::sleep(SETTLES).await;
    let (before, ours) = (installation.server.usage()?, Usage::of("self")?);
    tokio::time::sleep(hold).await;
    let (after, far) = (installation.server.usage()?, Usage::of("self")?);
    let resident_mb = installation.server.resident_mb()?;
    let mut figures = far_end.figures().await?;
    let stayed = figures.up;
    far_end.hang_up_all(END_RATE)?;
    let patience = Duration::from_secs(20 + calls / END_RATE);
    let at_end = far_end.wait_until(patience, |figures| figures.ended == calls).await?;
    figures.own_retransmissions = at_end.own_retransmissions;
    figures.retransmissions = at_end.retransmissions;
    Ok(Held {
        server_core_percent: after.core_percent_since(&before),
        far_end_core_percent: far.core_percent_since(&ours),
        resident_mb,
        up,
        stayed,
        ended: at_end.ended,
        figures,
    })
}
