//! How long the callee waits for an answer, and what the wait is made of.

use carillon_domain::script::TurnLatency;

/// Follows one turn from its last voiced packet to the first packet of the answer. Times are microseconds of the engine's clock.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch {
    /// The arrival of the last packet with a voice.
    voiced_us: Option<u64>,
    /// When the last utterance ended, and when its words came.
    utterance_ended_us: Option<u64>,
    words_us: Option<u64>,
    turn: Option<OpenTurn>,
}

#[derive(Debug)]
struct OpenTurn {
    voiced_us: u64,
    over_us: u64,
    recognition_us: u64,
    words_us: Option<u64>,
    first_unit: Option<u32>,
}

impl Stopwatch {
    pub(crate) fn voiced(&mut self, arrived_us: u64) {
        self.voiced_us = Some(arrived_us);
    }

    pub(crate) fn utterance_ended(&mut self, now_us: u64) {
        self.utterance_ended_us = Some(now_us);
        self.words_us = None;
    }

    pub(crate) fn words_came(&mut self, now_us: u64) {
        self.words_us.get_or_insert(now_us);
    }

    /// The turn is over, and the brain is asked.
    pub(crate) fn turn_over(&mut self, now_us: u64) {
        let Some(voiced_us) = self.voiced_us else { return };
        let recognition_us = match (self.utterance_ended_us, self.words_us) {
            (Some(ended_us), Some(words_us)) => words_us.saturating_sub(ended_us),
            _ => 0,
        };
        self.turn = Some(OpenTurn {
            voiced_us,
            over_us: now_us,
            recognition_us,
            words_us: None,
            first_unit: None,
        });
    }

    /// The first unit of the answer has its words.
    pub(crate) fn answer_begins(&mut self, now_us: u64, unit: u32) {
        if let Some(turn) = self.turn.as_mut().filter(|turn| turn.first_unit.is_none()) {
            (turn.words_us, turn.first_unit) = (Some(now_us), Some(unit));
        }
    }

    /// There will be no answer to measure.
    pub(crate) fn give_up(&mut self) {
        self.turn = None;
    }

    /// The first packet of a unit has left: the wait, if this ends one.
    pub(crate) fn started(&mut self, unit: u32, at_us: u64, answered_us: u64) -> Option<TurnLatency> {
        let turn = self.turn.as_ref()?;
        let words_us = turn
            .words_us
            .filter(|_| turn.first_unit.is_some_and(|first| unit >= first))?;
        let milliseconds =
            |from_us: u64, to_us: u64| u32::try_from(to_us.saturating_sub(from_us) / 1_000).unwrap_or(u32::MAX);
        let latency = TurnLatency {
            at_ms: at_us.saturating_sub(answered_us) / 1_000,
            total_ms: milliseconds(turn.voiced_us, at_us),
            end_of_turn_ms: milliseconds(turn.voiced_us, turn.over_us),
            recognition_ms: milliseconds(0, turn.recognition_us),
            brain_ms: milliseconds(turn.over_us, words_us),
            synthesis_ms: milliseconds(words_us, at_us),
        };
        self.turn = None;
        Some(latency)
    }
}

/// Hands a wait to the metrics recorder.
pub(crate) fn publish(latency: &TurnLatency) {
    let parts = [
        ("total", latency.total_ms),
        ("end_of_turn", latency.end_of_turn_ms),
        ("recognition", latency.recognition_ms),
        ("brain", latency.brain_ms),
        ("synthesis", latency.synthesis_ms),
    ];
    for (part, milliseconds) in parts {
        metrics::histogram!("carillon_turn_latency_seconds", "part" => part).record(f64::from(milliseconds) / 1_000.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_the_sum_of_its_parts() {
        let mut watch = Stopwatch::default();
        watch.voiced(1_000_000);
        watch.utterance_ended(1_150_000);
        watch.words_came(1_230_000);
        watch.turn_over(1_400_000);
        watch.answer_begins(1_500_000, 7);
        assert_eq!(watch.started(6, 1_550_000, 500_000), None, "an older unit");
        let latency = watch.started(7, 1_600_000, 500_000).expect("a latency");
        let expected = TurnLatency {
            at_ms: 1_100,
            total_ms: 600,
            end_of_turn_ms: 400,
            recognition_ms: 80,
            brain_ms: 100,
            synthesis_ms: 100,
        };
        assert_eq!(latency, expected);
        assert_eq!(watch.started(8, 1_700_000, 500_000), None, "told once");
    }

    #[test]
    fn what_answers_nobody_is_no_wait() {
        let mut watch = Stopwatch::default();
        watch.turn_over(1_400_000);
        watch.answer_begins(1_500_000, 1);
        assert_eq!(watch.started(1, 1_600_000, 0), None, "nobody spoke");
        watch.voiced(2_000_000);
        watch.turn_over(2_400_000);
        watch.give_up();
        assert_eq!(watch.started(2, 2_600_000, 0), None);
    }
}
