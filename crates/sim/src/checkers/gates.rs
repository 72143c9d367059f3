//! The gates in front of the wire, asked again at the moment of the INVITE.

use super::TOLERANCE;
use crate::ledger::{Ledger, SeenCall, SeenCampaign};
use crate::numbers;
use crate::verdict::Checker;
use crate::world::World;
use crate::zones::{self, Zone};
use carillon_domain::campaign::calling_window::{DailyHours, Weekday};
use carillon_domain::campaign::{CampaignPolicy, CampaignStatus};
use carillon_domain::ids::CallId;
use carillon_domain::time::UnixMicros;

pub(super) fn on_invite(world: &World, ledger: &Ledger, call: &SeenCall, now: UnixMicros) {
    let lately = now - TOLERANCE;
    let key = (call.workspace_id, call.to.clone());
    if let Some(since) = ledger.do_not_call.get(&key).filter(|since| **since < lately) {
        let for_s = now.since(*since).as_secs();
        world.fail(
            Checker::DoNotCall,
            format!("{} left for a number that is on the list for {for_s} s", call.id),
        );
    }
    if numbers::zones_of(call.to.as_str()).is_none() {
        world.fail(
            Checker::QuietHours,
            format!("{} left for a number that nobody pushed", call.id),
        );
    }
    let Some(campaign) = call.campaign_id.and_then(|id| ledger.campaigns.get(&id)) else {
        return;
    };
    status(world, campaign, call, now);
    // A rule that was changed a moment ago may still have been the one that counted.
    let allowed = |allows: &dyn Fn(&CampaignPolicy) -> bool| campaign.policies_between(lately, now).any(allows);
    let either = |allows: &dyn Fn(UnixMicros) -> bool| allows(now) || allows(lately);
    if !allowed(&|policy| either(&|at| is_open(&policy.window.hours, policy.window.zone.as_str(), at))) {
        world.fail(
            Checker::Window,
            format!("{} left outside the hours of its campaign", call.id),
        );
    }
    if !allowed(&|policy| policy.ends_at.is_none_or(|end| end > lately)) {
        world.fail(
            Checker::EndDate,
            format!("{} left after the end of its campaign", call.id),
        );
    }
    if call.kind == Some(carillon_domain::record::AttemptKind::First)
        && !allowed(&|policy| first_day_has_come(policy, now))
    {
        world.fail(
            Checker::FirstDate,
            format!("{} left before the first-attempt day", call.id),
        );
    }
    if !allowed(&|policy| is_awake(policy, call, now) || is_awake(policy, call, lately)) {
        world.fail(
            Checker::QuietHours,
            format!("{} left outside the callee's hours", call.id),
        );
    }
    if !allowed(&|policy| under_the_cap(policy, campaign, ledger, call)) {
        world.fail(
            Checker::DailyCap,
            format!("{} left for a number that was called often enough today", call.id),
        );
    }
}

fn status(world: &World, campaign: &SeenCampaign, call: &SeenCall, now: UnixMicros) {
    let lately = now - TOLERANCE;
    let ran = campaign.status() == CampaignStatus::Running
        || campaign
            .statuses
            .windows(2)
            .any(|pair| pair[0].1 == CampaignStatus::Running && pair[1].0 >= lately);
    if !ran {
        let status = campaign.status().as_str();
        world.fail(
            Checker::Status,
            format!("{} left while its campaign was {status}", call.id),
        );
    }
}

fn is_open(hours: &DailyHours, zone: &str, at: UnixMicros) -> bool {
    Zone::named(zone).is_some_and(|zone| hours_open(hours, zone, at))
}

fn hours_open(hours: &DailyHours, zone: &Zone, at: UnixMicros) -> bool {
    let days = Weekday::ALL
        .into_iter()
        .enumerate()
        .filter(|(_, day)| hours.days().contains(*day))
        .fold(0_u8, |days, (index, _)| days | 1 << index);
    zones::is_open(
        i64::from(hours.start().minutes()),
        i64::from(hours.end().minutes()),
        days,
        zone.civil(at),
    )
}

fn first_day_has_come(policy: &CampaignPolicy, now: UnixMicros) -> bool {
    let Some(date) = policy
        .first_attempt_date
        .filter(|_| !policy.dial_first_attempt_immediately)
    else {
        return true;
    };
    let opens = zones::day_number(i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
    Zone::named(policy.window.zone.as_str()).is_some_and(|zone| zone.civil(now).day >= opens)
}

fn is_awake(policy: &CampaignPolicy, call: &SeenCall, at: UnixMicros) -> bool {
    let Some(quiet) = &policy.quiet_hours else { return true };
    numbers::zones_of(call.to.as_str())
        .is_some_and(|zones| zones.iter().all(|zone| hours_open(&quiet.allowed, zone, at)))
}

/// Calls of the day of the campaign's zone, to this number, by all campaigns of the workspace, up to this one. Those by campaigns of other
/// zones count from the moment at which this one was launched: no earlier rule asked for them.
fn under_the_cap(policy: &CampaignPolicy, campaign: &SeenCampaign, ledger: &Ledger, call: &SeenCall) -> bool {
    let (Some(cap), Some(zone)) = (
        policy.max_calls_per_number_per_day,
        Zone::named(policy.window.zone.as_str()),
    ) else {
        return true;
    };
    let Some(decided) = call.dialing_at else { return false };
    let today = zone.civil(decided).day;
    let launched = campaign
        .statuses
        .iter()
        .find(|(_, status)| *status != CampaignStatus::Draft)
        .map(|(at, _)| *at);
    let in_this_zone = |id: &CallId| {
        let by = ledger
            .call(*id)
            .and_then(|call| call.campaign_id)
            .and_then(|id| ledger.campaigns.get(&id));
        by.is_some_and(|by| {
            by.policies
                .iter()
                .any(|(_, _, other)| other.window.zone == policy.window.zone)
        })
    };
    let counts = |(at, id): &&(UnixMicros, CallId)| {
        zone.civil(*at).day == today && (in_this_zone(id) || launched.is_some_and(|launched| launched < *at))
    };
    let dials = ledger.dials.get(&(call.workspace_id, call.to.clone()));
    let until = dials.and_then(|dials| dials.iter().position(|(_, id)| *id == call.id));
    let dialled = dials
        .zip(until)
        .map_or(0, |(dials, until)| dials[..=until].iter().filter(counts).count());
    dialled <= usize::try_from(cap).unwrap_or(usize::MAX)
}
