//! `Range` of RFC 9110 section 14, for one range of bytes.

use std::ops::RangeInclusive;

/// What part of a file is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it: no range, one that cannot be read, or several (which may be ignored, section 14.2).
    Whole,
    /// These bytes.
    Bytes(RangeInclusive<u64>),
    /// Bytes that it does not have.
    Unsatisfiable,
}

/// The part of a file of `length` bytes that a `Range` header asks for.
pub(super) fn part(header: Option<&str>, length: u64) -> Part {
    let Some(range) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else {
        return Part::Whole;
    };
    let Some((first, last)) = range.trim().split_once('-') else {
        return Part::Whole;
    };
    if range.contains(',') {
        return Part::Whole;
    }
    let (first, last) = match (number(first), number(last)) {
        (Some(Number::Is(first)), Some(Number::Missing)) => (first, u64::MAX),
        (Some(Number::Is(first)), Some(Number::Is(last))) if first <= last => (first, last),
        (Some(Number::Missing), Some(Number::Is(0))) => return Part::Unsatisfiable,
        (Some(Number::Missing), Some(Number::Is(suffix))) => (length.saturating_sub(suffix), u64::MAX),
        _ => return Part::Whole,
    };
    match length.checked_sub(1) {
        Some(end) if first <= end => Part::Bytes(first..=last.min(end)),
        _ => Part::Unsatisfiable,
    }
}

enum Number {
    Is(u64),
    Missing,
}

fn number(text: &str) -> Option<Number> {
    let text = text.trim();
    if text.is_empty() {
        return Some(Number::Missing);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More digits than fit are beyond the end of any file.
    Some(Number::Is(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_names_bytes_of_the_file() {
        let table = [
            (None, Part::Whole),
            (Some("bytes=0-99"), Part::Bytes(0..=99)),
            (Some("bytes=0-"), Part::Bytes(0..=999)),
            (Some("bytes=500-2000"), Part::Bytes(500..=999)),
            (Some("bytes=999-"), Part::Bytes(999..=999)),
            (Some("bytes=-1"), Part::Bytes(999..=999)),
            (Some("bytes=-5000"), Part::Bytes(0..=999)),
            (Some("bytes=1000-"), Part::Unsatisfiable),
            (Some("bytes=-0"), Part::Unsatisfiable),
            (Some("bytes=99999999999999999999-"), Part::Unsatisfiable),
            (Some("bytes=5-3"), Part::Whole),
            (Some("bytes=a-3"), Part::Whole),
            (Some("bytes=-"), Part::Whole),
            (Some("bytes=0-1,5-6"), Part::Whole),
            (Some("items=0-1"), Part::Whole),
        ];
        for (header, expected) in table {
            assert_eq!(part(header, 1_000), expected, "{header:?}");
        }
        assert_eq!(part(Some("bytes=0-"), 0), Part::Unsatisfiable);
    }
}
