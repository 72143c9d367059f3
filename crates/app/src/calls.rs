//! Single calls, and ending calls.

use crate::App;
use crate::call_task::CallControl;
use crate::trunk_choice::choose;
use carillon_domain::agent::Variables;
use carillon_domain::call::{Call, CallInput, CallState, Origin};
use carillon_domain::ids::{AgentId, CallId, WorkspaceId};
use carillon_domain::phone::{self, PhoneNumber};
use carillon_domain::transition::{Change, Effect, Transition};
use carillon_domain::webhook::Dialect;
use carillon_interfaces::store::{CommitError, StoreError};

/// A call to place outside any campaign.
#[derive(Clone, Debug, PartialEq)]
pub struct SingleCall {
    /// Who talks.
    pub agent_id: AgentId,
    /// Number to call.
    pub to: PhoneNumber,
    /// Values for the agent.
    pub variables: Variables,
    /// Free values that are echoed.
    pub custom_metadata: Option<Variables>,
    /// Through whose API it was asked for.
    pub dialect: Dialect,
}

/// Why a single call is not taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SingleRefusal {
    /// There is no such active agent in the workspace.
    #[error("agent not found")]
    AgentNotFound,
    /// No enabled trunk can carry it.
    #[error("no enabled trunk can carry the call")]
    NoTrunk,
    /// No number can be shown.
    #[error("the agent has no caller number, and the trunk has none either")]
    NoCallerId,
    /// On the do-not-call list.
    #[error("the number is on the do-not-call list")]
    DoNotCall,
    /// Emergency, short-code and premium numbers are not called.
    #[error("emergency, short-code and premium numbers are not called")]
    DestinationRefused,
    /// The store failed; nothing was taken.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl App {
    /// Takes a single call. It is durable when this returns, and dialled when a line is free.
    pub async fn place_single_call(
        &self,
        workspace_id: WorkspaceId,
        single: SingleCall,
    ) -> Result<Call, SingleRefusal> {
        let store = self.store();
        let agent = store
            .agent(workspace_id, single.agent_id)
            .await?
            .filter(|agent| agent.active)
            .ok_or(SingleRefusal::AgentNotFound)?;
        if phone::is_refused_destination(&single.to) {
            return Err(SingleRefusal::DestinationRefused);
        }
        if !store
            .do_not_call(workspace_id, std::slice::from_ref(&single.to))
            .await?
            .is_empty()
        {
            return Err(SingleRefusal::DoNotCall);
        }
        let workspace = store
            .workspace(workspace_id)
            .await?
            .ok_or(SingleRefusal::AgentNotFound)?;
        let trunks = store.trunks(workspace_id).await?;
        let trunk = choose(&workspace, &trunks, agent.trunk_id).ok_or(SingleRefusal::NoTrunk)?;
        if agent.caller_id.is_none() && trunk.caller_ids.is_empty() {
            return Err(SingleRefusal::NoCallerId);
        }
        let origin = Origin::Single {
            dialect: single.dialect,
        };
        let call = Call {
            variables: single.variables,
            custom_metadata: single.custom_metadata,
            ..Call::queued(&agent, CallId::new(self.next_id()), origin, single.to, self.now())
        };
        let transition = Transition::new(workspace_id).with(Change::PutCall(Box::new(call.clone())));
        self.commit(transition).await.map_err(|error| match error {
            CommitError::Store(error) => error,
            other => StoreError(other.to_string()),
        })?;
        self.wake(Effect::WakeRunner);
        Ok(crate::committed(call))
    }

    /// Ends a call, whatever its state. `None`: there is no such call. The end itself follows.
    pub async fn cancel_call(&self, workspace: WorkspaceId, id: CallId) -> Result<Option<Call>, StoreError> {
        let Some(call) = self.store().call(workspace, id).await? else {
            return Ok(None);
        };
        let control = self.lock_calls().get(&id).cloned();
        match control {
            // A full queue or a task that just ended: its end is already on its way.
            Some(control) => drop(control.try_send(CallControl::Cancel)),
            None if call.state == CallState::Queued => self.finish_unsent(&call, CallInput::Cancel).await,
            None => {}
        }
        self.store().call(workspace, id).await
    }
}
