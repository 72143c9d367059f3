//! RTP packets (RFC 3550 section 5.1) and the tracking of one source's sequence numbers (sections 6.4.1, A.1, A.3, A.8).
//!
//! Parsing tolerates what a peer may send (padding, contributing sources, header extensions) and names what it may not.

use crate::SAMPLE_RATE;

/// Length of a header without contributing sources or extension, in bytes.
pub const HEADER_BYTES: usize = 12;

/// A parsed packet; the payload lies in the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    /// Payload type, 0-127.
    pub payload_type: u8,
    /// The marker bit: for audio, the first packet after silence.
    pub marker: bool,
    /// Sequence number; wraps.
    pub sequence: u16,
    /// Timestamp in samples; wraps.
    pub timestamp: u32,
    /// The source.
    pub ssrc: u32,
    /// The sound, without padding.
    pub payload: &'a [u8],
}

/// Why a datagram was dropped. Each is counted under its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum DropReason {
    /// Shorter than a header.
    #[error("too_short")]
    TooShort,
    /// The version is not 2: not RTP at all.
    #[error("bad_version")]
    BadVersion,
    /// Contributing sources or the extension reach beyond the datagram.
    #[error("truncated")]
    Truncated,
    /// The padding count is zero or larger than the payload.
    #[error("bad_padding")]
    BadPadding,
    /// Nothing negotiated has this payload type.
    #[error("unknown_payload_type")]
    UnknownPayloadType,
    /// A payload without a byte in it, or an event shorter than RFC 4733 says.
    #[error("bad_payload")]
    BadPayload,
    /// It came from an address that the call does not listen to.
    #[error("wrong_source")]
    WrongSource,
    /// The packet was there already.
    #[error("duplicate")]
    Duplicate,
    /// Too old to be of use, or a jump in sequence numbers that the next packet must confirm.
    #[error("out_of_sequence")]
    OutOfSequence,
    /// The call has no far end yet.
    #[error("not_connected")]
    NotConnected,
    /// RTCP that cannot be read.
    #[error("bad_rtcp")]
    BadRtcp,
}

impl DropReason {
    /// All of them, in the order of [`Self::index`].
    pub const ALL: [Self; 11] = [
        Self::TooShort,
        Self::BadVersion,
        Self::Truncated,
        Self::BadPadding,
        Self::UnknownPayloadType,
        Self::BadPayload,
        Self::WrongSource,
        Self::Duplicate,
        Self::OutOfSequence,
        Self::NotConnected,
        Self::BadRtcp,
    ];

    /// Its place in [`Self::ALL`], for arrays of counters.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Parses a datagram.
pub fn parse(datagram: &[u8]) -> Result<RtpPacket<'_>, DropReason> {
    let (header, mut rest) = datagram
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or(DropReason::TooShort)?;
    if header[0] >> 6 != 2 {
        return Err(DropReason::BadVersion);
    }
    let sources = usize::from(header[0] & 0x0F) * 4;
    rest = rest.get(sources..).ok_or(DropReason::Truncated)?;
    if header[0] & 0x10 != 0 {
        let (extension, after) = rest.split_first_chunk::<4>().ok_or(DropReason::Truncated)?;
        let words = usize::from(u16::from_be_bytes([extension[2], extension[3]]));
        rest = after.get(words * 4..).ok_or(DropReason::Truncated)?;
    }
    if header[0] & 0x20 != 0 {
        let padding = usize::from(*rest.last().ok_or(DropReason::BadPadding)?);
        let length = rest
            .len()
            .checked_sub(padding)
            .filter(|_| padding > 0)
            .ok_or(DropReason::BadPadding)?;
        rest = &rest[..length];
    }
    Ok(RtpPacket {
        payload_type: header[1] & 0x7F,
        marker: header[1] & 0x80 != 0,
        sequence: u16::from_be_bytes([header[2], header[3]]),
        timestamp: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        ssrc: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
        payload: rest,
    })
}

/// Whether a datagram on an RTP port is RTCP (RFC 5761 section 4: packet types 192-223).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    datagram.len() >= 4 && datagram[0] >> 6 == 2 && (192..=223).contains(&datagram[1])
}

/// Writes the header of `packet` and its payload behind it into `buffer`; returns the length of the datagram. A payload
/// that does not fit is cut.
pub fn write(packet: &RtpPacket<'_>, buffer: &mut [u8]) -> usize {
    let Some((header, room)) = buffer.split_first_chunk_mut::<HEADER_BYTES>() else {
        return 0;
    };
    header[0] = 0x80;
    header[1] = (u8::from(packet.marker) << 7) | (packet.payload_type & 0x7F);
    header[2..4].copy_from_slice(&packet.sequence.to_be_bytes());
    header[4..8].copy_from_slice(&packet.timestamp.to_be_bytes());
    header[8..12].copy_from_slice(&packet.ssrc.to_be_bytes());
    let length = packet.payload.len().min(room.len());
    room[..length].copy_from_slice(&packet.payload[..length]);
    HEADER_BYTES + length
}

/// What a packet's sequence number says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequence {
    /// New, in order or up to 63 packets late.
    New,
    /// The source started again: a new SSRC, or a jump confirmed by a second packet. Clocks start afresh.
    Restarted,
    /// Seen before.
    Duplicate,
    /// Too old, or an unconfirmed jump.
    OutOfSequence,
}

/// A jump forward of more than this is taken for a restart when the next packet confirms it (RFC 3550 appendix A.1).
const DROPOUT_MAX: u16 = 3_000;
/// How late a packet may be: the width of the window in which duplicates are recognised.
const LATE_MAX: u16 = 64;

/// Follows the sequence numbers of what one call hears.
///
/// Counts stay right over restarts: what was lost before a restart remains counted.
#[derive(Clone, Debug, Default)]
pub struct SequenceTracker {
    source: Option<Source>,
    received_before: u64,
    lost_before: u64,
}

#[derive(Clone, Debug)]
struct Source {
    ssrc: u32,
    first: u64,
    highest: u64,
    /// Bit n: the packet `highest - n` has come.
    seen: u64,
    received: u64,
    expected_at_report: u64,
    received_at_report: u64,
    jump_to: Option<u16>,
    transit: Option<u32>,
    /// In samples, times 16 (RFC 3550 appendix A.8).
    jitter_16: u32,
}

/// What RTCP says about a source since the last report (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reception {
    /// The source.
    pub ssrc: u32,
    /// Share lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost in all, at most 24 bits.
    pub lost: u32,
    /// Highest sequence number with its cycles.
    pub highest_sequence: u32,
    /// Mean deviation of arrival, in samples.
    pub jitter: u32,
}

impl Source {
    fn new(packet: &RtpPacket<'_>) -> Self {
        let first = u64::from(packet.sequence);
        Self {
            ssrc: packet.ssrc,
            first,
            highest: first,
            seen: 1,
            received: 1,
            expected_at_report: 0,
            received_at_report: 0,
            jump_to: None,
            transit: None,
            jitter_16: 0,
        }
    }

    fn expected(&self) -> u64 {
        self.highest - self.first + 1
    }

    fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }
}

impl SequenceTracker {
    /// Takes note of a packet that arrived at `now_us`.
    pub fn handle(&mut self, now_us: u64, packet: &RtpPacket<'_>) -> Sequence {
        let verdict = self.place(packet);
        if let (Sequence::New | Sequence::Restarted, Some(source)) = (verdict, &mut self.source) {
            let arrived = crate::samples_in(now_us) as u32;
            let transit = arrived.wrapping_sub(packet.timestamp);
            if let Some(before) = source.transit.replace(transit) {
                let deviation = (transit.wrapping_sub(before) as i32)
                    .unsigned_abs()
                    .min(SAMPLE_RATE * 8);
                let jitter = i64::from(source.jitter_16);
                source.jitter_16 = (jitter + i64::from(deviation) - ((jitter + 8) >> 4)).max(0) as u32;
            }
        }
        verdict
    }

    fn place(&mut self, packet: &RtpPacket<'_>) -> Sequence {
        let Some(source) = self.source.as_mut().filter(|source| source.ssrc == packet.ssrc) else {
            return self.restart(packet);
        };
        let ahead = packet.sequence.wrapping_sub(source.highest as u16);
        if ahead == 0 {
            return Sequence::Duplicate;
        }
        if ahead < DROPOUT_MAX {
            source.highest += u64::from(ahead);
            source.seen = source.seen.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            source.received += 1;
            source.jump_to = None;
            return Sequence::New;
        }
        let behind = ahead.wrapping_neg();
        if behind < LATE_MAX {
            let bit = 1_u64 << behind;
            if source.seen & bit != 0 {
                return Sequence::Duplicate;
            }
            source.seen |= bit;
            source.received += 1;
            // A packet older than the first one widens what was expected, or loss would come out too small.
            source.first = source.first.min(source.highest.saturating_sub(u64::from(behind)));
            return Sequence::New;
        }
        if source.jump_to == Some(packet.sequence) {
            return self.restart(packet);
        }
        source.jump_to = Some(packet.sequence.wrapping_add(1));
        Sequence::OutOfSequence
    }

    fn restart(&mut self, packet: &RtpPacket<'_>) -> Sequence {
        if let Some(source) = self.source.replace(Source::new(packet)) {
            self.received_before += source.received;
            self.lost_before += source.lost();
        }
        Sequence::Restarted
    }

    /// Packets that came, each counted once.
    pub fn received(&self) -> u64 {
        self.received_before + self.source.as_ref().map_or(0, |source| source.received)
    }

    /// Packets that never came, by sequence number.
    pub fn lost(&self) -> u64 {
        self.lost_before + self.source.as_ref().map_or(0, Source::lost)
    }

    /// Mean deviation of arrival, in microseconds.
    pub fn jitter_us(&self) -> u64 {
        let samples_16 = self.source.as_ref().map_or(0, |source| u64::from(source.jitter_16));
        samples_16 * 1_000_000 / (16 * u64::from(SAMPLE_RATE))
    }

    /// The figures for a report block; what it says of "since the last report" starts afresh. `None` before the first
    /// packet.
    pub fn report(&mut self) -> Option<Reception> {
        let source = self.source.as_mut()?;
        let expected = source.expected() - source.expected_at_report.min(source.expected());
        let received = source.received - source.received_at_report;
        source.expected_at_report = source.expected();
        source.received_at_report = source.received;
        let lost = expected.saturating_sub(received);
        Some(Reception {
            ssrc: source.ssrc,
            fraction_lost: (lost * 256).checked_div(expected).unwrap_or(0).min(255) as u8,
            lost: source.lost().min(0x7F_FFFF) as u32,
            highest_sequence: source.highest as u32,
            jitter: source.jitter_16 >> 4,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(ssrc: u32, sequence: u16) -> RtpPacket<'static> {
        let timestamp = u32::from(sequence).wrapping_mul(160);
        RtpPacket {
            payload_type: 0,
            marker: false,
            sequence,
            timestamp,
            ssrc,
            payload: &[0xFF; 160],
        }
    }

    fn datagram(first: u8, more: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, 0x80, 0, 7, 0, 0, 0, 160, 0, 0, 0, 9];
        bytes.extend_from_slice(more);
        bytes
    }

    #[test]
    fn headers_are_read_with_everything_a_peer_may_put_in() {
        // what                         first byte, after the header,                        payload
        let rows: [(&str, u8, &[u8], Result<&[u8], DropReason>); 12] = [
            ("plain", 0x80, &[1, 2], Ok(&[1, 2])),
            ("no payload", 0x80, &[], Ok(&[])),
            ("one contributing source", 0x81, &[0, 0, 0, 1, 5], Ok(&[5])),
            (
                "missing contributing source",
                0x82,
                &[0, 0, 0, 1, 5],
                Err(DropReason::Truncated),
            ),
            (
                "extension of one word",
                0x90,
                &[0xBE, 0xDE, 0, 1, 1, 1, 1, 1, 6],
                Ok(&[6]),
            ),
            ("empty extension", 0x90, &[0xBE, 0xDE, 0, 0, 6], Ok(&[6])),
            (
                "extension too long",
                0x90,
                &[0xBE, 0xDE, 0xFF, 0xFF, 6],
                Err(DropReason::Truncated),
            ),
            ("half an extension", 0x90, &[0xBE, 0xDE], Err(DropReason::Truncated)),
            ("padding", 0xA0, &[7, 7, 0, 0, 3], Ok(&[7, 7])),
            ("padding of all", 0xA0, &[0, 0, 3], Ok(&[])),
            ("padding of more than all", 0xA0, &[0, 4], Err(DropReason::BadPadding)),
            ("padding of nothing", 0xA0, &[9, 0], Err(DropReason::BadPadding)),
        ];
        for (what, first, more, expected) in rows {
            assert_eq!(
                parse(&datagram(first, more)).map(|packet| packet.payload),
                expected,
                "{what}"
            );
        }
        assert_eq!(parse(&[0x80; 11]), Err(DropReason::TooShort));
        assert_eq!(parse(&datagram(0x40, &[])), Err(DropReason::BadVersion));
    }

    #[test]
    fn sequence_numbers_tell_new_late_double_and_restarted_packets_apart() {
        use Sequence::*;
        // what                 ssrc and sequence numbers, verdicts,                       received, lost
        let rows: [(&str, &[(u32, u16)], &[Sequence], u64, u64); 9] = [
            ("in order", &[(1, 5), (1, 6), (1, 7)], &[Restarted, New, New], 3, 0),
            ("one lost", &[(1, 5), (1, 7)], &[Restarted, New], 2, 1),
            ("late", &[(1, 5), (1, 7), (1, 6)], &[Restarted, New, New], 3, 0),
            (
                "double",
                &[(1, 5), (1, 5), (1, 6), (1, 5)],
                &[Restarted, Duplicate, New, Duplicate],
                2,
                0,
            ),
            (
                "wrapping",
                &[(1, 65_535), (1, 0), (1, 65_534)],
                &[Restarted, New, New],
                3,
                0,
            ),
            ("older than the first", &[(1, 5), (1, 3)], &[Restarted, New], 2, 1),
            (
                "another source",
                &[(1, 5), (1, 7), (2, 900), (2, 901)],
                &[Restarted, New, Restarted, New],
                4,
                1,
            ),
            (
                "a lone jump",
                &[(1, 5), (1, 30_000), (1, 6)],
                &[Restarted, OutOfSequence, New],
                2,
                0,
            ),
            (
                "a confirmed jump",
                &[(1, 5), (1, 30_000), (1, 30_001)],
                &[Restarted, OutOfSequence, Restarted],
                2,
                0,
            ),
        ];
        for (what, packets, verdicts, received, lost) in rows {
            let mut tracker = SequenceTracker::default();
            let seen: Vec<_> = packets
                .iter()
                .map(|(ssrc, number)| tracker.handle(0, &packet(*ssrc, *number)))
                .collect();
            assert_eq!(seen, verdicts, "{what}");
            assert_eq!((tracker.received(), tracker.lost()), (received, lost), "{what}");
        }
    }

    #[test]
    fn jitter_follows_arrival_and_ignores_even_pacing() {
        let jitter_after = |late_us: fn(u64) -> u64| {
            let mut tracker = SequenceTracker::default();
            for number in 0..200 {
                tracker.handle(number * 20_000 + late_us(number), &packet(1, number as u16));
            }
            tracker.jitter_us()
        };
        assert_eq!(jitter_after(|_| 0), 0);
        let jittery = jitter_after(|number| (number % 2) * 10_000);
        assert!((8_000..=10_000).contains(&jittery), "{jittery}");
    }

    #[test]
    fn a_report_covers_the_time_since_the_last_one() {
        let mut tracker = SequenceTracker::default();
        assert_eq!(tracker.report(), None);
        for number in [0, 1, 3] {
            tracker.handle(0, &packet(1, number));
        }
        let report = tracker
            .report()
            .map(|report| (report.fraction_lost, report.lost, report.highest_sequence));
        assert_eq!(report, Some((64, 1, 3)));
        tracker.handle(0, &packet(1, 4));
        assert_eq!(
            tracker.report().map(|report| (report.fraction_lost, report.lost)),
            Some((0, 1))
        );
        assert_eq!(tracker.report().map(|report| report.fraction_lost), Some(0));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(packet) = parse(&bytes) {
                prop_assert!(packet.payload.len() + HEADER_BYTES <= bytes.len());
                let mut tracker = SequenceTracker::default();
                tracker.handle(0, &packet);
            }
            is_rtcp(&bytes);
        }

        #[test]
        fn what_is_written_is_read_back(
            payload_type in 0_u8..128, marker: bool, sequence: u16, timestamp: u32, ssrc: u32,
            payload in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let packet = RtpPacket { payload_type, marker, sequence, timestamp, ssrc, payload: &payload };
            let mut buffer = [0; 300];
            let length = write(&packet, &mut buffer);
            prop_assert_eq!(parse(&buffer[..length]), Ok(packet));
        }

        #[test]
        fn any_sequence_of_numbers_keeps_the_counts_sane(
            numbers in proptest::collection::vec((0_u32..3, any::<u16>()), 0..300),
        ) {
            let mut tracker = SequenceTracker::default();
            for (index, (ssrc, number)) in numbers.iter().enumerate() {
                tracker.handle(index as u64 * 1_000, &packet(*ssrc, *number));
                tracker.report();
            }
            prop_assert!(tracker.received() <= numbers.len() as u64);
        }
    }
}
