//! `carillon demo`: an installation for the moment, a campaign over every behaviour of the far end, and what came of it.

use super::api_client::ApiClient;
use super::output::Output;
use crate::bootstrap::read_credentials;
use crate::config::Config;
use crate::demo::{conversations, far_end::FarEnd, outcomes, receiver::Receiver, setting_up};
use crate::wiring::{self, Server};
use carillon_providers::embedded::{Part, Speech};
use clap::Args;
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The demo.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// End when the campaign is over, and fail if an outcome differs from the far end's table.
    #[arg(long)]
    exit: bool,
    /// Keep the data here instead of in a temporary folder.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Give up after this many seconds.
    #[arg(long, default_value_t = 300)]
    timeout_s: u64,
}

/// Runs the demo.
pub(crate) async fn demo(args: &DemoArgs, out: Output) -> anyhow::Result<ExitCode> {
    let temporary = tempfile::Builder::new().prefix("carillon-demo-").tempdir()?;
    let data = args.data.clone().unwrap_or_else(|| temporary.path().to_owned());
    let mut config = Config::load(None, std::iter::empty())?;
    config.log.filter = std::env::var("CARILLON_LOG__FILTER").unwrap_or_else(|_| "error".to_owned());
    wiring::start_logging(&config)?;

    out.note("Starting the far end, a process of its own…");
    let far_end = FarEnd::start(&data.join("sandbox")).await?;
    let receiver = Receiver::start().await?;
    config.server.data.clone_from(&data);
    config
        .server
        .listen
        .set_port(if args.exit { 0 } else { config.server.listen.port() });
    config.sip.listen.set_port(0);
    config.media.rtp_timeout_ms = carillon_sandbox::reference::RTP_TIMEOUT_MS;
    config.sandbox.external = far_end.address.to_string();
    config.webhooks.allow_targets = vec!["127.0.0.1".to_owned()];
    let mut server = Server::start(config, crate::failpoints::from_environment()?).await?;
    for warning in server.warnings.iter().filter(|warning| !warning.contains("sandbox")) {
        out.warn(warning);
    }
    out.note(&format!(
        "Carillon listens on {} (SIP on {}).",
        server.base_url, server.sip_address
    ));

    let client = ApiClient::with(read_credentials(&server.data)?)?;
    let campaign = setting_up::campaign(&server, &receiver, out).await?;
    let pushed = setting_up::push(&client, &campaign).await?;
    out.note(&format!(
        "Pushed {} records through RevRag's API, one for each behaviour of the far end.",
        pushed.len()
    ));

    let deadline = Instant::now() + Duration::from_secs(args.timeout_s);
    let all_ended = watch(&client, &campaign, deadline, out).await?;
    let report = outcomes::report(&server, &client, &receiver, &campaign, &pushed).await?;
    report.print(out);
    let talked = converse(&mut server, &client, &data, deadline, out).await?;
    let all_ended = all_ended && talked.as_ref().is_none_or(|(_, all_ended)| *all_ended);
    if !all_ended {
        out.warn("not every record ended in time");
    }
    if args.exit {
        server.shut_down(Duration::from_secs(1)).await;
        far_end.stop().await;
        let talked = talked.as_ref().is_none_or(|(talked, _)| talked.is_as_published());
        let passed = all_ended && report.is_as_published() && talked;
        return Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    next_steps(&server, &client, &campaign, out);
    tokio::signal::ctrl_c().await?;
    server.shut_down(Duration::from_secs(1)).await;
    far_end.stop().await;
    Ok(ExitCode::SUCCESS)
}

fn hears(speech: &Speech) -> bool {
    speech
        .parts()
        .iter()
        .any(|report| report.part == Part::Hearing && report.problem.is_none())
}

/// The second campaign: an agent that talks, if this machine can hear and speak.
async fn converse(
    server: &mut Server,
    client: &ApiClient,
    data: &Path,
    deadline: Instant,
    out: Output,
) -> anyhow::Result<Option<(conversations::Report, bool)>> {
    let can_hear = match server.speech.take() {
        Some(speech) => speech.await.is_ok_and(|speech| hears(&speech)),
        None => false,
    };
    if !can_hear {
        out.warn("no conversations: the speech models are not here; `scripts/models` fetches them");
        return Ok(None);
    }
    let campaign = conversations::campaign(server).await?;
    let pushed = conversations::push(client, &campaign).await?;
    out.note("");
    out.note(&format!(
        "Pushed {} more records: an agent talks with them.",
        pushed.len()
    ));
    let all_ended = watch(client, &campaign, deadline, out).await?;
    let log = data.join("sandbox").join("calls.jsonl");
    let report = conversations::report(server, &log, &pushed).await?;
    report.print(out);
    Ok(Some((report, all_ended)))
}

/// Shows progress until every record is final or waits for a callback; false if that took too long.
async fn watch(client: &ApiClient, campaign: &str, deadline: Instant, out: Output) -> anyhow::Result<bool> {
    let live = std::io::stdout().is_terminal();
    let mut last = String::new();
    loop {
        let status = client.revrag_get(&format!("/v1/campaigns/{campaign}/status")).await?;
        let count = |name: &str| {
            status
                .pointer(&format!("/stats/{name}"))
                .and_then(Value::as_u64)
                .unwrap_or(0)
        };
        let ended = count("completed") + count("failed") + count("dnc") + count("rescheduled");
        let line = format!(
            "{ended:>3} of {} ended · {} in progress · {} waiting · completed {} failed {} do-not-call {}",
            count("total_records"),
            count("in_progress"),
            count("queued") + count("retry_pending") + count("follow_up_pending"),
            count("completed"),
            count("failed"),
            count("dnc"),
        );
        if line != last {
            if live {
                out.progress(&line)
            } else {
                out.note(&line)
            }
            last = line;
        }
        if ended == count("total_records") {
            if live {
                out.note("");
            }
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn next_steps(server: &Server, client: &ApiClient, campaign: &str, out: Output) {
    out.note("");
    out.note("The server goes on running. Look around:");
    out.note(&format!(
        "  keys          {}",
        server.data.join("credentials.json").display()
    ));
    out.note(&format!("  recordings    {}", server.data.join("recordings").display()));
    out.note(&format!(
        "  API           {}/carillon/v1/openapi.json",
        client.base_url()
    ));
    out.note(&format!(
        "  campaign      {}/v1/campaigns/{campaign}/status (header X-API-Key)",
        client.base_url()
    ));
    out.note("  one more call:");
    out.note(&format!(
        "    curl -X POST {}/v1/campaigns/{campaign}/records/push-bulk -H 'X-API-Key: KEY' -H 'Content-Type: application/json' \\",
        client.base_url()
    ));
    out.note("      -d '{\"records\":[{\"phone_number\":\"+919876540001\"}]}'");
    out.note("Ctrl-C ends it.");
    out.value(&json!({"base_url": client.base_url(), "campaign_id": campaign, "data": server.data}));
}
