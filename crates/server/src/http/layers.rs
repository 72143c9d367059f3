//! Layers that every request passes: request ids, one line in the log, panics, limits.

use axum::extract::{MatchedPath, Request};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use carillon_dialects::{Problem, problem_response};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};
use tracing::Instrument;
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_CHARACTERS_MAX: usize = 64;

/// A request that is not answered by then is given up: its body never came, or something hangs.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Gives the request an id (the client's own, if it is a sane one), turns a panic into a reply, counts and logs.
pub(crate) async fn observe(mut request: Request, next: Next) -> Response {
    let id = request
        .headers()
        .get(REQUEST_ID)
        .filter(|id| is_sane(id))
        .cloned()
        .unwrap_or_else(new_id);
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unknown", MatchedPath::as_str)
        .to_owned();
    let span = tracing::info_span!("http", id = id.to_str().unwrap_or_default());
    let started = Instant::now();
    let mut response = match AssertUnwindSafe(next.run(request))
        .catch_unwind()
        .instrument(span.clone())
        .await
    {
        Ok(response) => response,
        Err(_) => {
            metrics::counter!("carillon_http_panics_total").increment(1);
            tracing::error!(parent: &span, %method, route, "a handler panicked");
            problem_response(&path, Problem::Internal)
        }
    };
    let status = response.status();
    let elapsed = started.elapsed();
    metrics::counter!("carillon_http_requests_total", "method" => method_label(&method), "route" => route.clone(), "status" => status.as_str().to_owned())
        .increment(1);
    metrics::histogram!("carillon_http_request_seconds", "route" => route.clone()).record(elapsed.as_secs_f64());
    tracing::debug!(parent: &span, %method, route, status = status.as_u16(), ms = elapsed.as_millis(), "answered");
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// A client may send any method it likes; a metric may not grow with them.
fn method_label(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn is_sane(id: &HeaderValue) -> bool {
    (1..=REQUEST_ID_CHARACTERS_MAX).contains(&id.len())
        && id
            .as_bytes()
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
}

fn new_id() -> HeaderValue {
    HeaderValue::from_str(&Uuid::now_v7().to_string()).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

/// Refuses a body that says itself that it is too large. What is larger than it said is cut off by another layer.
pub(crate) async fn limit_body(bytes_max: usize, request: Request, next: Next) -> Response {
    let declared = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let too_large = declared.is_some_and(|bytes| usize::try_from(bytes).map_or(true, |bytes| bytes > bytes_max));
    if too_large {
        return problem_response(request.uri().path(), Problem::BodyTooLarge);
    }
    next.run(request).await
}

/// Gives up on a request that takes too long.
pub(crate) async fn limit_time(at_most: Duration, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    match tokio::time::timeout(at_most, next.run(request)).await {
        Ok(response) => response,
        Err(_) => problem_response(&path, Problem::TimedOut),
    }
}
