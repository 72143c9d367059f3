//! What holds for every conversation: whatever comes in, however late, wrong or never, time alone ends the call, and nobody is left
//! in silence.

use super::super::*;
use super::stage::{STEP_MS, Stage, plain_settings};
use crate::conversation::{FirstSpeaker, TurnSettings};
use crate::script::Digit;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Event {
    Voice,
    Still,
    Frame(f32),
    Partial(u32, &'static str),
    Final(u32, &'static str),
    Failed(u32),
    Judge(u32, f32),
    Key(char),
    Thinking,
    Says(u32, bool, u8),
    Made(u32, u64, bool),
    SpeechFailed(u32),
    PlaybackAt(u32, u64),
    Finished(u32),
    Expect(u8),
    Wait(u64),
}

const SAID: [&str; 12] = [
    "",
    "mhm",
    "yes",
    "No.",
    "wait",
    "I want",
    "and",
    "one two three four",
    "hello",
    "bye",
    "when do you open",
    "...",
];

fn any_event() -> impl Strategy<Value = Event> {
    let number = || 0_u32..8;
    let said = || proptest::sample::select(&SAID[..]);
    prop_oneof![
        3 => Just(Event::Voice),
        3 => Just(Event::Still),
        2 => prop_oneof![Just(0.9_f32), Just(0.1), Just(f32::NAN)].prop_map(Event::Frame),
        2 => (number(), said()).prop_map(|(n, text)| Event::Partial(n, text)),
        4 => (number(), said()).prop_map(|(n, text)| Event::Final(n, text)),
        1 => number().prop_map(Event::Failed),
        1 => (number(), -1.0_f32..2.0).prop_map(|(n, p)| Event::Judge(n, p)),
        1 => proptest::sample::select(&['1', '#', '*'][..]).prop_map(Event::Key),
        1 => Just(Event::Thinking),
        3 => (number(), any::<bool>(), 0_u8..4).prop_map(|(n, i, e)| Event::Says(n, i, e)),
        2 => (number(), 0_u64..40_000, any::<bool>()).prop_map(|(n, s, c)| Event::Made(n, s, c)),
        1 => number().prop_map(Event::SpeechFailed),
        2 => (number(), 0_u64..40_000).prop_map(|(n, s)| Event::PlaybackAt(n, s)),
        2 => number().prop_map(Event::Finished),
        1 => (0_u8..4).prop_map(Event::Expect),
        6 => prop_oneof![Just(20_u64), Just(200), Just(1_000), 0_u64..8_000].prop_map(Event::Wait),
    ]
}

fn any_settings() -> impl Strategy<Value = TurnSettings> {
    (0_u8..3, any::<bool>(), 20_000_u64..90_000, 0_u8..3).prop_map(|(first, has_judge, call_max_ms, reprompts)| {
        let mut settings = TurnSettings {
            first_speaker: match first {
                0 => FirstSpeaker::AgentAtOnce,
                1 => FirstSpeaker::default(),
                _ => FirstSpeaker::Callee { silence_ms: 4_000 },
            },
            ..TurnSettings::default()
        };
        settings.end_of_turn.has_judge = has_judge;
        settings.limits.call_max_ms = call_max_ms;
        settings.silence.reprompts = reprompts;
        settings
    })
}

fn input(event: &Event) -> Option<TurnInput> {
    Some(match event {
        Event::Voice => TurnInput::VoiceStarted,
        Event::Still => TurnInput::VoiceStopped,
        Event::Frame(probability) => TurnInput::Frame {
            voice_probability: *probability,
            loudness_dbfs: -20.0,
        },
        Event::Partial(utterance, text) => TurnInput::Partial {
            utterance: *utterance,
            text: (*text).into(),
        },
        Event::Final(utterance, text) => TurnInput::Final {
            utterance: *utterance,
            text: (*text).into(),
        },
        Event::Failed(utterance) => TurnInput::HearingFailed { utterance: *utterance },
        Event::Judge(pause, probability) => TurnInput::TurnOver {
            pause: *pause,
            probability: *probability,
        },
        Event::Key(key) => TurnInput::Key(Digit::parse(*key)?),
        Event::Thinking => TurnInput::BrainThinking,
        Event::Says(number, interruptible, end) => TurnInput::BrainSays {
            units: (0..*number % 3)
                .map(|index| Unit {
                    number: number + index,
                    text: "Some words of ours.".into(),
                })
                .collect(),
            interruptible: *interruptible,
            end: match end {
                0 => None,
                1 => Some(SpeechEnd {
                    expect: Expect::YesNo,
                    then: AfterSpeech::Listen,
                }),
                2 => Some(SpeechEnd {
                    expect: Expect::Open,
                    then: AfterSpeech::Listen,
                }),
                _ => Some(SpeechEnd {
                    expect: Expect::Nothing,
                    then: AfterSpeech::HangUp,
                }),
            },
        },
        Event::Made(unit, samples, complete) => TurnInput::SpeechMade {
            unit: *unit,
            samples: *samples,
            complete: *complete,
        },
        Event::SpeechFailed(unit) => TurnInput::SpeechFailed { unit: *unit },
        Event::PlaybackAt(unit, samples) => TurnInput::PlaybackAt {
            unit: *unit,
            samples: *samples,
        },
        Event::Finished(unit) => TurnInput::PlaybackFinished { unit: *unit },
        Event::Expect(kind) => TurnInput::Expect(match kind {
            0 => Expect::YesNo,
            1 => Expect::Digits {
                at_least: 2,
                at_most: 4,
            },
            2 => Expect::Name,
            _ => Expect::Open,
        }),
        Event::Wait(_) => return None,
    })
}

/// Feeds events; between them time passes and only `WakeAt` wakes the machine. Returns it, and when to wake it next.
struct Alone {
    turns: Turns,
    now: CallMs,
    wake: Option<CallMs>,
    hung_up: Option<CallMs>,
    outputs: usize,
}

impl Alone {
    fn new(settings: TurnSettings) -> Self {
        Self {
            turns: Turns::new(settings, &Language::english()),
            now: CallMs(0),
            wake: None,
            hung_up: None,
            outputs: 0,
        }
    }

    fn give(&mut self, input: TurnInput) {
        for output in self.turns.handle(self.now, input) {
            self.outputs += 1;
            assert!(self.hung_up.is_none(), "{output:?} after the hang-up");
            match output {
                TurnOutput::WakeAt(at) => {
                    assert!(at > self.now, "woken for what is due already: {at:?} at {:?}", self.now);
                    self.wake = Some(at);
                }
                TurnOutput::HangUp(_) => self.hung_up = Some(self.now),
                _ => {}
            }
        }
    }

    /// Until `until`, or until nothing is left to wake for.
    fn wait_until(&mut self, until: CallMs) {
        while let Some(wake) = self.wake.filter(|wake| *wake <= until && self.hung_up.is_none()) {
            self.now = wake;
            self.wake = None;
            self.give(TurnInput::Tick);
        }
        self.now = self.now.max(until);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn from_every_state_time_alone_ends_the_call(
        settings in any_settings(),
        events in proptest::collection::vec(any_event(), 0..60),
    ) {
        let call_max_ms = settings.limits.call_max_ms;
        let mut alone = Alone::new(settings);
        alone.give(TurnInput::Answered);
        for event in &events {
            match (event, input(event)) {
                (Event::Wait(ms), _) => alone.wait_until(alone.now.plus(*ms)),
                (_, Some(input)) => alone.give(input),
                (_, None) => {}
            }
        }
        alone.wait_until(CallMs(call_max_ms + 1));
        let hung_up = alone.hung_up.expect("the call hangs up");
        prop_assert!(hung_up <= CallMs(call_max_ms), "{hung_up:?}");
        prop_assert!(alone.turns.is_over());
        prop_assert!(alone.outputs < 4_000, "{} outputs", alone.outputs);
    }

    #[test]
    fn outputs_keep_their_order_and_the_transcript_its_own(
        settings in any_settings(),
        events in proptest::collection::vec(any_event(), 0..80),
    ) {
        let mut alone = Alone::new(settings);
        let mut open = None;
        let (mut last, mut ducked, mut stopped) = (0, false, false);
        let mut feed = |alone: &mut Alone, input: TurnInput| {
            for output in alone.turns.handle(alone.now, input) {
                match output {
                    TurnOutput::BeginUtterance { utterance, .. } => {
                        assert_eq!(open, None, "one utterance at a time");
                        assert_eq!(utterance, last + 1);
                        (open, last) = (Some(utterance), utterance);
                    }
                    TurnOutput::EndUtterance { utterance } | TurnOutput::DiscardUtterance { utterance } => {
                        assert_eq!(open, Some(utterance), "only an open utterance ends");
                        open = None;
                    }
                    TurnOutput::AskPartial { utterance } => assert_eq!(open, Some(utterance)),
                    TurnOutput::Duck => {
                        assert!(!ducked);
                        ducked = true;
                    }
                    TurnOutput::Unduck => {
                        assert!(ducked);
                        ducked = false;
                    }
                    TurnOutput::StopPlayback => {
                        assert!(!stopped, "stopped twice");
                        stopped = true;
                    }
                    TurnOutput::ResumeFrom { .. } => {
                        assert!(stopped, "resumed without a stop");
                        stopped = false;
                    }
                    TurnOutput::Interrupted(_) => stopped = false,
                    _ => {}
                }
            }
        };
        feed(&mut alone, TurnInput::Answered);
        for event in &events {
            match (event, input(event)) {
                (Event::Wait(ms), _) => {
                    let until = alone.now.plus(*ms);
                    while alone.now < until {
                        alone.now = alone.now.plus(STEP_MS).min(until);
                        feed(&mut alone, TurnInput::Tick);
                    }
                }
                (_, Some(input)) => feed(&mut alone, input),
                (_, None) => {}
            }
        }
        feed(&mut alone, TurnInput::CallEnded);
        let entries = alone.turns.transcript().entries();
        prop_assert!(entries.windows(2).all(|pair| pair[0].begin_ms <= pair[1].begin_ms));
        for entry in entries {
            prop_assert!(entry.begin_ms <= entry.end_ms && entry.end_ms <= alone.now, "{entry:?} at {:?}", alone.now);
        }
    }
}

/// What fails, from its time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    BrainDead,
    RecogniserDead,
    RecogniserEmpty,
    RecogniserFails,
    NoiseForEver,
    FlickeringNoise,
    MouthDead,
    CalleeSilent,
}

/// With a driver that says something whenever it is asked to, nobody is left in silence longer than the watchdog allows: `limit_ms`
/// and the credit that a voice without words has.
fn longest_silence(fault: Fault, seed: u64) -> (u64, u64) {
    let mut settings = plain_settings();
    settings.limits.call_max_ms = 90_000;
    let mut stage = Stage::new(settings);
    let mut random = Dice(seed);
    let (mut quiet_ms, mut longest_ms) = (0_u64, 0_u64);
    let mut pending: Vec<(u64, TurnInput)> = Vec::new();
    let mut answer_at: Option<u64> = None;
    let mut voice_until: Option<u64> = None;
    let mut outputs = stage.give(TurnInput::Answered);
    stage.mute = fault == Fault::MouthDead;
    loop {
        let mut reply = None;
        for output in outputs.drain(..) {
            match output {
                TurnOutput::HangUp(_) => return (longest_ms, stage.now_ms),
                TurnOutput::EndUtterance { utterance } => match fault {
                    Fault::RecogniserDead => {}
                    Fault::RecogniserFails => {
                        pending.push((stage.now_ms + 200, TurnInput::HearingFailed { utterance }));
                    }
                    _ => {
                        let noise = matches!(
                            fault,
                            Fault::RecogniserEmpty | Fault::NoiseForEver | Fault::FlickeringNoise
                        );
                        let text = if noise {
                            ""
                        } else {
                            random.pick(&["I want a table.", "yes", "and", "mhm"])
                        };
                        let text = text.into();
                        pending.push((stage.now_ms + 200, TurnInput::Final { utterance, text }));
                    }
                },
                TurnOutput::SpeakFirst { .. }
                | TurnOutput::TurnIs(_)
                | TurnOutput::Reprompt { .. }
                | TurnOutput::GiveUp
                    if fault != Fault::BrainDead =>
                {
                    answer_at = Some(stage.now_ms + random.below(2_500));
                }
                TurnOutput::Nudge(Nudge::Filler) => reply = Some(None),
                TurnOutput::Nudge(_) => {
                    reply = Some(Some(SpeechEnd {
                        expect: Expect::Open,
                        then: AfterSpeech::Listen,
                    }));
                }
                TurnOutput::Interrupted(_) => answer_at = None,
                _ => {}
            }
        }
        if let Some(end) = reply {
            outputs.extend(stage.say(&[("One moment please.", 900)], true, end));
        } else if answer_at.is_some_and(|at| at <= stage.now_ms) {
            answer_at = None;
            let end = SpeechEnd {
                expect: Expect::Open,
                then: AfterSpeech::Listen,
            };
            outputs.extend(stage.say(&[("And what else can I do for you?", 0)], true, Some(end)));
        }
        let speaks = match fault {
            Fault::NoiseForEver => true,
            Fault::FlickeringNoise => stage.now_ms % 1_500 < 700,
            Fault::CalleeSilent | Fault::MouthDead => false,
            _ => {
                if voice_until.is_none() && random.below(200) == 0 {
                    voice_until = Some(stage.now_ms + 100 + random.below(3_000));
                }
                voice_until = voice_until.filter(|until| *until > stage.now_ms);
                voice_until.is_some()
            }
        };
        outputs.extend(stage.give(if speaks {
            TurnInput::VoiceStarted
        } else {
            TurnInput::VoiceStopped
        }));
        let now_ms = stage.now_ms;
        let (due, later): (Vec<_>, Vec<_>) = pending.into_iter().partition(|(at, _)| *at <= now_ms);
        pending = later;
        for (_, input) in due {
            outputs.extend(stage.give(input));
        }
        outputs.extend(stage.step());
        // Noise is no voice to the callee's ear; whoever speaks hears no silence.
        let callee_speaks = speaks && !matches!(fault, Fault::NoiseForEver | Fault::FlickeringNoise);
        quiet_ms = if stage.is_playing() || callee_speaks {
            0
        } else {
            quiet_ms + STEP_MS
        };
        longest_ms = longest_ms.max(quiet_ms);
    }
}

/// A small generator: the same seed, the same conversation.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit.max(1)
    }

    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

#[test]
fn nobody_is_left_in_silence_under_any_fault() {
    let limits = plain_settings();
    let limit_ms = limits.limits.watchdog_ms + limits.silence.voice_credit_ms;
    for fault in [
        Fault::None,
        Fault::BrainDead,
        Fault::RecogniserDead,
        Fault::RecogniserEmpty,
        Fault::RecogniserFails,
        Fault::NoiseForEver,
        Fault::FlickeringNoise,
        Fault::CalleeSilent,
    ] {
        for seed in 1..=6 {
            let (longest_ms, ended_ms) = longest_silence(fault, seed * 0x9e37_79b9);
            assert!(
                longest_ms <= limit_ms + 100,
                "{fault:?} {seed}: {longest_ms} ms of silence"
            );
            assert!(ended_ms <= 90_000, "{fault:?} {seed}: ended at {ended_ms}");
        }
    }
}

#[test]
fn a_call_without_a_voice_is_given_up_early() {
    for seed in 1..=6 {
        let (_, ended_ms) = longest_silence(Fault::MouthDead, seed * 0x9e37_79b9);
        assert!(ended_ms <= 20_000, "{seed}: ended at {ended_ms}");
    }
}
