//! How long it takes from a push to the INVITE on the wire, and from the end of a call to the next one.

use super::Wishes;
use super::far_end::{Behaviour, FarEnd, now_us};
use super::installation::{CampaignWish, Installation, LINES, phone, records};
use super::quantiles::Quantiles;
use super::report::{Report, figure};
use anyhow::bail;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(50);
const OPEN: usize = 0;
const CLOSED: usize = 1;
const WAITING: u64 = 100_000;
const BATCH: u64 = 10_000;
/// Queued behind one line, to compare with.
const FEW: u64 = 1_000;
/// Numbers of records that only wait.
const WAITING_FIRST: u64 = 50_000_000;

/// What else goes on while single records are pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// 100,000 records wait behind another campaign's closed window.
    Waiting,
    /// Pushes of 10,000 records, one after the other, into another campaign.
    Pushes,
}

impl Beside {
    const fn describe(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Waiting => "100,000 records wait",
            Self::Pushes => "and 10,000 at a time are pushed",
        }
    }
}

const fn busy_campaign(open: bool, lines: u32) -> CampaignWish {
    CampaignWish {
        clip_s: 1,
        times: 1,
        record: false,
        open,
        lines,
    }
}

/// Measures it for single records on an idle server, with many records waiting behind a closed window, and during large
/// pushes.
pub(crate) async fn dispatch(wishes: &Wishes) -> anyhow::Result<Report> {
    let far_end = FarEnd::start(Behaviour::Busy)?;
    let campaigns = [busy_campaign(true, LINES), busy_campaign(false, LINES)];
    let installation = Arc::new(Installation::start(wishes, &far_end, &campaigns).await?);
    let mut report = Report::new("dispatch", "From a push of one record to its INVITE");
    report.note("From the first byte of the request to the INVITE's arrival at a UDP socket, by the kernel's clock; it is answered 486.");
    let mut first = 0;
    for beside in [Beside::Nothing, Beside::Waiting, Beside::Pushes] {
        if beside == Beside::Waiting {
            for batch in 0..WAITING / BATCH {
                wishes.out.note(&format!("  pushing {BATCH} records that will wait…"));
                installation
                    .push(CLOSED, records(WAITING_FIRST + batch * BATCH, BATCH))
                    .await?;
            }
        }
        wishes.out.note(&format!(
            "  pushing single records; beside them: {}…",
            beside.describe()
        ));
        let large = LargePushes::start(beside, &installation);
        let count = wishes.seconds * 1_000 / PAUSE.as_millis() as u64;
        let before = installation.server.usage()?;
        let mut pushed = Vec::new();
        for number in first..first + count {
            let body = records(number, 1);
            let sent_us = now_us();
            installation.push(OPEN, body).await?;
            pushed.push((phone(number), sent_us, now_us()));
            tokio::time::sleep(PAUSE).await;
        }
        first += count;
        let after = installation.server.usage()?;
        let large = large.end().await?;
        let figures = far_end
            .wait_until(Duration::from_secs(10), |figures| figures.ended == count)
            .await?;
        if figures.ended != count {
            bail!("{} of {count} records were dialled", figures.ended);
        }
        let invited = |number: &String| figures.invited_us.get(number).copied().unwrap_or(0);
        let to_invite = Quantiles::of(
            pushed
                .iter()
                .map(|(number, sent_us, _)| invited(number).saturating_sub(*sent_us)),
        );
        let to_answer = Quantiles::of(
            pushed
                .iter()
                .map(|(_, sent_us, answered_us)| answered_us.saturating_sub(*sent_us)),
        );
        report.row([
            ("beside", json!(beside.describe())),
            ("to INVITE p50 ms", figure(to_invite.percentile_ms(50))),
            ("p99 ms", figure(to_invite.percentile_ms(99))),
            ("longest ms", figure(to_invite.longest_ms())),
            ("to durable answer p50 ms", figure(to_answer.percentile_ms(50))),
            ("answer p99 ms", figure(to_answer.percentile_ms(99))),
            (
                "server CPU ms/call",
                figure(after.cpu_s_since(&before) * 1_000.0 / count as f64),
            ),
            ("records", json!(count)),
            ("large pushes", json!(large)),
        ]);
        far_end.forget()?;
    }
    if let Some(installation) = Arc::into_inner(installation) {
        installation.stop().await?;
    }
    Ok(report)
}

/// A client that pushes 10,000 records at a time until it is told to end.
struct LargePushes {
    end: Arc<AtomicBool>,
    task: Option<tokio::task::JoinHandle<anyhow::Result<u64>>>,
}

impl LargePushes {
    fn start(beside: Beside, installation: &Arc<Installation>) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let task = (beside == Beside::Pushes).then(|| {
            let (installation, end) = (Arc::clone(installation), Arc::clone(&end));
            tokio::spawn(async move {
                let mut pushes = 0;
                while !end.load(Ordering::Relaxed) {
                    let first = WAITING_FIRST + WAITING + pushes * BATCH;
                    installation.push(CLOSED, records(first, BATCH)).await?;
                    pushes += 1;
                }
                Ok(pushes)
            })
        });
        Self { end, task }
    }

    /// How many there were.
    async fn end(self) -> anyhow::Result<u64> {
        self.end.store(true, Ordering::Relaxed);
        match self.task {
            Some(task) => task.await?,
            None => Ok(0),
        }
    }
}

/// Measures how soon the next record of the same campaign is dialled when its only line becomes free, with few and with
/// many records queued behind it.
pub(crate) async fn next_in_line(wishes: &Wishes) -> anyhow::Result<Report> {
    let mut report = Report::new("line", "From one INVITE to the next, over the only line of a campaign");
    report.note("Each call is answered 486 at once: its end is stored, the next record found, its call stored, the INVITE sent.");
    for queued in [FEW, WAITING] {
        let far_end = FarEnd::start(Behaviour::Busy)?;
        let installation = Installation::start(wishes, &far_end, &[busy_campaign(true, 1)]).await?;
        wishes
            .out
            .note(&format!("  queueing {queued} records behind one line…"));
        for first in (0..queued).step_by(BATCH as usize) {
            installation
                .push(OPEN, records(first, BATCH.min(queued - first)))
                .await?;
        }
        far_end.forget()?;
        let before = installation.server.usage()?;
        let until = Instant::now() + Duration::from_secs(wishes.seconds);
        let mut figures = far_end.figures().await?;
        while Instant::now() < until && (figures.invited_us.len() as u64) < FEW / 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            figures = far_end.figures().await?;
        }
        let after = installation.server.usage()?;
        let mut invited_us: Vec<u64> = figures.invited_us.values().copied().collect();
        invited_us.sort_unstable();
        let between = Quantiles::of(invited_us.windows(2).filter_map(|pair| match pair {
            [one, next] => Some(next - one),
            _ => None,
        }));
        report.row([
            ("records queued", json!(queued)),
            ("p50 ms", figure(between.percentile_ms(50))),
            ("p99 ms", figure(between.percentile_ms(99))),
            ("longest ms", figure(between.longest_ms())),
            (
                "server CPU ms/call",
                figure(after.cpu_s_since(&before) * 1_000.0 / invited_us.len().max(1) as f64),
            ),
            ("calls", json!(invited_us.len())),
        ]);
        installation.stop().await?;
    }
    Ok(report)
}
