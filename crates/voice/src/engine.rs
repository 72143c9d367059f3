//! The engine: calls from the rest of the program come in here and are spread over the media threads.
//!
//! Everything slow happens here, before a media thread hears of it: SDP is read and written, ports are bound, clips are
//! loaded and encoded.

use crate::agent::{Agents, ConverseCall, ConverseParts, RunningAgent};
use crate::call::{NewCall, Released, ScriptClips, Sink};
use crate::clips::{ClipCache, EncodedClip};
use crate::clock::Clock;
use crate::config::EngineConfig;
use crate::control::{Control, clips_of, codecs};
use crate::far_end::{CallFigures, FarEndCommand, FarEndEvent};
use crate::line::{self, SoundFeed, SoundLine};
use crate::listener::{Ears, HeardFrame, Listener};
use crate::ports::{self, PortLease, PortPool};
use crate::recording::{self, Message, RecorderQueue};
use crate::worker::{self, Action, Command, WorkerQueue};
use async_trait::async_trait;
use bytes::Bytes;
use carillon_domain::ids::{CallId, ClipId, WorkspaceId};
use carillon_domain::script::{Digit, Script, ScriptRun};
use carillon_domain::trunk::Codec;
use carillon_interfaces::voice::{EndpointSpec, MediaSummary, RecordingFile, VoiceError, VoiceEvent, VoiceRuntime};
use carillon_media::g711;
use carillon_media::sdp::{Agreed, Local};
use std::collections::hash_map::{Entry, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// Media threads that share one recorder thread.
const MEDIA_THREADS_PER_RECORDER: usize = 4;

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The machine refuses threads or sockets.
    #[error("media threads cannot start: {0}")]
    Io(#[from] std::io::Error),
    /// The port range holds no even port with an odd one after it.
    #[error("the media port range {0}-{1} has no room for a call")]
    NoPorts(u16, u16),
}

/// Runs the sound of all live calls. Clones share one engine; when the last is gone its threads end.
#[derive(Clone)]
pub struct MediaEngine {
    inner: Arc<Inner>,
}

/// An engine that does not go on for its sake.
#[derive(Clone)]
pub(crate) struct WeakEngine(Weak<Inner>);

impl WeakEngine {
    pub(crate) fn upgrade(&self) -> Option<MediaEngine> {
        self.0.upgrade().map(|inner| MediaEngine { inner })
    }
}

impl std::fmt::Debug for WeakEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WeakEngine")
    }
}

/// Where a call is, and since when it talks.
pub(crate) struct CallPlace {
    pub(crate) thread: usize,
    pub(crate) codec: Codec,
    pub(crate) answered_us: u64,
}

struct Inner {
    me: Weak<Inner>,
    agents: Agents,
    conversation: OnceLock<ConverseParts>,
    config: EngineConfig,
    clock: Clock,
    ports: Arc<PortPool>,
    clips: Arc<ClipCache>,
    workers: Vec<WorkerQueue>,
    recorders: Vec<RecorderQueue>,
    threads: Vec<JoinHandle<()>>,
    calls: Mutex<HashMap<CallId, Arc<tokio::sync::Mutex<Control>>>>,
    numbers: AtomicU64,
    advertised: IpAddr,
}

impl MediaEngine {
    /// Starts the threads.
    pub fn start(config: EngineConfig) -> Result<Self, EngineError> {
        let (first, last) = (*config.ports.start(), *config.ports.end());
        if u32::from(last) < u32::from(first) + u32::from(first % 2) + 1 {
            return Err(EngineError::NoPorts(first, last));
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = config
            .media_threads
            .unwrap_or(if cores <= 2 { 1 } else { cores })
            .max(1);
        let clock = Clock::start();
        let name: Arc<str> = config.canonical_name.as_str().into();
        let (mut workers, mut recorders, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        let mut recorder_threads = Vec::new();
        for index in 0..count {
            let (queue, thread) = worker::start(index, count > 2 && count <= cores, clock, Arc::clone(&name))?;
            workers.push(queue);
            threads.push(thread);
        }
        for index in 0..count.div_ceil(MEDIA_THREADS_PER_RECORDER) {
            let (queue, thread) = recording::start(index, config.recordings.clone(), clock)?;
            recorders.push(queue);
            recorder_threads.push(thread);
        }
        threads.append(&mut recorder_threads);
        let inner = |me: &Weak<Inner>| Inner {
            me: me.clone(),
            agents: Agents::default(),
            conversation: OnceLock::new(),
            clock,
            ports: PortPool::new(config.ports.clone()),
            clips: Arc::new(ClipCache::new(Arc::clone(&config.clips), config.clip_cache_bytes)),
            workers,
            recorders,
            threads,
            calls: Mutex::default(),
            numbers: AtomicU64::new(config.seed),
            advertised: config
                .advertised_address
                .unwrap_or_else(|| routed_address(config.bind_address)),
            config,
        };
        Ok(Self {
            inner: Arc::new_cyclic(inner),
        })
    }

    /// Calls that have an endpoint.
    pub fn live_calls(&self) -> usize {
        self.inner.calls.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Loads a clip into memory for all codecs, so that the first call that plays it need not wait.
    pub async fn warm(&self, clip: ClipId) -> Result<(), crate::ClipError> {
        for codec in [Codec::Pcmu, Codec::Pcma] {
            self.inner.clip(clip, codec).await?;
        }
        Ok(())
    }

    /// Forgets a clip whose sound has changed.
    pub fn forget_clip(&self, clip: ClipId) {
        self.inner.clips.forget(clip);
    }

    /// Opens an endpoint for an incoming offer and returns the answer. `early`: media flows one way only until
    /// [`Self::answered`]. Events come on `events`, and are dropped and counted when nobody takes them.
    pub async fn answer_offer(
        &self,
        spec: EndpointSpec,
        offer_sdp: Bytes,
        early: bool,
        events: mpsc::Sender<FarEndEvent>,
    ) -> Result<Bytes, VoiceError> {
        let inner = &self.inner;
        let at_us = inner.clock.now_us();
        let (mut control, new) = inner.open(spec, Sink::FarEnd(events))?;
        let (agreed, answer) = control.answer(&offer_sdp)?;
        let call_id = control.spec.call_id;
        let control = inner.add(control, new).await?;
        let connected = inner
            .connect(call_id, &mut *control.lock().await, agreed, (!early).then_some(at_us))
            .await;
        if connected.is_err() {
            self.release(call_id).await;
        }
        connected.map(|()| answer.into())
    }

    /// Sends the sound of an early endpoint from now on.
    pub async fn answered(&self, call_id: CallId) -> Result<(), VoiceError> {
        let at_us = self.inner.clock.now_us();
        let control = self.inner.control(call_id).ok_or(VoiceError::UnknownCall)?;
        let mut control = control.lock().await;
        let agreed = control
            .agreed
            .clone()
            .ok_or_else(|| VoiceError::BadSdp("there was no offer".to_owned()))?;
        self.inner.connect(call_id, &mut control, agreed, Some(at_us)).await
    }

    /// Drives a call as a far end. Commands to unknown calls are refused; so are clips that cannot be loaded.
    pub async fn command(&self, call_id: CallId, command: FarEndCommand) -> Result<(), VoiceError> {
        let control = self.inner.control(call_id).ok_or(VoiceError::UnknownCall)?;
        let control = control.lock().await;
        let codec = control.agreed.as_ref().map_or(Codec::Pcmu, |agreed| agreed.codec);
        let action = match command {
            FarEndCommand::PlayClip(clip) => {
                let clip = self.inner.clip(clip, codec).await;
                Action::Play(clip.map_err(|error| VoiceError::NotAcceptable(error.to_string()))?)
            }
            FarEndCommand::PlaySamples(samples) => Action::Play(g711::encode(codec, &samples).into()),
            FarEndCommand::PlayEncoded(bytes) => Action::Play(bytes.as_ref().into()),
            FarEndCommand::StopPlayback => Action::StopPlayback,
            FarEndCommand::PressKeys { keys, hold_ms, gap_ms } => Action::PressKeys { keys, hold_ms, gap_ms },
            FarEndCommand::Impair {
                loss_percent,
                jitter_ms,
                seed,
            } => Action::Impair {
                loss_percent,
                jitter_ms,
                seed,
            },
            FarEndCommand::ReportLoudness => Action::ReportLoudness,
            FarEndCommand::StopSending => Action::SetMuted(true),
            FarEndCommand::ResumeSending => Action::SetMuted(false),
        };
        self.inner
            .tell(control.thread, Command::FarEnd { call_id, action })
            .await
    }

    /// Passes on what the far end of an answered call says, 20 ms at a time, until the receiver is dropped. Frames that
    /// nobody takes in time are dropped and counted. A second listener replaces the first.
    pub async fn listen(&self, call_id: CallId, frames: mpsc::Sender<HeardFrame>) -> Result<(), VoiceError> {
        let control = self.inner.control(call_id).ok_or(VoiceError::UnknownCall)?;
        let thread = control.lock().await.thread;
        let listener = Box::new(Listener::new(Ears::Plain(frames)));
        self.inner.tell(thread, Command::Listen { call_id, listener }).await
    }

    /// Takes over the sound of an answered call: from now on it says what the line is told, and what it hears comes by the feed. Both
    /// end when the feed is dropped. A second line replaces the first.
    ///
    /// # Errors
    /// There is no such call, it has not been answered, or its media thread does not keep up.
    pub async fn take_sound(&self, call_id: CallId) -> Result<(SoundLine, SoundFeed), VoiceError> {
        let control = self.inner.control(call_id).ok_or(VoiceError::UnknownCall)?;
        let control = control.lock().await;
        let (Some(agreed), Some(answered_us)) = (&control.agreed, control.answered_us) else {
            return Err(VoiceError::UnknownCall);
        };
        let place = CallPlace {
            thread: control.thread,
            codec: agreed.codec,
            answered_us,
        };
        self.inner.take_sound(call_id, place).await
    }

    /// Lets calls converse from now on; before, scripts that do so fail by name. Once only: later parts are ignored.
    pub fn allow_conversations(&self, parts: ConverseParts) {
        // The first parts stay: calls may be using them.
        let _ = self.inner.conversation.set(parts);
    }

    /// Conversations that are being held.
    pub fn conversations(&self) -> usize {
        self.inner.agents.count()
    }

    pub(crate) async fn tell(&self, thread: usize, command: Command) -> Result<(), VoiceError> {
        self.inner.tell(thread, command).await
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.inner.clock.now_us()
    }

    /// What a call has seen so far.
    pub async fn figures(&self, call_id: CallId) -> Result<CallFigures, VoiceError> {
        let control = self.inner.control(call_id).ok_or(VoiceError::UnknownCall)?;
        let thread = control.lock().await.thread;
        let (reply, figures) = oneshot::channel();
        self.inner.tell(thread, Command::Figures { call_id, reply }).await?;
        figures.await.map_err(|_| VoiceError::UnknownCall)
    }
}

#[async_trait]
impl VoiceRuntime for MediaEngine {
    async fn prepare(&self, spec: EndpointSpec, events: mpsc::Sender<VoiceEvent>) -> Result<Bytes, VoiceError> {
        let (mut control, new) = self.inner.open(spec, Sink::Voice(events.clone()))?;
        control.events = Some(events);
        let offer = control.offer();
        self.inner.add(control, new).await?;
        Ok(offer.into())
    }

    async fn connect(&self, call_id: CallId, answer_sdp: Bytes, early: bool) -> Result<(), VoiceError> {
        let at_us = self.inner.clock.now_us();
        let control = self.inner.control(call_id).ok_or(VoiceError::UnknownCall)?;
        let mut control = control.lock().await;
        let agreed = control.read_answer(&answer_sdp)?;
        self.inner
            .connect(call_id, &mut control, agreed, (!early).then_some(at_us))
            .await
    }

    async fn reoffer(&self, call_id: CallId, offer_sdp: Bytes) -> Result<Bytes, VoiceError> {
        let control = self.inner.control(call_id).ok_or(VoiceError::UnknownCall)?;
        let mut control = control.lock().await;
        if offer_sdp.is_empty() {
            return Ok(control.offer().into());
        }
        let (agreed, answer) = control.answer(&offer_sdp)?;
        self.inner.connect(call_id, &mut control, agreed, None).await?;
        Ok(answer.into())
    }

    async fn start_script(&self, call_id: CallId, script: Script) {
        let Some(control) = self.inner.control(call_id) else {
            return;
        };
        let mut control = control.lock().await;
        control.script = Some(script);
        control.script_sent = false;
        self.inner.send_script(call_id, &mut control).await;
    }

    async fn info_digit(&self, call_id: CallId, digit: Digit) {
        let Some(control) = self.inner.control(call_id) else {
            return;
        };
        let thread = control.lock().await.thread;
        // Refused only when the thread is gone, and its call with it.
        let _ = self.inner.tell(thread, Command::InfoKey { call_id, digit }).await;
    }

    async fn release(&self, call_id: CallId) -> MediaSummary {
        let ended_us = self.inner.clock.now_us();
        let Some(control) = self.inner.forget(call_id) else {
            return MediaSummary::default();
        };
        let inner = Arc::clone(&self.inner);
        // A task of its own, so that a caller who stops waiting leaves no socket and no unfinished file behind.
        let release = tokio::spawn(async move {
            let mut control = control.lock().await;
            inner.release(call_id, &mut control, ended_us).await
        });
        release.await.unwrap_or_default()
    }

    async fn recover(&self, workspace_id: WorkspaceId, call_id: CallId) -> MediaSummary {
        let path = recording::file_name(workspace_id, call_id);
        let whole = self.inner.config.recordings.join(&path);
        let repaired = tokio::task::spawn_blocking(move || recording::repair_recording(&whole)).await;
        let recording = match repaired {
            Ok(Ok(duration_ms)) => Some(RecordingFile { path, duration_ms }),
            // The call was not recorded, or had not been answered.
            Ok(Err(recording::RepairError::Io(error))) if error.kind() == std::io::ErrorKind::NotFound => None,
            Ok(Err(error)) => {
                tracing::warn!(call = %call_id, %error, "the recording of an earlier run cannot be repaired");
                None
            }
            Err(_) => None,
        };
        MediaSummary {
            recording,
            ..MediaSummary::default()
        }
    }
}

impl Inner {
    fn control(&self, call_id: CallId) -> Option<Arc<tokio::sync::Mutex<Control>>> {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&call_id)
            .cloned()
    }

    fn forget(&self, call_id: CallId) -> Option<Arc<tokio::sync::Mutex<Control>>> {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&call_id)
    }

    /// The next number of a sequence that looks random and never repeats (splitmix64).
    fn number(&self) -> u64 {
        let state = self.numbers.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn open(&self, spec: EndpointSpec, sink: Sink) -> Result<(Control, NewCall), VoiceError> {
        let (rtp, lease) = self.bind()?;
        let (draw, more) = (self.number(), self.number());
        let local = Local {
            address: spec.media_address.unwrap_or(self.advertised),
            port: lease.port(),
            // At most 62 bits: some peers read it as a signed number.
            session_id: more >> 2,
            version: 1,
            codecs: codecs(&spec.codecs),
        };
        let new = NewCall {
            id: spec.call_id,
            rtp,
            lease,
            sink,
            rtp_timeout_us: u64::from(spec.rtp_timeout_ms) * 1_000,
            ssrc: draw as u32,
            // Not in the upper half, so that SRTP and simple peers see no early wrap (RFC 3711 section 3.3.1).
            first_sequence: ((draw >> 32) & 0x7FFF) as u16,
            first_timestamp: more as u32,
        };
        let thread = self
            .workers
            .iter()
            .enumerate()
            .min_by_key(|(_, worker)| worker.calls())
            .map_or(0, |(index, _)| index);
        Ok((Control::new(spec, thread, local), new))
    }

    fn bind(&self) -> Result<(UdpSocket, PortLease), VoiceError> {
        self.ports
            .bind(self.config.bind_address)
            .map_err(|error| VoiceError::NoRoom(error.to_string()))
    }

    async fn add(&self, control: Control, new: NewCall) -> Result<Arc<tokio::sync::Mutex<Control>>, VoiceError> {
        let (call_id, thread) = (new.id, control.thread);
        let control = Arc::new(tokio::sync::Mutex::new(control));
        match self.calls.lock().unwrap_or_else(PoisonError::into_inner).entry(call_id) {
            Entry::Occupied(_) => return Err(VoiceError::NoRoom("the call has an endpoint already".to_owned())),
            Entry::Vacant(vacant) => vacant.insert(Arc::clone(&control)),
        };
        let added = self.tell(thread, Command::Add(Box::new(new))).await;
        if added.is_err() {
            self.forget(call_id);
        }
        added.map(|()| control)
    }

    async fn tell(&self, thread: usize, command: Command) -> Result<(), VoiceError> {
        let sent = match self.workers.get(thread) {
            Some(worker) => worker.send(command).await,
            None => false,
        };
        if sent {
            Ok(())
        } else {
            Err(VoiceError::NoRoom("the media thread does not keep up".to_owned()))
        }
    }

    fn recorder(&self, thread: usize) -> Option<&RecorderQueue> {
        self.recorders.get(thread / MEDIA_THREADS_PER_RECORDER)
    }

    /// Hands an agreement to the media thread; the first one with `answered_us` starts sound and recording.
    async fn connect(
        &self,
        call_id: CallId,
        control: &mut Control,
        agreed: Agreed,
        answered_us: Option<u64>,
    ) -> Result<(), VoiceError> {
        let answered_us = answered_us.filter(|_| control.answered_us.is_none());
        let codec_before = control.agreed.as_ref().map(|agreed| agreed.codec);
        let codec = agreed.codec;
        let recording = match answered_us {
            Some(answered_us) if control.spec.record => self.start_recording(control, answered_us).await,
            _ => None,
        };
        control.answered_us = control.answered_us.or(answered_us);
        control.agreed = Some(agreed.clone());
        let rtcp = self.control_socket(control, answered_us.is_some());
        let agreed = Box::new(agreed);
        self.tell(
            control.thread,
            Command::Connect {
                call_id,
                agreed,
                answered_us,
                rtcp,
                recording,
            },
        )
        .await?;
        if control.script_sent && codec_before != Some(codec) {
            let clips = self.script_clips(control.script.as_ref(), codec).await;
            self.tell(control.thread, Command::ReplaceClips { call_id, clips })
                .await?;
        }
        self.send_script(call_id, control).await;
        Ok(())
    }

    /// RTCP is worth a socket only once a call is up; a call lives without it when the port is taken.
    fn control_socket(&self, control: &mut Control, answered: bool) -> Option<UdpSocket> {
        if !answered || control.has_rtcp {
            return None;
        }
        let address = SocketAddr::new(self.config.bind_address, control.port().checked_add(1)?);
        let socket = ports::bind(address).ok();
        control.has_rtcp = socket.is_some();
        socket
    }

    async fn start_recording(&self, control: &mut Control, started_us: u64) -> Option<(u64, RecorderQueue)> {
        let recorder = self.recorder(control.thread)?;
        let recording = self.number();
        let path = recording::file_name(control.spec.workspace_id, control.spec.call_id);
        let started = recorder
            .send(Message::Start {
                recording,
                path,
                started_us,
            })
            .await;
        if !started {
            metrics::counter!("carillon_media_recordings_failed_total").increment(1);
            return None;
        }
        control.recording = Some(recording);
        Some((recording, recorder.clone()))
    }

    /// Hands the script over as soon as the codec is known.
    async fn send_script(&self, call_id: CallId, control: &mut Control) {
        let (Some(script), Some(agreed), false) = (&control.script, &control.agreed, control.script_sent) else {
            return;
        };
        if let Script::Converse(converse) = script {
            let Some(answered_us) = control.answered_us else { return };
            let place = CallPlace {
                thread: control.thread,
                codec: agreed.codec,
                answered_us,
            };
            let call = ConverseCall {
                script: converse.as_ref().clone(),
                answered_at: self.clock.wall(answered_us),
                events: control.events.clone(),
            };
            control.agent = self.converse(call_id, place, call).await;
            control.script_sent = true;
            return;
        }
        let clips = self.script_clips(Some(script), agreed.codec).await;
        let run = Box::new(ScriptRun::new(script.clone()));
        control.script_sent = self
            .tell(control.thread, Command::Script { call_id, run, clips })
            .await
            .is_ok();
    }

    /// Begins a conversation; what cannot begin is told by name.
    async fn converse(&self, call_id: CallId, place: CallPlace, call: ConverseCall) -> Option<RunningAgent> {
        let line = match self.take_sound(call_id, place).await {
            Ok(line) => line,
            Err(error) => {
                call.fail(error.to_string());
                return None;
            }
        };
        self.agents.start(self.conversation.get(), line, call)
    }

    /// Attaches a line to a call.
    pub(crate) async fn take_sound(
        &self,
        call_id: CallId,
        place: CallPlace,
    ) -> Result<(SoundLine, SoundFeed), VoiceError> {
        let (line, feed, command) = line::open(call_id, &place, WeakEngine(self.me.clone()));
        self.tell(place.thread, command).await?;
        Ok((line, feed))
    }

    async fn script_clips(&self, script: Option<&Script>, codec: Codec) -> ScriptClips {
        let mut clips = Vec::new();
        for clip in script.map(clips_of).unwrap_or_default() {
            clips.push((clip, self.clip(clip, codec).await.map_err(|error| error.to_string())));
        }
        clips
    }

    async fn clip(&self, clip: ClipId, codec: Codec) -> Result<EncodedClip, crate::ClipError> {
        if let Some(cached) = self.clips.cached(clip, codec) {
            return Ok(cached);
        }
        let clips = Arc::clone(&self.clips);
        let loaded = tokio::task::spawn_blocking(move || clips.load(clip, codec)).await;
        loaded.unwrap_or_else(|error| Err(crate::ClipError::Unreadable(clip, error.to_string())))
    }

    async fn release(&self, call_id: CallId, control: &mut Control, ended_us: u64) -> MediaSummary {
        let released = self.release_from_thread(call_id, control.thread).await;
        let recording = self.finish_recording(control, ended_us).await;
        // A conversation looks back when nobody waits on the line any more.
        let said = match control.agent.take() {
            Some(agent) => agent.end().await,
            None => None,
        };
        let Some(Released { script, figures, .. }) = released else {
            return MediaSummary {
                recording,
                script: said,
                ..MediaSummary::default()
            };
        };
        MediaSummary {
            recording,
            script: said.or(script),
            packets_received: figures.packets_received,
            packets_sent: figures.packets_sent,
            packets_lost: figures.packets_lost,
        }
    }

    async fn release_from_thread(&self, call_id: CallId, thread: usize) -> Option<Released> {
        let (reply, released) = oneshot::channel();
        self.tell(thread, Command::Release { call_id, reply }).await.ok()?;
        released.await.ok()
    }

    /// All sound of the call is in the recorder's queue by now, so that the finish comes behind it.
    async fn finish_recording(&self, control: &Control, ended_us: u64) -> Option<RecordingFile> {
        let recording = control.recording?;
        let (reply, finished) = oneshot::channel();
        let message = Message::Finish {
            recording,
            ended_us,
            reply,
        };
        self.recorder(control.thread)?.send(message).await.then_some(())?;
        finished.await.ok().flatten()
    }
}

impl Drop for Inner {
    /// Media threads end first, as they feed the recorders; those then finish their files.
    fn drop(&mut self) {
        self.workers.drain(..).for_each(WorkerQueue::close);
        self.recorders.clear();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a media thread ended by a panic");
            }
        }
    }
}

/// The address that packets to the outside leave from; loopback on a machine without a route.
fn routed_address(bound: IpAddr) -> IpAddr {
    if !bound.is_unspecified() {
        return bound;
    }
    // Connecting a UDP socket sends nothing; the address is one reserved for documentation (RFC 5737).
    let routed = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    routed.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}
