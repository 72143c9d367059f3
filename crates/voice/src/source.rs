//! Which address a call listens to, and where it sends (symmetric RTP).
//!
//! The far end's SDP says where to send. Behind a NAT its packets come from elsewhere, so the first valid packet decides;
//! after that nobody else is heard. The address of the SDP outranks a guess, and a source that fell silent may be replaced
//! by one that proves itself with several packets in a row.

use carillon_media::rtp::RtpPacket;
use std::net::SocketAddr;

/// How long the known source must be silent before another may take over, in microseconds.
const SILENT_BEFORE_MOVE_US: u64 = 400_000;
/// How many packets in a row prove a new source.
const PACKETS_BEFORE_MOVE: u8 = 5;

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Refuse,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    from: SocketAddr,
    ssrc: u32,
    next: u16,
    packets: u8,
}

/// The sources of one call.
#[derive(Clone, Debug, Default)]
pub(crate) struct SourceGuard {
    /// From the far end's SDP.
    told: Option<SocketAddr>,
    /// Where accepted packets come from.
    heard: Option<SocketAddr>,
    heard_at_us: u64,
    candidate: Option<Candidate>,
}

impl SourceGuard {
    /// A new SDP. An address that differs from the last one starts afresh; an address of zeros (a hold) changes nothing.
    pub(crate) fn tell(&mut self, address: SocketAddr) {
        if address.ip().is_unspecified() || self.told == Some(address) {
            return;
        }
        *self = Self {
            told: Some(address),
            ..Self::default()
        };
    }

    /// Where packets go.
    pub(crate) fn target(&self) -> Option<SocketAddr> {
        self.heard.or(self.told)
    }

    /// Judges a packet that is valid otherwise.
    pub(crate) fn judge(&mut self, now_us: u64, from: SocketAddr, packet: &RtpPacket<'_>) -> Verdict {
        let known = self.heard.is_none_or(|heard| heard == from) || self.told == Some(from);
        if known || self.proves_itself(now_us, from, packet) {
            self.heard = Some(from);
            self.heard_at_us = now_us;
            self.candidate = None;
            return Verdict::Accept;
        }
        Verdict::Refuse
    }

    fn proves_itself(&mut self, now_us: u64, from: SocketAddr, packet: &RtpPacket<'_>) -> bool {
        if now_us.saturating_sub(self.heard_at_us) < SILENT_BEFORE_MOVE_US {
            self.candidate = None;
            return false;
        }
        let next = packet.sequence.wrapping_add(1);
        let goes_on = self.candidate.filter(|candidate| {
            candidate.from == from && candidate.ssrc == packet.ssrc && candidate.next == packet.sequence
        });
        let packets = goes_on.map_or(1, |candidate| candidate.packets + 1);
        self.candidate = Some(Candidate {
            from,
            ssrc: packet.ssrc,
            next,
            packets,
        });
        packets >= PACKETS_BEFORE_MOVE
    }

    /// Whether RTCP from this address is listened to: the host that sound comes from or goes to.
    pub(crate) fn is_same_host(&self, from: SocketAddr) -> bool {
        self.heard
            .or(self.told)
            .is_some_and(|address| address.ip() == from.ip())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 4_000))
    }

    fn packet(sequence: u16) -> RtpPacket<'static> {
        RtpPacket {
            payload_type: 0,
            marker: false,
            sequence,
            timestamp: 0,
            ssrc: 1,
            payload: &[1],
        }
    }

    /// Feeds `(milliseconds, host, sequence)` and says which were accepted, as `y` and `n`.
    fn accepted(guard: &mut SourceGuard, packets: &[(u64, u8, u16)]) -> String {
        let judge = |(ms, host, sequence): &(u64, u8, u16)| {
            let verdict = guard.judge(ms * 1_000, address(*host), &packet(*sequence));
            if verdict == Verdict::Accept { 'y' } else { 'n' }
        };
        packets.iter().map(judge).collect()
    }

    #[test]
    fn sources_are_accepted_and_refused() {
        // what, (milliseconds, host, sequence), accepted, host that we send to afterwards. The SDP says host 1.
        let rows: [(&str, &[(u64, u8, u16)], &str, u8); 8] = [
            ("nobody yet", &[], "", 1),
            ("as told", &[(0, 1, 1), (20, 1, 2)], "yy", 1),
            ("behind a NAT", &[(0, 2, 1), (20, 2, 2)], "yy", 2),
            (
                "a stranger",
                &[(0, 1, 1), (10, 3, 9), (20, 1, 2), (30, 3, 10)],
                "ynyn",
                1,
            ),
            ("a stranger was first", &[(0, 3, 1), (20, 1, 1), (40, 3, 2)], "yyn", 1),
            (
                "the source moves",
                &[
                    (0, 1, 1),
                    (600, 2, 5),
                    (620, 2, 6),
                    (640, 2, 7),
                    (660, 2, 8),
                    (680, 2, 9),
                    (700, 2, 10),
                ],
                "ynnnnyy",
                2,
            ),
            (
                "a stranger during silence, not in a row",
                &[
                    (0, 1, 1),
                    (600, 2, 5),
                    (620, 2, 7),
                    (640, 2, 8),
                    (660, 2, 20),
                    (680, 2, 21),
                    (700, 2, 30),
                ],
                "ynnnnnn",
                1,
            ),
            (
                "the old source comes back in time",
                &[
                    (0, 1, 1),
                    (600, 2, 5),
                    (620, 2, 6),
                    (630, 1, 2),
                    (640, 2, 7),
                    (660, 2, 8),
                    (680, 2, 9),
                ],
                "ynnynnn",
                1,
            ),
        ];
        for (what, packets, expected, target) in rows {
            let mut guard = SourceGuard::default();
            guard.tell(address(1));
            assert_eq!(accepted(&mut guard, packets), expected, "{what}");
            assert_eq!(guard.target(), Some(address(target)), "{what}");
        }
    }

    #[test]
    fn a_new_sdp_moves_the_call_and_a_hold_does_not() {
        let mut guard = SourceGuard::default();
        guard.tell(address(1));
        accepted(&mut guard, &[(0, 2, 1)]);
        guard.tell(SocketAddr::from(([0, 0, 0, 0], 4_000)));
        guard.tell(address(1));
        assert_eq!(guard.target(), Some(address(2)));
        guard.tell(address(7));
        assert_eq!(guard.target(), Some(address(7)));
        assert_eq!(accepted(&mut guard, &[(20, 7, 1), (40, 2, 2)]), "yn");
    }
}
