//! Services that are spoken to over HTTP and WebSocket: language models, recognisers, voices.
//!
//! Each speaks a documented wire format to the base URL that the operator configured, and to no other host: redirects are
//! refused. (Tools of agents go where the agent's author says; `http_tool` asks `outbound` first.) Keys travel in headers only and are cut out of every error.

pub mod chat;
mod http;
pub mod http_tool;
pub mod settings;
mod sse;

pub use http::{Connections, SetupError};
