//! WAV files without ffmpeg: reads the common kinds into 8,000 samples a second, and writes one-channel files.

use carillon_domain::trunk::Codec;
use carillon_media::g711;

/// Samples of one channel in a millisecond.
pub(super) const SAMPLES_PER_MS: u16 = 8;

const SAMPLE_RATE: u32 = 8_000;

/// Why a file is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WavProblem {
    /// No RIFF/WAVE file, or cut off within its headers.
    #[error("this is no WAV file")]
    NotWav,
    /// Another encoding, rate or number of channels.
    #[error("this kind of WAV file is not read here")]
    Unsupported,
}

/// The samples of a file, mixed to one channel.
pub(super) fn read(file: &[u8]) -> Result<Vec<i16>, WavProblem> {
    let body = file
        .strip_prefix(b"RIFF")
        .and_then(|rest| rest.get(4..))
        .ok_or(WavProblem::NotWav)?;
    let mut rest = body.strip_prefix(b"WAVE").ok_or(WavProblem::NotWav)?;
    let mut format = None;
    while let Some((header, tail)) = rest.split_first_chunk::<8>() {
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        // A length beyond the end is what recorders write that never came back to their header.
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(tail.len());
        let (chunk, after) = tail.split_at(length);
        match &header[..4] {
            b"fmt " => format = Some(Format::read(chunk)?),
            b"data" => return format.ok_or(WavProblem::NotWav)?.samples(chunk),
            _ => {}
        }
        // Chunks of odd length are padded.
        rest = after.get(length % 2..).unwrap_or_default();
    }
    Err(WavProblem::NotWav)
}

struct Format {
    encoding: Encoding,
    channels: usize,
    factor: usize,
}

enum Encoding {
    Pcm16,
    G711(Codec),
}

impl Format {
    fn read(chunk: &[u8]) -> Result<Self, WavProblem> {
        let number = |at: usize| chunk.get(at..at + 2).map(|two| u16::from_le_bytes([two[0], two[1]]));
        let tag = match number(0).ok_or(WavProblem::NotWav)? {
            // WAVE_FORMAT_EXTENSIBLE: the tag proper begins its sub-format.
            0xFFFE => number(24).ok_or(WavProblem::NotWav)?,
            tag => tag,
        };
        let channels = number(2).ok_or(WavProblem::NotWav)?;
        let rate =
            u32::from(number(4).ok_or(WavProblem::NotWav)?) | u32::from(number(6).ok_or(WavProblem::NotWav)?) << 16;
        let bits = number(14).ok_or(WavProblem::NotWav)?;
        let encoding = match (tag, bits) {
            (1, 16) => Encoding::Pcm16,
            (6, 8) => Encoding::G711(Codec::Pcma),
            (7, 8) => Encoding::G711(Codec::Pcmu),
            _ => return Err(WavProblem::Unsupported),
        };
        if !(1..=2).contains(&channels) || rate % SAMPLE_RATE != 0 || !(1..=6).contains(&(rate / SAMPLE_RATE)) {
            return Err(WavProblem::Unsupported);
        }
        let factor = usize::try_from(rate / SAMPLE_RATE).unwrap_or(1);
        Ok(Self {
            encoding,
            channels: usize::from(channels),
            factor,
        })
    }

    fn samples(&self, data: &[u8]) -> Result<Vec<i16>, WavProblem> {
        let interleaved: Vec<i16> = match self.encoding {
            Encoding::Pcm16 => data
                .chunks_exact(2)
                .map(|two| i16::from_le_bytes([two[0], two[1]]))
                .collect(),
            Encoding::G711(codec) => data.iter().map(|byte| g711::decode_byte(codec, *byte)).collect(),
        };
        let mono: Vec<i16> = match self.channels {
            1 => interleaved,
            _ => interleaved
                .chunks_exact(2)
                .map(|pair| i16::midpoint(pair[0], pair[1]))
                .collect(),
        };
        Ok(decimate(&mono, self.factor))
    }
}

/// Every `factor`th sample behind a low-pass filter (a windowed sinc) that keeps what 8,000 samples a second can hold.
fn decimate(samples: &[i16], factor: usize) -> Vec<i16> {
    if factor <= 1 {
        return samples.to_vec();
    }
    let taps = low_pass(factor);
    let half = taps.len() / 2;
    let at = |index: Option<usize>| {
        index
            .and_then(|index| samples.get(index))
            .map_or(0.0, |sample| f32::from(*sample))
    };
    (0..samples.len())
        .step_by(factor)
        .map(|center| {
            let sum: f32 = taps
                .iter()
                .enumerate()
                .map(|(tap, weight)| weight * at((center + tap).checked_sub(half)))
                .sum();
            #[expect(clippy::cast_possible_truncation, reason = "clamped to the range of i16")]
            let sample = sum.round().clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16;
            sample
        })
        .collect()
}

/// Weights that add up to 1, for a cut at nine tenths of the new half rate.
fn low_pass(factor: usize) -> Vec<f32> {
    const TAPS_PER_FACTOR: usize = 16;
    let half = i32::try_from(factor * TAPS_PER_FACTOR / 2).unwrap_or(64);
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let weights: Vec<f32> = (-half..=half)
        .map(|tap| {
            let cut = 0.9 / factor as f32;
            let x = std::f32::consts::PI * cut * tap as f32;
            let sinc = if tap == 0 { 1.0 } else { x.sin() / x };
            let window = 0.5 + 0.5 * (std::f32::consts::PI * tap as f32 / (half + 1) as f32).cos();
            sinc * window
        })
        .collect();
    let sum: f32 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// A WAV file of one channel from little-endian samples.
pub(crate) fn mono_file(samples: &[u8]) -> Vec<u8> {
    let length = u32::try_from(samples.len()).unwrap_or(u32::MAX - 36).min(u32::MAX - 36);
    let mut file = Vec::with_capacity(samples.len() + 44);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(length + 36).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16_u32.to_le_bytes());
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&SAMPLE_RATE.to_le_bytes());
    file.extend_from_slice(&(SAMPLE_RATE * 2).to_le_bytes());
    file.extend_from_slice(&2_u16.to_le_bytes());
    file.extend_from_slice(&16_u16.to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(samples);
    file
}
