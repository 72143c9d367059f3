//! Digits, said one by one, doubled, in groups, or written by the recogniser as figures.

use super::number::{small, tens};
use super::words::{corrected, words};
use crate::flow::answer::{Answer, NotUnderstood, Understood};

/// The digits of an answer: between `at_least` and `at_most` of them.
pub(super) fn understand(heard: &str, at_least: u8, at_most: u8) -> Result<Understood, NotUnderstood> {
    let words = words(heard);
    let (at_least, at_most) = (usize::from(at_least), usize::from(at_most.max(at_least)));
    if let Some((before, after)) = corrected(&words) {
        let (kept, mended) = (digits_of(before), digits_of(after));
        if mended.len() >= at_least && mended.len() <= at_most {
            return sure(mended);
        }
        // "four two seven, sorry, eight": what was mended takes the place of the last ones.
        if !mended.is_empty() && kept.len() >= mended.len() {
            let stay = kept.len() - mended.len();
            let joined: String = kept.chars().take(stay).chain(mended.chars()).collect();
            if joined.len() >= at_least && joined.len() <= at_most {
                return Ok(Understood::with_confidence(Answer::Digits(joined), 65));
            }
        }
    }
    let digits = digits_of(&words);
    match digits.len() {
        0 => Err(NotUnderstood::NoAnswer),
        count if count < at_least => Err(NotUnderstood::TooFewDigits { heard: digits }),
        count if count > at_most => Err(NotUnderstood::TooManyDigits),
        _ => sure(digits),
    }
}

fn sure(digits: String) -> Result<Understood, NotUnderstood> {
    Ok(Understood::with_confidence(Answer::Digits(digits), 92))
}

/// What sounds like a digit, and is taken for one beside other digits only.
fn homophone(word: &str) -> Option<char> {
    Some(match word {
        "oh" | "o" | "ow" => '0',
        "won" => '1',
        "to" | "too" => '2',
        "tree" => '3',
        "for" | "fore" => '4',
        "fife" => '5',
        "sicks" | "sex" => '6',
        "ate" => '8',
        "niner" | "nein" => '9',
        _ => return None,
    })
}

fn plain_digit(word: &str) -> Option<char> {
    small(word)
        .filter(|digit| *digit < 10)
        .and_then(|digit| char::from_digit(digit, 10))
}

fn is_digit_word(word: &str) -> bool {
    small(word).is_some()
        || tens(word).is_some()
        || word.starts_with(|first: char| first.is_ascii_digit())
        || matches!(
            word,
            "double" | "triple" | "treble" | "hundred" | "thousand" | "oh" | "o"
        )
}

/// All digits of `words` in order.
pub(super) fn digits_of(words: &[String]) -> String {
    let mut digits = String::new();
    let mut at = 0;
    while at < words.len() {
        at += one(words, at, &mut digits);
    }
    digits
}

/// Reads what stands at `at` and tells how many words it took.
fn one(words: &[String], at: usize, digits: &mut String) -> usize {
    let word = |offset: usize| words.get(at + offset).map_or("", String::as_str);
    let here = word(0);
    if let "double" | "triple" | "treble" = here {
        let times = if here == "double" { 2 } else { 3 };
        let digit = plain_digit(word(1))
            .or_else(|| homophone(word(1)))
            .or_else(|| figure(word(1)));
        let Some(digit) = digit else { return 1 };
        digits.extend(std::iter::repeat_n(digit, times));
        return 2;
    }
    if let Some(digit) = plain_digit(here) {
        // "Four hundred twenty" is 420, "two thousand" 2000.
        match word(1) {
            "hundred" => return hundreds(digit, words, at, digits),
            "thousand" => return thousands(digit, words, at, digits),
            _ => {}
        }
        digits.push(digit);
        return 1;
    }
    if here == "hundred" && tens(word(1)).or_else(|| small(word(1))).is_some() {
        return 1 + group_after('1', words, at + 1, digits);
    }
    if let Some(value) = small(here) {
        digits.push_str(&value.to_string());
        return 1;
    }
    if let Some(value) = tens(here) {
        // "Forty two" is 42; "forty" alone, or before another group, is 40.
        if let Some(unit) = plain_digit(word(1)).filter(|unit| *unit != '0')
            && !matches!(word(2), "hundred" | "thousand")
        {
            digits.push_str(&(value / 10).to_string());
            digits.push(unit);
            return 2;
        }
        digits.push_str(&value.to_string());
        return 1;
    }
    if here.starts_with(|first: char| first.is_ascii_digit()) {
        digits.extend(here.chars().filter(char::is_ascii_digit));
        return 1;
    }
    if let Some(digit) = homophone(here) {
        let before = at > 0 && words.get(at - 1).is_some_and(|word| is_digit_word(word));
        let after = is_digit_word(word(1));
        if (before && (after || words.len() == at + 1)) || (matches!(here, "oh" | "o") && (before || after)) {
            digits.push(digit);
        }
    }
    1
}

fn figure(word: &str) -> Option<char> {
    let mut chars = word.chars();
    let first = chars.next().filter(char::is_ascii_digit)?;
    chars.next().is_none().then_some(first)
}

fn hundreds(digit: char, words: &[String], at: usize, digits: &mut String) -> usize {
    2 + group_after(digit, words, at + 2, digits)
}

/// Writes `digit` and two more from the words at `at` ("twenty", "and five", nothing). Tells how many words those were.
fn group_after(digit: char, words: &[String], at: usize, digits: &mut String) -> usize {
    let word = |offset: usize| words.get(at + offset).map_or("", String::as_str);
    let and = usize::from(word(0) == "and");
    digits.push(digit);
    if let Some(value) = tens(word(and)) {
        if let Some(unit) = small(word(and + 1)).filter(|unit| (1..10).contains(unit)) {
            digits.push_str(&(value + unit).to_string());
            return and + 2;
        }
        digits.push_str(&value.to_string());
        return and + 1;
    }
    match small(word(and)) {
        Some(value) if value >= 10 => {
            digits.push_str(&value.to_string());
            and + 1
        }
        Some(value) if and == 1 => {
            digits.push_str(&format!("{value:02}"));
            2
        }
        _ => {
            digits.push_str("00");
            0
        }
    }
}

fn thousands(digit: char, words: &[String], at: usize, digits: &mut String) -> usize {
    let rest = words.get(at..).unwrap_or(&[]);
    let read = super::number::read(rest).filter(|read| !read.ordinal && read.value >= 1000.0 && read.value < 10_000.0);
    if let Some(read) = read {
        digits.push_str(&read.value.to_string());
        return read.words;
    }
    digits.push(digit);
    digits.push_str("000");
    2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_as_they_are_said() {
        let rows = [
            ("four two double seven oh", "42770"),
            ("4-2-7-0", "4270"),
            ("4270", "4270"),
            ("it's four two seven zero", "4270"),
            ("forty two seventy", "4270"),
            ("four hundred twenty", "420"),
            ("hundred twenty five five", "1255"),
            ("hundred twenty", "120"),
            ("one hundred and five", "105"),
            ("two thousand five", "2005"),
            ("triple nine", "999"),
            ("oh one five", "015"),
            ("one for two", "142"),
            ("my number is five five five, one two one two", "5551212"),
            ("nineteen ninety nine", "1999"),
            ("1 234", "1234"),
            ("42 70", "4270"),
            ("two two", "22"),
            ("double oh seven", "007"),
            ("for you", ""),
            ("to be honest I do not know", ""),
        ];
        for (heard, expected) in rows {
            assert_eq!(digits_of(&words(heard)), expected, "{heard:?}");
        }
    }

    #[test]
    fn the_number_of_digits_is_kept_to() {
        let check = |heard: &str, least, most| understand(heard, least, most).map(|understood| understood.answer);
        assert_eq!(check("one two three four", 4, 6), Ok(Answer::Digits("1234".to_owned())));
        assert_eq!(
            check("one two", 4, 6),
            Err(NotUnderstood::TooFewDigits { heard: "12".to_owned() })
        );
        assert_eq!(
            check("one two three four five six seven", 4, 6),
            Err(NotUnderstood::TooManyDigits)
        );
        assert_eq!(check("what", 4, 6), Err(NotUnderstood::NoAnswer));
    }

    #[test]
    fn a_correction_replaces_all_or_the_last_digits() {
        let check = |heard: &str| understand(heard, 4, 4).map(|understood| understood.answer);
        assert_eq!(
            check("four two seven one no wait four two seven two"),
            Ok(Answer::Digits("4272".to_owned()))
        );
        assert_eq!(
            check("four two seven one sorry two"),
            Ok(Answer::Digits("4272".to_owned()))
        );
    }
}
