//! Who speaks when: turns, interruptions, silence, and what of our words was heard. Pure; the voice runtime drives it.

mod clock;
mod echo;
mod end_of_turn;
mod english;
mod expect;
mod heard;
mod plain_text;
mod sentences;
mod settings;
mod transcript;
mod turn_taking;
mod voice_edges;
mod words;

pub use clock::CallMs;
pub use end_of_turn::{EndOfTurnSettings, EndReason};
pub use expect::Expect;
pub use heard::{SAMPLES_PER_MS, WordTimes};
pub use plain_text::plain_text;
pub use sentences::{SentenceSettings, Sentences};
pub use settings::{FirstSpeaker, InterruptionSettings, LimitSettings, SilenceSettings, TurnSettings};
pub use transcript::{Heard, Speaker, SpokenText, Transcript, TranscriptEntry};
pub use turn_taking::{
    AfterSpeech, HangUpReason, Hearing, Interruption, Nudge, SpeechEnd, Turn, TurnInput, TurnOutput, Turns, Unit,
    UnitNumber, UtteranceNumber,
};
pub use voice_edges::{VoiceEdge, VoiceEdges, VoiceSettings};
