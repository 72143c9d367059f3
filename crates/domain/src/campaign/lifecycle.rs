//! What people and dates do to a campaign.

use super::{Campaign, CampaignStatus};
use crate::time::UnixMicros;

/// What happens to a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CampaignInput {
    /// Start it, now or at its `starts_at`.
    Launch,
    /// Stop dialling for now. Live calls go on.
    Pause,
    /// Dial again.
    Resume,
    /// End it as done. Live calls go on.
    Complete,
    /// Call it off. Live calls go on.
    Cancel,
    /// Time passes.
    Tick,
}

impl CampaignInput {
    const fn verb(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Complete => "complete",
            Self::Cancel => "cancel",
            Self::Tick => "tick",
        }
    }
}

/// Why an input is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LifecycleRefusal {
    /// It does not fit the status.
    #[error("Cannot {} a campaign that is {}.", .input.verb(), .status.as_str())]
    WrongStatus {
        /// What was asked.
        input: CampaignInput,
        /// The status.
        status: CampaignStatus,
    },
    /// Its end date is past.
    #[error("The campaign's end date is past; give it a later one first.")]
    EndDatePast,
}

impl Campaign {
    /// The campaign after `input`; equal to this one when nothing changes.
    pub fn handle(&self, now: UnixMicros, input: CampaignInput) -> Result<Self, LifecycleRefusal> {
        use CampaignInput as I;
        use CampaignStatus as S;
        let past_end = self.policy.ends_at.is_some_and(|end| now >= end);
        let status = match (self.status, input) {
            (S::Draft | S::Paused | S::Scheduled, I::Launch | I::Resume) if past_end => {
                return Err(LifecycleRefusal::EndDatePast);
            }
            (S::Draft, I::Launch) => self.status_once_launched(now),
            (S::Scheduled, I::Launch) => S::Running,
            (S::Running | S::Scheduled, I::Pause) => S::Paused,
            (S::Paused, I::Resume | I::Launch) => self.status_once_launched(now),
            (S::Scheduled | S::Running | S::Paused, I::Complete) => S::Completed,
            (S::Draft | S::Scheduled | S::Running | S::Paused, I::Cancel) => S::Cancelled,
            (S::Scheduled | S::Running | S::Paused, I::Tick) if past_end => S::Completed,
            (S::Scheduled, I::Tick) => self.status_once_launched(now),
            (unchanged, I::Tick) => unchanged,
            (S::Running, I::Resume | I::Launch) => S::Running,
            (S::Paused, I::Pause) => S::Paused,
            (S::Cancelled, I::Cancel) => S::Cancelled,
            (S::Completed, I::Complete) => S::Completed,
            (
                S::Draft | S::Scheduled | S::Completed | S::Cancelled,
                I::Launch | I::Pause | I::Resume | I::Complete | I::Cancel,
            ) => {
                return Err(LifecycleRefusal::WrongStatus {
                    input,
                    status: self.status,
                });
            }
        };
        let mut next = self.clone();
        if status != self.status {
            next.status = status;
            next.updated_at = now;
        }
        Ok(next)
    }

    /// When [`CampaignInput::Tick`] will change it, if its dates do.
    pub fn next_tick_at(&self) -> Option<UnixMicros> {
        match self.status {
            CampaignStatus::Scheduled => [self.policy.starts_at, self.policy.ends_at].into_iter().flatten().min(),
            CampaignStatus::Running | CampaignStatus::Paused => self.policy.ends_at,
            CampaignStatus::Draft | CampaignStatus::Completed | CampaignStatus::Cancelled => None,
        }
    }

    fn status_once_launched(&self, now: UnixMicros) -> CampaignStatus {
        if self.policy.starts_at.is_some_and(|start| start > now) {
            CampaignStatus::Scheduled
        } else {
            CampaignStatus::Running
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::tests::campaign;

    #[test]
    fn every_status_answers_every_input() {
        use CampaignInput as I;
        use CampaignStatus as S;
        const NO: Option<S> = None;
        let table = [
            //               Launch             Pause            Resume            Complete            Cancel              Tick
            (
                S::Draft,
                [Some(S::Running), NO, NO, NO, Some(S::Cancelled), Some(S::Draft)],
            ),
            (
                S::Scheduled,
                [
                    Some(S::Running),
                    Some(S::Paused),
                    NO,
                    Some(S::Completed),
                    Some(S::Cancelled),
                    Some(S::Running),
                ],
            ),
            (
                S::Running,
                [
                    Some(S::Running),
                    Some(S::Paused),
                    Some(S::Running),
                    Some(S::Completed),
                    Some(S::Cancelled),
                    Some(S::Running),
                ],
            ),
            (
                S::Paused,
                [
                    Some(S::Running),
                    Some(S::Paused),
                    Some(S::Running),
                    Some(S::Completed),
                    Some(S::Cancelled),
                    Some(S::Paused),
                ],
            ),
            (S::Completed, [NO, NO, NO, Some(S::Completed), NO, Some(S::Completed)]),
            (S::Cancelled, [NO, NO, NO, NO, Some(S::Cancelled), Some(S::Cancelled)]),
        ];
        let inputs = [I::Launch, I::Pause, I::Resume, I::Complete, I::Cancel, I::Tick];
        for (status, row) in table {
            let before = crate::campaign::Campaign { status, ..campaign() };
            for (input, expected) in inputs.into_iter().zip(row) {
                let after = before.handle(UnixMicros(1_000), input).ok().map(|after| after.status);
                assert_eq!(after, expected, "{status:?} {input:?}");
            }
        }
    }

    #[test]
    fn dates_start_and_end_it() {
        let mut scheduled = campaign();
        scheduled.status = CampaignStatus::Draft;
        scheduled.policy.starts_at = Some(UnixMicros(100));
        scheduled.policy.ends_at = Some(UnixMicros(200));
        let launched = scheduled.handle(UnixMicros(50), CampaignInput::Launch).unwrap();
        assert_eq!(
            (launched.status, launched.next_tick_at()),
            (CampaignStatus::Scheduled, Some(UnixMicros(100)))
        );
        assert_eq!(
            launched.handle(UnixMicros(99), CampaignInput::Tick).unwrap().status,
            CampaignStatus::Scheduled
        );
        let running = launched.handle(UnixMicros(100), CampaignInput::Tick).unwrap();
        assert_eq!(
            (running.status, running.next_tick_at()),
            (CampaignStatus::Running, Some(UnixMicros(200)))
        );
        assert_eq!(
            running.handle(UnixMicros(200), CampaignInput::Tick).unwrap().status,
            CampaignStatus::Completed
        );
        let late = scheduled.handle(UnixMicros(200), CampaignInput::Launch);
        assert_eq!(late, Err(LifecycleRefusal::EndDatePast));
    }
}
