//! What an operator writes about hosted services: plain data, read at the edge.

use carillon_domain::language::Language;
use carillon_domain::pii::Secret;
use serde::Deserialize;
use std::time::Duration;

/// A language model behind an OpenAI-compatible chat API.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSettings {
    /// Where the API begins, such as `http://127.0.0.1:11434/v1`. Empty: there is no model.
    pub base_url: String,
    /// Its key; empty: none is sent.
    pub api_key: Secret,
    /// The model's name as its server knows it.
    pub model: String,
    /// Sampling temperature in thousandths; absent: the server's default.
    pub temperature_milli: Option<u16>,
    /// Most tokens of one answer.
    pub answer_tokens_max: u32,
    /// How long the first word of an answer may take, in milliseconds.
    pub first_word_timeout_ms: u64,
    /// How long a whole answer may take, in milliseconds.
    pub total_timeout_ms: u64,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            base_url: String::new(),
            api_key: Secret::new(""),
            model: String::new(),
            temperature_milli: None,
            answer_tokens_max: 300,
            first_word_timeout_ms: 4_000,
            total_timeout_ms: 20_000,
        }
    }
}

impl ModelSettings {
    /// Whether a model is configured at all.
    pub fn is_set(&self) -> bool {
        !self.base_url.trim().is_empty()
    }

    /// [`Self::first_word_timeout_ms`] as a duration.
    pub fn first_word_timeout(&self) -> Duration {
        Duration::from_millis(self.first_word_timeout_ms)
    }

    /// [`Self::total_timeout_ms`] as a duration.
    pub fn total_timeout(&self) -> Duration {
        Duration::from_millis(self.total_timeout_ms)
    }
}

/// Whose wire format a recogniser speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HearingService {
    /// OpenAI-compatible transcription: one request for each utterance.
    #[default]
    Openai,
    /// Deepgram's streaming recognition.
    Deepgram,
}

/// A hosted recogniser.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HearingSettings {
    /// Whose wire format it speaks.
    pub service: HearingService,
    /// Where the API begins; empty: the service's own.
    pub base_url: String,
    /// Its key; empty: none is sent.
    pub api_key: Secret,
    /// The model's name; empty: `whisper-1` or `nova-3`.
    pub model: String,
    /// Languages that it knows; empty: any.
    pub languages: Vec<Language>,
    /// How long the words of an utterance may take after its end, in milliseconds.
    pub timeout_ms: u64,
}

impl Default for HearingSettings {
    fn default() -> Self {
        Self {
            service: HearingService::default(),
            base_url: String::new(),
            api_key: Secret::new(""),
            model: String::new(),
            languages: Vec::new(),
            timeout_ms: 5_000,
        }
    }
}

/// Whose wire format a voice speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoiceService {
    /// OpenAI-compatible speech.
    #[default]
    Openai,
    /// Deepgram's voices.
    Deepgram,
    /// ElevenLabs.
    Elevenlabs,
}

/// A hosted voice.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VoiceSettings {
    /// Whose wire format it speaks.
    pub service: VoiceService,
    /// Where the API begins; empty: the service's own.
    pub base_url: String,
    /// Its key; empty: none is sent.
    pub api_key: Secret,
    /// The model's name; empty: the service's usual one. Deepgram has none beside its voices.
    pub model: String,
    /// The voices to use, the first of a language being its default. At least one.
    pub voices: Vec<HostedVoiceSettings>,
    /// Form of the sound that is asked for (OpenAI-compatible servers).
    pub format: SoundFormat,
    /// Sample rate of sound that comes without a header, in hertz (OpenAI-compatible servers).
    pub pcm_rate_hz: u32,
    /// How long the first sound may take, and any pause within it, in milliseconds.
    pub timeout_ms: u64,
}

impl Default for VoiceSettings {
    fn default() -> Self {
        Self {
            service: VoiceService::default(),
            base_url: String::new(),
            api_key: Secret::new(""),
            model: String::new(),
            voices: Vec::new(),
            format: SoundFormat::default(),
            pcm_rate_hz: 24_000,
            timeout_ms: 4_000,
        }
    }
}

/// One voice of a service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostedVoiceSettings {
    /// Its name or id as the service knows it.
    pub name: String,
    /// The language that it speaks.
    pub language: Language,
}

/// Form of sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SoundFormat {
    /// Samples without a header, 16 bits, low byte first.
    #[default]
    Pcm,
    /// A WAV file.
    Wav,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_are_few_and_unknown_ones_are_refused() {
        let model: ModelSettings = serde_json::from_value(json!({ "base_url": "http://a", "model": "m" })).unwrap();
        assert!(model.is_set());
        assert!(!ModelSettings::default().is_set());
        let voice: VoiceSettings =
            serde_json::from_value(json!({ "service": "elevenlabs", "voices": [{ "name": "x", "language": "en" }] }))
                .unwrap();
        assert_eq!(voice.service, VoiceService::Elevenlabs);
        assert!(serde_json::from_value::<ModelSettings>(json!({ "bse_url": "" })).is_err());
        assert!(serde_json::from_value::<HearingSettings>(json!({ "service": "deepgrm" })).is_err());
        let key: HearingSettings = serde_json::from_value(json!({ "api_key": "sk-secret" })).unwrap();
        assert!(!format!("{key:?}").contains("sk-secret"));
    }
}
