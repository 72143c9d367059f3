//! Dates and times as tables. Now is Tuesday the 3rd of March 2026, 10:00, unless a row says otherwise.

use super::*;
use crate::campaign::calling_window::ZoneName;
use crate::time::UnixMicros;

fn moment(zone: &str) -> Moment {
    Moment {
        now: UnixMicros::from_seconds(1_772_532_000),
        zone: ZoneName::parse(zone).expect("a zone"),
    }
}

fn show(answer: Result<Understood, NotUnderstood>) -> String {
    match answer {
        Ok(understood) => match understood.answer.to_json() {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        },
        Err(NotUnderstood::Ambiguous(names)) => names.join(" / "),
        Err(reason) => reason.to_string(),
    }
}

#[test]
fn days_are_read_as_they_are_said() {
    let rows = [
        ("today", "2026-03-03"),
        ("tomorrow", "2026-03-04"),
        ("the day after tomorrow", "2026-03-05"),
        ("Thursday", "2026-03-05"),
        ("on Friday please", "2026-03-06"),
        ("next Tuesday", "2026-03-10"),
        ("next Friday", "2026-03-13"),
        ("this Friday", "2026-03-06"),
        ("Friday next week", "2026-03-13"),
        ("a week on Friday", "2026-03-13"),
        ("Friday week", "2026-03-13"),
        ("in two weeks", "2026-03-17"),
        ("in three days", "2026-03-06"),
        ("the 3rd of April", "2026-04-03"),
        ("April the third", "2026-04-03"),
        ("April 3rd", "2026-04-03"),
        ("third of april two thousand and twenty seven", "2027-04-03"),
        ("the twenty first of May", "2026-05-21"),
        ("May 21, 2027", "2027-05-21"),
        ("the 15th", "2026-03-15"),
        ("on the first", "2026-04-01"),
        ("the second of March", "2027-03-02"),
        ("2026-12-24", "2026-12-24"),
        ("Thursday the 5th of March", "2026-03-05"),
        ("not Wednesday, Thursday", "2026-03-05"),
        ("Wednesday, no wait, Thursday", "2026-03-05"),
        ("3/4/2026", "Wednesday the fourth of March / Friday the third of April"),
        ("25/12/2026", "2026-12-25"),
        (
            "Thursday the 6th of March",
            "Thursday the fifth of March / Friday the sixth of March",
        ),
        ("the 31st of February", "no such day"),
        ("the first one", "no such answer in what was said"),
        ("I don't know", "no such answer in what was said"),
        ("may I ask why", "no such answer in what was said"),
    ];
    for (heard, expected) in rows {
        assert_eq!(
            show(date(heard, &moment("Europe/London"), false)),
            expected,
            "{heard:?}"
        );
    }
}

#[test]
fn a_birthday_lies_in_the_past() {
    let rows = [
        ("the 12th of May 1984", "1984-05-12"),
        ("May the twelfth nineteen eighty four", "1984-05-12"),
        ("yesterday", "2026-03-02"),
        ("last Friday", "2026-02-27"),
        ("two days ago", "2026-03-01"),
    ];
    for (heard, expected) in rows {
        assert_eq!(show(date(heard, &moment("Europe/London"), true)), expected, "{heard:?}");
    }
}

#[test]
fn times_are_read_as_they_are_said() {
    let rows = [
        ("at five", "17:00"),
        ("five o'clock", "17:00"),
        ("five in the morning", "05:00"),
        ("half past ten", "10:30"),
        ("half ten", "10:30"),
        ("quarter to six in the evening", "17:45"),
        ("a quarter past two", "14:15"),
        ("ten to nine in the morning", "08:50"),
        ("twenty past four", "16:20"),
        ("10:30", "10:30"),
        ("10:30 pm", "22:30"),
        ("ten thirty", "10:30"),
        ("nine oh five", "09:05"),
        ("5pm", "17:00"),
        ("17:30", "17:30"),
        ("seventeen thirty", "17:30"),
        ("noon", "12:00"),
        ("twelve", "12:00"),
        ("midnight", "00:00"),
        ("eight p.m.", "20:00"),
        ("nine at night", "21:00"),
        ("in the afternoon", "15:00"),
        ("at seven", "seven a.m. / seven p.m."),
        ("seven in the evening", "19:00"),
        ("not at four, at five", "17:00"),
        ("three or four", "three p.m. / four p.m."),
        ("what time is it", "no such answer in what was said"),
    ];
    for (heard, expected) in rows {
        assert_eq!(
            show(time(heard, &moment("Europe/London"), None, None)),
            expected,
            "{heard:?}"
        );
    }
}

#[test]
fn hours_that_are_allowed_settle_what_is_meant() {
    let from = Some(Time::constant(8, 0, 0, 0));
    let to = Some(Time::constant(20, 0, 0, 0));
    assert_eq!(show(time("at seven", &moment("Europe/London"), from, to)), "19:00");
}

#[test]
fn a_day_and_a_time_make_a_moment_by_the_callees_clock() {
    let rows = [
        ("tomorrow at five", "Europe/London", "2026-03-04T17:00:00+00:00"),
        ("tomorrow at five", "Asia/Kolkata", "2026-03-04T17:00:00+05:30"),
        ("next Tuesday morning", "Europe/London", "2026-03-10T10:00:00+00:00"),
        ("in two hours", "Europe/London", "2026-03-03T12:00:00+00:00"),
        ("in half an hour", "Europe/London", "2026-03-03T10:30:00+00:00"),
        ("in an hour and a half", "Europe/London", "2026-03-03T11:30:00+00:00"),
        ("twenty minutes from now", "Europe/London", "2026-03-03T10:20:00+00:00"),
        (
            "the 3rd of April at half past ten",
            "Europe/London",
            "2026-04-03T10:30:00+01:00",
        ),
        (
            "on Friday at quarter to six in the evening",
            "Europe/London",
            "2026-03-06T17:45:00+00:00",
        ),
        ("Thursday 3 pm", "America/New_York", "2026-03-05T15:00:00-05:00"),
        (
            "tomorrow at five, no wait, at six pm",
            "Europe/London",
            "2026-03-04T18:00:00+00:00",
        ),
        ("today at eight", "Europe/London", "2026-03-03T20:00:00+00:00"),
        ("tomorrow", "Europe/London", "a day without a time"),
        ("at five", "Europe/London", "a time without a day"),
        ("tomorrow at seven", "Europe/London", "seven a.m. / seven p.m."),
        (
            "tomorrow evening at seven",
            "Europe/London",
            "2026-03-04T19:00:00+00:00",
        ),
        ("tomorrow at seven p.m.", "Europe/London", "2026-03-04T19:00:00+00:00"),
        ("whenever", "Europe/London", "no such answer in what was said"),
        // 01:30 does not exist on the 29th of March in London: an hour later does.
        (
            "29th of March at one thirty am",
            "Europe/London",
            "2026-03-29T02:30:00+01:00",
        ),
    ];
    for (heard, zone, expected) in rows {
        assert_eq!(show(date_time(heard, &moment(zone), None, None)), expected, "{heard:?}");
    }
}

#[test]
fn a_callback_needs_less_than_an_appointment() {
    let rows = [
        ("call me tomorrow at five", "2026-03-04T17:00:00+00:00"),
        ("call me back in twenty minutes", "2026-03-03T10:20:00+00:00"),
        ("call me tomorrow", "2026-03-04T10:00:00+00:00"),
        ("call me this evening", "2026-03-03T18:30:00+00:00"),
        ("try me after six", "2026-03-03T18:00:00+00:00"),
        ("he will be home around seven", "2026-03-03T19:00:00+00:00"),
        ("call after lunch", "2026-03-03T15:00:00+00:00"),
        ("at nine", "2026-03-04T09:00:00+00:00"),
        ("next week", "2026-03-10T10:00:00+00:00"),
        ("later today", "2026-03-03T13:00:00+00:00"),
        ("call me later", "no such answer in what was said"),
        ("today at eight in the morning", "in the past"),
    ];
    for (heard, expected) in rows {
        let found = call_back(heard, &moment("Europe/London"));
        let shown = found.map_or_else(
            |reason| reason.to_string(),
            |at| at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        );
        assert_eq!(shown, expected, "{heard:?}");
    }
}
