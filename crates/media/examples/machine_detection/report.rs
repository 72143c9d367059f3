//! Figures of many calls.

use crate::call::Outcome;
use crate::corpus::Script;
use crate::{CONDITIONS, Condition};
use carillon_domain::machine_detection::{Advice, Class, Detector, Policy, Signal};
use carillon_media::FRAME_SAMPLES;
use carillon_media::call_sounds::CallSounds;
use std::collections::{BTreeMap, BTreeSet};

const CLASSES: [Class; 5] = [
    Class::Human,
    Class::Voicemail,
    Class::Screening,
    Class::Menu,
    Class::Network,
];

/// Counts of `(right class, condition)`.
#[derive(Debug, Default)]
struct Tally {
    calls: u32,
    /// By the last verdict.
    last: BTreeMap<Class, u32>,
    /// With a verdict other than a person or undecided at any time, if a person; with the right verdict at any time, if not.
    ever: u32,
    /// A person hung up on, left a message, or given a key.
    acted_on: u32,
    verdict_ms: Vec<u64>,
    after_greeting_ms: Vec<i64>,
}

/// All counts.
#[derive(Debug, Default)]
pub(crate) struct Report {
    tallies: BTreeMap<(Class, &'static str), Tally>,
    texts: BTreeSet<String>,
    voices: BTreeSet<String>,
    beeps: u32,
    messages_after_beep: u32,
    messages_before_beep: u32,
    delays_after_beep_ms: Vec<u64>,
    beeps_told: u32,
    tones_that_were_none: u32,
    heard_s: f64,
}

impl Report {
    pub(crate) fn add(&mut self, script: &Script, condition: &Condition, outcome: &Outcome) {
        self.texts.insert(script.turns[0].words());
        self.voices.insert(script.voice.clone());
        self.heard_s += outcome.length_ms as f64 / 1_000.0;
        let tally = self.tallies.entry((script.class, condition.name)).or_default();
        tally.calls += 1;
        let last = outcome
            .verdicts()
            .last()
            .map_or(Class::Undecided, |(_, verdict)| verdict.class);
        *tally.last.entry(last).or_default() += 1;
        let is_person = script.class == Class::Human;
        tally.ever += u32::from(outcome.verdicts().any(|(_, verdict)| match is_person {
            true => !matches!(verdict.class, Class::Human | Class::Undecided),
            false => verdict.class == script.class,
        }));
        tally.acted_on += u32::from(
            outcome
                .advice
                .iter()
                .any(|(_, advice)| matches!(advice, Advice::HangUp | Advice::LeaveMessage { .. } | Advice::Press(_))),
        );
        if let Some((at_ms, _)) = outcome.verdicts().find(|(_, verdict)| verdict.class == script.class) {
            tally.verdict_ms.push(at_ms);
            tally
                .after_greeting_ms
                .push(at_ms as i64 - outcome.greeting_end_ms as i64);
        }
        let real = |at_ms: u64| outcome.beep_end_ms.is_some_and(|end| (end..end + 900).contains(&at_ms));
        let told = outcome.tones.iter().filter(|(at_ms, _)| real(*at_ms)).count();
        self.beeps_told += u32::from(told > 0);
        self.tones_that_were_none += (outcome.tones.len() - told) as u32;
        if let Some(beep_ms) = outcome.beep_end_ms {
            self.add_message(beep_ms, outcome);
        }
    }

    fn add_message(&mut self, beep_ms: u64, outcome: &Outcome) {
        self.beeps += 1;
        let begun = outcome
            .advice
            .iter()
            .rev()
            .find(|(_, advice)| matches!(advice, Advice::LeaveMessage { .. }));
        match begun {
            Some((at_ms, _)) if *at_ms >= beep_ms => {
                self.messages_after_beep += 1;
                self.delays_after_beep_ms.push(at_ms - beep_ms);
            }
            Some(_) => self.messages_before_beep += 1,
            None => {}
        }
    }

    pub(crate) fn print(&mut self) {
        println!(
            "{} wordings, {} voices, {} calls, {:.1} hours of sound",
            self.texts.len(),
            self.voices.len(),
            self.tallies.values().map(|tally| tally.calls).sum::<u32>(),
            self.heard_s / 3_600.0
        );
        for class in CLASSES {
            let names = CONDITIONS.iter().map(|condition| condition.name);
            for name in names {
                if let Some(tally) = self.tallies.get_mut(&(class, name)) {
                    print_tally(class, name, tally);
                }
            }
            let all = self
                .tallies
                .iter()
                .filter(|((of, _), _)| *of == class)
                .map(|(_, tally)| tally);
            print_sum(class, all);
        }
        let delays = &mut self.delays_after_beep_ms;
        println!(
            "beeps {}: told {}, tones that were none {}; message after it {}, before it only {}; begun p50 {} p95 {} ms after its end",
            self.beeps,
            self.beeps_told,
            self.tones_that_were_none,
            self.messages_after_beep,
            self.messages_before_beep,
            percentile(delays, 50),
            percentile(delays, 95)
        );
    }
}

fn print_tally(class: Class, name: &str, tally: &mut Tally) {
    println!(
        "{class:?} · {name}: {} calls, {} {}, acted on {}; verdict p50 {} p95 {} ms, after the greeting p50 {} p95 {} ms; last {:?}",
        tally.calls,
        tally.ever,
        if class == Class::Human {
            "ever judged otherwise"
        } else {
            "found"
        },
        tally.acted_on,
        percentile(&mut tally.verdict_ms, 50),
        percentile(&mut tally.verdict_ms, 95),
        percentile(&mut tally.after_greeting_ms, 50),
        percentile(&mut tally.after_greeting_ms, 95),
        tally.last
    );
}

fn print_sum<'a>(class: Class, tallies: impl Iterator<Item = &'a Tally>) {
    let (mut calls, mut ever, mut acted_on) = (0, 0, 0);
    let (mut times, mut after) = (Vec::<u64>::new(), Vec::<i64>::new());
    for tally in tallies {
        calls += tally.calls;
        ever += tally.ever;
        acted_on += tally.acted_on;
        times.extend(&tally.verdict_ms);
        after.extend(&tally.after_greeting_ms);
    }
    if calls == 0 {
        return;
    }
    let (low, high) = interval(ever, calls);
    println!(
        "{class:?} · all: {ever} of {calls} = {:.1} % ({:.1}-{:.1} %), acted on {acted_on}; verdict p50 {} p95 {} ms, after the greeting p50 {} p95 {} ms",
        100.0 * f64::from(ever) / f64::from(calls),
        100.0 * low,
        100.0 * high,
        percentile(&mut times, 50),
        percentile(&mut times, 95),
        percentile(&mut after, 50),
        percentile(&mut after, 95),
    );
}

fn percentile<T: Copy + Ord + Default>(values: &mut [T], percent: usize) -> T {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    values.get(last * percent / 100).copied().unwrap_or_default()
}

/// Wilson's interval of 95 %.
fn interval(count: u32, of: u32) -> (f64, f64) {
    let (share, n, z) = (f64::from(count) / f64::from(of), f64::from(of), 1.96_f64);
    let middle = share + z * z / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

/// What 20 ms cost, over all scripts.
#[expect(clippy::disallowed_methods, reason = "a measurement of processor time reads a clock")]
pub(crate) fn cost(scripts: &[Script]) {
    let sound: Vec<i16> = scripts
        .iter()
        .flat_map(|script| &script.turns)
        .flat_map(|turn| &turn.0)
        .flat_map(|sentence| CONDITIONS[1].line(1).carry_all(&sentence.samples))
        .collect();
    let frames = sound.chunks(FRAME_SAMPLES).count();
    let mut best = f64::MAX;
    for _ in 0..5 {
        let mut sounds = CallSounds::new();
        let begun = std::time::Instant::now();
        let signals: usize = sound.chunks(FRAME_SAMPLES).map(|frame| sounds.push(frame).len()).sum();
        best = best.min(begun.elapsed().as_secs_f64());
        assert!(signals > 0, "something was heard");
    }
    println!(
        "hearing: {:.2} us a frame of 20 ms ({frames} frames, best of 5)",
        best * 1e6 / frames as f64
    );
    let mut detector = Detector::new(Policy::default());
    let begun = std::time::Instant::now();
    for at_ms in 0..100_000_u64 {
        let _ = detector.handle(at_ms / 10, Signal::Tick);
    }
    println!("deciding: {:.2} us a tick", begun.elapsed().as_secs_f64() * 10.0);
}
