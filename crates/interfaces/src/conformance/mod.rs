//! Suites that hold every implementation of a trait to the same behaviour, one per trait (feature `conformance`).
//!
//! An adapter's tests call the suite with a way to make what is tested. What only one adapter can promise (durability, a
//! lock) is tested beside that adapter.

pub mod store;
