//! What a campaign will probably do.

use crate::App;
use carillon_domain::campaign::forecast::{AssumptionProblem, Assumptions, Forecast, ForecastInput, forecast};
use carillon_domain::campaign::{Campaign, LifecycleRefusal};
use carillon_domain::ids::{CampaignId, RecordId, WorkspaceId};
use carillon_domain::phone::PhoneNumber;
use carillon_domain::record::{Record, RecordStatus};
use carillon_domain::time::UnixMicros;
use carillon_interfaces::store::{Slice, StoreError};
use uuid::Uuid;

/// Most records that are forecast at once.
const RECORDS_MAX: usize = 200_000;
/// Most records that are imagined: six digits tell them apart.
const IMAGINED_MAX: u32 = 100_000;

/// Why there is no forecast.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ForecastRefusal {
    /// There is no such campaign in the workspace.
    #[error("campaign not found")]
    NotFound,
    /// It dials nobody any more.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleRefusal),
    /// The assumptions cannot be.
    #[error(transparent)]
    Assumptions(#[from] AssumptionProblem),
    /// More records than one answer is made for.
    #[error("the campaign has more than {RECORDS_MAX} open records: too many to forecast at once")]
    TooManyRecords,
    /// More imagined records than can be told apart.
    #[error("at most {IMAGINED_MAX} records can be imagined")]
    TooManyImagined,
    /// Imagined records get numbers like the one that is shown, and there is none.
    #[error(
        "imagined records get numbers like the caller id, and there is none: give the trunk, agent or campaign one"
    )]
    NoCallerId,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl App {
    /// What a campaign will probably do with its records and `imagined` more, by its own rules on a virtual clock. Nothing
    /// is stored or dialled.
    pub async fn forecast(
        &self,
        workspace: WorkspaceId,
        id: CampaignId,
        assumptions: Assumptions,
        imagined: u32,
    ) -> Result<(Campaign, Forecast), ForecastRefusal> {
        assumptions.check()?;
        if imagined > IMAGINED_MAX {
            return Err(ForecastRefusal::TooManyImagined);
        }
        let campaign = self
            .store()
            .campaign(workspace, id)
            .await?
            .ok_or(ForecastRefusal::NotFound)?;
        let now = self.now();
        let mut records = self.open_records(&campaign).await?;
        // The campaign is forecast as if it were alone: calls of others are not foreseen.
        let loaded = self.load_view(&campaign, &records, &Default::default(), now).await?;
        if imagined > 0 {
            let like = loaded.view(&campaign).caller_id().ok_or(ForecastRefusal::NoCallerId)?;
            records.extend((0..imagined).filter_map(|nth| imagined_record(&campaign, &like, nth, now)));
        }
        let forecast_of = campaign.clone();
        let result = tokio::task::spawn_blocking(move || {
            forecast(ForecastInput {
                campaign: &forecast_of,
                agent: loaded.agent.as_ref(),
                trunk: loaded.trunk.as_ref(),
                workspace_max: loaded.view(&forecast_of).workspace_max,
                records,
                do_not_call: &loaded.do_not_call,
                calls_today: &loaded.calls_today,
                now,
                assumptions,
            })
        });
        let forecast = result
            .await
            .map_err(|error| StoreError(format!("the forecast broke off: {error}")))??;
        Ok((campaign, forecast))
    }

    /// Records that are not final, without what a forecast has no use for.
    async fn open_records(&self, campaign: &Campaign) -> Result<Vec<Record>, ForecastRefusal> {
        let (workspace, id) = (campaign.workspace_id, campaign.id);
        let limit = u32::try_from(RECORDS_MAX).unwrap_or(u32::MAX).saturating_add(1);
        let mut records = self
            .store()
            .due_records(workspace, id, UnixMicros(i64::MAX), limit)
            .await?;
        let on_the_phone = Slice { offset: 0, limit };
        let in_progress = self
            .store()
            .records(workspace, id, Some(RecordStatus::InProgress), on_the_phone)
            .await?;
        records.extend(in_progress.items);
        if records.len() > RECORDS_MAX {
            return Err(ForecastRefusal::TooManyRecords);
        }
        for record in &mut records {
            record.variables.clear();
        }
        Ok(records)
    }
}

/// A record that might be pushed now, with a number of its own like the one that is shown.
fn imagined_record(campaign: &Campaign, like: &PhoneNumber, nth: u32, now: UnixMicros) -> Option<Record> {
    let stem = like.as_str().get(..like.as_str().len().checked_sub(6)?)?;
    let id = RecordId::new(Uuid::from_u128(u128::from(nth) + 1));
    let phone = PhoneNumber::from_e164_shape(&format!("{stem}{nth:06}"))?;
    Some(Record::taken(campaign, id, phone, now, campaign.first_attempt_at(now)))
}
