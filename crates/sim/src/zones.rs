//! Civil time, worked out here from a hand-written table, so that the gates' own calendar is checked by another one.

use carillon_domain::time::UnixMicros;

/// A time zone of the table.
#[derive(Debug)]
pub(crate) struct Zone {
    /// Its IANA name.
    pub(crate) name: &'static str,
    /// From which second since the epoch (UTC) which offset holds, in seconds east of Greenwich; the first row holds before,
    /// too. Right from 2026-01-01 to 2027-03-01.
    offsets: &'static [(i64, i32)],
}

const MARCH_29: i64 = 1_774_746_000; // 2026-03-29T01:00:00Z
const OCTOBER_25: i64 = 1_792_890_000; // 2026-10-25T01:00:00Z

pub(crate) static KOLKATA: Zone = Zone {
    name: "Asia/Kolkata",
    offsets: &[(0, 19_800)],
};
pub(crate) static NEW_YORK: Zone = Zone {
    name: "America/New_York",
    // 2026-03-08T07:00:00Z and 2026-11-01T06:00:00Z
    offsets: &[(0, -18_000), (1_772_953_200, -14_400), (1_793_512_800, -18_000)],
};
pub(crate) static LONDON: Zone = Zone {
    name: "Europe/London",
    offsets: &[(0, 0), (MARCH_29, 3_600), (OCTOBER_25, 0)],
};
pub(crate) static BERLIN: Zone = Zone {
    name: "Europe/Berlin",
    offsets: &[(0, 3_600), (MARCH_29, 7_200), (OCTOBER_25, 3_600)],
};
pub(crate) static MADRID: Zone = Zone {
    name: "Europe/Madrid",
    offsets: &[(0, 3_600), (MARCH_29, 7_200), (OCTOBER_25, 3_600)],
};
pub(crate) static CANARY: Zone = Zone {
    name: "Atlantic/Canary",
    offsets: &[(0, 0), (MARCH_29, 3_600), (OCTOBER_25, 0)],
};
pub(crate) static SYDNEY: Zone = Zone {
    name: "Australia/Sydney",
    // 2026-04-04T16:00:00Z and 2026-10-03T16:00:00Z
    offsets: &[(0, 39_600), (1_775_318_400, 36_000), (1_791_043_200, 39_600)],
};
pub(crate) static GUAYAQUIL: Zone = Zone {
    name: "America/Guayaquil",
    offsets: &[(0, -18_000)],
};
pub(crate) static GALAPAGOS: Zone = Zone {
    name: "Pacific/Galapagos",
    offsets: &[(0, -21_600)],
};

/// Every zone of the table.
pub(crate) static ALL: [&Zone; 9] = [
    &KOLKATA, &NEW_YORK, &LONDON, &BERLIN, &MADRID, &CANARY, &SYDNEY, &GUAYAQUIL, &GALAPAGOS,
];

/// A moment by a wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Civil {
    /// Days since 1970-01-01.
    pub(crate) day: i64,
    /// Minutes since midnight, rounded down.
    pub(crate) minute: i64,
}

impl Civil {
    /// Day of the week, 0 is Monday.
    pub(crate) const fn weekday(self) -> i64 {
        // 1970-01-01 was a Thursday.
        (self.day + 3).rem_euclid(7)
    }
}

impl Zone {
    /// The zone of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        ALL.into_iter().find(|zone| zone.name == name)
    }

    /// What the clock on the wall says.
    pub(crate) fn civil(&self, at: UnixMicros) -> Civil {
        let seconds = at.seconds();
        let offset = self
            .offsets
            .iter()
            .rev()
            .find(|(from, _)| *from <= seconds)
            .map_or(0, |(_, offset)| *offset);
        let local = seconds + i64::from(offset);
        Civil {
            day: local.div_euclid(86_400),
            minute: local.rem_euclid(86_400) / 60,
        }
    }
}

/// Whether hours from `start` (included) to `end` (not included), in minutes after midnight, on days of the week (bit 0 is
/// Monday) are open at this civil time. Hours that cross midnight belong to the day on which they begin.
pub(crate) fn is_open(start: i64, end: i64, days: u8, civil: Civil) -> bool {
    let chosen = |weekday: i64| days >> weekday & 1 == 1;
    if start < end {
        return chosen(civil.weekday()) && (start..end).contains(&civil.minute);
    }
    let yesterday = (civil.weekday() + 6) % 7;
    chosen(civil.weekday()) && civil.minute >= start || chosen(yesterday) && civil.minute < end
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
pub(crate) fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let year_from_march = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let leap_days = year_from_march.div_euclid(4) - year_from_march.div_euclid(100) + year_from_march.div_euclid(400);
    year_from_march * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_numbers_of_the_calendar() {
        for (date, number) in [
            ((1970, 1, 1), 0),
            ((2000, 3, 1), 11_017),
            ((2026, 10, 25), 20_751),
            ((2024, 2, 29), 19_782),
        ] {
            assert_eq!(day_number(date.0, date.1, date.2), number, "{date:?}");
        }
    }

    #[test]
    fn clocks_change_when_they_should() {
        let minute = |zone: &Zone, seconds| zone.civil(UnixMicros::from_seconds(seconds)).minute;
        assert_eq!(minute(&LONDON, OCTOBER_25 - 1), 119);
        assert_eq!(minute(&LONDON, OCTOBER_25), 60);
        assert_eq!(minute(&BERLIN, MARCH_29 - 1), 119);
        assert_eq!(minute(&BERLIN, MARCH_29), 180);
        assert_eq!(minute(&NEW_YORK, 1_793_512_800), 60);
        assert_eq!(minute(&SYDNEY, 1_775_318_400), 120);
    }

    #[test]
    fn hours_over_midnight_belong_to_the_day_they_begin_on() {
        let monday = day_number(2026, 10, 26);
        let at = |day, minute| Civil { day, minute };
        for (civil, open) in [
            (at(monday, 1_260), true),
            (at(monday + 1, 119), true),
            (at(monday + 1, 120), false),
            (at(monday + 1, 1_260), false),
            (at(monday, 60), false),
        ] {
            assert_eq!(is_open(1_260, 120, 0b1, civil), open, "{civil:?}");
        }
    }
}
