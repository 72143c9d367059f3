//! Who is heard: trunks before their first call, strangers never.

use crate::harness::PATIENCE;
use crate::harness::api::TrunkTo;
use crate::harness::server::{Installation, Server};
use crate::harness::sip::Message;
use reqwest::Method;
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

/// A peer with an address of its own: the guard goes by addresses.
struct Peer {
    socket: UdpSocket,
    to: SocketAddr,
    sent: u32,
}

impl Peer {
    async fn at(last_octet: u8, to: SocketAddr) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, last_octet), 0))
            .await
            .unwrap();
        Self { socket, to, sent: 0 }
    }

    fn addr(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Sends an OPTIONS and waits for its answer's status, if one comes within `patience`.
    async fn ask(&mut self, patience: Duration) -> Option<String> {
        self.sent += 1;
        let (us, number) = (self.addr(), self.sent);
        let options = format!(
            "OPTIONS sip:{} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK-{number}\r\nMax-Forwards: 70\r\n\
             From: <sip:{us}>;tag=1\r\nTo: <sip:{}>\r\nCall-ID: options-{number}@{us}\r\nCSeq: {number} OPTIONS\r\n\
             Content-Length: 0\r\n\r\n",
            self.to, self.to
        );
        self.socket.send_to(options.as_bytes(), self.to).await.unwrap();
        let mut buffer = vec![0; 2_000];
        let read = tokio::time::timeout(patience, self.socket.recv(&mut buffer)).await;
        let length = read.ok()?.unwrap();
        Some(Message::parse(&buffer[..length])?.target)
    }

    /// Asks until it is answered as wanted.
    async fn ask_until(&mut self, wanted: Option<&str>, why: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(Duration::from_millis(200)).await;
            if answer.as_deref() == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{why}: the last answer is {answer:?}");
        }
    }
}

/// How many messages of strangers were dropped.
async fn strangers(server: &Server) -> u64 {
    let (_, _, text) = server.api.fetch(&format!("{}/metrics", server.api.base_url)).await;
    let text = String::from_utf8(text).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("carillon_sip_drops_total") && line.contains("reason=\"source\""));
    line.and_then(|line| line.split(' ').next_back()?.parse().ok())
        .unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_is_heard_before_its_first_call_and_a_stranger_never() {
    let installation = Installation::new();
    let mut peer = Peer::at(2, installation.sip_addr()).await;
    let mut stranger = Peer::at(3, installation.sip_addr()).await;
    let server = installation.start().await;
    assert_eq!(peer.ask(Duration::from_millis(200)).await, None, "it is no trunk yet");

    let trunk = server.api.trunk("far end", &TrunkTo::udp(peer.addr())).await;
    peer.ask_until(Some("200"), "a trunk that was just saved").await;
    assert_eq!(stranger.ask(Duration::from_millis(200)).await, None);
    let deadline = Instant::now() + PATIENCE;
    while strangers(&server).await < 2 {
        assert!(Instant::now() < deadline, "dropped messages are counted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    drop(server);
    let server = installation.start().await;
    peer.ask_until(Some("200"), "a trunk of an earlier start").await;

    let enable = async |enabled: bool| {
        let change = json!({"enabled": enabled});
        server
            .api
            .native(Method::PATCH, &format!("/trunks/{trunk}"), Some(&change))
            .await
            .ok();
    };
    enable(false).await;
    peer.ask_until(None, "a trunk that was switched off").await;
    enable(true).await;
    peer.ask_until(Some("200"), "a trunk that was switched on again").await;
}
