//! A workspace: the tenant.

use crate::ids::WorkspaceId;
use serde::{Deserialize, Serialize};

/// A tenant and its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// A name for people.
    pub name: String,
    /// Whether its calls may leave this machine.
    pub mode: Mode,
    /// CLDR region by which national numbers are read, such as `IN`.
    pub region: String,
    /// Regions that campaigns may call; empty allows every one.
    pub allowed_regions: Vec<String>,
    /// Most calls at once over all campaigns and single calls.
    pub max_concurrent_calls: u32,
    /// Which of RevRag's two vocabularies its answers use.
    pub status_style: StatusStyle,
    /// The version that a change was decided on.
    pub version: u64,
}

/// Whether a workspace's calls may leave this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Calls go out over the workspace's trunks; the sandbox is never among them.
    Live,
    /// Calls go to the sandbox trunk only.
    Sandbox,
}

/// Which of RevRag's two status vocabularies is used (contracts 1.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusStyle {
    /// Single calls in upper case, campaign calls in lower case.
    #[default]
    ByOrigin,
    /// `QUEUED`, `RUNNING`, `ENDED` everywhere.
    Upper,
    /// `queued`, `in_progress`, `completed`, `failed` everywhere.
    Lower,
}
