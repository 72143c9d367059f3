//! The commit that closes a call: call, record, do-not-call list and webhooks together.

use crate::{App, committed};
use carillon_domain::call::{Call, DialogFacts, Outcome, RetryCondition, SipIdentity};
use carillon_domain::campaign::{Campaign, after_call};
use carillon_domain::do_not_call::{DoNotCallEntry, DoNotCallScope};
use carillon_domain::ids::DeliveryId;
use carillon_domain::record::RecordState;
use carillon_domain::time::UnixMicros;
use carillon_domain::transition::{Change, Effect, Transition};
use carillon_domain::trunk::{Transport, Trunk};
use carillon_domain::webhook::{Delivery, DeliveryState};
use carillon_interfaces::event_renderer::{Fact, RenderContext};
use carillon_interfaces::store::{CommitError, StoreError};

impl App {
    /// Writes a closed call with everything that follows from it, or nothing. Returns the call as stored. Wakes those who
    /// have something to do now.
    pub(crate) async fn close(&self, mut call: Call) -> (Call, Result<(), CommitError>) {
        let now = self.now();
        match self.closing_transition(&mut call, now).await {
            Ok(transition) => {
                let follows = Follows::of(&transition);
                let result = self.commit(transition).await;
                if result.is_ok() {
                    count_outcome(&call);
                    self.wake_after_close(follows, &call);
                }
                (committed(call), result)
            }
            Err(error) => (call, Err(error.into())),
        }
    }

    fn wake_after_close(&self, follows: Follows, call: &Call) {
        if follows.deliveries {
            self.perform(Effect::WakeWebhooks, call);
        }
        self.line_freed();
        if let Some(due_at) = follows.record_due_at
            && self.inner.runner_plan.record_waits(due_at)
        {
            self.perform(Effect::WakeRunner, call);
        }
    }

    async fn closing_transition(&self, call: &mut Call, now: UnixMicros) -> Result<Transition, StoreError> {
        let store = self.store();
        let mut transition = Transition::new(call.workspace_id);
        if let (Some(campaign_id), Some(record_id)) = (call.campaign_id(), call.record_id()) {
            let campaign = store.campaign(call.workspace_id, campaign_id).await?;
            let record = store.record(call.workspace_id, record_id).await?;
            if let (Some(campaign), Some(record)) = (campaign, record) {
                settle_unknown(call, &campaign);
                if record.state == (RecordState::InProgress { call_id: call.id }) {
                    let record = after_call(&record, &campaign, call, now);
                    transition = transition.with(Change::PutRecord(Box::new(record)));
                }
            }
        }
        if call.result.do_not_call {
            transition = transition.with(Change::PutDoNotCall(Box::new(DoNotCallEntry {
                workspace_id: call.workspace_id,
                phone: call.to.clone(),
                scope: DoNotCallScope::All,
                reason: "asked for on a call".to_owned(),
                added_at: now,
                call_id: Some(call.id),
            })));
        }
        for delivery in self.deliveries(call, now).await? {
            transition = transition.with(Change::PutDelivery(Box::new(delivery)));
        }
        Ok(transition.with(Change::PutCall(Box::new(call.clone()))))
    }

    async fn deliveries(&self, call: &Call, now: UnixMicros) -> Result<Vec<Delivery>, StoreError> {
        let store = self.store();
        let endpoints = store.endpoints(call.workspace_id).await?;
        if endpoints.is_empty() {
            return Ok(Vec::new());
        }
        let Some(workspace) = store.workspace(call.workspace_id).await? else {
            return Ok(Vec::new());
        };
        let context = RenderContext {
            workspace: &workspace,
            now,
        };
        let mut deliveries = Vec::new();
        for endpoint in endpoints {
            for event in self
                .inner
                .parts
                .renderer
                .render(endpoint.dialect, Fact::CallEnded(call), &context)
            {
                if !endpoint.wants(event.name, call.agent_id, call.campaign_id()) {
                    continue;
                }
                deliveries.push(Delivery {
                    workspace_id: call.workspace_id,
                    id: DeliveryId::new(self.next_id()),
                    endpoint_id: endpoint.id,
                    event: event.name.to_owned(),
                    call_id: call.id,
                    body: event.body,
                    state: DeliveryState::Pending { due_at: now },
                    attempts: 0,
                    round: 0,
                    created_at: now,
                    version: 0,
                });
            }
        }
        Ok(deliveries)
    }
}

/// For whom the end of a call is the beginning of something.
struct Follows {
    deliveries: bool,
    /// The record waits for its next attempt.
    record_due_at: Option<UnixMicros>,
}

impl Follows {
    fn of(transition: &Transition) -> Self {
        let is_delivery = |change: &Change| matches!(change, Change::PutDelivery(_));
        let due_at = |change: &Change| match change {
            Change::PutRecord(record) => record.due_at(),
            _ => None,
        };
        Self {
            deliveries: transition.changes.iter().any(is_delivery),
            record_due_at: transition.changes.iter().find_map(due_at),
        }
    }
}

/// An attempt of unknown fate is settled by the campaign's own rule, and the rule is written on the call.
fn settle_unknown(call: &mut Call, campaign: &Campaign) {
    if call.outcome() == Some(Outcome::Unknown) {
        let decision = match campaign.policy.retry.rules.get(&RetryCondition::Unknown) {
            Some(_) => "retried: the campaign has a retry rule for `unknown`",
            None => "not retried: the campaign has no retry rule for `unknown`",
        };
        call.unknown_settled_by = Some(decision.to_owned());
    }
}

/// What is known of a leg whose INVITE may have left, but to which no response was stored.
pub(crate) fn dialog_without_reply(call: &Call, trunk: &Trunk) -> DialogFacts {
    let host = trunk.domain.as_deref().unwrap_or(&trunk.host);
    let to = trunk.number_format.format(&call.to);
    let from = call
        .from
        .as_ref()
        .map(|from| trunk.number_format.format(from))
        .unwrap_or_default();
    // As the INVITE had it: CANCEL repeats the request URI (RFC 3261 section 9.1).
    let port = match (&trunk.domain, trunk.port) {
        (Some(_), _) | (None, 5060) => String::new(),
        (None, port) => format!(":{port}"),
    };
    let transport = match trunk.transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
    };
    let uri = format!("sip:{to}@{host}{port}{transport}");
    DialogFacts {
        identity: SipIdentity::of(call.id),
        invite_branch: None,
        invite_cseq: 1,
        invite_uri: uri.clone(),
        local_uri: format!("sip:{from}@{host}"),
        contact_uri: None,
        remote_uri: uri,
        remote_tag: None,
        remote_target: None,
        route_set: Vec::new(),
        peer: None,
        answered: false,
    }
}

fn count_outcome(call: &Call) {
    let outcome = call.outcome().map_or("none", Outcome::as_str);
    metrics::counter!("carillon_calls_total", "outcome" => outcome).increment(1);
}
