//! The server under test: a process of its own, and what it has used.

use anyhow::{Context, bail};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A server process. It ends with us.
pub(crate) struct ServerProcess {
    process: Child,
    pid: u32,
}

/// What a process has used up to one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    at: Instant,
    cpu_s: f64,
}

impl ServerProcess {
    /// Starts `carillon serve` with this configuration and waits until it listens. Its log goes to `log`.
    pub(crate) async fn start(config: &Path, log: &Path) -> anyhow::Result<Self> {
        let log = std::fs::File::create(log).context("the server's log cannot be made")?;
        let ours = |name: &str| name.starts_with("CARILLON_");
        // This very build, even if another one has been put in its place.
        let mut process = Command::new("/proc/self/exe")
            .args(["serve", "--json", "--config"])
            .arg(config)
            .env_clear()
            .envs(std::env::vars().filter(|(name, _)| !ours(name)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("the server cannot be started")?;
        let output = process.stdout.take().context("the server says nothing")?;
        let mut lines = BufReader::new(output).lines();
        let first = tokio::time::timeout(Duration::from_secs(30), lines.next_line());
        let line = first
            .await
            .context("the server does not start")??
            .context("the server ended at once; see its log")?;
        let told: Value = serde_json::from_str(&line).with_context(|| format!("the server said `{line}`"))?;
        told.get("listening")
            .with_context(|| format!("the server named no address: `{line}`"))?;
        // Its pipe is read on, so that it never blocks on us.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let pid = process.id().context("the server ended at once; see its log")?;
        Ok(Self { process, pid })
    }

    /// Processor time so far, of all its threads, ended ones included.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(&self.pid.to_string())
    }

    /// Resident memory, in megabytes (10^6 bytes).
    pub(crate) fn resident_mb(&self) -> anyhow::Result<f64> {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid))
            .context("the server has ended; see its log")?;
        let line = rollup
            .lines()
            .find_map(|line| line.strip_prefix("Rss:"))
            .context("the kernel tells no memory")?;
        let kb: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kb * 1_024.0 / 1e6)
    }

    /// Asks it to end and waits.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid)?;
        // SAFETY: a signal to another process has no memory preconditions. The process is our child and not yet reaped, so
        // the number is still its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        match tokio::time::timeout(Duration::from_secs(30), self.process.wait()).await {
            Ok(ended) => ended.map(drop).context("the server's end"),
            Err(_) => bail!("the server did not end in 30 s"),
        }
    }
}

impl Usage {
    /// Of the process with this number, or of `self`.
    pub(crate) fn of(pid: &str) -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the process has ended")?;
        // The name before the last parenthesis may hold anything; utime and stime are fields 14 and 15 of proc(5).
        let (_, fields) = stat.rsplit_once(')').context("the kernel tells no processor time")?;
        let ticks = |field: usize| {
            fields
                .split_whitespace()
                .nth(field - 3)
                .and_then(|text| text.parse::<f64>().ok())
        };
        let (Some(user), Some(system)) = (ticks(14), ticks(15)) else {
            bail!("the kernel tells no processor time")
        };
        Ok(Self {
            at: Instant::now(),
            cpu_s: (user + system) / ticks_per_second(),
        })
    }

    /// Processor seconds since an earlier moment.
    pub(crate) fn cpu_s_since(&self, earlier: &Self) -> f64 {
        self.cpu_s - earlier.cpu_s
    }

    /// Part of one core since an earlier moment, in percent.
    pub(crate) fn core_percent_since(&self, earlier: &Self) -> f64 {
        let elapsed_s = self.at.duration_since(earlier.at).as_secs_f64();
        100.0 * self.cpu_s_since(earlier) / elapsed_s.max(f64::EPSILON)
    }
}

fn ticks_per_second() -> f64 {
    // SAFETY: sysconf has no preconditions.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    if ticks > 0 { ticks as f64 } else { 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_costs_processor_time() {
        let before = Usage::of("self").unwrap();
        let guard = Instant::now() + Duration::from_secs(20);
        let mut sum = 0_u64;
        let mut after = Usage::of("self").unwrap();
        while after.cpu_s_since(&before) < 0.05 && Instant::now() < guard {
            for _ in 0..1_000_000 {
                sum = std::hint::black_box(sum.wrapping_mul(3) + 1);
            }
            after = Usage::of("self").unwrap();
        }
        assert!(after.cpu_s_since(&before) >= 0.05, "{before:?} {after:?}");
        assert!(after.core_percent_since(&before) > 0.0);
    }
}
