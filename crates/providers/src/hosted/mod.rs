//! Services that are spoken to over HTTP and WebSocket: language models, recognisers, voices.
//!
//! Each speaks a documented wire format to the base URL that the operator configured, and to no other host: redirects are
//! refused. (Tools of agents go where the agent's author says; `http_tool` asks `outbound` first.) Keys travel in headers only and are cut out of every error.

pub mod chat;
pub mod deepgram;
mod http;
pub mod http_tool;
pub mod settings;
pub mod speech;
mod sse;
pub mod transcription;
mod wav;

use carillon_interfaces::speech::{SpeechToText, TextToSpeech};
pub use http::{Connections, SetupError};
use settings::{HearingService, HearingSettings, VoiceSettings};
use std::sync::Arc;

/// The recogniser that settings name. Nothing is sent yet.
pub fn open_hearing(
    connections: &Connections,
    settings: &HearingSettings,
) -> Result<Arc<dyn SpeechToText>, SetupError> {
    Ok(match settings.service {
        HearingService::Openai => Arc::new(transcription::Transcription::new(connections, settings)?),
        HearingService::Deepgram => Arc::new(deepgram::DeepgramHearing::new(connections, settings)?),
    })
}

/// The voice that settings name. Nothing is sent yet.
pub fn open_voice(connections: &Connections, settings: &VoiceSettings) -> Result<Arc<dyn TextToSpeech>, SetupError> {
    Ok(Arc::new(speech::HostedVoice::new(connections, settings)?))
}
