//! Making, changing and running campaigns.

use crate::App;
use crate::library::SaveRefusal;
use carillon_domain::campaign::{
    Campaign, CampaignInput, CampaignPolicy, CampaignStatus, LifecycleRefusal, PolicyProblem,
};
use carillon_domain::ids::{AgentId, CampaignId, WorkspaceId};
use carillon_domain::record::{AttemptKind, RecordState, Waiting};
use carillon_domain::time::UnixMicros;
use carillon_domain::transition::{Change, Effect, Transition};
use carillon_interfaces::store::{CommitError, StoreError};

/// A campaign to make.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCampaign {
    /// A name for people.
    pub name: String,
    /// Who talks.
    pub agent_id: AgentId,
    /// Its rules.
    pub policy: CampaignPolicy,
}

/// Why a campaign is not changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CampaignRefusal {
    /// There is no such campaign in the workspace.
    #[error("campaign not found")]
    NotFound,
    /// The agent is not one of the workspace's.
    #[error("agent not found")]
    AgentNotFound,
    /// Its status does not allow it.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleRefusal),
    /// Its rules contradict themselves.
    #[error(transparent)]
    Policy(#[from] PolicyProblem),
    /// Somebody else changed it at the same time, or the store failed.
    #[error(transparent)]
    Save(#[from] SaveRefusal),
}

impl From<StoreError> for CampaignRefusal {
    fn from(error: StoreError) -> Self {
        Self::Save(SaveRefusal::Store(error))
    }
}

impl App {
    /// Makes a campaign, as a draft.
    pub async fn create_campaign(&self, workspace: WorkspaceId, new: NewCampaign) -> Result<Campaign, CampaignRefusal> {
        new.policy.check()?;
        self.store()
            .agent(workspace, new.agent_id)
            .await?
            .ok_or(CampaignRefusal::AgentNotFound)?;
        let now = self.now();
        let campaign = Campaign {
            workspace_id: workspace,
            id: CampaignId::new(self.next_id()),
            name: new.name,
            agent_id: new.agent_id,
            status: CampaignStatus::Draft,
            policy: new.policy,
            settled: false,
            created_at: now,
            updated_at: now,
            version: 0,
        };
        self.save(workspace, Change::PutCampaign(Box::new(campaign.clone())))
            .await?;
        Ok(Campaign { version: 1, ..campaign })
    }

    /// Does something to a campaign. Tried again when somebody else changed it meanwhile.
    pub async fn campaign_input(
        &self,
        workspace: WorkspaceId,
        id: CampaignId,
        input: CampaignInput,
    ) -> Result<Campaign, CampaignRefusal> {
        loop {
            let current = self
                .store()
                .campaign(workspace, id)
                .await?
                .ok_or(CampaignRefusal::NotFound)?;
            let next = current.handle(self.now(), input)?;
            if next == current {
                return Ok(current);
            }
            match self.replace_campaign(next).await {
                Err(CommitError::Stale(_)) => {}
                Err(other) => return Err(SaveRefusal::from(other).into()),
                Ok(stored) => return Ok(stored),
            }
        }
    }

    /// Changes name, agent or rules, also while it runs. Records that wait for their first attempt follow a new
    /// first-attempt day.
    pub async fn update_campaign(
        &self,
        workspace: WorkspaceId,
        id: CampaignId,
        changed: NewCampaign,
    ) -> Result<Campaign, CampaignRefusal> {
        changed.policy.check()?;
        self.store()
            .agent(workspace, changed.agent_id)
            .await?
            .ok_or(CampaignRefusal::AgentNotFound)?;
        loop {
            let current = self
                .store()
                .campaign(workspace, id)
                .await?
                .ok_or(CampaignRefusal::NotFound)?;
            if current.status.has_ended() {
                let input = CampaignInput::Resume;
                return Err(LifecycleRefusal::WrongStatus {
                    input,
                    status: current.status,
                }
                .into());
            }
            let next = Campaign {
                name: changed.name.clone(),
                agent_id: changed.agent_id,
                policy: changed.policy.clone(),
                updated_at: self.now(),
                ..current.clone()
            };
            match self.replace_campaign(next).await {
                Err(CommitError::Stale(_)) => {}
                Err(other) => return Err(SaveRefusal::from(other).into()),
                Ok(stored) => {
                    self.reschedule_held_records(&stored).await?;
                    return Ok(stored);
                }
            }
        }
    }

    async fn replace_campaign(&self, next: Campaign) -> Result<Campaign, CommitError> {
        let transition = Transition::new(next.workspace_id).with(Change::PutCampaign(Box::new(next.clone())));
        self.commit(transition).await?;
        self.wake(Effect::WakeRunner);
        Ok(Campaign {
            version: next.version + 1,
            ..next
        })
    }

    /// Records that a gate put off were put off by the old rules: they are due again now, and the new rules decide.
    async fn reschedule_held_records(&self, campaign: &Campaign) -> Result<(), StoreError> {
        let now = self.now();
        loop {
            let waiting = self
                .store()
                .due_records(campaign.workspace_id, campaign.id, UnixMicros(i64::MAX), u32::MAX)
                .await?;
            let mut transition = Transition::new(campaign.workspace_id);
            for record in waiting {
                let RecordState::Waiting(waiting) = &record.state else {
                    continue;
                };
                let first = waiting.next == AttemptKind::First;
                if waiting.due_at <= now || (waiting.held_by.is_none() && !first) {
                    continue;
                }
                let due_at = if first {
                    campaign.first_attempt_at(now)
                } else {
                    waiting.scheduled_at
                };
                let state = RecordState::Waiting(Waiting {
                    due_at,
                    held_by: None,
                    ..waiting.clone()
                });
                if state != record.state {
                    let mut moved = record.clone();
                    moved.state = state;
                    transition = transition.with(Change::PutRecord(Box::new(moved)));
                }
            }
            if transition.changes.is_empty() {
                return Ok(());
            }
            match self.commit(transition).await {
                Ok(()) => {
                    self.wake(Effect::WakeRunner);
                    return Ok(());
                }
                // A record was dialled in between: look again.
                Err(CommitError::Stale(_)) => {}
                Err(CommitError::Store(error)) => return Err(error),
                Err(other) => return Err(StoreError(other.to_string())),
            }
        }
    }
}
