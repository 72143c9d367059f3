//! Key presses in RTP: telephone events (RFC 4733), received and sent.
//!
//! Every packet of one press carries the timestamp of its start, so a press is told by its timestamp: the marker bit, the
//! first packets or the last may be lost, doubled or out of order. Packets that say nothing new return nothing.

use carillon_domain::script::Digit;

/// The payload type that our own offers give to `telephone-event/8000`.
pub const OFFERED_PAYLOAD_TYPE: u8 = 101;

/// One telephone event payload (RFC 4733 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Event code; 0-15 are keys.
    pub event: u8,
    /// The key was let go.
    pub end: bool,
    /// Loudness, in dBm0 below zero (0-63).
    pub volume: u8,
    /// How long the key has been down, in samples.
    pub duration: u16,
}

impl Event {
    /// Reads the first event of a payload; `None` when it is shorter than four bytes.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [event, flags, high, low] = *payload.first_chunk::<4>()?;
        let duration = u16::from_be_bytes([high, low]);
        Some(Self {
            event,
            end: flags & 0x80 != 0,
            volume: flags & 0x3F,
            duration,
        })
    }

    /// The payload.
    pub fn write(&self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, (u8::from(self.end) << 7) | (self.volume & 0x3F), high, low]
    }
}

/// What an event packet meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A key went down.
    Pressed(Digit),
    /// A key is still down, or its end was repeated.
    Held(Digit),
    /// Not a key (a flash, a modem tone).
    NotAKey,
}

/// How many presses are remembered, so that packets which come late do not press again.
const REMEMBERED: usize = 4;
/// How far the timestamp of a sender that moves it within one press may move, in samples: 100 ms.
const MOVING_TIMESTAMP_MAX: u32 = 800;

#[derive(Clone, Copy, Debug)]
struct Press {
    timestamp: u32,
    event: u8,
    duration: u16,
    ended: bool,
}

/// Recognises key presses of one source.
#[derive(Clone, Debug, Default)]
pub struct KeyReceiver {
    presses: [Option<Press>; REMEMBERED],
    next: usize,
}

impl KeyReceiver {
    /// Forgets all presses: another source, with timestamps of its own.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes one event packet.
    pub fn handle(&mut self, timestamp: u32, marker: bool, event: Event) -> Heard {
        let Some(digit) = Digit::from_event(event.event) else {
            return Heard::NotAKey;
        };
        let press = Press {
            timestamp,
            event: event.event,
            duration: event.duration,
            ended: event.end,
        };
        for known in self.presses.iter_mut().flatten() {
            if known.event == press.event && known.goes_on_with(&press, marker) {
                known.timestamp = press.timestamp;
                known.duration = known.duration.max(press.duration);
                known.ended |= press.ended;
                return Heard::Held(digit);
            }
        }
        self.presses[self.next] = Some(press);
        self.next = (self.next + 1) % REMEMBERED;
        Heard::Pressed(digit)
    }
}

impl Press {
    fn goes_on_with(&self, packet: &Self, marker: bool) -> bool {
        let moved = packet.timestamp.wrapping_sub(self.timestamp);
        if moved == 0 {
            return true;
        }
        if self.ended || marker {
            return false;
        }
        // A press longer than the duration field holds goes on in a new segment (RFC 4733 section 2.5.1.3).
        let next_segment = moved == 0xFFFF || (self.duration == 0xFFFF && moved < 0x1_0000 + MOVING_TIMESTAMP_MAX);
        // Some senders move the timestamp with every packet; then the duration must go on growing.
        let moving = moved <= MOVING_TIMESTAMP_MAX && packet.duration > self.duration;
        next_segment || moving
    }
}

/// How often the end of an event is sent (RFC 4733 section 2.5.1.4).
const END_PACKETS: u8 = 3;
/// Loudness that we send, in dBm0 below zero.
const SENT_VOLUME: u8 = 10;

/// Sends one key press, a packet every 20 ms.
#[derive(Clone, Debug)]
pub struct KeySender {
    digit: Digit,
    timestamp: u32,
    duration: u16,
    hold: u16,
    ends_sent: u8,
}

/// One packet of a press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPacket {
    /// Timestamp of the start of the press.
    pub timestamp: u32,
    /// The first packet of the press.
    pub marker: bool,
    /// The payload.
    pub event: Event,
}

impl KeySender {
    /// A press that starts at `timestamp` and lasts `hold_ms` milliseconds (40 to 8,000).
    pub fn new(digit: Digit, timestamp: u32, hold_ms: u32) -> Self {
        let hold = (hold_ms.clamp(40, 8_000) * 8) as u16;
        Self {
            digit,
            timestamp,
            duration: 0,
            hold,
            ends_sent: 0,
        }
    }
}

impl Iterator for KeySender {
    type Item = KeyPacket;

    fn next(&mut self) -> Option<KeyPacket> {
        if self.ends_sent == END_PACKETS {
            return None;
        }
        let marker = self.duration == 0;
        self.duration = self.duration.saturating_add(crate::FRAME_SAMPLES as u16).min(self.hold);
        let end = self.duration == self.hold && !marker;
        self.ends_sent += u8::from(end);
        let event = Event {
            event: self.digit.event(),
            end,
            volume: SENT_VOLUME,
            duration: self.duration,
        };
        Some(KeyPacket {
            timestamp: self.timestamp,
            marker,
            event,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digit(key: char) -> Digit {
        Digit::parse(key).expect("a key")
    }

    /// Feeds `(timestamp, marker, event, end, duration)` and returns the keys pressed.
    fn keys(packets: &[(u32, bool, u8, bool, u16)]) -> String {
        let mut receiver = KeyReceiver::default();
        let mut pressed = String::new();
        for (timestamp, marker, event, end, duration) in packets {
            let event = Event {
                event: *event,
                end: *end,
                volume: 10,
                duration: *duration,
            };
            if let Heard::Pressed(digit) = receiver.handle(*timestamp, *marker, event) {
                pressed.push(digit.as_char());
            }
        }
        pressed
    }

    #[test]
    fn each_press_counts_once_however_its_packets_arrive() {
        let rows: [(&str, &[(u32, bool, u8, bool, u16)], &str); 11] = [
            (
                "whole",
                &[
                    (0, true, 1, false, 160),
                    (0, false, 1, false, 320),
                    (0, false, 1, true, 480),
                ],
                "1",
            ),
            (
                "marker lost",
                &[(0, false, 1, false, 320), (0, false, 1, true, 480)],
                "1",
            ),
            (
                "only ends",
                &[
                    (0, false, 5, true, 480),
                    (0, false, 5, true, 480),
                    (0, false, 5, true, 480),
                ],
                "5",
            ),
            (
                "doubled start",
                &[(0, true, 1, false, 160), (0, true, 1, false, 160)],
                "1",
            ),
            (
                "end before start",
                &[(0, false, 1, true, 480), (0, true, 1, false, 160)],
                "1",
            ),
            (
                "same key twice",
                &[
                    (0, true, 1, false, 160),
                    (0, false, 1, true, 480),
                    (900, true, 1, true, 480),
                ],
                "11",
            ),
            (
                "same key twice, end and marker lost",
                &[(0, true, 1, false, 480), (900, false, 1, false, 160)],
                "11",
            ),
            (
                "late packet of the key before",
                &[
                    (0, true, 1, true, 480),
                    (900, true, 2, true, 480),
                    (0, false, 1, true, 480),
                ],
                "12",
            ),
            (
                "long press",
                &[
                    (0, true, 1, false, 0xFFFF),
                    (0xFFFF, false, 1, false, 160),
                    (0xFFFF, false, 1, true, 800),
                ],
                "1",
            ),
            (
                "moving timestamp",
                &[
                    (0, true, 3, false, 160),
                    (160, false, 3, false, 320),
                    (320, false, 3, true, 480),
                    (320, false, 3, true, 480),
                ],
                "3",
            ),
            ("flash", &[(0, true, 16, true, 160)], ""),
        ];
        for (what, packets, expected) in rows {
            assert_eq!(keys(packets), expected, "{what}");
        }
    }

    #[test]
    fn every_key_is_sent_and_heard() {
        for key in "0123456789*#ABCD".chars() {
            let mut receiver = KeyReceiver::default();
            let packets: Vec<_> = KeySender::new(digit(key), 8_000, 100).collect();
            assert_eq!(packets.iter().filter(|packet| packet.event.end).count(), 3, "{key}");
            assert_eq!(
                packets.iter().map(|packet| packet.event.duration).max(),
                Some(800),
                "{key}"
            );
            assert!(
                packets[0].marker && packets[1..].iter().all(|packet| !packet.marker),
                "{key}"
            );
            let heard: Vec<_> = packets
                .iter()
                .filter_map(|packet| Event::parse(&packet.event.write()).map(|event| (packet, event)))
                .map(|(packet, event)| receiver.handle(packet.timestamp, packet.marker, event))
                .collect();
            assert_eq!(heard[0], Heard::Pressed(digit(key)));
            assert!(
                heard[1..].iter().all(|heard| *heard == Heard::Held(digit(key))),
                "{key}"
            );
        }
    }

    proptest! {
        #[test]
        fn two_presses_stay_two_under_loss_doubling_and_reordering(
            order in proptest::collection::vec(0_usize..14, 1..60),
        ) {
            let first = KeySender::new(digit('1'), 1_000, 100);
            let second = KeySender::new(digit('1'), 9_000, 100);
            let packets: Vec<_> = first.chain(second).collect();
            let mut receiver = KeyReceiver::default();
            let pressed = order
                .iter()
                .map(|index| packets[*index])
                .filter(|packet| {
                    matches!(receiver.handle(packet.timestamp, packet.marker, packet.event), Heard::Pressed(_))
                })
                .count();
            let sent: std::collections::BTreeSet<_> = order.iter().map(|index| packets[*index].timestamp).collect();
            prop_assert_eq!(pressed, sent.len());
        }

        #[test]
        fn any_payload_is_read_or_refused(payload in proptest::collection::vec(any::<u8>(), 0..9), timestamp: u32) {
            let mut receiver = KeyReceiver::default();
            if let Some(event) = Event::parse(&payload) {
                receiver.handle(timestamp, false, event);
                receiver.handle(timestamp.wrapping_add(3), true, event);
            }
        }
    }
}
