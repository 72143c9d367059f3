//! What a bad line does to sound: noise behind the voice, the codec, lost packets. For tests, evaluations and far ends of ours.
//!
//! Everything is drawn from a seed, so a run repeats.

use crate::{FRAME_SAMPLES, g711, level};
use carillon_domain::trunk::Codec;

/// Random numbers that are the same in every run and version (xorshift64*).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice of a seed; each seed gives its own sequence.
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give neighbouring numbers (splitmix64).
        let mut state = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self((state ^ (state >> 31)) | 1)
    }

    /// A number from 0 up to 1.
    pub fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A whole number from `low` to `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = high.saturating_sub(low) + 1;
        low + ((self.unit() * span as f64) as u64).min(span - 1)
    }
}

/// The kind of noise behind a voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// Hiss: every pitch alike.
    White,
    /// Street and wind: low pitches louder, its level wanders.
    Street,
}

/// A line between a far end and us.
#[derive(Clone, Debug)]
pub struct Line {
    codec: Codec,
    noise: Option<(Noise, f64)>,
    loss: f64,
    dice: Dice,
    low: f64,
    sway: f64,
}

impl Line {
    /// A clean line.
    pub fn new(codec: Codec, seed: u64) -> Self {
        Self {
            codec,
            noise: None,
            loss: 0.0,
            dice: Dice::new(seed),
            low: 0.0,
            sway: 0.0,
        }
    }

    /// With noise of this level, as [`level::db`] measures it.
    #[must_use]
    pub fn with_noise(mut self, noise: Noise, level_db: f64) -> Self {
        self.noise = Some((noise, level_db));
        self
    }

    /// With this share of packets lost (0 to 1).
    #[must_use]
    pub fn with_loss(mut self, share: f64) -> Self {
        self.loss = share;
        self
    }

    /// Carries one packet of sound; a lost one arrives as silence.
    pub fn carry(&mut self, samples: &mut [i16]) {
        if let Some((noise, level_db)) = self.noise {
            for sample in samples.iter_mut() {
                let noise = self.noise_sample(noise, level_db);
                // Casts of floats to integers saturate.
                *sample = (f64::from(*sample) + noise) as i16;
            }
        }
        if self.loss > 0.0 && self.dice.happens(self.loss) {
            samples.fill(0);
            return;
        }
        for sample in samples.iter_mut() {
            *sample = g711::decode_byte(self.codec, g711::encode_sample(self.codec, *sample));
        }
    }

    /// Carries a whole recording.
    pub fn carry_all(&mut self, samples: &[i16]) -> Vec<i16> {
        let mut carried = samples.to_vec();
        for frame in carried.chunks_mut(FRAME_SAMPLES) {
            self.carry(frame);
        }
        carried
    }

    fn noise_sample(&mut self, noise: Noise, level_db: f64) -> f64 {
        let root_mean_square = 32_767.0 / 2_f64.sqrt() * 10_f64.powf(level_db / 20.0);
        // Even between -1 and 1 has a mean square of a third.
        let white = (self.dice.unit() * 2.0 - 1.0) * 3_f64.sqrt();
        match noise {
            Noise::White => white * root_mean_square,
            Noise::Street => {
                self.low += 0.15 * (white - self.low);
                self.sway += 0.000_1 * (white - self.sway);
                // The low-pass leaves 0.15 / (2 - 0.15) of the power.
                let louder = 1.0 + (self.sway * 60.0).clamp(-0.5, 0.5);
                self.low * root_mean_square * (1.85_f64 / 0.15).sqrt() * louder
            }
        }
    }
}

/// Brings a recording's voice to this level, in decibels (see [`level::speech_db`]).
pub fn set_speech_level(samples: &mut [i16], level_db: f64) {
    let now_db = level::speech_db(samples);
    if now_db > level::SILENCE_DB {
        level::amplify(samples, level_db - now_db);
    }
}

/// A recording without the silence before and after it.
pub fn trimmed(samples: &[i16], quietest_db: f64) -> &[i16] {
    let loud = |frame: &[i16]| level::db(frame) > quietest_db;
    let frames = samples.chunks(FRAME_SAMPLES);
    let first = frames.clone().position(loud).unwrap_or(0) * FRAME_SAMPLES;
    let last = frames.clone().rposition(loud).map_or(0, |last| last + 1) * FRAME_SAMPLES;
    samples.get(first..last.min(samples.len())).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::sine;

    #[test]
    fn noise_has_the_level_asked_for() {
        for noise in [Noise::White, Noise::Street] {
            let carried = Line::new(Codec::Pcmu, 7)
                .with_noise(noise, -30.0)
                .carry_all(&[0; 80_000]);
            assert!(
                (level::db(&carried) + 30.0).abs() < 1.5,
                "{noise:?} {}",
                level::db(&carried)
            );
        }
    }

    #[test]
    fn packets_are_lost_whole_and_as_often_as_asked() {
        let sound = sine(1_000.0, 8_000, 100_000);
        let carried = Line::new(Codec::Pcma, 3).with_loss(0.05).carry_all(&sound);
        let lost = carried
            .chunks(FRAME_SAMPLES)
            .filter(|frame| frame.iter().all(|sample| *sample == 0))
            .count();
        assert!((200..300).contains(&lost), "{lost} of 5000");
    }

    #[test]
    fn a_line_repeats_and_another_seed_is_another_line() {
        let carry = |seed| {
            Line::new(Codec::Pcmu, seed)
                .with_noise(Noise::White, -30.0)
                .carry_all(&[0; 800])
        };
        assert_eq!(carry(1), carry(1));
        assert_ne!(carry(1), carry(2));
    }

    #[test]
    fn a_recording_is_trimmed_and_set_to_a_level() {
        let mut sound = vec![0; 800];
        sound.extend(sine(500.0, 1_000, 200));
        sound.extend([0; 1_600]);
        let mut sound = trimmed(&sound, -60.0).to_vec();
        assert_eq!(sound.len(), 1_600);
        set_speech_level(&mut sound, -20.0);
        assert!((level::speech_db(&sound) + 20.0).abs() < 0.2);
    }
}
