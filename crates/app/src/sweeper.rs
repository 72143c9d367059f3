//! Nothing stays stuck: open calls that no task owns are taken up again, at start and whenever a deadline has passed.

use crate::App;
use crate::call_task::TaskStart;
use carillon_domain::call::{Call, CallState};
use carillon_interfaces::store::StoreError;

impl App {
    /// Takes up every open call of an earlier life. Queued ones are the runner's.
    pub(crate) async fn recover_open_calls(&self) -> Result<(), StoreError> {
        let open = self.store().open_calls().await?;
        let orphans: Vec<Call> = open
            .into_iter()
            .filter(|call| call.state != CallState::Queued)
            .collect();
        if !orphans.is_empty() {
            tracing::warn!(calls = orphans.len(), "calls of an earlier run are ended and settled");
        }
        for call in orphans {
            metrics::counter!("carillon_calls_recovered_total").increment(1);
            self.spawn_call(call, TaskStart::Orphan);
        }
        Ok(())
    }

    /// The sweeper's loop.
    pub(crate) async fn run_sweeper(&self) {
        loop {
            tokio::time::sleep(self.inner.settings.sweep_interval).await;
            if let Err(error) = self.sweep().await {
                tracing::warn!(%error, "calls past their deadline could not be looked for");
            }
        }
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        let now = self.now();
        for call in self.store().open_calls().await? {
            // A task watches its own deadline; a call without one has lost its task.
            let late = call
                .deadline
                .is_some_and(|deadline| now >= deadline + self.inner.settings.sweep_interval);
            let owned = self.lock_calls().contains_key(&call.id);
            if late && !owned && call.state != CallState::Queued {
                metrics::counter!("carillon_calls_swept_total").increment(1);
                tracing::warn!(call = %call.id, state = call.state.as_str(), "a call lost its task; it is settled");
                self.spawn_call(call, TaskStart::Orphan);
            }
        }
        Ok(())
    }
}
