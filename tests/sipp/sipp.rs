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

/// How SIPp plays a scenario.
pub struct Setting<'a> {
    /// File below `tests/sipp`, without its ending.
    pub scenario: &'a str,
    pub transport: Transport,
    /// Calls that it takes before it ends.
    pub calls: u32,
    /// After these seconds SIPp gives up by itself.
    pub timeout_s: u32,
    /// Where it runs, and finds the RTP packets that a scenario plays.
    pub folder: Option<&'a Path>,
    /// Draws a port that is free for UDP and TCP, and so is the one two after it.
    pub free_port: fn() -> u16,
}

/// SIPp playing one scenario.
pub struct Sipp {
    child: Child,
    pub addr: SocketAddr,
    name: String,
}

impl Sipp {
    /// Starts SIPp as the called side and waits until its socket is there.
    pub async fn start(setting: Setting<'_>) -> Self {
        let Setting {
            scenario, transport, ..
        } = setting;
        let file = folder().join(format!("{scenario}.xml"));
        assert!(file.exists(), "{} is missing", file.display());
        for _ in 0..5 {
            let port = (setting.free_port)();
            let mut command = Command::new("sipp");
            if let Some(folder) = setting.folder {
                command.current_dir(folder);
            }
            command
                .arg("-sf")
                .arg(&file)
                .args(["-i", "127.0.0.1", "-p", &port.to_string()])
                .args(["-mi", "127.0.0.1", "-mp", &(port + 2).to_string()])
                .args(["-t", if transport == Transport::Tcp { "t1" } else { "u1" }])
                .args(["-m", &setting.calls.to_string(), "-nostdin"])
                .args(["-timeout", &format!("{}s", setting.timeout_s), "-timeout_error"])
                .args(["-trace_err", "-error_file", "/dev/stderr"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .kill_on_drop(true);
            let mut child = command
                .spawn()
                .expect("Debian's sip-tester provides sipp; scripts/setup installs it");
            let deadline = Instant::now() + Duration::from_secs(5);
            while Instant::now() < deadline && child.try_wait().expect("a child's state").is_none() {
                if is_bound(port, transport) {
                    return Self {
                        child,
                        addr: SocketAddr::from(([127, 0, 0, 1], port)),
                        name: scenario.to_owned(),
                    };
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        panic!("SIPp does not start with {scenario}");
    }

    /// Starts SIPp with a scenario that needs nothing.
    pub async fn answer_with(scenario: &str, transport: Transport, calls: u32) -> Self {
        Self::start(Setting {
            scenario,
            transport,
            calls,
            timeout_s: 15,
            folder: None,
            free_port,
        })
        .await
    }

    /// Waits for SIPp's verdict, at most this long. `Err`: what it complains of.
    pub async fn verdict(mut self, within: Duration) -> Result<(), String> {
        let mut stderr = self.child.stderr.take().ok_or("SIPp has no output")?;
        let mut errors = String::new();
        let ended = tokio::time::timeout(within, async {
            let _ = stderr.read_to_string(&mut errors).await;
            self.child.wait().await
        });
        match ended.await {
            Err(_) => Err(format!("SIPp still waits in {}: {errors}", self.name)),
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(status) => Err(format!("SIPp is not content with {}: {status:?}\n{errors}", self.name)),
        }
    }

    /// Waits for SIPp's verdict, which must be good.
    pub async fn finish(self) {
        self.verdict(VERDICT_WITHIN)
            .await
            .unwrap_or_else(|complaint| panic!("{complaint}"));
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
pub fn is_bound(port: u16, transport: Transport) -> bool {
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
