//! The do-not-call list of the workspace.

use super::error::{ApiError, ErrorBody};
use super::request::{Body, Caller, Page, PageQuery, Query, Text, Time, bytes, phone, slice};
use crate::DialectState;
use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::header::CONTENT_TYPE;
use carillon_domain::do_not_call as domain;
use carillon_domain::ids::CallId;
use carillon_domain::phone::PhoneNumber;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// Most numbers in one request.
const NUMBERS_MAX: usize = 100_000;
/// Numbers that are stored together.
const NUMBERS_PER_COMMIT: usize = 5_000;

/// What an entry binds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Scope {
    /// Every call.
    #[default]
    All,
    /// Campaigns and promotional calls.
    Marketing,
}

/// Numbers that must not be called.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Add {
    /// 1 to 100,000 numbers.
    phones: Vec<String>,
    /// What the entries bind.
    #[serde(default)]
    scope: Scope,
    /// Why, for people.
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AddQuery {
    /// What the entries of a CSV body bind: `all` or `marketing`.
    #[param(inline)]
    scope: Option<Scope>,
    /// Why, for the entries of a CSV body.
    reason: Option<String>,
}

/// What became of the numbers.
#[derive(Serialize, ToSchema)]
struct Added {
    /// How many are on the list now because of this, those included that were on it before.
    added: usize,
    /// What is no number.
    rejected: Vec<Rejected>,
}

/// Text that is no number.
#[derive(Serialize, ToSchema)]
struct Rejected {
    /// As it was sent.
    phone: String,
    error: String,
}

/// A number that must not be called.
#[derive(Serialize, ToSchema)]
struct Entry {
    phone: String,
    scope: Scope,
    reason: String,
    added_at: Time,
    /// The call on which the callee asked for it.
    call_id: Option<Uuid>,
}

fn shown(entry: &domain::DoNotCallEntry) -> Entry {
    Entry {
        phone: entry.phone.as_str().to_owned(),
        scope: match entry.scope {
            domain::DoNotCallScope::All => Scope::All,
            domain::DoNotCallScope::Marketing => Scope::Marketing,
        },
        reason: entry.reason.clone(),
        added_at: Time(entry.added_at),
        call_id: entry.call_id.map(CallId::uuid),
    }
}

pub(super) fn routes() -> OpenApiRouter<DialectState> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(get, remove))
}

/// The list, by number.
#[utoipa::path(get, path = "/do-not-call", tag = "do-not-call", params(PageQuery), responses((status = 200, body = Page<Entry>)))]
async fn list(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Entry>>, ApiError> {
    let slice = slice(page.offset, page.limit)?;
    let entries = state.app.store().do_not_call_list(workspace.id, slice).await?;
    Ok(Json(Page::of(entries, slice, shown)))
}

/// Adds numbers: as JSON, or as CSV (`text/csv`; a column `phone`, `phone_number` or `number`, else the first).
#[utoipa::path(
    post, path = "/do-not-call", tag = "do-not-call", params(AddQuery), request_body = Add,
    responses((status = 200, body = Added), (status = 422, body = ErrorBody))
)]
async fn add(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Query(query): Query<AddQuery>,
    request: Request,
) -> Result<Json<Added>, ApiError> {
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let add = if content_type.to_ascii_lowercase().starts_with("text/csv") {
        let text = bytes(request, &state).await?;
        let text = std::str::from_utf8(&text).map_err(|_| ApiError::invalid("the file is not UTF-8 text"))?;
        Add {
            phones: csv_numbers(text),
            scope: query.scope.unwrap_or_default(),
            reason: query.reason.unwrap_or_default(),
        }
    } else {
        Body::<Add>::from_request(request, &state).await?.0
    };
    if add.phones.is_empty() || add.phones.len() > NUMBERS_MAX {
        return Err(ApiError::invalid_field(
            "phones",
            format!("must have 1 to {NUMBERS_MAX} numbers"),
        ));
    }
    let mut numbers: Vec<PhoneNumber> = Vec::new();
    let mut rejected = Vec::new();
    for text in add.phones {
        match PhoneNumber::from_e164_shape(&text).map_or_else(|| PhoneNumber::parse(&text, &workspace.region), Ok) {
            Ok(number) => numbers.push(number),
            Err(problem) => rejected.push(Rejected {
                phone: text,
                error: problem.to_string(),
            }),
        }
    }
    numbers.sort();
    numbers.dedup();
    let scope = match add.scope {
        Scope::All => domain::DoNotCallScope::All,
        Scope::Marketing => domain::DoNotCallScope::Marketing,
    };
    for some in numbers.chunks(NUMBERS_PER_COMMIT) {
        state
            .app
            .add_do_not_call(workspace.id, some.to_vec(), scope, add.reason.trim())
            .await?;
    }
    Ok(Json(Added {
        added: numbers.len(),
        rejected,
    }))
}

/// The numbers of a CSV file: of the named column if its first line names one, else of the first.
fn csv_numbers(text: &str) -> Vec<String> {
    let mut rows = csv_rows(text.trim_start_matches('\u{feff}')).into_iter().peekable();
    let is_name = |cell: &String| {
        matches!(
            cell.trim().to_ascii_lowercase().as_str(),
            "phone" | "phone_number" | "number"
        )
    };
    let named = rows.peek().and_then(|head| head.iter().position(is_name));
    let column = named.unwrap_or(0);
    rows.skip(usize::from(named.is_some()))
        .filter_map(|mut row| (column < row.len()).then(|| row.swap_remove(column).trim().to_owned()))
        .filter(|cell| !cell.is_empty())
        .collect()
}

/// Rows and cells of RFC 4180; semicolons and tabs separate as well, as spreadsheets write them.
fn csv_rows(text: &str) -> Vec<Vec<String>> {
    let mut rows = vec![vec![String::new()]];
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let Some(row) = rows.last_mut() else { break };
        let Some(cell) = row.last_mut() else { break };
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' | ';' | '\t' if !quoted => row.push(String::new()),
            '\r' if !quoted => {}
            '\n' if !quoted => rows.push(vec![String::new()]),
            c => cell.push(c),
        }
    }
    rows
}

/// The entry of a number.
#[utoipa::path(
    get, path = "/do-not-call/{phone}", tag = "do-not-call", params(("phone" = String, Path)),
    responses((status = 200, body = Entry), (status = 404, body = ErrorBody))
)]
async fn get(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Text(text): Text,
) -> Result<Json<Entry>, ApiError> {
    let number = phone("phone", &text, &workspace)?;
    let entries = state.app.store().do_not_call(workspace.id, &[number]).await?;
    entries
        .first()
        .map(|entry| Json(shown(entry)))
        .ok_or_else(|| ApiError::not_found("number"))
}

/// Takes a number off the list.
#[utoipa::path(
    delete, path = "/do-not-call/{phone}", tag = "do-not-call", params(("phone" = String, Path)),
    responses((status = 200, body = Entry), (status = 404, body = ErrorBody))
)]
async fn remove(
    State(state): State<DialectState>,
    Caller(workspace): Caller,
    Text(text): Text,
) -> Result<Json<Entry>, ApiError> {
    let number = phone("phone", &text, &workspace)?;
    let entries = state
        .app
        .store()
        .do_not_call(workspace.id, std::slice::from_ref(&number))
        .await?;
    let entry = entries
        .first()
        .map(shown)
        .ok_or_else(|| ApiError::not_found("number"))?;
    state.app.remove_do_not_call(workspace.id, number).await?;
    Ok(Json(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_files_of_many_hands_are_read() {
        let table: [(&str, &[&str]); 7] = [
            ("+911\n+912\n", &["+911", "+912"]),
            ("phone\r\n+911\r\n", &["+911"]),
            (
                "\u{feff}Name,Phone_Number\n\"A, B\",+911\nC,\"+9 12\"\n",
                &["+911", "+9 12"],
            ),
            ("name;number\nA;+911\n\nB\n", &["+911"]),
            ("name\tnumber\nA\t+911", &["+911"]),
            ("\"say \"\"hi\"\"\"\n", &["say \"hi\""]),
            ("", &[]),
        ];
        for (text, expected) in table {
            assert_eq!(csv_numbers(text), expected, "{text:?}");
        }
    }
}
