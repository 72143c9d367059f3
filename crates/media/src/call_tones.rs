//! Tones that machines send into calls: beeps of mailboxes, fax tones, special information, ringback, busy.
//!
//! Frames of 20 ms go in, tones come out when they are over or their cadence is sure. A single tone of any pitch is found by the
//! frame's autocorrelation and confirmed by Goertzel's algorithm; the pairs of call progress tones by Goertzel alone. What a
//! tone means in its place in the call is for `domain::machine_detection` to say.

use crate::tone::{goertzel_powers, share};
use crate::{FRAME_SAMPLES, SAMPLE_RATE, level};
use carillon_domain::machine_detection::Tone;
use std::f64::consts::TAU;

/// Quieter frames hold no tone, in decibels.
const QUIETEST_DB: f64 = -45.0;
/// How much of a frame's energy a tone must hold.
const SHARE_MIN: f64 = 0.60;
/// A tone that holds more is pure; what holds less must last [`IMPURE_LENGTH_MIN_MS`] to be told from a vowel.
const PURE_SHARE: f64 = 0.85;
const IMPURE_LENGTH_MIN_MS: u32 = 200;
/// A rough pitch this near, in hertz, is refined.
const REFINE_HZ: f64 = 16.0;
/// What holds less than this near a rough pitch is no tone.
const ROUGH_SHARE_MIN: f64 = 0.2;
/// How much of a frame's energy a pair of tones must hold, and each of them.
const PAIR_SHARE_MIN: f64 = 0.80;
const PAIR_EACH_MIN: f64 = 0.15;
/// How far a tone may drift from frame to frame, in hertz; a voice drifts more.
const DRIFT_MAX_HZ: f64 = 15.0;
/// And in its level within one burst, in decibels.
const LEVEL_SPREAD_MAX_DB: f64 = 4.0;
/// The pitches of call progress tones that come in pairs, in hertz.
const PAIR_PITCHES: [f64; 6] = [350.0, 400.0, 440.0, 450.0, 480.0, 620.0];
/// Their pairs, by place (ITU-T E.180 supplement 2): ringback of two kinds, busy, dial tone.
const PAIRS: [(usize, usize, Progress); 4] = [
    (2, 4, Progress::Ring),
    (1, 3, Progress::Ring),
    (4, 5, Progress::Busy),
    (0, 2, Progress::Dial),
];
/// Silence after a beep before it is told, in frames: a tone of other pitch may follow.
const SETTLE_FRAMES: u32 = 3;
/// The same where most countries have their ringing and busy tones, so that a cadence can show itself.
const SETTLE_PROGRESS_FRAMES: u32 = 35;
/// A steady tone of 2,100 Hz of this length, in frames, is a fax or modem (ITU-T T.30 wants 2.6 to 4 s).
const ANSWERING_FRAMES: u32 = 25;
const FRAME_MS: u32 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Single,
    Ring,
    Busy,
    Dial,
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sounding {
    hertz: f64,
    kind: Progress,
    level_db: f64,
    share: f64,
}

/// A tone that is or was sounding.
#[derive(Clone, Copy, Debug)]
struct Burst {
    kind: Progress,
    hertz_sum: f64,
    first_frame: u64,
    frames: u32,
    loudest_db: f64,
    /// Of the frames but the first and the latest, which may hold the tone's beginning or end only.
    quietest_db: f64,
    latest_db: f64,
    share_sum: f64,
    /// The loudest frame after its end.
    after_db: f64,
    last_hertz: f64,
    told: bool,
}

impl Burst {
    fn new(sounding: Sounding, frame: u64) -> Self {
        Self {
            kind: sounding.kind,
            hertz_sum: sounding.hertz,
            first_frame: frame,
            frames: 1,
            loudest_db: sounding.level_db,
            quietest_db: f64::MAX,
            latest_db: f64::MAX,
            share_sum: sounding.share,
            after_db: level::SILENCE_DB,
            last_hertz: sounding.hertz,
            told: false,
        }
    }

    fn hertz(&self) -> f64 {
        self.hertz_sum / f64::from(self.frames)
    }

    fn length_ms(&self) -> u32 {
        self.frames * FRAME_MS
    }

    fn takes(&self, sounding: &Sounding) -> bool {
        // The estimate of the first frame is the roughest, as the tone may fill only a part of it.
        let drift = if self.frames == 1 {
            3.0 * DRIFT_MAX_HZ
        } else {
            DRIFT_MAX_HZ
        };
        self.kind == sounding.kind && (sounding.hertz - self.last_hertz).abs() <= drift
    }

    fn add(&mut self, sounding: Sounding) {
        // A first frame that was off has no say in the pitch.
        if self.frames == 1 {
            self.hertz_sum = sounding.hertz;
        }
        self.hertz_sum += sounding.hertz;
        self.frames += 1;
        self.last_hertz = sounding.hertz;
        self.loudest_db = self.loudest_db.max(sounding.level_db);
        self.quietest_db = self.quietest_db.min(self.latest_db);
        self.latest_db = sounding.level_db;
        self.share_sum += sounding.share;
    }

    fn is_near(&self, hertz: f64, tolerance: f64) -> bool {
        self.kind == Progress::Single && (self.hertz() - hertz).abs() <= tolerance
    }

    /// Whether it holds nearly all of its frames' energy.
    fn is_pure(&self) -> bool {
        self.share_sum / f64::from(self.frames) >= PURE_SHARE
    }

    /// Whether it ends cleanly, as no tone within a voice does: what follows is quieter.
    fn ends(&self) -> bool {
        let drop_db = if self.is_pure() { 6.0 } else { 2.5 };
        self.after_db <= self.loudest_db - drop_db
    }

    fn is_steady(&self) -> bool {
        self.loudest_db - self.quietest_db <= LEVEL_SPREAD_MAX_DB
    }
}

/// Finds the tones of one direction of one call.
#[derive(Clone, Debug)]
pub struct CallTones {
    frame: u64,
    last: Vec<i16>,
    now: Option<Burst>,
    /// Frames in the burst that did not fit, after which it may still go on.
    missed: u32,
    /// The last bursts, newest first.
    past: [Option<Burst>; 3],
    silent_frames: u32,
    /// The newest burst may still turn out to be a beep.
    beep_pending: bool,
}

impl Default for CallTones {
    fn default() -> Self {
        Self::new()
    }
}

impl CallTones {
    /// Hears nothing yet.
    pub fn new() -> Self {
        Self {
            frame: 0,
            last: vec![0; FRAME_SAMPLES],
            now: None,
            missed: 0,
            past: [None; 3],
            silent_frames: 0,
            beep_pending: false,
        }
    }

    /// Takes the next 20 ms (160 samples; a shorter frame counts as 20 ms all the same). Returns a tone that is now sure.
    pub fn push(&mut self, samples: &[i16]) -> Option<Tone> {
        let correlated = Correlated::of(samples);
        let level_db = correlated
            .as_ref()
            .map_or(level::SILENCE_DB, |correlated| correlated.level_db);
        let sounding = correlated.and_then(|correlated| self.analyse(samples, &correlated));
        let told = self.follow(sounding, level_db);
        self.frame += 1;
        self.last.clear();
        self.last.extend_from_slice(samples);
        told
    }

    /// Whether a tone sounds now, for at least two frames: what sounds then is no voice.
    pub fn sounds(&self) -> bool {
        self.now.is_some_and(|burst| burst.frames >= 3 && burst.is_steady())
    }

    fn analyse(&self, samples: &[i16], correlated: &Correlated) -> Option<Sounding> {
        let level_db = correlated.level_db;
        if level_db < QUIETEST_DB {
            return None;
        }
        // All pairs lie below 650 Hz, where neighbouring samples are alike. They come first: two pitches so close look like one.
        if correlated.neighbours >= 0.8
            && let Some((hertz, kind)) = self.pair(samples)
        {
            let share = 1.0;
            return Some(Sounding {
                hertz,
                kind,
                level_db,
                share,
            });
        }
        let known = self
            .now
            .filter(|burst| burst.kind == Progress::Single)
            .map(|burst| burst.last_hertz);
        let rough = [correlated.pitch(), known].into_iter().flatten();
        let (hertz, share) = rough.filter_map(|near| steady_pitch(samples, near)).next()?;
        let kind = Progress::Single;
        Some(Sounding {
            hertz,
            kind,
            level_db,
            share,
        })
    }

    fn pair(&self, samples: &[i16]) -> Option<(f64, Progress)> {
        let energy: f64 = self
            .last
            .iter()
            .chain(samples)
            .map(|sample| f64::from(*sample).powi(2))
            .sum();
        let scale = 2.0 / ((self.last.len() + samples.len()) as f64 * energy.max(1.0));
        let powers = goertzel_powers(self.last.iter().chain(samples), PAIR_PITCHES);
        PAIRS.into_iter().find_map(|(low, high, kind)| {
            let (low_part, high_part) = (powers[low] * scale, powers[high] * scale);
            let each = low_part >= PAIR_EACH_MIN && high_part >= PAIR_EACH_MIN;
            (each && low_part + high_part >= PAIR_SHARE_MIN).then_some((PAIR_PITCHES[low], kind))
        })
    }

    fn follow(&mut self, sounding: Option<Sounding>, level_db: f64) -> Option<Tone> {
        let frame = self.frame;
        match (&mut self.now, sounding) {
            (Some(burst), Some(sounding)) if burst.takes(&sounding) => {
                burst.add(sounding);
                self.missed = 0;
                self.silent_frames = 0;
                return self.long_tone();
            }
            // One frame may be lost on the way or hold a click.
            (Some(_), _) if self.missed == 0 => {
                self.missed = 1;
                return None;
            }
            (Some(_), _) => self.end_burst(),
            (None, _) => {}
        }
        if self.beep_pending
            && self.silent_frames <= SETTLE_FRAMES
            && let Some(newest) = &mut self.past[0]
        {
            newest.after_db = newest.after_db.max(level_db);
        }
        if let Some(sounding) = sounding {
            self.now = Some(Burst::new(sounding, frame));
            self.missed = 0;
            return None;
        }
        self.silent_frames = self.silent_frames.saturating_add(1);
        self.settled()
    }

    fn long_tone(&mut self) -> Option<Tone> {
        let burst = self.now.as_mut()?;
        let told = if burst.told {
            None
        } else if burst.frames >= ANSWERING_FRAMES && burst.is_near(2_100.0, 20.0) {
            Some(Tone::FaxAnswering)
        } else if burst.kind == Progress::Ring && burst.length_ms() >= 700 {
            Some(Tone::Ringback)
        } else {
            None
        };
        burst.told |= told.is_some();
        told
    }

    fn end_burst(&mut self) {
        let Some(burst) = self.now.take() else { return };
        self.missed = 0;
        if burst.length_ms() < 80 || !burst.is_steady() {
            return;
        }
        self.past = [Some(burst), self.past[0], self.past[1]];
        self.silent_frames = 1;
        self.beep_pending = true;
    }

    /// Tells what the newest burst was, once what follows it can no longer change that.
    fn settled(&mut self) -> Option<Tone> {
        if !self.beep_pending {
            return None;
        }
        let newest = self.past[0].filter(|burst| !burst.told)?;
        let progress = newest.kind != Progress::Single || (390.0..470.0).contains(&newest.hertz());
        let settle = if progress {
            SETTLE_PROGRESS_FRAMES
        } else {
            SETTLE_FRAMES
        };
        if self.is_special_information() {
            return self.tell(Tone::SpecialInformation);
        }
        if self.is_busy() {
            return self.tell(Tone::Busy);
        }
        if self.silent_frames < settle {
            return None;
        }
        let tone = self.single(&newest);
        self.beep_pending = false;
        tone.and_then(|tone| self.tell(tone))
    }

    fn tell(&mut self, tone: Tone) -> Option<Tone> {
        self.beep_pending = false;
        if let Some(newest) = &mut self.past[0] {
            newest.told = true;
        }
        Some(tone)
    }

    fn single(&self, burst: &Burst) -> Option<Tone> {
        let length_ms = burst.length_ms();
        let (hertz, length) = (burst.hertz().round() as u16, u16::try_from(length_ms).ok()?);
        if burst.kind != Progress::Single {
            return None;
        }
        // T.30 section 4.1: 1,100 Hz within 38 Hz, 0.5 s within 15 %; a frame at either edge may be cut.
        if burst.is_near(1_100.0, 38.0) && (400..=600).contains(&length_ms) {
            return Some(Tone::FaxCalling);
        }
        let shortest = if burst.is_pure() { 100 } else { IMPURE_LENGTH_MIN_MS };
        let beep =
            (395.0..=2_005.0).contains(&burst.hertz()) && (shortest..=1_500).contains(&length_ms) && burst.ends();
        beep.then_some(Tone::Beep {
            hertz,
            length_ms: length,
        })
    }

    /// About 950, 1,400 and 1,800 Hz, each a third of a second, one right after the other (ITU-T E.180 section 3.5).
    fn is_special_information(&self) -> bool {
        let [Some(third), Some(second), Some(first)] = self.past else {
            return false;
        };
        let lengths = [first, second, third]
            .iter()
            .all(|burst| (200..=450).contains(&burst.length_ms()));
        let starts = second.first_frame.saturating_sub(first.first_frame) <= 25
            && third.first_frame.saturating_sub(second.first_frame) <= 25;
        lengths && starts && first.is_near(950.0, 60.0) && second.is_near(1_400.0, 60.0) && third.is_near(1_800.0, 60.0)
    }

    /// Three bursts of one pitch, each as long as the pause after it: busy, congestion, and what is between them.
    fn is_busy(&self) -> bool {
        let [Some(third), Some(second), Some(first)] = self.past else {
            return false;
        };
        let all = [first, second, third];
        let alike = all.iter().all(|burst| {
            (120..=700).contains(&burst.length_ms())
                && burst.frames.abs_diff(first.frames) <= 3
                && burst.kind == first.kind
                && (burst.hertz() - first.hertz()).abs() <= 20.0
                && (burst.kind == Progress::Busy || (300.0..650.0).contains(&burst.hertz()))
        });
        let pause = |earlier: Burst, later: Burst| {
            later
                .first_frame
                .saturating_sub(earlier.first_frame + u64::from(earlier.frames))
        };
        let (one, two) = (pause(first, second), pause(second, third));
        alike && one.abs_diff(two) <= 4 && one.abs_diff(u64::from(first.frames)) <= 10
    }
}

/// The pitch of the tone near `rough`, and its share of the frame, if that is large: noise bends a rough pitch, but not the
/// peak of the spectrum.
fn steady_pitch(samples: &[i16], rough: f64) -> Option<(f64, f64)> {
    if !(300.0..=2_600.0).contains(&rough) {
        return None;
    }
    let middle = share(samples, rough);
    if middle < ROUGH_SHARE_MIN {
        return None;
    }
    let (below, above) = (share(samples, rough - REFINE_HZ), share(samples, rough + REFINE_HZ));
    let bend = below - 2.0 * middle + above;
    let offset = if bend < 0.0 { 0.5 * (below - above) / bend } else { 0.0 };
    let hertz = rough + REFINE_HZ * offset.clamp(-2.0, 2.0);
    let refined = share(samples, hertz);
    (refined >= SHARE_MIN).then_some((hertz, refined))
}

/// A frame's autocorrelation, as far as it is needed.
struct Correlated {
    level_db: f64,
    /// Of neighbouring samples, between -1 and 1.
    neighbours: f64,
    one: f64,
    two: f64,
}

impl Correlated {
    fn of(samples: &[i16]) -> Option<Self> {
        if samples.len() < 4 {
            return None;
        }
        let (mut zero, mut one, mut two) = (0_i64, 0_i64, 0_i64);
        for window in samples.windows(3) {
            let [a, b, c] = [i64::from(window[0]), i64::from(window[1]), i64::from(window[2])];
            zero += a * a;
            one += b * (a + c);
            two += a * c;
        }
        if zero == 0 {
            return None;
        }
        Some(Self {
            level_db: level::of_power(zero as f64 / (samples.len() - 2) as f64),
            neighbours: one as f64 / (2.0 * zero as f64),
            one: one as f64 / 2.0,
            two: two as f64,
        })
    }

    /// The pitch if this is a single tone, in hertz. The power of white noise, which lies in the correlation at zero alone,
    /// does not bend it (Pisarenko's method for one tone).
    fn pitch(&self) -> Option<f64> {
        if self.one == 0.0 {
            return (self.two < 0.0).then_some(f64::from(SAMPLE_RATE) / 4.0);
        }
        let root = (self.two * self.two + 8.0 * self.one * self.one).sqrt();
        let cosine = (self.two + root) / (4.0 * self.one);
        (cosine.abs() < 1.0).then(|| cosine.acos() * f64::from(SAMPLE_RATE) / TAU)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::sine;

    /// `(hertz, milliseconds)` parts, 0 Hz for silence, two pitches as a pair.
    fn sound(parts: &[(&[f64], u32)]) -> Vec<i16> {
        let mut samples = Vec::new();
        for (pitches, length_ms) in parts {
            let mut part = vec![0_i16; (length_ms * 8) as usize];
            for hertz in *pitches {
                for (sum, sample) in part.iter_mut().zip(sine(*hertz, 4_000, *length_ms)) {
                    *sum = sum.saturating_add(sample);
                }
            }
            samples.extend(part);
        }
        samples
    }

    fn heard(samples: &[i16]) -> Vec<Tone> {
        let mut tones = CallTones::new();
        samples
            .chunks(FRAME_SAMPLES)
            .filter_map(|frame| tones.push(frame))
            .collect()
    }

    const NONE: &[f64] = &[];
    const US_RING: &[f64] = &[440.0, 480.0];
    const UK_RING: &[f64] = &[400.0, 450.0];
    const US_BUSY: &[f64] = &[480.0, 620.0];
    const DIAL: &[f64] = &[350.0, 440.0];

    #[test]
    fn every_beep_between_400_and_2000_hertz_is_told_with_its_pitch_and_length() {
        for hertz in [
            400.0, 425.0, 440.0, 620.0, 800.0, 1_000.0, 1_004.0, 1_400.0, 1_750.0, 2_000.0,
        ] {
            for length_ms in [120, 200, 480, 1_000, 1_480] {
                // The beginning lies anywhere in a frame.
                let samples = sound(&[(NONE, 205), (&[hertz], length_ms), (NONE, 900)]);
                let tones = heard(&samples);
                let [
                    Tone::Beep {
                        hertz: found,
                        length_ms: long,
                    },
                ] = tones[..]
                else {
                    panic!("{hertz} {length_ms}: {tones:?}");
                };
                assert!(f64::from(found).mul_add(-1.0, hertz).abs() <= 8.0, "{hertz} {found}");
                assert!(u32::from(long).abs_diff(length_ms) <= 40, "{length_ms} {long}");
            }
        }
    }

    #[test]
    fn what_is_no_beep_is_not_told_as_one() {
        let rows: [(&str, Vec<(&[f64], u32)>); 6] = [
            ("silence", vec![(NONE, 3_000)]),
            ("too short", vec![(NONE, 200), (&[1_000.0], 50), (NONE, 600)]),
            ("too long", vec![(NONE, 200), (&[1_000.0], 2_600), (NONE, 600)]),
            ("too low", vec![(NONE, 200), (&[250.0], 500), (NONE, 900)]),
            ("a key", vec![(NONE, 200), (&[697.0, 1_209.0], 200), (NONE, 600)]),
            ("dial tone", vec![(NONE, 200), (DIAL, 3_000), (NONE, 900)]),
        ];
        for (name, parts) in rows {
            assert_eq!(heard(&sound(&parts)), [], "{name}");
        }
    }

    #[test]
    fn a_gliding_tone_is_no_beep() {
        // From 600 to 1,400 Hz in 400 ms, as no mailbox beeps and many a whistle goes.
        let mut phase = 0.0;
        let mut samples = vec![0_i16; 1_600];
        for index in 0..3_200 {
            phase += TAU * (600.0 + f64::from(index) * 0.25) / 8_000.0;
            samples.push((4_000.0 * phase.sin()) as i16);
        }
        samples.extend([0; 8_000]);
        assert_eq!(heard(&samples), []);
    }

    #[test]
    fn the_tones_of_machines_have_their_names() {
        let pause = |length_ms| (NONE, length_ms);
        let rows: [(&str, Vec<(&[f64], u32)>, &[Tone]); 8] = [
            (
                "CNG",
                vec![pause(200), (&[1_100.0], 500), pause(600)],
                &[Tone::FaxCalling],
            ),
            (
                "CED",
                vec![pause(200), (&[2_100.0], 3_000), pause(600)],
                &[Tone::FaxAnswering],
            ),
            (
                "special information",
                vec![
                    pause(200),
                    (&[950.0], 330),
                    (&[1_400.0], 330),
                    (&[1_800.0], 330),
                    pause(600),
                ],
                &[Tone::SpecialInformation],
            ),
            (
                "special information with gaps",
                vec![
                    pause(200),
                    (&[950.0], 330),
                    pause(30),
                    (&[1_400.0], 330),
                    pause(30),
                    (&[1_800.0], 330),
                    pause(600),
                ],
                &[Tone::SpecialInformation],
            ),
            (
                "ringing",
                vec![pause(200), (US_RING, 2_000), pause(1_000)],
                &[Tone::Ringback],
            ),
            (
                "ringing, British",
                vec![pause(200), (UK_RING, 2_000), pause(1_000)],
                &[Tone::Ringback],
            ),
            (
                "busy",
                vec![
                    pause(200),
                    (US_BUSY, 500),
                    pause(500),
                    (US_BUSY, 500),
                    pause(500),
                    (US_BUSY, 500),
                    pause(500),
                ],
                &[Tone::Busy],
            ),
            (
                "busy of 425 Hz",
                vec![
                    pause(200),
                    (&[425.0], 480),
                    pause(480),
                    (&[425.0], 480),
                    pause(480),
                    (&[425.0], 480),
                    pause(480),
                ],
                &[Tone::Busy],
            ),
        ];
        for (name, parts, expected) in rows {
            assert_eq!(heard(&sound(&parts)), expected, "{name}");
        }
    }

    #[test]
    fn tones_are_heard_through_the_codecs_and_some_noise() {
        use crate::g711;
        use carillon_domain::trunk::Codec;
        let mut noise = 1_u32;
        let mut samples = sound(&[(NONE, 205), (&[1_000.0], 400), (NONE, 900)]);
        for sample in &mut samples {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // 20 dB below the tone.
            *sample += ((noise >> 16) as i16) / 67;
        }
        for codec in [Codec::Pcmu, Codec::Pcma] {
            let bytes = g711::encode(codec, &samples);
            let mut decoded = vec![0; bytes.len()];
            g711::decode_into(codec, &bytes, &mut decoded);
            let tones = heard(&decoded);
            assert!(matches!(tones[..], [Tone::Beep { .. }]), "{codec:?} {tones:?}");
        }
    }

    #[test]
    fn a_lost_packet_does_not_break_a_beep() {
        let mut samples = sound(&[(NONE, 200), (&[1_000.0], 600), (NONE, 600)]);
        samples[3_200..3_360].fill(0);
        assert!(
            matches!(heard(&samples)[..], [Tone::Beep { .. }]),
            "{:?}",
            heard(&samples)
        );
    }
}
