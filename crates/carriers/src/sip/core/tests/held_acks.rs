//! The ACK of an answer waits until the answer is stored, so that whoever comes after us can still end the leg.

use super::*;

const HOLD: Duration = Duration::from_secs(2);

/// A call whose far end answers at once, without ringing; its ACK is held.
fn answered(world: &mut World) -> (LegId, mpsc::Receiver<CarrierEvent>, IncomingCall) {
    let (mut call, (sender, mut events)) = outbound(1, ms(60_000));
    call.hold_ack = Some(HOLD);
    let leg = call.leg;
    world.cores[US].originate(world.now, call, None, sender).unwrap();
    let incoming = world.arrived();
    world.cores[FAR].answer(world.now, incoming.leg, Bytes::from_static(b"v=0\r\n"));
    world.pass(ms(50));
    let told = drain(&mut events);
    assert!(matches!(told.as_slice(), [CarrierEvent::Answered { .. }]), "{told:?}");
    (leg, events, incoming)
}

#[test]
fn the_ack_leaves_when_the_answer_is_stored() {
    let mut world = World::new(CALM, SipTimers::default());
    let (leg, _events, mut incoming) = answered(&mut world);
    assert_eq!(world.sent(US, "ACK"), Vec::<u64>::new());
    world.cores[US].acknowledge(leg);
    world.cores[US].acknowledge(leg);
    world.pass(ms(10_000));
    assert_eq!(world.sent(US, "ACK").len(), 1);
    let told = drain(&mut incoming.events);
    assert!(
        matches!(told.as_slice(), [InboundEvent::Established { .. }]),
        "{told:?}"
    );
}

#[test]
fn a_store_that_does_not_answer_holds_it_for_a_limited_time() {
    let mut world = World::new(CALM, SipTimers::default());
    let (_leg, _events, mut incoming) = answered(&mut world);
    world.pass(ms(10_000));
    // The copies of the 200 that come meanwhile are not acknowledged either.
    let acks = world.sent(US, "ACK");
    assert!(acks.first().is_some_and(|at| (2_000..2_100).contains(at)), "{acks:?}");
    let told = drain(&mut incoming.events);
    assert!(
        matches!(told.as_slice(), [InboundEvent::Established { .. }]),
        "{told:?}"
    );
}

#[test]
fn a_hang_up_sends_it_before_the_bye() {
    let mut world = World::new(CALM, SipTimers::default());
    let (leg, mut events, _incoming) = answered(&mut world);
    world.cores[US].hang_up(world.now, leg);
    world.pass(ms(1_000));
    let requests: Vec<&str> = world
        .log
        .iter()
        .filter(|(_, who, _)| *who == US)
        .filter_map(|(_, _, line)| line.split(' ').next())
        .collect();
    assert_eq!(requests, ["INVITE", "ACK", "BYE"]);
    let told = drain(&mut events);
    assert!(
        matches!(told.as_slice(), [CarrierEvent::LocalHangUp { confirmed: true }]),
        "{told:?}"
    );
}

/// The process dies between the answer and its storing: the far end's tag is known to nobody, but its 200 is repeated.
#[test]
fn a_leg_whose_answer_was_never_stored_is_ended_by_the_next_life() {
    let mut world = World::new(CALM, SipTimers::default());
    let (call, _) = outbound(1, ms(60_000));
    let (_leg, _events, mut incoming) = answered(&mut world);
    let facts = super::orphans::facts_of_the_attempt(&call);
    assert_eq!(super::orphans::end_in_next_life(&mut world, facts), Some(true));
    let told = drain(&mut incoming.events);
    assert!(
        matches!(
            told.as_slice(),
            [InboundEvent::Established { .. }, InboundEvent::RemoteHangUp { .. }]
        ),
        "{told:?}"
    );
}
