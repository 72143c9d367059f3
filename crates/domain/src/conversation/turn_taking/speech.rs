//! Our words while they are spoken: units, how much of each was played, what of them was heard.

use super::io::{AfterSpeech, SpeechEnd, Unit, UnitNumber};
use crate::conversation::clock::CallMs;
use crate::conversation::heard::{SAMPLES_PER_MS, WordTimes};

#[derive(Clone)]
pub(super) struct QueuedUnit {
    pub(super) number: UnitNumber,
    pub(super) words: WordTimes,
    pub(super) interruptible: bool,
    made: u64,
    complete: bool,
    failed: bool,
    played: u64,
}

impl QueuedUnit {
    fn new(unit: &Unit, interruptible: bool) -> Self {
        Self {
            number: unit.number,
            words: WordTimes::estimated(&unit.text),
            interruptible,
            made: 0,
            complete: false,
            failed: false,
            played: 0,
        }
    }

    pub(super) fn total(&self) -> u64 {
        if self.complete {
            self.made
        } else {
            self.made.max(self.words.estimated_samples())
        }
    }

    fn is_played(&self) -> bool {
        self.failed || (self.complete && self.played >= self.made)
    }

    fn heard(&self, delay_samples: u64) -> (&str, &str) {
        if self.complete && self.made == 0 {
            return ("", self.words.text());
        }
        self.words
            .heard(self.played.saturating_sub(delay_samples), self.total())
    }
}

#[derive(Clone)]
pub(super) struct Speech {
    units: Vec<QueuedUnit>,
    pub(super) end: Option<SpeechEnd>,
    /// When the first sample was played.
    pub(super) begun: Option<CallMs>,
    pub(super) last_played: CallMs,
    /// The last sign that it goes on: given, made, played, resumed.
    pub(super) progress: CallMs,
    /// All units were played; more are to come.
    pub(super) drained: Option<CallMs>,
    /// Playback was told to stop, at this time.
    pub(super) stopped: Option<CallMs>,
}

impl Speech {
    pub(super) fn new(now: CallMs) -> Self {
        Self {
            units: Vec::new(),
            end: None,
            begun: None,
            last_played: now,
            progress: now,
            drained: None,
            stopped: None,
        }
    }

    pub(super) fn add(&mut self, now: CallMs, units: &[Unit], interruptible: bool, end: Option<SpeechEnd>) {
        if !units.is_empty() {
            self.drained = None;
        }
        self.progress = now;
        self.units.extend(
            units
                .iter()
                .filter(|unit| !unit.text.trim().is_empty())
                .map(|unit| QueuedUnit::new(unit, interruptible)),
        );
        self.end = end;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    pub(super) fn is_goodbye(&self) -> bool {
        self.end.is_some_and(|end| end.then == AfterSpeech::HangUp)
    }

    /// The unit that is being played, or the next one.
    pub(super) fn current(&self) -> Option<&QueuedUnit> {
        self.units.iter().find(|unit| !unit.is_played())
    }

    pub(super) fn is_interruptible(&self) -> bool {
        self.current()
            .or(self.units.last())
            .is_none_or(|unit| unit.interruptible)
    }

    pub(super) fn in_last_unit(&self) -> bool {
        self.units.iter().filter(|unit| !unit.is_played()).count() <= 1
    }

    pub(super) fn all_played(&self) -> bool {
        self.units.iter().all(QueuedUnit::is_played)
    }

    pub(super) fn nothing_played(&self) -> bool {
        self.units.iter().all(|unit| unit.played == 0)
    }

    /// Milliseconds until its end as far as it is known.
    pub(super) fn remaining_ms(&self) -> u64 {
        let samples: u64 = self
            .units
            .iter()
            .filter(|unit| !unit.is_played())
            .map(|unit| unit.total().saturating_sub(unit.played))
            .sum();
        samples / SAMPLES_PER_MS
    }

    /// More of a unit was made. Returns whether the unit is one of ours.
    pub(super) fn made(&mut self, now: CallMs, number: UnitNumber, samples: u64, complete: bool) -> bool {
        let Some(unit) = self.units.iter_mut().find(|unit| unit.number == number) else {
            return false;
        };
        if samples > unit.made || complete {
            self.progress = now;
        }
        unit.made = unit.made.max(samples);
        unit.complete |= complete;
        true
    }

    /// A unit fails. Returns whether it is one of ours.
    pub(super) fn failed(&mut self, number: UnitNumber) -> bool {
        let found = self.units.iter_mut().find(|unit| unit.number == number);
        found.is_some_and(|unit| {
            unit.failed = true;
            true
        })
    }

    /// Playback has come to `samples` of a unit. Returns whether that is further than before.
    pub(super) fn played(&mut self, now: CallMs, number: UnitNumber, samples: u64) -> bool {
        let Some(index) = self.units.iter().position(|unit| unit.number == number) else {
            return false;
        };
        for unit in &mut self.units[..index] {
            unit.finish();
        }
        let unit = &mut self.units[index];
        let further = samples > unit.played;
        if further {
            unit.played = samples;
            self.progress = now;
            self.last_played = now;
            self.begun.get_or_insert(now);
        }
        further
    }

    /// A unit, and all before it, were played to their ends. Returns whether the unit is one of ours.
    pub(super) fn finish(&mut self, now: CallMs, number: UnitNumber) -> bool {
        let Some(index) = self.units.iter().position(|unit| unit.number == number) else {
            return false;
        };
        for unit in &mut self.units[..=index] {
            unit.finish();
        }
        self.progress = now;
        if !self.nothing_played() {
            self.begun.get_or_insert(now);
            self.last_played = now;
        }
        true
    }

    /// Where to go on after a stop: at the start of the cut word, or of the unit when little of it was heard; at the very end when all
    /// was played meanwhile. `None`: there is no unit.
    pub(super) fn resume_point(&self, restart_ms: u64) -> Option<(UnitNumber, u64)> {
        let Some(unit) = self.current() else {
            return self.units.last().map(|last| (last.number, last.played));
        };
        let sample = if unit.played / SAMPLES_PER_MS < restart_ms {
            0
        } else {
            unit.words.resume_at(unit.played, unit.total())
        };
        Some((unit.number, sample))
    }

    /// Playback goes on at `sample` of the current unit: what comes after it counts as not yet played.
    pub(super) fn rewind(&mut self, now: CallMs, number: UnitNumber, sample: u64) {
        if let Some(unit) = self.units.iter_mut().find(|unit| unit.number == number) {
            unit.played = unit.played.min(sample);
        }
        self.stopped = None;
        self.progress = now;
    }

    /// The words that were heard, and the others, when sound takes `delay_ms` to the callee's ear.
    pub(super) fn heard(&self, delay_ms: u64) -> (String, String) {
        let (mut heard, mut unheard) = (String::new(), String::new());
        let push = |text: &mut String, words: &str| {
            if !words.is_empty() {
                if !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(words);
            }
        };
        // The delay cuts into the unit that is being played; those before it are long heard.
        let last_begun = self.units.iter().rposition(|unit| unit.played > 0);
        for (index, unit) in self.units.iter().enumerate() {
            let delay = if Some(index) == last_begun {
                delay_ms.saturating_mul(SAMPLES_PER_MS)
            } else {
                0
            };
            let (said, rest) = unit.heard(delay);
            push(&mut heard, said);
            push(&mut unheard, rest);
        }
        (heard, unheard)
    }
}

impl QueuedUnit {
    fn finish(&mut self) {
        if !self.failed {
            if !self.complete {
                self.made = self.made.max(self.played);
                if self.made == 0 {
                    // Played without a word about its length: its estimate has to do.
                    self.made = self.words.estimated_samples();
                }
                self.complete = true;
            }
            self.played = self.made;
        }
    }
}
