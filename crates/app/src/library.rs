//! What an operator keeps: agents, trunks, endpoints, the do-not-call list.

use crate::App;
use carillon_domain::agent::{Agent, Clip, VariableDeclaration};
use carillon_domain::do_not_call::{DoNotCallEntry, DoNotCallScope};
use carillon_domain::ids::{AgentId, CampaignId, ClipId, DeliveryId, EndpointId, TrunkId, WorkspaceId};
use carillon_domain::phone::PhoneNumber;
use carillon_domain::pii::Secret;
use carillon_domain::script::Script;
use carillon_domain::transition::{Change, Effect, Transition};
use carillon_domain::trunk::{Codec, Credentials, NumberFormat, Transport, Trunk};
use carillon_domain::webhook::{Delivery, DeliveryInput, Dialect, Endpoint};
use carillon_domain::workspace::Workspace;
use carillon_interfaces::store::{CommitError, StoreError};

/// Why something is not saved.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SaveRefusal {
    /// It does not exist.
    #[error("not found")]
    NotFound,
    /// Somebody else changed it at the same time.
    #[error("it was changed by somebody else at the same time; read it again")]
    Stale,
    /// It exists already.
    #[error("it exists already")]
    Exists,
    /// The store failed; nothing was saved.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CommitError> for SaveRefusal {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Stale(_) => Self::Stale,
            CommitError::Conflict(_) => Self::Exists,
            CommitError::CounterBound(counter) => Self::Store(StoreError(format!("counter {counter} is at its bound"))),
            CommitError::Store(error) => Self::Store(error),
        }
    }
}

/// An agent, as an operator writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAgent {
    /// A name for people.
    pub name: String,
    /// Variables that a call may carry.
    pub variables: Vec<VariableDeclaration>,
    /// What it says.
    pub script: Script,
    /// Number shown.
    pub caller_id: Option<PhoneNumber>,
    /// Trunk of single calls.
    pub trunk_id: Option<TrunkId>,
    /// How long a call may ring, in seconds.
    pub ring_timeout_s: u32,
    /// How long an answered call may last, in seconds.
    pub max_duration_s: u32,
    /// Whether its calls are recorded.
    pub record_calls: bool,
    /// Whether it is in use.
    pub active: bool,
}

/// A trunk, as an operator writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTrunk {
    /// A name for people.
    pub name: String,
    /// Host name or address of the peer.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Transport of the signalling.
    pub transport: Transport,
    /// Digest credentials.
    pub credentials: Option<Credentials>,
    /// Domain for From and the request URI.
    pub domain: Option<String>,
    /// Numbers that may be shown.
    pub caller_ids: Vec<PhoneNumber>,
    /// How numbers are written.
    pub number_format: NumberFormat,
    /// Codecs, best first.
    pub codecs: Vec<Codec>,
    /// Most calls at once.
    pub lines: u32,
    /// Most new calls in any sliding second.
    pub calls_per_second: u32,
    /// Whether `P-Asserted-Identity` carries the caller id.
    pub assert_identity: bool,
    /// Whether it is a far end of ours.
    pub sandbox: bool,
    /// Whether it may be used.
    pub enabled: bool,
}

/// A webhook endpoint, as an operator writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEndpoint {
    /// Where to POST.
    pub url: String,
    /// Signing secret.
    pub secret: Secret,
    /// Events it wants; empty: all.
    pub events: Vec<String>,
    /// Only calls of this agent.
    pub agent_id: Option<AgentId>,
    /// Only calls of this campaign.
    pub campaign_id: Option<CampaignId>,
    /// In whose form it is told.
    pub dialect: Dialect,
    /// Whether it is told at all.
    pub enabled: bool,
}

impl App {
    pub(crate) async fn save(&self, workspace: WorkspaceId, change: Change) -> Result<(), SaveRefusal> {
        self.commit(Transition::new(workspace).with(change)).await?;
        self.wake(Effect::WakeRunner);
        Ok(())
    }

    /// Saves a workspace: a new one (version 0) or a changed one.
    pub async fn save_workspace(&self, workspace: Workspace) -> Result<Workspace, SaveRefusal> {
        self.save(workspace.id, Change::PutWorkspace(Box::new(workspace.clone())))
            .await?;
        self.inner.wake_trunks.notify_one();
        Ok(Workspace {
            version: workspace.version + 1,
            ..workspace
        })
    }

    /// Makes an agent, or replaces the one with this id.
    pub async fn save_agent(
        &self,
        workspace_id: WorkspaceId,
        id: Option<AgentId>,
        new: NewAgent,
    ) -> Result<Agent, SaveRefusal> {
        let (id, version, created_at) = match id {
            None => (AgentId::new(self.next_id()), 0, self.now()),
            Some(id) => {
                let old = self
                    .store()
                    .agent(workspace_id, id)
                    .await?
                    .ok_or(SaveRefusal::NotFound)?;
                (id, old.version, old.created_at)
            }
        };
        let NewAgent {
            name,
            variables,
            script,
            caller_id,
            trunk_id,
            ring_timeout_s,
            max_duration_s,
            record_calls,
            active,
        } = new;
        let agent = Agent {
            workspace_id,
            id,
            name,
            variables,
            script,
            caller_id,
            trunk_id,
            ring_timeout_s,
            max_duration_s,
            record_calls,
            active,
            created_at,
            version,
        };
        self.save(workspace_id, Change::PutAgent(Box::new(agent.clone())))
            .await?;
        Ok(Agent {
            version: version + 1,
            ..agent
        })
    }

    /// Makes a trunk, or replaces the one with this id.
    pub async fn save_trunk(
        &self,
        workspace_id: WorkspaceId,
        id: Option<TrunkId>,
        new: NewTrunk,
    ) -> Result<Trunk, SaveRefusal> {
        let (id, version) = match id {
            None => (TrunkId::new(self.next_id()), 0),
            Some(id) => (
                id,
                self.store()
                    .trunk(workspace_id, id)
                    .await?
                    .ok_or(SaveRefusal::NotFound)?
                    .version,
            ),
        };
        let trunk = Trunk {
            workspace_id,
            id,
            name: new.name,
            host: new.host,
            port: new.port,
            transport: new.transport,
            credentials: new.credentials,
            domain: new.domain,
            caller_ids: new.caller_ids,
            number_format: new.number_format,
            codecs: new.codecs,
            lines: new.lines,
            calls_per_second: new.calls_per_second,
            assert_identity: new.assert_identity,
            sandbox: new.sandbox,
            enabled: new.enabled,
            version,
        };
        self.save(workspace_id, Change::PutTrunk(Box::new(trunk.clone())))
            .await?;
        self.inner.wake_trunks.notify_one();
        Ok(Trunk {
            version: version + 1,
            ..trunk
        })
    }

    /// Adds a clip whose samples are already in the library's folder.
    pub async fn add_clip(
        &self,
        workspace_id: WorkspaceId,
        id: ClipId,
        name: String,
        duration_ms: u64,
    ) -> Result<Clip, SaveRefusal> {
        let clip = Clip {
            workspace_id,
            id,
            name,
            duration_ms,
            created_at: self.now(),
            version: 0,
        };
        self.save(workspace_id, Change::PutClip(Box::new(clip.clone()))).await?;
        Ok(Clip { version: 1, ..clip })
    }

    /// Makes a webhook endpoint, or replaces the one with this id.
    pub async fn save_endpoint(
        &self,
        workspace_id: WorkspaceId,
        id: Option<EndpointId>,
        new: NewEndpoint,
    ) -> Result<Endpoint, SaveRefusal> {
        let (id, version, created_at) = match id {
            None => (EndpointId::new(self.next_id()), 0, self.now()),
            Some(id) => {
                let old = self
                    .store()
                    .endpoint(workspace_id, id)
                    .await?
                    .ok_or(SaveRefusal::NotFound)?;
                (id, old.version, old.created_at)
            }
        };
        let NewEndpoint {
            url,
            secret,
            events,
            agent_id,
            campaign_id,
            dialect,
            enabled,
        } = new;
        let endpoint = Endpoint {
            workspace_id,
            id,
            url,
            secret,
            events,
            agent_id,
            campaign_id,
            dialect,
            enabled,
            created_at,
            version,
        };
        self.save(workspace_id, Change::PutEndpoint(Box::new(endpoint.clone())))
            .await?;
        Ok(Endpoint {
            version: version + 1,
            ..endpoint
        })
    }

    /// Puts numbers on the do-not-call list.
    pub async fn add_do_not_call(
        &self,
        workspace_id: WorkspaceId,
        phones: Vec<PhoneNumber>,
        scope: DoNotCallScope,
        reason: &str,
    ) -> Result<Vec<DoNotCallEntry>, SaveRefusal> {
        let added_at = self.now();
        let entries: Vec<DoNotCallEntry> = phones
            .into_iter()
            .map(|phone| DoNotCallEntry {
                workspace_id,
                phone,
                scope,
                reason: reason.to_owned(),
                added_at,
                call_id: None,
            })
            .collect();
        let mut transition = Transition::new(workspace_id);
        for entry in &entries {
            transition = transition.with(Change::PutDoNotCall(Box::new(entry.clone())));
        }
        self.commit(transition).await?;
        self.wake(Effect::WakeRunner);
        Ok(entries)
    }

    /// Takes a number off the do-not-call list.
    pub async fn remove_do_not_call(&self, workspace: WorkspaceId, phone: PhoneNumber) -> Result<(), SaveRefusal> {
        let on_list = self
            .store()
            .do_not_call(workspace, std::slice::from_ref(&phone))
            .await?;
        if on_list.is_empty() {
            return Err(SaveRefusal::NotFound);
        }
        self.save(workspace, Change::RemoveDoNotCall(phone)).await
    }

    /// Sends a delivery again, body byte for byte, under the same event id.
    pub async fn replay_delivery(&self, workspace: WorkspaceId, id: DeliveryId) -> Result<Delivery, SaveRefusal> {
        loop {
            let delivery = self
                .store()
                .delivery(workspace, id)
                .await?
                .ok_or(SaveRefusal::NotFound)?;
            let next = delivery.handle(self.now(), &DeliveryInput::Replay);
            let transition = Transition::new(workspace).with(Change::PutDelivery(Box::new(next.clone())));
            match self.commit(transition).await {
                Ok(()) => {
                    self.wake(Effect::WakeWebhooks);
                    return Ok(Delivery {
                        version: next.version + 1,
                        ..next
                    });
                }
                Err(CommitError::Stale(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
    }
}
