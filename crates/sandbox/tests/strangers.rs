//! Callers that are not ours: plain sockets with INVITEs of their own making.

mod common;

use carillon_sandbox::EndedHow;
use common::*;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;

/// A caller of one socket.
struct Stranger {
    socket: UdpSocket,
    sandbox: SocketAddr,
    call_id: &'static str,
}

impl Stranger {
    async fn calling(sandbox: SocketAddr, call_id: &'static str) -> Self {
        Self {
            socket: UdpSocket::bind(LOOPBACK).await.expect("bound"),
            sandbox,
            call_id,
        }
    }

    fn port(&self) -> u16 {
        self.socket.local_addr().expect("bound").port()
    }

    async fn send(&self, method: &str, cseq: u32, to_tag: &str, body: &str) {
        let port = self.port();
        let Self { sandbox, call_id, .. } = self;
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        let message = format!(
            "{method} sip:+919876540005@{sandbox} SIP/2.0\r\n\
             Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{method}{cseq}{call_id};rport\r\n\
             From: <sip:stranger@127.0.0.1>;tag=s1\r\nTo: <sip:+919876540005@{sandbox}>{to_tag}\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:stranger@127.0.0.1:{port}>\r\n\
             Max-Forwards: 70\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.socket.send_to(message.as_bytes(), sandbox).await.expect("sent");
    }

    /// The first message that begins so; others are passed over.
    async fn receive(&self, start: &str) -> String {
        let receive = async {
            loop {
                let mut datagram = [0; 4_000];
                let (length, _) = self.socket.recv_from(&mut datagram).await.expect("received");
                let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
                if text.starts_with(start) {
                    return text;
                }
            }
        };
        tokio::time::timeout(PATIENCE, receive)
            .await
            .unwrap_or_else(|_| panic!("no {start}"))
    }
}

fn to_tag(response: &str) -> String {
    let to = response
        .lines()
        .find(|line| line.starts_with("To:"))
        .expect("a To header");
    to.split_once(";tag=")
        .map(|(_, tag)| format!(";tag={tag}"))
        .expect("a tag")
}

fn sdp(port: u16, formats: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP {formats}\r\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offerless_call_is_offered_sound_and_hears_it() {
    let (sandbox, _folder) = sandbox(|_| {}).await;
    let stranger = Stranger::calling(sandbox.local_addr(), "offerless").await;
    let sound = UdpSocket::bind(LOOPBACK).await.expect("bound");
    stranger.send("INVITE", 1, "", "").await;
    let answer = stranger.receive("SIP/2.0 200").await;
    assert!(answer.contains("m=audio "), "{answer}");
    let tag = to_tag(&answer);
    stranger
        .send("ACK", 1, &tag, &sdp(sound.local_addr().expect("bound").port(), "8"))
        .await;
    let mut datagram = [0; 400];
    for _ in 0..20 {
        let received = tokio::time::timeout(PATIENCE, sound.recv_from(&mut datagram)).await;
        let (length, _) = received.expect("in time").expect("a packet");
        assert_eq!((length, datagram[1] & 0x7F), (172, 8), "20 ms of A-law");
    }
    stranger.send("BYE", 2, &tag, "").await;
    stranger.receive("SIP/2.0 200").await;
    let ended = tokio::time::timeout(PATIENCE, async {
        sandbox.log().find(|call| call.ended.is_some()).await
    })
    .await;
    let end = ended.expect("in time").ended.expect("ended");
    assert_eq!(end.how, EndedHow::CallerHungUp);
    assert!(end.packets_sent >= 20, "{end:?}");
    sandbox.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_that_cannot_be_is_refused_with_488() {
    let (sandbox, _folder) = sandbox(|_| {}).await;
    let port = 40_000;
    let offers = [
        ("no-codec", sdp(port, "3")),
        ("video-only", sdp(port, "0").replace("m=audio", "m=video")),
        ("no-sdp", "hello".to_owned()),
        ("no-address", sdp(port, "0").replace("c=IN IP4 127.0.0.1\r\n", "")),
    ];
    for (call_id, offer) in offers {
        let stranger = Stranger::calling(sandbox.local_addr(), call_id).await;
        stranger.send("INVITE", 1, "", &offer).await;
        let refusal = stranger.receive("SIP/2.0 4").await;
        assert!(refusal.starts_with("SIP/2.0 488 "), "{call_id}: {refusal}");
        stranger.send("ACK", 1, &to_tag(&refusal), "").await;
    }
    let log = sandbox.log();
    sandbox.shut_down().await;
    for call in log.calls() {
        assert_eq!(
            call.ended.map(|end| end.how),
            Some(EndedHow::Refused { code: 488 }),
            "{}",
            call.call_id
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_never_acknowledges_is_let_go() {
    let (sandbox, _folder) = sandbox(|config| config.sip_timers.t1 = Duration::from_millis(50)).await;
    let stranger = Stranger::calling(sandbox.local_addr(), "no-ack").await;
    stranger.send("INVITE", 1, "", &sdp(stranger.port(), "0")).await;
    let first = stranger.receive("SIP/2.0 200").await;
    assert_eq!(stranger.receive("SIP/2.0 200").await, first, "the same answer again");
    stranger.receive("BYE ").await;
    let ended = tokio::time::timeout(PATIENCE, async {
        sandbox.log().find(|call| call.ended.is_some()).await
    })
    .await;
    assert_eq!(
        ended.expect("in time").ended.expect("ended").how,
        EndedHow::NotAcknowledged
    );
    sandbox.shut_down().await;
}
