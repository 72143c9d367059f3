//! `carillon sandbox`.

use super::output::Output;
use anyhow::Context;
use carillon_providers::embedded::{Options, Part, Speech};
use carillon_sandbox::{SandboxConfig, Voice};
use clap::Args;
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// The far end alone.
#[derive(Args, Debug)]
pub(crate) struct SandboxArgs {
    /// Where it answers, over UDP and TCP.
    #[arg(long, default_value = "127.0.0.1:5070")]
    listen: SocketAddr,
    /// Where it keeps its log (`calls.jsonl`) and, for a moment, what it hears.
    #[arg(long, default_value = "./carillon-sandbox")]
    data: PathBuf,
    /// The folder with the speech models (`scripts/models`); without them it speaks by espeak-ng.
    #[arg(long, env = "CARILLON_SPEECH__MODELS")]
    models: Option<PathBuf>,
    /// All times and dice are drawn from this and the called number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The best voice that this machine has. Loading it computes for a moment.
async fn voice(models: Option<PathBuf>) -> Voice {
    let mut options = models.map_or_else(Options::default, Options::with_models);
    options.without = vec![Part::Hearing, Part::TurnJudge, Part::VoiceActivity];
    match tokio::task::spawn_blocking(move || Speech::open(&options)).await {
        Ok(speech) => Voice::Synthesiser(Arc::new(speech)),
        Err(_) => Voice::Auto,
    }
}

/// Runs the far end until it is interrupted.
pub(crate) async fn sandbox(args: &SandboxArgs, out: Output) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(&args.data).with_context(|| format!("cannot make {}", args.data.display()))?;
    let mut config = SandboxConfig::new(args.listen, args.data.clone());
    config.seed = args.seed;
    config.log_file = Some(args.data.join("calls.jsonl"));
    config.voice = voice(args.models.clone()).await;
    let sandbox = carillon_sandbox::start(config).await?;
    out.note(&format!(
        "The far end answers on {} (UDP and TCP). What it does follows from the last four digits:",
        sandbox.local_addr()
    ));
    let rows: Vec<Vec<String>> = crate::wiring::sandbox_numbers()
        .iter()
        .map(|number| {
            vec![
                number.suffix.clone(),
                number.behaviour.clone(),
                number.description.clone(),
            ]
        })
        .collect();
    if !out.json {
        out.table(&["digits", "behaviour", "what happens"], &rows);
    }
    out.value(&json!({"listening": sandbox.local_addr().to_string()}));
    tokio::signal::ctrl_c().await?;
    sandbox.shut_down().await;
    Ok(ExitCode::SUCCESS)
}
