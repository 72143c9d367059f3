//! One life of the process: from its start to its crash.

use carillon_app::App;
use std::sync::{Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// A life.
#[derive(Default)]
pub(crate) struct Life {
    /// Lives are counted from 1.
    pub(crate) number: u32,
    killed: CancellationToken,
    /// The app of this life, for as long as it lives.
    app: Mutex<Option<App>>,
}

impl Life {
    pub(crate) fn new(number: u32) -> Self {
        Self {
            number,
            ..Self::default()
        }
    }

    pub(crate) fn begin(&self, app: App) {
        *self.app.lock().unwrap_or_else(PoisonError::into_inner) = Some(app);
    }

    /// The app, while it lives.
    pub(crate) fn app(&self) -> Option<App> {
        self.app.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops everything of this life where it stands.
    pub(crate) fn kill(&self) {
        let app = self.app.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.killed.cancel();
        if let Some(app) = app {
            app.kill();
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.killed.is_cancelled()
    }

    /// Returns when the life is over.
    pub(crate) async fn over(&self) {
        self.killed.cancelled().await;
    }
}
