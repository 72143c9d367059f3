//! Who speaks when: turns, interruptions, silence, and what of our words was heard. Pure; the voice runtime drives it.

mod expect;

pub use expect::Expect;
