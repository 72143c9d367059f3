//! When a voice starts and stops: frames with a probability become edges, with hysteresis so that a word is one stretch.

use super::clock::CallMs;
use serde::{Deserialize, Serialize};

/// What counts as a voice.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VoiceSettings {
    /// A frame at or above this probability is voiced while no voice is on. Default 0.6.
    pub on_probability: f32,
    /// A frame below this probability is unvoiced while a voice is on. Default 0.35.
    pub off_probability: f32,
    /// Frames quieter than this are unvoiced whatever the probability says, in dBFS. Default -55.
    pub floor_dbfs: f32,
    /// Voiced frames for this long start a voice, in milliseconds. Default 60.
    pub start_ms: u64,
    /// Unvoiced frames for this long stop it, in milliseconds. Default 120. It bridges the closures inside words.
    pub stop_ms: u64,
    /// Sound before the first voiced frame that belongs to the utterance, in milliseconds: soft first consonants. Default 240.
    pub lead_ms: u64,
    /// Without any frame for this long, a voice that is on has stopped, in milliseconds. Default 400.
    pub frames_lost_ms: u64,
}

impl Default for VoiceSettings {
    fn default() -> Self {
        Self {
            on_probability: 0.6,
            off_probability: 0.35,
            floor_dbfs: -55.0,
            start_ms: 60,
            stop_ms: 120,
            lead_ms: 240,
            frames_lost_ms: 400,
        }
    }
}

/// A voice starts or stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoiceEdge {
    /// A voice is on.
    Started {
        /// Its first voiced frame.
        since: CallMs,
    },
    /// It is off.
    Stopped {
        /// The end of its last voiced frame.
        last_voice: CallMs,
    },
}

/// Makes edges of frames. In: each frame in order; out: at most one edge a frame.
#[derive(Clone, Debug)]
pub struct VoiceEdges {
    settings: VoiceSettings,
    on: bool,
    first_voiced: CallMs,
    last_voiced: CallMs,
    last_frame: Option<CallMs>,
    voiced_ms: u64,
    unvoiced_ms: u64,
}

/// Longest time that one frame may stand for: what is lost between two frames is not voice.
const FRAME_MS_MAX: u64 = 40;

impl VoiceEdges {
    /// No voice yet.
    pub fn new(settings: VoiceSettings) -> Self {
        Self {
            settings,
            on: false,
            first_voiced: CallMs(0),
            last_voiced: CallMs(0),
            last_frame: None,
            voiced_ms: 0,
            unvoiced_ms: 0,
        }
    }

    /// Whether a voice is on.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// When a voice that is on counts as stopped because no frame comes any more; `None` when there is nothing to stop.
    pub fn lost_at(&self) -> Option<CallMs> {
        self.last_frame
            .filter(|_| self.on)
            .map(|last| last.plus(self.settings.frames_lost_ms))
    }

    /// The frames have stopped coming: the voice is over.
    pub fn lose(&mut self) -> Option<VoiceEdge> {
        if !self.on {
            return None;
        }
        self.on = false;
        self.voiced_ms = 0;
        Some(VoiceEdge::Stopped {
            last_voice: self.last_voiced,
        })
    }

    /// One frame that ended at `now`. A probability that is no number is unvoiced.
    pub fn frame(&mut self, now: CallMs, probability: f32, loudness_dbfs: f32) -> Option<VoiceEdge> {
        let frame_ms = self
            .last_frame
            .map_or(20, |last| now.since(last).clamp(1, FRAME_MS_MAX));
        self.last_frame = Some(now);
        let threshold = if self.on {
            self.settings.off_probability
        } else {
            self.settings.on_probability
        };
        let voiced = probability >= threshold && loudness_dbfs >= self.settings.floor_dbfs;
        if voiced {
            if self.voiced_ms == 0 {
                self.first_voiced = now.minus(frame_ms);
            }
            self.voiced_ms = self.voiced_ms.saturating_add(frame_ms);
            self.unvoiced_ms = 0;
            self.last_voiced = now;
        } else {
            self.unvoiced_ms = self.unvoiced_ms.saturating_add(frame_ms);
        }
        if self.on {
            if self.unvoiced_ms >= self.settings.stop_ms {
                return self.lose();
            }
            return None;
        }
        if self.unvoiced_ms > frame_ms {
            // One unvoiced frame between voiced ones is forgiven, two are not.
            self.voiced_ms = 0;
        }
        if voiced && self.voiced_ms >= self.settings.start_ms {
            self.on = true;
            return Some(VoiceEdge::Started {
                since: self.first_voiced,
            });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Each character is a frame of 20 ms: `#` a clear voice, `+` an unsure one, `.` none, `q` a clear but quiet one, `n` no number,
    /// `_` no frame at all. Edges are written `start@since` and `stop@last_voice`.
    fn edges(frames: &str) -> Vec<String> {
        let mut edges = VoiceEdges::new(VoiceSettings::default());
        let mut seen = Vec::new();
        for (index, frame) in frames.chars().enumerate() {
            let now = CallMs((index as u64 + 1) * 20);
            let (probability, loudness_dbfs) = match frame {
                '#' => (0.9, -25.0),
                '+' => (0.45, -25.0),
                'q' => (0.9, -60.0),
                'n' => (f32::NAN, -25.0),
                '_' => continue,
                _ => (0.05, -50.0),
            };
            match edges.frame(now, probability, loudness_dbfs) {
                Some(VoiceEdge::Started { since }) => seen.push(format!("start@{}", since.0)),
                Some(VoiceEdge::Stopped { last_voice }) => seen.push(format!("stop@{}", last_voice.0)),
                None => {}
            }
        }
        seen
    }

    #[test]
    fn frames_become_edges_with_hysteresis() {
        let rows: &[(&str, &str, &[&str])] = &[
            ("silence", "..........", &[]),
            ("a click is no voice", "..##......##....", &[]),
            ("a word", "..#####........", &["start@40", "stop@140"]),
            (
                "a frame missed at the start",
                "..##.##.......",
                &["start@40", "stop@140"],
            ),
            (
                "two frames missed start anew",
                "..##..###.......",
                &["start@120", "stop@180"],
            ),
            (
                "a closure inside a word",
                "..####....####......",
                &["start@40", "stop@280"],
            ),
            (
                "unsure frames keep a voice on",
                "..####++++++......",
                &["start@40", "stop@240"],
            ),
            ("unsure frames start none", "..++++++++++++", &[]),
            ("too quiet", "..qqqqqqqqqq", &[]),
            ("no number", "..nnnnnnnn", &[]),
        ];
        for (name, frames, expected) in rows {
            assert_eq!(edges(frames), *expected, "{name}");
        }
    }

    #[test]
    fn a_voice_whose_frames_stop_coming_is_lost() {
        let mut edges = VoiceEdges::new(VoiceSettings::default());
        for index in 1..=5 {
            edges.frame(CallMs(index * 20), 0.9, -20.0);
        }
        assert_eq!(edges.lost_at(), Some(CallMs(500)));
        assert_eq!(
            edges.lose(),
            Some(VoiceEdge::Stopped {
                last_voice: CallMs(100)
            })
        );
        assert_eq!(edges.lost_at(), None);
        assert_eq!(edges.lose(), None);
    }

    proptest! {
        #[test]
        fn edges_alternate_and_never_lie_in_the_future(frames in "[#+.qn_]{0,200}") {
            let seen = edges(&frames);
            for (index, edge) in seen.iter().enumerate() {
                prop_assert_eq!(edge.starts_with("start"), index % 2 == 0, "{:?}", seen);
                let at: u64 = edge.split('@').nth(1).unwrap().parse().unwrap();
                prop_assert!(at <= frames.len() as u64 * 20);
            }
        }
    }
}
