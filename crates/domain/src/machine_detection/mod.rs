//! Who answered: a person, voicemail, a screening assistant, a menu, a fax, the network, nobody. Evidence in, advice out.
//!
//! The [`Detector`] weighs what was heard (voice edges, words, tones) beside what we said, on the call's own clock: milliseconds
//! since the answer. A person comes first: no single phrase makes a machine of anybody, a verdict may be revised until it was
//! acted on, and whoever has held a real dialogue stays a person. The tones and edges come from `media`, the words from a
//! recogniser; what the advice asks for is done by the voice runtime. `docs/machine-detection.md` tells the rules as tables.

mod detector;
mod heard;
mod phrases;
mod policy;
#[cfg(test)]
mod property_tests;
mod rules;
#[cfg(test)]
mod tests;

pub use detector::Detector;
pub use phrases::Phrase;
pub use policy::{Policy, PolicyProblem, Reaction, SpeakFirst};

use crate::script::Digit;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who or what answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A person.
    Human,
    /// A voice mailbox or an answering machine.
    Voicemail,
    /// An assistant that asks who calls and why before it puts the call through.
    Screening,
    /// A menu that wants keys pressed, or a queue that asks to wait.
    Menu,
    /// A fax machine.
    Fax,
    /// The network itself: an announcement that the number cannot be reached, busy or ringing tones.
    Network,
    /// Nobody spoke.
    Silence,
    /// The time to decide is over and nothing is sure. It is treated as a person.
    Undecided,
}

impl Class {
    /// Whether nobody is there to talk with. A screening assistant is not among them: a person stands behind it.
    pub const fn is_machine(self) -> bool {
        matches!(self, Self::Voicemail | Self::Menu | Self::Fax | Self::Network)
    }
}

/// A tone that was heard, told when it is over or its cadence is sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Tone {
    /// One steady tone with clean edges, as a mailbox gives before it records.
    Beep {
        /// Its pitch in hertz.
        hertz: u16,
        /// Its length in milliseconds.
        length_ms: u16,
    },
    /// CNG, the calling tone of a fax: 1,100 Hz for half a second (ITU-T T.30 section 4.1).
    FaxCalling,
    /// CED, the answering tone of a fax or modem: 2,100 Hz (ITU-T T.30 section 4.2).
    FaxAnswering,
    /// The three rising tones before a network announcement (ITU-T E.180 section 3.5).
    SpecialInformation,
    /// Ringing behind the answer: the call is being forwarded or queued.
    Ringback,
    /// Busy or congestion.
    Busy,
}

/// What happened on the call, in the order of time.
#[derive(Clone, PartialEq, Eq)]
pub enum Signal {
    /// The far end began to speak.
    VoiceBegan {
        /// When the voice really began, in milliseconds since the answer; noticing it takes a while.
        since_ms: u64,
    },
    /// The far end fell silent.
    VoiceEnded {
        /// When the voice really ended, in milliseconds since the answer.
        since_ms: u64,
    },
    /// What a recogniser made of the far end's utterance, from its beginning.
    Words {
        /// The words, in English: other languages are judged by sound alone.
        text: String,
        /// Whether they stay as they are; else the next words of the utterance replace them.
        is_final: bool,
    },
    /// A tone was heard.
    Tone(Tone),
    /// The first sample of something that we say left.
    WeBegan,
    /// The last sample left, or we were stopped.
    WeEnded,
    /// Time passed. Wanted when [`Detector::wake_at_ms`] says so; more often does no harm.
    Tick,
}

/// What people said stays out of logs.
impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VoiceBegan { since_ms } => write!(f, "VoiceBegan({since_ms})"),
            Self::VoiceEnded { since_ms } => write!(f, "VoiceEnded({since_ms})"),
            Self::Words { text, is_final } => {
                let count = text.split_whitespace().count();
                write!(f, "Words({count} words, final: {is_final})")
            }
            Self::Tone(tone) => write!(f, "{tone:?}"),
            Self::WeBegan => f.write_str("WeBegan"),
            Self::WeEnded => f.write_str("WeEnded"),
            Self::Tick => f.write_str("Tick"),
        }
    }
}

/// What to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advice {
    /// A verdict, new or revised: keep it with the call.
    Verdict(Evidence),
    /// Begin to talk, whoever is there.
    SpeakNow,
    /// Stop talking: nobody listens yet.
    StopTalking,
    /// Say the message for a mailbox, from its beginning. May come twice: when a beep follows after all, the mailbox
    /// records only from there.
    LeaveMessage {
        /// Whether a beep came; else the greeting was followed by silence.
        after_beep: bool,
    },
    /// Tell the screening assistant who calls and why, in one or two sentences. May come again when it asks again.
    Announce,
    /// Press a key.
    Press(Digit),
    /// End the call. Nothing more follows.
    HangUp,
}

/// Why a verdict is what it is. Names of phrases only, never what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// The first thing said, up to a pause, was short, as a person's hello is.
    ShortGreeting {
        /// How long it was, in milliseconds.
        length_ms: u64,
    },
    /// The first thing said went on and on.
    LongGreeting {
        /// How long it has been, in milliseconds.
        length_ms: u64,
    },
    /// A phrase was heard.
    Phrase {
        /// Which kind of phrase.
        phrase: Phrase,
    },
    /// A tone was heard.
    Tone {
        /// Which.
        tone: Tone,
    },
    /// We spoke and they answered, this many times.
    Dialogue {
        /// How many times.
        exchanges: u32,
    },
    /// After their greeting and after we had spoken, nobody answered.
    NoReply {
        /// For how long, in milliseconds.
        silent_ms: u64,
    },
    /// Nobody has spoken since the answer.
    NoVoice {
        /// For how long, in milliseconds.
        silent_ms: u64,
    },
    /// The time to decide is over.
    Deadline,
}

/// A verdict with its grounds, stored with the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Who answered.
    pub class: Class,
    /// How sure that is, in percent. Ranks of the rules, not measured probabilities.
    pub confidence: u8,
    /// When it was found, in milliseconds since the answer.
    pub at_ms: u64,
    /// Why.
    pub reasons: Vec<Reason>,
}
