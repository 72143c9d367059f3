//! Bounds of typed answers, the same in every language.

use super::answer::{Answer, AnswerType, NotUnderstood, Understood, number_json};
use super::grammar::{Moment, Speech, SpokenAs};
use jiff::ToSpan;
use jiff::civil::{Date, Time};
use serde_json::json;

/// The answer if it keeps to what the question allows.
pub(super) fn check(
    speech: &dyn Speech,
    wanted: &AnswerType,
    understood: Understood,
    moment: &Moment,
) -> Result<Understood, NotUnderstood> {
    match (wanted, &understood.answer) {
        (AnswerType::Number { min, max, whole }, Answer::Number(number)) => {
            let spoken = |bound: f64| speech.speak(&number_json(bound));
            if *whole && number.fract() != 0.0 {
                return Err(NotUnderstood::NotWhole);
            }
            if let Some(min) = min.filter(|min| number < min) {
                return Err(NotUnderstood::TooSmall(spoken(min)));
            }
            if let Some(max) = max.filter(|max| number > max) {
                return Err(NotUnderstood::TooLarge(spoken(max)));
            }
        }
        (
            AnswerType::Amount {
                min_minor,
                max_minor,
                currency,
            },
            Answer::Amount { minor, .. },
        ) => {
            let spoken = |bound: i64| speech.speak(&json!({"minor": bound, "currency": currency}));
            if let Some(min) = min_minor.filter(|min| minor < min) {
                return Err(NotUnderstood::TooSmall(spoken(min)));
            }
            if let Some(max) = max_minor.filter(|max| minor > max) {
                return Err(NotUnderstood::TooLarge(spoken(max)));
            }
        }
        (AnswerType::Date { past, within_days }, Answer::Date(day)) => {
            let today = moment.local().date();
            if !past && *day < today {
                return Err(NotUnderstood::InThePast);
            }
            within(speech, *day, today, *within_days)?;
        }
        (AnswerType::Time { earliest, latest }, Answer::Time(time)) => hours(speech, *time, *earliest, *latest)?,
        (
            AnswerType::DateTime {
                within_days,
                earliest,
                latest,
            },
            Answer::DateTime(at),
        ) => {
            let local = moment.local();
            if at.timestamp() < local.timestamp() {
                return Err(NotUnderstood::InThePast);
            }
            within(speech, at.date(), local.date(), *within_days)?;
            hours(speech, at.time(), *earliest, *latest)?;
        }
        _ => {}
    }
    Ok(understood)
}

fn within(speech: &dyn Speech, day: Date, today: Date, within_days: Option<u32>) -> Result<(), NotUnderstood> {
    // A century is beyond every calendar of this kind, and within the arithmetic.
    let Some(days) = within_days.filter(|days| *days < 36_500) else {
        return Ok(());
    };
    match today.checked_add(i64::from(days).days()) {
        Ok(last) if day > last => Err(NotUnderstood::TooFar(speech.speak_as(
            &json!(last.to_string()),
            SpokenAs::Date,
            None,
        ))),
        _ => Ok(()),
    }
}

fn hours(speech: &dyn Speech, time: Time, earliest: Option<Time>, latest: Option<Time>) -> Result<(), NotUnderstood> {
    let (from, to) = (earliest.unwrap_or(Time::MIN), latest.unwrap_or(Time::MAX));
    if time >= from && time <= to {
        return Ok(());
    }
    let spoken = |time: Time| speech.speak_as(&json!(time.strftime("%H:%M").to_string()), SpokenAs::Time, None);
    Err(NotUnderstood::OutsideHours(spoken(from), spoken(to)))
}

/// An answer as it is read back.
pub(super) fn spoken(speech: &dyn Speech, wanted: &AnswerType, answer: &Answer, moment: &Moment) -> String {
    match (wanted, answer) {
        (AnswerType::Options { options }, Answer::Option(value)) => options
            .iter()
            .find(|option| option.value == *value)
            .map_or_else(|| value.clone(), |option| option.name().to_owned()),
        (_, Answer::Digits(digits)) => speech.speak_as(&json!(digits), SpokenAs::Digits, None),
        (_, Answer::Name(text) | Answer::Text(text)) => text.clone(),
        (_, Answer::DateTime(at)) => speech.speak_moment(at, moment),
        (_, answer) => speech.speak(&answer.to_json()),
    }
}
