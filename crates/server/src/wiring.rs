//! Joins everything: the one place that names concrete stores, carriers, engines and transports.

use crate::bootstrap;
use crate::config::{Config, LogFormat, SpeechConfig};
use anyhow::Context;
use carillon_app::{App, AppSettings, Parts, WebhookSettings};
use carillon_carriers::SipCarrier;
use carillon_carriers::sip::{SipConfig, SipEngine, SourcePolicy};
use carillon_carriers::ua::SipUa;
use carillon_dialects::{ClipAudio, DialectState, RecordingUrls, Renderer, SandboxNumber};
use carillon_domain::workspace::{Mode, Workspace};
use carillon_interfaces::clock::{SystemClock, UuidV7Maker};
use carillon_interfaces::failpoint::Failpoints;
use carillon_interfaces::speech::SpeechKit;
use carillon_providers::embedded::{Options, Part, Speech};
use carillon_providers::hosted::Connections;
use carillon_providers::hosted::chat::ChatModel;
use carillon_providers::hosted::http_tool::HttpToolRunner;
use carillon_providers::outbound::{AllowedTargets, GuardedClients};
use carillon_sandbox::{Sandbox, SandboxConfig};
use carillon_voice::agent::model::{ModelServices, ModelSettings};
use carillon_voice::{ConverseParts, EngineConfig, MediaEngine};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rand::RngExt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// How long recording links work: as long as recordings are kept.
const RECORDING_LINK_LIFE: Duration = Duration::from_secs(400 * 24 * 3_600);

/// A running server.
pub(crate) struct Server {
    /// How the outside reaches it.
    pub(crate) base_url: String,
    /// Where it signals.
    pub(crate) sip_address: SocketAddr,
    /// Where the built-in far end listens, if it runs.
    pub(crate) sandbox_address: Option<SocketAddr>,
    /// Its data folder.
    pub(crate) data: PathBuf,
    /// What it cannot do on this machine, and what would help.
    pub(crate) warnings: Vec<String>,
    /// Its façade, for commands that run a server of their own.
    pub(crate) app: App,
    /// Stores the sound of clips.
    pub(crate) clips: Arc<dyn ClipAudio>,
    /// Its first workspace.
    pub(crate) workspace: Workspace,
    /// What it hears and speaks with, once that is loaded; `None`: conversations are turned off.
    pub(crate) speech: Option<JoinHandle<Arc<Speech>>>,
    sandbox: Option<Sandbox>,
    stop_http: CancellationToken,
    http: JoinHandle<()>,
}

impl Server {
    /// Starts everything, in the order in which it can be used: store, sound, signalling, app, HTTP.
    pub(crate) async fn start(config: Config, failpoints: Arc<dyn Failpoints>) -> anyhow::Result<Self> {
        install_crypto();
        allow_open_files();
        let metrics = metrics_handle()?;
        let data = config.server.data.clone();
        for folder in ["", "clips", "recordings"] {
            let path = data.join(folder);
            std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let mut warnings = Vec::new();
        let store = carillon_store::open(&config.store.url, &data)
            .await
            .context("the store cannot be opened")?;
        let voice = Arc::new(start_voice(&config)?);
        let speech = start_speech(&config, &voice)?;
        let sip = start_sip(&config).await?;
        let sip_address = sip.local_addr();
        let sandbox = start_sandbox(&config).await?;
        let external = config
            .sandbox
            .external
            .parse()
            .ok()
            .filter(|_| config.workspace.mode == Mode::Sandbox);
        let sandbox_address = external.or(sandbox.as_ref().map(Sandbox::local_addr));
        if let Some(address) = sandbox_address {
            tracing::info!(%address, "the built-in far end answers");
        }
        let transport = crate::webhook_client::WebhookClient::new(&config.webhooks.allow_targets)?;
        let listener = TcpListener::bind(config.server.listen).await.with_context(|| {
            format!(
                "cannot listen on {}: is another server running there?",
                config.server.listen
            )
        })?;
        let base_url = config.base_url(listener.local_addr()?);
        let audio = crate::http::Audio::probe(&data).await;
        warnings.extend(audio.warnings());
        let links = Arc::new(crate::http::SignedRecordingLinks::new(
            &base_url,
            bootstrap::link_secret(&data)?,
            &audio,
        ));
        let recordings = RecordingUrls::new(links.clone(), RECORDING_LINK_LIFE);
        let parts = Parts {
            store,
            carrier: Arc::new(SipCarrier::new(sip)),
            voice: voice.clone(),
            renderer: Arc::new(Renderer::new(recordings.clone())),
            transport: Arc::new(transport),
            clock: Arc::new(SystemClock),
            ids: Arc::new(UuidV7Maker::default()),
            failpoints,
        };
        let settings = AppSettings {
            media_address: config.media.address(),
            rtp_timeout_ms: config.media.rtp_timeout_ms,
            webhooks: WebhookSettings {
                timeout: Duration::from_secs(config.webhooks.timeout_s),
                concurrency: config.webhooks.concurrency.max(1),
            },
            ..AppSettings::default()
        };
        let app = App::new(parts, settings);
        let workspace = bootstrap::bootstrap(&app, &config, &base_url, sandbox_address).await?;
        if workspace.mode == Mode::Sandbox {
            warnings.push("the workspace is a sandbox: calls go to the built-in far end, nobody is rung".to_owned());
        }
        app.start()
            .await
            .context("calls of an earlier run cannot be taken up")?;
        let clips: Arc<dyn ClipAudio> = Arc::new(audio.clip_library(voice));
        let state = DialectState {
            app: app.clone(),
            recordings,
            clips: clips.clone(),
            base_url: base_url.as_str().into(),
            sandbox_numbers: sandbox_numbers(),
        };
        let router = crate::http::router(crate::http::HttpState {
            dialects: state,
            links,
            audio,
            metrics,
            body_limit_bytes: config.limits.body_mib << 20,
        });
        let stop_http = CancellationToken::new();
        let stopped = stop_http.clone().cancelled_owned();
        let http = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
                tracing::error!(%error, "HTTP ended");
            }
        });
        Ok(Self {
            base_url,
            sip_address,
            sandbox_address,
            data,
            warnings,
            app,
            clips,
            workspace,
            speech,
            sandbox,
            stop_http,
            http,
        })
    }

    /// Stops: no new requests and calls, live calls may go on for `grace`.
    pub(crate) async fn shut_down(self, grace: Duration) {
        self.app.shut_down(grace).await;
        self.stop_http.cancel();
        // Clients that hold their connection open are not waited for.
        drop(tokio::time::timeout(Duration::from_secs(2), self.http).await);
        if let Some(sandbox) = self.sandbox {
            sandbox.shut_down().await;
        }
    }
}

fn start_voice(config: &Config) -> anyhow::Result<MediaEngine> {
    let data = &config.server.data;
    let mut engine = EngineConfig::new(data.join("clips"), data.join("recordings"), rand::rng().random());
    engine.ports = config.media.port_min..=config.media.port_max;
    engine.media_threads = (config.media.threads > 0).then_some(config.media.threads);
    engine.advertised_address = config.media.address();
    // Where signalling is local, so is sound: a loopback installation never offers another address.
    if config.sip.listen.ip().is_loopback() {
        engine.bind_address = config.sip.listen.ip();
        engine.advertised_address = engine.advertised_address.or(Some(config.sip.listen.ip()));
    }
    Ok(MediaEngine::start(engine)?)
}

/// Loads what conversations need, beside everything else: reading and checking the models takes a while.
fn start_speech(config: &Config, voice: &MediaEngine) -> anyhow::Result<Option<JoinHandle<Arc<Speech>>>> {
    let settings = &config.speech;
    if !settings.enabled {
        return Ok(None);
    }
    let options = speech_options(settings)?;
    let model = model_services(config)?;
    let voice = voice.clone();
    Ok(Some(tokio::task::spawn_blocking(move || {
        let kit = Arc::new(Speech::open(&options));
        voice.allow_conversations(ConverseParts {
            kit: Arc::clone(&kit) as Arc<dyn SpeechKit>,
            model,
        });
        tracing::info!("agents can converse");
        kit
    })))
}

/// The embedded speech that the settings ask for.
pub(crate) fn speech_options(settings: &SpeechConfig) -> anyhow::Result<Options> {
    let mut options = match settings.models.as_os_str().is_empty() {
        true => Options::default(),
        false => Options::with_models(&settings.models),
    };
    for name in &settings.without {
        let part = Part::ALL.into_iter().find(|part| part.name() == name);
        options.without.push(part.with_context(|| {
            let names: Vec<&str> = Part::ALL.iter().map(|part| part.name()).collect();
            format!(
                "speech.without: there is no part `{name}`; there are {}",
                names.join(", ")
            )
        })?);
    }
    options.hearing_threads = (settings.hearing_threads > 0).then_some(settings.hearing_threads);
    options.speaking_threads = (settings.speaking_threads > 0).then_some(settings.speaking_threads);
    options.capacity = (settings.capacity > 0).then_some(settings.capacity);
    Ok(options)
}

/// The language model of the settings, with its tools. Nothing is sent yet.
pub(crate) fn model_services(config: &Config) -> anyhow::Result<Option<ModelServices>> {
    if !config.model.is_set() {
        return Ok(None);
    }
    let connections = Connections::new().context("model")?;
    let targets = AllowedTargets::parse("tools.allow_targets", &config.tools.allow_targets)?;
    let clients = GuardedClients::new(targets).context("tools of agents cannot be used")?;
    Ok(Some(ModelServices {
        model: Arc::new(ChatModel::new(&connections, &config.model).context("model")?),
        tools: Arc::new(HttpToolRunner::new(clients)),
        settings: ModelSettings {
            temperature_milli: config.model.temperature_milli,
            answer_tokens_max: config.model.answer_tokens_max,
            first_word_timeout: config.model.first_word_timeout(),
            total_timeout: config.model.total_timeout(),
            ..ModelSettings::default()
        },
    }))
}

async fn start_sip(config: &Config) -> anyhow::Result<Arc<dyn SipUa>> {
    let mut sip = SipConfig::new(config.sip.listen);
    let allowed: Result<Vec<IpAddr>, _> = config.sip.allow.iter().map(|text| text.parse()).collect();
    sip.sources = SourcePolicy::Peers(allowed.context("sip.allow: write addresses, such as 203.0.113.7")?);
    let engine = SipEngine::start(sip)
        .await
        .with_context(|| format!("cannot signal on {}: is another program there?", config.sip.listen))?;
    Ok(Arc::new(engine))
}

async fn start_sandbox(config: &Config) -> anyhow::Result<Option<Sandbox>> {
    let settings = &config.sandbox;
    if settings.listen.is_empty() || !settings.external.is_empty() || config.workspace.mode != Mode::Sandbox {
        return Ok(None);
    }
    let listen: SocketAddr = settings.listen.parse().context("sandbox.listen")?;
    let sandbox = carillon_sandbox::start(SandboxConfig::new(listen, config.server.data.join("sandbox"))).await?;
    Ok(Some(sandbox))
}

/// The published table of the far end.
pub(crate) fn sandbox_numbers() -> Arc<[SandboxNumber]> {
    carillon_sandbox::BEHAVIOURS
        .iter()
        .map(|behaviour| SandboxNumber {
            suffix: behaviour.digits.to_owned(),
            behaviour: behaviour.name.to_owned(),
            description: behaviour.description.to_owned(),
        })
        .collect()
}

/// Raises the number of files that may be open to what the system allows: every call has a socket, and a usual limit of 1,024
/// would end calls long before the machine is busy.
fn allow_open_files() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls are given a valid structure of our own, and keep no pointer to it.
    let raised = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0
        }
    };
    if !raised {
        tracing::warn!("the limit of open files could not be raised: `ulimit -n` bounds the calls at once");
    }
}

/// Makes `ring` the TLS provider of the whole process.
pub(crate) fn install_crypto() {
    // An error means that it is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
}

fn metrics_handle() -> anyhow::Result<PrometheusHandle> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .install_recorder()
        .context("metrics cannot be recorded")?;
    Ok(HANDLE.get_or_init(|| handle).clone())
}

/// Starts logging as the settings say.
pub(crate) fn start_logging(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log.filter).context("log.filter")?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match config.log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot start: {error}"))
}

/// Whether a program is on the path.
pub(crate) fn finds_program(name: &str) -> bool {
    let Some(path) = std::env::var_os("PATH") else {
        return false;
    };
    std::env::split_paths(&path).any(|folder| is_file(&folder.join(name)))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}
