//! The jitter buffer: packets in as they arrive, a frame of 20 ms out whenever it is asked.
//!
//! It puts packets back in order, waits long enough for most late ones, and says plainly what never came. The wait follows
//! the jitter measured: it grows when packets come too late, and shrinks, a frame at a time, when they do not. What is
//! kept is the encoded payload; decoding is left to the caller.

use crate::FRAME_SAMPLES;

/// Frames that are kept: 640 ms, beyond which a burst is cut.
const FRAMES: usize = 32;
/// The shortest wait, in frames.
const WAIT_MIN: u32 = 1;
/// The longest wait, in frames: 160 ms.
const WAIT_MAX: u32 = 8;
/// After so many frames without a packet the sender has paused, and the wait starts afresh with its next packet: 200 ms.
const PAUSE_FRAMES: u32 = 10;
/// Frames over which the buffer must have been fuller than needed before one is left out: 2 s.
const SHRINK_AFTER: u32 = 100;

/// A whole number of turns of the slots, so that packets from before the first one have places as well.
const BASE_BEFORE: u32 = (FRAMES * FRAME_SAMPLES * 1_024) as u32;
/// Frames in the buffer that are more than enough.
const SPARE: usize = 2;

/// What was to be heard in 20 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// This payload; shorter than 20 ms when the sender's packet was.
    Sound(&'a [u8]),
    /// Nothing came in time: a gap in what the sender says.
    Lost,
    /// The sender says nothing.
    Silence,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It will be heard.
    Kept,
    /// Its time had passed.
    Late,
    /// It was there already.
    Duplicate,
}

/// Counts of one buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames given out as sound.
    pub played: u64,
    /// Frames given out as lost.
    pub lost: u64,
    /// Packets that came too late.
    pub late: u64,
    /// Frames left out to shorten the wait, or because a burst did not fit.
    pub skipped: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    timestamp: u32,
    length: u8,
    payload: [u8; FRAME_SAMPLES],
}

/// A buffer for one source whose timestamps move on by 160 for each packet of 20 ms.
#[derive(Debug)]
pub struct JitterBuffer {
    slots: Box<[Option<Slot>; FRAMES]>,
    /// The frame to give out next; `None` before the first packet and after a pause.
    next: Option<u32>,
    /// Where slots are counted from: long before the first packet.
    base: u32,
    /// Frames still to wait before the first is given out.
    waiting: u32,
    /// No frame was given out since the buffer began or began again.
    fresh: bool,
    wait: u32,
    empty_frames: u32,
    spare_frames: u32,
    given: Slot,
    counts: Counts,
}

impl Default for JitterBuffer {
    fn default() -> Self {
        Self {
            slots: Box::new([None; FRAMES]),
            next: None,
            base: 0,
            waiting: 0,
            fresh: true,
            wait: WAIT_MIN + 1,
            empty_frames: 0,
            spare_frames: 0,
            given: Slot {
                timestamp: 0,
                length: 0,
                payload: [0; FRAME_SAMPLES],
            },
            counts: Counts::default(),
        }
    }
}

impl JitterBuffer {
    /// Takes a packet. Payloads longer than 20 ms are kept as several frames; `restarted`: its timestamps have nothing to do
    /// with those before.
    pub fn push(&mut self, timestamp: u32, payload: &[u8], restarted: bool) -> Pushed {
        if restarted {
            self.restart();
        }
        let mut pushed = Pushed::Kept;
        for (index, chunk) in payload.chunks(FRAME_SAMPLES).enumerate() {
            pushed = self.push_frame(timestamp.wrapping_add((index * FRAME_SAMPLES) as u32), chunk);
        }
        pushed
    }

    fn restart(&mut self) {
        *self.slots = [None; FRAMES];
        self.next = None;
    }

    fn push_frame(&mut self, timestamp: u32, payload: &[u8]) -> Pushed {
        let next = *self.next.get_or_insert_with(|| {
            self.waiting = self.wait;
            self.fresh = true;
            self.empty_frames = 0;
            self.base = timestamp.wrapping_sub(BASE_BEFORE);
            timestamp
        });
        let ahead = timestamp.wrapping_sub(next) as i32;
        if ahead < 0 {
            return self.push_behind(ahead, timestamp, payload);
        }
        if ahead >= (FRAMES * FRAME_SAMPLES) as i32 {
            // Either a burst that does not fit or another clock: what it says now counts.
            self.counts.skipped += self.kept() as u64;
            self.restart();
            return self.push_frame(timestamp, payload);
        }
        let slot = &mut self.slots[slot_of(self.base, timestamp)];
        if slot.is_some_and(|kept| kept.timestamp == timestamp) {
            return Pushed::Duplicate;
        }
        let mut kept = Slot {
            timestamp,
            length: payload.len() as u8,
            payload: [0; FRAME_SAMPLES],
        };
        kept.payload[..payload.len()].copy_from_slice(payload);
        *slot = Some(kept);
        Pushed::Kept
    }

    fn push_behind(&mut self, ahead: i32, timestamp: u32, payload: &[u8]) -> Pushed {
        let behind = ahead.unsigned_abs().div_ceil(FRAME_SAMPLES as u32);
        if behind > FRAMES as u32 {
            self.restart();
            return self.push_frame(timestamp, payload);
        }
        // Nothing was given out since its time but gaps (or nothing at all yet): it is heard now, and all that follows as
        // much later.
        if behind <= WAIT_MAX && (self.fresh || behind <= self.empty_frames) {
            self.wait = if self.fresh {
                self.wait
            } else {
                (self.wait + behind).min(WAIT_MAX)
            };
            self.empty_frames = self.empty_frames.saturating_sub(behind);
            self.next = Some(timestamp);
            return self.push_frame(timestamp, payload);
        }
        self.counts.late += 1;
        Pushed::Late
    }

    fn kept(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// The next 20 ms. To be called every 20 ms.
    pub fn pull(&mut self) -> Frame<'_> {
        let Some(next) = self.next else { return Frame::Silence };
        if self.waiting > 0 {
            self.waiting -= 1;
            return Frame::Silence;
        }
        self.fresh = false;
        self.next = Some(next.wrapping_add(FRAME_SAMPLES as u32));
        match self.slots[slot_of(self.base, next)].take() {
            Some(slot) if slot.timestamp == next => {
                self.empty_frames = 0;
                self.counts.played += 1;
                self.given = slot;
                self.shorten();
                Frame::Sound(&self.given.payload[..usize::from(self.given.length)])
            }
            _ => self.nothing(),
        }
    }

    fn nothing(&mut self) -> Frame<'_> {
        self.empty_frames += 1;
        if self.empty_frames >= PAUSE_FRAMES && self.kept() == 0 {
            self.next = None;
            // What made the wait long may be over.
            self.wait = self.wait.div_ceil(2).max(WAIT_MIN + 1);
            return Frame::Silence;
        }
        // A packet whose timestamp lies between two frames would never be asked for.
        let next = self.next.unwrap_or_default();
        let nearest = self
            .slots
            .iter()
            .flatten()
            .map(|slot| slot.timestamp.wrapping_sub(next) as i32)
            .min();
        if let Some(nearest) = nearest
            && nearest.rem_euclid(FRAME_SAMPLES as i32) != 0
        {
            self.next = Some(next.wrapping_add_signed(nearest.rem_euclid(FRAME_SAMPLES as i32)));
        }
        self.counts.lost += 1;
        Frame::Lost
    }

    /// Leaves out a frame when the buffer was fuller than needed for long.
    fn shorten(&mut self) {
        self.spare_frames = if self.kept() >= SPARE { self.spare_frames + 1 } else { 0 };
        if self.spare_frames < SHRINK_AFTER {
            return;
        }
        self.spare_frames = 0;
        self.wait = (self.wait - 1).max(WAIT_MIN);
        if let Some(next) = self.next {
            self.slots[slot_of(self.base, next)] = None;
            self.next = Some(next.wrapping_add(FRAME_SAMPLES as u32));
            self.counts.skipped += 1;
        }
    }

    /// The timestamp of the sound that was given out last.
    pub fn given_timestamp(&self) -> u32 {
        self.given.timestamp
    }

    /// How long a packet waits at most before it is heard, in milliseconds.
    pub fn wait_ms(&self) -> u32 {
        self.wait * 20
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

const fn slot_of(base: u32, timestamp: u32) -> usize {
    (timestamp.wrapping_sub(base) as usize / FRAME_SAMPLES) % FRAMES
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds packets by number at `arrivals` (milliseconds), pulls every 20 ms from `from_ms`, and writes what came out: a
    /// letter for each packet, `-` for a loss, `.` for silence.
    fn heard(arrivals: &[(u64, u32)], from_ms: u64, frames: u64) -> (String, Counts) {
        let mut buffer = JitterBuffer::default();
        let mut arrivals = arrivals.iter().peekable();
        let mut out = String::new();
        for frame in 0..frames {
            let now_ms = from_ms + frame * 20;
            while let Some((_, number)) = arrivals.next_if(|(ms, _)| *ms <= now_ms) {
                buffer.push(
                    4_294_967_000_u32.wrapping_add(number * 160),
                    &[*number as u8; 160],
                    false,
                );
            }
            out.push(match buffer.pull() {
                Frame::Sound(payload) => char::from(b'a' + payload[0] % 26),
                Frame::Lost => '-',
                Frame::Silence => '.',
            });
        }
        (out, buffer.counts())
    }

    #[test]
    fn packets_come_out_in_order_however_they_came_in() {
        let even: Vec<_> = (0..6).map(|number| (u64::from(number) * 20, number)).collect();
        let rows: [(&str, &[(u64, u32)], &str); 6] = [
            ("even", &even, "..abcdef"),
            ("swapped", &[(0, 0), (20, 2), (25, 1), (60, 3)], "..abcd"),
            ("first two swapped", &[(0, 1), (5, 0), (40, 2)], "..abc"),
            ("doubled", &[(0, 0), (0, 0), (20, 1), (20, 1)], "..ab"),
            ("one lost", &[(0, 0), (20, 1), (60, 3), (80, 4)], "..ab-de"),
            ("all at once", &[(0, 0), (0, 1), (0, 2), (0, 3)], "..abcd"),
        ];
        for (what, arrivals, expected) in rows {
            assert_eq!(heard(arrivals, 0, expected.len() as u64).0, expected, "{what}");
        }
    }

    #[test]
    fn late_packets_are_heard_late_rather_than_not_at_all() {
        let arrivals = [
            (0, 0),
            (20, 1),
            (40, 2),
            (125, 3),
            (126, 4),
            (127, 5),
            (140, 6),
            (225, 7),
            (226, 8),
            (227, 9),
            (240, 10),
        ];
        let (out, counts) = heard(&arrivals, 0, 16);
        assert_eq!(out, "..abc--defg-hijk");
        assert_eq!((counts.late, counts.lost), (0, 3));
    }

    #[test]
    fn a_packet_whose_successors_were_heard_is_too_late() {
        let (out, counts) = heard(&[(0, 0), (20, 1), (60, 3), (80, 4), (105, 2), (120, 5), (130, 6)], 0, 9);
        assert_eq!(out, "..ab-defg");
        assert_eq!((counts.late, counts.lost), (1, 1));
    }

    #[test]
    fn a_pause_is_silence_and_the_next_words_are_whole() {
        let words = (0..3).map(|number| (u64::from(number) * 20, number));
        let more = (0..3).map(|number| (1_000 + u64::from(number) * 20, 50 + number));
        let (out, _) = heard(&words.chain(more).collect::<Vec<_>>(), 0, 56);
        assert_eq!(&out[..5], "..abc");
        assert_eq!(
            out[5..50].matches('-').count(),
            9,
            "the pause is noticed within 200 ms: {out}"
        );
        assert!(out[50..].starts_with("..yza"), "{out}");
    }

    #[test]
    fn a_sender_with_a_fast_or_slow_clock_is_followed() {
        for (parts_per_million, loses) in [(2_000_i64, false), (-2_000, true)] {
            let arrivals: Vec<_> = (0..5_000_u32)
                .map(|number| {
                    (
                        (u64::from(number) * 20) as i64 * (1_000_000 - parts_per_million) / 1_000_000,
                        number,
                    )
                })
                .map(|(ms, number)| (ms as u64, number))
                .collect();
            let (_, counts) = heard(&arrivals, 0, 4_900);
            assert!(counts.played > 4_850, "{counts:?}");
            assert_eq!(counts.skipped > 0, !loses, "{counts:?}");
        }
    }

    #[test]
    fn a_longer_packet_is_several_frames() {
        let mut buffer = JitterBuffer::default();
        buffer.push(0, &[[1; 160], [2; 160]].concat(), false);
        buffer.push(320, &[3; 80], false);
        let lengths: Vec<_> = (0..5)
            .map(|_| match buffer.pull() {
                Frame::Sound(payload) => payload.len(),
                Frame::Lost | Frame::Silence => 0,
            })
            .collect();
        assert_eq!(lengths, [0, 0, 160, 160, 80]);
    }

    proptest! {
        #[test]
        fn any_packets_are_heard_at_most_once(
            steps in proptest::collection::vec((any::<u32>(), 0_usize..400, any::<bool>(), 0_usize..4), 0..200),
        ) {
            let mut buffer = JitterBuffer::default();
            let mut pushed = 0;
            for (timestamp, length, restarted, pulls) in steps {
                buffer.push(timestamp % 20_000, &vec![1; length], restarted);
                pushed += length.div_ceil(160) as u64;
                for _ in 0..pulls {
                    buffer.pull();
                }
            }
            prop_assert!(buffer.counts().played <= pushed);
        }
    }
}
