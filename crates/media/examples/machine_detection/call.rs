//! One simulated call: a far end with its script, the line, our agent, and the detector between them.

use crate::corpus::{Script, Sentence};
use crate::{Condition, SPEECH_DB};
use carillon_domain::machine_detection::{Advice, Class, Detector, Evidence, Policy, Signal, Tone};
use carillon_media::FRAME_SAMPLES;
use carillon_media::call_sounds::CallSounds;
use carillon_media::level::amplify;
use carillon_media::line_conditions::Dice;
use carillon_media::tone::sine;

/// A recogniser tells partial words this often, in milliseconds of speech.
const PARTIAL_EVERY_MS: u64 = 500;
/// And this late.
const PARTIAL_LATE_MS: u64 = 400;
/// Final words come this long after the voice: the pause it takes to end an utterance, and the recognition.
const FINAL_LATE_MS: u64 = 550;
/// No call is watched longer.
const CALL_MAX_MS: u64 = 45_000;
/// A machine is watched this long after its last sound.
const AFTER_MACHINE_MS: u64 = 12_000;
/// A person who hears nothing for so long says hello again.
const PATIENCE_MS: u64 = 3_500;

/// What came of a call.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What was advised, when.
    pub(crate) advice: Vec<(u64, Advice)>,
    /// When the far end's first turn ended.
    pub(crate) greeting_end_ms: u64,
    /// When a beep ended, if the far end gives one.
    pub(crate) beep_end_ms: Option<u64>,
    /// Tones that were told, when.
    pub(crate) tones: Vec<(u64, Tone)>,
    /// How long it was watched.
    pub(crate) length_ms: u64,
}

impl Outcome {
    pub(crate) fn verdicts(&self) -> impl Iterator<Item = (u64, &Evidence)> {
        self.advice.iter().filter_map(|(at_ms, advice)| match advice {
            Advice::Verdict(evidence) => Some((*at_ms, evidence)),
            _ => None,
        })
    }
}

/// Samples and words to come, by the call's time.
#[derive(Default)]
struct FarEnd {
    sound: std::collections::VecDeque<i16>,
    words: Vec<(u64, Signal)>,
    next_turn: usize,
    quiet_since_ms: Option<u64>,
    begins_at_ms: Option<u64>,
}

impl FarEnd {
    fn say(&mut self, sentences: &[Sentence], now_ms: u64, word_errors: Option<f64>, dice: &mut Dice) {
        let mut at_ms = now_ms;
        for sentence in sentences {
            if let Some(rate) = word_errors {
                self.recognise(sentence, at_ms, rate, dice);
            }
            let pause = (sentence.pause_ms * 8) as usize;
            self.sound.extend(&sentence.samples);
            self.sound.extend(std::iter::repeat_n(0, pause));
            at_ms += (sentence.samples.len() / 8) as u64 + sentence.pause_ms;
        }
        // The pause after the last sentence is nobody's.
        let pause = sentences.last().map_or(0, |sentence| sentence.pause_ms * 8);
        self.sound.truncate(self.sound.len() - pause as usize);
        self.quiet_since_ms = None;
    }

    fn recognise(&mut self, sentence: &Sentence, from_ms: u64, rate: f64, dice: &mut Dice) {
        let words = misheard(&sentence.words, rate, dice);
        let length_ms = (sentence.samples.len() / 8) as u64;
        let mut heard_ms = PARTIAL_EVERY_MS;
        while heard_ms < length_ms {
            let count = (words.len() as u64 * heard_ms / length_ms) as usize;
            let text = words[..count].join(" ");
            self.words.push((
                from_ms + heard_ms + PARTIAL_LATE_MS,
                Signal::Words { text, is_final: false },
            ));
            heard_ms += PARTIAL_EVERY_MS;
        }
        let text = words.join(" ");
        self.words.push((
            from_ms + length_ms + FINAL_LATE_MS,
            Signal::Words { text, is_final: true },
        ));
    }

    fn frame(&mut self, now_ms: u64) -> [i16; FRAME_SAMPLES] {
        let mut frame = [0; FRAME_SAMPLES];
        for sample in &mut frame {
            *sample = self.sound.pop_front().unwrap_or(0);
        }
        if self.sound.is_empty() {
            self.quiet_since_ms.get_or_insert(now_ms);
        }
        frame
    }
}

/// Words as a recogniser of this error rate hears them: a third of the errors drop a word, the others make another of it.
fn misheard(words: &str, rate: f64, dice: &mut Dice) -> Vec<String> {
    const OTHERS: [&str; 12] = [
        "the", "a", "and", "is", "it", "there", "some", "four", "to", "more", "right", "well",
    ];
    words
        .split_whitespace()
        .filter_map(|word| {
            if !dice.happens(rate) {
                return Some(word.to_owned());
            }
            let drops = dice.happens(1.0 / 3.0);
            (!drops).then(|| OTHERS[dice.between(0, 11) as usize].to_owned())
        })
        .collect()
}

/// Our side: when we talk.
#[derive(Default)]
struct Ours {
    begins_at_ms: Option<u64>,
    length_ms: u64,
    ends_at_ms: Option<u64>,
    ended_ms: Option<u64>,
}

impl Ours {
    fn plan(&mut self, at_ms: u64, length_ms: u64) {
        if self.ends_at_ms.is_none() {
            self.begins_at_ms = Some(at_ms);
            self.length_ms = length_ms;
        }
    }

    fn stop(&mut self, now_ms: u64) {
        self.begins_at_ms = None;
        if self.ends_at_ms.is_some() {
            self.ends_at_ms = Some(now_ms);
        }
    }

    fn tick(&mut self, now_ms: u64) -> Option<Signal> {
        if self.begins_at_ms.is_some_and(|at| now_ms >= at) {
            self.begins_at_ms = None;
            self.ends_at_ms = Some(now_ms + self.length_ms);
            return Some(Signal::WeBegan);
        }
        if self.ends_at_ms.is_some_and(|at| now_ms >= at) {
            self.ends_at_ms = None;
            self.ended_ms = Some(now_ms);
            return Some(Signal::WeEnded);
        }
        None
    }

    fn idle(&self) -> bool {
        self.begins_at_ms.is_none() && self.ends_at_ms.is_none()
    }
}

/// Plays a call and returns what was advised.
pub(crate) fn run(script: &Script, condition: &Condition, seed: u64) -> Outcome {
    let mut dice = Dice::new(seed);
    let mut line = condition.line(seed);
    let mut sounds = CallSounds::new();
    let mut detector = Detector::new(Policy::default());
    let mut outcome = Outcome::default();
    let mut far = FarEnd {
        begins_at_ms: Some(dice.between(150, 1_500)),
        ..FarEnd::default()
    };
    let mut ours = Ours::default();
    let mut now_ms = 0;
    'call: while now_ms < CALL_MAX_MS {
        if far.begins_at_ms.is_some_and(|at| now_ms >= at) {
            far.begins_at_ms = None;
            begin_turn(script, condition, now_ms, &mut far, &mut outcome, &mut dice);
        }
        let mut frame = far.frame(now_ms);
        line.carry(&mut frame);
        now_ms += 20;
        let mut signals = sounds.push(&frame);
        outcome.tones.extend(signals.iter().filter_map(|signal| match signal {
            Signal::Tone(tone) => Some((now_ms, *tone)),
            _ => None,
        }));
        far.words.retain(|(at_ms, signal)| {
            let due = *at_ms <= now_ms;
            if due {
                signals.push(signal.clone());
            }
            !due
        });
        signals.extend(ours.tick(now_ms));
        if signals.is_empty() {
            signals.push(Signal::Tick);
        }
        for signal in signals {
            for advice in detector.handle(now_ms, signal) {
                follow(&advice, now_ms, &mut ours, &mut dice);
                outcome.advice.push((now_ms, advice));
                if matches!(outcome.advice.last(), Some((_, Advice::HangUp))) {
                    break 'call;
                }
            }
        }
        if script.class == Class::Human {
            converse(script, now_ms, &mut far, &mut ours, &mut dice);
        }
        if is_over(script, now_ms, &far, &ours) {
            break;
        }
    }
    outcome.length_ms = now_ms;
    outcome
}

fn follow(advice: &Advice, now_ms: u64, ours: &mut Ours, dice: &mut Dice) {
    match advice {
        Advice::SpeakNow => ours.plan(now_ms + 150, dice.between(2_000, 5_000)),
        Advice::Announce => ours.plan(now_ms + 150, 4_000),
        Advice::LeaveMessage { .. } => {
            ours.stop(now_ms);
            ours.ends_at_ms = None;
            ours.plan(now_ms + 100, 8_000);
        }
        Advice::StopTalking | Advice::HangUp => ours.stop(now_ms + 60),
        Advice::Verdict(_) | Advice::Press(_) => {}
    }
}

/// The next turn of the script; after the first of a mailbox comes its beep, three times in four.
fn begin_turn(
    script: &Script,
    condition: &Condition,
    now_ms: u64,
    far: &mut FarEnd,
    outcome: &mut Outcome,
    dice: &mut Dice,
) {
    let Some(turn) = script.turns.get(far.next_turn) else {
        return;
    };
    far.say(&turn.0, now_ms, condition.word_errors, dice);
    far.next_turn += 1;
    if far.next_turn > 1 {
        return;
    }
    outcome.greeting_end_ms = now_ms + (far.sound.len() / 8) as u64;
    let beeps = script.class == Class::Voicemail && dice.happens(0.75);
    if beeps {
        let pause_ms = dice.between(100, 1_500);
        let length_ms = dice.between(150, 1_200);
        let mut beep = sine(dice.between(400, 2_000) as f64, 32_767, length_ms as u32);
        amplify(&mut beep, SPEECH_DB + dice.between(0, 10) as f64 - 5.0);
        far.sound.extend(std::iter::repeat_n(0, (pause_ms * 8) as usize));
        far.sound.extend(beep);
        outcome.beep_end_ms = Some(outcome.greeting_end_ms + pause_ms + length_ms);
    }
}

/// A person answers our words after a while, interrupts one time in five, and says hello again when nobody speaks.
fn converse(script: &Script, now_ms: u64, far: &mut FarEnd, ours: &mut Ours, dice: &mut Dice) {
    let Some(quiet_since) = far.quiet_since_ms else {
        // We do not talk over a person for long.
        if ours.ends_at_ms.is_some_and(|ends| ends > now_ms + 500) && far.next_turn > 1 {
            ours.stop(now_ms + 500);
        }
        return;
    };
    if far.begins_at_ms.is_some() {
        return;
    }
    let answered = ours.ended_ms.is_some_and(|ended| ended >= quiet_since);
    if answered && far.next_turn < script.turns.len() {
        far.begins_at_ms = Some(now_ms + dice.between(200, 1_500));
    } else if ours.ends_at_ms.is_some_and(|ends| ends == now_ms + 800)
        && dice.happens(0.2)
        && far.next_turn < script.turns.len()
    {
        far.begins_at_ms = Some(now_ms);
    } else if ours.idle() && !answered && far.next_turn > 1 && now_ms - quiet_since >= 900 {
        // Later turns are the conversation's own matter, whatever the detector says.
        ours.plan(now_ms, dice.between(1_500, 4_000));
    } else if ours.idle() && !answered && far.next_turn == 1 && now_ms - quiet_since == PATIENCE_MS {
        far.next_turn = 0;
        far.begins_at_ms = Some(now_ms);
    }
}

fn is_over(script: &Script, now_ms: u64, far: &FarEnd, ours: &Ours) -> bool {
    let Some(quiet_since) = far
        .quiet_since_ms
        .filter(|_| far.next_turn > 0 && far.begins_at_ms.is_none())
    else {
        return false;
    };
    if script.class == Class::Human {
        let last = far.next_turn == script.turns.len();
        return last
            && ours.idle()
            && ours
                .ended_ms
                .is_some_and(|ended| ended > quiet_since && now_ms - ended >= 5_000);
    }
    now_ms - quiet_since >= AFTER_MACHINE_MS
}
