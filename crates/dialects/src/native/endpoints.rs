//! Webhook endpoints. Their secrets are shown once.

use super::error::{ApiError, ErrorBody};
use super::request::{Body, Caller, Id, Page, PageQuery, Patch, Query, Time};
use super::webhooks::{EVENTS, new_secret};
use crate::DialectState;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use carillon_app::NewEndpoint;
use carillon_domain::ids::{AgentId, CampaignId, EndpointId};
use carillon_domain::pii::Secret;
use carillon_domain::webhook::{self as domain, Dialect};
use carillon_domain::workspace::Workspace;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// Shortest secret that is taken, in characters.
const SECRET_CHARACTERS_MIN: usize = 16;

/// A webhook endpoint, as an operator writes it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EndpointInput {
    /// Where to POST: https, unless the operator allows the target by `webhooks.allow_targets`.
    url: String,
    /// In whose form it is told: `native` (Standard Webhooks) or `revrag`.
    #[serde(default)]
    dialect: EndpointDialect,
    /// Signing secret; left out, one is made. Shown once; left out of a change, it stays.
    #[serde(default, skip_serializing)]
    #[schema(write_only)]
    secret: Option<String>,
    /// Events it wants; empty: all. There is `call.ended`.
    #[serde(default)]
    events: Vec<String>,
    /// Only calls of this agent.
    #[serde(default)]
    agent_id: Option<Uuid>,
    /// Only calls of this campaign.
    #[serde(default)]
    campaign_id: Option<Uuid>,
    /// Whether it is told at all.
    #[serde(default = "yes")]
    enabled: bool,
}

const fn yes() -> bool {
    true
}

/// Forms that webhooks have here.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum EndpointDialect {
    /// Standard Webhooks.
    #[default]
    Native,
    /// RevRag's.
    Revrag,
}

/// A webhook endpoint.
#[derive(Serialize, ToSchema)]
struct Endpoint {
    id: Uuid,
    #[serde(flatten)]
    endpoint: EndpointInput,
    /// The signing secret: only in the answer to the request that made or set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    created_at: Time,
}

impl EndpointInput {
    fn of(endpoint: &domain::Endpoint) -> Self {
        Self {
            url: endpoint.url.clone(),
            dialect: match endpoint.dialect {
                Dialect::Revrag => EndpointDialect::Revrag,
                Dialect::Native | Dialect::Agentive | Dialect::Agoralia | Dialect::Jagcall => EndpointDialect::Native,
            },
            secret: None,
            events: endpoint.events.clone(),
            agent_id: endpoint.agent_id.map(AgentId::uuid),
            campaign_id: endpoint.campaign_id.map(CampaignId::uuid),
            enabled: endpoint.enabled,
        }
    }

    /// The endpoint. `old` is the secret that stays where none is sent.
    async fn check(
        self,
        state: &DialectState,
        workspace: &Workspace,
        old: Option<&Secret>,
    ) -> Result<NewEndpoint, ApiError> {
        let store = state.app.store();
        for event in &self.events {
            if !EVENTS.contains(&event.as_str()) {
                let message = format!("there is no event `{event}`; there is {}", EVENTS.join(", "));
                return Err(ApiError::invalid_field("events", message));
            }
        }
        let agent_id = self.agent_id.map(AgentId::new);
        if let Some(id) = agent_id
            && store.agent(workspace.id, id).await?.is_none()
        {
            return Err(ApiError::invalid_field("agent_id", "there is no such agent"));
        }
        let campaign_id = self.campaign_id.map(CampaignId::new);
        if let Some(id) = campaign_id
            && store.campaign(workspace.id, id).await?.is_none()
        {
            return Err(ApiError::invalid_field("campaign_id", "there is no such campaign"));
        }
        let secret = match self.secret {
            Some(text) if text.chars().count() < SECRET_CHARACTERS_MIN => {
                let message = format!("must have at least {SECRET_CHARACTERS_MIN} characters");
                return Err(ApiError::invalid_field("secret", message));
            }
            Some(text) => Secret::new(text),
            None => old.cloned().unwrap_or_else(new_secret),
        };
        Ok(NewEndpoint {
            url: url(&self.url)?,
            secret,
            events: self.events,
            agent_id,
            campaign_id,
            dialect: match self.dialect {
                EndpointDialect::Native => Dialect::Native,
                EndpointDialect::Revrag => Dialect::Revrag,
            },
            enabled: self.enabled,
        })
    }
}

/// A URL of the shape that can be called. Whether it may be is decided at every request, on its address.
fn url(text: &str) -> Result<String, ApiError> {
    let bad = || ApiError::invalid_field("url", "must be an absolute http or https URL");
    let uri: Uri = text.trim().parse().map_err(|_| bad())?;
    let scheme = uri.scheme_str().unwrap_or_default();
    if !matches!(scheme, "http" | "https") || uri.host().is_none_or(str::is_empty) {
        return Err(bad());
    }
    Ok(text.trim().to_owned())
}

fn shown(endpoint: &domain::Endpoint, with_secret: bool) -> Endpoint {
    Endpoint {
        id: endpoint.id.uuid(),
        endpoint: EndpointInput::of(endpoint),
        secret: with_secret.then(|| endpoint.secret.expose().to_owned()),
        created_at: Time(endpoint.created_at),
    }
}

pub(super) fn routes() -> OpenApiRouter<DialectState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, remove))
}

async fn find(state: &DialectState, workspace: &Workspace, id: Uuid) -> Result<domain::Endpoint, ApiError> {
    let endpoint = state.app.store().endpoint(workspace.id, EndpointId::new(id)).await?;
    endpoint.ok_or_else(|| ApiError::not_found("endpoint"))
}

/// All webhook endpoints, oldest first.
#[utoipa::path(get, path = "/endpoints", tag = "webhooks", params(PageQuery), responses((status = 200, body = Page<Endpoint>)))]
async fn list(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Endpoint>>, ApiError> {
    let endpoints = state.app.store().endpoints(workspace.id).await?;
    Page::cut(&endpoints, page, |endpoint| shown(endpoint, false)).map(Json)
}

/// Makes a webhook endpoint. The answer holds its secret, which is not shown again.
#[utoipa::path(
    post, path = "/endpoints", tag = "webhooks", request_body = EndpointInput,
    responses((status = 201, body = Endpoint), (status = 422, body = ErrorBody))
)]
async fn create(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Body(input): Body<EndpointInput>,
) -> Result<(StatusCode, Json<Endpoint>), ApiError> {
    let new = input.check(&state, &workspace, None).await?;
    let endpoint = state.app.save_endpoint(workspace.id, None, new).await?;
    Ok((StatusCode::CREATED, Json(shown(&endpoint, true))))
}

/// One webhook endpoint.
#[utoipa::path(
    get, path = "/endpoints/{id}", tag = "webhooks", params(("id" = Uuid, Path)),
    responses((status = 200, body = Endpoint), (status = 404, body = ErrorBody))
)]
async fn get(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<Json<Endpoint>, ApiError> {
    find(&state, &workspace, id)
        .await
        .map(|endpoint| Json(shown(&endpoint, false)))
}

/// Changes what is sent of a webhook endpoint. Deliveries that wait follow it to a new URL; their bodies stay.
#[utoipa::path(
    patch, path = "/endpoints/{id}", tag = "webhooks", params(("id" = Uuid, Path)),
    request_body(content = Object, description = "Any fields of an endpoint"),
    responses((status = 200, body = Endpoint), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody))
)]
async fn update(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
    patch: Patch,
) -> Result<Json<Endpoint>, ApiError> {
    let current = find(&state, &workspace, id).await?;
    let changed = patch.apply(&EndpointInput::of(&current))?;
    let new_secret = changed.secret.is_some();
    let new = changed.check(&state, &workspace, Some(&current.secret)).await?;
    let endpoint = state.app.save_endpoint(workspace.id, Some(current.id), new).await?;
    Ok(Json(shown(&endpoint, new_secret)))
}

/// Takes an endpoint away for good. While it is switched on, pending deliveries to it hold it; the log of deliveries stays.
#[utoipa::path(
    delete, path = "/endpoints/{id}", tag = "webhooks", params(("id" = Uuid, Path)),
    responses((status = 200, body = Endpoint), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
async fn remove(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<Json<Endpoint>, ApiError> {
    let endpoint = find(&state, &workspace, id).await?;
    state.app.remove_endpoint(workspace.id, endpoint.id).await?;
    Ok(Json(shown(&endpoint, false)))
}
