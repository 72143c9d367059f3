//! Signed links to recordings: they work without a key until they expire, and nobody else can make one.

use super::audio::Audio;
use carillon_domain::call::Call;
use carillon_domain::ids::{CallId, WorkspaceId};
use carillon_domain::pii::Secret;
use carillon_domain::time::UnixMicros;
use carillon_interfaces::event_renderer::RecordingLinks;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::time::Duration;

/// File formats of recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// As recorded.
    Wav,
    /// MPEG layer III.
    Mp3,
    /// AAC in MP4.
    Mp4,
}

impl Format {
    /// The format of a file extension.
    pub(crate) fn of(extension: &str) -> Option<Self> {
        match extension {
            "wav" => Some(Self::Wav),
            "mp3" => Some(Self::Mp3),
            "mp4" => Some(Self::Mp4),
            _ => None,
        }
    }

    /// Its file extension.
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Mp3 => "mp3",
            Self::Mp4 => "mp4",
        }
    }

    /// Its media type.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Wav => "audio/wav",
            Self::Mp3 => "audio/mpeg",
            Self::Mp4 => "audio/mp4",
        }
    }
}

/// Why a link does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkProblem {
    /// Not one of ours, or changed.
    Forged,
    /// Its time is over.
    Expired,
}

/// Makes and checks links.
pub(crate) struct SignedRecordingLinks {
    base_url: String,
    secret: Secret,
    mp3: bool,
    mp4: bool,
}

impl SignedRecordingLinks {
    /// Links below `base_url`, signed with `secret`, in the formats that `audio` can make.
    pub(crate) fn new(base_url: &str, secret: Secret, audio: &Audio) -> Self {
        Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            secret,
            mp3: audio.makes(Format::Mp3),
            mp4: audio.makes(Format::Mp4),
        }
    }

    /// Checks what a link says of itself at `now`. Takes as long for a wrong signature as for a right one.
    pub(crate) fn check(
        &self,
        workspace: WorkspaceId,
        call: CallId,
        format: Format,
        expires_s: i64,
        signature: &str,
        now: UnixMicros,
    ) -> Result<(), LinkProblem> {
        let claimed = unhex(signature).ok_or(LinkProblem::Forged)?;
        let mac = self
            .mac(workspace, call, format, expires_s)
            .ok_or(LinkProblem::Forged)?;
        mac.verify_slice(&claimed).map_err(|_| LinkProblem::Forged)?;
        if now.seconds() >= expires_s {
            Err(LinkProblem::Expired)
        } else {
            Ok(())
        }
    }

    fn mac(&self, workspace: WorkspaceId, call: CallId, format: Format, expires_s: i64) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.expose().as_bytes()).ok()?;
        mac.update(format!("recording\n{workspace}\n{call}\n{}\n{expires_s}", format.extension()).as_bytes());
        Some(mac)
    }

    /// The wished format, or the one that needs no encoder: a file is never called what it is not.
    fn format(&self, extension: &str) -> Format {
        match Format::of(extension) {
            Some(Format::Mp3) if self.mp3 => Format::Mp3,
            Some(Format::Mp4) if self.mp4 => Format::Mp4,
            _ => Format::Wav,
        }
    }
}

impl RecordingLinks for SignedRecordingLinks {
    fn url(&self, call: &Call, extension: &str, now: UnixMicros, life: Duration) -> String {
        let format = self.format(extension);
        let expires_s = (now + life).seconds();
        let signature = match self.mac(call.workspace_id, call.id, format, expires_s) {
            Some(mac) => hex(&mac.finalize().into_bytes()),
            None => String::new(),
        };
        format!(
            "{}/recordings/{}/{}.{}?expires={expires_s}&signature={signature}",
            self.base_url,
            call.workspace_id,
            call.id,
            format.extension(),
        )
    }
}

impl fmt::Debug for SignedRecordingLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRecordingLinks")
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 32 bytes of lower-case hexadecimal.
fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    (0..32)
        .map(|index| u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok())
        .collect()
}
