//! The embedded speech as calls use it. What needs models is skipped by a line where `scripts/models` has not put them.

mod hearing;
mod judging;
mod parts;
mod speaking;

use carillon_domain::language::Language;
use carillon_domain::trunk::Codec;
use carillon_interfaces::speech::{
    Ear, HearingEvent, HearingRequest, SpeakRequest, SpeechError, SpeechKit, SpokenSound,
};
use carillon_media::g711;
use carillon_providers::embedded::{Models, Options, Part, Speech};
use std::time::Duration;
use tokio::sync::mpsc;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Speech with these parts and no others; `None`, with a line that says so, where they are not to be had.
fn speech_with(parts: &[Part]) -> Option<Speech> {
    speech_by(&options_with(parts), parts)
}

fn speech_by(options: &Options, parts: &[Part]) -> Option<Speech> {
    let speech = Speech::open(options);
    let missing: Vec<String> = speech
        .parts()
        .iter()
        .filter(|report| parts.contains(&report.part))
        .filter_map(|report| Some(format!("{}: {}", report.part.name(), report.problem.as_ref()?)))
        .collect();
    if missing.is_empty() {
        return Some(speech);
    }
    say_skipped(&missing.join("; "));
    None
}

fn options_with(parts: &[Part]) -> Options {
    Options {
        without: Part::ALL.into_iter().filter(|part| !parts.contains(part)).collect(),
        judging_limit_ms: 60_000,
        speaking_limit_ms: 60_000,
        ..Options::with_models(Models::default_folder())
    }
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests must see what was not tested")]
fn say_skipped(why: &str) {
    eprintln!("skipped: {why}");
}

#[expect(clippy::print_stderr, reason = "measurements are read from the output of the tests")]
fn say_measured(what: &str) {
    eprintln!("measured: {what}");
}

fn request(text: &str) -> SpeakRequest {
    SpeakRequest {
        text: text.to_owned(),
        language: Language::english(),
        voice: None,
        speed_percent: 100,
    }
}

/// All the sound of a text.
async fn say(speech: &Speech, text: &str) -> Result<Vec<i16>, SpeechError> {
    gather(speech.mouth().speak(request(text)).await?).await
}

async fn gather(mut pieces: SpokenSound) -> Result<Vec<i16>, SpeechError> {
    let mut sound = Vec::new();
    while let Some(piece) = tokio::time::timeout(DEADLINE, pieces.recv())
        .await
        .expect("sound in time")
    {
        sound.extend(piece?);
    }
    Ok(sound)
}

/// A sound as it comes out of a telephone.
fn over_the_wire(codec: Codec, sound: &[i16]) -> Vec<i16> {
    let wire = g711::encode(codec, sound);
    let mut heard = vec![0; sound.len()];
    g711::decode_into(codec, &wire, &mut heard);
    heard
}

type Events = mpsc::Receiver<HearingEvent>;

async fn open_ear(speech: &Speech) -> (Box<dyn Ear>, Events) {
    let (events, told) = mpsc::channel(256);
    let request = HearingRequest {
        language: Language::english(),
        hints: Vec::new(),
    };
    (speech.ears().open(request, events).await.expect("an ear"), told)
}

async fn next(told: &mut Events) -> HearingEvent {
    let event = tokio::time::timeout(DEADLINE, told.recv()).await;
    event.expect("an event in time").expect("an open ear")
}

/// The words of one utterance.
async fn hear(speech: &Speech, sound: &[i16]) -> String {
    let (mut ear, mut told) = open_ear(speech).await;
    ear.begin(1, &[]);
    for frame in sound.chunks(160) {
        ear.hear(frame);
    }
    ear.end(1);
    match next(&mut told).await {
        HearingEvent::Final { utterance: 1, text } => text,
        other => panic!("{other:?}"),
    }
}

/// Words without marks, in lower case.
fn words(text: &str) -> Vec<String> {
    let letters = text.chars().map(|letter| match letter {
        '\'' | '’' => '\'',
        letter if letter.is_alphanumeric() => letter.to_ascii_lowercase(),
        _ => ' ',
    });
    let text: String = letters.collect();
    text.split_whitespace().map(str::to_owned).collect()
}

/// Words to put in, take out or change to come from one text to another.
fn word_errors(said: &[String], heard: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (line, word) in said.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, other) in heard.iter().enumerate() {
            let change = diagonal + usize::from(word != other);
            diagonal = row[column + 1];
            row[column + 1] = change.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[heard.len()]
}

/// Noise that is the same in each run, about as loud as `level` says.
fn hiss(level: f64, count: usize) -> Vec<i16> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let uniform = (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
            (uniform * 3.46 * level) as i16
        })
        .collect()
}
