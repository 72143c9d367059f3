//! Times of day: "half past ten", "five thirty p.m.", "in the evening"; and how long from now: "in two hours".

use super::number::{self, small, tens};
use super::words::{denied, has};
use jiff::civil::Time;

/// A part of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Morning,
    Lunch,
    Afternoon,
    Evening,
    Night,
}

impl Part {
    /// A time that nobody will find wrong, when only the part was said.
    pub(super) fn usual(self) -> Time {
        match self {
            Self::Morning => Time::constant(10, 0, 0, 0),
            Self::Lunch => Time::constant(12, 30, 0, 0),
            Self::Afternoon => Time::constant(15, 0, 0, 0),
            Self::Evening => Time::constant(18, 30, 0, 0),
            Self::Night => Time::constant(20, 0, 0, 0),
        }
    }

    /// Whether an hour of the day (0-23) is in it, widely taken.
    fn holds(self, hour: i8) -> bool {
        match self {
            Self::Morning => (0..12).contains(&hour),
            Self::Lunch => (11..15).contains(&hour),
            Self::Afternoon => (12..19).contains(&hour),
            Self::Evening => (16..24).contains(&hour),
            Self::Night => !(5..18).contains(&hour),
        }
    }
}

/// A time that was found in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) hour: i8,
    pub(super) minute: i8,
    /// Which half of the day is known.
    pub(super) exact: bool,
}

impl Clock {
    /// The times of day that it may be, the likelier first.
    pub(super) fn readings(self, part: Option<Part>) -> Vec<Time> {
        let at = |hour: i8| Time::new(hour, self.minute, 0, 0).ok();
        if self.exact {
            return at(self.hour).into_iter().collect();
        }
        let (am, pm) = (self.hour % 12, self.hour % 12 + 12);
        let fits = |hour: &i8| part.is_none_or(|part| part.holds(*hour));
        let likely = if (8..=11).contains(&self.hour) {
            [am, pm]
        } else {
            [pm, am]
        };
        let fitting: Vec<Time> = likely
            .iter()
            .filter(|hour| fits(hour))
            .filter_map(|hour| at(*hour))
            .collect();
        if fitting.is_empty() {
            likely.iter().filter_map(|hour| at(*hour)).collect()
        } else {
            fitting
        }
    }
}

/// The part of the day that is named.
pub(super) fn part(words: &[String]) -> Option<Part> {
    const PARTS: &[(&str, Part)] = &[
        ("after lunch", Part::Afternoon),
        ("lunchtime", Part::Lunch),
        ("lunch time", Part::Lunch),
        ("at lunch", Part::Lunch),
        ("over lunch", Part::Lunch),
        ("after work", Part::Evening),
        ("after dinner", Part::Evening),
        ("morning", Part::Morning),
        ("mornings", Part::Morning),
        ("afternoon", Part::Afternoon),
        ("afternoons", Part::Afternoon),
        ("evening", Part::Evening),
        ("evenings", Part::Evening),
        ("tonight", Part::Night),
        ("night", Part::Night),
    ];
    PARTS
        .iter()
        .find(|(phrase, _)| has(words, phrase))
        .map(|(_, part)| *part)
}

/// Every time of day in `words`; `taken` are words that belong to a day.
pub(super) fn all(words: &[String], taken: &[(usize, usize)]) -> Vec<Clock> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if let Some((_, to)) = taken.iter().find(|(from, to)| (*from..*to).contains(&at)) {
            at = *to;
            continue;
        }
        // Nothing reaches into a day's words ("at five" before "march").
        let end = taken
            .iter()
            .map(|(from, _)| *from)
            .filter(|from| *from > at)
            .min()
            .unwrap_or(words.len());
        let rest = words.get(at..end).unwrap_or(&[]);
        let before = at
            .checked_sub(1)
            .and_then(|before| words.get(before))
            .map_or("", String::as_str);
        let beside_day = taken.iter().any(|(_, to)| *to == at) || before.is_empty();
        match one(rest, before, beside_day, words.len()) {
            Some((clock, used)) => {
                if !denied(words, at) {
                    found.push(clock);
                }
                at += used.max(1);
            }
            None => at += 1,
        }
    }
    // "Seven" and then "seven p.m." is one time, said better.
    let known: Vec<Clock> = found.iter().copied().filter(|clock| clock.exact).collect();
    found.retain(|clock| {
        clock.exact
            || !known
                .iter()
                .any(|better| better.hour % 12 == clock.hour % 12 && better.minute == clock.minute)
    });
    found.dedup();
    found
}

fn one(words: &[String], before: &str, beside_day: bool, total: usize) -> Option<(Clock, usize)> {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    match word(0) {
        "noon" | "midday" => return Some((exact(12, 0), 1)),
        "midnight" => return Some((exact(0, 0), 1)),
        _ => {}
    }
    let (hour, minute, used, said_clearly) = past_or_to(words).or_else(|| hour_and_minute(words))?;
    let (half, more) = match (word(used), word(used + 1)) {
        ("am", _) => (Some(false), 1),
        ("pm", _) => (Some(true), 1),
        ("a", "m") => (Some(false), 2),
        ("p", "m") => (Some(true), 2),
        _ => (None, 0),
    };
    let led = matches!(
        before,
        "at" | "around"
            | "about"
            | "by"
            | "before"
            | "after"
            | "until"
            | "till"
            | "from"
            | "say"
            | "to"
            | "between"
            | "like"
            | "past"
            | "maybe"
    ) || word(used) == "in" && word(used + 1) == "the"
        || matches!(word(used), "ish" | "sharp" | "exactly");
    if !said_clearly && half.is_none() && !led && !beside_day && total > 3 {
        return None;
    }
    // "For two people", "in five days" are no times.
    if matches!(
        word(used),
        "people"
            | "persons"
            | "days"
            | "day"
            | "weeks"
            | "week"
            | "months"
            | "hours"
            | "hour"
            | "minutes"
            | "minute"
            | "of"
            | "dollars"
    ) {
        return None;
    }
    let clock = match half {
        Some(afternoon) if (1..=12).contains(&hour) => exact(hour % 12 + if afternoon { 12 } else { 0 }, minute),
        Some(_) => exact(hour, minute),
        None if hour == 0 || hour > 12 => exact(hour, minute),
        None if word(0).starts_with('0') => exact(hour, minute),
        None => Clock {
            hour,
            minute,
            exact: false,
        },
    };
    Some((clock, used + more))
}

fn exact(hour: i8, minute: i8) -> Clock {
    Clock {
        hour,
        minute,
        exact: true,
    }
}

fn hour_number(word: &str) -> Option<i8> {
    let number = small(word).or_else(|| word.parse().ok().filter(|_| word.len() <= 2))?;
    i8::try_from(number).ok().filter(|hour| (0..24).contains(hour))
}

fn minute_number(words: &[String]) -> Option<(i8, usize)> {
    let first = words.first()?;
    if matches!(first.as_str(), "oh" | "o") {
        let unit = words
            .get(1)
            .and_then(|next| small(next))
            .filter(|unit| (1..=9).contains(unit))?;
        return Some((i8::try_from(unit).ok()?, 2));
    }
    if let Some(ten) = tens(first).filter(|ten| *ten < 60) {
        let unit = words
            .get(1)
            .and_then(|next| small(next))
            .filter(|unit| (1..=9).contains(unit));
        return Some((
            i8::try_from(ten + unit.unwrap_or(0)).ok()?,
            1 + usize::from(unit.is_some()),
        ));
    }
    let number = small(first)
        .filter(|minute| *minute >= 10)
        .or_else(|| first.parse().ok().filter(|_| first.len() == 2))?;
    i8::try_from(number)
        .ok()
        .filter(|minute| (0..60).contains(minute))
        .map(|minute| (minute, 1))
}

/// "Half past ten", "quarter to six", "twenty past four", "half ten".
fn past_or_to(words: &[String]) -> Option<(i8, i8, usize, bool)> {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let a = usize::from(word(0) == "a");
    let (minutes, used) = match word(a) {
        "half" => (30, a + 1),
        "quarter" => (15, a + 1),
        _ => {
            let read = number::read(words.get(a..)?)
                .filter(|read| read.value.fract() == 0.0 && (1.0..60.0).contains(&read.value))?;
            #[expect(clippy::cast_possible_truncation, reason = "the bound is checked")]
            let minutes = read.value as i8;
            let unit = usize::from(matches!(word(a + read.words), "minutes" | "minute"));
            (minutes, a + read.words + unit)
        }
    };
    let (later, used) = match word(used) {
        "past" | "after" => (true, used + 1),
        "to" | "before" | "til" | "till" | "of" => (false, used + 1),
        // "Half ten" is half past ten where it is said.
        _ if word(a) == "half" => (true, used),
        _ => return None,
    };
    let hour = hour_number(word(used)).filter(|hour| (1..=12).contains(hour))?;
    let oclock = usize::from(word(used + 1) == "oclock");
    let end = used + 1 + oclock;
    if later {
        return Some((hour, minutes, end, true));
    }
    let before = if hour == 1 { 12 } else { hour - 1 };
    Some((before, 60 - minutes, end, true))
}

/// "10:30", "ten thirty", "five o'clock", "seventeen hundred", "1730", "five".
fn hour_and_minute(words: &[String]) -> Option<(i8, i8, usize, bool)> {
    let first = words.first()?;
    if let Some((hour, minute)) = first.split_once(':') {
        let hour: i8 = hour.parse().ok().filter(|hour| (0..24).contains(hour))?;
        let minute: i8 = minute
            .get(..2)?
            .parse()
            .ok()
            .filter(|minute| (0..60).contains(minute))?;
        return Some((hour, minute, 1, true));
    }
    if first.len() == 4
        && let (Ok(hour), Ok(minute)) = (first.get(..2)?.parse::<i8>(), first.get(2..)?.parse::<i8>())
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
    {
        return Some((hour, minute, 1, false));
    }
    let hour = hour_number(first)?;
    let rest = words.get(1..)?;
    match rest.first().map(String::as_str) {
        Some("oclock") => return Some((hour, 0, 2, true)),
        Some("hundred") if hour >= 10 => {
            let hours = usize::from(rest.get(1).is_some_and(|next| next == "hours"));
            return Some((hour, 0, 2 + hours, true));
        }
        _ => {}
    }
    if hour >= 1
        && let Some((minute, used)) = minute_number(rest)
    {
        return Some((hour, minute, 1 + used, true));
    }
    Some((hour, 0, 1, false))
}

/// How long from now, in minutes: "in two hours", "in half an hour", "an hour from now".
pub(super) fn from_now_minutes(words: &[String]) -> Option<(i64, u8)> {
    (0..words.len()).find_map(|at| {
        let rest = words.get(at..)?;
        let led = matches!(rest.first()?.as_str(), "in" | "within" | "after");
        let skip = usize::from(led);
        let hedge = usize::from(rest.get(skip).is_some_and(|word| {
            matches!(
                word.as_str(),
                "about" | "around" | "like" | "maybe" | "say" | "another" | "roughly"
            )
        }));
        let (minutes, used, confidence) = duration(rest.get(skip + hedge..)?)?;
        let after: Vec<&str> = rest
            .get(skip + hedge + used..)?
            .iter()
            .take(2)
            .map(String::as_str)
            .collect();
        let trailed = matches!(after.as_slice(), ["from", "now"] | ["later", ..]);
        (led || trailed).then_some((minutes, confidence))
    })
}

fn duration(words: &[String]) -> Option<(i64, usize, u8)> {
    let texts: Vec<&str> = words.iter().take(6).map(String::as_str).collect();
    match texts.as_slice() {
        ["half", "an" | "a", "hour", ..] => return Some((30, 3, 92)),
        ["half", "hour", ..] => return Some((30, 2, 92)),
        ["a", "half", "hour", ..] => return Some((30, 3, 92)),
        ["an" | "one", "hour", "and", "a", "half", ..] => return Some((90, 5, 92)),
        ["quarter", "of", "an", "hour", ..] => return Some((15, 4, 92)),
        ["a", "quarter", "of", "an", "hour", ..] => return Some((15, 5, 92)),
        ["an" | "a", "hour", ..] => return Some((60, 2, 92)),
        ["a", "minute", ..] => return Some((1, 2, 70)),
        ["a", "couple", "of", "hours", ..] => return Some((120, 4, 80)),
        ["a", "couple", "of", "minutes", ..] => return Some((5, 4, 75)),
        ["a", "few", "hours", ..] => return Some((180, 3, 70)),
        ["a", "few", "minutes", ..] => return Some((10, 3, 70)),
        _ => {}
    }
    let read = number::read(words)
        .filter(|read| !read.ordinal && (0.0..=10_000.0).contains(&read.value) && read.value > 0.0)?;
    let per_unit = match words.get(read.words)?.as_str() {
        "minute" | "minutes" | "mins" | "min" => 1.0,
        "hour" | "hours" | "hrs" => 60.0,
        _ => return None,
    };
    #[expect(clippy::cast_possible_truncation, reason = "the bound is checked")]
    let minutes = (read.value * per_unit).round() as i64;
    let rest: Vec<&str> = words
        .get(read.words + 1..)?
        .iter()
        .take(3)
        .map(String::as_str)
        .collect();
    match rest.as_slice() {
        ["and", "a", "half"] if per_unit > 1.0 => Some((minutes + 30, read.words + 4, 92)),
        _ => Some((minutes.max(1), read.words + 1, 92)),
    }
}
