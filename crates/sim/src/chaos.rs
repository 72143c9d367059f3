//! Crashes: at the passes of failpoints, and at moments in between.

use crate::dice::Dice;
use crate::life::Life;
use crate::plan::{CrashAt, Plan};
use crate::world::World;
use async_trait::async_trait;
use carillon_domain::time::UnixMicros;
use carillon_interfaces::failpoint::{Failpoint, Failpoints};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Crashes that are still to come, and those that came.
pub(crate) struct Chaos {
    inner: Mutex<Inner>,
}

struct Inner {
    armed: Vec<Armed>,
    crashes: u32,
    by_point: BTreeMap<Failpoint, u32>,
    down_for: Duration,
    on: bool,
}

#[derive(Clone, Debug)]
struct Armed {
    from: UnixMicros,
    at: CrashAt,
    passes_left: u32,
    down_for: Duration,
}

impl Chaos {
    pub(crate) fn new(plan: &Plan) -> Self {
        let armed = plan
            .crashes
            .iter()
            .map(|crash| Armed {
                from: plan.begins_at + crash.from,
                at: crash.at,
                passes_left: crash.skip,
                down_for: crash.down_for,
            })
            .collect();
        let inner = Inner {
            armed,
            crashes: 0,
            by_point: BTreeMap::new(),
            down_for: Duration::ZERO,
            on: true,
        };
        Self {
            inner: Mutex::new(inner),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the process dies at this pass.
    fn strikes(&self, point: Failpoint, now: UnixMicros) -> bool {
        let mut inner = self.lock();
        let armed = |crash: &Armed| crash.at == CrashAt::Point(point) && crash.from <= now;
        let Some(index) = inner.armed.iter().position(armed).filter(|_| inner.on) else {
            return false;
        };
        if inner.armed[index].passes_left > 0 {
            inner.armed[index].passes_left -= 1;
            return false;
        }
        inner.down_for = inner.armed.remove(index).down_for;
        inner.crashes += 1;
        *inner.by_point.entry(point).or_default() += 1;
        true
    }

    /// When the next crash falls that waits for no failpoint.
    pub(crate) fn next_sudden(&self) -> Option<UnixMicros> {
        let inner = self.lock();
        inner
            .armed
            .iter()
            .filter(|crash| crash.at == CrashAt::Sudden)
            .map(|crash| crash.from)
            .min()
            .filter(|_| inner.on)
    }

    /// The sudden crash falls.
    pub(crate) fn sudden(&self) {
        let mut inner = self.lock();
        let earliest = (0..inner.armed.len())
            .filter(|index| inner.armed[*index].at == CrashAt::Sudden)
            .min_by_key(|index| inner.armed[*index].from);
        if let Some(index) = earliest {
            inner.down_for = inner.armed.remove(index).down_for;
            inner.crashes += 1;
        }
    }

    /// How long the process stays down after the crash that just fell.
    pub(crate) fn down_for(&self) -> Duration {
        self.lock().down_for
    }

    pub(crate) fn crashes(&self) -> u32 {
        self.lock().crashes
    }

    /// Crashes at each failpoint.
    pub(crate) fn by_point(&self) -> BTreeMap<Failpoint, u32> {
        self.lock().by_point.clone()
    }

    /// No more crashes: the rest of the run only has to finish.
    pub(crate) fn stop(&self) {
        self.lock().on = false;
    }
}

/// The failpoints of one life.
pub(crate) struct LifeFailpoints {
    pub(crate) world: Arc<World>,
    pub(crate) life: Arc<Life>,
    /// Shakes the order of things: some passes take a moment.
    pub(crate) dice: Mutex<Dice>,
}

#[async_trait]
impl Failpoints for LifeFailpoints {
    async fn pass(&self, point: Failpoint) {
        if self.life.is_over() {
            return std::future::pending().await;
        }
        if self.world.chaos.strikes(point, self.world.now()) {
            self.world.note(format_args!("crash at {point}"));
            self.life.kill();
            return std::future::pending().await;
        }
        let pause = {
            let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
            dice.chance(20).then(|| dice.ms(1, 30))
        };
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
}
