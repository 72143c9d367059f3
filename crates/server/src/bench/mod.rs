//! Measures what this build does on this machine: `carillon bench`.
//!
//! The server under test is a process of its own with a temporary installation, so that its processor time and memory are
//! its own. The far end is in this process: raw SIP and RTP on one thread, sharing none of the server's code, so that it
//! neither repeats the server's mistakes nor costs as much as what it measures.

mod calls;
mod concurrent;
mod dispatch;
mod far_end;
mod installation;
mod push;
mod quantiles;
mod report;
mod server;

pub(crate) use calls::{answers, calls};
pub(crate) use concurrent::concurrent;
pub(crate) use dispatch::{dispatch, next_in_line};
pub(crate) use push::push;
pub(crate) use report::Conditions;

use crate::cli::output::Output;
use std::path::PathBuf;

/// What every measurement is told.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    /// How long each step lasts, in seconds.
    pub(crate) seconds: u64,
    /// Where installations are made; `None`: the folder for temporary files.
    pub(crate) folder: Option<PathBuf>,
    /// Rates of new calls to try, in calls per second, rising.
    pub(crate) rates: Vec<u32>,
    /// Numbers of calls to hold at once.
    pub(crate) concurrent: Vec<u32>,
    /// How often the same calls are set up for memory after them; 0: memory after them is not waited for.
    pub(crate) rounds: u64,
    /// Progress goes here.
    pub(crate) out: Output,
}
