//! Drawn courses of a call, and damaged messages.

use super::*;

/// What the two applications do, and when.
#[derive(Clone, Debug)]
enum Step {
    Ring(u16),
    Answer,
    Reject(u16),
    WeHangUp,
    TheyHangUp,
    WeAcknowledge,
    WeOffer,
    TheyOffer,
    TheyPress,
    Vanish,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        3 => prop_oneof![Just(180_u16), Just(183)].prop_map(Step::Ring),
        3 => Just(Step::Answer),
        1 => prop_oneof![Just(486_u16), Just(503), Just(603), Just(302)].prop_map(Step::Reject),
        2 => Just(Step::WeHangUp),
        2 => Just(Step::TheyHangUp),
        1 => Just(Step::WeAcknowledge),
        1 => Just(Step::WeOffer),
        1 => Just(Step::TheyOffer),
        1 => Just(Step::TheyPress),
        1 => Just(Step::Vanish),
    ];
    prop::collection::vec((0_u64..2_500, step), 0..8)
}

fn weather() -> impl Strategy<Value = Weather> {
    (0_u64..35, 0_u64..20, 0_u64..400, any::<u64>()).prop_map(|(loss_percent, double_percent, delay_ms_max, seed)| {
        Weather {
            loss_percent,
            double_percent,
            delay_ms_max,
            seed,
        }
    })
}

proptest! {
    /// Whatever both sides do and whatever the network does: one final event, in time, nothing after it, and nothing
    /// left in memory. What the far end believes to be up is down when we say so and it was told.
    #[test]
    fn every_call_ends_once_and_leaves_nothing(steps in steps(), weather in weather(), ring_ms in 500_u64..6_000, hold_ms in proptest::option::of(0_u64..4_000)) {
        let mut world = World::new(weather, SipTimers::default());
        let (mut call, (sender, mut events)) = outbound(1, ms(ring_ms));
        call.hold_ack = hold_ms.map(ms);
        let leg = call.leg;
        world.cores[US].originate(world.now, call, None, sender).unwrap();
        let mut incoming: Option<IncomingCall> = None;
        let mut told: Vec<CarrierEvent> = Vec::new();
        let mut plan: VecDeque<_> = steps.into();
        let mut vanished = false;
        let mut silence_ms = 0;
        while silence_ms < 90_000 {
            let step_ms = match plan.pop_front() {
                Some((after, step)) => {
                    world.pass(ms(after));
                    let now = world.now;
                    if incoming.is_none() {
                        incoming = world.incoming.try_recv().ok();
                    }
                    let far = incoming.as_ref().map(|call| call.leg);
                    let sdp = Bytes::from_static(b"v=0\r\n");
                    match (step, far) {
                        (Step::WeHangUp, _) => world.cores[US].hang_up(now, leg),
                        (Step::WeAcknowledge, _) => world.cores[US].acknowledge(leg),
                        (Step::WeOffer, _) => world.cores[US].reinvite(now, leg, sdp, oneshot::channel().0),
                        (Step::Ring(code), Some(far)) => world.cores[FAR].ring(now, far, code, None),
                        (Step::Answer, Some(far)) => world.cores[FAR].answer(now, far, sdp),
                        (Step::Reject(code), Some(far)) => world.cores[FAR].reject(now, far, code, "", &[]),
                        (Step::TheyHangUp, Some(far)) => world.cores[FAR].hang_up(now, far),
                        (Step::TheyOffer, Some(far)) => world.cores[FAR].reinvite(now, far, sdp, oneshot::channel().0),
                        (Step::TheyPress, Some(far)) => {
                            world.cores[FAR].send_info_digit(now, far, carillon_domain::script::Digit::parse('5').unwrap());
                        }
                        (Step::Vanish, Some(far)) => {
                            vanished = true;
                            world.cores[FAR].vanish(now, far);
                        }
                        (_, None) => {}
                    }
                    0
                }
                None => {
                    world.pass(ms(5_000));
                    // After a while the application hangs up whatever is up.
                    if silence_ms == 10_000 {
                        world.cores[US].hang_up(world.now, leg);
                    }
                    5_000
                }
            };
            silence_ms += step_ms;
            told.extend(drain(&mut events));
        }
        let finals = told.iter().filter(|event| event.is_final()).count();
        prop_assert_eq!(finals, 1, "{:?}", &told);
        prop_assert!(told.last().is_some_and(CarrierEvent::is_final), "{:?}", &told);
        prop_assert_eq!(told.iter().filter(|event| matches!(event, CarrierEvent::Answered { .. })).count() <= 1, true);
        prop_assert_eq!(world.cores[US].live, 0);
        world.pass(ms(120_000));
        prop_assert_eq!((world.cores[US].legs.len(), world.cores[US].dialogs.len()), (0, 0));
        prop_assert_eq!((world.cores[US].clients.len(), world.cores[US].servers.len()), (0, 0));
        prop_assert_eq!(world.cores[US].dialog_peers.len(), 0);
        let _ = vanished;
        if let Some(call) = &mut incoming {
            drop(drain(&mut call.events));
        }
        // The far end ends too: by our word, or because it misses our ACK.
        world.pass(ms(400_000));
        prop_assert_eq!((world.cores[FAR].legs.len(), world.cores[FAR].clients.len(), world.cores[FAR].servers.len()), (0, 0, 0));
    }

    /// Bytes from the network never panic and never make a leg.
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut world = World::new(CALM, SipTimers::default());
        let flow = Flow { transport: Transport::Udp, peer: addr(FAR), conn: None };
        world.cores[US].on_message(world.now, flow, &Bytes::from(bytes));
        prop_assert_eq!(world.cores[US].legs.len(), 0);
    }

    /// Nor do messages of a real call with some bytes changed, cut out or doubled, in the middle of that call.
    #[test]
    fn damaged_messages_do_no_harm(
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0_usize..3, any::<bool>()), 1..24),
        answered in any::<bool>(),
    ) {
        let mut world = World::new(CALM, SipTimers::default());
        let (leg, mut events) = world.call(1, ms(60_000));
        let call = world.arrived();
        world.cores[FAR].ring(world.now, call.leg, 183, Some(&Bytes::from_static(b"v=0\r\n")));
        world.pass(ms(100));
        if answered {
            world.cores[FAR].answer(world.now, call.leg, Bytes::from_static(b"v=0\r\n"));
            world.pass(ms(100));
            world.cores[FAR].send_info_digit(world.now, call.leg, carillon_domain::script::Digit::parse('5').unwrap());
            world.cores[FAR].reinvite(world.now, call.leg, Bytes::from_static(b"v=0\r\n"), oneshot::channel().0);
            world.pass(ms(100));
        }
        for (which, place, byte, kind, to_us) in damages {
            let (_, bytes) = which.get(&world.raw).clone();
            let mut bytes = bytes.to_vec();
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => { bytes.remove(at); }
                _ => bytes.insert(at, byte),
            }
            let to = if to_us { US } else { FAR };
            let flow = Flow { transport: Transport::Udp, peer: addr(1 - to), conn: None };
            world.cores[to].on_message(world.now, flow, &Bytes::from(bytes));
            world.pass(ms(20));
        }
        world.cores[US].hang_up(world.now, leg);
        world.pass(ms(200_000));
        prop_assert_eq!(world.cores[US].legs.len(), 0);
        prop_assert_eq!(drain(&mut events).iter().filter(|event| event.is_final()).count(), 1);
    }
}
