//! The engine's clock: microseconds since it started, and their wall time.

use carillon_domain::time::UnixMicros;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Monotonic, and the same on every thread of the engine. Wall time is fixed at the start, so that a step of the system's
/// clock neither stretches a call nor fires its timers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_at: UnixMicros,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started_at = UnixMicros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX));
        Self {
            started: Instant::now(),
            started_at,
        }
    }

    /// Microseconds since the engine started.
    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The wall time of a moment of this clock.
    pub(crate) fn wall(&self, us: u64) -> UnixMicros {
        UnixMicros(
            self.started_at
                .micros()
                .saturating_add(i64::try_from(us).unwrap_or(i64::MAX)),
        )
    }

    /// The moment of this clock of a wall time; zero when that was before the engine started.
    pub(crate) fn moment_us(&self, wall: UnixMicros) -> u64 {
        u64::try_from(wall.micros().saturating_sub(self.started_at.micros())).unwrap_or(0)
    }
}
