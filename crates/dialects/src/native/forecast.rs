//! What a campaign will probably do.

use super::error::{ApiError, ErrorBody};
use super::request::{Caller, Id, Query, Time};
use crate::DialectState;
use axum::Json;
use axum::extract::State;
use carillon_app::ForecastRefusal;
use carillon_domain::campaign::forecast::{self as domain, Assumptions};
use carillon_domain::ids::CampaignId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// Numbers that will never be called: as many of them as are listed.
const NEVER_LISTED_MAX: usize = 1_000;

/// What is assumed.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct ForecastQuery {
    /// Share of attempts that somebody answers.
    #[param(default = 0.3, minimum = 0.0, maximum = 1.0)]
    answer_rate: f64,
    /// Share of attempts that end busy.
    #[param(default = 0.05, minimum = 0.0, maximum = 1.0)]
    busy_rate: f64,
    /// Share of attempts that the network does not connect. The rest ring out.
    #[param(default = 0.05, minimum = 0.0, maximum = 1.0)]
    not_connected_rate: f64,
    /// Mean time to an answer, in seconds.
    #[param(default = 12, minimum = 1, maximum = 7_200)]
    ring_s: u32,
    /// Mean length of an answered call, in seconds.
    #[param(default = 60, minimum = 1, maximum = 7_200)]
    talk_s: u32,
    /// Chooses who answers: the same seed gives the same forecast.
    #[param(default = 1)]
    seed: u64,
    /// How many days to look ahead.
    #[param(default = 60, minimum = 1, maximum = 400)]
    days: u32,
    /// Records to imagine beside those that are there, with numbers like the caller id: a draft takes no pushes yet.
    #[param(default = 0, maximum = 100_000)]
    imagined_records: u32,
}

impl Default for ForecastQuery {
    fn default() -> Self {
        let Assumptions {
            answer_rate,
            busy_rate,
            not_connected_rate,
            ring_s,
            talk_s,
            seed,
            days,
        } = Assumptions::default();
        Self {
            answer_rate,
            busy_rate,
            not_connected_rate,
            ring_s,
            talk_s,
            seed,
            days,
            imagined_records: 0,
        }
    }
}

/// What a campaign will probably do, if it is started now.
#[derive(Serialize, ToSchema)]
struct Forecast {
    campaign_id: Uuid,
    /// What was assumed. Calls of other campaigns are not foreseen.
    assumptions: Assumed,
    /// Records that are not final yet, imagined ones included.
    records: u64,
    /// The first call; null: nobody is called.
    starts_at: Option<Time>,
    /// When the last record is final, or the end date comes; null: not within the days looked at.
    ends_at: Option<Time>,
    /// The end date comes before the records are done.
    cut_off: bool,
    /// Calls in all.
    calls: u64,
    /// Those that are answered.
    answered: u64,
    /// Seconds of talk in all.
    talk_s: u64,
    /// Most calls at once.
    peak_lines: u32,
    /// The zone of `days` and `hours`.
    time_zone: String,
    /// Calls by day; days without calls are left out.
    days: Vec<Slot>,
    /// Calls by hour; hours without calls are left out.
    hours: Vec<Slot>,
    /// What becomes of the records, by status.
    statuses: BTreeMap<&'static str, u64>,
    /// The gates that hold records at the beginning, the one with the most records first.
    held: Vec<Held>,
    /// How long gates keep the whole campaign waiting while records are due, the longest first: the bottleneck.
    waits: Vec<Wait>,
    /// How many records will never be called.
    never_called_total: u64,
    /// The first thousand of them.
    never_called: Vec<NeverCalled>,
}

/// What was assumed.
#[derive(Serialize, ToSchema)]
struct Assumed {
    answer_rate: f64,
    busy_rate: f64,
    not_connected_rate: f64,
    ring_s: u32,
    talk_s: u32,
    seed: u64,
    days: u32,
    imagined_records: u32,
}

/// Calls of a day or an hour.
#[derive(Serialize, ToSchema)]
struct Slot {
    /// `2026-05-27` or `2026-05-27T09:00:00`, by the clock of the campaign's zone.
    #[schema(example = "2026-05-27T09:00:00")]
    starts: String,
    calls: u64,
    answered: u64,
    peak_lines: u32,
}

impl Slot {
    fn of<T: ToString>(slot: &domain::Slot<T>) -> Self {
        Self {
            starts: slot.starts.to_string(),
            calls: slot.calls,
            answered: slot.answered,
            peak_lines: slot.peak_lines,
        }
    }
}

/// Records that a gate holds at the beginning.
#[derive(Serialize, ToSchema)]
struct Held {
    gate: &'static str,
    reason: &'static str,
    records: u64,
    /// When it opens for the first of them, if that is known.
    first_opens_at: Option<Time>,
    /// When it opens for the last of them, if that is known.
    last_opens_at: Option<Time>,
}

/// A gate that keeps the whole campaign waiting.
#[derive(Serialize, ToSchema)]
struct Wait {
    gate: &'static str,
    reason: &'static str,
    seconds: u64,
}

/// A record that will never be called.
#[derive(Serialize, ToSchema)]
struct NeverCalled {
    record_id: Uuid,
    phone: String,
    /// `never_opens` or `destination_refused`.
    gate: &'static str,
}

fn shown(
    campaign: &carillon_domain::campaign::Campaign,
    forecast: &domain::Forecast,
    asked: ForecastQuery,
) -> Forecast {
    let mut held: Vec<Held> = forecast
        .held
        .iter()
        .map(|(gate, held)| Held {
            gate: gate.as_str(),
            reason: gate.describe(),
            records: held.records,
            first_opens_at: held.first_opens_at.map(Time),
            last_opens_at: held.last_opens_at.map(Time),
        })
        .collect();
    held.sort_by_key(|held| std::cmp::Reverse(held.records));
    let mut waits: Vec<Wait> = forecast
        .waited_s
        .iter()
        .map(|(gate, seconds)| Wait {
            gate: gate.as_str(),
            reason: gate.describe(),
            seconds: *seconds,
        })
        .collect();
    waits.sort_by_key(|wait| std::cmp::Reverse(wait.seconds));
    let never = |never: &domain::NeverCalled| NeverCalled {
        record_id: never.record_id.uuid(),
        phone: never.phone.as_str().to_owned(),
        gate: never.gate.as_str(),
    };
    Forecast {
        campaign_id: campaign.id.uuid(),
        assumptions: Assumed {
            answer_rate: asked.answer_rate,
            busy_rate: asked.busy_rate,
            not_connected_rate: asked.not_connected_rate,
            ring_s: asked.ring_s,
            talk_s: asked.talk_s,
            seed: asked.seed,
            days: asked.days,
            imagined_records: asked.imagined_records,
        },
        records: forecast.records,
        starts_at: forecast.starts_at.map(Time),
        ends_at: forecast.ends_at.map(Time),
        cut_off: forecast.cut_off,
        calls: forecast.calls,
        answered: forecast.answered,
        talk_s: forecast.talk_s,
        peak_lines: forecast.peak_lines,
        time_zone: campaign.policy.window.zone.to_string(),
        days: forecast.days.iter().map(Slot::of).collect(),
        hours: forecast.hours.iter().map(Slot::of).collect(),
        statuses: forecast
            .statuses
            .iter()
            .map(|(status, records)| (status.as_str(), *records))
            .collect(),
        held,
        waits,
        never_called_total: u64::try_from(forecast.never.len()).unwrap_or(u64::MAX),
        never_called: forecast.never.iter().take(NEVER_LISTED_MAX).map(never).collect(),
    }
}

fn refused(refusal: ForecastRefusal) -> ApiError {
    let text = refusal.to_string();
    match refusal {
        ForecastRefusal::NotFound => ApiError::not_found("campaign"),
        ForecastRefusal::Lifecycle(_) => ApiError::conflict("wrong_status", text),
        ForecastRefusal::Assumptions(problem) => ApiError::invalid_field(problem.field(), text),
        ForecastRefusal::TooManyRecords => ApiError::conflict("too_many_records", text),
        ForecastRefusal::TooManyImagined => ApiError::invalid_field("imagined_records", text),
        ForecastRefusal::NoCallerId => ApiError::conflict("no_caller_id", text),
        ForecastRefusal::Store(error) => error.into(),
    }
}

pub(super) fn routes() -> OpenApiRouter<DialectState> {
    OpenApiRouter::new().routes(routes!(forecast))
}

/// What a campaign will probably do if it is started now: its own rules on a virtual clock, over the records it has. Nothing
/// is stored or dialled.
#[utoipa::path(
    get, path = "/campaigns/{id}/forecast", tag = "campaigns", params(("id" = Uuid, Path), ForecastQuery),
    responses(
        (status = 200, body = Forecast), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 422, body = ErrorBody)
    )
)]
async fn forecast(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
    Query(asked): Query<ForecastQuery>,
) -> Result<Json<Forecast>, ApiError> {
    let assumptions = Assumptions {
        answer_rate: asked.answer_rate,
        busy_rate: asked.busy_rate,
        not_connected_rate: asked.not_connected_rate,
        ring_s: asked.ring_s,
        talk_s: asked.talk_s,
        seed: asked.seed,
        days: asked.days,
    };
    let (campaign, forecast) = state
        .app
        .forecast(workspace.id, CampaignId::new(id), assumptions, asked.imagined_records)
        .await
        .map_err(refused)?;
    Ok(Json(shown(&campaign, &forecast, asked)))
}
