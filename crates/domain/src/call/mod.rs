//! A call: one attempt to reach one number.

mod dialog;

pub use dialog::{DialogFacts, SipIdentity};
