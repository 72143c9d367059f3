//! Records of a campaign: pushing them, looking at them, and why one is not dialled yet.

use super::campaigns::find as campaign_of;
use super::error::{ApiError, ErrorBody};
use super::request::{Body, Caller, Id, Ids, Page, Query, Time, default_limit, slice};
use crate::DialectState;
use axum::Json;
use axum::extract::State;
use carillon_app::{NewRecord, PushRefusal};
use carillon_domain::campaign::Campaign;
use carillon_domain::ids::RecordId;
use carillon_domain::phone::parse_for_regions;
use carillon_domain::record::{self as domain, RecordState, RecordStatus};
use carillon_domain::workspace::Workspace;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

const RECORDS_PER_PUSH_MAX: usize = 10_000;

/// How many records are in each status. The eight add up to `total`.
#[derive(Serialize, ToSchema)]
pub(super) struct Counts {
    total: u64,
    queued: u64,
    in_progress: u64,
    completed: u64,
    failed: u64,
    retry_pending: u64,
    follow_up_pending: u64,
    rescheduled: u64,
    dnc: u64,
}

/// Counts the records of a campaign.
pub(super) async fn counts(state: &DialectState, campaign: &Campaign) -> Result<Counts, ApiError> {
    let counts = state
        .app
        .store()
        .record_counts(campaign.workspace_id, campaign.id)
        .await?;
    let count = |status| counts.get(&status).copied().unwrap_or(0);
    Ok(Counts {
        total: counts.values().sum(),
        queued: count(RecordStatus::Queued),
        in_progress: count(RecordStatus::InProgress),
        completed: count(RecordStatus::Completed),
        failed: count(RecordStatus::Failed),
        retry_pending: count(RecordStatus::RetryPending),
        follow_up_pending: count(RecordStatus::FollowUpPending),
        rescheduled: count(RecordStatus::Rescheduled),
        dnc: count(RecordStatus::Dnc),
    })
}

/// Records to push.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Push {
    /// 1 to 10,000 records.
    #[schema(min_items = 1, max_items = 10_000)]
    records: Vec<PushRecord>,
}

/// A record to push.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PushRecord {
    /// The number to call.
    phone: String,
    /// Values for the agent.
    #[serde(default)]
    #[schema(value_type = Object)]
    variables: Map<String, Value>,
    /// The caller's own user id.
    #[serde(default)]
    app_user_id: Option<String>,
    /// The caller's own session id.
    #[serde(default)]
    app_session_id: Option<String>,
}

/// What became of a push, record by record in the order of the request.
#[derive(Serialize, ToSchema)]
struct Pushed {
    accepted: usize,
    rejected: usize,
    results: Vec<PushResult>,
}

/// What became of one record.
#[derive(Serialize, ToSchema)]
struct PushResult {
    /// As it was sent.
    phone: String,
    /// Its id, if it was taken.
    record_id: Option<Uuid>,
    /// Why it was not.
    error: Option<String>,
}

/// A record.
#[derive(Serialize, ToSchema)]
struct Record {
    id: Uuid,
    campaign_id: Uuid,
    phone: String,
    /// `queued`, `in_progress`, `completed`, `failed`, `retry_pending`, `follow_up_pending`, `rescheduled` or `dnc`.
    status: &'static str,
    #[schema(value_type = Object)]
    variables: Map<String, Value>,
    app_user_id: Option<String>,
    app_session_id: Option<String>,
    /// Attempts, oldest first.
    attempts: Vec<Attempt>,
    attempt_count: u32,
    max_attempts: u32,
    follow_ups: u32,
    callbacks: u32,
    /// The scheduled time of a retry, follow-up or callback.
    next_attempt_at: Option<Time>,
    /// When it is looked at next.
    due_at: Option<Time>,
    dnc_at: Option<Time>,
    dnc_reason: Option<String>,
    /// Why it ended without another call.
    final_reason: Option<String>,
    created_at: Time,
    updated_at: Time,
}

/// One attempt.
#[derive(Serialize, ToSchema)]
struct Attempt {
    call_id: Uuid,
    /// From 1.
    number: u32,
    /// `first`, `retry`, `follow_up` or `callback`.
    kind: &'static str,
    /// How it ended; null while it is live.
    outcome: Option<&'static str>,
    answered: bool,
}

/// Why a record is not dialled yet.
#[derive(Serialize, ToSchema)]
struct WhyNotYet {
    /// Its status.
    status: &'static str,
    /// The gates that hold it; empty: it is dialled at once, or not waiting.
    held: Vec<Held>,
}

/// A gate.
#[derive(Serialize, ToSchema)]
struct Held {
    /// Its name.
    gate: &'static str,
    /// A sentence for people.
    reason: &'static str,
    /// When it opens, where that is known.
    opens_at: Option<Time>,
}

fn shown(record: &domain::Record) -> Record {
    Record {
        id: record.id.uuid(),
        campaign_id: record.campaign_id.uuid(),
        phone: record.phone.as_str().to_owned(),
        status: record.status().as_str(),
        variables: record.variables.clone(),
        app_user_id: record.app_user_id.clone(),
        app_session_id: record.app_session_id.clone(),
        attempts: record.attempts.iter().map(attempt).collect(),
        attempt_count: record.attempt_count(),
        max_attempts: record.max_attempts,
        follow_ups: record.follow_ups,
        callbacks: record.callbacks,
        next_attempt_at: record.next_attempt_at().map(Time),
        due_at: match &record.state {
            RecordState::Waiting(waiting) => Some(Time(waiting.due_at)),
            _ => None,
        },
        dnc_at: record.dnc_at.map(Time),
        dnc_reason: record.dnc_reason.clone(),
        final_reason: record.final_reason.clone(),
        created_at: Time(record.created_at),
        updated_at: Time(record.updated_at),
    }
}

fn attempt(attempt: &domain::Attempt) -> Attempt {
    Attempt {
        call_id: attempt.call_id.uuid(),
        number: attempt.number,
        kind: attempt_kind(attempt.kind),
        outcome: attempt.outcome.map(carillon_domain::call::Outcome::as_str),
        answered: attempt.answered,
    }
}

/// The word for a kind of attempt.
pub(super) const fn attempt_kind(kind: domain::AttemptKind) -> &'static str {
    match kind {
        domain::AttemptKind::First => "first",
        domain::AttemptKind::Retry => "retry",
        domain::AttemptKind::FollowUp => "follow_up",
        domain::AttemptKind::Callback => "callback",
    }
}

pub(super) fn routes() -> OpenApiRouter<DialectState> {
    OpenApiRouter::new()
        .routes(routes!(list, push))
        .routes(routes!(get))
        .routes(routes!(why_not_yet))
        .routes(routes!(count))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only records in this status.
    status: Option<String>,
    /// Items to skip.
    #[serde(default)]
    #[param(default = 0)]
    offset: u64,
    /// Items to return: 1 to 500.
    #[serde(default = "default_limit")]
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: u32,
}

/// A campaign's records, newest first.
#[utoipa::path(
    get, path = "/campaigns/{id}/records", tag = "records", params(("id" = Uuid, Path), ListQuery),
    responses((status = 200, body = Page<Record>), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody))
)]
async fn list(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Record>>, ApiError> {
    let campaign = campaign_of(&state, &workspace, id).await?;
    let status = query.status.as_deref().map(status).transpose()?;
    let slice = slice(query.offset, query.limit)?;
    let page = state
        .app
        .store()
        .records(workspace.id, campaign.id, status, slice)
        .await?;
    Ok(Json(Page::of(page, slice, shown)))
}

fn status(word: &str) -> Result<RecordStatus, ApiError> {
    let message = || {
        format!(
            "must be one of {}",
            RecordStatus::ALL.map(RecordStatus::as_str).join(", ")
        )
    };
    RecordStatus::parse(word).ok_or_else(|| ApiError::invalid_field("status", message()))
}

/// Pushes records: each is taken or refused by itself, and what is taken is durable when this answers.
#[utoipa::path(
    post, path = "/campaigns/{id}/records", tag = "records", params(("id" = Uuid, Path)), request_body = Push,
    responses((status = 200, body = Pushed), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody))
)]
async fn push(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
    Body(push): Body<Push>,
) -> Result<Json<Pushed>, ApiError> {
    if push.records.is_empty() || push.records.len() > RECORDS_PER_PUSH_MAX {
        return Err(ApiError::invalid_field(
            "records",
            format!("must have 1 to {RECORDS_PER_PUSH_MAX} records"),
        ));
    }
    let campaign = campaign_of(&state, &workspace, id).await?;
    let mut refusals = Vec::with_capacity(push.records.len());
    let mut valid = Vec::with_capacity(push.records.len());
    for record in push.records {
        let phone = record.phone.clone();
        match new_record(record, &workspace) {
            Ok(record) => {
                valid.push(record);
                refusals.push((phone, None));
            }
            Err(why) => refusals.push((phone, Some(why))),
        }
    }
    let receipt = state
        .app
        .push_records(workspace.id, campaign.id, valid)
        .await
        .map_err(push_refused)?;
    let mut taken = receipt.results.into_iter();
    let results: Vec<_> = refusals
        .into_iter()
        .map(|(phone, refusal)| match refusal {
            Some(why) => PushResult {
                phone,
                record_id: None,
                error: Some(why),
            },
            None => match taken.next() {
                Some(Ok(id)) => PushResult {
                    phone,
                    record_id: Some(id.uuid()),
                    error: None,
                },
                Some(Err(refusal)) => PushResult {
                    phone,
                    record_id: None,
                    error: Some(refusal.to_string()),
                },
                None => PushResult {
                    phone,
                    record_id: None,
                    error: Some("the server failed".to_owned()),
                },
            },
        })
        .collect();
    let accepted = results.iter().filter(|result| result.record_id.is_some()).count();
    Ok(Json(Pushed {
        accepted,
        rejected: results.len() - accepted,
        results,
    }))
}

fn new_record(record: PushRecord, workspace: &Workspace) -> Result<NewRecord, String> {
    let phone = parse_for_regions(&record.phone, &workspace.region, &workspace.allowed_regions)
        .map_err(|problem| problem.to_string())?;
    let PushRecord {
        variables,
        app_user_id,
        app_session_id,
        ..
    } = record;
    Ok(NewRecord {
        phone,
        variables,
        app_user_id,
        app_session_id,
    })
}

fn push_refused(refusal: PushRefusal) -> ApiError {
    match refusal {
        PushRefusal::CampaignNotFound => ApiError::not_found("campaign"),
        PushRefusal::NotAccepting(status) => {
            let message = format!("a campaign that is {} takes no records", status.as_str());
            ApiError::conflict("wrong_status", message)
        }
        PushRefusal::Store(error) => error.into(),
    }
}

async fn find(
    state: &DialectState,
    workspace: &Workspace,
    campaign: Uuid,
    id: Uuid,
) -> Result<domain::Record, ApiError> {
    let record = state.app.store().record(workspace.id, RecordId::new(id)).await?;
    record
        .filter(|record| record.campaign_id.uuid() == campaign)
        .ok_or_else(|| ApiError::not_found("record"))
}

/// One record.
#[utoipa::path(
    get, path = "/campaigns/{id}/records/{record_id}", tag = "records",
    params(("id" = Uuid, Path), ("record_id" = Uuid, Path)),
    responses((status = 200, body = Record), (status = 404, body = ErrorBody))
)]
async fn get(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Ids(campaign, id): Ids,
) -> Result<Json<Record>, ApiError> {
    find(&state, &workspace, campaign, id)
        .await
        .map(|record| Json(shown(&record)))
}

/// The gates that hold a record back now, and when each opens.
#[utoipa::path(
    get, path = "/campaigns/{id}/records/{record_id}/why-not-yet", tag = "records",
    params(("id" = Uuid, Path), ("record_id" = Uuid, Path)),
    responses((status = 200, body = WhyNotYet), (status = 404, body = ErrorBody))
)]
async fn why_not_yet(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Ids(campaign, id): Ids,
) -> Result<Json<WhyNotYet>, ApiError> {
    let record = find(&state, &workspace, campaign, id).await?;
    let held = state.app.why_not_yet(&record).await?;
    let held = held.into_iter().map(|held| Held {
        gate: held.gate.as_str(),
        reason: held.gate.describe(),
        opens_at: held.opens_at.map(Time),
    });
    Ok(Json(WhyNotYet {
        status: record.status().as_str(),
        held: held.collect(),
    }))
}

/// How many records are in each status.
#[utoipa::path(
    get, path = "/campaigns/{id}/counts", tag = "records", params(("id" = Uuid, Path)),
    responses((status = 200, body = Counts), (status = 404, body = ErrorBody))
)]
async fn count(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<Json<Counts>, ApiError> {
    let campaign = campaign_of(&state, &workspace, id).await?;
    counts(&state, &campaign).await.map(Json)
}
