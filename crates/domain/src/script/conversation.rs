//! What a conversation leaves behind.

use crate::conversation::Transcript;
use crate::flow::TransferRequest;
use crate::machine_detection::{Class, Evidence};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// What a conversation leaves behind, whole or cut off.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    /// What was said, by whom and when.
    pub transcript: Transcript,
    /// Values that it brought.
    #[serde(default)]
    pub values: Map<String, Value>,
    /// How it ended, in the words of the flow or of the model's tool; `None`: it was cut off.
    #[serde(default)]
    pub outcome: Option<String>,
    /// What ended it; `None`: the callee did, or an operator.
    #[serde(default)]
    pub ended_by: Option<TalkEnd>,
    /// A few sentences.
    #[serde(default)]
    pub summary: Option<String>,
    /// The callee asked for somebody.
    #[serde(default)]
    pub transfer_requested: Option<TransferRequest>,
    /// Who answered, if that was looked at.
    #[serde(default)]
    pub answered_by: Option<Evidence>,
    /// How long the callee waited for each answer.
    #[serde(default)]
    pub latencies: Vec<TurnLatency>,
    /// What failed on the way, with what was done instead.
    #[serde(default)]
    pub faults: Vec<String>,
}

impl fmt::Debug for Conversation {
    /// What was said, and what it brought, stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.values.keys().collect();
        f.debug_struct("Conversation")
            .field("transcript", &self.transcript)
            .field("values", &names)
            .field("outcome", &self.outcome)
            .field("ended_by", &self.ended_by)
            .field("has_summary", &self.summary.is_some())
            .field("answered_by", &self.answered_by)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

/// What ended a conversation from our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TalkEnd {
    /// All was said.
    Goodbye,
    /// The callee said nothing for too long.
    Silence,
    /// The call was as long as it may be.
    TooLong,
    /// No person answered.
    Machine {
        /// Who did.
        class: Class,
        /// A message was left.
        message_left: bool,
    },
    /// Something of ours does not work; the callee was told, if that was possible.
    Fault {
        /// What.
        part: TalkPart,
    },
}

/// A part that a conversation cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TalkPart {
    /// What decides what is said.
    Brain,
    /// What makes words of sound.
    Hearing,
    /// What makes sound of words.
    Voice,
    /// The task that joins them.
    Runtime,
}

impl TalkPart {
    /// The word in reports and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Brain => "brain",
            Self::Hearing => "hearing",
            Self::Voice => "voice",
            Self::Runtime => "runtime",
        }
    }
}

/// How long the callee waited for an answer: from the arrival of the last packet with its voice to the departure of the first packet
/// of the answer. All in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnLatency {
    /// When the answer was heard, since the call was answered.
    pub at_ms: u64,
    /// The whole wait.
    pub total_ms: u32,
    /// Until the turn counted as over; recognition runs meanwhile.
    pub end_of_turn_ms: u32,
    /// From the end of the utterance to its words.
    pub recognition_ms: u32,
    /// From the end of the turn to the first words of the answer.
    pub brain_ms: u32,
    /// From the first words to their first packet.
    pub synthesis_ms: u32,
}
