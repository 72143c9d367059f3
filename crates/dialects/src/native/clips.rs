//! Clips: audio for announcements and prompts.

use super::error::{ApiError, ErrorBody};
use super::request::{Caller, Id, Page, PageQuery, Query, Time, bytes, name};
use crate::{ClipAudioError, DialectState};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use carillon_domain::agent as domain;
use carillon_domain::ids::ClipId;
use carillon_domain::workspace::Workspace;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// Largest file taken; the server's own limit may be lower.
const FILE_BYTES_MAX: usize = 64 << 20;

/// A piece of audio.
#[derive(Serialize, ToSchema)]
struct Clip {
    id: Uuid,
    name: String,
    /// Length in milliseconds.
    duration_ms: u64,
    created_at: Time,
}

fn shown(clip: &domain::Clip) -> Clip {
    Clip {
        id: clip.id.uuid(),
        name: clip.name.clone(),
        duration_ms: clip.duration_ms,
        created_at: Time(clip.created_at),
    }
}

pub(super) fn routes() -> OpenApiRouter<DialectState> {
    OpenApiRouter::new()
        .routes(routes!(list, upload))
        .routes(routes!(get, remove))
        .routes(routes!(audio))
        .layer(DefaultBodyLimit::max(FILE_BYTES_MAX))
}

/// All clips, oldest first.
#[utoipa::path(get, path = "/clips", tag = "clips", params(PageQuery), responses((status = 200, body = Page<Clip>)))]
async fn list(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Clip>>, ApiError> {
    let clips = state.app.store().clips(workspace.id).await?;
    Page::cut(&clips, page, shown).map(Json)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UploadQuery {
    /// A name for people; without it the file's own.
    name: Option<String>,
}

/// Adds a clip: the file as the body, or a form (`multipart/form-data`) with `file` and perhaps `name`. Any common audio
/// format; it is converted once.
#[utoipa::path(
    post, path = "/clips", tag = "clips", params(UploadQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, body = Clip), (status = 413, body = ErrorBody), (status = 422, body = ErrorBody))
)]
async fn upload(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Query(query): Query<UploadQuery>,
    request: Request,
) -> Result<(StatusCode, Json<Clip>), ApiError> {
    let upload = read_upload(request, &state).await?;
    if upload.file.is_empty() {
        return Err(ApiError::invalid_field("file", "the file is empty"));
    }
    let name = name("name", &query.name.or(upload.name).unwrap_or_else(|| "clip".to_owned()))?;
    let id = ClipId::new(state.app.next_id());
    let converted = state.clips.store(id, upload.file).await.map_err(|error| match error {
        ClipAudioError::Unreadable(why) => ApiError::invalid_field("file", why),
        ClipAudioError::Missing | ClipAudioError::Failed(_) => {
            tracing::error!(%error, "a clip could not be stored");
            ApiError::internal()
        }
    })?;
    let clip = state
        .app
        .add_clip(workspace.id, id, name, converted.duration_ms)
        .await?;
    Ok((StatusCode::CREATED, Json(shown(&clip))))
}

struct Upload {
    name: Option<String>,
    file: Bytes,
}

async fn read_upload(request: Request, state: &DialectState) -> Result<Upload, ApiError> {
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !content_type.to_ascii_lowercase().starts_with("multipart/form-data") {
        return Ok(Upload {
            name: None,
            file: bytes(request, state).await?,
        });
    }
    let mut form = Multipart::from_request(request, state)
        .await
        .map_err(|error| ApiError::invalid(error.body_text()))?;
    let mut upload = Upload {
        name: None,
        file: Bytes::new(),
    };
    let mut file_name = None;
    let broken = |error: axum::extract::multipart::MultipartError| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(),
        _ => ApiError::invalid(error.body_text()),
    };
    while let Some(field) = form.next_field().await.map_err(broken)? {
        match field.name() {
            Some("name") => upload.name = Some(field.text().await.map_err(broken)?),
            Some("file") => {
                file_name = field.file_name().map(str::to_owned);
                upload.file = field.bytes().await.map_err(broken)?;
            }
            other => {
                let unknown = other.unwrap_or_default().to_owned();
                return Err(ApiError::invalid_field(
                    unknown,
                    "unknown field; expected `file` or `name`",
                ));
            }
        }
    }
    upload.name = upload.name.or(file_name).filter(|name| !name.trim().is_empty());
    Ok(upload)
}

async fn find(state: &DialectState, workspace: &Workspace, id: Uuid) -> Result<domain::Clip, ApiError> {
    let clip = state.app.store().clip(workspace.id, ClipId::new(id)).await?;
    clip.ok_or_else(|| ApiError::not_found("clip"))
}

/// One clip.
#[utoipa::path(
    get, path = "/clips/{id}", tag = "clips", params(("id" = Uuid, Path)),
    responses((status = 200, body = Clip), (status = 404, body = ErrorBody))
)]
async fn get(State(state): State<DialectState>, Caller(workspace): Caller, Id(id): Id) -> Result<Json<Clip>, ApiError> {
    find(&state, &workspace, id).await.map(|clip| Json(shown(&clip)))
}

/// The sound of a clip, as callees hear it: one channel of 16-bit samples, 8,000 a second.
#[utoipa::path(
    get, path = "/clips/{id}/audio.wav", tag = "clips", params(("id" = Uuid, Path)),
    responses((status = 200, content_type = "audio/wav", body = Vec<u8>), (status = 404, body = ErrorBody))
)]
async fn audio(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<impl IntoResponse, ApiError> {
    let clip = find(&state, &workspace, id).await?;
    let file = state.clips.wav(clip.id).await.map_err(|error| match error {
        ClipAudioError::Missing => ApiError::not_found("the sound of the clip"),
        ClipAudioError::Unreadable(_) | ClipAudioError::Failed(_) => {
            tracing::error!(%error, "a clip could not be read");
            ApiError::internal()
        }
    })?;
    Ok(([(CONTENT_TYPE, "audio/wav")], file))
}

/// Takes a clip and its sound away for good, unless an agent, or a call that is not over, plays it.
#[utoipa::path(
    delete, path = "/clips/{id}", tag = "clips", params(("id" = Uuid, Path)),
    responses((status = 200, body = Clip), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
async fn remove(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<Json<Clip>, ApiError> {
    let clip = find(&state, &workspace, id).await?;
    state.app.remove_clip(workspace.id, clip.id).await?;
    state.clips.remove(clip.id).await;
    Ok(Json(shown(&clip)))
}
