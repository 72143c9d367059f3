//! Makes the HTTP requests of agents' tools: a tool, the model's arguments and the call's variables in, the answer's text out.
//!
//! Arguments are checked against the tool's JSON Schema, what is filled in is encoded for its place, and where the request goes is
//! guarded by `outbound`. What comes back is told to the model, so no error holds a header's value.

use crate::outbound::{self, GuardedClients};
use async_trait::async_trait;
use carillon_domain::http_tool::{HttpMethod, HttpTool};
use carillon_domain::model_agent::{fill_with, plain_text};
use carillon_interfaces::tools::{ToolError, ToolRunner};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, Url};
use serde_json::{Map, Value};
use std::time::Duration;

const TIMEOUT_MS_MAX: u32 = 30_000;
const ANSWER_BYTES_MAX: u32 = 256 * 1024;
/// Most of an answer's words that an error repeats, in characters.
const QUOTED_CHARS_MAX: usize = 400;
/// Parts of a header's value that are at least this long are taken for secrets.
const SECRET_BYTES_MIN: usize = 6;
/// Headers that belong to the request's form, not to its sense.
const RESERVED_HEADERS: [&str; 5] = ["host", "content-length", "transfer-encoding", "connection", "upgrade"];

/// Makes the requests of HTTP tools.
#[derive(Clone, Debug)]
pub struct HttpToolRunner {
    clients: GuardedClients,
}

impl HttpToolRunner {
    /// A runner whose requests go where `clients` may.
    pub fn new(clients: GuardedClients) -> Self {
        Self { clients }
    }

    async fn exchange(&self, prepared: Prepared) -> Result<String, ToolError> {
        let client = self.clients.client_for(&prepared.url).map_err(ToolError::Refused)?;
        let mut request = client
            .request(prepared.method.clone(), prepared.url.clone())
            .headers(prepared.headers.clone());
        if let Some(body) = &prepared.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let mut response = request.send().await.map_err(|error| error_of(&error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(ToolError::Status {
                status: status.as_u16(),
                body: "it points to another address, which is not followed".to_owned(),
            });
        }
        let text = read_text(&mut response, prepared.answer_bytes_max).await;
        if !status.is_success() {
            // What an error says is welcome, and not needed.
            let body: String = text.unwrap_or_default().chars().take(QUOTED_CHARS_MAX).collect();
            return Err(ToolError::Status {
                status: status.as_u16(),
                body: prepared.without_secrets(&body),
            });
        }
        let text = prepared.without_secrets(&text?);
        Ok(if text.is_empty() { "Done.".to_owned() } else { text })
    }
}

#[async_trait]
impl ToolRunner for HttpToolRunner {
    async fn run(&self, tool: &HttpTool, arguments: &str, variables: &Map<String, Value>) -> Result<String, ToolError> {
        let arguments = checked_arguments(&tool.parameters, arguments)?;
        let prepared = Prepared::new(tool, &arguments, variables)?;
        let timeout_ms = u64::from(tool.timeout_ms.min(TIMEOUT_MS_MAX));
        let exchange = self.exchange(prepared);
        let outcome = tokio::time::timeout(Duration::from_millis(timeout_ms), exchange)
            .await
            .unwrap_or(Err(ToolError::TimedOut(timeout_ms)));
        let label = if outcome.is_ok() { "done" } else { "failed" };
        metrics::counter!("carillon_tool_requests_total", "outcome" => label).increment(1);
        outcome
    }
}

/// The arguments, if they are an object that matches the schema.
fn checked_arguments(schema: &Value, text: &str) -> Result<Map<String, Value>, ToolError> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    let value: Value =
        serde_json::from_str(text).map_err(|error| ToolError::Arguments(format!("they are no JSON ({error})")))?;
    let validator = jsonschema::validator_for(schema)
        .map_err(|error| ToolError::Setup(format!("`parameters` is no JSON Schema: {}", short(&error.to_string()))))?;
    let problems: Vec<String> = validator
        .iter_errors(&value)
        .take(3)
        .map(|error| error.to_string())
        .collect();
    if !problems.is_empty() {
        return Err(ToolError::Arguments(short(&problems.join("; "))));
    }
    match value {
        Value::Object(arguments) => Ok(arguments),
        _ => Err(ToolError::Arguments("they must be an object".to_owned())),
    }
}

/// A request that is ready to be sent.
struct Prepared {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<String>,
    answer_bytes_max: usize,
    secrets: Vec<String>,
}

impl Prepared {
    fn new(tool: &HttpTool, arguments: &Map<String, Value>, variables: &Map<String, Value>) -> Result<Self, ToolError> {
        let value_of = |name: &str| arguments.get(name).or_else(|| variables.get(name));
        let headers = headers_of(tool, &value_of)?;
        let parts = headers
            .values()
            .filter_map(|value| value.to_str().ok())
            .flat_map(str::split_whitespace);
        let secrets = parts
            .filter(|part| part.len() >= SECRET_BYTES_MIN)
            .map(str::to_owned)
            .collect();
        Ok(Self {
            method: method_of(tool.method),
            url: url_of(&tool.url, &value_of)?,
            headers,
            body: body_of(tool, arguments, &value_of)?,
            answer_bytes_max: tool.answer_bytes_max.min(ANSWER_BYTES_MAX) as usize,
            secrets,
        })
    }

    fn without_secrets(&self, text: &str) -> String {
        self.secrets
            .iter()
            .fold(text.trim().to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

fn url_of<'a>(template: &str, value_of: &impl Fn(&str) -> Option<&'a Value>) -> Result<Url, ToolError> {
    let bad = |what: &str| ToolError::Setup(format!("its URL {what}"));
    let (scheme, rest) = template.split_once("://").ok_or_else(|| bad("has no scheme"))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if scheme.contains("{{") || authority.contains("{{") {
        return Err(bad("names its host by a variable; only path and query can be filled"));
    }
    if authority.contains('@') {
        return Err(bad("holds a user or password; use a header"));
    }
    let path_end = template.find(['?', '#']).unwrap_or(template.len());
    let (path, query) = template.split_at(path_end);
    let mut missing = None;
    let filled_path = fill_with(path, |name| {
        let text = value_of(name).map(plain_text).unwrap_or_default();
        if text.is_empty() {
            missing = Some(name.to_owned());
        }
        encoded(&text)
    });
    // An empty part would ask for something else than was meant, such as the whole list.
    if let Some(name) = missing {
        return Err(ToolError::Arguments(format!("`{name}` is needed")));
    }
    let is_step = |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    if filled_path.split('/').any(is_step) {
        return Err(ToolError::Arguments(
            "a part of the path cannot be `.` or `..`".to_owned(),
        ));
    }
    let filled_query = fill_with(query, |name| {
        encoded(&value_of(name).map(plain_text).unwrap_or_default())
    });
    Url::parse(&format!("{filled_path}{filled_query}")).map_err(|error| bad(&format!("cannot be read ({error})")))
}

/// Everything but unreserved characters in percent form (RFC 3986 section 2.3).
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn headers_of<'a>(tool: &HttpTool, value_of: &impl Fn(&str) -> Option<&'a Value>) -> Result<HeaderMap, ToolError> {
    let mut headers = HeaderMap::new();
    for header in &tool.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes())
            .ok()
            .filter(|name| !RESERVED_HEADERS.contains(&name.as_str()))
            .ok_or_else(|| ToolError::Setup(format!("`{}` is no header that can be set", short(&header.name))))?;
        let text = fill_with(header.value.expose(), |name| {
            value_of(name).map(plain_text).unwrap_or_default()
        });
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| ToolError::Arguments(format!("header `{name}` cannot hold what is filled in")))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

fn body_of<'a>(
    tool: &HttpTool,
    arguments: &Map<String, Value>,
    value_of: &impl Fn(&str) -> Option<&'a Value>,
) -> Result<Option<String>, ToolError> {
    if !tool.method.has_body() {
        return Ok(None);
    }
    let Some(template) = &tool.body else {
        return Ok(Some(Value::Object(arguments.clone()).to_string()));
    };
    let filled = fill_with(template, |name| value_of(name).unwrap_or(&Value::Null).to_string());
    match serde_json::from_str::<Value>(&filled) {
        Ok(_) => Ok(Some(filled)),
        Err(error) => Err(ToolError::Setup(format!(
            "its body is no JSON once it is filled ({error}); write `{{{{ name }}}}` without quotes around it"
        ))),
    }
}

fn method_of(method: HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Delete => Method::DELETE,
    }
}

async fn read_text(response: &mut Response, bytes_max: usize) -> Result<String, ToolError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| error_of(&error))? {
        if body.len() + chunk.len() > bytes_max {
            return Err(ToolError::Answer(format!("it is longer than {bytes_max} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).map_err(|_| ToolError::Answer("it is no text".to_owned()))
}

fn error_of(error: &reqwest::Error) -> ToolError {
    if let Some(reason) = outbound::refusal(error) {
        return ToolError::Refused(reason.to_owned());
    }
    let detail = outbound::causes(error).last().map(ToString::to_string);
    ToolError::Unreachable(short(&detail.unwrap_or_else(|| "the connection broke".to_owned())))
}

fn short(text: &str) -> String {
    text.chars().take(QUOTED_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn url(template: &str, values: Value) -> Result<String, ToolError> {
        let values = values.as_object().unwrap().clone();
        url_of(template, &|name| values.get(name)).map(|url| url.to_string())
    }

    #[test]
    fn what_is_filled_in_stays_in_its_place() {
        let base = "https://shop.example/orders/{{ id }}/status?q={{ q }}";
        for (values, expected) in [
            (
                json!({ "id": 7, "q": "a b&c=d#e" }),
                "https://shop.example/orders/7/status?q=a%20b%26c%3Dd%23e",
            ),
            (
                json!({ "id": "../admin", "q": "" }),
                "https://shop.example/orders/..%2Fadmin/status?q=",
            ),
            (
                json!({ "id": "?x", "q": "größe" }),
                "https://shop.example/orders/%3Fx/status?q=gr%C3%B6%C3%9Fe",
            ),
            (
                json!({ "id": "@evil.example", "q": null }),
                "https://shop.example/orders/%40evil.example/status?q=",
            ),
        ] {
            assert_eq!(url(base, values.clone()).unwrap(), expected, "{values}");
        }
        for values in [
            json!({ "id": ".." }),
            json!({ "id": "." }),
            json!({ "id": "" }),
            json!({}),
        ] {
            assert!(
                matches!(url(base, values.clone()), Err(ToolError::Arguments(_))),
                "{values}"
            );
        }
        let two = json!({ "a": ".", "b": "." });
        assert!(matches!(
            url("https://shop.example/x/{{a}}{{b}}/y", two),
            Err(ToolError::Arguments(_))
        ));
        for template in [
            "https://{{ host }}/x",
            "{{ scheme }}://a.example",
            "https://u:p@a.example/x",
            "no url",
            "https://",
        ] {
            let all = json!({ "host": "a", "scheme": "https" });
            assert!(matches!(url(template, all), Err(ToolError::Setup(_))), "{template}");
        }
    }

    #[test]
    fn arguments_are_held_to_the_schema() {
        let schema = json!({
            "type": "object", "required": ["id"], "additionalProperties": false,
            "properties": { "id": { "type": "string", "pattern": "^[A-Z]{2}[0-9]+$" }, "n": { "type": "integer", "minimum": 1 } },
        });
        for (text, fits) in [
            (r#"{"id":"AB12","n":3}"#, true),
            (r#"{"id":"AB12"}"#, true),
            (r#"{"id":"ab"}"#, false),
            (r#"{"id":"AB12","n":0}"#, false),
            (r#"{"id":"AB12","x":0}"#, false),
            ("{}", false),
            ("", false),
            ("[]", false),
            ("{", false),
        ] {
            let checked = checked_arguments(&schema, text);
            assert_eq!(checked.is_ok(), fits, "{text}: {checked:?}");
            assert!(fits || matches!(checked, Err(ToolError::Arguments(_))), "{text}");
        }
        let no_schema = json!({ "type": 7 });
        assert!(matches!(checked_arguments(&no_schema, "{}"), Err(ToolError::Setup(_))));
        assert!(matches!(
            checked_arguments(&json!({}), "7"),
            Err(ToolError::Arguments(_))
        ));
        let remote = json!({ "$ref": "http://127.0.0.1:9/schema" });
        assert!(
            matches!(checked_arguments(&remote, "{}"), Err(ToolError::Setup(_))),
            "schemas are not fetched"
        );
    }
}
