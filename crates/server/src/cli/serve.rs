//! `carillon serve`.

use super::ServeArgs;
use super::output::Output;
use crate::wiring::{self, Server};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the server until SIGINT or SIGTERM.
pub(crate) async fn serve(args: &ServeArgs, out: Output) -> anyhow::Result<ExitCode> {
    let config = args.load()?;
    wiring::start_logging(&config)?;
    let grace = Duration::from_secs(config.server.shutdown_grace_s);
    let server = Server::start(config, crate::failpoints::from_environment()?).await?;
    for warning in &server.warnings {
        out.warn(warning);
    }
    out.note(&format!(
        "Carillon listens on {} (SIP on {}).",
        server.base_url, server.sip_address
    ));
    out.note(&format!("Keys: {}", server.data.join("credentials.json").display()));
    out.note(&format!("API:  {}/carillon/v1/openapi.json", server.base_url));
    out.value(&json!({
        "listening": server.base_url,
        "sip": server.sip_address.to_string(),
        "sandbox": server.sandbox_address.map(|address| address.to_string()),
        "data": server.data,
    }));
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    out.note("Stopping: no new calls, live ones may finish…");
    tokio::select! {
        () = server.shut_down(grace) => {}
        _ = interrupt.recv() => out.note("Stopped at once."),
    }
    Ok(ExitCode::SUCCESS)
}
