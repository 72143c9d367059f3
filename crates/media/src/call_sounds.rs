//! What machine detection hears of a call besides words: edges of the voice and tones, as signals with their times.
//!
//! Time is the sound itself: 160 samples are 20 ms, counted from the answer. What was lost on the way is handed in as silence
//! or concealment, so that the count stays true.

use crate::FRAME_SAMPLES;
use crate::call_tones::CallTones;
use crate::voice_edges::{Edge, VoiceEdges};
use carillon_domain::machine_detection::Signal;

/// Listens to the far end of one call from its answer on.
#[derive(Clone, Debug, Default)]
pub struct CallSounds {
    tones: CallTones,
    voice: VoiceEdges,
    frames: u64,
}

impl CallSounds {
    /// Hears nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How much has been heard, in milliseconds since the answer.
    pub fn heard_ms(&self) -> u64 {
        self.frames * 20
    }

    /// Takes the next 20 ms (160 samples) and returns what is new at [`CallSounds::heard_ms`]; mostly nothing, and then without
    /// an allocation.
    pub fn push(&mut self, frame: &[i16]) -> Vec<Signal> {
        debug_assert!(frame.len() <= FRAME_SAMPLES, "one frame at a time");
        self.heard(frame, None)
    }

    /// The same, where a better judge than loudness has said whether these 20 ms are a voice.
    pub fn push_judged(&mut self, frame: &[i16], voice: bool) -> Vec<Signal> {
        self.heard(frame, Some(voice))
    }

    fn heard(&mut self, frame: &[i16], judged: Option<bool>) -> Vec<Signal> {
        let tone = self.tones.push(frame);
        let is_tone = self.tones.sounds();
        let edge = match judged {
            Some(voice) => self.voice.judged(voice && !is_tone),
            None => self.voice.push(frame, is_tone),
        };
        self.frames += 1;
        let edge = edge.map(|edge| match edge {
            Edge::Began(since_ms) => Signal::VoiceBegan { since_ms },
            Edge::Ended(since_ms) => Signal::VoiceEnded { since_ms },
        });
        let mut signals = Vec::new();
        signals.extend(edge);
        signals.extend(tone.map(Signal::Tone));
        signals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::sine;
    use carillon_domain::machine_detection::Tone;

    #[test]
    fn a_beep_is_a_tone_and_no_voice() {
        let mut samples = vec![0; 4_000];
        samples.extend(sine(1_000.0, 8_000, 400));
        samples.extend([0; 8_000]);
        let mut sounds = CallSounds::new();
        let signals: Vec<Signal> = samples
            .chunks(FRAME_SAMPLES)
            .flat_map(|frame| sounds.push(frame))
            .collect();
        assert!(matches!(signals[..], [Signal::Tone(Tone::Beep { .. })]), "{signals:?}");
        assert_eq!(sounds.heard_ms(), 1_900);
    }
}
