//! Streamed speech on a media thread: what an agent says, unit by unit, while it is still being made.
//!
//! A unit is what one request to the synthesiser gave, mostly a sentence. Its pieces come encoded and are kept until it is over, so
//! that it can be taken up again in the middle. Everything here is bounded, and what overflows is counted.

use crate::clips::EncodedClip;
use crate::gain::{self, BLOCK_SAMPLES, FULL, Level, SILENT};
use carillon_domain::script::Digit;
use carillon_domain::trunk::Codec;
use carillon_media::{FRAME_SAMPLES, g711};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Number of a unit; the agent counts them up from 1.
type UnitNumber = u32;

/// Units that may wait.
const UNITS_MAX: usize = 16;
/// Bytes that may be held: two minutes of sound.
const BYTES_MAX: usize = 8_000 * 120;
/// Notes that wait when nobody takes them.
const NOTES_MAX: usize = 64;
/// How often a playing unit tells how far it is, in microseconds.
const TELL_EVERY_US: u64 = 100_000;
/// Levels that a ramp moves in 5 ms, when ducking: 12 dB in 40 ms.
const DUCK_STEP: Level = 1;
/// Levels that a ramp moves in 5 ms, when stopping or going on: all of them in one frame.
const FADE_STEP: Level = 5;

/// What an agent wants of its call's sound.
#[derive(Clone, Debug)]
pub enum SpeechAction {
    /// More of a unit. Units are heard in the order of their numbers.
    Say {
        /// Which.
        unit: u32,
        /// How the bytes are encoded; another codec than the call's is converted.
        codec: Codec,
        /// The sound, a byte a sample.
        bytes: Arc<[u8]>,
        /// More pieces of this unit follow.
        more: bool,
    },
    /// Be quieter; zero is as loud as recorded. It takes 40 ms for 12 dB.
    Duck {
        /// By how much.
        decibels: u8,
    },
    /// Fall silent within 20 ms and forget everything that waits.
    Stop,
    /// Fall silent within 20 ms, and keep everything.
    Pause,
    /// Go on after a pause.
    ResumeFrom {
        /// The unit; if it is over by now, what follows it is heard from its beginning.
        unit: u32,
        /// Its first sample.
        sample: u64,
    },
    /// Tell now how far the unit is.
    Ask,
}

/// What the media thread tells an agent. Times are microseconds of the engine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpeechNote {
    /// The first packet of a unit has left.
    Started {
        /// Which.
        unit: u32,
        /// When.
        at_us: u64,
    },
    /// So much of a unit has left. At most every 100 ms, and dropped when nobody takes it.
    Played {
        /// Which.
        unit: u32,
        /// How many samples of it.
        samples: u64,
        /// When.
        at_us: u64,
    },
    /// A unit has been heard to its last sample.
    Finished {
        /// Which.
        unit: u32,
        /// How long it was.
        samples: u64,
        /// When.
        at_us: u64,
    },
    /// It was stopped or paused.
    Halted {
        /// What was playing; `None`: nothing.
        unit: Option<u32>,
        /// How many samples of it had left.
        samples: u64,
        /// When.
        at_us: u64,
    },
    /// The callee pressed a key.
    Key {
        /// Which.
        digit: Digit,
        /// When.
        at_us: u64,
    },
}

struct Piece {
    codec: Codec,
    bytes: EncodedClip,
}

struct Unit {
    number: UnitNumber,
    pieces: Vec<Piece>,
    /// Samples of all pieces.
    length: usize,
    /// The next sample to send.
    at: usize,
    /// The piece of that sample, and where in it.
    piece: usize,
    offset: usize,
    /// No more pieces follow.
    whole: bool,
    started: bool,
}

impl Unit {
    fn new(number: UnitNumber) -> Self {
        Self {
            number,
            pieces: Vec::with_capacity(8),
            length: 0,
            at: 0,
            piece: 0,
            offset: 0,
            whole: false,
            started: false,
        }
    }

    fn is_over(&self) -> bool {
        self.whole && self.at >= self.length
    }

    fn seek(&mut self, sample: usize) {
        self.at = sample.min(self.length);
        (self.piece, self.offset) = (0, self.at);
        while let Some(piece) = self.pieces.get(self.piece)
            && self.offset >= piece.bytes.len()
        {
            self.offset -= piece.bytes.len();
            self.piece += 1;
        }
    }

    /// Copies what comes next into `frame`; returns how much there was.
    fn copy(&mut self, codec: Codec, frame: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < frame.len()
            && let Some(piece) = self.pieces.get(self.piece)
        {
            let source = &piece.bytes[self.offset..];
            let length = source.len().min(frame.len() - filled);
            let target = &mut frame[filled..filled + length];
            if piece.codec == codec {
                target.copy_from_slice(&source[..length]);
            } else {
                for (target, byte) in target.iter_mut().zip(source) {
                    *target = g711::encode_sample(codec, g711::decode_byte(piece.codec, *byte));
                }
            }
            filled += length;
            self.offset += length;
            if self.offset >= piece.bytes.len() {
                (self.piece, self.offset) = (self.piece + 1, 0);
            }
        }
        self.at += filled;
        filled
    }
}

/// One call's speech.
pub(crate) struct Speech {
    units: VecDeque<Unit>,
    bytes: usize,
    /// Units up to this one are over or stopped: what still comes of them is not heard.
    past: UnitNumber,
    level: Level,
    target: Level,
    step: Level,
    duck: Level,
    paused: bool,
    /// What was playing when it was halted: its next frame is heard while it fades.
    fading: Option<Box<[u8; FRAME_SAMPLES]>>,
    notes: mpsc::Sender<SpeechNote>,
    waiting: VecDeque<SpeechNote>,
    told_us: u64,
    /// What was dropped since the last look: pieces that did not fit, notes that nobody took.
    pub(crate) dropped: u64,
    /// Frames of silence inside a unit, because its next piece was late.
    pub(crate) starved: u64,
}

impl Speech {
    pub(crate) fn new(notes: mpsc::Sender<SpeechNote>) -> Self {
        Self {
            units: VecDeque::with_capacity(UNITS_MAX),
            bytes: 0,
            past: 0,
            level: FULL,
            target: FULL,
            step: DUCK_STEP,
            duck: FULL,
            paused: false,
            fading: None,
            notes,
            waiting: VecDeque::with_capacity(8),
            told_us: 0,
            dropped: 0,
            starved: 0,
        }
    }

    /// Whether the agent is gone.
    pub(crate) fn is_deserted(&self) -> bool {
        self.notes.is_closed()
    }

    pub(crate) fn act(&mut self, now_us: u64, codec: Codec, action: SpeechAction) {
        match action {
            SpeechAction::Say {
                unit,
                codec,
                bytes,
                more,
            } => self.say(unit, codec, bytes, more),
            SpeechAction::Duck { decibels } => {
                self.duck = gain::level_of_decibels(decibels);
                if !self.paused {
                    (self.target, self.step) = (self.duck, DUCK_STEP);
                }
            }
            SpeechAction::Stop => {
                self.halt(now_us, codec);
                if let Some(last) = self.units.back() {
                    self.past = self.past.max(last.number);
                }
                self.units.clear();
                self.bytes = 0;
                self.paused = false;
                (self.level, self.target) = (self.duck, self.duck);
            }
            SpeechAction::Pause => {
                self.halt(now_us, codec);
                self.paused = true;
            }
            SpeechAction::ResumeFrom { unit, sample } => self.resume(unit, sample),
            SpeechAction::Ask => self.tell_played(now_us),
        }
    }

    fn say(&mut self, number: UnitNumber, codec: Codec, bytes: EncodedClip, more: bool) {
        if number <= self.past {
            return;
        }
        if self.units.back().is_none_or(|last| last.number < number) {
            if self.units.len() >= UNITS_MAX {
                self.dropped += 1;
                return;
            }
            self.units.push_back(Unit::new(number));
        }
        let fits = self.bytes + bytes.len() <= BYTES_MAX;
        let Some(unit) = self.units.iter_mut().find(|unit| unit.number == number) else {
            self.dropped += 1;
            return;
        };
        unit.whole |= !more;
        if !fits {
            self.dropped += 1;
        } else if !bytes.is_empty() {
            self.bytes += bytes.len();
            unit.length += bytes.len();
            unit.pieces.push(Piece { codec, bytes });
        }
    }

    /// Falls silent: the frame that would come next is heard while it fades.
    fn halt(&mut self, now_us: u64, codec: Codec) {
        let (unit, samples) = match self.units.front().filter(|unit| unit.started) {
            Some(unit) => (Some(unit.number), unit.at as u64),
            None => (None, 0),
        };
        if !self.paused
            && let Some(playing) = self.units.front_mut().filter(|unit| unit.started)
        {
            let at = playing.at;
            let mut frame = Box::new([g711::silence(codec); FRAME_SAMPLES]);
            playing.copy(codec, &mut frame[..]);
            playing.seek(at);
            self.fading = Some(frame);
        }
        self.tell(SpeechNote::Halted {
            unit,
            samples,
            at_us: now_us,
        });
    }

    fn resume(&mut self, number: UnitNumber, sample: u64) {
        if !self.paused {
            return;
        }
        self.paused = false;
        self.fading = None;
        if let Some(unit) = self.units.front_mut().filter(|unit| unit.number == number) {
            unit.seek(usize::try_from(sample).unwrap_or(usize::MAX));
        }
        (self.level, self.target, self.step) = (SILENT, self.duck, FADE_STEP);
    }

    /// Writes the next 20 ms into `frame`, which holds silence. Returns whether there was sound.
    pub(crate) fn render(&mut self, now_us: u64, codec: Codec, frame: &mut [u8; FRAME_SAMPLES]) -> bool {
        self.tell_waiting();
        if let Some(fading) = self.fading.take() {
            frame.copy_from_slice(&fading[..]);
            let mut level = self.level;
            for block in frame.chunks_mut(BLOCK_SAMPLES) {
                level = (level + FADE_STEP).min(SILENT);
                gain::apply(codec, level, block);
            }
            return true;
        }
        if self.paused {
            return false;
        }
        while self.units.front().is_some_and(Unit::is_over) {
            self.finish_first(now_us);
        }
        let Some(unit) = self.units.front_mut() else {
            self.level = self.target;
            return false;
        };
        if unit.at >= unit.length {
            // Its next piece is late; before the first one it is only being made.
            self.starved += u64::from(unit.started);
            return false;
        }
        let number = unit.number;
        let first = !std::mem::replace(&mut unit.started, true);
        unit.copy(codec, &mut frame[..]);
        self.shape(codec, frame);
        if first {
            self.told_us = now_us;
            self.tell(SpeechNote::Started {
                unit: number,
                at_us: now_us,
            });
        } else if now_us >= self.told_us + TELL_EVERY_US {
            self.tell_played(now_us);
        }
        true
    }

    /// Moves the loudness towards where it should be, a step each 5 ms.
    fn shape(&mut self, codec: Codec, frame: &mut [u8; FRAME_SAMPLES]) {
        for block in frame.chunks_mut(BLOCK_SAMPLES) {
            self.level = if self.level < self.target {
                (self.level + self.step).min(self.target)
            } else {
                self.level.saturating_sub(self.step).max(self.target)
            };
            gain::apply(codec, self.level, block);
        }
    }

    /// A unit is over a turn after its last packet left, when that packet has been heard.
    fn finish_first(&mut self, now_us: u64) {
        let Some(unit) = self.units.pop_front() else { return };
        self.bytes = self.bytes.saturating_sub(unit.length);
        self.past = self.past.max(unit.number);
        self.tell(SpeechNote::Finished {
            unit: unit.number,
            samples: unit.at as u64,
            at_us: now_us,
        });
    }

    fn tell_played(&mut self, now_us: u64) {
        let Some(unit) = self.units.front().filter(|unit| unit.started) else {
            return;
        };
        let note = SpeechNote::Played {
            unit: unit.number,
            samples: unit.at as u64,
            at_us: now_us,
        };
        self.told_us = now_us;
        self.dropped += u64::from(self.notes.try_send(note).is_err());
    }

    pub(crate) fn key_pressed(&mut self, now_us: u64, digit: Digit) {
        self.tell(SpeechNote::Key { digit, at_us: now_us });
    }

    fn tell(&mut self, note: SpeechNote) {
        if self.waiting.len() >= NOTES_MAX {
            self.dropped += 1;
            return;
        }
        self.waiting.push_back(note);
        self.tell_waiting();
    }

    fn tell_waiting(&mut self) {
        while let Some(note) = self.waiting.pop_front() {
            match self.notes.try_send(note) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                Err(mpsc::error::TrySendError::Full(note)) => {
                    self.waiting.push_front(note);
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
