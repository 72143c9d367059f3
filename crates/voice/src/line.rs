//! A call's sound in both directions, for an agent: what the far end says comes in, what the agent says goes out.

use crate::engine::{CallPlace, WeakEngine};
use crate::gain;
use crate::listener::{Ears, HeardFrame, Listener, TimedFrame};
use crate::speech::{Speech, SpeechAction, SpeechNote};
use crate::worker::{Action, Command};
use carillon_domain::ids::CallId;
use carillon_domain::script::Digit;
use carillon_domain::trunk::Codec;
use carillon_media::g711;
use tokio::sync::mpsc;

/// Frames that may wait: a second and a quarter.
const FRAMES_WAITING_MAX: usize = 64;
/// How long a key is held, and the silence after it, in milliseconds.
const KEY_HOLD_MS: u32 = 120;
const KEY_GAP_MS: u32 = 80;
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

    /// Presses a key (RFC 4733); nothing is heard of us meanwhile.
    pub async fn press(&self, digit: Digit) {
        let Some(engine) = self.engine.upgrade() else { return };
        let command = Command::FarEnd {
            call_id: self.call_id,
            action: Action::PressKeys {
                keys: vec![digit],
                hold_ms: KEY_HOLD_MS,
                gap_ms: KEY_GAP_MS,
            },
        };
        // Refused only when the thread is gone, and its call with it.
        let _ = engine.tell(self.thread, command).await;
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

/// A line for a call, and the command that attaches it.
pub(crate) fn open(call_id: CallId, place: &CallPlace, engine: WeakEngine) -> (SoundLine, SoundFeed, Command) {
    gain::prepare();
    let (frame_sender, frames) = mpsc::channel(FRAMES_WAITING_MAX);
    let (note_sender, notes) = mpsc::channel(NOTES_WAITING_MAX);
    let line = SoundLine {
        call_id,
        thread: place.thread,
        codec: place.codec,
        answered_us: place.answered_us,
        engine,
    };
    let command = Command::Converse {
        call_id,
        speech: Box::new(Speech::new(note_sender)),
        listener: Box::new(Listener::new(Ears::Timed(frame_sender))),
    };
    (line, SoundFeed { frames, notes }, command)
}

impl TimedFrame {
    /// Whether the far end's sound is there.
    pub fn is_sound(&self) -> bool {
        matches!(self.sound, HeardFrame::Sound(_))
    }
}
