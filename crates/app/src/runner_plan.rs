//! What the runner waits for between two looks, so that only what can change its mind wakes it.

use carillon_domain::time::UnixMicros;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared between the runner, which looks, and everybody who ends a call.
///
/// What happens during a look may have come too late for it: it is remembered and judged when the look is over.
#[derive(Debug, Default)]
pub(crate) struct RunnerPlan {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    looking: bool,
    /// Something is due that only lacks a line.
    wants_line: bool,
    looks_at: UnixMicros,
    /// A line became free during the look.
    line_freed: bool,
    /// The earliest due time of a record that began to wait during the look.
    earliest: Option<UnixMicros>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            looking: false,
            wants_line: true,
            looks_at: UnixMicros(i64::MAX),
            line_freed: false,
            earliest: None,
        }
    }
}

impl RunnerPlan {
    /// A look begins.
    pub(crate) fn begin(&self) {
        let mut state = self.lock();
        state.looking = true;
        state.line_freed = false;
        state.earliest = None;
    }

    /// A look has ended at `now`; the next is planned for `looks_at`. Returns when it must be.
    pub(crate) fn end(&self, now: UnixMicros, looks_at: UnixMicros, wants_line: bool) -> UnixMicros {
        let mut state = self.lock();
        state.looking = false;
        state.wants_line = wants_line;
        state.looks_at = if wants_line && state.line_freed {
            now
        } else {
            state.earliest.map_or(looks_at, |earliest| earliest.min(looks_at))
        };
        state.looks_at
    }

    /// A line became free. Returns whether the runner must look.
    pub(crate) fn line_freed(&self) -> bool {
        let mut state = self.lock();
        state.line_freed |= state.looking;
        !state.looking && state.wants_line
    }

    /// A record waits again. Returns whether the runner must look.
    pub(crate) fn record_waits(&self, due_at: UnixMicros) -> bool {
        let mut state = self.lock();
        if state.looking {
            state.earliest = Some(state.earliest.map_or(due_at, |earliest| earliest.min(due_at)));
        }
        !state.looking && due_at < state.looks_at
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> UnixMicros {
        UnixMicros(second * 1_000_000)
    }

    #[test]
    fn a_free_line_wakes_a_runner_that_lacked_one() {
        // lacked a line, woken
        for (wants_line, woken) in [(true, true), (false, false)] {
            let plan = RunnerPlan::default();
            plan.begin();
            assert_eq!(plan.end(at(1), at(30), wants_line), at(30));
            assert_eq!(plan.line_freed(), woken, "{wants_line}");
        }
    }

    #[test]
    fn a_line_that_became_free_during_the_look_is_looked_at_after_it() {
        // lacked a line, looks again at
        for (wants_line, looks_at) in [(true, at(1)), (false, at(30))] {
            let plan = RunnerPlan::default();
            plan.begin();
            assert!(!plan.line_freed(), "it looks already");
            assert_eq!(plan.end(at(1), at(30), wants_line), looks_at, "{wants_line}");
        }
    }

    #[test]
    fn a_record_wakes_the_runner_only_if_it_is_due_before_the_next_look() {
        let plan = RunnerPlan::default();
        plan.begin();
        assert_eq!(plan.end(at(1), at(30), false), at(30));
        assert!(plan.record_waits(at(29)) && !plan.record_waits(at(30)));
    }

    #[test]
    fn a_record_that_began_to_wait_during_the_look_moves_the_next_one() {
        let plan = RunnerPlan::default();
        plan.begin();
        assert!(!plan.record_waits(at(20)) && !plan.record_waits(at(10)) && !plan.record_waits(at(40)));
        assert_eq!(plan.end(at(1), at(30), false), at(10));
        plan.begin();
        assert_eq!(plan.end(at(2), at(30), false), at(30), "it was for that look alone");
    }

    #[test]
    fn a_runner_that_never_looked_is_woken_by_everything() {
        let plan = RunnerPlan::default();
        assert!(plan.line_freed() && plan.record_waits(at(1)));
    }
}
