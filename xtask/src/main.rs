//! Project chores in Rust.
fn main() {}
