//! Getting transitions ready for a writer, and their results back in order.

use crate::table::Prepared;
use carillon_domain::transition::Transition;
use carillon_interfaces::store::{CommitError, StoreError};

/// Transitions from this many changes on are prepared off the async threads: 10,000 records take tens of milliseconds.
const LARGE: usize = 256;

/// [`Prepared::new`], kept off the async threads when the transition is large.
pub(crate) async fn prepare(transition: Transition) -> Result<Prepared, CommitError> {
    if transition.changes.len() < LARGE {
        return Prepared::new(transition);
    }
    tokio::task::spawn_blocking(move || Prepared::new(transition))
        .await
        .map_err(|error| StoreError(format!("preparing a transition: {error}")))?
}

/// The only result of a request of one.
pub(crate) fn only(results: Vec<Result<(), CommitError>>) -> Result<(), CommitError> {
    results.into_iter().next().unwrap_or_else(|| Err(no_result()))
}

fn no_result() -> CommitError {
    CommitError::Store(StoreError("the writer gave no result".to_owned()))
}

/// Results of several transitions, those that could not be prepared already among them.
pub(crate) struct Results {
    results: Vec<Result<(), CommitError>>,
    /// Where the results of those that could be prepared belong.
    open: Vec<usize>,
}

/// Prepares what can be prepared.
pub(crate) async fn prepare_many(transitions: Vec<Transition>) -> (Results, Vec<Prepared>) {
    let mut results = Vec::with_capacity(transitions.len());
    let mut open = Vec::with_capacity(transitions.len());
    let mut ready = Vec::with_capacity(transitions.len());
    for transition in transitions {
        match prepare(transition).await {
            Ok(prepared) => {
                open.push(results.len());
                ready.push(prepared);
                results.push(Err(no_result()));
            }
            Err(error) => results.push(Err(error)),
        }
    }
    (Results { results, open }, ready)
}

impl Results {
    /// All results in the order of the transitions, with what the writer said.
    pub(crate) fn with(
        mut self,
        written: Result<Vec<Result<(), CommitError>>, StoreError>,
    ) -> Vec<Result<(), CommitError>> {
        let written = written.unwrap_or_else(|error| vec![Err(CommitError::Store(error)); self.open.len()]);
        for (place, result) in self.open.into_iter().zip(written) {
            if let Some(open) = self.results.get_mut(place) {
                *open = result;
            }
        }
        self.results
    }
}

/// The error of a write that has no other reason to be refused.
pub(crate) fn store_error(error: CommitError) -> StoreError {
    match error {
        CommitError::Store(error) => error,
        other => StoreError(other.to_string()),
    }
}
