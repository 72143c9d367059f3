//! Tests of the program as its users meet it: the real binary, real SIP and RTP, real HTTP, and `kill -9`.
//!
//! One test binary, so that it is linked once. `harness` has the server as a process, the clients, the receiver of
//! webhooks and the far ends.

#![expect(clippy::print_stdout, reason = "what a test measured is read by people")]

mod baresip;
mod crash;
mod forecast;
mod harness;
mod load;
mod silence;
mod sipp_calls;
mod sound;
mod start;
mod trunks;
mod webhooks;
