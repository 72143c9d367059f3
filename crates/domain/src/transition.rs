//! All that crosses from the core to the shell.

use crate::agent::{Agent, Clip};
use crate::call::Call;
use crate::campaign::Campaign;
use crate::do_not_call::DoNotCallEntry;
use crate::ids::{AgentId, CallId, ClipId, EndpointId, TrunkId, WorkspaceId};
use crate::phone::PhoneNumber;
use crate::record::Record;
use crate::trunk::Trunk;
use crate::webhook::{Delivery, DeliveryAttempt, Endpoint};
use crate::workspace::Workspace;

/// Changes and effects that stand or fall together.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The workspace that all of it belongs to.
    pub workspace_id: WorkspaceId,
    /// What is stored, all or nothing.
    pub changes: Vec<Change>,
    /// What is done.
    pub effects: Vec<Effect>,
}

impl Transition {
    /// A transition without anything in it yet.
    pub fn new(workspace_id: WorkspaceId) -> Self {
        Self {
            workspace_id,
            changes: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Adds a change.
    #[must_use]
    pub fn with(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// Adds an effect.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }
}

/// One change of the stored state.
///
/// A `Put` carries the version that it was decided on: 0 inserts and fails if the id exists; any other replaces the row of
/// exactly that version and raises it by one, or fails the whole transition as stale.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A workspace.
    PutWorkspace(Box<Workspace>),
    /// An agent.
    PutAgent(Box<Agent>),
    /// A clip.
    PutClip(Box<Clip>),
    /// A trunk.
    PutTrunk(Box<Trunk>),
    /// A campaign.
    PutCampaign(Box<Campaign>),
    /// A record.
    PutRecord(Box<Record>),
    /// A call. Two calls for one attempt of one record are refused as [`Conflict`](Change).
    PutCall(Box<Call>),
    /// A webhook endpoint.
    PutEndpoint(Box<Endpoint>),
    /// A webhook delivery.
    PutDelivery(Box<Delivery>),
    /// A line of the delivery log; only ever added.
    AddDeliveryAttempt(Box<DeliveryAttempt>),
    /// A number that must not be called; replaces an entry of the same number.
    PutDoNotCall(Box<DoNotCallEntry>),
    /// A number that may be called again.
    RemoveDoNotCall(PhoneNumber),
    /// Something that an operator keeps is taken away: the row of exactly this version, or the whole transition fails as stale.
    /// What points at it keeps doing so.
    Remove {
        /// What.
        what: Removal,
        /// The version that it was decided on.
        version: u64,
    },
    /// A guarded delta on a counter that starts at 0: fails the whole transition if the result would pass `max`.
    AddToCounter {
        /// Which counter, such as `dialled/+919876543210/Asia/Kolkata/2026-05-27`.
        counter: String,
        /// What to add.
        add: i64,
        /// The most it may become.
        max: Option<i64>,
        /// The least it may become.
        floor: Option<i64>,
    },
}

/// What can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// An agent.
    Agent(AgentId),
    /// A clip. Its sound is a file, and not the store's.
    Clip(ClipId),
    /// A trunk.
    Trunk(TrunkId),
    /// A webhook endpoint.
    Endpoint(EndpointId),
}

/// What the shell does about a transition. Effects are not stored: each follows again from the state that was committed
/// with it, so a restart loses none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send the INVITE of a call that is `Dialing`. At most once, and only after the commit.
    PlaceCall(CallId),
    /// Start talking. At once: sound is not durable.
    StartScript(CallId),
    /// End the leg. At once, even if the commit fails: a leg that is up costs money and patience.
    HangUp(CallId),
    /// End a leg that an earlier process left up. After the commit.
    EndOrphan(CallId),
    /// Stop sound, finish the recording, report it. At once.
    ReleaseMedia(CallId),
    /// Look for records to dial. After the commit.
    WakeRunner,
    /// Look for deliveries to send. After the commit.
    WakeWebhooks,
}

impl Effect {
    /// Whether it waits for the commit of its transition.
    pub const fn waits_for_commit(self) -> bool {
        match self {
            Self::PlaceCall(_) | Self::EndOrphan(_) | Self::WakeRunner | Self::WakeWebhooks => true,
            Self::StartScript(_) | Self::HangUp(_) | Self::ReleaseMedia(_) => false,
        }
    }
}
