//! SIPp as the far end: one process plays one scenario of `tests/sipp` for one call and judges what it gets.

use super::{PATIENCE, ports};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

/// Transport of the signalling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// A running SIPp.
pub(crate) struct Sipp {
    pub(crate) addr: SocketAddr,
    child: Child,
    scenario: String,
    _folder: TempDir,
}

impl Sipp {
    /// Starts SIPp as the called side and waits until its socket is there. It finds these RTP packets as `sound.pcap`.
    pub(crate) async fn start_with(scenario: &str, transport: Transport, sound: &[(Duration, Vec<u8>)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("sound.pcap"), super::pcap::file(sound)).expect("a file");
        let scenarios = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/sipp");
        let file = scenarios.join(format!("{scenario}.xml"));
        assert!(file.exists(), "{} is missing", file.display());
        for _ in 0..5 {
            let port = ports::free();
            let media = port + 2;
            let mut child = Command::new("sipp")
                .current_dir(folder.path())
                .arg("-sf")
                .arg(&file)
                .args([
                    "-i",
                    "127.0.0.1",
                    "-p",
                    &port.to_string(),
                    "-mi",
                    "127.0.0.1",
                    "-mp",
                    &media.to_string(),
                ])
                .args(["-t", if transport == Transport::Tcp { "t1" } else { "u1" }])
                .args([
                    "-m",
                    "1",
                    "-nostdin",
                    "-timeout",
                    "30s",
                    "-timeout_error",
                    "-trace_err",
                    "-error_file",
                    "/dev/stderr",
                ])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .expect("Debian's sip-tester provides sipp; scripts/setup installs it");
            let deadline = Instant::now() + Duration::from_secs(5);
            while Instant::now() < deadline && child.try_wait().expect("a child's state").is_none() {
                if is_bound(port, transport) {
                    return Self {
                        addr: SocketAddr::from(([127, 0, 0, 1], port)),
                        child,
                        scenario: scenario.to_owned(),
                        _folder: folder,
                    };
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        panic!("SIPp does not start with {scenario}");
    }

    /// Waits for SIPp's own verdict. `Err`: what it complains of.
    pub(crate) async fn verdict(mut self) -> Result<(), String> {
        let mut errors = String::new();
        let mut stderr = self.child.stderr.take().ok_or("SIPp has no output")?;
        let ended = tokio::time::timeout(PATIENCE, async {
            let _ = stderr.read_to_string(&mut errors).await;
            self.child.wait().await
        });
        match ended.await {
            Err(_) => Err(format!("SIPp still waits in {}: {errors}", self.scenario)),
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(status) => Err(format!(
                "SIPp is not content with {}: {status:?}\n{errors}",
                self.scenario
            )),
        }
    }
}

/// Whether somebody is bound to a loopback port, by the kernel's tables: asking so disturbs nobody.
pub(crate) fn is_bound(port: u16, transport: Transport) -> bool {
    let (table, state) = match transport {
        Transport::Udp => ("/proc/net/udp", "07"),
        Transport::Tcp => ("/proc/net/tcp", "0A"),
    };
    let wanted = [format!("0100007F:{port:04X}"), format!("00000000:{port:04X}")];
    std::fs::read_to_string(table).unwrap_or_default().lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields
            .next()
            .is_some_and(|local| wanted.iter().any(|wanted| wanted == local))
            && fields.nth(1) == Some(state)
    })
}
