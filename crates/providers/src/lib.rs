//! Speech and language from elsewhere: embedded models, programs and hosted services behind the interfaces of
//! `carillon_interfaces::speech` and `carillon_interfaces::language_model`.
//!
//! `embedded` runs on this machine without a key; `hosted` speaks the wire formats of services.

pub mod embedded;
pub mod hosted;
