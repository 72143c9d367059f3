//! Webhook bodies and signatures, in the receiver's dialect.

use crate::{RecordingUrls, native, revrag};
use carillon_domain::time::UnixMicros;
use carillon_domain::webhook::{Dialect, Endpoint};
use carillon_interfaces::event_renderer::{EventRenderer, Fact, RenderContext, RenderedEvent, SignedHeaders};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Renders and signs for every dialect that has webhooks here.
#[derive(Clone)]
pub struct Renderer {
    recordings: RecordingUrls,
}

impl Renderer {
    /// A renderer that links recordings by `recordings`.
    pub fn new(recordings: RecordingUrls) -> Self {
        Self { recordings }
    }
}

impl EventRenderer for Renderer {
    fn render(&self, dialect: Dialect, fact: Fact<'_>, context: &RenderContext<'_>) -> Vec<RenderedEvent> {
        let Fact::CallEnded(call) = fact;
        let event = match dialect {
            Dialect::Revrag => revrag::render_call_ended(call, context, &self.recordings),
            Dialect::Native => native::render_call_ended(call, context, &self.recordings),
            // Endpoints of these cannot be made yet: the native API refuses them by name.
            Dialect::Agentive | Dialect::Agoralia | Dialect::Jagcall => None,
        };
        event.into_iter().collect()
    }

    fn sign(&self, endpoint: &Endpoint, event: &str, event_id: &str, body: &str, now: UnixMicros) -> SignedHeaders {
        let timestamp = now.seconds().to_string();
        let mut headers = vec![("Content-Type", "application/json".to_owned())];
        match endpoint.dialect {
            Dialect::Revrag => headers.extend(revrag::signature_headers(
                &endpoint.secret,
                event,
                event_id,
                body,
                &timestamp,
            )),
            Dialect::Native | Dialect::Agentive | Dialect::Agoralia | Dialect::Jagcall => {
                headers.extend(native::signature_headers(&endpoint.secret, event_id, body, &timestamp));
            }
        }
        SignedHeaders(headers)
    }
}

/// HMAC-SHA256 of the parts in a row.
pub(crate) fn hmac_sha256(key: &[u8], parts: &[&str]) -> [u8; 32] {
    // HMAC takes keys of any length, so the error cannot happen; the zero key would only make a signature nobody accepts.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    for part in parts {
        mac.update(part.as_bytes());
    }
    mac.finalize().into_bytes().into()
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
