//! Medians and tails of many durations.

/// Durations, in microseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quantiles {
    sorted_us: Vec<u64>,
}

impl Quantiles {
    /// Of these durations, in microseconds.
    pub(crate) fn of(durations_us: impl IntoIterator<Item = u64>) -> Self {
        let mut sorted_us: Vec<u64> = durations_us.into_iter().collect();
        sorted_us.sort_unstable();
        Self { sorted_us }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.sorted_us.len()
    }

    /// The duration, in milliseconds, that `percent` of them do not exceed (nearest rank); `None` of nothing.
    pub(crate) fn percentile_ms(&self, percent: usize) -> Option<f64> {
        let rank = (self.sorted_us.len() * percent).div_ceil(100).max(1);
        let duration_us = self.sorted_us.get(rank - 1)?;
        Some(*duration_us as f64 / 1_000.0)
    }

    /// The longest, in milliseconds.
    pub(crate) fn longest_ms(&self) -> Option<f64> {
        self.percentile_ms(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).rev().map(|ms| ms * 1_000).collect();
        // durations, percent, milliseconds
        let rows: [(&[u64], usize, Option<f64>); 6] = [
            (&hundred, 50, Some(50.0)),
            (&hundred, 99, Some(99.0)),
            (&hundred, 100, Some(100.0)),
            (&[7_000], 50, Some(7.0)),
            (&[7_000, 9_000], 99, Some(9.0)),
            (&[], 50, None),
        ];
        for (durations, percent, expected) in rows {
            assert_eq!(
                Quantiles::of(durations.iter().copied()).percentile_ms(percent),
                expected,
                "{percent}"
            );
        }
    }
}
