//! Finds what is wrong with a flow before anybody is called. Every finding says where it is and what to do.

mod graph_rules;
mod text_rules;

#[cfg(test)]
mod tests;

use super::grammar::speech;
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

impl Finding {
    fn error(path: impl Into<String>, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            path: path.into(),
            problem: problem.into(),
            fix: fix.into(),
        }
    }

    fn warning(path: impl Into<String>, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(path, problem, fix)
        }
    }
}

/// Everything that is wrong with a flow, errors first.
pub fn lint(flow: &Flow) -> Vec<Finding> {
    let mut findings = graph_rules::check(flow);
    match speech(&flow.language) {
        Some(speech) => findings.extend(text_rules::check(flow, speech)),
        None => findings.push(Finding::error(
            "language",
            format!("answers are not understood in `{}`", flow.language),
            "use `en`, or a language model instead of a flow",
        )),
    }
    findings.sort();
    findings.dedup();
    findings
}
