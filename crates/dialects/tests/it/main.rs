//! The dialects over the real façade, the memory store, and a carrier and voice that do as they are told.

mod cases;
mod coverage;
mod curl;
mod native;
mod native_settings;
mod revrag;
mod webhooks;
mod world;
