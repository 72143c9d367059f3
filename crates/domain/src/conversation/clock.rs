//! The clock of a conversation: milliseconds since the call was answered. It is the clock of the sound, so offsets in a transcript
//! and in a recording are the same numbers, and a change of the wall clock moves nothing.

use serde::{Deserialize, Serialize};

/// A moment of a call, in milliseconds since its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallMs(pub u64);

impl CallMs {
    /// The moment `ms` milliseconds later.
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The moment `ms` milliseconds earlier; the answer itself when that lies before it.
    pub const fn minus(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }

    /// Milliseconds from `earlier` to this; zero when it is not after it.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
