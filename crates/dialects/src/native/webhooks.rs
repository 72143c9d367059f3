//! Webhooks of our own: Standard Webhooks (standardwebhooks.com, specification 1.0), the call in `data`.

use super::calls::{Call, shown};
use super::request::Time;
use crate::RecordingUrls;
use crate::renderer::hmac_sha256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use carillon_domain::call as domain;
use carillon_domain::pii::Secret;
use carillon_interfaces::event_renderer::{RenderContext, RenderedEvent};
use serde::Serialize;

/// Every event that an endpoint can ask for.
pub(super) const EVENTS: [&str; 1] = ["call.ended"];

/// How a secret begins that is base64 (specification, "Symmetric secrets").
const SECRET_PREFIX: &str = "whsec_";

#[derive(Serialize)]
struct Event {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Time,
    data: Call,
}

/// The event that a closed call makes.
pub(crate) fn render_call_ended(
    call: &domain::Call,
    context: &RenderContext<'_>,
    recordings: &RecordingUrls,
) -> Option<RenderedEvent> {
    let [name] = EVENTS;
    let event = Event {
        kind: name,
        timestamp: Time(context.now),
        data: shown(call, recordings, context.now),
    };
    match serde_json::to_string(&event) {
        Ok(body) => Some(RenderedEvent { name, body }),
        Err(error) => {
            tracing::error!(call = %call.id, %error, "a webhook body could not be written");
            None
        }
    }
}

/// The headers of a request: `v1,<base64 of HMAC-SHA256 over "<id>.<seconds>.<body>">`.
pub(crate) fn signature_headers(
    secret: &Secret,
    event_id: &str,
    body: &str,
    timestamp: &str,
) -> [(&'static str, String); 3] {
    let signature = hmac_sha256(&key(secret), &[event_id, ".", timestamp, ".", body]);
    [
        ("webhook-id", event_id.to_owned()),
        ("webhook-timestamp", timestamp.to_owned()),
        ("webhook-signature", format!("v1,{}", STANDARD.encode(signature))),
    ]
}

/// The bytes of a secret: decoded behind `whsec_`, else as they stand.
fn key(secret: &Secret) -> Vec<u8> {
    let text = secret.expose();
    let decoded = text
        .strip_prefix(SECRET_PREFIX)
        .and_then(|base64| STANDARD.decode(base64).ok());
    decoded.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// A new secret: 32 random bytes.
pub(super) fn new_secret() -> Secret {
    let bytes: [u8; 32] = rand::random();
    Secret::new(format!("{SECRET_PREFIX}{}", STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // The specification's own example.
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let headers = signature_headers(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "{\"test\": 2432232314}",
            "1614265330",
        );
        assert_eq!(headers[2].1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn new_secrets_differ_and_decode() {
        let (one, other) = (new_secret(), new_secret());
        assert_ne!(one, other);
        assert_eq!(key(&one).len(), 32);
    }
}
