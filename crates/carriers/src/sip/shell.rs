//! Sockets, clock and tasks around the engine's core.

use crate::sip::config::SipConfig;
use crate::sip::core::{Core, Flow, Output};
use crate::sip::message::DropReason;
use crate::sip::tcp::{Connections, TcpEvent, Written, accept};
use crate::ua::{Challenge, Destination, IncomingCall, LegId, OfferRefused, OutboundCall, SipUa, UaStats};
use async_trait::async_trait;
use bytes::Bytes;
use carillon_domain::call::DialogFacts;
use carillon_domain::script::Digit;
use carillon_domain::trunk::{Credentials, Transport};
use carillon_interfaces::carrier::{CarrierEvent, NotSent};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Receive and send buffers that are asked for: bursts of 100 INVITEs overflow the usual 200 kB.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Most commands that wait for the engine.
const COMMANDS_MAX: usize = 4096;
/// Most datagrams that are taken in one go.
const BURST_MAX: usize = 64;
/// How often figures are published.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// What the application asks of the engine.
enum Command {
    Originate(
        Box<OutboundCall>,
        mpsc::Sender<CarrierEvent>,
        oneshot::Sender<Result<(), NotSent>>,
    ),
    Acknowledge(LegId),
    HangUp(LegId),
    Reinvite(LegId, Bytes, oneshot::Sender<Result<Bytes, OfferRefused>>),
    InfoDigit(LegId, Digit),
    EndOrphan(
        Destination,
        Option<Credentials>,
        Box<DialogFacts>,
        oneshot::Sender<bool>,
    ),
    Accept(mpsc::Sender<IncomingCall>),
    Ring(LegId, u16, Option<Bytes>),
    Answer(LegId, Bytes),
    Reject(LegId, u16, String, Vec<(String, String)>),
    Vanish(LegId),
    OfferAnswered(LegId, u64, Option<Bytes>),
    AddPeer(Destination, oneshot::Sender<bool>),
    Know(IpAddr),
    Forget(IpAddr),
    Adopt(TcpStream, SocketAddr, oneshot::Sender<()>),
    Stats(oneshot::Sender<UaStats>),
    Close(oneshot::Sender<()>),
}

/// The SIP engine: one task that owns the sockets and every call's state. Dropping it stops it at once;
/// [`SipUa::shut_down`] hangs up first.
#[derive(Debug)]
pub struct SipEngine {
    commands: mpsc::Sender<Command>,
    local_addr: SocketAddr,
    connect_deadline: Duration,
    stop: CancellationToken,
}

impl SipEngine {
    /// Binds UDP and TCP to `config.listen` and starts.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(config: SipConfig) -> io::Result<Self> {
        let (udp, listener) = bind(config.listen)?;
        let local_addr = udp.local_addr()?;
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let (tcp_events, tcp_queue) = mpsc::channel(256);
        tokio::spawn(accept(listener, tcp_events.clone()));
        let stop = CancellationToken::new();
        let connect_deadline = config.timers.connect_deadline;
        let core = Core::new(config, local_addr, Box::new(address_towards), now());
        let engine = Engine {
            core,
            udp,
            connections: Connections::new(tcp_events, connect_deadline),
            answers: commands.downgrade(),
            closing: None,
        };
        tokio::spawn(engine.run(queue, tcp_queue, stop.clone()));
        tracing::info!(addr = %local_addr, "SIP engine listens on UDP and TCP");
        Ok(Self {
            commands,
            local_addr,
            connect_deadline,
            stop,
        })
    }

    async fn command(&self, command: Command) {
        // A stopped engine has no calls left that a command could be about.
        let _ = self.commands.send(command).await;
    }
}

impl Drop for SipEngine {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// UDP and TCP sockets on one port.
fn bind(listen: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        // The kernel grants what it can.
        for granted in [
            socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES),
            socket.set_send_buffer_size(SOCKET_BUFFER_BYTES),
        ] {
            if let Err(error) = granted {
                tracing::debug!(%error, "SIP socket buffer stays as it is");
            }
        }
        socket.bind(&listen.into())?;
        let receive_buffer_bytes = socket.recv_buffer_size()?;
        metrics::gauge!("carillon_sip_receive_buffer_bytes").set(receive_buffer_bytes as f64);
        let udp = UdpSocket::from_std(socket.into())?;
        let addr = udp.local_addr()?;
        let tcp = if addr.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        tcp.set_reuseaddr(true)?;
        match tcp.bind(addr).and_then(|()| tcp.listen(128)) {
            Ok(listener) => return Ok((udp, listener)),
            // A free UDP port may be taken on TCP: draw another.
            Err(error) if listen.port() == 0 && attempts < 32 && error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
}

/// Our address towards a peer: connecting a UDP socket sends nothing and asks the routing table.
fn address_towards(peer: IpAddr) -> IpAddr {
    let (any, fallback): (IpAddr, IpAddr) = match peer {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::LOCALHOST.into()),
    };
    let asked = std::net::UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((peer, 9))?;
        socket.local_addr()
    });
    asked.map_or(fallback, |addr| addr.ip())
}

struct Engine {
    core: Core,
    udp: UdpSocket,
    connections: Connections,
    answers: mpsc::WeakSender<Command>,
    closing: Option<oneshot::Sender<()>>,
}

impl Engine {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut tcp_events: mpsc::Receiver<TcpEvent>,
        stop: CancellationToken,
    ) {
        let mut buffer = vec![0_u8; 65_536];
        let mut publish = tokio::time::interval(PUBLISH_EVERY);
        publish.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let wake = self.core.next_wake();
            tokio::select! {
                () = stop.cancelled() => return,
                command = commands.recv() => match command {
                    Some(command) => self.on_command(command).await,
                    None => return,
                },
                received = self.udp.recv_from(&mut buffer) => self.on_datagrams(received, &mut buffer).await,
                Some(event) = tcp_events.recv() => self.on_tcp(event),
                () = sleep_until(wake) => {}
                _ = publish.tick() => self.publish(),
            }
            self.core.on_time(now());
            self.flush().await;
            if self.core.live_legs() == 0
                && let Some(closing) = self.closing.take()
            {
                let _ = closing.send(());
            }
        }
    }

    /// The datagram that woke us and those that came with it.
    async fn on_datagrams(&mut self, first: io::Result<(usize, SocketAddr)>, buffer: &mut [u8]) {
        let mut received = first;
        for _ in 0..BURST_MAX {
            match received {
                Ok((length, peer)) => {
                    let flow = Flow {
                        transport: Transport::Udp,
                        peer,
                        conn: None,
                    };
                    let bytes = Bytes::copy_from_slice(&buffer[..length]);
                    self.core.on_message(now(), flow, &bytes);
                    self.flush().await;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    tracing::debug!(%error, "SIP socket reports an error");
                    return;
                }
            }
            received = self.udp.try_recv_from(buffer);
        }
    }

    fn on_tcp(&mut self, event: TcpEvent) {
        match event {
            TcpEvent::Accepted(stream, peer) => {
                if !self.core.source_allowed(peer.ip()) {
                    self.core.counters.drop(DropReason::Source);
                } else if self.connections.has_room() {
                    self.connections.adopt(stream, peer);
                } else {
                    self.core.counters.drop(DropReason::SlowPeer);
                }
            }
            TcpEvent::Connected(Some(stream), peer) => {
                self.connections.adopt(stream, peer);
            }
            TcpEvent::Connected(None, peer) => self.connections.give_up(peer),
            TcpEvent::Message(conn, peer, bytes) => {
                let flow = Flow {
                    transport: Transport::Tcp,
                    peer,
                    conn: Some(conn),
                };
                self.core.on_message(now(), flow, &bytes);
            }
            TcpEvent::Ping(conn) => self.connections.pong(conn),
            TcpEvent::Malformed(reason) => self.core.counters.drop(reason),
            TcpEvent::Closed(conn) => {
                self.connections.forget(conn);
                self.core.connection_lost(now(), conn);
            }
        }
    }

    async fn on_command(&mut self, command: Command) {
        let now = now();
        match command {
            Command::Originate(call, events, reply) => {
                let leg = call.leg;
                let conn = self.connection_to(call.destination);
                let mut result = self.core.originate(now, *call, conn, events);
                if result.is_ok()
                    && let Some(error) = self.flush().await
                {
                    self.core.never_sent(leg);
                    result = Err(NotSent::Unreachable(error));
                }
                let _ = reply.send(result);
            }
            Command::Acknowledge(leg) => self.core.acknowledge(leg),
            Command::HangUp(leg) => self.core.hang_up(now, leg),
            Command::Reinvite(leg, offer, reply) => self.core.reinvite(now, leg, offer, reply),
            Command::InfoDigit(leg, digit) => self.core.send_info_digit(now, leg, digit),
            Command::EndOrphan(destination, credentials, facts, reply) => {
                let conn = self.connection_to(destination);
                self.core.end_orphan(now, destination, conn, credentials, *facts, reply);
            }
            Command::Accept(acceptor) => self.core.set_acceptor(acceptor),
            Command::Ring(leg, code, sdp) => self.core.ring(now, leg, code, sdp.as_ref()),
            Command::Answer(leg, sdp) => self.core.answer(now, leg, sdp),
            Command::Reject(leg, code, reason, headers) => self.core.reject(now, leg, code, &reason, &headers),
            Command::Vanish(leg) => self.core.vanish(now, leg),
            Command::OfferAnswered(leg, token, answer) => self.core.offer_answered(now, leg, token, answer),
            Command::AddPeer(destination, reply) => {
                self.core.add_peer(destination.addr.ip());
                let ready = destination.transport == Transport::Udp || self.connections.to(destination.addr).is_some();
                let _ = reply.send(ready);
            }
            Command::Know(ip) => self.core.add_peer(ip),
            Command::Forget(ip) => self.core.forget_peer(ip),
            Command::Adopt(stream, peer, reply) => {
                self.connections.adopt(stream, peer);
                let _ = reply.send(());
            }
            Command::Stats(reply) => {
                let _ = reply.send(self.core.stats());
            }
            Command::Close(reply) => {
                self.core.close(now);
                self.closing = Some(reply);
            }
        }
    }

    fn connection_to(&self, destination: Destination) -> Option<u64> {
        match destination.transport {
            Transport::Udp => None,
            Transport::Tcp => self.connections.to(destination.addr),
        }
    }

    /// Does what the core wants done. Returns why the first INVITE of a leg could not be sent, if so.
    async fn flush(&mut self) -> Option<String> {
        let mut failed = None;
        for output in self.core.take_outputs() {
            match output {
                Output::Send { flow, bytes, first_of } => {
                    let error = self.send(flow, bytes, first_of.is_none()).await.err();
                    if first_of.is_some() {
                        failed = error;
                    }
                }
                Output::AwaitAnswer { leg, token, answer } => {
                    let commands = self.answers.clone();
                    tokio::spawn(async move {
                        let answer = answer.await.ok();
                        if let Some(commands) = commands.upgrade() {
                            let _ = commands.send(Command::OfferAnswered(leg, token, answer)).await;
                        }
                    });
                }
            }
        }
        failed
    }

    async fn send(&mut self, flow: Flow, bytes: Bytes, may_connect: bool) -> Result<(), String> {
        if flow.transport == Transport::Tcp {
            return match self.connections.write(flow.conn, flow.peer, bytes, may_connect) {
                Written::Queued | Written::Connecting => Ok(()),
                Written::Slow => {
                    self.core.counters.drop(DropReason::SlowPeer);
                    Err("the peer does not read its connection".to_owned())
                }
                Written::Lost => Err("no connection to the peer".to_owned()),
            };
        }
        let sent = match self.udp.try_send_to(&bytes, flow.peer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.udp.send_to(&bytes, flow.peer).await,
            sent => sent,
        };
        sent.map(|_| ()).map_err(|error| {
            tracing::debug!(peer = %flow.peer, %error, "SIP message not sent");
            error.to_string()
        })
    }

    fn publish(&self) {
        let stats = self.core.stats();
        metrics::gauge!("carillon_sip_legs").set(stats.legs as f64);
        metrics::gauge!("carillon_sip_live_legs").set(stats.live_legs as f64);
        metrics::gauge!("carillon_sip_transactions").set(stats.transactions as f64);
        let counters = &self.core.counters;
        for (direction, methods) in [("out", &counters.requests_out), ("in", &counters.requests_in)] {
            for (method, count) in methods {
                metrics::counter!("carillon_sip_requests_total", "direction" => direction, "method" => method.clone())
                    .absolute(*count);
            }
        }
        for (direction, classes) in [("out", counters.responses_out), ("in", counters.responses_in)] {
            for (class, count) in classes.into_iter().enumerate().filter(|(_, count)| *count > 0) {
                let class = format!("{class}xx");
                metrics::counter!("carillon_sip_responses_total", "direction" => direction, "class" => class)
                    .absolute(count);
            }
        }
        for (direction, count) in [("out", counters.retransmissions), ("in", counters.retransmissions_in)] {
            metrics::counter!("carillon_sip_retransmissions_total", "direction" => direction).absolute(count);
        }
        for (reason, count) in stats.drops {
            metrics::counter!("carillon_sip_drops_total", "reason" => reason).absolute(count);
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(tokio::time::Instant::from_std(at)).await,
        None => std::future::pending().await,
    }
}

fn stopped() -> NotSent {
    NotSent::NoRoom("it has stopped".to_owned())
}

#[async_trait]
impl SipUa for SipEngine {
    fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    async fn reach(&self, destination: Destination) -> Result<(), NotSent> {
        let (reply, ready) = oneshot::channel();
        self.command(Command::AddPeer(destination, reply)).await;
        if ready.await.map_err(|_| stopped())? {
            return Ok(());
        }
        let connect = tokio::time::timeout(self.connect_deadline, TcpStream::connect(destination.addr));
        let stream = match connect.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(NotSent::Unreachable(error.to_string())),
            Err(_) => return Err(NotSent::Unreachable("the connection took too long".to_owned())),
        };
        let (reply, adopted) = oneshot::channel();
        self.command(Command::Adopt(stream, destination.addr, reply)).await;
        adopted.await.map_err(|_| stopped())
    }

    async fn know(&self, ip: IpAddr) {
        self.command(Command::Know(ip)).await;
    }

    async fn forget(&self, ip: IpAddr) {
        self.command(Command::Forget(ip)).await;
    }

    async fn originate(&self, call: OutboundCall, events: mpsc::Sender<CarrierEvent>) -> Result<(), NotSent> {
        let (reply, result) = oneshot::channel();
        self.command(Command::Originate(Box::new(call), events, reply)).await;
        result.await.map_err(|_| stopped())?
    }

    async fn acknowledge(&self, leg: LegId) {
        self.command(Command::Acknowledge(leg)).await;
    }

    async fn hang_up(&self, leg: LegId) {
        self.command(Command::HangUp(leg)).await;
    }

    async fn reinvite(&self, leg: LegId, offer: Bytes) -> Result<Bytes, OfferRefused> {
        let (reply, result) = oneshot::channel();
        self.command(Command::Reinvite(leg, offer, reply)).await;
        result.await.map_err(|_| OfferRefused::NotNow)?
    }

    async fn send_info_digit(&self, leg: LegId, digit: Digit) {
        self.command(Command::InfoDigit(leg, digit)).await;
    }

    async fn end_orphan(&self, destination: Destination, credentials: Option<Credentials>, facts: DialogFacts) -> bool {
        let (reply, confirmed) = oneshot::channel();
        self.command(Command::EndOrphan(destination, credentials, Box::new(facts), reply))
            .await;
        confirmed.await.unwrap_or(false)
    }

    async fn accept(&self, capacity: usize) -> mpsc::Receiver<IncomingCall> {
        let (acceptor, calls) = mpsc::channel(capacity.max(1));
        self.command(Command::Accept(acceptor)).await;
        calls
    }

    async fn ring(&self, leg: LegId, code: u16, sdp: Option<Bytes>) {
        self.command(Command::Ring(leg, code, sdp)).await;
    }

    async fn answer(&self, leg: LegId, sdp: Bytes) {
        self.command(Command::Answer(leg, sdp)).await;
    }

    async fn reject(&self, leg: LegId, code: u16, reason: &str, headers: Vec<(String, String)>) {
        self.command(Command::Reject(leg, code, reason.to_owned(), headers))
            .await;
    }

    async fn challenge(&self, leg: LegId, challenge: Challenge) {
        let code = if challenge.proxy { 407 } else { 401 };
        let (name, value) = challenge.header();
        self.command(Command::Reject(
            leg,
            code,
            String::new(),
            vec![(name.to_owned(), value)],
        ))
        .await;
    }

    async fn vanish(&self, leg: LegId) {
        self.command(Command::Vanish(leg)).await;
    }

    async fn stats(&self) -> UaStats {
        let (reply, stats) = oneshot::channel();
        self.command(Command::Stats(reply)).await;
        stats.await.unwrap_or_default()
    }

    async fn shut_down(&self, patience: Duration) {
        let (reply, done) = oneshot::channel();
        self.command(Command::Close(reply)).await;
        let _ = tokio::time::timeout(patience, done).await;
        self.stop.cancel();
    }
}
