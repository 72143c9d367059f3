//! The voice runtime owns sound: endpoints, SDP, packets, scripts, recordings.
//!
//! Order for an outbound call: [`VoiceRuntime::prepare`] gives the offer, the carrier takes it out, the answer comes to
//! [`VoiceRuntime::connect`], [`VoiceRuntime::start_script`] starts talking, [`VoiceRuntime::release`] ends it.

use async_trait::async_trait;
use bytes::Bytes;
use carillon_domain::ids::{CallId, WorkspaceId};
use carillon_domain::script::{Digit, Script, ScriptResult};
use carillon_domain::trunk::Codec;
use tokio::sync::mpsc;

/// What an endpoint needs to know.
#[derive(Clone, Debug)]
pub struct EndpointSpec {
    /// The call.
    pub call_id: CallId,
    /// Its workspace (recordings are kept per workspace).
    pub workspace_id: WorkspaceId,
    /// Codecs to offer, best first.
    pub codecs: Vec<Codec>,
    /// Address to put into SDP; `None`: the address of the interface that routes to the trunk.
    pub media_address: Option<std::net::IpAddr>,
    /// Whether the call is recorded.
    pub record: bool,
    /// How long no RTP may arrive, while the far end should be sending, before the call is called dropped, in milliseconds.
    pub rtp_timeout_ms: u32,
}

/// What the runtime reports, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum VoiceEvent {
    /// The script is over: hang up.
    ScriptFinished(ScriptResult),
    /// No RTP for the time-out, and the far end is not holding.
    MediaLost,
    /// The script cannot go on (a clip is missing or unreadable).
    ScriptFailed(String),
}

/// Why an endpoint could not be made or connected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoiceError {
    /// No socket, thread or room left.
    #[error("no media endpoint: {0}")]
    NoRoom(String),
    /// The SDP cannot be read.
    #[error("unreadable SDP: {0}")]
    BadSdp(String),
    /// No codec in common, or no audio stream.
    #[error("nothing in common: {0}")]
    NotAcceptable(String),
    /// There is no such endpoint.
    #[error("no such endpoint")]
    UnknownCall,
}

/// What is left of a call's sound when it is over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaSummary {
    /// The recording, when there is one.
    pub recording: Option<RecordingFile>,
    /// What the script knew, when it was cut off before it finished.
    pub script: Option<ScriptResult>,
    /// RTP packets received and accepted.
    pub packets_received: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// Packets that never came, by sequence number.
    pub packets_lost: u64,
}

/// A finished recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingFile {
    /// Path below the recordings folder.
    pub path: String,
    /// Length in milliseconds.
    pub duration_ms: u64,
}

/// Runs the sound of all live calls.
#[async_trait]
pub trait VoiceRuntime: Send + Sync {
    /// Opens an endpoint and returns the SDP offer. Events come on `events` until `release`.
    async fn prepare(&self, spec: EndpointSpec, events: mpsc::Sender<VoiceEvent>) -> Result<Bytes, VoiceError>;

    /// Connects to the far end's answer. `early`: it is early media, nobody has answered yet. Called again at the answer
    /// and for each further SDP that a forked call brings; the last one wins.
    async fn connect(&self, call_id: CallId, answer_sdp: Bytes, early: bool) -> Result<(), VoiceError>;

    /// Answers a new offer in the middle of a call (hold, resume, move). An empty offer asks for one of ours.
    async fn reoffer(&self, call_id: CallId, offer_sdp: Bytes) -> Result<Bytes, VoiceError>;

    /// Starts talking. Unknown calls are ignored.
    async fn start_script(&self, call_id: CallId, script: Script);

    /// A key that arrived by SIP INFO.
    async fn info_digit(&self, call_id: CallId, digit: Digit);

    /// Stops all sound, closes the endpoint and finishes the recording.
    async fn release(&self, call_id: CallId) -> MediaSummary;

    /// What an earlier process left of a call's sound: its recording, made readable up to the moment that process stopped.
    async fn recover(&self, workspace_id: WorkspaceId, call_id: CallId) -> MediaSummary {
        let _ = (workspace_id, call_id);
        MediaSummary::default()
    }
}
