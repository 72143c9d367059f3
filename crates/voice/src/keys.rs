//! One key press heard twice: in RTP and by SIP INFO.

use carillon_domain::script::Digit;

/// How a key press arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyPath {
    /// RFC 4733.
    Rtp,
    /// SIP INFO.
    Info,
}

/// The same key by both paths within this time is one press, in microseconds.
const SAME_PRESS_US: u64 = 150_000;
const REMEMBERED: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Press {
    digit: Digit,
    path: KeyPath,
    last_us: u64,
    /// Already matched by the other path.
    paired: bool,
}

/// Lets each press through once. Each press pairs with at most one of the other path, so that a key pressed twice quickly,
/// and told twice by both paths, still counts twice.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyMerger {
    presses: [Option<Press>; REMEMBERED],
    next: usize,
}

impl KeyMerger {
    /// Whether this press is new.
    pub(crate) fn is_new(&mut self, now_us: u64, path: KeyPath, digit: Digit) -> bool {
        let twin = self.presses.iter_mut().flatten().find(|press| {
            press.digit == digit
                && press.path != path
                && !press.paired
                && now_us.saturating_sub(press.last_us) <= SAME_PRESS_US
        });
        if let Some(twin) = twin {
            twin.paired = true;
            return false;
        }
        self.presses[self.next] = Some(Press {
            digit,
            path,
            last_us: now_us,
            paired: false,
        });
        self.next = (self.next + 1) % REMEMBERED;
        true
    }

    /// The key is still down: an INFO is often sent when it is let go.
    pub(crate) fn still_down(&mut self, now_us: u64, digit: Digit) {
        let latest = (self.next + REMEMBERED - 1) % REMEMBERED;
        if let Some(press) = self.presses[latest].as_mut().filter(|press| press.digit == digit) {
            press.last_us = now_us;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::KeyPath::{Info, Rtp};
    use super::*;

    #[test]
    fn each_press_counts_once_whichever_paths_tell_it() {
        // what, (milliseconds, path, key), keys that count
        let rows: [(&str, &[(u64, KeyPath, char)], &str); 8] = [
            ("one path", &[(0, Rtp, '1'), (50, Rtp, '1')], "11"),
            ("both paths", &[(0, Rtp, '1'), (100, Info, '1')], "1"),
            ("INFO first", &[(0, Info, '1'), (100, Rtp, '1')], "1"),
            ("too far apart", &[(0, Rtp, '1'), (151, Info, '1')], "11"),
            ("different keys", &[(0, Rtp, '1'), (100, Info, '2')], "12"),
            (
                "twice by both",
                &[(0, Rtp, '1'), (60, Rtp, '1'), (90, Info, '1'), (140, Info, '1')],
                "11",
            ),
            ("INFO twice", &[(0, Rtp, '1'), (60, Info, '1'), (90, Info, '1')], "11"),
            (
                "crossing",
                &[(0, Rtp, '1'), (20, Rtp, '2'), (60, Info, '1'), (90, Info, '2')],
                "12",
            ),
        ];
        for (what, told, expected) in rows {
            let mut merger = KeyMerger::default();
            let counted: String = told
                .iter()
                .filter(|(ms, path, key)| merger.is_new(ms * 1_000, *path, Digit::parse(*key).expect("a key")))
                .map(|(_, _, key)| key)
                .collect();
            assert_eq!(counted, expected, "{what}");
        }
    }

    #[test]
    fn an_info_at_the_end_of_a_long_press_is_the_same_press() {
        let mut merger = KeyMerger::default();
        let digit = Digit::parse('5').expect("a key");
        assert!(merger.is_new(0, Rtp, digit));
        merger.still_down(400_000, digit);
        assert!(!merger.is_new(500_000, Info, digit));
    }
}
