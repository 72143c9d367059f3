//! Legs that a next life ends.

use super::*;
use crate::ua::Challenge;
use carillon_domain::pii::Secret;
use carillon_domain::trunk::Credentials;

/// What is known of a leg when the process dies, and what its next life then sends.
#[test]
fn orphans_are_ended_by_what_is_known_of_them() {
    for answered in [false, true] {
        let mut world = World::new(CALM, SipTimers::default());
        let (_, mut events) = world.call(1, ms(60_000));
        let mut call = world.arrived();
        world.cores[FAR].ring(world.now, call.leg, 180, None);
        world.pass(ms(100));
        if answered {
            world.cores[FAR].answer(world.now, call.leg, Bytes::from_static(b"v=0\r\n"));
            world.pass(ms(100));
        }
        let facts = drain(&mut events)
            .into_iter()
            .filter_map(|event| match event {
                CarrierEvent::Progress { dialog, .. } | CarrierEvent::Answered { dialog, .. } => Some(dialog),
                _ => None,
            })
            .next_back()
            .unwrap();
        assert_eq!(facts.answered, answered);
        assert_eq!(
            facts.identity,
            SipIdentity::of(CallId::new(uuid::Uuid::from_u128(1 << 32 | 7)))
        );
        let confirmed = end_in_next_life(&mut world, facts);
        assert_eq!(confirmed, Some(true), "answered: {answered}");
        let told = drain(&mut call.events);
        match answered {
            false => assert!(matches!(told.last(), Some(InboundEvent::Cancelled)), "{told:?}"),
            true => assert!(
                matches!(told.last(), Some(InboundEvent::RemoteHangUp { .. })),
                "{told:?}"
            ),
        }
        world.pass(ms(120_000));
        assert_eq!((world.cores[US].legs.len(), world.cores[FAR].legs.len()), (0, 0));
    }
}

/// The 200 came while we were dead: CANCEL finds nothing, but the far end still waits for our ACK.
#[test]
fn an_orphan_that_was_answered_meanwhile_is_acknowledged_and_ended() {
    let mut world = World::new(CALM, SipTimers::default());
    let (_, mut events) = world.call(1, ms(60_000));
    let mut call = world.arrived();
    world.cores[FAR].ring(world.now, call.leg, 180, None);
    world.pass(ms(100));
    let Some(CarrierEvent::Progress { dialog, .. }) = drain(&mut events).pop() else {
        panic!("no progress")
    };
    replace_us(&mut world);
    world.cores[FAR].answer(world.now, call.leg, Bytes::from_static(b"v=0\r\n"));
    world.flush();
    world.flying.clear();
    let confirmed = end_in_next_life(&mut world, dialog);
    assert_eq!(confirmed, Some(true));
    let told = drain(&mut call.events);
    assert!(
        matches!(told.last(), Some(InboundEvent::RemoteHangUp { .. })),
        "{told:?}"
    );
}

#[test]
fn an_orphan_whose_far_end_is_gone_is_given_up_in_time() {
    let mut world = World::new(CALM, SipTimers::default());
    let (_, mut events) = world.call(1, ms(60_000));
    let call = world.arrived();
    world.cores[FAR].answer(world.now, call.leg, Bytes::from_static(b"v=0\r\n"));
    world.pass(ms(100));
    let Some(CarrierEvent::Answered { dialog, .. }) = drain(&mut events).pop() else {
        panic!("no answer")
    };
    world.muted = true;
    let began = world.now;
    assert_eq!(end_in_next_life(&mut world, dialog), Some(false));
    assert!(world.now - began <= SipTimers::default().orphan_deadline + ms(100));
}

/// What is known of a leg of which nothing came back.
pub(super) fn facts_of_the_attempt(call: &OutboundCall) -> DialogFacts {
    DialogFacts {
        identity: call.identity.clone(),
        invite_branch: None,
        invite_cseq: 1,
        remote_uri: call.request_uri.clone(),
        invite_uri: call.request_uri.clone(),
        local_uri: call.from_uri.clone(),
        contact_uri: None,
        remote_tag: None,
        remote_target: None,
        route_set: Vec::new(),
        peer: None,
        answered: false,
    }
}

/// The process died between sending the INVITE and storing anything that came back.
#[test]
fn an_orphan_of_which_only_the_attempt_is_known_is_cancelled() {
    for challenged in [false, true] {
        let mut world = World::new(CALM, SipTimers::default());
        let (mut call, (sender, _events)) = outbound(1, ms(60_000));
        call.credentials = Some(Credentials {
            username: "a".to_owned(),
            password: Secret::new("b"),
        });
        let facts = facts_of_the_attempt(&call);
        world.cores[US].originate(world.now, call, None, sender).unwrap();
        let mut call = world.arrived();
        if challenged {
            let challenge = Challenge {
                proxy: true,
                realm: "far".to_owned(),
                nonce: "1".to_owned(),
                qop: true,
                sha256: false,
            };
            let (name, value) = challenge.header();
            world.cores[FAR].reject(world.now, call.leg, 407, "", &[(name.to_owned(), value)]);
            call = world.arrived();
            assert_eq!(call.cseq, 2);
        }
        world.cores[FAR].ring(world.now, call.leg, 180, None);
        assert_eq!(
            end_in_next_life(&mut world, facts),
            Some(true),
            "challenged: {challenged}"
        );
        let told = drain(&mut call.events);
        assert!(matches!(told.last(), Some(InboundEvent::Cancelled)), "{told:?}");
        world.pass(ms(120_000));
        assert_eq!((world.cores[US].legs.len(), world.cores[FAR].legs.len()), (0, 0));
    }
}

fn replace_us(world: &mut World) {
    let config = SipConfig {
        seed: Some(99),
        sources: SourcePolicy::Any,
        ..SipConfig::new(addr(US))
    };
    world.cores[US] = Core::new(config, addr(US), Box::new(|_| addr(US).ip()), world.now);
}

pub(super) fn end_in_next_life(world: &mut World, facts: DialogFacts) -> Option<bool> {
    replace_us(world);
    let (reply, mut confirmed) = oneshot::channel();
    let destination = Destination {
        addr: addr(FAR),
        transport: Transport::Udp,
    };
    world.cores[US].end_orphan(world.now, destination, None, None, facts, reply);
    for _ in 0..400 {
        world.pass(ms(50));
        if let Ok(confirmed) = confirmed.try_recv() {
            return Some(confirmed);
        }
    }
    None
}
