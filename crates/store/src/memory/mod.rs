//! The store in memory, for tests and the simulator.
//!
//! Nothing but committed data is in it, and everything iterates in one order, so that a run repeats. Handed as an `Arc`
//! from one life of an app to the next, it stands for a disk that survives a crash. [`Faults`] and
//! [`MemoryStore::set_commit_hook`] plant bugs, so that checkers can be seen failing.

mod reads;
mod state;

use crate::table;
use async_trait::async_trait;
use carillon_domain::transition::Transition;
use carillon_interfaces::store::{ApiKey, CommitError, StoreError};
use state::State;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bugs that can be planted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Two calls for one attempt of one record are not refused.
    pub drop_unique_attempt: bool,
    /// A `Put` replaces a row of any version.
    pub ignore_versions: bool,
}

/// What becomes of a commit that the hook was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFate {
    /// It is written.
    Write,
    /// It is not written, and fails.
    Fail,
    /// It is written, and fails all the same: the connection broke before the answer came.
    WriteAndFail,
    /// It is not written, and succeeds all the same: a disk that lies.
    Lose,
}

/// Is shown each transition before it is written, and may change it.
pub type CommitHook = Box<dyn FnMut(&mut Transition) -> CommitFate + Send>;

/// The store in memory.
#[derive(Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    state: State,
    faults: Faults,
    commits: u64,
    failing: u64,
    hook: Option<CommitHook>,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("commits", &self.commit_count())
            .finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many transitions were written so far.
    pub fn commit_count(&self) -> u64 {
        self.lock().commits
    }

    /// Makes the next `count` transitions fail as if the store were broken; nothing of them is written.
    pub fn fail_next_commits(&self, count: u64) {
        self.lock().failing = count;
    }

    /// Plants bugs, in place of those planted before.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// Shows every later transition to `hook`; `None` ends that.
    pub fn set_commit_hook(&self, hook: Option<CommitHook>) {
        self.lock().hook = hook;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // State is whole even after a panic: a transition that did not end was undone or never begun.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut transition: Transition) -> Result<(), CommitError> {
        let mut inner = self.lock();
        if inner.failing > 0 {
            inner.failing -= 1;
            return Err(broken());
        }
        let fate = match &mut inner.hook {
            Some(hook) => hook(&mut transition),
            None => CommitFate::Write,
        };
        match fate {
            CommitFate::Write => inner.apply(transition),
            CommitFate::Fail => Err(broken()),
            CommitFate::WriteAndFail => inner.apply(transition).and_then(|()| Err(broken())),
            CommitFate::Lose => Ok(()),
        }
    }
}

impl Inner {
    fn apply(&mut self, transition: Transition) -> Result<(), CommitError> {
        let workspace_id = transition.workspace_id.uuid();
        if transition
            .changes
            .iter()
            .filter_map(table::workspace_of)
            .any(|id| id != workspace_id)
        {
            return Err(table::foreign_workspace());
        }
        self.state.apply(transition, self.faults)?;
        self.commits += 1;
        Ok(())
    }
}

fn broken() -> CommitError {
    CommitError::Store(StoreError("a planted failure".to_owned()))
}

/// Stands for the time that a disk takes: other tasks run here, and a task that is dropped here never learns what
/// became of its commit.
async fn wait_like_a_disk() {
    tokio::task::yield_now().await;
}
