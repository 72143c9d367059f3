//! Trunks: SIP peers that carry calls. Passwords go in and never come out.

use super::error::{ApiError, ErrorBody};
use super::request::{Body, Caller, Id, Page, PageQuery, Patch, Query, name, phone, within};
use crate::DialectState;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use carillon_app::NewTrunk;
use carillon_domain::ids::TrunkId;
use carillon_domain::pii::Secret;
use carillon_domain::trunk as domain;
use carillon_domain::workspace::Workspace;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// A trunk, as an operator writes it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TrunkInput {
    /// A name for people, unique in the workspace.
    name: String,
    /// Host name or address of the peer.
    host: String,
    /// Port.
    #[serde(default = "sip_port")]
    port: u16,
    /// `udp` or `tcp`.
    #[serde(default)]
    transport: Transport,
    /// User name of digest credentials; null: none.
    #[serde(default)]
    username: Option<String>,
    /// Password of digest credentials. Never shown; left out of a change, it stays.
    #[serde(default, skip_serializing)]
    #[schema(write_only)]
    password: Option<String>,
    /// Domain for From and the request URI when it differs from `host`.
    #[serde(default)]
    domain: Option<String>,
    /// Numbers that may be shown to the callee; the first is the default.
    #[serde(default)]
    caller_ids: Vec<String>,
    /// How numbers are written on this trunk.
    #[serde(default)]
    number_format: NumberFormat,
    /// Codecs to offer, best first.
    #[serde(default = "both_laws")]
    codecs: Vec<Codec>,
    /// Most calls at once.
    #[serde(default = "lines")]
    #[schema(minimum = 1)]
    lines: u32,
    /// Most new calls in any sliding second.
    #[serde(default = "rate")]
    #[schema(minimum = 1)]
    calls_per_second: u32,
    /// Whether `P-Asserted-Identity` carries the caller id.
    #[serde(default)]
    assert_identity: bool,
    /// Whether this is a far end that rings nobody. A live workspace never uses it.
    #[serde(default)]
    sandbox: bool,
    /// Whether it may be used.
    #[serde(default = "yes")]
    enabled: bool,
}

const fn sip_port() -> u16 {
    5060
}
fn both_laws() -> Vec<Codec> {
    vec![Codec::Pcma, Codec::Pcmu]
}
const fn lines() -> u32 {
    30
}
const fn rate() -> u32 {
    5
}
const fn yes() -> bool {
    true
}

/// Transport of the signalling.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Transport {
    #[default]
    Udp,
    Tcp,
}

/// An audio codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Codec {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
}

/// How numbers are written in the request URI and From.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum NumberFormat {
    /// `+919876543210`
    #[default]
    E164,
    /// `919876543210`
    Digits,
    /// Without the country code and behind a prefix: `09876543210` for prefix `0`, country `91`.
    National {
        /// Country calling code without `+`.
        country_code: String,
        /// Put before national numbers.
        #[serde(default)]
        prefix: String,
        /// Put before other countries' numbers.
        #[serde(default)]
        international_prefix: String,
    },
}

/// A trunk.
#[derive(Serialize, ToSchema)]
struct Trunk {
    id: Uuid,
    #[serde(flatten)]
    trunk: TrunkInput,
    /// Whether a password is stored.
    has_password: bool,
}

impl TrunkInput {
    fn of(trunk: &domain::Trunk) -> Self {
        Self {
            name: trunk.name.clone(),
            host: trunk.host.clone(),
            port: trunk.port,
            transport: match trunk.transport {
                domain::Transport::Udp => Transport::Udp,
                domain::Transport::Tcp => Transport::Tcp,
            },
            username: trunk
                .credentials
                .as_ref()
                .map(|credentials| credentials.username.clone()),
            password: None,
            domain: trunk.domain.clone(),
            caller_ids: trunk
                .caller_ids
                .iter()
                .map(|number| number.as_str().to_owned())
                .collect(),
            number_format: match &trunk.number_format {
                domain::NumberFormat::E164 => NumberFormat::E164,
                domain::NumberFormat::Digits => NumberFormat::Digits,
                domain::NumberFormat::National {
                    country_code,
                    prefix,
                    international_prefix,
                } => NumberFormat::National {
                    country_code: country_code.clone(),
                    prefix: prefix.clone(),
                    international_prefix: international_prefix.clone(),
                },
            },
            codecs: trunk
                .codecs
                .iter()
                .map(|codec| match codec {
                    domain::Codec::Pcmu => Codec::Pcmu,
                    domain::Codec::Pcma => Codec::Pcma,
                })
                .collect(),
            lines: trunk.lines,
            calls_per_second: trunk.calls_per_second,
            assert_identity: trunk.assert_identity,
            sandbox: trunk.sandbox,
            enabled: trunk.enabled,
        }
    }

    /// The trunk. `old` keeps its password where none is sent.
    fn check(self, workspace: &Workspace, old: Option<&domain::Trunk>) -> Result<NewTrunk, ApiError> {
        let codecs: Vec<domain::Codec> = self
            .codecs
            .iter()
            .map(|codec| match codec {
                Codec::Pcmu => domain::Codec::Pcmu,
                Codec::Pcma => domain::Codec::Pcma,
            })
            .collect();
        if codecs.is_empty() || (1..codecs.len()).any(|index| codecs[..index].contains(&codecs[index])) {
            return Err(ApiError::invalid_field(
                "codecs",
                "must name each codec at most once, and at least one",
            ));
        }
        if self.port == 0 {
            return Err(ApiError::invalid_field("port", "must be between 1 and 65535"));
        }
        let caller_ids = self
            .caller_ids
            .iter()
            .enumerate()
            .map(|(index, text)| phone(&format!("caller_ids[{index}]"), text, workspace));
        Ok(NewTrunk {
            name: name("name", &self.name)?,
            host: host("host", &self.host)?,
            port: self.port,
            transport: match self.transport {
                Transport::Udp => domain::Transport::Udp,
                Transport::Tcp => domain::Transport::Tcp,
            },
            credentials: credentials(self.username, self.password, old)?,
            domain: self.domain.map(|domain| host("domain", &domain)).transpose()?,
            caller_ids: caller_ids.collect::<Result<_, _>>()?,
            number_format: self.number_format.check()?,
            codecs,
            lines: within("lines", self.lines, 1..=100_000)?,
            calls_per_second: within("calls_per_second", self.calls_per_second, 1..=10_000)?,
            assert_identity: self.assert_identity,
            sandbox: self.sandbox,
            enabled: self.enabled,
        })
    }
}

impl NumberFormat {
    fn check(self) -> Result<domain::NumberFormat, ApiError> {
        let digits = |text: &str| text.len() <= 8 && text.bytes().all(|byte| byte.is_ascii_digit());
        match self {
            Self::E164 => Ok(domain::NumberFormat::E164),
            Self::Digits => Ok(domain::NumberFormat::Digits),
            Self::National {
                country_code,
                prefix,
                international_prefix,
            } => {
                if country_code.is_empty()
                    || ![&country_code, &prefix, &international_prefix]
                        .iter()
                        .all(|text| digits(text))
                {
                    let message = "country_code and prefixes are digits; country_code has at least one";
                    return Err(ApiError::invalid_field("number_format", message));
                }
                Ok(domain::NumberFormat::National {
                    country_code,
                    prefix,
                    international_prefix,
                })
            }
        }
    }
}

fn credentials(
    username: Option<String>,
    password: Option<String>,
    old: Option<&domain::Trunk>,
) -> Result<Option<domain::Credentials>, ApiError> {
    let Some(username) = username.filter(|username| !username.is_empty()) else {
        return match password {
            Some(_) => Err(ApiError::invalid_field("username", "a password needs a user name")),
            None => Ok(None),
        };
    };
    if !username
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
    {
        return Err(ApiError::invalid_field(
            "username",
            "may have printable ASCII characters only",
        ));
    }
    let kept = old
        .and_then(|trunk| trunk.credentials.as_ref())
        .map(|credentials| credentials.password.clone());
    match password.map(Secret::new).or(kept) {
        Some(password) => Ok(Some(domain::Credentials { username, password })),
        None => Err(ApiError::invalid_field("password", "a user name needs a password")),
    }
}

/// A host name or address, without anything else.
fn host(field: &str, text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    let is_address = text
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<std::net::IpAddr>()
        .is_ok();
    let is_name = (1..=253).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if is_address || is_name {
        Ok(text.to_owned())
    } else {
        Err(ApiError::invalid_field(field, "must be a host name or an address"))
    }
}

fn shown(trunk: &domain::Trunk) -> Trunk {
    Trunk {
        id: trunk.id.uuid(),
        trunk: TrunkInput::of(trunk),
        has_password: trunk.credentials.is_some(),
    }
}

/// The id of a trunk of the workspace, if one is named.
pub(super) async fn existing(
    state: &DialectState,
    workspace: &Workspace,
    id: Option<Uuid>,
) -> Result<Option<TrunkId>, ApiError> {
    let Some(id) = id.map(TrunkId::new) else {
        return Ok(None);
    };
    match state.app.store().trunk(workspace.id, id).await? {
        Some(_) => Ok(Some(id)),
        None => Err(ApiError::invalid_field("trunk_id", "there is no such trunk")),
    }
}

pub(super) fn routes() -> OpenApiRouter<DialectState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, remove))
}

async fn find(state: &DialectState, workspace: &Workspace, id: Uuid) -> Result<domain::Trunk, ApiError> {
    let trunk = state.app.store().trunk(workspace.id, TrunkId::new(id)).await?;
    trunk.ok_or_else(|| ApiError::not_found("trunk"))
}

/// Names are how people tell trunks apart.
async fn check_name(
    state: &DialectState,
    workspace: &Workspace,
    name: &str,
    own: Option<TrunkId>,
) -> Result<(), ApiError> {
    let trunks = state.app.store().trunks(workspace.id).await?;
    if trunks.iter().any(|trunk| trunk.name == name && Some(trunk.id) != own) {
        return Err(ApiError::conflict(
            "exists",
            format!("there is a trunk named `{name}` already"),
        ));
    }
    Ok(())
}

/// All trunks, oldest first.
#[utoipa::path(get, path = "/trunks", tag = "trunks", params(PageQuery), responses((status = 200, body = Page<Trunk>)))]
async fn list(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Trunk>>, ApiError> {
    let trunks = state.app.store().trunks(workspace.id).await?;
    Page::cut(&trunks, page, shown).map(Json)
}

/// Makes a trunk.
#[utoipa::path(
    post, path = "/trunks", tag = "trunks", request_body = TrunkInput,
    responses((status = 201, body = Trunk), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody))
)]
async fn create(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Body(input): Body<TrunkInput>,
) -> Result<(StatusCode, Json<Trunk>), ApiError> {
    let new = input.check(&workspace, None)?;
    check_name(&state, &workspace, &new.name, None).await?;
    let trunk = state.app.save_trunk(workspace.id, None, new).await?;
    Ok((StatusCode::CREATED, Json(shown(&trunk))))
}

/// One trunk.
#[utoipa::path(
    get, path = "/trunks/{id}", tag = "trunks", params(("id" = Uuid, Path)),
    responses((status = 200, body = Trunk), (status = 404, body = ErrorBody))
)]
async fn get(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<Json<Trunk>, ApiError> {
    find(&state, &workspace, id).await.map(|trunk| Json(shown(&trunk)))
}

/// Changes what is sent of a trunk. Calls that are up stay as they are.
#[utoipa::path(
    patch, path = "/trunks/{id}", tag = "trunks", params(("id" = Uuid, Path)),
    request_body(content = Object, description = "Any fields of a trunk"),
    responses((status = 200, body = Trunk), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody))
)]
async fn update(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
    patch: Patch,
) -> Result<Json<Trunk>, ApiError> {
    let current = find(&state, &workspace, id).await?;
    let new = patch
        .apply(&TrunkInput::of(&current))?
        .check(&workspace, Some(&current))?;
    check_name(&state, &workspace, &new.name, Some(current.id)).await?;
    let trunk = state.app.save_trunk(workspace.id, Some(current.id), new).await?;
    Ok(Json(shown(&trunk)))
}

/// Takes a trunk away for good, unless an agent, or a campaign or call that is not over, names it. A trunk of the settings
/// file comes back at the next start.
#[utoipa::path(
    delete, path = "/trunks/{id}", tag = "trunks", params(("id" = Uuid, Path)),
    responses((status = 200, body = Trunk), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
async fn remove(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Id(id): Id,
) -> Result<Json<Trunk>, ApiError> {
    let trunk = find(&state, &workspace, id).await?;
    state.app.remove_trunk(workspace.id, trunk.id).await?;
    Ok(Json(shown(&trunk)))
}
