//! Two engines that call each other on loopback.

#![expect(dead_code, reason = "each test file uses its own part")]

use carillon_domain::ids::{CallId, ClipId, WorkspaceId};
use carillon_domain::script::Script;
use carillon_domain::trunk::Codec;
use carillon_interfaces::voice::{EndpointSpec, MediaSummary, VoiceEvent, VoiceRuntime as _};
use carillon_media::rtp::{self, RtpPacket};
use carillon_media::{sdp, tone, wav};
use carillon_voice::{CallFigures, EngineConfig, FarEndEvent, MediaEngine};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Each engine of a test binary has ports of its own; the first is derived from the process, as binaries run side by side.
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

pub(crate) struct Side {
    pub(crate) engine: MediaEngine,
    pub(crate) folder: TempDir,
}

impl Side {
    pub(crate) fn start(seed: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["clips", "recordings"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let mut config = EngineConfig::new(folder.path().join("clips"), folder.path().join("recordings"), seed);
        config.bind_address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let first = 20_000 + (std::process::id() % 300) as u16 * 100 + NEXT_PORT.fetch_add(20, Ordering::Relaxed);
        config.ports = first..=first + 19;
        Self {
            engine: MediaEngine::start(config).expect("an engine"),
            folder,
        }
    }

    /// A clip of a sine.
    pub(crate) fn tone_clip(&self, hertz: f64, milliseconds: u32) -> ClipId {
        let clip = ClipId::new(Uuid::now_v7());
        let bytes: Vec<u8> = tone::sine(hertz, 8_000, milliseconds)
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        std::fs::write(self.folder.path().join("clips").join(format!("{clip}.pcm")), bytes).expect("written");
        clip
    }

    pub(crate) fn recording_path(&self, summary: &MediaSummary) -> PathBuf {
        let recording = summary.recording.as_ref().expect("a recording");
        self.folder.path().join("recordings").join(&recording.path)
    }

    /// The far and near channels of a recording.
    pub(crate) fn recorded(&self, summary: &MediaSummary) -> (Vec<i16>, Vec<i16>) {
        let bytes = std::fs::read(self.recording_path(summary)).expect("a file");
        let header = wav::header((bytes.len() - wav::HEADER_BYTES) as u64);
        assert_eq!(
            bytes[..wav::HEADER_BYTES],
            header,
            "the header says what the file holds"
        );
        let frames = bytes[wav::HEADER_BYTES..].chunks_exact(4);
        frames
            .map(|frame| {
                (
                    i16::from_le_bytes([frame[0], frame[1]]),
                    i16::from_le_bytes([frame[2], frame[3]]),
                )
            })
            .unzip()
    }
}

pub(crate) fn spec() -> EndpointSpec {
    EndpointSpec {
        call_id: CallId::new(Uuid::now_v7()),
        workspace_id: WorkspaceId::new(Uuid::from_u128(7)),
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        media_address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        record: true,
        rtp_timeout_ms: 10_000,
    }
}

/// A call between two engines, answered on both sides.
pub(crate) struct Pair {
    pub(crate) ours: CallId,
    pub(crate) theirs: CallId,
    pub(crate) events: mpsc::Receiver<VoiceEvent>,
    pub(crate) heard: mpsc::Receiver<FarEndEvent>,
}

pub(crate) async fn call(us: &Side, them: &Side) -> Pair {
    call_with(us, them, spec(), spec()).await
}

pub(crate) async fn call_with(us: &Side, them: &Side, ours: EndpointSpec, theirs: EndpointSpec) -> Pair {
    let (event_sender, events) = mpsc::channel(8);
    let (heard_sender, heard) = mpsc::channel(64);
    let (our_id, their_id) = (ours.call_id, theirs.call_id);
    let offer = us.engine.prepare(ours, event_sender).await.expect("an offer");
    let answer = them
        .engine
        .answer_offer(theirs, offer, false, heard_sender)
        .await
        .expect("an answer");
    us.engine.connect(our_id, answer, false).await.expect("connected");
    Pair {
        ours: our_id,
        theirs: their_id,
        events,
        heard,
    }
}

pub(crate) async fn next<T>(events: &mut mpsc::Receiver<T>) -> T {
    tokio::time::timeout(PATIENCE, events.recv())
        .await
        .expect("in time")
        .expect("an event")
}

/// Waits for an event, passing over others.
pub(crate) async fn until<T: PartialEq>(events: &mut mpsc::Receiver<T>, wanted: &T) {
    while next(events).await != *wanted {}
}

pub(crate) fn announce(clip: ClipId) -> Script {
    Script::Announce {
        clip,
        times: 1,
        gap_ms: 0,
    }
}

/// How many milliseconds of a recording sound like this tone.
pub(crate) fn tone_ms(samples: &[i16], hertz: f64) -> usize {
    samples
        .chunks(160)
        .filter(|frame| tone::share(frame, hertz) > 0.9)
        .count()
        * 20
}

/// A far end made of one plain socket, for packets that no engine would send.
pub(crate) struct Stranger {
    pub(crate) socket: tokio::net::UdpSocket,
    sequence: u16,
    timestamp: u32,
}

impl Stranger {
    pub(crate) async fn new() -> Self {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        Self {
            socket,
            sequence: 100,
            timestamp: 5_000,
        }
    }

    /// An SDP of this socket; `more` are further attribute lines.
    pub(crate) fn sdp(&self, more: &str) -> bytes::Bytes {
        let port = self.socket.local_addr().expect("bound").port();
        let head = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n";
        format!("{head}m=audio {port} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n{more}").into()
    }

    /// Sends 20 ms of a byte.
    pub(crate) async fn say(&mut self, to: SocketAddr, ssrc: u32, byte: u8) {
        let (sequence, timestamp) = (self.sequence, self.timestamp);
        let packet = RtpPacket {
            payload_type: 0,
            marker: false,
            sequence,
            timestamp,
            ssrc,
            payload: &[byte; 160],
        };
        let mut datagram = [0; 172];
        let length = rtp::write(&packet, &mut datagram);
        self.socket.send_to(&datagram[..length], to).await.expect("sent");
        self.sequence = sequence.wrapping_add(1);
        self.timestamp = timestamp.wrapping_add(160);
    }

    /// Waits for a packet; returns its bytes and sender.
    pub(crate) async fn hear(&self) -> (Vec<u8>, SocketAddr) {
        let mut datagram = [0; 2_000];
        let heard = tokio::time::timeout(PATIENCE, self.socket.recv_from(&mut datagram)).await;
        let (length, from) = heard.expect("in time").expect("a packet");
        (datagram[..length].to_vec(), from)
    }

    /// Throws away what has arrived.
    pub(crate) fn forget(&self) {
        while self.socket.try_recv(&mut [0; 2_000]).is_ok() {}
    }
}

/// The address that an SDP of ours names.
pub(crate) fn address_in(sdp: &[u8]) -> SocketAddr {
    sdp::read_answer(&[Codec::Pcmu, Codec::Pcma], sdp).expect("our SDP").rtp
}

/// Polls until the call's figures are as wanted.
pub(crate) async fn figures_until(
    engine: &MediaEngine,
    call: CallId,
    wanted: impl Fn(&CallFigures) -> bool,
) -> CallFigures {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let figures = engine.figures(call).await.expect("a live call");
        if wanted(&figures) {
            return figures;
        }
        assert!(tokio::time::Instant::now() < deadline, "{figures:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
