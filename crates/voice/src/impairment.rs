//! Spoiling what a call sends, on purpose and repeatably: loss and jitter of the sandbox's far ends.

/// Packets that one call may hold back; more leave at once.
const HELD_BACK_MAX: usize = 64;

/// The dice of one call, and the packets that it holds back.
#[derive(Debug)]
pub(crate) struct Impairment {
    loss_per_million: u64,
    jitter_us: u64,
    state: u64,
    held: Vec<(u64, Vec<u8>)>,
}

impl Impairment {
    pub(crate) fn new(loss_percent: f64, jitter_ms: u32, seed: u64) -> Self {
        Self {
            loss_per_million: (loss_percent.clamp(0.0, 100.0) * 10_000.0) as u64,
            jitter_us: u64::from(jitter_ms.min(1_000)) * 1_000,
            // The generator cannot leave zero.
            state: seed.max(1),
            held: Vec::new(),
        }
    }

    /// Whether a packet leaves now. If not, it is lost or held back.
    pub(crate) fn lets_through(&mut self, now_us: u64, datagram: &[u8]) -> bool {
        if self.roll() % 1_000_000 < self.loss_per_million {
            return false;
        }
        if self.jitter_us == 0 || self.held.len() >= HELD_BACK_MAX {
            return true;
        }
        let due_us = now_us + self.roll() % self.jitter_us;
        self.held.push((due_us, datagram.to_vec()));
        false
    }

    /// The packets whose time has come, in the order in which they were held back.
    pub(crate) fn due(&mut self, now_us: u64) -> Vec<Vec<u8>> {
        self.held
            .extract_if(.., |(due_us, _)| *due_us <= now_us)
            .map(|(_, datagram)| datagram)
            .collect()
    }

    /// xorshift64: good enough for dice, and the same on every machine.
    fn roll(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        // The low bits of neighbouring states are alike.
        self.state >> 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn let_through(impairment: &mut Impairment, packets: u64) -> usize {
        (0..packets)
            .filter(|number| impairment.lets_through(number * 20_000, &[1]))
            .count()
    }

    #[test]
    fn the_share_lost_is_as_asked_and_repeats_with_the_seed() {
        for (percent, expected) in [(0.0, 10_000..=10_000), (5.0, 9_400..=9_600), (100.0, 0..=0)] {
            let through = let_through(&mut Impairment::new(percent, 0, 7), 10_000);
            assert!(expected.contains(&through), "{percent} %: {through}");
            assert_eq!(let_through(&mut Impairment::new(percent, 0, 7), 10_000), through);
        }
        let one = let_through(&mut Impairment::new(50.0, 0, 1), 10_000);
        assert_ne!(
            let_through(&mut Impairment::new(50.0, 0, 2), 10_000),
            one,
            "another seed, another run"
        );
    }

    #[test]
    fn held_packets_leave_within_the_jitter() {
        let mut impairment = Impairment::new(0.0, 30, 3);
        for number in 0..20_u8 {
            assert!(!impairment.lets_through(0, &[number]));
        }
        let early = impairment.due(10_000).len();
        assert!((1..20).contains(&early), "{early}");
        assert_eq!(early + impairment.due(30_000).len(), 20);
    }
}
