//! `carillon migrate-store`.

use super::output::Output;
use carillon_store::migrate::{MigrateProgress, migrate};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Moves a SQLite store to an empty PostgreSQL database: every table, all or nothing. The server must be stopped.
#[derive(Args, Debug)]
pub(crate) struct MigrateStoreArgs {
    /// The store to move: `sqlite:` (carillon.db in the data folder) or `sqlite:PATH`.
    #[arg(long, default_value = "sqlite:")]
    from: String,
    /// Where to: `postgres://USER:PASSWORD@HOST/DATABASE`. In the environment no other user sees its password.
    #[arg(long, env = "CARILLON_MIGRATE_TO", hide_env_values = true)]
    to: String,
    /// Data folder of the store to move.
    #[arg(long, env = "CARILLON_DATA", default_value = "./carillon-data")]
    data: PathBuf,
}

/// How often progress is shown.
const SHOWN_EVERY: Duration = Duration::from_millis(200);

/// Runs `carillon migrate-store`.
pub(crate) async fn migrate_store(args: &MigrateStoreArgs, out: Output) -> anyhow::Result<ExitCode> {
    crate::wiring::install_crypto();
    let began = Instant::now();
    let mut shown_at: Option<Instant> = None;
    let moved = migrate(&args.from, &args.data, &args.to, |step: &MigrateProgress| {
        let due = shown_at.is_none_or(|shown_at| shown_at.elapsed() >= SHOWN_EVERY);
        if due || step.moved == step.total {
            shown_at = Some(Instant::now());
            let percent = step.moved * 100 / step.total.max(1);
            out.progress(&format!(
                "{percent:>3} %  {} of {} rows, now {}",
                step.moved, step.total, step.table
            ));
        }
    })
    .await;
    if shown_at.is_some() {
        out.note("");
    }
    let report = moved?;
    let rows: u64 = report.tables.iter().map(|(_, rows)| rows).sum();
    if out.json {
        let tables: serde_json::Map<String, Value> = report
            .tables
            .iter()
            .map(|(table, rows)| (table.clone(), json!(rows)))
            .collect();
        out.value(&json!({"source": report.source, "rows": rows, "tables": tables}));
        return Ok(ExitCode::SUCCESS);
    }
    let lines: Vec<Vec<String>> = report
        .tables
        .iter()
        .map(|(table, rows)| vec![table.clone(), rows.to_string()])
        .collect();
    out.table(&["table", "rows"], &lines);
    out.note(&format!(
        "\n{rows} rows moved and counted in {:.1} s. {} is as it was.",
        began.elapsed().as_secs_f64(),
        report.source.display()
    ));
    out.note(
        "Start with the new store (`store.url`, or CARILLON_STORE), and the same data folder: clips, recordings and keys stay in \
         it.\nNever start a server on the old file again: it would call the same people a second time.",
    );
    Ok(ExitCode::SUCCESS)
}
