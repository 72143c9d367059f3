//! Speaks and hears by the embedded speech, with no call around it.
//!
//!   cargo run -p carillon-providers --example speech -- say "Good morning." out.wav
//!   cargo run -p carillon-providers --example speech -- hear in.wav
//!   cargo run -p carillon-providers --example speech -- turn in.wav
//!   cargo run -p carillon-providers --example speech -- parts
//!
//! WAV files have one channel of 16 bits at 8,000 samples a second.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use carillon_domain::language::Language;
use carillon_interfaces::speech::{HearingEvent, HearingRequest, SAMPLE_RATE_HZ, SpeakRequest, SpeechKit};
use carillon_providers::embedded::{Options, Speech};
use std::time::Instant;

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let began = Instant::now();
    let speech = Speech::open(&Options::default());
    println!("opened in {} ms", began.elapsed().as_millis());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["say", text, path] => say(&speech, text, path).await,
        ["hear", path] => hear(&speech, path).await,
        ["turn", path] => {
            let judge = speech.turn_judge().ok_or("no judge of turns")?;
            println!("the turn is over: {}", judge.is_over(read(path)?).await?);
            Ok(())
        }
        ["parts"] => {
            for part in speech.parts() {
                println!("{part:?}");
            }
            println!("conversations at once: {:?}", speech.capacity());
            Ok(())
        }
        _ => Err("say TEXT FILE, hear FILE, turn FILE, or parts".into()),
    }
}

async fn say(speech: &Speech, text: &str, path: &str) -> Outcome {
    let began = Instant::now();
    let request = SpeakRequest {
        text: text.to_owned(),
        language: Language::english(),
        voice: None,
        speed_percent: 100,
    };
    let mut pieces = speech.mouth().speak(request).await?;
    let mut sound = Vec::new();
    while let Some(piece) = pieces.recv().await {
        sound.extend(piece?);
        println!("{} ms: {:.2} s of sound", began.elapsed().as_millis(), seconds(&sound));
    }
    let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    wav.extend(SAMPLE_RATE_HZ.to_le_bytes());
    wav.extend((2 * SAMPLE_RATE_HZ).to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend((2 * sound.len() as u32).to_le_bytes());
    wav.extend(sound.iter().flat_map(|sample| sample.to_le_bytes()));
    let length = wav.len() as u32 - 8;
    wav[4..8].copy_from_slice(&length.to_le_bytes());
    Ok(std::fs::write(path, wav)?)
}

async fn hear(speech: &Speech, path: &str) -> Outcome {
    let sound = read(path)?;
    let request = HearingRequest {
        language: Language::english(),
        hints: Vec::new(),
    };
    let (events, mut told) = tokio::sync::mpsc::channel(16);
    let mut ear = speech.ears().open(request, events).await?;
    ear.begin(1, &[]);
    ear.hear(&sound);
    let began = Instant::now();
    ear.end(1);
    let event = told.recv().await.ok_or("nothing was told")?;
    println!("{} ms for {:.2} s", began.elapsed().as_millis(), seconds(&sound));
    if let HearingEvent::Final { text, .. } = &event {
        println!("{text}");
    } else {
        println!("{event:?}");
    }
    Ok(())
}

fn read(path: &str) -> Result<Vec<i16>, Box<dyn std::error::Error>> {
    let wav = std::fs::read(path)?;
    let samples = wav.get(44..).ok_or("not a WAV file")?.chunks_exact(2);
    Ok(samples.map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect())
}

fn seconds(sound: &[i16]) -> f64 {
    sound.len() as f64 / f64::from(SAMPLE_RATE_HZ)
}
