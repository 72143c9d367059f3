//! The demo's conversations: a campaign whose agent talks, what was understood, and how long its answers took.

use super::outcomes::latest_call;
use super::setting_up::Pushed;
use crate::cli::api_client::ApiClient;
use crate::cli::output::Output;
use crate::wiring::Server;
use anyhow::Context;
use carillon_app::{NewAgent, NewCampaign};
use carillon_domain::call::{Call, Outcome};
use carillon_domain::campaign::calling_window::ZoneName;
use carillon_domain::campaign::{CampaignInput, CampaignPolicy};
use carillon_domain::conversation::{Speaker, TranscriptEntry};
use carillon_domain::script::Conversation;
use carillon_sandbox::{BEHAVIOURS, Behaviour, Talked, reference};
use serde_json::{Value, json};
use std::path::Path;

/// Conversations at once: recognition of this many fits on two cores.
const AT_ONCE: u32 = 4;

/// Makes the agent that talks and its running campaign; returns the campaign's id.
pub(crate) async fn campaign(server: &Server) -> anyhow::Result<String> {
    let workspace = server.workspace.id;
    let agent = NewAgent {
        name: "Appointment conversation".to_owned(),
        variables: Vec::new(),
        script: reference::conversation()?,
        caller_id: None,
        trunk_id: None,
        ring_timeout_s: reference::RING_TIMEOUT_S,
        max_duration_s: 90,
        record_calls: true,
        active: true,
    };
    let agent = server.app.save_agent(workspace, None, agent).await?;
    let mut policy = CampaignPolicy::always_open(ZoneName::parse("Asia/Kolkata")?);
    policy.max_concurrent_calls = AT_ONCE;
    policy.retry.max_attempts = 1;
    let new = NewCampaign {
        name: "Conversations".to_owned(),
        agent_id: agent.id,
        policy,
    };
    let campaign = server.app.create_campaign(workspace, new).await?;
    server
        .app
        .campaign_input(workspace, campaign.id, CampaignInput::Launch)
        .await?;
    Ok(campaign.id.to_string())
}

/// The behaviours that can be talked with.
fn talkative() -> impl Iterator<Item = (&'static Behaviour, Talked)> {
    BEHAVIOURS
        .iter()
        .filter_map(|behaviour| Some((behaviour, behaviour.conversation?)))
}

/// Pushes one record for each behaviour that can be talked with, through RevRag's API.
pub(crate) async fn push(client: &ApiClient, campaign: &str) -> anyhow::Result<Vec<Pushed>> {
    let records: Vec<Value> = talkative()
        .map(|(behaviour, _)| {
            let variables: serde_json::Map<String, Value> = reference::variable(behaviour.digits)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), Value::from(value)))
                .collect();
            json!({"phone_number": format!("+91987655{}", behaviour.digits), "variables": variables})
        })
        .collect();
    let suffixes = talkative().map(|(behaviour, _)| behaviour.digits.to_owned()).collect();
    super::setting_up::push_records(client, campaign, suffixes, records).await
}

/// One conversation's row.
struct Row {
    behaviour: &'static Behaviour,
    status: String,
    outcome: String,
    result: String,
    said: String,
    slowest_ms: Option<u32>,
    problems: Vec<String>,
}

/// What came of the conversations.
pub(crate) struct Report {
    rows: Vec<Row>,
    /// Words that the far end said, and how many of them were missed, added or mistaken.
    words: usize,
    errors: usize,
    waits_ms: Vec<u32>,
    sample: Option<Vec<String>>,
}

/// Looks at every conversation, and compares what was understood with what the far end's log says that it said.
pub(crate) async fn report(server: &Server, far_end_log: &Path, pushed: &[Pushed]) -> anyhow::Result<Report> {
    let said = read_log(far_end_log)?;
    let mut report = Report {
        rows: Vec::new(),
        words: 0,
        errors: 0,
        waits_ms: Vec::new(),
        sample: None,
    };
    for record in pushed {
        let found = talkative().find(|(behaviour, _)| behaviour.digits == record.suffix);
        let Some((behaviour, expected)) = found else { continue };
        let (status, call) = latest_call(server, &record.run_id).await?;
        let call = call.with_context(|| format!("{} was never called", behaviour.name))?;
        report.add(behaviour, expected, status, &call, said.get(&call.id.to_string()));
    }
    Ok(report)
}

/// What the far end said in each attempt that has ended.
fn read_log(path: &Path) -> anyhow::Result<std::collections::BTreeMap<String, Vec<String>>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let ended = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line.get("event").and_then(Value::as_str) == Some("ended"));
    let entry = |line: Value| {
        let attempt = line.get("attempt")?.as_str()?.to_owned();
        let said = line.get("said")?.as_array()?;
        Some((
            attempt,
            said.iter().filter_map(|text| Some(text.as_str()?.to_owned())).collect(),
        ))
    };
    Ok(ended.filter_map(entry).collect())
}

impl Report {
    fn add(
        &mut self,
        behaviour: &'static Behaviour,
        expected: Talked,
        status: String,
        call: &Call,
        said: Option<&Vec<String>>,
    ) {
        let nothing = Conversation::default();
        let conversation = call.result.conversation.as_deref().unwrap_or(&nothing);
        let mut problems = Vec::new();
        let outcome = call.outcome().map_or("none", Outcome::as_str);
        if status != expected.status.as_str() {
            problems.push(format!("record is {status}, not {}", expected.status.as_str()));
        }
        if call.outcome() != Some(expected.outcome) {
            problems.push(format!("outcome is {outcome}, not {}", expected.outcome.as_str()));
        }
        let result = conversation.outcome.clone().unwrap_or_else(|| "-".to_owned());
        if let Some(wanted) = expected.result
            && wanted != result
        {
            problems.push(format!("it ended as {result}, not {wanted}"));
        }
        let heard = heard(conversation);
        if let Some(said) = said.filter(|_| expected.result.is_some()) {
            let (words, errors) = word_errors(&said.join(" "), &heard.join(" "));
            self.words += words;
            self.errors += errors;
        }
        self.waits_ms
            .extend(conversation.latencies.iter().map(|turn| turn.total_ms));
        if self.sample.is_none() && expected.result == Some("confirmed") && problems.is_empty() {
            self.sample = Some(lines(conversation));
        }
        self.rows.push(Row {
            behaviour,
            status,
            outcome: outcome.to_owned(),
            result,
            said: heard.join(" / "),
            slowest_ms: conversation.latencies.iter().map(|turn| turn.total_ms).max(),
            problems,
        });
    }

    /// Whether the conversations went as the far end's table says: at least nine of ten. The voices draw random noise, so a word may be
    /// misheard in one run and not in the next.
    pub(crate) fn is_as_published(&self) -> bool {
        let good = self.rows.iter().filter(|row| row.problems.is_empty()).count();
        good > 0 && good * 10 >= self.rows.len() * 9
    }

    /// The table, the figures and one transcript.
    pub(crate) fn print(&self, out: Output) {
        let head = [
            "number",
            "far end",
            "record",
            "outcome",
            "ended as",
            "slowest answer",
            "understood",
            "as published",
        ];
        let rows: Vec<Vec<String>> = self.rows.iter().map(Row::cells).collect();
        out.table(&head, &rows);
        let good = self.rows.iter().filter(|row| row.problems.is_empty()).count();
        out.note(&format!(
            "{good} of {} conversations ended as the far end's table says.",
            self.rows.len()
        ));
        if self.words > 0 {
            out.note(&format!(
                "Of {} words that the far end said, {} were missed, added or mistaken ({:.1} %).",
                self.words,
                self.errors,
                100.0 * self.errors as f64 / self.words as f64
            ));
        }
        let mut waits = self.waits_ms.clone();
        waits.sort_unstable();
        if let (Some(middle), Some(late)) = (waits.get(waits.len() / 2), waits.get(waits.len() * 95 / 100)) {
            out.note(&format!(
                "From the end of an utterance to the answer: {middle} ms in the middle, {late} ms at the 95th percentile."
            ));
        }
        if let Some(lines) = &self.sample {
            out.note("");
            out.note("One of them:");
            for line in lines {
                out.note(&format!("  {line}"));
            }
        }
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let dash = || "-".to_owned();
        let said: String = if self.said.is_empty() {
            dash()
        } else {
            self.said.chars().take(60).collect()
        };
        vec![
            format!("…{}", self.behaviour.digits),
            self.behaviour.name.to_owned(),
            self.status.clone(),
            self.outcome.clone(),
            self.result.clone(),
            self.slowest_ms.map_or_else(dash, |ms| format!("{ms} ms")),
            said,
            if self.problems.is_empty() {
                "yes".to_owned()
            } else {
                self.problems.join("; ")
            },
        ]
    }
}

/// What the callee was understood to say, in order.
fn heard(conversation: &Conversation) -> Vec<String> {
    conversation
        .transcript
        .entries()
        .iter()
        .filter(|entry| entry.who == Speaker::Callee)
        .map(|entry| entry.text.as_str().to_owned())
        .collect()
}

fn lines(conversation: &Conversation) -> Vec<String> {
    let line = |entry: &TranscriptEntry| {
        let who = match entry.who {
            Speaker::Agent => "agent ",
            Speaker::Callee => "callee",
        };
        format!(
            "{:>6.1} s  {who}  {}",
            entry.begin_ms.0 as f64 / 1_000.0,
            entry.text.as_str()
        )
    };
    let entries = conversation.transcript.entries().iter();
    entries
        .filter(|entry| !entry.text.trim().is_empty())
        .map(line)
        .collect()
}

/// Words of `said`, and the fewest words to add, leave out or change that make `heard` of it.
fn word_errors(said: &str, heard: &str) -> (usize, usize) {
    let (said, heard) = (words(said), words(heard));
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (at, word) in said.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (place, other) in heard.iter().enumerate() {
            let change = diagonal + usize::from(word != other);
            diagonal = row[place + 1];
            row[place + 1] = change.min(row[place] + 1).min(diagonal + 1);
        }
    }
    (said.len(), row.last().copied().unwrap_or(0))
}

/// Words in lower case, with digits spelled: recognisers write "4" for "four".
fn words(text: &str) -> Vec<String> {
    const DIGITS: [&str; 10] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    ];
    let mut words = Vec::new();
    for word in text.split(|c: char| !c.is_alphanumeric() && c != '\'') {
        let is_number = !word.is_empty() && word.chars().all(|c| c.is_ascii_digit());
        match word {
            "" => {}
            "10" => words.push("ten".to_owned()),
            _ if is_number => words.extend(
                word.chars()
                    .filter_map(|c| DIGITS.get(c.to_digit(10)? as usize))
                    .map(|digit| (*digit).to_owned()),
            ),
            _ => words.push(word.to_lowercase()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_errors_are_the_fewest_changes() {
        let rows = [
            ("Yes, please.", "yes please", (2, 0)),
            ("Four, seven, one, nine.", "4719.", (4, 0)),
            ("call me at ten", "call me at 10", (4, 0)),
            ("one two three", "one three", (3, 1)),
            ("one two three", "", (3, 3)),
            ("", "hello there", (0, 2)),
            ("a b c", "a x c d", (3, 2)),
        ];
        for (said, heard, expected) in rows {
            assert_eq!(word_errors(said, heard), expected, "{said:?} {heard:?}");
        }
    }
}
