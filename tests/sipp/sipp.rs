//! SIPp (Debian's `sip-tester`) as a process: the far end of a test. Test crates include this file by `#[path]`.

use carillon_domain::trunk::Transport;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

/// SIPp gives up by itself before this.
const VERDICT_WITHIN: Duration = Duration::from_secs(20);

/// The folder of the scenarios, seen from any crate of the workspace.
fn folder() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = crate_folder
        .ancestors()
        .find(|folder| folder.join("tests/sipp/sipp.rs").exists());
    root.expect("the test's crate lies in the workspace").join("tests/sipp")
}

/// SIPp playing one scenario for one call.
pub struct Sipp {
    child: Child,
    pub addr: SocketAddr,
    name: String,
}

impl Sipp {
    /// Starts SIPp as the called side and waits until its socket is there.
    pub async fn answer_with(scenario: &str, transport: Transport, calls: u32) -> Self {
        let file = folder().join(format!("{scenario}.xml"));
        assert!(file.exists(), "{} is missing", file.display());
        let mut attempts = 0;
        loop {
            attempts += 1;
            let port = free_port();
            let media = free_port();
            let mut command = Command::new("sipp");
            command
                .arg("-sf")
                .arg(&file)
                .args(["-i", "127.0.0.1", "-p", &port.to_string(), "-mp", &media.to_string()])
                .args(["-t", if transport == Transport::Tcp { "t1" } else { "u1" }])
                .args([
                    "-m",
                    &calls.to_string(),
                    "-nostdin",
                    "-timeout",
                    "15s",
                    "-timeout_error",
                    "-trace_err",
                ])
                .args(["-error_file", "/dev/stderr"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .kill_on_drop(true);
            let mut child = command.spawn().expect("Debian's sip-tester provides sipp");
            let deadline = Instant::now() + Duration::from_secs(5);
            while Instant::now() < deadline {
                if is_bound(port, transport) {
                    let addr = SocketAddr::from(([127, 0, 0, 1], port));
                    return Self {
                        child,
                        addr,
                        name: scenario.to_owned(),
                    };
                }
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert!(attempts < 5, "SIPp does not start with {scenario}");
        }
    }

    /// Waits for SIPp's verdict.
    pub async fn finish(mut self) {
        let mut stderr = self.child.stderr.take().unwrap();
        let mut errors = String::new();
        let verdict = tokio::time::timeout(VERDICT_WITHIN, async {
            let _ = stderr.read_to_string(&mut errors).await;
            self.child.wait().await
        });
        let status = verdict
            .await
            .unwrap_or_else(|_| panic!("SIPp never ended {}", self.name))
            .unwrap();
        assert!(
            status.success(),
            "SIPp is not content with {}: {status}\n{errors}",
            self.name
        );
    }
}

/// A UDP port that was free a moment ago, and whose TCP twin is too.
pub fn free_port() -> u16 {
    loop {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Whether somebody is bound to a loopback port, by the kernel's tables: asking so disturbs nobody.
fn is_bound(port: u16, transport: Transport) -> bool {
    let (table, state) = match transport {
        Transport::Udp => ("/proc/net/udp", "07"),
        Transport::Tcp => ("/proc/net/tcp", "0A"),
    };
    let wanted = format!("0100007F:{port:04X}");
    std::fs::read_to_string(table).unwrap_or_default().lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(&wanted) && fields.nth(1) == Some(state)
    })
}
