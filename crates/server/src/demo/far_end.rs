//! The far end as a process of its own, spoken to over UDP.

use anyhow::Context;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A far end that runs beside us and ends with us.
pub(crate) struct FarEnd {
    /// Where it answers.
    pub(crate) address: SocketAddr,
    process: Child,
}

impl FarEnd {
    /// Starts it and waits until it answers.
    pub(crate) async fn start(data: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program cannot find itself")?;
        let mut process = Command::new(program)
            .args(["sandbox", "--json", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the far end cannot be started")?;
        let output = process.stdout.take().context("the far end says nothing")?;
        let mut lines = BufReader::new(output).lines();
        let first = tokio::time::timeout(Duration::from_secs(20), lines.next_line());
        let line = first
            .await
            .context("the far end does not start")??
            .context("the far end ended at once")?;
        let told: Value = serde_json::from_str(&line).with_context(|| format!("the far end said `{line}`"))?;
        let address = told
            .get("listening")
            .and_then(Value::as_str)
            .context("the far end named no address")?
            .parse()?;
        // Its pipe is read on, so that it never blocks on us.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { address, process })
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) {
        // It may have ended by itself; then there is nothing to do.
        drop(self.process.kill().await);
    }
}
