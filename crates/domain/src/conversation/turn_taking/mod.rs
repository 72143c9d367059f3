//! Whose turn it is: one machine for a call, fed with sound's edges, words and playback, asked what to do about them.
//!
//! In: [`TurnInput`] and `now` (milliseconds of the call, [`CallMs`]; one that goes backwards counts as the latest). Out:
//! [`TurnOutput`]s, to be done in order. The machine never waits without a deadline: [`TurnOutput::WakeAt`] says when to ask again, and
//! from every state time alone leads to the end of the call.
//!
//! Every input changes what is known ([`listening`], [`speaking`]). Then rules that are due are performed, earliest first
//! ([`rules`]). A rule is due by what is known and the time, so there are no timers to cancel.

mod barge_in;
mod far_turn;
mod io;
mod listening;
mod rules;
mod speaking;
mod speech;
mod watchdog;

#[cfg(test)]
mod tests;

pub use io::{
    AfterSpeech, HangUpReason, Hearing, Interruption, Nudge, SpeechEnd, Turn, TurnInput, TurnOutput, Unit, UnitNumber,
    UtteranceNumber,
};

use super::clock::CallMs;
use super::expect::Expect;
use super::settings::TurnSettings;
use super::transcript::{SpokenText, Transcript};
use super::voice_edges::VoiceEdges;
use super::words::Lexicon;
use crate::language::Language;
use barge_in::Overlap;
use far_turn::FarTurn;
use speech::Speech;
use std::fmt;

/// Where the call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not answered yet.
    Waiting,
    /// Answered; nobody had the floor yet.
    Opening {
        since: CallMs,
    },
    Talking,
    /// The goodbye was played; the call ends at this time.
    Closing {
        at: CallMs,
    },
    Over,
}

/// What the brain owes us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brain {
    Idle,
    /// It was asked to speak, or is in the middle of an answer.
    Asked {
        since: CallMs,
        last_sign: CallMs,
        /// A filler was asked for, or would be out of place.
        filled: bool,
    },
}

/// A turn that the brain has, while nothing of the reply was heard.
#[derive(Clone)]
struct Handed {
    text: String,
    begun: CallMs,
    /// Its utterance whose words are still to come.
    awaited: Option<UtteranceNumber>,
}

/// A yes or no that came while we were still asking.
#[derive(Clone)]
struct EarlyAnswer {
    text: String,
    begun: CallMs,
    ended: CallMs,
}

/// Turn taking of one call. Its `Debug` form tells where the call is, not what was said.
#[derive(Clone)]
pub struct Turns {
    settings: TurnSettings,
    lexicon: &'static Lexicon,
    now: CallMs,
    phase: Phase,
    edges: VoiceEdges,
    /// Since when a voice is on.
    voice_since: Option<CallMs>,
    /// The end of the last voiced frame.
    last_voice: CallMs,
    /// The last moment at which somebody was certainly heard: our playback, words, keys.
    sound_at: CallMs,
    /// Since when the callee is expected to speak.
    quiet_since: CallMs,
    expect: Expect,
    brain: Brain,
    mouth: Option<Speech>,
    ducked: bool,
    far: Option<FarTurn>,
    overlap: Option<Overlap>,
    handed: Option<Handed>,
    early: Option<EarlyAnswer>,
    /// We were interrupted, and no turn has come of it yet.
    cut_for_words: bool,
    /// Our last words and when they ended, to know their echo.
    last_said: Vec<String>,
    last_said_at: CallMs,
    first_played: Option<CallMs>,
    utterances: UtteranceNumber,
    pauses: u32,
    reprompts: u8,
    nudges: u8,
    nudged_at: CallMs,
    gave_up: bool,
    warned: bool,
    told_wake: Option<CallMs>,
    transcript: Transcript,
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns")
            .field("now", &self.now)
            .field("phase", &self.phase)
            .field("brain", &self.brain)
            .field("expect", &self.expect)
            .field("speaks", &self.mouth.is_some())
            .field("hears_voice", &self.hears_voice())
            .field("overlap", &self.overlap)
            .field("next_due", &self.next_due())
            .finish_non_exhaustive()
    }
}

impl Turns {
    /// Turn taking of a call that is not answered yet, in a language.
    pub fn new(settings: TurnSettings, language: &Language) -> Self {
        let edges = VoiceEdges::new(settings.voice);
        Self {
            settings,
            lexicon: Lexicon::of(language),
            now: CallMs(0),
            phase: Phase::Waiting,
            edges,
            voice_since: None,
            last_voice: CallMs(0),
            sound_at: CallMs(0),
            quiet_since: CallMs(0),
            expect: Expect::Open,
            brain: Brain::Idle,
            mouth: None,
            ducked: false,
            far: None,
            overlap: None,
            handed: None,
            early: None,
            cut_for_words: false,
            last_said: Vec::new(),
            last_said_at: CallMs(0),
            first_played: None,
            utterances: 0,
            pauses: 0,
            reprompts: 0,
            nudges: 0,
            nudged_at: CallMs(0),
            gave_up: false,
            warned: false,
            told_wake: None,
            transcript: Transcript::default(),
        }
    }

    /// What was said so far. Complete after [`TurnInput::CallEnded`] or [`TurnOutput::HangUp`].
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// The kind of answer that is awaited.
    pub fn expect(&self) -> Expect {
        self.expect
    }

    /// Whether a voice of the far end is on.
    pub fn hears_voice(&self) -> bool {
        self.voice_since.is_some()
    }

    /// Whether the brain owes words, or words of ours are being played or about to be.
    pub fn has_floor(&self) -> bool {
        self.mouth.is_some() || self.brain != Brain::Idle
    }

    /// Whether the call is over.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Feeds one input at `now`. Every input is taken in every state; those that mean nothing give nothing.
    pub fn handle(&mut self, now: CallMs, input: TurnInput) -> Vec<TurnOutput> {
        let mut out = Vec::new();
        if self.phase == Phase::Over {
            return out;
        }
        self.now = self.now.max(now);
        self.take(input, &mut out);
        self.perform_due_rules(&mut out);
        let wake = self.next_due();
        if wake.is_some() && wake != self.told_wake {
            out.extend(wake.map(TurnOutput::WakeAt));
        }
        self.told_wake = wake;
        out
    }

    fn take(&mut self, input: TurnInput, out: &mut Vec<TurnOutput>) {
        if self.phase == Phase::Waiting && !matches!(input, TurnInput::Answered | TurnInput::CallEnded) {
            return;
        }
        match input {
            TurnInput::Answered => self.answered(),
            TurnInput::Frame {
                voice_probability,
                loudness_dbfs,
            } => {
                let edge = self.edges.frame(self.now, voice_probability, loudness_dbfs);
                self.voice_edge(edge, out);
            }
            TurnInput::VoiceStarted => self.voice_started(self.now, out),
            TurnInput::VoiceStopped => self.voice_stopped(self.now),
            TurnInput::Partial { utterance, text } => self.words_so_far(utterance, text, out),
            TurnInput::Final { utterance, text } => self.words_are(utterance, Ok(text), out),
            TurnInput::HearingFailed { utterance } => self.words_are(utterance, Err(()), out),
            TurnInput::TurnOver { pause, probability } => self.judged(pause, probability),
            TurnInput::BrainThinking => self.brain_thinks(),
            TurnInput::BrainSays {
                units,
                interruptible,
                end,
            } => self.brain_says(&units, interruptible, end, out),
            TurnInput::Expect(expect) => self.expect = expect,
            TurnInput::SpeechMade {
                unit,
                samples,
                complete,
            } => {
                if let Some(mouth) = &mut self.mouth {
                    mouth.made(self.now, unit, samples, complete);
                }
            }
            TurnInput::SpeechFailed { unit } => self.speech_failed(unit, out),
            TurnInput::PlaybackAt { unit, samples } => self.playback_at(unit, samples),
            TurnInput::PlaybackFinished { unit } => self.unit_finished(unit, out),
            TurnInput::Key(digit) => self.key(digit.as_char(), out),
            TurnInput::CallEnded => self.close(),
            TurnInput::Tick => {}
        }
    }

    /// Nothing more is said or heard: what was goes into the transcript.
    fn close(&mut self) {
        self.record_mouth();
        if let Some(far) = self.far.take() {
            self.record_far(&far, &far.text(), self.last_voice.max(far.begun));
        }
        self.phase = Phase::Over;
    }

    fn hang_up(&mut self, reason: HangUpReason, out: &mut Vec<TurnOutput>) {
        self.close();
        out.push(TurnOutput::HangUp(reason));
    }

    /// The brain is asked for words.
    fn ask_brain(&mut self, filled: bool) {
        self.brain = Brain::Asked {
            since: self.now,
            last_sign: self.now,
            filled,
        };
        // Words of the callee that are still open now run against ours.
        if let Some(far) = &self.far
            && self.overlap.is_none()
        {
            self.overlap = Some(Overlap::unasked(far.begun));
        }
    }

    fn set_duck(&mut self, ducked: bool, out: &mut Vec<TurnOutput>) {
        if self.ducked != ducked {
            self.ducked = ducked;
            out.push(if ducked { TurnOutput::Duck } else { TurnOutput::Unduck });
        }
    }

    fn spoken(text: impl Into<SpokenText>) -> SpokenText {
        text.into()
    }
}
