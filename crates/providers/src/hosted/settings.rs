//! What an operator writes about hosted services: plain data, read at the edge.

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
