//! The sound of the clip library: any upload becomes `<clip id>.pcm`, 8,000 signed 16-bit samples a second, one channel.

use super::audio::{Audio, AudioError, with_suffix};
use super::wav;
use async_trait::async_trait;
use bytes::Bytes;
use carillon_dialects::{ClipAudio, ClipAudioError, ConvertedClip};
use carillon_domain::ids::ClipId;
use carillon_voice::MediaEngine;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest clip kept; the rest is cut off.
const CLIP_SECONDS_MAX: &str = "1800";

/// Containers and codecs in files of their own. Playlists are not among them: they could name other files of this machine.
const FORMATS: &str = "wav,w64,aiff,au,caf,mp3,aac,ac3,flac,ogg,opus,amr,amrnb,amrwb,gsm,wv,ape,asf,\
                       mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts";

/// Stores the sound of clips in one folder.
pub(crate) struct ClipLibrary {
    folder: PathBuf,
    audio: Audio,
    voice: Option<Arc<MediaEngine>>,
}

impl ClipLibrary {
    pub(super) fn new(folder: PathBuf, audio: Audio, voice: Option<Arc<MediaEngine>>) -> Self {
        Self { folder, audio, voice }
    }

    fn path(&self, id: ClipId) -> PathBuf {
        self.folder.join(format!("{id}.pcm"))
    }

    async fn convert(&self, file: &Bytes, target: &Path) -> Result<(), ClipAudioError> {
        if !self.audio.reads_any_format() {
            let samples = wav::read(file).map_err(|problem| {
                ClipAudioError::Unreadable(format!(
                    "{problem}. Without ffmpeg only WAV files of 16-bit PCM or G.711 at 8, 16, 24, 32 or 48 kHz are read: \
                     install ffmpeg for all others"
                ))
            })?;
            let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            return write_whole(target, &bytes).await.map_err(failed);
        }
        let upload = with_suffix(target, ".upload");
        tokio::fs::write(&upload, file).await.map_err(failed)?;
        let input = ["-format_whitelist", FORMATS];
        let output = [
            "-ac",
            "1",
            "-ar",
            "8000",
            "-t",
            CLIP_SECONDS_MAX,
            "-c:a",
            "pcm_s16le",
            "-f",
            "s16le",
        ];
        let converted = self.audio.convert(&input, &upload, &output, target).await;
        drop(tokio::fs::remove_file(&upload).await);
        converted.map_err(|error| match error {
            AudioError::Unreadable(reason) => {
                ClipAudioError::Unreadable(format!("this is no audio file that can be read: {reason}"))
            }
            AudioError::TimedOut => ClipAudioError::Unreadable("converting the file took too long".to_owned()),
            other => ClipAudioError::Failed(other.to_string()),
        })
    }
}

#[async_trait]
impl ClipAudio for ClipLibrary {
    async fn store(&self, id: ClipId, file: Bytes) -> Result<ConvertedClip, ClipAudioError> {
        let target = self.path(id);
        self.convert(&file, &target).await?;
        let bytes = tokio::fs::metadata(&target).await.map_err(failed)?.len();
        if bytes < 2 {
            drop(tokio::fs::remove_file(&target).await);
            return Err(ClipAudioError::Unreadable("the file holds no sound".to_owned()));
        }
        if let Some(voice) = &self.voice {
            voice.forget_clip(id);
        }
        Ok(ConvertedClip {
            duration_ms: bytes / 2 / u64::from(wav::SAMPLES_PER_MS),
        })
    }

    async fn wav(&self, id: ClipId) -> Result<Bytes, ClipAudioError> {
        match tokio::fs::read(self.path(id)).await {
            Ok(samples) => Ok(wav::mono_file(&samples).into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ClipAudioError::Missing),
            Err(error) => Err(failed(error)),
        }
    }

    async fn remove(&self, id: ClipId) {
        match tokio::fs::remove_file(self.path(id)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(clip = %id, %error, "the sound of a clip that was removed is still there");
            }
            Ok(()) | Err(_) => {}
        }
        if let Some(voice) = &self.voice {
            voice.forget_clip(id);
        }
    }
}

async fn write_whole(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = with_suffix(target, ".part");
    tokio::fs::write(&unfinished, bytes).await?;
    tokio::fs::rename(&unfinished, target).await
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn failed(error: io::Error) -> ClipAudioError {
    ClipAudioError::Failed(format!("the clip cannot be written: {error}"))
}
