//! The rule of guarded counters.

/// `value` after `add`; `None` if that would pass `max` or `floor`, or leave the range of a counter.
pub(crate) fn add(value: i64, add: i64, max: Option<i64>, floor: Option<i64>) -> Option<i64> {
    let new = value.checked_add(add)?;
    let fits = max.is_none_or(|max| new <= max) && floor.is_none_or(|floor| new >= floor);
    fits.then_some(new)
}

#[cfg(test)]
mod tests {
    use super::add;

    #[test]
    fn a_counter_stays_within_its_bounds() {
        // value, add, max, floor → value
        for (value, delta, max, floor, expected) in [
            (0, 1, None, None, Some(1)),
            (2, 1, Some(3), None, Some(3)),
            (3, 1, Some(3), None, None),
            (0, -1, None, Some(0), None),
            (1, -1, None, Some(0), Some(0)),
            (5, -1, Some(3), None, None),
            (i64::MAX, 1, None, None, None),
            (i64::MIN, -1, None, None, None),
        ] {
            assert_eq!(
                add(value, delta, max, floor),
                expected,
                "{value} {delta} {max:?} {floor:?}"
            );
        }
    }
}
