//! The core under a clock of our own: two engines and a network that delays, loses, doubles and reorders.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod courses;
mod guard;
mod held_acks;
mod orphans;
mod timing;

use super::*;
use crate::sip::config::SipTimers;
use crate::sip::message::{Method, Start};
use crate::sip::writer::Writer;
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
        hold_ack: None,
    };
    (call, mpsc::channel(64))
}

fn drain<T>(events: &mut mpsc::Receiver<T>) -> Vec<T> {
    std::iter::from_fn(|| events.try_recv().ok()).collect()
}
