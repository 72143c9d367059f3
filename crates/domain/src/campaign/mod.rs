//! Campaigns.

pub mod calling_window;
