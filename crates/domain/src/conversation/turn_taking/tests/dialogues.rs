//! A dialogue simulator: callees with hesitations, groups of digits, backchannels, coughs, real interruptions and echo; a recogniser
//! with delay; a judge that errs. It counts what annoys people. Everything is drawn from a seed.

use super::super::*;
use super::properties::Dice;
use super::stage::{Stage, plain_settings};
use crate::conversation::TurnSettings;
use std::fmt;

/// A word in the air.
#[derive(Clone, Debug)]
struct Word {
    text: &'static str,
    begin_ms: u64,
    end_ms: u64,
    /// Sound without words: the recogniser finds nothing in it.
    noise: bool,
}

/// What a callee says to one question: phrases, each with the pause before it.
#[derive(Clone, Debug)]
struct Answer {
    expect: Expect,
    question: &'static str,
    phrases: Vec<(u64, &'static str)>,
}

const YES_NO: [&str; 8] = [
    "Yes.",
    "Yeah.",
    "Yep.",
    "No.",
    "No, thank you.",
    "Uh-huh.",
    "Sure.",
    "Yes, please.",
];
const OPEN: [&[&str]; 6] = [
    &["I would like to change my appointment."],
    &["I was calling about", "the invoice from last month."],
    &["Can you tell me", "when you open on Saturday?"],
    &["It is broken.", "It does not start any more."],
    &["Well, I think", "we should do it", "some other day."],
    &["My mother used to come to you and", "she was very happy."],
];
const DIGITS: [&[&str]; 3] = [
    &["four one", "five five", "five five"],
    &["one two three", "four five six"],
    &["914 223"],
];
const BACKCHANNELS: [&str; 6] = ["Mhm.", "Okay.", "Yeah.", "Right.", "Uh-huh.", "I see."];
const INTERRUPTIONS: [&str; 5] = [
    "Wait, I have a question.",
    "No, that is wrong.",
    "Sorry, who is this?",
    "Stop.",
    "I do not want that at all.",
];
const HALLUCINATED: [&str; 5] = ["you", "Thank you.", "the", "So", "I"];
const ECHOES: [&str; 4] = [
    "the inspection of the heating",
    "cleaning of all filters",
    "that you can hand to your insurance",
    "at the price of last",
];
const STATEMENT: &str = "We have a new offer this month that includes the inspection of the heating, the cleaning of \
    all filters and a report that you can hand to your insurance company, all at the price of last year.";

fn draw_answer(dice: &mut Dice) -> Answer {
    match dice.below(4) {
        0 => Answer {
            expect: Expect::YesNo,
            question: "Does that suit you?",
            phrases: vec![(0, dice.pick(&YES_NO))],
        },
        1 => Answer {
            expect: Expect::Digits {
                at_least: 6,
                at_most: 6,
            },
            question: "What is your customer number?",
            phrases: {
                let phrases = dice.pick(&DIGITS);
                spaced(dice, phrases, 400, 1_800)
            },
        },
        _ => Answer {
            expect: Expect::Open,
            question: "What can I do for you?",
            phrases: {
                let phrases = dice.pick(&OPEN);
                spaced(dice, phrases, 250, 1_400)
            },
        },
    }
}

fn spaced(dice: &mut Dice, phrases: &[&'static str], low_ms: u64, high_ms: u64) -> Vec<(u64, &'static str)> {
    phrases
        .iter()
        .enumerate()
        .map(|(index, phrase)| {
            let pause_ms = if index == 0 {
                0
            } else {
                low_ms + dice.below(high_ms - low_ms)
            };
            (pause_ms, *phrase)
        })
        .collect()
}

/// What went wrong, and out of how much.
#[derive(Clone, Debug, Default)]
struct Tally {
    call_ms: u64,
    backchannels: u64,
    false_interruptions: u64,
    interruptions: u64,
    missed_interruptions: u64,
    answers: u64,
    cut_answers: u64,
    taken_back: u64,
    missed_ends: u64,
    reply_waits_ms: Vec<u64>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut waits = self.reply_waits_ms.clone();
        waits.sort_unstable();
        let at = |part: usize| waits.get(waits.len() * part / 100).copied().unwrap_or_default();
        write!(
            f,
            "{} min; {} backchannels, noises and echoes, {} false interruptions; {} interruptions, {} missed; {} answers, {} cut, {} taken back in \
             time, {} ends missed; end of answer to turn {} ms p50, {} ms p95",
            self.call_ms / 60_000,
            self.backchannels,
            self.false_interruptions,
            self.interruptions,
            self.missed_interruptions,
            self.answers,
            self.cut_answers,
            self.taken_back,
            self.missed_ends,
            at(50),
            at(95),
        )
    }
}

/// The far end and the providers around a stage.
struct Scene {
    stage: Stage,
    dice: Dice,
    words: Vec<Word>,
    begun_ms: u64,
    pending: Vec<(u64, TurnInput)>,
    turns: Vec<(u64, Turn)>,
    interrupted: Vec<u64>,
    asked_to_speak: bool,
    /// Whether the judge knows a pause from an end: the answer has more words to come.
    more_comes: bool,
}

impl Scene {
    fn new(settings: TurnSettings, seed: u64) -> Self {
        let mut scene = Self {
            stage: Stage::new(settings),
            dice: Dice(seed),
            words: Vec::new(),
            begun_ms: 0,
            pending: Vec::new(),
            turns: Vec::new(),
            interrupted: Vec::new(),
            asked_to_speak: false,
            more_comes: false,
        };
        let outputs = scene.stage.give(TurnInput::Answered);
        scene.act(outputs);
        scene
    }

    fn now_ms(&self) -> u64 {
        self.stage.now_ms
    }

    /// Puts a phrase into the air from `at_ms` on; returns when it ends.
    fn utter(&mut self, at_ms: u64, phrase: &'static str, noise: bool) -> u64 {
        let mut begin_ms = at_ms;
        for text in phrase.split(' ') {
            let end_ms = begin_ms + 120 + 45 * text.len() as u64;
            self.words.push(Word {
                text,
                begin_ms,
                end_ms,
                noise,
            });
            begin_ms = end_ms + 20 + self.dice.below(60);
        }
        self.words.last().map_or(at_ms, |last| last.end_ms)
    }

    fn recognised(&self, from_ms: u64, until_ms: u64) -> String {
        let words: Vec<&str> = self
            .words
            .iter()
            .filter(|word| !word.noise && (from_ms..until_ms).contains(&((word.begin_ms + word.end_ms) / 2)))
            .map(|word| word.text)
            .collect();
        words.join(" ")
    }

    fn act(&mut self, outputs: Vec<TurnOutput>) {
        for output in outputs {
            let now_ms = self.now_ms();
            match output {
                TurnOutput::BeginUtterance { pre_roll_ms, .. } => {
                    // The sound of the utterance before is not heard again.
                    self.begun_ms = now_ms.saturating_sub(pre_roll_ms).max(self.begun_ms);
                }
                TurnOutput::AskPartial { utterance } => {
                    let text = self.recognised(self.begun_ms, now_ms).into();
                    let at_ms = now_ms + 80 + self.dice.below(120);
                    self.pending.push((at_ms, TurnInput::Partial { utterance, text }));
                }
                TurnOutput::EndUtterance { utterance } => {
                    let text = self.recognised(self.begun_ms, now_ms).into();
                    self.begun_ms = now_ms;
                    let at_ms = now_ms + 100 + self.dice.below(200);
                    self.pending.push((at_ms, TurnInput::Final { utterance, text }));
                }
                TurnOutput::AskTurnJudge { pause } => {
                    let errs = self.dice.below(10) == 0;
                    let percent = match (self.more_comes, errs) {
                        (true, false) => self.dice.below(30),
                        (true, true) => 30 + self.dice.below(60),
                        (false, false) => 85 + self.dice.below(15),
                        (false, true) => 20 + self.dice.below(60),
                    };
                    let probability = percent as f32 / 100.0;
                    self.pending
                        .push((now_ms + 60, TurnInput::TurnOver { pause, probability }));
                }
                TurnOutput::TurnIs(turn) => self.turns.push((now_ms, turn)),
                TurnOutput::Interrupted(_) => self.interrupted.push(now_ms),
                TurnOutput::SpeakFirst { .. } | TurnOutput::Reprompt { .. } | TurnOutput::GiveUp => {
                    self.asked_to_speak = true;
                }
                TurnOutput::HangUp(reason) => panic!("hung up: {reason:?}"),
                _ => {}
            }
        }
    }

    fn step(&mut self) {
        let outputs = self.stage.step();
        self.act(outputs);
        let now_ms = self.now_ms();
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|(at_ms, _)| *at_ms <= now_ms);
        self.pending = later;
        for (_, input) in due {
            let outputs = self.stage.give(input);
            self.act(outputs);
        }
        let voiced = self
            .words
            .iter()
            .rev()
            .take(40)
            .any(|word| (word.begin_ms..word.end_ms).contains(&now_ms));
        // One frame in forty is misjudged.
        let misjudged = self.dice.below(40) == 0;
        let voice_probability = if voiced == misjudged { 0.1 } else { 0.9 };
        let outputs = self.stage.give(TurnInput::Frame {
            voice_probability,
            loudness_dbfs: -25.0,
        });
        self.act(outputs);
    }

    fn say(&mut self, sentences: &[(&str, u64)], expect: Expect) {
        let end = SpeechEnd {
            expect,
            then: AfterSpeech::Listen,
        };
        let outputs = self.stage.say(sentences, true, Some(end));
        self.act(outputs);
    }

    /// One exchange: we state and ask, the callee murmurs or interrupts, and answers.
    fn exchange(&mut self, tally: &mut Tally) {
        let answer = draw_answer(&mut self.dice);
        let began_ms = self.now_ms();
        self.say(&[(STATEMENT, 0), (answer.question, 0)], answer.expect);
        let statement_ms = STATEMENT.chars().count() as u64 * 60;
        let mut interrupts_at = None;
        match self.dice.below(6) {
            0 | 1 => {
                for _ in 0..=self.dice.below(2) {
                    let at_ms = began_ms + 3_000 + self.dice.below(statement_ms - 5_000);
                    let phrase = self.dice.pick(&BACKCHANNELS);
                    if self.words.iter().all(|word| word.end_ms + 1_500 < at_ms) {
                        self.utter(at_ms, phrase, false);
                        tally.backchannels += 1;
                    }
                }
            }
            2 => {
                let at_ms = began_ms + 3_000 + self.dice.below(statement_ms - 5_000);
                let noise = self.dice.pick(&["kh", "kh-kh", "tshh", "brrrrrrrrrrrrrrrrrrrrrrm"]);
                self.utter(at_ms, noise, true);
                if self.dice.below(4) == 0 {
                    let hallucinated = self.dice.pick(&HALLUCINATED);
                    self.utter(at_ms, hallucinated, false);
                }
                tally.backchannels += 1;
            }
            3 => {
                let at_ms = began_ms + 3_000 + self.dice.below(statement_ms - 5_000);
                interrupts_at = Some(at_ms);
            }
            4 => {
                let echo = self.dice.pick(&ECHOES);
                let spoken_at = STATEMENT.find(echo).map_or(0, |index| index as u64 * 60);
                self.utter(began_ms + spoken_at + 200, echo, false);
                tally.backchannels += 1;
            }
            _ => {}
        }
        let interruptions = self.interrupted.len();
        if let Some(at_ms) = interrupts_at {
            while self.now_ms() < at_ms {
                self.step();
            }
            tally.interruptions += 1;
            let phrase = self.dice.pick(&INTERRUPTIONS);
            self.more_comes = false;
            let end_ms = self.utter(at_ms, phrase, false);
            let patience_ms = end_ms.max(at_ms + 1_500) + 800;
            while self.now_ms() < patience_ms && self.interrupted.len() == interruptions {
                self.step();
            }
            if self.interrupted.len() == interruptions {
                tally.missed_interruptions += 1;
            }
            self.await_turn(end_ms, phrase, tally);
            return;
        }
        while self.stage.is_playing() || self.stage.turns.has_floor() {
            self.step();
            if self.interrupted.len() > interruptions {
                tally.false_interruptions += 1;
                // Whoever is interrupted for nothing begins anew.
                let turns = self.turns.len();
                while self.stage.turns.hears_voice() || (self.turns.len() == turns && self.pending.iter().any(|_| true))
                {
                    self.step();
                }
                for _ in 0..100 {
                    self.step();
                }
                return;
            }
        }
        self.answer(&answer, tally);
    }

    fn answer(&mut self, answer: &Answer, tally: &mut Tally) {
        tally.answers += 1;
        let turns = self.turns.len();
        let reaction_ms = self.now_ms() + 300 + self.dice.below(900);
        while self.now_ms() < reaction_ms {
            self.step();
        }
        let mut whole = String::new();
        let mut end_ms = self.now_ms();
        let mut cut = false;
        for (index, (pause_ms, phrase)) in answer.phrases.iter().enumerate() {
            let at_ms = end_ms + pause_ms;
            self.more_comes = true;
            while self.now_ms() < at_ms {
                self.step();
                // A brain that answers 300 ms after the turn was handed over, and is heard 200 ms later, has cut the answer.
                cut |= self
                    .turns
                    .get(turns..)
                    .and_then(|new| new.last())
                    .is_some_and(|(handed_ms, _)| self.now_ms() > handed_ms + 500);
            }
            self.more_comes = index + 1 < answer.phrases.len();
            end_ms = self.utter(at_ms, phrase, false);
            whole.push_str(phrase);
            whole.push(' ');
            while self.now_ms() < end_ms {
                self.step();
            }
        }
        if cut {
            tally.cut_answers += 1;
        }
        self.await_turn(end_ms, whole.trim(), tally);
        let handed = &self.turns[turns.min(self.turns.len())..];
        if handed.len() > 1 && !cut {
            tally.taken_back += 1;
        }
    }

    fn await_turn(&mut self, end_ms: u64, whole: &str, tally: &mut Tally) {
        let is_there = |turns: &[(u64, Turn)]| {
            turns.last().is_some_and(|(handed_ms, turn)| {
                *handed_ms > end_ms && whole.ends_with(last_words(turn.added.as_str()))
            })
        };
        while self.now_ms() < end_ms + 2_500 && !is_there(&self.turns) {
            self.step();
        }
        match self.turns.last() {
            Some((handed_ms, _)) if is_there(&self.turns) => tally.reply_waits_ms.push(handed_ms - end_ms),
            _ => tally.missed_ends += 1,
        }
        for _ in 0..15 {
            self.step();
        }
    }
}

fn last_words(text: &str) -> &str {
    text.rsplit(' ').next().unwrap_or(text)
}

/// An hour or so of conversations.
fn converse(settings: &TurnSettings, calls: u64, exchanges: u64) -> Tally {
    let mut tally = Tally::default();
    for seed in 1..=calls {
        let mut scene = Scene::new(settings.clone(), seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        scene.step();
        assert!(scene.asked_to_speak, "the agent is asked to speak first");
        for _ in 0..exchanges {
            scene.exchange(&mut tally);
        }
        let outputs = scene.stage.give(TurnInput::CallEnded);
        scene.act(outputs);
        tally.call_ms += scene.now_ms();
    }
    tally
}

#[test]
fn people_are_neither_cut_nor_kept_waiting() {
    let mut settings = plain_settings();
    settings.end_of_turn.has_judge = true;
    let tally = converse(&settings, 24, 10);
    let hours = tally.call_ms as f64 / 3_600_000.0;
    assert!(tally.false_interruptions as f64 <= hours, "{tally}");
    assert!(tally.missed_interruptions * 50 <= tally.interruptions, "{tally}");
    assert!(tally.missed_ends * 50 <= tally.answers, "{tally}");
    assert!(tally.cut_answers * 50 <= tally.answers, "{tally}");
}

#[test]
fn without_a_judge_people_are_cut_a_little_more_often() {
    let tally = converse(&plain_settings(), 24, 10);
    assert!(tally.missed_ends * 50 <= tally.answers, "{tally}");
    assert!(tally.cut_answers * 12 <= tally.answers, "{tally}");
}
