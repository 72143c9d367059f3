//! Calls per second: never more than the limit in any sliding second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A second, and a little: the far end counts by its own clock and its packets arrive with jitter.
const WINDOW: Duration = Duration::from_millis(1_010);

/// The times of the last calls. `now` is an argument, so that it can be tested without waiting.
#[derive(Debug)]
pub struct SlidingWindow {
    limit: usize,
    sent: VecDeque<Instant>,
}

impl SlidingWindow {
    /// A window that lets `limit` calls through per second; 0 counts as 1.
    pub fn new(limit: u32) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX).max(1), sent: VecDeque::new() }
    }

    /// Changes the limit; calls that were counted stay counted.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
    }

    /// When the next call may be sent; `None`: now.
    pub fn opens_at(&mut self, now: Instant) -> Option<Instant> {
        while self.sent.front().is_some_and(|sent| now.saturating_duration_since(*sent) >= WINDOW) {
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
