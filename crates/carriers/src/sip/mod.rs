//! A SIP user agent of our own: a sans-IO core (`core`) and the sockets and clock around it (`shell`).

pub mod config;
pub(crate) mod core;
pub mod digest;
mod drop_reason;
pub mod grammar;
pub mod message;
pub(crate) mod shell;
pub(crate) mod tcp;
pub(crate) mod writer;

pub use config::{SipConfig, SipTimers, SourcePolicy};
pub use shell::SipEngine;
