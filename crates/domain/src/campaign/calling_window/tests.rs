use super::*;
use proptest::prelude::*;

const EVERY_DAY: WeekdaySet = WeekdaySet::EVERY_DAY;

/// Zones whose clocks change in different ways: by an hour, by half an hour, never, around Ramadan, by skipping a day,
/// at midnight.
const ZONES: [&str; 8] = [
    "Europe/Rome",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Africa/Casablanca",
    "Pacific/Apia",
    "America/Havana",
    "America/Santiago",
];

fn zone(name: &str) -> ZoneName {
    ZoneName::parse(name).expect("a known zone")
}

fn minute(text: &str) -> MinuteOfDay {
    MinuteOfDay::parse(text).expect("a time of day")
}

fn hours(start: &str, end: &str, days: WeekdaySet) -> DailyHours {
    DailyHours::new(minute(start), minute(end), days).expect("usable hours")
}

fn window(name: &str, start: &str, end: &str) -> CallingWindow {
    hours(start, end, EVERY_DAY).in_zone(zone(name))
}

fn utc(text: &str) -> UnixMicros {
    moment(text.parse().expect("a timestamp"))
}

fn shown(moment: Option<UnixMicros>) -> String {
    moment
        .and_then(timestamp)
        .map_or_else(|| "never".to_owned(), |at| at.to_string())
}

#[track_caller]
fn check_next_opening(window: &CallingWindow, rows: &[(&str, &str)]) {
    for (from, expected) in rows {
        assert_eq!(
            shown(window.next_opening(utc(from))),
            *expected,
            "next opening from {from}"
        );
    }
}

#[track_caller]
fn check_closes_at(window: &CallingWindow, rows: &[(&str, &str)]) {
    for (from, expected) in rows {
        assert_eq!(shown(window.closes_at(utc(from))), *expected, "closes at, from {from}");
    }
}

#[test]
fn a_window_is_open_from_its_start_up_to_its_end() {
    let window = window("Asia/Kolkata", "09:00", "21:00");
    check_next_opening(
        &window,
        &[
            ("2026-05-27T03:29:59.999999Z", "2026-05-27T03:30:00Z"),
            ("2026-05-27T03:30:00Z", "2026-05-27T03:30:00Z"),
            ("2026-05-27T15:29:59.999999Z", "2026-05-27T15:29:59.999999Z"),
            ("2026-05-27T15:30:00Z", "2026-05-28T03:30:00Z"),
        ],
    );
    check_closes_at(
        &window,
        &[
            ("2026-05-27T03:30:00Z", "2026-05-27T15:30:00Z"),
            ("2026-05-27T15:29:59.999999Z", "2026-05-27T15:30:00Z"),
            ("2026-05-27T15:30:00Z", "2026-05-27T15:30:00Z"),
        ],
    );
}

#[test]
fn an_opening_says_open_until_or_closed_until() {
    let window = window("Asia/Kolkata", "09:00", "21:00");
    let closes_at = Some(utc("2026-05-27T15:30:00Z"));
    assert_eq!(window.opening(utc("2026-05-27T04:00:00Z")), Opening::Open { closes_at });
    let opens_at = utc("2026-05-28T03:30:00Z");
    assert_eq!(
        window.opening(utc("2026-05-27T16:00:00Z")),
        Opening::Closed { opens_at }
    );
    let always = DailyHours::ALWAYS.in_zone(zone("Europe/Rome"));
    assert_eq!(
        always.opening(utc("2026-05-27T16:00:00Z")),
        Opening::Open { closes_at: None }
    );
}

#[test]
fn only_chosen_days_open() {
    // 2026-05-29 is a Friday.
    let window = hours("10:00", "12:00", WeekdaySet::WORKING_DAYS).in_zone(zone("Asia/Kolkata"));
    check_next_opening(
        &window,
        &[
            ("2026-05-29T05:00:00Z", "2026-05-29T05:00:00Z"),
            ("2026-05-29T06:30:00Z", "2026-06-01T04:30:00Z"),
            ("2026-05-31T20:00:00Z", "2026-06-01T04:30:00Z"),
        ],
    );
    let sundays = hours("10:00", "12:00", [Weekday::Sunday].into_iter().collect()).in_zone(zone("Asia/Kolkata"));
    check_next_opening(&sundays, &[("2026-05-31T06:30:00Z", "2026-06-07T04:30:00Z")]);
}

#[test]
fn overnight_hours_belong_to_the_day_they_start_on() {
    // Friday 2026-05-29, 21:00 to Saturday 02:00 in Kolkata.
    let fridays = hours("21:00", "02:00", [Weekday::Friday].into_iter().collect()).in_zone(zone("Asia/Kolkata"));
    check_next_opening(
        &fridays,
        &[
            ("2026-05-28T19:00:00Z", "2026-05-29T15:30:00Z"),
            ("2026-05-29T20:29:00Z", "2026-05-29T20:29:00Z"),
            ("2026-05-29T20:30:00Z", "2026-06-05T15:30:00Z"),
        ],
    );
    check_closes_at(&fridays, &[("2026-05-29T15:30:00Z", "2026-05-29T20:30:00Z")]);
}

#[test]
fn whole_days_join_at_midnight() {
    let weekend: WeekdaySet = [Weekday::Saturday, Weekday::Sunday].into_iter().collect();
    let window = hours("00:00", "24:00", weekend).in_zone(zone("Asia/Kolkata"));
    check_closes_at(&window, &[("2026-05-30T06:00:00Z", "2026-05-31T18:30:00Z")]);
}

#[test]
fn hours_that_begin_in_a_gap_begin_after_it() {
    // Rome, 2026-03-29: 02:00 becomes 03:00 at 01:00Z.
    check_next_opening(
        &window("Europe/Rome", "02:30", "09:00"),
        &[("2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z")],
    );
    // New York, 2026-03-08: 02:00 becomes 03:00 at 07:00Z.
    check_next_opening(
        &window("America/New_York", "02:00", "04:00"),
        &[("2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z")],
    );
    // Lord Howe, 2026-10-04: 02:00 becomes 02:30 at 2026-10-03T15:30Z.
    check_next_opening(
        &window("Australia/Lord_Howe", "02:15", "05:00"),
        &[("2026-10-03T15:00:00Z", "2026-10-03T15:30:00Z")],
    );
}

#[test]
fn hours_wholly_inside_a_gap_do_not_open_that_day() {
    check_next_opening(
        &window("Europe/Rome", "02:10", "02:50"),
        &[("2026-03-29T00:00:00Z", "2026-03-30T00:10:00Z")],
    );
}

#[test]
fn hours_that_end_in_a_gap_end_where_it_begins() {
    check_closes_at(
        &window("Europe/Rome", "01:00", "02:30"),
        &[("2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z")],
    );
}

#[test]
fn hours_around_a_change_keep_their_civil_ends() {
    let rome = window("Europe/Rome", "00:00", "06:00");
    check_closes_at(
        &rome,
        &[
            ("2026-03-28T23:00:00Z", "2026-03-29T04:00:00Z"),
            ("2026-10-24T22:00:00Z", "2026-10-25T05:00:00Z"),
        ],
    );
}

#[test]
fn a_time_that_happens_twice_is_judged_alike_both_times() {
    // Rome, 2026-10-25: 03:00 becomes 02:00 at 01:00Z. 02:00-02:30 is at 00:00Z and again at 01:00Z.
    let rome = window("Europe/Rome", "02:00", "02:30");
    check_next_opening(
        &rome,
        &[
            ("2026-10-24T23:00:00Z", "2026-10-25T00:00:00Z"),
            ("2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"),
            ("2026-10-25T01:30:00Z", "2026-10-26T01:00:00Z"),
        ],
    );
    check_closes_at(&rome, &[("2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z")]);
    // Lord Howe goes back by half an hour, 2026-04-05: 02:00 becomes 01:30 at 2026-04-04T15:00Z.
    let lord_howe = window("Australia/Lord_Howe", "01:45", "03:00");
    check_closes_at(
        &lord_howe,
        &[
            ("2026-04-04T14:45:00Z", "2026-04-04T15:00:00Z"),
            ("2026-04-04T15:15:00Z", "2026-04-04T16:30:00Z"),
        ],
    );
}

#[test]
fn a_skipped_day_does_not_open() {
    // Apia had no 2011-12-30 (a Friday): 2011-12-30T10:00Z is the midnight between the 29th and the 31st.
    let fridays = hours("09:00", "17:00", [Weekday::Friday].into_iter().collect()).in_zone(zone("Pacific/Apia"));
    check_next_opening(&fridays, &[("2011-12-28T00:00:00Z", "2012-01-05T19:00:00Z")]);
    let daily = window("Pacific/Apia", "09:00", "17:00");
    check_next_opening(&daily, &[("2011-12-30T03:00:00Z", "2011-12-30T19:00:00Z")]);
    // Hours that were to run from the skipped Friday's evening into Saturday: only their second part exists.
    let friday_nights = hours("21:00", "02:00", [Weekday::Friday].into_iter().collect()).in_zone(zone("Pacific/Apia"));
    check_next_opening(&friday_nights, &[("2011-12-28T00:00:00Z", "2011-12-30T10:00:00Z")]);
}

#[test]
fn casablanca_keeps_its_own_clock_around_ramadan() {
    // 2026-02-15: 03:00 becomes 02:00 at 02:00Z; 2026-03-22: 02:00 becomes 03:00 at 02:00Z.
    let window = window("Africa/Casablanca", "09:00", "21:00");
    check_next_opening(
        &window,
        &[
            ("2026-02-14T00:00:00Z", "2026-02-14T08:00:00Z"),
            ("2026-02-20T00:00:00Z", "2026-02-20T09:00:00Z"),
            ("2026-03-23T00:00:00Z", "2026-03-23T08:00:00Z"),
        ],
    );
}

#[test]
fn an_unknown_zone_is_refused_at_parse_and_never_opens() {
    for name in [
        "",
        "Mars/Olympus",
        "Etc/Unknown",
        "IST-5:30",
        "../Asia/Kolkata",
        "Asia/Kolkata ",
    ] {
        assert_eq!(ZoneName::parse(name), Err(UnknownZone(name.to_owned())));
        let stored: ZoneName = serde_json::from_value(name.into()).expect("the stored form is read as it is");
        let window = DailyHours::ALWAYS.in_zone(stored.clone());
        let now = utc("2026-05-27T04:00:00Z");
        assert_eq!(window.opening(now), Opening::NeverOpens);
        assert!(!window.is_open(now));
        assert_eq!(next_common_opening(&[window], now), None);
        assert_eq!(local_date(&stored, now), None);
        assert_eq!(start_of_local_day(&stored, Date::constant(2026, 5, 27)), None);
    }
}

#[test]
fn a_zone_is_spelled_as_the_database_spells_it() {
    assert_eq!(zone("asia/kolkata").as_str(), "Asia/Kolkata");
    assert_eq!(zone("UTC").as_str(), "UTC");
}

#[test]
fn moments_beyond_the_calendar_fail_closed() {
    let window = DailyHours::ALWAYS.in_zone(zone("Asia/Kolkata"));
    for micros in [i64::MIN, i64::MAX] {
        assert_eq!(window.opening(UnixMicros(micros)), Opening::NeverOpens);
        assert!(!window.is_open(UnixMicros(micros)));
        assert_eq!(window.closes_at(UnixMicros(micros)), None);
    }
    let daily = self::window("Asia/Kolkata", "09:00", "10:00");
    let last = moment(Timestamp::MAX);
    assert_eq!(daily.next_opening(last), None);
}

#[test]
fn hours_that_say_nothing_are_refused() {
    let nine = minute("09:00");
    let rows = [
        (nine, nine, EVERY_DAY, HoursProblem::StartEqualsEnd),
        (minute("24:00"), nine, EVERY_DAY, HoursProblem::StartsAtEndOfDay),
        (nine, minute("10:00"), WeekdaySet::from_iter([]), HoursProblem::NoDays),
    ];
    for (start, end, days, problem) in rows {
        assert_eq!(DailyHours::new(start, end, days), Err(problem));
    }
}

#[test]
fn times_of_day_parse_and_print() {
    for (text, minutes) in [
        ("00:00", 0),
        ("09:05", 545),
        ("23:59", 1439),
        ("24:00", 1440),
        ("09:30:00", 570),
    ] {
        assert_eq!(MinuteOfDay::parse(text).map(MinuteOfDay::minutes), Some(minutes));
    }
    for text in [
        "",
        "9:00",
        "24:01",
        "25:00",
        "09:60",
        "09:00:01",
        "09:00:00:00",
        "+9:00",
        "0900",
        "09-00",
        "०९:००",
    ] {
        assert_eq!(MinuteOfDay::parse(text), None, "{text:?}");
    }
    assert_eq!(minute("09:05").to_string(), "09:05");
}

#[test]
fn the_stored_form_is_read_back_and_checked() {
    let window = hours("21:00", "02:00", WeekdaySet::WORKING_DAYS).in_zone(zone("Europe/Rome"));
    let stored = serde_json::to_string(&window).expect("serialises");
    assert_eq!(
        stored,
        r#"{"zone":"Europe/Rome","hours":{"start":1260,"end":120,"days":["monday","tuesday","wednesday","thursday","friday"]}}"#
    );
    assert_eq!(
        serde_json::from_str::<CallingWindow>(&stored).expect("reads back"),
        window
    );
    for broken in [
        r#"{"start":540,"end":540,"days":["monday"]}"#,
        r#"{"start":540,"end":1441,"days":["monday"]}"#,
        r#"{"start":540,"end":600,"days":[]}"#,
    ] {
        assert!(serde_json::from_str::<DailyHours>(broken).is_err(), "{broken}");
    }
}

#[test]
fn a_common_opening_is_open_in_every_zone() {
    let day = hours("09:00", "21:00", EVERY_DAY);
    let everywhere =
        |names: &[&str]| -> Vec<CallingWindow> { names.iter().map(|name| day.in_zone(zone(name))).collect() };
    // A North American number that may be anywhere from Honolulu to St John's (May: UTC-10 to UTC-2:30).
    let north_america = everywhere(&[
        "America/St_Johns",
        "America/New_York",
        "America/Los_Angeles",
        "Pacific/Honolulu",
    ]);
    let found = next_common_opening(&north_america, utc("2026-05-27T00:00:00Z"));
    assert_eq!(shown(found), "2026-05-27T19:00:00Z");
    assert_eq!(
        next_common_opening(&north_america, utc("2026-05-27T23:29:59Z")),
        Some(utc("2026-05-27T23:29:59Z"))
    );
    assert_eq!(
        shown(next_common_opening(&north_america, utc("2026-05-27T23:30:00Z"))),
        "2026-05-28T19:00:00Z"
    );
}

#[test]
fn zones_half_a_day_apart_have_no_common_opening() {
    let day = hours("09:00", "21:00", EVERY_DAY);
    let opposite = [
        day.in_zone(zone("Asia/Tokyo")),
        day.in_zone(zone("America/Argentina/Buenos_Aires")),
    ];
    assert_eq!(next_common_opening(&opposite, utc("2026-05-27T00:00:00Z")), None);
    let with_campaign = [
        day.in_zone(zone("Asia/Kolkata")),
        hours("22:00", "23:00", EVERY_DAY).in_zone(zone("Asia/Kolkata")),
    ];
    assert_eq!(next_common_opening(&with_campaign, utc("2026-05-27T00:00:00Z")), None);
}

#[test]
fn no_zone_at_all_has_no_common_opening() {
    assert_eq!(next_common_opening(&[], utc("2026-05-27T00:00:00Z")), None);
}

#[test]
fn local_days_start_where_the_clock_says() {
    let rows = [
        ("Asia/Kolkata", Date::constant(2026, 5, 27), "2026-05-26T18:30:00Z"),
        // Havana, 2026-03-08: 00:00 becomes 01:00; 2026-11-01: 01:00 becomes 00:00, and the first midnight counts.
        ("America/Havana", Date::constant(2026, 3, 8), "2026-03-08T05:00:00Z"),
        ("America/Havana", Date::constant(2026, 11, 1), "2026-11-01T04:00:00Z"),
        // Apia's 30 December 2011 did not happen.
        ("Pacific/Apia", Date::constant(2011, 12, 30), "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", Date::constant(2011, 12, 31), "2011-12-30T10:00:00Z"),
        // Toronto, 1919-03-31: the clock went from 23:30 the day before to 00:30.
        ("America/Toronto", Date::constant(1919, 3, 31), "1919-03-31T04:30:00Z"),
    ];
    for (name, date, expected) in rows {
        assert_eq!(
            shown(start_of_local_day(&zone(name), date)),
            expected,
            "{date} in {name}"
        );
    }
    assert_eq!(
        local_date(&zone("Asia/Kolkata"), utc("2026-05-26T18:30:00Z")),
        Some(Date::constant(2026, 5, 27))
    );
    assert_eq!(
        local_date(&zone("Asia/Kolkata"), utc("2026-05-26T18:29:59Z")),
        Some(Date::constant(2026, 5, 26))
    );
}

/// The rule as it is written in the module's documentation, told a second time without [`DailyHours`]' own arithmetic.
fn open_by_the_clock_on_the_wall(window: &CallingWindow, at: UnixMicros) -> bool {
    let local = TimeZone::get(window.zone.as_str())
        .expect("a known zone")
        .to_datetime(timestamp(at).expect("in range"));
    let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).expect("a minute");
    let (start, end) = (window.hours.start().minutes(), window.hours.end().minutes());
    let chosen = |date: Date| window.hours.days().iter().any(|day| day == Weekday::of(date));
    if start < end {
        chosen(local.date()) && (start..end).contains(&minute)
    } else {
        let yesterday = local.date().yesterday().expect("not the first day of time");
        (chosen(local.date()) && minute >= start) || (chosen(yesterday) && minute < end)
    }
}

fn any_window() -> impl Strategy<Value = CallingWindow> {
    let times = (0u16..1440, 0u16..=1440).prop_filter("start and end differ", |(start, end)| start != end);
    (prop::sample::select(&ZONES[..]), times, 1u8..128).prop_map(|(name, (start, end), days)| {
        let minutes = |minutes| MinuteOfDay::new(minutes).expect("a minute of the day");
        DailyHours::new(minutes(start), minutes(end), WeekdaySet(days))
            .expect("usable hours")
            .in_zone(zone(name))
    })
}

/// Moments of 1990 to 2035, half of them within two days of a change of some zone's clock.
fn any_moment() -> impl Strategy<Value = UnixMicros> {
    let first = utc("1990-01-01T00:00:00Z").micros();
    let last = utc("2035-01-01T00:00:00Z").micros();
    let near_a_change = (
        first..last,
        prop::sample::select(&ZONES[..]),
        -2i64 * 86_400_000_000..86_400_000_000,
    )
        .prop_map(|(from, name, distance)| {
            let zone = TimeZone::get(name).expect("a known zone");
            let change = zone.following(timestamp(UnixMicros(from)).expect("in range")).next();
            UnixMicros(change.map_or(from, |change| change.timestamp().as_microsecond()) + distance)
        });
    prop_oneof![(first..last).prop_map(UnixMicros), near_a_change]
}

/// `from`, and each whole minute after it up to `to`, which is left out.
fn minutes_between(from: UnixMicros, to: UnixMicros) -> impl Iterator<Item = UnixMicros> {
    let next_minute = (from.micros().div_euclid(60_000_000) + 1) * 60_000_000;
    let rest = (next_minute..to.micros()).step_by(60_000_000).map(UnixMicros);
    (from < to).then_some(from).into_iter().chain(rest)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_next_opening_is_the_first_open_moment(window in any_window(), from in any_moment()) {
        let found = window.next_opening(from).expect("a known zone opens");
        prop_assert!(found >= from);
        prop_assert!(open_by_the_clock_on_the_wall(&window, found));
        for earlier in minutes_between(from, found) {
            prop_assert!(!open_by_the_clock_on_the_wall(&window, earlier), "open already at {}", shown(Some(earlier)));
        }
    }

    #[test]
    fn the_close_is_the_first_closed_moment(window in any_window(), from in any_moment()) {
        prop_assume!(window.hours != DailyHours::ALWAYS);
        let found = window.closes_at(from).expect("hours that are not always open close");
        prop_assert!(found >= from);
        prop_assert!(!open_by_the_clock_on_the_wall(&window, found));
        for earlier in minutes_between(from, found) {
            prop_assert!(open_by_the_clock_on_the_wall(&window, earlier), "closed already at {}", shown(Some(earlier)));
        }
    }

    #[test]
    fn open_and_closed_agree_with_the_clock_on_the_wall(window in any_window(), now in any_moment()) {
        let open = open_by_the_clock_on_the_wall(&window, now);
        prop_assert_eq!(window.is_open(now), open);
        prop_assert_eq!(window.opening(now).is_open(), open);
    }

    #[test]
    fn a_common_opening_is_the_first_moment_open_everywhere(
        windows in prop::collection::vec(any_window(), 1..4),
        from in any_moment(),
    ) {
        let everywhere = |at| windows.iter().all(|window| open_by_the_clock_on_the_wall(window, at));
        let found = next_common_opening(&windows, from);
        if let Some(found) = found {
            prop_assert!(found >= from && everywhere(found));
        }
        let horizon = from + Duration::from_secs(COMMON_OPENING_HORIZON_DAYS * 86_400);
        for earlier in minutes_between(from, found.unwrap_or(horizon)) {
            prop_assert!(!everywhere(earlier), "open everywhere already at {}", shown(Some(earlier)));
        }
    }

    #[test]
    fn a_local_day_starts_at_its_first_moment(name in prop::sample::select(&ZONES[..]), at in any_moment()) {
        let zone = zone(name);
        let date = local_date(&zone, at).expect("a known zone");
        let start = start_of_local_day(&zone, date).expect("a known zone");
        prop_assert!(start <= at);
        prop_assert_eq!(local_date(&zone, start), Some(date));
        let before = local_date(&zone, start - Duration::from_micros(1)).expect("a known zone");
        prop_assert!(before < date);
    }
}
