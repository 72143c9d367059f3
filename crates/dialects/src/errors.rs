//! Errors that belong to no handler (unknown paths, panics, oversized bodies), in the style of the dialect whose prefix the
//! path has (contracts section 0.3).

use crate::{native, revrag};
use axum::response::Response;

/// What went wrong outside of any handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No such path.
    NotFound,
    /// The body is larger than any route takes.
    BodyTooLarge,
    /// The request took too long, or its body never came.
    TimedOut,
    /// Our own failure.
    Internal,
}

/// The reply to a request for `path` that failed outside of any handler.
pub fn problem_response(path: &str, problem: Problem) -> Response {
    if revrag::owns(path) {
        revrag::problem_response(problem)
    } else {
        native::problem_response(problem)
    }
}
