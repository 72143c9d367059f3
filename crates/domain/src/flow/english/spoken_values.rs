//! Stored values in words: by their shape (an amount, a day, a time), or as the flow says.

use super::spoken::{digits, integer, number, ordinal};
use crate::flow::grammar::{Moment, SpokenAs};
use jiff::Zoned;
use jiff::civil::{Date, Time, Weekday};
use serde_json::Value;

pub(super) fn speak(value: &Value, how: SpokenAs, currency: Option<&str>) -> String {
    match how {
        SpokenAs::Digits => digits(&plain(value)),
        SpokenAs::Ordinal => whole(value).map_or_else(|| plain(value), ordinal),
        SpokenAs::Date => date_in(&plain(value)).map_or_else(|| plain(value), date),
        SpokenAs::Time => time_in(&plain(value)).map_or_else(|| plain(value), time),
        SpokenAs::Amount => amount_in(value, currency).unwrap_or_else(|| plain(value)),
        SpokenAs::Shape => by_shape(value),
    }
}

fn by_shape(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(figure) => figure.as_f64().map_or_else(|| figure.to_string(), number),
        Value::String(text) => text_by_shape(text),
        Value::Array(items) => {
            let spoken: Vec<String> = items.iter().map(by_shape).collect();
            let names: Vec<&str> = spoken.iter().map(String::as_str).collect();
            super::phrases::list(&names, "and")
        }
        Value::Object(_) => amount_in(value, None).unwrap_or_else(|| plain(value)),
    }
}

fn text_by_shape(text: &str) -> String {
    if let Some(at) = date_time_in(text) {
        return format!("{} at {}", date(at.0), time(at.1));
    }
    if let Some(day) = iso_date(text) {
        return date(day);
    }
    if let Some(at) = clock_time(text) {
        return time(at);
    }
    // A long row of digits is a number to be told, a short one a count.
    let only_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if only_digits && (text.len() > 4 || text.starts_with('0')) {
        return digits(text);
    }
    match text.parse::<f64>() {
        Ok(figure) if figure.is_finite() && text.starts_with(|first: char| first.is_ascii_digit() || first == '-') => {
            number(figure)
        }
        _ => text.to_owned(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn iso_date(text: &str) -> Option<Date> {
    (text.len() == 10).then(|| text.parse().ok()).flatten()
}

fn clock_time(text: &str) -> Option<Time> {
    let shaped = matches!(text.len(), 5 | 8) && text.as_bytes().get(2) == Some(&b':');
    shaped.then(|| text.parse().ok()).flatten()
}

fn date_time_in(text: &str) -> Option<(Date, Time)> {
    let (day, rest) = text.split_once('T')?;
    let hour_minute = rest.get(..5)?;
    Some((iso_date(day)?, clock_time(hour_minute)?))
}

fn date_in(text: &str) -> Option<Date> {
    iso_date(text).or_else(|| Some(date_time_in(text)?.0))
}

fn time_in(text: &str) -> Option<Time> {
    clock_time(text).or_else(|| Some(date_time_in(text)?.1))
}

/// Names of a currency's units: one and many, and how many minor units make one (as a power of ten).
pub(super) fn currency_units(code: &str) -> Option<(&'static str, &'static str, &'static str, &'static str, u32)> {
    Some(match code {
        "USD" | "CAD" | "AUD" | "NZD" | "SGD" | "HKD" => ("dollar", "dollars", "cent", "cents", 2),
        "EUR" => ("euro", "euros", "cent", "cents", 2),
        "GBP" => ("pound", "pounds", "penny", "pence", 2),
        "INR" => ("rupee", "rupees", "paisa", "paise", 2),
        "CHF" => ("franc", "francs", "centime", "centimes", 2),
        "AED" => ("dirham", "dirhams", "fils", "fils", 2),
        "ZAR" => ("rand", "rand", "cent", "cents", 2),
        "BRL" => ("real", "reais", "centavo", "centavos", 2),
        "MXN" => ("peso", "pesos", "centavo", "centavos", 2),
        "SEK" | "NOK" | "DKK" => ("crown", "crowns", "ore", "ore", 2),
        "CNY" => ("yuan", "yuan", "fen", "fen", 2),
        "JPY" => ("yen", "yen", "", "", 0),
        "KRW" => ("won", "won", "", "", 0),
        _ => return None,
    })
}

/// `{"minor": 1250, "currency": "USD"}`, or a number of whole units with a currency beside it.
fn amount_in(value: &Value, currency: Option<&str>) -> Option<String> {
    if let Value::Object(fields) = value {
        let minor = fields.get("minor")?.as_i64()?;
        let code = fields.get("currency").and_then(Value::as_str).or(currency)?;
        return Some(amount(minor, code));
    }
    let units = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    let code = currency?;
    Some(amount(super::amount::to_minor(units, code)?, code))
}

/// An amount in words.
pub(super) fn amount(minor: i64, code: &str) -> String {
    let Some((one, many, minor_one, minor_many, places)) = currency_units(code) else {
        let spelled: Vec<String> = code.chars().map(|letter| letter.to_string()).collect();
        #[expect(clippy::cast_precision_loss, reason = "spoken, not reckoned with")]
        return format!("{} {}", number(minor as f64 / 100.0), spelled.join(" "));
    };
    let sign = if minor < 0 { "minus " } else { "" };
    let per_unit = 10u64.pow(places);
    let (units, rest) = (minor.unsigned_abs() / per_unit, minor.unsigned_abs() % per_unit);
    let name = |count: u64, one: &'static str, many: &'static str| if count == 1 { one } else { many };
    let major = format!("{} {}", integer(units), name(units, one, many));
    let small = format!("{} {}", integer(rest), name(rest, minor_one, minor_many));
    match (units, rest) {
        (_, 0) => format!("{sign}{major}"),
        (0, _) => format!("{sign}{small}"),
        _ => format!("{sign}{major} and {small}"),
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) fn weekday(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
        Weekday::Sunday => "Sunday",
    }
}

/// "Tuesday the third of March".
pub(super) fn date(day: Date) -> String {
    let month = usize::try_from(day.month() - 1)
        .ok()
        .and_then(|index| MONTHS.get(index))
        .copied()
        .unwrap_or("");
    let number = u64::from(day.day().unsigned_abs());
    format!("{} the {} of {month}", weekday(day.weekday()), ordinal(number))
}

/// "half past ten in the morning" is left to people: "ten thirty a.m." is never misheard.
pub(super) fn time(at: Time) -> String {
    let (hour, minute) = (at.hour(), at.minute());
    match (hour, minute) {
        (12, 0) => return "noon".to_owned(),
        (0, 0) => return "midnight".to_owned(),
        _ => {}
    }
    let half = if hour < 12 { "a.m." } else { "p.m." };
    let twelve = match hour % 12 {
        0 => 12,
        hour => u64::from(hour.unsigned_abs()),
    };
    let minutes = match minute {
        0 => String::new(),
        1..=9 => format!(" oh {}", integer(u64::from(minute.unsigned_abs()))),
        _ => format!(" {}", integer(u64::from(minute.unsigned_abs()))),
    };
    format!("{}{minutes} {half}", integer(twelve))
}

/// "today at five p.m.", "tomorrow at ...", "on Tuesday the third of March at ...".
pub(super) fn moment(at: &Zoned, moment: &Moment) -> String {
    let today = moment.local().date();
    let day = at.date();
    let named = if day == today {
        "today".to_owned()
    } else if today.tomorrow().is_ok_and(|tomorrow| tomorrow == day) {
        "tomorrow".to_owned()
    } else {
        format!("on {}", date(day))
    };
    format!("{named} at {}", time(at.time()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_spoken_by_their_shape() {
        let rows = [
            (json!(true), "yes"),
            (json!(12), "twelve"),
            (
                json!({"minor": 1250, "currency": "USD"}),
                "twelve dollars and fifty cents",
            ),
            (json!({"minor": 100, "currency": "GBP"}), "one pound"),
            (json!({"minor": 1, "currency": "GBP"}), "one penny"),
            (json!({"minor": 500, "currency": "JPY"}), "five hundred yen"),
            (json!({"minor": 1250, "currency": "XXX"}), "twelve point five X X X"),
            (json!("2026-03-03"), "Tuesday the third of March"),
            (json!("17:00"), "five p.m."),
            (json!("09:05"), "nine oh five a.m."),
            (json!("12:00"), "noon"),
            (
                json!("2026-03-03T17:30:00+01:00"),
                "Tuesday the third of March at five thirty p.m.",
            ),
            (json!("5551212"), "five five five, one two one two"),
            (json!("Anna"), "Anna"),
            (json!(["a", "b", "c"]), "a, b and c"),
            (json!(null), ""),
        ];
        for (value, expected) in rows {
            assert_eq!(speak(&value, SpokenAs::Shape, None), expected, "{value}");
        }
    }

    #[test]
    fn a_flow_may_say_how_a_value_is_spoken() {
        let rows = [
            (json!("4270"), SpokenAs::Digits, None, "four two seven zero"),
            (json!(3), SpokenAs::Ordinal, None, "third"),
            (
                json!(12.5),
                SpokenAs::Amount,
                Some("EUR"),
                "twelve euros and fifty cents",
            ),
            (
                json!("2026-03-03T17:30:00+01:00"),
                SpokenAs::Time,
                None,
                "five thirty p.m.",
            ),
            (json!("nonsense"), SpokenAs::Date, None, "nonsense"),
        ];
        for (value, how, currency, expected) in rows {
            assert_eq!(speak(&value, how, currency), expected, "{value}");
        }
    }
}
