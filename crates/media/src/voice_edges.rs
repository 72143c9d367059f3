//! When a voice begins and ends, by loudness over the noise around it: cheap, without a model.
//!
//! Good enough for machine detection, where pauses of half a second count and single frames do not. A better judge of single
//! frames, where there is one, can be put in front: see [`VoiceEdges::judged`].

use crate::level;

/// A voice is louder than the noise by this much, in decibels.
const OVER_NOISE_DB: f64 = 7.0;
/// It goes on down to this much, in decibels.
const STILL_OVER_NOISE_DB: f64 = 4.5;
/// No voice is quieter, in decibels.
const QUIETEST_VOICE_DB: f64 = -48.0;
/// The noise is the quietest of this many stretches.
const STRETCHES: usize = 8;
/// Of this many frames each: 2 s in all, longer than most voices go without a gap.
const STRETCH_FRAMES: u32 = 13;
/// Frames of voice among the latest five that begin one.
const BEGIN_FRAMES: u32 = 4;
/// Frames without voice that end one: 300 ms.
const END_FRAMES: u32 = 15;
const FRAME_MS: u64 = 20;

/// An edge, with the time at which it really was: milliseconds of sound since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// A voice began.
    Began(u64),
    /// It ended.
    Ended(u64),
}

/// Follows the voice of one direction of one call.
#[derive(Clone, Debug)]
pub struct VoiceEdges {
    frame: u64,
    stretches: [f64; STRETCHES],
    stretch: usize,
    stretch_frames: u32,
    smooth_db: f64,
    /// The latest frames, newest in the lowest bit.
    recent: u32,
    talking: bool,
    last_voice_frame: u64,
}

impl Default for VoiceEdges {
    fn default() -> Self {
        Self::new()
    }
}

impl VoiceEdges {
    /// Hears nothing yet.
    pub fn new() -> Self {
        Self {
            frame: 0,
            stretches: [f64::MAX; STRETCHES],
            stretch: 0,
            stretch_frames: 0,
            smooth_db: level::SILENCE_DB,
            recent: 0,
            talking: false,
            last_voice_frame: 0,
        }
    }

    /// Takes the next 20 ms. `is_tone`: what sounds is known to be no voice.
    pub fn push(&mut self, samples: &[i16], is_tone: bool) -> Option<Edge> {
        let level_db = level::db(samples);
        let noise_db = self.noise_db(level_db);
        let margin = if self.talking {
            STILL_OVER_NOISE_DB
        } else {
            OVER_NOISE_DB
        };
        let voice = !is_tone && level_db >= QUIETEST_VOICE_DB.max(noise_db + margin);
        self.judged(voice)
    }

    /// Takes the next 20 ms as already judged.
    pub fn judged(&mut self, voice: bool) -> Option<Edge> {
        let frame = self.frame;
        self.frame += 1;
        self.recent = self.recent << 1 | u32::from(voice);
        if voice {
            self.last_voice_frame = frame;
        }
        let latest = self.recent & 0b1_1111;
        if !self.talking && latest.count_ones() >= BEGIN_FRAMES {
            self.talking = true;
            let first = u64::from(31 - latest.leading_zeros());
            return Some(Edge::Began(frame.saturating_sub(first) * FRAME_MS));
        }
        if self.talking && frame - self.last_voice_frame >= u64::from(END_FRAMES) {
            self.talking = false;
            return Some(Edge::Ended((self.last_voice_frame + 1) * FRAME_MS));
        }
        None
    }

    /// The level of the noise: the quietest smoothed level of the last two seconds.
    fn noise_db(&mut self, level_db: f64) -> f64 {
        // A lost packet is silence, not the noise around the caller.
        if level_db > -70.0 {
            let weight = if self.smooth_db <= level::SILENCE_DB { 1.0 } else { 0.4 };
            self.smooth_db += weight * (level_db - self.smooth_db);
            let stretch = &mut self.stretches[self.stretch];
            *stretch = stretch.min(self.smooth_db);
        }
        self.stretch_frames += 1;
        if self.stretch_frames == STRETCH_FRAMES {
            self.stretch_frames = 0;
            self.stretch = (self.stretch + 1) % STRETCHES;
            self.stretches[self.stretch] = f64::MAX;
        }
        let quietest = self.stretches.iter().copied().fold(f64::MAX, f64::min);
        // Before two seconds have passed, loud sound may be all there was: it is not taken for noise.
        quietest.clamp(level::SILENCE_DB, if self.frame < 100 { -30.0 } else { -26.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FRAME_SAMPLES;
    use crate::tone::sine;

    fn edges(samples: &[i16]) -> Vec<Edge> {
        let mut voice = VoiceEdges::new();
        samples
            .chunks(FRAME_SAMPLES)
            .filter_map(|frame| voice.push(frame, false))
            .collect()
    }

    #[test]
    fn edges_lie_where_the_voice_does_not_where_they_are_noticed() {
        let mut samples = vec![0; 8_000];
        samples.extend(sine(300.0, 5_000, 1_000));
        samples.extend([0; 8_000]);
        assert_eq!(edges(&samples), [Edge::Began(1_000), Edge::Ended(2_000)]);
    }

    #[test]
    fn a_click_is_no_voice_and_a_short_gap_ends_none() {
        let mut samples = vec![0; 8_000];
        samples.extend(sine(300.0, 5_000, 40));
        samples.extend([0; 8_000]);
        assert_eq!(edges(&samples), []);
        let mut samples = sine(300.0, 5_000, 400);
        samples.extend([0; 1_600]);
        samples.extend(sine(300.0, 5_000, 400));
        samples.extend([0; 8_000]);
        assert_eq!(edges(&samples), [Edge::Began(0), Edge::Ended(1_000)]);
    }

    #[test]
    fn steady_noise_is_no_voice_and_a_voice_over_it_is() {
        let mut state = 7_u32;
        let mut noise = |count: usize, over: i16| -> Vec<i16> {
            (0..count)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 16) as i16 / over
                })
                .collect()
        };
        // About -38 dB, then the same with a voice about 12 dB louder.
        let mut samples = noise(24_000, 60);
        let voiced: Vec<i16> = noise(8_000, 60)
            .iter()
            .zip(sine(300.0, 2_200, 1_000))
            .map(|(noise, voice)| noise + voice)
            .collect();
        samples.extend(voiced);
        samples.extend(noise(16_000, 60));
        let edges = edges(&samples);
        assert_eq!(edges.len(), 2, "{edges:?}");
        assert!(
            matches!(edges[0], Edge::Began(at) if at.abs_diff(3_000) <= 40),
            "{edges:?}"
        );
        assert!(
            matches!(edges[1], Edge::Ended(at) if at.abs_diff(4_000) <= 40),
            "{edges:?}"
        );
    }

    #[test]
    fn tones_are_left_out() {
        let mut voice = VoiceEdges::new();
        let samples = sine(1_000.0, 5_000, 1_000);
        assert!(
            samples
                .chunks(FRAME_SAMPLES)
                .all(|frame| voice.push(frame, true).is_none())
        );
    }
}
