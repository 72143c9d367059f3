//! Project chores in Rust: `cargo xtask <chore>`.

use std::process::ExitCode;
use xtask::tidy;

const USAGE: &str = "usage: cargo xtask tidy     hold the project's own rules";

fn main() -> anyhow::Result<ExitCode> {
    let chore = std::env::args().nth(1);
    match chore.as_deref() {
        Some("tidy") => run_tidy(),
        _ => {
            say(USAGE);
            Ok(ExitCode::FAILURE)
        }
    }
}

fn run_tidy() -> anyhow::Result<ExitCode> {
    let findings = tidy::check(&tidy::repository_root())?;
    for finding in &findings {
        say(&finding.to_string());
    }
    if findings.is_empty() {
        say("tidy: nothing to mend");
        Ok(ExitCode::SUCCESS)
    } else {
        say(&format!("tidy: {} to mend", findings.len()));
        Ok(ExitCode::FAILURE)
    }
}

#[expect(clippy::print_stdout, reason = "a command of the terminal speaks on standard output")]
fn say(line: &str) {
    println!("{line}");
}
