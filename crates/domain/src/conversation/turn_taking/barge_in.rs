//! The callee speaks while we have the floor. Two stages: a voice ducks us at once; only words (or a long voice without any) stop us,
//! and what turns out to be nothing lets us go on at the word that was cut.

use super::io::{Hearing, Interruption, TurnOutput};
use super::{Brain, EarlyAnswer, Phase, Turns};
use crate::conversation::clock::CallMs;
use crate::conversation::end_of_turn::EndReason;
use crate::conversation::expect::Expect;
use crate::conversation::words::tokens;

/// A stretch of the callee's speech against ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overlap {
    since: CallMs,
    /// Voice alone may stop us. Not when it was on before we began, nor after it was given up.
    by_voice: bool,
    /// No words confirmed it for so long that we go on over it.
    given_up: bool,
    /// It began so late in our words that it may be the answer.
    late: bool,
    /// It began in the last unit.
    in_last_unit: bool,
    /// Words wait until we have finished.
    kept: bool,
}

impl Overlap {
    /// The callee was speaking, or had pressed a key, when we took the floor.
    pub(super) fn unasked(since: CallMs) -> Self {
        Self {
            since,
            by_voice: false,
            given_up: false,
            late: false,
            in_last_unit: false,
            kept: false,
        }
    }
}

/// What the words of an overlap are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// None, noise or our own echo.
    Nothing,
    /// Somebody listens, answers the telephone or says goodbye.
    Backchannel,
    /// Too little to tell yet.
    Unsure,
    /// Something that takes the floor.
    Words,
}

impl Turns {
    pub(super) fn overlap_begins(&mut self, since: CallMs, out: &mut Vec<TurnOutput>) {
        let settings = &self.settings.interruption;
        let (now, mut held) = (self.now, false);
        let mut overlap = Overlap {
            by_voice: true,
            ..Overlap::unasked(since)
        };
        if let Some(mouth) = &mut self.mouth {
            overlap.late = mouth.end.is_some() && mouth.remaining_ms() <= settings.answer_overlap_ms;
            overlap.in_last_unit = mouth.in_last_unit();
            if mouth.begun.is_none() && mouth.is_interruptible() && mouth.stopped.is_none() {
                mouth.stopped = Some(now);
                held = true;
            }
        }
        if self.overlap.is_none() {
            self.overlap = Some(overlap);
        }
        if held {
            out.push(TurnOutput::StopPlayback);
        } else if self.mouth.as_ref().is_some_and(|mouth| mouth.begun.is_some()) {
            self.set_duck(true, out);
        }
    }

    /// A reply is there while a voice is on: it waits if the voice is young.
    pub(super) fn hold_reply(&mut self, out: &mut Vec<TurnOutput>) {
        let young = self
            .voice_since
            .is_some_and(|since| self.now.since(since) <= self.settings.interruption.hold_recent_ms);
        if young
            && let Some(mouth) = &mut self.mouth
            && mouth.stopped.is_none()
            && mouth.begun.is_none()
            && mouth.is_interruptible()
        {
            mouth.stopped = Some(self.now);
            out.push(TurnOutput::StopPlayback);
        }
    }

    /// Our words in the callee's ear about now: the last twenty heard and the next four.
    pub(super) fn words_around_now(&self) -> Vec<String> {
        let Some(mouth) = &self.mouth else {
            return self.last_said.clone();
        };
        let (heard, unheard) = mouth.heard(0);
        let mut around = tokens(&heard);
        around.drain(..around.len().saturating_sub(20));
        around.extend(tokens(&unheard).into_iter().take(4));
        around
    }

    fn weigh(&self) -> Said {
        let (Some(far), Some(overlap)) = (&self.far, &self.overlap) else {
            return Said::Nothing;
        };
        if !far.keys.is_empty() && self.settings.interruption.keys_stop {
            return Said::Words;
        }
        let text = far.text();
        let words = tokens(&text);
        if words.is_empty() || self.is_own_echo() {
            return Said::Nothing;
        }
        let settings = &self.settings.interruption;
        let opening = self
            .first_played
            .is_none_or(|first| overlap.since <= first.plus(settings.greeting_ms));
        let only_greets = opening && self.lexicon.is_greeting(&words);
        let goodbye = self.mouth.as_ref().is_some_and(|mouth| mouth.is_goodbye());
        // How the telephone was answered is no interruption, unless it goes on and on against our words.
        let answers_telephone = far.is_greeting
            && self
                .first_played
                .is_none_or(|first| self.now <= first.plus(settings.greeting_ms));
        if answers_telephone || only_greets || (goodbye && self.lexicon.is_farewell(&words)) {
            return Said::Backchannel;
        }
        if self.lexicon.has_stop(&words) {
            return Said::Words;
        }
        if self.lexicon.is_backchannel(&words) {
            return Said::Backchannel;
        }
        let voiced_ms = far
            .voiced_ms()
            .saturating_add(self.voice_since.map_or(0, |since| self.now.since(since)));
        let final_words = far.is_settled() && self.voice_since.is_none();
        if !final_words && self.lexicon.begins_backchannel(&words) {
            return Said::Unsure;
        }
        if words.len() >= settings.words_min || voiced_ms >= settings.word_voiced_ms || final_words {
            return Said::Words;
        }
        Said::Unsure
    }

    /// Words, their absence or a key came: is it an interruption?
    pub(super) fn weigh_overlap(&mut self, out: &mut Vec<TurnOutput>) {
        if self.overlap.is_none() {
            return;
        }
        let settled = self.voice_since.is_none()
            && self
                .far
                .as_ref()
                .is_none_or(|far| far.is_settled() && far.last_open().is_none());
        match self.weigh() {
            Said::Words => self.words_take_the_floor(settled, out),
            said if settled => self.go_on(said, out),
            Said::Nothing | Said::Backchannel | Said::Unsure => {}
        }
    }

    fn words_take_the_floor(&mut self, settled: bool, out: &mut Vec<TurnOutput>) {
        if self.mouth.as_ref().is_some_and(|mouth| !mouth.is_interruptible()) {
            if let Some(overlap) = &mut self.overlap {
                overlap.kept = true;
            }
            if settled {
                self.set_duck(false, out);
            }
            return;
        }
        self.interrupt(out);
    }

    /// Our words end here; the callee's turn goes on as any other.
    fn interrupt(&mut self, out: &mut Vec<TurnOutput>) {
        if self.mouth.as_ref().is_some_and(|mouth| mouth.stopped.is_none()) {
            out.push(TurnOutput::StopPlayback);
        }
        self.set_duck(false, out);
        if let Some(end) = self
            .mouth
            .as_ref()
            .filter(|mouth| mouth.in_last_unit())
            .and_then(|mouth| mouth.end)
        {
            self.expect = end.expect;
        }
        let (heard_text, unheard_text) = self.record_mouth();
        if !heard_text.is_empty() {
            self.handed = None;
        }
        if let Some(far) = &mut self.far {
            far.is_greeting = false;
        }
        self.brain = Brain::Idle;
        self.overlap = None;
        self.phase = Phase::Talking;
        self.quiet_since = self.now;
        self.gave_up = false;
        self.cut_for_words = true;
        out.push(TurnOutput::Interrupted(Interruption {
            heard_text: Self::spoken(heard_text),
            unheard_text: Self::spoken(unheard_text),
        }));
    }

    /// It was no interruption: we go on, at the word that was cut if we had stopped.
    fn go_on(&mut self, said: Said, out: &mut Vec<TurnOutput>) {
        let Some(overlap) = self.overlap.take() else { return };
        let text = self.far.as_ref().map(|far| far.text()).unwrap_or_default();
        let expect = self.mouth.as_ref().and_then(|mouth| mouth.end).map(|end| end.expect);
        if said == Said::Nothing {
            self.far = None;
        } else if overlap.late && self.far.as_ref().is_some_and(|far| !far.is_greeting) {
            // It may be the answer: it is looked at when we have finished.
        } else if let Some(far) = self.far.take() {
            if overlap.in_last_unit
                && matches!(expect, Some(Expect::YesNo | Expect::Choice))
                && self.lexicon.is_answer(&tokens(&text))
            {
                self.early = Some(EarlyAnswer {
                    text: text.clone(),
                    begun: far.begun,
                    ended: self.last_voice,
                });
            }
            self.record_far(&far, &text, self.last_voice.max(far.begun));
        }
        self.resume(out);
        self.set_duck(false, out);
    }

    pub(super) fn overlap_was_nothing(&mut self, out: &mut Vec<TurnOutput>) {
        self.far = None;
        if self.overlap.is_some() {
            self.go_on(Said::Nothing, out);
        }
    }

    fn resume(&mut self, out: &mut Vec<TurnOutput>) {
        let restart_ms = self.settings.interruption.restart_ms;
        let now = self.now;
        let Some(mouth) = self.mouth.as_mut().filter(|mouth| mouth.stopped.is_some()) else {
            return;
        };
        if let Some((unit, sample)) = mouth.resume_point(restart_ms) {
            mouth.rewind(now, unit, sample);
            out.push(TurnOutput::ResumeFrom { unit, sample });
        }
        self.finish_if_all_played(out);
    }

    /// The recogniser does not tell in time what an overlap was: what is known counts.
    pub(super) fn overlap_untold_due(&self) -> Option<CallMs> {
        let overlap = self.overlap.as_ref()?;
        if self.voice_since.is_some() || overlap.kept {
            return None;
        }
        let far = self.far.as_ref()?;
        let ended = far.last_ended()?;
        Some(ended.plus(self.settings.end_of_turn.recognition_ms))
    }

    pub(super) fn overlap_untold(&mut self, out: &mut Vec<TurnOutput>) {
        match self.weigh() {
            Said::Words | Said::Unsure => self.words_take_the_floor(true, out),
            said @ (Said::Nothing | Said::Backchannel) => self.go_on(said, out),
        }
        // Words that wait for our end are told by the end of the turn, not here.
        if let Some(overlap) = &mut self.overlap {
            overlap.kept = true;
        }
    }

    /// When voice alone stops us.
    pub(super) fn voice_stops_due(&self) -> Option<CallMs> {
        let overlap = self.overlap.as_ref().filter(|overlap| overlap.by_voice)?;
        let mouth = self.mouth.as_ref()?;
        let since = self.voice_since?;
        if mouth.begun.is_none() || mouth.stopped.is_some() || mouth.drained.is_some() || !mouth.is_interruptible() {
            return None;
        }
        if self.far.as_ref()?.anything_told() {
            return None;
        }
        Some(since.max(overlap.since).plus(self.settings.interruption.voiced_ms))
    }

    pub(super) fn voice_stops_us(&mut self, out: &mut Vec<TurnOutput>) {
        if let Some(mouth) = &mut self.mouth {
            mouth.stopped = Some(self.now);
            out.push(TurnOutput::StopPlayback);
        }
    }

    /// When a voice that no words confirm ceases to count.
    pub(super) fn overlap_unconfirmed_due(&self) -> Option<CallMs> {
        let overlap = self.overlap.as_ref().filter(|overlap| !overlap.given_up)?;
        Some(overlap.since.plus(self.settings.interruption.unconfirmed_max_ms))
    }

    pub(super) fn overlap_unconfirmed(&mut self, out: &mut Vec<TurnOutput>) {
        if let Some(overlap) = &mut self.overlap {
            overlap.given_up = true;
            overlap.by_voice = false;
        }
        self.resume(out);
        self.set_duck(false, out);
    }

    pub(super) fn early_answer_due(&self) -> Option<CallMs> {
        if self.has_floor() || self.far.is_some() || self.phase != Phase::Talking {
            return None;
        }
        self.early.as_ref()?;
        Some(self.quiet_since.plus(self.settings.interruption.early_answer_ms))
    }

    pub(super) fn take_early_answer(&mut self, out: &mut Vec<TurnOutput>) {
        if let Some(early) = self.early.take() {
            self.handed = None;
            self.give_turn(
                &early.text,
                "",
                Hearing::Complete,
                (early.begun, early.ended),
                EndReason::Answer,
                None,
                out,
            );
        }
    }
}
