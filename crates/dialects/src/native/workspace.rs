//! The workspace of the key, and what the sandbox's numbers do.

use super::error::{ApiError, ErrorBody};
use super::request::{Caller, Page, PageQuery, Patch, Query, name, within};
use crate::DialectState;
use axum::Json;
use axum::extract::State;
use carillon_domain::phone::{PhoneNumber, PhoneProblem};
use carillon_domain::workspace as domain;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// The settings of a workspace.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// A name for people.
    name: String,
    /// `live`: calls go out over its trunks. `sandbox`: calls go to the built-in far end, nobody is rung.
    mode: Mode,
    /// CLDR region by which national numbers are read, such as `IN`.
    region: String,
    /// Regions that campaigns may call; empty: all.
    allowed_regions: Vec<String>,
    /// Most calls at once.
    #[schema(minimum = 1)]
    max_concurrent_calls: u32,
    /// Which of RevRag's two vocabularies its answers use.
    status_style: StatusStyle,
}

/// Whether calls leave this machine.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Live,
    Sandbox,
}

/// Which of RevRag's two status vocabularies is used.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum StatusStyle {
    /// Single calls in upper case, campaign calls in lower case.
    ByOrigin,
    /// `QUEUED`, `RUNNING`, `ENDED` everywhere.
    Upper,
    /// `queued`, `in_progress`, `completed`, `failed` everywhere.
    Lower,
}

/// A workspace.
#[derive(Serialize, ToSchema)]
struct Workspace {
    id: Uuid,
    #[serde(flatten)]
    settings: Settings,
}

impl Settings {
    fn of(workspace: &domain::Workspace) -> Self {
        Self {
            name: workspace.name.clone(),
            mode: match workspace.mode {
                domain::Mode::Live => Mode::Live,
                domain::Mode::Sandbox => Mode::Sandbox,
            },
            region: workspace.region.clone(),
            allowed_regions: workspace.allowed_regions.clone(),
            max_concurrent_calls: workspace.max_concurrent_calls,
            status_style: match workspace.status_style {
                domain::StatusStyle::ByOrigin => StatusStyle::ByOrigin,
                domain::StatusStyle::Upper => StatusStyle::Upper,
                domain::StatusStyle::Lower => StatusStyle::Lower,
            },
        }
    }

    fn check(self, old: &domain::Workspace) -> Result<domain::Workspace, ApiError> {
        for (index, region_name) in self.allowed_regions.iter().enumerate() {
            region(&format!("allowed_regions[{index}]"), region_name)?;
        }
        region("region", &self.region)?;
        Ok(domain::Workspace {
            id: old.id,
            name: name("name", &self.name)?,
            mode: match self.mode {
                Mode::Live => domain::Mode::Live,
                Mode::Sandbox => domain::Mode::Sandbox,
            },
            region: self.region,
            allowed_regions: self.allowed_regions,
            max_concurrent_calls: within("max_concurrent_calls", self.max_concurrent_calls, 1..=100_000)?,
            status_style: match self.status_style {
                StatusStyle::ByOrigin => domain::StatusStyle::ByOrigin,
                StatusStyle::Upper => domain::StatusStyle::Upper,
                StatusStyle::Lower => domain::StatusStyle::Lower,
            },
            version: old.version,
        })
    }
}

/// Any text will do to ask whether a region has numbers at all.
fn region(field: &str, text: &str) -> Result<(), ApiError> {
    match PhoneNumber::parse("1", text) {
        Err(PhoneProblem::UnknownRegion { .. }) => Err(ApiError::invalid_field(
            field,
            format!("`{text}` is no region such as IN or GB"),
        )),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn shown(workspace: &domain::Workspace) -> Workspace {
    Workspace {
        id: workspace.id.uuid(),
        settings: Settings::of(workspace),
    }
}

pub(super) fn routes() -> OpenApiRouter<DialectState> {
    OpenApiRouter::new()
        .routes(routes!(get, update))
        .routes(routes!(numbers))
}

/// The workspace of the key.
#[utoipa::path(get, path = "/workspace", tag = "workspace", responses((status = 200, body = Workspace)))]
async fn get(Caller(workspace): Caller) -> Json<Workspace> {
    Json(shown(&workspace))
}

/// Changes what is sent of the workspace's settings.
#[utoipa::path(
    patch, path = "/workspace", tag = "workspace",
    request_body(content = Object, description = "Any settings of a workspace"),
    responses((status = 200, body = Workspace), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody))
)]
async fn update(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    patch: Patch,
) -> Result<Json<Workspace>, ApiError> {
    let changed = patch.apply(&Settings::of(&workspace))?.check(&workspace)?;
    let saved = state.app.save_workspace(changed).await?;
    Ok(Json(shown(&saved)))
}

/// A number of the sandbox.
#[derive(Serialize, ToSchema)]
struct SandboxNumber {
    /// The last four digits; the others may be any.
    suffix: String,
    /// A short name of what happens.
    behaviour: String,
    /// What happens.
    description: String,
}

/// What the far end of a sandbox workspace does, by the last digits of the called number.
#[utoipa::path(
    get, path = "/sandbox/numbers", tag = "workspace", params(PageQuery),
    responses((status = 200, body = Page<SandboxNumber>))
)]
async fn numbers(
    State(state): State<DialectState>,
    Caller(_workspace): Caller,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<SandboxNumber>>, ApiError> {
    let number = |number: &crate::SandboxNumber| SandboxNumber {
        suffix: number.suffix.clone(),
        behaviour: number.behaviour.clone(),
        description: number.description.clone(),
    };
    Page::cut(&state.sandbox_numbers, page, number).map(Json)
}
