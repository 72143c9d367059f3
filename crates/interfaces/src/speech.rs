//! Speech: from sound to words, from words to sound, and the two small judges beside them (is that a voice, is the turn over).
//!
//! All sound here is mono, 16-bit, at [`SAMPLE_RATE_HZ`]: what a telephone carries. What wants another rate converts inside.

use async_trait::async_trait;
use carillon_domain::language::Language;
use tokio::sync::mpsc;

/// Samples a second of all sound that crosses these interfaces.
pub const SAMPLE_RATE_HZ: u32 = 8_000;

/// Why speech is not to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpeechError {
    /// A model, program or key is missing; the text says which, and what to do.
    #[error("not available: {0}")]
    Unavailable(String),
    /// No voice or recogniser here knows the language.
    #[error("nothing here speaks `{0}`; `carillon doctor` lists the languages")]
    Language(Language),
    /// All workers are busy and the queue is full.
    #[error("speech is at capacity")]
    Busy,
    /// No answer in time.
    #[error("no answer within {0} ms")]
    TimedOut(u64),
    /// The provider answered with an error, or with something that cannot be read.
    #[error("the provider failed: {0}")]
    Provider(String),
}

/// What a recogniser can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HearingCapabilities {
    /// Its name, as settings and `doctor` print it.
    pub name: &'static str,
    /// Languages that it knows; empty: any.
    pub languages: Vec<Language>,
    /// Whether it tells words before an utterance is over.
    pub partials: bool,
}

/// How a call wants to be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HearingRequest {
    /// The language spoken.
    pub language: Language,
    /// Words to expect (names, products); a recogniser may ignore them.
    pub hints: Vec<String>,
}

/// One stretch of the far end's speech. The caller counts them up from 1.
pub type UtteranceNumber = u32;

/// What a recogniser tells, in order within an utterance.
#[derive(Clone, Debug, PartialEq)]
pub enum HearingEvent {
    /// The words so far; they may still change.
    Partial {
        /// Which utterance.
        utterance: UtteranceNumber,
        /// Its words from its beginning.
        text: String,
    },
    /// The words of a finished utterance; empty when it held no speech.
    Final {
        /// Which utterance.
        utterance: UtteranceNumber,
        /// Its words.
        text: String,
    },
    /// An utterance could not be recognised. The recogniser goes on with the next one unless `fatal`.
    Failed {
        /// Which utterance.
        utterance: UtteranceNumber,
        /// Why.
        error: SpeechError,
        /// Nothing more will come: open another.
        fatal: bool,
    },
}

/// Turns a call's sound into words. Opened once per call.
#[async_trait]
pub trait SpeechToText: Send + Sync {
    /// What it can do.
    fn capabilities(&self) -> HearingCapabilities;

    /// Opens an ear for one call. Events come on `events` until the ear is dropped; one that nobody takes in time is dropped if
    /// partial, and waited for if final.
    async fn open(
        &self,
        request: HearingRequest,
        events: mpsc::Sender<HearingEvent>,
    ) -> Result<Box<dyn Ear>, SpeechError>;
}

/// One call's recogniser. No method blocks; what a full queue cannot take is reported as [`HearingEvent::Failed`].
pub trait Ear: Send {
    /// A new utterance begins; `pre_roll` is the sound just before the voice was noticed.
    fn begin(&mut self, utterance: UtteranceNumber, pre_roll: &[i16]);

    /// More sound of the utterance that began last.
    fn hear(&mut self, samples: &[i16]);

    /// Asks for the words so far as a [`HearingEvent::Partial`]; ignored while one is being made, or where partials come by themselves.
    fn ask_partial(&mut self);

    /// The utterance is over: a [`HearingEvent::Final`] follows, or a [`HearingEvent::Failed`]. Sound that is heard before the next
    /// `begin` belongs to none.
    fn end(&mut self, utterance: UtteranceNumber);

    /// The utterance was nothing (a cough, our own echo): nothing more is told of it.
    fn discard(&mut self, utterance: UtteranceNumber);
}

/// What is to be said.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpeakRequest {
    /// The text, plain.
    pub text: String,
    /// The language it is written in.
    pub language: Language,
    /// A voice of the provider by its name; `None`: its default for the language.
    pub voice: Option<String>,
    /// Speed in percent of the voice's own; 100 is as recorded.
    pub speed_percent: u16,
}

/// A voice that a provider has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoiceDescription {
    /// Its name, as a [`SpeakRequest`] gives it.
    pub name: String,
    /// The language that it speaks.
    pub language: Language,
}

/// Sound of a text as it is made, at [`SAMPLE_RATE_HZ`]. The channel closes after the last piece; an error is the last piece.
/// Dropping the receiver stops the making.
pub type SpokenSound = mpsc::Receiver<Result<Vec<i16>, SpeechError>>;

/// Turns words into sound.
#[async_trait]
pub trait TextToSpeech: Send + Sync {
    /// Its name, as settings and `doctor` print it.
    fn name(&self) -> &'static str;

    /// The voices that it has.
    fn voices(&self) -> Vec<VoiceDescription>;

    /// Begins to say a text. An error here means that nothing has been made.
    async fn speak(&self, request: SpeakRequest) -> Result<SpokenSound, SpeechError>;
}

/// Judges frames of 20 ms (160 samples): is that a voice?
pub trait VoiceActivity: Send {
    /// Probability (0 to 1) that the latest sound is a voice. Called for each frame in order; cheap enough for that.
    fn judge(&mut self, frame: &[i16]) -> f32;

    /// Forgets the past, as at the start of a call.
    fn reset(&mut self);
}

/// Judges by its sound whether a turn is over.
#[async_trait]
pub trait TurnJudge: Send + Sync {
    /// Probability (0 to 1) that the speaker has finished, from the last seconds of the far end's sound (at most 8 s are looked at),
    /// which end in a short pause.
    async fn is_over(&self, sound: Vec<i16>) -> Result<f32, SpeechError>;
}

/// Everything that a conversation needs of speech. Made once, shared by all calls.
#[async_trait]
pub trait SpeechKit: Send + Sync {
    /// Turns sound into words.
    fn ears(&self) -> &dyn SpeechToText;

    /// Turns words into sound.
    fn mouth(&self) -> &dyn TextToSpeech;

    /// A judge of voices for one call.
    fn voice_activity(&self) -> Box<dyn VoiceActivity>;

    /// The judge of turns, if there is one.
    fn turn_judge(&self) -> Option<&dyn TurnJudge>;

    /// How many conversations this machine can hear at once; `None`: no limit of ours (a hosted provider).
    fn capacity(&self) -> Option<u32>;
}
