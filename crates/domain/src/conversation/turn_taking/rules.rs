//! The rules that time makes due, and what each does. All of them are looked at after every input.

use super::{Brain, HangUpReason, Phase, TurnOutput, Turns};
use crate::conversation::clock::CallMs;

/// What may be due. Of several that are due at the same time the first here goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// The call is as long as it may be.
    CallTooLong,
    /// The goodbye has reached the callee's ear.
    Closed,
    /// A voice is on and no frames come.
    FramesLost,
    /// The brain must be told that the call will end.
    WrapUp,
    /// Words so far are wanted.
    Partial,
    /// The utterance is longer than a recogniser takes.
    UtteranceTooLong,
    /// The voice paused: the words are wanted.
    Pause,
    /// The words that should tell what an overlap was do not come.
    OverlapUntold,
    /// Voice alone stops us.
    VoiceStops,
    /// No words confirm a voice: go on over it.
    OverlapUnconfirmed,
    /// The callee's turn is over.
    TurnOver,
    /// The callee's turn is longer than anybody waits.
    TurnTooLong,
    /// A yes said into our question was the answer.
    EarlyAnswer,
    /// Nobody has begun: we do.
    Opening,
    /// All was played and nobody says so.
    PlaybackOver,
    /// Nothing is played though it should be.
    Stall,
    /// The brain is slow.
    Filler,
    /// The brain is too late.
    BrainLate,
    /// The callee is silent.
    Silence,
    /// Nobody speaks.
    Watchdog,
}

const RULES: [Rule; 20] = [
    Rule::CallTooLong,
    Rule::Closed,
    Rule::FramesLost,
    Rule::WrapUp,
    Rule::Partial,
    Rule::UtteranceTooLong,
    Rule::Pause,
    Rule::OverlapUntold,
    Rule::VoiceStops,
    Rule::OverlapUnconfirmed,
    Rule::TurnOver,
    Rule::TurnTooLong,
    Rule::EarlyAnswer,
    Rule::Opening,
    Rule::PlaybackOver,
    Rule::Stall,
    Rule::Filler,
    Rule::BrainLate,
    Rule::Silence,
    Rule::Watchdog,
];

/// No input makes more rules due than this, one after the other; a mistake here must not hang a call.
const STEPS_MAX: usize = 64;

impl Turns {
    /// When the next rule is due.
    pub(super) fn next_due(&self) -> Option<CallMs> {
        self.next_rule().map(|(due, _)| due)
    }

    fn next_rule(&self) -> Option<(CallMs, Rule)> {
        RULES
            .iter()
            .filter_map(|rule| self.due(*rule).map(|due| (due, *rule)))
            .min_by_key(|(due, _)| *due)
    }

    pub(super) fn perform_due_rules(&mut self, out: &mut Vec<TurnOutput>) {
        for _ in 0..STEPS_MAX {
            match self.next_rule() {
                Some((due, rule)) if due <= self.now => self.perform(rule, out),
                _ => return,
            }
        }
    }

    fn due(&self, rule: Rule) -> Option<CallMs> {
        match (self.phase, rule) {
            (Phase::Waiting | Phase::Over, _) => return None,
            (Phase::Closing { at }, Rule::Closed) => return Some(at),
            (_, Rule::CallTooLong) => return Some(CallMs(self.settings.limits.call_max_ms)),
            (Phase::Closing { .. }, _) => return None,
            (Phase::Opening { .. } | Phase::Talking, _) => {}
        }
        match rule {
            Rule::CallTooLong | Rule::Closed => None,
            Rule::FramesLost => self.edges.lost_at(),
            Rule::WrapUp => self.wrap_up_due(),
            Rule::Partial => self.partial_due(),
            Rule::UtteranceTooLong => self.utterance_too_long_due(),
            Rule::Pause => self.pause_due(),
            Rule::OverlapUntold => self.overlap_untold_due(),
            Rule::VoiceStops => self.voice_stops_due(),
            Rule::OverlapUnconfirmed => self.overlap_unconfirmed_due(),
            Rule::TurnOver => self.turn_over().map(|(due, _)| due),
            Rule::TurnTooLong => self.turn_too_long_due(),
            Rule::EarlyAnswer => self.early_answer_due(),
            Rule::Opening => self.opening_due(),
            Rule::PlaybackOver => self.playback_over_due(),
            Rule::Stall => self.stall_due(),
            Rule::Filler => self.filler_due(),
            Rule::BrainLate => self.brain_late_due(),
            Rule::Silence => self.silence_due(),
            Rule::Watchdog => Some(self.watchdog_due()),
        }
    }

    fn perform(&mut self, rule: Rule, out: &mut Vec<TurnOutput>) {
        match rule {
            Rule::CallTooLong => self.hang_up(HangUpReason::TooLong, out),
            Rule::Closed => {
                let reason = if self.gave_up {
                    HangUpReason::GaveUp
                } else {
                    HangUpReason::Goodbye
                };
                self.hang_up(reason, out);
            }
            Rule::FramesLost => {
                let edge = self.edges.lose();
                self.voice_edge(edge, out);
            }
            Rule::WrapUp => self.wrap_up(out),
            Rule::Partial => self.ask_partial(out),
            Rule::UtteranceTooLong => self.cut_utterance(out),
            Rule::Pause => self.voice_pauses(out),
            Rule::OverlapUntold => self.overlap_untold(out),
            Rule::VoiceStops => self.voice_stops_us(out),
            Rule::OverlapUnconfirmed => self.overlap_unconfirmed(out),
            Rule::TurnOver => self.turn_is_over(out),
            Rule::TurnTooLong => self.turn_too_long(out),
            Rule::EarlyAnswer => self.take_early_answer(out),
            Rule::Opening => self.speak_first(out),
            Rule::PlaybackOver => self.finish_if_all_played(out),
            Rule::Stall => self.speech_stalls(out),
            Rule::Filler => self.brain_slow(out),
            Rule::BrainLate => self.brain_late(out),
            Rule::Silence => self.callee_silent(out),
            Rule::Watchdog => self.nobody_speaks(out),
        }
    }

    /// Since when the brain was asked and when it last gave a sign, while it owes words and none of ours are waiting to be played.
    pub(super) fn brain_awaited(&self) -> Option<(CallMs, CallMs, bool)> {
        let Brain::Asked {
            since,
            last_sign,
            filled,
        } = self.brain
        else {
            return None;
        };
        match &self.mouth {
            None => Some((since, last_sign, filled)),
            Some(mouth) => mouth
                .drained
                .map(|drained| (since.max(drained), last_sign.max(drained), filled)),
        }
    }
}
