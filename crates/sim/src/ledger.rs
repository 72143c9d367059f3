//! What was committed, noted as it was written: the checkers' own memory of what must be true.

use carillon_domain::call::{Call, CallState, Outcome};
use carillon_domain::campaign::{CampaignPolicy, CampaignStatus};
use carillon_domain::ids::{CallId, CampaignId, DeliveryId, EndpointId, RecordId, TrunkId, WorkspaceId};
use carillon_domain::phone::PhoneNumber;
use carillon_domain::record::{AttemptKind, Record, RecordStatus};
use carillon_domain::script::ScriptResult;
use carillon_domain::time::UnixMicros;
use carillon_domain::transition::{Change, Removal, Transition};
use carillon_domain::trunk::Trunk;
use carillon_domain::webhook::{Delivery, Endpoint};
use carillon_domain::workspace::Workspace;
use std::collections::{BTreeMap, BTreeSet};

/// A call as it was last written.
#[derive(Clone, Debug)]
pub(crate) struct SeenCall {
    pub(crate) id: CallId,
    pub(crate) workspace_id: WorkspaceId,
    pub(crate) campaign_id: Option<CampaignId>,
    pub(crate) record_id: Option<RecordId>,
    pub(crate) attempt: u32,
    pub(crate) kind: Option<AttemptKind>,
    pub(crate) to: PhoneNumber,
    pub(crate) trunk_id: Option<TrunkId>,
    pub(crate) state: CallState,
    pub(crate) deadline: Option<UnixMicros>,
    pub(crate) dialing_at: Option<UnixMicros>,
    pub(crate) answered: bool,
    pub(crate) ended_at: Option<UnixMicros>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) retry_after_s: u32,
    pub(crate) unknown_settled_by: Option<String>,
    pub(crate) result: ScriptResult,
    /// Times at which an INVITE left for it.
    pub(crate) invited_at: Option<UnixMicros>,
}

impl SeenCall {
    fn of(call: &Call) -> Self {
        let kind = match &call.origin {
            carillon_domain::call::Origin::Campaign { attempt_kind, .. } => Some(*attempt_kind),
            carillon_domain::call::Origin::Single { .. } => None,
        };
        Self {
            id: call.id,
            workspace_id: call.workspace_id,
            campaign_id: call.campaign_id(),
            record_id: call.record_id(),
            attempt: call.attempt().unwrap_or(0),
            kind,
            to: call.to.clone(),
            trunk_id: call.trunk_id,
            state: call.state,
            deadline: call.deadline,
            dialing_at: call.dialing_at,
            answered: call.answered_at.is_some(),
            ended_at: call.ended_at,
            outcome: call.outcome(),
            retry_after_s: call.end.as_ref().and_then(|end| end.retry_after_s).unwrap_or(0),
            unknown_settled_by: call.unknown_settled_by.clone(),
            result: call.result.clone(),
            invited_at: None,
        }
    }
}

/// A record as it was last written.
#[derive(Clone, Debug)]
pub(crate) struct SeenRecord {
    pub(crate) status: RecordStatus,
    /// Its call, while it is in progress.
    pub(crate) call_id: Option<CallId>,
    /// Calls of its attempts, as the record lists them, with their outcomes.
    pub(crate) attempts: Vec<(CallId, Option<Outcome>)>,
}

/// A campaign: what was written of it, and what its operator asked for.
#[derive(Clone, Debug)]
pub(crate) struct SeenCampaign {
    pub(crate) workspace_id: WorkspaceId,
    /// Status by time.
    pub(crate) statuses: Vec<(UnixMicros, CampaignStatus)>,
    /// Rules by the time from which they may be in force, and the time until which they may be (none for the newest).
    pub(crate) policies: Vec<(UnixMicros, Option<UnixMicros>, CampaignPolicy)>,
    /// How many records are in each status, by the writes.
    pub(crate) counts: BTreeMap<RecordStatus, u64>,
    pub(crate) settled: bool,
}

impl SeenCampaign {
    pub(crate) fn status(&self) -> CampaignStatus {
        self.statuses
            .last()
            .map_or(CampaignStatus::Draft, |(_, status)| *status)
    }

    /// Rules that may be in force at some time from `from` to `to`.
    pub(crate) fn policies_between(&self, from: UnixMicros, to: UnixMicros) -> impl Iterator<Item = &CampaignPolicy> {
        self.policies
            .iter()
            .filter(move |(since, until, _)| *since <= to && until.is_none_or(|until| until >= from))
            .map(|(_, _, policy)| policy)
    }
}

/// Everything that was committed, as far as a checker asks.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) calls: BTreeMap<CallId, SeenCall>,
    /// Calls that are not closed.
    pub(crate) open_calls: BTreeSet<CallId>,
    pub(crate) attempts: BTreeMap<(RecordId, u32), BTreeSet<CallId>>,
    pub(crate) records: BTreeMap<RecordId, SeenRecord>,
    pub(crate) in_progress: BTreeSet<RecordId>,
    pub(crate) campaigns: BTreeMap<CampaignId, SeenCampaign>,
    pub(crate) workspaces: BTreeMap<WorkspaceId, Workspace>,
    pub(crate) trunks: BTreeMap<TrunkId, Trunk>,
    pub(crate) endpoints: BTreeMap<EndpointId, Endpoint>,
    pub(crate) do_not_call: BTreeMap<(WorkspaceId, PhoneNumber), UnixMicros>,
    pub(crate) ever_do_not_call: BTreeSet<(WorkspaceId, PhoneNumber)>,
    pub(crate) deliveries: BTreeMap<DeliveryId, Delivery>,
    /// Deliveries of each call: endpoint and event.
    pub(crate) deliveries_of: BTreeMap<CallId, Vec<(EndpointId, String)>>,
    /// Decisions to dial a number for a campaign, in the order in which they were written.
    pub(crate) dials: BTreeMap<(WorkspaceId, PhoneNumber), Vec<(UnixMicros, CallId)>>,
}

impl Ledger {
    pub(crate) fn call(&self, id: CallId) -> Option<&SeenCall> {
        self.calls.get(&id)
    }

    /// The calls of a record before this attempt, newest first.
    pub(crate) fn attempts_before(&self, record: RecordId, attempt: u32) -> impl Iterator<Item = &SeenCall> {
        self.attempts
            .range((record, 0)..(record, attempt))
            .rev()
            .flat_map(|(_, calls)| calls)
            .filter_map(|call| self.calls.get(call))
    }

    /// Notes a transition that was written at `now`.
    pub(crate) fn wrote(&mut self, transition: &Transition, now: UnixMicros) {
        for change in &transition.changes {
            match change {
                Change::PutCall(call) => self.wrote_call(call),
                Change::PutRecord(record) => self.wrote_record(record),
                Change::PutCampaign(campaign) => {
                    let seen = self.campaigns.entry(campaign.id).or_insert_with(|| SeenCampaign {
                        workspace_id: campaign.workspace_id,
                        statuses: Vec::new(),
                        policies: vec![(now, None, campaign.policy.clone())],
                        counts: BTreeMap::new(),
                        settled: false,
                    });
                    seen.settled = campaign.settled;
                    if seen.statuses.is_empty() || seen.status() != campaign.status {
                        seen.statuses.push((now, campaign.status));
                    }
                }
                Change::PutWorkspace(workspace) => drop(self.workspaces.insert(workspace.id, (**workspace).clone())),
                Change::PutTrunk(trunk) => drop(self.trunks.insert(trunk.id, (**trunk).clone())),
                Change::PutEndpoint(endpoint) => drop(self.endpoints.insert(endpoint.id, (**endpoint).clone())),
                Change::PutDoNotCall(entry) => {
                    let key = (entry.workspace_id, entry.phone.clone());
                    self.ever_do_not_call.insert(key.clone());
                    self.do_not_call.entry(key).or_insert(now);
                }
                Change::RemoveDoNotCall(phone) => {
                    self.do_not_call.remove(&(transition.workspace_id, phone.clone()));
                }
                Change::PutDelivery(delivery) => {
                    if delivery.version == 0 {
                        let about = (delivery.endpoint_id, delivery.event.clone());
                        self.deliveries_of.entry(delivery.call_id).or_default().push(about);
                    }
                    self.deliveries.insert(delivery.id, (**delivery).clone());
                }
                Change::Remove { what, .. } => match what {
                    Removal::Trunk(id) => drop(self.trunks.remove(id)),
                    Removal::Endpoint(id) => drop(self.endpoints.remove(id)),
                    Removal::Agent(_) | Removal::Clip(_) => {}
                },
                Change::PutAgent(_)
                | Change::PutClip(_)
                | Change::AddDeliveryAttempt(_)
                | Change::AddToCounter { .. } => {}
            }
        }
    }

    fn wrote_call(&mut self, call: &Call) {
        let mut seen = SeenCall::of(call);
        if let Some(record) = seen.record_id {
            self.attempts.entry((record, seen.attempt)).or_default().insert(call.id);
        }
        if call.state == CallState::Closed {
            self.open_calls.remove(&call.id);
        } else {
            self.open_calls.insert(call.id);
        }
        if let Some(at) = call
            .dialing_at
            .filter(|_| call.state == CallState::Dialing && seen.campaign_id.is_some())
        {
            self.dials
                .entry((call.workspace_id, call.to.clone()))
                .or_default()
                .push((at, call.id));
        }
        seen.invited_at = self.calls.get(&call.id).and_then(|old| old.invited_at);
        self.calls.insert(call.id, seen);
    }

    fn wrote_record(&mut self, record: &Record) {
        let status = record.status();
        let call_id = match record.state {
            carillon_domain::record::RecordState::InProgress { call_id } => Some(call_id),
            _ => None,
        };
        if call_id.is_some() {
            self.in_progress.insert(record.id);
        } else {
            self.in_progress.remove(&record.id);
        }
        let seen = SeenRecord {
            status,
            call_id,
            attempts: record
                .attempts
                .iter()
                .map(|attempt| (attempt.call_id, attempt.outcome))
                .collect(),
        };
        let old = self.records.insert(record.id, seen);
        if let Some(campaign) = self.campaigns.get_mut(&record.campaign_id) {
            *campaign.counts.entry(status).or_default() += 1;
            if let Some(count) = old.and_then(|old| campaign.counts.get_mut(&old.status)) {
                *count -= 1;
            }
        }
    }
}
