//! Evaluates machine detection on synthesised and recorded calls.
//!
//! `cargo run -p carillon-media --example machine_detection -- tuning|held-out|second-held-out|recorded|cost [--no-words] [--errors] [--tones]`
//!
//! Far ends speak with espeak-ng, flite and festival (Debian packages; a voice whose program is missing is left out and
//! named), `recorded` plays the prompts of Debian's asterisk-core-sounds-en-wav. Sound goes through G.711, noise and loss, words
//! through simulated recognition errors. Everything is drawn from fixed seeds: a run repeats.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

mod call;
mod corpus;
mod report;

use carillon_domain::machine_detection::Class;
use carillon_domain::trunk::Codec;
use carillon_media::line_conditions::{Line, Noise};
use corpus::Script;
use report::Report;

/// Level of every voice, in decibels.
pub(crate) const SPEECH_DB: f64 = -22.0;

/// What stands between the far end and us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Condition {
    /// As the report prints it.
    pub(crate) name: &'static str,
    snr_db: Option<f64>,
    loss: f64,
    /// Probability that the recogniser drops or bends a word; `None`: there is no recogniser.
    pub(crate) word_errors: Option<f64>,
}

const CONDITIONS: [Condition; 4] = [
    condition("clean", None, 0.0, 0.05),
    condition("15 dB noise", Some(15.0), 0.0, 0.10),
    condition("5 dB noise", Some(5.0), 0.0, 0.15),
    condition("5 % loss", None, 0.05, 0.10),
];

const fn condition(name: &'static str, snr_db: Option<f64>, loss: f64, word_errors: f64) -> Condition {
    Condition {
        name,
        snr_db,
        loss,
        word_errors: Some(word_errors),
    }
}

impl Condition {
    /// A line of this condition; half of them speak either law, half have either noise.
    pub(crate) fn line(&self, seed: u64) -> Line {
        let codec = if seed & 1 == 0 { Codec::Pcmu } else { Codec::Pcma };
        let noise = if seed & 2 == 0 { Noise::White } else { Noise::Street };
        let line = Line::new(codec, seed).with_loss(self.loss);
        match self.snr_db {
            Some(snr_db) => line.with_noise(noise, SPEECH_DB - snr_db),
            None => line,
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let scripts = match arguments.first().map(String::as_str) {
        Some("tuning") => corpus::tuning(),
        Some("held-out") => corpus::held_out(),
        Some("second-held-out") => corpus::second_held_out(),
        Some("recorded") => corpus::recorded(),
        Some("cost") => return report::cost(&corpus::tuning()),
        _ => {
            println!(
                "usage: machine_detection tuning|held-out|second-held-out|recorded|cost [--no-words] [--errors] [--tones]"
            );
            return;
        }
    };
    let mut report = Report::default();
    for (index, script) in scripts.iter().enumerate() {
        for (number, condition) in CONDITIONS.iter().enumerate() {
            let mut condition = *condition;
            if has("--no-words") {
                condition.word_errors = None;
            }
            let seed = (index as u64) * 7 + number as u64 * 1_000_003;
            let outcome = call::run(script, &condition, seed);
            if has("--errors") && is_wrong(script, &outcome) {
                println!(
                    "{} · {} · {} · {:?}",
                    condition.name,
                    script.voice,
                    script.turns[0].words(),
                    script.class
                );
                for (at_ms, advice) in &outcome.advice {
                    println!("    {at_ms:>6} {advice:?}");
                }
            }
            if has("--tones") {
                println!(
                    "{} {:?} beep until {:?} tones {:?} of {}",
                    condition.name, script.class, outcome.beep_end_ms, outcome.tones, outcome.length_ms
                );
            }
            report.add(script, &condition, &outcome);
        }
    }
    report.print();
}

fn is_wrong(script: &Script, outcome: &call::Outcome) -> bool {
    let found = |class: Class| outcome.verdicts().any(|(_, verdict)| verdict.class == class);
    match script.class {
        Class::Human => outcome
            .verdicts()
            .any(|(_, verdict)| !matches!(verdict.class, Class::Human | Class::Undecided)),
        class => !found(class),
    }
}
