//! Plays a behaviour's steps: what happened and the time go in, what to do comes out.
//!
//! No socket, clock or randomness is here. The dice are seeded with the sandbox's seed and the called number, so that
//! the same number does the same at the same times in every run.

use crate::behaviour::{Behaviour, Step};
use crate::phrases::Phrase;

/// Loudness (root mean square) from which the caller counts as speaking: -40 dB below full scale.
const LOUD: u16 = 330;
/// How long the caller must be quiet for a pause, in milliseconds.
const PAUSE_MS: u64 = 800;
/// How long a far end that converses waits for the caller to say something before it speaks anyway.
const PATIENCE_MS: u64 = 6_000;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// The INVITE came; `authorized`: with the right credentials.
    Invited { authorized: bool },
    /// A phrase has been heard, or would have been.
    PlaybackFinished,
    /// How loud the caller was for the last tenth of a second.
    Loudness(u16),
    /// Our re-INVITE has been answered, or refused.
    OfferAnswered,
    /// The call is over, by whomever.
    Ended,
    /// The time that [`Output::WakeAt`] asked for has come, or any other time.
    Tick,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Output {
    Challenge {
        proxy: bool,
    },
    Ring(u16),
    EarlyMedia(Phrase),
    Reject {
        code: u16,
        retry_after_s: Option<u32>,
    },
    Answer {
        mute: bool,
    },
    /// From now on [`Input::Loudness`] is wanted.
    ListenForSpeech,
    Play(Phrase),
    Press(char),
    PressInfo(char),
    StopSending,
    Impair {
        loss_percent: u8,
        jitter_ms: u32,
    },
    Hold,
    Resume,
    Move,
    Vanish,
    HangUp,
    /// Feed [`Input::Tick`] at this time, in milliseconds after the INVITE; replaces any earlier wish.
    WakeAt(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Invite,
    /// For a time.
    Until(u64),
    /// For the end of a phrase.
    Phrase,
    /// For the caller's pause.
    Pause {
        last_loud_ms: Option<u64>,
        until: u64,
    },
    /// For the caller to speak.
    Speech {
        until: u64,
    },
    /// For the answer to our offer.
    Offer,
    /// For the caller to hang up.
    Caller,
    Over,
}

/// One call's run through its behaviour.
#[derive(Clone, Debug)]
pub(crate) struct BehaviourRun {
    steps: &'static [Step],
    /// What is still to be said of a [`Step::Talk`].
    talk: &'static [Phrase],
    waiting: Waiting,
    answered: bool,
    authorized: bool,
    listening: bool,
    /// When the call is ended, wherever it is, in milliseconds after the INVITE.
    deadline_ms: u64,
    dice: Dice,
}

impl BehaviourRun {
    /// A run that has not begun. `digits` is the whole called number.
    pub(crate) fn new(behaviour: &'static Behaviour, seed: u64, digits: &str, deadline_ms: u64) -> Self {
        Self {
            steps: behaviour.steps,
            talk: &[],
            waiting: Waiting::Invite,
            answered: false,
            authorized: false,
            listening: false,
            deadline_ms,
            dice: Dice::of(seed, digits),
        }
    }

    /// A number for whatever else is left to chance in this call.
    pub(crate) fn draw(&mut self) -> u64 {
        self.dice.next()
    }

    /// Feeds one input, `now_ms` milliseconds after the INVITE. Inputs that nothing waits for do nothing.
    pub(crate) fn handle(&mut self, now_ms: u64, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        if self.waiting == Waiting::Over {
            return outputs;
        }
        if input == Input::Ended {
            self.waiting = Waiting::Over;
            return outputs;
        }
        if now_ms >= self.deadline_ms {
            self.end(&mut outputs);
            return outputs;
        }
        if self.goes_on(now_ms, input) {
            match self.reply(&mut outputs) {
                Some(waiting) => self.waiting = waiting,
                None => self.play(now_ms, &mut outputs),
            }
        }
        if let Some(wake_ms) = self.wake_ms() {
            outputs.push(Output::WakeAt(wake_ms));
        }
        outputs
    }

    /// Whether what was waited for has come.
    fn goes_on(&mut self, now_ms: u64, input: Input) -> bool {
        match (&mut self.waiting, input) {
            (Waiting::Invite, Input::Invited { authorized }) => {
                self.authorized = authorized;
                true
            }
            (Waiting::Phrase, Input::PlaybackFinished) | (Waiting::Offer, Input::OfferAnswered) => true,
            (Waiting::Speech { .. }, Input::Loudness(loudness)) => loudness >= LOUD,
            (Waiting::Pause { last_loud_ms, .. }, Input::Loudness(loudness)) if loudness >= LOUD => {
                *last_loud_ms = Some(now_ms);
                false
            }
            (Waiting::Pause { .. } | Waiting::Until(_) | Waiting::Speech { .. }, _) => {
                self.wake_ms().is_some_and(|wake_ms| now_ms >= wake_ms)
            }
            (Waiting::Invite | Waiting::Phrase | Waiting::Offer | Waiting::Caller | Waiting::Over, _) => false,
        }
    }

    fn wake_ms(&self) -> Option<u64> {
        let wake_ms = match self.waiting {
            Waiting::Until(until) | Waiting::Speech { until } => until,
            Waiting::Pause {
                last_loud_ms: Some(last_loud_ms),
                ..
            } => last_loud_ms + PAUSE_MS,
            Waiting::Pause {
                last_loud_ms: None,
                until,
            } => until,
            Waiting::Phrase | Waiting::Offer | Waiting::Caller => self.deadline_ms,
            Waiting::Invite | Waiting::Over => return None,
        };
        Some(wake_ms.min(self.deadline_ms))
    }

    /// The caller's pause in a conversation: says the next phrase of it.
    fn reply(&mut self, outputs: &mut Vec<Output>) -> Option<Waiting> {
        let (phrase, rest) = self.talk.split_first()?;
        if !matches!(self.waiting, Waiting::Pause { .. }) {
            return None;
        }
        self.talk = rest;
        outputs.push(Output::Play(*phrase));
        Some(Waiting::Phrase)
    }

    /// Does step after step until one must be waited for.
    fn play(&mut self, now_ms: u64, outputs: &mut Vec<Output>) {
        self.waiting = Waiting::Caller;
        if !self.talk.is_empty() {
            self.waiting = self.hear_pause(now_ms, PATIENCE_MS, outputs);
            return;
        }
        while let Some((step, rest)) = self.steps.split_first() {
            self.steps = rest;
            if let Some(waiting) = self.begin(now_ms, *step, outputs) {
                self.waiting = waiting;
                return;
            }
        }
    }

    /// Begins a step; returns what must be waited for before the next.
    fn begin(&mut self, now_ms: u64, step: Step, outputs: &mut Vec<Output>) -> Option<Waiting> {
        let (output, waiting) = match step {
            Step::Wait(least_ms, most_ms) => {
                return Some(Waiting::Until(now_ms + self.dice.between(least_ms, most_ms)));
            }
            Step::HearPause(patience_ms) => return Some(self.hear_pause(now_ms, patience_ms.into(), outputs)),
            Step::Talk(phrases) => {
                self.talk = phrases;
                return Some(self.hear_pause(now_ms, PATIENCE_MS, outputs));
            }
            Step::HearSpeech(patience_ms) => {
                self.listen(outputs);
                return Some(Waiting::Speech {
                    until: now_ms + u64::from(patience_ms),
                });
            }
            Step::Challenge { .. } if self.authorized => return None,
            Step::Challenge { proxy } => (Output::Challenge { proxy }, Some(Waiting::Over)),
            Step::Ring(code) => (Output::Ring(code), None),
            Step::EarlyMedia(phrase) => (Output::EarlyMedia(phrase), None),
            Step::Reject { code, retry_after_s } => (Output::Reject { code, retry_after_s }, Some(Waiting::Over)),
            Step::Answer { mute } => {
                self.answered = true;
                (Output::Answer { mute }, None)
            }
            Step::Say(phrase) => (Output::Play(phrase), Some(Waiting::Phrase)),
            Step::Press(key) => (Output::Press(key), None),
            Step::PressInfo(key) => (Output::PressInfo(key), None),
            Step::StopSending => (Output::StopSending, None),
            Step::Impair {
                loss_percent,
                jitter_ms,
            } => (
                Output::Impair {
                    loss_percent,
                    jitter_ms,
                },
                None,
            ),
            Step::Hold => (Output::Hold, Some(Waiting::Offer)),
            Step::Resume => (Output::Resume, Some(Waiting::Offer)),
            Step::Move => (Output::Move, Some(Waiting::Offer)),
            Step::Vanish => (Output::Vanish, Some(Waiting::Over)),
            Step::HangUp => (Output::HangUp, Some(Waiting::Over)),
        };
        outputs.push(output);
        waiting
    }

    fn hear_pause(&mut self, now_ms: u64, patience_ms: u64, outputs: &mut Vec<Output>) -> Waiting {
        self.listen(outputs);
        Waiting::Pause {
            last_loud_ms: None,
            until: now_ms + patience_ms,
        }
    }

    fn listen(&mut self, outputs: &mut Vec<Output>) {
        if !std::mem::replace(&mut self.listening, true) {
            outputs.push(Output::ListenForSpeech);
        }
    }

    /// The deadline: nothing lasts longer.
    fn end(&mut self, outputs: &mut Vec<Output>) {
        self.waiting = Waiting::Over;
        outputs.push(if self.answered {
            Output::HangUp
        } else {
            Output::Reject {
                code: 480,
                retry_after_s: None,
            }
        });
    }
}

/// Dice whose throws depend on nothing but their seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The dice of a text under a seed.
    pub(crate) fn of(seed: u64, text: &str) -> Self {
        // FNV-1a: the same on every machine and in every version, unlike the standard hasher.
        let hash = text.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        Self(seed ^ hash)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number between two, both included.
    pub(crate) fn between(&mut self, least: u32, most: u32) -> u64 {
        let span = u64::from(most.saturating_sub(least)) + 1;
        u64::from(least) + self.next() % span
    }
}

#[cfg(test)]
mod tests;
