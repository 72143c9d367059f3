//! Calls: single ones, and everything that is known of any.

use super::converse::Conversation;
use super::error::{ApiError, ErrorBody};
use super::records::attempt_kind;
use super::request::{Body, Caller, Id, Page, Query, Time, default_limit, phone, slice};
use crate::{DialectState, RecordingUrls};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use carillon_app::{SingleCall, SingleRefusal};
use carillon_domain::call::{self as domain, CallState, Origin, Outcome, WireState};
use carillon_domain::ids::{AgentId, CallId, CampaignId, RecordId, TrunkId};
use carillon_domain::time::UnixMicros;
use carillon_domain::webhook::Dialect;
use carillon_domain::workspace::Workspace;
use carillon_interfaces::store::CallFilter;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// A call to place.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewCall {
    /// Who talks.
    agent_id: Uuid,
    /// Number to call.
    to: String,
    /// Values for the agent.
    #[serde(default)]
    #[schema(value_type = Object)]
    variables: Map<String, Value>,
    /// Free values that are echoed.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    custom_metadata: Option<Map<String, Value>>,
}

/// A call: one attempt to reach one number.
#[derive(Serialize, ToSchema)]
pub(super) struct Call {
    id: Uuid,
    /// Through whose API a single call was asked for; null for a campaign's.
    dialect: Option<&'static str>,
    campaign_id: Option<Uuid>,
    record_id: Option<Uuid>,
    /// Number of the attempt, from 1.
    attempt: Option<u32>,
    /// `first`, `retry`, `follow_up` or `callback`.
    attempt_kind: Option<&'static str>,
    agent_id: Uuid,
    trunk_id: Option<Uuid>,
    from: Option<String>,
    to: String,
    /// `queued`, `dialing`, `ringing`, `in_call`, `hanging_up`, `post_call` or `closed`.
    state: &'static str,
    /// How it ended, such as `callee_hung_up` or `no_answer`; null before that is decided.
    outcome: Option<&'static str>,
    /// The final SIP status.
    sip_code: Option<u16>,
    /// The reason phrase, or what happened.
    reason: Option<String>,
    /// The Reason header (Q.850).
    reason_header: Option<String>,
    /// `Retry-After` of the far end, in seconds.
    retry_after_s: Option<u32>,
    /// Whether the callee's side may have seen it: `nothing_sent`, `final` or `unknown`.
    wire: Option<&'static str>,
    /// The gate that refused it.
    gate: Option<&'static str>,
    /// By which decision an attempt of unknown fate was settled.
    unknown_settled_by: Option<String>,
    created_at: Time,
    dialing_at: Option<Time>,
    ringing_at: Option<Time>,
    early_media: bool,
    answered_at: Option<Time>,
    ended_at: Option<Time>,
    /// From answer to end, in seconds; 0 when it was not answered.
    duration_s: f64,
    ring_timeout_s: u32,
    max_duration_s: u32,
    /// Every key pressed, in order.
    keys: String,
    /// Values marked by keys.
    marks: BTreeMap<String, String>,
    /// The callee asked not to be called again.
    do_not_call: bool,
    call_back_at: Option<Time>,
    follow_up_at: Option<Time>,
    #[schema(value_type = Object)]
    variables: Map<String, Value>,
    #[schema(value_type = Option<Object>)]
    custom_metadata: Option<Map<String, Value>>,
    app_user_id: Option<String>,
    app_session_id: Option<String>,
    /// What was said and what came of it, when the script converses.
    conversation: Option<Conversation>,
    /// A link to the recording as a WAV file with the far end left and us right; works without a key until it expires.
    recording_url: Option<String>,
    /// Length of the recording in milliseconds.
    recording_ms: Option<u64>,
}

/// A call, as both the API and webhooks show it.
pub(super) fn shown(call: &domain::Call, recordings: &RecordingUrls, now: UnixMicros) -> Call {
    let end = call.end.as_ref();
    let (dialect, kind) = match &call.origin {
        Origin::Single { dialect } => (Some(dialect.as_str()), None),
        Origin::Campaign { attempt_kind: kind, .. } => (None, Some(attempt_kind(*kind))),
    };
    Call {
        id: call.id.uuid(),
        dialect,
        campaign_id: call.campaign_id().map(CampaignId::uuid),
        record_id: call.record_id().map(RecordId::uuid),
        attempt: call.attempt(),
        attempt_kind: kind,
        agent_id: call.agent_id.uuid(),
        trunk_id: call.trunk_id.map(TrunkId::uuid),
        from: call.from.as_ref().map(|number| number.as_str().to_owned()),
        to: call.to.as_str().to_owned(),
        state: call.state.as_str(),
        outcome: call.outcome().map(Outcome::as_str),
        sip_code: end.and_then(|end| end.sip_code),
        reason: end.map(|end| end.reason.clone()),
        reason_header: end.and_then(|end| end.reason_header.clone()),
        retry_after_s: end.and_then(|end| end.retry_after_s),
        wire: end.map(|end| wire(end.wire)),
        gate: end
            .and_then(|end| end.gate)
            .map(carillon_domain::campaign::Gate::as_str),
        unknown_settled_by: call.unknown_settled_by.clone(),
        created_at: Time(call.created_at),
        dialing_at: call.dialing_at.map(Time),
        ringing_at: call.ringing_at.map(Time),
        early_media: call.early_media,
        answered_at: call.answered_at.map(Time),
        ended_at: call.ended_at.map(Time),
        duration_s: call.talk_time(now).as_secs_f64(),
        ring_timeout_s: call.ring_timeout_s,
        max_duration_s: call.max_duration_s,
        keys: call.result.keys.clone(),
        marks: call.result.marks.clone(),
        do_not_call: call.result.do_not_call,
        call_back_at: call.result.call_back_at.map(Time),
        follow_up_at: call.result.follow_up_at.map(Time),
        variables: call.variables.clone(),
        custom_metadata: call.custom_metadata.clone(),
        app_user_id: call.app_user_id.clone(),
        app_session_id: call.app_session_id.clone(),
        conversation: call.result.conversation.as_deref().map(Conversation::of),
        recording_url: recordings.url(call, "wav"),
        recording_ms: call.recording.as_ref().map(|recording| recording.duration_ms),
    }
}

const fn wire(state: WireState) -> &'static str {
    match state {
        WireState::NothingSent => "nothing_sent",
        WireState::Final => "final",
        WireState::Unknown => "unknown",
    }
}

pub(super) fn routes() -> OpenApiRouter<DialectState> {
    OpenApiRouter::new()
        .routes(routes!(list, place))
        .routes(routes!(get))
        .routes(routes!(cancel))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Of this campaign.
    campaign_id: Option<Uuid>,
    /// For this record.
    record_id: Option<Uuid>,
    /// Of this agent.
    agent_id: Option<Uuid>,
    /// In this state.
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

fn call_state(word: &str) -> Result<CallState, ApiError> {
    let found = CallState::ALL.into_iter().find(|state| state.as_str() == word);
    let message = || format!("must be one of {}", CallState::ALL.map(CallState::as_str).join(", "));
    found.ok_or_else(|| ApiError::invalid_field("state", message()))
}

/// A workspace's calls, newest first.
#[utoipa::path(
    get, path = "/calls", tag = "calls", params(ListQuery),
    responses((status = 200, body = Page<Call>), (status = 422, body = ErrorBody))
)]
async fn list(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Call>>, ApiError> {
    let filter = CallFilter {
        campaign_id: query.campaign_id.map(CampaignId::new),
        record_id: query.record_id.map(RecordId::new),
        agent_id: query.agent_id.map(AgentId::new),
        state: query.state.as_deref().map(call_state).transpose()?,
    };
    let slice = slice(query.offset, query.limit)?;
    let page = state.app.store().calls(workspace.id, &filter, slice).await?;
    let now = state.app.now();
    Ok(Json(Page::of(page, slice, |call| shown(call, &state.recordings, now))))
}

/// Takes a single call. It is durable when this answers, and dialled when a line is free.
#[utoipa::path(
    post, path = "/calls", tag = "calls", request_body = NewCall,
    responses((status = 201, body = Call), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody))
)]
async fn place(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Body(new): Body<NewCall>,
) -> Result<(StatusCode, Json<Call>), ApiError> {
    let single = SingleCall {
        agent_id: AgentId::new(new.agent_id),
        to: phone("to", &new.to, &workspace)?,
        variables: new.variables,
        custom_metadata: new.custom_metadata,
        dialect: Dialect::Native,
    };
    let call = state
        .app
        .place_single_call(workspace.id, single)
        .await
        .map_err(refused)?;
    Ok((
        StatusCode::CREATED,
        Json(shown(&call, &state.recordings, state.app.now())),
    ))
}

fn refused(refusal: SingleRefusal) -> ApiError {
    let text = refusal.to_string();
    match refusal {
        SingleRefusal::AgentNotFound => ApiError::invalid_field("agent_id", "there is no such active agent"),
        SingleRefusal::NoTrunk => ApiError::conflict("no_trunk", text),
        SingleRefusal::NoCallerId => ApiError::conflict("no_caller_id", text),
        SingleRefusal::DoNotCall => ApiError::conflict("do_not_call", text),
        SingleRefusal::DestinationRefused => ApiError::invalid_field("to", text),
        SingleRefusal::Store(error) => error.into(),
    }
}

async fn find(state: &DialectState, workspace: &Workspace, id: Uuid) -> Result<domain::Call, ApiError> {
    let call = state.app.store().call(workspace.id, CallId::new(id)).await?;
    call.ok_or_else(|| ApiError::not_found("call"))
}

/// One call.
#[utoipa::path(
    get, path = "/calls/{id}", tag = "calls", params(("id" = Uuid, Path)),
    responses((status = 200, body = Call), (status = 404, body = ErrorBody))
)]
async fn get(State(state): State<DialectState>, Caller(workspace): Caller, Id(id): Id) -> Result<Json<Call>, ApiError> {
    let call = find(&state, &workspace, id).await?;
    Ok(Json(shown(&call, &state.recordings, state.app.now())))
}

/// Ends a call, whatever its state. The end itself follows.
#[utoipa::path(
    post, path = "/calls/{id}/cancel", tag = "calls", params(("id" = Uuid, Path)),
    responses((status = 200, body = Call), (status = 404, body = ErrorBody))
)]
async fn cancel(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<Json<Call>, ApiError> {
    let call = state.app.cancel_call(workspace.id, CallId::new(id)).await?;
    let call = call.ok_or_else(|| ApiError::not_found("call"))?;
    Ok(Json(shown(&call, &state.recordings, state.app.now())))
}
