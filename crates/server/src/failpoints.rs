//! Kills the process at a named point, for crash tests: `CARILLON_FAILPOINT=NAME` or `NAME:N` for the N-th passing.

use async_trait::async_trait;
use carillon_interfaces::failpoint::{Failpoint, Failpoints, NoFailpoints};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The failpoints that the environment asks for.
pub(crate) fn from_environment() -> anyhow::Result<Arc<dyn Failpoints>> {
    let Ok(wish) = std::env::var("CARILLON_FAILPOINT") else {
        return Ok(Arc::new(NoFailpoints));
    };
    let (name, passing) = wish.split_once(':').unwrap_or((&wish, "1"));
    let names = || Failpoint::ALL.map(Failpoint::as_str).join(", ");
    let point = Failpoint::parse(name)
        .ok_or_else(|| anyhow::anyhow!("CARILLON_FAILPOINT: there is no point `{name}`; there are {}", names()))?;
    let passing = passing
        .parse()
        .map_err(|_| anyhow::anyhow!("CARILLON_FAILPOINT: `{passing}` is no number"))?;
    Ok(Arc::new(KillAt {
        point,
        passing,
        passed: AtomicU64::new(0),
    }))
}

struct KillAt {
    point: Failpoint,
    passing: u64,
    passed: AtomicU64,
}

#[async_trait]
impl Failpoints for KillAt {
    async fn pass(&self, point: Failpoint) {
        if point == self.point && self.passed.fetch_add(1, Ordering::SeqCst) + 1 == self.passing {
            // As `kill -9` would: no destructor, no buffer, no goodbye.
            // SAFETY: a signal to our own process has no memory preconditions.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
    }
}
