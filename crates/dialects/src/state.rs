//! What handlers need of the world besides the façade.

use async_trait::async_trait;
use bytes::Bytes;
use carillon_app::App;
use carillon_domain::call::Call;
use carillon_domain::ids::ClipId;
use carillon_interfaces::event_renderer::RecordingLinks;
use std::sync::Arc;
use std::time::Duration;

/// Shared by all handlers. Clones share everything.
#[derive(Clone)]
pub struct DialectState {
    /// The façade.
    pub app: App,
    /// Links to recordings.
    pub recordings: RecordingUrls,
    /// Sound of the clip library.
    pub clips: Arc<dyn ClipAudio>,
    /// Address of this installation as clients see it, such as `https://calls.example`, without a slash at the end.
    pub base_url: Arc<str>,
    /// What the sandbox's numbers do.
    pub sandbox_numbers: Arc<[SandboxNumber]>,
}

/// Makes links to recordings that live as long as the recordings do.
#[derive(Clone)]
pub struct RecordingUrls {
    links: Arc<dyn RecordingLinks>,
    life: Duration,
}

impl RecordingUrls {
    /// Links that work for `life` after the end of the call: how long recordings are kept.
    pub fn new(links: Arc<dyn RecordingLinks>, life: Duration) -> Self {
        Self { links, life }
    }

    /// The link to a call's recording in the format of `extension`; `None` when there is no recording. It follows from the
    /// call alone, so that a status answer and a webhook say the same.
    pub fn url(&self, call: &Call, extension: &str) -> Option<String> {
        call.recording.as_ref()?;
        Some(
            self.links
                .url(call, extension, call.ended_at.unwrap_or(call.created_at), self.life),
        )
    }
}

/// A number of the sandbox: what its last digits make the far end do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxNumber {
    /// The last four digits.
    pub suffix: String,
    /// A short name of the behaviour.
    pub behaviour: String,
    /// What happens, for people.
    pub description: String,
}

/// A clip whose sound is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvertedClip {
    /// Length in milliseconds.
    pub duration_ms: u64,
}

/// Why a clip's sound is not taken or not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClipAudioError {
    /// The file is no sound that can be read here; the text says what would help.
    #[error("{0}")]
    Unreadable(String),
    /// No sound is stored for the clip.
    #[error("the clip has no sound")]
    Missing,
    /// Our own failure.
    #[error("{0}")]
    Failed(String),
}

/// Stores and returns the sound of clips.
#[async_trait]
pub trait ClipAudio: Send + Sync {
    /// Converts an audio file of any common format and stores it as the sound of `id`.
    async fn store(&self, id: ClipId, file: Bytes) -> Result<ConvertedClip, ClipAudioError>;

    /// The sound of a clip as a WAV file.
    async fn wav(&self, id: ClipId) -> Result<Bytes, ClipAudioError>;

    /// Takes the sound of a clip away. Sound that is not there is no problem, and one that cannot be removed is logged.
    async fn remove(&self, id: ClipId);
}
