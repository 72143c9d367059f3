//! Deliveries: each webhook event on its way to one endpoint, with every request that was made.

use super::error::{ApiError, ErrorBody};
use super::request::{Body, Caller, Id, Page, Query, Time, default_limit, slice};
use crate::DialectState;
use axum::Json;
use axum::extract::State;
use carillon_domain::ids::{CallId, DeliveryId, EndpointId};
use carillon_domain::webhook::{self as domain, DeliveryState, Reply, event_id};
use carillon_domain::workspace::Workspace;
use carillon_interfaces::store::{DeliveryFilter, Slice};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

const STATES: [&str; 3] = ["pending", "delivered", "exhausted"];

/// Most deliveries that one request sends again.
const REPLAYS_MAX: usize = 10_000;
const LOOK_UP_LIMIT: u32 = 500;

/// An event on its way to an endpoint.
#[derive(Serialize, ToSchema)]
struct Delivery {
    id: Uuid,
    /// The id that the receiver sees, the same over all requests.
    event_id: String,
    endpoint_id: Uuid,
    event: String,
    call_id: Uuid,
    /// `pending`, `delivered` or `exhausted`.
    state: &'static str,
    /// When it is sent next, if it is pending.
    due_at: Option<Time>,
    /// When it was delivered or given up.
    ended_at: Option<Time>,
    /// Requests made so far.
    attempts: u32,
    created_at: Time,
}

/// A delivery with its body and its log.
#[derive(Serialize, ToSchema)]
struct DeliveryDetail {
    #[serde(flatten)]
    delivery: Delivery,
    /// The body, byte for byte as it is sent.
    body: String,
    /// Requests, oldest first.
    log: Vec<Attempt>,
}

/// One request.
#[derive(Serialize, ToSchema)]
struct Attempt {
    /// From 1.
    number: u32,
    at: Time,
    duration_ms: u32,
    /// `answered`, `failed` or `refused`.
    result: &'static str,
    /// The receiver's HTTP status.
    status: Option<u16>,
    /// `Retry-After` of the receiver, in seconds.
    retry_after_s: Option<u32>,
    /// Why there was no answer.
    reason: Option<String>,
}

fn shown(delivery: &domain::Delivery) -> Delivery {
    let (state, due_at, ended_at) = match delivery.state {
        DeliveryState::Pending { due_at } => ("pending", Some(Time(due_at)), None),
        DeliveryState::Delivered { at } => ("delivered", None, Some(Time(at))),
        DeliveryState::Exhausted { at } => ("exhausted", None, Some(Time(at))),
    };
    Delivery {
        id: delivery.id.uuid(),
        event_id: event_id(delivery.id),
        endpoint_id: delivery.endpoint_id.uuid(),
        event: delivery.event.clone(),
        call_id: delivery.call_id.uuid(),
        state,
        due_at,
        ended_at,
        attempts: delivery.attempts,
        created_at: Time(delivery.created_at),
    }
}

fn attempt(attempt: &domain::DeliveryAttempt) -> Attempt {
    let (result, status, retry_after_s, reason) = match &attempt.reply {
        Reply::Status { code, retry_after_s } => ("answered", Some(*code), *retry_after_s, None),
        Reply::Failed { reason } => ("failed", None, None, Some(reason.clone())),
        Reply::Refused { reason } => ("refused", None, None, Some(reason.clone())),
    };
    Attempt {
        number: attempt.number,
        at: Time(attempt.at),
        duration_ms: attempt.duration_ms,
        result,
        status,
        retry_after_s,
        reason,
    }
}

pub(super) fn routes() -> OpenApiRouter<DialectState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(replay_many))
        .routes(routes!(get))
        .routes(routes!(replay))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// To this endpoint.
    endpoint_id: Option<Uuid>,
    /// About this call.
    call_id: Option<Uuid>,
    /// `pending`, `delivered` or `exhausted`.
    state: Option<String>,
    /// Items to skip.
    #[serde(default)]
    #[param(default = 0)]
    offset: u64,
    /// Items to return: 1 to 500.
    #[serde(default = "default_limit")]
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: u32,
}

fn filter(endpoint: Option<Uuid>, call: Option<Uuid>, state: Option<String>) -> Result<DeliveryFilter, ApiError> {
    if state.as_ref().is_some_and(|state| !STATES.contains(&state.as_str())) {
        return Err(ApiError::invalid_field(
            "state",
            format!("must be one of {}", STATES.join(", ")),
        ));
    }
    Ok(DeliveryFilter {
        endpoint_id: endpoint.map(EndpointId::new),
        call_id: call.map(CallId::new),
        state,
    })
}

/// A workspace's deliveries, newest first.
#[utoipa::path(
    get, path = "/deliveries", tag = "webhooks", params(ListQuery),
    responses((status = 200, body = Page<Delivery>), (status = 422, body = ErrorBody))
)]
async fn list(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Delivery>>, ApiError> {
    let filter = filter(query.endpoint_id, query.call_id, query.state)?;
    let slice = slice(query.offset, query.limit)?;
    let page = state.app.store().deliveries(workspace.id, &filter, slice).await?;
    Ok(Json(Page::of(page, slice, shown)))
}

async fn find(state: &DialectState, workspace: &Workspace, id: Uuid) -> Result<domain::Delivery, ApiError> {
    let delivery = state.app.store().delivery(workspace.id, DeliveryId::new(id)).await?;
    delivery.ok_or_else(|| ApiError::not_found("delivery"))
}

/// One delivery, with its body and every request that was made.
#[utoipa::path(
    get, path = "/deliveries/{id}", tag = "webhooks", params(("id" = Uuid, Path)),
    responses((status = 200, body = DeliveryDetail), (status = 404, body = ErrorBody))
)]
async fn get(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<Json<DeliveryDetail>, ApiError> {
    let delivery = find(&state, &workspace, id).await?;
    let log = state.app.store().delivery_attempts(workspace.id, delivery.id).await?;
    let shown = shown(&delivery);
    Ok(Json(DeliveryDetail {
        delivery: shown,
        body: delivery.body,
        log: log.iter().map(attempt).collect(),
    }))
}

/// Sends a delivery again: the same body under the same event id, by the schedule from its beginning.
#[utoipa::path(
    post, path = "/deliveries/{id}/replay", tag = "webhooks", params(("id" = Uuid, Path)),
    responses((status = 200, body = Delivery), (status = 404, body = ErrorBody))
)]
async fn replay(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<Json<Delivery>, ApiError> {
    let delivery = find(&state, &workspace, id).await?;
    let delivery = state.app.replay_delivery(workspace.id, delivery.id).await?;
    Ok(Json(shown(&delivery)))
}

/// Which deliveries to send again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReplayMany {
    /// Of events at or after this time.
    from: Time,
    /// Of events before this time.
    to: Time,
    /// To this endpoint only.
    #[serde(default)]
    endpoint_id: Option<Uuid>,
    /// In this state only: `delivered` or `exhausted`; both when left out.
    #[serde(default)]
    state: Option<String>,
}

/// What was sent again.
#[derive(Serialize, ToSchema)]
struct Replayed {
    /// How many deliveries will be sent again.
    replayed: usize,
}

/// Sends again what happened in a stretch of time. What is pending anyway is left alone.
#[utoipa::path(
    post, path = "/deliveries/replay", tag = "webhooks", request_body = ReplayMany,
    responses((status = 200, body = Replayed), (status = 422, body = ErrorBody))
)]
async fn replay_many(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Body(wanted): Body<ReplayMany>,
) -> Result<Json<Replayed>, ApiError> {
    if wanted.to.0 <= wanted.from.0 {
        return Err(ApiError::invalid_field("to", "must be after `from`"));
    }
    if wanted.state.as_deref() == Some("pending") {
        return Err(ApiError::invalid_field("state", "what is pending is sent anyway"));
    }
    let ids = in_time(&state, &workspace, wanted).await?;
    if ids.len() > REPLAYS_MAX {
        let message = format!("these are more than {REPLAYS_MAX} deliveries; ask for a shorter time");
        return Err(ApiError::invalid(message));
    }
    for id in &ids {
        state.app.replay_delivery(workspace.id, *id).await?;
    }
    Ok(Json(Replayed { replayed: ids.len() }))
}

/// Newest first, page by page, until the list is older than what is wanted. New deliveries meanwhile push older ones to
/// later pages, so one may be seen twice and none is missed.
async fn in_time(
    state: &DialectState,
    workspace: &Workspace,
    wanted: ReplayMany,
) -> Result<BTreeSet<DeliveryId>, ApiError> {
    let filter = filter(wanted.endpoint_id, None, wanted.state)?;
    let mut found = BTreeSet::new();
    let mut slice = Slice {
        offset: 0,
        limit: LOOK_UP_LIMIT,
    };
    loop {
        let page = state.app.store().deliveries(workspace.id, &filter, slice).await?;
        let count = page.items.len();
        let oldest = page.items.last().map(|delivery| delivery.created_at);
        let inside = page.items.iter().filter(|delivery| {
            let pending = matches!(delivery.state, DeliveryState::Pending { .. });
            !pending && delivery.created_at >= wanted.from.0 && delivery.created_at < wanted.to.0
        });
        found.extend(inside.map(|delivery| delivery.id));
        let is_last = u32::try_from(count).is_ok_and(|count| count < LOOK_UP_LIMIT);
        if is_last || oldest.is_none_or(|oldest| oldest < wanted.from.0) || found.len() > REPLAYS_MAX {
            return Ok(found);
        }
        slice.offset += u64::from(LOOK_UP_LIMIT);
    }
}
