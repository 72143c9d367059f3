//! Voices of services against a scripted server: what is asked, and every way in which sound comes or does not.

use crate::stub::{PATIENCE, Step, Stub, answer, answer_with, chunk, chunked_head};
use carillon_domain::language::Language;
use carillon_domain::pii::Secret;
use carillon_interfaces::speech::{SpeakRequest, SpeechError, SpokenSound, TextToSpeech};
use carillon_providers::hosted::settings::{HostedVoiceSettings, SoundFormat, VoiceService, VoiceSettings};
use carillon_providers::hosted::{Connections, SetupError, open_voice};
use serde_json::json;
use std::sync::Arc;

const KEY: &str = "sk-very-secret";

fn settings(stub: &Stub, service: VoiceService) -> VoiceSettings {
    VoiceSettings {
        service,
        base_url: stub.base_url(),
        api_key: Secret::new(KEY),
        voices: vec![HostedVoiceSettings {
            name: "vera/1".to_owned(),
            language: Language::english(),
        }],
        timeout_ms: 400,
        ..VoiceSettings::default()
    }
}

fn voice(stub: &Stub, service: VoiceService) -> Arc<dyn TextToSpeech> {
    open_voice(&Connections::new().unwrap(), &settings(stub, service)).unwrap()
}

fn request(text: &str) -> SpeakRequest {
    SpeakRequest {
        text: text.to_owned(),
        language: Language::english(),
        voice: None,
        speed_percent: 100,
    }
}

async fn read(mut sound: SpokenSound) -> (Vec<i16>, Option<SpeechError>) {
    let mut samples = Vec::new();
    while let Some(piece) = tokio::time::timeout(PATIENCE, sound.recv())
        .await
        .expect("sound in time")
    {
        match piece {
            Ok(more) => samples.extend(more),
            Err(error) => {
                assert!(sound.recv().await.is_none(), "nothing follows an error");
                return (samples, Some(error));
            }
        }
    }
    (samples, None)
}

fn pcm(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

#[tokio::test]
async fn each_service_is_asked_as_it_documents() {
    let sound = || vec![Step::Send(answer("200 OK", "audio/pcm", pcm(&[500; 2_400])))];
    let mut stub = Stub::start([sound()]).await;
    let hurried = SpeakRequest {
        speed_percent: 110,
        ..request("Hello.")
    };
    read(voice(&stub, VoiceService::Openai).speak(hurried.clone()).await.unwrap()).await;
    let sent = stub.next_request().await;
    assert_eq!(sent.line, "POST /v1/audio/speech");
    assert_eq!(sent.header("authorization"), Some("Bearer sk-very-secret"));
    let expected = json!({
        "model": "gpt-4o-mini-tts", "voice": "vera/1", "input": "Hello.", "response_format": "pcm", "speed": 1.1,
    });
    assert_eq!(sent.json(), expected);
    let (samples, _) = read(
        voice(&stub, VoiceService::Deepgram)
            .speak(request("Hello."))
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(samples.len(), 2_400, "it comes at the telephone's rate");
    let sent = stub.next_request().await;
    assert_eq!(
        sent.line,
        "POST /v1/speak?model=vera%2F1&encoding=linear16&sample_rate=8000&container=none"
    );
    assert_eq!(sent.header("authorization"), Some("Token sk-very-secret"));
    assert_eq!(sent.json(), json!({ "text": "Hello." }));
    read(voice(&stub, VoiceService::Elevenlabs).speak(hurried).await.unwrap()).await;
    let sent = stub.next_request().await;
    assert_eq!(
        sent.line,
        "POST /v1/text-to-speech/vera%2F1/stream?output_format=pcm_16000"
    );
    assert_eq!(sent.header("xi-api-key"), Some(KEY));
    let expected = json!({ "text": "Hello.", "model_id": "eleven_flash_v2_5", "voice_settings": { "speed": 1.1 } });
    assert_eq!(sent.json(), expected);
}

#[tokio::test]
async fn sound_comes_at_the_telephones_rate_however_it_is_sent() {
    let level = 5_000i16;
    let raw = pcm(&[level; 24_000]);
    let mut file = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00".to_vec();
    file.extend(24_000u32.to_le_bytes());
    file.extend(48_000u32.to_le_bytes());
    file.extend(b"\x02\x00\x10\x00data\xff\xff\xff\xff");
    file.extend(&raw);
    let chunks = |bytes: &[u8], size: usize| {
        let mut script = vec![Step::Send(chunked_head("audio/wav"))];
        script.extend(bytes.chunks(size).map(|part| Step::Send(chunk(part))));
        script.push(Step::Send(chunk("")));
        script
    };
    let short = pcm(&[level; 300]);
    let table = [
        (
            "raw at once",
            vec![Step::Send(answer("200 OK", "audio/pcm", &raw))],
            8_000,
        ),
        ("raw in odd chunks", chunks(&raw, 777), 8_000),
        (
            "a file at once",
            vec![Step::Send(answer("200 OK", "audio/wav", &file))],
            8_000,
        ),
        ("a file in odd chunks", chunks(&file, 33), 8_000),
        (
            "byte by byte",
            vec![Step::Trickle(answer("200 OK", "application/octet-stream", &short))],
            100,
        ),
    ];
    for (name, script, expected) in table {
        let stub = Stub::start([script]).await;
        let mut settings = settings(&stub, VoiceService::Openai);
        settings.format = SoundFormat::Wav;
        let voice = open_voice(&Connections::new().unwrap(), &settings).unwrap();
        let (samples, error) = read(voice.speak(request("Hello.")).await.unwrap()).await;
        assert_eq!(error, None, "{name}");
        assert!(samples.len().abs_diff(expected) <= 2, "{name}: {}", samples.len());
        let middle = &samples[samples.len() / 3..samples.len() / 2];
        assert!(middle.iter().all(|sample| sample.abs_diff(level) < 60), "{name}");
    }
}

#[tokio::test]
async fn the_first_sound_does_not_wait_for_the_last() {
    let script = vec![
        Step::Send(chunked_head("audio/pcm")),
        Step::Send(chunk(pcm(&[500; 4_800]))),
        Step::Stall,
    ];
    let mut stub = Stub::start([script]).await;
    let mut sound = voice(&stub, VoiceService::Openai)
        .speak(request("Hello."))
        .await
        .unwrap();
    let first = tokio::time::timeout(PATIENCE, sound.recv())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(first.len() > 1_000, "{}", first.len());
    drop(sound);
    stub.client_hung_up().await;
}

#[tokio::test]
async fn faults_before_the_sound_are_errors_of_the_request() {
    let provider = |error: &SpeechError| matches!(error, SpeechError::Provider(_));
    let unavailable = |error: &SpeechError| matches!(error, SpeechError::Unavailable(_));
    let busy = |error: &SpeechError| *error == SpeechError::Busy;
    let late = |error: &SpeechError| *error == SpeechError::TimedOut(400);
    let json = "application/json";
    let own_words = format!("{{\"detail\":{{\"message\":\"bad {KEY}\"}}}}");
    let table: Vec<(&str, Vec<Step>, &dyn Fn(&SpeechError) -> bool)> = vec![
        (
            "a wrong key",
            vec![Step::Send(answer("401 Unauthorized", json, &own_words))],
            &unavailable,
        ),
        (
            "a limit",
            vec![Step::Send(answer_with("429 Slow", json, &["retry-after: 3"], "{}"))],
            &busy,
        ),
        (
            "a refusal",
            vec![Step::Send(answer("422 No", json, &own_words))],
            &provider,
        ),
        (
            "a redirect",
            vec![Step::Send(answer_with(
                "302 Found",
                json,
                &["location: http://127.0.0.1:1/"],
                "",
            ))],
            &provider,
        ),
        ("JSON", vec![Step::Send(answer("200 OK", json, "{}"))], &provider),
        (
            "a web page",
            vec![Step::Send(answer("200 OK", "text/html", "<html>"))],
            &provider,
        ),
        ("silence", vec![Step::Stall], &late),
        ("cut", vec![Step::Cut], &unavailable),
    ];
    for (name, script, expected) in table {
        let stub = Stub::start([script]).await;
        let error = voice(&stub, VoiceService::Elevenlabs)
            .speak(request("Hello."))
            .await
            .expect_err(name);
        assert!(expected(&error), "{name}: {error:?}");
        assert!(!error.to_string().contains(KEY), "{name}: {error}");
    }
}

#[tokio::test]
async fn faults_in_the_sound_come_after_what_was_good() {
    let begun = |rest: Vec<Step>| {
        let mut script = vec![
            Step::Send(chunked_head("audio/pcm")),
            Step::Send(chunk(pcm(&[500; 800]))),
        ];
        script.extend(rest);
        script
    };
    let once = |bytes: Vec<u8>| vec![Step::Send(answer("200 OK", "audio/mpeg", bytes))];
    let table: Vec<(&str, Vec<Step>, bool)> = vec![
        ("cut", begun(vec![Step::Cut]), true),
        ("reset", begun(vec![Step::Reset]), true),
        ("stalls", begun(vec![Step::Stall]), true),
        (
            "never ends",
            begun(vec![Step::Send(chunk(vec![1; 5 << 20])), Step::Stall]),
            true,
        ),
        ("nothing", once(Vec::new()), false),
        ("mp3", once(b"ID3\x04\x00\x00\x00\x00".to_vec()), false),
        ("half a header", once(b"RIFF\xff\xff\xff\xffWAVEfm".to_vec()), false),
    ];
    for (name, script, has_sound) in table {
        let stub = Stub::start([script]).await;
        let spoken = voice(&stub, VoiceService::Deepgram)
            .speak(request("Hello."))
            .await
            .unwrap();
        let (samples, error) = read(spoken).await;
        let error = error.expect(name);
        assert!(
            matches!(error, SpeechError::Provider(_) | SpeechError::TimedOut(400)),
            "{name}: {error:?}"
        );
        assert_eq!(!samples.is_empty(), has_sound, "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_said_is_not_asked_for() {
    let mut stub = Stub::start([vec![Step::Stall]]).await;
    let german: Language = "de".parse().unwrap();
    let in_german = SpeakRequest {
        language: german.clone(),
        ..request("Hallo.")
    };
    let voice = voice(&stub, VoiceService::Openai);
    assert_eq!(voice.speak(in_german).await.err(), Some(SpeechError::Language(german)));
    assert!(matches!(
        voice.speak(request(&"x".repeat(5_000))).await,
        Err(SpeechError::Provider(_))
    ));
    assert!(stub.requests.try_recv().is_err());
    let mut none = settings(&stub, VoiceService::Openai);
    none.voices.clear();
    let error = open_voice(&Connections::new().unwrap(), &none).err();
    assert_eq!(error, Some(SetupError::Missing("speech.voice.voices")));
    assert_eq!(voice.voices().len(), 1);
    assert_eq!(voice.name(), "openai-speech");
}
