//! Taking away what an operator keeps, where nothing live uses it. Calls, records and deliveries that are over keep its id.
//!
//! Something may begin to use it between the look and the commit: then it is missing there, which is what the gates
//! `agent_inactive` and `no_trunk` are for.

use crate::App;
use crate::library::SaveRefusal;
use carillon_domain::call::Call;
use carillon_domain::campaign::Campaign;
use carillon_domain::ids::{AgentId, ClipId, EndpointId, TrunkId, WorkspaceId};
use carillon_domain::script::Script;
use carillon_domain::transition::{Change, Removal};
use carillon_interfaces::store::{DeliveryFilter, Slice, StoreError};

/// Why something is not taken away.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RemoveRefusal {
    /// Something live uses it.
    #[error("{0}")]
    InUse(String),
    /// It does not exist, somebody else changed it, or the store failed.
    #[error(transparent)]
    Save(#[from] SaveRefusal),
}

impl From<StoreError> for RemoveRefusal {
    fn from(error: StoreError) -> Self {
        Self::Save(error.into())
    }
}

fn in_use(by: impl Into<String>) -> RemoveRefusal {
    RemoveRefusal::InUse(by.into())
}

impl App {
    /// Takes an agent away, unless a campaign that is not over, a call that is not over, or an endpoint names it.
    pub async fn remove_agent(&self, workspace: WorkspaceId, id: AgentId) -> Result<(), RemoveRefusal> {
        let agent = self.store().agent(workspace, id).await?.ok_or(SaveRefusal::NotFound)?;
        if let Some(campaign) = self
            .live_campaign(workspace, |campaign| campaign.agent_id == id)
            .await?
        {
            return Err(in_use(format!("the campaign `{}` uses it", campaign.name)));
        }
        if self.has_open_call(workspace, |call| call.agent_id == id).await? {
            return Err(in_use("a call of it is not over"));
        }
        let endpoints = self.store().endpoints(workspace).await?;
        if endpoints.iter().any(|endpoint| endpoint.agent_id == Some(id)) {
            return Err(in_use("a webhook endpoint is told of its calls alone"));
        }
        self.remove(workspace, Removal::Agent(id), agent.version).await
    }

    /// Takes a trunk away, unless an agent, a campaign that is not over, or a call that is not over names it.
    pub async fn remove_trunk(&self, workspace: WorkspaceId, id: TrunkId) -> Result<(), RemoveRefusal> {
        let trunk = self.store().trunk(workspace, id).await?.ok_or(SaveRefusal::NotFound)?;
        let uses = |campaign: &Campaign| campaign.policy.trunk_id == Some(id);
        if let Some(campaign) = self.live_campaign(workspace, uses).await? {
            return Err(in_use(format!("the campaign `{}` uses it", campaign.name)));
        }
        let agents = self.store().agents(workspace).await?;
        if let Some(agent) = agents.iter().find(|agent| agent.trunk_id == Some(id)) {
            return Err(in_use(format!("the agent `{}` uses it", agent.name)));
        }
        if self.has_open_call(workspace, |call| call.trunk_id == Some(id)).await? {
            return Err(in_use("a call over it is not over"));
        }
        self.remove(workspace, Removal::Trunk(id), trunk.version).await?;
        self.inner.wake_trunks.notify_one();
        Ok(())
    }

    /// Takes a webhook endpoint away, unless it is switched on and deliveries to it are pending.
    pub async fn remove_endpoint(&self, workspace: WorkspaceId, id: EndpointId) -> Result<(), RemoveRefusal> {
        let endpoint = self
            .store()
            .endpoint(workspace, id)
            .await?
            .ok_or(SaveRefusal::NotFound)?;
        let pending = DeliveryFilter {
            endpoint_id: Some(id),
            state: Some("pending".to_owned()),
            ..DeliveryFilter::default()
        };
        let one = Slice { offset: 0, limit: 1 };
        let pending = self.store().deliveries(workspace, &pending, one).await?.total;
        if endpoint.enabled && pending > 0 {
            return Err(in_use(format!(
                "{pending} deliveries to it are pending: switch it off to give them up"
            )));
        }
        self.remove(workspace, Removal::Endpoint(id), endpoint.version).await
    }

    /// Takes a clip away, unless an agent or a call that is not over plays it. Its sound is the caller's to take away.
    pub async fn remove_clip(&self, workspace: WorkspaceId, id: ClipId) -> Result<(), RemoveRefusal> {
        let clip = self.store().clip(workspace, id).await?.ok_or(SaveRefusal::NotFound)?;
        let agents = self.store().agents(workspace).await?;
        if let Some(agent) = agents.iter().find(|agent| plays(&agent.script, id)) {
            return Err(in_use(format!("the agent `{}` plays it", agent.name)));
        }
        if self.has_open_call(workspace, |call| plays(&call.script, id)).await? {
            return Err(in_use("a call that plays it is not over"));
        }
        self.remove(workspace, Removal::Clip(id), clip.version).await
    }

    async fn remove(&self, workspace: WorkspaceId, what: Removal, version: u64) -> Result<(), RemoveRefusal> {
        Ok(self.save(workspace, Change::Remove { what, version }).await?)
    }

    /// A campaign that may still dial, and that `uses` picks.
    async fn live_campaign(
        &self,
        workspace: WorkspaceId,
        uses: impl Fn(&Campaign) -> bool,
    ) -> Result<Option<Campaign>, StoreError> {
        let campaigns = self.store().campaigns(workspace).await?;
        Ok(campaigns
            .into_iter()
            .find(|campaign| uses(campaign) && !(campaign.status.has_ended() && campaign.settled)))
    }

    async fn has_open_call(&self, workspace: WorkspaceId, uses: impl Fn(&Call) -> bool) -> Result<bool, StoreError> {
        let open = self.store().open_calls().await?;
        Ok(open.iter().any(|call| call.workspace_id == workspace && uses(call)))
    }
}

/// Whether a script names a clip, wherever in it.
fn plays(script: &Script, clip: ClipId) -> bool {
    fn names(value: &serde_json::Value, clip: &str) -> bool {
        match value {
            serde_json::Value::String(text) => text == clip,
            serde_json::Value::Array(items) => items.iter().any(|item| names(item, clip)),
            serde_json::Value::Object(fields) => fields.values().any(|field| names(field, clip)),
            _ => false,
        }
    }
    serde_json::to_value(script).is_ok_and(|script| names(&script, &clip.to_string()))
}
