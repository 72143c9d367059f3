//! Receivers of webhooks: they are down for hours, slow, overloaded, and remember every request that reached them.

use crate::dice::Dice;
use crate::plan::Plan;
use crate::verdict::Checker;
use crate::world::World;
use async_trait::async_trait;
use carillon_domain::time::UnixMicros;
use carillon_domain::webhook::{Dialect, Endpoint, Reply};
use carillon_interfaces::event_renderer::{EventRenderer, Fact, RenderContext, RenderedEvent, SignedHeaders};
use carillon_interfaces::webhook_transport::{WebhookRequest, WebhookTransport};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const EVENT_ID: &str = "X-Event-Id";

/// An event as a receiver knows it.
#[derive(Clone, Debug)]
pub(crate) struct SeenEvent {
    pub(crate) url: String,
    pub(crate) body: String,
    pub(crate) requests: u32,
    /// The receiver said 2xx.
    pub(crate) taken: bool,
}

/// All receivers.
pub(crate) struct Receivers {
    seed: u64,
    /// Times at which a URL does not answer.
    outages: BTreeMap<String, Vec<(UnixMicros, UnixMicros)>>,
    events: Mutex<BTreeMap<String, SeenEvent>>,
    requests: AtomicU64,
    rendered: AtomicU64,
}

impl Receivers {
    pub(crate) fn new(seed: u64, plan: &Plan) -> Self {
        let mut outages: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for endpoint in plan.workspaces.iter().flat_map(|workspace| &workspace.endpoints) {
            let times = endpoint
                .outages
                .iter()
                .map(|(from, to)| (plan.begins_at + *from, plan.begins_at + *to))
                .collect();
            outages.insert(endpoint.url.clone(), times);
        }
        let (requests, rendered) = (AtomicU64::new(0), AtomicU64::new(0));
        Self {
            seed,
            outages,
            events: Mutex::default(),
            requests,
            rendered,
        }
    }

    pub(crate) fn events(&self) -> MutexGuard<'_, BTreeMap<String, SeenEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn next_rendering(&self) -> u64 {
        self.rendered.fetch_add(1, Ordering::Relaxed)
    }

    fn is_down(&self, url: &str, now: UnixMicros) -> bool {
        self.outages
            .get(url)
            .is_some_and(|times| times.iter().any(|(from, to)| (*from..*to).contains(&now)))
    }
}

/// Brings requests to the receivers.
pub(crate) struct FakeTransport {
    pub(crate) world: Arc<World>,
}

#[async_trait]
impl WebhookTransport for FakeTransport {
    async fn post(&self, request: WebhookRequest) -> Reply {
        let world = &self.world;
        let receivers = &world.receivers;
        let number = receivers.requests.fetch_add(1, Ordering::Relaxed);
        let header = request.headers.iter().find(|(name, _)| *name == EVENT_ID);
        let event_id = header.map(|(_, value)| value.clone()).unwrap_or_default();
        let mut dice = Dice::of(receivers.seed, &event_id, u128::from(number));
        if receivers.is_down(&request.url, world.now()) {
            let refused = dice.chance(500);
            tokio::time::sleep(if refused { dice.ms(1, 50) } else { request.timeout }).await;
            return Reply::Failed {
                reason: if refused { "refused" } else { "timed out" }.to_owned(),
            };
        }
        tokio::time::sleep(if dice.chance(30) {
            dice.seconds(1, 9)
        } else {
            dice.ms(2, 300)
        })
        .await;
        let (reply, taken) = match dice.below(1_000) {
            0..25 => (
                Reply::Status {
                    code: 500,
                    retry_after_s: None,
                },
                false,
            ),
            25..45 => {
                let retry_after_s = u32::try_from(dice.between(1, 600)).ok();
                (
                    Reply::Status {
                        code: 429,
                        retry_after_s,
                    },
                    false,
                )
            }
            // It took the event, and its answer came too late.
            45..60 => {
                tokio::time::sleep(request.timeout).await;
                (
                    Reply::Failed {
                        reason: "timed out".to_owned(),
                    },
                    true,
                )
            }
            _ => (
                Reply::Status {
                    code: 204,
                    retry_after_s: None,
                },
                true,
            ),
        };
        self.arrived(&request, &event_id, taken);
        world.note(format_args!("posted {event_id} {reply:?}"));
        reply
    }
}

impl FakeTransport {
    /// A request reached its receiver, which compares it with what it knows of the event.
    fn arrived(&self, request: &WebhookRequest, event_id: &str, taken: bool) {
        let mut events = self.world.receivers.events();
        let seen = events.entry(event_id.to_owned()).or_insert_with(|| SeenEvent {
            url: request.url.clone(),
            body: request.body.clone(),
            requests: 0,
            taken: false,
        });
        seen.requests += 1;
        seen.taken |= taken;
        if seen.body != request.body {
            self.world.fail(
                Checker::Webhooks,
                format!("event {event_id}: two requests had different bodies"),
            );
        }
        if seen.url != request.url {
            self.world
                .fail(Checker::Webhooks, format!("event {event_id}: sent to two receivers"));
        }
    }
}

/// Renders bodies that are never the same twice, so that one that was rendered again shows.
pub(crate) struct Renderer {
    pub(crate) world: Arc<World>,
}

impl Renderer {
    fn body(&self, event: &'static str, fact: Fact<'_>, context: &RenderContext<'_>) -> RenderedEvent {
        let Fact::CallEnded(call) = fact;
        let body = json!({
            "event": event,
            "call_id": call.id.to_string(),
            "outcome": call.outcome().map(|outcome| outcome.as_str()),
            "rendered_at": context.now.micros(),
            "rendering": self.world.receivers.next_rendering(),
        });
        RenderedEvent {
            name: event,
            body: body.to_string(),
        }
    }
}

/// The events that a receiver of this dialect hears about a call that has ended.
pub(crate) fn expected_events(dialect: Dialect, answered: bool) -> &'static [&'static str] {
    match (dialect, answered) {
        (Dialect::Agentive, true) => &["call.ended", "call.answered"],
        _ => &["call.ended"],
    }
}

impl EventRenderer for Renderer {
    fn render(&self, dialect: Dialect, fact: Fact<'_>, context: &RenderContext<'_>) -> Vec<RenderedEvent> {
        let Fact::CallEnded(call) = fact;
        let events = expected_events(dialect, call.answered_at.is_some());
        events.iter().map(|event| self.body(event, fact, context)).collect()
    }

    fn sign(&self, _endpoint: &Endpoint, event: &str, event_id: &str, _body: &str, now: UnixMicros) -> SignedHeaders {
        let event_id = if self.world.has(crate::Bug::EventIdPerRequest) {
            format!("{event_id}-{}", now.micros())
        } else {
            event_id.to_owned()
        };
        SignedHeaders(vec![("X-Event", event.to_owned()), (EVENT_ID, event_id)])
    }
}

/// How long all waits of the schedule take, and a little: an outage must be shorter for everything to be delivered.
pub(crate) const LONGEST_OUTAGE: Duration = Duration::from_secs(14_000);
