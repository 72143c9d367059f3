//! Our own API.
use crate::{DialectState, Problem, RecordingUrls};
use axum::Router;
use axum::response::{IntoResponse, Response};
use carillon_domain::call::Call;
use carillon_domain::pii::Secret;
use carillon_interfaces::event_renderer::{RenderContext, RenderedEvent};

pub(crate) fn problem_response(problem: Problem) -> Response {
    let _ = problem;
    ().into_response()
}
pub(crate) fn router(_state: DialectState) -> Router {
    Router::new()
}
pub(crate) fn render_call_ended(_: &Call, _: &RenderContext<'_>, _: &RecordingUrls) -> Option<RenderedEvent> {
    None
}
pub(crate) fn signature_headers(_: &Secret, _: &str, _: &str, _: &str) -> [(&'static str, String); 3] {
    [("", String::new()), ("", String::new()), ("", String::new())]
}

/// An error in the style of our own API.
pub fn native_error(status: axum::http::StatusCode, code: &str, message: &str) -> Response {
    (status, axum::Json(serde_json::json!({"error": {"code": code, "message": message}}))).into_response()
}
