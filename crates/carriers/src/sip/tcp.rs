//! SIP over TCP: framing by Content-Length (RFC 3261 section 18.3), one reader and one writer task per connection.

use crate::sip::message::{DropReason, MAX_MESSAGE_BYTES, find};
use bytes::{Buf as _, Bytes, BytesMut};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Most connections at once.
const CONNECTIONS_MAX: usize = 1024;
/// Most messages that wait for one connection's socket: all calls of a trunk share one.
const WRITES_MAX: usize = 4096;
/// Most messages that are written in one go.
const WRITE_TOGETHER: usize = 32;
/// Most messages that wait for a connection to be made.
const PENDING_MAX: usize = 64;

/// What connections tell the engine.
#[derive(Debug)]
pub(crate) enum TcpEvent {
    /// A peer connected.
    Accepted(TcpStream, SocketAddr),
    /// A connection for waiting messages was made, or could not be.
    Connected(Option<TcpStream>, SocketAddr),
    /// One whole message.
    Message(u64, SocketAddr, Bytes),
    /// A keep-alive of RFC 5626 section 3.5.1, which wants an answer.
    Ping(u64),
    /// A stream that cannot be read as SIP; the connection is closed.
    Malformed(DropReason),
    /// The connection is gone.
    Closed(u64),
}

struct Connection {
    peer: SocketAddr,
    writes: mpsc::Sender<Bytes>,
}

/// All connections of an endpoint.
pub(crate) struct Connections {
    events: mpsc::Sender<TcpEvent>,
    open: HashMap<u64, Connection>,
    by_peer: HashMap<SocketAddr, u64>,
    pending: HashMap<SocketAddr, Vec<Bytes>>,
    next: u64,
    connect_deadline: Duration,
}

/// What became of a message for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is in the connection's queue.
    Queued,
    /// A connection is being made for it.
    Connecting,
    /// The peer does not read; the connection is given up.
    Slow,
    /// There is no connection and no room to wait for one.
    Lost,
}

impl Connections {
    pub(crate) fn new(events: mpsc::Sender<TcpEvent>, connect_deadline: Duration) -> Self {
        Self {
            events,
            open: HashMap::new(),
            by_peer: HashMap::new(),
            pending: HashMap::new(),
            next: 1,
            connect_deadline,
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.open.len() < CONNECTIONS_MAX
    }

    /// The connection to a peer, if one is open.
    pub(crate) fn to(&self, peer: SocketAddr) -> Option<u64> {
        self.by_peer.get(&peer).copied()
    }

    /// Takes over a connection and starts reading from it. Messages that waited for it are sent.
    pub(crate) fn adopt(&mut self, stream: TcpStream, peer: SocketAddr) -> u64 {
        let id = self.next;
        self.next += 1;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "no TCP_NODELAY");
        }
        let (read, write) = stream.into_split();
        let (writes, queue) = mpsc::channel(WRITES_MAX);
        for bytes in self.pending.remove(&peer).unwrap_or_default() {
            // There is room: fewer wait than the queue holds.
            let _ = writes.try_send(bytes);
        }
        tokio::spawn(read_messages(read, id, peer, self.events.clone()));
        tokio::spawn(write_messages(write, queue));
        self.open.insert(id, Connection { peer, writes });
        self.by_peer.insert(peer, id);
        id
    }

    /// Answers a keep-alive, if there is room.
    pub(crate) fn pong(&self, id: u64) {
        if let Some(connection) = self.open.get(&id) {
            let _ = connection.writes.try_send(Bytes::from_static(b"\r\n"));
        }
    }

    /// Forgets a connection. Its writer stops with it.
    pub(crate) fn forget(&mut self, id: u64) {
        if let Some(connection) = self.open.remove(&id)
            && self.by_peer.get(&connection.peer) == Some(&id)
        {
            self.by_peer.remove(&connection.peer);
        }
    }

    /// Gives up what waited for a connection that could not be made.
    pub(crate) fn give_up(&mut self, peer: SocketAddr) {
        self.pending.remove(&peer);
    }

    /// Sends by the given connection, else by another to the same peer, else by a new one if `may_connect`.
    pub(crate) fn write(&mut self, conn: Option<u64>, peer: SocketAddr, bytes: Bytes, may_connect: bool) -> Written {
        let id = conn.filter(|id| self.open.contains_key(id)).or_else(|| self.to(peer));
        if let Some((id, connection)) = id.and_then(|id| Some((id, self.open.get(&id)?))) {
            if connection.writes.try_send(bytes).is_ok() {
                return Written::Queued;
            }
            self.forget(id);
            return Written::Slow;
        }
        if !may_connect {
            return Written::Lost;
        }
        let waiting = self.pending.entry(peer).or_default();
        if waiting.len() >= PENDING_MAX {
            return Written::Lost;
        }
        waiting.push(bytes);
        if waiting.len() == 1 {
            let (events, deadline) = (self.events.clone(), self.connect_deadline);
            tokio::spawn(async move {
                let stream = tokio::time::timeout(deadline, TcpStream::connect(peer))
                    .await
                    .ok()
                    .and_then(Result::ok);
                let _ = events.send(TcpEvent::Connected(stream, peer)).await;
            });
        }
        Written::Connecting
    }
}

/// Accepts connections until the engine is gone.
pub(crate) async fn accept(listener: TcpListener, events: mpsc::Sender<TcpEvent>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if events.send(TcpEvent::Accepted(stream, peer)).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a SIP connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            () = events.closed() => return,
        }
    }
}

async fn write_messages(mut socket: OwnedWriteHalf, mut queue: mpsc::Receiver<Bytes>) {
    let mut messages = Vec::with_capacity(WRITE_TOGETHER);
    let mut buffer = BytesMut::new();
    while queue.recv_many(&mut messages, WRITE_TOGETHER).await > 0 {
        messages
            .drain(..)
            .for_each(|message| buffer.extend_from_slice(&message));
        if let Err(error) = socket.write_all(&buffer).await {
            tracing::debug!(%error, "SIP connection broke while writing");
            return;
        }
        buffer.clear();
    }
}

async fn read_messages(mut socket: OwnedReadHalf, id: u64, peer: SocketAddr, events: mpsc::Sender<TcpEvent>) {
    let mut buffer = BytesMut::with_capacity(4096);
    let malformed = loop {
        if buffer.as_ref() == b"\r\n\r\n" {
            buffer.clear();
            if events.send(TcpEvent::Ping(id)).await.is_err() {
                return;
            }
        }
        match next_message(&mut buffer) {
            Ok(Some(message)) => {
                if events.send(TcpEvent::Message(id, peer, message)).await.is_err() {
                    return;
                }
                continue;
            }
            Ok(None) => {}
            Err(reason) => break Some(reason),
        }
        match socket.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => break None,
            Ok(_) => {}
        }
    };
    if let Some(reason) = malformed {
        let _ = events.send(TcpEvent::Malformed(reason)).await;
    }
    let _ = events.send(TcpEvent::Closed(id)).await;
}

/// Cuts the next whole message off the front of what was read.
///
/// # Errors
/// The stream cannot be read on: where the next message begins is not known.
pub(crate) fn next_message(buffer: &mut BytesMut) -> Result<Option<Bytes>, DropReason> {
    let blank = buffer.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    buffer.advance(blank);
    let Some(head_end) = find(buffer, b"\r\n\r\n") else {
        return if buffer.len() > MAX_MESSAGE_BYTES {
            Err(DropReason::TooLarge)
        } else {
            Ok(None)
        };
    };
    let head = std::str::from_utf8(&buffer[..head_end]).map_err(|_| DropReason::Encoding)?;
    let mut length: Option<usize> = None;
    for line in head.split("\r\n").skip(1) {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let name = name.trim_end();
        if name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("l") {
            if length.is_some() {
                return Err(DropReason::Duplicate);
            }
            length = Some(value.trim().parse().map_err(|_| DropReason::ContentLength)?);
        }
    }
    let length = length.ok_or(DropReason::ContentLength)?;
    let total = (head_end + 4).saturating_add(length);
    if total > MAX_MESSAGE_BYTES {
        return Err(DropReason::TooLarge);
    }
    Ok((buffer.len() >= total).then(|| buffer.split_to(total).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> String {
        format!("OPTIONS sip:a@b SIP/2.0\r\nX: y\r\nl: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn messages_are_cut_wherever_the_stream_breaks() {
        let stream = format!("\r\n\r\n{}{}\r\n{}", message("abc"), message(""), message("\r\n\r\n"));
        for cut in 0..=stream.len() {
            let mut buffer = BytesMut::from(&stream.as_bytes()[..cut]);
            let mut got = Vec::new();
            while let Some(message) = next_message(&mut buffer).unwrap() {
                got.push(message);
            }
            buffer.extend_from_slice(&stream.as_bytes()[cut..]);
            while let Some(message) = next_message(&mut buffer).unwrap() {
                got.push(message);
            }
            assert_eq!(got, [message("abc"), message(""), message("\r\n\r\n")], "cut at {cut}");
        }
    }

    #[test]
    fn streams_that_cannot_be_read_on_are_refused() {
        let cases = [
            (
                "OPTIONS sip:a@b SIP/2.0\r\nX: y\r\n\r\n".to_owned(),
                DropReason::ContentLength,
            ),
            (
                "OPTIONS sip:a@b SIP/2.0\r\nl: x\r\n\r\n".to_owned(),
                DropReason::ContentLength,
            ),
            (
                "OPTIONS sip:a@b SIP/2.0\r\nl: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
                DropReason::Duplicate,
            ),
            (
                "OPTIONS sip:a@b SIP/2.0\r\nl: 18446744073709551615\r\n\r\n".to_owned(),
                DropReason::TooLarge,
            ),
            ("x".repeat(MAX_MESSAGE_BYTES + 1), DropReason::TooLarge),
        ];
        for (stream, reason) in cases {
            assert_eq!(next_message(&mut BytesMut::from(stream.as_bytes())), Err(reason));
        }
    }
}
