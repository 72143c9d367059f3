//! When calls may be made: hours of the day on days of the week, judged by the clock on the wall of one time zone.
//!
//! What goes in: hours, a zone and a moment. What comes out: open or closed, and when that changes. The moment is an
//! argument; the time-zone rules come from the database compiled into the program.
//!
//! One rule decides everything: **an instant is open when its own civil time lies inside the hours.** From it follows
//! what happens when clocks change:
//! - *Gap* (clocks go forward, or a zone skips a whole day): hours that begin at a time which does not exist begin at the
//!   first instant after the gap, if that instant still lies inside them. Hours wholly inside the gap do not open that day.
//! - *Fold* (clocks go back): a civil time that happens twice is judged the same both times, so hours that end inside
//!   the fold close, open again when the clock has gone back, and close again.
//!
//! A zone that the database does not know is never open (it fails closed). So is a moment outside the years -9999 to
//! 9999.

use crate::time::UnixMicros;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How far [`next_common_opening`] looks before it says that there is none.
pub const COMMON_OPENING_HORIZON_DAYS: u64 = 14;

const MINUTES_PER_DAY: u16 = 24 * 60;

/// The name of a time zone of the IANA database.
///
/// [`ZoneName::parse`] accepts known names only. The stored form is read back without that check, because a record
/// written under another edition of the database must stay readable; evaluation then fails closed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ZoneName(String);

/// The text is not the name of a time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone: {0:?}")]
pub struct UnknownZone(pub String);

impl ZoneName {
    /// The zone of this name, in the database's own spelling (names are matched without regard to case).
    /// `Etc/Unknown` is no zone.
    pub fn parse(text: &str) -> Result<Self, UnknownZone> {
        let zone = known_zone(text).ok_or_else(|| UnknownZone(text.to_owned()))?;
        Ok(Self(zone.iana_name().unwrap_or(text).to_owned()))
    }

    /// A name from a table whose names are known to be good.
    pub(crate) fn of_table(name: &'static str) -> Self {
        Self(name.to_owned())
    }

    /// The name, such as `Asia/Kolkata`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn time_zone(&self) -> Option<TimeZone> {
        known_zone(&self.0)
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn known_zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok().filter(|zone| !zone.is_unknown())
}

/// A time of day in whole minutes after midnight, 0 (`00:00`) to 1440 (`24:00`, the end of the day).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct MinuteOfDay(u16);

impl MinuteOfDay {
    /// The time `minutes` after midnight; `None` above 1440.
    pub const fn new(minutes: u16) -> Option<Self> {
        if minutes <= MINUTES_PER_DAY {
            Some(Self(minutes))
        } else {
            None
        }
    }

    /// Parses `HH:MM` or `HH:MM:00`, hours 00 to 24.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let hours = two_digits(parts.next()?)?;
        let minutes = two_digits(parts.next()?)?;
        let whole_minute = parts.next().is_none_or(|seconds| seconds == "00") && parts.next().is_none();
        if !whole_minute || minutes > 59 {
            return None;
        }
        Self::new(hours * 60 + minutes)
    }

    /// Minutes after midnight.
    pub const fn minutes(self) -> u16 {
        self.0
    }

    /// This time on `date`; `24:00` is the midnight that ends it.
    fn on(self, date: Date) -> Option<DateTime> {
        if self.0 == MINUTES_PER_DAY {
            return Some(date.tomorrow().ok()?.at(0, 0, 0, 0));
        }
        let hour = i8::try_from(self.0 / 60).ok()?;
        let minute = i8::try_from(self.0 % 60).ok()?;
        Some(date.at(hour, minute, 0, 0))
    }
}

fn two_digits(text: &str) -> Option<u16> {
    let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

impl TryFrom<u16> for MinuteOfDay {
    type Error = HoursProblem;

    fn try_from(minutes: u16) -> Result<Self, Self::Error> {
        Self::new(minutes).ok_or(HoursProblem::NotAMinuteOfTheDay(minutes))
    }
}

impl From<MinuteOfDay> for u16 {
    fn from(minute: MinuteOfDay) -> Self {
        minute.0
    }
}

impl fmt::Display for MinuteOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

impl Weekday {
    /// All seven, Monday first.
    pub const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    /// The day of the week that `date` falls on.
    pub fn of(date: Date) -> Self {
        match date.weekday() {
            jiff::civil::Weekday::Monday => Self::Monday,
            jiff::civil::Weekday::Tuesday => Self::Tuesday,
            jiff::civil::Weekday::Wednesday => Self::Wednesday,
            jiff::civil::Weekday::Thursday => Self::Thursday,
            jiff::civil::Weekday::Friday => Self::Friday,
            jiff::civil::Weekday::Saturday => Self::Saturday,
            jiff::civil::Weekday::Sunday => Self::Sunday,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of days of the week. Stored as a list, Monday first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Weekday>", into = "Vec<Weekday>")]
pub struct WeekdaySet(u8);

impl WeekdaySet {
    /// Every day.
    pub const EVERY_DAY: Self = Self(0b111_1111);

    /// Monday to Friday.
    pub const WORKING_DAYS: Self = Self(0b001_1111);

    /// Is `day` in the set?
    pub const fn contains(self, day: Weekday) -> bool {
        self.0 & day.bit() != 0
    }

    /// Is no day in the set?
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The days in the set, Monday first.
    pub fn iter(self) -> impl Iterator<Item = Weekday> {
        Weekday::ALL.into_iter().filter(move |day| self.contains(*day))
    }

    fn contains_date(self, date: Date) -> bool {
        self.contains(Weekday::of(date))
    }
}

impl FromIterator<Weekday> for WeekdaySet {
    fn from_iter<T: IntoIterator<Item = Weekday>>(days: T) -> Self {
        Self(days.into_iter().fold(0, |set, day| set | day.bit()))
    }
}

impl From<Vec<Weekday>> for WeekdaySet {
    fn from(days: Vec<Weekday>) -> Self {
        days.into_iter().collect()
    }
}

impl From<WeekdaySet> for Vec<Weekday> {
    fn from(set: WeekdaySet) -> Self {
        set.iter().collect()
    }
}

impl fmt::Debug for WeekdaySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Why hours cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoursProblem {
    /// Above 1440.
    #[error("{0} minutes after midnight is not a time of day")]
    NotAMinuteOfTheDay(u16),
    /// Start and end are the same time. A whole day is `00:00` to `24:00`.
    #[error("the hours start and end at the same time")]
    StartEqualsEnd,
    /// The start is `24:00`.
    #[error("the hours cannot start at 24:00")]
    StartsAtEndOfDay,
    /// No day of the week is chosen.
    #[error("no day of the week is chosen")]
    NoDays,
}

/// Hours of the day on some days of the week, in no zone yet: from `start` up to but not including `end`.
///
/// When `start` is later than `end` the hours cross midnight and belong to the day on which they start: Friday's
/// 21:00-02:00 ends on Saturday at 02:00, whether or not Saturday is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "HoursStored", into = "HoursStored")]
pub struct DailyHours {
    start: MinuteOfDay,
    end: MinuteOfDay,
    days: WeekdaySet,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct HoursStored {
    start: MinuteOfDay,
    end: MinuteOfDay,
    days: WeekdaySet,
}

impl TryFrom<HoursStored> for DailyHours {
    type Error = HoursProblem;

    fn try_from(stored: HoursStored) -> Result<Self, Self::Error> {
        Self::new(stored.start, stored.end, stored.days)
    }
}

impl From<DailyHours> for HoursStored {
    fn from(hours: DailyHours) -> Self {
        Self {
            start: hours.start,
            end: hours.end,
            days: hours.days,
        }
    }
}

impl DailyHours {
    /// At any time on any day.
    pub const ALWAYS: Self = Self {
        start: MinuteOfDay(0),
        end: MinuteOfDay(MINUTES_PER_DAY),
        days: WeekdaySet::EVERY_DAY,
    };

    /// Hours from `start` (inclusive) to `end` (exclusive) on `days`.
    pub fn new(start: MinuteOfDay, end: MinuteOfDay, days: WeekdaySet) -> Result<Self, HoursProblem> {
        if start == end {
            return Err(HoursProblem::StartEqualsEnd);
        }
        if start.0 == MINUTES_PER_DAY {
            return Err(HoursProblem::StartsAtEndOfDay);
        }
        if days.is_empty() {
            return Err(HoursProblem::NoDays);
        }
        Ok(Self { start, end, days })
    }

    /// The first minute of the hours.
    pub const fn start(&self) -> MinuteOfDay {
        self.start
    }

    /// The first minute after the hours.
    pub const fn end(&self) -> MinuteOfDay {
        self.end
    }

    /// The days on which the hours start.
    pub const fn days(&self) -> WeekdaySet {
        self.days
    }

    /// These hours by the clock of `zone`.
    pub fn in_zone(self, zone: ZoneName) -> CallingWindow {
        CallingWindow { zone, hours: self }
    }

    /// When the stretch of hours that `local` lies in ends; `None` outside the hours.
    fn stretch_end(&self, local: DateTime) -> Option<DateTime> {
        let today = local.date();
        let crosses_midnight = self.start > self.end;
        if self.days.contains_date(today) && local >= self.start.on(today)? {
            let last_day = if crosses_midnight {
                today.tomorrow().ok()?
            } else {
                today
            };
            let end = self.end.on(last_day)?;
            if local < end {
                return Some(end);
            }
        }
        let yesterday = today.yesterday().ok()?;
        if crosses_midnight && self.days.contains_date(yesterday) {
            let end = self.end.on(today)?;
            if local < end {
                return Some(end);
            }
        }
        None
    }

    fn contains(&self, local: DateTime) -> bool {
        self.stretch_end(local).is_some()
    }

    /// The first civil time at or after `local` inside the hours, on an evenly running clock.
    fn next_open(&self, local: DateTime) -> Option<DateTime> {
        if self.contains(local) {
            return Some(local);
        }
        let mut date = local.date();
        for _ in 0..=7 {
            let start = self.start.on(date)?;
            if self.days.contains_date(date) && start >= local {
                return Some(start);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The first civil time at or after `local` outside the hours, on an evenly running clock; `None` if there is none.
    fn next_closed(&self, local: DateTime) -> Option<DateTime> {
        let mut end = local;
        // Stretches can touch only at midnight (an end of 24:00 and a start of 00:00), so a week of them is a cycle.
        for _ in 0..=8 {
            match self.stretch_end(end) {
                None => return Some(end),
                Some(later) => end = later,
            }
        }
        None
    }
}

/// What a window says at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Calls may be made.
    Open {
        /// The first moment at which they may not; `None` if the window is always open.
        closes_at: Option<UnixMicros>,
    },
    /// Calls may not be made.
    Closed {
        /// The first moment at which they may.
        opens_at: UnixMicros,
    },
    /// The window will not open: its zone is unknown (or the moment is beyond the calendar).
    NeverOpens,
}

impl Opening {
    /// May calls be made?
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

/// Hours in a zone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallingWindow {
    /// The zone whose clock counts.
    pub zone: ZoneName,
    /// The hours by that clock.
    pub hours: DailyHours,
}

impl CallingWindow {
    /// Open or closed at `now`, and when that changes.
    pub fn opening(&self, now: UnixMicros) -> Opening {
        match self.next_opening(now) {
            None => Opening::NeverOpens,
            Some(opens_at) if opens_at == now => Opening::Open {
                closes_at: self.closes_at(now),
            },
            Some(opens_at) => Opening::Closed { opens_at },
        }
    }

    /// Is `now` inside the hours?
    pub fn is_open(&self, now: UnixMicros) -> bool {
        let local = || Some(self.zone.time_zone()?.to_datetime(timestamp(now)?));
        local().is_some_and(|local| self.hours.contains(local))
    }

    /// The first open moment at or after `at_or_after`. `None` only if the zone is unknown or the calendar ends.
    pub fn next_opening(&self, at_or_after: UnixMicros) -> Option<UnixMicros> {
        let zone = self.zone.time_zone()?;
        first_moment(&zone, at_or_after, |local| self.hours.next_open(local))
    }

    /// The first closed moment at or after `at_or_after`. `None` if there is none: the window is always open.
    pub fn closes_at(&self, at_or_after: UnixMicros) -> Option<UnixMicros> {
        if self.hours == DailyHours::ALWAYS {
            return None;
        }
        let zone = self.zone.time_zone()?;
        first_moment(&zone, at_or_after, |local| self.hours.next_closed(local))
    }
}

/// The first moment at or after `from` at which every one of `windows` is open, within
/// [`COMMON_OPENING_HORIZON_DAYS`]; `None` means that they never are open together. No windows means that nothing is
/// known of where the callee is, so that is `None` too.
pub fn next_common_opening(windows: &[CallingWindow], from: UnixMicros) -> Option<UnixMicros> {
    if windows.is_empty() {
        return None;
    }
    let horizon = from + Duration::from_secs(COMMON_OPENING_HORIZON_DAYS * 24 * 60 * 60);
    let mut candidate = from;
    while candidate <= horizon {
        let mut latest = candidate;
        for window in windows {
            latest = latest.max(window.next_opening(latest)?);
        }
        if latest == candidate {
            return Some(candidate);
        }
        candidate = latest;
    }
    None
}

/// The date on the wall in `zone` at `now`; `None` for an unknown zone.
pub fn local_date(zone: &ZoneName, now: UnixMicros) -> Option<Date> {
    Some(zone.time_zone()?.to_datetime(timestamp(now)?).date())
}

/// The hour on the wall in `zone` at `now`, its minutes cut off; `None` for an unknown zone.
pub fn local_hour(zone: &ZoneName, now: UnixMicros) -> Option<DateTime> {
    let local = zone.time_zone()?.to_datetime(timestamp(now)?);
    Some(local.date().at(local.hour(), 0, 0, 0))
}

/// The first moment in `zone` whose date is `date` or later (later only if the zone skipped the whole day);
/// `None` for an unknown zone.
pub fn start_of_local_day(zone: &ZoneName, date: Date) -> Option<UnixMicros> {
    let zone = zone.time_zone()?;
    let midnight = zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0));
    let start = match midnight.offset() {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => midnight.earlier().ok()?,
        // Read with the later offset, a time in a gap is an instant just before the change; the day begins at the change.
        AmbiguousOffset::Gap { .. } => zone.following(midnight.earlier().ok()?).next()?.timestamp(),
    };
    Some(moment(start))
}

/// The first moment at or after `from` that `rule` accepts, where `rule` gives the first civil time accepted at or
/// after a civil time as if clocks never changed. Between two changes of a zone's clock that is exact; so each such
/// span is asked by itself, from the first civil time that exists in it.
fn first_moment(zone: &TimeZone, from: UnixMicros, rule: impl Fn(DateTime) -> Option<DateTime>) -> Option<UnixMicros> {
    let mut span_start = timestamp(from)?;
    loop {
        let offset = zone.to_offset(span_start);
        let next_change = zone.following(span_start).next().map(|change| change.timestamp());
        let found = rule(offset.to_datetime(span_start)).and_then(|local| offset.to_timestamp(local).ok());
        match (found, next_change) {
            (Some(found), Some(change)) if found >= change => span_start = change,
            (None, Some(change)) => span_start = change,
            (found, _) => return found.map(moment),
        }
    }
}

fn timestamp(moment: UnixMicros) -> Option<Timestamp> {
    Timestamp::from_microsecond(moment.micros()).ok()
}

fn moment(timestamp: Timestamp) -> UnixMicros {
    UnixMicros(timestamp.as_microsecond())
}

#[cfg(test)]
mod tests;
