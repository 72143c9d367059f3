//! Sends webhook requests.

use async_trait::async_trait;
use carillon_domain::webhook::Reply;
use std::time::Duration;

/// One request.
#[derive(Clone, Debug)]
pub struct WebhookRequest {
    /// Where to POST.
    pub url: String,
    /// Headers, `Content-Type` included.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
    /// How long the whole exchange may take.
    pub timeout: Duration,
}

/// Sends webhook requests. Follows no redirects; refuses targets that the operator has not allowed.
#[async_trait]
pub trait WebhookTransport: Send + Sync {
    /// Sends one and tells what came of it.
    async fn post(&self, request: WebhookRequest) -> Reply;
}
