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

/// One call's listener, behind a jitter buffer.
pub(crate) struct Listener {
    buffer: JitterBuffer,
    codec: Codec,
    frames: mpsc::Sender<HeardFrame>,
}

impl Listener {
    pub(crate) fn new(frames: mpsc::Sender<HeardFrame>) -> Self {
        Self {
            buffer: JitterBuffer::default(),
            codec: Codec::Pcmu,
            frames,
        }
    }

    pub(crate) fn push(&mut self, codec: Codec, timestamp: u32, payload: &[u8], restarted: bool) {
        self.codec = codec;
        self.buffer.push(timestamp, payload, restarted);
    }

    /// Passes the next frame on. Returns whether it was taken.
    pub(crate) fn turn(&mut self) -> bool {
        let frame = match self.buffer.pull() {
            Frame::Sound(payload) => {
                let mut samples = Box::new([0; FRAME_SAMPLES]);
                g711::decode_into(self.codec, payload, &mut samples[..]);
                HeardFrame::Sound(samples)
            }
            Frame::Lost => HeardFrame::Lost,
            Frame::Silence => HeardFrame::Silence,
        };
        self.frames.try_send(frame).is_ok()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.frames.is_closed()
    }
}
