//! Conversations on the wire: the script that holds one, and what it leaves.

use super::error::ApiError;
use carillon_domain::conversation::{Heard, Speaker};
use carillon_domain::script as domain;
use carillon_domain::script::TalkEnd;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// How a conversation is held. `docs/conversations.md` describes the parts that are objects here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Converse {
    /// Who decides what is said: `{"kind": "flow", "flow": {...}}` (`docs/flows.md`) or `{"kind": "model", "agent": {...}}`.
    #[schema(value_type = Object)]
    brain: Value,
    /// The language by its BCP 47 tag; without it the flow's own, and English for a model.
    #[serde(default)]
    language: Option<String>,
    /// A voice by its name; without it the language's default.
    #[serde(default)]
    voice: Option<String>,
    /// Speed in percent of the voice's own: 50 to 200.
    #[serde(default = "hundred")]
    #[schema(minimum = 50, maximum = 200)]
    speed_percent: u16,
    /// Who speaks first, when a turn is over, silence and other limits. What is left out has its default.
    #[serde(default)]
    #[schema(value_type = Object)]
    turns: Map<String, Value>,
    /// What to do when no person answers; without it nobody looks.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    machine_detection: Option<Map<String, Value>>,
    /// What is left in a mailbox; without it nothing, and the call ends.
    #[serde(default)]
    voicemail_message: Option<String>,
    /// What is said to a service that asks who is calling; without it the same as to a person.
    #[serde(default)]
    screening_words: Option<String>,
    /// Words for when something does not work.
    #[serde(default)]
    #[schema(value_type = Object)]
    phrases: Map<String, Value>,
}

const fn hundred() -> u16 {
    100
}

impl Converse {
    pub(super) fn of(script: &domain::ConverseScript) -> Self {
        let object = |value: Result<Value, serde_json::Error>| match value {
            Ok(Value::Object(fields)) => fields,
            Ok(_) | Err(_) => Map::new(),
        };
        Self {
            brain: serde_json::to_value(&script.brain).unwrap_or(Value::Null),
            language: script.language.as_ref().map(ToString::to_string),
            voice: script.voice.clone(),
            speed_percent: script.speed_percent,
            turns: object(serde_json::to_value(&script.turns)),
            machine_detection: script
                .machine_detection
                .as_ref()
                .map(|policy| object(serde_json::to_value(policy))),
            voicemail_message: script.voicemail_message.clone(),
            screening_words: script.screening_words.clone(),
            phrases: object(serde_json::to_value(&script.phrases)),
        }
    }

    /// The script, if a conversation can be held by it.
    pub(super) fn check(self) -> Result<domain::ConverseScript, ApiError> {
        let written = serde_json::to_value(&self).map_err(|_| ApiError::internal())?;
        let script: domain::ConverseScript = serde_path_to_error::deserialize(written).map_err(|error| {
            let path = error.path().to_string();
            ApiError::invalid_field(format!("script.{path}"), error.into_inner().to_string())
        })?;
        let problems = script.problems();
        let Some(first) = problems.first() else {
            return Ok(script);
        };
        let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        Err(ApiError::invalid_field(
            format!("script.{}", first.at),
            messages.join("\n"),
        ))
    }
}

/// What a conversation left.
#[derive(Serialize, ToSchema)]
pub(super) struct Conversation {
    /// How it ended, in the words of the flow or of the model; null when it was cut off.
    outcome: Option<String>,
    /// What ended it from our side: `goodbye`, `silence`, `too_long`, `machine` or `fault`; null when the callee hung up.
    ended_by: Option<&'static str>,
    /// A few sentences.
    summary: Option<String>,
    /// Values that it brought, by name.
    #[schema(value_type = Object)]
    values: Map<String, Value>,
    /// What was said, in order.
    transcript: Vec<Line>,
    /// The callee asked for somebody: to whom the call should go.
    transfer_requested: Option<TransferRequest>,
    /// Who answered, if that was looked at, with the grounds.
    #[schema(value_type = Option<Object>)]
    answered_by: Option<Value>,
    /// How long the callee waited for each answer.
    latencies: Vec<Latency>,
    /// What failed on the way.
    faults: Vec<String>,
}

/// A stretch of somebody's speech.
#[derive(Serialize, ToSchema)]
struct Line {
    /// `agent` or `callee`.
    who: &'static str,
    /// The words that were heard.
    text: String,
    /// Keys that the callee pressed with them.
    keys: String,
    /// When it began, in milliseconds since the answer.
    begin_ms: u64,
    end_ms: u64,
    /// Whether all of it was heard.
    heard: bool,
    /// Words of ours that were not.
    unheard_text: String,
}

/// Somebody is wanted.
#[derive(Serialize, ToSchema)]
struct TransferRequest {
    /// The number or queue; empty when none was named.
    to: String,
    reason: String,
}

/// From the callee's last voiced packet to the answer's first, in milliseconds.
#[derive(Serialize, ToSchema)]
struct Latency {
    /// When the answer was heard, since the call was answered.
    at_ms: u64,
    total_ms: u32,
    /// Until the turn counted as over; recognition runs meanwhile.
    end_of_turn_ms: u32,
    recognition_ms: u32,
    brain_ms: u32,
    synthesis_ms: u32,
}

impl Conversation {
    pub(super) fn of(conversation: &domain::Conversation) -> Self {
        let lines = conversation.transcript.entries().iter().map(|entry| Line {
            who: match entry.who {
                Speaker::Agent => "agent",
                Speaker::Callee => "callee",
            },
            text: entry.text.as_str().to_owned(),
            keys: entry.keys.as_str().to_owned(),
            begin_ms: entry.begin_ms.0,
            end_ms: entry.end_ms.0,
            heard: entry.heard == Heard::Full,
            unheard_text: entry.unheard_text.as_str().to_owned(),
        });
        let latencies = conversation.latencies.iter().map(|latency| Latency {
            at_ms: latency.at_ms,
            total_ms: latency.total_ms,
            end_of_turn_ms: latency.end_of_turn_ms,
            recognition_ms: latency.recognition_ms,
            brain_ms: latency.brain_ms,
            synthesis_ms: latency.synthesis_ms,
        });
        Self {
            outcome: conversation.outcome.clone(),
            ended_by: conversation.ended_by.map(end_word),
            summary: conversation.summary.clone(),
            values: conversation.values.clone(),
            transcript: lines.collect(),
            transfer_requested: conversation.transfer_requested.as_ref().map(|request| TransferRequest {
                to: request.to.clone(),
                reason: request.reason.clone(),
            }),
            answered_by: conversation
                .answered_by
                .as_ref()
                .and_then(|evidence| serde_json::to_value(evidence).ok()),
            latencies: latencies.collect(),
            faults: conversation.faults.clone(),
        }
    }
}

const fn end_word(end: TalkEnd) -> &'static str {
    match end {
        TalkEnd::Goodbye => "goodbye",
        TalkEnd::Silence => "silence",
        TalkEnd::TooLong => "too_long",
        TalkEnd::Machine { .. } => "machine",
        TalkEnd::Fault { .. } => "fault",
    }
}
