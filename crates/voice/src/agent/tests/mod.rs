//! Conversations over a simulated line, on a clock that does not wait.

mod faults;
mod scripted;
mod stage;
mod talks;
