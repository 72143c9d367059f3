//! Voices of services: a text goes out, its sound streams back and is brought to the telephone's rate on the way.
//!
//! Three wire formats that differ in little: OpenAI-compatible (`POST {base}/audio/speech`), Deepgram (`POST {base}/speak`) and
//! ElevenLabs (`POST {base}/text-to-speech/{voice}/stream`).

use super::http::{Connections, Endpoint, Failure, KeyStyle, SetupError, media_type};
use super::settings::{SoundFormat, VoiceService, VoiceSettings};
use super::transcription::or_default;
use super::wav::{SoundReader, Unreadable};
use async_trait::async_trait;
use bytes::Bytes;
use carillon_domain::language::Language;
use carillon_interfaces::speech::{
    SAMPLE_RATE_HZ, SpeakRequest, SpeechError, SpokenSound, TextToSpeech, VoiceDescription,
};
use reqwest::{Response, Url};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc;

/// Most characters of one request; OpenAI's limit, and more than anybody says in one breath.
const TEXT_CHARS_MAX: usize = 4_096;
/// Most sound of one request: five minutes.
const SAMPLES_MAX: usize = 5 * 60 * SAMPLE_RATE_HZ as usize;
/// Pieces that wait for the call. A full channel holds the server back.
const PIECES_MAX: usize = 32;
/// What ElevenLabs is asked for.
const ELEVENLABS_RATE_HZ: u32 = 16_000;

/// Voices of one service.
#[derive(Clone, Debug)]
pub struct HostedVoice {
    endpoint: Endpoint,
    service: VoiceService,
    model: String,
    voices: Vec<VoiceDescription>,
    format: SoundFormat,
    pcm_rate_hz: u32,
    timeout: Duration,
}

impl HostedVoice {
    /// The voices that `settings` name. Nothing is sent yet.
    pub fn new(connections: &Connections, settings: &VoiceSettings) -> Result<Self, SetupError> {
        let (default_base, style, default_model, rate_hz) = match settings.service {
            VoiceService::Openai => (
                "https://api.openai.com/v1",
                KeyStyle::Bearer,
                "gpt-4o-mini-tts",
                settings.pcm_rate_hz,
            ),
            VoiceService::Deepgram => ("https://api.deepgram.com/v1", KeyStyle::Token, "", SAMPLE_RATE_HZ),
            VoiceService::Elevenlabs => (
                "https://api.elevenlabs.io/v1",
                KeyStyle::XiApiKey,
                "eleven_flash_v2_5",
                ELEVENLABS_RATE_HZ,
            ),
        };
        if settings.voices.is_empty() {
            return Err(SetupError::Missing("speech.voice.voices"));
        }
        let voices = settings.voices.iter().map(|voice| VoiceDescription {
            name: voice.name.clone(),
            language: voice.language.clone(),
        });
        let base = or_default(&settings.base_url, default_base);
        Ok(Self {
            endpoint: Endpoint::new(connections, base, &settings.api_key, style, "speech.voice")?,
            service: settings.service,
            model: or_default(&settings.model, default_model).to_owned(),
            voices: voices.collect(),
            format: settings.format,
            pcm_rate_hz: rate_hz,
            timeout: Duration::from_millis(settings.timeout_ms),
        })
    }

    fn voice_for(&self, request: &SpeakRequest) -> Result<String, SpeechError> {
        if let Some(name) = &request.voice {
            return Ok(name.clone());
        }
        let speaks = self
            .voices
            .iter()
            .find(|voice| voice.language.serves(&request.language));
        speaks
            .map(|voice| voice.name.clone())
            .ok_or_else(|| SpeechError::Language(request.language.clone()))
    }

    /// Where to ask, and what.
    fn question(&self, request: &SpeakRequest, voice: &str) -> (Url, Value) {
        let speed = f64::from(request.speed_percent) / 100.0;
        match self.service {
            VoiceService::Openai => {
                let format = match self.format {
                    SoundFormat::Pcm => "pcm",
                    SoundFormat::Wav => "wav",
                };
                let mut body =
                    json!({ "model": self.model, "voice": voice, "input": request.text, "response_format": format });
                if request.speed_percent != 100 {
                    body["speed"] = speed.clamp(0.25, 4.0).into();
                }
                (self.endpoint.url("audio/speech"), body)
            }
            VoiceService::Deepgram => {
                let mut url = self.endpoint.url("speak");
                url.query_pairs_mut()
                    .append_pair("model", voice)
                    .append_pair("encoding", "linear16")
                    .append_pair("sample_rate", &SAMPLE_RATE_HZ.to_string())
                    .append_pair("container", "none");
                (url, json!({ "text": request.text }))
            }
            VoiceService::Elevenlabs => {
                let mut url = self.endpoint.url("text-to-speech");
                if let Ok(mut path) = url.path_segments_mut() {
                    path.push(voice).push("stream");
                }
                url.query_pairs_mut().append_pair("output_format", "pcm_16000");
                let mut body = json!({ "text": request.text, "model_id": self.model });
                if request.speed_percent != 100 {
                    body["voice_settings"] = json!({ "speed": speed.clamp(0.7, 1.2) });
                }
                (url, body)
            }
        }
    }

    fn timed_out(&self) -> SpeechError {
        SpeechError::TimedOut(u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX))
    }

    async fn next_chunk(&self, response: &mut Response) -> Result<Option<Bytes>, SpeechError> {
        let chunk = tokio::time::timeout(self.timeout, self.endpoint.chunk(response)).await;
        Ok(chunk.map_err(|_| self.timed_out())??)
    }

    /// Reads the sound to its end.
    async fn read(
        &self,
        mut response: Response,
        sound: &mpsc::Sender<Result<Vec<i16>, SpeechError>>,
    ) -> Result<(), SpeechError> {
        let mut reader = SoundReader::new(self.pcm_rate_hz);
        let mut samples_left = SAMPLES_MAX;
        while let Some(chunk) = self.next_chunk(&mut response).await? {
            let samples = reader.push(&chunk)?;
            samples_left = samples_left
                .checked_sub(samples.len())
                .ok_or_else(|| SpeechError::Provider("its sound never ends".to_owned()))?;
            hand_on(samples, sound).await;
        }
        hand_on(reader.finish()?, sound).await;
        Ok(())
    }
}

async fn hand_on(samples: Vec<i16>, sound: &mpsc::Sender<Result<Vec<i16>, SpeechError>>) {
    if !samples.is_empty() {
        // A receiver that is gone ends the reading by itself.
        drop(sound.send(Ok(samples)).await);
    }
}

impl From<Unreadable> for SpeechError {
    fn from(unreadable: Unreadable) -> Self {
        Self::Provider(format!("its sound cannot be read: {}", unreadable.0))
    }
}

#[async_trait]
impl TextToSpeech for HostedVoice {
    fn name(&self) -> &'static str {
        match self.service {
            VoiceService::Openai => "openai-speech",
            VoiceService::Deepgram => "deepgram-speak",
            VoiceService::Elevenlabs => "elevenlabs",
        }
    }

    fn voices(&self) -> Vec<VoiceDescription> {
        self.voices.clone()
    }

    async fn speak(&self, request: SpeakRequest) -> Result<SpokenSound, SpeechError> {
        let voice = self.voice_for(&request)?;
        if request.text.chars().count() > TEXT_CHARS_MAX {
            return Err(SpeechError::Provider(format!(
                "more than {TEXT_CHARS_MAX} characters at once"
            )));
        }
        let (url, body) = self.question(&request, &voice);
        let asked = self
            .endpoint
            .post(url, "application/json", Bytes::from(body.to_string()));
        let response = tokio::time::timeout(self.timeout, asked)
            .await
            .map_err(|_| self.timed_out())??;
        let kind = media_type(&response).unwrap_or_default();
        if kind.ends_with("json") || kind.starts_with("text/") {
            return Err(Failure::Garbage(format!("it is `{}`, not sound", self.endpoint.quoted(&kind))).into());
        }
        let (pieces, sound) = mpsc::channel(PIECES_MAX);
        let voice = self.clone();
        tokio::spawn(async move {
            let outcome = tokio::select! {
                // Nobody listens any more: dropping the response closes the connection.
                () = pieces.closed() => return,
                outcome = voice.read(response, &pieces) => outcome,
            };
            if let Err(error) = outcome {
                drop(pieces.send(Err(error)).await);
            }
        });
        Ok(sound)
    }
}

/// Refuses a language that none of `known` serves; an empty list serves all.
pub(super) fn knows(known: &[Language], wanted: &Language) -> Result<(), SpeechError> {
    if known.is_empty() || known.iter().any(|language| language.serves(wanted)) {
        Ok(())
    } else {
        Err(SpeechError::Language(wanted.clone()))
    }
}
