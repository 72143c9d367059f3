//! Sine tones: made, and found by the Goertzel algorithm.

use crate::SAMPLE_RATE;
use std::f64::consts::TAU;

/// `milliseconds` of a sine of `hertz`, with a peak of `amplitude`.
pub fn sine(hertz: f64, amplitude: i16, milliseconds: u32) -> Vec<i16> {
    let count = u64::from(milliseconds) * u64::from(SAMPLE_RATE) / 1_000;
    let step = TAU * hertz / f64::from(SAMPLE_RATE);
    (0..count)
        .map(|index| (f64::from(amplitude) * (step * index as f64).sin()).round() as i16)
        .collect()
}

/// How much of the samples' energy lies at `hertz`: near 1 for that tone alone, near 0 for silence and other sounds.
///
/// The longer the samples, the narrower the band: about 8,000 / length hertz.
pub fn share(samples: &[i16], hertz: f64) -> f64 {
    let energy: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    if energy < 1.0 {
        return 0.0;
    }
    (2.0 * goertzel_power(samples, hertz) / (samples.len() as f64 * energy)).clamp(0.0, 1.0)
}

/// The squared magnitude of the samples' spectrum at `hertz`: for a tone of peak `a`, (`a` x length / 2) squared.
pub fn goertzel_power(samples: &[i16], hertz: f64) -> f64 {
    goertzel_powers(samples, [hertz])[0]
}

/// The same for several pitches in one pass.
pub fn goertzel_powers<'a, const N: usize>(samples: impl IntoIterator<Item = &'a i16>, hertz: [f64; N]) -> [f64; N] {
    let coefficients = hertz.map(|hertz| 2.0 * (TAU * hertz / f64::from(SAMPLE_RATE)).cos());
    let (mut before, mut last) = ([0.0; N], [0.0; N]);
    for sample in samples {
        let sample = f64::from(*sample);
        for place in 0..N {
            let next = sample + coefficients[place] * last[place] - before[place];
            (before[place], last[place]) = (last[place], next);
        }
    }
    std::array::from_fn(|place| {
        let (before, last) = (before[place], last[place]);
        before * before + last * last - coefficients[place] * before * last
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_found_at_its_own_pitch_only() {
        let tone = sine(440.0, 8_000, 100);
        assert_eq!(tone.len(), 800);
        assert!(share(&tone, 440.0) > 0.98);
        for hertz in [350.0, 480.0, 1_000.0] {
            assert!(share(&tone, hertz) < 0.05, "{hertz}");
        }
    }

    #[test]
    fn silence_and_mixtures_are_told_apart() {
        assert_eq!(share(&[0; 800], 440.0), 0.0);
        assert_eq!(share(&[], 440.0), 0.0);
        let mixed: Vec<i16> = sine(440.0, 8_000, 100)
            .iter()
            .zip(sine(1_000.0, 8_000, 100))
            .map(|(a, b)| a / 2 + b / 2)
            .collect();
        for hertz in [440.0, 1_000.0] {
            assert!((0.4..0.6).contains(&share(&mixed, hertz)), "{hertz}");
        }
    }
}
