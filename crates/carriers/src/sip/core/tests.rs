//! The core under a clock of our own: two engines and a network that delays, loses, doubles and reorders.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use super::*;
use crate::sip::config::SipTimers;
use crate::sip::message::{Method, Start, Writer};
use crate::ua::{Destination, InboundEvent, OfferRefused, OutboundCall};
use carillon_domain::call::{DialogFacts, SipIdentity};
use carillon_domain::ids::CallId;
use carillon_interfaces::carrier::{CarrierEvent, WireState};
use proptest::prelude::*;
use std::collections::VecDeque;

const US: usize = 0;
const FAR: usize = 1;

fn addr(who: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + u8::try_from(who).unwrap()], 5060))
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// How the network treats datagrams, drawn from a seed.
#[derive(Clone, Copy, Debug)]
struct Weather {
    loss_percent: u64,
    double_percent: u64,
    delay_ms_max: u64,
    seed: u64,
}

const CALM: Weather = Weather {
    loss_percent: 0,
    double_percent: 0,
    delay_ms_max: 0,
    seed: 1,
};

struct World {
    start: Instant,
    now: Instant,
    cores: [Core; 2],
    weather: Weather,
    rng: StdRng,
    flying: Vec<(Instant, usize, Flow, Bytes)>,
    /// What left us and the far end: time since the start, sender, first line.
    log: Vec<(u64, usize, String)>,
    raw: Vec<(usize, Bytes)>,
    incoming: mpsc::Receiver<IncomingCall>,
    waiting: Vec<(LegId, u64, oneshot::Receiver<Bytes>)>,
    muted: bool,
}

impl World {
    fn new(weather: Weather, timers: SipTimers) -> Self {
        let start = Instant::now();
        let core = |who: usize| {
            let config = SipConfig {
                timers: timers.clone(),
                seed: Some(weather.seed.wrapping_mul(2) + u64::try_from(who).unwrap()),
                sources: SourcePolicy::Any,
                ..SipConfig::new(addr(who))
            };
            Core::new(config, addr(who), Box::new(move |_| addr(who).ip()), start)
        };
        let mut cores = [core(US), core(FAR)];
        let (acceptor, incoming) = mpsc::channel(64);
        cores[FAR].set_acceptor(acceptor);
        Self {
            start,
            now: start,
            cores,
            weather,
            rng: StdRng::seed_from_u64(weather.seed),
            flying: Vec::new(),
            log: Vec::new(),
            raw: Vec::new(),
            incoming,
            waiting: Vec::new(),
            muted: false,
        }
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.rng.random_range(0..100) < percent
    }

    /// Takes what both cores want to send and gives it to the network.
    fn flush(&mut self) {
        for who in [US, FAR] {
            for output in self.cores[who].take_outputs() {
                match output {
                    Output::Send { flow, bytes, .. } => {
                        let line = String::from_utf8_lossy(&bytes)
                            .lines()
                            .next()
                            .unwrap_or_default()
                            .to_owned();
                        let at = u64::try_from(self.now.duration_since(self.start).as_millis()).unwrap();
                        self.log.push((at, who, line));
                        self.raw.push((who, bytes.clone()));
                        if who == FAR && self.muted {
                            continue;
                        }
                        let copies = if self.chance(self.weather.double_percent) { 2 } else { 1 };
                        for _ in 0..copies {
                            if self.chance(self.weather.loss_percent) {
                                continue;
                            }
                            let delay = ms(self.rng.random_range(0..=self.weather.delay_ms_max));
                            let back = Flow {
                                peer: addr(who),
                                ..flow
                            };
                            self.flying.push((self.now + delay, 1 - who, back, bytes.clone()));
                        }
                    }
                    Output::AwaitAnswer { leg, token, answer } => self.waiting.push((leg, token, answer)),
                }
            }
        }
    }

    /// Goes on for a time, doing everything in the order of its time.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.flush();
            let datagram = self.flying.iter().map(|(at, ..)| *at).min();
            let timer = self.cores.iter().filter_map(Core::next_wake).min();
            let Some(next) = [datagram, timer].into_iter().flatten().min().filter(|at| *at <= until) else {
                break;
            };
            self.now = self.now.max(next);
            if datagram.is_some_and(|at| at <= self.now) {
                let first = self
                    .flying
                    .iter()
                    .enumerate()
                    .min_by_key(|(n, (at, ..))| (*at, *n))
                    .map(|(n, _)| n)
                    .unwrap();
                let (_, to, flow, bytes) = self.flying.remove(first);
                self.cores[to].on_message(self.now, flow, &bytes);
            }
            for core in &mut self.cores {
                core.on_time(self.now);
            }
        }
        self.now = until;
    }

    fn call(&mut self, number: u128, ring: Duration) -> (LegId, mpsc::Receiver<CarrierEvent>) {
        let (call, events) = outbound(number, ring);
        let leg = call.leg;
        let (sender, receiver) = events;
        self.cores[US].originate(self.now, call, None, sender).unwrap();
        self.flush();
        (leg, receiver)
    }

    /// Waits for the call to arrive at the far end.
    fn arrived(&mut self) -> IncomingCall {
        for _ in 0..4000 {
            if let Ok(call) = self.incoming.try_recv() {
                return call;
            }
            self.pass(ms(10));
        }
        panic!("no call arrives");
    }

    /// Requests that somebody sent, by method, with their times in ms.
    fn sent(&self, who: usize, method: &str) -> Vec<u64> {
        let prefix = format!("{method} ");
        self.log
            .iter()
            .filter(|(_, w, line)| *w == who && line.starts_with(&prefix))
            .map(|(at, ..)| *at)
            .collect()
    }

    /// Hands a response of a made-up far end to us.
    fn respond(&mut self, to: &Message, code: u16, tag: Option<&str>) {
        let bytes = response_to(to, code, tag);
        let flow = Flow {
            transport: Transport::Udp,
            peer: addr(FAR),
            conn: None,
        };
        self.cores[US].on_message(self.now, flow, &bytes);
        self.flush();
    }

    /// The last request of a kind that we sent.
    fn last(&self, method: &str) -> Message {
        self.raw
            .iter()
            .rev()
            .filter(|(who, _)| *who == US)
            .filter_map(|(_, bytes)| Message::parse(bytes).ok())
            .find(|m| matches!(&m.start, Start::Request { method: m, .. } if m.as_str() == method))
            .unwrap()
    }
}

fn response_to(request: &Message, code: u16, tag: Option<&str>) -> Bytes {
    let to = request.header("To").unwrap();
    let to = tag.map_or(to.to_owned(), |tag| format!("{to};tag={tag}"));
    Writer::response(code, "Whatever")
        .header("Via", request.header("Via").unwrap())
        .header("From", request.header("From").unwrap())
        .header("To", &to)
        .header("Call-ID", &request.call_id)
        .header("CSeq", request.header("CSeq").unwrap())
        .header("Contact", "<sip:far@10.0.0.2:5060>")
        .finish()
}

type Events = (mpsc::Sender<CarrierEvent>, mpsc::Receiver<CarrierEvent>);

fn outbound(number: u128, ring: Duration) -> (OutboundCall, Events) {
    let id = CallId::new(uuid::Uuid::from_u128(number << 32 | 7));
    let call = OutboundCall {
        leg: LegId(number),
        identity: SipIdentity::of(id),
        destination: Destination {
            addr: addr(FAR),
            transport: Transport::Udp,
        },
        request_uri: "sip:+4930123456@10.0.0.2".to_owned(),
        from_uri: "sip:+4930654321@10.0.0.2".to_owned(),
        headers: vec![("X-Carillon-Attempt", id.to_string())],
        credentials: None,
        offer: Bytes::from_static(b"v=0\r\n"),
        ring_timeout: ring,
    };
    (call, mpsc::channel(64))
}

fn drain<T>(events: &mut mpsc::Receiver<T>) -> Vec<T> {
    std::iter::from_fn(|| events.try_recv().ok()).collect()
}

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
fn requests_for_nothing_of_ours_get_their_own_answers() {
    let cases = [
        ("INVITE sip:x@10.0.0.1 SIP/2.0", "INVITE", "", "403"),
        ("OPTIONS sip:x@10.0.0.1 SIP/2.0", "OPTIONS", "", "200"),
        ("OPTIONS sip:x@10.0.0.1 SIP/3.0", "OPTIONS", "", "505"),
        ("OPTIONS http://x SIP/2.0", "OPTIONS", "", "416"),
        (
            "OPTIONS sip:x@10.0.0.1 SIP/2.0",
            "OPTIONS",
            "Require: timer, x-new\r\n",
            "420",
        ),
        ("REGISTER sip:10.0.0.1 SIP/2.0", "REGISTER", "", "405"),
        ("DANCE sip:10.0.0.1 SIP/2.0", "DANCE", "", "501"),
        ("BYE sip:10.0.0.1 SIP/2.0", "BYE", "", "481"),
        ("CANCEL sip:10.0.0.1 SIP/2.0", "CANCEL", "", "481"),
        ("INFO sip:10.0.0.1 SIP/2.0", "INFO", "To-Tagged: yes\r\n", "481"),
    ];
    for (line, method, extra, code) in cases {
        let mut world = World::new(CALM, SipTimers::default());
        let bytes = Bytes::from(format!(
            "{line}\r\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1;rport\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n\
             Call-ID: x\r\nCSeq: 1 {method}\r\n{extra}Content-Length: 0\r\n\r\n"
        ));
        let flow = Flow {
            transport: Transport::Udp,
            peer: addr(FAR),
            conn: None,
        };
        world.cores[US].on_message(world.now, flow, &bytes);
        // A copy is answered with a copy.
        world.cores[US].on_message(world.now, flow, &bytes);
        world.flush();
        let answers: Vec<&str> = world.log.iter().map(|(_, _, line)| &line[8..11]).collect();
        assert_eq!(answers, [code, code], "{line}");
        assert!(
            String::from_utf8_lossy(&world.raw[0].1).contains("received=10.0.0.2"),
            "{line}"
        );
    }
}

#[test]
fn what_the_guard_drops_is_counted_by_name() {
    let good = "OPTIONS sip:x@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
                To: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    let many: String = (0..100).map(|n| format!("X-{n}: y\r\n")).collect();
    let cases = [
        (good.replace("\r\n", "\n"), "framing"),
        (good.replace("CSeq: 1 OPTIONS", "CSeq: 1 INVITE"), "cseq_mismatch"),
        (
            good.replace("Content-Length: 0", "Content-Length: 10"),
            "content_length",
        ),
        (
            good.replace("Content-Length: 0", "Content-Length: -1"),
            "content_length",
        ),
        (good.replace("Call-ID: x\r\n", ""), "mandatory"),
        (good.replace("Via:", "X-Via:"), "mandatory"),
        (good.replace("CSeq: 1 ", "CSeq: 99999999999 "), "mandatory"),
        (good.replace("Call-ID: x\r\n", "Call-ID: x\r\ni: y\r\n"), "duplicate"),
        (good.replace("Call-ID: x\r\n", "Call-ID: x\r\nnonsense\r\n"), "header"),
        (
            good.replace("Call-ID: x\r\n", &format!("Call-ID: x\r\n{many}")),
            "too_many_headers",
        ),
        (
            good.replace("Call-ID: x", &format!("Call-ID: x\r\nX: {}", "y".repeat(5_000))),
            "too_many_headers",
        ),
        (good.replace("OPTIONS sip:x@10.0.0.1 SIP/2.0", "HELLO"), "start_line"),
        (good.replace("Call-ID: x", "Call-ID: x\u{0}"), "encoding"),
        (format!("{good}{}", "y".repeat(17_000)), "too_large"),
        (
            good.replace("OPTIONS sip:x@10.0.0.1 SIP/2.0", "SIP/2.0 200 OK"),
            "stray_response",
        ),
        (good.replace("OPTIONS", "ACK"), "stray_ack"),
    ];
    for (text, reason) in cases {
        let mut world = World::new(CALM, SipTimers::default());
        let flow = Flow {
            transport: Transport::Udp,
            peer: addr(FAR),
            conn: None,
        };
        world.cores[US].on_message(world.now, flow, &Bytes::from(text.clone()));
        assert_eq!(world.cores[US].stats().drops, [(reason, 1)], "{text}");
        world.flush();
        assert!(world.log.is_empty(), "{text}");
    }
}

#[test]
fn only_known_sources_are_read_and_dialogs_make_theirs_known() {
    let config = SipConfig {
        seed: Some(1),
        ..SipConfig::new(addr(US))
    };
    let now = Instant::now();
    let mut core = Core::new(config, addr(US), Box::new(|_| addr(US).ip()), now);
    let stranger = Flow {
        transport: Transport::Udp,
        peer: "203.0.113.9:5060".parse().unwrap(),
        conn: None,
    };
    core.on_message(now, stranger, &Bytes::from_static(b"whatever"));
    assert_eq!(core.stats().drops, [("source", 1)]);
    let (call, (sender, _events)) = outbound(1, ms(10_000));
    core.originate(now, call, None, sender).unwrap();
    let outputs = core.take_outputs();
    let [Output::Send { bytes, .. }] = outputs.as_slice() else {
        panic!("{outputs:?}")
    };
    let answer = response_to(&Message::parse(bytes).unwrap(), 180, Some("a"));
    let answer = String::from_utf8(answer.to_vec())
        .unwrap()
        .replace("10.0.0.2:5060>", "203.0.113.9:5070>");
    let peer = Flow {
        transport: Transport::Udp,
        peer: addr(FAR),
        conn: None,
    };
    assert!(!core.source_allowed(stranger.peer.ip()));
    core.on_message(now, peer, &Bytes::from(answer));
    assert!(
        core.source_allowed(stranger.peer.ip()),
        "the dialog's target is a source now"
    );
    core.hang_up(now, LegId(1));
    let mut at = now;
    for _ in 0..200 {
        at += ms(500);
        core.on_time(at);
    }
    assert!(
        !core.source_allowed(stranger.peer.ip()),
        "and none any more when the leg is gone"
    );
}

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

fn replace_us(world: &mut World) {
    let config = SipConfig {
        seed: Some(99),
        sources: SourcePolicy::Any,
        ..SipConfig::new(addr(US))
    };
    world.cores[US] = Core::new(config, addr(US), Box::new(|_| addr(US).ip()), world.now);
}

fn end_in_next_life(world: &mut World, facts: DialogFacts) -> Option<bool> {
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

/// What the two applications do, and when.
#[derive(Clone, Debug)]
enum Step {
    Ring(u16),
    Answer,
    Reject(u16),
    WeHangUp,
    TheyHangUp,
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
    fn every_call_ends_once_and_leaves_nothing(steps in steps(), weather in weather(), ring_ms in 500_u64..6_000) {
        let mut world = World::new(weather, SipTimers::default());
        let (leg, mut events) = world.call(1, ms(ring_ms));
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
