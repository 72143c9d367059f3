//! Sends webhook requests over HTTPS. No redirects, a deadline, and no address that the operator has not opened
//! (`carillon_providers::outbound`).

use async_trait::async_trait;
use carillon_domain::webhook::Reply;
use carillon_interfaces::webhook_transport::{WebhookRequest, WebhookTransport};
use carillon_providers::outbound::{self, AllowedTargets, BadTarget, GuardedClients};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Response, Url};
use std::time::{Duration, SystemTime};

/// Most of a reply's body that is read. Nothing in it matters; reading it lets the connection be used again.
const REPLY_BYTES_MAX: usize = 4_096;
/// How long the reply's body may take.
const REPLY_BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends webhook requests.
pub(crate) struct WebhookClient {
    clients: GuardedClients,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// An entry of the list cannot be read.
    #[error(transparent)]
    Target(#[from] BadTarget),
    /// TLS or the resolver cannot be set up.
    #[error("webhooks cannot be sent from here: {0}")]
    Setup(#[from] reqwest::Error),
}

impl WebhookClient {
    /// A client that besides public https reaches `allow_targets`: hosts, `host:port`, or networks.
    pub(crate) fn new(allow_targets: &[String]) -> Result<Self, ClientError> {
        let targets = AllowedTargets::parse("webhooks.allow_targets", allow_targets)?;
        Ok(Self {
            clients: GuardedClients::new(targets)?,
        })
    }

    async fn send(&self, request: WebhookRequest) -> Result<Reply, Reply> {
        let refused = |reason: String| Reply::Refused { reason };
        let url = Url::parse(&request.url).map_err(|error| refused(format!("the URL cannot be read: {error}")))?;
        let client = self.clients.client_for(&url).map_err(refused)?;
        let headers = header_map(&request.headers).ok_or_else(|| failed("a header cannot be written"))?;
        let sent = client
            .post(url)
            .headers(headers)
            .body(request.body)
            .timeout(request.timeout)
            .send()
            .await;
        let response = sent.map_err(|error| reply_of(&error))?;
        let code = response.status().as_u16();
        let retry_after_s = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| seconds_from(value, SystemTime::now()));
        // What it says does not matter, and neither does how that goes.
        drop(tokio::time::timeout(REPLY_BODY_TIMEOUT, read_some(response)).await);
        Ok(Reply::Status { code, retry_after_s })
    }
}

#[async_trait]
impl WebhookTransport for WebhookClient {
    async fn post(&self, request: WebhookRequest) -> Reply {
        self.send(request).await.unwrap_or_else(|reply| reply)
    }
}

fn header_map(headers: &[(&'static str, String)]) -> Option<HeaderMap> {
    headers
        .iter()
        .map(|(name, value)| {
            Some((
                HeaderName::from_bytes(name.as_bytes()).ok()?,
                HeaderValue::from_str(value).ok()?,
            ))
        })
        .collect()
}

async fn read_some(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read >= REPLY_BYTES_MAX {
            return;
        }
    }
}

fn failed(reason: &str) -> Reply {
    Reply::Failed {
        reason: reason.to_owned(),
    }
}

/// What an error of the exchange comes to. Its text names no URL: that may hold secrets.
fn reply_of(error: &reqwest::Error) -> Reply {
    if let Some(reason) = outbound::refusal(error) {
        return Reply::Refused {
            reason: reason.to_owned(),
        };
    }
    if error.is_timeout() {
        return failed("the receiver did not answer in time");
    }
    let detail = outbound::causes(error)
        .last()
        .map_or_else(|| "the connection broke".to_owned(), ToString::to_string);
    let what = if error.is_connect() {
        "cannot connect"
    } else {
        "the exchange failed"
    };
    Reply::Failed {
        reason: format!("{what}: {detail}"),
    }
}

/// `Retry-After` in seconds (RFC 9110 section 10.2.3): a number, or a date.
fn seconds_from(value: &HeaderValue, now: SystemTime) -> Option<u32> {
    let text = value.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().unwrap_or(u32::MAX));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let now = jiff::Timestamp::try_from(now).ok()?;
    Some(u32::try_from(date.as_second().saturating_sub(now.as_second()).max(0)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
