//! Speech as a telephone carries it: no silence around it, an even loudness, no clipping.

/// Loudness of speech, as a share of full scale: -20 dBFS.
const LEVEL: f32 = 0.1;
/// How much a voice may be raised or lowered.
const GAIN_RANGE: (f32, f32) = (0.02, 8.0);
/// From here on, peaks are bent instead of cut.
const KNEE: f32 = 0.7;
/// What is softer than this share of full scale, over a window, is silence: -46 dBFS.
const SILENCE: f32 = 0.005;
/// Samples of a window of 10 ms at 8,000 a second.
const WINDOW: usize = 80;
/// Windows of silence that are left before the voice, and after it.
const LEFT_BEFORE: usize = 2;
const LEFT_AFTER: usize = 4;

/// Trims and levels a piece of speech at 8,000 samples a second (-1 to 1), and adds the pause after it.
pub(super) fn finish(mut sound: Vec<f32>, pause_ms: u32) -> Vec<i16> {
    let gain = gain(&sound);
    for sample in &mut sound {
        *sample = bend(*sample * gain);
    }
    let mut finished: Vec<i16> = trimmed(&sound)
        .iter()
        .map(|sample| (sample * 32_767.0).round() as i16)
        .collect();
    if !finished.is_empty() {
        finished.resize(finished.len() + pause_ms as usize * WINDOW / 10, 0);
    }
    finished
}

fn level(window: &[f32]) -> f32 {
    (window.iter().map(|sample| sample * sample).sum::<f32>() / window.len().max(1) as f32).sqrt()
}

/// What brings the voiced part to the level: pauses do not count.
fn gain(sound: &[f32]) -> f32 {
    let levels: Vec<f32> = sound.chunks(WINDOW).map(level).collect();
    let loudest = levels.iter().copied().fold(0.0, f32::max);
    let voiced: Vec<f32> = levels.into_iter().filter(|level| *level > loudest * 0.1).collect();
    let power = voiced.iter().map(|level| level * level).sum::<f32>() / voiced.len().max(1) as f32;
    if power <= f32::EPSILON {
        return 1.0;
    }
    (LEVEL / power.sqrt()).clamp(GAIN_RANGE.0, GAIN_RANGE.1)
}

/// Leaves what is below the knee as it is and bends what is above it, so that nothing reaches full scale.
fn bend(sample: f32) -> f32 {
    let beyond = sample.abs() - KNEE;
    if beyond <= 0.0 || beyond.is_nan() {
        return if sample.is_nan() { 0.0 } else { sample };
    }
    let room = 0.98 - KNEE;
    (KNEE + room * (beyond / room).tanh()).copysign(sample)
}

fn trimmed(sound: &[f32]) -> &[f32] {
    let is_voiced = |window: &[f32]| level(window) > SILENCE;
    let mut windows = sound.chunks(WINDOW);
    let Some(first) = windows.clone().position(is_voiced) else {
        return &[];
    };
    let last = windows.rposition(is_voiced).unwrap_or(first);
    let start = first.saturating_sub(LEFT_BEFORE) * WINDOW;
    let end = ((last + 1 + LEFT_AFTER) * WINDOW).min(sound.len());
    &sound[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(amplitude: f32, count: usize) -> Vec<f32> {
        (0..count).map(|index| amplitude * (index as f32 * 0.7).sin()).collect()
    }

    #[test]
    fn soft_and_loud_voices_come_out_alike_and_never_clip() {
        for amplitude in [0.03, 0.2, 0.9, 3.0] {
            let finished = finish(tone(amplitude, 8_000), 0);
            let sound: Vec<f32> = finished.iter().map(|sample| f32::from(*sample) / 32_768.0).collect();
            assert!((level(&sound) - LEVEL).abs() < 0.01, "{amplitude}: {}", level(&sound));
        }
        let mut spiky = tone(0.01, 8_000);
        spiky[4_000] = 1.0;
        assert!(finish(spiky, 0).iter().all(|sample| sample.unsigned_abs() < 32_200));
    }

    #[test]
    fn silence_around_a_voice_is_cut_and_the_pause_is_added() {
        let mut sound = vec![0.0; 4_000];
        sound.extend(tone(0.2, 8_000));
        sound.extend(vec![0.0; 4_000]);
        let finished = finish(sound, 100);
        let expected = 8_000 + (LEFT_BEFORE + LEFT_AFTER) * WINDOW + 800;
        assert!(finished.len().abs_diff(expected) <= 2 * WINDOW, "{}", finished.len());
        assert!(finish(vec![0.0; 800], 100).is_empty());
        assert!(finish(Vec::new(), 100).is_empty());
    }
}
