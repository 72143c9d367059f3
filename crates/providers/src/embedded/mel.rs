//! What Smart Turn looks at: the last 8 seconds as a picture of loudness by pitch and time, the way Whisper draws it.
//!
//! 16,000 samples a second, windows of 400 samples every 160, 80 bands on Slaney's mel scale, logarithm, cut 8 below the loudest.

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};
use std::f64::consts::PI;
use std::sync::Arc;

/// Samples a second.
pub(super) const RATE_HZ: u32 = 16_000;
/// Samples that are looked at: 8 s.
pub(super) const SPAN: usize = 8 * RATE_HZ as usize;
/// Bands of pitch.
pub(super) const BANDS: usize = 80;
/// Windows in time.
pub(super) const FRAMES: usize = SPAN / HOP;
const WINDOW: usize = 400;
const HOP: usize = 160;
const BINS: usize = WINDOW / 2 + 1;

/// Draws pictures; made once.
pub(super) struct MelPicture {
    fft: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    bands: Vec<Band>,
}

/// The bins that a band covers, from the first on, with their weights.
struct Band {
    first: usize,
    weights: Vec<f32>,
}

impl MelPicture {
    pub(super) fn new() -> Self {
        let window = (0..WINDOW)
            .map(|index| (0.5 - 0.5 * (2.0 * PI * index as f64 / WINDOW as f64).cos()) as f32)
            .collect();
        Self {
            fft: RealFftPlanner::new().plan_fft_forward(WINDOW),
            window,
            bands: bands(),
        }
    }

    /// The picture, band by band, of sound that ends now; what is missing at its beginning is silence.
    pub(super) fn draw(&self, sound: &[f32]) -> Vec<f32> {
        let sound = &sound[sound.len().saturating_sub(SPAN)..];
        let mut samples = vec![0.0_f32; SPAN];
        samples[SPAN - sound.len()..].copy_from_slice(sound);
        even_out(&mut samples);

        // The ends are mirrored, so that the first and the last window are full.
        let half = WINDOW / 2;
        let mirrored = |index: usize| -> f32 {
            let place = index as isize - half as isize;
            let place = if place < 0 {
                -place
            } else if place >= SPAN as isize {
                2 * (SPAN as isize - 1) - place
            } else {
                place
            };
            samples.get(place as usize).copied().unwrap_or(0.0)
        };
        let padded: Vec<f32> = (0..SPAN + WINDOW).map(mirrored).collect();

        let mut picture = vec![0.0_f32; BANDS * FRAMES];
        let mut input = self.fft.make_input_vec();
        let mut output = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut powers = vec![0.0_f32; BINS];
        for frame in 0..FRAMES {
            let sound = &padded[frame * HOP..frame * HOP + WINDOW];
            for ((into, sample), weight) in input.iter_mut().zip(sound).zip(&self.window) {
                *into = sample * weight;
            }
            // Lengths are those of the plan, so that this cannot fail.
            let _ = self.fft.process_with_scratch(&mut input, &mut output, &mut scratch);
            for (power, bin) in powers.iter_mut().zip(&output) {
                *power = Complex::norm_sqr(bin);
            }
            for (number, band) in self.bands.iter().enumerate() {
                let covered = &powers[band.first..band.first + band.weights.len()];
                let power: f32 = covered
                    .iter()
                    .zip(&band.weights)
                    .map(|(power, weight)| power * weight)
                    .sum();
                picture[number * FRAMES + frame] = power.max(1e-10).log10();
            }
        }
        let loudest = picture.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for value in &mut picture {
            *value = (value.max(loudest - 8.0) + 4.0) / 4.0;
        }
        picture
    }
}

/// No mean, and a variance of one.
fn even_out(samples: &mut [f32]) {
    let count = samples.len() as f64;
    let mean = samples.iter().map(|sample| f64::from(*sample)).sum::<f64>() / count;
    let variance = samples
        .iter()
        .map(|sample| (f64::from(*sample) - mean).powi(2))
        .sum::<f64>()
        / count;
    let scale = 1.0 / (variance + 1e-7).sqrt();
    for sample in samples {
        *sample = ((f64::from(*sample) - mean) * scale) as f32;
    }
}

/// Slaney's mel scale: linear to 1,000 Hz, logarithmic above.
fn hertz(mel: f64) -> f64 {
    if mel < 15.0 {
        mel * 200.0 / 3.0
    } else {
        1_000.0 * (6.4_f64.ln() / 27.0 * (mel - 15.0)).exp()
    }
}

/// Triangles between neighbouring corners, each of the same area.
fn bands() -> Vec<Band> {
    let highest = 15.0 + (f64::from(RATE_HZ) / 2.0 / 1_000.0).ln() * 27.0 / 6.4_f64.ln();
    let corners: Vec<f64> = (0..BANDS + 2)
        .map(|corner| hertz(highest * corner as f64 / (BANDS + 1) as f64))
        .collect();
    let bin_hertz = |bin: usize| bin as f64 * f64::from(RATE_HZ) / 2.0 / (BINS - 1) as f64;
    corners
        .windows(3)
        .map(|corner| {
            let weight = |bin: usize| {
                let rise = (bin_hertz(bin) - corner[0]) / (corner[1] - corner[0]);
                let fall = (corner[2] - bin_hertz(bin)) / (corner[2] - corner[1]);
                (rise.min(fall).max(0.0) * 2.0 / (corner[2] - corner[0])) as f32
            };
            let first = (0..BINS).find(|bin| weight(*bin) > 0.0).unwrap_or(0);
            let weights = (first..BINS).map(weight).take_while(|weight| *weight > 0.0).collect();
            Band { first, weights }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_bright_in_its_band_and_where_it_sounds() {
        // Two seconds of 1,000 Hz at the end of the span.
        let sound: Vec<f32> = (0..2 * RATE_HZ as usize)
            .map(|index| 0.1 * (2.0 * PI * 1_000.0 * index as f64 / f64::from(RATE_HZ)).sin() as f32)
            .collect();
        let picture = MelPicture::new().draw(&sound);
        let at = |band: usize, frame: usize| picture[band * FRAMES + frame];
        let brightest = (0..BANDS)
            .max_by(|a, b| at(*a, 700).total_cmp(&at(*b, 700)))
            .expect("bands");
        // The corner at 1,000 Hz is mel 15 of 45.2, of 81 steps.
        assert!((25..=27).contains(&brightest), "{brightest}");
        assert!(
            at(brightest, 700) - at(brightest, 100) > 1.9,
            "silence before it is dark"
        );
        let (least, most) = picture
            .iter()
            .fold((f32::MAX, f32::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        assert!(
            (most - least - 2.0).abs() < 1e-3,
            "{least} {most}: cut 8 below the loudest, in quarters"
        );
    }

    #[test]
    fn the_picture_is_the_one_that_the_model_was_trained_on() {
        // Three seconds of two tones; values as the reference in numpy draws them, in doubles.
        let sound: Vec<f32> = (0..3 * RATE_HZ as usize)
            .map(|index| {
                let sine = |hertz: f64| (2.0 * PI * hertz * index as f64 / f64::from(RATE_HZ)).sin();
                (0.3 * sine(300.0) + 0.1 * sine(2_500.0)) as f32
            })
            .collect();
        let picture = MelPicture::new().draw(&sound);
        // band, frame, value
        let rows = [
            (0, 0, -0.2664),
            (0, 700, 0.1795),
            (7, 499, 0.6742),
            (7, 500, 1.6084),
            (8, 700, 1.6876),
            (20, 650, -0.0766),
            (45, 799, 0.2364),
            (60, 501, 0.0500),
        ];
        for (band, frame, wanted) in rows {
            let found = picture[band * FRAMES + frame];
            assert!(
                (found - wanted).abs() < 0.01,
                "band {band}, frame {frame}: {found}, not {wanted}"
            );
        }
    }

    #[test]
    fn every_band_covers_something() {
        assert!(bands().iter().all(|band| !band.weights.is_empty()));
        let picture = MelPicture::new().draw(&[]);
        assert!(picture.iter().all(|value| value.is_finite()));
    }
}
