//! Agents: what talks on a call.

use super::error::{ApiError, ErrorBody};
use super::request::{Body, Caller, Id, Page, PageQuery, Patch, Query, Time, maybe_phone, name, within};
use super::script::Script;
use crate::DialectState;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use carillon_app::NewAgent;
use carillon_domain::agent as domain;
use carillon_domain::ids::{AgentId, TrunkId};
use carillon_domain::workspace::Workspace;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

const VARIABLE_KINDS: [&str; 5] = ["string", "number", "boolean", "date", "enum"];

/// An agent, as an operator writes it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AgentInput {
    /// A name for people.
    name: String,
    /// What it says.
    script: Script,
    /// Variables that a call may carry.
    #[serde(default)]
    variables: Vec<Variable>,
    /// Number shown to the callee; null: the trunk's first.
    #[serde(default)]
    caller_id: Option<String>,
    /// Trunk of single calls; null: the workspace's first enabled one.
    #[serde(default)]
    trunk_id: Option<Uuid>,
    /// How long a call may ring, in seconds: 5 to 300.
    #[serde(default = "ring_timeout_s")]
    #[schema(minimum = 5, maximum = 300)]
    ring_timeout_s: u32,
    /// How long an answered call may last, in seconds: 1 to 14400.
    #[serde(default = "max_duration_s")]
    #[schema(minimum = 1, maximum = 14_400)]
    max_duration_s: u32,
    /// Whether its calls are recorded.
    #[serde(default = "yes")]
    record_calls: bool,
    /// Inactive agents place no calls.
    #[serde(default = "yes")]
    active: bool,
}

const fn ring_timeout_s() -> u32 {
    45
}

const fn max_duration_s() -> u32 {
    600
}

const fn yes() -> bool {
    true
}

/// A variable that an agent expects.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Variable {
    /// Its name.
    name: String,
    /// `string`, `number`, `boolean`, `date` or `enum`.
    #[serde(rename = "type", default = "string")]
    kind: String,
    /// Used when a call does not carry the variable.
    #[serde(default)]
    default_value: Option<String>,
}

fn string() -> String {
    "string".to_owned()
}

/// An agent.
#[derive(Serialize, ToSchema)]
struct Agent {
    id: Uuid,
    #[serde(flatten)]
    agent: AgentInput,
    created_at: Time,
}

impl AgentInput {
    fn of(agent: &domain::Agent) -> Self {
        let variables = agent.variables.iter().map(|declared| Variable {
            name: declared.name.clone(),
            kind: declared.kind.clone(),
            default_value: declared.default_value.clone(),
        });
        Self {
            name: agent.name.clone(),
            script: Script::of(&agent.script),
            variables: variables.collect(),
            caller_id: agent.caller_id.as_ref().map(|number| number.as_str().to_owned()),
            trunk_id: agent.trunk_id.map(TrunkId::uuid),
            ring_timeout_s: agent.ring_timeout_s,
            max_duration_s: agent.max_duration_s,
            record_calls: agent.record_calls,
            active: agent.active,
        }
    }

    async fn check(self, state: &DialectState, workspace: &Workspace) -> Result<NewAgent, ApiError> {
        let trunk_id = super::trunks::existing(state, workspace, self.trunk_id).await?;
        Ok(NewAgent {
            name: name("name", &self.name)?,
            variables: check_variables(self.variables)?,
            script: self.script.check(state, workspace.id).await?,
            caller_id: maybe_phone("caller_id", self.caller_id.as_deref(), workspace)?,
            trunk_id,
            ring_timeout_s: within("ring_timeout_s", self.ring_timeout_s, 5..=300)?,
            max_duration_s: within("max_duration_s", self.max_duration_s, 1..=14_400)?,
            record_calls: self.record_calls,
            active: self.active,
        })
    }
}

fn check_variables(variables: Vec<Variable>) -> Result<Vec<domain::VariableDeclaration>, ApiError> {
    let mut names = BTreeSet::new();
    let mut declared = Vec::with_capacity(variables.len());
    for (index, variable) in variables.into_iter().enumerate() {
        let field = |field: &str| format!("variables[{index}].{field}");
        let name = name(&field("name"), &variable.name)?;
        if !names.insert(name.clone()) {
            return Err(ApiError::invalid_field(
                field("name"),
                format!("`{name}` is declared twice"),
            ));
        }
        if !VARIABLE_KINDS.contains(&variable.kind.as_str()) {
            let message = format!("must be one of {}", VARIABLE_KINDS.join(", "));
            return Err(ApiError::invalid_field(field("type"), message));
        }
        let default_value = variable.default_value;
        declared.push(domain::VariableDeclaration {
            name,
            kind: variable.kind,
            default_value,
        });
    }
    Ok(declared)
}

fn shown(agent: &domain::Agent) -> Agent {
    Agent {
        id: agent.id.uuid(),
        agent: AgentInput::of(agent),
        created_at: Time(agent.created_at),
    }
}

pub(super) fn routes() -> OpenApiRouter<DialectState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, remove))
}

async fn find(state: &DialectState, workspace: &Workspace, id: Uuid) -> Result<domain::Agent, ApiError> {
    let agent = state.app.store().agent(workspace.id, AgentId::new(id)).await?;
    agent.ok_or_else(|| ApiError::not_found("agent"))
}

/// All agents, oldest first.
#[utoipa::path(get, path = "/agents", tag = "agents", params(PageQuery), responses((status = 200, body = Page<Agent>)))]
async fn list(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Agent>>, ApiError> {
    let agents = state.app.store().agents(workspace.id).await?;
    Page::cut(&agents, page, shown).map(Json)
}

/// Makes an agent.
#[utoipa::path(
    post, path = "/agents", tag = "agents", request_body = AgentInput,
    responses((status = 201, body = Agent), (status = 422, body = ErrorBody))
)]
async fn create(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Body(input): Body<AgentInput>,
) -> Result<(StatusCode, Json<Agent>), ApiError> {
    let new = input.check(&state, &workspace).await?;
    let agent = state.app.save_agent(workspace.id, None, new).await?;
    Ok((StatusCode::CREATED, Json(shown(&agent))))
}

/// One agent.
#[utoipa::path(
    get, path = "/agents/{id}", tag = "agents", params(("id" = Uuid, Path)),
    responses((status = 200, body = Agent), (status = 404, body = ErrorBody))
)]
async fn get(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<Json<Agent>, ApiError> {
    find(&state, &workspace, id).await.map(|agent| Json(shown(&agent)))
}

/// Changes what is sent of an agent. Calls that were made already keep what they say.
#[utoipa::path(
    patch, path = "/agents/{id}", tag = "agents", params(("id" = Uuid, Path)),
    request_body(content = Object, description = "Any fields of an agent"),
    responses((status = 200, body = Agent), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody))
)]
async fn update(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
    patch: Patch,
) -> Result<Json<Agent>, ApiError> {
    let current = find(&state, &workspace, id).await?;
    let new = patch
        .apply(&AgentInput::of(&current))?
        .check(&state, &workspace)
        .await?;
    let agent = state.app.save_agent(workspace.id, Some(current.id), new).await?;
    Ok(Json(shown(&agent)))
}

/// Takes an agent away for good, unless a campaign or call that is not over, or an endpoint, names it. Past calls keep its id.
#[utoipa::path(
    delete, path = "/agents/{id}", tag = "agents", params(("id" = Uuid, Path)),
    responses((status = 200, body = Agent), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
async fn remove(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<Json<Agent>, ApiError> {
    let agent = find(&state, &workspace, id).await?;
    state.app.remove_agent(workspace.id, agent.id).await?;
    Ok(Json(shown(&agent)))
}
