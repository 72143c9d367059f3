//! What an agent does about each class, and how long it waits.

use super::Class;
use crate::script::Digit;
use serde::{Deserialize, Serialize};

/// What to do about a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Reaction {
    /// Talk on as with a person.
    Continue,
    /// End the call.
    HangUp,
    /// Wait for the beep, or for silence after the greeting, and leave the message.
    LeaveMessage,
    /// Say who calls and why, then wait for a person.
    Announce,
    /// Press a key at the next pause.
    Press {
        /// Which.
        key: Digit,
    },
}

/// When the agent begins to talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpeakFirst {
    /// At the answer, while the decision runs.
    AtOnce,
    /// When the greeting is over, or nobody greets.
    AfterGreeting,
}

/// The rules of machine detection for one agent. Every missing field takes its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// What to do about voicemail.
    pub voicemail: Reaction,
    /// What to do about a screening assistant.
    pub screening: Reaction,
    /// What to do about a menu or a queue.
    pub menu: Reaction,
    /// What to do about a fax.
    pub fax: Reaction,
    /// What to do about the network's own announcements and tones.
    pub network: Reaction,
    /// What to do when nobody speaks.
    pub silence: Reaction,
    /// When the agent begins to talk.
    pub speak_first: SpeakFirst,
    /// After how much silence from the answer on the agent talks anyway, in milliseconds.
    pub speak_into_silence_ms: u64,
    /// By when there is a verdict, if only `undecided`, in milliseconds since the answer.
    pub decide_by_ms: u64,
    /// After how long without any voice the class is silence, in milliseconds since the answer.
    pub silence_ms: u64,
    /// How sure a verdict must be before it ends the call, in percent.
    pub hang_up_confidence: u8,
    /// How long a greeting must have been over before the message is left without a beep, in milliseconds.
    pub message_after_silence_ms: u64,
    /// How long to wait for the chance to leave the message, in milliseconds after the verdict; then the call ends.
    pub message_wait_max_ms: u64,
    /// How long to wait behind a screening assistant for a person, in milliseconds after the announcement; then the call ends.
    pub screening_wait_max_ms: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            voicemail: Reaction::LeaveMessage,
            screening: Reaction::Announce,
            menu: Reaction::HangUp,
            fax: Reaction::HangUp,
            network: Reaction::HangUp,
            silence: Reaction::Continue,
            speak_first: SpeakFirst::AfterGreeting,
            speak_into_silence_ms: 1_800,
            decide_by_ms: 12_000,
            silence_ms: 8_000,
            hang_up_confidence: 85,
            message_after_silence_ms: 2_500,
            message_wait_max_ms: 60_000,
            screening_wait_max_ms: 30_000,
        }
    }
}

/// Why a policy is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyProblem {
    /// A time is outside its range.
    #[error("`{field}` must be between {min} and {max} ms")]
    Time {
        /// Which field.
        field: &'static str,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A share is no percentage.
    #[error("`hang_up_confidence` must be between 50 and 100")]
    Confidence,
}

impl Policy {
    /// What to do about a class. A person, and what is undecided, is talked with.
    pub const fn reaction(&self, class: Class) -> Reaction {
        match class {
            Class::Human | Class::Undecided => Reaction::Continue,
            Class::Voicemail => self.voicemail,
            Class::Screening => self.screening,
            Class::Menu => self.menu,
            Class::Fax => self.fax,
            Class::Network => self.network,
            Class::Silence => self.silence,
        }
    }

    /// Refuses times under which a call would hang or a person would have no time to speak.
    ///
    /// # Errors
    /// The first field outside its range.
    pub fn check(&self) -> Result<(), PolicyProblem> {
        let times = [
            ("speak_into_silence_ms", self.speak_into_silence_ms, 0, 20_000),
            ("decide_by_ms", self.decide_by_ms, 1_000, 60_000),
            ("silence_ms", self.silence_ms, 2_000, 120_000),
            ("message_after_silence_ms", self.message_after_silence_ms, 800, 15_000),
            ("message_wait_max_ms", self.message_wait_max_ms, 5_000, 300_000),
            ("screening_wait_max_ms", self.screening_wait_max_ms, 5_000, 300_000),
        ];
        for (field, value, min, max) in times {
            if !(min..=max).contains(&value) {
                return Err(PolicyProblem::Time { field, min, max });
            }
        }
        if !(50..=100).contains(&self.hang_up_confidence) {
            return Err(PolicyProblem::Confidence);
        }
        Ok(())
    }
}
