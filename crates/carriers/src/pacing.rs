//! Calls per second: never more than the limit in any sliding second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A second, and a little: the far end counts by its own clock and its packets arrive with jitter.
const WINDOW: Duration = Duration::from_millis(1_020);

/// The times of the last calls. `now` is an argument, so that it can be tested without waiting.
#[derive(Debug)]
pub struct SlidingWindow {
    limit: usize,
    sent: VecDeque<Instant>,
}

impl SlidingWindow {
    /// A window that lets `limit` calls through per second; 0 counts as 1.
    pub fn new(limit: u32) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX).max(1),
            sent: VecDeque::new(),
        }
    }

    /// Changes the limit; calls that were counted stay counted.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
    }

    /// When the next call may be sent; `None`: now.
    pub fn opens_at(&mut self, now: Instant) -> Option<Instant> {
        while self
            .sent
            .front()
            .is_some_and(|sent| now.saturating_duration_since(*sent) >= WINDOW)
        {
            self.sent.pop_front();
        }
        let over = self.sent.len().checked_sub(self.limit)?;
        self.sent.get(over).map(|sent| *sent + WINDOW)
    }

    /// Counts a call that was sent at `now`.
    pub fn sent(&mut self, now: Instant) {
        self.sent.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Callers come when they like and wait for their turn: no sliding second ever holds more than the limit, and
        /// nobody waits longer than the limit makes necessary.
        #[test]
        fn no_sliding_second_holds_more_than_the_limit(
            limit in 0_u32..20,
            gaps_us in prop::collection::vec(0_u64..400_000, 1..120),
            slowness_us in 0_u64..5_000,
        ) {
            let start = Instant::now();
            let mut window = SlidingWindow::new(limit);
            let mut now = start;
            let mut sent: Vec<Instant> = Vec::new();
            for gap in gaps_us {
                now += Duration::from_micros(gap);
                while let Some(at) = window.opens_at(now) {
                    prop_assert!(at > now);
                    now = at;
                }
                // It takes a moment until the INVITE has left.
                let left = now;
                now += Duration::from_micros(slowness_us);
                window.sent(now);
                sent.push(left);
            }
            let limit = usize::try_from(limit.max(1)).unwrap();
            for over in sent.windows(limit + 1) {
                prop_assert!(over[limit] - over[0] >= Duration::from_secs(1));
            }
            prop_assert!(window.sent.len() <= limit + 1);
        }
    }

    #[test]
    fn a_new_limit_holds_at_once() {
        let start = Instant::now();
        let mut window = SlidingWindow::new(3);
        for _ in 0..3 {
            assert_eq!(window.opens_at(start), None);
            window.sent(start);
        }
        assert_eq!(window.opens_at(start), Some(start + WINDOW));
        window.set_limit(4);
        assert_eq!(window.opens_at(start), None);
        window.set_limit(2);
        let later = start + Duration::from_millis(500);
        assert_eq!(window.opens_at(later), Some(start + WINDOW));
    }
}
