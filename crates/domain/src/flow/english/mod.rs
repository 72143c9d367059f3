//! English: how it is understood and spoken. One kind of answer per file; every file takes what a recogniser writes.

mod amount;
mod clock;
mod day;
mod digits;
mod intents;
mod moment;
mod name;
mod number;
mod options;
mod pattern;
mod phrases;
mod spoken;
mod spoken_values;
mod words;
mod yes_no;

#[cfg(test)]
mod corpus_tests;

use super::answer::{Answer, AnswerType, NotUnderstood, Understood};
use super::bounds;
use super::grammar::{Grammar, IntentHeard, Moment, Phrase, Speech, SpokenAs};
use jiff::Zoned;
use serde_json::Value;

/// English of any region. Dates in figures ("3/4") are asked about, so that no region has to be guessed.
pub(super) struct English;

impl Grammar for English {
    fn understand(&self, wanted: &AnswerType, heard: &str, moment: &Moment) -> Result<Understood, NotUnderstood> {
        if !heard.chars().any(char::is_alphanumeric) {
            return Err(NotUnderstood::Nothing);
        }
        let heard = end_of(heard);
        let understood = match wanted {
            AnswerType::YesNo => yes_no::understand(heard),
            AnswerType::Digits { at_least, at_most } => digits::understand(heard, *at_least, *at_most),
            AnswerType::Number { .. } => number::understand(heard),
            AnswerType::Amount { currency, .. } => amount::understand(heard, currency),
            AnswerType::Date { past, .. } => moment::date(heard, moment, *past),
            AnswerType::Time { earliest, latest } => moment::time(heard, moment, *earliest, *latest),
            AnswerType::DateTime { earliest, latest, .. } => moment::date_time(heard, moment, *earliest, *latest),
            AnswerType::Options { options } => options::understand(heard, options),
            AnswerType::Name => name::understand(heard),
            AnswerType::Text { chars_max } => text(heard, *chars_max),
        }?;
        bounds::check(self, wanted, understood, moment)
    }

    fn intent(&self, heard: &str, callee_name: Option<&str>) -> Option<IntentHeard> {
        intents::understand(heard, callee_name)
    }

    fn speak(&self, value: &Value) -> String {
        spoken_values::speak(value, SpokenAs::Shape, None)
    }
}

impl Speech for English {
    fn speak_as(&self, value: &Value, how: SpokenAs, currency: Option<&str>) -> String {
        spoken_values::speak(value, how, currency)
    }

    fn phrase(&self, phrase: &Phrase<'_>) -> String {
        phrases::say(phrase)
    }

    fn call_back_time(&self, heard: &str, moment: &Moment) -> Result<Zoned, NotUnderstood> {
        moment::call_back(heard, moment)
    }

    fn speak_moment(&self, at: &Zoned, moment: &Moment) -> String {
        spoken_values::moment(at, moment)
    }
}

/// The last part of a monologue: enough for any answer, and a bound on the work.
fn end_of(heard: &str) -> &str {
    const BYTES_MAX: usize = 2_000;
    let mut from = heard.len().saturating_sub(BYTES_MAX);
    while !heard.is_char_boundary(from) {
        from += 1;
    }
    heard.get(from..).unwrap_or("")
}

fn text(heard: &str, chars_max: u32) -> Result<Understood, NotUnderstood> {
    let most = usize::try_from(chars_max).unwrap_or(usize::MAX);
    let kept: String = heard.trim().chars().take(most).collect();
    if kept.is_empty() {
        return Err(NotUnderstood::Nothing);
    }
    Ok(Understood::sure(Answer::Text(kept)))
}

/// Whole units of a currency in minor ones.
pub(super) fn minor_units(units: f64, code: &str) -> Option<i64> {
    amount::to_minor(units, code)
}
