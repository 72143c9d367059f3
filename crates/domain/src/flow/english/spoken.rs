//! Values as a person says them, in words.

/// 0 to 999,999,999,999,999 and what lies behind the point.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() || value.abs() >= 1e15 {
        return value.to_string();
    }
    let sign = if value < 0.0 { "minus " } else { "" };
    let text = format!("{}", (value.abs() * 1e4).round() / 1e4);
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut spoken = format!("{sign}{}", integer(whole.parse().unwrap_or(0)));
    if !fraction.is_empty() {
        spoken.push_str(" point ");
        spoken.push_str(&digits(fraction));
    }
    spoken
}

const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = [
    "", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];

/// A whole number in words.
pub(super) fn integer(value: u64) -> String {
    const SCALES: [(u64, &str); 4] = [
        (1_000_000_000_000, "trillion"),
        (1_000_000_000, "billion"),
        (1_000_000, "million"),
        (1_000, "thousand"),
    ];
    let index = |value: u64| usize::try_from(value).unwrap_or(0);
    match value {
        0..=19 => SMALL.get(index(value)).copied().unwrap_or("").to_owned(),
        20..=99 => {
            let ten = TENS.get(index(value / 10)).copied().unwrap_or("");
            match value % 10 {
                0 => ten.to_owned(),
                unit => format!("{ten} {}", integer(unit)),
            }
        }
        100..=999 => {
            let hundreds = format!("{} hundred", integer(value / 100));
            match value % 100 {
                0 => hundreds,
                rest => format!("{hundreds} and {}", integer(rest)),
            }
        }
        _ => {
            let (scale, name) = SCALES
                .iter()
                .find(|(scale, _)| value >= *scale)
                .copied()
                .unwrap_or((1_000, "thousand"));
            let head = format!("{} {name}", integer(value / scale));
            match value % scale {
                0 => head,
                rest if rest < 100 => format!("{head} and {}", integer(rest)),
                rest => format!("{head} {}", integer(rest)),
            }
        }
    }
}

/// `3` is `third`.
pub(super) fn ordinal(value: u64) -> String {
    let words = integer(value);
    let (head, last) = words
        .rsplit_once(' ')
        .map_or(("", words.as_str()), |(head, last)| (head, last));
    let last = match last {
        "one" => "first".to_owned(),
        "two" => "second".to_owned(),
        "three" => "third".to_owned(),
        "five" => "fifth".to_owned(),
        "eight" => "eighth".to_owned(),
        "nine" => "ninth".to_owned(),
        "twelve" => "twelfth".to_owned(),
        other => match other.strip_suffix('y') {
            Some(stem) => format!("{stem}ieth"),
            None => format!("{other}th"),
        },
    };
    if head.is_empty() {
        last
    } else {
        format!("{head} {last}")
    }
}

/// Digit by digit, in groups of three with a pause between them when there are more than four.
pub(super) fn digits(text: &str) -> String {
    let digits: Vec<&str> = text
        .chars()
        .filter_map(|sign| match sign {
            '*' => Some("star"),
            '#' => Some("hash"),
            '+' => Some("plus"),
            sign => SMALL.get(usize::try_from(sign.to_digit(10)?).ok()?).copied(),
        })
        .collect();
    if digits.len() <= 4 {
        return digits.join(" ");
    }
    // A lone last digit joins the group before it.
    let mut groups: Vec<Vec<&str>> = digits.chunks(3).map(<[&str]>::to_vec).collect();
    if groups.len() > 1
        && groups.last().is_some_and(|last| last.len() == 1)
        && let Some(last) = groups.pop()
        && let Some(before) = groups.last_mut()
    {
        before.extend(last);
    }
    groups
        .iter()
        .map(|group| group.join(" "))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_words() {
        for (value, expected) in [
            (0.0, "zero"),
            (21.0, "twenty one"),
            (105.0, "one hundred and five"),
            (1250.0, "one thousand two hundred and fifty"),
            (2005.0, "two thousand and five"),
            (1_000_000.0, "one million"),
            (-3.5, "minus three point five"),
            (0.1 + 0.2, "zero point three"),
        ] {
            assert_eq!(number(value), expected, "{value}");
        }
    }

    #[test]
    fn ordinals_and_digits() {
        for (value, expected) in [
            (1, "first"),
            (12, "twelfth"),
            (20, "twentieth"),
            (23, "twenty third"),
            (100, "one hundredth"),
        ] {
            assert_eq!(ordinal(value), expected);
        }
        assert_eq!(digits("4270"), "four two seven zero");
        assert_eq!(digits("5551212"), "five five five, one two one two");
        assert_eq!(digits("+49"), "plus four nine");
    }
}
