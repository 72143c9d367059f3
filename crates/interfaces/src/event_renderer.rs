//! Renders what webhooks say, in the receiver's dialect. Implemented by `dialects`; pure.

use carillon_domain::call::Call;
use carillon_domain::time::UnixMicros;
use carillon_domain::webhook::{Dialect, Endpoint};
use carillon_domain::workspace::Workspace;
use std::time::Duration;

/// A fact that an endpoint may hear.
#[derive(Clone, Copy, Debug)]
pub enum Fact<'a> {
    /// A call is closed.
    CallEnded(&'a Call),
}

/// What the renderer needs besides the fact.
#[derive(Clone, Debug)]
pub struct RenderContext<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// When the fact happened.
    pub now: UnixMicros,
}

/// One event to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedEvent {
    /// Its name, such as `call.ended`.
    pub name: &'static str,
    /// The body, as it will be sent.
    pub body: String,
}

/// Headers of a request, made afresh for each one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeaders(pub Vec<(&'static str, String)>);

/// Renders and signs webhooks.
pub trait EventRenderer: Send + Sync {
    /// The events that a fact makes for receivers of this dialect.
    fn render(&self, dialect: Dialect, fact: Fact<'_>, context: &RenderContext<'_>) -> Vec<RenderedEvent>;

    /// The headers of a request at `now`, signature included. `event_id` is the same for every request of a delivery.
    fn sign(&self, endpoint: &Endpoint, event: &str, event_id: &str, body: &str, now: UnixMicros) -> SignedHeaders;
}

/// Makes links that work without a key until they expire.
pub trait RecordingLinks: Send + Sync {
    /// An absolute URL of a call's recording in the format of this file extension (`mp3`, `mp4`, `wav`), or in `wav` when
    /// that format cannot be made here. Valid for `life` from `now`.
    fn url(&self, call: &Call, extension: &str, now: UnixMicros, life: Duration) -> String;
}
