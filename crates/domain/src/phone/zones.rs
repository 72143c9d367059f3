//! The time zones that the holder of a number may be in.

use super::PhoneNumber;
use super::zone_table::{ZONE_SETS, ZONES, ZONES_BY_PREFIX};
use crate::campaign::calling_window::ZoneName;
use rlibphonenumber::PHONE_NUMBER_UTIL;

/// Every zone that the holder of `number` may be in, by libphonenumber's map of prefixes; empty when its calling code is
/// unknown, which callers treat as closed.
///
/// A number tied to a place has the zones of its longest known prefix. Others (most mobiles, toll-free and voice-over-IP
/// numbers, and those that no plan lists) have every zone of their calling code.
pub fn zones(number: &PhoneNumber) -> Vec<ZoneName> {
    let Some(planned) = number.in_plan() else {
        return Vec::new();
    };
    let indices = if PHONE_NUMBER_UTIL.is_number_geographical(&planned) {
        zones_of_longest_prefix(number.digits())
    } else {
        zones_of_longest_prefix(&planned.country_code.to_string())
    };
    indices
        .iter()
        .filter_map(|index| ZONES.get(usize::from(*index)))
        .map(|name| ZoneName::of_table(name))
        .collect()
}

fn zones_of_longest_prefix(digits: &str) -> &'static [u16] {
    let set_of = |length: usize| {
        let prefix: u32 = digits.get(..length)?.parse().ok()?;
        let row = ZONES_BY_PREFIX
            .binary_search_by_key(&prefix, |(known, _)| *known)
            .ok()?;
        ZONE_SETS.get(usize::from(ZONES_BY_PREFIX[row].1)).copied()
    };
    // Nine digits are the longest prefix that the table's u32 can hold, and the longest that it has.
    (1..=digits.len().min(9)).rev().find_map(set_of).unwrap_or(&[])
}
