//! What goes into a conversation and what comes out.

use crate::campaign::calling_window::ZoneName;
use crate::conversation::Expect;
use crate::time::UnixMicros;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// What is known of the call.
#[derive(Clone)]
pub struct FlowContext {
    /// The callee's zone: "tomorrow at five" is by this clock.
    pub zone: ZoneName,
    /// Whom the call is for; templates see `callee_name`, and "this is not John" is understood by it.
    pub callee_name: Option<String>,
    /// For whom we call; templates see `company`, and "who is this?" is answered with it.
    pub company: Option<String>,
    /// Whether a language model answers. Without one, `model` nodes take their `failed` exit.
    pub has_model: bool,
}

impl fmt::Debug for FlowContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowContext")
            .field("zone", &self.zone)
            .field("has_model", &self.has_model)
            .finish_non_exhaustive()
    }
}

/// What happens in the call. What was said does not show in the `Debug` form.
#[derive(Clone, PartialEq)]
pub enum FlowInput {
    /// Sound can flow and we may speak.
    Start,
    /// The callee has finished a turn.
    Heard {
        /// Its words, as recognised.
        text: String,
    },
    /// Keys were pressed: a whole entry, `0`-`9`, `*`, `#`.
    Keys(String),
    /// Nothing was said for as long as the question allows.
    Silence,
    /// The callee talked over us and we stopped; what it said follows as [`FlowInput::Heard`].
    Interrupted {
        /// What was heard of our words.
        heard: String,
    },
    /// The last thing to say was spoken to its end.
    SpeechFinished,
    /// The model has answered [`FlowOutput::AskModel`].
    ModelSaid {
        /// Its words.
        text: String,
        /// The words were already spoken as they came.
        already_spoken: bool,
        /// The exit that it takes, by name.
        exit: Option<String>,
        /// Variables that it fills.
        values: Map<String, Value>,
    },
    /// The model gave no answer.
    ModelFailed,
    /// The longest duration of the call is near: say goodbye.
    TimeUp,
    /// The callee has hung up.
    HungUp,
}

impl fmt::Debug for FlowInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "Start",
            Self::Heard { .. } => "Heard(***)",
            Self::Keys(_) => "Keys(***)",
            Self::Silence => "Silence",
            Self::Interrupted { .. } => "Interrupted(***)",
            Self::SpeechFinished => "SpeechFinished",
            Self::ModelSaid { .. } => "ModelSaid(***)",
            Self::ModelFailed => "ModelFailed",
            Self::TimeUp => "TimeUp",
            Self::HungUp => "HungUp",
        })
    }
}

/// What is to be done. What is said does not show in the `Debug` form.
#[derive(Clone, PartialEq)]
pub enum FlowOutput {
    /// Speak. Several of one batch are spoken one after the other; [`FlowInput::SpeechFinished`] comes once, after the last.
    Say {
        /// The words; never empty.
        text: String,
        /// The answer that is awaited afterwards.
        expect: Expect,
        /// Whether the callee may talk over it.
        interruptible: bool,
        /// Words that the answer may hold, for recognisers that can be biased.
        hints: Vec<String>,
    },
    /// Ask the model, and feed what it says as [`FlowInput::ModelSaid`].
    AskModel {
        /// The node.
        node: String,
        /// What it is to do.
        instructions: String,
        /// The exits that it may take.
        exits: Vec<ModelExitOffered>,
        /// Variables that it may fill.
        store: Vec<String>,
        /// What the callee has just said; `None`: the model speaks first, or the callee stays silent.
        heard: Option<String>,
    },
    /// Nothing to say: go on listening.
    Wait,
    /// Connect the callee with somebody. It is recorded in the result too; the conversation goes on.
    Transfer(TransferRequest),
    /// End the call. What was said before in the same batch is to be heard to its end first.
    Finish {
        /// What the conversation came to.
        result: Box<FlowResult>,
    },
}

impl fmt::Debug for FlowOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Say {
                expect, interruptible, ..
            } => write!(f, "Say(***, {expect:?}, interruptible: {interruptible})"),
            Self::AskModel { node, .. } => write!(f, "AskModel({node})"),
            Self::Wait => f.write_str("Wait"),
            Self::Transfer(_) => f.write_str("Transfer(***)"),
            Self::Finish { result } => write!(f, "Finish({result:?})"),
        }
    }
}

/// A way out that the model may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelExitOffered {
    /// Its name.
    pub name: String,
    /// When to take it.
    pub description: String,
}

/// Somebody wants to be connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRequest {
    /// The number or queue; empty if the flow names none.
    pub to: String,
    /// What the other side should know.
    pub reason: String,
}

/// What a conversation came to.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowResult {
    /// The values that were stored, typed.
    pub values: Map<String, Value>,
    /// How it ended: an `end` node's outcome, or `call_back`, `do_not_call`, `wrong_person`, `transfer_requested`, `goodbye`,
    /// `no_answer`, `not_understood`, `hung_up`, `time_up`, `too_many_turns`, `loop`, `broken_flow`.
    pub outcome: String,
    /// The callee is not to be called again.
    pub do_not_call: bool,
    /// The callee asked to be called at this time.
    pub call_back_at: Option<UnixMicros>,
    /// Another call should follow at this time.
    pub follow_up_at: Option<UnixMicros>,
    /// The number is somebody else's.
    pub wrong_person: bool,
    /// The callee is to be connected with somebody.
    pub transfer_requested: Option<TransferRequest>,
    /// The nodes that were passed, in order.
    pub path: Vec<String>,
    /// The flow's summary template, filled.
    pub summary: Option<String>,
    /// What the flow's author should know: variables that were missing, templates that failed.
    pub notes: Vec<String>,
}

impl fmt::Debug for FlowResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowResult")
            .field("outcome", &self.outcome)
            .field("do_not_call", &self.do_not_call)
            .field("call_back_at", &self.call_back_at)
            .field("follow_up_at", &self.follow_up_at)
            .field("wrong_person", &self.wrong_person)
            .field("path", &self.path)
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}
