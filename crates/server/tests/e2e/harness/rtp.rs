//! As much of RTP, G.711 and RFC 4733 as a far end needs to talk, press keys and listen.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

const SAMPLE_RATE_HZ: u32 = 8_000;
const FRAME_SAMPLES: u32 = 160;
const FRAME: Duration = Duration::from_millis(20);
const PCMU: u8 = 0;
const TELEPHONE_EVENT: u8 = 101;

/// What a far end lets be heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sound {
    /// No RTP at all.
    Nothing,
    /// A tone, for as long as the call lasts or for a while.
    Tone { hz: f64, lasting: Option<Duration> },
    /// A tone, and one key after a while.
    Key { after: Duration, key: u8 },
}

/// SDP that takes G.711 mu-law and telephone events on `port`.
pub(crate) fn answer_sdp(port: u16) -> String {
    format!(
        "v=0\r\no=witness 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n"
    )
}

/// Where an offer wants its sound.
pub(crate) fn target_of(sdp: &str) -> Option<SocketAddr> {
    let line = |prefix: &str| sdp.lines().find_map(|line| line.strip_prefix(prefix).map(str::trim));
    let address = line("c=IN IP4 ")?;
    let port = line("m=audio ")?.split(' ').next()?;
    format!("{address}:{port}").parse().ok()
}

/// The packets of `sound` over some time, each with its moment.
pub(crate) fn packets(sound: Sound, length: Duration) -> Vec<(Duration, Vec<u8>)> {
    let frames = u32::try_from(length.as_millis() / FRAME.as_millis()).expect("a short sound");
    let mut made: Vec<(Duration, Vec<u8>)> = Vec::new();
    for frame in 0..frames {
        let at = FRAME * frame;
        let sequence = u16::try_from(made.len()).expect("a short sound");
        made.extend(packet(sound, at, frame, sequence).map(|packet| (at, packet)));
    }
    made
}

/// Sends `sound` to `target` and hands over each payload that comes, until the task is aborted.
pub(crate) async fn talk(socket: &UdpSocket, target: Option<SocketAddr>, sound: Sound, mut heard: impl FnMut(Vec<u8>)) {
    let started = Instant::now();
    let mut ticks = interval_at(started + FRAME, FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut buffer = [0; 2_048];
    let mut sequence: u16 = 7;
    let mut frame: u32 = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                if let (Some(target), Some(packet)) = (target, packet(sound, started.elapsed(), frame, sequence)) {
                    sequence = sequence.wrapping_add(1);
                    let _ = socket.send_to(&packet, target).await;
                }
                frame += 1;
            }
            received = socket.recv(&mut buffer) => {
                if let Ok(length) = received && length > 12 && buffer[1] & 0x7f == PCMU {
                    heard(buffer[12..length].to_vec());
                }
            }
        }
    }
}

fn packet(sound: Sound, since: Duration, frame: u32, sequence: u16) -> Option<Vec<u8>> {
    let timestamp = frame * FRAME_SAMPLES;
    match sound {
        Sound::Nothing => None,
        Sound::Tone {
            lasting: Some(lasting), ..
        } if since > lasting => None,
        Sound::Tone { hz, .. } => Some(rtp(PCMU, false, sequence, timestamp, &tone_frame(hz, timestamp))),
        Sound::Key { after, key } if since >= after => key_packet(after, key, frame, sequence),
        Sound::Key { .. } => Some(rtp(PCMU, false, sequence, timestamp, &tone_frame(300.0, timestamp))),
    }
}

/// One press of 100 ms, its end said three times (RFC 4733 section 2.5.1.4), then silence of the tone.
fn key_packet(after: Duration, key: u8, frame: u32, sequence: u16) -> Option<Vec<u8>> {
    let first = u32::try_from(after.as_millis().div_ceil(FRAME.as_millis())).ok()?;
    let nth = frame.saturating_sub(first);
    let timestamp = first * FRAME_SAMPLES;
    match nth {
        0..=4 => Some(rtp(
            TELEPHONE_EVENT,
            nth == 0,
            sequence,
            timestamp,
            &event(key, false, (nth + 1) * FRAME_SAMPLES),
        )),
        5..=7 => Some(rtp(
            TELEPHONE_EVENT,
            false,
            sequence,
            timestamp,
            &event(key, true, 5 * FRAME_SAMPLES),
        )),
        _ => {
            let timestamp = frame * FRAME_SAMPLES;
            Some(rtp(PCMU, false, sequence, timestamp, &tone_frame(300.0, timestamp)))
        }
    }
}

fn event(key: u8, end: bool, duration: u32) -> [u8; 4] {
    let [_, _, high, low] = duration.to_be_bytes();
    [key, if end { 0x8a } else { 0x0a }, high, low]
}

fn rtp(payload_type: u8, marker: bool, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type | if marker { 0x80 } else { 0 }];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(0x5741_1735_u32.to_be_bytes());
    packet.extend(payload);
    packet
}

fn tone_frame(hz: f64, timestamp: u32) -> Vec<u8> {
    (timestamp..timestamp + FRAME_SAMPLES)
        .map(|at| mu_law(sine(hz, at, 8_000.0)))
        .collect()
}

/// One sample of a sine at 8 kHz.
pub(crate) fn sine(hz: f64, at: u32, amplitude: f64) -> i16 {
    let phase = std::f64::consts::TAU * hz * f64::from(at) / f64::from(SAMPLE_RATE_HZ);
    #[expect(clippy::cast_possible_truncation, reason = "the amplitude is below the range of i16")]
    let sample = (amplitude * phase.sin()) as i16;
    sample
}

/// G.711 mu-law.
fn mu_law(sample: i16) -> u8 {
    let sign: u8 = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.unsigned_abs().min(32_635) + 132;
    let exponent = u8::try_from(magnitude.ilog2().saturating_sub(7)).unwrap_or(7).min(7);
    let mantissa = u8::try_from((magnitude >> (exponent + 3)) & 0x0f).unwrap_or(0);
    !(sign | (exponent << 4) | mantissa)
}

/// A mu-law byte as a sample.
pub(crate) fn from_mu_law(byte: u8) -> i16 {
    let byte = !byte;
    let magnitude = ((i16::from(byte & 0x0f) << 3) + 132) << ((byte >> 4) & 7);
    if byte & 0x80 == 0 {
        magnitude - 132
    } else {
        132 - magnitude
    }
}

/// How much of a signal's power is at `hz`: 0 to 1 (Goertzel).
pub(crate) fn share_of_tone(samples: &[i16], rate_hz: f64, hz: f64) -> f64 {
    let coefficient = 2.0 * (std::f64::consts::TAU * hz / rate_hz).cos();
    let (mut last, mut before, mut power) = (0.0, 0.0, 0.0);
    for sample in samples {
        let sample = f64::from(*sample);
        let next = sample + coefficient * last - before;
        before = last;
        last = next;
        power += sample * sample;
    }
    let at_tone = last * last + before * before - coefficient * last * before;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a call has fewer samples than a float has places"
    )]
    let length = samples.len() as f64;
    if power == 0.0 {
        0.0
    } else {
        2.0 * at_tone / (length * power)
    }
}
