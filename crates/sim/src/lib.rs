//! The simulator: the app's own loops over the memory store, a paused clock, a seeded crowd at the far end, a disk that
//! fails, receivers that are down, operators who interfere, and crashes at every failpoint.
//!
//! In: a seed and a number of records. Out: a [`Report`], the same for the same seed and commit. Checkers watch from
//! outside; the first rule that is broken ends the run. See `docs/simulation.md`.

mod bugs;
mod chaos;
mod checkers;
mod crowd;
mod dice;
mod disk;
mod far_end;
mod history;
mod ledger;
mod leg;
mod life;
mod numbers;
mod operators;
mod plan;
mod planted;
mod receivers;
mod run;
mod sound;
mod verdict;
mod world;
mod zones;

pub use bugs::Bug;
pub use run::{Report, Settings, run};
pub use verdict::{Checker, Violation};
