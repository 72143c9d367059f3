//! Which calls hold a line, kept up to date by the commits themselves.

use carillon_domain::ids::CallId;
use carillon_domain::transition::{Change, Transition};
use carillon_interfaces::store::{CommitError, LiveCall};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// The set is read anew this often, so that a mistake in keeping it could not hold a line for ever.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// A call after a commit: its version, and its line if it holds one.
pub(super) type CallChange = (CallId, u64, Option<LiveCall>);

/// What a transition says about lines.
pub(super) fn call_changes(transition: &Transition) -> Vec<CallChange> {
    let call = |change: &Change| match change {
        Change::PutCall(call) => {
            let line = call.state.is_live().then(|| LiveCall {
                workspace_id: call.workspace_id,
                call_id: call.id,
                campaign_id: call.campaign_id(),
                trunk_id: call.trunk_id,
            });
            Some((call.id, call.version + 1, line))
        }
        _ => None,
    };
    transition.changes.iter().filter_map(call).collect()
}

/// The calls that hold a line.
#[derive(Default)]
pub(super) struct LiveCalls {
    /// `None`: not read, or in doubt since a write of unknown fate.
    known: Option<(Instant, BTreeMap<CallId, (u64, LiveCall)>)>,
    /// Changes since the read that is under way began: it may have seen them or not.
    since_load: Option<BTreeMap<CallId, (u64, Option<LiveCall>)>>,
}

impl LiveCalls {
    /// All of them, if they are known.
    pub(super) fn known(&self) -> Option<Vec<LiveCall>> {
        let (read_at, calls) = self.known.as_ref()?;
        (read_at.elapsed() < GOOD_FOR).then(|| calls.values().map(|(_, call)| call.clone()).collect())
    }

    /// A commit has ended.
    pub(super) fn note(&mut self, changes: Vec<CallChange>, result: &Result<(), CommitError>) {
        if changes.is_empty() {
            return;
        }
        match result {
            Ok(()) => {}
            // Refused: nothing was written.
            Err(CommitError::Stale(_) | CommitError::Conflict(_) | CommitError::CounterBound(_)) => return,
            // It may have been written all the same.
            Err(CommitError::Store(_)) => {
                self.known = None;
                self.since_load = None;
                return;
            }
        }
        for (id, version, line) in changes {
            if let Some((_, calls)) = &mut self.known
                && calls.get(&id).is_none_or(|(known, _)| *known < version)
            {
                match line.clone() {
                    Some(line) => calls.insert(id, (version, line)),
                    None => calls.remove(&id),
                };
            }
            if let Some(changes) = &mut self.since_load
                && changes.get(&id).is_none_or(|(known, _)| *known < version)
            {
                changes.insert(id, (version, line));
            }
        }
    }

    /// The store is about to be read.
    pub(super) fn begin_load(&mut self) {
        self.since_load = Some(BTreeMap::new());
    }

    /// The store has been read. Returns what is live now.
    pub(super) fn end_load(&mut self, stored: Vec<LiveCall>) -> Vec<LiveCall> {
        // Gone if a write of unknown fate ended meanwhile: what was read is an answer, but nothing to build on.
        let Some(changes) = self.since_load.take() else {
            return stored;
        };
        let mut calls: BTreeMap<CallId, (u64, LiveCall)> =
            stored.into_iter().map(|call| (call.call_id, (0, call))).collect();
        for (id, (version, line)) in changes {
            match line {
                Some(line) => calls.insert(id, (version, line)),
                None => calls.remove(&id),
            };
        }
        let live = calls.values().map(|(_, call)| call.clone()).collect();
        self.known = Some((Instant::now(), calls));
        live
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_domain::ids::WorkspaceId;
    use carillon_interfaces::store::StoreError;
    use uuid::Uuid;

    fn line(id: u128) -> LiveCall {
        LiveCall {
            workspace_id: WorkspaceId::new(Uuid::from_u128(1)),
            call_id: CallId::new(Uuid::from_u128(id)),
            campaign_id: None,
            trunk_id: None,
        }
    }

    fn up(id: u128, version: u64) -> Vec<CallChange> {
        vec![(line(id).call_id, version, Some(line(id)))]
    }

    fn down(id: u128, version: u64) -> Vec<CallChange> {
        vec![(line(id).call_id, version, None)]
    }

    fn loaded(ids: &[u128]) -> LiveCalls {
        let mut live = LiveCalls::default();
        live.begin_load();
        live.end_load(ids.iter().map(|id| line(*id)).collect());
        live
    }

    #[tokio::test(start_paused = true)]
    async fn commits_keep_the_set_up_to_date() {
        let mut live = loaded(&[1, 2]);
        live.note(up(3, 1), &Ok(()));
        live.note(down(1, 4), &Ok(()));
        assert_eq!(live.known(), Some(vec![line(2), line(3)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_commit_changes_nothing() {
        let mut live = loaded(&[1]);
        live.note(down(1, 4), &Err(CommitError::Stale(String::new())));
        live.note(up(2, 1), &Err(CommitError::Conflict(String::new())));
        assert_eq!(live.known(), Some(vec![line(1)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_of_unknown_fate_makes_it_read_anew() {
        let mut live = loaded(&[1]);
        live.note(up(2, 1), &Err(CommitError::Store(StoreError(String::new()))));
        assert_eq!(live.known(), None);
        live.begin_load();
        live.note(up(2, 1), &Err(CommitError::Store(StoreError(String::new()))));
        assert_eq!(live.end_load(vec![line(1)]), [line(1)]);
        assert_eq!(live.known(), None, "the read began before the doubt");
    }

    #[tokio::test(start_paused = true)]
    async fn commits_during_a_read_are_laid_over_it() {
        let mut live = LiveCalls::default();
        live.begin_load();
        live.note(up(3, 1), &Ok(()));
        live.note(down(2, 5), &Ok(()));
        live.note(up(2, 4), &Ok(()));
        assert_eq!(live.end_load(vec![line(1), line(2)]), [line(1), line(3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_set_is_read_anew_after_a_while() {
        let live = loaded(&[1]);
        tokio::time::advance(GOOD_FOR).await;
        assert_eq!(live.known(), None);
    }
}
