//! Days: "tomorrow", "next Tuesday", "the 3rd of March", "in two weeks", "the 15th".

use super::number::{self, ordinal, small, tens};
use super::words::{denied, has};
use crate::flow::answer::NotUnderstood;
use jiff::civil::{Date, Weekday};
use jiff::{Span, ToSpan};

/// A day that was found in words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Day {
    pub(super) date: Date,
    pub(super) confidence: u8,
    /// Its first word, and the one after its last.
    pub(super) from: usize,
    pub(super) to: usize,
}

/// The one day of `words`, if there is one. `past` allows days before today ("my birthday").
pub(super) fn understand(words: &[String], today: Date, past: bool) -> Result<Option<Day>, NotUnderstood> {
    let found = all(words, today, past)?;
    let meant: Vec<Day> = found.into_iter().filter(|day| !denied(words, day.from)).collect();
    let Some(first) = meant.first().copied() else {
        return Ok(None);
    };
    if meant.iter().all(|day| day.date == first.date) {
        let confidence = meant.iter().map(|day| day.confidence).max().unwrap_or(first.confidence);
        let to = meant.iter().map(|day| day.to).max().unwrap_or(first.to);
        return Ok(Some(Day {
            confidence,
            to,
            ..first
        }));
    }
    let mut spoken: Vec<String> = meant.iter().map(|day| super::spoken_values::date(day.date)).collect();
    spoken.dedup();
    spoken.truncate(3);
    Err(NotUnderstood::Ambiguous(spoken))
}

fn all(words: &[String], today: Date, past: bool) -> Result<Vec<Day>, NotUnderstood> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let rest = words.get(at..).unwrap_or(&[]);
        match one(rest, words.get(at.wrapping_sub(1)), today, past)? {
            Some((date, confidence, used)) => {
                found.push(Day {
                    date,
                    confidence,
                    from: at,
                    to: at + used,
                });
                at += used.max(1);
            }
            None => at += 1,
        }
    }
    Ok(found)
}

type Read = Option<(Date, u8, usize)>;

fn one(words: &[String], before: Option<&String>, today: Date, past: bool) -> Result<Read, NotUnderstood> {
    let texts: Vec<&str> = words.iter().take(6).map(String::as_str).collect();
    let plus = |span: Span| today.checked_add(span).ok();
    let simple = match texts.as_slice() {
        ["today" | "tonight", ..] => Some((today, 95, 1)),
        ["this", "morning" | "afternoon" | "evening", ..] => Some((today, 92, 1)),
        ["the", "day", "after", "tomorrow", ..] => plus(2.days()).map(|date| (date, 95, 4)),
        ["day", "after", "tomorrow", ..] => plus(2.days()).map(|date| (date, 95, 3)),
        ["tomorrow", ..] => plus(1.day()).map(|date| (date, 95, 1)),
        ["yesterday", ..] if past => plus(-1.day()).map(|date| (date, 95, 1)),
        ["next", "week", day, ..] | [day, "next", "week", ..] if weekday(day).is_some() => weekday(day)
            .and_then(|day| in_next_week(today, day))
            .map(|date| (date, 92, 3)),
        ["next", "week", "on", day, ..] if weekday(day).is_some() => weekday(day)
            .and_then(|day| in_next_week(today, day))
            .map(|date| (date, 92, 4)),
        ["next", "week", ..] => plus(7.days()).map(|date| (date, 60, 2)),
        ["next", "month", ..] => plus(1.month()).map(|date| (date, 55, 2)),
        ["weekend", ..] => following(today, Weekday::Saturday).map(|date| (date, 60, 1)),
        ["a", "week", "on" | "from", day, ..] if weekday(day).is_some() => weekday(day)
            .and_then(|day| following(today, day)?.checked_add(7.days()).ok())
            .map(|date| (date, 90, 4)),
        ["a", "week", "from", "tomorrow", ..] => plus(8.days()).map(|date| (date, 90, 4)),
        _ => None,
    };
    if simple.is_some() {
        return Ok(simple);
    }
    if let Some(read) = in_some_days(words, today, past).or_else(|| on_weekday(words, today, past)) {
        return Ok(Some(read));
    }
    if let Some(date) = texts
        .first()
        .and_then(|word| word.parse::<Date>().ok())
        .filter(|_| texts.first().is_some_and(|word| word.len() == 10))
    {
        return Ok(Some((date, 97, 1)));
    }
    if let Some(read) = in_figures(words)? {
        return Ok(Some(read));
    }
    if let Some(read) = with_month(words, today, past)? {
        return Ok(Some(read));
    }
    day_of_month(words, before, today, past)
}

/// "In two weeks", "three days from now", "two days ago".
fn in_some_days(words: &[String], today: Date, past: bool) -> Read {
    let lead = usize::from(words.first().is_some_and(|word| word == "in" || word == "within"));
    let rest = words.get(lead..)?;
    let (count, used) = match rest.first()?.as_str() {
        "a" | "an" if rest.get(1).is_some_and(|next| next == "couple") => {
            (2.0, 2 + usize::from(rest.get(2).is_some_and(|of| of == "of")))
        }
        "a" | "an" => (1.0, 1),
        _ => {
            let read = number::read(rest).filter(|read| !read.ordinal)?;
            (read.value, read.words)
        }
    };
    #[expect(clippy::cast_possible_truncation, reason = "the bound is checked")]
    let count = (count.fract() == 0.0 && (0.0..=5_000.0).contains(&count)).then_some(count as i64)?;
    let span = match rest.get(used)?.as_str() {
        "day" | "days" => count.days(),
        "week" | "weeks" => count.weeks(),
        "fortnight" => (count * 2).weeks(),
        "month" | "months" => count.months(),
        "year" | "years" => count.years(),
        _ => return None,
    };
    let end = lead + used + 1;
    let after: Vec<&str> = words.get(end..)?.iter().take(2).map(String::as_str).collect();
    match after.as_slice() {
        ["ago", ..] if past => Some((today.checked_sub(span).ok()?, 92, end + 1)),
        ["from", "now" | "today"] => Some((today.checked_add(span).ok()?, 92, end + 2)),
        _ if lead == 1 => Some((today.checked_add(span).ok()?, 90, end)),
        _ => None,
    }
}

fn on_weekday(words: &[String], today: Date, past: bool) -> Read {
    let first = words.first()?.as_str();
    let second = words.get(1).map(String::as_str);
    if let Some(day) = weekday(first) {
        if second == Some("week") {
            return Some((following(today, day)?.checked_add(7.days()).ok()?, 90, 2));
        }
        // On a Tuesday few people call that same day "Tuesday".
        let confidence = if today.weekday() == day { 66 } else { 92 };
        return Some((following(today, day)?, confidence, 1));
    }
    let day = weekday(second?)?;
    match first {
        "this" | "coming" => {
            let date = if today.weekday() == day {
                today
            } else {
                following(today, day)?
            };
            Some((date, 90, 2))
        }
        // Some mean the nearest and some the one of next week: where these differ, it is asked.
        "next" | "following" => {
            let (nearest, next_week) = (following(today, day)?, in_next_week(today, day)?);
            let confidence = if nearest == next_week { 92 } else { 64 };
            Some((next_week, confidence, 2))
        }
        "last" if past => {
            let date = following(today, day)?.checked_sub(7.days()).ok()?;
            let date = if date == today {
                date.checked_sub(7.days()).ok()?
            } else {
                date
            };
            Some((date, 90, 2))
        }
        _ => None,
    }
}

/// The next such day after today.
fn following(today: Date, day: Weekday) -> Option<Date> {
    today.nth_weekday(1, day).ok()
}

fn in_next_week(today: Date, day: Weekday) -> Option<Date> {
    let monday = following(today, Weekday::Monday)?;
    if day == Weekday::Monday {
        Some(monday)
    } else {
        following(monday, day)
    }
}

pub(super) fn weekday(word: &str) -> Option<Weekday> {
    Some(match word.strip_suffix('s').unwrap_or(word) {
        "monday" | "mon" => Weekday::Monday,
        "tuesday" | "tue" | "tues" => Weekday::Tuesday,
        "wednesday" | "wed" | "wednsday" => Weekday::Wednesday,
        "thursday" | "thu" | "thur" | "thurs" => Weekday::Thursday,
        "friday" | "fri" => Weekday::Friday,
        "saturday" | "sat" => Weekday::Saturday,
        "sunday" => Weekday::Sunday,
        _ => return None,
    })
}

fn month(word: &str) -> Option<i8> {
    Some(match word {
        "january" | "jan" => 1,
        "february" | "feb" => 2,
        "march" | "mar" => 3,
        "april" | "apr" => 4,
        "may" => 5,
        "june" | "jun" => 6,
        "july" | "jul" => 7,
        "august" | "aug" => 8,
        "september" | "sept" | "sep" => 9,
        "october" | "oct" => 10,
        "november" | "nov" => 11,
        "december" | "dec" => 12,
        _ => return None,
    })
}

/// A day's number: "third", "twenty first", "3rd", "21".
fn day_number(words: &[String]) -> Option<(i8, usize, bool)> {
    let first = words.first()?;
    if let Some(ten) = tens(first)
        && let Some(unit) = words
            .get(1)
            .and_then(|next| ordinal(next).or_else(|| small(next)))
            .filter(|unit| (1..=9).contains(unit))
    {
        let is_ordinal = words.get(1).is_some_and(|next| ordinal(next).is_some());
        return Some((valid_day(ten + unit)?, 2, is_ordinal));
    }
    if let Some(number) = ordinal(first) {
        return Some((valid_day(number)?, 1, true));
    }
    let number = small(first).or_else(|| tens(first)).or_else(|| first.parse().ok())?;
    Some((valid_day(number)?, 1, false))
}

fn valid_day(number: u32) -> Option<i8> {
    i8::try_from(number).ok().filter(|day| (1..=31).contains(day))
}

/// "The third of March", "March the third", "March 3rd, 2027".
fn with_month(words: &[String], today: Date, past: bool) -> Result<Read, NotUnderstood> {
    let the = usize::from(words.first().is_some_and(|word| word == "the"));
    let rest = words.get(the..).unwrap_or(&[]);
    let word = |list: &[String], at: usize| list.get(at).cloned().unwrap_or_default();
    let found = if let Some((day, used, _)) = day_number(rest) {
        let of = usize::from(word(rest, used) == "of");
        month(&word(rest, used + of)).map(|month| (day, month, the + used + of + 1))
    } else if let Some(month) = words.first().and_then(|first| month(first)) {
        let the = usize::from(word(words, 1) == "the");
        let number = day_number(words.get(1 + the..).unwrap_or(&[]));
        number.map(|(day, used, _)| (day, month, 1 + the + used))
    } else {
        None
    };
    let Some((day, month, used)) = found else {
        return Ok(None);
    };
    if let Some((year, more)) = year(words.get(used..).unwrap_or(&[])) {
        let date = Date::new(year, month, day).map_err(|_| NotUnderstood::NoSuchDate)?;
        return Ok(Some((date, 95, used + more)));
    }
    // The 29th of February comes every four years.
    let years = (0..=8).map(|more| today.year().saturating_add(more));
    let mut coming = years.filter_map(|year| Date::new(year, month, day).ok());
    let Some(next) = coming.find(|date| *date >= today) else {
        return Err(NotUnderstood::NoSuchDate);
    };
    if past {
        let ago = (0..=8)
            .filter_map(|less| Date::new(today.year().saturating_sub(less), month, day).ok())
            .find(|date| *date <= today);
        return Ok(ago.map(|date| (date, 60, used)));
    }
    Ok(Some((next, 95, used)))
}

/// "2026", "twenty twenty six", "nineteen eighty four", "two thousand and ten".
fn year(words: &[String]) -> Option<(i16, usize)> {
    let comma = usize::from(words.first().is_some_and(|word| word == "in"));
    let rest = words.get(comma..)?;
    let first = rest.first()?;
    if first.len() == 4
        && let Ok(year) = first.parse::<i16>()
    {
        return (1900..=2200).contains(&year).then_some((year, comma + 1));
    }
    let century = match first.as_str() {
        "nineteen" => 1900,
        "twenty" => 2000,
        "two" if rest.get(1).is_some_and(|next| next == "thousand") => {
            let read = number::read(rest)?;
            #[expect(clippy::cast_possible_truncation, reason = "the bound is checked")]
            return (2000.0..2200.0)
                .contains(&read.value)
                .then_some((read.value as i16, comma + read.words));
        }
        _ => return None,
    };
    let read =
        number::read(rest.get(1..)?).filter(|read| (10.0..100.0).contains(&read.value) && read.value.fract() == 0.0)?;
    #[expect(clippy::cast_possible_truncation, reason = "the bound is checked")]
    Some((century + read.value as i16, comma + 1 + read.words))
}

/// "3/4/2026", which is a day in March or in April.
fn in_figures(words: &[String]) -> Result<Read, NotUnderstood> {
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<i16>().ok());
    let (Some(a), Some(b), Some(year)) = (number(0), number(1), number(2)) else {
        return Ok(None);
    };
    if !(1900..=2200).contains(&year) || !(1..=31).contains(&a) || !(1..=31).contains(&b) {
        return Ok(None);
    }
    let date = |month: i16, day: i16| Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok();
    match (date(a, b), date(b, a)) {
        (Some(one), Some(other)) if one != other => Err(NotUnderstood::Ambiguous(vec![
            super::spoken_values::date(one),
            super::spoken_values::date(other),
        ])),
        (Some(date), _) | (None, Some(date)) => Ok(Some((date, 92, 3))),
        (None, None) => Err(NotUnderstood::NoSuchDate),
    }
}

/// "The 15th": of this month, or the next that has one.
fn day_of_month(words: &[String], before: Option<&String>, today: Date, past: bool) -> Result<Read, NotUnderstood> {
    let the = usize::from(words.first().is_some_and(|word| word == "the"));
    let led = the == 1 || before.is_some_and(|word| word == "on" || word == "the") || words.len() <= 2;
    let Some((day, used, is_ordinal)) = day_number(words.get(the..).unwrap_or(&[])) else {
        return Ok(None);
    };
    let next = words.get(the + used).map_or("", String::as_str);
    let other_thing = matches!(next, "one" | "option" | "time" | "floor" | "choice" | "half" | "of");
    if !led || !is_ordinal || other_thing || has(words, "second thought") {
        return Ok(None);
    }
    let step = if past { -1 } else { 1 };
    let months = (0..12).filter_map(|count| {
        today
            .first_of_month()
            .checked_add(i64::from(step * count).months())
            .ok()
    });
    let mut days = months.filter_map(|first| Date::new(first.year(), first.month(), day).ok());
    let date = days.find(|date| if past { *date <= today } else { *date >= today });
    Ok(date.map(|date| (date, 80, the + used)))
}
