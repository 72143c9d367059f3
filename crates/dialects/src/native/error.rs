//! Errors of our own API: `{"error": {"code", "message", "field"?}}`.

use crate::Problem;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use carillon_app::{RemoveRefusal, SaveRefusal};
use carillon_interfaces::store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    field: Option<String>,
}

/// The body of every error.
#[derive(Serialize, ToSchema)]
pub(super) struct ErrorBody {
    error: ErrorDetail,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
pub(super) struct ErrorDetail {
    /// A word for programs, such as `invalid_request`.
    code: String,
    /// A sentence for people.
    message: String,
    /// The place in the request, such as `retry.max_attempts`, where one is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            field: None,
        }
    }

    /// 401.
    pub(super) fn unauthorized() -> Self {
        let message = "send a key of this API as `Authorization: Bearer car_live_…`";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// 404: there is no such `what` in the key's workspace.
    pub(super) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("{what} not found"))
    }

    /// 422 for the request as a whole.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", message)
    }

    /// 422 for one place in it.
    pub(super) fn invalid_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: Some(field.into()),
            ..Self::invalid(message)
        }
    }

    /// 409.
    pub(super) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// 500. The cause goes to the log only.
    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "the server failed; nothing was changed",
        )
    }

    /// 413.
    pub(super) fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            "the request body is too large",
        )
    }

    /// 405.
    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this path does not take that method",
        )
    }

    /// 404 for a path that is none of ours.
    pub(super) fn unknown_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown_path",
            "there is no such path; see /carillon/v1/openapi.json",
        )
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::NotFound => Self::unknown_path(),
            Problem::BodyTooLarge => Self::too_large(),
            Problem::TimedOut => Self::new(StatusCode::REQUEST_TIMEOUT, "timed_out", "the request took too long"),
            Problem::Internal => Self::internal(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a request of our own API failed");
        Self::internal()
    }
}

impl From<RemoveRefusal> for ApiError {
    fn from(refusal: RemoveRefusal) -> Self {
        match refusal {
            RemoveRefusal::InUse(reason) => Self::conflict("in_use", reason),
            RemoveRefusal::Save(refusal) => refusal.into(),
        }
    }
}

impl From<SaveRefusal> for ApiError {
    fn from(refusal: SaveRefusal) -> Self {
        match refusal {
            SaveRefusal::NotFound => Self::new(StatusCode::NOT_FOUND, "not_found", "not found"),
            SaveRefusal::Stale => Self::conflict("stale", refusal.to_string()),
            SaveRefusal::Exists => Self::conflict("exists", refusal.to_string()),
            SaveRefusal::Store(error) => error.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = ErrorDetail {
            code: self.code.to_owned(),
            message: self.message,
            field: self.field,
        };
        (self.status, Json(ErrorBody { error })).into_response()
    }
}

/// An error in the style of our own API, for routes that stand beside it.
pub fn native_error(status: StatusCode, code: &'static str, message: &str) -> Response {
    ApiError::new(status, code, message).into_response()
}
