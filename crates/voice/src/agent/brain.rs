//! What decides what an agent says. A brain hears turns and gives back pieces; it knows nothing of sound.

use async_trait::async_trait;
use carillon_domain::conversation::Expect;
use carillon_domain::language::Language;
use carillon_domain::phone::PhoneNumber;
use carillon_domain::time::UnixMicros;
use carillon_interfaces::language_model::ModelError;
use serde_json::{Map, Value};
use std::fmt;
use tokio::sync::mpsc;

/// What a brain knows of its call from the start.
#[derive(Clone, Debug, PartialEq)]
pub struct CallFacts {
    /// The callee.
    pub to: PhoneNumber,
    /// What was sent for the call, defaults included.
    pub variables: Map<String, Value>,
    /// The language to speak.
    pub language: Language,
    /// When it was answered.
    pub answered_at: UnixMicros,
    /// When the call ends whatever is being said.
    pub ends_at: UnixMicros,
}

/// Something that wants an answer.
#[derive(Clone, PartialEq)]
pub struct Turn {
    /// What it is.
    pub heard: Heard,
    /// When it was complete.
    pub at: UnixMicros,
    /// What the callee heard of the answer before, when that was cut off; `None`: all of it.
    pub cut_off_after: Option<String>,
}

/// What happened on the callee's side.
#[derive(Clone, PartialEq, Eq)]
pub enum Heard {
    /// The call is up, and it is for the agent to begin.
    Begin {
        /// How the callee answered the telephone, as far as it was heard; it needs no reply of its own.
        greeting: String,
    },
    /// The callee spoke, or pressed keys, or both.
    Turn {
        /// The words, as recognised; empty when only keys came.
        words: String,
        /// The keys, as printed on a telephone.
        keys: String,
        /// The callee went on before a word of the reply was heard: this turn replaces the one before, and only this much of it is new.
        /// A brain that can go back does so and takes `words`.
        added: Option<String>,
    },
    /// The callee has been silent for as long as the agent waits.
    Silence {
        /// How many times in a row, from 1.
        times: u32,
    },
    /// The callee spoke, and no words could be made of it.
    NotUnderstood {
        /// How many times in a row, from 1.
        times: u32,
    },
    /// The call is almost as long as it may be: say goodbye, and hang up.
    WrapUp {
        /// Milliseconds until it is cut off.
        left_ms: u64,
    },
    /// The callee has said nothing for too long: say goodbye, and hang up.
    GiveUp,
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("heard", &self.heard)
            .field("at", &self.at)
            .field("was_cut_off", &self.cut_off_after.is_some())
            .finish()
    }
}

impl fmt::Debug for Heard {
    /// What was said stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin { .. } => f.write_str("Begin"),
            Self::WrapUp { left_ms } => write!(f, "WrapUp({left_ms} ms)"),
            Self::GiveUp => f.write_str("GiveUp"),
            Self::Turn { words, keys, .. } => write!(f, "Turn({} bytes of words, {} keys)", words.len(), keys.len()),
            Self::Silence { times } => write!(f, "Silence({times})"),
            Self::NotUnderstood { times } => write!(f, "NotUnderstood({times})"),
        }
    }
}

/// A part of an answer, in order.
#[derive(Clone, PartialEq)]
pub enum Piece {
    /// Words to say, cut anywhere: they are said sentence by sentence as they come.
    Words(String),
    /// Whether the callee may talk over the words that follow; without it they may.
    Interruptible(bool),
    /// The brain is at work (a tool, a slow model): its words come later than usual.
    Thinking,
    /// What kind of answer is awaited once all is said; the last one counts, and without one it is open.
    Expect(Expect),
    /// A value that the conversation brought; a later one of the same name replaces it.
    Value {
        /// Its name.
        name: String,
        /// The value.
        value: Value,
    },
    /// Something that outlives the call.
    Decision(Decision),
    /// The call ends when everything has been heard to its last sample.
    HangUp {
        /// How it ended, in the words of the flow or of the tool.
        outcome: String,
    },
}

impl fmt::Debug for Piece {
    /// What is said stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(words) => write!(f, "Words({} bytes)", words.len()),
            Self::Interruptible(may) => write!(f, "Interruptible({may})"),
            Self::Thinking => f.write_str("Thinking"),
            Self::Expect(expect) => write!(f, "Expect({expect:?})"),
            Self::Value { name, .. } => write!(f, "Value({name})"),
            Self::Decision(decision) => write!(f, "{decision:?}"),
            Self::HangUp { outcome } => write!(f, "HangUp({outcome})"),
        }
    }
}

/// What a conversation decides for the record and the number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The callee must not be called again.
    DoNotCall,
    /// The callee asked to be called at this time.
    CallBack(UnixMicros),
    /// Another call should follow at this time.
    FollowUp(UnixMicros),
    /// The callee wants a person. It is recorded; the call itself goes on.
    TransferRequested {
        /// To whom, if that was said.
        to: Option<String>,
    },
}

/// What was said, for a look back.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// The agent's; else the callee's.
    pub by_agent: bool,
    /// The words that were heard.
    pub text: String,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.by_agent { "agent" } else { "callee" };
        write!(f, "{who} ({} bytes)", self.text.len())
    }
}

/// What remains of a conversation, made after the call.
#[derive(Clone, Default, PartialEq)]
pub struct LookBack {
    /// A few sentences.
    pub summary: Option<String>,
    /// Values found in the whole; they do not replace what the conversation itself brought.
    pub values: Map<String, Value>,
}

impl fmt::Debug for LookBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.values.keys().collect();
        f.debug_struct("LookBack")
            .field("has_summary", &self.summary.is_some())
            .field("values", &names)
            .finish()
    }
}

/// Why a brain has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrainError {
    /// The language model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// It went wrong by itself; the text says how.
    #[error("the agent's brain failed: {0}")]
    Broken(String),
}

/// Decides what is said. One for each call.
#[async_trait]
pub trait Brain: Send {
    /// Answers a turn: sends pieces as they come, and returns when the answer is complete. A turn that needs no answer gets none.
    ///
    /// The future is dropped when the callee interrupts, or when it takes too long. What has been sent counts; what of it was heard
    /// stands in the next
    /// [`Turn::cut_off_after`]. So whatever must not be lost has to be kept in `self` before each await.
    async fn answer(&mut self, turn: Turn, pieces: &mpsc::Sender<Piece>) -> Result<(), BrainError>;

    /// What to leave on an answering machine after its beep; `None`: nothing.
    fn message_for_machine(&self) -> Option<String> {
        None
    }

    /// What to say to a service that asks who is calling; `None`: the same as to a person.
    fn words_for_screening(&self) -> Option<String> {
        None
    }

    /// Looks back when the call is over; `lines` is what was really heard. Bounded by the caller.
    async fn look_back(&mut self, lines: &[Line]) -> Result<LookBack, BrainError> {
        let _ = lines;
        Ok(LookBack::default())
    }
}
