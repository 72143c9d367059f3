//! Real requests to the whole router, over the memory store and a folder of its own.

mod clips;
mod layers;
mod recordings;

use super::{Audio, HttpState, SignedRecordingLinks, router};
use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use carillon_app::{App, AppSettings, Parts};
use carillon_dialects::{DialectState, RecordingUrls, Renderer};
use carillon_domain::call::{Call, CallState, DialogFacts, Origin, Recording};
use carillon_domain::ids::{AgentId, CallId, ClipId, WorkspaceId};
use carillon_domain::phone::PhoneNumber;
use carillon_domain::pii::Secret;
use carillon_domain::script::{Digit, Script, ScriptResult};
use carillon_domain::transition::{Change, Transition};
use carillon_domain::trunk::Trunk;
use carillon_domain::webhook::Dialect;
use carillon_interfaces::carrier::{Carrier, CarrierEvent, NotSent, OriginateRequest};
use carillon_interfaces::clock::{Clock, SystemClock, UuidV7Maker};
use carillon_interfaces::event_renderer::RecordingLinks;
use carillon_interfaces::failpoint::NoFailpoints;
use carillon_interfaces::store::Store;
use carillon_interfaces::voice::{EndpointSpec, MediaSummary, VoiceError, VoiceEvent, VoiceRuntime};
use carillon_store::memory::MemoryStore;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tower::ServiceExt;
use uuid::Uuid;

const BODY_LIMIT: usize = 1 << 20;
const WORKSPACE: WorkspaceId = WorkspaceId::new(Uuid::from_u128(1));

struct World {
    data: TempDir,
    store: Arc<MemoryStore>,
    links: Arc<SignedRecordingLinks>,
    audio: Audio,
    router: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl World {
    async fn new() -> Self {
        Self::with_ffmpeg("ffmpeg").await
    }

    /// A world in which `program` stands for ffmpeg.
    async fn with_ffmpeg(program: &str) -> Self {
        crate::wiring::install_crypto();
        let data = tempfile::tempdir().unwrap();
        for folder in ["clips", "recordings/1"] {
            std::fs::create_dir_all(data.path().join(folder)).unwrap();
        }
        let audio = Audio::with_program(data.path(), program).await;
        let links = Arc::new(SignedRecordingLinks::new(
            "https://calls.example/",
            Secret::new("key"),
            &audio,
        ));
        let recordings = RecordingUrls::new(links.clone(), Duration::from_secs(60));
        let store = Arc::new(MemoryStore::new());
        let app = App::new(
            Parts {
                store: store.clone(),
                carrier: Arc::new(Nothing),
                voice: Arc::new(Nothing),
                renderer: Arc::new(Renderer::new(recordings.clone())),
                transport: Arc::new(crate::webhook_client::WebhookClient::new(&[]).unwrap()),
                clock: Arc::new(SystemClock),
                ids: Arc::new(UuidV7Maker::default()),
                failpoints: Arc::new(NoFailpoints),
            },
            AppSettings::default(),
        );
        let state = DialectState {
            app,
            recordings,
            clips: Arc::new(audio.silent_clip_library()),
            base_url: "https://calls.example".into(),
            sandbox_numbers: Arc::new([]),
        };
        let router = router(HttpState {
            dialects: state,
            links: links.clone(),
            audio: audio.clone(),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            body_limit_bytes: BODY_LIMIT,
        });
        Self {
            data,
            store,
            links,
            audio,
            router,
        }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            bytes,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// A closed call with two channels of a tone as its recording.
    async fn recorded_call(&self, seconds: u32) -> Call {
        let mut call = call();
        let path = format!("1/{}.wav", call.id);
        let samples = tone(8_000, 440.0, seconds);
        let interleaved: Vec<u8> = samples
            .iter()
            .flat_map(|sample| [*sample, 0])
            .flat_map(i16::to_le_bytes)
            .collect();
        let mut file = carillon_media::wav::header(u64::try_from(interleaved.len()).unwrap()).to_vec();
        file.extend(interleaved);
        std::fs::write(self.data.path().join("recordings").join(&path), file).unwrap();
        call.recording = Some(Recording {
            path,
            duration_ms: u64::from(seconds) * 1_000,
        });
        let transition = Transition::new(WORKSPACE).with(Change::PutCall(Box::new(call.clone())));
        self.store.commit(transition).await.unwrap();
        call
    }

    /// Path and query of a link to the recording.
    fn link(&self, call: &Call, extension: &str) -> String {
        let url = self
            .links
            .url(call, extension, SystemClock.now(), Duration::from_secs(60));
        url.strip_prefix("https://calls.example").unwrap().to_owned()
    }
}

/// A sine at half of full scale.
fn tone(rate: u32, hertz: f64, seconds: u32) -> Vec<i16> {
    (0..rate * seconds)
        .map(|n| ((f64::from(n) * hertz * std::f64::consts::TAU / f64::from(rate)).sin() * 16_000.0) as i16)
        .collect()
}

fn call() -> Call {
    let now = SystemClock.now();
    Call {
        workspace_id: WORKSPACE,
        id: CallId::new(Uuid::now_v7()),
        origin: Origin::Single {
            dialect: Dialect::Revrag,
        },
        agent_id: AgentId::new(Uuid::from_u128(2)),
        trunk_id: None,
        from: None,
        to: PhoneNumber::from_e164_shape("+919876543210").unwrap(),
        script: Script::Announce {
            clip: ClipId::new(Uuid::from_u128(3)),
            times: 1,
            gap_ms: 0,
        },
        variables: Default::default(),
        custom_metadata: None,
        app_user_id: None,
        app_session_id: None,
        record_call: true,
        ring_timeout_s: 45,
        max_duration_s: 600,
        state: CallState::Closed,
        deadline: None,
        created_at: now,
        dialing_at: None,
        ringing_at: None,
        early_media: false,
        answered_at: Some(now),
        ended_at: Some(now),
        dialog: None,
        end: None,
        result: ScriptResult::default(),
        recording: None,
        sound_closed: true,
        unknown_settled_by: None,
        version: 0,
    }
}

/// A far end and a voice that nobody uses.
struct Nothing;

#[async_trait]
impl Carrier for Nothing {
    async fn originate(&self, _: OriginateRequest, _: mpsc::Sender<CarrierEvent>) -> Result<(), NotSent> {
        Err(NotSent::NoRoom("nobody calls here".to_owned()))
    }

    async fn acknowledge(&self, _: CallId) {}

    async fn hang_up(&self, _: CallId) {}

    async fn end_orphan(&self, _: Arc<Trunk>, _: DialogFacts) -> bool {
        true
    }

    async fn set_trunks(&self, _: Vec<Arc<Trunk>>) {}
}

#[async_trait]
impl VoiceRuntime for Nothing {
    async fn prepare(&self, _: EndpointSpec, _: mpsc::Sender<VoiceEvent>) -> Result<Bytes, VoiceError> {
        Err(VoiceError::NoRoom("nobody talks here".to_owned()))
    }

    async fn connect(&self, _: CallId, _: Bytes, _: bool) -> Result<(), VoiceError> {
        Err(VoiceError::UnknownCall)
    }

    async fn reoffer(&self, _: CallId, _: Bytes) -> Result<Bytes, VoiceError> {
        Err(VoiceError::UnknownCall)
    }

    async fn start_script(&self, _: CallId, _: Script) {}

    async fn info_digit(&self, _: CallId, _: Digit) {}

    async fn release(&self, _: CallId) -> MediaSummary {
        MediaSummary::default()
    }
}
