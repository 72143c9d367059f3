//! A call's recording: packets of both sides in, interleaved samples out, in step with the wall clock.
//!
//! Sample n of the recording is what was heard and said `n / 8,000` seconds after it began, on both channels, so they are
//! always equally long. Only a window of half a second is in memory: packets may come late or out of order within
//! [`LATE_SAMPLES`]; what never came is silence. Writing the bytes to a file is the caller's work.

use crate::{FRAME_SAMPLES, samples_in};

/// Samples of each side that are held.
const WINDOW: usize = 4_096;

/// How late a packet may be and still be recorded: 200 ms. The caller takes out what is older than that.
pub const LATE_SAMPLES: u64 = 1_600;

/// The most samples that one [`Recorder::take`] gives: one second.
const TAKE_MAX: u64 = 8_000;

/// Whose sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The far end: the left channel.
    Far,
    /// Us: the right channel.
    Near,
}

/// One recording in progress.
#[derive(Debug)]
pub struct Recorder {
    window: Box<[[i16; 2]; WINDOW]>,
    /// The first sample that has not been taken out.
    start: u64,
    far_clock: FarClock,
    far_end: u64,
    far_last: i16,
    dropped_samples: u64,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            window: Box::new([[0; 2]; WINDOW]),
            start: 0,
            far_clock: FarClock::default(),
            far_end: 0,
            far_last: 0,
            dropped_samples: 0,
        }
    }
}

impl Recorder {
    /// Where a packet of the far end belongs: it arrived `arrived_us` after the recording began and carries `timestamp`.
    /// `restarted`: its clock has nothing to do with the packets before.
    pub fn locate(&mut self, arrived_us: u64, timestamp: u32, restarted: bool) -> u64 {
        if restarted {
            self.far_clock = FarClock::default();
        }
        self.far_clock.locate(arrived_us, timestamp)
    }

    /// Whether samples up to `end` fit into the window; if not, [`Self::take`] first.
    pub fn reaches(&self, end: u64) -> bool {
        end <= self.start + WINDOW as u64
    }

    /// Puts samples at `position`. Those that come too late or reach beyond the window are dropped and counted.
    pub fn put(&mut self, side: Side, position: u64, samples: &[i16]) {
        if side == Side::Far {
            self.close_seam(position);
            self.far_end = self.far_end.max(position + samples.len() as u64);
            self.far_last = samples.last().copied().unwrap_or(self.far_last);
        }
        self.write(side, position, samples);
    }

    /// Following the far end's clock opens seams of a sample between packets, which would crackle as zeros.
    fn close_seam(&mut self, position: u64) {
        let seam = self.far_end..position;
        if !seam.is_empty() && seam.end - seam.start <= SLEW_SAMPLES as u64 && self.far_end > 0 {
            self.write(Side::Far, seam.start, &[self.far_last; SLEW_SAMPLES as usize]);
        }
    }

    fn write(&mut self, side: Side, position: u64, samples: &[i16]) {
        let too_late = self.start.saturating_sub(position).min(samples.len() as u64) as usize;
        let room = (self.start + WINDOW as u64)
            .saturating_sub(position)
            .min(samples.len() as u64) as usize;
        let fitting = samples.get(too_late..room).unwrap_or_default();
        self.dropped_samples += (samples.len() - fitting.len()) as u64;
        for (position, sample) in (position + too_late as u64..).zip(fitting) {
            self.window[position as usize % WINDOW][side as usize] = *sample;
        }
    }

    /// Takes out the samples before `until`, at most one second of them, as little-endian bytes behind what is in `out`.
    /// Returns whether that was all.
    pub fn take(&mut self, until: u64, out: &mut Vec<u8>) -> bool {
        let end = until.clamp(self.start, self.start + TAKE_MAX);
        out.reserve((end - self.start) as usize * 4);
        for position in self.start..end {
            let [far, near] = std::mem::take(&mut self.window[position as usize % WINDOW]);
            let ([a, b], [c, d]) = (far.to_le_bytes(), near.to_le_bytes());
            out.extend_from_slice(&[a, b, c, d]);
        }
        self.start = end;
        end >= until
    }

    /// The first sample that has not been taken out: how long the file is.
    pub fn taken(&self) -> u64 {
        self.start
    }

    /// Samples that came too late or too early to be recorded.
    pub fn dropped_samples(&self) -> u64 {
        self.dropped_samples
    }
}

/// The far end's place moves by this many samples a packet at most, to follow its clock inaudibly.
const SLEW_SAMPLES: i64 = 1;
/// Packets after which the clock is compared.
const COMPARED_PACKETS: u32 = 64;
/// Deviation from the clock that is left alone: 2 ms.
const DEVIATION_MAX: i64 = 16;
/// Deviation that is corrected at once: 100 ms.
const STEP_MIN: i64 = 800;
/// A packet this much later than its place may be the first after a break of the sender's clock: 160 ms.
const SUSPECT_MIN: i64 = 1_280;
/// Two packets in a row whose arrival and timestamps differ by less than this come from a steady clock: 10 ms.
const STEADY_MAX: i64 = 80;

/// Maps a sender's timestamps to samples of the recording.
///
/// Packets arrive at or after their place; the earliest of a stretch shows how far the sender's clock has moved against
/// ours, since delay only ever adds.
#[derive(Clone, Debug, Default)]
struct FarClock {
    last: Option<Located>,
    earliest: Option<i64>,
    compared: u32,
    slew: i64,
    suspect: Option<(u64, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Located {
    timestamp: u32,
    position: i64,
}

impl FarClock {
    fn locate(&mut self, arrived_us: u64, timestamp: u32) -> u64 {
        let arrived = samples_in(arrived_us) as i64;
        let Some(last) = self.last else {
            return self.anchor(arrived, timestamp);
        };
        let moved = i64::from(timestamp.wrapping_sub(last.timestamp) as i32);
        let expected = last.position + moved;
        let behind = arrived - expected;
        if behind < -STEP_MIN || self.clock_broke(behind, arrived_us, timestamp) {
            return self.anchor(arrived, timestamp);
        }
        let position = expected + self.slew_step(behind);
        if moved > 0 {
            self.last = Some(Located { timestamp, position });
        }
        position.max(0) as u64
    }

    fn anchor(&mut self, arrived: i64, timestamp: u32) -> u64 {
        *self = Self {
            last: Some(Located {
                timestamp,
                position: arrived,
            }),
            ..Self::default()
        };
        arrived.max(0) as u64
    }

    /// A burst after a stall catches up packet by packet; a clock that stood still or jumped back stays behind.
    fn clock_broke(&mut self, behind: i64, arrived_us: u64, timestamp: u32) -> bool {
        if behind < SUSPECT_MIN {
            self.suspect = None;
            return false;
        }
        let Some((before_us, before)) = self.suspect.replace((arrived_us, timestamp)) else {
            return false;
        };
        let waited = samples_in(arrived_us.saturating_sub(before_us)) as i64;
        let moved = i64::from(timestamp.wrapping_sub(before) as i32);
        (waited - moved).abs() < STEADY_MAX && waited > 0
    }

    fn slew_step(&mut self, behind: i64) -> i64 {
        let earliest = self.earliest.map_or(behind, |earliest| earliest.min(behind));
        self.earliest = Some(earliest);
        self.compared += 1;
        if self.compared >= COMPARED_PACKETS {
            self.slew = if earliest.abs() > DEVIATION_MAX { earliest } else { 0 };
            self.earliest = None;
            self.compared = 0;
        }
        let step = if self.slew >= STEP_MIN {
            self.slew
        } else {
            self.slew.clamp(-SLEW_SAMPLES, SLEW_SAMPLES)
        };
        self.slew -= step;
        step
    }
}

/// The position of our own packets: `sent_us` after the recording began, rounded down to a sample.
pub const fn near_position(sent_us: u64) -> u64 {
    samples_in(sent_us)
}

/// How often a recording should be taken out, in samples, so that the window never overflows.
pub const TAKE_EVERY_SAMPLES: u64 = WINDOW as u64 - LATE_SAMPLES - 4 * FRAME_SAMPLES as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A recording that is taken out as a recorder thread does it.
    #[derive(Default)]
    struct Tape {
        recorder: Recorder,
        bytes: Vec<u8>,
    }

    impl Tape {
        fn put(&mut self, side: Side, position: u64, samples: &[i16]) {
            let end = position + samples.len() as u64;
            while !self.recorder.reaches(end) {
                self.recorder.take(end.saturating_sub(LATE_SAMPLES), &mut self.bytes);
            }
            self.recorder.put(side, position, samples);
        }

        fn far(&mut self, arrived_us: u64, timestamp: u32, samples: &[i16]) {
            while !self
                .recorder
                .take(samples_in(arrived_us).saturating_sub(LATE_SAMPLES), &mut self.bytes)
            {}
            let position = self.recorder.locate(arrived_us, timestamp, false);
            self.put(Side::Far, position, samples);
        }

        fn finish(mut self, length: u64) -> (Vec<i16>, Vec<i16>) {
            while !self.recorder.take(length, &mut self.bytes) {}
            let frames = self.bytes.chunks_exact(4);
            frames
                .map(|frame| {
                    (
                        i16::from_le_bytes([frame[0], frame[1]]),
                        i16::from_le_bytes([frame[2], frame[3]]),
                    )
                })
                .unzip()
        }
    }

    fn steady(tape: &mut Tape, from_us: u64, timestamp: u32, packets: u32) {
        for index in 0..packets {
            tape.far(
                from_us + u64::from(index) * 20_000,
                timestamp.wrapping_add(index * 160),
                &[1_000; 160],
            );
        }
    }

    fn loud_ms(samples: &[i16]) -> usize {
        samples.iter().filter(|sample| **sample != 0).count() / 8
    }

    #[test]
    fn both_sides_lie_where_they_were_heard() {
        let mut tape = Tape::default();
        tape.put(Side::Near, 0, &[7; 160]);
        tape.far(50_000, 90_000, &[9; 160]);
        let (far, near) = tape.finish(1_000);
        assert_eq!((far.len(), near.len()), (1_000, 1_000));
        assert_eq!(near[..160], [7; 160]);
        assert!(near[160..].iter().all(|sample| *sample == 0));
        assert_eq!(far[400..560], [9; 160]);
        assert_eq!(loud_ms(&far), 20);
    }

    #[test]
    fn lost_packets_are_silence_and_reordered_ones_find_their_place() {
        let mut tape = Tape::default();
        for (arrived_ms, index) in [(0, 0_u32), (21, 1), (62, 3), (63, 2), (101, 5)] {
            tape.far(arrived_ms * 1_000, index * 160, &[index as i16 + 1; 160]);
        }
        let (far, _) = tape.finish(960);
        let firsts: Vec<i16> = far.chunks(160).map(|packet| packet[80]).collect();
        assert_eq!(firsts, [1, 2, 3, 4, 0, 6]);
    }

    #[test]
    fn a_recording_without_a_packet_is_silence_of_its_length() {
        let (far, near) = Tape::default().finish(80_000);
        assert_eq!((far.len(), near.len()), (80_000, 80_000));
        assert_eq!((loud_ms(&far), loud_ms(&near)), (0, 0));
    }

    #[test]
    fn a_sender_whose_clock_stands_still_in_silence_is_placed_where_it_is_heard() {
        let mut tape = Tape::default();
        steady(&mut tape, 0, 0, 50);
        steady(&mut tape, 4_000_000, 50 * 160, 50);
        let (far, _) = tape.finish(48_000);
        assert_eq!(loud_ms(&far[..8_000]), 1_000);
        assert_eq!(loud_ms(&far[8_000..32_000]), 0);
        assert!(
            loud_ms(&far[32_000..40_100]) >= 980,
            "{}",
            loud_ms(&far[32_000..40_100])
        );
    }

    #[test]
    fn a_sender_that_jumps_to_another_timestamp_goes_on_at_once() {
        for jump in [1_000_000_u32, 3_000_000_000] {
            let mut tape = Tape::default();
            steady(&mut tape, 0, 0, 50);
            steady(&mut tape, 1_000_000, jump, 50);
            let (far, _) = tape.finish(16_400);
            assert!(loud_ms(&far) >= 1_960, "jump {jump}: {}", loud_ms(&far));
        }
    }

    #[test]
    fn a_burst_after_a_stall_does_not_move_what_follows() {
        let mut tape = Tape::default();
        steady(&mut tape, 0, 0, 50);
        for index in 50..100_u32 {
            tape.far(2_000_000 + u64::from(index) * 100, index * 160, &[1_000; 160]);
        }
        for index in 100..150_u32 {
            tape.far(u64::from(index) * 20_000 + 6_000, index * 160, &[2_000; 160]);
        }
        let (far, _) = tape.finish(25_000);
        let first = far.iter().position(|sample| *sample == 2_000).expect("heard");
        assert!((15_900..16_100).contains(&first), "{first}");
    }

    /// xorshift, so that loss and jitter repeat.
    fn dice(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn ten_minutes_of_drift_loss_and_jitter_stay_aligned() {
        // A sender whose clock is wrong by so many parts in a million; each second starts with a marked packet.
        for drift in [-200_i64, -50, 0, 50, 200] {
            let mut tape = Tape::default();
            let mut state = 0x9E37_79B9_7F4A_7C15;
            for index in 0..30_000_u64 {
                let sent_us = (index * 20_000) as i64 * (1_000_000 + drift) / 1_000_000;
                let jitter_us = dice(&mut state) % 40_000;
                if dice(&mut state) % 100 < 5 {
                    continue;
                }
                let sample = if index % 50 == 0 { 20_000 } else { 100 };
                tape.far(sent_us as u64 + jitter_us, (index * 160) as u32, &[sample; 160]);
                tape.put(Side::Near, index * 160, &[5; 160]);
            }
            let (far, near) = tape.finish(4_800_000);
            assert_eq!((far.len(), near.len()), (4_800_000, 4_800_000));
            let mut marks = 0;
            for second in 0..600_i64 {
                let true_place = second * 8_000 * (1_000_000 + drift) / 1_000_000;
                let near_it = (true_place - 640).max(0) as usize..((true_place + 640) as usize).min(far.len());
                // The first loud sample within 80 ms: it must lie within 45 ms, jitter of 40 ms included.
                if let Some(offset) = far[near_it.clone()].iter().position(|sample| *sample == 20_000) {
                    let error = (near_it.start + offset) as i64 - true_place;
                    assert!(
                        (-360..=360).contains(&error),
                        "drift {drift}, second {second}: {error} samples"
                    );
                    marks += 1;
                }
            }
            assert!(marks > 550, "drift {drift}: {marks} marks");
            // Five per cent are lost; nothing else may be missing.
            let heard = far.iter().filter(|sample| **sample != 0).count();
            assert!(heard > 4_800_000 * 94 / 100, "drift {drift}: {heard} samples");
        }
    }

    proptest! {
        #[test]
        fn any_packets_keep_the_length_and_the_window(
            packets in proptest::collection::vec((0_u64..3_000_000, any::<u32>(), any::<bool>(), 0_usize..200), 0..100),
        ) {
            let mut tape = Tape::default();
            let mut longest = 0;
            for (arrived_us, timestamp, restarted, length) in packets {
                let position = tape.recorder.locate(arrived_us, timestamp, restarted);
                prop_assert!(position <= samples_in(arrived_us) + STEP_MIN as u64, "{position}");
                tape.put(Side::Far, position, &vec![1; length]);
                longest = longest.max(position);
            }
            let length = longest + 400;
            let (far, near) = tape.finish(length);
            prop_assert!(far.len() as u64 == length && near.len() as u64 == length);
        }
    }
}
