//! `carillon bench`: figures of this build on this machine.

use super::output::Output;
use crate::bench::{self, Conditions, Wishes};
use crate::config::Config;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// Measurements.
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// What to measure.
    #[arg(value_enum, default_value_t = Measure::All)]
    measure: Measure,
    /// How long each step lasts, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Rates of new calls to try, in calls per second, rising.
    #[arg(long, value_delimiter = ',', default_values_t = [50, 100, 200, 300, 400, 500, 600, 800, 1_000])]
    rates: Vec<u32>,
    /// Numbers of calls to hold at once.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 500, 1_000])]
    concurrent: Vec<u32>,
    /// How often calls held at once are set up to see what memory they leave behind; 0: that is not waited for.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=100))]
    rounds: u64,
    /// Where temporary installations are made; their disk is part of what is measured.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measure {
    /// How fast records are taken in.
    Push,
    /// From a push to the INVITE, and from one call to the next over one line.
    Dispatch,
    /// Whole calls a second.
    Calls,
    /// Calls that are up at the same time.
    Concurrent,
    /// From an answer to the first packet of sound.
    Answer,
    /// All of them.
    All,
}

/// Runs `carillon bench`.
pub(crate) async fn bench(args: &BenchArgs, out: Output) -> anyhow::Result<ExitCode> {
    let mut config = Config::load(None, std::iter::empty())?;
    "warn".clone_into(&mut config.log.filter);
    crate::wiring::start_logging(&config)?;
    let conditions = Conditions::here();
    let BenchArgs {
        measure,
        seconds,
        rates,
        concurrent,
        rounds,
        folder,
    } = args;
    let wishes = Wishes {
        seconds: *seconds,
        folder: folder.clone(),
        rates: rates.clone(),
        concurrent: concurrent.clone(),
        rounds: *rounds,
        out,
    };
    let wanted = |one: Measure| *measure == one || *measure == Measure::All;
    if cfg!(debug_assertions) {
        out.warn("this is a debug build: its figures say nothing about speed");
    }
    if wanted(Measure::Push) {
        bench::push(&wishes).await?.print(&conditions, out);
    }
    if wanted(Measure::Dispatch) {
        bench::dispatch(&wishes).await?.print(&conditions, out);
        bench::next_in_line(&wishes).await?.print(&conditions, out);
    }
    if wanted(Measure::Answer) {
        bench::answers(&wishes).await?.print(&conditions, out);
    }
    if wanted(Measure::Calls) {
        bench::calls(&wishes).await?.print(&conditions, out);
    }
    if wanted(Measure::Concurrent) {
        bench::concurrent(&wishes).await?.print(&conditions, out);
    }
    Ok(ExitCode::SUCCESS)
}
