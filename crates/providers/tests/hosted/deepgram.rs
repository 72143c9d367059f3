//! Streaming recognition against a server that speaks Deepgram's listen socket, breaks it, or refuses it.

use crate::stub::{PATIENCE, Step, Stub, answer};
use carillon_domain::language::Language;
use carillon_domain::pii::Secret;
use carillon_interfaces::speech::{Ear, HearingEvent, HearingRequest, SpeechError, SpeechToText};
use carillon_providers::hosted::settings::{HearingService, HearingSettings};
use carillon_providers::hosted::{Connections, open_hearing};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

const KEY: &str = "dg-very-secret";
const FINALIZE: &str = "Finalize";

/// The service; the test plays it, one connection at a time.
struct Service {
    listener: TcpListener,
}

struct Connection {
    uri: String,
    authorization: String,
    socket: WebSocketStream<TcpStream>,
}

impl Service {
    async fn start() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    async fn accept(&self) -> Connection {
        let accepting = async {
            let (stream, _) = self.listener.accept().await.unwrap();
            let (mut uri, mut authorization) = (String::new(), String::new());
            #[expect(clippy::result_large_err, reason = "the shape that the callback has")]
            let note = |request: &Request, response: Response| {
                uri = request.uri().to_string();
                let header = request.headers().get("authorization");
                authorization = header.map_or("", |value| value.to_str().unwrap()).to_owned();
                Ok(response)
            };
            let socket = tokio_tungstenite::accept_hdr_async(stream, note).await.unwrap();
            Connection {
                uri,
                authorization,
                socket,
            }
        };
        tokio::time::timeout(PATIENCE, accepting)
            .await
            .expect("a connection in time")
    }
}

impl Connection {
    /// Reads sound up to the next message of text: how many samples, and the message's type.
    async fn until_text(&mut self) -> (usize, String) {
        let mut samples = 0;
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next())
                .await
                .expect("a message in time");
            match message.expect("an open connection").unwrap() {
                Message::Binary(bytes) => samples += bytes.len() / 2,
                Message::Text(text) => {
                    let value: Value = serde_json::from_str(text.as_str()).unwrap();
                    return (samples, value["type"].as_str().unwrap().to_owned());
                }
                _ => {}
            }
        }
    }

    /// Reads at least this many samples.
    async fn sound(&mut self, at_least: usize) {
        let mut samples = 0;
        while samples < at_least {
            let message = tokio::time::timeout(PATIENCE, self.socket.next())
                .await
                .expect("a message in time");
            if let Message::Binary(bytes) = message.expect("an open connection").unwrap() {
                samples += bytes.len() / 2;
            }
        }
    }

    async fn send(&mut self, value: Value) {
        self.socket.send(Message::text(value.to_string())).await.unwrap();
    }

    /// Words of the sound between two positions, in samples.
    async fn words(&mut self, from: usize, to: usize, text: &str, marks: Value) {
        let mut results = json!({
            "type": "Results", "channel_index": [0, 1], "start": from as f64 / 8_000.0, "duration": (to - from) as f64 / 8_000.0,
            "is_final": true, "speech_final": false, "channel": { "alternatives": [{ "transcript": text, "confidence": 0.9 }] },
        });
        results
            .as_object_mut()
            .unwrap()
            .extend(marks.as_object().unwrap().clone());
        self.send(results).await;
    }
}

fn hearing(address: SocketAddr, timeout_ms: u64) -> Arc<dyn SpeechToText> {
    let settings = HearingSettings {
        service: HearingService::Deepgram,
        base_url: format!("ws://{address}/v1"),
        api_key: Secret::new(KEY),
        timeout_ms,
        ..HearingSettings::default()
    };
    open_hearing(&Connections::new().unwrap(), &settings).unwrap()
}

type Events = mpsc::Receiver<HearingEvent>;

async fn open_with(service: &Service, timeout_ms: u64) -> (Box<dyn Ear>, Events, Connection) {
    let (sender, events) = mpsc::channel(32);
    let request = HearingRequest {
        language: "en-IN".parse().unwrap(),
        hints: vec!["Asha & Co".to_owned()],
    };
    let hearing = hearing(service.address(), timeout_ms);
    let (ear, connection) = tokio::join!(hearing.open(request, sender), service.accept());
    (ear.unwrap(), events, connection)
}

async fn open(service: &Service) -> (Box<dyn Ear>, Events, Connection) {
    open_with(service, 10_000).await
}

async fn next(events: &mut Events) -> HearingEvent {
    tokio::time::timeout(PATIENCE, events.recv())
        .await
        .expect("an event in time")
        .expect("an open channel")
}

fn partial(utterance: u32, text: &str) -> HearingEvent {
    HearingEvent::Partial {
        utterance,
        text: text.to_owned(),
    }
}

fn heard(utterance: u32, text: &str) -> HearingEvent {
    HearingEvent::Final {
        utterance,
        text: text.to_owned(),
    }
}

fn interim() -> Value {
    json!({ "is_final": false })
}

fn finalized() -> Value {
    json!({ "from_finalize": true })
}

#[tokio::test]
async fn the_socket_is_opened_as_the_service_documents() {
    let service = Service::start().await;
    let (_ear, _events, connection) = open(&service).await;
    assert_eq!(connection.authorization, "Token dg-very-secret");
    let expected = "/v1/listen?model=nova-3&language=en-IN&encoding=linear16&sample_rate=8000&channels=1&interim_results=true\
                    &punctuate=true&endpointing=false&keyterm=Asha+%26+Co";
    assert_eq!(connection.uri, expected);
}

#[tokio::test]
async fn words_come_as_they_settle() {
    let service = Service::start().await;
    let (mut ear, mut events, mut connection) = open(&service).await;
    ear.begin(1, &[1; 1_600]);
    ear.hear(&[2; 6_400]);
    connection.sound(8_000).await;
    connection.words(0, 4_000, "yes", interim()).await;
    assert_eq!(next(&mut events).await, partial(1, "yes"));
    connection.words(0, 6_000, "Yes, please.", json!({})).await;
    assert_eq!(next(&mut events).await, partial(1, "Yes, please."));
    connection.words(6_000, 8_000, "call", interim()).await;
    assert_eq!(next(&mut events).await, partial(1, "Yes, please. call"));
    ear.hear(&[2; 800]);
    ear.end(1);
    assert_eq!(connection.until_text().await, (800, FINALIZE.to_owned()));
    connection.words(6_000, 8_800, "Call me.", finalized()).await;
    assert_eq!(next(&mut events).await, heard(1, "Yes, please. Call me."));
    // The next one begins where the last one ended, on the same connection.
    ear.begin(2, &[]);
    ear.hear(&[3; 8_000]);
    ear.end(2);
    assert_eq!(connection.until_text().await, (8_000, FINALIZE.to_owned()));
    // Without the mark, but of all the sound.
    connection.words(8_800, 16_790, "Tomorrow.", json!({})).await;
    assert_eq!(next(&mut events).await, heard(2, "Tomorrow."));
}

#[tokio::test]
async fn what_the_service_leaves_unanswered_ends_in_time() {
    let service = Service::start().await;
    let (mut ear, mut events, mut connection) = open_with(&service, 150).await;
    ear.begin(1, &[1; 800]);
    ear.end(1);
    connection.until_text().await;
    assert_eq!(
        next(&mut events).await,
        heard(1, ""),
        "a blink of sound may go unanswered"
    );
    ear.begin(2, &[1; 8_000]);
    ear.end(2);
    connection.until_text().await;
    let failed = HearingEvent::Failed {
        utterance: 2,
        error: SpeechError::TimedOut(150),
        fatal: false,
    };
    assert_eq!(next(&mut events).await, failed);
    ear.begin(3, &[1; 8_000]);
    connection.sound(8_000).await;
    connection.words(8_800, 16_000, "maybe so", interim()).await;
    assert_eq!(next(&mut events).await, partial(3, "maybe so"));
    ear.end(3);
    connection.until_text().await;
    assert_eq!(
        next(&mut events).await,
        heard(3, "maybe so"),
        "what there is is better than nothing"
    );
}

#[tokio::test]
async fn late_words_of_a_discarded_utterance_are_not_the_next_ones() {
    let service = Service::start().await;
    let (mut ear, mut events, mut connection) = open(&service).await;
    ear.begin(1, &[1; 4_000]);
    ear.discard(1);
    assert_eq!(connection.until_text().await, (4_000, FINALIZE.to_owned()));
    ear.begin(2, &[1; 8_000]);
    connection.sound(8_000).await;
    connection.words(0, 4_000, "a cough", finalized()).await;
    ear.end(2);
    connection.until_text().await;
    connection.words(4_000, 12_000, "Hello.", finalized()).await;
    assert_eq!(next(&mut events).await, heard(2, "Hello."));
}

#[tokio::test]
async fn a_break_is_mended_with_what_was_not_settled() {
    let close = |reason: &'static str| {
        Some(CloseFrame {
            code: CloseCode::Error,
            reason: reason.into(),
        })
    };
    for fault in ["cut", "close", "error", "garbage"] {
        let service = Service::start().await;
        let (mut ear, mut events, mut connection) = open(&service).await;
        ear.begin(1, &[1; 8_000]);
        connection.sound(8_000).await;
        connection.words(0, 6_000, "Yes,", json!({})).await;
        assert_eq!(next(&mut events).await, partial(1, "Yes,"));
        match fault {
            "close" => connection.socket.close(close("NET-0001")).await.unwrap(),
            "error" => {
                connection
                    .send(json!({ "type": "Error", "description": "overloaded" }))
                    .await
            }
            "garbage" => connection.socket.send(Message::text("{{{")).await.unwrap(),
            _ => {}
        }
        if fault == "cut" {
            drop(connection);
        }
        let mut second = service.accept().await;
        second.sound(2_000).await;
        ear.hear(&[1; 400]);
        ear.end(1);
        assert_eq!(second.until_text().await, (400, FINALIZE.to_owned()), "{fault}");
        second.words(0, 2_400, "please.", finalized()).await;
        assert_eq!(next(&mut events).await, heard(1, "Yes, please."), "{fault}");
    }
}

#[tokio::test]
async fn a_break_after_the_end_of_an_utterance_is_mended_too() {
    let service = Service::start().await;
    let (mut ear, mut events, mut connection) = open(&service).await;
    ear.begin(1, &[1; 8_000]);
    ear.end(1);
    connection.until_text().await;
    drop(connection);
    let mut second = service.accept().await;
    assert_eq!(second.until_text().await, (8_000, FINALIZE.to_owned()));
    second.words(0, 8_000, "Yes.", finalized()).await;
    assert_eq!(next(&mut events).await, heard(1, "Yes."));
}

#[tokio::test]
async fn a_service_that_is_gone_is_given_up() {
    let service = Service::start().await;
    let (mut ear, mut events, connection) = open(&service).await;
    drop(service);
    ear.begin(1, &[1; 8_000]);
    drop(connection);
    let event = next(&mut events).await;
    let HearingEvent::Failed {
        utterance: 0 | 1,
        error: SpeechError::Unavailable(_),
        fatal: true,
    } = event
    else {
        panic!("{event:?}");
    };
    // Whoever speaks on is told so.
    ear.begin(2, &[1; 800]);
    ear.end(2);
    let event = next(&mut events).await;
    assert!(
        matches!(
            event,
            HearingEvent::Failed {
                utterance: 2,
                fatal: true,
                ..
            }
        ),
        "{event:?}"
    );
}

#[tokio::test]
async fn refusals_are_named_without_the_key() {
    let refusal = |status: &str, body: &str| vec![Step::Send(answer(status, "application/json", body)), Step::Cut];
    let words = format!("{{\"err_code\":\"INVALID\",\"err_msg\":\"no {KEY}\"}}");
    for (name, script) in [
        ("a wrong key", refusal("401 Unauthorized", &words)),
        ("too many", refusal("429 Too Many Requests", "{}")),
        ("a bad request", refusal("400 Bad Request", &words)),
        ("no WebSocket", refusal("200 OK", "{}")),
        ("cut", vec![Step::Cut]),
        (
            "something else",
            vec![Step::Send(b"SSH-2.0-x\r\n\r\n".to_vec()), Step::Cut],
        ),
    ] {
        let stub = Stub::start([script]).await;
        let (sender, _events) = mpsc::channel(1);
        let request = HearingRequest {
            language: Language::english(),
            hints: Vec::new(),
        };
        let error = hearing(stub.address, 1_000)
            .open(request, sender)
            .await
            .err()
            .expect(name);
        assert!(!error.to_string().contains(KEY), "{name}: {error}");
        match name {
            "too many" => assert_eq!(error, SpeechError::Busy),
            "a bad request" | "no WebSocket" => assert!(matches!(error, SpeechError::Provider(_)), "{name}: {error:?}"),
            _ => assert!(matches!(error, SpeechError::Unavailable(_)), "{name}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_quiet_connection_is_kept_alive_and_a_dropped_ear_ends_it() {
    let service = Service::start().await;
    let (ear, _events, mut connection) = open(&service).await;
    assert_eq!(connection.until_text().await, (0, "KeepAlive".to_owned()));
    drop(ear);
    assert_eq!(connection.until_text().await, (0, "CloseStream".to_owned()));
}

#[tokio::test]
async fn what_cannot_be_queued_is_told() {
    let service = Service::start().await;
    let (mut ear, mut events, mut connection) = open(&service).await;
    ear.begin(1, &[]);
    for _ in 0..2_000 {
        ear.hear(&[1; 160]);
    }
    ear.end(1);
    let failed = HearingEvent::Failed {
        utterance: 1,
        error: SpeechError::Busy,
        fatal: false,
    };
    assert_eq!(next(&mut events).await, failed);
    // It goes on with the next one once there is room.
    connection.sound(160 * 400).await;
    ear.begin(2, &[1; 8_000]);
    ear.end(2);
    loop {
        if connection.until_text().await.1 == FINALIZE {
            break;
        }
    }
    connection.words(81_760, 89_760, "Hello.", finalized()).await;
    assert_eq!(next(&mut events).await, heard(2, "Hello."));
}
