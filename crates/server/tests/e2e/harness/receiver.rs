//! A receiver of webhooks: keeps every request as it came, and can be told to refuse some.

use super::PATIENCE;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::task::JoinHandle;

/// The secret of every endpoint that the tests make.
pub(crate) const SECRET: &str = "the secret of the tests";

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// What was answered.
    pub(crate) answered: u16,
}

impl Received {
    /// The event's id: the same over all retries.
    pub(crate) fn event_id(&self) -> &str {
        self.headers.get("x-webhook-id").map_or("", String::as_str)
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a webhook's body is JSON")
    }

    /// The call that it is about.
    pub(crate) fn call_id(&self) -> String {
        self.json()["call_id"].as_str().unwrap_or_default().to_owned()
    }

    /// The request as a file for the verifier.
    fn as_stored(&self) -> Vec<u8> {
        let head: String = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

#[derive(Default)]
struct Kept {
    requests: Mutex<Vec<Received>>,
    refuse: AtomicU32,
}

impl Kept {
    fn requests(&self) -> std::sync::MutexGuard<'_, Vec<Received>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running receiver.
pub(crate) struct Receiver {
    pub(crate) url: String,
    kept: Arc<Kept>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Starts a receiver on a free loopback port.
    pub(crate) async fn start() -> Self {
        let kept = Arc::new(Kept::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a loopback port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let router = Router::new().route("/hook", post(take)).with_state(Arc::clone(&kept));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { url, kept, task }
    }

    /// Answers the next `count` requests with 503.
    pub(crate) fn refuse_next(&self, count: u32) {
        self.kept.refuse.store(count, Ordering::SeqCst);
    }

    /// Everything that came, in order.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.kept.requests().clone()
    }

    /// What came about one call.
    pub(crate) fn about(&self, call_id: &str) -> Vec<Received> {
        self.requests()
            .into_iter()
            .filter(|request| request.call_id() == call_id)
            .collect()
    }

    /// Waits until `count` different events were taken.
    pub(crate) async fn wait_for_events(&self, count: usize) -> Vec<Received> {
        self.wait(&format!("{count} events"), |requests| {
            taken_events(requests).len() >= count
        })
        .await
    }

    /// Waits until an event about this call was taken, and returns its requests.
    pub(crate) async fn wait_for_call(&self, call_id: &str) -> Vec<Received> {
        let taken = |request: &Received| request.answered == 200 && request.call_id() == call_id;
        self.wait(&format!("an event about {call_id}"), |requests| {
            requests.iter().any(taken)
        })
        .await;
        self.about(call_id)
    }

    async fn wait(&self, what: &str, ready: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let requests = self.requests();
            if ready(&requests) {
                return requests;
            }
            assert!(
                Instant::now() < deadline,
                "the receiver got {} requests, not {what}",
                requests.len()
            );
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

/// Ids of the events that were answered with 200.
pub(crate) fn taken_events(requests: &[Received]) -> BTreeSet<String> {
    requests
        .iter()
        .filter(|request| request.answered == 200)
        .map(|request| request.event_id().to_owned())
        .collect()
}

async fn take(State(kept): State<Arc<Kept>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let wanted = kept
        .refuse
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    let status = if wanted.is_ok() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    let headers = headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let received = Received {
        headers: headers.collect(),
        body: body.to_vec(),
        answered: status.as_u16(),
    };
    kept.requests().push(received);
    status
}

/// Has Python's standard library check the signatures, from the vendor's words alone. `Err`: what the verifier said.
pub(crate) fn verify(requests: &[Received], secret: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tools/verify_webhook.py");
    let mut command = Command::new("python3");
    command.arg(script).args(["--secret", secret]);
    for (number, request) in requests.iter().enumerate() {
        let path = folder.path().join(format!("{number}.http"));
        std::fs::write(&path, request.as_stored()).map_err(|error| error.to_string())?;
        command.arg(path);
    }
    let output = command
        .output()
        .map_err(|error| format!("python3 does not start: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(said) }
}
