//! What came of the demo's campaign, beside what the far end's table says.

use super::receiver::Receiver;
use super::setting_up::Pushed;
use crate::cli::api_client::ApiClient;
use crate::cli::output::Output;
use crate::wiring::Server;
use anyhow::Context;
use carillon_domain::call::{Call, Outcome, Recording};
use carillon_domain::ids::RecordId;
use carillon_media::wav;
use carillon_sandbox::{BEHAVIOURS, Behaviour};
use std::time::{Duration, Instant};

/// One record's row.
struct Row {
    behaviour: &'static Behaviour,
    status: String,
    outcome: String,
    sip_code: String,
    duration: String,
    keys: String,
    webhooks: usize,
    /// What differs from the table, if anything does.
    problems: Vec<String>,
}

/// The verdict.
pub(crate) struct Report {
    rows: Vec<Row>,
}

/// How long the last webhooks may take.
const WEBHOOK_PATIENCE: Duration = Duration::from_secs(10);

/// Looks at every record, its call, its recording and its webhook.
pub(crate) async fn report(
    server: &Server,
    client: &ApiClient,
    receiver: &Receiver,
    campaign: &str,
    pushed: &[Pushed],
) -> anyhow::Result<Report> {
    let mut rows = Vec::new();
    for record in pushed {
        let Some(behaviour) = BEHAVIOURS.iter().find(|behaviour| behaviour.digits == record.suffix) else {
            continue;
        };
        rows.push(row(server, client, receiver, campaign, behaviour, &record.run_id).await?);
    }
    Ok(Report { rows })
}

async fn row(
    server: &Server,
    client: &ApiClient,
    receiver: &Receiver,
    campaign: &str,
    behaviour: &'static Behaviour,
    run_id: &str,
) -> anyhow::Result<Row> {
    let shown = client
        .revrag_get(&format!("/v1/campaigns/{campaign}/records/{run_id}"))
        .await?;
    let status = shown
        .get("status")
        .and_then(serde_json::Value::as_str)
        .unwrap_or("?")
        .to_owned();
    let mut problems = Vec::new();
    let expected = behaviour.expected;
    if status != expected.status.as_str() {
        problems.push(format!("record is {status}, not {}", expected.status.as_str()));
    }
    let (_, call) = latest_call(server, run_id).await?;
    let Some(call) = call else {
        problems.push("it was never called".to_owned());
        let dash = || "-".to_owned();
        let row = Row {
            behaviour,
            status,
            outcome: dash(),
            sip_code: dash(),
            duration: dash(),
            keys: dash(),
            webhooks: 0,
            problems,
        };
        return Ok(row);
    };
    let outcome = call.outcome().map_or("none", Outcome::as_str);
    if call.outcome() != Some(expected.outcome) {
        problems.push(format!("outcome is {outcome}, not {}", expected.outcome.as_str()));
    }
    let code = call.end.as_ref().and_then(|end| end.sip_code);
    if code != Some(expected.code) {
        problems.push(format!("SIP code is {code:?}, not {}", expected.code));
    }
    let talk = call.talk_time(server.app.now());
    let mut duration = "-".to_owned();
    if call.answered_at.is_some() {
        duration = format!("{:.1} s", talk.as_secs_f64());
        match recording_length(server, call.recording.as_ref()) {
            Ok(length) if (length - talk.as_secs_f64()).abs() < 0.5 => {}
            Ok(length) => problems.push(format!("recording has {length:.1} s")),
            Err(error) => problems.push(format!("no playable recording: {error}")),
        }
    }
    let webhooks = webhooks(receiver, &call.id.to_string(), &mut problems).await;
    let sip_code = code.map_or_else(|| "-".to_owned(), |code| code.to_string());
    let keys = if call.result.keys.is_empty() {
        "-".to_owned()
    } else {
        call.result.keys
    };
    Ok(Row {
        behaviour,
        status,
        outcome: outcome.to_owned(),
        sip_code,
        duration,
        keys,
        webhooks,
        problems,
    })
}

/// The record's status, and the call of its last attempt.
pub(crate) async fn latest_call(server: &Server, run_id: &str) -> anyhow::Result<(String, Option<Call>)> {
    let workspace = server.workspace.id;
    let record: RecordId = run_id.parse()?;
    let record = server
        .app
        .store()
        .record(workspace, record)
        .await?
        .context("a record is gone")?;
    let call = match record.attempts.last() {
        Some(attempt) => server.app.store().call(workspace, attempt.call_id).await?,
        None => None,
    };
    Ok((record.status().as_str().to_owned(), call))
}

/// Seconds of the recording, if it is a whole file of two channels.
fn recording_length(server: &Server, recording: Option<&Recording>) -> anyhow::Result<f64> {
    let recording = recording.context("the call has none")?;
    let file = std::fs::read(server.data.join("recordings").join(&recording.path))?;
    let start = file.get(..wav::HEADER_BYTES).context("the file is empty")?;
    let whole = wav::repair(start, u64::try_from(file.len())?)?;
    anyhow::ensure!(whole.header == start, "its header does not fit its length");
    Ok(Duration::from_millis(whole.duration_ms).as_secs_f64())
}

async fn webhooks(receiver: &Receiver, call_id: &str, problems: &mut Vec<String>) -> usize {
    let until = Instant::now() + WEBHOOK_PATIENCE;
    let mut received = receiver.of_call(call_id);
    while received.ids.is_empty() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(50)).await;
        received = receiver.of_call(call_id);
    }
    if received.ids.len() != 1 {
        problems.push(format!("{} webhooks came", received.ids.len()));
    } else if !received.all_signed {
        problems.push("the webhook's signature is wrong".to_owned());
    }
    received.ids.len()
}

impl Report {
    /// Whether everything is as the far end's table says.
    pub(crate) fn is_as_published(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.problems.is_empty())
    }

    /// The table of outcomes.
    pub(crate) fn print(&self, out: Output) {
        let head = [
            "number",
            "far end",
            "record",
            "outcome",
            "SIP",
            "talked",
            "keys",
            "webhooks",
            "as published",
        ];
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| {
                let verdict = if row.problems.is_empty() {
                    "yes".to_owned()
                } else {
                    row.problems.join("; ")
                };
                vec![
                    format!("…{}", row.behaviour.digits),
                    row.behaviour.name.to_owned(),
                    row.status.clone(),
                    row.outcome.clone(),
                    row.sip_code.clone(),
                    row.duration.clone(),
                    row.keys.clone(),
                    row.webhooks.to_string(),
                    verdict,
                ]
            })
            .collect();
        out.table(&head, &rows);
        let good = self.rows.iter().filter(|row| row.problems.is_empty()).count();
        out.note(&format!(
            "{good} of {} records ended as the far end's table says.",
            self.rows.len()
        ));
    }
}
