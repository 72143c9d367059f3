//! Legs that outlive their process: a second engine ends what the first one began, and SIPp must be content.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use bytes::Bytes;
use carillon_carriers::SipCarrier;
use carillon_carriers::sip::{SipConfig, SipEngine, SourcePolicy};
use carillon_carriers::ua::{InboundEvent, SipUa};
use carillon_domain::call::DialogFacts;
use carillon_domain::trunk::{Transport, Trunk};
use carillon_interfaces::carrier::{Carrier as _, CarrierEvent};
use common::{PATIENCE, Sipp, free_port, request, trunk};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

async fn life(addr: SocketAddr) -> (SipCarrier, Arc<SipEngine>) {
    let mut attempts = 0;
    let engine = loop {
        attempts += 1;
        match SipEngine::start(SipConfig::new(addr)).await {
            Ok(engine) => break Arc::new(engine),
            // The last life's sockets close a moment after it was dropped.
            Err(error) => assert!(attempts < 200, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    (SipCarrier::new(Arc::clone(&engine) as Arc<dyn SipUa>), engine)
}

async fn facts_at(events: &mut mpsc::Receiver<CarrierEvent>, answered: bool) -> DialogFacts {
    loop {
        match tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
            CarrierEvent::Progress { dialog, .. } if !answered => return dialog,
            CarrierEvent::Answered { dialog, .. } => return dialog,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_next_life_ends_what_the_last_one_began() {
    let rows = [("no_answer", false), ("answer", true), ("cancel_loses", false)];
    for (scenario, answered) in rows {
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let sipp = Sipp::answer_with(scenario, Transport::Udp, 1).await;
        let trunk = trunk(sipp.addr, Transport::Udp);
        let facts = first_life(addr, &trunk, answered).await;
        let (carrier, _engine) = life(addr).await;
        assert!(carrier.end_orphan(Arc::new(trunk), facts).await, "{scenario}");
        sipp.finish().await;
    }
}

/// Places a call and dies when it rings or is answered. What is stored of it survives as JSON.
async fn first_life(addr: SocketAddr, trunk: &Trunk, answered: bool) -> DialogFacts {
    let (carrier, _engine) = life(addr).await;
    let (sender, mut events) = mpsc::channel(16);
    carrier
        .originate(request(trunk.clone(), Duration::from_secs(30)), sender)
        .await
        .unwrap();
    let facts = facts_at(&mut events, answered).await;
    serde_json::from_str(&serde_json::to_string(&facts).unwrap()).unwrap()
}

/// SIPp keeps to one TCP connection; our own far end takes another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_next_life_ends_legs_over_a_new_connection() {
    let config = SipConfig {
        sources: SourcePolicy::Any,
        ..SipConfig::new("127.0.0.1:0".parse().unwrap())
    };
    let far = SipEngine::start(config).await.unwrap();
    let mut calls = far.accept(8).await;
    for answered in [false, true] {
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let trunk = trunk(far.local_addr(), Transport::Tcp);
        let answering = async {
            let call = calls.recv().await.unwrap();
            far.ring(call.leg, 180, None).await;
            if answered {
                far.answer(call.leg, Bytes::from_static(b"v=0\r\n")).await;
            }
            call
        };
        let (facts, mut call) = tokio::join!(first_life(addr, &trunk, answered), answering);
        let (carrier, _engine) = life(addr).await;
        assert!(carrier.end_orphan(Arc::new(trunk), facts).await, "answered: {answered}");
        let mut last = None;
        while let Some(event) = tokio::time::timeout(PATIENCE, call.events.recv()).await.unwrap() {
            last = Some(event);
        }
        match answered {
            false => assert!(matches!(last, Some(InboundEvent::Cancelled)), "{last:?}"),
            true => assert!(matches!(last, Some(InboundEvent::RemoteHangUp { .. })), "{last:?}"),
        }
    }
}

#[tokio::test]
async fn a_far_end_that_is_gone_too_is_reported_so() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let config = SipConfig {
        timers: carillon_carriers::sip::SipTimers {
            orphan_deadline: Duration::from_millis(700),
            ..carillon_carriers::sip::SipTimers::default()
        },
        ..SipConfig::new("127.0.0.1:0".parse().unwrap())
    };
    let engine = Arc::new(SipEngine::start(config).await.unwrap());
    let carrier = SipCarrier::new(engine as Arc<dyn SipUa>);
    let trunk = trunk(silent.local_addr().unwrap(), Transport::Udp);
    let request = request(trunk.clone(), Duration::from_secs(30));
    let branch = request.identity.invite_branch(2);
    let facts = DialogFacts {
        identity: request.identity,
        invite_branch: None,
        invite_cseq: 1,
        invite_uri: "sip:+4930123456@127.0.0.1".to_owned(),
        local_uri: "sip:+4930654321@127.0.0.1".to_owned(),
        contact_uri: None,
        remote_uri: "sip:+4930123456@127.0.0.1".to_owned(),
        remote_tag: None,
        remote_target: None,
        route_set: Vec::new(),
        peer: None,
        answered: false,
    };
    assert!(!carrier.end_orphan(Arc::new(trunk), facts).await);
    let mut buffer = [0; 2048];
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = silent.recv(&mut buffer).unwrap();
    // No response was stored, so its last INVITE is guessed: the one after a challenge, then the first.
    let sent = std::str::from_utf8(&buffer[..length]).unwrap();
    assert!(sent.starts_with("CANCEL ") && sent.contains(&branch), "{sent}");
}
