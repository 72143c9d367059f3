//! Recognition by one request for each utterance, against a scripted server.

use crate::stub::{PATIENCE, Step, Stub, answer, answer_with, chunk, chunked_head};
use carillon_domain::language::Language;
use carillon_domain::pii::Secret;
use carillon_interfaces::speech::{Ear, HearingEvent, HearingRequest, SpeechError, SpeechToText};
use carillon_providers::hosted::settings::HearingSettings;
use carillon_providers::hosted::{Connections, open_hearing};
use std::sync::Arc;
use tokio::sync::mpsc;

const KEY: &str = "sk-very-secret";
const JSON: &str = "application/json";

fn hearing(stub: &Stub) -> Arc<dyn SpeechToText> {
    let settings = HearingSettings {
        base_url: stub.base_url(),
        api_key: Secret::new(KEY),
        model: "small".to_owned(),
        languages: vec![Language::english()],
        timeout_ms: 400,
        ..HearingSettings::default()
    };
    open_hearing(&Connections::new().unwrap(), &settings).unwrap()
}

fn request() -> HearingRequest {
    HearingRequest {
        language: Language::english(),
        hints: vec!["Carillon".to_owned(), "a\r\nb".to_owned()],
    }
}

async fn open(stub: &Stub) -> (Box<dyn Ear>, mpsc::Receiver<HearingEvent>) {
    let (sender, events) = mpsc::channel(32);
    (hearing(stub).open(request(), sender).await.unwrap(), events)
}

async fn next(events: &mut mpsc::Receiver<HearingEvent>) -> HearingEvent {
    tokio::time::timeout(PATIENCE, events.recv())
        .await
        .expect("an event in time")
        .expect("an open channel")
}

fn say(ear: &mut dyn Ear, utterance: u32, ms: usize) {
    ear.begin(utterance, &[7; 160]);
    for _ in 0..ms / 20 {
        ear.hear(&[1_000; 160]);
    }
    ear.end(utterance);
}

fn words(text: &str) -> Vec<Step> {
    vec![Step::Send(answer(
        "200 OK",
        JSON,
        serde_json::json!({ "text": text }).to_string(),
    ))]
}

fn heard(utterance: u32, text: &str) -> HearingEvent {
    HearingEvent::Final {
        utterance,
        text: text.to_owned(),
    }
}

#[tokio::test]
async fn an_utterance_goes_out_as_a_file_and_comes_back_as_words() {
    let mut stub = Stub::start([words(" Yes, please. ")]).await;
    let (mut ear, mut events) = open(&stub).await;
    say(&mut *ear, 3, 1_000);
    assert_eq!(next(&mut events).await, heard(3, "Yes, please."));
    let sent = stub.next_request().await;
    assert_eq!(sent.line, "POST /v1/audio/transcriptions");
    assert_eq!(sent.header("authorization"), Some("Bearer sk-very-secret"));
    let kind = sent.header("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
    let body = String::from_utf8_lossy(&sent.body);
    for (name, value) in [
        ("model", "small"),
        ("language", "en"),
        ("response_format", "json"),
        ("prompt", "Carillon, ab"),
    ] {
        let part = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        assert!(body.contains(&part), "{name}");
    }
    let file = sent.body.windows(4).position(|window| window == b"RIFF").unwrap();
    let sound_bytes = (160 + 50 * 160) * 2;
    let end = format!("\r\n--{boundary}--\r\n");
    assert_eq!(sent.body.len(), file + 44 + sound_bytes + end.len());
    assert!(sent.body.ends_with(end.as_bytes()));
}

#[tokio::test]
async fn faults_are_told_and_the_next_utterance_is_heard() {
    let provider = |error: &SpeechError| matches!(error, SpeechError::Provider(_));
    let unavailable = |error: &SpeechError| matches!(error, SpeechError::Unavailable(_));
    let busy = |error: &SpeechError| *error == SpeechError::Busy;
    let late = |error: &SpeechError| *error == SpeechError::TimedOut(400);
    let table: Vec<(&str, Vec<Vec<Step>>, &dyn Fn(&SpeechError) -> bool)> = vec![
        (
            "a wrong key",
            vec![vec![Step::Send(answer("401 Unauthorized", JSON, KEY))]],
            &unavailable,
        ),
        (
            "a limit",
            vec![vec![Step::Send(answer_with(
                "429 Slow",
                JSON,
                &["retry-after: 9"],
                "{}",
            ))]],
            &busy,
        ),
        (
            "a refusal",
            vec![vec![Step::Send(answer(
                "400 Bad Request",
                JSON,
                format!("{{\"error\":{{\"message\":\"{KEY}\"}}}}"),
            ))]],
            &provider,
        ),
        (
            "an error",
            vec![vec![Step::Send(answer("500 Oh", "text/html", "<html>"))]],
            &provider,
        ),
        (
            "another shape",
            vec![vec![Step::Send(answer("200 OK", JSON, "{\"words\":1}"))]],
            &provider,
        ),
        (
            "garbage",
            vec![vec![Step::Send(answer("200 OK", JSON, "{{{"))]],
            &provider,
        ),
        (
            "a web page",
            vec![vec![Step::Send(answer("200 OK", "text/html", "<html>"))]],
            &provider,
        ),
        (
            "no characters",
            vec![vec![Step::Send(answer("200 OK", "text/plain", [0xff, 0xfe]))]],
            &provider,
        ),
        (
            "too much",
            vec![vec![Step::Send(answer("200 OK", JSON, vec![b' '; 300_000]))]],
            &provider,
        ),
        ("silence", vec![vec![Step::Stall]], &late),
        (
            "half an answer",
            vec![vec![
                Step::Send(chunked_head(JSON)),
                Step::Send(chunk("{\"te")),
                Step::Stall,
            ]],
            &late,
        ),
        ("cut twice", vec![vec![Step::Cut], vec![Step::Cut]], &unavailable),
        (
            "broken off twice",
            vec![
                vec![Step::Send(chunked_head(JSON)), Step::Cut],
                vec![Step::Send(chunked_head(JSON)), Step::Cut],
            ],
            &provider,
        ),
    ];
    for (name, mut scripts, expected) in table {
        scripts.push(words("again"));
        let stub = Stub::start(scripts).await;
        let (mut ear, mut events) = open(&stub).await;
        say(&mut *ear, 1, 500);
        let HearingEvent::Failed {
            utterance: 1,
            error,
            fatal: false,
        } = next(&mut events).await
        else {
            panic!("{name}: it fails");
        };
        assert!(expected(&error), "{name}: {error:?}");
        assert!(!error.to_string().contains(KEY), "{name}: {error}");
        say(&mut *ear, 2, 500);
        assert_eq!(next(&mut events).await, heard(2, "again"), "{name}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_tried_once_more() {
    for fault in [
        vec![Step::Cut],
        vec![Step::Reset],
        vec![Step::Send(answer("503 Oh", JSON, "{}"))],
    ] {
        let stub = Stub::start([fault, words("there")]).await;
        let (mut ear, mut events) = open(&stub).await;
        say(&mut *ear, 1, 500);
        assert_eq!(next(&mut events).await, heard(1, "there"));
    }
}

#[tokio::test]
async fn every_way_to_answer_is_understood() {
    for (name, script) in [
        (
            "plain words",
            vec![Step::Send(answer("200 OK", "text/plain", "Hello.\n"))],
        ),
        (
            "byte by byte",
            vec![Step::Trickle(answer(
                "200 OK",
                JSON,
                "{\"text\":\"Hello.\",\"usage\":{}}",
            ))],
        ),
        (
            "chunks",
            vec![
                Step::Send(chunked_head(JSON)),
                Step::Send(chunk("{\"text\":")),
                Step::Send(chunk("\"Hello.\"}")),
                Step::Send(chunk("")),
            ],
        ),
    ] {
        let stub = Stub::start([script]).await;
        let (mut ear, mut events) = open(&stub).await;
        say(&mut *ear, 1, 500);
        assert_eq!(next(&mut events).await, heard(1, "Hello."), "{name}");
    }
}

#[tokio::test]
async fn what_is_too_short_or_discarded_is_not_sent() {
    let mut stub = Stub::start([words("only this")]).await;
    let (mut ear, mut events) = open(&stub).await;
    say(&mut *ear, 1, 60);
    assert_eq!(next(&mut events).await, heard(1, ""));
    ear.begin(2, &[]);
    ear.hear(&[1_000; 8_000]);
    ear.discard(2);
    ear.hear(&[1_000; 8_000]);
    ear.end(2);
    say(&mut *ear, 3, 500);
    assert_eq!(next(&mut events).await, heard(3, "only this"));
    stub.next_request().await;
    assert!(stub.requests.try_recv().is_err());
}

#[tokio::test]
async fn a_long_speech_goes_out_in_parts() {
    let mut stub = Stub::start([words("one"), words("two"), words("three")]).await;
    let (mut ear, mut events) = open(&stub).await;
    say(&mut *ear, 1, 60_000);
    assert_eq!(next(&mut events).await, heard(1, "one two three"));
    let mut samples = 0;
    for _ in 0..3 {
        let sent = stub.next_request().await;
        let file = sent.body.windows(4).position(|window| window == b"RIFF").unwrap();
        let bytes = u32::from_le_bytes(sent.body[file + 40..file + 44].try_into().unwrap());
        assert!(bytes <= 25 * 16_000 + 320, "{bytes}");
        samples += bytes / 2;
    }
    assert_eq!(samples, 160 + 60 * 8_000, "no sample is lost or sent twice");
}

#[tokio::test]
async fn what_cannot_be_queued_is_told() {
    let stub = Stub::start([vec![Step::Stall]]).await;
    let (mut ear, mut events) = open(&stub).await;
    for utterance in 1..=12 {
        say(&mut *ear, utterance, 200);
    }
    let mut busy = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let HearingEvent::Failed {
            utterance,
            error: SpeechError::Busy,
            ..
        } = event
        {
            busy.push(utterance);
        }
    }
    assert_eq!(busy, [9, 10, 11, 12]);
}

#[tokio::test]
async fn nobody_listening_ends_the_request() {
    let mut stub = Stub::start([vec![Step::Stall]]).await;
    let (mut ear, events) = open(&stub).await;
    say(&mut *ear, 1, 500);
    stub.next_request().await;
    drop(events);
    stub.client_hung_up().await;
}

#[tokio::test]
async fn other_languages_are_refused() {
    let stub = Stub::start([words("")]).await;
    let german: Language = "de-DE".parse().unwrap();
    let wanted = HearingRequest {
        language: german.clone(),
        hints: Vec::new(),
    };
    let (sender, _events) = mpsc::channel(1);
    let error = hearing(&stub).open(wanted, sender).await.err();
    assert_eq!(error, Some(SpeechError::Language(german)));
    assert!(!hearing(&stub).capabilities().partials);
}
