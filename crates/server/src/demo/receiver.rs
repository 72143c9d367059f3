//! A receiver of webhooks on loopback that checks each signature.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The secret that the demo's endpoint signs with.
pub(crate) const SECRET: &str = "demo-signing-secret";

/// What came for one call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    /// Event ids, one for each request.
    pub(crate) ids: Vec<String>,
    /// All of them were signed as RevRag describes.
    pub(crate) all_signed: bool,
}

/// The receiver.
#[derive(Clone)]
pub(crate) struct Receiver {
    /// Where it listens.
    pub(crate) url: String,
    by_call: Arc<Mutex<BTreeMap<String, Received>>>,
}

impl Receiver {
    /// Starts it on a free port.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let receiver = Self {
            url: format!("http://{}/webhook", listener.local_addr()?),
            by_call: Arc::default(),
        };
        let sink = receiver.clone();
        let router = axum::Router::new().route(
            "/webhook",
            axum::routing::post(move |headers: axum::http::HeaderMap, body: String| {
                let sink = sink.clone();
                async move { sink.take(&headers, &body) }
            }),
        );
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(receiver)
    }

    /// What came for a call.
    pub(crate) fn of_call(&self, call_id: &str) -> Received {
        self.by_call
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(call_id)
            .cloned()
            .unwrap_or_default()
    }

    fn take(&self, headers: &axum::http::HeaderMap, body: &str) {
        let header = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let signed = is_signed(header("x-webhook-signature"), body);
        let call = serde_json::from_str::<Value>(body).ok();
        let id = call
            .as_ref()
            .and_then(|call| call.get("call_id"))
            .and_then(Value::as_str)
            .unwrap_or("?")
            .to_owned();
        let mut by_call = self.by_call.lock().unwrap_or_else(PoisonError::into_inner);
        let received = by_call.entry(id).or_insert(Received {
            ids: Vec::new(),
            all_signed: true,
        });
        received.ids.push(header("x-webhook-id").to_owned());
        received.all_signed &= signed;
    }
}

/// `t=<unix>,v1=<hex of HMAC-SHA256 over "<t>.<body>">` (contracts 1.7).
fn is_signed(signature: &str, body: &str) -> bool {
    let part = |name: &str| signature.split(',').find_map(|part| part.strip_prefix(name));
    let (Some(time), Some(hex)) = (part("t="), part("v1=")) else {
        return false;
    };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()) else {
        return false;
    };
    mac.update(format!("{time}.{body}").as_bytes());
    let expected: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    expected == hex
}
