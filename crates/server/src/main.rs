//! The `carillon` binary: wiring, HTTP, command line.

mod bench;
mod bootstrap;
mod cli;
mod config;
mod demo;
mod failpoints;
mod http;
mod webhook_client;
mod wiring;

fn main() -> std::process::ExitCode {
    cli::run()
}
