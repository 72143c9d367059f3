//! Amounts of money: "twelve fifty", "twenty dollars and fifty cents", "$12.50", "five hundred rupees".

use super::number::{self, Read};
use super::spoken_values::currency_units;
use super::words::{corrected, words};
use crate::flow::answer::{Answer, NotUnderstood, Understood};

/// Words of money: code (empty: whatever the question's currency is) and whether they name the minor unit.
const UNITS: &[(&str, &str, bool)] = &[
    ("dollar", "USD", false),
    ("dollars", "USD", false),
    ("bucks", "USD", false),
    ("buck", "USD", false),
    ("$", "USD", false),
    ("usd", "USD", false),
    ("euro", "EUR", false),
    ("euros", "EUR", false),
    ("€", "EUR", false),
    ("eur", "EUR", false),
    ("pound", "GBP", false),
    ("pounds", "GBP", false),
    ("quid", "GBP", false),
    ("£", "GBP", false),
    ("gbp", "GBP", false),
    ("rupee", "INR", false),
    ("rupees", "INR", false),
    ("₹", "INR", false),
    ("inr", "INR", false),
    ("rs", "INR", false),
    ("yen", "JPY", false),
    ("¥", "JPY", false),
    ("franc", "CHF", false),
    ("francs", "CHF", false),
    ("dirham", "AED", false),
    ("dirhams", "AED", false),
    ("rand", "ZAR", false),
    ("peso", "MXN", false),
    ("pesos", "MXN", false),
    ("cent", "", true),
    ("cents", "", true),
    ("pence", "GBP", true),
    ("penny", "GBP", true),
    ("pennies", "", true),
    ("paise", "INR", true),
    ("paisa", "INR", true),
    ("p", "GBP", true),
];

/// Whole units in minor ones.
pub(super) fn to_minor(units: f64, code: &str) -> Option<i64> {
    let places = currency_units(code).map_or(2, |(.., places)| places);
    let minor = (units * f64::from(10u32.pow(places))).round();
    #[expect(clippy::cast_possible_truncation, reason = "the bound is checked")]
    (minor.abs() < 9e15).then_some(minor as i64)
}

pub(super) fn understand(heard: &str, currency: &str) -> Result<Understood, NotUnderstood> {
    let words = words(heard);
    if let Some((_, after)) = corrected(&words)
        && let Some(understood) = one_of(after, currency)?
    {
        return Ok(understood);
    }
    one_of(&words, currency)?.ok_or(NotUnderstood::NoAnswer)
}

/// A number with the word of money beside it.
struct Part {
    at: usize,
    end: usize,
    value: f64,
    unit: Option<(&'static str, bool)>,
}

fn unit_of(word: Option<&String>) -> Option<(&'static str, bool)> {
    let word = word?;
    UNITS
        .iter()
        .find(|(name, ..)| name == word)
        .map(|(_, code, minor)| (*code, *minor))
}

fn parts(words: &[String]) -> Vec<Part> {
    let mut parts = Vec::new();
    for (
        at,
        Read {
            value, words: count, ..
        },
    ) in number::all(words)
    {
        let mut end = at + count;
        let before = at.checked_sub(1).and_then(|before| unit_of(words.get(before)));
        let after = unit_of(words.get(end));
        if after.is_some() {
            end += 1;
        }
        let denied = words.get(at.saturating_sub(1)).is_some_and(|word| word == "not");
        if !denied {
            let unit = after.or(before.filter(|(_, minor)| !minor));
            parts.push(Part { at, end, value, unit });
        }
    }
    parts
}

fn one_of(words: &[String], default: &str) -> Result<Option<Understood>, NotUnderstood> {
    let parts = parts(words);
    let known = |part: &Part| part.unit.map(|(code, _)| code).filter(|code| !code.is_empty());
    let code = parts.iter().find_map(known).unwrap_or(default);
    // Several currencies use the same word: whoever asks in Canadian dollars is answered in them.
    let code = if same_word(code, default) { default } else { code };
    let minor_of = |part: &Part| -> Option<i64> {
        #[expect(clippy::cast_possible_truncation, reason = "the bound is checked")]
        match part.unit {
            Some((_, true)) => (part.value.abs() < 9e15).then_some(part.value.round() as i64),
            _ => to_minor(part.value, code),
        }
    };
    let amount = |minor: i64, confidence: u8| {
        let answer = Answer::Amount {
            minor,
            currency: code.to_owned(),
        };
        Ok(Some(Understood::with_confidence(answer, confidence)))
    };
    match parts.as_slice() {
        [] => Ok(None),
        [part] => match minor_of(part) {
            Some(minor) => amount(minor, if part.unit.is_some() { 95 } else { 85 }),
            None => Err(NotUnderstood::NoAnswer),
        },
        [whole, rest] => {
            let next_to = rest.at <= whole.end + 1;
            let whole_unit = whole.unit.is_some_and(|(_, minor)| !minor);
            let rest_minor = rest.unit.is_some_and(|(_, minor)| minor);
            let (Some(a), Some(b)) = (minor_of(whole), minor_of(rest)) else {
                return Ok(None);
            };
            // "Twenty dollars and fifty cents"; "twenty dollars fifty"; "twelve fifty".
            if next_to && rest_minor && !whole.unit.is_some_and(|(_, minor)| minor) {
                return amount(a.saturating_add(b), 95);
            }
            let fits = rest.value.fract() == 0.0
                && (10.0..100.0).contains(&rest.value)
                && whole.value < 1000.0
                && whole.value.fract() == 0.0;
            if next_to && fits && rest.unit.is_none() && whole_unit {
                return amount(a.saturating_add(b / 100), 90);
            }
            if next_to
                && fits
                && whole.unit.is_none()
                && rest.unit.is_none_or(|(_, minor)| !minor)
                && rest.at == whole.end
            {
                return amount(a.saturating_add(b / 100), 68);
            }
            if a == b {
                return amount(a, 92);
            }
            Err(NotUnderstood::Ambiguous(vec![
                super::spoken_values::amount(a, code),
                super::spoken_values::amount(b, code),
            ]))
        }
        several => Err(NotUnderstood::Ambiguous(
            several
                .iter()
                .take(3)
                .filter_map(|part| Some(super::spoken_values::amount(minor_of(part)?, code)))
                .collect(),
        )),
    }
}

fn same_word(a: &str, b: &str) -> bool {
    match (currency_units(a), currency_units(b)) {
        (Some((one, ..)), Some((other, ..))) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_they_are_said() {
        let rows = [
            ("twenty dollars", "USD", Some((2000, "USD"))),
            ("twenty dollars and fifty cents", "USD", Some((2050, "USD"))),
            ("$12.50", "USD", Some((1250, "USD"))),
            ("it was 12.50", "EUR", Some((1250, "EUR"))),
            ("twelve fifty", "USD", Some((1250, "USD"))),
            ("twenty pounds", "USD", Some((2000, "GBP"))),
            ("fifty bucks", "CAD", Some((5000, "CAD"))),
            ("fifty pence", "GBP", Some((50, "GBP"))),
            ("a hundred and twenty five", "USD", Some((12500, "USD"))),
            ("two thousand rupees", "INR", Some((200_000, "INR"))),
            ("two lakh rupees", "INR", Some((20_000_000, "INR"))),
            ("one and a half thousand yen", "JPY", Some((1500, "JPY"))),
            ("five hundred yen", "USD", Some((500, "JPY"))),
            ("not twenty, thirty dollars", "USD", Some((3000, "USD"))),
            ("twenty no wait thirty dollars", "USD", Some((3000, "USD"))),
            ("between twenty and ninety nine thousand dollars", "USD", None),
            ("nothing at all", "USD", Some((0, "USD"))),
            ("I do not know", "USD", None),
        ];
        for (heard, currency, expected) in rows {
            let answer = understand(heard, currency).ok().map(|understood| understood.answer);
            let expected = expected.map(|(minor, code)| Answer::Amount {
                minor,
                currency: code.to_owned(),
            });
            assert!(answer == expected, "{heard:?}");
        }
    }
}
