//! The table itself.

use super::{Behaviour, Expected, Step, Talked};
use crate::phrases::Phrase;
use carillon_domain::call::Outcome;
use carillon_domain::record::RecordStatus;

use Step as S;

const ANSWER: Step = S::Answer { mute: false };
const DECIDE: Step = S::Wait(20, 120);
const RING: Step = S::Ring(180);
const PICK_UP: Step = S::Wait(300, 900);
/// What somebody polite says to whatever is said.
const POLITE: Step = S::Talk(&[
    Phrase::Fine,
    Phrase::Yes,
    Phrase::ThatIsAll,
    Phrase::Thanks,
    Phrase::Thanks,
]);
/// How long a far end waits for the caller to say something before it speaks anyway.
const PATIENCE_MS: u32 = 6_000;

const fn reject(code: u16) -> Step {
    S::Reject {
        code,
        retry_after_s: None,
    }
}

const fn expect(outcome: Outcome, status: RecordStatus, code: u16) -> Expected {
    Expected { outcome, status, code }
}

const HEARD_OUT: Expected = expect(Outcome::AgentHungUp, RecordStatus::Completed, 200);
const LOST: Expected = expect(Outcome::Dropped, RecordStatus::Completed, 200);

const fn failed(outcome: Outcome, code: u16) -> Expected {
    expect(outcome, RecordStatus::Failed, code)
}

const fn talked(outcome: Outcome, status: RecordStatus, result: Option<&'static str>) -> Option<Talked> {
    Some(Talked {
        outcome,
        status,
        result,
    })
}

const CONFIRMED: Option<Talked> = talked(Outcome::AgentHungUp, RecordStatus::Completed, Some("confirmed"));
const MACHINE: Option<Talked> = talked(Outcome::Voicemail, RecordStatus::Failed, None);

/// Every behaviour, by digits.
pub static BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        digits: "0001",
        name: "converses",
        description: "Answers, says hello and converses politely until the caller hangs up. So does any number that is \
                      not in this table.",
        expected: HEARD_OUT,
        conversation: CONFIRMED,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Wait(300, 600),
            S::Say(Phrase::Greeting),
            POLITE,
        ],
    },
    Behaviour {
        digits: "0002",
        name: "hangs_up",
        description: "Answers, and hangs up after 3 seconds.",
        expected: expect(Outcome::CalleeHungUp, RecordStatus::Completed, 200),
        conversation: talked(Outcome::CalleeHungUp, RecordStatus::Completed, None),
        steps: &[DECIDE, RING, PICK_UP, ANSWER, S::Wait(3_000, 3_000), S::HangUp],
    },
    Behaviour {
        digits: "0003",
        name: "hangs_up_at_once",
        description: "Answers, and hangs up at once.",
        expected: expect(Outcome::CalleeHungUp, RecordStatus::Completed, 200),
        conversation: None,
        steps: &[DECIDE, RING, PICK_UP, ANSWER, S::HangUp],
    },
    Behaviour {
        digits: "0004",
        name: "slow_answer",
        description: "Rings for 4 seconds, then answers and converses.",
        expected: HEARD_OUT,
        conversation: CONFIRMED,
        steps: &[
            DECIDE,
            RING,
            S::Wait(4_000, 4_000),
            ANSWER,
            S::Wait(300, 600),
            S::Say(Phrase::Greeting),
            POLITE,
        ],
    },
    Behaviour {
        digits: "0005",
        name: "answers_without_ringing",
        description: "Answers with 200 and nothing before it, then converses.",
        expected: HEARD_OUT,
        conversation: CONFIRMED,
        steps: &[DECIDE, ANSWER, S::Wait(300, 600), S::Say(Phrase::Greeting), POLITE],
    },
    Behaviour {
        digits: "0011",
        name: "presses_1",
        description: "Answers, and presses 1 (RFC 4733) after about a second and a half.",
        expected: HEARD_OUT,
        conversation: None,
        steps: &[DECIDE, RING, PICK_UP, ANSWER, S::Wait(1_400, 1_600), S::Press('1')],
    },
    Behaviour {
        digits: "0019",
        name: "presses_9",
        description: "Answers, and presses 9 (RFC 4733) after about a second and a half.",
        expected: expect(Outcome::AgentHungUp, RecordStatus::Dnc, 200),
        conversation: None,
        steps: &[DECIDE, RING, PICK_UP, ANSWER, S::Wait(1_400, 1_600), S::Press('9')],
    },
    Behaviour {
        digits: "0021",
        name: "presses_1_by_info",
        description: "Answers, and presses 1 by SIP INFO after about a second and a half.",
        expected: HEARD_OUT,
        conversation: None,
        steps: &[DECIDE, RING, PICK_UP, ANSWER, S::Wait(1_400, 1_600), S::PressInfo('1')],
    },
    Behaviour {
        digits: "0180",
        name: "rings_out",
        description: "Rings, and is never answered.",
        expected: failed(Outcome::NoAnswer, 487),
        conversation: None,
        steps: &[DECIDE, RING],
    },
    Behaviour {
        digits: "0183",
        name: "early_media",
        description: "183 with a ringback tone before the answer, then answers and converses.",
        expected: HEARD_OUT,
        conversation: CONFIRMED,
        steps: &[
            DECIDE,
            S::EarlyMedia(Phrase::Ringback),
            S::Wait(1_500, 1_500),
            ANSWER,
            S::Say(Phrase::Greeting),
            POLITE,
        ],
    },
    Behaviour {
        digits: "0186",
        name: "busy_after_ringing",
        description: "Rings for a second, then 486 Busy Here.",
        expected: failed(Outcome::Busy, 486),
        conversation: None,
        steps: &[DECIDE, RING, S::Wait(900, 1_100), reject(486)],
    },
    Behaviour {
        digits: "0188",
        name: "unavailable_after_ringing",
        description: "Rings for a second and a half, then 480 Temporarily Unavailable.",
        expected: failed(Outcome::NoAnswer, 480),
        conversation: None,
        steps: &[DECIDE, RING, S::Wait(1_400, 1_600), reject(480)],
    },
    Behaviour {
        digits: "0201",
        name: "says_yes",
        description: "Answers, and says \"yes, please\" at the caller's first pause.",
        expected: HEARD_OUT,
        conversation: CONFIRMED,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Talk(&[Phrase::Yes, Phrase::Yes, Phrase::ThatIsAll, Phrase::Thanks]),
        ],
    },
    Behaviour {
        digits: "0202",
        name: "says_no",
        description: "Answers, and says \"no, thank you\" at the caller's first pause.",
        expected: HEARD_OUT,
        conversation: talked(Outcome::AgentHungUp, RecordStatus::Completed, Some("declined")),
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Talk(&[Phrase::No, Phrase::No, Phrase::ThatIsAll, Phrase::Thanks]),
        ],
    },
    Behaviour {
        digits: "0203",
        name: "asks_to_be_called_later",
        description: "Answers, and asks at the caller's first pause to be called tomorrow at ten.",
        expected: HEARD_OUT,
        conversation: talked(Outcome::AgentHungUp, RecordStatus::Rescheduled, Some("call_back")),
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Talk(&[Phrase::CallLater, Phrase::Yes, Phrase::Thanks]),
        ],
    },
    Behaviour {
        digits: "0204",
        name: "says_do_not_call",
        description: "Answers, and says \"please do not call me again\" at the caller's first pause.",
        expected: HEARD_OUT,
        conversation: talked(Outcome::AgentHungUp, RecordStatus::Dnc, Some("do_not_call")),
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Talk(&[Phrase::DoNotCall, Phrase::Yes, Phrase::Thanks]),
        ],
    },
    Behaviour {
        digits: "0205",
        name: "says_digits",
        description: "Answers, and says the digits 4 7 1 9 at the caller's first pause.",
        expected: HEARD_OUT,
        conversation: CONFIRMED,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Talk(&[Phrase::Digits, Phrase::Yes, Phrase::Thanks]),
        ],
    },
    Behaviour {
        digits: "0206",
        name: "interrupts",
        description: "Answers, and speaks over the caller's first sentence.",
        expected: HEARD_OUT,
        conversation: CONFIRMED,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::HearSpeech(PATIENCE_MS),
            S::Wait(900, 1_300),
            S::Say(Phrase::Interruption),
            S::Talk(&[Phrase::Yes, Phrase::Yes, Phrase::Thanks]),
        ],
    },
    Behaviour {
        digits: "0207",
        name: "hums",
        description: "Answers, and hums \"mhm\" while the caller speaks and at the first pause.",
        expected: HEARD_OUT,
        conversation: CONFIRMED,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::HearSpeech(PATIENCE_MS),
            S::Wait(1_000, 1_500),
            S::Say(Phrase::Hum),
            S::Talk(&[Phrase::Hum, Phrase::Yes, Phrase::Yes, Phrase::Thanks]),
        ],
    },
    Behaviour {
        digits: "0208",
        name: "stays_silent",
        description: "Answers, and sends silence until the caller hangs up.",
        expected: HEARD_OUT,
        conversation: talked(Outcome::AgentHungUp, RecordStatus::Completed, Some("no_answer")),
        steps: &[DECIDE, RING, PICK_UP, ANSWER],
    },
    Behaviour {
        digits: "0209",
        name: "talks_over_noise",
        description: "Answers, and converses with a noisy street behind its words.",
        expected: HEARD_OUT,
        conversation: CONFIRMED,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Say(Phrase::NoisyTalk),
            S::Talk(&[Phrase::NoisyYes, Phrase::NoisyYes, Phrase::NoisyYes]),
        ],
    },
    Behaviour {
        digits: "0301",
        name: "voicemail_with_beep",
        description: "A voicemail greeting, a beep of 1,000 Hz, then silence.",
        expected: HEARD_OUT,
        conversation: MACHINE,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Wait(200, 500),
            S::Say(Phrase::VoicemailGreeting),
            S::Wait(300, 500),
            S::Say(Phrase::Beep),
        ],
    },
    Behaviour {
        digits: "0302",
        name: "voicemail_without_beep",
        description: "A voicemail greeting, then silence.",
        expected: HEARD_OUT,
        conversation: MACHINE,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Wait(200, 500),
            S::Say(Phrase::VoicemailGreeting),
        ],
    },
    Behaviour {
        digits: "0303",
        name: "call_screening",
        description: "An assistant asks who is calling and why, listens to the answer and says that it asks; then somebody takes the call.",
        expected: HEARD_OUT,
        conversation: CONFIRMED,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Wait(200, 500),
            S::Say(Phrase::CallScreening),
            S::HearPause(15_000),
            S::Say(Phrase::CallScreeningThanks),
            S::Wait(2_000, 3_000),
            S::Say(Phrase::Greeting),
            POLITE,
        ],
    },
    Behaviour {
        digits: "0304",
        name: "ivr_menu",
        description: "A menu of three keys, twice.",
        expected: HEARD_OUT,
        conversation: None,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Wait(200, 500),
            S::Say(Phrase::Menu),
            S::Wait(4_000, 4_000),
            S::Say(Phrase::Menu),
        ],
    },
    Behaviour {
        digits: "0401",
        name: "asks_for_credentials",
        description: "401 with a digest challenge (user `sandbox`, password `sandbox`), then answers and converses.",
        expected: HEARD_OUT,
        conversation: None,
        steps: &[
            S::Challenge { proxy: false },
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Say(Phrase::Greeting),
            POLITE,
        ],
    },
    Behaviour {
        digits: "0404",
        name: "not_found",
        description: "404 Not Found at once.",
        expected: failed(Outcome::InvalidNumber, 404),
        conversation: None,
        steps: &[DECIDE, reject(404)],
    },
    Behaviour {
        digits: "0407",
        name: "proxy_asks_for_credentials",
        description: "407 with a digest challenge (user `sandbox`, password `sandbox`), then answers and converses.",
        expected: HEARD_OUT,
        conversation: None,
        steps: &[
            S::Challenge { proxy: true },
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Say(Phrase::Greeting),
            POLITE,
        ],
    },
    Behaviour {
        digits: "0480",
        name: "unavailable",
        description: "480 Temporarily Unavailable at once.",
        expected: failed(Outcome::NotConnected, 480),
        conversation: None,
        steps: &[DECIDE, reject(480)],
    },
    Behaviour {
        digits: "0486",
        name: "busy",
        description: "486 Busy Here at once.",
        expected: failed(Outcome::Busy, 486),
        conversation: None,
        steps: &[DECIDE, reject(486)],
    },
    Behaviour {
        digits: "0488",
        name: "not_acceptable",
        description: "488 Not Acceptable Here at once.",
        expected: failed(Outcome::NotConnected, 488),
        conversation: None,
        steps: &[DECIDE, reject(488)],
    },
    Behaviour {
        digits: "0500",
        name: "server_error",
        description: "500 Server Internal Error at once.",
        expected: failed(Outcome::NotConnected, 500),
        conversation: None,
        steps: &[DECIDE, reject(500)],
    },
    Behaviour {
        digits: "0503",
        name: "overloaded",
        description: "503 Service Unavailable with `Retry-After: 2` at once.",
        expected: failed(Outcome::NotConnected, 503),
        conversation: None,
        steps: &[
            DECIDE,
            S::Reject {
                code: 503,
                retry_after_s: Some(2),
            },
        ],
    },
    Behaviour {
        digits: "0603",
        name: "declined",
        description: "Rings for a second, then 603 Decline.",
        expected: failed(Outcome::Declined, 603),
        conversation: None,
        steps: &[DECIDE, RING, S::Wait(900, 1_100), reject(603)],
    },
    Behaviour {
        digits: "0701",
        name: "one_way_audio",
        description: "Answers, and never sends RTP.",
        expected: LOST,
        conversation: None,
        steps: &[DECIDE, RING, PICK_UP, S::Answer { mute: true }],
    },
    Behaviour {
        digits: "0702",
        name: "sound_stops",
        description: "Answers, speaks, and sends no more RTP after 2 seconds; no BYE.",
        expected: LOST,
        conversation: None,
        steps: &[DECIDE, RING, PICK_UP, ANSWER, S::Wait(2_000, 2_000), S::StopSending],
    },
    Behaviour {
        digits: "0703",
        name: "bad_line",
        description: "Answers and converses, with 5 % of its packets lost and the rest up to 60 ms late.",
        expected: HEARD_OUT,
        conversation: CONFIRMED,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Impair {
                loss_percent: 5,
                jitter_ms: 60,
            },
            S::Say(Phrase::Greeting),
            POLITE,
            POLITE,
        ],
    },
    Behaviour {
        digits: "0704",
        name: "vanishes",
        description: "Answers, and after half a second there is nothing any more: no RTP, no BYE, no response to one.",
        expected: LOST,
        conversation: None,
        steps: &[DECIDE, RING, PICK_UP, ANSWER, S::Wait(500, 500), S::Vanish],
    },
    Behaviour {
        digits: "0711",
        name: "holds",
        description: "Answers, puts the caller on hold by re-INVITE for 2 seconds, then comes back.",
        expected: HEARD_OUT,
        conversation: CONFIRMED,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Wait(900, 1_100),
            S::Hold,
            S::Wait(2_000, 2_000),
            S::Resume,
            S::Say(Phrase::Greeting),
            POLITE,
        ],
    },
    Behaviour {
        digits: "0712",
        name: "moves",
        description: "Answers, and moves its sound to another port by re-INVITE.",
        expected: HEARD_OUT,
        conversation: CONFIRMED,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Wait(900, 1_100),
            S::Move,
            S::Say(Phrase::Greeting),
            POLITE,
        ],
    },
];
