//! Live sound as plain data: packets, SDP, key presses, jitter, tones and recordings.
//!
//! Bytes and the time go in, values come out. There is no clock, randomness, socket or file here: the caller passes
//! `now`, the SSRC, and where sequence numbers and timestamps start. Everything is telephone audio: 8,000 samples a
//! second, one channel a direction, G.711 on the wire, signed 16-bit inside. The threads and sockets are in `voice`.

pub mod call_sounds;
pub mod call_tones;
pub mod dtmf;
pub mod g711;
pub mod jitter;
pub mod level;
pub mod line_conditions;
pub mod recorder;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod tone;
pub mod voice_edges;
pub mod wav;

/// Samples a second of all sound in this crate, and ticks a second of its RTP clock (RFC 3551 table 4).
pub const SAMPLE_RATE: u32 = 8_000;

/// Samples in one packet of 20 ms, which for G.711 is also its payload's length in bytes.
pub const FRAME_SAMPLES: usize = 160;

/// How long one packet lasts, in microseconds.
pub const FRAME_MICROS: u64 = 20_000;

/// The sample that lies `micros` microseconds after sample zero.
pub const fn samples_in(micros: u64) -> u64 {
    micros.saturating_mul(SAMPLE_RATE as u64) / 1_000_000
}
