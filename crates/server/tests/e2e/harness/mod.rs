//! What the tests of the binary share: the server as a process, clients of its APIs, a receiver of webhooks, far ends.

pub(crate) mod api;
pub(crate) mod far_end;
pub(crate) mod pcap;
pub(crate) mod ports;
pub(crate) mod receiver;
pub(crate) mod rtp;
pub(crate) mod scene;
pub(crate) mod server;
pub(crate) mod sip;
pub(crate) mod sipp;
pub(crate) mod wav;

use std::time::Duration;

/// No test waits longer for one thing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
