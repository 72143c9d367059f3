//! Listening to a call: what the far end says, in order and in step, 20 ms at a time.

use carillon_domain::trunk::Codec;
use carillon_media::jitter::{Frame, JitterBuffer};
use carillon_media::{FRAME_SAMPLES, g711};
use tokio::sync::mpsc;

/// 20 ms of what the far end says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeardFrame {
    /// Sound.
    Sound(Box<[i16; FRAME_SAMPLES]>),
    /// A gap: the packet was lost or came too late.
    Lost,
    /// The far end sends nothing.
    Silence,
}

/// 20 ms of what the far end says, with the times of the engine's clock, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedFrame {
    /// What was heard.
    pub sound: HeardFrame,
    /// When the packet came in; `None` when there was none.
    pub arrived_us: Option<u64>,
    /// When it was passed on.
    pub at_us: u64,
}

/// Who listens.
pub(crate) enum Ears {
    Plain(mpsc::Sender<HeardFrame>),
    Timed(mpsc::Sender<TimedFrame>),
}

/// Arrivals that are remembered: more than a jitter buffer holds.
const ARRIVALS: usize = 64;

/// One call's listener, behind a jitter buffer.
pub(crate) struct Listener {
    buffer: JitterBuffer,
    codec: Codec,
    /// Timestamps of packets and when they came.
    arrivals: [(u32, u64); ARRIVALS],
    next_arrival: usize,
    ears: Ears,
}

impl Listener {
    pub(crate) fn new(ears: Ears) -> Self {
        Self {
            buffer: JitterBuffer::default(),
            codec: Codec::Pcmu,
            arrivals: [(0, 0); ARRIVALS],
            next_arrival: 0,
            ears,
        }
    }

    pub(crate) fn push(&mut self, now_us: u64, codec: Codec, timestamp: u32, payload: &[u8], restarted: bool) {
        self.codec = codec;
        self.arrivals[self.next_arrival % ARRIVALS] = (timestamp, now_us);
        self.next_arrival = self.next_arrival.wrapping_add(1);
        self.buffer.push(timestamp, payload, restarted);
    }

    /// Passes the next frame on. Returns whether it was taken.
    pub(crate) fn turn(&mut self, now_us: u64) -> bool {
        let mut has_sound = false;
        let frame = match self.buffer.pull() {
            Frame::Sound(payload) => {
                let mut samples = Box::new([0; FRAME_SAMPLES]);
                g711::decode_into(self.codec, payload, &mut samples[..]);
                has_sound = true;
                HeardFrame::Sound(samples)
            }
            Frame::Lost => HeardFrame::Lost,
            Frame::Silence => HeardFrame::Silence,
        };
        match &self.ears {
            Ears::Plain(frames) => frames.try_send(frame).is_ok(),
            Ears::Timed(frames) => {
                let frame = TimedFrame {
                    sound: frame,
                    arrived_us: if has_sound { self.arrival_of_given() } else { None },
                    at_us: now_us,
                };
                frames.try_send(frame).is_ok()
            }
        }
    }

    /// When the packet came that holds the frame given out last. A packet may hold several frames.
    fn arrival_of_given(&self) -> Option<u64> {
        let timestamp = self.buffer.given_timestamp();
        let holds = |(first, arrived_us): &&(u32, u64)| {
            *arrived_us > 0 && timestamp.wrapping_sub(*first) < 3 * FRAME_SAMPLES as u32
        };
        let nearest = self.arrivals.iter().filter(holds);
        nearest
            .min_by_key(|(first, _)| timestamp.wrapping_sub(*first))
            .map(|(_, arrived_us)| *arrived_us)
    }

    pub(crate) fn is_closed(&self) -> bool {
        match &self.ears {
            Ears::Plain(frames) => frames.is_closed(),
            Ears::Timed(frames) => frames.is_closed(),
        }
    }
}
