//! RTCP sender and receiver reports and BYE (RFC 3550 section 6), written and read.
//!
//! Reading takes what is useful (the far end's clock, what it lost of ours, that it left) and skips the rest; a compound
//! that breaks off is refused as a whole.

use crate::rtp::{DropReason, Reception};
use carillon_domain::time::UnixMicros;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;

/// Seconds from the NTP era (1900) to the Unix epoch.
const NTP_UNIX_SECONDS: u64 = 2_208_988_800;

/// What we sent so far, for a sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Our source.
    pub ssrc: u32,
    /// The RTP timestamp of `at`.
    pub timestamp: u32,
    /// Wall time of the report.
    pub at: UnixMicros,
    /// Packets sent.
    pub packets: u32,
    /// Bytes of payload sent.
    pub octets: u32,
}

/// The far end's last sender report, which a report block echoes so that it can tell the round-trip time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastReport {
    /// The middle 32 bits of its NTP time; 0 when there was none.
    pub ntp_middle: u32,
    /// How long ago it came, in microseconds.
    pub age_us: u64,
}

/// What an RTCP datagram said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Middle 32 bits of the NTP time of a sender report.
    pub sender_ntp_middle: Option<u32>,
    /// What it lost of the source asked for.
    pub of_ours: Option<OfOurs>,
    /// The far end says that it leaves.
    pub bye: bool,
}

/// A report block about our packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfOurs {
    /// Share lost since its last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost in all; negative when duplicates outweigh losses.
    pub lost: i32,
    /// Mean deviation of arrival, in samples.
    pub jitter: u32,
    /// Our sender report that it saw last, and how long ago in 1/65536 s (for the round-trip time).
    pub last_report: (u32, u32),
}

/// NTP time (RFC 3550 section 4): seconds since 1900 in the upper half, their fraction in the lower.
fn ntp(at: UnixMicros) -> u64 {
    let micros = at.micros().max(0).unsigned_abs();
    let seconds = micros / 1_000_000 + NTP_UNIX_SECONDS;
    (seconds << 32) | (((micros % 1_000_000) << 32) / 1_000_000)
}

/// The middle 32 bits of the NTP time.
pub fn ntp_middle(at: UnixMicros) -> u32 {
    (ntp(at) >> 16) as u32
}

/// Writes a sender report with at most one report block, our name, and a BYE when `bye`.
pub fn write(sent: &Sent, reception: Option<(Reception, LastReport)>, name: &str, bye: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    let blocks = u8::from(reception.is_some());
    out.extend_from_slice(&[0x80 | blocks, SENDER_REPORT, 0, 6 + 6 * blocks]);
    out.extend_from_slice(&sent.ssrc.to_be_bytes());
    out.extend_from_slice(&ntp(sent.at).to_be_bytes());
    out.extend_from_slice(&sent.timestamp.to_be_bytes());
    out.extend_from_slice(&sent.packets.to_be_bytes());
    out.extend_from_slice(&sent.octets.to_be_bytes());
    if let Some((reception, last)) = reception {
        let age = (last.age_us.saturating_mul(65_536) / 1_000_000).min(u64::from(u32::MAX)) as u32;
        out.extend_from_slice(&reception.ssrc.to_be_bytes());
        out.extend_from_slice(&((u32::from(reception.fraction_lost) << 24) | reception.lost).to_be_bytes());
        out.extend_from_slice(&reception.highest_sequence.to_be_bytes());
        out.extend_from_slice(&reception.jitter.to_be_bytes());
        out.extend_from_slice(&last.ntp_middle.to_be_bytes());
        out.extend_from_slice(&if last.ntp_middle == 0 { 0 } else { age }.to_be_bytes());
    }
    write_name(&mut out, sent.ssrc, name);
    if bye {
        out.extend_from_slice(&[0x81, BYE, 0, 1]);
        out.extend_from_slice(&sent.ssrc.to_be_bytes());
    }
    out
}

/// The canonical name, which every compound must carry (RFC 3550 section 6.1).
fn write_name(out: &mut Vec<u8>, ssrc: u32, name: &str) {
    let name = &name.as_bytes()[..name.len().min(200)];
    // SSRC, item type, length, the name, and one to four zero bytes that end the list on a word.
    let words = (4 + 2 + name.len()) / 4 + 1;
    out.extend_from_slice(&[0x81, SOURCE_DESCRIPTION, 0, words as u8]);
    let end = out.len() + words * 4;
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&[1, name.len() as u8]);
    out.extend_from_slice(name);
    out.resize(end, 0);
}

/// Reads a compound datagram; `our_ssrc` says which report block is about us.
pub fn parse(datagram: &[u8], our_ssrc: u32) -> Result<Report, DropReason> {
    let mut report = Report::default();
    let mut rest = datagram;
    while !rest.is_empty() {
        let (header, after) = rest.split_first_chunk::<4>().ok_or(DropReason::BadRtcp)?;
        if header[0] >> 6 != 2 {
            return Err(DropReason::BadRtcp);
        }
        let length = usize::from(u16::from_be_bytes([header[2], header[3]])) * 4;
        let (body, next) = after.split_at_checked(length).ok_or(DropReason::BadRtcp)?;
        let blocks = usize::from(header[0] & 0x1F);
        match header[1] {
            SENDER_REPORT => {
                report.sender_ntp_middle = Some(word(body, 6)?);
                report.of_ours = find_block(body.get(24..), blocks, our_ssrc)?.or(report.of_ours);
            }
            RECEIVER_REPORT => report.of_ours = find_block(body.get(4..), blocks, our_ssrc)?.or(report.of_ours),
            BYE => report.bye = true,
            _ => {}
        }
        rest = next;
    }
    Ok(report)
}

fn find_block(blocks: Option<&[u8]>, count: usize, ssrc: u32) -> Result<Option<OfOurs>, DropReason> {
    let blocks = blocks
        .and_then(|blocks| blocks.get(..count * 24))
        .ok_or(DropReason::BadRtcp)?;
    for block in blocks.chunks_exact(24) {
        if word(block, 0)? == ssrc {
            let loss = word(block, 4)?;
            return Ok(Some(OfOurs {
                fraction_lost: (loss >> 24) as u8,
                // Sign-extends 24 bits.
                lost: ((loss << 8) as i32) >> 8,
                jitter: word(block, 12)?,
                last_report: (word(block, 16)?, word(block, 20)?),
            }));
        }
    }
    Ok(None)
}

fn word(bytes: &[u8], at: usize) -> Result<u32, DropReason> {
    let bytes = bytes
        .get(at..)
        .and_then(|bytes| bytes.first_chunk::<4>())
        .ok_or(DropReason::BadRtcp)?;
    Ok(u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent() -> Sent {
        Sent {
            ssrc: 7,
            timestamp: 160,
            at: UnixMicros(1_500_000),
            packets: 3,
            octets: 480,
        }
    }

    fn reception() -> Reception {
        Reception {
            ssrc: 9,
            fraction_lost: 64,
            lost: 5,
            highest_sequence: 70_000,
            jitter: 11,
        }
    }

    #[test]
    fn ntp_time_starts_in_1900() {
        assert_eq!(ntp(UnixMicros(0)), 2_208_988_800 << 32);
        assert_eq!(ntp(UnixMicros(1_500_000)), (2_208_988_801 << 32) | 0x8000_0000);
    }

    #[test]
    fn what_is_written_is_read_by_the_other_side() {
        let last = LastReport {
            ntp_middle: 0x1234,
            age_us: 500_000,
        };
        for name in ["", "a", "ab", "abc", "abcd", "0123456789@carillon"] {
            let bytes = write(&sent(), Some((reception(), last)), name, true);
            assert_eq!(bytes.len() % 4, 0, "{name}");
            let of_ours = OfOurs {
                fraction_lost: 64,
                lost: 5,
                jitter: 11,
                last_report: (0x1234, 32_768),
            };
            let expected = Report {
                sender_ntp_middle: Some(ntp_middle(sent().at)),
                of_ours: Some(of_ours),
                bye: true,
            };
            assert_eq!(parse(&bytes, 9), Ok(expected), "{name}");
            assert_eq!(parse(&bytes, 8).map(|report| report.of_ours), Ok(None), "{name}");
        }
    }

    #[test]
    fn a_report_without_reception_has_no_block() {
        let bytes = write(&sent(), None, "x", false);
        assert_eq!(bytes[0], 0x80);
        assert_eq!(
            parse(&bytes, 9).map(|report| (report.of_ours, report.bye)),
            Ok((None, false))
        );
    }

    #[test]
    fn broken_compounds_are_refused() {
        let good = write(&sent(), Some((reception(), LastReport::default())), "x", false);
        for length in [1, 3, 5, 27, 51] {
            assert_eq!(parse(&good[..length], 9), Err(DropReason::BadRtcp), "{length} bytes");
        }
        let more_blocks_than_body = [&[0x9F], &good[1..]].concat();
        assert_eq!(parse(&more_blocks_than_body, 9), Err(DropReason::BadRtcp));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), ssrc: u32) {
            let _ = parse(&bytes, ssrc);
        }
    }
}
