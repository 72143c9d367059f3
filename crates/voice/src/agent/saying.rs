//! What is said: the brain's words cut into units and made into sound, and what is said when that fails.

use super::Line;
use super::brain::Piece;
use super::mouth::{Made, Mouth};
use super::talk::Talk;
use super::thinker::Thought;
use crate::speech::SpeechAction;
use carillon_domain::conversation::{
    AfterSpeech, Expect, SentenceSettings, Sentences, SpeechEnd, SpokenText, TurnInput, Unit,
};
use carillon_domain::script::{TalkEnd, TalkPart};
use carillon_interfaces::speech::SpeechError;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A brain that failed so often in a row is not asked again.
const BRAIN_FAILURES_MAX: u32 = 2;

/// So many units that failed in a row end the call.
const VOICE_FAILURES_MAX: u32 = 2;

/// The units that were given and are not over.
#[derive(Debug, Default)]
pub(super) struct Units {
    last: u32,
    open: BTreeMap<u32, Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    made: u64,
    played: u64,
    /// Its sound broke off: it is over where it broke.
    broken: bool,
}

impl Units {
    fn next(&mut self) -> u32 {
        self.last = self.last.saturating_add(1);
        self.open.insert(self.last, Progress::default());
        self.last
    }

    fn made(&mut self, unit: u32, samples: u64) -> Option<u64> {
        let progress = self.open.get_mut(&unit)?;
        progress.made += samples;
        Some(progress.made)
    }

    pub(super) fn played(&mut self, unit: u32, samples: u64) {
        if let Some(progress) = self.open.get_mut(&unit) {
            progress.played = samples;
        }
    }

    fn made_so_far(&self, unit: u32) -> u64 {
        self.open.get(&unit).map_or(0, |progress| progress.made)
    }

    fn breaks(&mut self, unit: u32) {
        if let Some(progress) = self.open.get_mut(&unit) {
            progress.broken = true;
        }
    }

    pub(super) fn is_broken(&self, unit: u32) -> bool {
        self.open.get(&unit).is_some_and(|progress| progress.broken)
    }

    /// A unit is over, and with it those before it.
    pub(super) fn finished(&mut self, unit: u32) {
        self.open.retain(|open, _| *open > unit);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Samples that were made and not played.
    pub(super) fn ahead(&self) -> u64 {
        self.open
            .values()
            .map(|unit| unit.made.saturating_sub(unit.played))
            .sum()
    }

    fn forget(&mut self) {
        self.open.clear();
    }
}

impl<L: Line> Talk<L> {
    /// A fresh answer begins: what is left of the one before is dropped.
    pub(super) fn begin_answer(&mut self) {
        self.sentences = Sentences::new(SentenceSettings::default());
        self.interruptible = true;
        self.expect = Expect::Open;
        self.hanging_up = false;
    }

    /// Numbers units and has them made.
    pub(super) fn give_units(&mut self, texts: Vec<String>) -> Vec<Unit> {
        let mut units = Vec::new();
        for text in texts.into_iter().filter(|text| !text.trim().is_empty()) {
            let number = self.units.next();
            self.stopwatch.answer_begins(self.line.now_us(), number);
            if !self.mouth.say(number, text.clone()) {
                // More than fits is not said: an answer of this length is a mistake of the brain.
                self.units.finished(number);
                self.findings
                    .fault("voice: an answer was too long and was cut".to_owned());
                break;
            }
            units.push(Unit {
                number,
                text: SpokenText::from(text),
            });
        }
        units
    }

    /// An answer without words.
    pub(super) fn nothing_to_say(&self) -> TurnInput {
        TurnInput::BrainSays {
            units: Vec::new(),
            interruptible: true,
            end: Some(SpeechEnd {
                expect: Expect::Open,
                then: AfterSpeech::Listen,
            }),
        }
    }

    pub(super) fn say_and_listen(&mut self, text: String) -> Vec<TurnInput> {
        self.say_and(text, AfterSpeech::Listen)
    }

    fn say_and(&mut self, text: String, then: AfterSpeech) -> Vec<TurnInput> {
        let units = self.give_units(vec![text]);
        vec![TurnInput::BrainSays {
            units,
            interruptible: then == AfterSpeech::Listen,
            end: Some(SpeechEnd {
                expect: self.turns.expect(),
                then,
            }),
        }]
    }

    pub(super) async fn thought(&mut self, thought: Thought) {
        match thought {
            Thought::Piece(piece) => self.piece(piece).await,
            Thought::Done => {
                self.brain_failures = 0;
                let texts = self.sentences.finish();
                let then = if self.hanging_up || self.must_end {
                    AfterSpeech::HangUp
                } else {
                    AfterSpeech::Listen
                };
                let end = SpeechEnd {
                    expect: self.expect,
                    then,
                };
                self.say(texts, Some(end)).await;
            }
            Thought::Failed(error) => {
                let inputs = self.brain_failed(&error.to_string()).await;
                self.tell_all(inputs).await;
            }
        }
    }

    async fn piece(&mut self, piece: Piece) {
        match piece {
            Piece::Words(words) => {
                let texts = self.sentences.push(&words);
                if !texts.is_empty() {
                    self.say(texts, None).await;
                }
            }
            Piece::Interruptible(interruptible) => {
                let texts = self.sentences.finish();
                if !texts.is_empty() {
                    self.say(texts, None).await;
                }
                self.interruptible = interruptible;
            }
            Piece::Thinking => self.tell(TurnInput::BrainThinking).await,
            Piece::Expect(expect) => self.expect = expect,
            Piece::Value { name, value } => self.findings.value(name, value),
            Piece::Decision(decision) => self.findings.decide(decision),
            Piece::HangUp { outcome } => {
                self.findings.outcome = Some(outcome);
                self.hanging_up = true;
            }
        }
    }

    async fn say(&mut self, texts: Vec<String>, end: Option<SpeechEnd>) {
        let units = self.give_units(texts);
        let interruptible = self.interruptible;
        self.tell(TurnInput::BrainSays {
            units,
            interruptible,
            end,
        })
        .await;
    }

    pub(super) async fn tell_all(&mut self, inputs: Vec<TurnInput>) {
        for input in inputs {
            self.tell(input).await;
        }
    }

    /// Stops making and playing; what the brain is about to say is dropped too.
    pub(super) async fn fall_silent(&mut self) {
        self.thinker.cancel();
        self.mouth = Mouth::open(Arc::clone(&self.kit), self.voice.clone(), self.timing.sound);
        self.units.forget();
        self.sentences = Sentences::new(SentenceSettings::default());
        self.stopwatch.give_up();
        self.act(SpeechAction::Stop).await;
    }

    pub(super) async fn made(&mut self, made: Made) {
        match made {
            Made::Sound { unit, samples } => {
                let Some(so_far) = self.units.made(unit, samples.len() as u64) else {
                    return;
                };
                if !self.line.say(unit, &samples, true).await {
                    self.finish(TalkEnd::Fault {
                        part: TalkPart::Runtime,
                    });
                    return;
                }
                self.tell(TurnInput::SpeechMade {
                    unit,
                    samples: so_far,
                    complete: false,
                })
                .await;
            }
            Made::Complete { unit } => {
                self.voice_failures = 0;
                self.line.say(unit, &[], false).await;
                let samples = self.units.made_so_far(unit);
                self.tell(TurnInput::SpeechMade {
                    unit,
                    samples,
                    complete: true,
                })
                .await;
            }
            Made::Failed { unit, error } => self.unit_failed(unit, &error).await,
        }
    }

    async fn unit_failed(&mut self, unit: u32, error: &SpeechError) {
        metrics::counter!("carillon_talk_faults_total", "part" => "voice").increment(1);
        self.findings.fault(format!("voice: {error}"));
        self.voice_failures += 1;
        self.line.say(unit, &[], false).await;
        if self.voice_failures >= VOICE_FAILURES_MAX {
            self.cannot_go_on(TalkPart::Voice).await;
        } else if self.units.made_so_far(unit) > 0 {
            // What was made of it is heard first.
            self.units.breaks(unit);
        } else {
            self.tell(TurnInput::SpeechFailed { unit }).await;
        }
    }

    /// The brain has no (further) answer: what it has said is said to its end, and the callee is told what to do.
    pub(super) async fn brain_failed(&mut self, why: &str) -> Vec<TurnInput> {
        metrics::counter!("carillon_talk_faults_total", "part" => "brain").increment(1);
        self.findings.fault(format!("brain: {why}"));
        self.brain_failures += 1;
        self.sentences = Sentences::new(SentenceSettings::default());
        if self.brain_failures >= BRAIN_FAILURES_MAX || self.must_end {
            return self.part_from_callee(TalkPart::Brain).await;
        }
        let text = self.phrases.say_again.clone();
        self.say_and_listen(text)
    }

    pub(super) fn brain_is_gone(&mut self) -> Vec<TurnInput> {
        self.findings.fault("brain: it is gone".to_owned());
        self.findings.end(TalkEnd::Fault { part: TalkPart::Brain });
        let text = self.phrases.cannot_go_on.clone();
        self.say_and(text, AfterSpeech::HangUp)
    }

    /// Our words make no sound: what was made before the call has to do, and then the call ends.
    pub(super) async fn no_voice(&mut self) -> Vec<TurnInput> {
        self.thinker.cancel();
        self.voice_failures += 1;
        self.findings.fault("voice: no sound came".to_owned());
        self.part_from_callee(TalkPart::Voice).await
    }

    /// Says that nothing works, and ends the call. A phrase made before the need is taken when there is one; without one, and without a
    /// voice, the call ends at once: nobody is left in silence.
    async fn part_from_callee(&mut self, part: TalkPart) -> Vec<TurnInput> {
        self.findings.end(TalkEnd::Fault { part });
        let text = self.phrases.cannot_go_on.clone();
        let Some(sound) = self.spare.get(&self.voice, &text) else {
            if part == TalkPart::Voice || text.is_empty() {
                self.finish(TalkEnd::Fault { part });
                return Vec::new();
            }
            return self.say_and(text, AfterSpeech::HangUp);
        };
        let number = self.units.next();
        let samples = sound.len() as u64;
        let made = self.units.made(number, samples).unwrap_or(samples);
        if !self.line.say(number, &sound, false).await {
            self.finish(TalkEnd::Fault { part });
            return Vec::new();
        }
        vec![
            TurnInput::BrainSays {
                units: vec![Unit {
                    number,
                    text: SpokenText::from(text),
                }],
                interruptible: false,
                end: Some(SpeechEnd {
                    expect: Expect::Nothing,
                    then: AfterSpeech::HangUp,
                }),
            },
            TurnInput::SpeechMade {
                unit: number,
                samples: made,
                complete: true,
            },
        ]
    }

    /// A part fails for good: the callee is told, and the call ends.
    pub(super) async fn cannot_go_on(&mut self, part: TalkPart) {
        self.fall_silent().await;
        let inputs = self.part_from_callee(part).await;
        self.tell_all(inputs).await;
    }

    /// Says something that is no answer of the brain, and then hangs up or listens.
    pub(super) async fn speak_out_of_turn(&mut self, text: String, then: AfterSpeech) {
        let inputs = self.say_and(text, then);
        self.tell_all(inputs).await;
    }
}
