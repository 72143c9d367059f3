//! Conversations: one task for each call whose script converses.
//!
//! [`brain`] is what decides what is said. Around it: `talk` joins sound, words and turns in one loop, `mouth` makes sound of
//! words, `thinker` keeps the brain in a task of its own, `machine` watches who answered, `findings` keeps what is known.

pub mod brain;
mod doing;
mod findings;
mod flow_brain;
mod latency;
mod machine;
pub mod model;
mod mouth;
mod saying;
mod spare;
mod start;
mod talk;
mod thinker;

#[cfg(test)]
mod tests;

pub use start::ConverseParts;
pub(crate) use start::{Agents, ConverseCall, RunningAgent};

use crate::line::SoundLine;
use crate::speech::SpeechAction;
use async_trait::async_trait;
use carillon_domain::script::{Digit, ScriptResult};

/// Tells that a conversation is over from our side, with what is known.
pub(crate) type Report = Box<dyn FnOnce(ScriptResult) + Send>;

/// What a conversation needs of its call's sound.
#[async_trait]
pub(crate) trait Line: Send + Sync + 'static {
    /// Does something with our words. `false`: the call is over.
    async fn act(&self, action: SpeechAction) -> bool;

    /// Says more of a unit.
    async fn say(&self, unit: u32, samples: &[i16], more: bool) -> bool;

    /// Presses a key.
    async fn press(&self, digit: Digit);

    /// The clock of the sound, in microseconds.
    fn now_us(&self) -> u64;

    /// When the call was answered, by that clock.
    fn answered_us(&self) -> u64;
}

#[async_trait]
impl Line for SoundLine {
    async fn act(&self, action: SpeechAction) -> bool {
        SoundLine::act(self, action).await
    }

    async fn say(&self, unit: u32, samples: &[i16], more: bool) -> bool {
        SoundLine::say(self, unit, samples, more).await
    }

    async fn press(&self, digit: Digit) {
        SoundLine::press(self, digit).await;
    }

    fn now_us(&self) -> u64 {
        SoundLine::now_us(self).unwrap_or(self.answered_us())
    }

    fn answered_us(&self) -> u64 {
        SoundLine::answered_us(self)
    }
}
