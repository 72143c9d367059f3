//! What a conversation has brought so far: kept up to date, so that nothing is lost when the far end hangs up.

use super::brain::{Decision, Line, LookBack};
use carillon_domain::conversation::{Speaker, Transcript};
use carillon_domain::flow::TransferRequest;
use carillon_domain::machine_detection::Evidence;
use carillon_domain::script::{Conversation, ScriptResult, TalkEnd, TurnLatency};
use carillon_domain::time::UnixMicros;
use serde_json::{Map, Value};

/// Values that are kept.
const VALUES_MAX: usize = 200;
/// Latencies that are kept.
const LATENCIES_MAX: usize = 500;
/// Faults that are kept.
const FAULTS_MAX: usize = 20;
/// Keys that are kept.
const KEYS_MAX: usize = 500;

#[derive(Debug, Default)]
pub(crate) struct Findings {
    keys: String,
    values: Map<String, Value>,
    do_not_call: bool,
    call_back_at: Option<UnixMicros>,
    follow_up_at: Option<UnixMicros>,
    transfer_requested: Option<TransferRequest>,
    pub(crate) outcome: Option<String>,
    pub(crate) ended_by: Option<TalkEnd>,
    pub(crate) answered_by: Option<Evidence>,
    summary: Option<String>,
    latencies: Vec<TurnLatency>,
    faults: Vec<String>,
}

impl Findings {
    pub(crate) fn key(&mut self, key: char) {
        if self.keys.len() < KEYS_MAX {
            self.keys.push(key);
        }
    }

    pub(crate) fn value(&mut self, name: String, value: Value) {
        if self.values.len() < VALUES_MAX || self.values.contains_key(&name) {
            self.values.insert(name, value);
        }
    }

    pub(crate) fn decide(&mut self, decision: Decision) {
        match decision {
            Decision::DoNotCall => self.do_not_call = true,
            Decision::CallBack(at) => self.call_back_at = Some(at),
            Decision::FollowUp(at) => self.follow_up_at = Some(at),
            Decision::TransferRequested { to } => {
                self.transfer_requested = Some(TransferRequest {
                    to: to.unwrap_or_default(),
                    reason: String::new(),
                });
            }
        }
    }

    pub(crate) fn latency(&mut self, latency: TurnLatency) {
        if self.latencies.len() < LATENCIES_MAX {
            self.latencies.push(latency);
        }
    }

    /// Something failed. The text names no words of the conversation.
    pub(crate) fn fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS_MAX && self.faults.last() != Some(&fault) {
            self.faults.push(fault);
        }
    }

    /// The first end that is named stays.
    pub(crate) fn end(&mut self, end: TalkEnd) {
        self.ended_by.get_or_insert(end);
    }

    pub(crate) fn look_back(&mut self, look_back: LookBack) {
        self.summary = look_back.summary.or(self.summary.take());
        for (name, value) in look_back.values {
            if !self.values.contains_key(&name) {
                self.value(name, value);
            }
        }
    }

    /// Everything, as the call keeps it.
    pub(crate) fn result(&self, transcript: &Transcript) -> ScriptResult {
        ScriptResult {
            keys: self.keys.clone(),
            do_not_call: self.do_not_call,
            call_back_at: self.call_back_at,
            follow_up_at: self.follow_up_at,
            conversation: Some(Box::new(Conversation {
                transcript: transcript.clone(),
                values: self.values.clone(),
                outcome: self.outcome.clone(),
                ended_by: self.ended_by,
                summary: self.summary.clone(),
                transfer_requested: self.transfer_requested.clone(),
                answered_by: self.answered_by.clone(),
                latencies: self.latencies.clone(),
                faults: self.faults.clone(),
            })),
            ..ScriptResult::default()
        }
    }
}

/// What was really heard, line by line.
pub(crate) fn lines(transcript: &Transcript) -> Vec<Line> {
    let spoken = transcript
        .entries()
        .iter()
        .filter(|entry| !entry.text.trim().is_empty());
    spoken
        .map(|entry| Line {
            by_agent: entry.who == Speaker::Agent,
            text: entry.text.as_str().to_owned(),
        })
        .collect()
}
