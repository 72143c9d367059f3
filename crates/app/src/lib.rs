//! Use cases and loops: what the rules decide is committed here and then done.
//!
//! [`App`] is the façade for every dialect: it offers what an ideal vendor would offer and knows no wire format. Behind it
//! run the [`runner`](App::start) (whom to dial now), one task per live call, the webhook loop and the sweeper.

mod call_task;
mod calls;
mod campaigns;
mod closing;
mod effects;
mod forecast;
mod keys;
mod library;
mod records;
mod removal;
mod runner;
mod runner_plan;
mod sweeper;
mod trunk_choice;
mod trunks;
mod webhooks;

pub use calls::{SingleCall, SingleRefusal};
pub use campaigns::{CampaignRefusal, NewCampaign};
pub use forecast::ForecastRefusal;
pub use keys::NewKey;
pub use library::{NewAgent, NewEndpoint, NewTrunk, SaveRefusal};
pub use records::{NewRecord, PushReceipt, PushRefusal, RecordRefusal};
pub use removal::RemoveRefusal;
pub use webhooks::WebhookSettings;

use call_task::CallControl;
use carillon_domain::call::Call;
use carillon_domain::ids::CallId;
use carillon_domain::time::UnixMicros;
use carillon_domain::transition::Transition;
use carillon_interfaces::carrier::Carrier;
use carillon_interfaces::clock::{Clock, IdMaker};
use carillon_interfaces::event_renderer::EventRenderer;
use carillon_interfaces::failpoint::{Failpoint, Failpoints};
use carillon_interfaces::store::{CommitError, Store, StoreError};
use carillon_interfaces::voice::VoiceRuntime;
use carillon_interfaces::webhook_transport::WebhookTransport;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// The world, as the app sees it.
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Places calls.
    pub carrier: Arc<dyn Carrier>,
    /// Makes sound.
    pub voice: Arc<dyn VoiceRuntime>,
    /// Renders and signs webhooks.
    pub renderer: Arc<dyn EventRenderer>,
    /// Sends them.
    pub transport: Arc<dyn WebhookTransport>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub ids: Arc<dyn IdMaker>,
    /// Is told at each step that a crash can fall behind.
    pub failpoints: Arc<dyn Failpoints>,
}

/// What an operator can set.
#[derive(Clone, Debug)]
pub struct AppSettings {
    /// Address to put into SDP; `None`: the one that routes to the trunk.
    pub media_address: Option<IpAddr>,
    /// How long no RTP may arrive before a call counts as dropped, in milliseconds.
    pub rtp_timeout_ms: u32,
    /// Shortest time between two looks for records to dial.
    pub runner_pause: Duration,
    /// How often calls past their deadline are looked for.
    pub sweep_interval: Duration,
    /// How webhooks are sent.
    pub webhooks: WebhookSettings,
}

impl Default for AppSettings {
    fn default() -> Self {
        Self {
            media_address: None,
            rtp_timeout_ms: 20_000,
            runner_pause: Duration::from_millis(5),
            sweep_interval: Duration::from_secs(5),
            webhooks: WebhookSettings::default(),
        }
    }
}

/// The façade. Clones share everything.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    settings: AppSettings,
    wake_runner: Notify,
    runner_plan: runner_plan::RunnerPlan,
    wake_webhooks: Notify,
    wake_trunks: Notify,
    /// Tasks of live calls. A task removes itself when it ends.
    calls: Mutex<BTreeMap<CallId, mpsc::Sender<CallControl>>>,
    /// Deliveries that are on the wire now.
    sending: Mutex<BTreeSet<carillon_domain::ids::DeliveryId>>,
    tracker: TaskTracker,
    /// No new calls are placed.
    draining: CancellationToken,
    /// Everything stops where it stands, as in a crash.
    killed: CancellationToken,
}

impl App {
    /// An app over the world. It does nothing by itself until [`App::start`].
    pub fn new(parts: Parts, settings: AppSettings) -> Self {
        Self {
            inner: Arc::new(Inner {
                parts,
                settings,
                wake_runner: Notify::new(),
                runner_plan: runner_plan::RunnerPlan::default(),
                wake_webhooks: Notify::new(),
                wake_trunks: Notify::new(),
                calls: Mutex::default(),
                sending: Mutex::default(),
                tracker: TaskTracker::new(),
                draining: CancellationToken::new(),
                killed: CancellationToken::new(),
            }),
        }
    }

    /// Ends what an earlier life left up, then starts the loops. Returns when every open call has a task again.
    pub async fn start(&self) -> Result<(), StoreError> {
        self.recover_open_calls().await?;
        let app = self.clone();
        self.spawn(async move { app.run_trunks().await });
        let app = self.clone();
        self.spawn(async move { app.run_campaigns().await });
        let app = self.clone();
        self.spawn(async move { app.run_webhooks().await });
        let app = self.clone();
        self.spawn(async move { app.run_sweeper().await });
        Ok(())
    }

    /// Dials no more, lets live calls finish for `grace`, ends the rest, and waits until all is stored.
    pub async fn shut_down(&self, grace: Duration) {
        self.inner.draining.cancel();
        self.wait_for_calls(grace).await;
        for control in self.call_controls() {
            // A full queue means that the task already has something to do; the wait below covers it.
            let _ = control.try_send(CallControl::Cancel);
        }
        self.wait_for_calls(Duration::from_secs(10)).await;
        self.kill();
        self.inner.tracker.close();
        self.inner.tracker.wait().await;
    }

    /// Stops everything where it stands, as a crash would.
    pub fn kill(&self) {
        self.inner.killed.cancel();
    }

    /// The store, for reads.
    pub fn store(&self) -> &dyn Store {
        self.inner.parts.store.as_ref()
    }

    /// Now.
    pub fn now(&self) -> UnixMicros {
        self.inner.parts.clock.now()
    }

    /// A new id.
    pub fn next_id(&self) -> Uuid {
        self.inner.parts.ids.next_id()
    }

    /// How many calls have a task.
    pub fn calls_in_progress(&self) -> usize {
        self.lock_calls().len()
    }

    /// Runs a task until it ends or the app is killed.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let killed = self.inner.killed.clone();
        self.inner.tracker.spawn(async move {
            tokio::select! {
                biased;
                () = killed.cancelled() => {}
                () = task => {}
            }
        });
    }

    async fn pass(&self, point: Failpoint) {
        self.inner.parts.failpoints.pass(point).await;
    }

    async fn commit(&self, transition: Transition) -> Result<(), CommitError> {
        self.inner.parts.store.commit(transition).await
    }

    fn lock_calls(&self) -> std::sync::MutexGuard<'_, BTreeMap<CallId, mpsc::Sender<CallControl>>> {
        self.inner.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call_controls(&self) -> Vec<mpsc::Sender<CallControl>> {
        self.lock_calls().values().cloned().collect()
    }

    async fn wait_for_calls(&self, at_most: Duration) {
        let until = tokio::time::Instant::now() + at_most;
        while self.calls_in_progress() > 0 && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A call as it is after its commit.
fn committed(mut call: Call) -> Call {
    call.version += 1;
    call
}
