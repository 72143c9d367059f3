//! Pushes of many records, written piece by piece with other commits between the pieces.
//!
//! Written in one go, 10,000 records hold the one writer for more than a tenth of a second, and every call waits for it.
//! Here they are first written down as they came, in the journal `large_pushes`, then moved to their table; a piece leaves
//! the journal with the commit that moves it. The push is answered when its last piece is durable. It stays all or nothing:
//! at the next start a journal that is not whole is thrown away, and a whole one is moved to its end. Only that others may
//! see its first records before its last ones is different from a single commit.

use super::apply::{Numbers, apply, failed};
use crate::error::OpenError;
use crate::table::{Prepared, Row, Table, Write};
use carillon_domain::ids::WorkspaceId;
use carillon_domain::record::Record;
use carillon_domain::transition::{Change, Transition};
use carillon_interfaces::store::{CommitError, StoreError};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Records from which on a push is written in pieces.
pub(super) const LARGE: usize = 1_000;
/// Records in a piece: a few milliseconds of work.
const PIECE: usize = 250;

/// A push that is being written.
pub(super) struct LargePush {
    id: Uuid,
    pieces: Vec<Prepared>,
    /// How far it is in the transaction that is open, and where it was before that.
    progress: Progress,
    durable: Progress,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    /// Pieces in the journal, or moved from there already.
    journalled: usize,
    moved: usize,
}

/// Whether a transition is nothing but many new records.
pub(super) fn is_large(prepared: &Prepared) -> bool {
    prepared.writes.len() >= LARGE && prepared.writes.iter().all(|write| new_record(write).is_some())
}

fn new_record(write: &Write) -> Option<&Row> {
    match write {
        Write::Put(row) if row.table == Table::Records && row.expected == 0 => Some(row),
        _ => None,
    }
}

impl LargePush {
    /// Begins with a transition that [`is_large`].
    ///
    /// # Errors
    ///
    /// [`CommitError::Conflict`] if it has an id twice.
    pub(super) fn new(prepared: Prepared) -> Result<Self, CommitError> {
        let workspace_id = prepared.workspace_id;
        let mut ids = BTreeSet::new();
        for row in prepared.writes.iter().filter_map(new_record) {
            if !ids.insert(row.id) {
                return Err(row.conflict());
            }
        }
        let mut pieces = Vec::with_capacity(prepared.writes.len().div_ceil(PIECE));
        let mut writes = prepared.writes.into_iter();
        loop {
            let piece: Vec<Write> = writes.by_ref().take(PIECE).collect();
            if piece.is_empty() {
                break;
            }
            pieces.push(Prepared {
                workspace_id,
                writes: piece,
            });
        }
        Ok(Self {
            id: ids.first().copied().unwrap_or_default(),
            pieces,
            progress: Progress::default(),
            durable: Progress::default(),
        })
    }

    /// Writes one more piece, inside the transaction that is open.
    ///
    /// # Errors
    ///
    /// [`CommitError::Conflict`] if a record exists already.
    pub(super) fn step(&mut self, connection: &Connection, numbers: &mut Numbers) -> Result<(), CommitError> {
        let Progress { journalled, moved } = self.progress;
        if let Some(piece) = self.pieces.get(journalled) {
            self.journal(connection, journalled, piece)?;
            self.progress.journalled += 1;
        } else if let Some(piece) = self.pieces.get(moved) {
            apply(connection, numbers, piece)?;
            connection
                .prepare_cached("DELETE FROM large_pushes WHERE push_id = ?1 AND piece = ?2")
                .and_then(|mut statement| statement.execute(params![self.id.as_bytes(), moved as i64]))
                .map_err(|error| failed(&error))?;
            self.progress.moved += 1;
        }
        Ok(())
    }

    fn journal(&self, connection: &Connection, number: usize, piece: &Prepared) -> Result<(), CommitError> {
        let workspace = piece.workspace_id;
        let mut docs = String::from("[");
        for row in piece.writes.iter().filter_map(new_record) {
            let exists = connection
                .prepare_cached("SELECT 1 FROM records WHERE workspace_id = ?1 AND id = ?2")
                .and_then(|mut statement| statement.exists(params![workspace.as_bytes(), row.id.as_bytes()]))
                .map_err(|error| failed(&error))?;
            if exists {
                return Err(row.conflict());
            }
            if docs.len() > 1 {
                docs.push(',');
            }
            docs.push_str(&row.doc);
        }
        docs.push(']');
        connection
            .prepare_cached(
                "INSERT INTO large_pushes (push_id, piece, pieces, workspace_id, docs) VALUES (?1, ?2, ?3, ?4, ?5)",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    self.id.as_bytes(),
                    number as i64,
                    self.pieces.len() as i64,
                    workspace.as_bytes(),
                    docs
                ])
            })
            .map(drop)
            .map_err(|error| failed(&error))
    }

    /// Whether nothing is left to write.
    pub(super) fn is_done(&self) -> bool {
        self.progress.moved == self.pieces.len()
    }

    /// The transaction is durable.
    pub(super) fn committed(&mut self) {
        self.durable = self.progress;
    }

    /// The transaction was rolled back. Returns whether the push has to go on all the same: its journal is whole and durable.
    pub(super) fn rolled_back(&mut self) -> bool {
        self.progress = self.durable;
        self.durable.journalled == self.pieces.len()
    }

    /// Throws its journal away.
    pub(super) fn forget(&self, connection: &Connection) -> rusqlite::Result<()> {
        forget(connection, self.id)
    }
}

fn forget(connection: &Connection, push: Uuid) -> rusqlite::Result<()> {
    connection
        .execute("DELETE FROM large_pushes WHERE push_id = ?1", [push.as_bytes()])
        .map(drop)
}

/// Brings the pushes of an earlier process to their end: whole journals are moved, others thrown away.
pub(super) fn recover(connection: &mut Connection) -> Result<(), OpenError> {
    loop {
        let next = connection
            .query_row(
                "SELECT push_id, workspace_id, pieces, max(piece) FROM large_pushes GROUP BY push_id LIMIT 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?)),
            )
            .optional()?;
        let Some((push, workspace, pieces, last)) = next else {
            return Ok(());
        };
        let (push, workspace) = (Uuid::from_bytes(push), Uuid::from_bytes(workspace));
        let transaction = connection.transaction()?;
        if last + 1 == pieces {
            tracing::warn!(%push, "a push of an earlier run is brought to its end");
            let mut numbers = Numbers::default();
            for docs in journalled(&transaction, push)? {
                let piece = piece(WorkspaceId::new(workspace), &docs)?;
                apply(&transaction, &mut numbers, &piece).map_err(|error| OpenError::Push(error.to_string()))?;
            }
            numbers.save(&transaction)?;
        }
        forget(&transaction, push)?;
        transaction.commit()?;
    }
}

fn journalled(connection: &Connection, push: Uuid) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare("SELECT docs FROM large_pushes WHERE push_id = ?1 ORDER BY piece")?
        .query_map([push.as_bytes()], |row| row.get(0))?
        .collect()
}

fn piece(workspace: WorkspaceId, docs: &str) -> Result<Prepared, OpenError> {
    let bad = |error: String| OpenError::Push(error);
    let records: Vec<Record> = serde_json::from_str(docs).map_err(|error| bad(error.to_string()))?;
    let mut transition = Transition::new(workspace);
    for record in records {
        // As it was before it was written: the journal has the form that is stored.
        let new = Record { version: 0, ..record };
        transition = transition.with(Change::PutRecord(Box::new(new)));
    }
    Prepared::new(transition).map_err(|error| bad(error.to_string()))
}

/// The error of a push whose records cannot be moved, which no retry would help.
pub(super) fn is_hopeless(error: &CommitError) -> bool {
    !matches!(error, CommitError::Store(StoreError(_)))
}
