//! How long it takes from a push to the INVITE on the wire.

use super::Wishes;
use super::far_end::{Behaviour, FarEnd, now_us};
use super::installation::{CampaignWish, Installation, phone, records};
use super::quantiles::Quantiles;
use super::report::{Report, figure};
use anyhow::bail;
use serde_json::json;
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(50);
const OPEN: usize = 0;
const CLOSED: usize = 1;
const WAITING: u64 = 100_000;
const WAITING_BATCH: u64 = 10_000;

/// Measures it for single records on an idle server, then with many records waiting behind a closed window.
pub(crate) async fn dispatch(wishes: &Wishes) -> anyhow::Result<Report> {
    let far_end = FarEnd::start(Behaviour::Busy)?;
    let open = CampaignWish {
        clip_s: 1,
        times: 1,
        record: false,
        open: true,
    };
    let closed = CampaignWish { open: false, ..open };
    let installation = Installation::start(wishes, &far_end, &[open, closed]).await?;
    let mut report = Report::new("dispatch", "From a push of one record to its INVITE");
    report.note("From the first byte of the request to the INVITE's arrival at a UDP socket, by the kernel's clock; it is answered 486.");
    let mut first = 0;
    for waiting in [0, WAITING] {
        for batch in 0..waiting / WAITING_BATCH {
            wishes
                .out
                .note(&format!("  pushing {WAITING_BATCH} records that will wait…"));
            installation
                .push(CLOSED, records(50_000_000 + batch * WAITING_BATCH, WAITING_BATCH))
                .await?;
        }
        wishes
            .out
            .note(&format!("  pushing single records while {waiting} wait…"));
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
            ("records waiting elsewhere", json!(waiting)),
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
        ]);
        far_end.forget()?;
    }
    installation.stop().await?;
    Ok(report)
}
