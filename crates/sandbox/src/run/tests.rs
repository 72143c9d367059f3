use super::*;
use crate::behaviour::{BEHAVIOURS, behaviour_of};

const DEADLINE_MS: u64 = 300_000;

/// How the world answers in a test.
#[derive(Clone, Copy, Default)]
struct World {
    authorized: bool,
    /// The caller speaks from and to these times after the INVITE.
    speech_ms: Option<(u64, u64)>,
    /// The caller hangs up at this time.
    hang_up_ms: Option<u64>,
    seed: u64,
}

/// Runs a number on a virtual clock, a phrase taking a second and an offer a tenth, and writes down what it does and
/// when, in milliseconds.
fn transcript(number: &str, world: World) -> Vec<(u64, Output)> {
    let mut run = BehaviourRun::new(behaviour_of(number), world.seed, number, DEADLINE_MS);
    let mut done = Vec::new();
    let (mut wake, mut playback, mut offer) = (None, None, None);
    let mut inputs = vec![Input::Invited {
        authorized: world.authorized,
    }];
    for now_ms in 0..=DEADLINE_MS {
        if world.hang_up_ms == Some(now_ms) {
            inputs.push(Input::Ended);
        }
        if wake == Some(now_ms) {
            inputs.push(Input::Tick);
        }
        if playback == Some(now_ms) {
            inputs.push(Input::PlaybackFinished);
        }
        if offer == Some(now_ms) {
            inputs.push(Input::OfferAnswered);
        }
        if let Some((from, to)) = world.speech_ms
            && now_ms % 100 == 0
        {
            inputs.push(Input::Loudness(if (from..to).contains(&now_ms) { 3_000 } else { 20 }));
        }
        for input in inputs.drain(..) {
            for output in run.handle(now_ms, input) {
                match output {
                    Output::WakeAt(at) => {
                        wake = Some(at);
                        continue;
                    }
                    Output::Play(_) => playback = Some(now_ms + 1_000),
                    Output::Hold | Output::Resume | Output::Move => offer = Some(now_ms + 100),
                    _ => {}
                }
                done.push((now_ms, output));
            }
        }
        if run.waiting == Waiting::Over {
            break;
        }
        assert!(wake.is_none_or(|wake| wake >= now_ms), "a wake in the past");
    }
    done
}

fn outputs(number: &str, world: World) -> Vec<Output> {
    transcript(number, world)
        .into_iter()
        .map(|(_, output)| output)
        .collect()
}

const BEFORE_DEADLINE: World = World {
    authorized: false,
    speech_ms: None,
    hang_up_ms: Some(60_000),
    seed: 1,
};

#[test]
fn behaviours_do_what_they_say() {
    use Output as O;
    let answer = O::Answer { mute: false };
    let greeting = O::Play(Phrase::Greeting);
    let polite = [
        Phrase::Fine,
        Phrase::Yes,
        Phrase::ThatIsAll,
        Phrase::Thanks,
        Phrase::Thanks,
    ]
    .map(O::Play);
    let [fine, yes, that_is_all, thanks, _] = polite;
    let listen = O::ListenForSpeech;
    let reject = |code| O::Reject {
        code,
        retry_after_s: None,
    };
    let rows: &[(&str, &[Output])] = &[
        (
            "0001",
            &[
                O::Ring(180),
                answer,
                greeting,
                listen,
                fine,
                yes,
                that_is_all,
                thanks,
                thanks,
            ],
        ),
        ("0002", &[O::Ring(180), answer, O::HangUp]),
        (
            "0004",
            &[
                O::Ring(180),
                answer,
                greeting,
                listen,
                fine,
                yes,
                that_is_all,
                thanks,
                thanks,
            ],
        ),
        ("0011", &[O::Ring(180), answer, O::Press('1')]),
        ("0021", &[O::Ring(180), answer, O::PressInfo('1')]),
        ("0180", &[O::Ring(180)]),
        (
            "0183",
            &[
                O::EarlyMedia(Phrase::Ringback),
                answer,
                greeting,
                listen,
                fine,
                yes,
                that_is_all,
                thanks,
                thanks,
            ],
        ),
        ("0186", &[O::Ring(180), reject(486)]),
        ("0201", &[O::Ring(180), answer, listen, yes, yes, that_is_all, thanks]),
        ("0401", &[O::Challenge { proxy: false }]),
        ("0407", &[O::Challenge { proxy: true }]),
        ("0486", &[reject(486)]),
        (
            "0503",
            &[O::Reject {
                code: 503,
                retry_after_s: Some(2),
            }],
        ),
        ("0701", &[O::Ring(180), O::Answer { mute: true }]),
        ("0702", &[O::Ring(180), answer, O::StopSending]),
        ("0704", &[O::Ring(180), answer, O::Vanish]),
        (
            "0711",
            &[
                O::Ring(180),
                answer,
                O::Hold,
                O::Resume,
                greeting,
                listen,
                fine,
                yes,
                that_is_all,
                thanks,
                thanks,
            ],
        ),
        (
            "0712",
            &[
                O::Ring(180),
                answer,
                O::Move,
                greeting,
                listen,
                fine,
                yes,
                that_is_all,
                thanks,
                thanks,
            ],
        ),
        (
            "9999",
            &[
                O::Ring(180),
                answer,
                greeting,
                listen,
                fine,
                yes,
                that_is_all,
                thanks,
                thanks,
            ],
        ),
    ];
    for (number, expected) in rows {
        assert_eq!(outputs(number, BEFORE_DEADLINE), *expected, "{number}");
    }
}

#[test]
fn the_right_credentials_pass_the_challenge() {
    let world = World {
        authorized: true,
        ..BEFORE_DEADLINE
    };
    let expected = [
        Output::Ring(180),
        Output::Answer { mute: false },
        Output::Play(Phrase::Greeting),
    ];
    assert_eq!(outputs("0407", world)[..3], expected);
}

/// The time between two outputs of a run.
fn between(transcript: &[(u64, Output)], first: Output, second: Output) -> u64 {
    let at = |wanted| {
        transcript
            .iter()
            .find(|(_, output)| *output == wanted)
            .map(|(at, _)| *at)
    };
    at(second).expect("the second") - at(first).expect("the first")
}

#[test]
fn waits_last_as_long_as_they_say() {
    let answer = Output::Answer { mute: false };
    let rows = [
        ("0002", answer, Output::HangUp, 3_000, 3_000),
        ("0004", Output::Ring(180), answer, 4_000, 4_000),
        ("0011", answer, Output::Press('1'), 1_400, 1_600),
        ("0711", Output::Hold, Output::Resume, 2_100, 2_100),
        ("0702", answer, Output::StopSending, 2_000, 2_000),
    ];
    for (number, first, second, least, most) in rows {
        for seed in 0..20 {
            let took = between(
                &transcript(
                    number,
                    World {
                        seed,
                        ..BEFORE_DEADLINE
                    },
                ),
                first,
                second,
            );
            assert!((least..=most).contains(&took), "{number} with seed {seed}: {took}");
        }
    }
}

#[test]
fn a_phrase_waits_for_the_callers_first_pause() {
    let rows = [
        // when the caller speaks, when the answer comes at the earliest and the latest
        (Some((2_000, 4_000)), 4_700, 4_800),
        (Some((500, 9_000)), 9_700, 9_800),
        (None, 6_300, 7_100),
    ];
    for (speech_ms, least, most) in rows {
        let transcript = transcript(
            "0201",
            World {
                speech_ms,
                ..BEFORE_DEADLINE
            },
        );
        let at = transcript
            .iter()
            .find(|(_, output)| *output == Output::Play(Phrase::Yes))
            .map(|(at, _)| *at);
        assert!(
            at.is_some_and(|at| (least..=most).contains(&at)),
            "{speech_ms:?}: {transcript:?}"
        );
    }
}

#[test]
fn an_interruption_comes_while_the_caller_speaks() {
    let transcript = transcript(
        "0206",
        World {
            speech_ms: Some((2_000, 8_000)),
            ..BEFORE_DEADLINE
        },
    );
    let at = transcript
        .iter()
        .find(|(_, output)| *output == Output::Play(Phrase::Interruption))
        .map(|(at, _)| *at);
    assert!(at.is_some_and(|at| (2_900..3_400).contains(&at)), "{transcript:?}");
}

#[test]
fn the_same_seed_and_number_give_the_same_times_and_others_do_not() {
    let of = |number, seed| {
        transcript(
            number,
            World {
                seed,
                ..BEFORE_DEADLINE
            },
        )
    };
    for behaviour in BEHAVIOURS {
        assert_eq!(of(behaviour.digits, 7), of(behaviour.digits, 7), "{}", behaviour.name);
    }
    assert_ne!(of("0001", 7), of("0001", 8));
    assert_ne!(of("910001", 7), of("920001", 7));
}

#[test]
fn every_call_ends_by_its_deadline() {
    for behaviour in BEHAVIOURS {
        for authorized in [false, true] {
            let world = World {
                authorized,
                ..World::default()
            };
            let last = outputs(behaviour.digits, world).last().copied();
            let ends = matches!(
                last,
                Some(Output::HangUp | Output::Reject { .. } | Output::Challenge { .. } | Output::Vanish)
            );
            assert!(ends, "{}: {last:?}", behaviour.name);
        }
    }
}

#[test]
fn nothing_is_done_after_the_end() {
    for behaviour in BEHAVIOURS {
        let mut run = BehaviourRun::new(behaviour, 1, "0001", DEADLINE_MS);
        run.handle(0, Input::Invited { authorized: true });
        assert_eq!(run.handle(10, Input::Ended), []);
        for input in [
            Input::Tick,
            Input::PlaybackFinished,
            Input::OfferAnswered,
            Input::Loudness(9_999),
            Input::Invited { authorized: true },
        ] {
            assert_eq!(run.handle(DEADLINE_MS + 1, input), [], "{}: {input:?}", behaviour.name);
        }
    }
}
