//! A world to put requests to: one workspace, one agent, one trunk, one campaign, a clock that stands still.

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use carillon_app::{App, AppSettings, NewAgent, NewEndpoint, NewTrunk, Parts};
use carillon_dialects::{
    ClipAudio, ClipAudioError, ConvertedClip, DialectState, RecordingUrls, Renderer, SandboxNumber,
};
use carillon_domain::agent::VariableDeclaration;
use carillon_domain::call::{Call, DialogFacts};
use carillon_domain::campaign::calling_window::ZoneName;
use carillon_domain::campaign::{Campaign, CampaignPolicy, CampaignStatus};
use carillon_domain::ids::{AgentId, CallId, CampaignId, ClipId, WorkspaceId};
use carillon_domain::phone::PhoneNumber;
use carillon_domain::pii::Secret;
use carillon_domain::script::{Digit, Script, ScriptResult};
use carillon_domain::time::UnixMicros;
use carillon_domain::transition::{Change, Transition};
use carillon_domain::trunk::{Codec, NumberFormat, Transport, Trunk};
use carillon_domain::webhook::{Dialect, Reply};
use carillon_domain::workspace::{Mode, StatusStyle, Workspace};
use carillon_interfaces::carrier::{CallFailure, Carrier, CarrierEvent, NotSent, OriginateRequest, WireState};
use carillon_interfaces::clock::{Clock, IdMaker};
use carillon_interfaces::event_renderer::RecordingLinks;
use carillon_interfaces::failpoint::NoFailpoints;
use carillon_interfaces::store::Store;
use carillon_interfaces::voice::{EndpointSpec, MediaSummary, RecordingFile, VoiceError, VoiceEvent, VoiceRuntime};
use carillon_interfaces::webhook_transport::{WebhookRequest, WebhookTransport};
use carillon_store::memory::MemoryStore;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tower::ServiceExt;
use uuid::Uuid;

/// Ids that the vendors' examples use.
pub(crate) const CAMPAIGN: Uuid = Uuid::from_u128(0x11111111_1111_1111_1111_111111111111);
pub(crate) const WORKSPACE: Uuid = Uuid::from_u128(0x22222222_2222_2222_2222_222222222222);
pub(crate) const AGENT: Uuid = Uuid::from_u128(0x33333333_3333_3333_3333_333333333333);
pub(crate) const CALL: Uuid = Uuid::from_u128(0x123e4567_e89b_12d3_a456_426614174000);
/// A workspace that is not the key's.
pub(crate) const FOREIGN: Uuid = Uuid::from_u128(0x99999999_9999_9999_9999_999999999999);
pub(crate) const WEBHOOK_SECRET: &str = "a-secret-that-both-sides-know";

/// 2026-05-27T03:00:00Z, as in the vendors' examples.
pub(crate) const NOW: UnixMicros = UnixMicros::from_seconds(1_779_850_800);

pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) router: Router,
    pub(crate) clock: Arc<StoppedClock>,
    pub(crate) ids: Arc<Ids>,
    pub(crate) posted: Arc<Posted>,
    pub(crate) native_key: String,
    pub(crate) revrag_key: String,
    pub(crate) clip: ClipId,
}

/// A reply, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {:?}", String::from_utf8_lossy(&self.bytes)))
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_style(StatusStyle::ByOrigin).await
    }

    pub(crate) async fn with_style(status_style: StatusStyle) -> Self {
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(StoppedClock(Mutex::new(NOW)));
        let ids = Arc::new(Ids::default());
        let far_end = Arc::new(FarEnd {
            clock: Arc::clone(&clock),
            legs: Mutex::default(),
        });
        let posted = Arc::new(Posted::default());
        let recordings = RecordingUrls::new(Arc::new(Links), Duration::from_secs(3_600));
        let parts = Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            carrier: Arc::clone(&far_end) as Arc<dyn Carrier>,
            voice: Arc::clone(&far_end) as Arc<dyn VoiceRuntime>,
            renderer: Arc::new(Renderer::new(recordings.clone())),
            transport: Arc::clone(&posted) as Arc<dyn WebhookTransport>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ids: Arc::clone(&ids) as Arc<dyn IdMaker>,
            failpoints: Arc::new(NoFailpoints),
        };
        let app = App::new(parts, AppSettings::default());
        let state = DialectState {
            app: app.clone(),
            recordings,
            clips: Arc::new(Clips),
            base_url: "https://calls.example".into(),
            sandbox_numbers: Arc::new([SandboxNumber {
                suffix: "0001".to_owned(),
                behaviour: "answers".to_owned(),
                description: "Answers and listens.".to_owned(),
            }]),
        };
        let router = carillon_dialects::router(state.clone());
        let workspace = WorkspaceId::new(WORKSPACE);
        for id in [workspace, WorkspaceId::new(FOREIGN)] {
            let settings = Workspace {
                id,
                name: "Acme".to_owned(),
                mode: Mode::Live,
                region: "IN".to_owned(),
                allowed_regions: vec!["IN".to_owned()],
                max_concurrent_calls: 100,
                status_style,
                version: 0,
            };
            app.save_workspace(settings).await.unwrap();
        }
        let clip = ClipId::new(ids.next_id());
        app.add_clip(workspace, clip, "hello".to_owned(), 2_000).await.unwrap();
        app.save_trunk(workspace, None, trunk()).await.unwrap();
        ids.then(AGENT);
        app.save_agent(workspace, None, agent(clip)).await.unwrap();
        let native_key = app
            .create_api_key(workspace, "tests".into(), Dialect::Native, None)
            .await
            .unwrap();
        let revrag_key = app
            .create_api_key(workspace, "tests".into(), Dialect::Revrag, None)
            .await
            .unwrap();
        let world = Self {
            app,
            store,

            router,
            clock,
            ids,

            posted,
            native_key: native_key.secret.expose().to_owned(),
            revrag_key: revrag_key.secret.expose().to_owned(),
            clip,
        };
        world
            .put(Change::PutCampaign(Box::new(campaign(CampaignStatus::Running))))
            .await;
        world
    }

    pub(crate) async fn put(&self, change: Change) {
        self.store
            .commit(Transition::new(WorkspaceId::new(WORKSPACE)).with(change))
            .await
            .unwrap();
    }

    pub(crate) async fn add_endpoint(&self, dialect: Dialect) {
        let endpoint = NewEndpoint {
            url: "https://receiver.example/hook".to_owned(),
            secret: Secret::new(WEBHOOK_SECRET),
            events: Vec::new(),
            agent_id: None,
            campaign_id: None,
            dialect,
            enabled: true,
        };
        self.app
            .save_endpoint(WorkspaceId::new(WORKSPACE), None, endpoint)
            .await
            .unwrap();
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            bytes: to_bytes(body, usize::MAX).await.unwrap(),
        }
    }

    /// Sends a request of RevRag's API with its key.
    pub(crate) async fn revrag(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("X-API-Key", &self.revrag_key);
        self.send(json_request(request, body)).await
    }

    /// Sends a request of our own API with its key; `path` is below `/carillon/v1`.
    pub(crate) async fn native(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("/carillon/v1{path}"))
            .header("Authorization", format!("Bearer {}", self.native_key));
        self.send(json_request(request, body)).await
    }
}

fn json_request(request: axum::http::request::Builder, body: Option<Value>) -> Request<Body> {
    match body {
        Some(body) => request
            .header("Content-Type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap(),
        None => request.body(Body::empty()).unwrap(),
    }
}

/// Looks until there is something, at most 10 s.
pub(crate) async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < until, "it never came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn phone(text: &str) -> PhoneNumber {
    PhoneNumber::from_e164_shape(text).unwrap()
}

pub(crate) fn campaign(status: CampaignStatus) -> Campaign {
    Campaign {
        workspace_id: WorkspaceId::new(WORKSPACE),
        id: CampaignId::new(CAMPAIGN),
        name: "Reminders".to_owned(),
        agent_id: AgentId::new(AGENT),
        status,
        policy: CampaignPolicy::always_open(ZoneName::parse("Asia/Kolkata").unwrap()),
        settled: false,
        created_at: NOW,
        updated_at: NOW,
        version: 0,
    }
}

fn agent(clip: ClipId) -> NewAgent {
    NewAgent {
        name: "Appointment reminder".to_owned(),
        variables: vec![VariableDeclaration {
            name: "first_name".into(),
            kind: "string".into(),
            default_value: None,
        }],
        script: Script::Announce {
            clip,
            times: 1,
            gap_ms: 0,
        },
        caller_id: None,
        trunk_id: None,
        ring_timeout_s: 45,
        max_duration_s: 600,
        record_calls: true,
        active: true,
    }
}

fn trunk() -> NewTrunk {
    NewTrunk {
        name: "main".to_owned(),
        host: "sip.example.com".to_owned(),
        port: 5060,
        transport: Transport::Udp,
        credentials: None,
        domain: None,
        caller_ids: vec![phone("+911140000000")],
        number_format: NumberFormat::E164,
        codecs: vec![Codec::Pcma],
        lines: 100,
        calls_per_second: 100,
        assert_identity: false,
        sandbox: false,
        enabled: true,
    }
}

/// A clock that stands until it is moved.
pub(crate) struct StoppedClock(Mutex<UnixMicros>);

impl StoppedClock {
    pub(crate) fn set(&self, now: UnixMicros) {
        *self.0.lock().unwrap() = now;
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> UnixMicros {
        *self.0.lock().unwrap()
    }
}

/// Ids in a row, after those that were asked for.
#[derive(Default)]
pub(crate) struct Ids {
    wanted: Mutex<VecDeque<Uuid>>,
    count: Mutex<u128>,
}

impl Ids {
    /// The next id that is made.
    pub(crate) fn then(&self, id: Uuid) {
        self.wanted.lock().unwrap().push_back(id);
    }
}

impl IdMaker for Ids {
    fn next_id(&self) -> Uuid {
        if let Some(id) = self.wanted.lock().unwrap().pop_front() {
            return id;
        }
        let mut count = self.count.lock().unwrap();
        *count += 1;
        Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0000 + *count)
    }
}

/// Links as the vendor's example writes them.
struct Links;

impl RecordingLinks for Links {
    fn url(&self, _call: &Call, extension: &str, _now: UnixMicros, _life: Duration) -> String {
        format!("https://.../recording.{extension}")
    }
}

/// A clip library that takes everything that begins with `RIFF`.
struct Clips;

#[async_trait]
impl ClipAudio for Clips {
    async fn store(&self, _id: ClipId, file: Bytes) -> Result<ConvertedClip, ClipAudioError> {
        if file.starts_with(b"RIFF") {
            Ok(ConvertedClip { duration_ms: 1_500 })
        } else {
            Err(ClipAudioError::Unreadable(
                "this is no audio file that can be read".to_owned(),
            ))
        }
    }

    async fn remove(&self, _id: ClipId) {}

    async fn wav(&self, _id: ClipId) -> Result<Bytes, ClipAudioError> {
        Ok(Bytes::from_static(b"RIFF....WAVE"))
    }
}

/// Receives webhooks and says 200.
#[derive(Default)]
pub(crate) struct Posted {
    requests: Mutex<Vec<WebhookRequest>>,
}

impl Posted {
    pub(crate) fn all(&self) -> Vec<WebhookRequest> {
        self.requests.lock().unwrap().clone()
    }
}

#[async_trait]
impl WebhookTransport for Posted {
    async fn post(&self, request: WebhookRequest) -> Reply {
        self.requests.lock().unwrap().push(request);
        Reply::Status {
            code: 200,
            retry_after_s: None,
        }
    }
}

/// The far end and the sound in one. Numbers that end in 9 are busy; all others answer five minutes later and are talked
/// to for 72 seconds.
pub(crate) struct FarEnd {
    clock: Arc<StoppedClock>,
    legs: Mutex<BTreeMap<CallId, Leg>>,
}

#[derive(Default)]
struct Leg {
    carrier: Option<mpsc::Sender<CarrierEvent>>,
    voice: Option<mpsc::Sender<VoiceEvent>>,
    dialog: Option<DialogFacts>,
}

const RING: Duration = Duration::from_secs(300);
const TALK: Duration = Duration::from_secs(72);

impl FarEnd {
    fn with<T>(&self, call: CallId, act: impl FnOnce(&mut Leg) -> T) -> T {
        act(self.legs.lock().unwrap().entry(call).or_default())
    }
}

fn dialog(request: &OriginateRequest) -> DialogFacts {
    DialogFacts {
        identity: request.identity.clone(),
        invite_branch: None,
        invite_cseq: 1,
        invite_uri: format!("sip:{}@{}", request.to_user, request.trunk.host),
        local_uri: String::new(),
        contact_uri: None,
        remote_uri: String::new(),
        remote_tag: Some("far".to_owned()),
        remote_target: None,
        route_set: Vec::new(),
        peer: None,
        answered: true,
    }
}

#[async_trait]
impl Carrier for FarEnd {
    async fn originate(&self, request: OriginateRequest, events: mpsc::Sender<CarrierEvent>) -> Result<(), NotSent> {
        let dialog = dialog(&request);
        self.with(request.call_id, |leg| {
            leg.carrier = Some(events.clone());
            leg.dialog = Some(dialog.clone());
        });
        if request.to_user.ends_with('9') {
            let failure = CallFailure {
                code: Some(486),
                reason: "Busy Here".to_owned(),
                reason_header: None,
                retry_after_s: None,
                rang: false,
                wire: WireState::Final,
            };
            events.send(CarrierEvent::Failed(failure)).await.unwrap();
            return Ok(());
        }
        self.clock.set(NOW + RING);
        events
            .send(CarrierEvent::Answered {
                sdp: Bytes::from_static(b"v=0"),
                dialog,
            })
            .await
            .unwrap();
        Ok(())
    }

    async fn acknowledge(&self, _: CallId) {}

    async fn hang_up(&self, call_id: CallId) {
        if let Some(events) = self.with(call_id, |leg| leg.carrier.take()) {
            // The call may be over already.
            drop(events.send(CarrierEvent::LocalHangUp { confirmed: true }).await);
        }
    }

    async fn end_orphan(&self, _trunk: Arc<Trunk>, _dialog: DialogFacts) -> bool {
        true
    }

    async fn set_trunks(&self, _: Vec<Arc<Trunk>>) {}
}

#[async_trait]
impl VoiceRuntime for FarEnd {
    async fn prepare(&self, spec: EndpointSpec, events: mpsc::Sender<VoiceEvent>) -> Result<Bytes, VoiceError> {
        self.with(spec.call_id, |leg| leg.voice = Some(events));
        Ok(Bytes::from_static(b"v=0"))
    }

    async fn connect(&self, _call_id: CallId, _answer_sdp: Bytes, _early: bool) -> Result<(), VoiceError> {
        Ok(())
    }

    async fn reoffer(&self, _call_id: CallId, _offer_sdp: Bytes) -> Result<Bytes, VoiceError> {
        Ok(Bytes::from_static(b"v=0"))
    }

    async fn start_script(&self, call_id: CallId, _script: Script) {
        self.clock.set(NOW + RING + TALK);
        if let Some(events) = self.with(call_id, |leg| leg.voice.clone()) {
            let marks = BTreeMap::from([("appointment_confirmed".to_owned(), "true".to_owned())]);
            let result = ScriptResult {
                keys: "1".to_owned(),
                marks,
                acted: true,
                ..ScriptResult::default()
            };
            drop(events.send(VoiceEvent::ScriptFinished(result)).await);
        }
    }

    async fn info_digit(&self, _call_id: CallId, _digit: Digit) {}

    async fn release(&self, call_id: CallId) -> MediaSummary {
        let answered = self.with(call_id, |leg| leg.dialog.is_some());
        let recording = answered.then(|| RecordingFile {
            path: format!("{call_id}.wav"),
            duration_ms: 72_000,
        });
        MediaSummary {
            recording,
            ..MediaSummary::default()
        }
    }
}
