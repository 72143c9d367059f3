//! The command line.

pub(crate) mod api_client;
mod bench;
mod calls;
mod campaigns;
mod demo;
mod doctor;
mod forecast;
mod keys;
mod migrate_store;
pub(crate) mod output;
mod sandbox;
mod serve;
mod talk;

use crate::config::{Config, DEFAULTS};
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Outbound and inbound phone calls over your own SIP trunks: campaigns, audio, key presses, webhooks, one binary.
#[derive(Parser)]
#[command(name = "carillon", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve(ServeArgs),
    /// Run a whole campaign against the built-in far end, and show what came of it.
    Demo(demo::DemoArgs),
    /// Look for what is wrong with this installation, and say what to change.
    Doctor(ServeArgs),
    /// API keys: list, make, revoke.
    Keys(keys::KeysArgs),
    /// Campaigns: list, show, launch, pause, resume, complete, cancel, why.
    Campaigns(campaigns::CampaignsArgs),
    /// Say what a campaign will probably do: when it starts, calls by day and hour, when it ends, what holds its records.
    Forecast(forecast::ForecastArgs),
    /// Calls: list, show, cancel.
    Calls(calls::CallsArgs),
    /// Run the far end alone, so that other SIP software can be tried against it.
    Sandbox(sandbox::SandboxArgs),
    /// Talk with a flow by text: what it says is printed, what you type is what it hears.
    Talk(talk::TalkArgs),
    /// Move a SQLite store to PostgreSQL.
    MigrateStore(migrate_store::MigrateStoreArgs),
    /// Measure what this build does on this machine.
    Bench(bench::BenchArgs),
    /// Print every setting with its default.
    Config,
}

/// How the server is started; each flag wins over its setting.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ServeArgs {
    /// A file with settings; see `carillon config`.
    #[arg(long, env = "CARILLON_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Data folder.
    #[arg(long, env = "CARILLON_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Address of the APIs.
    #[arg(long, env = "CARILLON_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,
    /// Address of the signalling.
    #[arg(long, env = "CARILLON_SIP_LISTEN")]
    pub(crate) sip_listen: Option<SocketAddr>,
    /// Store, such as `sqlite:` or `postgres://…`.
    #[arg(long, env = "CARILLON_STORE", hide_env_values = true)]
    pub(crate) store: Option<String>,
}

impl ServeArgs {
    /// The settings with the flags on top.
    pub(crate) fn load(&self) -> anyhow::Result<Config> {
        let mut config = Config::load(self.config.as_deref(), std::env::vars())?;
        if let Some(data) = &self.data {
            config.server.data.clone_from(data);
        }
        if let Some(listen) = self.listen {
            config.server.listen = listen;
        }
        if let Some(sip_listen) = self.sip_listen {
            config.sip.listen = sip_listen;
        }
        if let Some(store) = &self.store {
            config.store.url.clone_from(store);
        }
        Ok(config)
    }
}

/// Runs the command that was asked for.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    let out = output::Output { json: cli.json };
    let result = match cli.command {
        Command::Config => {
            out.text(DEFAULTS);
            return ExitCode::SUCCESS;
        }
        command => match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(run_async(command, out)),
            Err(error) => Err(error.into()),
        },
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            out.error(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run_async(command: Command, out: output::Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => serve::serve(&args, out).await,
        Command::Demo(args) => demo::demo(&args, out).await,
        Command::Doctor(args) => doctor::doctor(&args, out).await,
        Command::Keys(args) => keys::keys(&args, out).await,
        Command::Campaigns(args) => campaigns::campaigns(&args, out).await,
        Command::Forecast(args) => forecast::forecast(&args, out).await,
        Command::Calls(args) => calls::calls(&args, out).await,
        Command::Sandbox(args) => sandbox::sandbox(&args, out).await,
        Command::Talk(args) => talk::talk(&args, out),
        Command::MigrateStore(args) => migrate_store::migrate_store(&args, out).await,
        Command::Bench(args) => bench::bench(&args, out).await,
        Command::Config => Ok(ExitCode::SUCCESS),
    }
}

/// The rows of a list: an array, or the `items` of a page.
fn rows(list: &serde_json::Value, row: impl Fn(&serde_json::Value) -> Vec<String>) -> Vec<Vec<String>> {
    let items = list.get("items").unwrap_or(list).as_array();
    items.map(|items| items.iter().map(row).collect()).unwrap_or_default()
}

/// The named fields of an object as text.
fn cells(object: &serde_json::Value, names: &[&str]) -> Vec<String> {
    let text = |name: &&str| match object.get(*name) {
        None | Some(serde_json::Value::Null) => "-".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    names.iter().map(text).collect()
}
