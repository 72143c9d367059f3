//! Lines and calls per second, counted at the far end.

use super::TOLERANCE;
use crate::far_end::Leg;
use crate::ledger::{Ledger, SeenCall};
use crate::verdict::Checker;
use crate::world::World;
use carillon_domain::ids::TrunkId;
use carillon_domain::time::UnixMicros;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Times of the INVITEs of the last second, by trunk.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    sent: BTreeMap<TrunkId, VecDeque<UnixMicros>>,
}

pub(super) fn on_invite(world: &World, ledger: &Ledger, call: &SeenCall, now: UnixMicros) {
    let legs = world.legs();
    let up = |wanted: &dyn Fn(&Leg) -> bool| 1 + legs.up_legs().filter(|leg| wanted(leg) && !leg.beyond_reach).count();
    let over = |count: usize, most: u32| count > usize::try_from(most).unwrap_or(usize::MAX);
    let fail = |what: &str, count: usize, most: u32| {
        world.fail(
            Checker::Lines,
            format!("{} makes {count} legs of its {what}, which has {most} lines", call.id),
        );
    };
    if let Some(workspace) = ledger.workspaces.get(&call.workspace_id) {
        let count = up(&|leg| leg.workspace_id == call.workspace_id);
        if over(count, workspace.max_concurrent_calls) {
            fail("workspace", count, workspace.max_concurrent_calls);
        }
    }
    if let Some(trunk) = call.trunk_id.and_then(|id| ledger.trunks.get(&id)) {
        let count = up(&|leg| leg.trunk_id == trunk.id);
        if over(count, trunk.lines) {
            fail("trunk", count, trunk.lines);
        }
        let mut rates = world.rates();
        let sent = rates.sent.entry(trunk.id).or_default();
        sent.push_back(now);
        while sent.front().is_some_and(|at| now.since(*at) >= Duration::from_secs(1)) {
            sent.pop_front();
        }
        if over(sent.len(), trunk.calls_per_second) {
            let (count, most) = (sent.len(), trunk.calls_per_second);
            world.fail(
                Checker::Rate,
                format!("{} is INVITE {count} in one second; its trunk takes {most}", call.id),
            );
        }
    }
    if let Some((id, campaign)) = call.campaign_id.and_then(|id| Some((id, ledger.campaigns.get(&id)?))) {
        let most = campaign
            .policies_between(now - TOLERANCE, now)
            .map(|policy| policy.max_concurrent_calls)
            .max();
        let count = up(&|leg| leg.campaign_id == Some(id));
        if over(count, most.unwrap_or(0)) {
            fail("campaign", count, most.unwrap_or(0));
        }
    }
}
