//! An agent: what talks on a call.

use crate::ids::{AgentId, ClipId, TrunkId, WorkspaceId};
use crate::phone::PhoneNumber;
use crate::script::Script;
use crate::time::UnixMicros;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Values by name, as an API sent them.
pub type Variables = Map<String, Value>;

/// What talks on a call, with its limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Its workspace.
    pub workspace_id: WorkspaceId,
    /// Its id.
    pub id: AgentId,
    /// A name for people.
    pub name: String,
    /// Variables that a call may carry.
    pub variables: Vec<VariableDeclaration>,
    /// What it says.
    pub script: Script,
    /// Number shown to the callee; `None`: the trunk's first.
    pub caller_id: Option<PhoneNumber>,
    /// Trunk of single calls; `None`: the workspace's first enabled one.
    pub trunk_id: Option<TrunkId>,
    /// How long a call may ring, in seconds.
    pub ring_timeout_s: u32,
    /// How long an answered call may last, in seconds.
    pub max_duration_s: u32,
    /// Whether its calls are recorded.
    pub record_calls: bool,
    /// Inactive agents are not listed and place no calls.
    pub active: bool,
    /// When it was made.
    pub created_at: UnixMicros,
    /// The version that a change was decided on.
    pub version: u64,
}

impl Agent {
    /// What is said on a call: what was sent, and the declared defaults for what was not. Calls and records keep what was sent,
    /// since that is what RevRag's `variables_fields` echoes; whoever talks completes it.
    pub fn complete_variables(&self, sent: &Variables) -> Variables {
        let mut all = sent.clone();
        for declared in &self.variables {
            if let Some(default) = &declared.default_value
                && !all.contains_key(&declared.name)
            {
                all.insert(declared.name.clone(), Value::String(default.clone()));
            }
        }
        all
    }
}

/// A variable that an agent expects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariableDeclaration {
    /// Its name.
    pub name: String,
    /// `string`, `number`, `boolean`, `date` or `enum`.
    pub kind: String,
    /// Used when a call does not carry the variable.
    pub default_value: Option<String>,
}

/// A piece of audio in the library. Its samples are an object beside the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// Its workspace.
    pub workspace_id: WorkspaceId,
    /// Its id.
    pub id: ClipId,
    /// A name for people.
    pub name: String,
    /// Length in milliseconds.
    pub duration_ms: u64,
    /// When it was made.
    pub created_at: UnixMicros,
    /// The version that a change was decided on.
    pub version: u64,
}
