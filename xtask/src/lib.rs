//! Project chores in Rust. The `tidy` rules are also a test of this package, so that `cargo test` holds them.

pub mod tidy;
