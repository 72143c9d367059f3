//! HTTP to hosted services: shared connections, endpoints with their key, and what an exchange can come to.

use bytes::Bytes;
use carillon_domain::pii::Secret;
use carillon_interfaces::language_model::ModelError;
use carillon_interfaces::speech::SpeechError;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use std::error::Error;
use std::time::{Duration, SystemTime};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Most of a refusal's body that is read, and how long that may take.
const REFUSAL_BYTES_MAX: usize = 16 * 1024;
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Most of a server's own words that an error repeats, in characters.
const MESSAGE_CHARS_MAX: usize = 300;

/// Connections to hosted services. Cheap to clone; all clones share one pool.
#[derive(Clone, Debug)]
pub struct Connections(Client);

/// Settings that no service can be reached with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// A base URL cannot be used; which, and why.
    #[error("{setting}: {problem}\n  fix: write where the API begins, such as `https://api.example.com/v1`")]
    BaseUrl {
        /// The setting's name.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A key holds characters that no header can carry.
    #[error("{0}: the key holds characters that a key cannot have\n  fix: copy it again, without line ends")]
    Key(&'static str),
    /// A setting that must be given is empty.
    #[error("{0} is empty\n  fix: give it, or leave the whole section out")]
    Missing(&'static str),
    /// TLS cannot be set up.
    #[error("no connection can be made from here: {0}")]
    Tls(String),
}

impl Connections {
    /// A pool with no connections yet.
    pub fn new() -> Result<Self, SetupError> {
        // Whoever comes first installs it; a second call changes nothing.
        drop(rustls::crypto::ring::default_provider().install_default());
        Client::builder()
            .user_agent(concat!("Carillon/", env!("CARGO_PKG_VERSION")))
            // A redirect would carry a caller's words, and perhaps the key, to a host that nobody configured.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .build()
            .map(Self)
            .map_err(|error| SetupError::Tls(innermost(&error)))
    }
}

/// How a service wants its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyStyle {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// `Authorization: Token KEY`, as Deepgram wants it.
    Token,
    /// `xi-api-key: KEY`, as ElevenLabs wants it.
    XiApiKey,
}

/// A service at its base URL, with its key.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    connections: Connections,
    base: Url,
    key: Secret,
    headers: HeaderMap,
}

impl Endpoint {
    /// `setting` is the section that errors name.
    pub(crate) fn new(
        connections: &Connections,
        base_url: &str,
        key: &Secret,
        style: KeyStyle,
        setting: &'static str,
    ) -> Result<Self, SetupError> {
        let base = base_of(base_url).map_err(|problem| SetupError::BaseUrl { setting, problem })?;
        let mut headers = HeaderMap::new();
        if !key.expose().is_empty() {
            let (name, text) = match style {
                KeyStyle::Bearer => ("authorization", format!("Bearer {}", key.expose())),
                KeyStyle::Token => ("authorization", format!("Token {}", key.expose())),
                KeyStyle::XiApiKey => ("xi-api-key", key.expose().to_owned()),
            };
            let mut value = HeaderValue::from_str(&text).map_err(|_| SetupError::Key(setting))?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(Self {
            connections: connections.clone(),
            base,
            key: key.clone(),
            headers,
        })
    }

    /// The host, with its port if it is not the scheme's own.
    pub(crate) fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        self.base
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The address of `path` below the base, given without a leading slash.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        url
    }

    /// The headers that carry the key.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Posts, and waits for the reply's head; anything but 2xx is a failure with the server's own words.
    pub(crate) async fn post(&self, url: Url, content_type: &str, body: Bytes) -> Result<Response, Failure> {
        let response = self
            .connections
            .0
            .post(url)
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, content_type)
            .body(body)
            .send()
            .await
            .map_err(|error| self.failure_of(&error))?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.refusal(response).await)
        }
    }

    /// The next part of a reply's body.
    pub(crate) async fn chunk(&self, response: &mut Response) -> Result<Option<Bytes>, Failure> {
        response.chunk().await.map_err(|error| self.failure_of(&error))
    }

    /// The rest of a reply's body, at most `bytes_max` long.
    pub(crate) async fn body(&self, response: &mut Response, bytes_max: usize) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(response).await? {
            if body.len() + chunk.len() > bytes_max {
                return Err(Failure::Garbage(format!("it is longer than {bytes_max} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// A server's words as an error may repeat them: short, on one line, without the key.
    pub(crate) fn quoted(&self, words: &str) -> String {
        let key = self.key.expose();
        let clean = if key.is_empty() {
            words.to_owned()
        } else {
            words.replace(key, "***")
        };
        let line = clean.split_whitespace().collect::<Vec<_>>().join(" ");
        line.chars()
            .filter(|c| !c.is_control())
            .take(MESSAGE_CHARS_MAX)
            .collect()
    }

    async fn refusal(&self, mut response: Response) -> Failure {
        let status = response.status();
        match status {
            StatusCode::UNAUTHORIZED => return Failure::Unauthorized,
            StatusCode::TOO_MANY_REQUESTS => {
                return Failure::RateLimited {
                    retry_after: retry_after(response.headers(), SystemTime::now()),
                };
            }
            status if status.is_redirection() => {
                return Failure::Refused {
                    status: status.as_u16(),
                    message: "it points to another address, which is not followed; write that one as the base URL"
                        .to_owned(),
                };
            }
            _ => {}
        }
        let is_words = media_type(&response).is_none_or(|kind| kind.ends_with("json") || kind == "text/plain");
        let body = tokio::time::timeout(REFUSAL_TIMEOUT, read_some(&mut response, REFUSAL_BYTES_MAX))
            .await
            .unwrap_or_default();
        let message = if is_words {
            self.quoted(&words_of(&body))
        } else {
            String::new()
        };
        Failure::Refused {
            status: status.as_u16(),
            message: if message.is_empty() {
                status.canonical_reason().unwrap_or("no reason given").to_owned()
            } else {
                message
            },
        }
    }

    fn failure_of(&self, error: &reqwest::Error) -> Failure {
        let detail = self.quoted(&innermost(error));
        if error.is_connect() {
            Failure::Unreachable(detail)
        } else if error.is_request() && !error.is_body() {
            // It broke before the reply's head was there.
            Failure::Unreachable(format!("the connection broke: {detail}"))
        } else {
            Failure::BrokenOff
        }
    }
}

/// What an exchange came to, if not to a reply. Time-outs are the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection, or it broke before the reply.
    Unreachable(String),
    /// 401.
    Unauthorized,
    /// 429.
    RateLimited {
        /// How long to wait, if it says.
        retry_after: Option<Duration>,
    },
    /// Any other status that is no success.
    Refused {
        /// HTTP status.
        status: u16,
        /// The server's words, cleaned.
        message: String,
    },
    /// The reply cannot be read.
    Garbage(String),
    /// The reply broke off.
    BrokenOff,
}

impl From<Failure> for ModelError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(detail) => Self::Unreachable(detail),
            Failure::Unauthorized => Self::Unauthorized,
            Failure::RateLimited { retry_after } => Self::RateLimited { retry_after },
            Failure::Refused { status, message } => Self::Refused { status, message },
            Failure::Garbage(what) => Self::Garbage(what),
            Failure::BrokenOff => Self::BrokenOff,
        }
    }
}

impl From<Failure> for SpeechError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(detail) => Self::Unavailable(format!("the server cannot be reached: {detail}")),
            Failure::Unauthorized => Self::Unavailable("the server refuses the key; check the settings".to_owned()),
            Failure::RateLimited { .. } => Self::Busy,
            Failure::Refused { status, message } => {
                Self::Provider(format!("it refuses the request ({status}): {message}"))
            }
            Failure::Garbage(what) => Self::Provider(format!("its answer cannot be read: {what}")),
            Failure::BrokenOff => Self::Provider("its answer broke off".to_owned()),
        }
    }
}

/// The type of a reply without its parameters, in lower case.
pub(crate) fn media_type(response: &Response) -> Option<String> {
    let value = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = value.split(';').next().unwrap_or_default().trim();
    Some(kind.to_ascii_lowercase())
}

fn base_of(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).map_err(|error| format!("`base_url` is no URL ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("`base_url` is neither https nor http".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("`base_url` holds a user or password; the key has a setting of its own".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("`base_url` has a query or fragment".to_owned());
    }
    Ok(url)
}

/// The deepest cause of an error. The outer ones name the URL.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

async fn read_some(response: &mut Response, bytes_max: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= bytes_max {
            body.truncate(bytes_max);
            break;
        }
    }
    body
}

/// The message in an error's body, in any of the shapes that servers use, or else the body itself.
fn words_of(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else {
        return text.into_owned();
    };
    let places = [
        "/error/message",
        "/error",
        "/message",
        "/err_msg",
        "/detail/message",
        "/detail",
    ];
    places
        .iter()
        .find_map(|place| value.pointer(place)?.as_str())
        .map_or_else(|| text.into_owned(), str::to_owned)
}

/// How long a server wants us to wait: `Retry-After` (RFC 9110 section 10.2.3), or the milliseconds that some send beside it.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(ms));
    }
    let text = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let now = jiff::Timestamp::try_from(now).ok()?;
    let seconds = date.as_second().saturating_sub(now.as_second());
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(base_url: &str, key: &str) -> Result<Endpoint, SetupError> {
        let connections = Connections::new().unwrap();
        Endpoint::new(&connections, base_url, &Secret::new(key), KeyStyle::Bearer, "model")
    }

    #[test]
    fn paths_go_below_the_base() {
        for (base, expected) in [
            ("https://a.example/v1", "https://a.example/v1/chat/completions"),
            ("https://a.example/v1/", "https://a.example/v1/chat/completions"),
            ("http://127.0.0.1:11434", "http://127.0.0.1:11434/chat/completions"),
            (" http://[::1]:8000/x/v1 ", "http://[::1]:8000/x/v1/chat/completions"),
        ] {
            assert_eq!(endpoint(base, "").unwrap().url("chat/completions").as_str(), expected);
        }
    }

    #[test]
    fn bases_and_keys_that_cannot_be_used_are_named() {
        for base in [
            "",
            "a.example",
            "ftp://a.example",
            "https://u:p@a.example",
            "https://a.example/v1?x=1",
        ] {
            let error = endpoint(base, "").unwrap_err();
            assert!(
                matches!(error, SetupError::BaseUrl { setting: "model", .. }),
                "{base}: {error}"
            );
        }
        let error = endpoint("https://a.example", "sk-secret\nend").unwrap_err();
        assert_eq!(error, SetupError::Key("model"));
        assert!(!error.to_string().contains("sk-secret"));
    }

    #[test]
    fn a_servers_words_are_short_and_without_the_key() {
        let endpoint = endpoint("https://a.example", "sk-secret").unwrap();
        let words = format!("no such key:\n  sk-secret\u{7} {}", "x".repeat(1_000));
        let quoted = endpoint.quoted(&words);
        assert!(quoted.starts_with("no such key: *** x"), "{quoted}");
        assert_eq!(quoted.chars().count(), MESSAGE_CHARS_MAX);
        assert!(!format!("{endpoint:?}").contains("sk-secret"));
    }

    #[test]
    fn messages_are_found_in_every_shape() {
        for (body, expected) in [
            (r#"{"error":{"message":"a","type":"b"}}"#, "a"),
            (r#"{"error":"a"}"#, "a"),
            (r#"{"object":"error","message":"a"}"#, "a"),
            (r#"{"err_code":"X","err_msg":"a"}"#, "a"),
            (r#"{"detail":{"status":"s","message":"a"}}"#, "a"),
            (r#"{"detail":"a"}"#, "a"),
            ("plain words", "plain words"),
        ] {
            assert_eq!(words_of(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn waiting_times_are_read_in_every_form() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let of = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            retry_after(&headers, now)
        };
        assert_eq!(of("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(of("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(
            of("retry-after", "Tue, 14 Nov 2023 22:13:30 GMT"),
            Some(Duration::from_secs(10))
        );
        assert_eq!(of("retry-after", "Tue, 14 Nov 2023 22:13:10 GMT"), Some(Duration::ZERO));
        assert_eq!(of("retry-after", "soon"), None);
        assert_eq!(of("other", "7"), None);
    }
}
