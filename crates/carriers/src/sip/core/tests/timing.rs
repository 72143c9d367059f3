//! Retransmissions, deadlines, races and who ends what.

use super::*;

#[test]
fn a_silent_far_end_is_asked_seven_times_and_the_wire_is_unknown() {
    let mut world = World::new(CALM, SipTimers::default());
    world.muted = true;
    let (_, mut events) = world.call(1, ms(60_000));
    world.pass(ms(31_900));
    assert_eq!(world.sent(US, "INVITE"), [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert!(drain(&mut events).is_empty());
    world.pass(ms(200));
    let told = drain(&mut events);
    let [CarrierEvent::Failed(failure)] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(
        (failure.code, failure.rang, failure.wire),
        (None, false, WireState::Unknown)
    );
    assert_eq!(world.sent(US, "CANCEL"), Vec::<u64>::new());
}

#[test]
fn no_cancel_before_a_provisional_response_and_one_right_after() {
    let mut world = World::new(CALM, SipTimers::default());
    world.muted = true;
    let (_, mut events) = world.call(1, ms(2_000));
    world.pass(ms(5_000));
    // Retransmissions stop with the wish to end it.
    assert_eq!(world.sent(US, "INVITE"), [0, 500, 1_500]);
    assert_eq!(world.sent(US, "CANCEL"), Vec::<u64>::new());
    let invite = world.last("INVITE");
    world.respond(&invite, 100, None);
    assert_eq!(world.sent(US, "CANCEL"), [5_000]);
    let cancel = world.last("CANCEL");
    assert_eq!(cancel.via, invite.via);
    assert_eq!(
        (cancel.cseq, &cancel.call_id, cancel.header("To")),
        (invite.cseq, &invite.call_id, invite.header("To"))
    );
    world.respond(&cancel, 200, Some("a"));
    world.respond(&invite, 487, Some("a"));
    let told = drain(&mut events);
    let [CarrierEvent::Failed(failure)] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(
        (failure.code, failure.rang, failure.wire),
        (Some(487), false, WireState::Final)
    );
    assert_eq!(world.last("ACK").via, invite.via);
}

#[test]
fn ringing_that_never_ends_is_given_up_and_what_comes_later_is_ended() {
    let timers = SipTimers {
        cancel_deadline: ms(3_000),
        ..SipTimers::default()
    };
    for late in [180, 200] {
        let mut world = World::new(CALM, timers.clone());
        world.muted = true;
        let (_, mut events) = world.call(1, ms(1_000));
        let invite = world.last("INVITE");
        if late == 200 {
            world.respond(&invite, 180, Some("a"));
        }
        world.pass(ms(4_500));
        let told = drain(&mut events);
        let Some(CarrierEvent::Failed(failure)) = told.last() else {
            panic!("{told:?}")
        };
        assert_eq!(
            (failure.code, failure.rang, failure.wire),
            (None, late == 200, WireState::Unknown)
        );
        assert!(events.is_closed());
        world.respond(&invite, late, Some("a"));
        match late {
            180 => assert_eq!(world.sent(US, "CANCEL"), [4_500]),
            _ => {
                assert_eq!(
                    (world.sent(US, "ACK"), world.sent(US, "BYE")),
                    (vec![4_500], vec![4_500])
                );
                let bye = world.last("BYE");
                assert_eq!((bye.to_tag.as_deref(), bye.cseq), (Some("a"), 2));
            }
        }
        world.pass(ms(120_000));
        assert_eq!((world.cores[US].legs.len(), world.cores[US].clients.len()), (0, 0));
    }
}

#[test]
fn a_cancel_that_was_confirmed_leaves_nothing_unknown() {
    let timers = SipTimers {
        cancel_deadline: ms(3_000),
        ..SipTimers::default()
    };
    for (code, wire) in [(200, WireState::Final), (481, WireState::Unknown)] {
        let mut world = World::new(CALM, timers.clone());
        world.muted = true;
        let (_, mut events) = world.call(1, ms(1_000));
        let invite = world.last("INVITE");
        world.respond(&invite, 180, Some("a"));
        world.pass(ms(1_500));
        let cancel = world.last("CANCEL");
        world.respond(&cancel, code, Some("a"));
        world.pass(ms(4_000));
        let told = drain(&mut events);
        let Some(CarrierEvent::Failed(failure)) = told.last() else {
            panic!("{told:?}")
        };
        assert_eq!((failure.code, failure.rang, failure.wire), (None, true, wire), "{code}");
    }
}

#[test]
fn a_bye_that_nobody_answers_ends_by_its_own_deadline() {
    let mut world = World::new(CALM, SipTimers::default());
    let (leg, mut events) = world.call(1, ms(30_000));
    let call = world.arrived();
    world.cores[FAR].answer(world.now, call.leg, Bytes::from_static(b"v=0\r\n"));
    world.pass(ms(100));
    world.muted = true;
    world.cores[US].hang_up(world.now, leg);
    world.pass(ms(8_100));
    let told = drain(&mut events);
    assert!(
        matches!(told.last(), Some(CarrierEvent::LocalHangUp { confirmed: false })),
        "{told:?}"
    );
    assert_eq!(world.sent(US, "BYE").len(), 5);
}

#[test]
fn hang_ups_at_once_from_both_sides_end_both() {
    let mut world = World::new(
        Weather {
            delay_ms_max: 40,
            ..CALM
        },
        SipTimers::default(),
    );
    let (leg, mut events) = world.call(1, ms(30_000));
    let mut call = world.arrived();
    world.cores[FAR].answer(world.now, call.leg, Bytes::from_static(b"v=0\r\n"));
    world.pass(ms(200));
    world.cores[US].hang_up(world.now, leg);
    world.cores[FAR].hang_up(world.now, call.leg);
    world.pass(ms(2_000));
    assert!(matches!(
        drain(&mut events).last(),
        Some(CarrierEvent::LocalHangUp { confirmed: true })
    ));
    assert!(matches!(
        drain(&mut call.events).last(),
        Some(InboundEvent::LocalHangUp { confirmed: true })
    ));
}

#[test]
fn crossed_offers_are_told_apart_by_491() {
    let mut world = World::new(
        Weather {
            delay_ms_max: 40,
            ..CALM
        },
        SipTimers::default(),
    );
    let (leg, _events) = world.call(1, ms(30_000));
    let call = world.arrived();
    world.cores[FAR].answer(world.now, call.leg, Bytes::from_static(b"v=0\r\n"));
    world.pass(ms(200));
    let (ours, mut our_reply) = oneshot::channel();
    let (theirs, mut their_reply) = oneshot::channel();
    world.cores[US].reinvite(world.now, leg, Bytes::from_static(b"v=1\r\n"), ours);
    world.cores[FAR].reinvite(world.now, call.leg, Bytes::from_static(b"v=2\r\n"), theirs);
    world.pass(ms(500));
    assert_eq!(our_reply.try_recv().unwrap(), Err(OfferRefused::Status(491)));
    assert_eq!(their_reply.try_recv().unwrap(), Err(OfferRefused::Status(491)));
}

#[test]
fn an_offer_that_the_application_forgets_is_refused_in_time() {
    let mut world = World::new(CALM, SipTimers::default());
    let (_, mut events) = world.call(1, ms(30_000));
    let call = world.arrived();
    world.cores[FAR].answer(world.now, call.leg, Bytes::from_static(b"v=0\r\n"));
    world.pass(ms(200));
    let (theirs, mut their_reply) = oneshot::channel();
    world.cores[FAR].reinvite(world.now, call.leg, Bytes::from_static(b"v=2\r\n"), theirs);
    world.pass(ms(5_100));
    assert_eq!(their_reply.try_recv().unwrap(), Err(OfferRefused::Status(488)));
    let told = drain(&mut events);
    assert!(matches!(told.last(), Some(CarrierEvent::Reoffer { .. })), "{told:?}");
    // 100 tells the far end that its re-INVITE came.
    assert!(
        world
            .log
            .iter()
            .any(|(_, who, line)| *who == US && line.starts_with("SIP/2.0 100"))
    );
}

#[test]
fn sessions_are_refreshed_by_whoever_owes_it_and_end_without() {
    for (refresher, expected_end) in [("uac", None), ("uas", Some(120_000 - 32_000))] {
        let mut world = World::new(CALM, SipTimers::default());
        world.muted = true;
        let (_, mut events) = world.call(1, ms(30_000));
        let invite = world.last("INVITE");
        let answer = String::from_utf8(response_to(&invite, 200, Some("a")).to_vec()).unwrap();
        let answer = answer.replace(
            "Content-Length",
            &format!("Allow: UPDATE\r\nSession-Expires: 120;refresher={refresher}\r\nContent-Length"),
        );
        let flow = Flow {
            transport: Transport::Udp,
            peer: addr(FAR),
            conn: None,
        };
        world.cores[US].on_message(world.now, flow, &Bytes::from(answer));
        world.pass(ms(60_050));
        match expected_end {
            None => {
                assert_eq!(world.sent(US, "UPDATE"), [60_000]);
                let update = world.last("UPDATE");
                assert_eq!(update.header("Session-Expires"), Some("120;refresher=uac"));
                let refreshed = String::from_utf8(response_to(&update, 200, None).to_vec()).unwrap();
                let refreshed =
                    refreshed.replace("Content-Length", "Session-Expires: 120;refresher=uac\r\nContent-Length");
                world.cores[US].on_message(world.now, flow, &Bytes::from(refreshed));
                world.pass(ms(60_050));
                assert_eq!(world.sent(US, "UPDATE"), [60_000, 120_050]);
                assert_eq!(world.sent(US, "BYE"), Vec::<u64>::new());
            }
            Some(end) => {
                world.pass(ms(60_000));
                assert_eq!(world.sent(US, "UPDATE"), Vec::<u64>::new());
                assert_eq!(world.sent(US, "BYE").first(), Some(&end));
                assert!(matches!(
                    drain(&mut events).last(),
                    Some(CarrierEvent::LocalHangUp { .. })
                ));
            }
        }
    }
}

#[test]
fn a_leg_that_nobody_listens_to_is_hung_up() {
    let mut world = World::new(CALM, SipTimers::default());
    let (_, events) = world.call(1, ms(60_000));
    let mut call = world.arrived();
    world.cores[FAR].answer(world.now, call.leg, Bytes::from_static(b"v=0\r\n"));
    world.pass(ms(100));
    drop(events);
    world.pass(ms(3_000));
    assert!(matches!(
        drain(&mut call.events).last(),
        Some(InboundEvent::RemoteHangUp { .. })
    ));
}

#[test]
fn a_full_event_channel_holds_nothing_up_and_loses_no_final_event() {
    let mut world = World::new(CALM, SipTimers::default());
    let (call, _) = outbound(1, ms(60_000));
    let (sender, mut events) = mpsc::channel(1);
    world.cores[US].originate(world.now, call, None, sender).unwrap();
    let incoming = world.arrived();
    for _ in 0..200 {
        world.cores[FAR].ring(world.now, incoming.leg, 180, None);
        world.pass(ms(10));
    }
    world.cores[FAR].reject(world.now, incoming.leg, 486, "", &[]);
    world.pass(ms(100));
    let mut told = Vec::new();
    for _ in 0..200 {
        told.extend(drain(&mut events));
        world.pass(ms(25));
    }
    assert!(matches!(told.last(), Some(CarrierEvent::Failed(failure)) if failure.code == Some(486)));
    assert!(told.len() > 30);
    assert!(
        world.cores[US]
            .stats()
            .drops
            .iter()
            .any(|(reason, _)| *reason == "event_queue_full")
    );
}

#[test]
fn a_far_end_that_vanishes_says_nothing_more() {
    let mut world = World::new(CALM, SipTimers::default());
    let (leg, mut events) = world.call(1, ms(60_000));
    let call = world.arrived();
    world.cores[FAR].answer(world.now, call.leg, Bytes::from_static(b"v=0\r\n"));
    world.pass(ms(100));
    world.cores[FAR].vanish(world.now, call.leg);
    let before = world.log.iter().filter(|(_, who, _)| *who == FAR).count();
    world.cores[US].hang_up(world.now, leg);
    world.pass(ms(20_000));
    assert_eq!(world.log.iter().filter(|(_, who, _)| *who == FAR).count(), before);
    assert!(matches!(
        drain(&mut events).last(),
        Some(CarrierEvent::LocalHangUp { confirmed: false })
    ));
}

#[test]
fn every_message_of_ours_is_one_that_we_would_take() {
    let mut world = World::new(CALM, SipTimers::default());
    let (leg, _events) = world.call(1, ms(60_000));
    let call = world.arrived();
    world.cores[FAR].answer(world.now, call.leg, Bytes::from_static(b"v=0\r\n"));
    world.pass(ms(100));
    world.cores[US].send_info_digit(world.now, leg, carillon_domain::script::Digit::parse('#').unwrap());
    world.cores[US].reinvite(world.now, leg, Bytes::from_static(b"v=0\r\n"), oneshot::channel().0);
    world.pass(ms(6_000));
    world.cores[US].hang_up(world.now, leg);
    world.pass(ms(1_000));
    let mut methods = Vec::new();
    for (_, bytes) in &world.raw {
        let message = Message::parse(bytes).unwrap();
        if let Start::Request { method, .. } = &message.start {
            methods.push(method.clone());
            assert_eq!(message.header("Max-Forwards"), Some("70"));
        }
    }
    for method in [Method::Invite, Method::Ack, Method::Info, Method::Bye] {
        assert!(methods.contains(&method), "{method:?}");
    }
}
