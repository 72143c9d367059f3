//! Pushing records and looking at them.

use crate::App;
use carillon_domain::agent::Variables;
use carillon_domain::campaign::{CampaignStatus, Held, why_not_yet};
use carillon_domain::ids::{CampaignId, RecordId, WorkspaceId};
use carillon_domain::phone::{self, PhoneNumber};
use carillon_domain::record::Record;
use carillon_domain::transition::{Change, Effect, Transition};
use carillon_interfaces::failpoint::Failpoint;
use carillon_interfaces::store::{CommitError, StoreError};
use std::collections::BTreeSet;

/// A record to push.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRecord {
    /// The number to call.
    pub phone: PhoneNumber,
    /// Values for the agent.
    pub variables: Variables,
    /// The caller's own user id.
    pub app_user_id: Option<String>,
    /// The caller's own session id.
    pub app_session_id: Option<String>,
}

/// What became of each record of a push, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct PushReceipt {
    /// One entry for each record that was pushed.
    pub results: Vec<Result<RecordId, RecordRefusal>>,
}

/// Why one record is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordRefusal {
    /// The campaign has the number already and skips known ones.
    #[error("the campaign already has this number")]
    KnownNumber,
    /// Emergency, short-code and premium numbers are not called.
    #[error("emergency, short-code and premium numbers are not called")]
    DestinationRefused,
}

/// Why a whole push is not taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PushRefusal {
    /// There is no such campaign in the workspace.
    #[error("campaign not found")]
    CampaignNotFound,
    /// It takes no records now.
    #[error("campaign is {}", .0.as_str())]
    NotAccepting(CampaignStatus),
    /// The store failed; nothing was taken.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl App {
    /// Takes records into a campaign. When this returns they are durable.
    pub async fn push_records(
        &self,
        workspace: WorkspaceId,
        campaign_id: CampaignId,
        records: Vec<NewRecord>,
    ) -> Result<PushReceipt, PushRefusal> {
        let campaign = self
            .store()
            .campaign(workspace, campaign_id)
            .await?
            .ok_or(PushRefusal::CampaignNotFound)?;
        if !campaign.accepts_pushes() {
            return Err(PushRefusal::NotAccepting(campaign.status));
        }
        let mut known: BTreeSet<PhoneNumber> = BTreeSet::new();
        if campaign.policy.skip_known_numbers {
            let numbers: Vec<_> = records.iter().map(|record| record.phone.clone()).collect();
            known.extend(self.store().known_numbers(workspace, campaign_id, &numbers).await?);
        }
        let now = self.now();
        let due_at = campaign.first_attempt_at(now);
        let mut transition = Transition::new(workspace);
        let mut results = Vec::with_capacity(records.len());
        for new in records {
            if phone::is_refused_destination(&new.phone) {
                results.push(Err(RecordRefusal::DestinationRefused));
                continue;
            }
            if campaign.policy.skip_known_numbers && !known.insert(new.phone.clone()) {
                results.push(Err(RecordRefusal::KnownNumber));
                continue;
            }
            let id = RecordId::new(self.next_id());
            transition = transition.with(Change::PutRecord(Box::new(Record {
                variables: new.variables,
                app_user_id: new.app_user_id,
                app_session_id: new.app_session_id,
                ..Record::taken(&campaign, id, new.phone, now, due_at)
            })));
            results.push(Ok(id));
        }
        let taken = transition.changes.len();
        if taken > 0 {
            self.commit(transition).await.map_err(|error| match error {
                CommitError::Store(error) => PushRefusal::Store(error),
                other => PushRefusal::Store(StoreError(other.to_string())),
            })?;
        }
        metrics::counter!("carillon_records_pushed_total").increment(u64::try_from(taken).unwrap_or(u64::MAX));
        self.pass(Failpoint::PushCommitted).await;
        self.inner.wake_runner.notify_one();
        Ok(PushReceipt { results })
    }

    /// The gates that hold a record back now.
    pub async fn why_not_yet(&self, record: &Record) -> Result<Vec<Held>, StoreError> {
        let Some(campaign) = self.store().campaign(record.workspace_id, record.campaign_id).await? else {
            return Ok(Vec::new());
        };
        let now = self.now();
        let lines = self.lines_in_use().await?;
        let loaded = self
            .load_view(&campaign, std::slice::from_ref(record), &lines, now)
            .await?;
        Ok(why_not_yet(&loaded.view(&campaign), record, now))
    }

    /// Wakes the runner, as `Effect::WakeRunner` does.
    pub(crate) fn wake(&self, effect: Effect) {
        match effect {
            Effect::WakeRunner => self.inner.wake_runner.notify_one(),
            _ => self.inner.wake_webhooks.notify_one(),
        }
    }
}
