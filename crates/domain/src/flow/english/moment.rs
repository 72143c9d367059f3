//! Dates and times together, by the callee's clock.

use super::clock::{self, Clock, Part};
use super::day::{self, Day};
use super::spoken_values;
use super::words::{corrected, words};
use crate::flow::answer::{Answer, NotUnderstood, Understood};
use crate::flow::grammar::Moment;
use jiff::civil::{Date, Time};
use jiff::{ToSpan, Zoned};

/// The day of an answer.
pub(super) fn date(heard: &str, moment: &Moment, past: bool) -> Result<Understood, NotUnderstood> {
    let today = moment.local().date();
    let read = |words: &[String]| match day::understand(words, today, past)? {
        Some(day) => Ok(Understood::with_confidence(Answer::Date(day.date), day.confidence)),
        None => Err(NotUnderstood::NoAnswer),
    };
    last_word(heard, read)
}

/// The time of day of an answer.
pub(super) fn time(
    heard: &str,
    moment: &Moment,
    earliest: Option<Time>,
    latest: Option<Time>,
) -> Result<Understood, NotUnderstood> {
    let read = |words: &[String]| {
        if let Some((minutes, confidence)) = clock::from_now_minutes(words) {
            let at = later(&moment.local(), minutes)?;
            return Ok(Understood::with_confidence(Answer::Time(at.time()), confidence));
        }
        let part = clock::part(words);
        match settled(&clock::all(words, &[]), part, earliest, latest, None)? {
            Some((time, confidence)) => Ok(Understood::with_confidence(Answer::Time(time), confidence)),
            None => match part {
                Some(part) => Ok(Understood::with_confidence(
                    Answer::Time(clamped(part.usual(), earliest, latest)),
                    60,
                )),
                None => Err(NotUnderstood::NoAnswer),
            },
        }
    };
    last_word(heard, read)
}

/// The day and time of an answer.
pub(super) fn date_time(
    heard: &str,
    moment: &Moment,
    earliest: Option<Time>,
    latest: Option<Time>,
) -> Result<Understood, NotUnderstood> {
    let read = |words: &[String]| {
        let found = Found::of(words, moment, earliest, latest)?;
        let (at, confidence) = match found {
            Found::At(at, confidence) => (at, confidence),
            Found::Parts {
                day: Some(day),
                time: Some((time, confidence)),
                ..
            } => (zoned(day.date, time, moment)?, confidence.min(day.confidence)),
            Found::Parts {
                day: Some(day),
                part: Some(part),
                ..
            } => (zoned(day.date, clamped(part.usual(), earliest, latest), moment)?, 60),
            Found::Parts { day: Some(day), .. } => return Err(NotUnderstood::TimeMissing(day.date)),
            Found::Parts {
                time: Some((time, _)), ..
            } => return Err(NotUnderstood::DateMissing(time)),
            Found::Parts { part: Some(part), .. } => return Err(NotUnderstood::DateMissing(part.usual())),
            Found::Parts { .. } => return Err(NotUnderstood::NoAnswer),
        };
        Ok(Understood::with_confidence(Answer::DateTime(at), confidence))
    };
    last_word(heard, read)
}

/// Nobody wants to be called at seven in the morning: between these a bare hour is settled.
const CALLS_FROM: Time = Time::constant(8, 0, 0, 0);
const CALLS_UNTIL: Time = Time::constant(21, 0, 0, 0);

/// When to call back. A missing day is the next one that fits, a missing time the morning.
pub(super) fn call_back(heard: &str, moment: &Moment) -> Result<Zoned, NotUnderstood> {
    let local = moment.local();
    let soon = |date: Date, time: Time| -> Result<Zoned, NotUnderstood> {
        let at = zoned(date, time, moment)?;
        if at.timestamp() > local.timestamp() {
            return Ok(at);
        }
        zoned(date.tomorrow().map_err(|_| NotUnderstood::NoSuchDate)?, time, moment)
    };
    let read = |words: &[String]| match Found::of(words, moment, Some(CALLS_FROM), Some(CALLS_UNTIL))? {
        Found::At(at, _) => Ok(at),
        Found::Parts {
            day: Some(day),
            time: Some((time, _)),
            ..
        } => {
            let at = zoned(day.date, time, moment)?;
            if at.timestamp() > local.timestamp() {
                Ok(at)
            } else {
                Err(NotUnderstood::InThePast)
            }
        }
        Found::Parts {
            day: None,
            time: Some((time, _)),
            ..
        } => soon(local.date(), time),
        Found::Parts {
            day: None,
            part: Some(part),
            ..
        } => soon(local.date(), part.usual()),
        Found::Parts {
            day: Some(day),
            part: Some(part),
            ..
        } => soon(day.date, part.usual()),
        // "Later today" is no time, but a few hours from now is what is meant.
        Found::Parts { day: Some(day), .. } if day.date == local.date() => later(&local, 180),
        Found::Parts { day: Some(day), .. } => zoned(day.date, Part::Morning.usual(), moment),
        Found::Parts { .. } => Err(NotUnderstood::NoAnswer),
    };
    last_word(heard, read)
}

/// Reads what follows a correction, if that is an answer; else everything.
fn last_word<T>(heard: &str, read: impl Fn(&[String]) -> Result<T, NotUnderstood>) -> Result<T, NotUnderstood> {
    let words = words(heard);
    if let Some((before, after)) = corrected(&words) {
        match read(after) {
            Ok(found) => return Ok(found),
            // "Tomorrow at five, no wait, at six": what is not said again stays.
            Err(NotUnderstood::DateMissing(_)) => {
                let today_kept: Vec<String> = without_times(before).into_iter().chain(after.iter().cloned()).collect();
                if let Ok(found) = read(&today_kept) {
                    return Ok(found);
                }
            }
            Err(_) => {}
        }
    }
    read(&words)
}

/// The words that may name a day.
fn without_times(words: &[String]) -> Vec<String> {
    let end = words
        .iter()
        .position(|word| word == "at" || word.contains(':'))
        .unwrap_or(words.len());
    words.get(..end).unwrap_or(&[]).to_vec()
}

enum Found {
    /// A moment by itself ("in two hours").
    At(Zoned, u8),
    Parts {
        day: Option<Day>,
        time: Option<(Time, u8)>,
        part: Option<Part>,
    },
}

impl Found {
    fn of(
        words: &[String],
        moment: &Moment,
        earliest: Option<Time>,
        latest: Option<Time>,
    ) -> Result<Self, NotUnderstood> {
        let local = moment.local();
        if let Some((minutes, confidence)) = clock::from_now_minutes(words) {
            return Ok(Self::At(later(&local, minutes)?, confidence));
        }
        let day = day::understand(words, local.date(), false)?;
        let taken: Vec<(usize, usize)> = day.iter().map(|day| (day.from, day.to)).collect();
        let part = clock::part(words);
        // Of two readings on this very day, the one that has passed is not meant.
        let now = day.filter(|day| day.date == local.date()).map(|_| local.time());
        let time = settled(&clock::all(words, &taken), part, earliest, latest, now)?;
        Ok(Self::Parts { day, time, part })
    }
}

/// The one time that these clocks tell, and how surely. Which half of the day is settled by the part that was named, then by
/// what is allowed, then by what has passed, then by habit; six and seven are asked about.
fn settled(
    clocks: &[Clock],
    part: Option<Part>,
    earliest: Option<Time>,
    latest: Option<Time>,
    now: Option<Time>,
) -> Result<Option<(Time, u8)>, NotUnderstood> {
    let Some(first) = clocks.first() else { return Ok(None) };
    if clocks.len() > 1 {
        let mut spoken: Vec<String> = clocks
            .iter()
            .filter_map(|clock| clock.readings(part).first().map(|time| spoken_values::time(*time)))
            .collect();
        spoken.dedup();
        spoken.truncate(3);
        if spoken.len() > 1 {
            return Err(NotUnderstood::Ambiguous(spoken));
        }
    }
    let all = first.readings(part);
    let allowed = |time: &Time| earliest.is_none_or(|from| *time >= from) && latest.is_none_or(|to| *time <= to);
    let ahead = |time: &Time| now.is_none_or(|now| *time > now);
    let narrowed = narrow(narrow(all, allowed), ahead);
    match narrowed.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some((*only, 92))),
        [likely, other, ..] => {
            if matches!(first.hour, 6 | 7) {
                let (early, late) = if likely < other {
                    (likely, other)
                } else {
                    (other, likely)
                };
                return Err(NotUnderstood::Ambiguous(vec![
                    spoken_values::time(*early),
                    spoken_values::time(*late),
                ]));
            }
            Ok(Some((*likely, if first.hour == 8 { 72 } else { 85 })))
        }
    }
}

/// Those that hold, if any does.
fn narrow(times: Vec<Time>, holds: impl Fn(&Time) -> bool) -> Vec<Time> {
    let kept: Vec<Time> = times.iter().copied().filter(|time| holds(time)).collect();
    if kept.is_empty() { times } else { kept }
}

fn clamped(time: Time, earliest: Option<Time>, latest: Option<Time>) -> Time {
    let time = earliest.map_or(time, |from| time.max(from));
    latest.map_or(time, |to| time.min(to))
}

/// A moment by the callee's clock. A time that the clock skips in spring is the one an hour later.
fn zoned(date: Date, time: Time, moment: &Moment) -> Result<Zoned, NotUnderstood> {
    let zone = moment.local().time_zone().clone();
    date.to_datetime(time)
        .to_zoned(zone)
        .map_err(|_| NotUnderstood::NoSuchDate)
}

fn later(local: &Zoned, minutes: i64) -> Result<Zoned, NotUnderstood> {
    let at = local
        .checked_add(minutes.minutes())
        .map_err(|_| NotUnderstood::NoSuchDate)?;
    at.with()
        .second(0)
        .subsec_nanosecond(0)
        .build()
        .map_err(|_| NotUnderstood::NoSuchDate)
}

#[cfg(test)]
#[path = "moment_tests.rs"]
mod tests;
