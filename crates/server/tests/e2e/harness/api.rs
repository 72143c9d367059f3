//! Clients of the two APIs: RevRag's, as a customer uses it, and our own, for what an operator sets up and looks at.

use super::PATIENCE;
use super::sipp::Transport;
use super::wav::Wav;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Once;
use std::time::{Duration, Instant};

/// States in which a record stays.
const FINAL: [&str; 3] = ["completed", "failed", "dnc"];

/// A client of a running server.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) base_url: String,
    http: Client,
    native_key: String,
    revrag_key: String,
}

/// A reply: status and JSON.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) json: Value,
}

impl Answer {
    /// The JSON of a success; anything else fails the test.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.json);
        self.json
    }
}

/// What a test says of a trunk.
#[derive(Clone, Debug)]
pub(crate) struct TrunkTo {
    pub(crate) addr: SocketAddr,
    pub(crate) transport: Transport,
    /// User and password of the digest.
    pub(crate) credentials: Option<(&'static str, &'static str)>,
    pub(crate) calls_per_second: u32,
}

impl TrunkTo {
    /// A trunk over UDP without credentials.
    pub(crate) fn udp(addr: SocketAddr) -> Self {
        Self {
            addr,
            transport: Transport::Udp,
            credentials: None,
            calls_per_second: 50,
        }
    }
}

impl Api {
    /// A client with the keys of `credentials.json`.
    pub(crate) fn with_credentials_of(data: &Path, base_url: String) -> Self {
        let text =
            std::fs::read_to_string(data.join("credentials.json")).expect("the first start writes credentials.json");
        let keys: Value = serde_json::from_str(&text).expect("credentials.json is JSON");
        let key = |dialect: &str| keys[dialect]["api_key"].as_str().expect("a key").to_owned();
        Self {
            base_url,
            http: client(),
            native_key: key("native"),
            revrag_key: key("revrag"),
        }
    }

    /// A client of nobody, for a server that did not start.
    pub(crate) fn nowhere() -> Self {
        Self {
            base_url: String::new(),
            http: client(),
            native_key: String::new(),
            revrag_key: String::new(),
        }
    }

    /// A request to our own API.
    pub(crate) async fn native(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = self
            .http
            .request(method, format!("{}/carillon/v1{path}", self.base_url));
        answer(with_json(request.bearer_auth(&self.native_key), body))
            .await
            .expect("the server answers")
    }

    /// A request to RevRag's API. `Err`: no answer came.
    pub(crate) async fn try_revrag(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, reqwest::Error> {
        let request = self.http.request(method, format!("{}{path}", self.base_url));
        answer(with_json(request.header("X-API-Key", &self.revrag_key), body)).await
    }

    /// A request to RevRag's API.
    pub(crate) async fn revrag(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.try_revrag(method, path, body).await.expect("the server answers")
    }

    /// The key of RevRag's API, for requests written by hand.
    pub(crate) fn revrag_key(&self) -> &str {
        &self.revrag_key
    }

    /// Bytes behind a whole URL, with the media type.
    pub(crate) async fn fetch(&self, url: &str) -> (u16, String, Vec<u8>) {
        let reply = self.http.get(url).send().await.expect("the server answers");
        let media_type = reply
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
            .to_owned();
        (
            reply.status().as_u16(),
            media_type,
            reply.bytes().await.expect("a body").to_vec(),
        )
    }

    /// Adds a clip and returns its id.
    pub(crate) async fn clip(&self, name: &str, sound: &Wav) -> String {
        let url = format!("{}/carillon/v1/clips?name={name}", self.base_url);
        let request = self
            .http
            .post(url)
            .bearer_auth(&self.native_key)
            .header("content-type", "audio/wav")
            .body(sound.bytes());
        id_of(&answer(request).await.expect("the server answers").ok())
    }

    /// Adds a trunk and returns its id.
    pub(crate) async fn trunk(&self, name: &str, to: &TrunkTo) -> String {
        let (username, password) = to.credentials.unwrap_or_default();
        let mut trunk = json!({
            "name": name, "host": to.addr.ip().to_string(), "port": to.addr.port(), "transport": to.transport,
            "caller_ids": ["+911140000001"], "codecs": ["pcmu", "pcma"], "lines": 200,
            "calls_per_second": to.calls_per_second,
        });
        if !username.is_empty() {
            trunk["username"] = json!(username);
            trunk["password"] = json!(password);
        }
        id_of(&self.native(Method::POST, "/trunks", Some(&trunk)).await.ok())
    }

    /// Adds an agent with this script and returns its id.
    pub(crate) async fn agent(&self, script: Value, ring_timeout_s: u32) -> String {
        let agent = json!({
            "name": "tests", "script": script, "ring_timeout_s": ring_timeout_s, "max_duration_s": 30, "record_calls": true,
        });
        id_of(&self.native(Method::POST, "/agents", Some(&agent)).await.ok())
    }

    /// Adds a campaign that is open all day, launches it, and returns its id. `policy` wins over what is said here.
    pub(crate) async fn campaign(&self, agent: &str, trunk: &str, policy: &Value) -> String {
        let mut campaign = json!({
            "name": "tests", "agent_id": agent, "time_zone": "Asia/Kolkata", "trunk_id": trunk,
            "max_concurrent_calls": 50, "retry": {"max_attempts": 1},
        });
        if let (Some(into), Some(from)) = (campaign.as_object_mut(), policy.as_object()) {
            into.extend(from.clone());
        }
        let id = id_of(&self.native(Method::POST, "/campaigns", Some(&campaign)).await.ok());
        self.native(Method::POST, &format!("/campaigns/{id}/launch"), Some(&json!({})))
            .await
            .ok();
        id
    }

    /// Adds a receiver of RevRag's webhooks.
    pub(crate) async fn endpoint(&self, url: &str, secret: &str) -> String {
        let endpoint = json!({"url": url, "secret": secret, "dialect": "revrag"});
        id_of(&self.native(Method::POST, "/endpoints", Some(&endpoint)).await.ok())
    }

    /// Pushes numbers and returns their run ids; all must be accepted.
    pub(crate) async fn push(&self, campaign: &str, numbers: &[String]) -> Vec<String> {
        let answer = self
            .revrag(Method::POST, &push_path(campaign), Some(&push_body(numbers)))
            .await
            .ok();
        run_ids(&answer)
    }

    /// A record by RevRag's API.
    pub(crate) async fn record(&self, campaign: &str, run: &str) -> Value {
        self.revrag(Method::GET, &format!("/v1/campaigns/{campaign}/records/{run}"), None)
            .await
            .ok()
    }

    /// Every record of a campaign, by RevRag's pages.
    pub(crate) async fn records(&self, campaign: &str) -> Vec<Value> {
        let mut all = Vec::new();
        for page in 1.. {
            let path = format!("/v1/campaigns/{campaign}/records?page={page}&page_size=200");
            let listed = self.revrag(Method::GET, &path, None).await.ok();
            all.extend(listed["items"].as_array().expect("items").iter().cloned());
            if listed["has_more"] != json!(true) {
                break;
            }
        }
        all
    }

    /// The counters of a campaign.
    pub(crate) async fn stats(&self, campaign: &str) -> Value {
        self.revrag(Method::GET, &format!("/v1/campaigns/{campaign}/status"), None)
            .await
            .ok()["stats"]
            .clone()
    }

    /// A call by RevRag's API.
    pub(crate) async fn status(&self, call: &str) -> Value {
        self.revrag(Method::GET, &format!("/v1/campaigns/trigger/status/{call}"), None)
            .await
            .ok()
    }

    /// A call by our own API.
    pub(crate) async fn call(&self, call: &str) -> Value {
        self.native(Method::GET, &format!("/calls/{call}"), None).await.ok()
    }

    /// Waits until a record has its final status, and returns it.
    pub(crate) async fn wait_for_record(&self, campaign: &str, run: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let record = self.record(campaign, run).await;
            if is_final(&record) {
                return record;
            }
            if Instant::now() >= deadline {
                let mut calls = Vec::new();
                for call in calls_of(&record) {
                    calls.push(self.call(&call).await);
                }
                panic!("the record is still {record}; its calls are {calls:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until every record of a campaign has its final status, and returns them.
    pub(crate) async fn wait_for_all(&self, campaign: &str, patience: Duration) -> Vec<Value> {
        let deadline = Instant::now() + patience;
        loop {
            let stats = self.stats(campaign).await;
            let count = |name: &str| stats[name].as_u64().unwrap_or(0);
            if FINAL.iter().map(|name| count(name)).sum::<u64>() == count("total_records") {
                return self.records(campaign).await;
            }
            if Instant::now() >= deadline {
                let stuck: Vec<Value> = self
                    .records(campaign)
                    .await
                    .into_iter()
                    .filter(|record| !is_final(record))
                    .collect();
                panic!("records are stuck: {stats}; {stuck:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Path of a push.
pub(crate) fn push_path(campaign: &str) -> String {
    format!("/v1/campaigns/{campaign}/records/push-bulk")
}

/// Body of a push.
pub(crate) fn push_body(numbers: &[String]) -> Value {
    let records: Vec<Value> = numbers.iter().map(|number| json!({"phone_number": number})).collect();
    json!({"records": records})
}

/// The run ids of a push of which everything was accepted.
pub(crate) fn run_ids(answer: &Value) -> Vec<String> {
    let results = answer["results"].as_array().expect("results");
    let run = |result: &Value| {
        result["run_id"]
            .as_str()
            .unwrap_or_else(|| panic!("not accepted: {result}"))
            .to_owned()
    };
    results.iter().map(run).collect()
}

/// The ids of a record's calls, the first attempt first.
pub(crate) fn calls_of(record: &Value) -> Vec<String> {
    let history = record["call_history"].as_array().expect("call_history");
    history
        .iter()
        .map(|call| call["call_id"].as_str().expect("a call id").to_owned())
        .collect()
}

/// Numbers that nobody has, each its own.
pub(crate) fn numbers(from: usize, count: usize) -> Vec<String> {
    (from..from + count).map(|number| format!("+9198{number:08}")).collect()
}

fn is_final(record: &Value) -> bool {
    FINAL.iter().any(|status| record["status"] == json!(status))
}

fn id_of(made: &Value) -> String {
    made["id"]
        .as_str()
        .unwrap_or_else(|| panic!("no id in {made}"))
        .to_owned()
}

fn client() -> Client {
    static CRYPTO: Once = Once::new();
    CRYPTO.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()
        .expect("a client")
}

fn with_json(request: RequestBuilder, body: Option<&Value>) -> RequestBuilder {
    match body {
        Some(body) => request
            .header("content-type", "application/json")
            .body(body.to_string()),
        None => request,
    }
}

async fn answer(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    let reply = request.send().await?;
    let status = reply.status().as_u16();
    let text = reply.text().await?;
    Ok(Answer {
        status,
        json: serde_json::from_str(&text).unwrap_or(Value::String(text)),
    })
}
