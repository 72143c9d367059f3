//! What is counted of the packets of one call, and the packets that a far end sends itself.

/// Above this a packet counts as late.
const LATE_US: i64 = 40_000;

/// The packets that came in one call.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    first_sequence: u64,
    highest_sequence: u64,
    first_timestamp: u32,
    /// The shortest way a packet took, as arrival minus timestamp.
    shortest_us: i64,
    /// When the first one came.
    pub(super) first_at_us: u64,
    /// How many came.
    pub(super) received: u64,
    /// How many came more than 40 ms after their time, measured against the quickest packet of the call so far.
    pub(super) late: u64,
    /// The latest one, in microseconds after its time.
    pub(super) latest_us: u64,
}

impl Heard {
    /// Takes a packet that arrived at `at_us`. False if it is no RTP.
    pub(super) fn take(&mut self, at_us: u64, datagram: &[u8]) -> bool {
        let [first, _, s1, s0, t3, t2, t1, t0, _, _, _, _, ..] = datagram else {
            return false;
        };
        if first >> 6 != 2 {
            return false;
        }
        let sequence = u64::from(u16::from_be_bytes([*s1, *s0]));
        let timestamp = u32::from_be_bytes([*t3, *t2, *t1, *t0]);
        if self.received == 0 {
            *self = Self {
                first_timestamp: timestamp,
                first_at_us: at_us,
                shortest_us: i64::MAX,
                ..Self::default()
            };
            // Packets that overtake the first one stay above zero.
            self.first_sequence = (1 << 16) + sequence;
            self.highest_sequence = self.first_sequence;
        }
        self.received += 1;
        let ahead = (sequence as u16).wrapping_sub(self.highest_sequence as u16) as i16;
        if ahead > 0 {
            self.highest_sequence += ahead as u64;
        }
        // RFC 3550 section 6.4.1's relative transit time; 8,000 timestamps a second.
        let age_us = i64::from(timestamp.wrapping_sub(self.first_timestamp) as i32) * 125;
        let way_us = (at_us as i64).saturating_sub(age_us);
        self.shortest_us = self.shortest_us.min(way_us);
        let after_us = way_us - self.shortest_us;
        self.late += u64::from(after_us > LATE_US);
        self.latest_us = self.latest_us.max(after_us.unsigned_abs());
        true
    }

    /// How many are missing between the first and the highest sequence number.
    pub(super) fn lost(&self) -> u64 {
        let span = if self.received == 0 {
            0
        } else {
            self.highest_sequence - self.first_sequence + 1
        };
        span.saturating_sub(self.received)
    }
}

/// A packet of 20 ms of mu-law noise.
pub(super) fn packet(ssrc: u32, turn: u64) -> [u8; 172] {
    let mut bytes = [0; 172];
    bytes[0] = 0x80;
    bytes[1] = if turn == 0 { 0x80 } else { 0 };
    bytes[2..4].copy_from_slice(&(turn as u16).to_be_bytes());
    bytes[4..8].copy_from_slice(&((turn * 160) as u32).to_be_bytes());
    bytes[8..12].copy_from_slice(&ssrc.to_be_bytes());
    for (place, sample) in bytes[12..].iter_mut().enumerate() {
        // Quiet, and different from packet to packet.
        *sample = 0x70 | ((place as u64 * 7 + turn) as u8 & 0x8f);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_lateness_are_counted() {
        // packets as (turn, arrival in ms), received, lost, late
        let rows: [(&str, Vec<(u64, u64)>, u64, u64, u64); 6] = [
            ("on time", (0..100).map(|turn| (turn, turn * 20)).collect(), 100, 0, 0),
            (
                "over the end of the sequence",
                (65_500..65_600).map(|turn| (turn, turn * 20)).collect(),
                100,
                0,
                0,
            ),
            ("a gap", vec![(0, 0), (1, 20), (4, 80)], 3, 2, 0),
            ("overtaken", vec![(0, 0), (2, 40), (1, 41)], 3, 0, 0),
            ("late", vec![(0, 0), (1, 20), (2, 81), (3, 100), (4, 80)], 5, 0, 1),
            (
                "the first one was late itself",
                vec![(0, 50), (1, 20), (2, 85)],
                3,
                0,
                1,
            ),
        ];
        for (what, packets, received, lost, late) in rows {
            let mut heard = Heard::default();
            for (turn, at_ms) in packets {
                assert!(heard.take(5_000_000_000 + at_ms * 1_000, &packet(9, turn)));
            }
            assert_eq!(
                (heard.received, heard.lost(), heard.late),
                (received, lost, late),
                "{what}"
            );
        }
        assert!(!Heard::default().take(0, &[0x80; 11]) && !Heard::default().take(0, &[0; 172]));
    }
}
