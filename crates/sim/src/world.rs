//! The world of one run: what outlives every life of the process.

use crate::Bug;
use crate::chaos::Chaos;
use crate::checkers::Rates;
use crate::dice::Dice;
use crate::far_end::Legs;
use crate::history::History;
use crate::ledger::Ledger;
use crate::life::Life;
use crate::plan::Plan;
use crate::receivers::Receivers;
use crate::verdict::{Checker, Verdict};
use carillon_domain::time::UnixMicros;
use carillon_interfaces::clock::{Clock, IdMaker};
use carillon_store::memory::MemoryStore;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;
use uuid::Uuid;

/// The world.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) bug: Option<Bug>,
    pub(crate) plan: Plan,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) history: History,
    pub(crate) verdict: Verdict,
    pub(crate) chaos: Chaos,
    pub(crate) receivers: Receivers,
    clock: SimClock,
    ids: AtomicU64,
    ledger: Mutex<Ledger>,
    legs: Mutex<Legs>,
    rates: Mutex<Rates>,
    disk_dice: Mutex<Dice>,
    life: Mutex<Option<Arc<Life>>>,
    lives: AtomicU32,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>, plan: Plan, history: History) -> Self {
        Self {
            seed,
            bug,
            clock: SimClock {
                begins_at: plan.begins_at,
                began: Instant::now(),
            },
            chaos: Chaos::new(&plan),
            receivers: Receivers::new(seed, &plan),
            plan,
            store: Arc::new(MemoryStore::new()),
            history,
            verdict: Verdict::default(),
            ids: AtomicU64::new(1),
            ledger: Mutex::default(),
            legs: Mutex::default(),
            rates: Mutex::default(),
            disk_dice: Mutex::new(Dice::of(seed, "disk", 0)),
            life: Mutex::default(),
            lives: AtomicU32::new(0),
        }
    }

    pub(crate) fn now(&self) -> UnixMicros {
        self.clock.now()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock)
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn legs(&self) -> MutexGuard<'_, Legs> {
        self.legs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn rates(&self) -> MutexGuard<'_, Rates> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn disk_dice(&self) -> MutexGuard<'_, Dice> {
        self.disk_dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line to the history.
    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        self.history.note(self.now(), what);
    }

    /// A checker fails.
    pub(crate) fn fail(&self, checker: Checker, what: impl Into<String>) {
        self.verdict.fail(checker, self.now(), what.into());
    }

    /// The life that serves requests now.
    pub(crate) fn life(&self) -> Option<Arc<Life>> {
        self.life
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .filter(|life| !life.is_over())
    }

    pub(crate) fn set_life(&self, life: Option<Arc<Life>>) {
        *self.life.lock().unwrap_or_else(PoisonError::into_inner) = life;
    }

    /// How many lives have begun.
    pub(crate) fn lives(&self) -> u32 {
        self.lives.load(Ordering::Relaxed)
    }

    pub(crate) fn begin_life(&self, number: u32) {
        self.lives.store(number, Ordering::Relaxed);
    }

    /// Whether a bug is planted.
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// How many ids were made: also a number that no earlier moment of the run had.
    fn count_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }
}

impl IdMaker for World {
    /// A UUID of version 7: simulated milliseconds, then a count, so that it ascends and a run repeats.
    fn next_id(&self) -> Uuid {
        let ms = u128::from(self.now().micros().unsigned_abs() / 1_000);
        let count = u128::from(self.count_id());
        let spread = u128::from(Dice::of(self.seed, "id", count).next() & 0xffff_ffff);
        Uuid::from_u128(
            ms << 80 | 0x7 << 76 | (count >> 30 & 0xfff) << 64 | 0b10 << 62 | (count & 0x3fff_ffff) << 32 | spread,
        )
    }
}

/// Simulated time: the runtime's paused clock, counted from the plan's beginning.
#[derive(Clone, Copy, Debug)]
struct SimClock {
    begins_at: UnixMicros,
    began: Instant,
}

impl Clock for SimClock {
    fn now(&self) -> UnixMicros {
        self.begins_at + self.began.elapsed()
    }
}
