//! Our side: what the brain says, how playback goes, what of it was heard.

use super::barge_in::Overlap;
use super::io::{AfterSpeech, Interruption, Nudge, SpeechEnd, TurnOutput, Unit, UnitNumber};
use super::speech::Speech;
use super::{Brain, Phase, Turns};
use crate::conversation::clock::CallMs;
use crate::conversation::transcript::{Heard, Speaker, SpokenText, TranscriptEntry};

/// All samples were played and nobody says that the unit is finished: after this long it is, in milliseconds.
const FINISH_GRACE_MS: u64 = 300;

impl Turns {
    pub(super) fn brain_thinks(&mut self) {
        match &mut self.brain {
            Brain::Asked { last_sign, .. } => *last_sign = self.now,
            Brain::Idle if self.mouth.is_none() && self.phase == Phase::Talking => self.ask_brain(false),
            Brain::Idle => {}
        }
    }

    pub(super) fn brain_says(
        &mut self,
        units: &[Unit],
        interruptible: bool,
        end: Option<SpeechEnd>,
        out: &mut Vec<TurnOutput>,
    ) {
        if matches!(self.phase, Phase::Closing { .. }) {
            return;
        }
        self.phase = Phase::Talking;
        let last_word = self.warned && end.is_some_and(|end| end.then == AfterSpeech::HangUp);
        let now = self.now;
        let is_first = self.mouth.is_none();
        let mouth = self.mouth.get_or_insert_with(|| Speech::new(now));
        mouth.add(now, units, interruptible && !last_word, end);
        match (end, &mut self.brain) {
            (Some(_), brain) => *brain = Brain::Idle,
            (None, Brain::Asked { last_sign, .. }) => *last_sign = now,
            (None, brain) => {
                *brain = Brain::Asked {
                    since: now,
                    last_sign: now,
                    filled: true,
                }
            }
        }
        if self.mouth.as_ref().is_some_and(Speech::is_empty) {
            // Nothing to say: only what follows counts.
            self.mouth = None;
            if let Some(end) = end {
                self.speech_is_over(end, out);
            }
            return;
        }
        if is_first {
            self.early = None;
            self.cut_for_words = false;
            if let Some(far) = &self.far
                && self.overlap.is_none()
            {
                self.overlap = Some(Overlap::unasked(far.begun));
            }
            self.hold_reply(out);
        }
        self.finish_if_all_played(out);
    }

    pub(super) fn speech_failed(&mut self, unit: UnitNumber, out: &mut Vec<TurnOutput>) {
        let Some(mouth) = &mut self.mouth else { return };
        if !mouth.failed(unit) || !mouth.all_played() {
            return;
        }
        if mouth.nothing_played() && !mouth.is_goodbye() {
            self.speech_stalls(out);
        } else {
            self.finish_if_all_played(out);
        }
    }

    pub(super) fn playback_at(&mut self, unit: UnitNumber, samples: u64) {
        let Some(mouth) = &mut self.mouth else { return };
        if mouth.played(self.now, unit, samples) {
            self.sound_at = self.now;
            self.first_played.get_or_insert(self.now);
        }
    }

    pub(super) fn unit_finished(&mut self, unit: UnitNumber, out: &mut Vec<TurnOutput>) {
        let Some(mouth) = &mut self.mouth else { return };
        if !mouth.finish(self.now, unit) {
            return;
        }
        self.sound_at = self.now;
        self.first_played.get_or_insert(self.now);
        self.finish_if_all_played(out);
    }

    /// All units were played: our turn is over, or more is to come.
    pub(super) fn finish_if_all_played(&mut self, out: &mut Vec<TurnOutput>) {
        let now = self.now;
        let Some(mouth) = &mut self.mouth else { return };
        if mouth.stopped.is_some() || !mouth.all_played() {
            return;
        }
        match mouth.end {
            Some(end) => self.speech_is_over(end, out),
            None => {
                mouth.drained.get_or_insert(now);
            }
        }
    }

    fn speech_is_over(&mut self, end: SpeechEnd, out: &mut Vec<TurnOutput>) {
        if self.mouth.is_some() {
            self.last_said = self.words_around_now();
            self.last_said_at = self.now;
            self.nudges = 0;
            let (heard, _) = self.record_mouth();
            if !heard.is_empty() {
                self.handed = None;
            }
        }
        self.brain = Brain::Idle;
        // Whoever spoke against our last words now simply speaks.
        self.overlap = None;
        self.set_duck(false, out);
        self.expect = end.expect;
        self.quiet_since = self.now;
        self.sound_at = self.now;
        if end.then == AfterSpeech::HangUp {
            self.phase = Phase::Closing {
                at: self.now.plus(self.settings.limits.goodbye_linger_ms),
            };
        }
    }

    /// Takes our words away and writes down what was heard of them. Returns what was heard and what was not.
    pub(super) fn record_mouth(&mut self) -> (String, String) {
        let Some(mouth) = self.mouth.take() else {
            return (String::new(), String::new());
        };
        let delay_ms = if mouth.all_played() {
            0
        } else {
            self.settings.interruption.line_delay_ms
        };
        let (heard, unheard) = mouth.heard(delay_ms);
        if let Some(begun) = mouth.begun {
            self.transcript.add(TranscriptEntry {
                who: Speaker::Agent,
                text: Self::spoken(heard.as_str()),
                keys: SpokenText::default(),
                begin_ms: begun,
                end_ms: mouth.last_played,
                heard: if unheard.is_empty() { Heard::Full } else { Heard::Cut },
                unheard_text: Self::spoken(unheard.as_str()),
            });
        }
        (heard, unheard)
    }

    pub(super) fn playback_over_due(&self) -> Option<CallMs> {
        let mouth = self.mouth.as_ref()?;
        if mouth.stopped.is_some() || mouth.drained.is_some() || !mouth.all_played() {
            return None;
        }
        Some(mouth.last_played.plus(FINISH_GRACE_MS))
    }

    pub(super) fn stall_due(&self) -> Option<CallMs> {
        let mouth = self.mouth.as_ref()?;
        if mouth.stopped.is_some() || mouth.all_played() {
            return None;
        }
        Some(mouth.progress.plus(self.settings.limits.stall_ms.max(500)))
    }

    pub(super) fn speech_stalls(&mut self, out: &mut Vec<TurnOutput>) {
        if self.mouth.as_ref().is_some_and(Speech::is_goodbye) {
            // A goodbye that nobody can hear must not keep the line.
            self.hang_up(super::HangUpReason::Stuck, out);
            return;
        }
        self.nudge(Nudge::NoVoice, out);
    }

    /// Our words end without an interruption: nothing comes out of them any more.
    pub(super) fn drop_mouth(&mut self, out: &mut Vec<TurnOutput>) {
        let Some(mouth) = &self.mouth else { return };
        let stopped = mouth.stopped.is_some();
        let played = mouth.all_played() && !stopped;
        self.set_duck(false, out);
        let (heard_text, unheard_text) = self.record_mouth();
        if !heard_text.is_empty() {
            self.handed = None;
        }
        if played {
            return;
        }
        if !stopped {
            out.push(TurnOutput::StopPlayback);
        }
        out.push(TurnOutput::Interrupted(Interruption {
            heard_text: Self::spoken(heard_text),
            unheard_text: Self::spoken(unheard_text),
        }));
    }
}
