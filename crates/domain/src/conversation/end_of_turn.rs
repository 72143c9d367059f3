//! How long a pause must be before a turn counts as over: by the kind of answer awaited, by the words, by the judge of sound.

use super::expect::Expect;
use super::words::{Lexicon, tokens};
use serde::{Deserialize, Serialize};

/// The pauses that end a turn. All times are silence since the last voiced frame, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndOfTurnSettings {
    /// After this pause the words are asked for and the judge is asked; no turn ends earlier. Default 200.
    pub pause_ms: u64,
    /// A whole answer to a yes-or-no question (`yes`, `Yeah.`, `no thank you`). Default 250.
    pub yes_no_ms: u64,
    /// The same words where something else was asked. The judge is not asked about them: `Yeah.` waits as long as `Yes.`.
    /// Default 500.
    pub short_answer_ms: u64,
    /// A short phrase where one of a few was asked for. Default 450.
    pub choice_ms: u64,
    /// All the digits that may come are there. Default 250.
    pub digits_all_ms: u64,
    /// Enough digits are there, more may come. Default 1200.
    pub digits_enough_ms: u64,
    /// More digits must come: the pause between groups. Default 2500.
    pub digits_more_ms: u64,
    /// A number, a day or a time where one was asked for. Default 600.
    pub value_ms: u64,
    /// A name: it may be spelled or followed by another. Default 800.
    pub name_ms: u64,
    /// The judge's probability at or above which [`Self::judged_over_ms`] is enough. Default 0.9.
    pub over_probability: f32,
    /// The judge's probability at or below which [`Self::judged_open_ms`] is waited. Default 0.3. Between the two it is interpolated.
    pub open_probability: f32,
    /// Default 250.
    pub judged_over_ms: u64,
    /// Default 1200.
    pub judged_open_ms: u64,
    /// Without a judge: the words end like a sentence. Default 600.
    pub sentence_ms: u64,
    /// Without a judge: they do not. Default 900.
    pub unjudged_ms: u64,
    /// The words promise more (`and`, `um`, `my number is`), whatever the judge says. Default 1500.
    pub trailing_ms: u64,
    /// After the last key, when enough keys for an answer are there. Default 1500.
    pub keys_enough_ms: u64,
    /// After the last key, when more keys must come. Default 4000.
    pub keys_more_ms: u64,
    /// After a key where no digits were asked for. Default 700.
    pub key_alone_ms: u64,
    /// Longest wait for the words after an utterance has ended; then what is known counts. Default 1500.
    pub recognition_ms: u64,
    /// Longest turn: a monologue is handed over after this, and goes on. Default 45000.
    pub turn_max_ms: u64,
    /// Longest utterance: a recogniser takes about 15 s at a time. Default 14000.
    pub utterance_max_ms: u64,
    /// An utterance with less voice than this is a click or a cough and is not recognised. Default 100.
    pub utterance_min_ms: u64,
    /// Partial words are asked for this often while somebody needs them at once (we speak, or digits are counted). Default 300.
    pub partial_every_ms: u64,
    /// Partial words are asked for this often otherwise. Default 3000.
    pub partial_seldom_ms: u64,
    /// Whether there is a judge of sound to ask. Default true.
    pub has_judge: bool,
}

impl Default for EndOfTurnSettings {
    fn default() -> Self {
        Self {
            pause_ms: 200,
            yes_no_ms: 250,
            short_answer_ms: 500,
            choice_ms: 450,
            digits_all_ms: 250,
            digits_enough_ms: 1_200,
            digits_more_ms: 2_500,
            value_ms: 600,
            name_ms: 800,
            over_probability: 0.9,
            open_probability: 0.3,
            judged_over_ms: 250,
            judged_open_ms: 1_200,
            sentence_ms: 600,
            unjudged_ms: 900,
            trailing_ms: 1_500,
            keys_enough_ms: 1_500,
            keys_more_ms: 4_000,
            key_alone_ms: 700,
            recognition_ms: 1_500,
            turn_max_ms: 45_000,
            utterance_max_ms: 14_000,
            utterance_min_ms: 100,
            partial_every_ms: 300,
            partial_seldom_ms: 3_000,
            has_judge: true,
        }
    }
}

/// What made a turn end when it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// A whole answer.
    Answer,
    /// A short phrase where one of a few was asked for.
    Choice,
    /// Digits, by how many there are.
    Digits,
    /// A number, a day or a time.
    Value,
    /// A name.
    Name,
    /// The judge of sound.
    Judge,
    /// Words alone, without a judge.
    Words,
    /// Words that promised more, and nothing came.
    Trailing,
    /// Keys.
    Keys,
    /// It was too long to wait for its end.
    TooLong,
}

/// A pause that ends the turn, and why that long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndWait {
    /// Milliseconds of silence since the last voiced frame.
    pub(super) ms: u64,
    /// What decided it.
    pub(super) why: EndReason,
}

/// How long a pause must be after `text` when `expect` was awaited. `judge`: the probability that the turn is over, if it is known.
pub(super) fn wait_after(
    settings: &EndOfTurnSettings,
    lexicon: &Lexicon,
    expect: Expect,
    text: &str,
    judge: Option<f32>,
) -> EndWait {
    let words = tokens(text);
    let wait = |ms: u64, why| EndWait {
        ms: ms.max(settings.pause_ms),
        why,
    };
    if let Expect::Digits { at_least, at_most } = expect {
        let digits = lexicon.count_digits(&words);
        if digits >= usize::from(at_most) && digits > 0 {
            return wait(settings.digits_all_ms, EndReason::Digits);
        }
        if digits >= usize::from(at_least) && digits > 0 {
            return wait(settings.digits_enough_ms, EndReason::Digits);
        }
        if digits > 0 {
            return wait(settings.digits_more_ms, EndReason::Digits);
        }
    }
    if lexicon.is_answer(&words) && !lexicon.trails_off(text, &words) {
        return match expect {
            Expect::YesNo => wait(settings.yes_no_ms, EndReason::Answer),
            Expect::Nothing
            | Expect::Choice
            | Expect::Digits { .. }
            | Expect::Number
            | Expect::DateTime
            | Expect::Name
            | Expect::Open => wait(settings.short_answer_ms, EndReason::Answer),
        };
    }
    if lexicon.trails_off(text, &words) {
        return wait(
            settings.trailing_ms.max(judged_ms(settings, judge)),
            EndReason::Trailing,
        );
    }
    match expect {
        Expect::Choice if words.len() <= 4 => wait(settings.choice_ms, EndReason::Choice),
        Expect::Number | Expect::DateTime if lexicon.names_a_value(&words) => wait(settings.value_ms, EndReason::Value),
        Expect::Name => wait(settings.name_ms, EndReason::Name),
        Expect::Nothing
        | Expect::YesNo
        | Expect::Choice
        | Expect::Digits { .. }
        | Expect::Number
        | Expect::DateTime
        | Expect::Open => open_wait(settings, text, judge),
    }
}

fn open_wait(settings: &EndOfTurnSettings, text: &str, judge: Option<f32>) -> EndWait {
    let pause_ms = settings.pause_ms;
    match judge {
        Some(_) => EndWait {
            ms: judged_ms(settings, judge).max(pause_ms),
            why: EndReason::Judge,
        },
        None => {
            let sentence = text.trim_end().ends_with(['.', '!', '?', '।', '。', '？']);
            let ms = if sentence {
                settings.sentence_ms
            } else {
                settings.unjudged_ms
            };
            EndWait {
                ms: ms.max(pause_ms),
                why: EndReason::Words,
            }
        }
    }
}

/// The pause that a judge's probability asks for; 0 without one. A probability that is no number asks for the longest.
fn judged_ms(settings: &EndOfTurnSettings, judge: Option<f32>) -> u64 {
    let Some(probability) = judge else {
        return 0;
    };
    let (short, long) = (
        settings.judged_over_ms,
        settings.judged_open_ms.max(settings.judged_over_ms),
    );
    let span = (settings.over_probability - settings.open_probability).max(f32::EPSILON);
    let over = ((probability - settings.open_probability) / span).clamp(0.0, 1.0);
    if over.is_nan() {
        return long;
    }
    // Both fit easily: settings are milliseconds of a pause.
    let shorter = (f64::from(over) * (long - short) as f64).round() as u64;
    long - shorter.min(long - short)
}

/// How long to wait after the last of `keys` when `expect` was awaited; `None`: they are complete, wait no longer.
pub(super) fn wait_after_keys(settings: &EndOfTurnSettings, expect: Expect, keys: &str) -> Option<u64> {
    if keys.ends_with('#') {
        return None;
    }
    match expect {
        Expect::Digits { at_least, at_most } => {
            let count = keys.chars().count();
            if count >= usize::from(at_most) {
                None
            } else if count >= usize::from(at_least) {
                Some(settings.keys_enough_ms)
            } else {
                Some(settings.keys_more_ms)
            }
        }
        Expect::Number | Expect::DateTime => Some(settings.keys_enough_ms),
        Expect::Nothing | Expect::YesNo | Expect::Choice | Expect::Name | Expect::Open => Some(settings.key_alone_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;
    use proptest::prelude::*;

    fn wait(expect: Expect, text: &str, judge: Option<f32>) -> (u64, EndReason) {
        let lexicon = Lexicon::of(&Language::english());
        let wait = wait_after(&EndOfTurnSettings::default(), lexicon, expect, text, judge);
        (wait.ms, wait.why)
    }

    #[test]
    fn the_kind_of_answer_decides_how_long_a_pause_may_be() {
        use EndReason::{Answer, Choice, Digits, Judge, Name, Trailing, Value, Words};
        let digits = |at_least, at_most| Expect::Digits { at_least, at_most };
        let rows: &[(Expect, &str, Option<f32>, (u64, EndReason))] = &[
            (Expect::YesNo, "Yes.", None, (250, Answer)),
            (Expect::YesNo, "Yeah.", None, (250, Answer)),
            (Expect::YesNo, "Yep", None, (250, Answer)),
            (Expect::YesNo, "mm-hmm", None, (250, Answer)),
            (Expect::YesNo, "No, thank you.", None, (250, Answer)),
            (Expect::YesNo, "Yes, but", None, (1_500, Trailing)),
            (Expect::YesNo, "Yes,", None, (1_500, Trailing)),
            (Expect::YesNo, "It depends on the price.", None, (600, Words)),
            (Expect::Open, "Yeah.", Some(0.05), (500, Answer)),
            (Expect::Open, "Yes.", Some(0.95), (500, Answer)),
            (Expect::Choice, "The blue one.", Some(0.1), (450, Choice)),
            (digits(6, 6), "one two three", None, (2_500, Digits)),
            (digits(6, 6), "one two three four five six", None, (250, Digits)),
            (digits(4, 6), "1234", None, (1_200, Digits)),
            (digits(4, 6), "123456", Some(0.0), (250, Digits)),
            (digits(4, 6), "I don't know it.", None, (600, Words)),
            (digits(10, 10), "My number is", None, (1_500, Trailing)),
            (Expect::DateTime, "Tomorrow at five.", Some(0.2), (600, Value)),
            (Expect::DateTime, "Tomorrow at", Some(0.95), (1_500, Trailing)),
            (Expect::Number, "about forty", None, (600, Value)),
            (Expect::Name, "Maria", Some(0.99), (800, Name)),
            (Expect::Open, "I would like a table for two.", Some(0.95), (250, Judge)),
            (Expect::Open, "I would like a table for two.", Some(0.9), (250, Judge)),
            (Expect::Open, "I would like a table for two.", Some(0.6), (725, Judge)),
            (Expect::Open, "I would like a table for two.", Some(0.3), (1_200, Judge)),
            (Expect::Open, "I would like a table for two.", Some(0.0), (1_200, Judge)),
            (
                Expect::Open,
                "I would like a table for two.",
                Some(f32::NAN),
                (1_200, Judge),
            ),
            (Expect::Open, "I would like a table and", Some(0.99), (1_500, Trailing)),
            (Expect::Open, "I would like a table for two.", None, (600, Words)),
            (Expect::Open, "I would like a table for two", None, (900, Words)),
            (Expect::Open, "", None, (900, Words)),
        ];
        for (expect, text, judge, expected) in rows {
            assert_eq!(wait(*expect, text, *judge), *expected, "{expect:?} {text:?} {judge:?}");
        }
    }

    #[test]
    fn keys_wait_by_their_count() {
        let digits = Expect::Digits {
            at_least: 4,
            at_most: 6,
        };
        let rows = [
            (digits, "12", Some(4_000)),
            (digits, "1234", Some(1_500)),
            (digits, "123456", None),
            (digits, "12#", None),
            (Expect::YesNo, "1", Some(700)),
            (Expect::Number, "40", Some(1_500)),
        ];
        for (expect, keys, expected) in rows {
            let waited = wait_after_keys(&EndOfTurnSettings::default(), expect, keys);
            assert_eq!(waited, expected, "{expect:?} {keys}");
        }
    }

    proptest! {
        #[test]
        fn a_surer_judge_never_waits_longer(a in 0.0_f32..1.0, b in 0.0_f32..1.0) {
            let (low, high) = (a.min(b), a.max(b));
            let text = "I want to change my booking.";
            prop_assert!(wait(Expect::Open, text, Some(high)).0 <= wait(Expect::Open, text, Some(low)).0);
        }

        #[test]
        fn every_wait_is_bounded(text in "\\PC{0,80}", judge in proptest::option::of(-1.0_f32..2.0)) {
            let settings = EndOfTurnSettings::default();
            for expect in [Expect::Nothing, Expect::YesNo, Expect::Choice, Expect::Number, Expect::DateTime, Expect::Name,
                Expect::Open, Expect::Digits { at_least: 3, at_most: 9 }] {
                let ms = wait(expect, &text, judge).0;
                prop_assert!((settings.pause_ms..=settings.digits_more_ms).contains(&ms), "{expect:?} {ms}");
            }
        }
    }
}
