//! The history of a run: one line for each thing that happened, hashed as they come.

use carillon_domain::time::UnixMicros;
use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// A hash over everything that happened, in order.
pub(crate) struct History {
    inner: Mutex<Inner>,
}

struct Inner {
    hasher: blake3::Hasher,
    line: Vec<u8>,
    trace: Option<Box<dyn Write + Send>>,
}

impl History {
    /// An empty history. Its lines also go to `trace`.
    pub(crate) fn new(trace: Option<Box<dyn Write + Send>>) -> Self {
        Self {
            inner: Mutex::new(Inner {
                hasher: blake3::Hasher::new(),
                line: Vec::new(),
                trace,
            }),
        }
    }

    /// Adds a line.
    pub(crate) fn note(&self, at: UnixMicros, what: fmt::Arguments<'_>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { hasher, line, trace } = &mut *inner;
        line.clear();
        // Writing to memory does not fail.
        let _ = writeln!(line, "{} {what}", at.micros());
        hasher.update(line);
        if let Some(trace) = trace {
            // A trace that cannot be written is missed by whoever asked for it; the run goes on.
            let _ = trace.write_all(line);
        }
    }

    /// The hash so far, as 16 hex digits.
    pub(crate) fn hash(&self) -> String {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.hasher.finalize().to_hex().chars().take(16).collect()
    }
}
