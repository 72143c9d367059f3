//! The rules of Carillon as pure functions and state machines.
//!
//! What goes in: entities as they were read, the time (`now`), and ids made by the shell. What comes out: a
//! [`transition::Transition`], that is, the changes to store and the effects to perform. Nothing here reads a clock,
//! draws a random number, awaits, or knows a wire format. The stored form of an entity is its serde form
//! (`docs/adr/0004`); the JSON of any API is made elsewhere.

pub mod agent;
pub mod call;
pub mod campaign;
pub mod conversation;
pub mod do_not_call;
pub mod flow;
pub mod http_tool;
pub mod ids;
pub mod language;
pub mod machine_detection;
pub mod model_agent;
pub mod phone;
pub mod pii;
pub mod record;
pub mod script;
pub mod time;
pub mod transition;
pub mod trunk;
pub mod webhook;
pub mod workspace;
