//! Seeded chance. Every decision draws from dice of its own, named by purpose and key, so that one more decision somewhere
//! does not change all the others, and a history depends on the seed and the commit alone (never on a library's version).

use std::time::Duration;

/// A stream of random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    /// The dice of one purpose and key under a seed.
    pub(crate) fn of(seed: u64, purpose: &str, key: u128) -> Self {
        let mut dice = Self { state: seed };
        for byte in purpose.bytes() {
            dice.state = dice.next() ^ u64::from(byte);
        }
        for part in [key as u64, (key >> 64) as u64] {
            dice.state = dice.next() ^ part;
        }
        dice.next();
        dice
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to but not including `bound`; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `per_mille` of 1,000 draws.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// A time from `low` to `high` milliseconds.
    pub(crate) fn ms(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// A time from `low` to `high` seconds, in whole milliseconds.
    pub(crate) fn seconds(&mut self, low: u64, high: u64) -> Duration {
        self.ms(low * 1_000, high * 1_000)
    }

    /// One of `items`, which must not be empty.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[usize::try_from(self.below(items.len() as u64)).unwrap_or(0)]
    }
}
