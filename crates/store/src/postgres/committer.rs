//! The one committer of a node: a task that takes whatever requests have come while the last flush was running and writes
//! them in one transaction.
//!
//! First it writes the whole batch as if nothing could be refused, one statement per kind of row. If anything is refused,
//! it rolls back and writes transition by transition, each in a savepoint, so that each gets its own result.

use super::apply::{Refusal, apply, failed};
use super::growth::{Growth, analyze};
use super::plan::{Counters, Numbered, chunks};
use crate::meters::{Backend, batch_committed, queue_depth};
use crate::table::{Prepared, Table, Write};
use carillon_interfaces::store::{CommitError, StoreError};
use sqlx::postgres::{PgConnection, PgPool, Postgres};
use sqlx::{Connection, PgTransaction};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Requests that may wait; further ones wait outside, without taking memory here.
const QUEUE: usize = 4096;
/// Transitions in a batch, unless one request alone has more.
const BATCH_TRANSITIONS: usize = 256;
/// How long to wait for an asker of the batch before; the timer has steps of a millisecond.
const LINGER: Duration = Duration::from_millis(1);
/// How often a transition is tried when others are in its way.
const TRIES: usize = 5;
/// Numbers reserved at once for a table of a workspace: a restart leaves a gap of at most so many.
const NUMBER_BLOCK: i64 = 256;

type Results = Vec<Result<(), CommitError>>;

struct Request {
    transitions: Vec<Prepared>,
    reply: oneshot::Sender<Results>,
}

/// The handle of the committer's task. Dropping it ends the task after what is queued.
pub(super) struct Committer {
    queue: Mutex<Option<mpsc::Sender<Request>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Committer {
    pub(super) fn start(pool: PgPool) -> Self {
        let (queue, requests) = mpsc::channel(QUEUE);
        let batches = Batches {
            pool,
            connection: None,
            requests,
            numbers: Numbers::default(),
            growth: Growth::default(),
            askers_before: 1,
        };
        let task = tokio::spawn(batches.run());
        Self {
            queue: Mutex::new(Some(queue)),
            task: Mutex::new(Some(task)),
        }
    }

    /// Writes the transitions and waits until they are durable; one result each.
    pub(super) async fn write(&self, transitions: Vec<Prepared>) -> Result<Results, StoreError> {
        let queue = self
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or_else(stopped)?;
        let (reply, results) = oneshot::channel();
        queue
            .send(Request { transitions, reply })
            .await
            .map_err(|_| stopped())?;
        queue_depth(Backend::Postgres, QUEUE - queue.capacity());
        drop(queue);
        results.await.map_err(|_| stopped())
    }

    /// Takes no more requests and waits for those that are queued.
    pub(super) async fn stop(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the committer of the store failed");
        }
    }
}

fn stopped() -> StoreError {
    StoreError("the committer has stopped".to_owned())
}

/// Numbers that are reserved and not used yet. Those of transitions that failed are not used again.
#[derive(Default)]
struct Numbers {
    /// Next number, and the first one that is not ours.
    reserved: BTreeMap<(Uuid, Table), (i64, i64)>,
}

impl Numbers {
    /// A number for each write of each transition, 0 where none is needed. Reserved in a transaction of its own, so that
    /// nodes do not wait for each other's batches.
    async fn assign(&mut self, pool: &PgPool, batch: &[Prepared]) -> Result<Vec<Vec<i64>>, sqlx::Error> {
        let mut needed: BTreeMap<(Uuid, Table), i64> = BTreeMap::new();
        for (key, _) in batch.iter().flat_map(numbered_writes) {
            *needed.entry(key).or_default() += 1;
        }
        for (key, count) in needed {
            let (next, end) = self.reserved.get(&key).copied().unwrap_or((0, 0));
            if end - next < count {
                self.reserved
                    .insert(key, reserve(pool, key, count.max(NUMBER_BLOCK)).await?);
            }
        }
        let mut all: Vec<Vec<i64>> = batch.iter().map(|prepared| vec![0; prepared.writes.len()]).collect();
        for (prepared, numbers) in batch.iter().zip(&mut all) {
            for (key, index) in numbered_writes(prepared) {
                if let (Some((next, _)), Some(number)) = (self.reserved.get_mut(&key), numbers.get_mut(index)) {
                    *number = *next;
                    *next += 1;
                }
            }
        }
        Ok(all)
    }
}

/// The writes that need a number: of which sequence, and their place in the transition.
fn numbered_writes(prepared: &Prepared) -> impl Iterator<Item = ((Uuid, Table), usize)> {
    prepared
        .writes
        .iter()
        .enumerate()
        .filter_map(|(index, write)| match write {
            Write::Put(row) if row.expected == 0 && row.table.is_numbered() => {
                Some(((prepared.workspace_id, row.table), index))
            }
            _ => None,
        })
}

async fn reserve(pool: &PgPool, (workspace, table): (Uuid, Table), count: i64) -> Result<(i64, i64), sqlx::Error> {
    let end: i64 = sqlx::query_scalar(
        "INSERT INTO sequences AS s (workspace_id, name, next) VALUES ($1, $2, 1 + $3)
         ON CONFLICT (workspace_id, name) DO UPDATE SET next = s.next + $3
         RETURNING s.next",
    )
    .bind(workspace)
    .bind(table.name())
    .bind(count)
    .fetch_one(pool)
    .await?;
    Ok((end - count, end))
}

/// How a batch failed as a whole.
enum Failure {
    /// Before the commit was asked for: nothing is written.
    Before(sqlx::Error),
    /// While it was asked for: nobody knows.
    During(sqlx::Error),
}

/// The committer's task.
struct Batches {
    pool: PgPool,
    connection: Option<sqlx::pool::PoolConnection<Postgres>>,
    requests: mpsc::Receiver<Request>,
    numbers: Numbers,
    growth: Growth,
    /// Requests in the batch before.
    askers_before: usize,
}

impl Batches {
    async fn run(mut self) {
        while let Some(first) = self.requests.recv().await {
            let mut replies = Vec::new();
            let mut batch = Vec::new();
            let mut next = Some(first);
            while let Some(request) = next {
                replies.push((request.reply, request.transitions.len()));
                batch.extend(request.transitions);
                next = if batch.len() < BATCH_TRANSITIONS {
                    self.next_request(replies.len()).await
                } else {
                    None
                };
            }
            self.askers_before = replies.len();
            let started = Instant::now();
            let mut results = self.commit(&batch).await.into_iter();
            batch_committed(Backend::Postgres, batch.len(), started.elapsed());
            for (reply, count) in replies {
                // An asker that went away does not want to know.
                let _gone = reply.send(results.by_ref().take(count).collect());
            }
        }
    }

    async fn next_request(&mut self, askers: usize) -> Option<Request> {
        match self.requests.try_recv() {
            Ok(request) => Some(request),
            Err(_) if askers < self.askers_before => {
                tokio::time::timeout(LINGER, self.requests.recv()).await.ok().flatten()
            }
            Err(_) => None,
        }
    }

    async fn commit(&mut self, batch: &[Prepared]) -> Results {
        let all = |error: &sqlx::Error| vec![Err(failed(error)); batch.len()];
        let numbers = match self.numbers.assign(&self.pool, batch).await {
            Ok(numbers) => numbers,
            Err(error) => return all(&error),
        };
        let numbered: Vec<Numbered<'_>> = batch.iter().zip(numbers.iter().map(Vec::as_slice)).collect();
        let grown = self.growth.add(batch);
        let mut reconnected = false;
        loop {
            match self.try_commit(&numbered, &grown).await {
                Ok(results) => return results,
                Err(Failure::Before(error)) if !reconnected => {
                    tracing::warn!(%error, "the connection to the store failed; connecting again");
                    self.connection = None;
                    reconnected = true;
                }
                Err(Failure::Before(error) | Failure::During(error)) => {
                    self.connection = None;
                    return all(&error);
                }
            }
        }
    }

    async fn try_commit(&mut self, batch: &[Numbered<'_>], grown: &[Table]) -> Result<Results, Failure> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.pool.acquire().await.map_err(Failure::Before)?),
        };
        if let [transition] = batch {
            return Ok(vec![alone(connection, *transition, grown).await?]);
        }
        match together(connection, batch, grown).await? {
            Some(results) => Ok(results),
            None => one_by_one(connection, batch, grown).await,
        }
    }
}

/// Makes a transaction durable.
async fn end(mut transaction: PgTransaction<'_>, grown: &[Table]) -> Result<(), Failure> {
    analyze(&mut transaction, grown).await.map_err(Failure::Before)?;
    transaction.commit().await.map_err(Failure::During)
}

/// Writes the batch at once. `None`: something was refused and nothing is written.
async fn together(
    connection: &mut PgConnection,
    batch: &[Numbered<'_>],
    grown: &[Table],
) -> Result<Option<Results>, Failure> {
    let mut transaction = connection.begin().await.map_err(Failure::Before)?;
    for chunk in chunks(batch.iter().copied(), Counters::Together) {
        match apply(&mut transaction, &chunk).await {
            Ok(()) => {}
            Err(Refusal::Broken(error)) => return Err(Failure::Before(error)),
            Err(Refusal::Decided(_) | Refusal::Transient(_)) => {
                transaction.rollback().await.map_err(Failure::Before)?;
                return Ok(None);
            }
        }
    }
    end(transaction, grown).await?;
    Ok(Some(vec![Ok(()); batch.len()]))
}

/// Writes a transition that has a transaction to itself.
async fn alone(
    connection: &mut PgConnection,
    transition: Numbered<'_>,
    grown: &[Table],
) -> Result<Result<(), CommitError>, Failure> {
    let mut tries = 0;
    loop {
        let mut transaction = connection.begin().await.map_err(Failure::Before)?;
        let refusal = match apply_all(&mut transaction, transition).await {
            Ok(()) => {
                end(transaction, grown).await?;
                return Ok(Ok(()));
            }
            Err(Refusal::Broken(error)) => return Err(Failure::Before(error)),
            Err(refusal) => refusal,
        };
        transaction.rollback().await.map_err(Failure::Before)?;
        tries += 1;
        match refusal {
            Refusal::Transient(_) if tries < TRIES => {}
            refusal => return Ok(Err(refusal.into_commit_error())),
        }
    }
}

/// Writes transition by transition, each in a savepoint, with one commit at the end.
async fn one_by_one(
    connection: &mut PgConnection,
    batch: &[Numbered<'_>],
    grown: &[Table],
) -> Result<Results, Failure> {
    let mut transaction = connection.begin().await.map_err(Failure::Before)?;
    let mut results = Vec::with_capacity(batch.len());
    for transition in batch {
        results.push(in_savepoint(&mut transaction, *transition).await?);
    }
    end(transaction, grown).await?;
    Ok(results)
}

async fn in_savepoint(
    outer: &mut PgTransaction<'_>,
    transition: Numbered<'_>,
) -> Result<Result<(), CommitError>, Failure> {
    let mut tries = 0;
    loop {
        let mut savepoint = outer.begin().await.map_err(Failure::Before)?;
        let refusal = match apply_all(&mut savepoint, transition).await {
            Ok(()) => {
                savepoint.commit().await.map_err(Failure::Before)?;
                return Ok(Ok(()));
            }
            Err(Refusal::Broken(error)) => return Err(Failure::Before(error)),
            Err(refusal) => refusal,
        };
        savepoint.rollback().await.map_err(Failure::Before)?;
        tries += 1;
        match refusal {
            Refusal::Transient(_) if tries < TRIES => {}
            refusal => return Ok(Err(refusal.into_commit_error())),
        }
    }
}

async fn apply_all(db: &mut PgConnection, transition: Numbered<'_>) -> Result<(), Refusal> {
    for chunk in chunks([transition], Counters::Apart) {
        apply(db, &chunk).await?;
    }
    Ok(())
}
