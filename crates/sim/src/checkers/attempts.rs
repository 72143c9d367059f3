//! One attempt after the other: each for a reason, not too early, not too often, and none twice.

use super::TOLERANCE;
use crate::ledger::{Ledger, SeenCall};
use crate::verdict::Checker;
use crate::world::World;
use carillon_domain::call::{CallState, Outcome, RetryCondition};
use carillon_domain::campaign::CampaignPolicy;
use carillon_domain::record::AttemptKind;
use carillon_domain::time::UnixMicros;
use std::time::Duration;

pub(super) fn on_invite(world: &World, ledger: &Ledger, call: &SeenCall, now: UnixMicros) {
    let (Some(record), Some(kind)) = (call.record_id, call.kind) else {
        return;
    };
    let same_attempt = ledger
        .attempts
        .get(&(record, call.attempt))
        .map_or(0, std::collections::BTreeSet::len);
    if same_attempt > 1 {
        let attempt = call.attempt;
        world.fail(
            Checker::DialledOnce,
            format!("attempt {attempt} of record {record} has {same_attempt} calls"),
        );
    }
    if let Some(open) = ledger
        .attempts_before(record, call.attempt)
        .find(|before| before.state != CallState::Closed)
    {
        world.fail(
            Checker::DialledOnce,
            format!("{} left while {} of the same record was open", call.id, open.id),
        );
    }
    // Attempts that a gate refused, or that an operator called off before anything was sent, are none.
    let dialled: Vec<&SeenCall> = ledger
        .attempts_before(record, call.attempt)
        .filter(|before| before.outcome != Some(Outcome::Refused))
        .collect();
    let Some(before) = dialled.first() else {
        if kind != AttemptKind::First {
            world.fail(
                Checker::AttemptRules,
                format!("the first attempt {} is called {kind:?}", call.id),
            );
        }
        return;
    };
    let Some(campaign) = call.campaign_id.and_then(|id| ledger.campaigns.get(&id)) else {
        return;
    };
    // The rules that may have counted when the attempt before was closed, or when this one was decided.
    let since = before.ended_at.unwrap_or(now);
    let policies: Vec<&CampaignPolicy> = campaign.policies_between(since, now).collect();
    if before.outcome == Some(Outcome::Unknown) {
        let rule = |policy: &&CampaignPolicy| policy.retry.rules.contains_key(&RetryCondition::Unknown);
        if before.unknown_settled_by.is_none() || !policies.iter().any(rule) {
            let before = before.id;
            world.fail(
                Checker::UnknownSettled,
                format!("{} left after {before}, whose fate is not known", call.id),
            );
        }
    }
    let reason = policies.iter().find_map(|policy| earliest(policy, kind, &dialled));
    let earliest_of_all = policies
        .iter()
        .filter_map(|policy| earliest(policy, kind, &dialled))
        .min();
    match (reason, earliest_of_all) {
        (Some(_), Some(earliest)) if now + TOLERANCE >= earliest => {}
        (Some(_), Some(earliest)) => {
            let early_s = earliest.since(now).as_secs();
            world.fail(
                Checker::AttemptRules,
                format!("{kind:?} {} left {early_s} s too early", call.id),
            );
        }
        _ => {
            let outcome = before.outcome.map_or("none", Outcome::as_str);
            let number = dialled.len() + 1;
            world.fail(
                Checker::AttemptRules,
                format!(
                    "{kind:?} {} (dial {number}) has no reason after the outcome {outcome}",
                    call.id
                ),
            );
        }
    }
}

/// When an attempt of this kind may come, by these rules, after those dialled (newest first); none: never.
fn earliest(policy: &CampaignPolicy, kind: AttemptKind, dialled: &[&SeenCall]) -> Option<UnixMicros> {
    let before = dialled.first()?;
    let ended = before.ended_at?;
    let of_kind = |kind: AttemptKind| dialled.iter().filter(|call| call.kind == Some(kind)).count();
    let below = |count: usize, most: u32| count < usize::try_from(most).unwrap_or(usize::MAX);
    match kind {
        AttemptKind::First => None,
        AttemptKind::Callback => before
            .result
            .call_back_at
            .filter(|_| below(of_kind(AttemptKind::Callback), policy.max_callbacks)),
        AttemptKind::FollowUp => before
            .result
            .follow_up_at
            .filter(|_| below(of_kind(AttemptKind::FollowUp), policy.max_follow_ups)),
        AttemptKind::Retry => {
            let condition = condition(before.outcome?)?;
            let rule = policy.retry.rules.get(&condition)?;
            let nth = dialled
                .iter()
                .filter(|call| call.outcome.and_then(self::condition) == Some(condition))
                .count();
            let used_up = rule.max_retries.is_some_and(|most| !below(nth - 1, most));
            if used_up || !below(dialled.len(), policy.retry.max_attempts) {
                return None;
            }
            let wait_s = *rule.intervals_s.get(nth - 1).or_else(|| rule.intervals_s.last())?;
            Some(ended + Duration::from_secs(u64::from(wait_s.max(before.retry_after_s))))
        }
    }
}

/// The retry rule that an outcome falls under.
fn condition(outcome: Outcome) -> Option<RetryCondition> {
    match outcome {
        Outcome::NoAnswer => Some(RetryCondition::NoAnswer),
        Outcome::Busy => Some(RetryCondition::Busy),
        Outcome::Declined => Some(RetryCondition::Declined),
        Outcome::NotConnected => Some(RetryCondition::NotConnected),
        Outcome::Voicemail => Some(RetryCondition::Voicemail),
        Outcome::Dropped => Some(RetryCondition::Dropped),
        Outcome::Silence => Some(RetryCondition::Silence),
        Outcome::InternalError => Some(RetryCondition::Error),
        Outcome::Unknown => Some(RetryCondition::Unknown),
        _ => None,
    }
}
