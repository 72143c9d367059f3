//! Changes the sample rate of speech: a stream of samples in, a stream at the other rate out.
//!
//! A polyphase filter: a Kaiser-windowed sinc that passes what the lower of the two rates can carry. Rates are any whole numbers
//! of hertz.

/// Zero crossings of the filter on each side, at the lower rate. More is sharper and slower.
const ZERO_CROSSINGS: usize = 16;
/// Where the pass band ends, as a part of the lower rate's half.
const ROLL_OFF: f64 = 0.92;
/// The Kaiser window's shape: about 70 dB below the pass band.
const KAISER_BETA: f64 = 7.0;

/// Converts one stream. Holds the last few milliseconds between calls.
#[derive(Clone, Debug)]
pub struct Resampler {
    /// Steps of the common rate for each sample out, and for each sample in.
    up: usize,
    down: usize,
    /// For each phase the weights of the samples around it, oldest first.
    phases: Vec<Vec<f32>>,
    /// Samples that the filter still needs; the filter's reach of silence at the start.
    held: Vec<f32>,
    /// Where the next sample out lies, in steps of the common rate after the first held sample that it weighs.
    position: usize,
    is_same: bool,
}

impl Resampler {
    /// A converter between two rates in hertz; zero counts as one.
    pub fn new(from_hz: u32, to_hz: u32) -> Self {
        let (from, to) = (from_hz.max(1) as usize, to_hz.max(1) as usize);
        let common = greatest_common_divisor(from, to);
        let (up, down) = (to / common, from / common);
        let is_same = up == down;
        let lower = (to as f64 / from as f64).min(1.0);
        let reach = (ZERO_CROSSINGS as f64 / lower).ceil() as usize;
        let phases = if is_same {
            Vec::new()
        } else {
            (0..up)
                .map(|phase| weights(phase as f64 / up as f64, reach, lower * ROLL_OFF))
                .collect()
        };
        Self {
            up,
            down,
            phases,
            held: vec![0.0; if is_same { 0 } else { reach - 1 }],
            position: 0,
            is_same,
        }
    }

    /// Takes more samples, gives what is ready.
    pub fn push(&mut self, samples: &[i16]) -> Vec<i16> {
        if self.is_same {
            return samples.to_vec();
        }
        self.held.extend(samples.iter().map(|&sample| f32::from(sample)));
        self.ready()
    }

    /// The stream is over: gives the rest.
    pub fn finish(mut self) -> Vec<i16> {
        if self.is_same {
            return Vec::new();
        }
        let reach = self.phases.first().map_or(0, Vec::len) / 2;
        self.held.extend(std::iter::repeat_n(0.0, reach));
        self.ready()
    }

    fn ready(&mut self) -> Vec<i16> {
        let mut out = Vec::new();
        loop {
            let (first, phase) = (self.position / self.up, self.position % self.up);
            let Some(weights) = self.phases.get(phase) else { break };
            let Some(samples) = self.held.get(first..first + weights.len()) else {
                break;
            };
            let sum: f32 = samples
                .iter()
                .zip(weights)
                .map(|(sample, weight)| sample * weight)
                .sum();
            out.push(sum.round().clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16);
            self.position += self.down;
        }
        let used = (self.position / self.up).min(self.held.len());
        self.held.drain(..used);
        self.position -= used * self.up;
        out
    }
}

/// All of a sound at another rate.
pub fn resample(samples: &[i16], from_hz: u32, to_hz: u32) -> Vec<i16> {
    let mut resampler = Resampler::new(from_hz, to_hz);
    let mut out = resampler.push(samples);
    out.extend(resampler.finish());
    out
}

/// Weights of the `2 * reach` samples around a point that lies `fraction` of a sample after the middle one. Their sum is one, so
/// that a level stays a level.
fn weights(fraction: f64, reach: usize, cutoff: f64) -> Vec<f32> {
    let all: Vec<f64> = (0..2 * reach)
        .map(|index| {
            let distance = index as f64 - (reach as f64 - 1.0) - fraction;
            let inside = 1.0 - (distance / reach as f64).powi(2);
            let window = if inside > 0.0 {
                bessel(KAISER_BETA * inside.sqrt()) / bessel(KAISER_BETA)
            } else {
                0.0
            };
            cutoff * sinc(cutoff * distance) * window
        })
        .collect();
    let sum: f64 = all.iter().sum();
    all.iter().map(|weight| (weight / sum) as f32).collect()
}

fn sinc(x: f64) -> f64 {
    let x = x * std::f64::consts::PI;
    if x.abs() < 1e-9 { 1.0 } else { x.sin() / x }
}

/// The modified Bessel function of order zero, by its series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term, mut n) = (1.0, 1.0, 1.0);
    while term > sum * 1e-12 {
        term *= (x / (2.0 * n)).powi(2);
        sum += term;
        n += 1.0;
    }
    sum
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, rate_hz: u32, ms: u32) -> Vec<i16> {
        let count = rate_hz as usize * ms as usize / 1_000;
        let step = hz * std::f64::consts::TAU / f64::from(rate_hz);
        (0..count)
            .map(|n| ((n as f64 * step).sin() * 10_000.0) as i16)
            .collect()
    }

    /// Level in decibels against the tone's own, the ends left out.
    fn level_db(samples: &[i16]) -> f64 {
        let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
        let power = middle.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / middle.len() as f64;
        10.0 * (power / (10_000.0f64.powi(2) / 2.0)).log10()
    }

    #[test]
    fn speech_stays_and_what_the_lower_rate_cannot_carry_goes() {
        for (from, to) in [
            (24_000, 8_000),
            (22_050, 8_000),
            (16_000, 8_000),
            (44_100, 8_000),
            (48_000, 8_000),
            (8_000, 16_000),
        ] {
            for hz in [200.0, 1_000.0, 3_000.0] {
                let level = level_db(&resample(&tone(hz, from, 500), from, to));
                assert!(level.abs() < 0.3, "{from} to {to}, {hz} Hz: {level} dB");
            }
        }
        for from in [24_000, 22_050, 16_000, 48_000] {
            let level = level_db(&resample(&tone(5_200.0, from, 500), from, 8_000));
            assert!(level < -60.0, "{from}: {level} dB");
        }
    }

    #[test]
    fn a_sound_keeps_its_length_and_its_place() {
        for (from, to) in [(24_000, 8_000), (22_050, 8_000), (8_000, 16_000), (8_000, 8_000)] {
            let mut click = vec![0i16; from as usize];
            click[from as usize / 2] = 20_000;
            let out = resample(&click, from, to);
            assert!(out.len().abs_diff(to as usize) <= 1, "{from} to {to}: {}", out.len());
            let peak = (0..out.len()).max_by_key(|&n| out[n].unsigned_abs()).unwrap();
            assert!(peak.abs_diff(to as usize / 2) <= 1, "{from} to {to}: {peak}");
        }
    }

    #[test]
    fn how_a_stream_is_cut_does_not_matter() {
        let sound = tone(700.0, 22_050, 100);
        let whole = resample(&sound, 22_050, 8_000);
        for size in [1, 7, 441, 2_000] {
            let mut resampler = Resampler::new(22_050, 8_000);
            let mut out: Vec<i16> = sound.chunks(size).flat_map(|part| resampler.push(part)).collect();
            out.extend(resampler.finish());
            assert_eq!(out, whole, "{size}");
        }
    }

    #[test]
    fn loud_sound_does_not_wrap() {
        let square: Vec<i16> = (0..2_400)
            .map(|n| if n / 30 % 2 == 0 { i16::MAX } else { i16::MIN })
            .collect();
        let out = resample(&square, 24_000, 8_000);
        for (n, sample) in out.iter().enumerate().skip(50).take(700) {
            let input = square[n * 3];
            assert!(
                sample.unsigned_abs() < 8_000 || (*sample > 0) == (input > 0),
                "{n}: {sample}"
            );
        }
    }
}
