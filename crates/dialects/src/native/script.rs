//! What a call says, on the wire.

use super::error::ApiError;
use super::request::within;
use crate::DialectState;
use carillon_domain::ids::{ClipId, WorkspaceId};
use carillon_domain::script as domain;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// What a call says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Script {
    /// Play a clip, then hang up.
    Announce {
        /// What is played.
        clip_id: Uuid,
        /// How many times in all: 1 to 10.
        #[serde(default = "once")]
        #[schema(minimum = 1, maximum = 10)]
        times: u8,
        /// Silence between two plays, in milliseconds.
        #[serde(default)]
        #[schema(maximum = 60_000)]
        gap_ms: u32,
    },
    /// Play a clip, collect one key press, act by the map.
    Press1 {
        /// The prompt. Keys are accepted while it plays.
        clip_id: Uuid,
        /// How many times the prompt is played before giving up: 1 to 10.
        #[serde(default = "once")]
        #[schema(minimum = 1, maximum = 10)]
        times: u8,
        /// How long to wait for a key after each play, in milliseconds.
        #[serde(default = "five_seconds")]
        #[schema(maximum = 60_000)]
        wait_ms: u32,
        /// What each key (`0`-`9`, `*`, `#`, `A`-`D`) does.
        keys: BTreeMap<String, KeyAction>,
    },
    /// Hold a conversation.
    Converse(Box<super::converse::Converse>),
}

const fn once() -> u8 {
    1
}

const fn five_seconds() -> u32 {
    5_000
}

/// What a key does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum KeyAction {
    /// End the call.
    HangUp,
    /// Play a clip, then end the call.
    Play {
        /// What is played.
        clip_id: Uuid,
    },
    /// Put the callee on the do-not-call list and end the call.
    DoNotCall {
        /// A confirmation.
        #[serde(default)]
        clip_id: Option<Uuid>,
    },
    /// Call again later and end this call.
    CallBack {
        /// How long after the key press, in seconds.
        after_s: u32,
        /// A confirmation.
        #[serde(default)]
        clip_id: Option<Uuid>,
    },
    /// Schedule a follow-up call and end this one.
    FollowUp {
        /// How long after the key press, in seconds.
        after_s: u32,
        /// A confirmation.
        #[serde(default)]
        clip_id: Option<Uuid>,
    },
    /// Mark a value on the call and end it.
    Mark {
        /// Name of the value.
        name: String,
        /// The value.
        value: String,
        /// A confirmation.
        #[serde(default)]
        clip_id: Option<Uuid>,
    },
}

const WAIT_S_MAX: u32 = 30 * 24 * 3_600;

impl Script {
    pub(super) fn of(script: &domain::Script) -> Self {
        match script {
            domain::Script::Announce { clip, times, gap_ms } => Self::Announce {
                clip_id: clip.uuid(),
                times: *times,
                gap_ms: *gap_ms,
            },
            domain::Script::Press1 {
                clip,
                times,
                wait_ms,
                keys,
            } => Self::Press1 {
                clip_id: clip.uuid(),
                times: *times,
                wait_ms: *wait_ms,
                keys: keys
                    .iter()
                    .map(|(key, action)| (key.as_char().to_string(), KeyAction::of(action)))
                    .collect(),
            },
            domain::Script::Converse(script) => Self::Converse(Box::new(super::converse::Converse::of(script))),
        }
    }

    /// The script, if it can be run: its clips exist, its numbers are sane.
    pub(super) async fn check(self, state: &DialectState, workspace: WorkspaceId) -> Result<domain::Script, ApiError> {
        for (field, clip) in self.clips() {
            if state.app.store().clip(workspace, ClipId::new(clip)).await?.is_none() {
                return Err(ApiError::invalid_field(field, format!("there is no clip {clip}")));
            }
        }
        match self {
            Self::Announce { clip_id, times, gap_ms } => Ok(domain::Script::Announce {
                clip: ClipId::new(clip_id),
                times: plays(times)?,
                gap_ms: within("script.gap_ms", gap_ms, 0..=60_000)?,
            }),
            Self::Press1 {
                clip_id,
                times,
                wait_ms,
                keys,
            } => Ok(domain::Script::Press1 {
                clip: ClipId::new(clip_id),
                times: plays(times)?,
                wait_ms: within("script.wait_ms", wait_ms, 0..=60_000)?,
                keys: keys
                    .into_iter()
                    .map(|(key, action)| action.check(&key))
                    .collect::<Result<_, _>>()?,
            }),
            Self::Converse(script) => Ok(domain::Script::Converse(Box::new(script.check()?))),
        }
    }

    fn clips(&self) -> Vec<(String, Uuid)> {
        match self {
            Self::Converse(_) => Vec::new(),
            Self::Announce { clip_id, .. } => vec![("script.clip_id".to_owned(), *clip_id)],
            Self::Press1 { clip_id, keys, .. } => {
                let of_keys = keys
                    .iter()
                    .filter_map(|(key, action)| Some((format!("script.keys.{key}.clip_id"), action.clip()?)));
                std::iter::once(("script.clip_id".to_owned(), *clip_id))
                    .chain(of_keys)
                    .collect()
            }
        }
    }
}

fn plays(times: u8) -> Result<u8, ApiError> {
    within("script.times", u32::from(times), 1..=10).map(|_| times)
}

impl KeyAction {
    fn of(action: &domain::KeyAction) -> Self {
        let id = |clip: &Option<ClipId>| clip.map(ClipId::uuid);
        match action {
            domain::KeyAction::HangUp => Self::HangUp,
            domain::KeyAction::Play { clip } => Self::Play { clip_id: clip.uuid() },
            domain::KeyAction::DoNotCall { clip } => Self::DoNotCall { clip_id: id(clip) },
            domain::KeyAction::CallBack { after_s, clip } => Self::CallBack {
                after_s: *after_s,
                clip_id: id(clip),
            },
            domain::KeyAction::FollowUp { after_s, clip } => Self::FollowUp {
                after_s: *after_s,
                clip_id: id(clip),
            },
            domain::KeyAction::Mark { name, value, clip } => Self::Mark {
                name: name.clone(),
                value: value.clone(),
                clip_id: id(clip),
            },
        }
    }

    fn clip(&self) -> Option<Uuid> {
        match self {
            Self::HangUp => None,
            Self::Play { clip_id } => Some(*clip_id),
            Self::DoNotCall { clip_id }
            | Self::CallBack { clip_id, .. }
            | Self::FollowUp { clip_id, .. }
            | Self::Mark { clip_id, .. } => *clip_id,
        }
    }

    fn check(self, key: &str) -> Result<(domain::Digit, domain::KeyAction), ApiError> {
        let field = |name: &str| format!("script.keys.{key}{name}");
        let mut characters = key.chars();
        let digit = match (characters.next().and_then(domain::Digit::parse), characters.next()) {
            (Some(digit), None) => digit,
            _ => {
                return Err(ApiError::invalid_field(
                    field(""),
                    "is no telephone key; use 0-9, *, #, A-D",
                ));
            }
        };
        let clip = self.clip().map(ClipId::new);
        let action = match self {
            Self::HangUp => domain::KeyAction::HangUp,
            Self::Play { clip_id } => domain::KeyAction::Play {
                clip: ClipId::new(clip_id),
            },
            Self::DoNotCall { .. } => domain::KeyAction::DoNotCall { clip },
            Self::CallBack { after_s, .. } => domain::KeyAction::CallBack {
                after_s: within(&field(".after_s"), after_s, 1..=WAIT_S_MAX)?,
                clip,
            },
            Self::FollowUp { after_s, .. } => domain::KeyAction::FollowUp {
                after_s: within(&field(".after_s"), after_s, 1..=WAIT_S_MAX)?,
                clip,
            },
            Self::Mark { name, value, .. } => domain::KeyAction::Mark {
                name: super::request::name(&field(".name"), &name)?,
                value,
                clip,
            },
        };
        Ok((digit, action))
    }
}
