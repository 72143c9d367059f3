//! A far end that answers real SIP with real RTP and rings nobody, for demos, tests and trials of other software.
//!
//! The last four digits of the called number choose what happens ([`BEHAVIOURS`]), as the numbers of payment test cards
//! do. [`start`] runs one inside a process; `carillon sandbox` runs one as a process of its own. Everything is seeded:
//! the same seed and number do the same at the same times. What came and how it ended is in [`CallLog`].

mod behaviour;
mod call;
mod far_end;
mod log;
mod measure;
mod offer;
mod phrases;
mod run;
mod speech;

pub use behaviour::{BEHAVIOURS, Behaviour, DEFAULT, Expected, Talked, behaviour_of, reference};
pub use log::{CallLog, EndedHow, LoggedCall, LoggedEnd};
pub use measure::Heard;
pub use speech::Voice;

use carillon_carriers::sip::{SipConfig, SipEngine, SipTimers, SourcePolicy};
use carillon_carriers::ua::SipUa as _;
use carillon_voice::{EngineConfig, EngineError, MediaEngine};
use far_end::FarEnd;
use phrases::PhraseBook;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// User and password of the numbers that ask for credentials.
pub const CREDENTIALS: (&str, &str) = ("sandbox", "sandbox");

/// How long calls may take to end when the sandbox stops.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// How many INVITEs may wait to be looked at.
const WAITING_MAX: usize = 1_024;

/// Settings of a sandbox.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Address for SIP over UDP and TCP; port 0 takes a free one.
    pub listen: SocketAddr,
    /// UDP ports for RTP and RTCP, two a call.
    pub media_ports: RangeInclusive<u16>,
    /// Address written into SDP; `None`: that of `listen`, or of the default route if that is unspecified.
    pub media_address: Option<IpAddr>,
    /// Media threads; `None`: as the media engine thinks fit.
    pub media_threads: Option<usize>,
    /// Seed of every time and every die.
    pub seed: u64,
    /// Folder for recordings that are measured and removed. Created if it does not exist.
    pub work_dir: PathBuf,
    /// Most calls at once; more are refused with 503.
    pub calls_max: usize,
    /// How long a call may last, from the INVITE on; then it is refused or ended with BYE.
    pub call_deadline: Duration,
    /// Deadlines and intervals of SIP.
    pub sip_timers: SipTimers,
    /// How phrases are spoken.
    pub voice: Voice,
    /// Whether the caller's sound is measured ([`LoggedEnd::heard`]); costs a recording on disk for each answered call.
    pub measure: bool,
    /// Calls that the log keeps in memory.
    pub log_calls_max: usize,
    /// A file to which the log is appended as lines of JSON.
    pub log_file: Option<PathBuf>,
}

impl SandboxConfig {
    /// The defaults: on `listen`, ports 10,000 to 19,999 (not those of a server on the same machine), 1,000 calls of at
    /// most five minutes.
    pub fn new(listen: SocketAddr, work_dir: PathBuf) -> Self {
        Self {
            listen,
            media_ports: 10_000..=19_999,
            media_address: None,
            media_threads: None,
            seed: 1,
            work_dir,
            calls_max: 1_000,
            call_deadline: Duration::from_secs(300),
            sip_timers: SipTimers::default(),
            voice: Voice::Auto,
            measure: true,
            log_calls_max: 50_000,
            log_file: None,
        }
    }
}

/// Why a sandbox cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The SIP address cannot be listened on.
    #[error("cannot listen for SIP on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The media engine does not start.
    #[error(transparent)]
    Media(#[from] EngineError),
    /// The work folder cannot be made.
    #[error("cannot make the sandbox's work folder {0}: {1}")]
    WorkDir(PathBuf, #[source] io::Error),
    /// The log cannot be appended to.
    #[error("cannot append to the sandbox's log {0}: {1}")]
    LogFile(PathBuf, #[source] io::Error),
}

/// A running far end. Dropping it ends its calls without a BYE; [`Sandbox::shut_down`] hangs up first.
pub struct Sandbox {
    far_end: Arc<FarEnd>,
    calls: TaskTracker,
    stop: CancellationToken,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox")
            .field("local_addr", &self.local_addr())
            .finish_non_exhaustive()
    }
}

/// Starts a far end. Its phrases are made meanwhile: a call that comes first waits for those it needs.
///
/// # Errors
/// Its address, folder or log cannot be used.
pub async fn start(config: SandboxConfig) -> Result<Sandbox, StartError> {
    let recordings = config.work_dir.join("recordings");
    std::fs::create_dir_all(&recordings).map_err(|error| StartError::WorkDir(config.work_dir.clone(), error))?;
    let log = CallLog::open(config.log_calls_max, config.log_file.as_deref())
        .map_err(|error| StartError::LogFile(config.log_file.clone().unwrap_or_default(), error))?;

    let mut media = EngineConfig::new(config.work_dir.join("clips"), recordings.clone(), config.seed);
    media.bind_address = config.listen.ip();
    media.advertised_address = config.media_address;
    media.ports = config.media_ports.clone();
    media.media_threads = config.media_threads;
    media.canonical_name = "sandbox@carillon".to_owned();
    let media = MediaEngine::start(media)?;

    let mut sip = SipConfig::new(config.listen);
    sip.sources = SourcePolicy::Any;
    sip.legs_max = config.calls_max;
    sip.timers = config.sip_timers.clone();
    sip.user_agent = "Carillon-Sandbox".to_owned();
    let sip = SipEngine::start(sip)
        .await
        .map_err(|error| StartError::Listen(config.listen, error))?;

    let stop = CancellationToken::new();
    let far_end = Arc::new(FarEnd {
        media,
        phrases: PhraseBook::new(config.voice, config.seed),
        log: Arc::new(log),
        recordings,
        seed: config.seed,
        call_deadline: config.call_deadline,
        measure: config.measure,
        stop: stop.clone(),
        sip,
    });
    let calls = TaskTracker::new();
    calls.spawn({
        let (far_end, stop) = (Arc::clone(&far_end), stop.clone());
        async move { stop.run_until_cancelled(far_end.phrases.make_all()).await }
    });
    let incoming = far_end.sip.accept(WAITING_MAX).await;
    calls.spawn(far_end::take_calls(Arc::clone(&far_end), incoming, calls.clone()));
    Ok(Sandbox { far_end, calls, stop })
}

impl Sandbox {
    /// The SIP address, UDP and TCP.
    pub fn local_addr(&self) -> SocketAddr {
        self.far_end.sip.local_addr()
    }

    /// What came and how it ended.
    pub fn log(&self) -> Arc<CallLog> {
        Arc::clone(&self.far_end.log)
    }

    /// Calls that are going on, those that are refused but not yet acknowledged included.
    pub async fn live_calls(&self) -> usize {
        self.far_end.sip.stats().await.live_legs
    }

    /// Takes no more calls, hangs up those that are up, and returns when they have ended, after a few seconds at most.
    pub async fn shut_down(self) {
        self.stop.cancel();
        self.calls.close();
        // Calls that do not end in time are dropped with the rest.
        let _ = tokio::time::timeout(STOP_PATIENCE * 2, self.calls.wait()).await;
        self.far_end.sip.shut_down(STOP_PATIENCE).await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
