//! Calls to SIPp: each scenario is one row, over the transports that it names. SIPp checks what we send and must be
//! content too.

mod common;

use carillon_carriers::sip::SipTimers;
use carillon_domain::pii::Secret;
use carillon_domain::trunk::{Credentials, Transport};
use carillon_interfaces::carrier::Carrier as _;
use common::{Act, Sipp, carrier, follow, request, trunk};
use std::time::Duration;
use tokio::sync::mpsc;

const UDP: &[Transport] = &[Transport::Udp];
const BOTH: &[Transport] = &[Transport::Udp, Transport::Tcp];

struct Row {
    scenario: &'static str,
    transports: &'static [Transport],
    act: Act,
    ring_timeout_ms: u64,
    credentials: bool,
    /// Least number of messages that we must have sent again.
    resent: u64,
    expected: &'static [&'static str],
}

impl Row {
    const fn new(
        scenario: &'static str,
        transports: &'static [Transport],
        act: Act,
        expected: &'static [&'static str],
    ) -> Self {
        Self {
            scenario,
            transports,
            act,
            ring_timeout_ms: 10_000,
            credentials: false,
            resent: 0,
            expected,
        }
    }

    const fn ring_ms(mut self, ring_timeout_ms: u64) -> Self {
        self.ring_timeout_ms = ring_timeout_ms;
        self
    }

    const fn resends(mut self, resent: u64) -> Self {
        self.resent = resent;
        self
    }

    const fn with_credentials(mut self) -> Self {
        self.credentials = true;
        self
    }

    async fn run(self) {
        // Short deadlines where a far end never answers; the RFC's intervals otherwise.
        let timers = SipTimers {
            cancel_deadline: Duration::from_millis(1_500),
            bye_deadline: Duration::from_millis(1_500),
            ..SipTimers::default()
        };
        for transport in self.transports {
            let (carrier, engine) = carrier(timers.clone()).await;
            let sipp = Sipp::answer_with(self.scenario, *transport, 1).await;
            let mut trunk = trunk(sipp.addr, *transport);
            trunk.credentials = self.credentials.then(|| Credentials {
                username: "carillon".to_owned(),
                password: Secret::new("c4rillon"),
            });
            let request = request(trunk, Duration::from_millis(self.ring_timeout_ms));
            let call = request.call_id;
            let (sender, mut events) = mpsc::channel(16);
            carrier.originate(request, sender).await.unwrap();
            if self.act == Act::HangUpAtOnce {
                carrier.hang_up(call).await;
            }
            let told = follow(&carrier, call, &mut events, self.act).await;
            assert_eq!(told, self.expected, "{} over {transport:?}", self.scenario);
            sipp.finish().await;
            let stats = carillon_carriers::ua::SipUa::stats(engine.as_ref()).await;
            assert!(stats.retransmissions >= self.resent, "{}: {stats:?}", self.scenario);
            assert_eq!(stats.live_legs, 0, "{}", self.scenario);
            assert_eq!(stats.drops, [], "{} over {transport:?}", self.scenario);
        }
    }
}

macro_rules! rows {
    ($($name:ident: $row:expr;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
        async fn $name() {
            $row.run().await;
        })*
    };
}

const CLEARED: &str = "remote Q.850 16 Normal call clearing";

rows! {
    answered_and_hung_up: Row::new("answer", BOTH, Act::HangUpOnAnswer, &["progress 180", "answered sendrecv", "local true"]);
    slow_100: Row::new("slow_100", BOTH, Act::HangUpOnAnswer, &["progress 180", "answered sendrecv", "local true"]);
    early_media: Row::new("early_media", BOTH, Act::HangUpOnAnswer, &["progress 183 sendrecv", "answered sendrecv", "local true"]);
    busy_at_once: Row::new("busy", BOTH, Act::Listen, &["failed 486 Busy Here Final"]);
    busy_after_ringing: Row::new("busy_after_ringing", BOTH, Act::Listen, &["progress 180", "failed 486 Busy Here Final rang [Q.850 17 User busy]"]);
    declined: Row::new("declined", BOTH, Act::Listen, &["progress 180", "failed 603 Decline Final rang"]);
    temporarily_unavailable: Row::new("unavailable_480", BOTH, Act::Listen, &["failed 480 Temporarily Unavailable Final"]);
    no_such_number: Row::new("not_found_404", BOTH, Act::Listen, &["failed 404 Not Found Final"]);
    no_common_codec: Row::new("not_acceptable_488", BOTH, Act::Listen, &["failed 488 Not Acceptable Here Final"]);
    server_error: Row::new("error_500", BOTH, Act::Listen, &["failed 500 Server Internal Error Final"]);
    overloaded: Row::new("overloaded_503", BOTH, Act::Listen, &["failed 503 Service Unavailable Final after 17"]);
    moved_is_not_followed: Row::new("moved_302", BOTH, Act::Listen, &["failed 302 Moved Temporarily Final"]);
    no_answer_is_cancelled: Row::new("no_answer", BOTH, Act::Listen, &["progress 180", "failed 487 Request Terminated Final rang"]).ring_ms(700);
    hung_up_while_ringing: Row::new("no_answer", BOTH, Act::HangUpOnProgress, &["progress 180", "local true"]);
    hung_up_before_anything_came: Row::new("late_ringing", BOTH, Act::HangUpAtOnce, &["local true"]);
    cancel_crossed_by_the_answer: Row::new("cancel_loses", BOTH, Act::Listen, &["progress 180", "local true"]).ring_ms(500);
    hang_up_crossed_by_the_answer: Row::new("cancel_loses", UDP, Act::HangUpOnProgress, &["progress 180", "local true"]);
    cancel_without_a_final_response: Row::new("cancel_ignored", UDP, Act::Listen, &["progress 180", "failed none no final response after CANCEL Final rang"]).ring_ms(300);
    challenged_by_401: Row::new("auth_401", BOTH, Act::HangUpOnAnswer, &["progress 180", "answered sendrecv", "local true"]).with_credentials();
    challenged_by_407: Row::new("auth_407", BOTH, Act::HangUpOnAnswer, &["progress 180", "answered sendrecv", "local true"]).with_credentials();
    wrong_credentials: Row::new("auth_wrong", UDP, Act::Listen, &["failed 407 Proxy Authentication Required Final"]).with_credentials();
    no_credentials: Row::new("auth_refused", UDP, Act::Listen, &["failed 401 Unauthorized Final"]);
    lost_ack: Row::new("lost_ack", BOTH, Act::Listen, &["answered sendrecv", "remote -"]).resends(2);
    retransmitted_200: Row::new("retransmitted_200", BOTH, Act::Listen, &["progress 180", "answered sendrecv", "remote -"]).resends(3);
    forked_18x: Row::new("forked_18x", UDP, Act::HangUpOnAnswer, &["progress 180", "progress 183 sendrecv", "progress 180", "answered sendrecv", "local true"]);
    forked_200: Row::new("forked_200", UDP, Act::Listen, &["progress 180", "answered sendrecv", "remote -"]);
    held_and_resumed: Row::new("reinvite_hold", BOTH, Act::Listen, &["progress 180", "answered sendrecv", "reoffer sendonly", "reoffer sendrecv", "remote -"]);
    moved_media: Row::new("reinvite_move", BOTH, Act::Listen, &["progress 180", "answered sendrecv", "reoffer sendrecv", "remote -"]);
    offerless_reinvite: Row::new("reinvite_offerless", UDP, Act::Listen, &["progress 180", "answered sendrecv", "reoffer -", "reoffer sendrecv", "remote -"]);
    refused_reinvite: Row::new("reinvite_refused", UDP, Act::RefuseOffers, &["progress 180", "answered sendrecv", "reoffer sendonly", "remote -"]);
    moved_by_update: Row::new("update_move", UDP, Act::Listen, &["progress 180", "answered sendrecv", "reoffer sendrecv", "remote -"]);
    far_end_hangs_up_at_answer: Row::new("bye_at_answer", BOTH, Act::Listen, &["answered sendrecv", CLEARED]);
    far_end_hangs_up_mid_call: Row::new("bye_mid_call", BOTH, Act::Listen, &["progress 180", "answered sendrecv", CLEARED]);
    keys_by_info: Row::new("info_keys", BOTH, Act::Listen, &["progress 180", "answered sendrecv", "digit 5", "digit #", "remote -"]);
    options_in_dialog: Row::new("options_in_dialog", BOTH, Act::Listen, &["progress 180", "answered sendrecv", "remote -"]);
    longer_session_interval: Row::new("interval_422", UDP, Act::HangUpOnAnswer, &["answered sendrecv", "local true"]);
}

/// The far end is gone before our BYE: its own deadline ends the call.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn far_end_vanishes() {
    for transport in BOTH {
        let timers = SipTimers {
            bye_deadline: Duration::from_millis(1_200),
            ..SipTimers::default()
        };
        let (carrier, _engine) = carrier(timers).await;
        let sipp = Sipp::answer_with("vanish", *transport, 1).await;
        let request = request(trunk(sipp.addr, *transport), Duration::from_secs(10));
        let call = request.call_id;
        let (sender, mut events) = mpsc::channel(16);
        carrier.originate(request, sender).await.unwrap();
        sipp.finish().await;
        carrier.hang_up(call).await;
        let told = follow(&carrier, call, &mut events, Act::Listen).await;
        assert_eq!(
            told,
            ["progress 180", "answered sendrecv", "local false"],
            "{transport:?}"
        );
    }
}
