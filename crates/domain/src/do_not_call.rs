//! The do-not-call list of a workspace.

use crate::ids::{CallId, WorkspaceId};
use crate::phone::PhoneNumber;
use crate::time::UnixMicros;
use serde::{Deserialize, Serialize};

/// A number that must not be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoNotCallEntry {
    /// Its workspace.
    pub workspace_id: WorkspaceId,
    /// The number.
    pub phone: PhoneNumber,
    /// What it binds.
    pub scope: DoNotCallScope,
    /// Why, for people.
    pub reason: String,
    /// When it was added.
    pub added_at: UnixMicros,
    /// The call on which the callee asked for it.
    pub call_id: Option<CallId>,
}

/// What an entry binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoNotCallScope {
    /// Every call, one-time codes included.
    All,
    /// Campaigns and promotional calls.
    Marketing,
}
