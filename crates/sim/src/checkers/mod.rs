//! The checkers: they look at INVITEs as they leave, at writes as they are written, and at the whole now and then.
//!
//! They know nothing of how the app decides. Rules that are the app's own (hours, days, quiet hours, caps, waits) are worked
//! out again here, from the ledger, the far end's legs and the hand-written tables of `zones` and `numbers`.

mod attempts;
mod gates;
mod lines;
mod standing;
mod writes;

pub(crate) use lines::Rates;
pub(crate) use standing::{Standing, at_the_end, counters, is_over, overdue};
pub(crate) use writes::on_write;

use crate::verdict::Checker;
use crate::world::World;
use carillon_domain::call::CallState;
use carillon_interfaces::carrier::OriginateRequest;
use std::time::Duration;

/// How much later than its decision an INVITE may leave: the last gate reads the store, which can be slow, and the carrier
/// paces. What closes in that time cannot hold it back any more.
pub(crate) const TOLERANCE: Duration = Duration::from_secs(3);

/// An INVITE is about to leave.
pub(crate) fn on_invite(world: &World, request: &OriginateRequest, sip_call_id: &str) {
    let now = world.now();
    world.note(format_args!(
        "invite {} {sip_call_id} {}",
        request.call_id, request.to_user
    ));
    let mut ledger = world.ledger();
    let Some(call) = ledger.calls.get_mut(&request.call_id) else {
        return world.fail(
            Checker::DialledOnce,
            format!("an INVITE left for {}, which is not in the store", request.call_id),
        );
    };
    if call.state != CallState::Dialing && !sip_call_id.starts_with("again") {
        let state = call.state.as_str();
        world.fail(
            Checker::DialledOnce,
            format!("an INVITE left for {}, which is {state} in the store", call.id),
        );
    }
    if let Some(before) = call.invited_at.replace(now) {
        let ago_ms = now.since(before).as_millis();
        world.fail(
            Checker::DialledOnce,
            format!(
                "attempt {} was dialled again after {ago_ms} ms as {sip_call_id}",
                call.id
            ),
        );
    }
    if call.dialing_at.is_none_or(|decided| now.since(decided) > TOLERANCE) {
        world.fail(
            Checker::DialledOnce,
            format!("the INVITE of {} left long after its decision", call.id),
        );
    }
    let call = call.clone();
    if request.to_user.trim_start_matches('+') != call.to.digits() {
        world.fail(
            Checker::History,
            format!("the INVITE of {} went to another number", call.id),
        );
    }
    attempts::on_invite(world, &ledger, &call, now);
    gates::on_invite(world, &ledger, &call, now);
    lines::on_invite(world, &ledger, &call, now);
}
