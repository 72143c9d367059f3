//! Both sides of our own engine over real sockets: the far end that the sandbox is made of.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use bytes::Bytes;
use carillon_carriers::sip::{SipConfig, SipEngine, SipTimers, SourcePolicy};
use carillon_carriers::ua::{Challenge, InboundEvent, IncomingCall, SipUa};
use carillon_domain::pii::Secret;
use carillon_domain::script::Digit;
use carillon_domain::trunk::{Credentials, Transport};
use carillon_interfaces::carrier::{Carrier as _, CarrierEvent, NotSent};
use common::{Act, OFFER, PATIENCE, carrier, follow, request, tell, trunk};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

const BOTH: [Transport; 2] = [Transport::Udp, Transport::Tcp];

struct FarEnd {
    ua: SipEngine,
    calls: mpsc::Receiver<IncomingCall>,
}

impl FarEnd {
    async fn start() -> Self {
        let config = SipConfig {
            sources: SourcePolicy::Any,
            ..SipConfig::new("127.0.0.1:0".parse().unwrap())
        };
        let ua = SipEngine::start(config).await.unwrap();
        let calls = ua.accept(1024).await;
        Self { ua, calls }
    }

    async fn next(&mut self) -> IncomingCall {
        tokio::time::timeout(PATIENCE, self.calls.recv())
            .await
            .unwrap()
            .unwrap()
    }
}

async fn next<T>(events: &mut mpsc::Receiver<T>) -> T {
    tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap()
}

fn sdp() -> Bytes {
    Bytes::from_static(OFFER.as_bytes())
}

#[tokio::test]
async fn a_call_is_rung_answered_pressed_held_and_ended() {
    for transport in BOTH {
        let mut far = FarEnd::start().await;
        let (carrier, ours) = carrier(SipTimers::default()).await;
        let request = request(trunk(far.ua.local_addr(), transport), Duration::from_secs(10));
        let (call_id, identity) = (request.call_id, request.identity.clone());
        let (sender, mut events) = mpsc::channel(16);
        carrier.originate(request, sender).await.unwrap();
        let mut call = far.next().await;
        assert_eq!(
            (call.to_user.as_str(), call.from_user.as_str()),
            ("+4930123456", "+4930654321")
        );
        assert_eq!(call.header("X-Carillon-Attempt"), Some(call_id.to_string().as_str()));
        assert_eq!(call.header("User-Agent"), Some("Carillon"));
        let identity_uri = format!("<sip:+4930654321@{}>", "127.0.0.1");
        assert_eq!(call.header("P-Asserted-Identity"), Some(identity_uri.as_str()));
        assert_eq!(call.call_id, identity.sip_call_id);
        assert!(
            call.header("From")
                .unwrap()
                .ends_with(&format!(";tag={}", identity.local_tag))
        );
        assert_eq!(call.offer, Some(sdp()));
        let our_addr = ours.local_addr().to_string();
        assert!(call.header("Contact").unwrap().contains(&our_addr));
        assert!(call.header("Via").unwrap().contains(&our_addr));

        far.ua.ring(call.leg, 180, None).await;
        far.ua.ring(call.leg, 183, Some(sdp())).await;
        far.ua.answer(call.leg, sdp()).await;
        for expected in ["progress 180", "progress 183 sendrecv", "answered sendrecv"] {
            let event = next(&mut events).await;
            assert_eq!(tell(&event), expected);
            let (CarrierEvent::Progress { dialog, .. } | CarrierEvent::Answered { dialog, .. }) = event else {
                unreachable!("told above")
            };
            assert_eq!(dialog.identity, identity);
            assert_eq!(dialog.peer, Some(far.ua.local_addr().to_string()));
            assert!(dialog.remote_tag.is_some() && dialog.invite_branch.is_some());
            assert_eq!(
                (dialog.invite_cseq, dialog.answered),
                (1, expected.starts_with("answered"))
            );
        }
        assert!(matches!(
            next(&mut call.events).await,
            InboundEvent::Established { sdp: None }
        ));

        far.ua.send_info_digit(call.leg, Digit::parse('7').unwrap()).await;
        assert_eq!(tell(&next(&mut events).await), "digit 7");

        let held = Bytes::from(OFFER.replace("sendrecv", "sendonly"));
        let reinvite = far.ua.reinvite(call.leg, held);
        let answer = async {
            let CarrierEvent::Reoffer { sdp, answer } = next(&mut events).await else {
                panic!("no offer")
            };
            assert!(sdp.windows(8).any(|w| w == b"sendonly"));
            answer.send(Bytes::from(OFFER.replace("sendrecv", "recvonly"))).unwrap();
        };
        let (answered, ()) = tokio::join!(reinvite, answer);
        assert!(answered.unwrap().windows(8).any(|w| w == b"recvonly"));

        carrier.hang_up(call_id).await;
        assert_eq!(tell(&next(&mut events).await), "local true");
        assert!(matches!(
            next(&mut call.events).await,
            InboundEvent::RemoteHangUp { reason: None }
        ));
        assert!(call.events.recv().await.is_none(), "the channel closes with the leg");
        assert_eq!(
            (ours.stats().await.drops, far.ua.stats().await.drops),
            (vec![], vec![]),
            "{transport:?}"
        );
    }
}

#[tokio::test]
async fn refusals_carry_their_code_reason_and_headers() {
    let mut far = FarEnd::start().await;
    let (carrier, _ours) = carrier(SipTimers::default()).await;
    let cases: [(u16, &str, &[(&str, &str)], &str); 4] = [
        (486, "", &[], "failed 486 Busy Here Final"),
        (603, "Not now", &[], "failed 603 Not now Final"),
        (
            503,
            "",
            &[("Retry-After", "120")],
            "failed 503 Service Unavailable Final after 120",
        ),
        (
            480,
            "Gone\r\nX-Evil: 1",
            &[("Reason", "Q.850;cause=18")],
            "failed 480 GoneX-Evil: 1 Final [Q.850;cause=18]",
        ),
    ];
    for (code, reason, headers, expected) in cases {
        let request = request(trunk(far.ua.local_addr(), Transport::Udp), Duration::from_secs(10));
        let call_id = request.call_id;
        let (sender, mut events) = mpsc::channel(16);
        carrier.originate(request, sender).await.unwrap();
        let mut call = far.next().await;
        let headers = headers
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        far.ua.reject(call.leg, code, reason, headers).await;
        assert_eq!(follow(&carrier, call_id, &mut events, Act::Listen).await, [expected]);
        assert!(call.events.recv().await.is_none());
    }
}

#[tokio::test]
async fn challenges_are_answered_with_the_same_call_id_and_the_next_cseq() {
    for proxy in [false, true] {
        for sha256 in [false, true] {
            let mut far = FarEnd::start().await;
            let (carrier, _ours) = carrier(SipTimers::default()).await;
            let credentials = Credentials {
                username: "alice".to_owned(),
                password: Secret::new("s\"3cret"),
            };
            let mut trunk = trunk(far.ua.local_addr(), Transport::Udp);
            trunk.credentials = Some(credentials.clone());
            let request = request(trunk, Duration::from_secs(10));
            let call_id = request.call_id;
            let (sender, mut events) = mpsc::channel(16);
            carrier.originate(request, sender).await.unwrap();
            let first = far.next().await;
            let challenge = Challenge {
                proxy,
                realm: "far".to_owned(),
                nonce: "n0nce".to_owned(),
                qop: true,
                sha256,
            };
            far.ua.challenge(first.leg, challenge.clone()).await;
            let second = far.next().await;
            assert_eq!((second.call_id.as_str(), second.cseq), (first.call_id.as_str(), 2));
            let header = if proxy { "Proxy-Authorization" } else { "Authorization" };
            assert!(challenge.is_answered_by(second.header(header).unwrap(), &credentials, "INVITE"));
            far.ua.answer(second.leg, sdp()).await;
            let told = follow(&carrier, call_id, &mut events, Act::HangUpOnAnswer).await;
            assert_eq!(told, ["answered sendrecv", "local true"]);
        }
    }
}

#[tokio::test]
async fn an_engine_that_takes_no_calls_refuses_at_once() {
    let config = SipConfig {
        sources: SourcePolicy::Any,
        ..SipConfig::new("127.0.0.1:0".parse().unwrap())
    };
    let deaf = SipEngine::start(config).await.unwrap();
    let (carrier, _ours) = carrier(SipTimers::default()).await;
    let request = request(trunk(deaf.local_addr(), Transport::Udp), Duration::from_secs(10));
    let call_id = request.call_id;
    let (sender, mut events) = mpsc::channel(16);
    carrier.originate(request, sender).await.unwrap();
    let told = follow(&carrier, call_id, &mut events, Act::Listen).await;
    assert_eq!(told, ["failed 403 No calls are taken here Final"]);
}

#[tokio::test]
async fn what_cannot_be_sent_says_so_and_makes_no_event() {
    let (carrier, ours) = carrier(SipTimers::default()).await;
    let closed: SocketAddr = format!("127.0.0.1:{}", common::free_port()).parse().unwrap();
    let mut named = trunk(closed, Transport::Udp);
    named.host = "no-such-host.invalid".to_owned();
    let mut odd_number = request(trunk(closed, Transport::Udp), Duration::from_secs(1));
    odd_number.to_user = "49>30\r\n".to_owned();
    let mut broadcast = trunk(closed, Transport::Udp);
    broadcast.host = "255.255.255.255".to_owned();
    let seconds = Duration::from_secs(1);
    let cases = [
        (
            "TCP port closed",
            request(trunk(closed, Transport::Tcp), seconds),
            "unreachable",
        ),
        ("number", odd_number, "invalid"),
        ("name", request(named, seconds), "unreachable"),
        ("no permission to broadcast", request(broadcast, seconds), "unreachable"),
    ];
    for (what, request, expected) in cases {
        let (sender, mut events) = mpsc::channel(4);
        let error = carrier.originate(request, sender).await.unwrap_err();
        let kind = match error {
            NotSent::Unreachable(_) => "unreachable",
            NotSent::NoRoom(_) => "no room",
            NotSent::Invalid(_) => "invalid",
        };
        assert_eq!(kind, expected, "{what}: {error}");
        assert!(events.recv().await.is_none(), "{what}");
    }
    assert_eq!(ours.stats().await.legs, 0);
}

#[tokio::test]
async fn a_lost_connection_before_any_answer_leaves_the_wire_unknown() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (carrier, _ours) = carrier(SipTimers::default()).await;
    let request = request(
        trunk(listener.local_addr().unwrap(), Transport::Tcp),
        Duration::from_secs(10),
    );
    let call_id = request.call_id;
    let (sender, mut events) = mpsc::channel(16);
    let accepted = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let read = stream.read(&mut [0; 64]).await.unwrap();
        assert!(read > 0, "the INVITE has left");
    };
    let (sent, ()) = tokio::join!(carrier.originate(request, sender), accepted);
    sent.unwrap();
    let told = follow(&carrier, call_id, &mut events, Act::Listen).await;
    assert_eq!(
        told,
        ["failed none the connection broke before a response came Unknown"]
    );
}

#[tokio::test]
async fn never_more_calls_than_the_trunk_takes_in_any_second() {
    let mut far = FarEnd::start().await;
    let (carrier, _ours) = carrier(SipTimers::default()).await;
    let mut trunk = trunk(far.ua.local_addr(), Transport::Udp);
    trunk.calls_per_second = 5;
    let mut placed = Vec::new();
    let mut receivers = Vec::new();
    for n in 0..17 {
        let mut request = request(trunk.clone(), Duration::from_secs(30));
        request.to_user = format!("+4930{n:04}");
        let (sender, events) = mpsc::channel(16);
        receivers.push(events);
        let carrier = std::sync::Arc::clone(&carrier);
        placed.push(async move { carrier.originate(request, sender).await.unwrap() });
    }
    let mut arrivals: Vec<(Instant, String)> = Vec::new();
    let arriving = async {
        while arrivals.len() < 17 {
            let call = far.next().await;
            arrivals.push((Instant::now(), call.to_user));
        }
    };
    let ((), _) = tokio::join!(arriving, futures_all(placed));
    for pair in arrivals.windows(6) {
        let span = pair[5].0 - pair[0].0;
        assert!(span >= Duration::from_secs(1), "six calls within {span:?}");
    }
    let order: Vec<String> = arrivals.into_iter().map(|(_, user)| user).collect();
    assert!(order.is_sorted(), "first come, first served: {order:?}");
}

/// Runs futures together, started in order.
async fn futures_all(futures: Vec<impl Future<Output = ()>>) {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if futures.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

#[tokio::test]
async fn a_call_that_is_hung_up_before_its_turn_is_never_sent() {
    let mut far = FarEnd::start().await;
    let (carrier, _ours) = carrier(SipTimers::default()).await;
    let mut trunk = trunk(far.ua.local_addr(), Transport::Udp);
    trunk.calls_per_second = 1;
    let (sender, _events) = mpsc::channel(16);
    carrier
        .originate(request(trunk.clone(), Duration::from_secs(30)), sender)
        .await
        .unwrap();
    far.next().await;
    let request = request(trunk, Duration::from_secs(30));
    let call_id = request.call_id;
    let (sender, mut events) = mpsc::channel(16);
    let (sent, ()) = tokio::join!(carrier.originate(request, sender), carrier.hang_up(call_id));
    assert!(matches!(sent, Err(NotSent::NoRoom(_))), "{sent:?}");
    assert!(events.recv().await.is_none());
}

#[tokio::test]
async fn shutting_down_hangs_up_what_is_up() {
    let mut far = FarEnd::start().await;
    let (carrier, ours) = carrier(SipTimers::default()).await;
    let (sender, mut answered) = mpsc::channel(16);
    carrier
        .originate(
            request(trunk(far.ua.local_addr(), Transport::Udp), Duration::from_secs(30)),
            sender,
        )
        .await
        .unwrap();
    let mut first = far.next().await;
    far.ua.answer(first.leg, sdp()).await;
    assert_eq!(tell(&next(&mut answered).await), "answered sendrecv");
    let (sender, mut ringing) = mpsc::channel(16);
    carrier
        .originate(
            request(trunk(far.ua.local_addr(), Transport::Udp), Duration::from_secs(30)),
            sender,
        )
        .await
        .unwrap();
    let mut second = far.next().await;
    far.ua.ring(second.leg, 180, None).await;
    assert_eq!(tell(&next(&mut ringing).await), "progress 180");
    ours.shut_down(PATIENCE).await;
    assert_eq!(tell(&next(&mut answered).await), "local true");
    assert_eq!(tell(&next(&mut ringing).await), "local true");
    assert!(matches!(
        next(&mut first.events).await,
        InboundEvent::Established { .. }
    ));
    assert!(matches!(
        next(&mut first.events).await,
        InboundEvent::RemoteHangUp { .. }
    ));
    assert!(matches!(next(&mut second.events).await, InboundEvent::Cancelled));
}

/// RFC 5626 keep-alives over TCP are answered; OPTIONS of a trunk that was made known are, those of others are not.
#[tokio::test]
async fn trunks_that_were_made_known_may_ask_whether_we_are_there() {
    let (carrier, ours) = carrier(SipTimers::default()).await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let own = socket.local_addr().unwrap();
    let options = format!(
        "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKx;rport\r\nFrom: <sip:t@{own}>;tag=1\r\n\
         To: <sip:{to}>\r\nCall-ID: ping\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        to = ours.local_addr()
    );
    socket.send_to(options.as_bytes(), ours.local_addr()).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while ours.stats().await.drops != [("source", 1)] {
        assert!(Instant::now() < deadline, "the stranger's OPTIONS is not dropped");
        tokio::task::yield_now().await;
    }
    carrier.reach(&trunk(own, Transport::Udp)).await.unwrap();
    socket.send_to(options.as_bytes(), ours.local_addr()).await.unwrap();
    let mut buffer = [0; 2048];
    let received = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    assert!(buffer[..received].starts_with(b"SIP/2.0 200 OK\r\n"));

    let mut stream = tokio::net::TcpStream::connect(ours.local_addr()).await.unwrap();
    stream.write_all(b"\r\n\r\n").await.unwrap();
    let received = tokio::time::timeout(PATIENCE, stream.read(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&buffer[..received], b"\r\n");
}

/// A burst of calls: none is lost, none is sent twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_calls_is_set_up_and_ended_cleanly() {
    for transport in BOTH {
        let mut far = FarEnd::start().await;
        let (carrier, ours) = carrier(SipTimers::default()).await;
        let mut trunk = trunk(far.ua.local_addr(), transport);
        trunk.calls_per_second = 100_000;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..300 {
            let carrier = std::sync::Arc::clone(&carrier);
            let request = request(trunk.clone(), Duration::from_secs(30));
            tasks.spawn(async move {
                let call_id = request.call_id;
                let (sender, mut events) = mpsc::channel(16);
                carrier.originate(request, sender).await.unwrap();
                follow(&carrier, call_id, &mut events, Act::HangUpOnAnswer).await
            });
        }
        let answering = async {
            for _ in 0..300 {
                let call = far.next().await;
                far.ua.answer(call.leg, sdp()).await;
                tokio::spawn(async move {
                    let mut call = call;
                    while call.events.recv().await.is_some() {}
                });
            }
        };
        answering.await;
        while let Some(told) = tasks.join_next().await {
            assert_eq!(told.unwrap(), ["answered sendrecv", "local true"]);
        }
        let stats = ours.stats().await;
        assert_eq!((stats.live_legs, stats.drops), (0, vec![]), "{transport:?}");
    }
}
