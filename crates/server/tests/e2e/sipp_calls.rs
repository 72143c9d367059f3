//! One call each against SIPp, from the push to the webhook. SIPp judges what we send; the rows here say what the record,
//! both APIs, the recording and the webhook must tell afterwards.

use crate::harness::api::{TrunkTo, calls_of, numbers};
use crate::harness::receiver::{Receiver, SECRET, verify};
use crate::harness::rtp::{self, Sound};
use crate::harness::server::{Installation, Server};
use crate::harness::sipp::{Sipp, Transport};
use crate::harness::wav::Wav;
use serde_json::{Value, json};
use std::time::Duration;

/// How far a recording's length may be from the time between answer and end.
const RECORDING_TOLERANCE_MS: u64 = 60;

/// What must be told of a call afterwards.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// Status of the record, by RevRag's words.
    record: &'static str,
    /// `disconnection_reason`, by RevRag's words.
    reason: &'static str,
    /// Our own word.
    outcome: &'static str,
    /// The raw status of the INVITE.
    sip_code: Option<u16>,
    /// Keys that were heard.
    keys: &'static str,
    rang: bool,
}

const ANSWERED: Told = Told {
    record: "completed",
    reason: "agent_hangup",
    outcome: "agent_hung_up",
    sip_code: Some(200),
    keys: "",
    rang: true,
};
const HUNG_UP: Told = Told {
    reason: "user_hangup",
    outcome: "callee_hung_up",
    ..ANSWERED
};
const DROPPED: Told = Told {
    reason: "call_dropped",
    outcome: "dropped",
    ..ANSWERED
};
const NOT_CONNECTED: Told = Told {
    record: "failed",
    reason: "call_not_connected",
    outcome: "not_connected",
    sip_code: None,
    keys: "",
    rang: false,
};
const REJECTED: Told = Told {
    reason: "user_rejected",
    outcome: "busy",
    sip_code: Some(486),
    ..NOT_CONNECTED
};
const NOT_PICKED: Told = Told {
    reason: "call_not_picked",
    outcome: "no_answer",
    sip_code: Some(487),
    rang: true,
    ..NOT_CONNECTED
};

const fn with_code(told: Told, code: u16) -> Told {
    Told {
        sip_code: Some(code),
        ..told
    }
}

/// One scenario.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// File below `tests/sipp`.
    scenario: &'static str,
    transport: Transport,
    /// Length of what is played.
    prompt_ms: u32,
    press1: bool,
    ring_timeout_s: u32,
    credentials: Option<(&'static str, &'static str)>,
    rtp_timeout_ms: &'static str,
    /// What SIPp lets be heard, and how long.
    sound: Option<(Sound, Duration)>,
    told: Told,
}

impl Case {
    const fn new(scenario: &'static str, transport: Transport, told: Told) -> Self {
        Self {
            scenario,
            transport,
            prompt_ms: 700,
            press1: false,
            ring_timeout_s: 20,
            credentials: None,
            rtp_timeout_ms: "20000",
            sound: None,
            told,
        }
    }

    /// The far end hangs up before this long prompt is over.
    const fn long_prompt(self) -> Self {
        Self {
            prompt_ms: 15_000,
            ..self
        }
    }

    const fn press1(self) -> Self {
        Self {
            press1: true,
            ..self.long_prompt()
        }
    }

    const fn ring_timeout_s(self, ring_timeout_s: u32) -> Self {
        Self { ring_timeout_s, ..self }
    }

    const fn credentials(self) -> Self {
        Self {
            credentials: Some(("carillon", "c4rillon")),
            ..self
        }
    }

    const fn rtp_timeout_ms(self, rtp_timeout_ms: &'static str) -> Self {
        Self { rtp_timeout_ms, ..self }
    }

    /// SIPp opens a raw socket for that, which only root may.
    const fn sound(self, sound: Sound, length: Duration) -> Self {
        Self {
            sound: Some((sound, length)),
            ..self
        }
    }

    async fn run(self) {
        if self.sound.is_some() && !may_open_raw_sockets() {
            println!("not run: only root lets SIPp send RTP; `sound::` holds the same with a far end of our own");
            return;
        }
        let packets = self
            .sound
            .map(|(sound, length)| rtp::packets(sound, length))
            .unwrap_or_default();
        let sipp = Sipp::start_with(self.scenario, self.transport, &packets).await;
        let installation = Installation::new().with("CARILLON_MEDIA__RTP_TIMEOUT_MS", self.rtp_timeout_ms);
        let server = installation.start().await;
        let receiver = Receiver::start().await;
        let api = &server.api;
        api.endpoint(&receiver.url, SECRET).await;
        let clip = api.clip("prompt", &Wav::tone(440.0, self.prompt_ms)).await;
        let script = if self.press1 {
            let keys = json!({"1": {"action": "hang_up"}});
            json!({"kind": "press1", "clip_id": clip, "times": 9, "wait_ms": 3_000, "keys": keys})
        } else {
            json!({"kind": "announce", "clip_id": clip, "times": 1, "gap_ms": 0})
        };
        let agent = api.agent(script, self.ring_timeout_s).await;
        let to = TrunkTo {
            transport: self.transport,
            credentials: self.credentials,
            ..TrunkTo::udp(sipp.addr)
        };
        let trunk = api.trunk("sipp", &to).await;
        let campaign = api.campaign(&agent, &trunk, &json!({})).await;
        let run = api.push(&campaign, &numbers(40_000_000, 1)).await.remove(0);
        let record = api.wait_for_record(&campaign, &run).await;
        let verdict = sipp.verdict().await;
        self.check_told(&server, &receiver, &record).await;
        verdict.unwrap();
    }

    /// The record, the call in both APIs, the recording and the webhook.
    async fn check_told(&self, server: &Server, receiver: &Receiver, record: &Value) {
        let api = &server.api;
        let told = self.told;
        assert_eq!(record["status"], told.record, "{record}");
        assert_eq!(record["attempt_count"], 1, "{record}");
        let calls = calls_of(record);
        assert_eq!(calls.len(), 1, "one attempt in call_history: {record}");
        let call_id = &calls[0];

        let requests = receiver.wait_for_call(call_id).await;
        assert_eq!(requests.len(), 1, "one webhook for the call");
        verify(&requests, SECRET).unwrap();
        let status = api.status(call_id).await;
        assert_eq!(requests[0].json(), status, "the webhook's body is the status answer");
        assert_eq!(status["call_status"], told.record, "{status}");
        assert_eq!(status["disconnection_reason"], told.reason, "{status}");
        assert_eq!(record["call_history"][0]["status"], status["call_status"], "{record}");

        let call = api.call(call_id).await;
        assert_eq!(call["outcome"], told.outcome, "{call}");
        assert_eq!(call["sip_code"], json!(told.sip_code), "{call}");
        assert_eq!(call["ringing_at"].is_string(), told.rang, "{call}");
        assert_eq!(call["keys"], told.keys, "{call}");
        if told.record == "completed" {
            assert!(
                status["start_time"].is_string() && status["recording_url"].is_string(),
                "{status}"
            );
            check_recording(server, &call).await;
        } else {
            assert_eq!(
                (&status["start_time"], &status["duration"]),
                (&Value::Null, &json!(0)),
                "{status}"
            );
            assert_eq!(status["recording_url"], Value::Null, "{status}");
        }
    }
}

fn may_open_raw_sockets() -> bool {
    // SAFETY: asks for a number.
    unsafe { libc::geteuid() == 0 }
}

/// The recording is as long as the call, and has two channels.
pub(crate) async fn check_recording(server: &Server, call: &Value) -> Wav {
    let url = call["recording_url"]
        .as_str()
        .unwrap_or_else(|| panic!("no recording: {call}"));
    let (code, media_type, file) = server.api.fetch(url).await;
    assert_eq!((code, media_type.as_str()), (200, "audio/wav"), "{url}");
    let wav = Wav::parse(&file).unwrap();
    assert_eq!(wav.channels, 2);
    let talked_ms = millis_between(&call["answered_at"], &call["ended_at"]);
    let length_ms = wav.length_ms();
    assert!(
        length_ms.abs_diff(talked_ms) <= RECORDING_TOLERANCE_MS,
        "the recording has {length_ms} ms, the call had {talked_ms} ms: {call}"
    );
    wav
}

/// Between two times of the API.
pub(crate) fn millis_between(from: &Value, to: &Value) -> u64 {
    let read = |time: &Value| {
        let text = time.as_str().unwrap_or_else(|| panic!("`{time}` is no time"));
        text.parse::<jiff::Timestamp>()
            .expect("a time of RFC 3339")
            .as_millisecond()
    };
    u64::try_from(read(to) - read(from)).expect("the end is after the answer")
}

macro_rules! cases {
    ($($name:ident: $case:expr;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $case.run().await;
            }
        )*
    };
}

use Transport::{Tcp, Udp};

cases! {
    answer_over_udp: Case::new("answer", Udp, ANSWERED);
    answer_over_tcp: Case::new("answer", Tcp, ANSWERED);
    slow_100: Case::new("slow_100", Udp, ANSWERED);
    early_media_over_udp: Case::new("early_media", Udp, ANSWERED);
    early_media_over_tcp: Case::new("early_media", Tcp, ANSWERED);
    busy_at_once_over_udp: Case::new("busy", Udp, REJECTED);
    busy_at_once_over_tcp: Case::new("busy", Tcp, REJECTED);
    busy_after_ringing: Case::new("busy_after_ringing", Udp, Told { rang: true, ..REJECTED });
    declined_over_udp: Case::new("declined", Udp, Told { outcome: "declined", rang: true, ..with_code(REJECTED, 603) });
    declined_over_tcp: Case::new("declined", Tcp, Told { outcome: "declined", rang: true, ..with_code(REJECTED, 603) });
    no_answer_is_cancelled_over_udp: Case::new("no_answer", Udp, NOT_PICKED).ring_timeout_s(5);
    no_answer_is_cancelled_over_tcp: Case::new("no_answer", Tcp, NOT_PICKED).ring_timeout_s(5);
    unavailable_480: Case::new("unavailable_480", Udp, with_code(NOT_CONNECTED, 480));
    not_found_404_over_udp: Case::new("not_found_404", Udp, Told { outcome: "invalid_number", ..with_code(NOT_CONNECTED, 404) });
    not_found_404_over_tcp: Case::new("not_found_404", Tcp, Told { outcome: "invalid_number", ..with_code(NOT_CONNECTED, 404) });
    not_acceptable_488: Case::new("not_acceptable_488", Udp, with_code(NOT_CONNECTED, 488));
    error_500: Case::new("error_500", Udp, with_code(NOT_CONNECTED, 500));
    overloaded_503_with_retry_after: Case::new("overloaded_503", Udp, with_code(NOT_CONNECTED, 503));
    moved_302: Case::new("moved_302", Udp, with_code(NOT_CONNECTED, 302));
    challenge_401_over_udp: Case::new("auth_401", Udp, ANSWERED).credentials();
    challenge_401_over_tcp: Case::new("auth_401", Tcp, ANSWERED).credentials();
    challenge_407_over_udp: Case::new("auth_407", Udp, ANSWERED).credentials();
    challenge_407_over_tcp: Case::new("auth_407", Tcp, ANSWERED).credentials();
    challenge_without_credentials: Case::new("auth_refused", Udp, with_code(NOT_CONNECTED, 401));
    interval_422: Case::new("interval_422", Udp, Told { rang: false, ..ANSWERED });
    lost_ack: Case::new("lost_ack", Udp, Told { rang: false, ..HUNG_UP }).long_prompt();
    retransmitted_200: Case::new("retransmitted_200", Udp, HUNG_UP).long_prompt();
    forked_18x: Case::new("forked_18x", Udp, ANSWERED);
    forked_200: Case::new("forked_200", Udp, HUNG_UP).long_prompt();
    cancel_that_loses_the_race_over_udp: Case::new("cancel_loses", Udp, Told { sip_code: None, ..NOT_PICKED }).ring_timeout_s(5);
    cancel_that_loses_the_race_over_tcp: Case::new("cancel_loses", Tcp, Told { sip_code: None, ..NOT_PICKED }).ring_timeout_s(5);
    reinvite_hold_and_resume_over_udp: Case::new("reinvite_hold", Udp, HUNG_UP).long_prompt();
    reinvite_hold_and_resume_over_tcp: Case::new("reinvite_hold", Tcp, HUNG_UP).long_prompt();
    reinvite_move: Case::new("reinvite_move", Udp, HUNG_UP).long_prompt();
    bye_at_answer: Case::new("bye_at_answer", Udp, Told { rang: false, ..HUNG_UP }).long_prompt();
    bye_mid_call_over_udp: Case::new("bye_mid_call", Udp, HUNG_UP).long_prompt();
    bye_mid_call_over_tcp: Case::new("bye_mid_call", Tcp, HUNG_UP).long_prompt();
    keys_by_info_over_udp: Case::new("info_keys", Udp, Told { keys: "5#", ..HUNG_UP }).press1();
    keys_by_info_over_tcp: Case::new("info_keys", Tcp, Told { keys: "5#", ..HUNG_UP }).press1();
    keys_by_rfc_4733: Case::new("keys_4733", Udp, Told { keys: "1", ..ANSWERED })
        .press1()
        .sound(Sound::Key { after: Duration::from_millis(400), key: 1 }, Duration::from_secs(3));
    rtp_that_stops: Case::new("rtp_stops", Udp, DROPPED)
        .long_prompt()
        .rtp_timeout_ms("1500")
        .sound(Sound::Tone { hz: 620.0, lasting: None }, Duration::from_millis(800));
    options_in_dialog_over_udp: Case::new("options_in_dialog", Udp, HUNG_UP).long_prompt();
    options_in_dialog_over_tcp: Case::new("options_in_dialog", Tcp, HUNG_UP).long_prompt();
    far_end_vanishes: Case::new("vanish", Udp, DROPPED).long_prompt().rtp_timeout_ms("1500");
}
