//! What Carillon asks of the world, where the world is plural: one trait per file, with its types and errors.
//!
//! Adapters (`store`, `carriers`, `voice`, `providers`) implement these; `app` uses them; `server` joins the two.

pub mod carrier;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod event_renderer;
pub mod failpoint;
pub mod language_model;
pub mod speech;
pub mod store;
pub mod tools;
pub mod voice;
pub mod webhook_transport;
