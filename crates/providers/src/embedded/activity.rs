//! Is that a voice? A first look by loudness decides whether anything is there at all; then Silero says, or where it is missing a
//! judge by loudness and pitch.
//!
//! The judge without a model is ours rather than WebRTC's: the crate that wraps that one is C behind a pointer that may not move
//! between threads, takes ringing tones for voices, and knows yes and no only.

use super::resample::to_float;
use super::silero::{Silero, WINDOW as SILERO_WINDOW};
use carillon_interfaces::speech::{SAMPLE_RATE_HZ, VoiceActivity};
use std::sync::Arc;

/// Samples of a frame: 20 ms.
const FRAME: usize = SAMPLE_RATE_HZ as usize / 50;
/// The probability from which on a stretch of sound is taken for one with a voice.
const VOICE: f32 = 0.4;
/// Softer than this, as a share of full scale, is nothing at all: -58 dBFS, about what G.711 makes of silence.
const NOTHING: f32 = 0.001_3;
/// How much louder than the noise something must be to be looked at.
const ABOVE_NOISE: f32 = 1.4;
/// How long the look goes on after the last loud frame, in frames of 20 ms.
const LOOK_ON_FRAMES: u32 = 15;
/// The noise is taken for louder by at most this factor each frame: 3 dB a second.
const NOISE_RISE: f32 = 1.007;

/// Loudness of frames against the noise before them.
#[derive(Clone, Debug)]
struct Loudness {
    noise: f32,
    look_on: u32,
}

impl Loudness {
    fn new() -> Self {
        Self {
            noise: NOTHING,
            look_on: 0,
        }
    }

    /// Whether something might be there, and how much louder than the noise the frame is.
    fn look(&mut self, frame: &[f32]) -> (bool, f32) {
        let power = frame.iter().map(|sample| sample * sample).sum::<f32>() / frame.len().max(1) as f32;
        let level = power.sqrt();
        self.noise = if level < self.noise {
            // Down at once, nearly: a gap between words shows what the noise is.
            (0.7 * self.noise + 0.3 * level).max(NOTHING / 2.0)
        } else {
            (self.noise * NOISE_RISE).min(level)
        };
        if level > NOTHING.max(self.noise * ABOVE_NOISE) {
            self.look_on = LOOK_ON_FRAMES;
        } else {
            self.look_on = self.look_on.saturating_sub(1);
        }
        (self.look_on > 0, level / self.noise)
    }
}

/// A judge of one call's sound.
pub(super) struct Activity {
    loudness: Loudness,
    judge: Judge,
    last: f32,
}

enum Judge {
    Model(Box<Model>),
    Pitch(Pitch),
}

impl Activity {
    /// By the model where there is one.
    pub(super) fn new(silero: Option<Arc<Silero>>) -> Self {
        Self {
            loudness: Loudness::new(),
            judge: match silero {
                Some(silero) => Judge::Model(Box::new(Model::new(silero))),
                None => Judge::Pitch(Pitch::new()),
            },
            last: 0.0,
        }
    }
}

impl VoiceActivity for Activity {
    fn judge(&mut self, frame: &[i16]) -> f32 {
        let frame = to_float(frame);
        let (is_something, above_noise) = self.loudness.look(&frame);
        self.last = match &mut self.judge {
            Judge::Model(model) => model.judge(&frame, is_something, self.last),
            Judge::Pitch(pitch) => pitch.judge(&frame, is_something, above_noise),
        };
        self.last
    }

    fn reset(&mut self) {
        self.loudness = Loudness::new();
        self.last = 0.0;
        match &mut self.judge {
            Judge::Model(model) => model.reset(),
            Judge::Pitch(pitch) => *pitch = Pitch::new(),
        }
    }
}

/// Whether somebody speaks somewhere in a stretch of sound.
pub(super) fn has_voice(silero: Option<&Arc<Silero>>, sound: &[i16]) -> bool {
    let mut activity = Activity::new(silero.cloned());
    sound.chunks(FRAME).any(|frame| activity.judge(frame) >= VOICE)
}

/// Silero with the state of one call. Its windows are longer than a frame, so every second or third frame brings a new judgement.
struct Model {
    silero: Arc<Silero>,
    state: super::silero::State,
    waiting: Vec<f32>,
    is_asleep: bool,
    windows_since_reset: u32,
    sure_windows: u32,
}

/// After so many windows (2 s) the state is cleared in the next clear pause: music and long silence leave the model half deaf.
const RESET_AFTER_WINDOWS: u32 = 63;
/// A pause is clear after so many windows (160 ms) below [`CLEARLY_NO_VOICE`].
const CLEAR_WINDOWS: u32 = 5;
const CLEARLY_NO_VOICE: f32 = 0.1;

impl Model {
    fn new(silero: Arc<Silero>) -> Self {
        Self {
            silero,
            state: super::silero::State::new(),
            waiting: Vec::with_capacity(2 * SILERO_WINDOW),
            is_asleep: true,
            windows_since_reset: 0,
            sure_windows: 0,
        }
    }

    fn reset(&mut self) {
        self.state = super::silero::State::new();
        self.waiting.clear();
        self.is_asleep = true;
        self.windows_since_reset = 0;
        self.sure_windows = 0;
    }

    fn judge(&mut self, frame: &[f32], is_something: bool, before: f32) -> f32 {
        self.waiting.extend_from_slice(frame);
        if !is_something {
            // The newest sound stays, so that the beginning of a word is not cut when it wakes.
            let surplus = self.waiting.len().saturating_sub(SILERO_WINDOW);
            self.waiting.drain(..surplus);
            if !self.is_asleep {
                self.state = super::silero::State::new();
                self.windows_since_reset = 0;
                self.is_asleep = true;
            }
            return 0.0;
        }
        self.is_asleep = false;
        let mut judged = before;
        while self.waiting.len() >= SILERO_WINDOW {
            // A model that fails says what it said before; the runtime's failures are not the call's.
            judged = self
                .silero
                .judge(&mut self.state, &self.waiting[..SILERO_WINDOW])
                .unwrap_or(before);
            self.waiting.drain(..SILERO_WINDOW);
            self.windows_since_reset += 1;
            self.sure_windows = if judged < CLEARLY_NO_VOICE {
                self.sure_windows + 1
            } else {
                0
            };
            if self.windows_since_reset >= RESET_AFTER_WINDOWS && self.sure_windows >= CLEAR_WINDOWS {
                self.state = super::silero::State::new();
                self.windows_since_reset = 0;
            }
        }
        judged
    }
}

/// A voice has a pitch that moves and harmonics above it; a tone has no harmonics that matter or never moves, noise has no pitch.
struct Pitch {
    past: Vec<f32>,
    lags: [usize; 8],
    frames: usize,
    smooth: f32,
}

/// Pitches that voices have, as the lags of their periods in samples: 70 to 400 Hz.
const LAGS: std::ops::RangeInclusive<usize> = 20..=114;
/// Sound that is looked at for a pitch, in samples: 40 ms.
const PITCH_SPAN: usize = SAMPLE_RATE_HZ as usize / 25;

impl Pitch {
    fn new() -> Self {
        Self {
            past: Vec::with_capacity(2 * PITCH_SPAN),
            lags: [0; 8],
            frames: 0,
            smooth: 0.0,
        }
    }

    fn judge(&mut self, frame: &[f32], is_something: bool, above_noise: f32) -> f32 {
        self.past.extend_from_slice(frame);
        let surplus = self.past.len().saturating_sub(PITCH_SPAN + LAGS.end());
        self.past.drain(..surplus);
        let now = if is_something && self.past.len() > PITCH_SPAN {
            self.look(above_noise)
        } else {
            0.0
        };
        // Consonants between vowels have no pitch: fall slowly, rise within two frames.
        self.smooth = if now > self.smooth {
            0.4 * self.smooth + 0.6 * now
        } else {
            0.85 * self.smooth + 0.15 * now
        };
        self.smooth
    }

    fn look(&mut self, above_noise: f32) -> f32 {
        let (lag, periodicity) = self.best_lag();
        self.lags[self.frames % self.lags.len()] = lag;
        self.frames += 1;
        let seen = &self.lags[..self.frames.min(self.lags.len())];
        let (least, most) = seen
            .iter()
            .fold((usize::MAX, 0), |(least, most), lag| (least.min(*lag), most.max(*lag)));
        let is_rigid = self.frames >= self.lags.len() && most - least <= 1;
        if is_rigid || self.is_pure() {
            return 0.02;
        }
        let by_pitch = ((periodicity - 0.35) / 0.35).clamp(0.0, 1.0);
        let by_loudness = ((above_noise - 1.5) / 2.5).clamp(0.0, 1.0);
        0.95 * by_pitch * by_loudness
    }

    fn best_lag(&self) -> (usize, f32) {
        let span = &self.past[self.past.len() - PITCH_SPAN..];
        let energy: f32 = span.iter().map(|sample| sample * sample).sum();
        let mut best = (0, 0.0);
        for lag in LAGS.filter(|lag| self.past.len() >= PITCH_SPAN + lag) {
            let start = self.past.len() - PITCH_SPAN - lag;
            let earlier = &self.past[start..start + PITCH_SPAN];
            let product: f32 = span.iter().zip(earlier).map(|(now, before)| now * before).sum();
            let other: f32 = earlier.iter().map(|sample| sample * sample).sum();
            let likeness = product / (energy * other).sqrt().max(1e-9);
            if likeness > best.1 {
                best = (lag, likeness);
            }
        }
        best
    }

    /// Whether one or two sines explain the sound: then two samples before and after foretell each sample. Voices leave a rest.
    fn is_pure(&self) -> bool {
        let span = &self.past[self.past.len() - PITCH_SPAN..];
        // Least squares for x[n] + x[n-4] = a (x[n-1] + x[n-3]) + b x[n-2], which two sines fulfil exactly.
        let (mut aa, mut ab, mut bb, mut ay, mut by, mut yy) = (0.0_f64, 0.0, 0.0, 0.0, 0.0, 0.0);
        for window in span.windows(5) {
            let a = f64::from(window[1] + window[3]);
            let b = f64::from(window[2]);
            let y = f64::from(window[0] + window[4]);
            aa += a * a;
            ab += a * b;
            bb += b * b;
            ay += a * y;
            by += b * y;
            yy += y * y;
        }
        let determinant = aa * bb - ab * ab;
        if yy < 1e-12 {
            return true;
        }
        if determinant.abs() < 1e-12 * aa * bb {
            // One sine makes the two columns alike; one of them is enough then.
            return bb > 0.0 && (yy - by * by / bb) / yy < 1e-3;
        }
        let (a, b) = ((ay * bb - by * ab) / determinant, (by * aa - ay * ab) / determinant);
        (yy - a * ay - b * by) / yy < 1e-3
    }
}
