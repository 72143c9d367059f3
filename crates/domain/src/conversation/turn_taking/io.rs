//! What goes into turn taking and what comes out.

use crate::conversation::clock::CallMs;
use crate::conversation::end_of_turn::EndReason;
use crate::conversation::expect::Expect;
use crate::conversation::transcript::SpokenText;
use crate::script::Digit;

/// One stretch of the far end's speech as the recogniser knows it, counted from 1.
pub type UtteranceNumber = u32;

/// One piece of our speech that is made and played as one (a sentence). The driver numbers them, never the same number twice in a call.
pub type UnitNumber = u32;

/// A piece of our speech.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its number.
    pub number: UnitNumber,
    /// Its words, plain.
    pub text: SpokenText,
}

/// What follows our words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterSpeech {
    /// The callee's turn.
    Listen,
    /// The end of the call, once the last sample was heard.
    HangUp,
}

/// The end of what the brain has to say now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpeechEnd {
    /// The kind of answer that is awaited.
    pub expect: Expect,
    /// What follows.
    pub then: AfterSpeech,
}

/// What turn taking is told.
#[derive(Clone, Debug, PartialEq)]
pub enum TurnInput {
    /// The call was answered and sound flows. Nothing before it counts.
    Answered,
    /// The far end's latest frame of sound.
    Frame {
        /// Probability (0 to 1) that it is a voice.
        voice_probability: f32,
        /// Its loudness in dBFS.
        loudness_dbfs: f32,
    },
    /// A voice starts, for drivers that know edges and feed no frames.
    VoiceStarted,
    /// The voice stops.
    VoiceStopped,
    /// The words of an utterance so far.
    Partial {
        /// Which.
        utterance: UtteranceNumber,
        /// Its words from its beginning.
        text: SpokenText,
    },
    /// The words of an utterance that has ended.
    Final {
        /// Which.
        utterance: UtteranceNumber,
        /// Its words; empty when it held none.
        text: SpokenText,
    },
    /// An utterance will never have words.
    HearingFailed {
        /// Which.
        utterance: UtteranceNumber,
    },
    /// What the judge of sound says.
    TurnOver {
        /// The pause it was asked about.
        pause: u32,
        /// Probability (0 to 1) that the speaker has finished.
        probability: f32,
    },
    /// The brain is at work (a tool, a slow model): it will speak, later than usual.
    BrainThinking,
    /// The brain speaks. Units are played in the order given, those of several inputs one after the other.
    BrainSays {
        /// The next units; may be empty.
        units: Vec<Unit>,
        /// Whether words may stop them. A goodbye after the last warning is not interruptible whatever this says.
        interruptible: bool,
        /// Given with the last units of an answer; `None`: more will come.
        end: Option<SpeechEnd>,
    },
    /// Another kind of answer is awaited.
    Expect(Expect),
    /// Sound of a unit was made.
    SpeechMade {
        /// Which.
        unit: UnitNumber,
        /// Samples made of it so far, from its beginning.
        samples: u64,
        /// Whether that is all.
        complete: bool,
    },
    /// A unit cannot be made, or no more of it can: it is skipped.
    SpeechFailed {
        /// Which.
        unit: UnitNumber,
    },
    /// How far playback is. Fed every 20 to 200 ms while it runs.
    PlaybackAt {
        /// The unit being played.
        unit: UnitNumber,
        /// Samples of it that were sent, from its beginning.
        samples: u64,
    },
    /// A unit, and every one before it, has been played to its last sample.
    PlaybackFinished {
        /// Which.
        unit: UnitNumber,
    },
    /// The callee pressed a key.
    Key(Digit),
    /// The far end has hung up, or the call is over for another reason. Closes the transcript.
    CallEnded,
    /// Time has passed. Fed at the time of [`TurnOutput::WakeAt`]; other times do no harm.
    Tick,
}

/// How well a turn was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// All of its words are there.
    Complete,
    /// The recogniser was late: the words are what was known in time, perhaps none.
    Late,
    /// The recogniser failed on a part of it; the words are the rest, perhaps none.
    Failed,
}

/// The callee's turn, for the brain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Everything said since the brain was last heard. Empty when only keys were pressed, or when nothing was understood.
    pub text: SpokenText,
    /// What is new since the turn before; equals `text` unless `continues`.
    pub added: SpokenText,
    /// Whether this replaces the turn handed over before: the callee went on before a word of the reply was heard. A brain that can
    /// go back does so and takes `text`; another takes `added`.
    pub continues: bool,
    /// Keys pressed, as printed.
    pub keys: SpokenText,
    /// How well it was heard.
    pub hearing: Hearing,
    /// When it began.
    pub begin_ms: CallMs,
    /// The end of its last voiced frame, or its last key: where latency is measured from.
    pub end_ms: CallMs,
    /// What ended it.
    pub why: EndReason,
}

/// The callee took the floor while we had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interruption {
    /// What was heard of our words since the brain was last asked; empty when it had not begun.
    pub heard_text: SpokenText,
    /// What was not.
    pub unheard_text: SpokenText,
}

/// Why somebody must speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nudge {
    /// The brain is slow: say "one moment". Its answer is still awaited.
    Filler,
    /// The brain is too late: give up on its answer and apologise.
    BrainLate,
    /// Our words make no sound (synthesis or playback stalls): say it another way.
    NoVoice,
    /// Nobody was heard for too long.
    NobodySpeaks,
}

/// Why we hang up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangUpReason {
    /// The goodbye was heard.
    Goodbye,
    /// Nobody answered us, and no goodbye came in time.
    GaveUp,
    /// The call is as long as it may be.
    TooLong,
    /// Nothing could be said any more.
    Stuck,
}

/// What turn taking asks for, in the order in which it is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum TurnOutput {
    /// The brain speaks first. `heard` is how the callee answered, as far as it is known.
    SpeakFirst {
        /// For the brain's information; no turn.
        heard: SpokenText,
    },
    /// Start recognising.
    BeginUtterance {
        /// Its number.
        utterance: UtteranceNumber,
        /// Sound before now that belongs to it.
        pre_roll_ms: u64,
    },
    /// Ask for the words so far.
    AskPartial {
        /// Of which utterance.
        utterance: UtteranceNumber,
    },
    /// The utterance is over: its words are wanted.
    EndUtterance {
        /// Which.
        utterance: UtteranceNumber,
    },
    /// The utterance was nothing.
    DiscardUtterance {
        /// Which.
        utterance: UtteranceNumber,
    },
    /// Ask the judge of sound about this pause.
    AskTurnJudge {
        /// Number of the pause, for the answer.
        pause: u32,
    },
    /// Play our words more softly.
    Duck,
    /// Play them at full loudness.
    Unduck,
    /// Play nothing until [`TurnOutput::ResumeFrom`] or [`TurnOutput::Interrupted`]; keep what was made. Units that are given meanwhile wait too.
    StopPlayback,
    /// Play this unit from this sample, and then those after it.
    ResumeFrom {
        /// Which unit.
        unit: UnitNumber,
        /// Its first sample to be played.
        sample: u64,
    },
    /// Our words are over: drop every unit given so far, stop making and thinking. Units given after this play at once.
    Interrupted(Interruption),
    /// The callee's turn is over: the brain is to answer.
    TurnIs(Turn),
    /// The callee says nothing: ask again, for the `count`-th time.
    Reprompt {
        /// From 1.
        count: u8,
    },
    /// Somebody must speak.
    Nudge(Nudge),
    /// The call will be too long soon: the brain is to close it.
    WrapUp {
        /// Time until the hard end.
        left_ms: u64,
    },
    /// The callee has said nothing for too long: the brain says goodbye, and hangs up.
    GiveUp,
    /// End the call now. The last output.
    HangUp(HangUpReason),
    /// Feed [`TurnInput::Tick`] at this time unless something else comes earlier; replaces any earlier wish.
    WakeAt(CallMs),
}
