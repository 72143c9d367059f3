//! What the tests against real far ends share: SIPp as a process, a trunk to it, and events as text.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(
    unreachable_pub,
    unused_imports,
    dead_code,
    reason = "each test binary uses its part"
)]
#![allow(clippy::allow_attributes, reason = "which part is used differs between binaries")]

#[path = "../../../../tests/sipp/sipp.rs"]
mod sipp;

use bytes::Bytes;
use carillon_carriers::SipCarrier;
use carillon_carriers::sip::{SipConfig, SipEngine, SipTimers};
use carillon_carriers::ua::SipUa;
use carillon_domain::call::SipIdentity;
use carillon_domain::ids::{CallId, TrunkId, WorkspaceId};
use carillon_domain::trunk::{Codec, NumberFormat, Transport, Trunk};
use carillon_interfaces::carrier::{CallFailure, Carrier, CarrierEvent, OriginateRequest};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

pub use sipp::{Sipp, free_port};

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An SDP offer as media would write it.
pub const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
m=audio 40000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";

/// A trunk to a loopback address.
pub fn trunk(addr: SocketAddr, transport: Transport) -> Trunk {
    Trunk {
        workspace_id: WorkspaceId::new(uuid::Uuid::from_u128(1)),
        id: TrunkId::new(uuid::Uuid::now_v7()),
        name: "test".to_owned(),
        host: addr.ip().to_string(),
        port: addr.port(),
        transport,
        credentials: None,
        domain: None,
        caller_ids: Vec::new(),
        number_format: NumberFormat::E164,
        codecs: vec![Codec::Pcmu],
        lines: 100,
        calls_per_second: 100,
        assert_identity: true,
        sandbox: false,
        enabled: true,
        version: 0,
    }
}

/// An engine on a free loopback port and the carrier over it.
pub async fn carrier(timers: SipTimers) -> (Arc<SipCarrier>, Arc<SipEngine>) {
    let config = SipConfig {
        timers,
        ..SipConfig::new("127.0.0.1:0".parse().unwrap())
    };
    let engine = Arc::new(SipEngine::start(config).await.unwrap());
    let ua: Arc<dyn SipUa> = Arc::clone(&engine) as Arc<dyn SipUa>;
    (Arc::new(SipCarrier::new(ua)), engine)
}

/// A request to call `+4930123456`.
pub fn request(trunk: Trunk, ring_timeout: Duration) -> OriginateRequest {
    let call_id = CallId::new(uuid::Uuid::now_v7());
    OriginateRequest {
        call_id,
        identity: SipIdentity::of(call_id),
        trunk: Arc::new(trunk),
        to_user: "+4930123456".to_owned(),
        from_user: "+4930654321".to_owned(),
        offer_sdp: Bytes::from_static(OFFER.as_bytes()),
        ring_timeout,
    }
}

/// An event as a line of a table. The far end's SDP is told by its direction.
pub fn tell(event: &CarrierEvent) -> String {
    match event {
        CarrierEvent::Progress { code, sdp: None, .. } => format!("progress {code}"),
        CarrierEvent::Progress {
            code, sdp: Some(sdp), ..
        } => format!("progress {code} {}", direction(sdp)),
        CarrierEvent::Answered { sdp, .. } => format!("answered {}", direction(sdp)),
        CarrierEvent::Failed(CallFailure {
            code,
            reason,
            reason_header,
            retry_after_s,
            rang,
            wire,
        }) => {
            let code = code.map_or("none".to_owned(), |code| code.to_string());
            let mut text = format!("failed {code} {reason} {wire:?}");
            if *rang {
                text.push_str(" rang");
            }
            if let Some(header) = reason_header {
                text.push_str(&format!(" [{header}]"));
            }
            if let Some(seconds) = retry_after_s {
                text.push_str(&format!(" after {seconds}"));
            }
            text
        }
        CarrierEvent::RemoteHangUp { reason } => format!("remote {}", reason.as_deref().unwrap_or("-")),
        CarrierEvent::LocalHangUp { confirmed } => format!("local {confirmed}"),
        CarrierEvent::Reoffer { sdp, .. } => format!("reoffer {}", direction(sdp)),
        CarrierEvent::InfoDigit(digit) => format!("digit {}", char::from(*digit)),
    }
}

fn direction(sdp: &Bytes) -> &'static str {
    let text = std::str::from_utf8(sdp).unwrap();
    ["sendonly", "recvonly", "inactive", "sendrecv"]
        .into_iter()
        .find(|direction| text.contains(&format!("a={direction}")))
        .unwrap_or("-")
}

/// What the test does when something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing; offers are answered.
    Listen,
    /// Hangs up as soon as it is answered.
    HangUpOnAnswer,
    /// Hangs up at the first ringing.
    HangUpOnProgress,
    /// Hangs up as soon as the INVITE is out.
    HangUpAtOnce,
    /// Refuses every offer.
    RefuseOffers,
}

/// Follows a call to its final event.
pub async fn follow(
    carrier: &SipCarrier,
    call: CallId,
    events: &mut mpsc::Receiver<CarrierEvent>,
    act: Act,
) -> Vec<String> {
    let mut told = Vec::new();
    let followed = tokio::time::timeout(PATIENCE, async {
        while let Some(event) = events.recv().await {
            told.push(tell(&event));
            let is_final = event.is_final();
            match event {
                CarrierEvent::Answered { .. } if act == Act::HangUpOnAnswer => carrier.hang_up(call).await,
                CarrierEvent::Progress { .. } if act == Act::HangUpOnProgress => carrier.hang_up(call).await,
                CarrierEvent::Reoffer { sdp, answer } if act != Act::RefuseOffers => {
                    let direction = if direction(&sdp) == "sendonly" {
                        "recvonly"
                    } else {
                        "sendrecv"
                    };
                    let _ = answer.send(Bytes::from(OFFER.replace("sendrecv", direction)));
                }
                _ => {}
            }
            if is_final {
                assert!(events.recv().await.is_none(), "something follows the final event");
                return;
            }
        }
        panic!("the events end without a final one");
    });
    if followed.await.is_err() {
        panic!("no final event; so far: {told:?}");
    }
    told
}
