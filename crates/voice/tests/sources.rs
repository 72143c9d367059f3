//! Packets from where they should not come, and packets that are none.

mod common;

use carillon_domain::ids::CallId;
use carillon_domain::time::UnixMicros;
use carillon_interfaces::voice::VoiceRuntime as _;
use carillon_media::rtcp::{self, LastReport, Sent};
use carillon_media::rtp::Reception;
use common::*;
use std::net::SocketAddr;

/// A call to a plain socket; returns where we listen.
async fn answered(us: &Side, stranger: &Stranger) -> (CallId, SocketAddr) {
    let spec = spec();
    let call_id = spec.call_id;
    let (events, _) = tokio::sync::mpsc::channel(8);
    let offer = us.engine.prepare(spec, events).await.expect("an offer");
    us.engine
        .connect(call_id, stranger.sdp(""), false)
        .await
        .expect("connected");
    (call_id, address_in(&offer))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_neither_heard_nor_spoken_to() {
    let us = Side::start(1);
    let (mut friend, mut stranger) = (Stranger::new().await, Stranger::new().await);
    let (call_id, to) = answered(&us, &friend).await;
    for _ in 0..5 {
        friend.say(to, 1, 0x80).await;
        figures_until(&us.engine, call_id, |_| true).await;
        stranger.say(to, 2, 0x10).await;
    }
    let figures = figures_until(&us.engine, call_id, |figures| {
        figures.packets_received + figures.packets_refused >= 10
    })
    .await;
    assert_eq!((figures.packets_received, figures.packets_refused), (5, 5));
    friend.hear().await;
    assert!(
        stranger.socket.try_recv(&mut [0; 200]).is_err(),
        "nothing is sent to the stranger"
    );
    let summary = us.engine.release(call_id).await;
    let (far, _) = us.recorded(&summary);
    let quiet = carillon_media::g711::decode_byte(carillon_domain::trunk::Codec::Pcmu, 0x10);
    assert!(!far.contains(&quiet), "the stranger is not in the recording");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_go_to_where_they_come_from() {
    let us = Side::start(2);
    let (inside, mut outside) = (Stranger::new().await, Stranger::new().await);
    let (call_id, to) = answered(&us, &inside).await;
    // The SDP names an address behind a NAT; the packets come from its outside.
    outside.say(to, 1, 0x80).await;
    assert_eq!(outside.hear().await.1, to);
    us.engine.release(call_id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_packets_are_counted_and_do_no_harm() {
    let us = Side::start(3);
    let mut friend = Stranger::new().await;
    let (call_id, to) = answered(&us, &friend).await;
    let broken: [&[u8]; 8] = [
        &[],
        &[0x80],
        &[0; 200],
        &[0xFF; 200],
        &[0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 9, 9],
        &[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0xA0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 200],
        &[0x80, 101, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1],
    ];
    for datagram in broken {
        friend.socket.send_to(datagram, to).await.expect("sent");
    }
    // Reports that are none go another way, and count apart.
    friend
        .socket
        .send_to(&[0x81, 200, 0, 99, 0, 0, 0, 1], to)
        .await
        .expect("sent");
    figures_until(&us.engine, call_id, |figures| {
        figures.packets_refused == broken.len() as u64
    })
    .await;
    friend.say(to, 5, 0x80).await;
    figures_until(&us.engine, call_id, |figures| figures.packets_received == 1).await;
    us.engine.release(call_id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_are_read_and_the_end_is_reported() {
    let us = Side::start(4);
    let (friend, control) = (Stranger::new().await, Stranger::new().await);
    let control_port = control.socket.local_addr().expect("bound").port();
    let spec = spec();
    let call_id = spec.call_id;
    let (events, _) = tokio::sync::mpsc::channel(8);
    let offer = us.engine.prepare(spec, events).await.expect("an offer");
    let answer = friend.sdp(&format!("a=rtcp:{control_port}\r\n"));
    us.engine.connect(call_id, answer, false).await.expect("connected");
    let (packet, from) = friend.hear().await;
    let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);

    let reception = Reception {
        ssrc,
        fraction_lost: 51,
        lost: 7,
        highest_sequence: 1,
        jitter: 3,
    };
    let sent = Sent {
        ssrc: 77,
        timestamp: 0,
        at: UnixMicros(0),
        packets: 1,
        octets: 160,
    };
    let report = rtcp::write(&sent, Some((reception, LastReport::default())), "friend", false);
    assert_eq!(from, address_in(&offer));
    control
        .socket
        .send_to(&report, SocketAddr::new(from.ip(), from.port() + 1))
        .await
        .expect("sent");
    let figures = figures_until(&us.engine, call_id, |figures| figures.reported_lost > 0).await;
    assert_eq!((figures.reported_lost, figures.reported_loss), (7, 51));

    us.engine.release(call_id).await;
    let (last_words, _) = control.hear().await;
    assert!(rtcp::parse(&last_words, 0).expect("a report").bye);
}
