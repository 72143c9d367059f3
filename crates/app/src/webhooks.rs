//! Sends webhooks: at least once each, body byte for byte, by the schedule, every request logged.

use crate::App;
use carillon_domain::ids::DeliveryId;
use carillon_domain::transition::{Change, Transition};
use carillon_domain::webhook::{Delivery, DeliveryAttempt, DeliveryInput, Reply, event_id};
use carillon_interfaces::failpoint::Failpoint;
use carillon_interfaces::store::{CommitError, StoreError};
use carillon_interfaces::webhook_transport::WebhookRequest;
use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How webhooks are sent.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// How long one exchange may take.
    pub timeout: Duration,
    /// Most requests on the wire at once.
    pub concurrency: usize,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            concurrency: 64,
        }
    }
}

const LONGEST_SLEEP: Duration = Duration::from_secs(30);
const STORE_PAUSE: Duration = Duration::from_millis(500);

impl App {
    /// The webhook loop.
    pub(crate) async fn run_webhooks(&self) {
        loop {
            let sleep = match self.send_due_webhooks().await {
                Ok(sleep) => sleep,
                Err(error) => {
                    tracing::warn!(%error, "due webhooks could not be read; they will be looked for again");
                    STORE_PAUSE
                }
            };
            tokio::select! {
                biased;
                () = self.inner.wake_webhooks.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    async fn send_due_webhooks(&self) -> Result<Duration, StoreError> {
        let concurrency = self.inner.settings.webhooks.concurrency;
        let now = self.now();
        let sending = self.lock_sending().len();
        let limit = u32::try_from(concurrency).unwrap_or(u32::MAX);
        let due = self.store().due_deliveries(now, limit.saturating_mul(2)).await?;
        let mut room = concurrency.saturating_sub(sending);
        for delivery in due {
            if room == 0 {
                // A request that ends wakes the loop again.
                return Ok(LONGEST_SLEEP);
            }
            if self.lock_sending().insert(delivery.id) {
                room -= 1;
                let guard = SendingGuard {
                    app: self.clone(),
                    id: delivery.id,
                };
                let app = self.clone();
                self.spawn(async move {
                    let _guard = guard;
                    app.send(delivery).await;
                });
            }
        }
        let next = self.store().next_delivery_due_at().await?;
        Ok(match next {
            Some(at) if at > now => at.since(now).min(LONGEST_SLEEP),
            // What is due is on the wire; its end wakes the loop.
            Some(_) => Duration::from_secs(1),
            None => LONGEST_SLEEP,
        })
    }

    async fn send(&self, delivery: Delivery) {
        let reply = match self.store().endpoint(delivery.workspace_id, delivery.endpoint_id).await {
            Err(error) => return tracing::warn!(%error, "a webhook endpoint could not be read; it will be tried again"),
            Ok(None) => Err(Reply::Refused {
                reason: "the endpoint was removed".to_owned(),
            }),
            Ok(Some(endpoint)) if !endpoint.enabled => Err(Reply::Refused {
                reason: "the endpoint is switched off".to_owned(),
            }),
            Ok(Some(endpoint)) => Ok(endpoint),
        };
        let sent_at = self.now();
        let clock = Instant::now();
        let reply = match reply {
            Err(refused) => refused,
            Ok(endpoint) => {
                let parts = &self.inner.parts;
                let id = event_id(delivery.id);
                let headers = parts
                    .renderer
                    .sign(&endpoint, &delivery.event, &id, &delivery.body, sent_at)
                    .0;
                let timeout = self.inner.settings.webhooks.timeout;
                let request = WebhookRequest {
                    url: endpoint.url,
                    headers,
                    body: delivery.body.clone(),
                    timeout,
                };
                parts.transport.post(request).await
            }
        };
        self.pass(Failpoint::DeliveryReplied).await;
        let duration_ms = u32::try_from(clock.elapsed().as_millis()).unwrap_or(u32::MAX);
        metrics::counter!("carillon_webhook_requests_total", "result" => result_label(&reply)).increment(1);
        let next = delivery.handle(self.now(), &DeliveryInput::Replied(reply.clone()));
        let attempt = DeliveryAttempt {
            workspace_id: delivery.workspace_id,
            delivery_id: delivery.id,
            number: next.attempts,
            at: sent_at,
            duration_ms,
            reply,
        };
        let transition = Transition::new(delivery.workspace_id)
            .with(Change::PutDelivery(Box::new(next)))
            .with(Change::AddDeliveryAttempt(Box::new(attempt)));
        while let Err(error) = self.commit(transition.clone()).await {
            // Stale: somebody replayed it meanwhile; the next look sends it again, which is what they asked for.
            if matches!(error, CommitError::Stale(_) | CommitError::Conflict(_)) {
                break;
            }
            tracing::warn!(%error, "the end of a webhook request could not be stored; trying again");
            tokio::time::sleep(STORE_PAUSE).await;
        }
        self.pass(Failpoint::DeliveryCommitted).await;
    }

    fn lock_sending(&self) -> MutexGuard<'_, BTreeSet<DeliveryId>> {
        self.inner.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct SendingGuard {
    app: App,
    id: DeliveryId,
}

impl Drop for SendingGuard {
    fn drop(&mut self) {
        self.app.lock_sending().remove(&self.id);
        self.app.inner.wake_webhooks.notify_one();
    }
}

const fn result_label(reply: &Reply) -> &'static str {
    match reply {
        Reply::Status { code: 200..=299, .. } => "delivered",
        Reply::Status { .. } => "rejected",
        Reply::Failed { .. } => "failed",
        Reply::Refused { .. } => "refused",
    }
}
