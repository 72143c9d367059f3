//! Numbers in words and figures: "a hundred and twenty five", "two and a half", "three point five", "1250".

use super::words::{corrected, words};
use crate::flow::answer::{Answer, NotUnderstood, Understood};

/// A number and how many words it took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Read {
    pub(super) value: f64,
    pub(super) words: usize,
    /// It was said as a place in a row ("third").
    pub(super) ordinal: bool,
}

/// 0 to 19.
pub(super) fn small(word: &str) -> Option<u32> {
    Some(match word {
        "zero" | "nought" | "naught" | "nil" => 0,
        "one" => 1,
        "two" => 2,
        "three" => 3,
        "four" => 4,
        "five" => 5,
        "six" => 6,
        "seven" => 7,
        "eight" => 8,
        "nine" => 9,
        "ten" => 10,
        "eleven" => 11,
        "twelve" => 12,
        "thirteen" => 13,
        "fourteen" => 14,
        "fifteen" => 15,
        "sixteen" => 16,
        "seventeen" => 17,
        "eighteen" => 18,
        "nineteen" => 19,
        _ => return None,
    })
}

/// 20, 30, up to 90.
pub(super) fn tens(word: &str) -> Option<u32> {
    Some(match word {
        "twenty" => 20,
        "thirty" => 30,
        "forty" | "fourty" => 40,
        "fifty" => 50,
        "sixty" => 60,
        "seventy" => 70,
        "eighty" => 80,
        "ninety" => 90,
        _ => return None,
    })
}

/// `first` to `thirty first`'s last word; `3rd`.
pub(super) fn ordinal(word: &str) -> Option<u32> {
    let named = match word {
        "first" => 1,
        "second" => 2,
        "third" => 3,
        "fourth" => 4,
        "fifth" => 5,
        "sixth" => 6,
        "seventh" => 7,
        "eighth" => 8,
        "ninth" => 9,
        "tenth" => 10,
        "eleventh" => 11,
        "twelfth" => 12,
        "thirteenth" => 13,
        "fourteenth" => 14,
        "fifteenth" => 15,
        "sixteenth" => 16,
        "seventeenth" => 17,
        "eighteenth" => 18,
        "nineteenth" => 19,
        "twentieth" => 20,
        "thirtieth" => 30,
        _ => 0,
    };
    if named > 0 {
        return Some(named);
    }
    ["st", "nd", "rd", "th"]
        .iter()
        .find_map(|ending| word.strip_suffix(ending)?.parse().ok())
}

fn magnitude(word: &str) -> Option<f64> {
    Some(match word {
        "thousand" | "grand" => 1e3,
        "lakh" | "lac" | "lakhs" => 1e5,
        "million" => 1e6,
        "crore" | "crores" => 1e7,
        "billion" => 1e9,
        _ => return None,
    })
}

fn figures(word: &str) -> Option<f64> {
    let first = word.as_bytes().first()?;
    (first.is_ascii_digit() && word.len() <= 15)
        .then(|| word.parse().ok())
        .flatten()
}

fn under_hundred(words: &[String]) -> Option<Read> {
    let word = words.first()?;
    if let Some(value) = tens(word) {
        let unit = words
            .get(1)
            .and_then(|next| small(next))
            .filter(|unit| (1..=9).contains(unit));
        if let Some(unit) = unit {
            return Some(plain(f64::from(value + unit), 2));
        }
        if let Some(unit) = words.get(1).and_then(|next| ordinal(next)).filter(|unit| *unit < 10) {
            return Some(Read {
                ordinal: true,
                ..plain(f64::from(value + unit), 2)
            });
        }
        return Some(plain(f64::from(value), 1));
    }
    if let Some(value) = small(word) {
        return Some(plain(f64::from(value), 1));
    }
    if let Some(value) = ordinal(word) {
        return Some(Read {
            ordinal: true,
            ..plain(f64::from(value), 1)
        });
    }
    figures(word).map(|value| plain(value, 1))
}

fn plain(value: f64, words: usize) -> Read {
    Read {
        value,
        words,
        ordinal: false,
    }
}

/// The number that begins `words`.
pub(super) fn read(words: &[String]) -> Option<Read> {
    let mut total = 0.0;
    let mut group = 0.0;
    let mut used = 0;
    let mut ordinal = false;
    let mut any = false;
    let mut last_scale = f64::INFINITY;
    loop {
        let rest = words.get(used..).unwrap_or(&[]);
        let Some(word) = rest.first().map(String::as_str) else {
            break;
        };
        // "a hundred", "half a million" are left to the fraction below.
        if !any
            && matches!(word, "a" | "an")
            && rest
                .get(1)
                .is_some_and(|next| next == "hundred" || magnitude(next).is_some())
        {
            group = 1.0;
            used += 1;
            any = true;
            continue;
        }
        if word == "hundred" || word == "hundreds" {
            if group >= 100.0 {
                break;
            }
            group = if group == 0.0 { 100.0 } else { group * 100.0 };
            used += 1;
            any = true;
            continue;
        }
        if let Some(scale) = magnitude(word) {
            if !any || scale >= last_scale {
                break;
            }
            total += if group == 0.0 { 1.0 } else { group } * scale;
            group = 0.0;
            last_scale = scale;
            used += 1;
            continue;
        }
        if word == "and" && any && (group >= 100.0 || (group == 0.0 && total > 0.0)) {
            let Some(next) = under_hundred(rest.get(1..).unwrap_or(&[])) else {
                break;
            };
            group += next.value;
            used += 1 + next.words;
            ordinal = next.ordinal;
            continue;
        }
        // A second small number after a first is another number ("five six"), unless a hundred or thousand stood between.
        let open = !any || (group == 0.0 && total > 0.0) || (group >= 100.0 && group % 100.0 == 0.0);
        if !open || ordinal {
            break;
        }
        let Some(next) = under_hundred(rest) else { break };
        group += next.value;
        used += next.words;
        ordinal = next.ordinal;
        any = true;
    }
    any.then(|| {
        with_fraction(
            Read {
                value: total + group,
                words: used,
                ordinal,
            },
            words,
        )
    })
}

/// "one and a half million", "two point five thousand".
fn with_fraction(whole: Read, words: &[String]) -> Read {
    let read = fraction_of(whole, words);
    if read.words == whole.words {
        return whole;
    }
    match words.get(read.words).and_then(|word| magnitude(word)) {
        Some(scale) => plain(read.value * scale, read.words + 1),
        None => read,
    }
}

/// "point five", "and a half", "and a quarter".
fn fraction_of(whole: Read, words: &[String]) -> Read {
    let rest: Vec<&str> = words
        .get(whole.words..)
        .unwrap_or(&[])
        .iter()
        .map(String::as_str)
        .collect();
    match rest.as_slice() {
        ["and", "a", "half", ..] => plain(whole.value + 0.5, whole.words + 3),
        ["and", "a", "quarter", ..] => plain(whole.value + 0.25, whole.words + 3),
        ["and", "three", "quarters", ..] => plain(whole.value + 0.75, whole.words + 3),
        ["point", after @ ..] => {
            let mut text = String::from("0.");
            let mut used = 0;
            for word in after {
                match small(word).filter(|digit| *digit < 10) {
                    Some(digit) => text.push_str(&digit.to_string()),
                    None if matches!(*word, "oh" | "o") => text.push('0'),
                    None if used == 0 && figures(word).is_some() => text.push_str(word),
                    None => break,
                }
                used += 1;
            }
            match text.parse::<f64>() {
                Ok(fraction) if used > 0 => plain(whole.value + fraction, whole.words + 1 + used),
                _ => whole,
            }
        }
        _ => whole,
    }
}

/// Every number in `words`, with where it begins.
pub(super) fn all(words: &[String]) -> Vec<(usize, Read)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let rest = words.get(at..).unwrap_or(&[]);
        if let Some(read) = read(rest) {
            found.push((at, read));
            at += read.words.max(1);
        } else if let Some((value, used)) = fraction_alone(rest) {
            found.push((at, plain(value, used)));
            at += used;
        } else {
            at += 1;
        }
    }
    found
}

fn fraction_alone(words: &[String]) -> Option<(f64, usize)> {
    let rest: Vec<&str> = words.iter().take(3).map(String::as_str).collect();
    match rest.as_slice() {
        ["half", "a", "million"] => Some((5e5, 3)),
        ["half", "a", "thousand"] => Some((500.0, 3)),
        ["a", "half", ..] => Some((0.5, 2)),
        ["half", ..] => Some((0.5, 1)),
        ["a", "couple", ..] => Some((2.0, 2)),
        ["a", "dozen", ..] => Some((12.0, 2)),
        ["none" | "nothing", ..] => Some((0.0, 1)),
        _ => None,
    }
}

/// The one number of an answer.
pub(super) fn understand(heard: &str) -> Result<Understood, NotUnderstood> {
    let words = words(heard);
    if let Some((_, after)) = corrected(&words)
        && let Some(understood) = one_of(after)?
    {
        return Ok(understood);
    }
    one_of(&words)?.ok_or(NotUnderstood::NoAnswer)
}

fn one_of(words: &[String]) -> Result<Option<Understood>, NotUnderstood> {
    // "not twenty" is taken away, so that "not twenty, thirty" is thirty.
    let found: Vec<(usize, Read)> = all(words)
        .into_iter()
        .filter(|(at, _)| {
            at.checked_sub(1)
                .and_then(|before| words.get(before))
                .is_none_or(|word| word != "not")
        })
        .collect();
    let negative = |at: usize| {
        at > 0
            && words
                .get(at - 1)
                .is_some_and(|word| word == "minus" || word == "negative")
    };
    match found.as_slice() {
        [] => Ok(None),
        [(at, read)] => {
            let value = if negative(*at) { -read.value } else { read.value };
            let spare = words.len().saturating_sub(read.words);
            // One number in a long sentence may count something else.
            let confidence = if read.ordinal || spare > 8 { 65 } else { 92 };
            Ok(Some(Understood::with_confidence(Answer::Number(value), confidence)))
        }
        several => {
            let mut spoken: Vec<String> = several
                .iter()
                .map(|(_, read)| super::spoken::number(read.value))
                .collect();
            spoken.dedup();
            match several.first() {
                Some((_, read)) if spoken.len() == 1 => Ok(Some(Understood::sure(Answer::Number(read.value)))),
                _ => Err(NotUnderstood::Ambiguous(spoken)),
            }
        }
    }
}
