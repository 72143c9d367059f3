//! Campaigns: their rules and their life.

use super::error::{ApiError, ErrorBody};
use super::records::{Counts, counts};
use super::request::{Body, Caller, Id, Page, PageQuery, Patch, Query, Time, maybe_phone, name, within};
use crate::DialectState;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use carillon_app::{CampaignRefusal, NewCampaign};
use carillon_domain::call::RetryCondition;
use carillon_domain::campaign::calling_window::{DailyHours, MinuteOfDay, Weekday, ZoneName};
use carillon_domain::campaign::{self as domain, CampaignInput, CampaignPolicy, PolicyProblem};
use carillon_domain::ids::{AgentId, CampaignId, TrunkId};
use carillon_domain::workspace::Workspace;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// A campaign, as an operator writes it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CampaignBody {
    /// A name for people.
    name: String,
    /// Who talks.
    agent_id: Uuid,
    /// IANA name of the zone that its hours and days are in, such as `Asia/Kolkata`.
    time_zone: String,
    /// Hours and days on which it dials; null: always.
    #[serde(default)]
    calling_window: Option<Hours>,
    /// Hours in which a callee may be called, in every zone that the callee's number may be in; null: always.
    #[serde(default)]
    callee_hours: Option<Hours>,
    /// No first attempt before this day.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Date)]
    first_attempt_date: Option<Date>,
    /// First attempts ignore `first_attempt_date`, and nothing else.
    #[serde(default)]
    dial_first_attempt_immediately: bool,
    /// It starts then; null: when it is launched.
    #[serde(default)]
    starts_at: Option<Time>,
    /// It completes then; null: when somebody completes it.
    #[serde(default)]
    ends_at: Option<Time>,
    /// Most calls at once.
    #[serde(default = "ten")]
    #[schema(minimum = 1)]
    max_concurrent_calls: u32,
    /// When to dial again.
    #[serde(default)]
    retry: Retry,
    /// Most follow-ups per record.
    #[serde(default = "two")]
    max_follow_ups: u32,
    /// Most callbacks per record.
    #[serde(default = "two")]
    max_callbacks: u32,
    /// Most calls to one number on one day, over all campaigns of the workspace; null: any number.
    #[serde(default)]
    #[schema(minimum = 1)]
    max_calls_per_number_per_day: Option<u32>,
    /// Pushes are queued while it is paused instead of refused.
    #[serde(default)]
    accept_pushes_when_paused: bool,
    /// A number that the campaign already has is refused at push.
    #[serde(default)]
    skip_known_numbers: bool,
    /// Trunk; null: the workspace's first enabled one.
    #[serde(default)]
    trunk_id: Option<Uuid>,
    /// Number shown; null: the agent's, else the trunk's first.
    #[serde(default)]
    caller_id: Option<String>,
    /// Whether calls are recorded; null: as the agent says.
    #[serde(default)]
    record_calls: Option<bool>,
}

const fn ten() -> u32 {
    10
}

const fn two() -> u32 {
    2
}

/// Hours on some days of the week. When `start` is later than `end` they cross midnight.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Hours {
    /// `HH:MM`.
    #[schema(example = "09:00")]
    start: String,
    /// `HH:MM`, up to `24:00`; the first minute that is outside.
    #[schema(example = "21:00")]
    end: String,
    /// Days on which the hours start; all when left out.
    #[serde(default = "every_day")]
    #[schema(value_type = Vec<String>, example = json!(["monday", "tuesday"]))]
    days: Vec<Weekday>,
}

fn every_day() -> Vec<Weekday> {
    Weekday::ALL.to_vec()
}

/// When a record is dialled again.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Retry {
    /// Most attempts per record, the first included: 1 to 100.
    #[schema(minimum = 1, maximum = 100)]
    max_attempts: u32,
    /// Rules by outcome (`no_answer`, `busy`, `declined`, `not_connected`, `voicemail`, `dropped`, `silence`, `error`,
    /// `unknown`). An outcome that is not here is not retried.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, RetryRule>)]
    rules: BTreeMap<RetryCondition, RetryRule>,
}

/// How one outcome is retried.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RetryRule {
    /// Waits in seconds: the first after the first such outcome, and so on; the last one repeats.
    intervals_s: Vec<u32>,
    /// Most retries after this outcome; null: only `max_attempts` binds.
    #[serde(default)]
    max_retries: Option<u32>,
}

impl Default for Retry {
    fn default() -> Self {
        Self::of(&domain::RetryRules::default())
    }
}

impl Retry {
    fn of(rules: &domain::RetryRules) -> Self {
        let rule = |rule: &domain::RetryRule| RetryRule {
            intervals_s: rule.intervals_s.clone(),
            max_retries: rule.max_retries,
        };
        Self {
            max_attempts: rules.max_attempts,
            rules: rules
                .rules
                .iter()
                .map(|(condition, of)| (*condition, rule(of)))
                .collect(),
        }
    }

    fn into_rules(self) -> domain::RetryRules {
        let rule = |rule: RetryRule| domain::RetryRule {
            intervals_s: rule.intervals_s,
            max_retries: rule.max_retries,
        };
        domain::RetryRules {
            max_attempts: self.max_attempts,
            rules: self
                .rules
                .into_iter()
                .map(|(condition, of)| (condition, rule(of)))
                .collect(),
        }
    }
}

impl Hours {
    fn of(hours: &DailyHours) -> Option<Self> {
        (*hours != DailyHours::ALWAYS).then(|| Self {
            start: hours.start().to_string(),
            end: hours.end().to_string(),
            days: hours.days().iter().collect(),
        })
    }

    fn check(self, field: &str) -> Result<DailyHours, ApiError> {
        let minute = |name: &str, text: &str| {
            let message = || format!("`{text}` is no time of day such as 09:00 or 24:00");
            MinuteOfDay::parse(text).ok_or_else(|| ApiError::invalid_field(format!("{field}.{name}"), message()))
        };
        let (start, end) = (minute("start", &self.start)?, minute("end", &self.end)?);
        DailyHours::new(start, end, self.days.into_iter().collect())
            .map_err(|problem| ApiError::invalid_field(field, problem.to_string()))
    }
}

/// A campaign.
#[derive(Serialize, ToSchema)]
struct Campaign {
    id: Uuid,
    /// `draft`, `scheduled`, `running`, `paused`, `completed` or `cancelled`.
    status: &'static str,
    #[serde(flatten)]
    campaign: CampaignBody,
    created_at: Time,
    updated_at: Time,
    /// Its records by status; only where one campaign is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<Counts>,
}

impl CampaignBody {
    fn of(campaign: &domain::Campaign) -> Self {
        let policy = &campaign.policy;
        Self {
            name: campaign.name.clone(),
            agent_id: campaign.agent_id.uuid(),
            time_zone: policy.window.zone.to_string(),
            calling_window: Hours::of(&policy.window.hours),
            callee_hours: policy.quiet_hours.as_ref().and_then(|quiet| Hours::of(&quiet.allowed)),
            first_attempt_date: policy.first_attempt_date,
            dial_first_attempt_immediately: policy.dial_first_attempt_immediately,
            starts_at: policy.starts_at.map(Time),
            ends_at: policy.ends_at.map(Time),
            max_concurrent_calls: policy.max_concurrent_calls,
            retry: Retry::of(&policy.retry),
            max_follow_ups: policy.max_follow_ups,
            max_callbacks: policy.max_callbacks,
            max_calls_per_number_per_day: policy.max_calls_per_number_per_day,
            accept_pushes_when_paused: policy.accept_pushes_when_paused,
            skip_known_numbers: policy.skip_known_numbers,
            trunk_id: policy.trunk_id.map(TrunkId::uuid),
            caller_id: policy.caller_id.as_ref().map(|number| number.as_str().to_owned()),
            record_calls: policy.record_calls,
        }
    }

    async fn check(self, state: &DialectState, workspace: &Workspace) -> Result<NewCampaign, ApiError> {
        let zone = ZoneName::parse(&self.time_zone).map_err(|unknown| {
            let message = format!(
                "unknown time zone `{}`; use an IANA name such as Asia/Kolkata",
                unknown.0
            );
            ApiError::invalid_field("time_zone", message)
        })?;
        let window = match self.calling_window {
            Some(hours) => hours.check("calling_window")?,
            None => DailyHours::ALWAYS,
        };
        let quiet_hours = match self.callee_hours {
            Some(hours) => Some(domain::QuietHours {
                allowed: hours.check("callee_hours")?,
            }),
            None => None,
        };
        if let Some(cap) = self.max_calls_per_number_per_day {
            within("max_calls_per_number_per_day", cap, 1..=u32::MAX)?;
        }
        let policy = CampaignPolicy {
            window: window.in_zone(zone),
            quiet_hours,
            first_attempt_date: self.first_attempt_date,
            dial_first_attempt_immediately: self.dial_first_attempt_immediately,
            starts_at: self.starts_at.map(|at| at.0),
            ends_at: self.ends_at.map(|at| at.0),
            max_concurrent_calls: self.max_concurrent_calls,
            retry: self.retry.into_rules(),
            max_follow_ups: within("max_follow_ups", self.max_follow_ups, 0..=100)?,
            max_callbacks: within("max_callbacks", self.max_callbacks, 0..=100)?,
            max_calls_per_number_per_day: self.max_calls_per_number_per_day,
            accept_pushes_when_paused: self.accept_pushes_when_paused,
            skip_known_numbers: self.skip_known_numbers,
            trunk_id: super::trunks::existing(state, workspace, self.trunk_id).await?,
            caller_id: maybe_phone("caller_id", self.caller_id.as_deref(), workspace)?,
            record_calls: self.record_calls,
        };
        Ok(NewCampaign {
            name: name("name", &self.name)?,
            agent_id: AgentId::new(self.agent_id),
            policy,
        })
    }
}

fn shown(campaign: &domain::Campaign, records: Option<Counts>) -> Campaign {
    Campaign {
        id: campaign.id.uuid(),
        status: campaign.status.as_str(),
        campaign: CampaignBody::of(campaign),
        created_at: Time(campaign.created_at),
        updated_at: Time(campaign.updated_at),
        records,
    }
}

fn refused(refusal: CampaignRefusal) -> ApiError {
    let text = refusal.to_string();
    match refusal {
        CampaignRefusal::NotFound => ApiError::not_found("campaign"),
        CampaignRefusal::AgentNotFound => ApiError::invalid_field("agent_id", "there is no such agent"),
        CampaignRefusal::Lifecycle(_) => ApiError::conflict("wrong_status", text),
        CampaignRefusal::Policy(problem) => ApiError::invalid_field(blamed(&problem), text),
        CampaignRefusal::Save(refusal) => refusal.into(),
    }
}

const fn blamed(problem: &PolicyProblem) -> &'static str {
    match problem {
        PolicyProblem::NoLines => "max_concurrent_calls",
        PolicyProblem::Attempts => "retry.max_attempts",
        PolicyProblem::NoInterval | PolicyProblem::LongInterval => "retry.rules",
        PolicyProblem::EndsBeforeStart => "ends_at",
        PolicyProblem::Zone(_) => "time_zone",
    }
}

pub(super) fn routes() -> OpenApiRouter<DialectState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update))
        .routes(routes!(launch))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(complete))
        .routes(routes!(cancel))
}

/// The campaign of an id.
pub(super) async fn find(state: &DialectState, workspace: &Workspace, id: Uuid) -> Result<domain::Campaign, ApiError> {
    let campaign = state.app.store().campaign(workspace.id, CampaignId::new(id)).await?;
    campaign.ok_or_else(|| ApiError::not_found("campaign"))
}

/// All campaigns, newest first.
#[utoipa::path(get, path = "/campaigns", tag = "campaigns", params(PageQuery), responses((status = 200, body = Page<Campaign>)))]
async fn list(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Campaign>>, ApiError> {
    let campaigns = state.app.store().campaigns(workspace.id).await?;
    Page::cut(&campaigns, page, |campaign| shown(campaign, None)).map(Json)
}

/// Makes a campaign, as a draft.
#[utoipa::path(
    post, path = "/campaigns", tag = "campaigns", request_body = CampaignBody,
    responses((status = 201, body = Campaign), (status = 422, body = ErrorBody))
)]
async fn create(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Body(input): Body<CampaignBody>,
) -> Result<(StatusCode, Json<Campaign>), ApiError> {
    let new = input.check(&state, &workspace).await?;
    let campaign = state.app.create_campaign(workspace.id, new).await.map_err(refused)?;
    Ok((StatusCode::CREATED, Json(shown(&campaign, None))))
}

/// One campaign, with the counts of its records.
#[utoipa::path(
    get, path = "/campaigns/{id}", tag = "campaigns", params(("id" = Uuid, Path)),
    responses((status = 200, body = Campaign), (status = 404, body = ErrorBody))
)]
async fn get(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<Json<Campaign>, ApiError> {
    let campaign = find(&state, &workspace, id).await?;
    let records = counts(&state, &campaign).await?;
    Ok(Json(shown(&campaign, Some(records))))
}

/// Changes what is sent of a campaign, also while it runs.
#[utoipa::path(
    patch, path = "/campaigns/{id}", tag = "campaigns", params(("id" = Uuid, Path)),
    request_body(content = Object, description = "Any fields of a campaign"),
    responses((status = 200, body = Campaign), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody))
)]
async fn update(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
    patch: Patch,
) -> Result<Json<Campaign>, ApiError> {
    let current = find(&state, &workspace, id).await?;
    if current.status.has_ended() {
        let message = format!("a campaign that is {} does not change", current.status.as_str());
        return Err(ApiError::conflict("wrong_status", message));
    }
    let changed = patch
        .apply(&CampaignBody::of(&current))?
        .check(&state, &workspace)
        .await?;
    let campaign = state
        .app
        .update_campaign(workspace.id, current.id, changed)
        .await
        .map_err(refused)?;
    Ok(Json(shown(&campaign, None)))
}

async fn input(
    state: &DialectState,
    workspace: &Workspace,
    id: Uuid,
    input: CampaignInput,
) -> Result<Json<Campaign>, ApiError> {
    let campaign = state
        .app
        .campaign_input(workspace.id, CampaignId::new(id), input)
        .await
        .map_err(refused)?;
    Ok(Json(shown(&campaign, None)))
}

/// Starts a campaign, now or at its `starts_at`.
#[utoipa::path(
    post, path = "/campaigns/{id}/launch", tag = "campaigns", params(("id" = Uuid, Path)),
    responses((status = 200, body = Campaign), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
async fn launch(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<Json<Campaign>, ApiError> {
    input(&state, &workspace, id, CampaignInput::Launch).await
}

/// Stops dialling for now. Live calls go on.
#[utoipa::path(
    post, path = "/campaigns/{id}/pause", tag = "campaigns", params(("id" = Uuid, Path)),
    responses((status = 200, body = Campaign), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
async fn pause(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<Json<Campaign>, ApiError> {
    input(&state, &workspace, id, CampaignInput::Pause).await
}

/// Dials again.
#[utoipa::path(
    post, path = "/campaigns/{id}/resume", tag = "campaigns", params(("id" = Uuid, Path)),
    responses((status = 200, body = Campaign), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
async fn resume(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<Json<Campaign>, ApiError> {
    input(&state, &workspace, id, CampaignInput::Resume).await
}

/// Ends a campaign as done. Live calls go on; records that wait become `failed`.
#[utoipa::path(
    post, path = "/campaigns/{id}/complete", tag = "campaigns", params(("id" = Uuid, Path)),
    responses((status = 200, body = Campaign), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
async fn complete(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<Json<Campaign>, ApiError> {
    input(&state, &workspace, id, CampaignInput::Complete).await
}

/// Calls a campaign off. Live calls go on; records that wait become `failed`.
#[utoipa::path(
    post, path = "/campaigns/{id}/cancel", tag = "campaigns", params(("id" = Uuid, Path)),
    responses((status = 200, body = Campaign), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
async fn cancel(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<Json<Campaign>, ApiError> {
    input(&state, &workspace, id, CampaignInput::Cancel).await
}
