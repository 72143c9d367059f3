//! What the stores report about themselves.

use metrics::{gauge, histogram};
use std::time::{Duration, Instant};

/// Whose figures they are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// A batch of transitions is durable, or failed.
pub(crate) fn batch_committed(backend: Backend, transitions: usize, took: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "a batch is far below 2^52")]
    histogram!("carillon_store_batch_transitions", "store" => backend.as_str()).record(transitions as f64);
    histogram!("carillon_store_batch_seconds", "store" => backend.as_str()).record(took);
}

/// Requests that wait for the writer.
pub(crate) fn queue_depth(backend: Backend, requests: usize) {
    #[expect(clippy::cast_precision_loss, reason = "the queue is bounded")]
    gauge!("carillon_store_queue_requests", "store" => backend.as_str()).set(requests as f64);
}

/// A commit as its caller saw it: queue, batch and disk.
pub(crate) fn commit_took(backend: Backend, started: Instant) {
    histogram!("carillon_store_commit_seconds", "store" => backend.as_str()).record(started.elapsed());
}

/// A read as its caller saw it.
pub(crate) fn read_took(backend: Backend, read: &'static str, started: Instant) {
    histogram!("carillon_store_read_seconds", "store" => backend.as_str(), "read" => read).record(started.elapsed());
}
