//! Clips, agent, campaign and records of the demo.

use super::receiver::{Receiver, SECRET};
use crate::cli::api_client::ApiClient;
use crate::cli::output::Output;
use crate::wiring::{Server, finds_program, sandbox_numbers};
use anyhow::Context;
use carillon_app::{NewAgent, NewCampaign, NewEndpoint};
use carillon_domain::campaign::calling_window::ZoneName;
use carillon_domain::campaign::{CampaignInput, CampaignPolicy};
use carillon_domain::ids::ClipId;
use carillon_domain::pii::Secret;
use carillon_domain::script::{Digit, KeyAction, Script};
use carillon_domain::webhook::Dialect;
use carillon_sandbox::reference;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::process::Command;

const PROMPT: &str = "Hello, this is Carillon calling about your appointment on Friday. Press 1 to confirm, or 9 if we should not call you again.";
const THANKS: &str = "Thank you. See you on Friday.";
const SORRY: &str = "All right, we will not call you again.";

/// A record of the demo: the number's last digits, and the run id.
pub(crate) struct Pushed {
    /// Last four digits.
    pub(crate) suffix: String,
    /// Its run id.
    pub(crate) run_id: String,
}

/// Makes everything up to a running campaign; returns its id.
pub(crate) async fn campaign(server: &Server, receiver: &Receiver, out: Output) -> anyhow::Result<String> {
    let workspace = server.workspace.id;
    let prompt = clip(server, "prompt", PROMPT, out).await?;
    let thanks = clip(server, "thanks", THANKS, out).await?;
    let sorry = clip(server, "sorry", SORRY, out).await?;
    let key = |digit| Digit::parse(digit).context("a telephone key");
    let keys = BTreeMap::from([
        (
            key('1')?,
            KeyAction::Mark {
                name: "appointment_confirmed".into(),
                value: "yes".into(),
                clip: Some(thanks),
            },
        ),
        (key('9')?, KeyAction::DoNotCall { clip: Some(sorry) }),
    ]);
    let agent = NewAgent {
        name: "Appointment reminder".to_owned(),
        variables: Vec::new(),
        script: Script::Press1 {
            clip: prompt,
            times: 1,
            wait_ms: reference::KEY_WAIT_MS,
            keys,
        },
        caller_id: None,
        trunk_id: None,
        ring_timeout_s: reference::RING_TIMEOUT_S,
        max_duration_s: 40,
        record_calls: true,
        active: true,
    };
    let agent = server.app.save_agent(workspace, None, agent).await?;
    let endpoint = NewEndpoint {
        url: receiver.url.clone(),
        secret: Secret::new(SECRET),
        events: Vec::new(),
        agent_id: None,
        campaign_id: None,
        dialect: Dialect::Revrag,
        enabled: true,
    };
    server.app.save_endpoint(workspace, None, endpoint).await?;
    let mut policy = CampaignPolicy::always_open(ZoneName::parse("Asia/Kolkata")?);
    policy.max_concurrent_calls = 50;
    policy.retry.max_attempts = 1;
    let new = NewCampaign {
        name: "Demo".to_owned(),
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

/// Pushes one record for each behaviour, through RevRag's API.
pub(crate) async fn push(client: &ApiClient, campaign: &str) -> anyhow::Result<Vec<Pushed>> {
    let suffixes: Vec<String> = sandbox_numbers().iter().map(|number| number.suffix.clone()).collect();
    let records: Vec<Value> = suffixes
        .iter()
        .map(|suffix| json!({"phone_number": format!("+91987654{suffix}")}))
        .collect();
    push_records(client, campaign, suffixes, records).await
}

/// Pushes records; `suffixes` are the last digits of their numbers, in the same order.
pub(crate) async fn push_records(
    client: &ApiClient,
    campaign: &str,
    suffixes: Vec<String>,
    records: Vec<Value>,
) -> anyhow::Result<Vec<Pushed>> {
    let path = format!("/v1/campaigns/{campaign}/records/push-bulk");
    let receipt = client.revrag_post(&path, &json!({"records": records})).await?;
    let results = receipt
        .get("results")
        .and_then(Value::as_array)
        .context("the push gave no results")?;
    let run_id = |result: &Value| result.get("run_id").and_then(Value::as_str).map(str::to_owned);
    suffixes
        .into_iter()
        .zip(results)
        .map(|(suffix, result)| {
            let run_id = run_id(result).with_context(|| format!("a record was refused: {result}"))?;
            Ok(Pushed { suffix, run_id })
        })
        .collect()
}

async fn clip(server: &Server, name: &str, text: &str, out: Output) -> anyhow::Result<ClipId> {
    let wav = match spoken(text).await {
        Some(wav) => wav,
        None => {
            out.warn("espeak-ng is not installed: the demo plays tones instead of words");
            chime(text.len())
        }
    };
    let id = ClipId::new(server.app.next_id());
    let sound = server.clips.store(id, wav.into()).await?;
    server
        .app
        .add_clip(server.workspace.id, id, name.to_owned(), sound.duration_ms)
        .await?;
    Ok(id)
}

/// The text as speech, if a synthesiser is installed.
async fn spoken(text: &str) -> Option<Vec<u8>> {
    if !finds_program("espeak-ng") {
        return None;
    }
    let output = Command::new("espeak-ng")
        .args(["-v", "en-us", "-s", "165", "--stdout", text])
        .output()
        .await
        .ok()?;
    output.status.success().then_some(output.stdout)
}

/// Two notes for every few letters: as long as the text would take to say.
fn chime(letters: usize) -> Vec<u8> {
    let seconds = (letters / 15).max(1);
    let samples: Vec<u8> = (0..seconds * 8_000)
        .flat_map(|n| {
            let note = if (n / 4_000) % 2 == 0 { 660.0 } else { 880.0 };
            let phase = n as f64 * note * std::f64::consts::TAU / 8_000.0;
            ((phase.sin() * 8_000.0) as i16).to_le_bytes()
        })
        .collect();
    crate::http::mono_file(&samples)
}
