//! A recogniser behind an OpenAI-compatible transcription API (`POST {base}/audio/transcriptions`): the sound of an utterance goes out
//! as a WAV file when it is over, its words come back. No words before that.

use super::http::{Connections, Endpoint, Failure, KeyStyle, SetupError, media_type};
use super::settings::HearingSettings;
use super::wav;
use async_trait::async_trait;
use bytes::Bytes;
use carillon_domain::language::Language;
use carillon_interfaces::speech::{
    Ear, HearingCapabilities, HearingEvent, HearingRequest, SAMPLE_RATE_HZ, SpeechError, SpeechToText, UtteranceNumber,
};
use serde_json::Value;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

const DEFAULT_BASE: &str = "https://api.openai.com/v1";
const DEFAULT_MODEL: &str = "whisper-1";
/// The API refuses less than a tenth of a second.
const SAMPLES_MIN: usize = SAMPLE_RATE_HZ as usize / 10;
/// What is longer goes out in parts while it is still being said.
const PART_SAMPLES: usize = 25 * SAMPLE_RATE_HZ as usize;
/// Where a part ends is looked for in its last two seconds, in the quietest of these frames.
const SEEK_SAMPLES: usize = 2 * SAMPLE_RATE_HZ as usize;
const FRAME_SAMPLES: usize = SAMPLE_RATE_HZ as usize / 50;
/// Parts that wait for the server, of one call.
const JOBS_MAX: usize = 8;
const ANSWER_BYTES_MAX: usize = 256 * 1024;
const HINT_CHARS_MAX: usize = 500;

/// A recogniser at an OpenAI-compatible server.
#[derive(Clone, Debug)]
pub struct Transcription {
    endpoint: Endpoint,
    model: String,
    languages: Vec<Language>,
    timeout: Duration,
}

impl Transcription {
    /// The recogniser that `settings` name. Nothing is sent yet.
    pub fn new(connections: &Connections, settings: &HearingSettings) -> Result<Self, SetupError> {
        let base = or_default(&settings.base_url, DEFAULT_BASE);
        Ok(Self {
            endpoint: Endpoint::new(connections, base, &settings.api_key, KeyStyle::Bearer, "speech.hearing")?,
            model: or_default(&settings.model, DEFAULT_MODEL).to_owned(),
            languages: settings.languages.clone(),
            timeout: Duration::from_millis(settings.timeout_ms),
        })
    }

    async fn words_of(&self, samples: &[i16], request: &HearingRequest) -> Result<String, SpeechError> {
        if samples.len() < SAMPLES_MIN {
            return Ok(String::new());
        }
        let form = Form::new(&self.model, request, samples);
        let ends_at = Instant::now() + self.timeout;
        let timed_out = |_| SpeechError::TimedOut(u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX));
        let first = tokio::time::timeout_at(ends_at, self.ask(&form))
            .await
            .map_err(timed_out)?;
        let outcome = match first {
            // A kept connection that the server has just closed, or a server that is being replaced.
            Err(Failure::Unreachable(_) | Failure::BrokenOff | Failure::Refused { status: 502..=504, .. }) => {
                tokio::time::timeout_at(ends_at, self.ask(&form))
                    .await
                    .map_err(timed_out)?
            }
            outcome => outcome,
        };
        Ok(outcome?)
    }

    async fn ask(&self, form: &Form) -> Result<String, Failure> {
        let url = self.endpoint.url("audio/transcriptions");
        let mut response = self.endpoint.post(url, &form.content_type, form.body.clone()).await?;
        let kind = media_type(&response);
        let body = self.endpoint.body(&mut response, ANSWER_BYTES_MAX).await?;
        match kind.as_deref() {
            // Some servers answer with the words alone.
            Some("text/plain") => String::from_utf8(body)
                .map(|text| text.trim().to_owned())
                .map_err(|_| Failure::Garbage("it is no text".to_owned())),
            None | Some("application/json") => serde_json::from_slice::<Value>(&body)
                .ok()
                .and_then(|answer| answer.get("text")?.as_str().map(|text| text.trim().to_owned()))
                .ok_or_else(|| Failure::Garbage("it is no JSON with a `text`".to_owned())),
            Some(other) => Err(Failure::Garbage(format!(
                "it is `{}`, not JSON",
                self.endpoint.quoted(other)
            ))),
        }
    }
}

#[async_trait]
impl SpeechToText for Transcription {
    fn capabilities(&self) -> HearingCapabilities {
        HearingCapabilities {
            name: "openai-transcription",
            languages: self.languages.clone(),
            partials: false,
        }
    }

    async fn open(
        &self,
        request: HearingRequest,
        events: mpsc::Sender<HearingEvent>,
    ) -> Result<Box<dyn Ear>, SpeechError> {
        super::speech::knows(&self.languages, &request.language)?;
        let (jobs, queue) = mpsc::channel(JOBS_MAX);
        let worker = Worker {
            service: self.clone(),
            request,
            events: events.clone(),
        };
        tokio::spawn(worker.run(queue));
        Ok(Box::new(TranscriptionEar {
            jobs,
            events,
            samples: Vec::new(),
            utterance: None,
            is_lost: false,
        }))
    }
}

/// A text setting, or what it is when it is left empty.
pub(super) fn or_default<'a>(text: &'a str, default: &'a str) -> &'a str {
    let text = text.trim();
    if text.is_empty() { default } else { text }
}

/// Work for a call's worker.
enum Job {
    /// Sound of an utterance that goes on.
    Part {
        utterance: UtteranceNumber,
        samples: Vec<i16>,
    },
    /// The last sound of an utterance.
    Last {
        utterance: UtteranceNumber,
        samples: Vec<i16>,
    },
    /// What was sent of an utterance is not wanted.
    Forget { utterance: UtteranceNumber },
}

struct TranscriptionEar {
    jobs: mpsc::Sender<Job>,
    events: mpsc::Sender<HearingEvent>,
    samples: Vec<i16>,
    utterance: Option<UtteranceNumber>,
    /// A part could not be queued: the utterance cannot be told whole.
    is_lost: bool,
}

impl TranscriptionEar {
    fn send_part(&mut self, utterance: UtteranceNumber) {
        let rest = self.samples.split_off(cut_of(&self.samples));
        let samples = std::mem::replace(&mut self.samples, rest);
        self.is_lost |= self.jobs.try_send(Job::Part { utterance, samples }).is_err();
    }
}

impl Ear for TranscriptionEar {
    fn begin(&mut self, utterance: UtteranceNumber, pre_roll: &[i16]) {
        self.utterance = Some(utterance);
        self.is_lost = false;
        self.samples.clear();
        self.hear(pre_roll);
    }

    fn hear(&mut self, samples: &[i16]) {
        let Some(utterance) = self.utterance else { return };
        self.samples.extend_from_slice(samples);
        if self.samples.len() >= PART_SAMPLES {
            self.send_part(utterance);
        }
    }

    fn ask_partial(&mut self) {}

    fn end(&mut self, utterance: UtteranceNumber) {
        if self.utterance.take() != Some(utterance) {
            return;
        }
        let samples = std::mem::take(&mut self.samples);
        let job = Job::Last { utterance, samples };
        if self.is_lost || self.jobs.try_send(job).is_err() {
            // Without a worker to tell it, and without waiting; a full channel of events loses it too.
            let failed = HearingEvent::Failed {
                utterance,
                error: SpeechError::Busy,
                fatal: false,
            };
            drop(self.events.try_send(failed));
            drop(self.jobs.try_send(Job::Forget { utterance }));
        }
    }

    fn discard(&mut self, utterance: UtteranceNumber) {
        if self.utterance.take() == Some(utterance) {
            self.samples.clear();
            drop(self.jobs.try_send(Job::Forget { utterance }));
        }
    }
}

/// Where to cut a long stretch: in its quietest frame near the end.
fn cut_of(samples: &[i16]) -> usize {
    let from = samples.len().saturating_sub(SEEK_SAMPLES);
    let energy = |frame: &[i16]| frame.iter().map(|&sample| i64::from(sample).pow(2)).sum::<i64>();
    let quietest = samples[from..]
        .chunks_exact(FRAME_SAMPLES)
        .enumerate()
        .min_by_key(|(_, frame)| energy(frame));
    quietest.map_or(samples.len(), |(index, _)| {
        from + index * FRAME_SAMPLES + FRAME_SAMPLES / 2
    })
}

struct Worker {
    service: Transcription,
    request: HearingRequest,
    events: mpsc::Sender<HearingEvent>,
}

impl Worker {
    async fn run(self, mut queue: mpsc::Receiver<Job>) {
        let mut earlier: Option<(UtteranceNumber, Result<String, SpeechError>)> = None;
        while let Some(job) = queue.recv().await {
            let (utterance, samples, is_last) = match job {
                Job::Part { utterance, samples } => (utterance, samples, false),
                Job::Last { utterance, samples } => (utterance, samples, true),
                Job::Forget { utterance } => {
                    earlier = earlier.filter(|(number, _)| *number != utterance);
                    continue;
                }
            };
            let before = match earlier.take() {
                Some((number, words)) if number == utterance => words,
                _ => Ok(String::new()),
            };
            let heard = match before {
                Err(error) => Err(error),
                Ok(before) => {
                    let words = tokio::select! {
                        () = self.events.closed() => return,
                        words = self.service.words_of(&samples, &self.request) => words,
                    };
                    words.map(|words| joined(&before, &words))
                }
            };
            if !is_last {
                earlier = Some((utterance, heard));
                continue;
            }
            let event = match heard {
                Ok(text) => HearingEvent::Final { utterance, text },
                Err(error) => HearingEvent::Failed {
                    utterance,
                    error,
                    fatal: false,
                },
            };
            if self.events.send(event).await.is_err() {
                return;
            }
        }
    }
}

/// Two stretches of words as one.
pub(super) fn joined(before: &str, after: &str) -> String {
    match (before.trim(), after.trim()) {
        ("", after) => after.to_owned(),
        (before, "") => before.to_owned(),
        (before, after) => format!("{before} {after}"),
    }
}

/// The body of a request (RFC 7578).
struct Form {
    content_type: String,
    body: Bytes,
}

impl Form {
    fn new(model: &str, request: &HearingRequest, samples: &[i16]) -> Self {
        // Long enough never to stand in the sound by chance.
        let boundary = format!("carillon-{:032x}", rand::random::<u128>());
        let mut body = Vec::with_capacity(samples.len() * 2 + 1_024);
        let mut field = |name: &str, value: &str| {
            let clean: String = value.chars().filter(|c| !c.is_control()).collect();
            let part = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{clean}\r\n");
            body.extend_from_slice(part.as_bytes());
        };
        field("model", model);
        field("language", request.language.primary());
        field("response_format", "json");
        if !request.hints.is_empty() {
            let hints: String = request.hints.join(", ").chars().take(HINT_CHARS_MAX).collect();
            field("prompt", &hints);
        }
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"utterance.wav\"\r\nContent-Type: audio/wav\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend(wav::file_of(samples));
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        Self {
            content_type: format!("multipart/form-data; boundary={boundary}"),
            body: Bytes::from(body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_speech_is_cut_where_it_is_quiet() {
        let mut samples = vec![5_000i16; PART_SAMPLES];
        let quiet_at = PART_SAMPLES - 4_000;
        samples[quiet_at..quiet_at + 320].fill(3);
        assert!(cut_of(&samples).abs_diff(quiet_at + 160) <= 160, "{}", cut_of(&samples));
        assert_eq!(cut_of(&[]), 0);
    }

    #[test]
    fn stretches_are_joined_by_one_space() {
        for (before, after, expected) in [("a", "b", "a b"), ("", "b", "b"), ("a ", " ", "a"), ("", "", "")] {
            assert_eq!(joined(before, after), expected);
        }
    }
}
