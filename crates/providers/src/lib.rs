//! Speech and language from elsewhere: embedded models, programs and hosted services behind the interfaces of
//! `carillon_interfaces::speech` and `carillon_interfaces::language_model`.
//!
//! `embedded` runs on this machine without a key; `hosted` speaks the wire formats of services; `outbound`
//! guards requests to addresses that somebody else chose.

pub mod embedded;
pub mod hosted;
pub mod outbound;
pub mod resample;
