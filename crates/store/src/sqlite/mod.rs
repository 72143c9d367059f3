//! The store in one SQLite file: one writer thread with group commit, a few readers, one process at a time.
//!
//! A commit is answered after `COMMIT` returned with `synchronous=FULL`, that is, after the write-ahead log is on disk.

mod apply;
mod large;
mod lock;
mod reads;
mod schema;
mod writer;

use crate::error::OpenError;
use lock::FileLock;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use writer::Writer;

/// Readers at once. Reads are short, and two cores have no use for more.
const READERS: usize = 4;
/// Statements that each connection keeps prepared: more than there are.
const CACHED_STATEMENTS: usize = 128;
/// How long to wait for another program that holds the file, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The store in one SQLite file.
pub struct SqliteStore {
    path: PathBuf,
    // The writer goes before the lock: its thread has ended when another process may come.
    writer: Writer,
    readers: Arc<Readers>,
    _lock: FileLock,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the database at `path`, makes it if it is missing, and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// [`OpenError::InUse`] if another process has it open, [`OpenError::NewerSchema`] if a newer program wrote it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        make_file(path)?;
        let lock = FileLock::take(path)?;
        let mut connection = connect(path)?;
        schema::migrate(&mut connection)?;
        large::recover(&mut connection)?;
        let writer = Writer::start(connection)?;
        let readers = (0..READERS)
            .map(|_| connect_reader(path))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            path: path.to_owned(),
            writer,
            readers: Arc::new(Readers::new(readers)),
            _lock: lock,
        })
    }

    /// The value of `PRAGMA synchronous` of the writer as SQLite reports it: 2 is FULL.
    pub fn synchronous(&self) -> i64 {
        self.writer.synchronous()
    }
}

/// Makes the file and its folder, readable for its owner alone: the store holds numbers and passwords.
fn make_file(path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::File {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(failed)
}

fn connect(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    // Without it SQLite compiles each statement with a bound LIMIT anew each time, to plan for that very limit.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenError::NoWal {
            path: path.to_owned(),
            mode,
        });
    }
    // Checkpoints copy at most 16 MB at a time; savepoints of large pushes stay in memory.
    connection.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 4000;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA cache_size = -32000;
         PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}

pub(crate) fn connect_reader(path: &Path) -> Result<Connection, OpenError> {
    let connection = connect(path)?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -8000;")?;
    Ok(connection)
}

/// Connections that are not reading at the moment, and as many permits.
struct Readers {
    idle: Mutex<Vec<Connection>>,
    free: Arc<Semaphore>,
}

impl Readers {
    fn new(connections: Vec<Connection>) -> Self {
        Self {
            free: Arc::new(Semaphore::new(connections.len())),
            idle: Mutex::new(connections),
        }
    }

    fn take(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put_back(&self, connection: Connection) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
    }
}
