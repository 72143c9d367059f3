//! What becomes of a record when a call for it is over.

use super::Campaign;
use crate::call::Call;
use crate::record::{AttemptKind, Record, RecordState, Waiting};
use crate::time::UnixMicros;
use std::time::Duration;

/// The record after its call has closed.
///
/// In order: the callee's wish not to be called again; a callback the callee asked for; a follow-up the script asked for;
/// a retry by the campaign's rules; else it is over: completed if a person was reached on any attempt, else failed.
pub fn after_call(record: &Record, campaign: &Campaign, call: &Call, now: UnixMicros) -> Record {
    let mut next = record.clone();
    next.updated_at = now;
    for attempt in &mut next.attempts {
        if attempt.call_id == call.id {
            attempt.outcome = call.outcome();
            attempt.answered = call.answered_at.is_some();
        }
    }
    if call.result.do_not_call {
        next.state = RecordState::Dnc;
        next.dnc_at = Some(now);
        next.dnc_reason = Some("asked for on a call".to_owned());
        return next;
    }
    if call
        .end
        .as_ref()
        .is_some_and(|end| end.gate == Some(super::Gate::DoNotCall))
    {
        next.state = RecordState::Dnc;
        next.dnc_at = Some(now);
        next.dnc_reason = Some("on the do-not-call list".to_owned());
        return next;
    }
    if let Some(reason) = campaign.status.final_reason() {
        next.final_reason = Some(reason.to_owned());
        next.state = final_state(&next);
        return next;
    }
    next.state = match next_wait(&next, campaign, call, now) {
        Some((kind, at)) => {
            match kind {
                AttemptKind::FollowUp if call.result.follow_up_at.is_some() => next.follow_ups += 1,
                AttemptKind::Callback if call.result.call_back_at.is_some() => next.callbacks += 1,
                AttemptKind::First | AttemptKind::Retry | AttemptKind::FollowUp | AttemptKind::Callback => {}
            }
            RecordState::Waiting(Waiting {
                next: kind,
                scheduled_at: at,
                due_at: at,
                held_by: None,
            })
        }
        None => final_state(&next),
    };
    next
}

fn final_state(record: &Record) -> RecordState {
    if record.reached_a_person() {
        RecordState::Completed
    } else {
        RecordState::Failed
    }
}

fn next_wait(record: &Record, campaign: &Campaign, call: &Call, now: UnixMicros) -> Option<(AttemptKind, UnixMicros)> {
    let policy = &campaign.policy;
    if let Some(at) = call.result.call_back_at
        && record.callbacks < policy.max_callbacks
    {
        return Some((AttemptKind::Callback, at.max(now)));
    }
    if let Some(at) = call.result.follow_up_at
        && record.follow_ups < policy.max_follow_ups
    {
        return Some((AttemptKind::FollowUp, at.max(now)));
    }
    // A gate at the last moment is no failure of the record and no attempt: it waits again as it did.
    if call.end.as_ref().is_some_and(|end| end.gate.is_some()) {
        let kind = record.attempts.iter().find(|attempt| attempt.call_id == call.id)?.kind;
        return Some((kind, now));
    }
    if record.attempt_count() >= policy.retry.max_attempts {
        return None;
    }
    let condition = call.outcome()?.retry_condition()?;
    let nth = record
        .attempts
        .iter()
        .filter(|attempt| attempt.outcome.and_then(crate::call::Outcome::retry_condition) == Some(condition))
        .count();
    let wait = policy
        .retry
        .wait_after(condition, u32::try_from(nth).unwrap_or(u32::MAX))?;
    let asked_by_far_end = call.end.as_ref().and_then(|end| end.retry_after_s).unwrap_or(0);
    let wait = wait.max(Duration::from_secs(u64::from(asked_by_far_end)));
    Some((AttemptKind::Retry, call.ended_at.unwrap_or(now) + wait))
}
