//! Replays the cases of `fixtures/cases`: a state of the world, then requests and what they must be answered with.

use crate::curl::Curl;
use crate::webhooks::verify_revrag;
use crate::world::{AGENT, Answer, CALL, CAMPAIGN, FOREIGN, NOW, WORKSPACE, World, campaign, eventually, phone};
use axum::body::Body;
use axum::http::Request;
use carillon_domain::agent::Variables;
use carillon_domain::call::{Call, CallEnd, CallState, Origin, Outcome, Recording, WireState};
use carillon_domain::campaign::CampaignStatus;
use carillon_domain::campaign::calling_window::{DailyHours, MinuteOfDay, WeekdaySet, ZoneName};
use carillon_domain::do_not_call::DoNotCallScope;
use carillon_domain::ids::{AgentId, CallId, CampaignId, ClipId, RecordId, WorkspaceId};
use carillon_domain::record::{Attempt, AttemptKind, Record, RecordState, Waiting};
use carillon_domain::script::{Script, ScriptResult};
use carillon_domain::transition::Change;
use carillon_domain::webhook::Dialect;
use carillon_domain::workspace::StatusStyle;
use carillon_interfaces::store::Store as _;
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

pub(crate) fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/revrag/fixtures")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    case: Vec<Case>,
}

/// One case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    name: String,
    /// Examples and table rows that it proves; `page/section/[a,b]` stands for several.
    covers: Vec<String>,
    #[serde(default)]
    given: Given,
    step: Vec<Step>,
}

/// The state of the world, where it differs from a running campaign without records.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    /// The campaign's status.
    campaign: Option<CampaignStatus>,
    /// The campaign's hours, `HH:MM-HH:MM` in India. It is 08:30 there, on a Wednesday.
    hours: Option<String>,
    /// The campaign's days.
    days: Option<WeekdaySet>,
    /// The campaign's first-attempt day.
    first_attempt_date: Option<jiff::civil::Date>,
    #[serde(default)]
    dial_first_attempt_immediately: bool,
    max_concurrent_calls: Option<u32>,
    /// Ids that are made next.
    #[serde(default)]
    ids: Vec<Uuid>,
    #[serde(default)]
    do_not_call: Vec<String>,
    #[serde(default)]
    records: Vec<GivenRecord>,
    call: Option<GivenCall>,
    style: Option<StatusStyle>,
    /// A webhook endpoint of RevRag's dialect exists.
    #[serde(default)]
    endpoint: bool,
    /// The loops run: what may be dialled is dialled.
    #[serde(default)]
    running: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenRecord {
    /// Its first id; copies count on from it.
    id: Uuid,
    status: String,
    #[serde(default = "one")]
    copies: u32,
    #[serde(default)]
    variables: Json,
    app_user_id: Option<String>,
    app_session_id: Option<String>,
    /// How its one attempt ended.
    outcome: Option<Outcome>,
    #[serde(default)]
    updated_after_s: u64,
}

const fn one() -> u32 {
    1
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenCall {
    /// `single` or `campaign`.
    origin: String,
    state: CallState,
    outcome: Option<Outcome>,
    /// Answered five minutes after it was made, and so long.
    talk_s: Option<u64>,
    #[serde(default)]
    variables: Json,
    #[serde(default)]
    custom_metadata: Json,
    app_user_id: Option<String>,
    app_session_id: Option<String>,
    #[serde(default)]
    marks: std::collections::BTreeMap<String, String>,
    /// Another workspace's.
    #[serde(default)]
    foreign: bool,
}

/// JSON as text.
#[derive(Clone, Debug, Default)]
struct Json(Option<Value>);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        serde_json::from_str(&text)
            .map(|value| Self(Some(value)))
            .map_err(serde::de::Error::custom)
    }
}

impl Json {
    fn variables(&self) -> Variables {
        match &self.0 {
            Some(Value::Object(fields)) => fields.clone(),
            _ => Variables::new(),
        }
    }
}

/// One exchange, or a webhook that must come.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// The vendor's own curl command, in a file.
    curl: Option<String>,
    /// `GET /path`; `{campaign}` and its like are filled in.
    send: Option<String>,
    /// Body of `send`, in a file.
    body_file: Option<String>,
    /// Body of `send`.
    body: Option<String>,
    content_type: Option<String>,
    /// The key that is sent: the right one, `none`, or another text.
    key: Option<String>,
    /// Further headers, in a file.
    headers_file: Option<String>,
    /// The gate that holds the record with id 1 back.
    held_by: Option<String>,
    /// No request: this webhook comes.
    #[serde(default)]
    webhook: bool,
    #[serde(default)]
    status: u16,
    /// What is answered, in a file.
    expect_file: Option<String>,
    /// What is answered.
    expect: Option<Json>,
    /// Only these fields are compared.
    #[serde(default)]
    subset: bool,
    /// Places at which the example is shortened: what it shows is there, among more.
    #[serde(default)]
    shortened: Vec<String>,
    /// Places where we answer otherwise, and why.
    #[serde(default)]
    differs: Vec<Difference>,
    /// Asked again until it is so.
    #[serde(default)]
    until: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    at: String,
    is: Json,
    why: String,
}

impl Case {
    /// The examples and rows that it proves.
    pub(crate) fn claims(&self) -> Vec<String> {
        self.covers.iter().flat_map(|claim| expand(claim)).collect()
    }

    /// The files that it uses.
    pub(crate) fn files(&self) -> Vec<String> {
        let of_step = |step: &Step| {
            [
                step.curl.clone(),
                step.body_file.clone(),
                step.expect_file.clone(),
                step.headers_file.clone(),
            ]
        };
        self.step.iter().flat_map(of_step).flatten().collect()
    }
}

fn expand(claim: &str) -> Vec<String> {
    match claim.strip_suffix(']').and_then(|text| text.split_once("/[")) {
        Some((section, rows)) => rows.split(',').map(|row| format!("{section}/{}", row.trim())).collect(),
        None => vec![claim.to_owned()],
    }
}

/// The cases of every file.
pub(crate) fn all_cases() -> Vec<Case> {
    let mut files: Vec<_> = std::fs::read_dir(fixtures().join("cases"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let read = |file: PathBuf| -> Vec<Case> {
        let text = std::fs::read_to_string(&file).unwrap();
        let file: CaseFile = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        file.case
    };
    files.into_iter().flat_map(read).collect()
}

#[tokio::test]
async fn the_vendors_examples_are_answered_as_the_vendor_answers() {
    let cases = all_cases();
    assert!(cases.len() > 40, "only {} cases were found", cases.len());
    for case in cases {
        let world = case.given.world().await;
        for (index, step) in case.step.iter().enumerate() {
            step.check(&world, &format!("`{}`, step {}", case.name, index + 1))
                .await;
        }
        world.app.kill();
    }
}

impl Given {
    async fn world(&self) -> World {
        let world = World::with_style(self.style.unwrap_or_default()).await;
        let mut changed = campaign(self.campaign.unwrap_or(CampaignStatus::Running));
        changed.version = 1;
        let policy = &mut changed.policy;
        let (start, end) = match &self.hours {
            Some(hours) => hours
                .split_once('-')
                .map(|(start, end)| (minute(start), minute(end)))
                .unwrap(),
            None => (minute("00:00"), minute("24:00")),
        };
        let hours = DailyHours::new(start, end, self.days.unwrap_or(WeekdaySet::EVERY_DAY)).unwrap();
        policy.window = hours.in_zone(ZoneName::parse("Asia/Kolkata").unwrap());
        policy.first_attempt_date = self.first_attempt_date;
        policy.dial_first_attempt_immediately = self.dial_first_attempt_immediately;
        policy.max_concurrent_calls = self.max_concurrent_calls.unwrap_or(10);
        world.put(Change::PutCampaign(Box::new(changed))).await;
        let numbers: Vec<_> = self.do_not_call.iter().map(|number| phone(number)).collect();
        world
            .app
            .add_do_not_call(
                WorkspaceId::new(WORKSPACE),
                numbers,
                DoNotCallScope::All,
                "asked by letter",
            )
            .await
            .unwrap();
        for record in &self.records {
            for copy in 0..record.copies {
                world.put(Change::PutRecord(Box::new(record.build(copy)))).await;
            }
        }
        if let Some(call) = &self.call {
            let call = call.build(world.clip);
            let workspace = call.workspace_id;
            let transition =
                carillon_domain::transition::Transition::new(workspace).with(Change::PutCall(Box::new(call)));
            world.store.commit(transition).await.unwrap();
        }
        if self.endpoint {
            world.add_endpoint(Dialect::Revrag).await;
        }
        for id in &self.ids {
            world.ids.then(*id);
        }
        if self.running {
            world.app.start().await.unwrap();
        }
        world
    }
}

fn minute(text: &str) -> MinuteOfDay {
    MinuteOfDay::parse(text).unwrap()
}

impl GivenRecord {
    fn build(&self, copy: u32) -> Record {
        let waiting = |next| {
            let at = NOW + Duration::from_secs(3_600);
            RecordState::Waiting(Waiting {
                next,
                scheduled_at: at,
                due_at: at,
                held_by: None,
            })
        };
        let state = match self.status.as_str() {
            "queued" => waiting(AttemptKind::First),
            "in_progress" => RecordState::InProgress {
                call_id: CallId::new(CALL),
            },
            "completed" => RecordState::Completed,
            "failed" => RecordState::Failed,
            "retry_pending" => waiting(AttemptKind::Retry),
            "follow_up_pending" => waiting(AttemptKind::FollowUp),
            "rescheduled" => waiting(AttemptKind::Callback),
            "dnc" => RecordState::Dnc,
            other => panic!("no record status: {other}"),
        };
        let attempt = self.outcome.map(|outcome| Attempt {
            call_id: CallId::new(CALL),
            number: 1,
            kind: AttemptKind::First,
            outcome: Some(outcome),
            answered: outcome.implies_answer(),
        });
        let dnc = state == RecordState::Dnc;
        Record {
            workspace_id: WorkspaceId::new(WORKSPACE),
            id: RecordId::new(Uuid::from_u128(self.id.as_u128() + u128::from(copy))),
            campaign_id: CampaignId::new(CAMPAIGN),
            phone: phone("+919876543210"),
            state,
            variables: self.variables.variables(),
            app_user_id: self.app_user_id.clone(),
            app_session_id: self.app_session_id.clone(),
            attempts: attempt.into_iter().collect(),
            max_attempts: 3,
            follow_ups: 0,
            callbacks: 0,
            dnc_at: dnc.then_some(NOW),
            dnc_reason: dnc.then(|| "asked for on a call".to_owned()),
            final_reason: None,
            // The copies are older, so that the first one is listed first.
            created_at: NOW - Duration::from_secs(u64::from(copy)),
            updated_at: NOW + Duration::from_secs(self.updated_after_s),
            version: 0,
        }
    }
}

impl GivenCall {
    fn build(&self, clip: ClipId) -> Call {
        let workspace = if self.foreign { FOREIGN } else { WORKSPACE };
        let origin = match self.origin.as_str() {
            "single" => Origin::Single {
                dialect: Dialect::Revrag,
            },
            "campaign" => Origin::Campaign {
                campaign_id: CampaignId::new(CAMPAIGN),
                record_id: RecordId::new(Uuid::from_u128(1)),
                attempt: 1,
                attempt_kind: AttemptKind::First,
            },
            other => panic!("no origin: {other}"),
        };
        let answered_at = self.talk_s.map(|_| NOW + Duration::from_secs(300));
        let over = matches!(self.state, CallState::PostCall | CallState::Closed);
        let ended_at = over.then(|| NOW + Duration::from_secs(300 + self.talk_s.unwrap_or(0)));
        let end = self.outcome.map(|outcome| CallEnd {
            outcome,
            sip_code: Some(if outcome.implies_answer() { 200 } else { 480 }),
            reason: "as given".to_owned(),
            reason_header: None,
            retry_after_s: None,
            wire: WireState::Final,
            gate: None,
        });
        let recording = (over && self.talk_s.is_some()).then(|| Recording {
            path: "call.wav".to_owned(),
            duration_ms: self.talk_s.unwrap_or(0) * 1_000,
        });
        Call {
            workspace_id: WorkspaceId::new(workspace),
            id: CallId::new(CALL),
            origin,
            agent_id: AgentId::new(AGENT),
            trunk_id: None,
            from: (self.state != CallState::Queued).then(|| phone("+911140000000")),
            to: phone("+919876543210"),
            script: Script::Announce {
                clip,
                times: 1,
                gap_ms: 0,
            },
            variables: self.variables.variables(),
            custom_metadata: self
                .custom_metadata
                .0
                .is_some()
                .then(|| self.custom_metadata.variables()),
            app_user_id: self.app_user_id.clone(),
            app_session_id: self.app_session_id.clone(),
            record_call: true,
            ring_timeout_s: 45,
            max_duration_s: 600,
            state: self.state,
            deadline: None,
            created_at: NOW,
            dialing_at: None,
            ringing_at: None,
            early_media: false,
            answered_at,
            ended_at,
            dialog: None,
            end,
            result: ScriptResult {
                marks: self.marks.clone(),
                ..ScriptResult::default()
            },
            recording,
            sound_closed: true,
            unknown_settled_by: None,
            version: 0,
        }
    }
}

impl Step {
    async fn check(&self, world: &World, place: &str) {
        if self.webhook {
            let request = eventually(async || world.posted.all().into_iter().next()).await;
            verify_revrag(&request);
            return self.compare(&serde_json::from_str(&request.body).unwrap(), place);
        }
        if self.until {
            return eventually(async || {
                let answer = self.ask(world).await;
                (answer.status.as_u16() == self.status && self.differences(&answer.json()).is_empty()).then_some(())
            })
            .await;
        }
        if let Some(gate) = &self.held_by {
            let id = RecordId::new(Uuid::from_u128(1));
            let record = world
                .app
                .store()
                .record(WorkspaceId::new(WORKSPACE), id)
                .await
                .unwrap()
                .unwrap();
            let held = world.app.why_not_yet(&record).await.unwrap();
            assert!(held.iter().any(|held| held.gate.as_str() == gate), "{place}: {held:?}");
        }
        let answer = self.ask(world).await;
        assert_eq!(
            answer.status.as_u16(),
            self.status,
            "{place}: {:?}",
            String::from_utf8_lossy(&answer.bytes)
        );
        let content_type = answer.headers.get("content-type").map(|value| value.to_str().unwrap());
        assert_eq!(content_type, Some("application/json"), "{place}: {:?}", self.send);
        self.compare(&answer.json(), place);
    }

    async fn ask(&self, world: &World) -> Answer {
        let key = match self.key.as_deref() {
            None => Some(world.revrag_key.clone()),
            Some("none") => None,
            Some(other) => Some(other.to_owned()),
        };
        let request = match (&self.curl, &self.send) {
            (Some(file), None) => {
                let mut curl = Curl::parse(&fill(&read(file)));
                for (name, value) in &mut curl.headers {
                    if name == "X-API-Key" {
                        assert_eq!(value, "YOUR_API_KEY");
                        *value = key.clone().unwrap();
                    }
                }
                curl.request()
            }
            (None, Some(line)) => {
                let (method, path) = line.split_once(' ').unwrap();
                let mut request = Request::builder().method(method).uri(fill(path));
                if let Some(key) = key {
                    request = request.header("X-API-Key", key);
                }
                for line in self
                    .headers_file
                    .iter()
                    .flat_map(|file| read(file).lines().map(str::to_owned).collect::<Vec<_>>())
                {
                    let (name, value) = line.split_once(": ").unwrap();
                    request = request.header(name, value.replace("YOUR_API_KEY", &world.revrag_key));
                }
                let body = match (&self.body_file, &self.body) {
                    (Some(file), None) => read(file),
                    (None, body) => body.clone().unwrap_or_default(),
                    (Some(_), Some(_)) => panic!("two bodies"),
                };
                if !body.is_empty() {
                    let content_type = self.content_type.as_deref().unwrap_or("application/json");
                    request = request.header("Content-Type", content_type);
                }
                request.body(Body::from(body)).unwrap()
            }
            _ => panic!("a step is either a curl command or a request"),
        };
        world.send(request).await
    }

    fn compare(&self, actual: &Value, place: &str) {
        let found = self.differences(actual);
        assert!(found.is_empty(), "{place}:\n{}\nin {actual:#}", found.join("\n"));
    }

    fn differences(&self, actual: &Value) -> Vec<String> {
        let mut expected = match (&self.expect_file, &self.expect) {
            (Some(file), None) => serde_json::from_str(&read(file)).unwrap(),
            (None, Some(json)) => json.0.clone().unwrap_or(Value::Null),
            _ => panic!("a step expects either a file or a text"),
        };
        for difference in &self.differs {
            assert!(!difference.why.is_empty());
            let (parent, name) = difference.at.rsplit_once('/').unwrap();
            let is = difference.is.0.clone().unwrap_or(Value::Null);
            match expected.pointer_mut(parent).unwrap() {
                Value::Object(fields) => drop(fields.insert(name.to_owned(), is)),
                Value::Array(items) => items[name.parse::<usize>().unwrap()] = is,
                other => panic!("{} is in neither object nor list: {other}", difference.at),
            }
        }
        let mut found = Vec::new();
        self.differ(&expected, actual, "", self.subset, &mut found);
        found
    }

    fn differ(&self, expected: &Value, actual: &Value, at: &str, subset: bool, found: &mut Vec<String>) {
        let subset = subset || self.shortened.iter().any(|place| place == at);
        match (expected, actual) {
            (Value::Object(expected), Value::Object(actual)) => {
                for (name, value) in expected {
                    match actual.get(name) {
                        Some(other) => self.differ(value, other, &format!("{at}/{name}"), subset, found),
                        None => found.push(format!("{at}/{name} is missing")),
                    }
                }
                let unexpected = actual.keys().filter(|name| !subset && !expected.contains_key(*name));
                found.extend(unexpected.map(|name| format!("{at}/{name} is there and should not be")));
            }
            (Value::Array(expected), Value::Array(actual)) => {
                if actual.len() < expected.len() || (!subset && actual.len() > expected.len()) {
                    found.push(format!("{at} has {} items, not {}", actual.len(), expected.len()));
                }
                for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                    self.differ(expected, actual, &format!("{at}/{index}"), subset, found);
                }
            }
            (expected, actual) if expected == actual => {}
            (expected, actual) => found.push(format!("{at} is {actual}, not {expected}")),
        }
    }
}

fn read(file: &str) -> String {
    std::fs::read_to_string(fixtures().join(file)).unwrap()
}

fn fill(text: &str) -> String {
    text.replace("{campaign_id}", &CAMPAIGN.to_string())
        .replace("{run_id}", &Uuid::from_u128(1).to_string())
        .replace("{call_id}", &CALL.to_string())
}
