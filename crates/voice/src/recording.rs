//! Recorder threads: packets in through a bounded queue, growing WAV files out.
//!
//! Media threads only copy a payload into the queue; decoding and writing happen here. Sound reaches the file within half
//! a second and the header follows each second, so that a crash loses no more than that and the file stays readable.

use crate::clock::Clock;
use carillon_domain::ids::{CallId, WorkspaceId};
use carillon_domain::trunk::Codec;
use carillon_interfaces::voice::RecordingFile;
use carillon_media::recorder::{LATE_SAMPLES, Recorder, Side};
use carillon_media::{FRAME_SAMPLES, g711, samples_in, wav};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;
use tokio::sync::oneshot;

/// Packets that may wait: at a hundred a second for a call, 50 ms of more than 3,000 calls.
const QUEUE_MESSAGES: usize = 16_384;
/// How long the thread sleeps between two looks at its queue.
const NAP: Duration = Duration::from_millis(40);
/// How often sound is written, in samples: 200 ms.
const WRITE_EVERY_SAMPLES: u64 = 1_600;
/// How often the header is written, in samples: 1 s.
const HEADER_EVERY_SAMPLES: u64 = 8_000;

/// One packet's worth of sound, copied.
pub(crate) struct Sound {
    pub(crate) recording: u64,
    pub(crate) place: Place,
    pub(crate) codec: Codec,
    pub(crate) length: u8,
    pub(crate) payload: [u8; FRAME_SAMPLES],
}

/// Where sound belongs.
pub(crate) enum Place {
    /// From the far end: when it arrived on the engine's clock, its timestamp, and whether its clock is a new one.
    Far {
        arrived_us: u64,
        timestamp: u32,
        restarted: bool,
    },
    /// From us: samples since the recording began.
    Near { position: u64 },
}

pub(crate) enum Message {
    Start {
        recording: u64,
        path: String,
        started_us: u64,
    },
    Sound(Sound),
    Finish {
        recording: u64,
        ended_us: u64,
        reply: oneshot::Sender<Option<RecordingFile>>,
    },
}

/// A recorder thread's queue.
#[derive(Clone)]
pub(crate) struct RecorderQueue {
    messages: SyncSender<Message>,
    thread: Thread,
}

impl RecorderQueue {
    /// Puts sound in; returns whether there was room. Never waits and never wakes the thread, which looks by itself.
    pub(crate) fn record(&self, sound: Sound) -> bool {
        self.messages.try_send(Message::Sound(sound)).is_ok()
    }

    /// Puts a message in, waiting for room up to a second. Returns whether it is in.
    pub(crate) async fn send(&self, message: Message) -> bool {
        let mut message = message;
        for _ in 0..200 {
            match self.messages.try_send(message) {
                Ok(()) => {
                    self.thread.unpark();
                    return true;
                }
                Err(TrySendError::Full(refused)) => message = refused,
                Err(TrySendError::Disconnected(_)) => return false,
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }
}

/// Starts a recorder thread over the recordings folder. It ends, and finishes every file, when its queues are gone.
pub(crate) fn start(index: usize, folder: PathBuf, clock: Clock) -> io::Result<(RecorderQueue, JoinHandle<()>)> {
    let (sender, receiver) = sync_channel(QUEUE_MESSAGES);
    let thread = std::thread::Builder::new().name(format!("recorder-{index}"));
    let thread = thread.spawn(move || RecorderThread::new(folder, clock).run(&receiver))?;
    Ok((
        RecorderQueue {
            messages: sender,
            thread: thread.thread().clone(),
        },
        thread,
    ))
}

struct RecorderThread {
    folder: PathBuf,
    clock: Clock,
    recordings: HashMap<u64, Recording>,
    scratch: Vec<u8>,
}

struct Recording {
    recorder: Recorder,
    file: RecordingOnDisk,
    started_us: u64,
}

struct RecordingOnDisk {
    path: String,
    file: Option<File>,
    header_samples: u64,
    written_samples: u64,
}

impl RecorderThread {
    fn new(folder: PathBuf, clock: Clock) -> Self {
        Self {
            folder,
            clock,
            recordings: HashMap::new(),
            scratch: Vec::with_capacity(64 << 10),
        }
    }

    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            // A full queue is taken in one go at most, so that files are written in between under any load.
            for _ in 0..QUEUE_MESSAGES {
                match messages.try_recv() {
                    Ok(message) => self.handle(message),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return self.finish_all(),
                }
            }
            self.write_due();
            std::thread::park_timeout(NAP);
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Start {
                recording,
                path,
                started_us,
            } => {
                let file = RecordingOnDisk::create(&self.folder, path);
                self.recordings.insert(
                    recording,
                    Recording {
                        recorder: Recorder::default(),
                        file,
                        started_us,
                    },
                );
            }
            Message::Sound(sound) => {
                if let Some(recording) = self.recordings.get_mut(&sound.recording) {
                    recording.put(&sound, &mut self.scratch);
                }
            }
            Message::Finish {
                recording,
                ended_us,
                reply,
            } => {
                let finished = self.recordings.remove(&recording);
                let file = finished.and_then(|recording| recording.finish(ended_us, &mut self.scratch));
                // The caller may have gone away; the file is complete all the same.
                let _ = reply.send(file);
            }
        }
    }

    fn write_due(&mut self) {
        let now_us = self.clock.now_us();
        for recording in self.recordings.values_mut() {
            let until = samples_in(now_us.saturating_sub(recording.started_us)).saturating_sub(LATE_SAMPLES);
            if until >= recording.recorder.taken() + WRITE_EVERY_SAMPLES {
                recording.write_until(until, &mut self.scratch);
            }
        }
    }

    fn finish_all(mut self) {
        let now_us = self.clock.now_us();
        for (_, recording) in std::mem::take(&mut self.recordings) {
            recording.finish(now_us, &mut self.scratch);
        }
    }
}

impl Recording {
    fn put(&mut self, sound: &Sound, scratch: &mut Vec<u8>) {
        let mut samples = [0; FRAME_SAMPLES];
        let length = usize::from(sound.length).min(FRAME_SAMPLES);
        g711::decode_into(sound.codec, &sound.payload[..length], &mut samples);
        let (side, position) = match sound.place {
            Place::Near { position } => (Side::Near, position),
            Place::Far {
                arrived_us,
                timestamp,
                restarted,
            } => {
                let arrived_us = arrived_us.saturating_sub(self.started_us);
                (Side::Far, self.recorder.locate(arrived_us, timestamp, restarted))
            }
        };
        let end = position + length as u64;
        if !self.recorder.reaches(end) {
            self.write_until(end.saturating_sub(LATE_SAMPLES), scratch);
        }
        self.recorder.put(side, position, &samples[..length]);
    }

    fn write_until(&mut self, until: u64, scratch: &mut Vec<u8>) {
        loop {
            scratch.clear();
            let all = self.recorder.take(until, scratch);
            self.file.append(scratch);
            if all {
                return;
            }
        }
    }

    fn finish(mut self, ended_us: u64, scratch: &mut Vec<u8>) -> Option<RecordingFile> {
        // The same rounding as for positions, so that the length is that of the call to the sample.
        self.write_until(samples_in(ended_us.saturating_sub(self.started_us)), scratch);
        metrics::counter!("carillon_media_recorder_late_samples_total").increment(self.recorder.dropped_samples());
        self.file.close()
    }
}

impl RecordingOnDisk {
    fn create(folder: &Path, path: String) -> Self {
        let file = create_file(&folder.join(&path));
        let mut recording = Self {
            path,
            file: None,
            header_samples: 0,
            written_samples: 0,
        };
        match file {
            Ok(file) => recording.file = Some(file),
            Err(error) => recording.give_up(&error),
        }
        recording
    }

    fn append(&mut self, bytes: &[u8]) {
        let Some(file) = self.file.as_mut().filter(|_| !bytes.is_empty()) else {
            return;
        };
        if let Err(error) = file.write_all(bytes) {
            return self.give_up(&error);
        }
        self.written_samples += bytes.len() as u64 / wav::FRAME_BYTES;
        if self.written_samples >= self.header_samples + HEADER_EVERY_SAMPLES {
            self.write_header();
        }
    }

    fn write_header(&mut self) {
        let Some(file) = &self.file else { return };
        let header = wav::header(self.written_samples * wav::FRAME_BYTES);
        match file.write_all_at(&header, 0) {
            Ok(()) => self.header_samples = self.written_samples,
            Err(error) => self.give_up(&error),
        }
    }

    /// A full disk ends this recording, not the call; what is on disk stays.
    fn give_up(&mut self, error: &io::Error) {
        metrics::counter!("carillon_media_recordings_failed_total").increment(1);
        tracing::warn!(path = self.path, %error, "the recording cannot be written; the call goes on without it");
        // The last state worth telling: a header that fits what was written before.
        if let Some(file) = self.file.take() {
            let _ = file.write_all_at(&wav::header(self.written_samples * wav::FRAME_BYTES), 0);
        }
    }

    fn close(mut self) -> Option<RecordingFile> {
        self.write_header();
        // What a full disk cut short is still a recording; what was never created is none.
        let written = self.file.is_some() || self.written_samples > 0;
        let duration_ms = wav::duration_ms(self.written_samples * wav::FRAME_BYTES);
        written.then_some(RecordingFile {
            path: self.path,
            duration_ms,
        })
    }
}

fn create_file(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // What people say is for the operator's eyes only.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(&wav::header(0))?;
    Ok(file)
}

/// Why a recording could not be repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not one of ours.
    #[error(transparent)]
    NotOurs(#[from] wav::NotOurs),
}

/// Where the recording of a call stands below the recordings folder.
pub(crate) fn file_name(workspace_id: WorkspaceId, call_id: CallId) -> String {
    format!("{workspace_id}/{call_id}.wav")
}

/// Makes the header of a recording that a crash cut off say what the file holds. Returns how long it plays, in
/// milliseconds. A whole file stays as it is.
pub fn repair_recording(path: &Path) -> Result<u64, RepairError> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let file_bytes = file.metadata()?.len();
    let mut start = Vec::with_capacity(wav::HEADER_BYTES);
    (&file).take(wav::HEADER_BYTES as u64).read_to_end(&mut start)?;
    let repair = wav::repair(&start, file_bytes)?;
    if start != repair.header || file_bytes != repair.file_bytes {
        file.set_len(repair.file_bytes)?;
        file.write_all_at(&repair.header, 0)?;
        file.sync_all()?;
    }
    Ok(repair.duration_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn finish(queue: &RecorderQueue, recording: u64, ended_us: u64) -> Option<RecordingFile> {
        let (reply, finished) = oneshot::channel();
        assert!(
            queue
                .send(Message::Finish {
                    recording,
                    ended_us,
                    reply
                })
                .await
        );
        finished.await.expect("an answer")
    }

    fn sound(recording: u64, position: u64) -> Sound {
        let place = Place::Near { position };
        Sound {
            recording,
            place,
            codec: Codec::Pcmu,
            length: 160,
            payload: [0x80; FRAME_SAMPLES],
        }
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_made_is_no_recording_and_ends_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("taken"), "a file where a folder should be").expect("written");
        let (queue, _thread) = start(0, folder.path().to_owned(), Clock::start()).expect("started");
        for (recording, path) in [(1, "taken/a.wav"), (2, "free/b.wav")] {
            assert!(
                queue
                    .send(Message::Start {
                        recording,
                        path: path.to_owned(),
                        started_us: 0
                    })
                    .await
            );
            assert!(queue.record(sound(recording, 0)));
        }
        assert_eq!(finish(&queue, 1, 50_000).await, None);
        let expected = RecordingFile {
            path: "free/b.wav".to_owned(),
            duration_ms: 50,
        };
        assert_eq!(finish(&queue, 2, 50_000).await, Some(expected));
        assert_eq!(finish(&queue, 3, 50_000).await, None, "one that was never started");
    }

    #[test]
    fn a_full_queue_refuses_sound_and_does_not_wait() {
        let (messages, _kept) = sync_channel(1);
        let queue = RecorderQueue {
            messages,
            thread: std::thread::current(),
        };
        assert_eq!((queue.record(sound(1, 0)), queue.record(sound(1, 160))), (true, false));
    }

    #[test]
    fn other_files_are_not_repaired() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.wav");
        std::fs::write(&path, [7; 100]).expect("written");
        assert!(matches!(repair_recording(&path), Err(RepairError::NotOurs(_))));
        assert_eq!(std::fs::read(&path).expect("read"), [7; 100]);
        assert!(matches!(
            repair_recording(&folder.path().join("none")),
            Err(RepairError::Io(_))
        ));
    }
}
