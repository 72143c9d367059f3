//! Sends webhook requests over HTTPS. No redirects, a deadline, and no address that the operator has not opened.
//!
//! Where a request may go is decided on addresses, not on names: a name is checked when it is resolved, by the same look-up
//! whose result is connected to, so a name that changes its address between check and connection gains nothing.

mod targets;

use async_trait::async_trait;
use carillon_domain::webhook::Reply;
use carillon_interfaces::webhook_transport::{WebhookRequest, WebhookTransport};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url, redirect};
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
pub(crate) use targets::BadTarget;
use targets::{AllowedTargets, Reach, Verdict};

/// Most of a reply's body that is read. Nothing in it matters; reading it lets the connection be used again.
const REPLY_BYTES_MAX: usize = 4_096;
/// How long the reply's body may take.
const REPLY_BODY_TIMEOUT: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends webhook requests.
pub(crate) struct WebhookClient {
    targets: Arc<AllowedTargets>,
    /// To public addresses and allowed networks.
    public: Client,
    /// To allowed networks only.
    networks: Client,
    /// To wherever a name that is allowed by itself leads.
    anywhere: Client,
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
        let targets = Arc::new(AllowedTargets::parse(allow_targets)?);
        let client = |reach: Reach| {
            Client::builder()
                .user_agent(concat!("Carillon/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                // A proxy would resolve names by itself.
                .no_proxy()
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(Duration::from_secs(30))
                .dns_resolver(CheckedResolver {
                    targets: Arc::clone(&targets),
                    reach,
                })
                .build()
        };
        Ok(Self {
            public: client(Reach::PublicAndNetworks)?,
            networks: client(Reach::Networks)?,
            anywhere: client(Reach::Anywhere)?,
            targets,
        })
    }

    async fn send(&self, request: WebhookRequest) -> Result<Reply, Reply> {
        let refused = |reason: String| Reply::Refused { reason };
        let url = Url::parse(&request.url).map_err(|error| refused(format!("the URL cannot be read: {error}")))?;
        let client = match self.targets.judge(&url) {
            Verdict::Send(Reach::PublicAndNetworks) => &self.public,
            Verdict::Send(Reach::Networks) => &self.networks,
            Verdict::Send(Reach::Anywhere) => &self.anywhere,
            Verdict::Refuse(reason) => return Err(refused(reason)),
        };
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
    if let Some(refused) = causes(error).find_map(|cause| cause.downcast_ref::<AddressRefused>()) {
        return Reply::Refused {
            reason: refused.0.clone(),
        };
    }
    if error.is_timeout() {
        return failed("the receiver did not answer in time");
    }
    let detail = causes(error)
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

/// What lies behind an error, the deepest last.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    fn source<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
        // Through one reference only: both would be errors by themselves.
        let error: &'a (dyn Error + 'static) = *error;
        error.source()
    }
    std::iter::successors(error.source(), source)
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

/// A resolver that gives only addresses that may be connected to.
struct CheckedResolver {
    targets: Arc<AllowedTargets>,
    reach: Reach,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let targets = Arc::clone(&self.targets);
        let reach = self.reach;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let open: Vec<SocketAddr> = found
                .iter()
                .copied()
                .filter(|address| targets.opens(reach, address.ip()))
                .collect();
            if open.is_empty() && !found.is_empty() {
                let refused = AddressRefused(targets::refused_address(name.as_str()));
                return Err(refused.into());
            }
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}

/// Every address of a name is closed.
#[derive(Debug)]
struct AddressRefused(String);

impl fmt::Display for AddressRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for AddressRefused {}

#[cfg(test)]
mod tests;
