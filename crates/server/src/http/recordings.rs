//! `GET /recordings/{workspace}/{call}.{wav|mp3|mp4}?expires=…&signature=…`: a recording, for whoever has a signed link.

use super::audio::{Audio, AudioError};
use super::links::{Format, LinkProblem, SignedRecordingLinks};
use super::ranges::{Part, part};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE,
    RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use carillon_app::App;
use carillon_dialects::native_error;
use carillon_domain::ids::{CallId, WorkspaceId};
use futures::stream;
use serde::Deserialize;
use std::io;
use std::io::SeekFrom;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

const CHUNK_BYTES: usize = 64 << 10;

#[derive(Clone)]
struct Recordings {
    app: App,
    links: Arc<SignedRecordingLinks>,
    audio: Audio,
}

pub(super) fn router(app: App, links: Arc<SignedRecordingLinks>, audio: Audio) -> Router {
    Router::new()
        .route("/recordings/{workspace}/{file}", get(recording))
        .with_state(Recordings { app, links, audio })
}

/// Why a recording is not sent.
enum Refusal {
    NotFound,
    Forged,
    Expired,
    Busy,
    Internal,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "there is no such recording"),
            Self::Forged => (
                StatusCode::FORBIDDEN,
                "invalid_link",
                "the link is not valid; ask the API for a new one",
            ),
            Self::Expired => (
                StatusCode::FORBIDDEN,
                "link_expired",
                "the link has expired; ask the API for a new one",
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "the recording is not ready in this format; try again",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_error",
                "the recording cannot be read",
            ),
        };
        let mut response = native_error(status, code, message);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(RETRY_AFTER, axum::http::HeaderValue::from_static("5"));
        }
        response
    }
}

#[derive(Deserialize)]
struct Signed {
    expires: Option<String>,
    signature: Option<String>,
}

async fn recording(
    State(state): State<Recordings>,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    Query(signed): Query<Signed>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Path((workspace, file)) = path.map_err(|_| Refusal::NotFound)?;
    let (workspace, call, format) = named(&workspace, &file).ok_or(Refusal::NotFound)?;
    let expires_s = signed
        .expires
        .as_deref()
        .and_then(|text| text.parse().ok())
        .ok_or(Refusal::Forged)?;
    let signature = signed.signature.as_deref().unwrap_or_default();
    state
        .links
        .check(workspace, call, format, expires_s, signature, state.app.now())
        .map_err(|problem| match problem {
            LinkProblem::Forged => Refusal::Forged,
            LinkProblem::Expired => Refusal::Expired,
        })?;
    let call = state.app.store().call(workspace, call).await.map_err(|error| {
        tracing::error!(%error, "a call could not be read");
        Refusal::Internal
    })?;
    let recording = call.and_then(|call| call.recording).ok_or(Refusal::NotFound)?;
    let path = state
        .audio
        .recording(&recording.path, format)
        .await
        .map_err(|error| match error {
            AudioError::Missing | AudioError::NoEncoder => Refusal::NotFound,
            AudioError::Busy | AudioError::TimedOut => Refusal::Busy,
            AudioError::Unreadable(_) | AudioError::Failed(_) => {
                tracing::error!(%error, "a recording could not be converted");
                Refusal::Internal
            }
        })?;
    send(path, format, &headers).await.map_err(|error| {
        tracing::error!(%error, "a recording could not be read");
        Refusal::Internal
    })
}

fn named(workspace: &str, file: &str) -> Option<(WorkspaceId, CallId, Format)> {
    let (call, extension) = file.rsplit_once('.')?;
    Some((workspace.parse().ok()?, call.parse().ok()?, Format::of(extension)?))
}

async fn send(path: PathBuf, format: Format, headers: &HeaderMap) -> io::Result<Response> {
    let mut file = File::open(path).await?;
    let metadata = file.metadata().await?;
    let length = metadata.len();
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let etag = format!("\"{length:x}-{:x}\"", modified.as_nanos());
    let common: [(HeaderName, String); 4] = [
        (ACCEPT_RANGES, "bytes".to_owned()),
        (CACHE_CONTROL, "private, max-age=3600".to_owned()),
        (CONTENT_TYPE, format.media_type().to_owned()),
        (ETAG, etag.clone()),
    ];
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if text(IF_NONE_MATCH).is_some_and(|known| {
        known
            .split(',')
            .any(|known| known.trim() == etag || known.trim() == "*")
    }) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    // A range of another version of the file would not fit to what the client has.
    let range = text(RANGE).filter(|_| text(IF_RANGE).is_none_or(|known| known.trim() == etag));
    match part(range, length) {
        Part::Whole => Ok((common, [(CONTENT_LENGTH, length.to_string())], body(file, length)).into_response()),
        Part::Bytes(bytes) => {
            file.seek(SeekFrom::Start(*bytes.start())).await?;
            let count = bytes.end() - bytes.start() + 1;
            let about = [
                (CONTENT_LENGTH, count.to_string()),
                (
                    CONTENT_RANGE,
                    format!("bytes {}-{}/{length}", bytes.start(), bytes.end()),
                ),
            ];
            Ok((StatusCode::PARTIAL_CONTENT, common, about, body(file, count)).into_response())
        }
        Part::Unsatisfiable => {
            let mut response = native_error(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "range_not_satisfiable",
                "the file has no such bytes",
            );
            response.headers_mut().extend(
                [
                    (ACCEPT_RANGES, "bytes".to_owned()),
                    (CONTENT_RANGE, format!("bytes */{length}")),
                ]
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.parse().ok()?))),
            );
            Ok(response)
        }
    }
}

/// The next `count` bytes of a file, in pieces.
fn body(file: File, count: u64) -> Body {
    Body::from_stream(stream::try_unfold((file, count), async |(mut file, left)| {
        let wanted = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        if wanted == 0 {
            return Ok::<_, io::Error>(None);
        }
        let mut chunk = vec![0; wanted];
        let read = file.read(&mut chunk).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        chunk.truncate(read);
        let left = left.saturating_sub(u64::try_from(read).unwrap_or(left));
        Ok(Some((Bytes::from(chunk), (file, left))))
    }))
}
