//! What is written, compared with what happened at the far end.

use crate::far_end::LegEnd;
use crate::ledger::{Ledger, SeenCall};
use crate::receivers::expected_events;
use crate::verdict::Checker;
use crate::world::World;
use carillon_domain::call::{Call, CallState, Outcome};
use carillon_domain::ids::EndpointId;
use carillon_domain::record::{Record, RecordStatus};
use carillon_domain::transition::{Change, Transition};
use std::collections::BTreeSet;

/// A transition was written.
pub(crate) fn on_write(world: &World, transition: &Transition) {
    let now = world.now();
    let mut ledger = world.ledger();
    ledger.wrote(transition, now);
    let calls = transition.changes.iter().filter_map(|change| match change {
        Change::PutCall(call) => Some(call),
        _ => None,
    });
    for call in calls {
        let outcome = call.outcome().map_or("-", Outcome::as_str);
        world.note(format_args!("call {} {} {outcome}", call.id, call.state.as_str()));
        if call.state == CallState::Closed {
            closed(world, &ledger, call);
        }
    }
    for change in &transition.changes {
        match change {
            Change::PutRecord(record) => {
                world.note(format_args!("record {} {}", record.id, record.status().as_str()));
                if record.status().is_final() {
                    ended(world, &ledger, record);
                }
            }
            Change::PutCampaign(campaign) => {
                world.note(format_args!("campaign {} {}", campaign.id, campaign.status.as_str()));
            }
            _ => {}
        }
    }
}

/// A call is closed: outcome, do-not-call list and webhooks in the same write.
fn closed(world: &World, ledger: &Ledger, call: &Call) {
    let fail = |checker, what: String| world.fail(checker, format!("{} is closed {what}", call.id));
    let Some(outcome) = call.outcome() else {
        return fail(Checker::History, "without an outcome".to_owned());
    };
    if let Err(what) = fits(world, call, outcome) {
        fail(Checker::History, what);
    }
    if outcome == Outcome::Unknown && call.record_id().is_some() && call.unknown_settled_by.is_none() {
        fail(
            Checker::UnknownSettled,
            "as unknown without a recorded decision".to_owned(),
        );
    }
    if call.result.do_not_call && !ledger.ever_do_not_call.contains(&(call.workspace_id, call.to.clone())) {
        fail(Checker::DoNotCall, "without the callee's wish on the list".to_owned());
    }
    if call.trunk_id.is_none() && outcome != Outcome::Cancelled {
        fail(Checker::History, "by the far end, and was never dialled".to_owned());
    }
    let written: Vec<(EndpointId, String)> = ledger.deliveries_of.get(&call.id).cloned().unwrap_or_default();
    let expected: BTreeSet<(EndpointId, String)> = ledger
        .endpoints
        .values()
        .filter(|endpoint| endpoint.workspace_id == call.workspace_id && endpoint.enabled)
        .flat_map(|endpoint| {
            expected_events(endpoint.dialect, call.answered_at.is_some())
                .iter()
                .filter(|event| endpoint.events.is_empty() || endpoint.events.iter().any(|wanted| wanted == *event))
                .filter(|_| {
                    endpoint
                        .campaign_id
                        .is_none_or(|wanted| call.campaign_id() == Some(wanted))
                })
                .map(|event| (endpoint.id, (*event).to_owned()))
        })
        .collect();
    if written.len() != expected.len() || written.into_iter().collect::<BTreeSet<_>>() != expected {
        let count = expected.len();
        fail(Checker::Webhooks, format!("without exactly its {count} webhooks"));
    }
}

/// Whether an outcome can be true of a leg.
fn fits(world: &World, call: &Call, outcome: Outcome) -> Result<(), String> {
    let legs = world.legs();
    let Some(leg) = legs.of_call(call.id) else {
        let possible = [
            Outcome::Refused,
            Outcome::NotConnected,
            Outcome::Unknown,
            Outcome::Cancelled,
        ];
        return if possible.contains(&outcome) {
            Ok(())
        } else {
            Err(format!("as {outcome:?}, and no INVITE left"))
        };
    };
    if call.answered_at.is_some() && !leg.answered && leg.end != Some(LegEnd::WeHungUp) {
        return Err("as answered, and nobody answered".to_owned());
    }
    let Some(end) = leg.end else {
        // Legs of earlier lives may outlast the call's deadline.
        return if leg.orphan {
            Ok(())
        } else {
            Err(format!("as {outcome:?} while its leg was up"))
        };
    };
    let ours = [
        Outcome::AgentHungUp,
        Outcome::MaxDuration,
        Outcome::Dropped,
        Outcome::InternalError,
        Outcome::NotConnected,
        Outcome::Cancelled,
        Outcome::Unknown,
        Outcome::Silence,
        Outcome::Voicemail,
    ];
    // What we ended for a reason of our own keeps our reason, whatever the far end says at the same time.
    let theirs: &[Outcome] = match end {
        LegEnd::Response(486 | 600) => &[Outcome::Busy],
        LegEnd::Response(603) => &[Outcome::Declined],
        LegEnd::Response(404 | 484 | 604) => &[Outcome::InvalidNumber],
        LegEnd::Response(480) => &[Outcome::NoAnswer, Outcome::NotConnected],
        LegEnd::Response(_) => &[Outcome::NotConnected],
        LegEnd::NoResponse => &[Outcome::Unknown],
        LegEnd::RangOut => &[Outcome::NoAnswer],
        LegEnd::CrossedCancel => &[Outcome::NoAnswer, Outcome::NotConnected],
        LegEnd::TheyHungUp => &[Outcome::CalleeHungUp],
        LegEnd::WeHungUp | LegEnd::Orphaned => &[],
    };
    // What the far end said last was not stored when the process died.
    let outlived = leg.orphan || world.lives() > leg.life;
    let settled_without_it = outlived && [Outcome::Unknown, Outcome::InternalError].contains(&outcome);
    let by_us = match end {
        LegEnd::WeHungUp | LegEnd::Orphaned | LegEnd::TheyHungUp => ours.contains(&outcome),
        // Our own cancellation crossed a final response.
        _ => outcome == Outcome::Cancelled,
    };
    if theirs.contains(&outcome) || by_us || settled_without_it {
        Ok(())
    } else {
        Err(format!("as {outcome:?}, and its leg ended by {end:?}"))
    }
}

/// A record has ended: its status follows from its attempts.
fn ended(world: &World, ledger: &Ledger, record: &Record) {
    let fail = |what: &str| world.fail(Checker::History, format!("record {} ended {what}", record.id));
    let calls: Vec<&SeenCall> = ledger.attempts_before(record.id, u32::MAX).collect();
    if calls.iter().any(|call| call.state != CallState::Closed) {
        fail("while a call for it was open");
    }
    // A machine is nobody, and so is a line that picked up and could not be heard.
    let nobody = [Some(Outcome::Voicemail), Some(Outcome::NotConnected)];
    let reached = calls
        .iter()
        .any(|call| call.answered && !nobody.contains(&call.outcome));
    match record.status() {
        RecordStatus::Completed if !reached => fail("as completed, and nobody was reached"),
        RecordStatus::Failed if reached => fail("as failed, and somebody was reached"),
        RecordStatus::Dnc
            if !ledger
                .ever_do_not_call
                .contains(&(record.workspace_id, record.phone.clone())) =>
        {
            fail("as do-not-call, and was never on the list");
        }
        _ => {}
    }
    let listed: BTreeSet<_> = record.attempts.iter().map(|attempt| attempt.call_id).collect();
    if listed != calls.iter().map(|call| call.id).collect() || listed.len() != record.attempts.len() {
        fail("with a history that is not that of its calls");
    }
    for attempt in &record.attempts {
        if ledger.call(attempt.call_id).and_then(|call| call.outcome) != attempt.outcome {
            fail("with an attempt whose outcome is not its call's");
        }
    }
}
