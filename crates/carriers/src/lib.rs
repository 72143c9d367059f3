//! Carriers: what places real calls. SIP is the one that matters.
//!
//! [`SipCarrier`] implements `carillon_interfaces::carrier::Carrier` over a [`ua::SipUa`]; [`sip::SipEngine`] is the user
//! agent that we ship. It also takes calls, for the sandbox's far end.

mod carrier;
pub mod pacing;
pub mod sip;
pub mod ua;

pub use carrier::SipCarrier;
