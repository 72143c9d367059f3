//! The one writer: a thread that takes whatever requests have come while the disk was busy, runs them in one transaction,
//! each transition of several rows in a savepoint of its own, and answers when that transaction is durable.
//!
//! A batch closes when the queue is empty, so a lone commit waits for nothing; or when it holds [`BATCH_TRANSITIONS`]; or
//! when it is [`BATCH_TIME`] old and twice as old as the last flush took, so that at most a third of the time goes into
//! flushing when there is much to do. After a batch of several requests the writer lingers a moment for the same askers to come again,
//! or two halves of them would take turns, each paying for a disk flush of its own.
//!
//! A push of very many records is no part of a batch: it is written in pieces between batches (`large`), at least one piece
//! after each batch, and more only while nobody waits.

use super::apply::{Numbers, apply, failed};
use super::large::{LargePush, is_hopeless, is_large};
use crate::error::OpenError;
use crate::meters::{Backend, batch_committed, queue_depth};
use crate::table::Prepared;
use carillon_interfaces::store::{CommitError, StoreError};
use rusqlite::Connection;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Requests that may wait; further ones wait outside, without taking memory here.
const QUEUE: usize = 4096;
/// Transitions in a batch, unless one request alone has more.
const BATCH_TRANSITIONS: usize = 256;
/// Age to which a batch may always grow.
const BATCH_TIME: Duration = Duration::from_millis(2);
/// How long to linger for an asker of the batch before: long enough to wake a task, short beside a disk flush.
const LINGER: Duration = Duration::from_micros(300);

/// Longest transaction of pieces of a large push, while nobody waits.
const PIECES_TIME: Duration = Duration::from_millis(20);
/// How long to wait after the disk refused a piece of a push that must go on.
const PIECE_RETRY: Duration = Duration::from_millis(250);

type Results = Vec<Result<(), CommitError>>;

struct Request {
    transitions: Vec<Prepared>,
    reply: oneshot::Sender<Results>,
    _place: OwnedSemaphorePermit,
}

/// The handle of the writer's thread. Dropping it ends the thread after what is queued.
pub(super) struct Writer {
    queue: Option<SyncSender<Request>>,
    places: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
    synchronous: i64,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self, OpenError> {
        let synchronous = connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
        let (queue, requests) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || {
                Batches {
                    connection,
                    requests,
                    numbers: Numbers::default(),
                    next: None,
                    large: VecDeque::new(),
                    disk_failed: false,
                    askers_before: 1,
                    flush_before: Duration::ZERO,
                }
                .run()
            })
            .map_err(|source| OpenError::File {
                path: "sqlite-writer".into(),
                source,
            })?;
        Ok(Self {
            queue: Some(queue),
            places: Arc::new(Semaphore::new(QUEUE)),
            thread: Some(thread),
            synchronous,
        })
    }

    pub(super) const fn synchronous(&self) -> i64 {
        self.synchronous
    }

    /// Writes the transitions and waits until they are durable; one result each.
    pub(super) async fn write(&self, transitions: Vec<Prepared>) -> Result<Results, StoreError> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| stopped())?;
        queue_depth(Backend::Sqlite, QUEUE - self.places.available_permits());
        let (reply, results) = oneshot::channel();
        let request = Request {
            transitions,
            reply,
            _place: place,
        };
        // A permit is held, so there is room and this does not block.
        self.queue
            .as_ref()
            .ok_or_else(stopped)?
            .send(request)
            .map_err(|_| stopped())?;
        results.await.map_err(|_| stopped())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer thread of the store panicked");
        }
    }
}

fn stopped() -> StoreError {
    StoreError("the writer has stopped".to_owned())
}

/// The writer's thread.
struct Batches {
    connection: Connection,
    requests: Receiver<Request>,
    numbers: Numbers,
    /// A request that was taken from the queue to see whether somebody waits.
    next: Option<Request>,
    large: VecDeque<(LargePush, Request)>,
    /// The last piece of a large push was refused.
    disk_failed: bool,
    /// Requests in the batch before.
    askers_before: usize,
    /// How long its flush took.
    flush_before: Duration,
}

/// Requests that were run and are not durable yet.
#[derive(Default)]
struct Batch {
    answers: Vec<(oneshot::Sender<Results>, Results)>,
    transitions: usize,
}

impl Batches {
    fn run(mut self) {
        while let Some(first) = self.first_request() {
            if let Some(first) = first {
                self.write_batch(first);
            }
            self.write_pieces();
        }
    }

    /// The first request of the next batch, `Some(None)` if there is none but pieces wait, or `None` at the end.
    fn first_request(&mut self) -> Option<Option<Request>> {
        loop {
            let request = match self.next.take() {
                Some(request) => request,
                None if self.large.is_empty() => self.requests.recv().ok()?,
                None if self.disk_failed => match self.requests.recv_timeout(PIECE_RETRY) {
                    Ok(request) => request,
                    Err(RecvTimeoutError::Timeout) => return Some(None),
                    // The journal is on disk: the next start brings the push to its end.
                    Err(RecvTimeoutError::Disconnected) => return None,
                },
                None => match self.requests.try_recv() {
                    Ok(request) => request,
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => return Some(None),
                },
            };
            match self.unless_large(request) {
                Some(request) => return Some(Some(request)),
                None if self.large.is_empty() => {}
                None => return Some(None),
            }
        }
    }

    /// The request, unless it is a large push, which is put aside.
    fn unless_large(&mut self, mut request: Request) -> Option<Request> {
        if !matches!(&request.transitions[..], [only] if is_large(only)) {
            return Some(request);
        }
        match request.transitions.pop().map(LargePush::new)? {
            Ok(push) => self.large.push_back((push, request)),
            Err(error) => drop(request.reply.send(vec![Err(error)])),
        }
        None
    }

    /// Writes pieces of the oldest large push in a transaction of their own: one, and more while nobody waits.
    fn write_pieces(&mut self) {
        let Some((mut push, request)) = self.large.pop_front() else {
            return;
        };
        let started = Instant::now();
        let mut written = self
            .connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(|error| failed(&error));
        while written.is_ok() {
            written = push.step(&self.connection, &mut self.numbers);
            if push.is_done() || started.elapsed() >= PIECES_TIME || self.is_awaited() {
                break;
            }
        }
        let ended = match written {
            Ok(()) => self.end(),
            Err(error) => {
                self.roll_back();
                Err(error)
            }
        };
        batch_committed(Backend::Sqlite, usize::from(push.is_done()), started.elapsed());
        self.disk_failed = false;
        match ended {
            Ok(()) => {
                push.committed();
                if push.is_done() {
                    let _gone = request.reply.send(vec![Ok(())]);
                } else {
                    self.large.push_front((push, request));
                }
            }
            Err(error) if push.rolled_back() && !is_hopeless(&error) => {
                tracing::warn!(%error, "a piece of a large push could not be written; it will be tried again");
                self.disk_failed = true;
                self.large.push_front((push, request));
            }
            Err(error) => {
                if let Err(error) = push.forget(&self.connection) {
                    tracing::warn!(%error, "the journal of a refused push is thrown away at the next start only");
                }
                let _gone = request.reply.send(vec![Err(error)]);
            }
        }
    }

    /// Whether a request waits. It is kept for the next batch.
    fn is_awaited(&mut self) -> bool {
        if self.next.is_none() {
            self.next = self.requests.try_recv().ok();
        }
        self.next.is_some()
    }

    fn write_batch(&mut self, first: Request) {
        let started = Instant::now();
        let mut batch = Batch::default();
        let close_at = started + BATCH_TIME.max(self.flush_before * 2);
        let begun = self
            .connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(|error| failed(&error));
        self.collect(&mut batch, first, close_at, begun.clone());
        let collected = Instant::now();
        let end = begun.and_then(|()| self.end());
        self.flush_before = collected.elapsed();
        self.askers_before = batch.answers.len();
        batch_committed(Backend::Sqlite, batch.transitions, started.elapsed());
        batch.answer(end);
    }

    fn collect(&mut self, batch: &mut Batch, first: Request, close_at: Instant, begun: Result<(), CommitError>) {
        let mut next = Some(first);
        while let Some(request) = next {
            let results = match &begun {
                Ok(()) => request
                    .transitions
                    .iter()
                    .map(|transition| self.run_one(transition))
                    .collect(),
                Err(error) => vec![Err(error.clone()); request.transitions.len()],
            };
            batch.transitions += request.transitions.len();
            batch.answers.push((request.reply, results));
            next = if batch.transitions < BATCH_TRANSITIONS && Instant::now() < close_at {
                self.next_request(batch.answers.len())
            } else {
                None
            };
        }
    }

    fn next_request(&mut self, askers: usize) -> Option<Request> {
        loop {
            let request = match self.requests.try_recv() {
                Ok(request) => request,
                Err(TryRecvError::Empty) if askers < self.askers_before => self.requests.recv_timeout(LINGER).ok()?,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return None,
            };
            if let Some(request) = self.unless_large(request) {
                return Some(request);
            }
        }
    }

    /// Runs one transition in a savepoint.
    fn run_one(&mut self, transition: &Prepared) -> Result<(), CommitError> {
        // A failure such as a full disk ends the whole transaction. Nothing may be written outside of one.
        if self.connection.is_autocommit() {
            return Err(lost());
        }
        if transition.is_one_row() {
            // SQLite undoes a refused statement by itself. A savepoint would copy every page before it changes.
            return apply(&self.connection, &mut self.numbers, transition);
        }
        self.run_sql("SAVEPOINT transition")?;
        let result = apply(&self.connection, &mut self.numbers, transition);
        if result.is_err() && !self.connection.is_autocommit() {
            self.run_sql("ROLLBACK TO transition")?;
        }
        if !self.connection.is_autocommit() {
            self.run_sql("RELEASE transition")?;
        }
        result
    }

    fn end(&mut self) -> Result<(), CommitError> {
        if self.connection.is_autocommit() {
            self.numbers.forget();
            return Err(lost());
        }
        let end = self.numbers.save(&self.connection).map_err(|error| failed(&error));
        let end = end.and_then(|()| self.run_sql("COMMIT"));
        if end.is_err() {
            self.roll_back();
        }
        end
    }

    fn roll_back(&mut self) {
        self.numbers.forget();
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction could not be rolled back");
        }
    }

    fn run_sql(&self, sql: &str) -> Result<(), CommitError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]))
            .map(drop)
            .map_err(|error| failed(&error))
    }
}

fn lost() -> CommitError {
    CommitError::Store(StoreError("sqlite: the transaction was rolled back".to_owned()))
}

impl Batch {
    /// Answers everybody. A transition that was refused stays refused; if the end failed, all others failed with it.
    fn answer(self, end: Result<(), CommitError>) {
        for (reply, mut results) in self.answers {
            if let Err(error) = &end {
                results
                    .iter_mut()
                    .filter(|result| result.is_ok())
                    .for_each(|result| *result = Err(error.clone()));
            }
            // An asker that went away does not want to know.
            let _gone = reply.send(results);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Write;
    use uuid::Uuid;

    fn counter(name: &str) -> Prepared {
        let write = Write::AddToCounter {
            counter: name.to_owned(),
            add: 1,
            max: None,
            floor: None,
        };
        Prepared {
            workspace_id: Uuid::nil(),
            writes: vec![write],
        }
    }

    fn megabytes(count: usize) -> Prepared {
        let entry = |n| Write::PutDoNotCall {
            phone: format!("+{n}"),
            doc: "x".repeat(1 << 20),
        };
        Prepared {
            workspace_id: Uuid::nil(),
            writes: (0..count).map(entry).collect(),
        }
    }

    /// A database that may grow to about 4 MB, and a second connection to it.
    fn small_disk(folder: &std::path::Path) -> (Writer, Connection) {
        let path = folder.join("carillon.db");
        let connect = || Connection::open(&path).unwrap();
        let mut connection = connect();
        connection.busy_timeout(Duration::from_millis(20)).unwrap();
        let _mode: String = connection
            .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
            .unwrap();
        super::super::schema::migrate(&mut connection).unwrap();
        let _pages: i64 = connection
            .query_row("PRAGMA max_page_count = 1000", [], |row| row.get(0))
            .unwrap();
        (Writer::start(connection).unwrap(), connect())
    }

    fn value(reader: &Connection, name: &str) -> i64 {
        reader
            .query_row(
                "SELECT coalesce(sum(value), 0) FROM counters WHERE name = ?1",
                [name],
                |row| row.get(0),
            )
            .unwrap()
    }

    /// Whatever the results say about the others in the batch, the disk says the same, and the writer goes on.
    #[tokio::test]
    async fn a_full_disk_fails_what_does_not_fit_and_nothing_else_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, reader) = small_disk(folder.path());
        let results = writer
            .write(vec![counter("before"), megabytes(9), counter("after")])
            .await
            .unwrap();
        assert!(matches!(results[1], Err(CommitError::Store(_))), "{results:?}");
        for (name, result) in [("before", &results[0]), ("after", &results[2])] {
            assert_eq!(value(&reader, name), i64::from(result.is_ok()), "{name}: {results:?}");
        }
        let entries: i64 = reader
            .query_row("SELECT count(*) FROM do_not_call", [], |row| row.get(0))
            .unwrap();
        assert_eq!(entries, 0);
        assert_eq!(
            writer.write(vec![counter("later"), megabytes(1)]).await.unwrap(),
            vec![Ok(()), Ok(())]
        );
        assert_eq!(value(&reader, "later"), 1);
    }

    #[tokio::test]
    async fn a_writer_that_is_locked_out_fails_and_recovers() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, reader) = small_disk(folder.path());
        reader.execute_batch("BEGIN IMMEDIATE").unwrap();
        let results = writer.write(vec![counter("n")]).await.unwrap();
        assert!(matches!(results[..], [Err(CommitError::Store(_))]), "{results:?}");
        reader.execute_batch("ROLLBACK").unwrap();
        assert_eq!(writer.write(vec![counter("n")]).await.unwrap(), vec![Ok(())]);
        assert_eq!(value(&reader, "n"), 1);
    }

    #[tokio::test]
    async fn requests_that_come_together_are_flushed_together() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, reader) = small_disk(folder.path());
        reader.execute_batch("BEGIN; SELECT count(*) FROM counters").unwrap();
        let frames = || std::fs::metadata(folder.path().join("carillon.db-wal")).unwrap().len();
        writer.write(vec![counter("n")]).await.unwrap();
        let one = frames();
        let many = (0..200).map(|_| writer.write(vec![counter("n")]));
        assert!(
            futures::future::join_all(many)
                .await
                .into_iter()
                .all(|result| result.unwrap() == vec![Ok(())])
        );
        // Each flush writes the counter's page anew: 200 flushes would have written 200 pages.
        assert!(frames() - one < 100 * 4096, "{} bytes", frames() - one);
        reader.execute_batch("COMMIT").unwrap();
        assert_eq!(value(&reader, "n"), 201);
    }
}
