//! Change of sample rate by a rational factor: a windowed sinc in phases, with nothing above the lower rate's band left over.

use std::f64::consts::PI;

/// Highest frequency that is kept, as a share of the lower rate's half.
const PASS_BAND: f64 = 0.92;
/// Zero crossings of the kernel to each side; enough for about 70 dB beyond the band.
const CROSSINGS: f64 = 24.0;
/// Shape of the Kaiser window for about 70 dB.
const KAISER_BETA: f64 = 6.8;

/// A change from one sample rate to another. Made once and used for many sounds.
#[derive(Clone, Debug)]
pub(super) struct Resampler {
    up: usize,
    down: usize,
    /// For each of `up` phases the kernel's values at its taps.
    phases: Vec<Vec<f32>>,
    /// Samples of the kernel to each side.
    reach: usize,
}

impl Resampler {
    /// From and to sample rates in hertz, neither zero.
    pub(super) fn new(from_hz: u32, to_hz: u32) -> Self {
        let (from_hz, to_hz) = (from_hz.max(1), to_hz.max(1));
        let divisor = greatest_common_divisor(from_hz, to_hz);
        let (up, down) = ((to_hz / divisor) as usize, (from_hz / divisor) as usize);
        let cut_off = PASS_BAND * (f64::from(to_hz) / f64::from(from_hz)).min(1.0);
        let half_width = CROSSINGS / cut_off;
        let reach = half_width.ceil() as usize;
        let phases = (0..up)
            .map(|phase| {
                let offset = phase as f64 / up as f64;
                let taps: Vec<f64> = (0..2 * reach)
                    .map(|tap| kernel(tap as f64 - (reach as f64 - 1.0) - offset, cut_off, half_width))
                    .collect();
                // Each phase passes a constant unchanged, so that silence with an offset does not hum.
                let sum: f64 = taps.iter().sum();
                taps.iter().map(|tap| (tap / sum) as f32).collect()
            })
            .collect();
        Self {
            up,
            down,
            phases,
            reach,
        }
    }

    /// The whole sound at the new rate, aligned with the old one; what lies outside it is silence.
    pub(super) fn apply(&self, samples: &[f32]) -> Vec<f32> {
        let count = (samples.len() * self.up).div_ceil(self.down);
        // Zeros on both sides, so that the inner loop needs no bounds.
        let mut padded = vec![0.0_f32; samples.len() + 2 * self.reach];
        padded[self.reach..self.reach + samples.len()].copy_from_slice(samples);
        (0..count)
            .map(|index| {
                let position = index * self.down;
                let first = position / self.up + 1;
                let taps = &self.phases[position % self.up];
                let window = &padded[first.min(samples.len())..];
                window.iter().zip(taps).map(|(sample, tap)| sample * tap).sum()
            })
            .collect()
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

fn kernel(distance: f64, cut_off: f64, half_width: f64) -> f64 {
    let x = PI * distance * cut_off;
    let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
    let place = distance / half_width;
    if place.abs() >= 1.0 {
        return 0.0;
    }
    sinc * bessel(KAISER_BETA * (1.0 - place * place).sqrt()) / bessel(KAISER_BETA)
}

/// The modified Bessel function of order zero, by its series.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

/// 16-bit samples as numbers from -1 to 1.
pub(super) fn to_float(samples: &[i16]) -> Vec<f32> {
    samples.iter().map(|sample| f32::from(*sample) / 32_768.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hertz: f64, rate: u32, count: usize) -> Vec<f32> {
        (0..count)
            .map(|index| (2.0 * PI * hertz * index as f64 / f64::from(rate)).sin() as f32)
            .collect()
    }

    fn level(samples: &[f32]) -> f64 {
        let inner = &samples[samples.len() / 4..samples.len() * 3 / 4];
        (inner.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / inner.len() as f64).sqrt()
    }

    #[test]
    fn tones_in_the_band_keep_their_shape_and_tones_above_it_vanish() {
        // from, to, tone, share of the level that is left
        let rows = [
            (8_000, 16_000, 300.0, 1.0),
            (8_000, 16_000, 3_400.0, 1.0),
            (22_050, 8_000, 1_000.0, 1.0),
            (22_050, 8_000, 3_300.0, 1.0),
            (22_050, 8_000, 4_600.0, 0.0),
            (22_050, 8_000, 7_000.0, 0.0),
            (16_000, 8_000, 5_000.0, 0.0),
            (48_000, 8_000, 440.0, 1.0),
        ];
        for (from, to, hertz, share) in rows {
            let count = from as usize;
            let made = Resampler::new(from, to).apply(&sine(hertz, from, count));
            assert_eq!(made.len(), to as usize, "{from} {to}");
            let left = level(&made) / std::f64::consts::FRAC_1_SQRT_2;
            assert!((left - share).abs() < 0.01, "{from} {to} {hertz}: {left}");
            if share > 0.0 {
                let wanted = sine(hertz, to, made.len());
                let middle = to as usize / 4..to as usize / 2;
                for at in middle {
                    assert!((made[at] - wanted[at]).abs() < 0.02, "{from} {to} {hertz} at {at}");
                }
            }
        }
    }

    #[test]
    fn no_sound_and_one_sample_are_sounds_too() {
        let resampler = Resampler::new(8_000, 16_000);
        assert!(resampler.apply(&[]).is_empty());
        assert_eq!(resampler.apply(&[1.0]).len(), 2);
        assert!(Resampler::new(22_050, 8_000).apply(&[0.5; 3]).len() <= 2);
    }
}
