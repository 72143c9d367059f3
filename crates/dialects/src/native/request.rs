//! What every handler needs of a request: the caller, ids, bodies, pages. Refusals name the place that is wrong.

use super::error::ApiError;
use crate::DialectState;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use carillon_domain::phone::PhoneNumber;
use carillon_domain::time::UnixMicros;
use carillon_domain::webhook::Dialect;
use carillon_domain::workspace::Workspace;
use carillon_interfaces::store::{Page as StorePage, Slice};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Bodies from this size on are read on a thread where that may take a while.
const LARGE_BODY_BYTES: usize = 128 << 10;

/// The workspace of the key.
pub(super) struct Caller(pub(super) Workspace);

impl FromRequestParts<DialectState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &DialectState) -> Result<Self, ApiError> {
        let secret = bearer(&parts.headers).ok_or_else(ApiError::unauthorized)?;
        let key = state
            .app
            .authenticate(Dialect::Native, secret)
            .await?
            .ok_or_else(ApiError::unauthorized)?;
        let workspace = state.app.store().workspace(key.workspace_id).await?;
        workspace.map(Self).ok_or_else(ApiError::unauthorized)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    let secret = secret.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty()).then_some(secret)
}

/// The one id in the path. What is no UUID names nothing.
pub(super) struct Id(pub(super) Uuid);

impl FromRequestParts<DialectState> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &DialectState) -> Result<Self, ApiError> {
        let Text(text) = Text::from_request_parts(parts, state).await?;
        text.parse().map(Self).map_err(|_| ApiError::not_found("it was"))
    }
}

/// The two ids in the path.
pub(super) struct Ids(pub(super) Uuid, pub(super) Uuid);

impl FromRequestParts<DialectState> for Ids {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &DialectState) -> Result<Self, ApiError> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((first, second)) = path.map_err(|_| ApiError::unknown_path())?;
        match (first.parse(), second.parse()) {
            (Ok(first), Ok(second)) => Ok(Self(first, second)),
            _ => Err(ApiError::not_found("it was")),
        }
    }
}

/// The one text in the path.
pub(super) struct Text(pub(super) String);

impl FromRequestParts<DialectState> for Text {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &DialectState) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(text)| Self(text)).map_err(|_| ApiError::unknown_path())
    }
}

/// A JSON body. Unknown fields are errors.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned + Send + 'static> FromRequest<DialectState> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &DialectState) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            let message = "send JSON, as `Content-Type: application/json`";
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                message,
            ));
        }
        let bytes = bytes(request, state).await?;
        if bytes.len() < LARGE_BODY_BYTES {
            return read_json(&bytes).map(Self);
        }
        match tokio::task::spawn_blocking(move || read_json(&bytes)).await {
            Ok(read) => read.map(Self),
            Err(error) => {
                tracing::error!(%error, "a body could not be read");
                Err(ApiError::internal())
            }
        }
    }
}

/// A change of what is there (RFC 7396): fields that are not sent stay, null takes away.
pub(super) struct Patch(Value);

impl FromRequest<DialectState> for Patch {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &DialectState) -> Result<Self, ApiError> {
        let Body(patch) = Body::<Value>::from_request(request, state).await?;
        if patch.is_object() {
            Ok(Self(patch))
        } else {
            Err(ApiError::invalid("send a JSON object"))
        }
    }
}

impl Patch {
    /// What is there, changed.
    pub(super) fn apply<T: Serialize + DeserializeOwned>(self, current: &T) -> Result<T, ApiError> {
        let mut merged = serde_json::to_value(current).map_err(|error| {
            tracing::error!(%error, "what is stored could not be written as JSON");
            ApiError::internal()
        })?;
        merge(&mut merged, self.0);
        serde_path_to_error::deserialize(merged).map_err(|error| invalid_json(&error))
    }
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(changes) = patch else {
        *target = patch;
        return;
    };
    // What becomes another kind of thing has other fields: none of the old ones stay.
    let other_kind = changes
        .get("kind")
        .is_some_and(|kind| target.get("kind").is_some_and(|old| old != kind));
    if other_kind || !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (name, change) in changes {
        if change.is_null() {
            fields.shift_remove(&name);
        } else {
            merge(fields.entry(name).or_insert(Value::Null), change);
        }
    }
}

pub(super) async fn bytes(request: Request, state: &DialectState) -> Result<Bytes, ApiError> {
    // The other failure is a client that went away, which reads no answer.
    Bytes::from_request(request, state)
        .await
        .map_err(|_| ApiError::too_large())
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

fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| invalid_json(&error))?;
    reader.end().map_err(|error| ApiError::invalid(error.to_string()))?;
    Ok(read)
}

fn invalid_json(error: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let message = error.inner().to_string();
    let path = error.path().to_string();
    // A `?` stands for a key that itself could not be read.
    match path.trim_end_matches(".?") {
        "." | "?" | "" => ApiError::invalid(message),
        path => ApiError::invalid_field(path, message),
    }
}

/// A query. Unknown names are errors.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<DialectState> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &DialectState) -> Result<Self, ApiError> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|axum::extract::Query(query)| Self(query)).map_err(|error| {
            // "Failed to deserialize query string: …": the reader knows what a query is.
            let text = error.body_text();
            ApiError::invalid(text.split_once(": ").map_or(text.as_str(), |(_, what)| what))
        })
    }
}

/// Which page of a list.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// Items to skip.
    #[serde(default)]
    #[param(default = 0)]
    pub(super) offset: u64,
    /// Items to return: 1 to 500.
    #[serde(default = "default_limit")]
    #[param(default = 50, minimum = 1, maximum = 500)]
    pub(super) limit: u32,
}

pub(super) const fn default_limit() -> u32 {
    50
}

/// The slice of a page, if the page is one that may be asked for.
pub(super) fn slice(offset: u64, limit: u32) -> Result<Slice, ApiError> {
    if (1..=500).contains(&limit) {
        Ok(Slice { offset, limit })
    } else {
        Err(ApiError::invalid_field("limit", "must be between 1 and 500"))
    }
}

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// The items of the page.
    pub(super) items: Vec<T>,
    /// How many there are in all.
    pub(super) total: u64,
    /// Items that were skipped.
    pub(super) offset: u64,
    /// Most items in a page.
    pub(super) limit: u32,
}

impl<T> Page<T> {
    /// A page that the store cut.
    pub(super) fn of<U>(page: StorePage<U>, slice: Slice, item: impl FnMut(&U) -> T) -> Self {
        let items = page.items.iter().map(item).collect();
        Self {
            items,
            total: page.total,
            offset: slice.offset,
            limit: slice.limit,
        }
    }

    /// A page of a list that is at hand as a whole.
    pub(super) fn cut<U>(all: &[U], query: PageQuery, item: impl FnMut(&U) -> T) -> Result<Self, ApiError> {
        let slice = slice(query.offset, query.limit)?;
        let skip = usize::try_from(slice.offset).unwrap_or(usize::MAX);
        let take = usize::try_from(slice.limit).unwrap_or(usize::MAX);
        let items = all.iter().skip(skip).take(take).map(item).collect();
        let total = u64::try_from(all.len()).unwrap_or(u64::MAX);
        Ok(Self {
            items,
            total,
            offset: slice.offset,
            limit: slice.limit,
        })
    }
}

/// A moment: RFC 3339 with an offset in, UTC with six digits after the second out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-05-27T03:00:00.000000Z")]
pub(super) struct Time(pub(super) UnixMicros);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let at = jiff::Timestamp::from_microsecond(self.0.micros()).unwrap_or(jiff::Timestamp::MAX);
        serializer.collect_str(&at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let at: jiff::Timestamp = text.parse().map_err(|_| {
            serde::de::Error::custom(format!(
                "`{text}` is no time such as 2026-05-27T03:00:00Z or 2026-05-27T08:30:00+05:30"
            ))
        })?;
        Ok(Self(UnixMicros(at.as_microsecond())))
    }
}

/// A number that an operator wrote: E.164 by its shape, or a valid number as it is dialled in the workspace's region.
pub(super) fn phone(field: &str, text: &str, workspace: &Workspace) -> Result<PhoneNumber, ApiError> {
    if let Some(number) = PhoneNumber::from_e164_shape(text) {
        return Ok(number);
    }
    PhoneNumber::parse(text, &workspace.region).map_err(|problem| ApiError::invalid_field(field, problem.to_string()))
}

/// The optional form of [`phone`].
pub(super) fn maybe_phone(
    field: &str,
    text: Option<&str>,
    workspace: &Workspace,
) -> Result<Option<PhoneNumber>, ApiError> {
    text.map(|text| phone(field, text, workspace)).transpose()
}

/// A name for people: something, and not a novel.
pub(super) fn name(field: &str, text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 200 {
        return Err(ApiError::invalid_field(field, "must have 1 to 200 characters"));
    }
    Ok(text.to_owned())
}

/// A number within bounds.
pub(super) fn within(field: &str, number: u32, bounds: std::ops::RangeInclusive<u32>) -> Result<u32, ApiError> {
    if bounds.contains(&number) {
        Ok(number)
    } else {
        Err(ApiError::invalid_field(
            field,
            format!("must be between {} and {}", bounds.start(), bounds.end()),
        ))
    }
}
