//! The caller's side of a call to the sandbox: the real carrier and voice runtime, and the rules of calls and records.

#![allow(unreachable_pub, dead_code, reason = "each test binary uses its part")]
#![allow(clippy::allow_attributes, reason = "which part is used differs between binaries")]

use carillon_carriers::SipCarrier;
use carillon_carriers::sip::{SipConfig, SipEngine, SipTimers};
use carillon_carriers::ua::SipUa;
use carillon_domain::agent::{Agent, Variables};
use carillon_domain::call::{Call, CallInput, CallState, Recording, SipIdentity};
use carillon_domain::campaign::calling_window::ZoneName;
use carillon_domain::campaign::{
    Campaign, CampaignPolicy, CampaignStatus, CampaignView, LinePlan, after_call, new_call,
};
use carillon_domain::ids::{AgentId, CallId, CampaignId, ClipId, RecordId, TrunkId, WorkspaceId};
use carillon_domain::phone::PhoneNumber;
use carillon_domain::pii::Secret;
use carillon_domain::record::{AttemptKind, Record, RecordState, RecordStatus, Waiting};
use carillon_domain::script::Script;
use carillon_domain::time::UnixMicros;
use carillon_domain::transition::Effect;
use carillon_domain::trunk::{Codec, Credentials, NumberFormat, Transport, Trunk};
use carillon_interfaces::carrier::{Carrier, CarrierEvent, OriginateRequest};
use carillon_interfaces::clock::{Clock, SystemClock};
use carillon_interfaces::voice::{EndpointSpec, MediaSummary, VoiceEvent, VoiceRuntime};
use carillon_media::{tone, wav};
use carillon_sandbox::{CREDENTIALS, Sandbox, SandboxConfig, Voice, reference, start};
use carillon_voice::{EngineConfig, MediaEngine};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use uuid::Uuid;

/// No single call in these tests lasts longer.
pub const PATIENCE: Duration = Duration::from_secs(40);

const WORKSPACE: WorkspaceId = WorkspaceId::new(Uuid::from_u128(1));
pub const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Media ports of their own for each engine; the first follows from the process, as test binaries run side by side.
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

pub fn media_ports() -> std::ops::RangeInclusive<u16> {
    let first = 30_000 + (std::process::id() % 14) as u16 * 2_000 + NEXT_PORT.fetch_add(200, Ordering::Relaxed);
    first..=first + 199
}

/// A sandbox on loopback that speaks without words, and its folder.
pub async fn sandbox(change: impl FnOnce(&mut SandboxConfig)) -> (Sandbox, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = SandboxConfig::new(LOOPBACK, folder.path().join("sandbox"));
    config.media_ports = media_ports();
    config.voice = Voice::Synthetic;
    config.seed = 7;
    change(&mut config);
    (start(config).await.expect("a sandbox"), folder)
}

/// Places calls as a campaign does.
pub struct Caller {
    carrier: SipCarrier,
    voice: MediaEngine,
    trunk: Arc<Trunk>,
    pub prompt: ClipId,
    folder: TempDir,
}

/// A call that is over.
pub struct Over {
    pub call: Call,
    pub status: RecordStatus,
    pub media: MediaSummary,
    /// What the far end was heard to say.
    pub far: Vec<i16>,
}

impl Caller {
    /// A caller of one sandbox. Its prompt is a tone of 440 Hz.
    pub async fn of(sandbox: &Sandbox, transport: Transport) -> Self {
        let (username, password) = CREDENTIALS;
        let credentials = Credentials {
            username: username.to_owned(),
            password: Secret::new(password),
        };
        Self::with(sandbox, transport, Some(credentials)).await
    }

    /// A caller with other credentials, or none.
    pub async fn with(sandbox: &Sandbox, transport: Transport, credentials: Option<Credentials>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (clips, recordings) = (folder.path().join("clips"), folder.path().join("recordings"));
        std::fs::create_dir(&clips).expect("a folder");
        let prompt = ClipId::new(Uuid::from_u128(440));
        let samples = tone::sine(440.0, 8_000, reference::PROMPT_MS);
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        std::fs::write(clips.join(format!("{prompt}.pcm")), bytes).expect("written");
        let mut media = EngineConfig::new(clips, recordings, 11);
        media.bind_address = LOOPBACK.ip();
        media.ports = media_ports();
        let voice = MediaEngine::start(media).expect("an engine");
        voice.warm(prompt).await.expect("a prompt");

        let mut sip = SipConfig::new(LOOPBACK);
        sip.timers = SipTimers {
            bye_deadline: Duration::from_secs(3),
            ..SipTimers::default()
        };
        let sip: Arc<dyn SipUa> = Arc::new(SipEngine::start(sip).await.expect("an engine"));
        let trunk = Trunk {
            workspace_id: WORKSPACE,
            id: TrunkId::new(Uuid::from_u128(3)),
            name: "sandbox".to_owned(),
            host: sandbox.local_addr().ip().to_string(),
            port: sandbox.local_addr().port(),
            transport,
            credentials,
            domain: None,
            caller_ids: vec![number("+12025550100")],
            number_format: NumberFormat::E164,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            lines: 100,
            calls_per_second: 20,
            assert_identity: false,
            sandbox: true,
            enabled: true,
            version: 1,
        };
        Self {
            carrier: SipCarrier::new(sip),
            voice,
            trunk: Arc::new(trunk),
            prompt,
            folder,
        }
    }

    /// A reference call to a number that ends in these digits.
    pub async fn reference_call(&self, digits: &str) -> Over {
        self.call(digits, reference::script(self.prompt)).await
    }

    /// Places a call and waits until it is closed.
    pub async fn call(&self, digits: &str, script: Script) -> Over {
        let placed = self.run(digits, script);
        tokio::time::timeout(PATIENCE, placed)
            .await
            .unwrap_or_else(|_| panic!("the call to {digits} does not end"))
    }

    async fn run(&self, digits: &str, script: Script) -> Over {
        let (campaign, agent) = campaign(script);
        let (record, mut call) = queued(&campaign, &agent, number(&format!("+91987654{digits}")));
        let from = self.trunk.caller_ids[0].clone();
        call = call
            .handle(
                now(),
                CallInput::Dispatch {
                    trunk_id: self.trunk.id,
                    from: from.clone(),
                },
            )
            .call;

        let (carrier_sender, mut carrier_events) = mpsc::channel(32);
        let (voice_sender, mut voice_events) = mpsc::channel(16);
        let spec = EndpointSpec {
            call_id: call.id,
            workspace_id: WORKSPACE,
            codecs: self.trunk.codecs.clone(),
            media_address: Some(LOOPBACK.ip()),
            record: true,
            rtp_timeout_ms: reference::RTP_TIMEOUT_MS,
        };
        let offer_sdp = self.voice.prepare(spec, voice_sender).await.expect("an endpoint");
        let request = OriginateRequest {
            call_id: call.id,
            identity: SipIdentity::of(call.id),
            trunk: Arc::clone(&self.trunk),
            to_user: self.trunk.number_format.format(&call.to),
            from_user: self.trunk.number_format.format(&from),
            offer_sdp,
            ring_timeout: Duration::from_secs(u64::from(call.ring_timeout_s)),
        };
        self.carrier.originate(request, carrier_sender).await.expect("sent");

        let mut media = MediaSummary::default();
        while call.state != CallState::Closed {
            let deadline = call.deadline.expect("a deadline").since(now());
            let input = tokio::select! {
                event = carrier_events.recv() => {
                    let event = event.unwrap_or_else(|| panic!("no final event: {call:?}"));
                    self.on_carrier(call.id, event).await
                }
                Some(event) = voice_events.recv() => Some(match event {
                    VoiceEvent::ScriptFinished(result) => CallInput::ScriptFinished(result),
                    VoiceEvent::ScriptFailed(reason) => CallInput::ScriptFailed(reason),
                    VoiceEvent::MediaLost => CallInput::MediaLost,
                }),
                () = tokio::time::sleep(deadline) => Some(CallInput::Tick),
            };
            let mut inputs: Vec<_> = input.into_iter().collect();
            while let Some(input) = inputs.pop() {
                let step = call.handle(now(), input);
                call = step.call;
                for effect in step.effects {
                    match effect {
                        Effect::StartScript(id) => self.voice.start_script(id, call.script.clone()).await,
                        Effect::HangUp(id) => self.carrier.hang_up(id).await,
                        Effect::ReleaseMedia(id) => {
                            media = self.voice.release(id).await;
                            let recording = media.recording.as_ref().map(|recording| Recording {
                                path: recording.path.clone(),
                                duration_ms: recording.duration_ms,
                            });
                            inputs.push(CallInput::MediaReleased {
                                recording,
                                script: media.script.clone(),
                            });
                        }
                        Effect::PlaceCall(_) | Effect::EndOrphan(_) | Effect::WakeRunner | Effect::WakeWebhooks => {}
                    }
                }
            }
        }
        let status = after_call(&record, &campaign, &call, now()).status();
        let far = self.far_side(&media);
        Over {
            call,
            status,
            media,
            far,
        }
    }

    async fn on_carrier(&self, id: CallId, event: CarrierEvent) -> Option<CallInput> {
        Some(match event {
            CarrierEvent::Progress { sdp, dialog, .. } => {
                if let Some(sdp) = &sdp {
                    self.voice.connect(id, sdp.clone(), true).await.expect("early media");
                }
                CallInput::Progress {
                    early_media: sdp.is_some(),
                    dialog,
                }
            }
            CarrierEvent::Answered { sdp, dialog } => {
                self.voice.connect(id, sdp, false).await.expect("connected");
                self.carrier.acknowledge(id).await;
                CallInput::Answered { dialog }
            }
            CarrierEvent::Failed(failure) => CallInput::Failed(failure),
            CarrierEvent::RemoteHangUp { reason } => CallInput::RemoteHangUp(reason),
            CarrierEvent::LocalHangUp { confirmed } => CallInput::LocalHangUp { confirmed },
            CarrierEvent::Reoffer { sdp, answer } => {
                let reply = self.voice.reoffer(id, sdp).await.expect("an answer");
                answer.send(reply).expect("taken");
                return None;
            }
            CarrierEvent::InfoDigit(digit) => {
                self.voice.info_digit(id, digit).await;
                return None;
            }
        })
    }

    /// The far end's channel of the recording.
    fn far_side(&self, media: &MediaSummary) -> Vec<i16> {
        let Some(recording) = &media.recording else {
            return Vec::new();
        };
        let bytes = std::fs::read(self.folder.path().join("recordings").join(&recording.path)).expect("a recording");
        let frames = bytes[wav::HEADER_BYTES..].chunks_exact(4);
        frames.map(|frame| i16::from_le_bytes([frame[0], frame[1]])).collect()
    }
}

pub fn now() -> UnixMicros {
    SystemClock.now()
}

fn number(e164: &str) -> PhoneNumber {
    PhoneNumber::from_e164_shape(e164).expect("a number")
}

/// A running campaign of one attempt, and its agent.
fn campaign(script: Script) -> (Campaign, Agent) {
    let mut policy = CampaignPolicy::always_open(ZoneName::parse("Asia/Kolkata").expect("a zone"));
    policy.retry.max_attempts = 1;
    let agent = Agent {
        workspace_id: WORKSPACE,
        id: AgentId::new(Uuid::from_u128(4)),
        name: "tester".to_owned(),
        variables: Vec::new(),
        script,
        caller_id: None,
        trunk_id: None,
        ring_timeout_s: reference::RING_TIMEOUT_S,
        max_duration_s: 60,
        record_calls: true,
        active: true,
        created_at: now(),
        version: 1,
    };
    let campaign = Campaign {
        workspace_id: WORKSPACE,
        id: CampaignId::new(Uuid::from_u128(5)),
        name: "reference".to_owned(),
        agent_id: agent.id,
        status: CampaignStatus::Running,
        policy,
        settled: false,
        created_at: now(),
        updated_at: now(),
        version: 1,
    };
    (campaign, agent)
}

/// A record of the campaign in progress, and its queued call.
fn queued(campaign: &Campaign, agent: &Agent, phone: PhoneNumber) -> (Record, Call) {
    let waiting = Waiting {
        next: AttemptKind::First,
        scheduled_at: now(),
        due_at: now(),
        held_by: None,
    };
    let record = Record {
        workspace_id: WORKSPACE,
        id: RecordId::new(Uuid::now_v7()),
        campaign_id: campaign.id,
        phone,
        state: RecordState::Waiting(waiting),
        variables: Variables::new(),
        app_user_id: None,
        app_session_id: None,
        attempts: Vec::new(),
        max_attempts: 1,
        follow_ups: 0,
        callbacks: 0,
        dnc_at: None,
        dnc_reason: None,
        final_reason: None,
        created_at: now(),
        updated_at: now(),
        version: 1,
    };
    let (do_not_call, calls_today) = (BTreeMap::new(), BTreeMap::new());
    let view = CampaignView {
        campaign,
        agent: Some(agent),
        line: LinePlan {
            trunk: None,
            trunk_live: 0,
            starts_allowed: 1,
            next_start_at: None,
        },
        campaign_live: 0,
        workspace_live: 0,
        workspace_max: 100,
        do_not_call: &do_not_call,
        calls_today: &calls_today,
    };
    new_call(&view, agent, &record, CallId::new(Uuid::now_v7()), now())
}

/// Whether a frame is louder than line noise.
fn is_loud(frame: &[i16]) -> bool {
    let energy: f64 = frame.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    (energy / frame.len() as f64).sqrt() > 300.0
}

/// How much of a sound is speech or a tone, in milliseconds.
pub fn loud_ms(samples: &[i16]) -> usize {
    samples.chunks(160).filter(|frame| is_loud(frame)).count() * 20
}

/// When the first sound comes, in milliseconds.
pub fn first_loud_ms(samples: &[i16]) -> Option<usize> {
    samples.chunks(160).position(is_loud).map(|index| index * 20)
}

/// Milliseconds of 20 ms frames that are a tone of this pitch.
pub fn tone_ms(samples: &[i16], hertz: f64) -> usize {
    samples
        .chunks(160)
        .filter(|frame| tone::share(frame, hertz) > 0.8)
        .count()
        * 20
}
