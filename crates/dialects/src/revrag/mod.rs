//! RevRag's API (contracts section 1): `/v1/campaigns/…`, key in `X-API-Key`, errors in `{"detail": …}`.

mod body;
mod errors;
mod translate;
mod wire;

use crate::renderer::{hex, hmac_sha256};
use crate::{DialectState, Problem, RecordingUrls};
use axum::body::to_bytes;
use axum::extract::{FromRequestParts, Path, Query, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use body::PushRecord;
use bytes::Bytes;
use carillon_app::{NewRecord, PushRefusal, RecordRefusal, SingleCall, SingleRefusal};
use carillon_domain::call::{Call, Origin, Outcome};
use carillon_domain::campaign::Campaign;
use carillon_domain::ids::{AgentId, CallId, CampaignId, RecordId};
use carillon_domain::pii::Secret;
use carillon_domain::record::RecordStatus;
use carillon_domain::webhook::Dialect;
use carillon_domain::workspace::Workspace;
use carillon_interfaces::event_renderer::{RenderContext, RenderedEvent};
use carillon_interfaces::store::{CallFilter, Slice};
use errors::{Invalid, RevragError};
use serde::Deserialize;
use serde_json::{Value, json};

/// Every path of theirs begins so.
const PREFIX: &str = "/v1/campaigns";

/// Largest body taken. Not documented by them; ours.
const BODY_BYTES_MAX: usize = 16 << 20;

/// Bodies from this size on are read on a thread where that may take a while.
const LARGE_BODY_BYTES: usize = 128 << 10;

const PAGE_SIZE_MAX: u32 = 200;

/// Most calls looked up for one record's history.
const HISTORY_CALLS_MAX: u32 = 200;

/// Whether a path is one of RevRag's, existing or not.
pub(crate) fn owns(path: &str) -> bool {
    path.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The reply to a problem outside of any handler.
pub(crate) fn problem_response(problem: Problem) -> Response {
    RevragError::from(problem).into_response()
}

/// Their routes, for `/v1/campaigns` and everything below it.
pub(crate) fn router(state: DialectState) -> Router {
    let routes = Router::new()
        .route("/agents", get(agents))
        .route("/trigger/single", post(trigger_single))
        .route("/trigger/status/{call_id}", get(call_status))
        .route("/{campaign_id}/records/push-bulk", post(push_bulk))
        .route("/{campaign_id}/records/push", post(push_one))
        .route("/{campaign_id}/records", get(list_records))
        .route("/{campaign_id}/records/{run_id}", get(record))
        .route("/{campaign_id}/status", get(campaign_status))
        .fallback(async || RevragError::UnknownPath)
        .method_not_allowed_fallback(async || RevragError::MethodNotAllowed)
        .with_state(state);
    Router::new().nest(PREFIX, routes)
}

/// The event that a closed call makes. Same JSON as its status answer ("Webhook Payload").
pub(crate) fn render_call_ended(
    call: &Call,
    context: &RenderContext<'_>,
    recordings: &RecordingUrls,
) -> Option<RenderedEvent> {
    // A campaign's record that a gate refused right before the dial was not called: it is `dnc` or waits on.
    if matches!(call.origin, Origin::Campaign { .. }) && call.outcome() == Some(Outcome::Refused) {
        return None;
    }
    let status = translate::call(call, context.workspace.status_style, recordings, context.now);
    match serde_json::to_string(&status) {
        Ok(body) => Some(RenderedEvent {
            name: "call.ended",
            body,
        }),
        Err(error) => {
            tracing::error!(call = %call.id, %error, "a webhook body could not be written");
            None
        }
    }
}

/// The workspace of the key in `X-API-Key`.
struct Caller(Workspace);

impl FromRequestParts<DialectState> for Caller {
    type Rejection = RevragError;

    async fn from_request_parts(parts: &mut Parts, state: &DialectState) -> Result<Self, RevragError> {
        let secret = parts
            .headers
            .get("x-api-key")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .trim();
        if secret.is_empty() {
            return Err(RevragError::Unauthorized);
        }
        let key = state
            .app
            .authenticate(Dialect::Revrag, secret)
            .await?
            .ok_or(RevragError::Unauthorized)?;
        let workspace = state.app.store().workspace(key.workspace_id).await?;
        workspace.map(Self).ok_or(RevragError::Unauthorized)
    }
}

/// Parts of the path. Bytes that are no text are in none of their paths.
struct Segments<T>(T);

impl<T: serde::de::DeserializeOwned + Send> FromRequestParts<DialectState> for Segments<T> {
    type Rejection = RevragError;

    async fn from_request_parts(parts: &mut Parts, state: &DialectState) -> Result<Self, RevragError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(segments)| Self(segments))
            .map_err(|_| RevragError::UnknownPath)
    }
}

async fn agents(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
) -> Result<Json<Vec<wire::Agent>>, RevragError> {
    let agents = state.app.store().agents(workspace.id).await?;
    Ok(Json(
        agents
            .iter()
            .filter(|agent| agent.active)
            .map(translate::agent)
            .collect(),
    ))
}

async fn trigger_single(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    request: Request,
) -> Result<Json<wire::Triggered>, RevragError> {
    let asked = body::trigger_single(&read_body(request).await?)?;
    let to = translate::single_number(&asked.to_phone_number, &workspace)
        .ok_or_else(|| RevragError::BadRequest(format!("Invalid phone number: {}", asked.to_phone_number)))?;
    let agent_id = translate::id(&asked.agent_id, "agent").ok_or(RevragError::NotFound("Agent"))?;
    let single = SingleCall {
        agent_id: AgentId::new(agent_id),
        to,
        variables: asked.variable_fields.unwrap_or_default(),
        custom_metadata: asked.custom_metadata,
        dialect: Dialect::Revrag,
    };
    let call = state
        .app
        .place_single_call(workspace.id, single)
        .await
        .map_err(single_refused)?;
    Ok(Json(wire::Triggered {
        success: true,
        message: "Call triggered successfully",
        to_phone_number: asked.to_phone_number,
        agent_id: call.agent_id.to_string(),
        call_id: call.id.to_string(),
    }))
}

fn single_refused(refusal: SingleRefusal) -> RevragError {
    let text = match refusal {
        SingleRefusal::AgentNotFound => return RevragError::NotFound("Agent"),
        SingleRefusal::Store(error) => return error.into(),
        SingleRefusal::DoNotCall => "Phone number is on the Do-Not-Call list",
        SingleRefusal::NoTrunk => "No phone line is configured for this workspace",
        SingleRefusal::NoCallerId => "The agent has no caller number",
        SingleRefusal::DestinationRefused => "Emergency, short-code and premium numbers are not called",
    };
    RevragError::BadRequest(text.to_owned())
}

async fn call_status(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Segments(call_id): Segments<String>,
) -> Result<Json<wire::CallStatus>, RevragError> {
    const MISSING: RevragError = RevragError::NotFound("Call");
    let id = CallId::new(translate::id(&call_id, "call").ok_or(MISSING)?);
    let call = state.app.store().call(workspace.id, id).await?.ok_or(MISSING)?;
    Ok(Json(translate::call(
        &call,
        workspace.status_style,
        &state.recordings,
        state.app.now(),
    )))
}

async fn push_bulk(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Segments(campaign_id): Segments<String>,
    request: Request,
) -> Result<Json<wire::Pushed>, RevragError> {
    let body = read_body(request).await?;
    let readers = workspace.clone();
    let records = read_large(body, move |body| Ok(read_numbers(body::push_bulk(body)?, &readers))).await?;
    Ok(Json(push(&state, &workspace, &campaign_id, records).await?))
}

/// One record, as an earlier generation of their API took it. No longer documented; kept for clients that still call it.
async fn push_one(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Segments(campaign_id): Segments<String>,
    request: Request,
) -> Result<Json<wire::PushResult>, RevragError> {
    let record = body::push_one(&read_body(request).await?)?;
    let records = read_numbers(vec![record], &workspace);
    let pushed = push(&state, &workspace, &campaign_id, records).await?;
    pushed.results.into_iter().next().map(Json).ok_or(RevragError::Internal)
}

/// A record as it was sent: its number's text, and the record or why it is rejected.
type ReadRecord = (String, Result<NewRecord, String>);

fn read_numbers(records: Vec<PushRecord>, workspace: &Workspace) -> Vec<ReadRecord> {
    records
        .into_iter()
        .map(|record| translate::new_record(record, workspace))
        .collect()
}

async fn push(
    state: &DialectState,
    workspace: &Workspace,
    campaign_id: &str,
    records: Vec<ReadRecord>,
) -> Result<wire::Pushed, RevragError> {
    let id = campaign_id_of(campaign_id)?;
    let mut rejections = Vec::with_capacity(records.len());
    let mut valid = Vec::with_capacity(records.len());
    for (phone_number, record) in records {
        let rejection = match record {
            Ok(record) => {
                valid.push(record);
                None
            }
            Err(why) => Some(why),
        };
        rejections.push((phone_number, rejection));
    }
    // An empty push still asks whether the campaign takes any.
    let receipt = state
        .app
        .push_records(workspace.id, id, valid)
        .await
        .map_err(push_refused)?;
    let mut taken = receipt.results.into_iter();
    let results: Vec<_> = rejections
        .into_iter()
        .map(|(phone_number, rejection)| match rejection {
            Some(why) => rejected(phone_number, why),
            None => match taken.next() {
                Some(Ok(id)) => accepted(phone_number, id),
                Some(Err(refusal)) => rejected(phone_number, record_refused(refusal).to_owned()),
                None => rejected(phone_number, "Internal Server Error".to_owned()),
            },
        })
        .collect();
    let accepted = results.iter().filter(|result| result.accepted).count();
    Ok(wire::Pushed {
        accepted,
        rejected: results.len() - accepted,
        results,
    })
}

fn accepted(phone_number: String, id: RecordId) -> wire::PushResult {
    let status = Some(RecordStatus::Queued.as_str());
    wire::PushResult {
        phone_number,
        accepted: true,
        run_id: Some(id.to_string()),
        status,
        error: None,
    }
}

fn rejected(phone_number: String, why: String) -> wire::PushResult {
    wire::PushResult {
        phone_number,
        accepted: false,
        run_id: None,
        status: None,
        error: Some(why),
    }
}

fn push_refused(refusal: PushRefusal) -> RevragError {
    match refusal {
        PushRefusal::CampaignNotFound => RevragError::NotFound("Campaign"),
        PushRefusal::NotAccepting(status) => {
            RevragError::BadRequest(format!("Cannot push records: campaign is {}.", status.as_str()))
        }
        PushRefusal::Store(error) => error.into(),
    }
}

const fn record_refused(refusal: RecordRefusal) -> &'static str {
    match refusal {
        RecordRefusal::KnownNumber => "Phone number is already in the campaign",
        RecordRefusal::DestinationRefused => "Emergency, short-code and premium numbers are not called",
    }
}

/// What of `?status=&page=&page_size=` was sent. As text, so that what does not parse is answered in their style.
#[derive(Deserialize)]
struct ListQuery {
    status: Option<String>,
    page: Option<String>,
    page_size: Option<String>,
}

async fn list_records(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Segments(campaign_id): Segments<String>,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<wire::RecordPage>, RevragError> {
    let Query(query) = query.map_err(|error| {
        let place = Invalid::new("query_invalid", vec![json!("query")], error.body_text(), &Value::Null);
        RevragError::Invalid(vec![place])
    })?;
    let mut places = Vec::new();
    let page = whole_number("page", query.page.as_deref(), 1, u64::MAX, &mut places);
    let page_size = whole_number(
        "page_size",
        query.page_size.as_deref(),
        50,
        u64::from(PAGE_SIZE_MAX),
        &mut places,
    );
    if !places.is_empty() {
        return Err(RevragError::Invalid(places));
    }
    let page_size = u32::try_from(page_size).unwrap_or(PAGE_SIZE_MAX);
    let campaign = campaign(&state, &workspace, &campaign_id).await?;
    let status = match query.status.as_deref().filter(|word| !word.is_empty()) {
        None => None,
        Some(word) => match RecordStatus::parse(word) {
            Some(status) => Some(status),
            // A status that no record has.
            None => {
                return Ok(Json(wire::RecordPage {
                    items: Vec::new(),
                    total: 0,
                    has_more: false,
                    page,
                    page_size,
                }));
            }
        },
    };
    let slice = Slice {
        offset: (page - 1).saturating_mul(u64::from(page_size)),
        limit: page_size,
    };
    let found = state
        .app
        .store()
        .records(workspace.id, campaign.id, status, slice)
        .await?;
    let mut items = Vec::with_capacity(found.items.len());
    for record in &found.items {
        items.push(with_calls(&state, &workspace, record).await?);
    }
    let seen = slice
        .offset
        .saturating_add(u64::try_from(items.len()).unwrap_or(u64::MAX));
    Ok(Json(wire::RecordPage {
        items,
        total: found.total,
        has_more: seen < found.total,
        page,
        page_size,
    }))
}

/// A query's number from 1 to `max`, or what is wrong with it.
fn whole_number(name: &str, text: Option<&str>, default: u64, max: u64, places: &mut Vec<Invalid>) -> u64 {
    let Some(text) = text else { return default };
    let (kind, msg) = match text.trim().parse::<i128>() {
        Err(_) => (
            "int_parsing",
            "Input should be a valid integer, unable to parse string as an integer".to_owned(),
        ),
        Ok(number) if number < 1 => (
            "greater_than_equal",
            "Input should be greater than or equal to 1".to_owned(),
        ),
        Ok(number) => match u64::try_from(number).ok().filter(|number| *number <= max) {
            Some(number) => return number,
            None => (
                "less_than_equal",
                format!("Input should be less than or equal to {max}"),
            ),
        },
    };
    places.push(Invalid::new(kind, vec![json!("query"), json!(name)], msg, &json!(text)));
    default
}

async fn record(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Segments((campaign_id, run_id)): Segments<(String, String)>,
) -> Result<Json<wire::Record>, RevragError> {
    const MISSING: RevragError = RevragError::NotFound("Record");
    let campaign = campaign(&state, &workspace, &campaign_id).await?;
    let id = RecordId::new(translate::id(&run_id, "run").ok_or(MISSING)?);
    let record = state.app.store().record(workspace.id, id).await?;
    let record = record
        .filter(|record| record.campaign_id == campaign.id)
        .ok_or(MISSING)?;
    Ok(Json(with_calls(&state, &workspace, &record).await?))
}

async fn with_calls(
    state: &DialectState,
    workspace: &Workspace,
    record: &carillon_domain::record::Record,
) -> Result<wire::Record, RevragError> {
    let calls = if record.attempts.is_empty() {
        Vec::new()
    } else {
        let filter = CallFilter {
            record_id: Some(record.id),
            ..CallFilter::default()
        };
        let slice = Slice {
            offset: 0,
            limit: HISTORY_CALLS_MAX,
        };
        state.app.store().calls(workspace.id, &filter, slice).await?.items
    };
    Ok(translate::record(record, &calls, workspace.status_style))
}

async fn campaign_status(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Segments(campaign_id): Segments<String>,
) -> Result<Json<wire::CampaignStatus>, RevragError> {
    let campaign = campaign(&state, &workspace, &campaign_id).await?;
    let counts = state.app.store().record_counts(workspace.id, campaign.id).await?;
    Ok(Json(translate::campaign_status(&campaign, &counts)))
}

/// "`campaign_id` doesn't exist in the API key's workspace, or `campaign_id` isn't a valid UUID": both are 404.
fn campaign_id_of(text: &str) -> Result<CampaignId, RevragError> {
    translate::id(text, "campaign")
        .map(CampaignId::new)
        .ok_or(RevragError::NotFound("Campaign"))
}

async fn campaign(state: &DialectState, workspace: &Workspace, id: &str) -> Result<Campaign, RevragError> {
    let campaign = state.app.store().campaign(workspace.id, campaign_id_of(id)?).await?;
    campaign.ok_or(RevragError::NotFound("Campaign"))
}

/// The body, if it is declared as JSON (or not declared at all) and small enough.
async fn read_body(request: Request) -> Result<Bytes, RevragError> {
    if !is_json(request.headers()) {
        return Err(body::not_json());
    }
    let declared = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|bytes| usize::try_from(bytes).map_or(true, |bytes| bytes > BODY_BYTES_MAX)) {
        return Err(RevragError::TooLarge);
    }
    // The one other failure is a client that went away, which reads no answer.
    to_bytes(request.into_body(), BODY_BYTES_MAX)
        .await
        .map_err(|_| RevragError::TooLarge)
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(declared) = headers.get(CONTENT_TYPE) else {
        return true;
    };
    let essence = declared
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    essence.eq_ignore_ascii_case("application/json")
        || essence
            .rsplit_once('+')
            .is_some_and(|(_, suffix)| suffix.eq_ignore_ascii_case("json"))
}

/// Reads a body here, or, when that may take a while, on a thread where nothing waits for it.
async fn read_large<T: Send + 'static>(
    body: Bytes,
    read: impl FnOnce(&[u8]) -> Result<T, RevragError> + Send + 'static,
) -> Result<T, RevragError> {
    if body.len() < LARGE_BODY_BYTES {
        return read(&body);
    }
    match tokio::task::spawn_blocking(move || read(&body)).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "a body could not be read");
            Err(RevragError::Internal)
        }
    }
}

/// The headers of a webhook request ("Security & Headers"): `t=<seconds>,v1=<hex of HMAC-SHA256 over "<seconds>.<body>">`.
pub(crate) fn signature_headers(
    secret: &Secret,
    event: &str,
    event_id: &str,
    body: &str,
    timestamp: &str,
) -> [(&'static str, String); 4] {
    let signature = hex(&hmac_sha256(secret.expose().as_bytes(), &[timestamp, ".", body]));
    [
        ("X-Webhook-Event", event.to_owned()),
        ("X-Webhook-ID", event_id.to_owned()),
        ("X-Webhook-Timestamp", timestamp.to_owned()),
        ("X-Webhook-Signature", format!("t={timestamp},v1={signature}")),
    ]
}
