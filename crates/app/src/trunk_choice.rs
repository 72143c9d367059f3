//! Which trunk carries a call.

use carillon_domain::ids::TrunkId;
use carillon_domain::trunk::Trunk;
use carillon_domain::workspace::{Mode, Workspace};

/// The trunk of a call: the one asked for, else the first; only enabled ones, and the sandbox only in a sandbox workspace.
pub(crate) fn choose<'a>(workspace: &Workspace, trunks: &'a [Trunk], wanted: Option<TrunkId>) -> Option<&'a Trunk> {
    trunks
        .iter()
        .filter(|trunk| is_usable(workspace, trunk))
        .find(|trunk| wanted.is_none_or(|wanted| trunk.id == wanted))
}

/// Whether the workspace may call over the trunk at all.
pub(crate) fn is_usable(workspace: &Workspace, trunk: &Trunk) -> bool {
    trunk.enabled && trunk.sandbox == (workspace.mode == Mode::Sandbox)
}
