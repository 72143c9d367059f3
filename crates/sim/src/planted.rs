//! The planted bugs that a store can have: reads that lie and writes that are changed on their way.

use crate::Bug;
use crate::far_end::FakeCarrier;
use crate::world::World;
use bytes::Bytes;
use carillon_domain::call::{CallState, DialogFacts, Outcome};
use carillon_domain::campaign::calling_window::{DailyHours, ZoneName};
use carillon_domain::campaign::{Campaign, CampaignStatus};
use carillon_domain::ids::CampaignId;
use carillon_domain::record::{AttemptKind, Record, RecordState, Waiting};
use carillon_domain::time::UnixMicros;
use carillon_domain::transition::{Change, Transition};
use carillon_domain::trunk::Trunk;
use carillon_domain::webhook::Delivery;
use carillon_interfaces::carrier::OriginateRequest;
use carillon_interfaces::store::CommitError;
use carillon_store::memory::Faults;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// A bug and what it remembers.
#[derive(Default)]
pub(crate) struct Planted {
    bug: Option<Bug>,
    /// Due records as they were read some time ago.
    stale_due: Mutex<BTreeMap<CampaignId, (UnixMicros, Vec<Record>)>>,
}

impl Planted {
    pub(crate) fn new(world: &World) -> Self {
        let faults = Faults {
            drop_unique_attempt: world.has(Bug::DroppedUnique),
            ignore_versions: world.has(Bug::DroppedUnique) || world.has(Bug::VersionsIgnored),
        };
        world.store.set_faults(faults);
        Self {
            bug: world.bug,
            stale_due: Mutex::default(),
        }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub(crate) fn read_trunk(&self, trunk: Trunk) -> Trunk {
        match self.bug {
            Some(Bug::TrunkLinesIgnored) => Trunk { lines: 1_000, ..trunk },
            Some(Bug::RateIgnored) => Trunk {
                calls_per_second: 1_000,
                ..trunk
            },
            _ => trunk,
        }
    }

    pub(crate) fn read_campaign(&self, world: &World, mut campaign: Campaign) -> Campaign {
        match self.bug {
            Some(Bug::WindowIgnored) => campaign.policy.window.hours = DailyHours::ALWAYS,
            Some(Bug::ClockChangeIgnored) => {
                if let Some(zone) = standard_time(campaign.policy.window.zone.as_str()) {
                    campaign.policy.window.zone = zone;
                }
            }
            Some(Bug::FirstDateIgnored) => campaign.policy.first_attempt_date = None,
            Some(Bug::PauseIgnored) if campaign.status == CampaignStatus::Paused => {
                campaign.status = CampaignStatus::Running
            }
            Some(Bug::EndDateIgnored) => campaign.policy.ends_at = None,
            Some(Bug::QuietHoursIgnored) => campaign.policy.quiet_hours = None,
            Some(Bug::MaxAttemptsIgnored) => campaign.policy.retry.max_attempts = 100,
            Some(Bug::CapIgnored) => campaign.policy.max_calls_per_number_per_day = None,
            Some(Bug::UnknownRetried) => {
                let rule = carillon_domain::campaign::RetryRule {
                    intervals_s: vec![60],
                    max_retries: None,
                };
                let unknown = carillon_domain::call::RetryCondition::Unknown;
                campaign.policy.retry.rules.entry(unknown).or_insert(rule);
            }
            _ => {}
        }
        let _ = world;
        campaign
    }

    pub(crate) fn read_due(&self, campaign: CampaignId, due: Vec<Record>, now: UnixMicros) -> Vec<Record> {
        if !self.has(Bug::DroppedUnique) || now == UnixMicros(i64::MAX) {
            return due;
        }
        let mut stale = self.stale_due.lock().unwrap_or_else(PoisonError::into_inner);
        match stale.get(&campaign) {
            Some((read_at, old)) if now.since(*read_at) < Duration::from_secs(3) => old.clone(),
            _ => {
                stale.insert(campaign, (now, due.clone()));
                due
            }
        }
    }

    /// A due delivery as it is read; none: it is overlooked.
    pub(crate) fn read_delivery(&self, world: &World, mut delivery: Delivery) -> Option<Delivery> {
        match self.bug {
            Some(Bug::BodyRenderedAgain) => {
                delivery.body = format!("{{\"rendering\":{}}}", world.receivers.next_rendering());
            }
            Some(Bug::WebhookGivenUp) if delivery.attempts >= 3 => return None,
            _ => {}
        }
        Some(delivery)
    }

    /// Changes a transition on its way to the disk. `Some`: it does not get there, and this is what is said of it.
    pub(crate) fn before_write(
        &self,
        world: &Arc<World>,
        transition: &mut Transition,
    ) -> Option<Result<(), CommitError>> {
        self.undo_lies(world, transition);
        let closes = transition
            .changes
            .iter()
            .any(|change| matches!(change, Change::PutCall(call) if call.state == CallState::Closed));
        let place = transition.changes.iter().find_map(|change| match change {
            Change::PutCall(call) => Some(call.id.uuid().as_u128() >> 32),
            _ => None,
        });
        let some = place.is_some_and(|place| place % 8 == 0);
        match self.bug? {
            Bug::SendBeforeCommit if transition.changes.iter().any(is_dial) => {
                let (world, transition) = (Arc::clone(world), transition.clone());
                tokio::spawn(async move {
                    let Some(life) = world.life() else { return };
                    let crashed = tokio::select! {
                        biased;
                        () = life.over() => true,
                        () = tokio::time::sleep(Duration::from_millis(40)) => false,
                    };
                    if !crashed {
                        // A late write that fails is the bug.
                        let _ = crate::disk::write_now(&world, transition).await;
                    }
                });
                return Some(Ok(()));
            }
            Bug::SlotLeaked if some && closes_or_posts(transition) => return Some(Ok(())),
            Bug::PushLost if transition.changes.len() > 3 && transition.changes.iter().all(is_new_record) => {
                return Some(Ok(()));
            }
            Bug::WebhookRowLost if closes && some => {
                transition
                    .changes
                    .retain(|change| !matches!(change, Change::PutDelivery(_)));
            }
            Bug::RecordForgotten if closes && some => {
                transition
                    .changes
                    .retain(|change| !matches!(change, Change::PutRecord(_)));
            }
            Bug::DoNotCallLost if closes => transition
                .changes
                .retain(|change| !matches!(change, Change::PutDoNotCall(_))),
            Bug::CapIgnored => {
                transition
                    .changes
                    .retain(|change| !matches!(change, Change::AddToCounter { .. }));
            }
            Bug::UnknownUnrecorded | Bug::OutcomeWrong | Bug::RetryTooEarly => {
                transition
                    .changes
                    .iter_mut()
                    .for_each(|change| self.change(change, world.now()));
            }
            _ => {}
        }
        None
    }

    fn change(&self, change: &mut Change, now: UnixMicros) {
        match (self.bug, change) {
            (Some(Bug::UnknownUnrecorded), Change::PutCall(call)) => call.unknown_settled_by = None,
            (Some(Bug::OutcomeWrong), Change::PutCall(call)) => {
                if let Some(end) = call.end.as_mut().filter(|end| end.outcome == Outcome::Busy) {
                    end.outcome = Outcome::NoAnswer;
                }
            }
            (Some(Bug::RetryTooEarly), Change::PutRecord(record)) => {
                if let RecordState::Waiting(Waiting {
                    next,
                    scheduled_at,
                    due_at,
                    ..
                }) = &mut record.state
                    && *next != AttemptKind::First
                {
                    (*scheduled_at, *due_at) = (now, now);
                }
            }
            _ => {}
        }
    }

    /// What a read lied about is not written back.
    fn undo_lies(&self, world: &World, transition: &mut Transition) {
        if self.bug.is_none() {
            return;
        }
        let ledger = world.ledger();
        for change in &mut transition.changes {
            if let Change::PutCampaign(campaign) = change
                && let Some((_, _, policy)) = ledger.campaigns.get(&campaign.id).and_then(|seen| seen.policies.last())
            {
                campaign.policy = policy.clone();
            }
        }
    }
}

fn is_dial(change: &Change) -> bool {
    matches!(change, Change::PutCall(call) if call.state == CallState::Dialing)
}

fn is_new_record(change: &Change) -> bool {
    matches!(change, Change::PutRecord(record) if record.version == 0)
}

fn closes_or_posts(transition: &Transition) -> bool {
    let ended = |change: &Change| matches!(change, Change::PutCall(call) if !call.state.is_live() && call.answered_at.is_some());
    transition.changes.iter().any(ended)
}

/// The zone as it is in winter.
fn standard_time(zone: &str) -> Option<ZoneName> {
    let name = match zone {
        "Europe/London" => "Etc/GMT-1",
        "Europe/Berlin" => "Etc/GMT-2",
        "America/New_York" => "Etc/GMT+4",
        _ => return None,
    };
    ZoneName::parse(name).ok()
}

/// The planted bug of a restart: the leg is dialled again.
pub(crate) fn on_end_orphan(world: &World, carrier: &FakeCarrier, trunk: &Arc<Trunk>, dialog: &DialogFacts) {
    if !world.has(Bug::RecoveredRedialled) || dialog.answered {
        return;
    }
    let call_id = {
        let legs = world.legs();
        match legs.by_sip_call_id.get(&dialog.identity.sip_call_id) {
            Some(leg) => leg.call_id,
            None => return,
        }
    };
    let request = OriginateRequest {
        call_id,
        identity: dialog.identity.clone(),
        trunk: Arc::clone(trunk),
        to_user: dialog
            .invite_uri
            .trim_start_matches("sip:")
            .split('@')
            .next()
            .unwrap_or_default()
            .to_owned(),
        from_user: String::new(),
        offer_sdp: Bytes::new(),
        ring_timeout: Duration::from_secs(30),
    };
    let sip_call_id = format!("again-{}", dialog.identity.sip_call_id);
    crate::checkers::on_invite(world, &request, &sip_call_id);
    let (events, _) = mpsc::channel(4);
    let rings_at = Duration::from_millis(100);
    carrier.invite(
        &request,
        &sip_call_id,
        crate::crowd::Reaction::RingsOut {
            rings_at,
            crosses: false,
        },
        events,
    );
}
