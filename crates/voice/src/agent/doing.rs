//! What turn taking wants, done.

use super::Line;
use super::brain::{Heard, Turn};
use super::talk::Talk;
use crate::speech::SpeechAction;
use carillon_domain::conversation::{self, HangUpReason, Hearing, Nudge, TurnInput, TurnOutput};
use carillon_domain::script::{TalkEnd, TalkPart};
use carillon_domain::time::UnixMicros;
use std::sync::Arc;
use std::time::Duration;

/// How much quieter we are while somebody speaks against us, in decibels.
const DUCK_DB: u8 = 12;
/// What a judge of turns looks at, in samples.
const JUDGED_SAMPLES: usize = 8_000 * 8;

impl<L: Line> Talk<L> {
    /// Does one thing; returns what turn taking must be told at once.
    pub(super) async fn perform(&mut self, output: TurnOutput) -> Vec<TurnInput> {
        match output {
            TurnOutput::SpeakFirst { heard } => {
                let greeting = heard.as_str().to_owned();
                return self.ask(Heard::Begin { greeting });
            }
            TurnOutput::BeginUtterance { utterance, pre_roll_ms } => self.begin_utterance(utterance, pre_roll_ms),
            TurnOutput::AskPartial { .. } => {
                if let Some(ear) = self.ear.as_mut() {
                    ear.ask_partial();
                }
            }
            TurnOutput::EndUtterance { utterance } => {
                self.open_utterance = self.open_utterance.filter(|open| *open != utterance);
                self.stopwatch.utterance_ended(self.line.now_us());
                match self.ear.as_mut() {
                    Some(ear) => ear.end(utterance),
                    None => return vec![TurnInput::HearingFailed { utterance }],
                }
            }
            TurnOutput::DiscardUtterance { utterance } => {
                self.open_utterance = self.open_utterance.filter(|open| *open != utterance);
                if let Some(ear) = self.ear.as_mut() {
                    ear.discard(utterance);
                }
            }
            TurnOutput::AskTurnJudge { pause } => self.ask_judge(pause),
            TurnOutput::Duck => self.act(SpeechAction::Duck { decibels: DUCK_DB }).await,
            TurnOutput::Unduck => self.act(SpeechAction::Duck { decibels: 0 }).await,
            TurnOutput::StopPlayback => self.act(SpeechAction::Pause).await,
            TurnOutput::ResumeFrom { unit, sample } => self.act(SpeechAction::ResumeFrom { unit, sample }).await,
            TurnOutput::Interrupted(interruption) => {
                self.cut_off_after = Some(interruption.heard_text.as_str().to_owned());
                self.fall_silent().await;
            }
            TurnOutput::TurnIs(turn) => return self.turn_is(turn),
            TurnOutput::Reprompt { count } => {
                return self.ask(Heard::Silence {
                    times: u32::from(count),
                });
            }
            TurnOutput::Nudge(nudge) => return self.nudged(nudge).await,
            TurnOutput::WrapUp { left_ms } => {
                self.must_end = true;
                return self.ask(Heard::WrapUp { left_ms });
            }
            TurnOutput::GiveUp => {
                self.must_end = true;
                return self.ask(Heard::GiveUp);
            }
            TurnOutput::HangUp(reason) => self.hang_up(reason),
            TurnOutput::WakeAt(at) => self.wake = Some(at),
        }
        Vec::new()
    }

    fn begin_utterance(&mut self, utterance: u32, pre_roll_ms: u64) {
        let samples = usize::try_from(pre_roll_ms.saturating_mul(8)).unwrap_or(usize::MAX);
        let pre_roll = self.recent(samples);
        if let Some(ear) = self.ear.as_mut() {
            ear.begin(utterance, &pre_roll);
        }
        self.open_utterance = Some(utterance);
    }

    /// Asks the judge of turns beside the loop; without an answer in time, silence decides alone.
    fn ask_judge(&mut self, pause: u32) {
        let (kit, sender) = (Arc::clone(&self.kit), self.judged_sender.clone());
        let (sound, patience) = (self.recent(JUDGED_SAMPLES), self.timing.judge);
        tokio::spawn(async move {
            let Some(judge) = kit.turn_judge() else { return };
            match tokio::time::timeout(patience, judge.is_over(sound)).await {
                Ok(Ok(probability)) => {
                    // The conversation may be over by now.
                    let _ = sender.send((pause, probability)).await;
                }
                Ok(Err(error)) => {
                    metrics::counter!("carillon_talk_faults_total", "part" => "turn_judge").increment(1);
                    tracing::debug!(%error, "the judge of turns failed");
                }
                Err(_) => metrics::counter!("carillon_talk_faults_total", "part" => "turn_judge").increment(1),
            }
        });
    }

    fn turn_is(&mut self, turn: conversation::Turn) -> Vec<TurnInput> {
        self.stopwatch.turn_over(self.line.now_us());
        if turn.text.trim().is_empty() && turn.keys.is_empty() {
            self.not_understood += 1;
            if turn.hearing != Hearing::Complete {
                self.findings.fault(match turn.hearing {
                    Hearing::Late => "hearing: the words came too late".to_owned(),
                    Hearing::Failed | Hearing::Complete => "hearing: a turn had no words".to_owned(),
                });
            }
            let times = self.not_understood;
            return self.ask(Heard::NotUnderstood { times });
        }
        self.not_understood = 0;
        self.ask(Heard::Turn {
            words: turn.text.as_str().to_owned(),
            keys: turn.keys.as_str().to_owned(),
            added: turn.continues.then(|| turn.added.as_str().to_owned()),
        })
    }

    /// Asks the brain. While nobody is there to talk with it is not asked, and nothing is said.
    pub(super) fn ask(&mut self, heard: Heard) -> Vec<TurnInput> {
        if self.watch.as_ref().is_some_and(super::machine::Watch::holds_the_brain) {
            self.stopwatch.give_up();
            return vec![self.nothing_to_say()];
        }
        self.begin_answer();
        let turn = Turn {
            heard,
            at: self.wall(),
            cut_off_after: self.cut_off_after.take(),
        };
        if self.thinker.ask(turn) {
            Vec::new()
        } else {
            self.brain_is_gone()
        }
    }

    /// The wall time of the call now.
    pub(super) fn wall(&self) -> UnixMicros {
        self.facts.answered_at + Duration::from_millis(self.now_ms().0)
    }

    async fn nudged(&mut self, nudge: Nudge) -> Vec<TurnInput> {
        if self.watch.as_ref().is_some_and(super::machine::Watch::holds_the_brain) {
            return vec![self.nothing_to_say()];
        }
        match nudge {
            Nudge::Filler => {
                let text = self.phrases.one_moment.clone();
                let units = self.give_units(vec![text]);
                vec![TurnInput::BrainSays {
                    units,
                    interruptible: true,
                    end: None,
                }]
            }
            Nudge::BrainLate => {
                self.thinker.cancel();
                self.brain_failed("it took too long").await
            }
            Nudge::NoVoice => self.no_voice().await,
            Nudge::NobodySpeaks => {
                self.thinker.cancel();
                let text = self.phrases.are_you_there.clone();
                self.say_and_listen(text)
            }
        }
    }

    fn hang_up(&mut self, reason: HangUpReason) {
        self.finish(match reason {
            HangUpReason::Goodbye => TalkEnd::Goodbye,
            HangUpReason::GaveUp => TalkEnd::Silence,
            HangUpReason::TooLong => TalkEnd::TooLong,
            HangUpReason::Stuck => TalkEnd::Fault {
                part: self.blamed_part(),
            },
        });
    }

    /// What keeps us from speaking, as far as it is known.
    fn blamed_part(&self) -> TalkPart {
        if self.voice_failures > 0 {
            TalkPart::Voice
        } else if self.brain_failures > 0 {
            TalkPart::Brain
        } else {
            TalkPart::Runtime
        }
    }
}
