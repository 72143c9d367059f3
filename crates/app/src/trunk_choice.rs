//! Which trunk carries a call.

use carillon_domain::ids::TrunkId;
use carillon_domain::trunk::Trunk;
use carillon_domain::workspace::{Mode, Workspace};

/// The trunk of a call: the one asked for, else the first; only enabled ones, and the sandbox only in a sandbox workspace.
pub(crate) fn choose<'a>(workspace: &Workspace, trunks: &'a [Trunk], wanted: Option<TrunkId>) -> Option<&'a Trunk> {
    trunks
        .iter()
        .filter(|trunk| trunk.enabled && trunk.sandbox == (workspace.mode == Mode::Sandbox))
        .find(|trunk| wanted.is_none_or(|wanted| trunk.id == wanted))
}
