//! Properties of any call, however it goes.

use super::*;
use proptest::prelude::*;

const SENTENCES: [&str; 16] = [
    "",
    "hello",
    "yes who is this",
    "he is not available",
    "please leave a message",
    "at the tone",
    "you have reached the voicemail of",
    "the mailbox is full",
    "press one for sales press two for service",
    "state your name and why you are calling",
    "i will see if they are available",
    "the number you have dialed is not in service",
    "your call is important to us",
    "hold on",
    "get back to you as soon as possible",
    "nothing of the kind",
];

fn any_tone() -> impl Strategy<Value = Tone> {
    prop_oneof![
        4 => (400_u16..2_000, 100_u16..1_500).prop_map(|(hertz, length_ms)| Tone::Beep { hertz, length_ms }),
        1 => Just(Tone::FaxCalling),
        1 => Just(Tone::FaxAnswering),
        1 => Just(Tone::SpecialInformation),
        1 => Just(Tone::Ringback),
        1 => Just(Tone::Busy),
    ]
}

fn any_signal() -> impl Strategy<Value = Signal> {
    prop_oneof![
        3 => (0_u64..60_000).prop_map(|since_ms| Signal::VoiceBegan { since_ms }),
        3 => (0_u64..60_000).prop_map(|since_ms| Signal::VoiceEnded { since_ms }),
        3 => (0..SENTENCES.len(), any::<bool>()).prop_map(|(index, is_final)| Signal::Words {
            text: SENTENCES[index].to_owned(),
            is_final,
        }),
        1 => any_tone().prop_map(Signal::Tone),
        2 => Just(Signal::WeBegan),
        2 => Just(Signal::WeEnded),
        4 => Just(Signal::Tick),
    ]
}

fn any_reaction() -> impl Strategy<Value = Reaction> {
    prop_oneof![
        Just(Reaction::Continue),
        Just(Reaction::HangUp),
        Just(Reaction::LeaveMessage),
        Just(Reaction::Announce),
        Just(Reaction::Press {
            key: Digit::parse('1').unwrap()
        }),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    (
        any_reaction(),
        any_reaction(),
        any_reaction(),
        any_reaction(),
        any::<bool>(),
    )
        .prop_map(|(voicemail, screening, menu, silence, at_once)| Policy {
            voicemail,
            screening,
            menu,
            silence,
            speak_first: if at_once {
                SpeakFirst::AtOnce
            } else {
                SpeakFirst::AfterGreeting
            },
            ..Policy::default()
        })
}

/// A turn of ours and an answer of a person: `(we talk, pause, they talk)` in milliseconds.
fn any_exchange() -> impl Strategy<Value = (u64, u64, u64)> {
    (800_u64..6_000, 100_u64..3_000, 300_u64..6_000)
}

proptest! {
    #[test]
    fn there_is_a_verdict_by_the_deadline(
        policy in any_policy(),
        signals in proptest::collection::vec((0_u64..900, any_signal()), 0..60),
    ) {
        let mut detector = Detector::new(policy.clone());
        let mut now = 0;
        let mut pressed_at = 0;
        let mut over = false;
        let mut feed = |at_ms: u64, signal: Signal, detector: &mut Detector| {
            for advice in detector.handle(at_ms, signal) {
                over |= advice == Advice::HangUp;
                if matches!(advice, Advice::Press(_)) {
                    pressed_at = at_ms;
                }
            }
            (pressed_at, over)
        };
        for (step, signal) in signals {
            now += step;
            let (pressed_at, over) = feed(now, signal, &mut detector);
            let late = now >= pressed_at + policy.decide_by_ms;
            prop_assert!(!late || over || detector.evidence().is_some(), "{now}");
        }
        // A key pressed at a menu starts the time again, three times at most.
        let mut told = feed(now, Signal::Tick, &mut detector);
        for _ in 0..5 {
            told = feed(now.max(told.0 + policy.decide_by_ms), Signal::Tick, &mut detector);
        }
        let (_, over) = told;
        prop_assert!(over || detector.evidence().is_some());
    }

    #[test]
    fn nothing_is_advised_after_the_hang_up(
        policy in any_policy(),
        signals in proptest::collection::vec((0_u64..3_000, any_signal()), 0..80),
    ) {
        let mut detector = Detector::new(policy);
        let (mut now, mut over) = (0, false);
        for (step, signal) in signals {
            now += step;
            for advice in detector.handle(now, signal) {
                prop_assert!(!over, "{advice:?}");
                over = advice == Advice::HangUp;
            }
            prop_assert!(!over || detector.wake_at_ms().is_none());
        }
    }

    /// Two exchanges make a person of anybody, whatever comes after: words of a mailbox, tones, silence.
    #[test]
    fn a_dialogue_is_never_taken_for_a_machine(
        hello in 200_u64..2_000,
        exchanges in proptest::collection::vec(any_exchange(), 2..5),
        after in proptest::collection::vec((0_u64..3_000, any_signal()), 0..60),
    ) {
        let mut detector = Detector::new(Policy {
            voicemail: Reaction::HangUp,
            ..Policy::default()
        });
        let mut now = 500;
        let far = |detector: &mut Detector, now: &mut u64, length: u64| {
            detector.handle(*now + 80, Signal::VoiceBegan { since_ms: *now });
            *now += length;
            detector.handle(*now + 300, Signal::VoiceEnded { since_ms: *now });
            *now += 700;
            detector.handle(*now, Signal::Tick);
        };
        far(&mut detector, &mut now, hello);
        for (we, pause, they) in exchanges {
            detector.handle(now, Signal::WeBegan);
            now += we;
            detector.handle(now, Signal::WeEnded);
            now += pause;
            far(&mut detector, &mut now, they);
        }
        prop_assert_eq!(detector.evidence().map(|evidence| evidence.class), Some(Class::Human));
        for (step, signal) in after {
            now += step;
            let advice = detector.handle(now, signal);
            prop_assert!(!advice.contains(&Advice::HangUp), "{:?}", detector.evidence());
            prop_assert_eq!(detector.evidence().map(|evidence| evidence.class), Some(Class::Human));
        }
    }
}
