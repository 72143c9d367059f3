//! API keys of every dialect. A key is shown once.

use super::error::{ApiError, ErrorBody};
use super::request::{Body, Caller, Id, Page, PageQuery, Query, Time, name};
use crate::DialectState;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use carillon_domain::ids::ApiKeyId;
use carillon_domain::time::UnixMicros;
use carillon_domain::webhook::Dialect;
use carillon_interfaces::store::ApiKey;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// A key to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// A name for people.
    name: String,
    /// Whose API it opens.
    #[serde(default)]
    dialect: KeyDialect,
    /// When it stops working; null: when it is revoked.
    #[serde(default)]
    expires_at: Option<Time>,
}

/// APIs that are served here.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum KeyDialect {
    /// Our own.
    #[default]
    Native,
    /// RevRag's.
    Revrag,
}

/// A key.
#[derive(Serialize, ToSchema)]
struct Key {
    id: Uuid,
    name: String,
    /// Whose API it opens.
    dialect: &'static str,
    /// How it begins.
    prefix: String,
    /// The key itself: only in the answer to the request that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    created_at: Time,
    expires_at: Option<Time>,
    revoked_at: Option<Time>,
}

fn shown(key: &ApiKey) -> Key {
    Key {
        id: key.id.uuid(),
        name: key.name.clone(),
        dialect: key.dialect.as_str(),
        prefix: key.prefix.clone(),
        secret: None,
        created_at: Time(key.created_at),
        expires_at: key.expires_at.map(Time),
        revoked_at: key.revoked_at.map(Time),
    }
}

pub(super) fn routes() -> OpenApiRouter<DialectState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(revoke))
}

/// All keys of the workspace, oldest first.
#[utoipa::path(get, path = "/keys", tag = "keys", params(PageQuery), responses((status = 200, body = Page<Key>)))]
async fn list(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Key>>, ApiError> {
    let keys = state.app.store().api_keys(workspace.id).await?;
    Page::cut(&keys, page, shown).map(Json)
}

/// Makes a key. The answer holds it, and it is not shown again.
#[utoipa::path(
    post, path = "/keys", tag = "keys", request_body = NewKey,
    responses((status = 201, body = Key), (status = 422, body = ErrorBody))
)]
async fn create(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Body(new): Body<NewKey>,
) -> Result<(StatusCode, Json<Key>), ApiError> {
    let expires_at = new.expires_at.map(|at| at.0);
    if expires_at.is_some_and(|at| at <= state.app.now()) {
        return Err(ApiError::invalid_field("expires_at", "must be in the future"));
    }
    let dialect = match new.dialect {
        KeyDialect::Native => Dialect::Native,
        KeyDialect::Revrag => Dialect::Revrag,
    };
    let made = state
        .app
        .create_api_key(workspace.id, name("name", &new.name)?, dialect, expires_at)
        .await?;
    let secret = Some(made.secret.expose().to_owned());
    Ok((
        StatusCode::CREATED,
        Json(Key {
            secret,
            ..shown(&made.key)
        }),
    ))
}

/// Ends a key at once. The last working key of this API cannot be ended through it.
#[utoipa::path(
    delete, path = "/keys/{id}", tag = "keys", params(("id" = Uuid, Path)),
    responses((status = 200, body = Key), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
async fn revoke(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<Json<Key>, ApiError> {
    let id = ApiKeyId::new(id);
    let keys = state.app.store().api_keys(workspace.id).await?;
    let key = keys
        .iter()
        .find(|key| key.id == id)
        .ok_or_else(|| ApiError::not_found("key"))?;
    let now = state.app.now();
    let another = keys
        .iter()
        .any(|other| other.id != id && other.dialect == Dialect::Native && works(other, now));
    if key.dialect == Dialect::Native && works(key, now) && !another {
        let message = "this is the last working key of this API; make another one first";
        return Err(ApiError::conflict("last_key", message));
    }
    let key = state.app.revoke_api_key(workspace.id, id).await?;
    Ok(Json(shown(&key)))
}

fn works(key: &ApiKey, now: UnixMicros) -> bool {
    key.revoked_at.is_none() && key.expires_at.is_none_or(|expires| expires > now)
}
