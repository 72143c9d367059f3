//! What kind of answer is awaited: it decides how long a pause may be before a turn counts as over.

use serde::{Deserialize, Serialize};

/// The kind of answer that the last thing said asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Expect {
    /// None: a statement, a goodbye.
    Nothing,
    /// Yes or no.
    YesNo,
    /// One of a few known phrases.
    Choice,
    /// Digits, said or pressed; they come in groups with pauses between.
    Digits {
        /// The least that makes an answer.
        at_least: u8,
        /// The most; the turn is over as soon as they are there.
        at_most: u8,
    },
    /// A number or an amount.
    Number,
    /// A date, a time or both.
    DateTime,
    /// A name, perhaps spelled.
    Name,
    /// Anything.
    #[default]
    Open,
}
