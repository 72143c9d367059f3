//! One run: lives of the process one after the other, until everything has come to its end or a checker fails.

use crate::Bug;
use crate::chaos::LifeFailpoints;
use crate::checkers::{self, Standing};
use crate::dice::Dice;
use crate::disk::Disk;
use crate::far_end::FakeCarrier;
use crate::history::History;
use crate::ledger::SeenRecord;
use crate::life::Life;
use crate::operators;
use crate::plan::Plan;
use crate::planted::Planted;
use crate::receivers::{FakeTransport, Renderer};
use crate::sound::Sound;
use crate::verdict::{Checker, Violation};
use crate::world::World;
use carillon_app::{App, AppSettings, Parts, WebhookSettings};
use carillon_domain::call::CallState;
use carillon_domain::ids::CallId;
use carillon_domain::record::RecordStatus;
use carillon_interfaces::failpoint::Failpoint;
use carillon_interfaces::store::Store;
use carillon_store::cached::CachedStore;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What a run is made from.
#[derive(Default)]
pub struct Settings {
    /// From which everything else is drawn.
    pub seed: u64,
    /// How many records are pushed.
    pub records: u32,
    /// A bug to plant.
    pub bug: Option<Bug>,
    /// Takes the history, line by line.
    pub trace: Option<Box<dyn Write + Send>>,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Records that were taken.
    pub records: usize,
    /// Calls that were made, single ones included.
    pub calls: usize,
    /// Records that came to each end, and how many of them nobody was ever called for.
    pub ends: BTreeMap<RecordStatus, usize>,
    /// Records for which no INVITE ever left: their campaign ended first, or a gate never opened.
    pub never_dialled: usize,
    /// INVITEs that left.
    pub invites: usize,
    /// Crashes.
    pub crashes: u32,
    /// Crashes at each failpoint; the others fell in between.
    pub crashes_at: BTreeMap<Failpoint, u32>,
    /// Webhooks that were written.
    pub webhooks: usize,
    /// Requests that they took.
    pub webhook_requests: u64,
    /// Legs that a restart could not end, because the far end's tag was never stored.
    pub legs_beyond_reach: usize,
    /// How long it took, in simulated time.
    pub simulated: Duration,
    /// How long it took.
    pub wall: Duration,
    /// A hash over everything that happened, in order.
    pub history: String,
    /// The first rule that was broken.
    pub violation: Option<Violation>,
}

/// How often everything is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// How long after the last end date everything must have come to its end.
const PATIENCE: Duration = Duration::from_secs(30 * 3_600);

/// Runs one seed to its end.
///
/// # Errors
///
/// If the runtime cannot be made, or the world cannot be set up.
pub fn run(settings: Settings) -> anyhow::Result<Report> {
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    runtime.block_on(async {
        let Settings {
            seed,
            records,
            bug,
            trace,
        } = settings;
        let plan = Plan::draw(seed, records);
        let world = Arc::new(World::new(seed, bug, plan, History::new(trace)));
        live(&world).await?;
        if world.verdict.first().is_none() {
            checkers::at_the_end(&world).await;
        }
        Ok(report(&world, began.elapsed()))
    })
}

fn report(world: &World, wall: Duration) -> Report {
    let ledger = world.ledger();
    let legs = world.legs();
    let mut ends = BTreeMap::new();
    for record in ledger.records.values() {
        *ends.entry(record.status).or_default() += 1;
    }
    let dialled = |call: &CallId| legs.sip_call_id_of.contains_key(call);
    let never = |record: &&SeenRecord| !record.attempts.iter().any(|(call, _)| dialled(call));
    Report {
        seed: world.seed,
        records: ledger.records.len(),
        calls: ledger
            .calls
            .values()
            .filter(|call| call.state != CallState::Queued)
            .count(),
        ends,
        never_dialled: ledger.records.values().filter(never).count(),
        invites: legs.by_sip_call_id.len(),
        crashes: world.chaos.crashes(),
        crashes_at: world.chaos.by_point(),
        webhooks: ledger.deliveries.len(),
        webhook_requests: world.receivers.requests(),
        legs_beyond_reach: legs.by_sip_call_id.values().filter(|leg| leg.beyond_reach).count(),
        simulated: world.now().since(world.plan.begins_at),
        wall,
        history: world.history.hash(),
        violation: world.verdict.first(),
    }
}

/// How a life ended.
enum End {
    Crash,
    Everything,
}

async fn live(world: &Arc<World>) -> anyhow::Result<()> {
    let planted = Arc::new(Planted::new(world));
    let nobody = Arc::new(Life::new(0));
    let app = make_app(world, &nobody, &planted);
    let sites = operators::set_up(world, &app).await?;
    drop(app);
    let clients = operators::start(world, sites);
    let done = Arc::new(Notify::new());
    let watcher = tokio::spawn(watch(
        Arc::clone(world),
        Arc::clone(&planted),
        clients,
        Arc::clone(&done),
    ));
    for number in 1.. {
        let life = Arc::new(Life::new(number));
        world.begin_life(number);
        world.note(format_args!("life {number}"));
        if let End::Everything = live_once(world, &life, &planted, &done).await {
            break;
        }
        tokio::time::sleep(world.chaos.down_for()).await;
    }
    watcher.abort();
    Ok(())
}

async fn live_once(world: &Arc<World>, life: &Arc<Life>, planted: &Arc<Planted>, done: &Notify) -> End {
    let app = make_app(world, life, planted);
    life.begin(app.clone());
    let started = tokio::select! {
        biased;
        () = life.over() => false,
        started = app.start() => started.is_ok(),
    };
    if started {
        world.set_life(Some(Arc::clone(life)));
    } else {
        // What cannot start is started again.
        life.kill();
    }
    drop(app);
    let end = tokio::select! {
        biased;
        () = done.notified() => End::Everything,
        () = world.verdict.broken() => End::Everything,
        () = life.over() => End::Crash,
        () = sudden_crash(world) => {
            world.note(format_args!("crash in between"));
            End::Crash
        }
    };
    world.set_life(None);
    life.kill();
    end
}

async fn sudden_crash(world: &World) {
    let Some(at) = world.chaos.next_sudden() else {
        return std::future::pending().await;
    };
    tokio::time::sleep(at.since(world.now())).await;
    world.chaos.sudden();
}

fn make_app(world: &Arc<World>, life: &Arc<Life>, planted: &Arc<Planted>) -> App {
    let sound = Arc::new(Sound::new(Arc::clone(world)));
    let disk = Disk::new(Arc::clone(world), Arc::clone(life), Arc::clone(planted));
    // As over SQLite: what is kept in memory dies with the life. One bug is planted in what the cache does not read.
    let store: Arc<dyn Store> = if world.has(Bug::LinesForgotten) {
        Arc::new(disk)
    } else {
        Arc::new(CachedStore::new(Arc::new(disk)))
    };
    let parts = Parts {
        store,
        carrier: Arc::new(FakeCarrier::new(
            Arc::clone(world),
            Arc::clone(life),
            Arc::clone(&sound),
        )),
        voice: sound,
        renderer: Arc::new(Renderer {
            world: Arc::clone(world),
        }),
        transport: Arc::new(FakeTransport {
            world: Arc::clone(world),
        }),
        clock: world.clock(),
        ids: Arc::<World>::clone(world),
        failpoints: Arc::new(LifeFailpoints {
            world: Arc::clone(world),
            life: Arc::clone(life),
            dice: Mutex::new(Dice::of(world.seed, "shake", u128::from(life.number))),
        }),
    };
    let never = Duration::from_secs(100_000_000);
    let settings = AppSettings {
        sweep_interval: if world.has(Bug::SweeperOff) {
            never
        } else {
            AppSettings::default().sweep_interval
        },
        webhooks: WebhookSettings::default(),
        ..AppSettings::default()
    };
    App::new(parts, settings)
}

/// Looks at everything now and then, and says when it is over.
async fn watch(world: Arc<World>, planted: Arc<Planted>, clients: Vec<JoinHandle<()>>, done: Arc<Notify>) {
    let mut standing = Standing::default();
    let mut lives_seen = 0;
    let last = world.plan.ends_after + PATIENCE;
    for look in 1_u64.. {
        tokio::time::sleep(LOOK_EVERY).await;
        let life = world.life();
        let alive = life.as_ref().is_some_and(|life| life.number == lives_seen);
        lives_seen = life.as_ref().map_or(0, |life| life.number);
        standing.look(&world, alive);
        if look % 90 == 0 {
            if let Some(life) = life {
                let store = Disk::new(Arc::clone(&world), life, Arc::clone(&planted));
                checkers::counters(&world, &store).await;
            }
            operators::replay_exhausted(&world).await;
        }
        if clients.iter().all(JoinHandle::is_finished) && checkers::is_over(&world) {
            break;
        }
        if world.now().since(world.plan.begins_at) > last {
            checkers::overdue(&world);
            if world.verdict.first().is_none() {
                world.fail(Checker::NothingStuck, "the run did not come to its end");
            }
            break;
        }
    }
    world.chaos.stop();
    done.notify_one();
}
