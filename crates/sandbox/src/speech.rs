//! Speech for phrases: by the program `espeak-ng` where it is installed, else sound that is shaped like speech.

use crate::run::Dice;
use carillon_domain::language::Language;
use carillon_interfaces::speech::{SpeakRequest, SpeechError, SpeechKit, TextToSpeech};
use carillon_media::SAMPLE_RATE;
use std::f64::consts::{PI, TAU};
use std::fmt;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;

/// How phrases are made.
#[derive(Clone, Default)]
pub enum Voice {
    /// By `espeak-ng` where it is installed, else synthetic.
    #[default]
    Auto,
    /// By this synthesiser, in English; what it cannot say as with `Auto`.
    Synthesiser(Arc<dyn SpeechKit>),
    /// Sound with the rhythm, pitch and colour of speech, and no words. Needs no program and is the same everywhere.
    Synthetic,
}

impl fmt::Debug for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "Auto",
            Self::Synthesiser(kit) => kit.mouth().name(),
            Self::Synthetic => "Synthetic",
        })
    }
}

const RATE: f64 = SAMPLE_RATE as f64;
/// The loudest sample of a phrase.
const PEAK: f64 = 14_000.0;
/// How long one phrase may take `espeak-ng`.
const DEADLINE: Duration = Duration::from_secs(5);

/// Says a text.
pub(crate) async fn say(text: &str, voice: &Voice, seed: u64) -> Vec<i16> {
    if let Voice::Synthesiser(kit) = voice {
        match synthesised(kit.mouth(), text).await {
            Ok(samples) => return samples,
            Err(error) => tracing::warn!(%error, "the far end's voice fails it"),
        }
    }
    if !matches!(voice, Voice::Synthetic) {
        match espeak(text).await {
            Ok(samples) => return samples,
            Err(reason) => tracing::debug!(reason, "no espeak-ng: the sandbox speaks without words"),
        }
    }
    let text = text.to_owned();
    aside(move || synthetic(&text, seed)).await.unwrap_or_default()
}

/// Computes away from the tasks that answer calls. `None` if the program is ending.
async fn aside<T: Send + 'static>(compute: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(compute).await.ok()
}

async fn synthesised(synthesiser: &dyn TextToSpeech, text: &str) -> Result<Vec<i16>, SpeechError> {
    let request = SpeakRequest {
        text: text.to_owned(),
        language: Language::english(),
        voice: None,
        speed_percent: 100,
    };
    let mut sound = synthesiser.speak(request).await?;
    let mut samples = Vec::new();
    while let Some(piece) = sound.recv().await {
        samples.extend(piece?);
    }
    Ok(samples)
}

async fn espeak(text: &str) -> Result<Vec<i16>, String> {
    let mut command = Command::new("espeak-ng");
    command
        .args(["-v", "en-us", "-s", "160", "--stdout", "--", text])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, command.output()).await;
    let output = output
        .map_err(|_| "it takes too long".to_owned())?
        .map_err(|error| error.to_string())?;
    let (rate, samples) = read_wav(&output.stdout).ok_or("its output is no WAV of one channel")?;
    let resampled = aside(move || resample(&samples, rate)).await.unwrap_or_default();
    if resampled.len() < SAMPLE_RATE as usize / 5 {
        Err("it says nothing".to_owned())
    } else {
        Ok(normalise(&resampled))
    }
}

/// Sample rate and samples of a WAV file with one channel of 16 bits. A stream's header does not know its length.
fn read_wav(bytes: &[u8]) -> Option<(u32, Vec<f64>)> {
    let word = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let long = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let is_mono = bytes.get(..4)? == b"RIFF" && bytes.get(8..12)? == b"WAVE" && word(22)? == 1 && word(34)? == 16;
    let rate = long(24).filter(|rate| is_mono && (8_000..=48_000).contains(rate))?;
    let data = bytes.windows(4).take(256).position(|window| window == b"data")?;
    let samples = bytes.get(data + 8..)?.chunks_exact(2);
    Some((
        rate,
        samples
            .map(|sample| f64::from(i16::from_le_bytes([sample[0], sample[1]])))
            .collect(),
    ))
}

/// From `rate` down to 8,000 samples a second, without what lies above a telephone's band (windowed sinc).
fn resample(samples: &[f64], rate: u32) -> Vec<f64> {
    const REACH: isize = 40;
    let rate = f64::from(rate);
    let cut_off = 2.0 * 3_500.0 / rate;
    let count = (samples.len() as f64 * RATE / rate) as usize;
    let kernel = |distance: f64| {
        let x = PI * distance * cut_off;
        let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
        sinc * cut_off * (0.5 + 0.5 * (PI * distance / (REACH as f64 + 1.0)).cos())
    };
    let sample_at = |index: usize| {
        let center = index as f64 * rate / RATE;
        let first = center.floor() as isize - REACH;
        (first..=first + 2 * REACH)
            .filter_map(|at| Some(samples.get(usize::try_from(at).ok()?)? * kernel(center - at as f64)))
            .sum()
    };
    (0..count).map(sample_at).collect()
}

fn normalise(samples: &[f64]) -> Vec<i16> {
    let loudest = samples
        .iter()
        .fold(1.0_f64, |loudest, sample| loudest.max(sample.abs()));
    samples
        .iter()
        .map(|sample| (sample * PEAK / loudest).round() as i16)
        .collect()
}

/// Sound with the rhythm of a text: a vowel's colour for each syllable, short gaps between words, longer ones at commas
/// and stops, and a pitch that falls over each sentence.
fn synthetic(text: &str, seed: u64) -> Vec<i16> {
    let mut dice = Dice::of(seed, text);
    let base_hertz = dice.between(105, 135) as f64;
    let mut samples = Vec::new();
    let mut fall = 0.0;
    for word in text.split_whitespace() {
        for vowel in syllables(word) {
            let hertz = base_hertz * (1.25 - fall) * (0.97 + dice.between(0, 60) as f64 / 1_000.0);
            fall = (fall + 0.02_f64).min(0.35);
            voiced(&mut samples, hertz, formants(vowel), dice.between(130, 190));
        }
        let (gap_ms, ends) = match word.chars().last() {
            Some('.' | '?' | '!') => (350, true),
            Some(',') => (220, false),
            _ => (50, false),
        };
        silence(&mut samples, gap_ms);
        fall = if ends { 0.0 } else { fall };
    }
    normalise(&samples)
}

/// The vowel of each syllable of a word, by its letters; at least one.
fn syllables(word: &str) -> Vec<char> {
    let mut vowels = Vec::new();
    let mut in_vowel = false;
    for letter in word.chars().map(|letter| letter.to_ascii_lowercase()) {
        let is_vowel = matches!(letter, 'a' | 'e' | 'i' | 'o' | 'u' | 'y');
        if is_vowel && !in_vowel {
            vowels.push(letter);
        }
        in_vowel = is_vowel;
    }
    // A last `e` is rarely heard.
    if vowels.len() > 1 && word.trim_end_matches(|c: char| !c.is_alphanumeric()).ends_with('e') {
        vowels.pop();
    }
    if vowels.is_empty() { vec!['a'] } else { vowels }
}

/// The first two formants of a vowel, in hertz.
fn formants(vowel: char) -> (f64, f64) {
    match vowel {
        'a' => (730.0, 1_100.0),
        'e' => (530.0, 1_850.0),
        'i' | 'y' => (300.0, 2_300.0),
        'o' => (500.0, 900.0),
        _ => (320.0, 900.0),
    }
}

/// Adds a voiced sound: the harmonics of a pitch, coloured by two formants, swelling and fading.
fn voiced(samples: &mut Vec<f64>, hertz: f64, (first, second): (f64, f64), milliseconds: u64) {
    let count = (milliseconds * u64::from(SAMPLE_RATE) / 1_000) as usize;
    let near = |frequency: f64, formant: f64, width: f64| (-((frequency - formant) / width).powi(2)).exp();
    let harmonics: Vec<(f64, f64)> = (1..)
        .map(|number| f64::from(number) * hertz)
        .take_while(|frequency| *frequency < 3_400.0)
        .map(|frequency| {
            (
                frequency,
                0.05 + near(frequency, first, 120.0) + 0.4 * near(frequency, second, 200.0),
            )
        })
        .collect();
    for index in 0..count {
        let swell = (PI * index as f64 / count as f64).sin().sqrt();
        let time = index as f64 / RATE;
        let sum: f64 = harmonics
            .iter()
            .map(|(frequency, weight)| weight * (TAU * frequency * time).sin())
            .sum();
        samples.push(swell * sum);
    }
}

fn silence(samples: &mut Vec<f64>, milliseconds: u32) {
    samples.extend(std::iter::repeat_n(0.0, (milliseconds * SAMPLE_RATE / 1_000) as usize));
}

/// "Mhm": two hummed pulses, the second higher.
pub(crate) fn hum() -> Vec<i16> {
    let mut samples = Vec::new();
    voiced(&mut samples, 115.0, (250.0, 900.0), 170);
    silence(&mut samples, 40);
    voiced(&mut samples, 135.0, (250.0, 900.0), 280);
    normalise(&samples)
}

/// A text with the murmur of a street behind, which goes on for half a second.
pub(crate) fn with_noise(samples: &[i16], seed: u64) -> Vec<i16> {
    let mut dice = Dice::of(seed, "noise");
    let mut low = 0.0;
    let tail = std::iter::repeat_n(&0, SAMPLE_RATE as usize / 2);
    let mixed = samples.iter().chain(tail).map(|sample| {
        let white = dice.between(0, 20_000) as f64 - 10_000.0;
        low += 0.15 * (white - low);
        (f64::from(*sample) * 0.7 + low).clamp(-32_000.0, 32_000.0) as i16
    });
    mixed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_media::tone;

    fn wav(rate: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
        let mut bytes = b"RIFF\xFF\xFF\xFF\x7FWAVEfmt \x10\0\0\0\x01\0".to_vec();
        bytes.extend(channels.to_le_bytes());
        bytes.extend(rate.to_le_bytes());
        bytes.extend((rate * 2).to_le_bytes());
        bytes.extend(b"\x02\0\x10\0data\xFF\xFF\xFF\x7F");
        bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        bytes
    }

    #[test]
    fn a_tone_keeps_its_pitch_and_what_is_too_high_goes() {
        let tone_at = |hertz: f64| -> Vec<i16> {
            (0..22_050)
                .map(|index| (8_000.0 * (TAU * hertz * f64::from(index) / 22_050.0).sin()) as i16)
                .collect()
        };
        let telephone = |hertz| {
            let (rate, samples) = read_wav(&wav(22_050, 1, &tone_at(hertz))).expect("a WAV");
            resample(&samples, rate)
        };
        let kept = telephone(1_000.0);
        assert_eq!(kept.len(), 8_000);
        assert!(tone::share(&normalise(&kept), 1_000.0) > 0.99);
        let loudest = telephone(6_000.0)
            .iter()
            .skip(100)
            .take(7_800)
            .fold(0.0_f64, |loudest, s| loudest.max(s.abs()));
        assert!(loudest < 80.0, "{loudest}");
    }

    #[test]
    fn what_is_no_wav_is_refused() {
        for bytes in [
            &b""[..],
            b"RIFF",
            &wav(22_050, 2, &[0; 100]),
            &wav(1, 1, &[0; 100]),
            &[0; 300],
        ] {
            assert!(read_wav(bytes).is_none(), "{} bytes", bytes.len());
        }
    }

    #[test]
    fn syllables_are_counted_as_they_are_spoken() {
        let rows = [
            ("Hello,", 2),
            ("please", 1),
            ("one", 1),
            ("again.", 2),
            ("tomorrow", 3),
            ("hm", 1),
            ("the", 1),
        ];
        for (word, count) in rows {
            assert_eq!(syllables(word).len(), count, "{word}");
        }
    }
}
