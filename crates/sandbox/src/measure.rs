//! What the caller was heard to send: loudness and tones, read from the recording of the call.

use carillon_media::{tone, wav};
use serde::Serialize;
use std::io;
use std::path::Path;

/// Sound that was received, measured over the whole call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Heard {
    /// How long it was listened, in milliseconds.
    pub duration_ms: u64,
    /// Root mean square of the samples; 0 is silence, 32,768 full scale.
    pub loudness: f64,
    /// How much of it was a tone of 440 Hz, in milliseconds.
    pub tone_440_ms: u64,
    /// How much of it was a tone of 1,000 Hz, in milliseconds.
    pub tone_1000_ms: u64,
}

impl Heard {
    /// This, and then that.
    pub(crate) fn and(self, then: Self) -> Self {
        let duration_ms = self.duration_ms + then.duration_ms;
        let energy = |heard: &Self| heard.loudness.powi(2) * heard.duration_ms as f64;
        Self {
            duration_ms,
            loudness: ((energy(&self) + energy(&then)) / duration_ms.max(1) as f64).sqrt(),
            tone_440_ms: self.tone_440_ms + then.tone_440_ms,
            tone_1000_ms: self.tone_1000_ms + then.tone_1000_ms,
        }
    }
}

/// Frames of this many samples are looked at for tones: 20 ms.
const FRAME: usize = 160;

/// Measures the caller's side of a recording of two channels and removes the file.
pub(crate) fn take_recording(path: &Path) -> io::Result<Heard> {
    let bytes = std::fs::read(path)?;
    std::fs::remove_file(path)?;
    let frames = bytes.get(wav::HEADER_BYTES..).unwrap_or_default().chunks_exact(4);
    let caller: Vec<i16> = frames.map(|frame| i16::from_le_bytes([frame[0], frame[1]])).collect();
    Ok(measure(&caller))
}

fn measure(samples: &[i16]) -> Heard {
    let energy: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    let tone_ms = |hertz| {
        samples
            .chunks_exact(FRAME)
            .filter(|frame| tone::share(frame, hertz) > 0.8)
            .count() as u64
            * 20
    };
    Heard {
        duration_ms: samples.len() as u64 / 8,
        loudness: (energy / (samples.len().max(1) as f64)).sqrt(),
        tone_440_ms: tone_ms(440.0),
        tone_1000_ms: tone_ms(1_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tones_and_silence_are_measured() {
        let sound = [
            tone::sine(440.0, 8_000, 600),
            vec![0; 1_600],
            tone::sine(1_000.0, 8_000, 200),
        ]
        .concat();
        let heard = measure(&sound);
        assert_eq!(
            (heard.duration_ms, heard.tone_440_ms, heard.tone_1000_ms),
            (1_000, 600, 200)
        );
        assert!((5_000.0..5_120.0).contains(&heard.loudness), "{}", heard.loudness);
        assert_eq!(measure(&[]), Heard::default());
        let twice = heard.and(heard);
        assert_eq!(
            (twice.duration_ms, twice.tone_440_ms, twice.tone_1000_ms),
            (2_000, 1_200, 400)
        );
        assert!((twice.loudness - heard.loudness).abs() < 1.0);
        assert_eq!(Heard::default().and(heard), heard);
    }
}
