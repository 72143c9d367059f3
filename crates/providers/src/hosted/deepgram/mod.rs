//! Deepgram's streaming recognition (`wss .../listen`): sound goes out while it is being said, words come back as they settle.
//!
//! One connection for each call, mended within the call when it breaks. When an utterance is over is ours to say: the service's
//! own end-pointing is off, and `Finalize` asks for what is left.

mod line;
mod wire;

use super::http::{Connections, Endpoint, KeyStyle, SetupError};
use super::settings::HearingSettings;
use super::speech::knows;
use super::transcription::or_default;
use async_trait::async_trait;
use carillon_domain::language::Language;
use carillon_interfaces::speech::{
    Ear, HearingCapabilities, HearingEvent, HearingRequest, SAMPLE_RATE_HZ, SpeechError, SpeechToText, UtteranceNumber,
};
use line::{Command, Line};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as SocketError, http::StatusCode};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

const DEFAULT_BASE: &str = "https://api.deepgram.com/v1";
const DEFAULT_MODEL: &str = "nova-3";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Commands that wait for the connection: about ten seconds of frames.
const COMMANDS_MAX: usize = 512;
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
const BUFFER_BYTES: usize = 8 * 1024;
const HINTS_MAX: usize = 50;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A recogniser at Deepgram.
#[derive(Clone)]
pub struct DeepgramHearing {
    endpoint: Endpoint,
    model: String,
    languages: Vec<Language>,
    timeout: Duration,
    tls: Arc<ClientConfig>,
}

impl DeepgramHearing {
    /// The recogniser that `settings` name. Nothing is sent yet.
    pub fn new(connections: &Connections, settings: &HearingSettings) -> Result<Self, SetupError> {
        let base = or_default(&settings.base_url, DEFAULT_BASE);
        // The handshake is HTTP; both ways to write the scheme are common.
        let base = match base.split_once("://") {
            Some(("ws", rest)) => format!("http://{rest}"),
            Some(("wss", rest)) => format!("https://{rest}"),
            _ => base.to_owned(),
        };
        Ok(Self {
            endpoint: Endpoint::new(connections, &base, &settings.api_key, KeyStyle::Token, "speech.hearing")?,
            model: or_default(&settings.model, DEFAULT_MODEL).to_owned(),
            languages: settings.languages.clone(),
            timeout: Duration::from_millis(settings.timeout_ms),
            tls: Arc::new(tls_of_this_machine()?),
        })
    }

    fn address(&self, request: &HearingRequest) -> String {
        let mut url = self.endpoint.url("listen");
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("model", &self.model)
                .append_pair("language", &request.language.to_string())
                .append_pair("encoding", "linear16")
                .append_pair("sample_rate", &SAMPLE_RATE_HZ.to_string())
                .append_pair("channels", "1")
                .append_pair("interim_results", "true")
                .append_pair("punctuate", "true")
                .append_pair("endpointing", "false");
            // Models before the third know the same wish by another name.
            let hint = if self.model.starts_with("nova-3") {
                "keyterm"
            } else {
                "keywords"
            };
            for term in request.hints.iter().take(HINTS_MAX) {
                query.append_pair(hint, term);
            }
        }
        // `http` becomes `ws`, `https` becomes `wss`.
        url.as_str().replacen("http", "ws", 1)
    }

    async fn connect(&self, request: &HearingRequest) -> Result<Socket, SpeechError> {
        let mut handshake = self
            .address(request)
            .into_client_request()
            .map_err(|error| SpeechError::Provider(self.endpoint.quoted(&error.to_string())))?;
        handshake.headers_mut().extend(self.endpoint.headers().clone());
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let tls = Connector::Rustls(Arc::clone(&self.tls));
        let connecting = connect_async_tls_with_config(handshake, Some(config), true, Some(tls));
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(error)) => Err(self.refusal(&error)),
            Err(_) => Err(SpeechError::TimedOut(
                u64::try_from(CONNECT_TIMEOUT.as_millis()).unwrap_or(u64::MAX),
            )),
        }
    }

    fn refusal(&self, error: &SocketError) -> SpeechError {
        match error {
            SocketError::Http(response) => match response.status() {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    SpeechError::Unavailable("the server refuses the key; check `speech.hearing.api_key`".to_owned())
                }
                StatusCode::TOO_MANY_REQUESTS => SpeechError::Busy,
                status => {
                    let words = response
                        .body()
                        .as_deref()
                        .map(String::from_utf8_lossy)
                        .unwrap_or_default();
                    SpeechError::Provider(format!(
                        "it refuses the request ({}): {}",
                        status.as_u16(),
                        self.endpoint.quoted(&words)
                    ))
                }
            },
            other => SpeechError::Unavailable(format!(
                "the server cannot be reached: {}",
                self.endpoint.quoted(&other.to_string())
            )),
        }
    }
}

/// TLS as this machine trusts it, read once.
fn tls_of_this_machine() -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::Tls(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[async_trait]
impl SpeechToText for DeepgramHearing {
    fn capabilities(&self) -> HearingCapabilities {
        HearingCapabilities {
            name: "deepgram-listen",
            languages: self.languages.clone(),
            partials: true,
        }
    }

    async fn open(
        &self,
        request: HearingRequest,
        events: mpsc::Sender<HearingEvent>,
    ) -> Result<Box<dyn Ear>, SpeechError> {
        knows(&self.languages, &request.language)?;
        let socket = self.connect(&request).await?;
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let line = Line::new(self.clone(), request, events.clone(), socket);
        tokio::spawn(line.run(queue));
        Ok(Box::new(DeepgramEar {
            commands,
            events,
            utterance: None,
            is_lost: false,
        }))
    }
}

struct DeepgramEar {
    commands: mpsc::Sender<Command>,
    events: mpsc::Sender<HearingEvent>,
    utterance: Option<UtteranceNumber>,
    /// Sound could not be queued: the utterance cannot be told whole.
    is_lost: bool,
}

impl DeepgramEar {
    fn tell(&mut self, command: Command) {
        self.is_lost |= self.commands.try_send(command).is_err();
    }
}

impl Ear for DeepgramEar {
    fn begin(&mut self, utterance: UtteranceNumber, pre_roll: &[i16]) {
        self.utterance = Some(utterance);
        self.is_lost = false;
        self.tell(Command::Begin(utterance, pre_roll.to_vec()));
    }

    fn hear(&mut self, samples: &[i16]) {
        if self.utterance.is_some() && !self.is_lost {
            self.tell(Command::Hear(samples.to_vec()));
        }
    }

    fn ask_partial(&mut self) {}

    fn end(&mut self, utterance: UtteranceNumber) {
        if self.utterance.take() != Some(utterance) {
            return;
        }
        if !self.is_lost {
            self.tell(Command::End(utterance));
        }
        if self.is_lost {
            let failed = HearingEvent::Failed {
                utterance,
                error: SpeechError::Busy,
                fatal: self.commands.is_closed(),
            };
            drop(self.events.try_send(failed));
            self.tell(Command::Discard(utterance));
        }
    }

    fn discard(&mut self, utterance: UtteranceNumber) {
        if self.utterance.take() == Some(utterance) {
            self.tell(Command::Discard(utterance));
        }
    }
}
