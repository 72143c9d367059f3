//! RevRag's errors: `{"detail": …}` (campaign page, "Common Errors", "Example error body").

use crate::Problem;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use carillon_interfaces::store::StoreError;
use serde::Serialize;
use serde_json::{Value, json};

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RevragError {
    /// 401.
    Unauthorized,
    /// 404: what is not there, such as `Campaign`.
    NotFound(&'static str),
    /// 404 for a path that is none of theirs.
    UnknownPath,
    /// 405.
    MethodNotAllowed,
    /// 400, with this text.
    BadRequest(String),
    /// 422: the places that do not fit the schema.
    Invalid(Vec<Invalid>),
    /// 413.
    TooLarge,
    /// 408.
    TimedOut,
    /// 500. The cause goes to the log only.
    Internal,
}

/// A place in a request that does not fit the schema. Vendors of this family answer with a list of these.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Invalid {
    /// A word for programs, such as `missing`.
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    /// The way to the place: `["body", "records", 3, "phone_number"]`.
    pub(super) loc: Vec<Value>,
    /// A sentence for people.
    pub(super) msg: String,
    /// What was there.
    pub(super) input: Value,
}

/// Most places named in one answer: a broken client may break 10,000 records at once.
pub(super) const INVALID_PLACES_MAX: usize = 100;

/// Longest input echoed, in bytes of JSON.
const ECHO_BYTES_MAX: usize = 1_024;

impl Invalid {
    /// A place and what is wrong with it. Long inputs are left out of the echo.
    pub(super) fn new(kind: &'static str, loc: Vec<Value>, msg: impl Into<String>, input: &Value) -> Self {
        Self {
            kind,
            loc,
            msg: msg.into(),
            input: echo(input),
        }
    }
}

fn echo(input: &Value) -> Value {
    let short = match input {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => text.len() <= ECHO_BYTES_MAX,
        // Judged before it is written out, so that a huge array costs nothing.
        Value::Array(items) => items.len() <= 32 && input.to_string().len() <= ECHO_BYTES_MAX,
        Value::Object(fields) => fields.len() <= 32 && input.to_string().len() <= ECHO_BYTES_MAX,
    };
    if short { input.clone() } else { Value::Null }
}

impl From<StoreError> for RevragError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a RevRag request failed");
        Self::Internal
    }
}

impl From<Problem> for RevragError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::NotFound => Self::UnknownPath,
            Problem::BodyTooLarge => Self::TooLarge,
            Problem::TimedOut => Self::TimedOut,
            Problem::Internal => Self::Internal,
        }
    }
}

impl IntoResponse for RevragError {
    fn into_response(self) -> Response {
        let text = |status: StatusCode, text: String| (status, json!(text));
        let (status, detail) = match self {
            Self::Unauthorized => text(StatusCode::UNAUTHORIZED, "Invalid or missing API key".to_owned()),
            Self::NotFound(what) => text(StatusCode::NOT_FOUND, format!("{what} not found")),
            Self::UnknownPath => text(StatusCode::NOT_FOUND, "Not Found".to_owned()),
            Self::MethodNotAllowed => text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed".to_owned()),
            Self::BadRequest(why) => text(StatusCode::BAD_REQUEST, why),
            Self::Invalid(places) => (StatusCode::UNPROCESSABLE_ENTITY, json!(places)),
            Self::TooLarge => text(
                StatusCode::PAYLOAD_TOO_LARGE,
                "Request body is too large: at most 16 MiB.".to_owned(),
            ),
            Self::TimedOut => text(StatusCode::REQUEST_TIMEOUT, "The request took too long.".to_owned()),
            Self::Internal => text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error".to_owned()),
        };
        (status, Json(json!({ "detail": detail }))).into_response()
    }
}
