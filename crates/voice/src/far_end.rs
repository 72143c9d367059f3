//! Driving a call as a far end does: the sandbox answers calls, plays, presses keys and misbehaves on purpose.

use bytes::Bytes;
use carillon_domain::ids::ClipId;
use carillon_domain::script::Digit;
use std::sync::Arc;

/// What a far end does next.
#[derive(Clone, Debug)]
pub enum FarEndCommand {
    /// Plays a clip from its beginning instead of whatever is playing.
    PlayClip(ClipId),
    /// Plays samples, 8,000 a second.
    PlaySamples(Arc<[i16]>),
    /// Plays bytes in the codec of the call.
    PlayEncoded(Bytes),
    /// Stops playing; silence goes on.
    StopPlayback,
    /// Presses keys one after another (RFC 4733). Keys beyond 64 that wait are dropped.
    PressKeys {
        /// The keys.
        keys: Vec<Digit>,
        /// How long each is held, in milliseconds.
        hold_ms: u32,
        /// Silence between two, in milliseconds.
        gap_ms: u32,
    },
    /// Spoils what is sent from now on, the same way for the same seed.
    Impair {
        /// Share of packets that are not sent, in per cent.
        loss_percent: f64,
        /// Packets are sent up to this much late, in milliseconds; at most 1,000.
        jitter_ms: u32,
        /// Where the dice start.
        seed: u64,
    },
    /// Reports [`FarEndEvent::Loudness`] from now on.
    ReportLoudness,
    /// Sends nothing more, not even silence.
    StopSending,
    /// Sends again.
    ResumeSending,
}

/// What a far end hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FarEndEvent {
    /// The first packet of the other side came.
    Heard,
    /// A key press.
    Key(Digit),
    /// How loud the other side was over the last tenth of a second of its sound: the root mean square of its samples.
    Loudness(u16),
    /// What was to be played has been sent.
    PlaybackFinished,
    /// All keys have been pressed.
    KeysPressed,
    /// No packets for the time-out.
    MediaLost,
}

/// What a call has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallFigures {
    /// Packets received and accepted.
    pub packets_received: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets that never came, by sequence number.
    pub packets_lost: u64,
    /// Packets that were refused, for whatever reason.
    pub packets_refused: u64,
    /// Mean deviation of arrival, in microseconds.
    pub jitter_us: u64,
    /// Share of ours that the far end last reported lost, in 1/256.
    pub reported_loss: u8,
    /// Packets of ours that the far end reported lost in all.
    pub reported_lost: i32,
    /// Packets that arrived more than 40 ms after their time, by the sender's timestamps.
    pub packets_late: u64,
}
