//! What a call says and how it reacts to key presses: a pure machine that the voice runtime drives.
//!
//! In: [`ScriptInput`] and `now`. Out: [`ScriptOutput`]s. Sound is not durable, so nothing here is stored but the
//! [`Script`] itself (with its call) and the [`ScriptResult`] at the end.

mod conversation;
mod converse;

pub use conversation::{Conversation, TalkEnd, TalkPart, TurnLatency};
pub use converse::{BrainScript, CallContext, ConverseScript, ScriptProblem};

use crate::ids::ClipId;
use crate::time::UnixMicros;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a call says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Script {
    /// Play a clip, then hang up (audio blast).
    Announce {
        /// What is played.
        clip: ClipId,
        /// How many times it is played in all; at least 1.
        times: u8,
        /// Silence between two plays, in milliseconds.
        gap_ms: u32,
    },
    /// Play a clip, collect one key press, act by the map.
    Press1 {
        /// The prompt. Keys are accepted while it plays.
        clip: ClipId,
        /// How many times the prompt is played before giving up; at least 1.
        times: u8,
        /// How long to wait for a key after each play, in milliseconds.
        wait_ms: u32,
        /// What each key does. A key that is not here plays the prompt again and counts as one of `times`.
        keys: BTreeMap<Digit, KeyAction>,
    },
    /// Hold a conversation.
    Converse(Box<ConverseScript>),
}

/// One DTMF key: `0`-`9`, `*`, `#`, `A`-`D` (RFC 4733 events 0-15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "char", into = "char")]
pub struct Digit(char);

impl Digit {
    /// Parses a key as printed on a telephone; letters in either case.
    pub fn parse(key: char) -> Option<Self> {
        let key = key.to_ascii_uppercase();
        matches!(key, '0'..='9' | '*' | '#' | 'A'..='D').then_some(Self(key))
    }

    /// The key of an RFC 4733 event code (0-15).
    pub fn from_event(event: u8) -> Option<Self> {
        "0123456789*#ABCD".chars().nth(usize::from(event)).map(Self)
    }

    /// The RFC 4733 event code of the key.
    pub fn event(self) -> u8 {
        match self.0 {
            '*' => 10,
            '#' => 11,
            'A' => 12,
            'B' => 13,
            'C' => 14,
            'D' => 15,
            digit => (digit as u8).wrapping_sub(b'0'),
        }
    }

    /// The key as printed.
    pub fn as_char(self) -> char {
        self.0
    }
}

impl TryFrom<char> for Digit {
    type Error = String;

    fn try_from(key: char) -> Result<Self, Self::Error> {
        Self::parse(key).ok_or_else(|| format!("`{key}` is no telephone key; use 0-9, *, #, A-D"))
    }
}

impl From<Digit> for char {
    fn from(digit: Digit) -> char {
        digit.0
    }
}

/// What a key does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum KeyAction {
    /// End the call.
    HangUp,
    /// Play a clip, then end the call.
    Play {
        /// What is played.
        clip: ClipId,
    },
    /// Put the callee on the do-not-call list, play the clip if there is one, end the call.
    DoNotCall {
        /// A confirmation.
        clip: Option<ClipId>,
    },
    /// Schedule a callback, play the clip if there is one, end the call.
    CallBack {
        /// How long after the key press, in seconds.
        after_s: u32,
        /// A confirmation.
        clip: Option<ClipId>,
    },
    /// Schedule a follow-up call, play the clip if there is one, end the call.
    FollowUp {
        /// How long after the key press, in seconds.
        after_s: u32,
        /// A confirmation.
        clip: Option<ClipId>,
    },
    /// Mark a value on the call, play the clip if there is one, end the call.
    Mark {
        /// Name of the value in `custom_variables`.
        name: String,
        /// The value.
        value: String,
        /// A confirmation.
        clip: Option<ClipId>,
    },
}

/// What the machine hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptInput {
    /// The call was answered and sound can flow.
    Start,
    /// The last sample of the clip that was playing has been sent.
    ClipFinished,
    /// A key was pressed (RFC 4733 or SIP INFO).
    Key(Digit),
    /// The time that [`ScriptOutput::WakeAt`] asked for has come (or any other time: early ones do nothing).
    Tick,
}

/// What the machine asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum ScriptOutput {
    /// Start this clip from its beginning, instead of whatever is playing.
    Play(ClipId),
    /// Stop playing at once.
    StopPlayback,
    /// Feed [`ScriptInput::Tick`] at this time; replaces any earlier wish.
    WakeAt(UnixMicros),
    /// The script is over: end the call.
    Finish(ScriptResult),
}

/// How a script ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScriptResult {
    /// Every key pressed, in order.
    pub keys: String,
    /// Values marked by keys.
    pub marks: BTreeMap<String, String>,
    /// The callee asked not to be called again.
    pub do_not_call: bool,
    /// A key of the map was pressed (always false for `Announce`).
    pub acted: bool,
    /// The callee asked to be called again at this time.
    pub call_back_at: Option<UnixMicros>,
    /// Another call should follow at this time.
    pub follow_up_at: Option<UnixMicros>,
    /// What was said, and what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<Box<Conversation>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Phase {
    Idle,
    Playing { play: u8 },
    Gap { play: u8, until: UnixMicros },
    Waiting { play: u8, until: UnixMicros },
    Confirming,
    Finished,
}

/// A running script.
#[derive(Clone, Debug)]
pub struct ScriptRun {
    script: Script,
    phase: Phase,
    result: ScriptResult,
}

impl ScriptRun {
    /// A script that has not started.
    pub fn new(script: Script) -> Self {
        Self {
            script,
            phase: Phase::Idle,
            result: ScriptResult::default(),
        }
    }

    /// What is known so far; the final result when the far end hangs up in the middle.
    pub fn result(&self) -> &ScriptResult {
        &self.result
    }

    /// Whether `Finish` has been returned.
    pub fn is_finished(&self) -> bool {
        self.phase == Phase::Finished
    }

    /// Feeds one input at `now`. Every (phase, input) pair is answered; those that mean nothing return nothing.
    pub fn handle(&mut self, now: UnixMicros, input: ScriptInput) -> Vec<ScriptOutput> {
        if let ScriptInput::Key(digit) = input
            && self.phase != Phase::Finished
        {
            self.result.keys.push(digit.as_char());
        }
        match (self.phase.clone(), input) {
            (Phase::Idle, ScriptInput::Start) => self.play_prompt(1),
            (Phase::Playing { play }, ScriptInput::ClipFinished) => self.prompt_finished(now, play),
            (Phase::Gap { play, until }, ScriptInput::Tick) if now >= until => self.play_prompt(play + 1),
            (Phase::Waiting { play, until }, ScriptInput::Tick) if now >= until => self.again_or_finish(play),
            (Phase::Playing { play } | Phase::Waiting { play, .. }, ScriptInput::Key(digit)) => {
                self.key_pressed(now, play, digit)
            }
            (Phase::Confirming, ScriptInput::ClipFinished) => self.finish(),
            (Phase::Gap { until, .. } | Phase::Waiting { until, .. }, ScriptInput::Tick) => {
                vec![ScriptOutput::WakeAt(until)]
            }
            (
                Phase::Idle
                | Phase::Playing { .. }
                | Phase::Gap { .. }
                | Phase::Waiting { .. }
                | Phase::Confirming
                | Phase::Finished,
                _,
            ) => Vec::new(),
        }
    }

    /// The prompt and how often it is played; none in a conversation, which no clip machine holds.
    fn prompt(&self) -> Option<(ClipId, u8)> {
        match &self.script {
            Script::Announce { clip, times, .. } | Script::Press1 { clip, times, .. } => Some((*clip, (*times).max(1))),
            Script::Converse(_) => None,
        }
    }

    fn plays(&self) -> u8 {
        self.prompt().map_or(0, |(_, times)| times)
    }

    fn play_prompt(&mut self, play: u8) -> Vec<ScriptOutput> {
        let Some((clip, _)) = self.prompt() else {
            return self.finish();
        };
        self.phase = Phase::Playing { play };
        vec![ScriptOutput::Play(clip)]
    }

    fn prompt_finished(&mut self, now: UnixMicros, play: u8) -> Vec<ScriptOutput> {
        match &self.script {
            Script::Announce { gap_ms, .. } => {
                if play >= self.plays() {
                    return self.finish();
                }
                let until = now + Duration::from_millis(u64::from(*gap_ms));
                self.phase = Phase::Gap { play, until };
                vec![ScriptOutput::WakeAt(until)]
            }
            Script::Press1 { wait_ms, .. } => {
                let until = now + Duration::from_millis(u64::from(*wait_ms));
                self.phase = Phase::Waiting { play, until };
                vec![ScriptOutput::WakeAt(until)]
            }
            Script::Converse(_) => self.finish(),
        }
    }

    fn again_or_finish(&mut self, play: u8) -> Vec<ScriptOutput> {
        if play < self.plays() {
            self.play_prompt(play + 1)
        } else {
            self.finish()
        }
    }

    fn key_pressed(&mut self, now: UnixMicros, play: u8, digit: Digit) -> Vec<ScriptOutput> {
        let Script::Press1 { keys, .. } = &self.script else {
            return Vec::new();
        };
        let Some(action) = keys.get(&digit).cloned() else {
            let mut outputs = vec![ScriptOutput::StopPlayback];
            outputs.extend(self.again_or_finish(play));
            return outputs;
        };
        self.result.acted = true;
        let clip = match action {
            KeyAction::HangUp => None,
            KeyAction::Play { clip } => Some(clip),
            KeyAction::DoNotCall { clip } => {
                self.result.do_not_call = true;
                clip
            }
            KeyAction::CallBack { after_s, clip } => {
                self.result.call_back_at = Some(now + Duration::from_secs(u64::from(after_s)));
                clip
            }
            KeyAction::FollowUp { after_s, clip } => {
                self.result.follow_up_at = Some(now + Duration::from_secs(u64::from(after_s)));
                clip
            }
            KeyAction::Mark { name, value, clip } => {
                self.result.marks.insert(name, value);
                clip
            }
        };
        match clip {
            Some(clip) => {
                self.phase = Phase::Confirming;
                vec![ScriptOutput::Play(clip)]
            }
            None => {
                let mut outputs = vec![ScriptOutput::StopPlayback];
                outputs.extend(self.finish());
                outputs
            }
        }
    }

    fn finish(&mut self) -> Vec<ScriptOutput> {
        self.phase = Phase::Finished;
        vec![ScriptOutput::Finish(self.result.clone())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    const PROMPT: ClipId = ClipId::new(Uuid::from_u128(1));
    const THANKS: ClipId = ClipId::new(Uuid::from_u128(2));

    fn digit(key: char) -> Digit {
        Digit::parse(key).unwrap()
    }

    fn key(key: char) -> ScriptInput {
        ScriptInput::Key(digit(key))
    }

    fn seconds(s: i64) -> UnixMicros {
        UnixMicros::from_seconds(s)
    }

    fn press1() -> Script {
        Script::Press1 {
            clip: PROMPT,
            times: 2,
            wait_ms: 5_000,
            keys: BTreeMap::from([
                (
                    digit('1'),
                    KeyAction::Mark {
                        name: "yes".into(),
                        value: "true".into(),
                        clip: Some(THANKS),
                    },
                ),
                (
                    digit('2'),
                    KeyAction::CallBack {
                        after_s: 600,
                        clip: None,
                    },
                ),
                (
                    digit('3'),
                    KeyAction::FollowUp {
                        after_s: 60,
                        clip: None,
                    },
                ),
                (digit('9'), KeyAction::DoNotCall { clip: None }),
                (digit('*'), KeyAction::HangUp),
                (digit('5'), KeyAction::Play { clip: THANKS }),
            ]),
        }
    }

    /// Feeds inputs, each with its second, and tells every output in short.
    fn run(script: Script, inputs: &[(i64, ScriptInput)]) -> (Vec<String>, ScriptResult) {
        let mut run = ScriptRun::new(script);
        let told = inputs
            .iter()
            .flat_map(|(at, input)| run.handle(seconds(*at), *input))
            .map(|output| match output {
                ScriptOutput::Play(PROMPT) => "prompt".to_owned(),
                ScriptOutput::Play(_) => "thanks".to_owned(),
                ScriptOutput::StopPlayback => "stop".to_owned(),
                ScriptOutput::WakeAt(at) => format!("wake {}", at.seconds()),
                ScriptOutput::Finish(_) => "finish".to_owned(),
            })
            .collect();
        (told, run.result().clone())
    }

    #[test]
    fn scripts_say_and_do_what_their_tables_tell() {
        use ScriptInput::{ClipFinished as End, Start, Tick};
        let announce = |times| Script::Announce {
            clip: PROMPT,
            times,
            gap_ms: 2_000,
        };
        type Row = (Script, Vec<(i64, ScriptInput)>, &'static str);
        let table: Vec<Row> = vec![
            (announce(1), vec![(0, Start), (3, End)], "prompt finish"),
            (
                announce(2),
                vec![(0, Start), (3, End), (5, Tick), (8, End)],
                "prompt wake 5 prompt finish",
            ),
            (
                announce(2),
                vec![(0, Start), (3, End), (4, Tick), (5, Tick)],
                "prompt wake 5 wake 5 prompt",
            ),
            (announce(1), vec![(0, Start), (1, key('1')), (3, End)], "prompt finish"),
            (
                press1(),
                vec![(0, Start), (1, key('1')), (4, End)],
                "prompt thanks finish",
            ),
            (
                press1(),
                vec![(0, Start), (3, End), (4, key('5')), (6, End)],
                "prompt wake 8 thanks finish",
            ),
            (
                press1(),
                vec![(0, Start), (3, End), (8, Tick), (11, End), (16, Tick)],
                "prompt wake 8 prompt wake 16 finish",
            ),
            (
                press1(),
                vec![(0, Start), (1, key('7')), (2, key('7'))],
                "prompt stop prompt stop finish",
            ),
            (
                press1(),
                vec![(0, Start), (1, key('*')), (2, key('1'))],
                "prompt stop finish",
            ),
            (press1(), vec![(0, key('1')), (1, Tick), (2, Start)], "prompt"),
        ];
        for (script, inputs, expected) in table {
            assert_eq!(run(script, &inputs).0.join(" "), expected, "{inputs:?}");
        }
    }

    #[test]
    fn keys_leave_their_mark_on_the_result() {
        let after = |pressed: char| run(press1(), &[(0, ScriptInput::Start), (10, key(pressed))]).1;
        assert_eq!(after('1').marks["yes"], "true");
        assert_eq!(after('2').call_back_at, Some(seconds(610)));
        assert_eq!(after('3').follow_up_at, Some(seconds(70)));
        assert!(after('9').do_not_call);
        assert!(after('*').acted);
        let unknown = after('8');
        assert!(!unknown.acted);
        assert_eq!(unknown.keys, "8");
    }

    #[test]
    fn keys_are_the_sixteen_events_of_rfc_4733() {
        for event in 0..16 {
            assert_eq!(Digit::from_event(event).unwrap().event(), event);
        }
        assert_eq!(Digit::from_event(16), None);
        assert_eq!(Digit::parse('d'), Digit::parse('D'));
        assert_eq!(Digit::parse('E'), None);
    }

    proptest! {
        #[test]
        fn a_script_finishes_at_most_once_and_says_nothing_afterwards(
            inputs in proptest::collection::vec(0_u8..9, 0..60),
        ) {
            let mut run = ScriptRun::new(press1());
            let mut finished = 0;
            for (second, input) in inputs.into_iter().enumerate() {
                let input = match input {
                    0 => ScriptInput::Start,
                    1 | 2 => ScriptInput::ClipFinished,
                    3 | 4 => ScriptInput::Tick,
                    other => key(char::from(b'0' + other)),
                };
                let was_finished = run.is_finished();
                let outputs = run.handle(seconds(second as i64), input);
                prop_assert!(!was_finished || outputs.is_empty());
                finished += outputs.iter().filter(|output| matches!(output, ScriptOutput::Finish(_))).count();
                prop_assert_eq!(run.is_finished(), finished == 1);
            }
        }
    }
}
