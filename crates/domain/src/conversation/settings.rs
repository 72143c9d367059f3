//! What an operator may change about turns. Every duration is milliseconds; the defaults are those of `docs/turns.md`.

use super::end_of_turn::EndOfTurnSettings;
use super::voice_edges::VoiceSettings;
use serde::{Deserialize, Serialize};

/// All settings of [`super::Turns`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TurnSettings {
    /// Who speaks first.
    pub first_speaker: FirstSpeaker,
    /// What counts as a voice.
    pub voice: VoiceSettings,
    /// When a turn of the callee is over.
    pub end_of_turn: EndOfTurnSettings,
    /// What stops us while we speak.
    pub interruption: InterruptionSettings,
    /// What happens when nobody says anything.
    pub silence: SilenceSettings,
    /// What keeps every call moving and lets it end.
    pub limits: LimitSettings,
}

/// Who speaks first after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FirstSpeaker {
    /// We do, at once.
    AgentAtOnce,
    /// We do, after the callee's "hello", or after this much silence.
    AgentAfterGreeting {
        /// Default 1500.
        silence_ms: u64,
    },
    /// The callee does, and what it says is a turn; after this much silence we do.
    Callee {
        /// Silence before we speak after all.
        silence_ms: u64,
    },
}

impl Default for FirstSpeaker {
    fn default() -> Self {
        Self::AgentAfterGreeting { silence_ms: 1_500 }
    }
}

/// What stops us while we speak.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InterruptionSettings {
    /// So many words stop us when they are more than a backchannel. Default 2.
    pub words_min: usize,
    /// A single such word stops us with at least this much voice, or once it is final. Default 300.
    pub word_voiced_ms: u64,
    /// Voice alone stops us after this long while the recogniser has said nothing yet. Default 1200.
    pub voiced_ms: u64,
    /// A voice that no words confirm ducks or stops us no longer than this; then we go on over it. Default 4000.
    pub unconfirmed_max_ms: u64,
    /// Of a unit of which less than this was heard, the whole is said again when we resume. Default 1000.
    pub restart_ms: u64,
    /// In the first moments of our first words a mere greeting does not stop us. Default 2500.
    pub greeting_ms: u64,
    /// An answer that begins so close to the end of our words is an answer, not a backchannel. Default 1500.
    pub answer_overlap_ms: u64,
    /// A yes or no said earlier into our question counts when nothing else is said for this long after it. Default 1200.
    pub early_answer_ms: u64,
    /// Whether words that equal ours are taken for our own echo. Default true.
    pub echo_guard: bool,
    /// How long after our last sample an echo may still begin. Default 500.
    pub echo_tail_ms: u64,
    /// Whether a key stops us. Default true.
    pub keys_stop: bool,
    /// Time from our socket to the callee's ear: what was sent last was not heard yet when a voice stops us. Default 80.
    pub line_delay_ms: u64,
    /// A reply that is ready while a voice that began at most this long ago is on waits for it. Default 2000.
    pub hold_recent_ms: u64,
}

impl Default for InterruptionSettings {
    fn default() -> Self {
        Self {
            words_min: 2,
            word_voiced_ms: 300,
            voiced_ms: 1_200,
            unconfirmed_max_ms: 4_000,
            restart_ms: 1_000,
            greeting_ms: 2_500,
            answer_overlap_ms: 1_500,
            early_answer_ms: 1_200,
            echo_guard: true,
            echo_tail_ms: 500,
            keys_stop: true,
            line_delay_ms: 80,
            hold_recent_ms: 2_000,
        }
    }
}

/// What happens when nobody says anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SilenceSettings {
    /// Silence after our words before we ask again. Default 6000.
    pub silence_ms: u64,
    /// The same where digits were asked for: somebody fetches a card. Default 9000.
    pub digits_silence_ms: u64,
    /// Silence before we ask again where we stopped for words that turned out to be none. Default 1500.
    pub after_cut_ms: u64,
    /// How often we ask again before we say goodbye. Default 2.
    pub reprompts: u8,
    /// A voice without words (noise, a television) puts silence off by at most this. Default 5000.
    pub voice_credit_ms: u64,
}

impl Default for SilenceSettings {
    fn default() -> Self {
        Self {
            silence_ms: 6_000,
            digits_silence_ms: 9_000,
            after_cut_ms: 1_500,
            reprompts: 2,
            voice_credit_ms: 5_000,
        }
    }
}

/// What keeps every call moving and lets it end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// The call ends this long after its answer, whatever happens. Default 600000.
    pub call_max_ms: u64,
    /// So long before that the brain is told to close. Default 25000.
    pub warn_before_ms: u64,
    /// Time between the last sample of the goodbye and the hang-up: the far end's jitter buffer. Default 400.
    pub goodbye_linger_ms: u64,
    /// The greeting of the callee is over after this pause. Default 400.
    pub greeting_pause_ms: u64,
    /// We speak first at the latest this long after the answer, into a greeting that does not end. Default 4000.
    pub greeting_max_ms: u64,
    /// A brain that thinks this long gets a filler ("one moment"). Default 1800.
    pub filler_ms: u64,
    /// A brain that gives no sign for this long gets an apology. Default 8000.
    pub answer_ms: u64,
    /// The same, whatever signs it gives. Default 20000.
    pub thinking_max_ms: u64,
    /// Nobody was heard for this long: somebody must speak. Default 10000.
    pub watchdog_ms: u64,
    /// So many nudges in a row may fail; the next one hangs up. Default 2.
    pub nudges: u8,
    /// Our words make no progress for this long: there is no voice. Default 4000.
    pub stall_ms: u64,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            call_max_ms: 600_000,
            warn_before_ms: 25_000,
            goodbye_linger_ms: 400,
            greeting_pause_ms: 400,
            greeting_max_ms: 4_000,
            filler_ms: 1_800,
            answer_ms: 8_000,
            thinking_max_ms: 20_000,
            watchdog_ms: 10_000,
            nudges: 2,
            stall_ms: 4_000,
        }
    }
}
