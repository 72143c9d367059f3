//! What time alone does: who begins, silence, a brain that is late, the end of the call. Nothing waits without a deadline.

use super::io::{HangUpReason, Nudge, TurnOutput};
use super::{Brain, Phase, Turns};
use crate::conversation::clock::CallMs;
use crate::conversation::expect::Expect;
use crate::conversation::settings::FirstSpeaker;

impl Turns {
    pub(super) fn answered(&mut self) {
        if self.phase == Phase::Waiting {
            self.phase = Phase::Opening { since: self.now };
            self.sound_at = self.now;
            self.quiet_since = self.now;
        }
    }

    /// When silence since `base` has lasted `timeout_ms`; a voice without words puts it off, but not for ever.
    fn silent_due(&self, base: CallMs, timeout_ms: u64) -> CallMs {
        let latest = base.plus(timeout_ms).plus(self.settings.silence.voice_credit_ms);
        if self.voice_since.is_some() {
            return latest;
        }
        self.last_voice.max(base).plus(timeout_ms).min(latest)
    }

    fn far_says_something(&self) -> bool {
        self.far
            .as_ref()
            .is_some_and(|far| !far.keys.is_empty() || far.has_words())
    }

    pub(super) fn opening_due(&self) -> Option<CallMs> {
        let Phase::Opening { since } = self.phase else {
            return None;
        };
        let limits = &self.settings.limits;
        match self.settings.first_speaker {
            FirstSpeaker::AgentAtOnce => Some(since),
            FirstSpeaker::AgentAfterGreeting { silence_ms } => {
                let latest = since.plus(limits.greeting_max_ms.max(silence_ms));
                let due = match (&self.far, self.voice_since) {
                    (None, _) => since.plus(silence_ms),
                    (Some(_), Some(_)) => latest,
                    (Some(_), None) => self.last_voice.plus(limits.greeting_pause_ms),
                };
                Some(due.min(latest))
            }
            FirstSpeaker::Callee { silence_ms } => {
                (!self.far_says_something()).then(|| self.silent_due(since, silence_ms))
            }
        }
    }

    pub(super) fn speak_first(&mut self, out: &mut Vec<TurnOutput>) {
        self.phase = Phase::Talking;
        let mut heard = String::new();
        if let Some(far) = &mut self.far {
            far.is_greeting = true;
            heard = far.text();
        }
        self.ask_brain(true);
        out.push(TurnOutput::SpeakFirst {
            heard: Self::spoken(heard),
        });
        self.weigh_overlap(out);
    }

    pub(super) fn wrap_up_due(&self) -> Option<CallMs> {
        let closes = self.mouth.as_ref().is_some_and(|mouth| mouth.is_goodbye());
        if self.warned || self.gave_up || closes {
            return None;
        }
        let limits = &self.settings.limits;
        let before_ms = limits.warn_before_ms.min(limits.call_max_ms / 2);
        Some(CallMs(limits.call_max_ms).minus(before_ms))
    }

    pub(super) fn wrap_up(&mut self, out: &mut Vec<TurnOutput>) {
        self.warned = true;
        self.phase = Phase::Talking;
        out.push(TurnOutput::WrapUp {
            left_ms: CallMs(self.settings.limits.call_max_ms).since(self.now),
        });
        if !self.has_floor() && self.far.is_none() {
            self.ask_brain(true);
        }
    }

    pub(super) fn filler_due(&self) -> Option<CallMs> {
        let (since, _, filled) = self.brain_awaited()?;
        if filled || self.voice_since.is_some() {
            return None;
        }
        Some(since.plus(self.settings.limits.filler_ms))
    }

    pub(super) fn brain_slow(&mut self, out: &mut Vec<TurnOutput>) {
        if let Brain::Asked { filled, .. } = &mut self.brain {
            *filled = true;
            out.push(TurnOutput::Nudge(Nudge::Filler));
        }
    }

    pub(super) fn brain_late_due(&self) -> Option<CallMs> {
        let (since, last_sign, _) = self.brain_awaited()?;
        let limits = &self.settings.limits;
        Some(last_sign.plus(limits.answer_ms).min(since.plus(limits.thinking_max_ms)))
    }

    pub(super) fn brain_late(&mut self, out: &mut Vec<TurnOutput>) {
        self.nudge(Nudge::BrainLate, out);
    }

    /// Somebody must speak, and quickly. Who was nudged too often in vain is given up.
    pub(super) fn nudge(&mut self, nudge: Nudge, out: &mut Vec<TurnOutput>) {
        self.drop_mouth(out);
        self.nudges = self.nudges.saturating_add(1);
        self.nudged_at = self.now;
        if self.gave_up {
            self.hang_up(HangUpReason::GaveUp, out);
        } else if self.nudges > self.settings.limits.nudges {
            self.hang_up(HangUpReason::Stuck, out);
        } else {
            self.phase = Phase::Talking;
            self.ask_brain(true);
            out.push(TurnOutput::Nudge(nudge));
        }
    }

    pub(super) fn silence_due(&self) -> Option<CallMs> {
        if self.phase != Phase::Talking || self.has_floor() || self.early.is_some() || self.far_says_something() {
            return None;
        }
        let silence = &self.settings.silence;
        let timeout_ms = match self.expect {
            Expect::Digits { .. } => silence.digits_silence_ms,
            Expect::Nothing
            | Expect::YesNo
            | Expect::Choice
            | Expect::Number
            | Expect::DateTime
            | Expect::Name
            | Expect::Open => silence.silence_ms,
        };
        if self.cut_for_words && self.far.is_none() {
            // We stopped for words that turned out to be none: the callee waits for us.
            return Some(self.silent_due(self.quiet_since, timeout_ms.min(silence.after_cut_ms)));
        }
        Some(self.silent_due(self.quiet_since, timeout_ms))
    }

    pub(super) fn callee_silent(&mut self, out: &mut Vec<TurnOutput>) {
        if self.gave_up {
            // The goodbye was asked for and something else was said.
            self.hang_up(HangUpReason::GaveUp, out);
            return;
        }
        self.ask_brain(true);
        if self.reprompts < self.settings.silence.reprompts {
            self.reprompts = self.reprompts.saturating_add(1);
            out.push(TurnOutput::Reprompt { count: self.reprompts });
        } else {
            self.gave_up = true;
            out.push(TurnOutput::GiveUp);
        }
    }

    pub(super) fn watchdog_due(&self) -> CallMs {
        let limit_ms = self.settings.limits.watchdog_ms.max(1_000);
        self.silent_due(self.sound_at, limit_ms)
            .max(self.nudged_at.plus(limit_ms))
    }

    pub(super) fn nobody_speaks(&mut self, out: &mut Vec<TurnOutput>) {
        self.nudge(Nudge::NobodySpeaks, out);
    }
}
