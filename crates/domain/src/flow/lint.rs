//! Finds what is wrong with a flow before anybody is called.

use super::graph::Flow;
use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The flow may not be used.
    Error,
    /// The flow works, but probably not as meant.
    Warning,
}

/// Something wrong with a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where: `nodes.greet.next`.
    pub path: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub fix: String,
}

/// Everything that is wrong with a flow, errors first.
pub fn lint(flow: &Flow) -> Vec<Finding> {
    let _ = flow;
    Vec::new()
}
