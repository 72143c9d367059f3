//! How loud samples are, in decibels below the loudest sine that 16 bits hold (dBov-like; that sine is 0).

/// What silence is said to have: quieter than any sample.
pub const SILENCE_DB: f64 = -100.0;

/// Mean power of a full sine.
const FULL_POWER: f64 = 32_767.0 * 32_767.0 / 2.0;

/// The level of samples in decibels: 0 for a full sine, about -20 for speech, [`SILENCE_DB`] for silence.
pub fn db(samples: &[i16]) -> f64 {
    if samples.is_empty() {
        return SILENCE_DB;
    }
    let energy: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    of_power(energy / samples.len() as f64)
}

/// The level of a mean square in decibels.
pub fn of_power(mean_square: f64) -> f64 {
    if mean_square < 0.1 {
        return SILENCE_DB;
    }
    10.0 * (mean_square / FULL_POWER).log10()
}

/// The level of the voice in a recording, in decibels: its frames within 25 dB of the loudest one, so that pauses do not count.
pub fn speech_db(samples: &[i16]) -> f64 {
    let frames = || samples.chunks(crate::FRAME_SAMPLES).map(power);
    let loudest = frames().fold(0.0, f64::max);
    let floor = loudest * 10_f64.powf(-2.5);
    let (sum, count) = frames()
        .filter(|power| *power > floor)
        .fold((0.0, 0_u32), |(sum, count), power| (sum + power, count + 1));
    if count == 0 {
        SILENCE_DB
    } else {
        of_power(sum / f64::from(count))
    }
}

fn power(frame: &[i16]) -> f64 {
    let energy: f64 = frame.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    energy / frame.len().max(1) as f64
}

/// Makes samples louder (or, below zero, quieter) by `gain_db` decibels; what does not fit is cut.
pub fn amplify(samples: &mut [i16], gain_db: f64) {
    let factor = 10_f64.powf(gain_db / 20.0);
    for sample in samples {
        // Casts of floats to integers saturate.
        *sample = (f64::from(*sample) * factor).round() as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::sine;

    #[test]
    fn levels_of_known_sounds() {
        let rows = [
            (sine(1_000.0, 32_767, 100), 0.0),
            (sine(1_000.0, 3_277, 100), -20.0),
            (vec![0; 800], SILENCE_DB),
            (vec![], SILENCE_DB),
        ];
        for (samples, expected) in rows {
            assert!((db(&samples) - expected).abs() < 0.1, "{} {expected}", db(&samples));
        }
    }

    #[test]
    fn pauses_do_not_make_speech_quieter() {
        let mut samples = sine(500.0, 3_277, 100);
        samples.extend([0; 8_000]);
        assert!((speech_db(&samples) + 20.0).abs() < 0.1, "{}", speech_db(&samples));
        assert!(db(&samples) < -29.0);
    }

    #[test]
    fn amplifying_cuts_what_does_not_fit() {
        let mut samples = sine(1_000.0, 16_000, 20);
        amplify(&mut samples, -6.02);
        assert!((db(&samples) + 12.2).abs() < 0.1, "{}", db(&samples));
        let mut loud = [30_000, -30_000];
        amplify(&mut loud, 20.0);
        assert_eq!(loud, [i16::MAX, i16::MIN]);
    }
}
