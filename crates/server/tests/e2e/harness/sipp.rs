//! SIPp as the far end: one process plays one scenario of `tests/sipp` for one call and judges what it gets.

#[allow(
    unreachable_pub,
    dead_code,
    clippy::allow_attributes,
    reason = "shared with the tests of the carriers, each of which uses its part"
)]
#[path = "../../../../../tests/sipp/sipp.rs"]
mod shared;

use super::{PATIENCE, ports};
pub(crate) use carillon_domain::trunk::Transport;
pub(crate) use shared::is_bound;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;

/// A running SIPp.
pub(crate) struct Sipp {
    pub(crate) addr: SocketAddr,
    sipp: shared::Sipp,
    _folder: TempDir,
}

impl Sipp {
    /// Starts SIPp as the called side and waits until its socket is there. It finds these RTP packets as `sound.pcap`.
    pub(crate) async fn start_with(scenario: &str, transport: Transport, sound: &[(Duration, Vec<u8>)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("sound.pcap"), super::pcap::file(sound)).expect("a file");
        let sipp = shared::Sipp::start(shared::Setting {
            scenario,
            transport,
            calls: 1,
            timeout_s: 30,
            folder: Some(folder.path()),
            free_port: ports::free,
        })
        .await;
        Self {
            addr: sipp.addr,
            sipp,
            _folder: folder,
        }
    }

    /// Waits for SIPp's own verdict. `Err`: what it complains of.
    pub(crate) async fn verdict(self) -> Result<(), String> {
        self.sipp.verdict(PATIENCE).await
    }
}
