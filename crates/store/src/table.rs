//! The tables of entities, once for both databases: name, key columns, and how a [`Change`] becomes rows.
//!
//! A row is the entity's serde form in `doc` beside the columns that queries and indices use. Key columns are derived from
//! the entity at each write and are never read back, so `doc` alone is the truth.

use carillon_domain::call::{Call, CallState};
use carillon_domain::campaign::{Campaign, CampaignStatus};
use carillon_domain::phone::PhoneNumber;
use carillon_domain::transition::{Change, Removal, Transition};
use carillon_domain::webhook::{Delivery, DeliveryState};
use carillon_interfaces::store::{ApiKey, CommitError, StoreError};
use serde::Serialize;
use std::borrow::Cow;
use uuid::Uuid;

/// A table of entities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Table {
    Workspaces,
    Agents,
    Clips,
    Trunks,
    Campaigns,
    Records,
    Calls,
    Endpoints,
    Deliveries,
    DeliveryAttempts,
}

/// What a key column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Id,
    Text,
    Int,
}

/// A value of a key column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Id(Option<Uuid>),
    Text(Cow<'static, str>),
    Int(Option<i64>),
}

impl Table {
    pub(crate) const ALL: [Self; 10] = [
        Self::Workspaces,
        Self::Agents,
        Self::Clips,
        Self::Trunks,
        Self::Campaigns,
        Self::Records,
        Self::Calls,
        Self::Endpoints,
        Self::Deliveries,
        Self::DeliveryAttempts,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Workspaces => "workspaces",
            Self::Agents => "agents",
            Self::Clips => "clips",
            Self::Trunks => "trunks",
            Self::Campaigns => "campaigns",
            Self::Records => "records",
            Self::Calls => "calls",
            Self::Endpoints => "endpoints",
            Self::Deliveries => "deliveries",
            Self::DeliveryAttempts => "delivery_attempts",
        }
    }

    /// What one row is, for errors.
    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Self::Workspaces => "workspace",
            Self::Agents => "agent",
            Self::Clips => "clip",
            Self::Trunks => "trunk",
            Self::Campaigns => "campaign",
            Self::Records => "record",
            Self::Calls => "call",
            Self::Endpoints => "endpoint",
            Self::Deliveries => "delivery",
            Self::DeliveryAttempts => "delivery attempt",
        }
    }

    /// Whether rows get a number unique in their workspace, for dialects that show integers.
    pub(crate) const fn is_numbered(self) -> bool {
        match self {
            Self::Agents
            | Self::Clips
            | Self::Trunks
            | Self::Campaigns
            | Self::Records
            | Self::Calls
            | Self::Endpoints => true,
            Self::Workspaces | Self::Deliveries | Self::DeliveryAttempts => false,
        }
    }

    /// Whether a key column of an entity can change after its first write. Rewriting one that cannot would rewrite every
    /// index that it is part of.
    pub(crate) fn may_change(column: &str) -> bool {
        matches!(column, "is_open" | "status" | "due_at" | "trunk_id" | "state")
    }

    /// Key columns beside `workspace_id`, `id`, `number`, `version` and `doc`, in the order of [`Row::keys`].
    pub(crate) const fn key_columns(self) -> &'static [(&'static str, Kind)] {
        match self {
            Self::Workspaces | Self::Trunks => &[],
            Self::Agents | Self::Clips | Self::Endpoints => &[("created_at", Kind::Int)],
            Self::Campaigns => &[("created_at", Kind::Int), ("is_open", Kind::Int)],
            Self::Records => &[
                ("campaign_id", Kind::Id),
                ("phone", Kind::Text),
                ("status", Kind::Text),
                ("due_at", Kind::Int),
                ("created_at", Kind::Int),
            ],
            Self::Calls => &[
                ("campaign_id", Kind::Id),
                ("record_id", Kind::Id),
                ("attempt", Kind::Int),
                ("agent_id", Kind::Id),
                ("trunk_id", Kind::Id),
                ("state", Kind::Text),
                ("created_at", Kind::Int),
            ],
            Self::Deliveries => &[
                ("endpoint_id", Kind::Id),
                ("call_id", Kind::Id),
                ("state", Kind::Text),
                ("due_at", Kind::Int),
                ("created_at", Kind::Int),
            ],
            Self::DeliveryAttempts => &[("number", Kind::Int)],
        }
    }
}

/// Place of a record's status among its key columns; its campaign is the first.
pub(crate) const RECORD_STATUS: usize = 2;

/// One row to insert (`expected` is 0) or to replace (at exactly that version).
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) table: Table,
    pub(crate) id: Uuid,
    /// The version that the change was decided on; `doc` holds the one after it.
    pub(crate) expected: i64,
    pub(crate) keys: Vec<Value>,
    pub(crate) doc: String,
}

/// The error of a change that was decided on another version than the stored one.
pub(crate) fn stale(table: Table, id: Uuid, expected: i64) -> CommitError {
    CommitError::Stale(format!("{} {id} is not at version {expected}", table.noun()))
}

impl Row {
    pub(crate) fn stale(&self) -> CommitError {
        stale(self.table, self.id, self.expected)
    }

    pub(crate) fn conflict(&self) -> CommitError {
        CommitError::Conflict(format!("{} {}", self.table.noun(), self.id))
    }
}

/// One write of a transition, ready for a database.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Put(Row),
    Remove {
        table: Table,
        id: Uuid,
        expected: i64,
    },
    PutDoNotCall {
        phone: String,
        doc: String,
    },
    RemoveDoNotCall {
        phone: String,
    },
    AddToCounter {
        counter: String,
        add: i64,
        max: Option<i64>,
        floor: Option<i64>,
    },
    PutApiKey {
        id: Uuid,
        hash: String,
        created_at: i64,
        doc: String,
    },
}

/// A transition, ready for a database.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) workspace_id: Uuid,
    pub(crate) writes: Vec<Write>,
}

impl Prepared {
    /// Serialises every change. Refuses entities of another workspace than the transition's.
    pub(crate) fn new(transition: Transition) -> Result<Self, CommitError> {
        let workspace_id = transition.workspace_id.uuid();
        let mut writes = Vec::with_capacity(transition.changes.len());
        for change in transition.changes {
            if let Some(other) = workspace_of(&change)
                && other != workspace_id
            {
                return Err(foreign_workspace());
            }
            writes.push(write(change)?);
        }
        Ok(Self { workspace_id, writes })
    }

    /// Whether it changes one row and no count kept beside it.
    pub(crate) fn is_one_row(&self) -> bool {
        matches!(&self.writes[..], [Write::Put(row)] if row.table != Table::Records)
    }

    pub(crate) fn api_key(key: &ApiKey) -> Result<Self, StoreError> {
        let write = Write::PutApiKey {
            id: key.id.uuid(),
            hash: key.hash.clone(),
            created_at: key.created_at.micros(),
            doc: json(key)?,
        };
        Ok(Self {
            workspace_id: key.workspace_id.uuid(),
            writes: vec![write],
        })
    }
}

/// The error of a change that belongs to another workspace than its transition.
pub(crate) fn foreign_workspace() -> CommitError {
    CommitError::Store(StoreError(
        "a change belongs to another workspace than its transition".to_owned(),
    ))
}

/// The workspace that a change names itself, if it names one.
pub(crate) fn workspace_of(change: &Change) -> Option<Uuid> {
    let id = match change {
        Change::PutWorkspace(workspace) => workspace.id,
        Change::PutAgent(agent) => agent.workspace_id,
        Change::PutClip(clip) => clip.workspace_id,
        Change::PutTrunk(trunk) => trunk.workspace_id,
        Change::PutCampaign(campaign) => campaign.workspace_id,
        Change::PutRecord(record) => record.workspace_id,
        Change::PutCall(call) => call.workspace_id,
        Change::PutEndpoint(endpoint) => endpoint.workspace_id,
        Change::PutDelivery(delivery) => delivery.workspace_id,
        Change::AddDeliveryAttempt(attempt) => attempt.workspace_id,
        Change::PutDoNotCall(entry) => entry.workspace_id,
        Change::RemoveDoNotCall(_) | Change::Remove { .. } | Change::AddToCounter { .. } => return None,
    };
    Some(id.uuid())
}

/// Whether a campaign is among [`open_campaigns`](carillon_interfaces::store::Store::open_campaigns).
pub(crate) fn is_open(campaign: &Campaign) -> bool {
    campaign.status != CampaignStatus::Draft && !(campaign.status.has_ended() && campaign.settled)
}

/// The word of a delivery's state.
pub(crate) const fn delivery_state(delivery: &Delivery) -> &'static str {
    match delivery.state {
        DeliveryState::Pending { .. } => "pending",
        DeliveryState::Delivered { .. } => "delivered",
        DeliveryState::Exhausted { .. } => "exhausted",
    }
}

/// The states that hold a line, as an SQL list.
pub(crate) fn live_states() -> String {
    let words: Vec<_> = CallState::ALL
        .iter()
        .filter(|s| s.is_live())
        .map(|s| format!("'{}'", s.as_str()))
        .collect();
    words.join(", ")
}

fn write(change: Change) -> Result<Write, CommitError> {
    macro_rules! row {
        ($table:ident, $entity:ident, [$($key:expr),*]) => {{
            let expected = stored_version($entity.version)?;
            let id = $entity.id.uuid();
            let keys = vec![$($key),*];
            $entity.version = next_version($entity.version)?;
            Write::Put(Row { table: Table::$table, id, expected, keys, doc: json(&$entity)? })
        }};
    }
    Ok(match change {
        Change::PutWorkspace(mut workspace) => row!(Workspaces, workspace, []),
        Change::PutAgent(mut agent) => row!(Agents, agent, [int(agent.created_at.micros())]),
        Change::PutClip(mut clip) => row!(Clips, clip, [int(clip.created_at.micros())]),
        Change::PutTrunk(mut trunk) => row!(Trunks, trunk, []),
        Change::PutCampaign(mut campaign) => {
            row!(
                Campaigns,
                campaign,
                [int(campaign.created_at.micros()), int(i64::from(is_open(&campaign)))]
            )
        }
        Change::PutRecord(mut record) => row!(
            Records,
            record,
            [
                id(record.campaign_id.uuid()),
                Value::Text(Cow::Owned(record.phone.as_str().to_owned())),
                word(record.status().as_str()),
                Value::Int(record.due_at().map(|at| at.micros())),
                int(record.created_at.micros())
            ]
        ),
        Change::PutCall(mut call) => row!(
            Calls,
            call,
            [
                Value::Id(call.campaign_id().map(|id| id.uuid())),
                Value::Id(call.record_id().map(|id| id.uuid())),
                Value::Int(call.attempt().map(i64::from)),
                id(call.agent_id.uuid()),
                Value::Id(call.trunk_id.map(|id| id.uuid())),
                word(call.state.as_str()),
                int(call.created_at.micros())
            ]
        ),
        Change::PutEndpoint(mut endpoint) => row!(Endpoints, endpoint, [int(endpoint.created_at.micros())]),
        Change::PutDelivery(mut delivery) => row!(
            Deliveries,
            delivery,
            [
                id(delivery.endpoint_id.uuid()),
                id(delivery.call_id.uuid()),
                word(delivery_state(&delivery)),
                Value::Int(delivery.due_at().map(|at| at.micros())),
                int(delivery.created_at.micros())
            ]
        ),
        Change::AddDeliveryAttempt(attempt) => Write::Put(Row {
            table: Table::DeliveryAttempts,
            id: attempt.delivery_id.uuid(),
            expected: 0,
            keys: vec![int(i64::from(attempt.number))],
            doc: json(&attempt)?,
        }),
        Change::PutDoNotCall(entry) => Write::PutDoNotCall {
            phone: entry.phone.as_str().to_owned(),
            doc: json(&entry)?,
        },
        Change::RemoveDoNotCall(phone) => Write::RemoveDoNotCall {
            phone: phone.as_str().to_owned(),
        },
        Change::Remove { what, version } => {
            let (table, id) = match what {
                Removal::Agent(id) => (Table::Agents, id.uuid()),
                Removal::Clip(id) => (Table::Clips, id.uuid()),
                Removal::Trunk(id) => (Table::Trunks, id.uuid()),
                Removal::Endpoint(id) => (Table::Endpoints, id.uuid()),
            };
            Write::Remove {
                table,
                id,
                expected: stored_version(version)?,
            }
        }
        Change::AddToCounter {
            counter,
            add,
            max,
            floor,
        } => Write::AddToCounter {
            counter,
            add,
            max,
            floor,
        },
    })
}

fn id(id: Uuid) -> Value {
    Value::Id(Some(id))
}

fn int(number: i64) -> Value {
    Value::Int(Some(number))
}

fn word(word: &'static str) -> Value {
    Value::Text(Cow::Borrowed(word))
}

fn json(entity: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(entity).map_err(|error| StoreError(format!("an entity has no stored form: {error}")))
}

/// The version as databases hold it.
fn stored_version(version: u64) -> Result<i64, StoreError> {
    i64::try_from(version).map_err(|_| StoreError(format!("version {version} is out of range")))
}

/// The version after a write.
pub(crate) fn next_version(version: u64) -> Result<u64, StoreError> {
    version
        .checked_add(1)
        .ok_or_else(|| StoreError(format!("version {version} is out of range")))
}

/// The attempt's unique pair, of calls that a campaign made.
pub(crate) fn attempt_key(call: &Call) -> Option<(Uuid, u32)> {
    call.record_id().map(|record| record.uuid()).zip(call.attempt())
}

/// Sorted, each once: the order of answers about numbers.
pub(crate) fn sorted(numbers: &[PhoneNumber]) -> Vec<PhoneNumber> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}
