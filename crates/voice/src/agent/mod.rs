//! Conversations: one task for each call whose script converses.

pub mod brain;
pub mod model;
