//! When each call sends: a wheel of 20 slots, a millisecond each, on the absolute clock.
//!
//! A call stays in its slot, so its packets leave every 20 ms whatever happened to the one before. Calls gather in few
//! slots while they are few, since waking up is what costs most. A thread that lags by
//! less than a turn catches up, each call once; beyond that whole turns are skipped and counted, so that no call ever
//! sends a burst.

/// Slots, and milliseconds, of a turn.
pub(crate) const SLOTS: u64 = 20;
/// How many slots a call may choose from.
pub(crate) const CHOICE: u64 = 5;
/// A slot with so many calls takes others only when all are as full. Their packets leave within about 0.1 ms.
const FULL: usize = 64;
/// A slot this late counts as late, in milliseconds.
const LATE_MS: u64 = 5;

/// The slots, holding indices of calls.
#[derive(Debug, Default)]
pub(crate) struct Wheel {
    slots: [Vec<u32>; SLOTS as usize],
    /// The next millisecond to serve.
    next_ms: u64,
}

/// A slot whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// The millisecond that it stands for.
    pub(crate) ms: u64,
    /// It is served late.
    pub(crate) late: bool,
}

impl Wheel {
    /// Puts a call into a slot, its first turn being one of the [`CHOICE`] milliseconds from `from_ms`; returns which.
    ///
    /// Each slot in use costs the thread a wake-up a turn, which is dearer than a packet. So calls gather in every fifth
    /// slot first, in the others when those are full, and only then are they spread evenly.
    pub(crate) fn add(&mut self, index: u32, from_ms: u64) -> u64 {
        let rank = |ms: &u64| {
            let calls = self.slots[(ms % SLOTS) as usize].len();
            match calls {
                FULL.. => (3, calls),
                _ if ms.is_multiple_of(CHOICE) => (0, 0),
                0 => (2, 0),
                _ => (1, 0),
            }
        };
        let ms = (from_ms..from_ms + CHOICE).min_by_key(rank).unwrap_or(from_ms);
        self.slot(ms).push(index);
        ms
    }

    /// Takes a call out of the slot of `ms`.
    pub(crate) fn remove(&mut self, index: u32, ms: u64) {
        let slot = self.slot(ms);
        if let Some(place) = slot.iter().position(|other| *other == index) {
            slot.swap_remove(place);
        }
    }

    fn slot(&mut self, ms: u64) -> &mut Vec<u32> {
        &mut self.slots[(ms % SLOTS) as usize]
    }

    /// The next slot to serve at `now_ms`, if there is one, and how many turns were skipped.
    pub(crate) fn next(&mut self, now_ms: u64) -> (Option<Due>, u64) {
        if self.next_ms > now_ms {
            return (None, 0);
        }
        let skipped = (now_ms - self.next_ms) / SLOTS;
        self.next_ms += skipped * SLOTS;
        let due = Due {
            ms: self.next_ms,
            late: now_ms - self.next_ms >= LATE_MS,
        };
        self.next_ms += 1;
        (Some(due), skipped)
    }

    /// The calls of a slot, by place, so that the caller may change calls as it goes.
    pub(crate) fn call_at(&self, ms: u64, place: usize) -> Option<u32> {
        self.slots[(ms % SLOTS) as usize].get(place).copied()
    }

    /// Nothing happened until `now_ms` and nothing was due: no turn was missed.
    pub(crate) fn rest_until(&mut self, now_ms: u64) {
        self.next_ms = self.next_ms.max(now_ms);
    }

    /// The next millisecond, from the first unserved one, in whose slot there is a call; `None` when there is no call.
    pub(crate) fn next_busy_ms(&self) -> Option<u64> {
        (self.next_ms..self.next_ms + SLOTS).find(|ms| !self.slots[(ms % SLOTS) as usize].is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves the wheel at each of `times_ms`, and returns when call 0 was served and how many turns were skipped.
    fn served(times_ms: &[u64]) -> (Vec<u64>, u64) {
        let mut wheel = Wheel::default();
        wheel.slot(3).push(0);
        let (mut sent, mut skipped_all) = (Vec::new(), 0);
        for now_ms in times_ms {
            while let (Some(due), skipped) = wheel.next(*now_ms) {
                skipped_all += skipped;
                if wheel.call_at(due.ms, 0) == Some(0) {
                    sent.push(due.ms);
                }
            }
        }
        (sent, skipped_all)
    }

    #[test]
    fn a_call_is_served_every_turn_and_never_twice_at_once() {
        let every_ms: Vec<u64> = (0..60).collect();
        let rows: [(&str, &[u64], &[u64], u64); 5] = [
            ("on time", &every_ms, &[3, 23, 43], 0),
            ("a few milliseconds late", &[0, 9, 29, 48], &[3, 23, 43], 0),
            ("not due", &[0, 1, 2], &[], 0),
            ("a lag of less than a turn", &[3, 22, 41, 60], &[3, 23, 43], 0),
            ("a lag of several turns", &[3, 104, 123], &[3, 123], 5),
        ];
        for (what, times_ms, sent, skipped) in rows {
            assert_eq!(served(times_ms), (sent.to_vec(), skipped), "{what}");
        }
    }

    #[test]
    fn calls_gather_in_few_slots_until_those_are_full() {
        let mut wheel = Wheel::default();
        let slots_in_use = |wheel: &Wheel| wheel.slots.iter().filter(|slot| !slot.is_empty()).count();
        // calls so far, slots in use
        for (calls, slots) in [(1, 1), (100, 4), (240, 4), (1_280, 20), (2_000, 20)] {
            for index in wheel.slots.iter().map(Vec::len).sum::<usize>()..calls {
                // They are answered at any millisecond.
                let from_ms = index as u64 * 7;
                let ms = wheel.add(index as u32, from_ms);
                assert!((from_ms..from_ms + CHOICE).contains(&ms));
            }
            assert_eq!(slots_in_use(&wheel), slots, "{calls} calls");
        }
        let fullest = wheel.slots.iter().map(Vec::len).max();
        assert!(fullest.is_some_and(|calls| calls <= 110), "{fullest:?}");
    }

    #[test]
    fn a_removed_call_is_not_served() {
        let mut wheel = Wheel::default();
        wheel.slot(19).push(4);
        assert_eq!(wheel.next_busy_ms(), Some(19));
        wheel.remove(4, 19);
        assert_eq!((wheel.call_at(19, 0), wheel.next_busy_ms()), (None, None));
    }
}
