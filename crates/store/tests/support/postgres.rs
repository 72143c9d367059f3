//! A PostgreSQL server of our own in a temporary folder, reached by a Unix socket. It ends with the test, even if the test
//! is killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Set to 1 where PostgreSQL cannot be installed: tests that need it then do nothing, and say so.
const SKIP: &str = "CARILLON_TEST_NO_POSTGRES";
const OLDEST_VERSION: u32 = 15;
const START_DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    folder: TempDir,
    process: Child,
    databases: AtomicU32,
}

impl Server {
    /// Starts a server with these settings; `None` if tests with PostgreSQL are switched off.
    pub(crate) async fn start(settings: &[&str]) -> Option<Self> {
        if std::env::var(SKIP).is_ok_and(|value| value == "1") {
            tracing::warn!("{SKIP} is set: nothing is tested on PostgreSQL");
            return None;
        }
        let binaries = binaries().unwrap_or_else(|| {
            panic!("PostgreSQL {OLDEST_VERSION} or later is missing: apt-get install postgresql, or set {SKIP}=1")
        });
        let folder = tempfile::tempdir().unwrap();
        give_away(folder.path());
        let data = folder.path().join("data");
        let made = unprivileged(&binaries.join("initdb"))
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=carillon",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ])
            .arg(&data)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let mut server = unprivileged(&binaries.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(folder.path());
        server.args([
            "-c",
            "listen_addresses=",
            "-c",
            "max_connections=400",
            "-c",
            "logging_collector=off",
        ]);
        server.args(settings.iter().flat_map(|setting| ["-c", setting]));
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = server.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let server = Self {
            folder,
            process,
            databases: AtomicU32::new(0),
        };
        server.wait_until_it_listens().await;
        Some(server)
    }

    async fn wait_until_it_listens(&self) {
        let deadline = Instant::now() + START_DEADLINE;
        while let Err(error) = self.administer("SELECT 1").await {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{error}: {log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn administer(&self, sql: &'static str) -> Result<(), sqlx::Error> {
        use sqlx::Connection;
        let mut connection = sqlx::PgConnection::connect(&self.url("postgres")).await?;
        sqlx::raw_sql(sql).execute(&mut connection).await?;
        connection.close().await
    }

    /// The URL of a database of this server.
    pub(crate) fn url(&self, database: &str) -> String {
        format!(
            "postgres://carillon@localhost/{database}?host={}",
            self.folder.path().display()
        )
    }

    /// The URL of a new, empty database.
    pub(crate) async fn new_database(&self) -> String {
        use sqlx::Connection;
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = sqlx::PgConnection::connect(&self.url("postgres")).await.unwrap();
        let sql = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name} STRATEGY file_copy"));
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        self.url(&name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGQUIT is PostgreSQL's immediate shutdown: all its processes end.
        let pid = self.process.id().to_string();
        let told = Command::new("kill").args(["-QUIT", &pid]).status();
        if !told.is_ok_and(|status| status.success()) {
            let _gone = self.process.kill();
        }
        let _ended = self.process.wait();
    }
}

/// The folder with the newest server that is new enough.
fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let newest = versions
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| *version >= OLDEST_VERSION)
        .max()?;
    let folder = Path::new("/usr/lib/postgresql").join(newest.to_string()).join("bin");
    folder.join("postgres").exists().then_some(folder)
}

fn user_id(flag: &str, user: Option<&str>) -> Option<u32> {
    let output = Command::new("id").arg(flag).args(user).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

fn is_root() -> bool {
    user_id("-u", None) == Some(0)
}

/// PostgreSQL refuses to run as root: there it runs as its own user.
fn give_away(folder: &Path) {
    if is_root() {
        std::os::unix::fs::chown(folder, user_id("-u", Some("postgres")), user_id("-g", Some("postgres"))).unwrap();
    }
}

/// A command that ends when we do, without root's rights.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if is_root() {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
    }
    command.arg(program).current_dir("/");
    command
}
