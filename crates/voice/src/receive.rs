//! What a call hears: packets judged, counted, and handed on as keys and sound.

use crate::call::{Call, Context};
use crate::far_end::{CallFigures, FarEndEvent};
use crate::keys::KeyPath;
use crate::recording::{Place, Sound};
use crate::source::Verdict;
use carillon_domain::trunk::Codec;
use carillon_media::dtmf::{Event, Heard, KeyReceiver, OFFERED_PAYLOAD_TYPE};
use carillon_media::rtcp;
use carillon_media::rtp::{self, DropReason, RtpPacket, Sequence, SequenceTracker};
use carillon_media::samples_in;
use carillon_media::sdp::Agreed;
use carillon_media::{FRAME_SAMPLES, SAMPLE_RATE, g711};
use std::net::SocketAddr;

/// Comfort noise (RFC 3389): says that the far end is there and silent.
const COMFORT_NOISE: u8 = 13;
/// A packet that arrives this much after its time counts as late, in samples: 40 ms.
const LATE_SAMPLES: i64 = 320;

/// What a call has heard.
#[derive(Default)]
pub(crate) struct Incoming {
    pub(crate) tracker: SequenceTracker,
    /// Since when packets are due: the answer, or the end of a hold.
    pub(crate) expected_since_us: u64,
    pub(crate) media_lost: bool,
    /// The far end's last sender report: the middle of its NTP time, and when it came.
    pub(crate) last_report: Option<(u32, u64)>,
    keys: KeyReceiver,
    heard_us: Option<u64>,
    refused: u64,
    late: u64,
    /// The shortest way a packet took, as arrival minus timestamp.
    transit_min: Option<i64>,
    first_timestamp: u32,
    reported_loss: u8,
    reported_lost: i32,
    loudness: Option<LoudnessMeter>,
}

/// Adds up sound for a tenth of a second.
#[derive(Default)]
struct LoudnessMeter {
    energy: u64,
    samples: u32,
}

impl LoudnessMeter {
    /// Takes sound; returns the root mean square of the last tenth of a second when that is full.
    fn take(&mut self, codec: Codec, payload: &[u8]) -> Option<u16> {
        for byte in payload {
            self.energy += u64::from(g711::decode_byte(codec, *byte).unsigned_abs()).pow(2);
        }
        self.samples += payload.len() as u32;
        if self.samples < SAMPLE_RATE / 10 {
            return None;
        }
        let Self { energy, samples } = std::mem::take(self);
        Some((energy / u64::from(samples)).isqrt() as u16)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Sound(Codec),
    Key(Event),
    Noise,
}

impl Incoming {
    pub(crate) fn is_overdue(&self, now_us: u64, timeout_us: u64) -> bool {
        let since_us = self.heard_us.unwrap_or(0).max(self.expected_since_us);
        !self.media_lost && now_us.saturating_sub(since_us) > timeout_us
    }

    pub(crate) fn figures(&self) -> CallFigures {
        CallFigures {
            packets_received: self.tracker.received(),
            packets_sent: 0,
            packets_lost: self.tracker.lost(),
            packets_refused: self.refused,
            jitter_us: self.tracker.jitter_us(),
            reported_loss: self.reported_loss,
            reported_lost: self.reported_lost,
            packets_late: self.late,
        }
    }

    fn count_late(&mut self, now_us: u64, packet: &RtpPacket<'_>, restarted: bool) {
        if restarted {
            self.first_timestamp = packet.timestamp;
            self.transit_min = None;
        }
        let age = i64::from(packet.timestamp.wrapping_sub(self.first_timestamp) as i32);
        let transit = samples_in(now_us) as i64 - age;
        let shortest = self.transit_min.map_or(transit, |shortest| shortest.min(transit));
        self.transit_min = Some(shortest);
        self.late += u64::from(transit - shortest > LATE_SAMPLES);
    }
}

fn kind(agreed: &Agreed, packet: &RtpPacket<'_>) -> Result<Kind, DropReason> {
    let payload_type = packet.payload_type;
    let codec = agreed.accepted.iter().find(|(accepted, _)| *accepted == payload_type);
    match codec {
        _ if packet.payload.is_empty() => Err(DropReason::BadPayload),
        Some((_, codec)) => Ok(Kind::Sound(*codec)),
        None if agreed.key_payload_type == Some(payload_type) || payload_type == OFFERED_PAYLOAD_TYPE => {
            Event::parse(packet.payload)
                .map(Kind::Key)
                .ok_or(DropReason::BadPayload)
        }
        None if payload_type == COMFORT_NOISE => Ok(Kind::Noise),
        None => Err(DropReason::UnknownPayloadType),
    }
}

impl Call {
    pub(crate) fn report_loudness(&mut self) {
        self.incoming.loudness.get_or_insert_default();
    }

    /// Takes a datagram from the RTP socket.
    pub(crate) fn receive(&mut self, context: &mut Context, from: SocketAddr, datagram: &[u8]) {
        if rtp::is_rtcp(datagram) {
            return self.receive_control(context, from, datagram);
        }
        if let Err(reason) = self.take_packet(context, from, datagram) {
            self.incoming.refused += 1;
            context.statistics.drop_packet(reason);
        }
    }

    fn take_packet(&mut self, context: &mut Context, from: SocketAddr, datagram: &[u8]) -> Result<(), DropReason> {
        let packet = rtp::parse(datagram)?;
        let agreed = self.agreed.as_ref().ok_or(DropReason::NotConnected)?;
        let kind = kind(agreed, &packet)?;
        let now_us = context.now_us;
        if self.source.judge(now_us, from, &packet) == Verdict::Refuse {
            return Err(DropReason::WrongSource);
        }
        let restarted = match self.incoming.tracker.handle(now_us, &packet) {
            Sequence::New => false,
            Sequence::Restarted => true,
            Sequence::Duplicate => return Err(DropReason::Duplicate),
            Sequence::OutOfSequence => return Err(DropReason::OutOfSequence),
        };
        context.statistics.packets_in += 1;
        if self.incoming.heard_us.replace(now_us).is_none() {
            self.tell_far_end(context, FarEndEvent::Heard);
        }
        if restarted {
            self.incoming.keys.reset();
        }
        match kind {
            Kind::Sound(codec) => {
                self.incoming.count_late(now_us, &packet, restarted);
                let loudness = self
                    .incoming
                    .loudness
                    .as_mut()
                    .and_then(|meter| meter.take(codec, packet.payload));
                if let Some(loudness) = loudness {
                    self.tell_far_end(context, FarEndEvent::Loudness(loudness));
                }
                self.record_theirs(context, codec, &packet, restarted);
                if let Some(listener) = self.listener.as_mut() {
                    listener.push(now_us, codec, packet.timestamp, packet.payload, restarted);
                }
            }
            Kind::Key(event) => self.take_key(context, &packet, event),
            Kind::Noise => {}
        }
        Ok(())
    }

    fn take_key(&mut self, context: &mut Context, packet: &RtpPacket<'_>, event: Event) {
        match self.incoming.keys.handle(packet.timestamp, packet.marker, event) {
            Heard::Pressed(digit) => self.key_pressed(context, KeyPath::Rtp, digit),
            Heard::Held(digit) => self.key_held(context.now_us, digit),
            Heard::NotAKey => {}
        }
    }

    /// Copies sound for the recorder, which takes at most 20 ms at a time.
    fn record_theirs(&self, context: &mut Context, codec: Codec, packet: &RtpPacket<'_>, restarted: bool) {
        let Some((recording, queue)) = self.recording.as_ref().filter(|_| self.answered_us.is_some()) else {
            return;
        };
        for (index, chunk) in packet.payload.chunks(FRAME_SAMPLES).enumerate() {
            let mut payload = [0; FRAME_SAMPLES];
            payload[..chunk.len()].copy_from_slice(chunk);
            let offset = index * FRAME_SAMPLES;
            let place = Place::Far {
                // The chunks of one packet must not look like packets that came too early.
                arrived_us: context.now_us + offset as u64 * 125,
                timestamp: packet.timestamp.wrapping_add(offset as u32),
                restarted: restarted && index == 0,
            };
            let sound = Sound {
                recording: *recording,
                place,
                codec,
                length: chunk.len() as u8,
                payload,
            };
            context.statistics.recorder_drops += u64::from(!queue.record(sound));
        }
    }

    /// Takes a datagram of RTCP.
    pub(crate) fn receive_control(&mut self, context: &mut Context, from: SocketAddr, datagram: &[u8]) {
        if !self.source.is_same_host(from) {
            return context.statistics.drop_packet(DropReason::WrongSource);
        }
        match rtcp::parse(datagram, self.ssrc()) {
            Ok(report) => {
                if let Some(ntp_middle) = report.sender_ntp_middle {
                    self.incoming.last_report = Some((ntp_middle, context.now_us));
                }
                if let Some(of_ours) = report.of_ours {
                    self.incoming.reported_loss = of_ours.fraction_lost;
                    self.incoming.reported_lost = of_ours.lost;
                }
            }
            Err(reason) => context.statistics.drop_packet(reason),
        }
    }
}
