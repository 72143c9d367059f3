//! The carrier: trunks, pacing and numbers in front of a SIP user agent.

use crate::pacing::SlidingWindow;
use crate::sip::grammar::{escape_user, is_plain_user};
use crate::ua::{Destination, LegId, OutboundCall, SipUa};
use async_trait::async_trait;
use carillon_domain::call::DialogFacts;
use carillon_domain::ids::{CallId, TrunkId};
use carillon_domain::trunk::{Transport, Trunk};
use carillon_interfaces::carrier::{Carrier, CarrierEvent, NotSent, OriginateRequest};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{MutexGuard, mpsc};
use tokio_util::sync::CancellationToken;

/// Most calls that wait for one trunk's next free moment.
const WAITING_MAX: usize = 10_000;
/// How long a name may take to resolve.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(5);

/// How long the ACK of an answer may wait until the answer is stored. A far end repeats its 200 first after 0.5 s and for 32 s
/// in all (RFC 3261 section 13.3.1.4); a store that takes longer than this must not keep people waiting for their call.
const ACK_WAITS_MAX: Duration = Duration::from_secs(2);

/// `Carrier` over SIP.
pub struct SipCarrier {
    ua: Arc<dyn SipUa>,
    pacers: Mutex<HashMap<TrunkId, Arc<Pacer>>>,
    /// Calls that have not left yet, and how their wait is ended.
    waiting: Mutex<HashMap<CallId, CancellationToken>>,
    /// The addresses by which each trunk is known as a source.
    known: Mutex<BTreeMap<TrunkId, BTreeSet<IpAddr>>>,
}

/// Lets one trunk's calls out one after the other. The lock is fair, and is held from the moment the window opens until
/// the INVITE has left, so that the window is measured at the socket.
#[derive(Debug)]
struct Pacer {
    window: tokio::sync::Mutex<SlidingWindow>,
    waiting: AtomicUsize,
}

impl std::fmt::Debug for SipCarrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SipCarrier")
            .field("local_addr", &self.ua.local_addr())
            .finish_non_exhaustive()
    }
}

impl SipCarrier {
    /// A carrier over this user agent.
    pub fn new(ua: Arc<dyn SipUa>) -> Self {
        Self {
            ua,
            pacers: Mutex::default(),
            waiting: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// Makes a trunk a peer whose messages are read, and over TCP connects to it. Its addresses are tried in turn.
    ///
    /// # Errors
    /// Its name does not resolve, or none of its addresses takes a connection.
    pub async fn reach(&self, trunk: &Trunk) -> Result<Destination, NotSent> {
        let addrs = resolve(trunk, self.ua.local_addr()).await?;
        self.lock_known()
            .entry(trunk.id)
            .or_default()
            .extend(addrs.iter().map(SocketAddr::ip));
        self.reach_first(trunk, &addrs).await
    }

    async fn reach_first(&self, trunk: &Trunk, addrs: &[SocketAddr]) -> Result<Destination, NotSent> {
        let mut result = Err(NotSent::Unreachable(trunk.host.clone()));
        for addr in addrs {
            let destination = Destination {
                addr: *addr,
                transport: trunk.transport,
            };
            result = self.ua.reach(destination).await.map(|()| destination);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Makes every address of the trunk's name a known source, and connects to a trunk over TCP that has new ones.
    async fn make_known(&self, trunk: &Trunk) -> Result<(), NotSent> {
        let addrs = resolve(trunk, self.ua.local_addr()).await?;
        let now: BTreeSet<IpAddr> = addrs.iter().map(SocketAddr::ip).collect();
        let before = self.lock_known().insert(trunk.id, now.clone()).unwrap_or_default();
        for ip in &now {
            self.ua.know(*ip).await;
        }
        for ip in before.difference(&now) {
            self.forget_unused(*ip).await;
        }
        if trunk.transport == Transport::Tcp && now != before {
            self.reach_first(trunk, &addrs).await?;
        }
        Ok(())
    }

    /// Several trunks may stand behind one address.
    async fn forget_unused(&self, ip: IpAddr) {
        let used = self.lock_known().values().any(|ips| ips.contains(&ip));
        if !used {
            self.ua.forget(ip).await;
        }
    }

    fn lock_known(&self) -> std::sync::MutexGuard<'_, BTreeMap<TrunkId, BTreeSet<IpAddr>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pacer(&self, trunk: TrunkId, limit: u32) -> Arc<Pacer> {
        let mut pacers = self.pacers.lock().unwrap_or_else(PoisonError::into_inner);
        let pacer = pacers.entry(trunk).or_insert_with(|| {
            Arc::new(Pacer {
                window: tokio::sync::Mutex::new(SlidingWindow::new(limit)),
                waiting: AtomicUsize::new(0),
            })
        });
        Arc::clone(pacer)
    }
}

impl Pacer {
    /// Waits for its turn and for the window to open. The guard is held until the INVITE has left.
    async fn turn(&self, limit: u32) -> MutexGuard<'_, SlidingWindow> {
        let mut window = self.window.lock().await;
        window.set_limit(limit);
        while let Some(at) = window.opens_at(Instant::now()) {
            tokio::time::sleep_until(tokio::time::Instant::from_std(at)).await;
        }
        window
    }
}

/// A place in a trunk's queue, given back on every path.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Result<Self, NotSent> {
        if waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(NotSent::NoRoom(format!("{WAITING_MAX} calls wait for this trunk")));
        }
        Ok(Self(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The entry of a call that has not left yet, taken away on every path.
struct Waiting<'a>(&'a SipCarrier, CallId);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.1);
    }
}

fn leg_of(call: CallId) -> LegId {
    LegId(call.uuid().as_u128())
}

/// The trunk's addresses that a socket of this family can reach: a literal, or what its name resolves to.
async fn resolve(trunk: &Trunk, local: SocketAddr) -> Result<Vec<SocketAddr>, NotSent> {
    let host = trunk.host.trim_start_matches('[').trim_end_matches(']');
    let unreachable = |why: &str| NotSent::Unreachable(format!("{host}: {why}"));
    let addrs: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, trunk.port)],
        Err(_) => {
            let lookup = tokio::time::timeout(RESOLVE_DEADLINE, tokio::net::lookup_host((host, trunk.port)));
            let found = lookup.await.map_err(|_| unreachable("no answer"))?;
            found.map_err(|error| unreachable(&error.to_string()))?.collect()
        }
    };
    let usable =
        |addr: &SocketAddr| addr.port() != 0 && !addr.ip().is_unspecified() && addr.is_ipv4() == local.is_ipv4();
    let addrs: Vec<SocketAddr> = addrs.into_iter().filter(usable).collect();
    if addrs.is_empty() {
        Err(unreachable("no address that can be reached from here"))
    } else {
        Ok(addrs)
    }
}

/// The INVITE's addresses and headers.
fn outbound(request: OriginateRequest, destination: Destination) -> Result<OutboundCall, NotSent> {
    let trunk = &request.trunk;
    for user in [&request.to_user, &request.from_user] {
        if !is_plain_user(user) {
            return Err(NotSent::Invalid(
                "a number holds characters that a SIP URI cannot".to_owned(),
            ));
        }
    }
    let host = match &trunk.domain {
        Some(domain) => domain.clone(),
        None if trunk.host.contains(':') && !trunk.host.starts_with('[') => format!("[{}]", trunk.host),
        None => trunk.host.clone(),
    };
    let port = match (&trunk.domain, trunk.port) {
        (Some(_), _) | (None, 5060) => String::new(),
        (None, port) => format!(":{port}"),
    };
    let transport = match trunk.transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
    };
    let from_uri = format!("sip:{}@{host}", escape_user(&request.from_user));
    let mut headers = vec![("X-Carillon-Attempt", request.call_id.to_string())];
    if trunk.assert_identity {
        headers.push(("P-Asserted-Identity", format!("<{from_uri}>")));
    }
    Ok(OutboundCall {
        leg: leg_of(request.call_id),
        request_uri: format!("sip:{}@{host}{port}{transport}", escape_user(&request.to_user)),
        from_uri,
        headers,
        credentials: trunk.credentials.clone(),
        offer: request.offer_sdp,
        ring_timeout: request.ring_timeout,
        hold_ack: Some(ACK_WAITS_MAX),
        identity: request.identity,
        destination,
    })
}

#[async_trait]
impl Carrier for SipCarrier {
    async fn originate(&self, request: OriginateRequest, events: mpsc::Sender<CarrierEvent>) -> Result<(), NotSent> {
        let call_id = request.call_id;
        let hung_up = CancellationToken::new();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(call_id, hung_up.clone());
        let _waiting = Waiting(self, call_id);
        let trunk = Arc::clone(&request.trunk);
        let pacer = self.pacer(trunk.id, trunk.calls_per_second);
        let _place = Place::take(&pacer.waiting)?;
        let turn = async {
            let destination = self.reach(&trunk).await?;
            let call = outbound(request, destination)?;
            Ok((call, pacer.turn(trunk.calls_per_second).await))
        };
        let (call, mut window) = tokio::select! {
            turn = turn => turn?,
            () = hung_up.cancelled() => return Err(NotSent::NoRoom("hung up before its turn came".to_owned())),
        };
        self.ua.originate(call, events).await?;
        window.sent(Instant::now());
        drop(window);
        if hung_up.is_cancelled() {
            // The hang-up may have overtaken the INVITE on its way to the user agent.
            self.ua.hang_up(leg_of(call_id)).await;
        }
        Ok(())
    }

    async fn acknowledge(&self, call_id: CallId) {
        self.ua.acknowledge(leg_of(call_id)).await;
    }

    async fn hang_up(&self, call_id: CallId) {
        if let Some(waiting) = self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&call_id)
        {
            waiting.cancel();
        }
        self.ua.hang_up(leg_of(call_id)).await;
    }

    async fn end_orphan(&self, trunk: Arc<Trunk>, dialog: DialogFacts) -> bool {
        let destination = match self.reach(&trunk).await {
            Ok(destination) => destination,
            Err(error) => {
                tracing::warn!(trunk = %trunk.id, %error, "cannot end a leg of an earlier life");
                return false;
            }
        };
        self.ua.end_orphan(destination, trunk.credentials.clone(), dialog).await
    }

    async fn set_trunks(&self, trunks: Vec<Arc<Trunk>>) {
        let gone: Vec<BTreeSet<IpAddr>> = {
            let mut known = self.lock_known();
            let missing: Vec<TrunkId> = known
                .keys()
                .copied()
                .filter(|id| trunks.iter().all(|trunk| trunk.id != *id))
                .collect();
            missing.iter().filter_map(|id| known.remove(id)).collect()
        };
        for ip in gone.into_iter().flatten() {
            self.forget_unused(ip).await;
        }
        // Side by side: a name server that is slow for one must not keep the others unknown.
        let each = trunks.iter().map(|trunk| async move {
            if let Err(error) = self.make_known(trunk).await {
                tracing::warn!(trunk = %trunk.id, %error, "a trunk is not reached yet");
            }
        });
        futures::future::join_all(each).await;
    }
}
