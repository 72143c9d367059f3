//! Sound in other formats, made by `ffmpeg` as a process: never in a call's path, a few at a time, each with a deadline.

use super::clips::ClipLibrary;
use super::links::Format;
use carillon_voice::MediaEngine;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::Semaphore;

/// Most conversions at once.
const PROCESSES_MAX: usize = 2;
/// Most conversions that wait for their turn.
const WAITING_MAX: usize = 64;
/// How long one conversion may take.
const CONVERSION_TIMEOUT: Duration = Duration::from_secs(120);
/// How long ffmpeg may take to say what it can do.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most of ffmpeg's complaint that is kept.
const COMPLAINT_CHARACTERS_MAX: usize = 300;

/// Why sound in another format is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AudioError {
    /// There is no such file.
    #[error("there is no such file")]
    Missing,
    /// ffmpeg, or its encoder, is not installed.
    #[error("ffmpeg is not installed here")]
    NoEncoder,
    /// Too many conversions wait already.
    #[error("too many conversions are waiting")]
    Busy,
    /// It took too long.
    #[error("the conversion took too long")]
    TimedOut,
    /// ffmpeg could not read the file.
    #[error("ffmpeg cannot read it: {0}")]
    Unreadable(String),
    /// Our own failure.
    #[error("{0}")]
    Failed(String),
}

/// Converts sound. Clones share everything.
#[derive(Clone)]
pub(crate) struct Audio {
    inner: Arc<Inner>,
}

struct Inner {
    data: PathBuf,
    ffmpeg: Option<Ffmpeg>,
    processes: Semaphore,
    places: Semaphore,
    /// One lock for each file that is being made.
    making: Mutex<BTreeMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Ffmpeg {
    program: PathBuf,
    mp3: bool,
    aac: bool,
}

impl Audio {
    /// Looks for ffmpeg and its encoders, once. `data` holds the folders `clips` and `recordings`.
    pub(crate) async fn probe(data: &Path) -> Self {
        Self::with_program(data, "ffmpeg").await
    }

    /// As [`Audio::probe`], with another program in place of ffmpeg.
    pub(crate) async fn with_program(data: &Path, program: &str) -> Self {
        let ffmpeg = probe(program).await;
        Self {
            inner: Arc::new(Inner {
                data: data.to_owned(),
                ffmpeg,
                processes: Semaphore::new(PROCESSES_MAX),
                places: Semaphore::new(PROCESSES_MAX + WAITING_MAX),
                making: Mutex::default(),
            }),
        }
    }

    /// What cannot be done on this machine, and what would help.
    pub(crate) fn warnings(&self) -> Vec<String> {
        const FIX: &str = "install ffmpeg (Debian: apt-get install ffmpeg) and start again";
        match &self.inner.ffmpeg {
            None => vec![format!(
                "no ffmpeg: recordings are served as .wav only, clips are taken as WAV only; {FIX}"
            )],
            Some(Ffmpeg {
                mp3: true, aac: true, ..
            }) => Vec::new(),
            Some(ffmpeg) => {
                let missing = if ffmpeg.mp3 { "AAC" } else { "MP3" };
                vec![format!(
                    "this ffmpeg has no {missing} encoder: such recordings are served as .wav; {FIX}"
                )]
            }
        }
    }

    /// Whether recordings can be had in this format.
    pub(crate) fn makes(&self, format: Format) -> bool {
        match (format, &self.inner.ffmpeg) {
            (Format::Wav, _) => true,
            (Format::Mp3, Some(ffmpeg)) => ffmpeg.mp3,
            (Format::Mp4, Some(ffmpeg)) => ffmpeg.aac,
            (Format::Mp3 | Format::Mp4, None) => false,
        }
    }

    /// Whether clips of any format can be read.
    pub(super) fn reads_any_format(&self) -> bool {
        self.inner.ffmpeg.is_some()
    }

    /// The sound of clips, for their library. `voice` forgets what changes.
    pub(crate) fn clip_library(&self, voice: Arc<MediaEngine>) -> ClipLibrary {
        ClipLibrary::new(self.inner.data.join("clips"), self.clone(), Some(voice))
    }

    /// A clip library that no voice plays from.
    #[cfg(test)]
    pub(super) fn silent_clip_library(&self) -> ClipLibrary {
        ClipLibrary::new(self.inner.data.join("clips"), self.clone(), None)
    }

    /// The file of a recording in `format`: made at the first request and kept beside the recording.
    pub(crate) async fn recording(&self, path: &str, format: Format) -> Result<PathBuf, AudioError> {
        let source = below(&self.inner.data.join("recordings"), path).ok_or(AudioError::Missing)?;
        if !is_file(&source).await {
            return Err(AudioError::Missing);
        }
        if format == Format::Wav {
            return Ok(source);
        }
        if !self.makes(format) {
            return Err(AudioError::NoEncoder);
        }
        let target = source.with_extension(format.extension());
        if is_file(&target).await {
            return Ok(target);
        }
        let audio = self.clone();
        let made = target.clone();
        // A task of its own: when the client goes away, the work is still done for the next one.
        let task = tokio::spawn(async move { audio.make_recording(&source, &made, format).await });
        task.await.map_err(|error| AudioError::Failed(error.to_string()))??;
        Ok(target)
    }

    async fn make_recording(&self, source: &Path, target: &Path, format: Format) -> Result<(), AudioError> {
        let place = self.inner.places.try_acquire().map_err(|_| AudioError::Busy)?;
        let lock = Arc::clone(self.lock_making().entry(target.to_owned()).or_default());
        let made = {
            let _one_at_a_time = lock.lock().await;
            if is_file(target).await {
                Ok(())
            } else {
                self.encode(source, target, format).await
            }
        };
        let mut making = self.lock_making();
        // The map's own and this one: nobody else waits.
        if Arc::strong_count(&lock) == 2 {
            making.remove(target);
        }
        drop(making);
        drop(place);
        made
    }

    async fn encode(&self, source: &Path, target: &Path, format: Format) -> Result<(), AudioError> {
        // 16,000 samples a second: some players refuse MP3 and AAC of 8,000.
        let codec: &[&str] = match format {
            Format::Wav => &["-c:a", "copy", "-f", "wav"],
            Format::Mp3 => &["-ar", "16000", "-c:a", "libmp3lame", "-b:a", "48k", "-f", "mp3"],
            Format::Mp4 => &[
                "-ar",
                "16000",
                "-c:a",
                "aac",
                "-b:a",
                "48k",
                "-movflags",
                "+faststart",
                "-f",
                "mp4",
            ],
        };
        self.convert(&["-f", "wav"], source, codec, target).await
    }

    /// Runs ffmpeg from one file to another, which appears whole or not at all.
    pub(super) async fn convert(
        &self,
        input_options: &[&str],
        source: &Path,
        output_options: &[&str],
        target: &Path,
    ) -> Result<(), AudioError> {
        let ffmpeg = self.inner.ffmpeg.as_ref().ok_or(AudioError::NoEncoder)?;
        let _turn = self
            .inner
            .processes
            .acquire()
            .await
            .map_err(|error| AudioError::Failed(error.to_string()))?;
        let unfinished = with_suffix(target, ".part");
        let mut command = Command::new(&ffmpeg.program);
        command
            .args(["-nostdin", "-hide_banner", "-v", "error", "-threads", "1", "-y"])
            .args(["-protocol_whitelist", "file"])
            .args(input_options)
            .arg("-i")
            .arg(file_url(source))
            .args(["-map", "0:a:0", "-map_metadata", "-1", "-vn", "-sn", "-dn"])
            .args(output_options)
            .arg(file_url(&unfinished));
        let result = match run(command).await {
            Ok(()) => rename(&unfinished, target).await,
            Err(error) => Err(error),
        };
        if result.is_err() {
            // It may not exist; then there is nothing to remove.
            drop(tokio::fs::remove_file(&unfinished).await);
        }
        result
    }

    fn lock_making(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Arc<tokio::sync::Mutex<()>>>> {
        self.inner.making.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a command to its end; what it says on stderr is the reason when it fails.
async fn run(mut command: Command) -> Result<(), AudioError> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let output = tokio::time::timeout(CONVERSION_TIMEOUT, command.output())
        .await
        .map_err(|_| AudioError::TimedOut)?;
    let output = output.map_err(|error| AudioError::Failed(format!("ffmpeg does not start: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("no reason given");
    // The file's name is our own and says nothing to the reader.
    let reason = last.split_once(".upload: ").map_or(last, |(_, reason)| reason);
    Err(AudioError::Unreadable(
        reason.chars().take(COMPLAINT_CHARACTERS_MAX).collect(),
    ))
}

async fn rename(from: &Path, to: &Path) -> Result<(), AudioError> {
    tokio::fs::rename(from, to)
        .await
        .map_err(|error| AudioError::Failed(error.to_string()))
}

async fn probe(program: &str) -> Option<Ffmpeg> {
    let mut command = Command::new(program);
    command.args(["-hide_banner", "-v", "error", "-encoders"]);
    command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PROBE_TIMEOUT, command.output()).await.ok()?.ok()?;
    if !output.status.success() {
        return None;
    }
    let listing = String::from_utf8_lossy(&output.stdout);
    let has = |encoder: &str| {
        listing
            .lines()
            .any(|line| line.split_whitespace().nth(1) == Some(encoder))
    };
    Some(Ffmpeg {
        program: PathBuf::from(program),
        mp3: has("libmp3lame"),
        aac: has("aac"),
    })
}

/// `path` below `folder`, if it does not leave it.
fn below(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let stays = path.components().all(|part| matches!(part, Component::Normal(_)));
    (stays && !path.as_os_str().is_empty()).then(|| folder.join(path))
}

async fn is_file(path: &Path) -> bool {
    tokio::fs::metadata(path).await.is_ok_and(|metadata| metadata.is_file())
}

/// `path` with text put behind its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// So that a name that looks like an option or another protocol is read as a file.
fn file_url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push::<&OsStr>(path.as_ref());
    url
}
