//! The published table: the last four digits of the called number choose what the far end does.
//!
//! A behaviour is a list of [`Step`]s, played by `crate::run`. What our own side should make of it stands beside it as
//! [`Expected`], for calls of the [`reference`] kind.

use crate::phrases::Phrase;
use carillon_domain::call::Outcome;
use carillon_domain::record::RecordStatus;

/// What one ending of the called number does.
#[derive(Debug)]
pub struct Behaviour {
    /// Last four digits of the called number.
    pub digits: &'static str,
    /// A name of one or more words joined by `_`, unique in the table.
    pub name: &'static str,
    /// One sentence for people.
    pub description: &'static str,
    /// What a [`reference`] call to it ends as.
    pub expected: Expected,
    /// What the far end does, step by step. After the last one it listens until the caller hangs up.
    pub(crate) steps: &'static [Step],
}

/// What a [`reference`] call ends as on the caller's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The call's outcome.
    pub outcome: Outcome,
    /// The record's status after its only attempt.
    pub status: RecordStatus,
    /// The final SIP status of the INVITE.
    pub code: u16,
}

/// The calls for which [`Behaviour::expected`] holds: one attempt over a trunk with the sandbox's credentials.
pub mod reference {
    use carillon_domain::ids::ClipId;
    use carillon_domain::script::{Digit, KeyAction, Script};
    use std::collections::BTreeMap;

    /// Length of the prompt, in milliseconds. Longer is fine.
    pub const PROMPT_MS: u32 = 5_000;
    /// How long a key is waited for after the prompt, in milliseconds.
    pub const KEY_WAIT_MS: u32 = 4_000;
    /// How long it rings, in seconds. Longer is fine, shorter is not.
    pub const RING_TIMEOUT_S: u32 = 8;
    /// How long no RTP may arrive, in milliseconds. Must end before the script does.
    pub const RTP_TIMEOUT_MS: u32 = 3_000;

    /// The script: the prompt once, then a wait. `1` marks `interested = yes`, `9` asks not to be called again.
    pub fn script(prompt: ClipId) -> Script {
        let interested = KeyAction::Mark {
            name: "interested".to_owned(),
            value: "yes".to_owned(),
            clip: None,
        };
        let actions = [('1', interested), ('9', KeyAction::DoNotCall { clip: None })];
        let keys: BTreeMap<_, _> = actions
            .into_iter()
            .filter_map(|(key, action)| Some((Digit::parse(key)?, action)))
            .collect();
        Script::Press1 {
            clip: prompt,
            times: 1,
            wait_ms: KEY_WAIT_MS,
            keys,
        }
    }
}

/// One thing that the far end does, or waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    /// Waits a time between these, in milliseconds, drawn from the call's own dice.
    Wait(u32, u32),
    /// Asks for credentials unless the INVITE brought the right ones.
    Challenge { proxy: bool },
    /// A provisional response without sound.
    Ring(u16),
    /// 183 with sound: plays this and does not wait for its end.
    EarlyMedia(Phrase),
    /// Refuses. Final.
    Reject { code: u16, retry_after_s: Option<u32> },
    /// Answers; `mute`: sends no RTP at all.
    Answer { mute: bool },
    /// Plays a phrase and waits until it has been heard.
    Say(Phrase),
    /// Waits until the caller has spoken and then been quiet for half a second; in vain at most this many milliseconds.
    HearPause(u32),
    /// Waits until the caller speaks; in vain at most this many milliseconds.
    HearSpeech(u32),
    /// Presses a key (RFC 4733).
    Press(char),
    /// Presses a key by SIP INFO.
    PressInfo(char),
    /// Sends no more RTP.
    StopSending,
    /// Loses packets and delays others, from now on.
    Impair { loss_percent: u8, jitter_ms: u32 },
    /// Puts the caller on hold by re-INVITE and waits for the answer.
    Hold,
    /// Takes the caller off hold by re-INVITE and waits for the answer.
    Resume,
    /// Moves its sound to another port by re-INVITE and waits for the answer.
    Move,
    /// Goes dead: no RTP, no BYE, no response to anything. Final.
    Vanish,
    /// Sends BYE. Final.
    HangUp,
}

use Step as S;

const ANSWER: Step = S::Answer { mute: false };
const DECIDE: Step = S::Wait(20, 120);
const RING: Step = S::Ring(180);
const PICK_UP: Step = S::Wait(300, 900);
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

/// What a number does that is not in [`BEHAVIOURS`]; also its first row.
pub static DEFAULT: &Behaviour = &BEHAVIOURS[0];

/// Every behaviour, by digits.
pub static BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        digits: "0001",
        name: "listens",
        description: "Answers, says a polite phrase and listens until the caller hangs up. So does any number that is \
                      not in this table.",
        expected: HEARD_OUT,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Wait(300, 600),
            S::Say(Phrase::Greeting),
        ],
    },
    Behaviour {
        digits: "0002",
        name: "hangs_up",
        description: "Answers, and hangs up after 3 seconds.",
        expected: expect(Outcome::CalleeHungUp, RecordStatus::Completed, 200),
        steps: &[DECIDE, RING, PICK_UP, ANSWER, S::Wait(3_000, 3_000), S::HangUp],
    },
    Behaviour {
        digits: "0003",
        name: "hangs_up_at_once",
        description: "Answers, and hangs up at once.",
        expected: expect(Outcome::CalleeHungUp, RecordStatus::Completed, 200),
        steps: &[DECIDE, RING, PICK_UP, ANSWER, S::HangUp],
    },
    Behaviour {
        digits: "0004",
        name: "slow_answer",
        description: "Rings for 4 seconds, then answers and listens.",
        expected: HEARD_OUT,
        steps: &[
            DECIDE,
            RING,
            S::Wait(4_000, 4_000),
            ANSWER,
            S::Wait(300, 600),
            S::Say(Phrase::Greeting),
        ],
    },
    Behaviour {
        digits: "0005",
        name: "answers_without_ringing",
        description: "Answers with 200 and nothing before it, then listens.",
        expected: HEARD_OUT,
        steps: &[DECIDE, ANSWER, S::Wait(300, 600), S::Say(Phrase::Greeting)],
    },
    Behaviour {
        digits: "0011",
        name: "presses_1",
        description: "Answers, and presses 1 (RFC 4733) after about a second and a half.",
        expected: HEARD_OUT,
        steps: &[DECIDE, RING, PICK_UP, ANSWER, S::Wait(1_400, 1_600), S::Press('1')],
    },
    Behaviour {
        digits: "0019",
        name: "presses_9",
        description: "Answers, and presses 9 (RFC 4733) after about a second and a half.",
        expected: expect(Outcome::AgentHungUp, RecordStatus::Dnc, 200),
        steps: &[DECIDE, RING, PICK_UP, ANSWER, S::Wait(1_400, 1_600), S::Press('9')],
    },
    Behaviour {
        digits: "0021",
        name: "presses_1_by_info",
        description: "Answers, and presses 1 by SIP INFO after about a second and a half.",
        expected: HEARD_OUT,
        steps: &[DECIDE, RING, PICK_UP, ANSWER, S::Wait(1_400, 1_600), S::PressInfo('1')],
    },
    Behaviour {
        digits: "0180",
        name: "rings_out",
        description: "Rings, and is never answered.",
        expected: failed(Outcome::NoAnswer, 487),
        steps: &[DECIDE, RING],
    },
    Behaviour {
        digits: "0183",
        name: "early_media",
        description: "183 with a ringback tone before the answer, then answers and listens.",
        expected: HEARD_OUT,
        steps: &[
            DECIDE,
            S::EarlyMedia(Phrase::Ringback),
            S::Wait(1_500, 1_500),
            ANSWER,
            S::Say(Phrase::Greeting),
        ],
    },
    Behaviour {
        digits: "0186",
        name: "busy_after_ringing",
        description: "Rings for a second, then 486 Busy Here.",
        expected: failed(Outcome::Busy, 486),
        steps: &[DECIDE, RING, S::Wait(900, 1_100), reject(486)],
    },
    Behaviour {
        digits: "0188",
        name: "unavailable_after_ringing",
        description: "Rings for a second and a half, then 480 Temporarily Unavailable.",
        expected: failed(Outcome::NoAnswer, 480),
        steps: &[DECIDE, RING, S::Wait(1_400, 1_600), reject(480)],
    },
    Behaviour {
        digits: "0201",
        name: "says_yes",
        description: "Answers, and says \"yes, please\" at the caller's first pause.",
        expected: HEARD_OUT,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::HearPause(PATIENCE_MS),
            S::Say(Phrase::Yes),
        ],
    },
    Behaviour {
        digits: "0202",
        name: "says_no",
        description: "Answers, and says \"no, thank you\" at the caller's first pause.",
        expected: HEARD_OUT,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::HearPause(PATIENCE_MS),
            S::Say(Phrase::No),
        ],
    },
    Behaviour {
        digits: "0203",
        name: "asks_to_be_called_later",
        description: "Answers, and asks at the caller's first pause to be called tomorrow at ten.",
        expected: HEARD_OUT,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::HearPause(PATIENCE_MS),
            S::Say(Phrase::CallLater),
        ],
    },
    Behaviour {
        digits: "0204",
        name: "says_do_not_call",
        description: "Answers, and says \"please do not call me again\" at the caller's first pause.",
        expected: HEARD_OUT,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::HearPause(PATIENCE_MS),
            S::Say(Phrase::DoNotCall),
        ],
    },
    Behaviour {
        digits: "0205",
        name: "says_digits",
        description: "Answers, and says the digits 4 7 1 9 at the caller's first pause.",
        expected: HEARD_OUT,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::HearPause(PATIENCE_MS),
            S::Say(Phrase::Digits),
        ],
    },
    Behaviour {
        digits: "0206",
        name: "interrupts",
        description: "Answers, and speaks over the caller's first sentence.",
        expected: HEARD_OUT,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::HearSpeech(PATIENCE_MS),
            S::Wait(900, 1_300),
            S::Say(Phrase::Interruption),
        ],
    },
    Behaviour {
        digits: "0207",
        name: "hums",
        description: "Answers, and hums \"mhm\" while the caller speaks and at the first pause.",
        expected: HEARD_OUT,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::HearSpeech(PATIENCE_MS),
            S::Wait(1_000, 1_500),
            S::Say(Phrase::Hum),
            S::HearPause(PATIENCE_MS),
            S::Say(Phrase::Hum),
        ],
    },
    Behaviour {
        digits: "0208",
        name: "stays_silent",
        description: "Answers, and sends silence until the caller hangs up.",
        expected: HEARD_OUT,
        steps: &[DECIDE, RING, PICK_UP, ANSWER],
    },
    Behaviour {
        digits: "0209",
        name: "talks_over_noise",
        description: "Answers, and speaks with a noisy street behind, which goes on.",
        expected: HEARD_OUT,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Say(Phrase::NoisyTalk),
            S::Say(Phrase::NoisyTalk),
            S::Say(Phrase::NoisyTalk),
        ],
    },
    Behaviour {
        digits: "0301",
        name: "voicemail_with_beep",
        description: "A voicemail greeting, a beep of 1,000 Hz, then silence.",
        expected: HEARD_OUT,
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
        description: "An assistant asks who is calling and why, listens to the answer and says that it asks.",
        expected: HEARD_OUT,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Wait(200, 500),
            S::Say(Phrase::CallScreening),
            S::HearPause(15_000),
            S::Say(Phrase::CallScreeningThanks),
        ],
    },
    Behaviour {
        digits: "0304",
        name: "ivr_menu",
        description: "A menu of three keys, twice.",
        expected: HEARD_OUT,
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
        description: "401 with a digest challenge (user `sandbox`, password `sandbox`), then answers and listens.",
        expected: HEARD_OUT,
        steps: &[
            S::Challenge { proxy: false },
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Say(Phrase::Greeting),
        ],
    },
    Behaviour {
        digits: "0404",
        name: "not_found",
        description: "404 Not Found at once.",
        expected: failed(Outcome::InvalidNumber, 404),
        steps: &[DECIDE, reject(404)],
    },
    Behaviour {
        digits: "0407",
        name: "proxy_asks_for_credentials",
        description: "407 with a digest challenge (user `sandbox`, password `sandbox`), then answers and listens.",
        expected: HEARD_OUT,
        steps: &[
            S::Challenge { proxy: true },
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Say(Phrase::Greeting),
        ],
    },
    Behaviour {
        digits: "0480",
        name: "unavailable",
        description: "480 Temporarily Unavailable at once.",
        expected: failed(Outcome::NotConnected, 480),
        steps: &[DECIDE, reject(480)],
    },
    Behaviour {
        digits: "0486",
        name: "busy",
        description: "486 Busy Here at once.",
        expected: failed(Outcome::Busy, 486),
        steps: &[DECIDE, reject(486)],
    },
    Behaviour {
        digits: "0488",
        name: "not_acceptable",
        description: "488 Not Acceptable Here at once.",
        expected: failed(Outcome::NotConnected, 488),
        steps: &[DECIDE, reject(488)],
    },
    Behaviour {
        digits: "0500",
        name: "server_error",
        description: "500 Server Internal Error at once.",
        expected: failed(Outcome::NotConnected, 500),
        steps: &[DECIDE, reject(500)],
    },
    Behaviour {
        digits: "0503",
        name: "overloaded",
        description: "503 Service Unavailable with `Retry-After: 2` at once.",
        expected: failed(Outcome::NotConnected, 503),
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
        steps: &[DECIDE, RING, S::Wait(900, 1_100), reject(603)],
    },
    Behaviour {
        digits: "0701",
        name: "one_way_audio",
        description: "Answers, and never sends RTP.",
        expected: LOST,
        steps: &[DECIDE, RING, PICK_UP, S::Answer { mute: true }],
    },
    Behaviour {
        digits: "0702",
        name: "sound_stops",
        description: "Answers, speaks, and sends no more RTP after 2 seconds; no BYE.",
        expected: LOST,
        steps: &[DECIDE, RING, PICK_UP, ANSWER, S::Wait(2_000, 2_000), S::StopSending],
    },
    Behaviour {
        digits: "0703",
        name: "bad_line",
        description: "Answers and speaks, with 5 % of its packets lost and the rest up to 60 ms late.",
        expected: HEARD_OUT,
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
            S::Say(Phrase::Greeting),
        ],
    },
    Behaviour {
        digits: "0704",
        name: "vanishes",
        description: "Answers, and after half a second there is nothing any more: no RTP, no BYE, no response to one.",
        expected: LOST,
        steps: &[DECIDE, RING, PICK_UP, ANSWER, S::Wait(500, 500), S::Vanish],
    },
    Behaviour {
        digits: "0711",
        name: "holds",
        description: "Answers, puts the caller on hold by re-INVITE for 2 seconds, then comes back.",
        expected: HEARD_OUT,
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
        ],
    },
    Behaviour {
        digits: "0712",
        name: "moves",
        description: "Answers, and moves its sound to another port by re-INVITE.",
        expected: HEARD_OUT,
        steps: &[
            DECIDE,
            RING,
            PICK_UP,
            ANSWER,
            S::Wait(900, 1_100),
            S::Move,
            S::Say(Phrase::Greeting),
        ],
    },
];

/// The behaviour of a called number. `user` is the user part of the request URI: only its digits count, and of those the
/// last four; parameters after a `;` do not.
pub fn behaviour_of(user: &str) -> &'static Behaviour {
    let digits = digits_of(user);
    BEHAVIOURS
        .iter()
        .find(|behaviour| digits.ends_with(behaviour.digits))
        .unwrap_or(DEFAULT)
}

/// The digits of a user part.
pub(crate) fn digits_of(user: &str) -> String {
    user.split(';')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(char::is_ascii_digit)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_four_digits_choose_and_the_rest_does_not() {
        let rows = [
            ("+919876540486", "busy"),
            ("919876540486", "busy"),
            ("00447700900486", "busy"),
            ("0486", "busy"),
            ("+1-202-555-0486;npdi;rn=12025550100", "busy"),
            ("+12025550002", "hangs_up"),
            ("+12025559999", "listens"),
            ("486", "listens"),
            ("alice", "listens"),
            ("", "listens"),
        ];
        for (user, name) in rows {
            assert_eq!(behaviour_of(user).name, name, "{user}");
        }
    }

    #[test]
    fn the_table_is_sorted_and_its_names_are_unique() {
        for pair in BEHAVIOURS.windows(2) {
            assert!(
                pair[0].digits < pair[1].digits,
                "{} before {}",
                pair[0].digits,
                pair[1].digits
            );
        }
        let mut names: Vec<_> = BEHAVIOURS.iter().map(|behaviour| behaviour.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), BEHAVIOURS.len());
        for behaviour in BEHAVIOURS {
            assert!(behaviour.digits.len() == 4 && behaviour.digits.bytes().all(|b| b.is_ascii_digit()));
            assert!(behaviour.description.ends_with('.'), "{}", behaviour.name);
        }
    }

    #[test]
    fn what_is_expected_fits_what_the_steps_do() {
        for behaviour in BEHAVIOURS {
            let Expected { outcome, status, code } = behaviour.expected;
            let answers = behaviour.steps.iter().any(|step| matches!(step, Step::Answer { .. }));
            assert_eq!(outcome.implies_answer(), answers, "{}", behaviour.name);
            assert_eq!(code == 200, answers, "{}", behaviour.name);
            assert_eq!(status == RecordStatus::Failed, !answers, "{}", behaviour.name);
            let refused = behaviour.steps.iter().find_map(|step| match step {
                Step::Reject { code, .. } => Some(*code),
                _ => None,
            });
            let rings_out = behaviour.name == "rings_out";
            assert!(answers || rings_out || refused == Some(code), "{}", behaviour.name);
        }
    }
}
