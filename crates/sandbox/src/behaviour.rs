//! The published table: the last four digits of the called number choose what the far end does.
//!
//! A behaviour is a list of [`Step`]s, played by `crate::run`. What our own side should make of it stands beside it as
//! [`Expected`], for calls of the [`mod@reference`] kind.

mod table;

pub use table::BEHAVIOURS;

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
    /// What a [`mod@reference`] call to it ends as.
    pub expected: Expected,
    /// What a [`reference::conversation`] with it ends as; `None` where there is nothing to converse with.
    pub conversation: Option<Talked>,
    /// What the far end does, step by step. After the last one it listens until the caller hangs up.
    pub(crate) steps: &'static [Step],
}

/// What a [`mod@reference`] call ends as on the caller's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The call's outcome.
    pub outcome: Outcome,
    /// The record's status after its only attempt.
    pub status: RecordStatus,
    /// The final SIP status of the INVITE.
    pub code: u16,
}

/// What a conversation ends as on the caller's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Talked {
    /// The call's outcome.
    pub outcome: Outcome,
    /// The record's status after its only attempt.
    pub status: RecordStatus,
    /// How the conversation itself ended, in the flow's words; `None`: it did not come to an end of its own.
    pub result: Option<&'static str>,
}

/// The calls for which [`Behaviour::expected`] holds: one attempt over a trunk with the sandbox's credentials.
pub mod reference {
    use carillon_domain::flow::Flow;
    use carillon_domain::ids::ClipId;
    use carillon_domain::machine_detection::Policy;
    use carillon_domain::script::{ConverseScript, Digit, KeyAction, Script};
    use std::collections::BTreeMap;

    /// Length of the prompt, in milliseconds. Longer is fine.
    pub const PROMPT_MS: u32 = 5_000;
    /// How long a key is waited for after the prompt, in milliseconds.
    pub const KEY_WAIT_MS: u32 = 4_000;
    /// How long it rings, in seconds. Longer is fine, shorter is not.
    pub const RING_TIMEOUT_S: u32 = 8;
    /// How long no RTP may arrive, in milliseconds. Must end before the script does.
    pub const RTP_TIMEOUT_MS: u32 = 3_000;

    /// A variable of the call and its value that a number wants in a conversation, if it wants one.
    pub fn variable(digits: &str) -> Option<(&'static str, &'static str)> {
        (digits == "0205").then_some(("purpose", "booking"))
    }

    /// The conversation: a reminder of an appointment, with machine detection and a message for voicemail.
    ///
    /// # Errors
    /// Never: the flow is part of the program, and a test reads it.
    pub fn conversation() -> Result<Script, serde_json::Error> {
        let flow: Flow = serde_json::from_str(include_str!("behaviour/conversation.json"))?;
        Ok(Script::Converse(Box::new(ConverseScript {
            machine_detection: Some(Policy::default()),
            voicemail_message: Some(
                "Hello, this is Carillon with a reminder of your appointment on Friday at three. Goodbye.".to_owned(),
            ),
            screening_words: Some("This is Carillon, calling about an appointment on Friday.".to_owned()),
            ..ConverseScript::of_flow(flow)
        })))
    }

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
    /// Waits until the caller has spoken and then been quiet for 0.8 s; in vain at most this many milliseconds.
    HearPause(u32),
    /// Waits until the caller speaks; in vain at most this many milliseconds.
    HearSpeech(u32),
    /// Converses: says each phrase at another pause of the caller. A caller who says nothing is spoken to after a while.
    Talk(&'static [Phrase]),
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

/// What a number does that is not in [`BEHAVIOURS`]; its first row.
pub static DEFAULT: &Behaviour = &BEHAVIOURS[0];

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
            ("+12025559999", "converses"),
            ("486", "converses"),
            ("alice", "converses"),
            ("", "converses"),
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
    fn the_reference_conversation_can_be_held() {
        let script = reference::conversation().expect("the flow");
        let carillon_domain::script::Script::Converse(converse) = script else {
            panic!("no conversation");
        };
        assert_eq!(converse.problems(), []);
        for behaviour in BEHAVIOURS.iter().filter(|behaviour| behaviour.conversation.is_some()) {
            assert!(behaviour.expected.outcome.implies_answer(), "{}", behaviour.name);
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
