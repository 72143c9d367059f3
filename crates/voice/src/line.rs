//! A call's sound in both directions, for an agent: what the far end says comes in, what the agent says goes out.

use crate::engine::{MediaEngine, WeakEngine};
use crate::gain;
use crate::listener::{Ears, HeardFrame, Listener, TimedFrame};
use crate::speech::{Speech, SpeechAction, SpeechNote};
use crate::worker::Command;
use carillon_domain::ids::CallId;
use carillon_domain::trunk::Codec;
use carillon_interfaces::voice::VoiceError;
use carillon_media::g711;
use tokio::sync::mpsc;

/// Frames that may wait: a second and a quarter.
const FRAMES_WAITING_MAX: usize = 64;
/// Notes that may wait.
const NOTES_WAITING_MAX: usize = 64;

/// The sending half of a call's sound.
#[derive(Clone, Debug)]
pub struct SoundLine {
    call_id: CallId,
    thread: usize,
    codec: Codec,
    answered_us: u64,
    engine: WeakEngine,
}

/// The hearing half of a call's sound.
#[derive(Debug)]
pub struct SoundFeed {
    /// What the far end says, 20 ms at a time, in step. Frames that nobody takes are dropped and counted.
    pub frames: mpsc::Receiver<TimedFrame>,
    /// What happens to our own words, and the keys of the far end. All but reports of progress wait until they are taken.
    pub notes: mpsc::Receiver<SpeechNote>,
}

impl SoundLine {
    /// Does something with the call's sound. Returns whether the call's media thread has been told; `false`: the call is over.
    pub async fn act(&self, action: SpeechAction) -> bool {
        let Some(engine) = self.engine.upgrade() else {
            return false;
        };
        let command = Command::Speak {
            call_id: self.call_id,
            action,
        };
        engine.tell(self.thread, command).await.is_ok()
    }

    /// Says more of a unit. `more`: further pieces of it follow.
    pub async fn say(&self, unit: u32, samples: &[i16], more: bool) -> bool {
        let action = SpeechAction::Say {
            unit,
            codec: self.codec,
            bytes: g711::encode(self.codec, samples).into(),
            more,
        };
        self.act(action).await
    }

    /// Microseconds of the engine's clock at which the call was answered: notes and frames count from the same zero.
    pub fn answered_us(&self) -> u64 {
        self.answered_us
    }

    /// Microseconds of the engine's clock now; `None` when the engine is gone.
    pub fn now_us(&self) -> Option<u64> {
        self.engine.upgrade().map(|engine| engine.now_us())
    }
}

impl MediaEngine {
    /// Takes over the sound of an answered call: from now on it says what the line is told, and what it hears comes by the feed. Both
    /// end when the feed is dropped. A second line replaces the first.
    ///
    /// # Errors
    /// There is no such call, it has not been answered, or its media thread does not keep up.
    pub async fn take_sound(&self, call_id: CallId) -> Result<(SoundLine, SoundFeed), VoiceError> {
        gain::prepare();
        let place = self.place_of(call_id).await.ok_or(VoiceError::UnknownCall)?;
        let (frame_sender, frames) = mpsc::channel(FRAMES_WAITING_MAX);
        let (note_sender, notes) = mpsc::channel(NOTES_WAITING_MAX);
        let line = SoundLine {
            call_id,
            thread: place.thread,
            codec: place.codec,
            answered_us: place.answered_us,
            engine: self.downgrade(),
        };
        let command = Command::Converse {
            call_id,
            speech: Box::new(Speech::new(note_sender)),
            listener: Box::new(Listener::new(Ears::Timed(frame_sender))),
        };
        self.tell(place.thread, command).await?;
        Ok((line, SoundFeed { frames, notes }))
    }
}

impl TimedFrame {
    /// Whether the far end's sound is there.
    pub fn is_sound(&self) -> bool {
        matches!(self.sound, HeardFrame::Sound(_))
    }
}
