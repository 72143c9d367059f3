//! A SIP far end written for these tests from RFC 3261 alone. It shares no code with the product, so it is a witness: it
//! answers, refuses or ignores each number by plan, and writes down everything that it sees.
//!
//! Legs are known by their Call-ID. A leg is up until CANCEL, BYE or a refusal ends it; a restart of the server must end
//! those that its crash left up.

use super::rtp::{self, Sound};
use super::{PATIENCE, sip::Message};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Timer T1 of RFC 3261: the first retransmission of a 200.
const T1: Duration = Duration::from_millis(500);
/// How long a 200 is repeated without an ACK (64 times T1).
const ANSWER_GIVE_UP: Duration = Duration::from_secs(32);

/// What happens to a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Plan {
    /// Rings for a while and answers. It hangs up after `talk`, or leaves that to the caller.
    Answer {
        ring: Duration,
        talk: Option<Duration>,
        sound: Sound,
    },
    /// Refuses with this status, after ringing for a while.
    Refuse { ring: Duration, code: u16 },
    /// Rings until somebody gives up.
    Ring,
    /// Takes everything and says nothing.
    Silence,
}

/// How a leg ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// CANCEL came in time.
    Cancelled,
    /// BYE came.
    HungUpByCaller,
    /// We sent BYE.
    HungUpByUs,
    /// We refused it with this status.
    Refused(u16),
    /// Our answer was never acknowledged.
    NeverAcknowledged,
}

/// What was seen of one leg.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    pub(crate) sip_call_id: String,
    /// Number called.
    pub(crate) number: String,
    /// Values of `X-Carillon-Attempt`.
    pub(crate) attempts: BTreeSet<String>,
    /// Branches of its INVITEs outside a dialog: one, unless there was a challenge.
    pub(crate) branches: BTreeSet<String>,
    pub(crate) invited_at: Instant,
    pub(crate) answered_at: Option<Instant>,
    pub(crate) acknowledged: bool,
    pub(crate) end: Option<(End, Instant)>,
    /// RTP payloads heard.
    pub(crate) heard: Vec<Vec<u8>>,
    /// Whether anything was sent for it; silent legs ring nobody.
    pub(crate) rang: bool,
}

impl Leg {
    /// Whether a telephone still rings or talks.
    pub(crate) fn is_up(&self) -> bool {
        self.rang && self.end.is_none()
    }
}

struct LegState {
    seen: Leg,
    /// The first INVITE as it came: replies repeat its headers.
    invite: Message,
    peer: SocketAddr,
    tag: String,
    last_reply: Option<Vec<u8>>,
    changed: Arc<Notify>,
}

type Rule = dyn Fn(&str) -> Plan + Send + Sync;

struct Inner {
    addr: SocketAddr,
    socket: UdpSocket,
    legs: Mutex<BTreeMap<String, LegState>>,
    rule: Box<Rule>,
}

/// A running far end. Dropped, it falls silent.
pub(crate) struct FarEnd {
    pub(crate) addr: SocketAddr,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FarEnd {
    /// Starts a far end whose `rule` tells what becomes of each number.
    pub(crate) async fn start(rule: impl Fn(&str) -> Plan + Send + Sync + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a loopback port");
        let addr = socket.local_addr().expect("an address");
        let inner = Arc::new(Inner {
            addr,
            socket,
            legs: Mutex::default(),
            rule: Box::new(rule),
        });
        let task = tokio::spawn(Arc::clone(&inner).receive());
        Self { addr, inner, task }
    }

    /// Everything seen so far, by the time of the first INVITE.
    pub(crate) fn legs(&self) -> Vec<Leg> {
        let mut legs: Vec<Leg> = self.inner.lock().values().map(|leg| leg.seen.clone()).collect();
        legs.sort_by_key(|leg| leg.invited_at);
        legs
    }

    /// Waits until `ready` is content with what was seen.
    pub(crate) async fn wait_for(&self, what: &str, ready: impl Fn(&[Leg]) -> bool) -> Vec<Leg> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let legs = self.legs();
            if ready(&legs) {
                return legs;
            }
            assert!(
                Instant::now() < deadline,
                "the far end never saw {what}: {}",
                brief(&legs)
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Legs in a form that fits a test's message.
pub(crate) fn brief(legs: &[Leg]) -> String {
    let line = |leg: &Leg| {
        let end = leg.end.map(|(end, _)| end);
        format!(
            "\n  {} {:?} answered={} acknowledged={} end={end:?}",
            leg.number,
            leg.sip_call_id,
            leg.answered_at.is_some(),
            leg.acknowledged
        )
    };
    legs.iter().map(line).collect()
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, LegState>> {
        self.legs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn receive(self: Arc<Self>) {
        let mut buffer = vec![0; 65_536];
        loop {
            // A port that closed at the other side shows as an error here; the next datagram may be fine.
            let Ok((length, peer)) = self.socket.recv_from(&mut buffer).await else {
                continue;
            };
            let Some(message) = Message::parse(&buffer[..length]) else {
                continue;
            };
            self.on_message(message, peer).await;
        }
    }

    async fn on_message(self: &Arc<Self>, message: Message, peer: SocketAddr) {
        match message.method.as_str() {
            "INVITE" => self.on_invite(message, peer).await,
            "ACK" => self.update(&message.call_id(), |leg| leg.seen.acknowledged = true),
            "CANCEL" => self.on_cancel(&message, peer).await,
            "BYE" => self.on_bye(&message, peer).await,
            // Responses to our own BYE.
            "" => {}
            _ => self.send(message.reply(200, "OK", "witness", &[], ""), peer).await,
        }
    }

    async fn on_invite(self: &Arc<Self>, message: Message, peer: SocketAddr) {
        let key = message.call_id();
        let repeated = {
            let mut legs = self.lock();
            match legs.get_mut(&key) {
                Some(leg) => {
                    leg.seen.branches.insert(message.branch());
                    leg.seen.attempts.insert(message.header("X-Carillon-Attempt"));
                    Some(leg.last_reply.clone())
                }
                None => {
                    let number = message.number();
                    let tag = format!("witness{}", legs.len());
                    let seen = Leg {
                        sip_call_id: key.clone(),
                        number,
                        attempts: BTreeSet::from([message.header("X-Carillon-Attempt")]),
                        branches: BTreeSet::from([message.branch()]),
                        invited_at: Instant::now(),
                        answered_at: None,
                        acknowledged: false,
                        end: None,
                        heard: Vec::new(),
                        rang: false,
                    };
                    let changed = Arc::new(Notify::new());
                    legs.insert(
                        key.clone(),
                        LegState {
                            seen,
                            invite: message,
                            peer,
                            tag,
                            last_reply: None,
                            changed,
                        },
                    );
                    None
                }
            }
        };
        match repeated {
            Some(Some(reply)) => self.send(reply, peer).await,
            Some(None) => {}
            None => {
                tokio::spawn(Arc::clone(self).play(key));
            }
        }
    }

    async fn on_cancel(&self, message: &Message, peer: SocketAddr) {
        let key = message.call_id();
        let known = {
            let legs = self.lock();
            // CANCEL belongs to the INVITE with its branch, CSeq and request URI (RFC 3261 section 9.1).
            legs.get(&key).is_some_and(|leg| {
                leg.invite.branch() == message.branch()
                    && leg.invite.cseq_number() == message.cseq_number()
                    && leg.invite.target == message.target
            })
        };
        if !known {
            return self
                .send(
                    message.reply(481, "Call/Transaction Does Not Exist", "witness", &[], ""),
                    peer,
                )
                .await;
        }
        self.send(message.reply(200, "OK", "witness", &[], ""), peer).await;
        let open = self
            .lock()
            .get(&key)
            .is_some_and(|leg| leg.seen.answered_at.is_none() && leg.seen.end.is_none());
        if open {
            self.update(&key, |leg| leg.seen.end = Some((End::Cancelled, Instant::now())));
            self.respond(&key, 487, "Request Terminated", "").await;
        }
    }

    async fn on_bye(&self, message: &Message, peer: SocketAddr) {
        let key = message.call_id();
        // BYE is for a dialog, which has our tag.
        let known = self
            .lock()
            .get(&key)
            .is_some_and(|leg| message.to_tag() == leg.tag && leg.seen.end.is_none());
        if !known {
            return self
                .send(
                    message.reply(481, "Call/Transaction Does Not Exist", "witness", &[], ""),
                    peer,
                )
                .await;
        }
        self.update(&key, |leg| leg.seen.end = Some((End::HungUpByCaller, Instant::now())));
        self.send(message.reply(200, "OK", "witness", &[], ""), peer).await;
    }

    /// Plays the plan of one leg.
    async fn play(self: Arc<Self>, key: String) {
        let Some(number) = self.lock().get(&key).map(|leg| leg.seen.number.clone()) else {
            return;
        };
        let plan = (self.rule)(&number);
        if plan == Plan::Silence {
            return;
        }
        self.respond(&key, 100, "Trying", "").await;
        self.update(&key, |leg| leg.seen.rang = true);
        if !matches!(
            plan,
            Plan::Answer {
                ring: Duration::ZERO,
                ..
            }
        ) {
            self.respond(&key, 180, "Ringing", "").await;
        }
        match plan {
            Plan::Silence | Plan::Ring => {}
            Plan::Refuse { ring, code } => {
                if !self.ended_within(&key, ring).await {
                    self.update(&key, |leg| leg.seen.end = Some((End::Refused(code), Instant::now())));
                    self.respond(&key, code, "As Planned", "").await;
                }
            }
            Plan::Answer { ring, talk, sound } => {
                if !self.ended_within(&key, ring).await {
                    self.answer(&key, talk, sound).await;
                }
            }
        }
    }

    async fn answer(self: &Arc<Self>, key: &str, talk: Option<Duration>, sound: Sound) {
        let Some(offer) = self.lock().get(key).map(|leg| leg.invite.body.clone()) else {
            return;
        };
        let media = UdpSocket::bind("127.0.0.1:0").await.expect("a loopback port");
        let port = media.local_addr().expect("an address").port();
        self.update(key, |leg| leg.seen.answered_at = Some(Instant::now()));
        let target = rtp::target_of(&offer);
        let (inner, name) = (Arc::clone(self), key.to_owned());
        let listening = tokio::spawn(async move {
            rtp::talk(&media, target, sound, |payload| {
                inner.update(&name, |leg| leg.seen.heard.push(payload));
            })
            .await;
        });
        self.respond(key, 200, "OK", &rtp::answer_sdp(port)).await;
        let answered_at = Instant::now();
        let mut pause = T1;
        let over = loop {
            let rest = talk.map_or(ANSWER_GIVE_UP, |talk| talk.saturating_sub(answered_at.elapsed()));
            if self.ended_within(key, pause.min(rest)).await {
                break None;
            }
            let acknowledged = self.lock().get(key).is_some_and(|leg| leg.seen.acknowledged);
            if talk.is_some_and(|talk| answered_at.elapsed() >= talk) {
                break Some(End::HungUpByUs);
            }
            if !acknowledged && answered_at.elapsed() >= ANSWER_GIVE_UP {
                break Some(End::NeverAcknowledged);
            }
            if !acknowledged {
                self.repeat(key).await;
            }
            pause = (pause * 2).min(T1 * 8);
        };
        if let Some(end) = over {
            self.update(key, |leg| leg.seen.end = Some((end, Instant::now())));
            self.hang_up(key).await;
        }
        listening.abort();
    }

    /// Sends BYE, and again until it was surely heard or nobody listens.
    async fn hang_up(&self, key: &str) {
        let Some((bye, peer)) = self
            .lock()
            .get(key)
            .map(|leg| (leg.invite.bye(self.addr, &leg.tag), leg.peer))
        else {
            return;
        };
        for pause_ms in [0, 500, 1_000] {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            self.send(bye.clone(), peer).await;
        }
    }

    /// Waits for the end of a leg; true if it came within `wait`.
    async fn ended_within(&self, key: &str, wait: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let Some(changed) = self.lock().get(key).map(|leg| Arc::clone(&leg.changed)) else {
                return true;
            };
            let notified = changed.notified();
            if self.lock().get(key).is_none_or(|leg| leg.seen.end.is_some()) {
                return true;
            }
            if tokio::time::timeout_at(deadline, notified).await.is_err() {
                return false;
            }
        }
    }

    fn update(&self, key: &str, change: impl FnOnce(&mut LegState)) {
        if let Some(leg) = self.lock().get_mut(key) {
            change(leg);
            leg.changed.notify_waiters();
        }
    }

    /// Answers the INVITE of a leg; a 183 or 200 carries SDP.
    async fn respond(&self, key: &str, code: u16, reason: &str, sdp: &str) {
        let reply = {
            let mut legs = self.lock();
            let Some(leg) = legs.get_mut(key) else { return };
            let contact = format!("<sip:witness@{}>", self.addr);
            let reply = leg.invite.reply(code, reason, &leg.tag, &[("Contact", &contact)], sdp);
            leg.last_reply = Some(reply.clone());
            (reply, leg.peer)
        };
        self.send(reply.0, reply.1).await;
    }

    async fn repeat(&self, key: &str) {
        let last = self
            .lock()
            .get(key)
            .and_then(|leg| Some((leg.last_reply.clone()?, leg.peer)));
        if let Some((reply, peer)) = last {
            self.send(reply, peer).await;
        }
    }

    async fn send(&self, bytes: Vec<u8>, peer: SocketAddr) {
        // While the server is down nobody listens; that is part of the test.
        let _ = self.socket.send_to(&bytes, peer).await;
    }
}
