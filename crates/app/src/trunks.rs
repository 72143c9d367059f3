//! The carrier knows every trunk that may be used, from the start on: a peer asks by OPTIONS whether we are there long before
//! the first call, and takes silence for a reason to send none.

use crate::App;
use crate::trunk_choice::is_usable;
use carillon_domain::trunk::Trunk;
use carillon_interfaces::store::StoreError;
use std::sync::Arc;
use std::time::Duration;

/// How often the carrier is told all trunks again: names may resolve anew, and other nodes may change them.
const REFRESH: Duration = Duration::from_secs(60);

impl App {
    /// Tells the carrier the trunks: at start, after each change, and now and then.
    pub(crate) async fn run_trunks(&self) {
        loop {
            match self.usable_trunks().await {
                Ok(trunks) => self.inner.parts.carrier.set_trunks(trunks).await,
                Err(error) => tracing::warn!(%error, "trunks could not be read; they are read again later"),
            }
            tokio::select! {
                () = self.inner.wake_trunks.notified() => {}
                () = tokio::time::sleep(REFRESH) => {}
            }
        }
    }

    async fn usable_trunks(&self) -> Result<Vec<Arc<Trunk>>, StoreError> {
        let mut usable = Vec::new();
        for workspace in self.store().workspaces().await? {
            let trunks = self.store().trunks(workspace.id).await?;
            usable.extend(
                trunks
                    .into_iter()
                    .filter(|trunk| is_usable(&workspace, trunk))
                    .map(Arc::new),
            );
        }
        Ok(usable)
    }
}
