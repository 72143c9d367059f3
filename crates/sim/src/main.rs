//! `carillon-sim`: runs seeds and prints one line for each.

use anyhow::Context;
use carillon_sim::{Bug, Report, Settings, run};
use clap::Parser;
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;

/// Runs a day of the platform in simulated time, with crashes.
#[derive(Debug, Parser)]
#[command(name = "carillon-sim")]
struct Arguments {
    /// The seed, or the first of `--seeds`.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds to run, one after the other.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// How many records are pushed.
    #[arg(long, default_value_t = 10_000)]
    records: u32,
    /// Plants a bug, by name; `list` prints the names.
    #[arg(long)]
    bug: Option<String>,
    /// Prints one JSON object for each seed.
    #[arg(long)]
    json: bool,
    /// Writes the history of each run to standard error.
    #[arg(long)]
    trace: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    if arguments.bug.as_deref() == Some("list") {
        for bug in Bug::ALL {
            writeln!(out, "{bug}")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let bug = match &arguments.bug {
        Some(name) => Some(Bug::parse(name).with_context(|| format!("no bug is called `{name}`; try `--bug list`"))?),
        None => None,
    };
    let mut failed = false;
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.seeds) {
        let trace: Option<Box<dyn Write + Send>> = if arguments.trace {
            Some(Box::new(std::io::BufWriter::new(std::io::stderr())))
        } else {
            None
        };
        let report = run(Settings {
            seed,
            records: arguments.records,
            bug,
            trace,
        })?;
        failed |= report.violation.is_some();
        if arguments.json {
            writeln!(out, "{}", as_json(&report))?
        } else {
            print(&mut out, &report, arguments.records)?
        }
        out.flush()?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(out: &mut impl Write, report: &Report, records: u32) -> std::io::Result<()> {
    let hours = report.simulated.as_secs() / 3_600;
    writeln!(
        out,
        "seed {}: {} records, {} calls, {} INVITEs, {} crashes at {} of {} failpoints, {} webhooks in {} requests, {} h in \
         {:.2} s, history {}",
        report.seed,
        report.records,
        report.calls,
        report.invites,
        report.crashes,
        report.crashes_at.len(),
        carillon_interfaces::failpoint::Failpoint::ALL.len(),
        report.webhooks,
        report.webhook_requests,
        hours,
        report.wall.as_secs_f64(),
        report.history,
    )?;
    if let Some(violation) = &report.violation {
        writeln!(out, "FAILED: {}: {}", violation.checker, violation.what)?;
        writeln!(
            out,
            "at {} s of simulated time; again with: make sim SEED={} RECORDS={records}",
            report.simulated.as_secs(),
            report.seed
        )?;
    }
    Ok(())
}

fn as_json(report: &Report) -> serde_json::Value {
    json!({
        "seed": report.seed,
        "records": report.records,
        "calls": report.calls,
        "ends": report.ends.iter().map(|(status, count)| (status.as_str().to_owned(), json!(count)))
            .collect::<serde_json::Map<_, _>>(),
        "never_dialled": report.never_dialled,
        "invites": report.invites,
        "crashes": report.crashes,
        "crashes_at": report.crashes_at.iter().map(|(point, count)| (point.as_str().to_owned(), json!(count)))
            .collect::<serde_json::Map<_, _>>(),
        "webhooks": report.webhooks,
        "webhook_requests": report.webhook_requests,
        "legs_beyond_reach": report.legs_beyond_reach,
        "simulated_s": report.simulated.as_secs(),
        "wall_ms": u64::try_from(report.wall.as_millis()).unwrap_or(u64::MAX),
        "history": report.history,
        "failed": report.violation.as_ref().map(|violation| json!({
            "checker": violation.checker.as_str(),
            "what": violation.what,
            "at": violation.at.micros(),
        })),
    })
}
