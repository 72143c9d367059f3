//! The real binary as a process, with a data folder that outlives it.

use super::api::Api;
use super::{PATIENCE, ports};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The program under test: the one that was built with these tests, or another that the environment names.
pub(crate) fn carillon() -> PathBuf {
    std::env::var_os("CARILLON_TESTED_PROGRAM")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_carillon")), PathBuf::from)
}

/// A data folder and fixed addresses: what stays when the process dies.
pub(crate) struct Installation {
    pub(crate) data: PathBuf,
    settings: Vec<(String, String)>,
    http_port: u16,
    sip_port: u16,
    _folder: TempDir,
}

impl Installation {
    /// A live installation without the built-in far end, in a temporary folder.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        let settings = [
            ("CARILLON_WORKSPACE__MODE", "live"),
            ("CARILLON_SANDBOX__LISTEN", ""),
            ("CARILLON_WEBHOOKS__ALLOW_TARGETS", "127.0.0.1"),
            ("CARILLON_WEBHOOKS__TIMEOUT_S", "3"),
            ("CARILLON_SERVER__SHUTDOWN_GRACE_S", "1"),
            ("CARILLON_SPEECH__ENABLED", "false"),
            ("CARILLON_LOG__FILTER", "info"),
        ];
        Self {
            data,
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            http_port: ports::free(),
            sip_port: ports::free(),
            _folder: folder,
        }
    }

    /// Changes a setting of every later start.
    pub(crate) fn with(mut self, variable: &str, value: &str) -> Self {
        self.settings.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// Where it signals.
    pub(crate) fn sip_addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.sip_port))
    }

    /// Where the process writes what it says.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    /// The command that starts it.
    pub(crate) fn command(&self, variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(carillon());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CARILLON_") {
                command.env_remove(name);
            }
        }
        command
            .args(["--json", "serve", "--data"])
            .arg(&self.data)
            .args(["--listen", &format!("127.0.0.1:{}", self.http_port)])
            .args(["--sip-listen", &format!("127.0.0.1:{}", self.sip_port)])
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .envs(variables.iter().copied())
            .stdin(Stdio::null());
        command
    }

    /// Starts the server and waits for the line in which it says where it listens.
    pub(crate) async fn start(&self) -> Server {
        self.start_with(&[]).await
    }

    /// Starts it with more variables, such as a failpoint.
    pub(crate) async fn start_with(&self, variables: &[(&str, &str)]) -> Server {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("a log file");
        let mut child = self
            .command(variables)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("carillon starts");
        let stdout = child.stdout.take().expect("its output");
        let first_line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).map(|_| line)
        });
        let line = tokio::time::timeout(PATIENCE, first_line).await;
        let server = |api| Server {
            api,
            child,
            log: self.log_path(),
        };
        let line = match line {
            Ok(Ok(Ok(line))) if line.starts_with('{') => line,
            other => {
                let server = server(Api::nowhere());
                panic!(
                    "carillon did not say where it listens: {other:?}\n{}",
                    server.log_tail()
                );
            }
        };
        let said: Value = serde_json::from_str(&line).expect("one line of JSON");
        let base_url = said["listening"]
            .as_str()
            .unwrap_or_else(|| panic!("carillon says {line}"))
            .to_owned();
        server(Api::with_credentials_of(&self.data, base_url))
    }
}

/// A running server. Dropped, it is killed.
pub(crate) struct Server {
    pub(crate) api: Api,
    child: Child,
    log: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill_now();
        if std::thread::panicking() {
            // The one thing that helps whoever reads a failed test.
            std::io::Write::write_all(&mut std::io::stderr(), self.log_tail().as_bytes()).unwrap_or_default();
        }
    }
}

impl Server {
    /// Ends it as `kill -9` does.
    pub(crate) fn kill_now(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop and waits for the end.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        signal(self.child.id(), "-TERM");
        self.wait_for_end().await
    }

    /// Waits until it ends by itself.
    pub(crate) async fn wait_for_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child's state") {
                return status;
            }
            assert!(Instant::now() < deadline, "carillon does not end\n{}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a failpoint kills it.
    pub(crate) async fn wait_for_kill(&mut self) {
        let status = self.wait_for_end().await;
        assert_eq!(
            status.signal(),
            Some(9),
            "carillon was to be killed, but {status}\n{}",
            self.log_tail()
        );
    }

    /// The last lines of its log.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log)
    }
}

/// The last lines of a file.
pub(crate) fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(60);
    format!("--- {} ---\n{}\n", path.display(), lines[from..].join("\n"))
}

fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").args([name, &pid.to_string()]).status();
}
