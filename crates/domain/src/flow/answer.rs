//! Typed answers: what a question wants, what was understood, and why not.

use crate::conversation::Expect;
use jiff::Zoned;
use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;

/// What counts as an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum AnswerType {
    /// Yes or no; keys 1 and 2.
    YesNo,
    /// Digits, said or pressed.
    Digits {
        /// The least that makes an answer.
        #[serde(default = "one")]
        at_least: u8,
        /// The most.
        #[serde(default = "twenty")]
        at_most: u8,
    },
    /// A number.
    Number {
        /// The smallest allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<f64>,
        /// The largest allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
        /// Only whole numbers.
        #[serde(default)]
        whole: bool,
    },
    /// An amount of money.
    Amount {
        /// ISO 4217 code that holds when none is said.
        currency: String,
        /// The smallest allowed, in minor units.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min_minor: Option<i64>,
        /// The largest allowed, in minor units.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_minor: Option<i64>,
    },
    /// A day.
    Date {
        /// Days before today are allowed too (a birthday).
        #[serde(default)]
        past: bool,
        /// At most so many days from today.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        within_days: Option<u32>,
    },
    /// A time of day.
    Time {
        /// The earliest allowed, `09:00`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        earliest: Option<Time>,
        /// The latest allowed, `17:30`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        latest: Option<Time>,
    },
    /// A day and a time in the callee's zone, in the future.
    DateTime {
        /// At most so many days from today.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        within_days: Option<u32>,
        /// The earliest time of day allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        earliest: Option<Time>,
        /// The latest time of day allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        latest: Option<Time>,
    },
    /// One of a list.
    Options {
        /// The list; key 1 is the first.
        options: Vec<Choice>,
    },
    /// A person's name, perhaps spelled.
    Name,
    /// Anything.
    Text {
        /// The most characters that are kept.
        #[serde(default = "thousand")]
        chars_max: u32,
    },
}

/// One of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// What is stored and what `on` names.
    pub value: String,
    /// How it is called; without it the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What else callees call it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub synonyms: Vec<String>,
    /// The key that chooses it; without it its place in the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<char>,
}

impl Choice {
    /// What it is called when spoken of.
    pub fn name(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.value)
    }

    /// Everything that callees may call it.
    pub fn phrases(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.value.as_str())
            .chain(self.label.as_deref())
            .chain(self.synonyms.iter().map(String::as_str))
    }
}

impl AnswerType {
    /// The coarse kind that turn taking goes by.
    pub fn expect(&self) -> Expect {
        match self {
            Self::YesNo => Expect::YesNo,
            Self::Digits { at_least, at_most } => Expect::Digits {
                at_least: *at_least,
                at_most: *at_most,
            },
            Self::Number { .. } | Self::Amount { .. } => Expect::Number,
            Self::Date { .. } | Self::Time { .. } | Self::DateTime { .. } => Expect::DateTime,
            Self::Options { .. } => Expect::Choice,
            Self::Name => Expect::Name,
            Self::Text { .. } => Expect::Open,
        }
    }
}

/// A typed answer. What was said does not show in its `Debug` form.
#[derive(Clone, PartialEq)]
pub enum Answer {
    /// Yes or no.
    YesNo(bool),
    /// Digits; leading zeros count.
    Digits(String),
    /// A number.
    Number(f64),
    /// An amount.
    Amount {
        /// In minor units.
        minor: i64,
        /// ISO 4217 code.
        currency: String,
    },
    /// A day.
    Date(Date),
    /// A time of day.
    Time(Time),
    /// A day and time with its zone.
    DateTime(Zoned),
    /// The value of an option.
    Option(String),
    /// A name.
    Name(String),
    /// Anything.
    Text(String),
}

impl Answer {
    /// The form that is stored in `values` and that templates see.
    pub fn to_json(&self) -> Value {
        match self {
            Self::YesNo(yes) => json!(yes),
            Self::Digits(text) | Self::Option(text) | Self::Name(text) | Self::Text(text) => json!(text),
            Self::Number(number) => number_json(*number),
            Self::Amount { minor, currency } => json!({"minor": minor, "currency": currency}),
            Self::Date(date) => json!(date.to_string()),
            Self::Time(time) => json!(time.strftime("%H:%M").to_string()),
            Self::DateTime(zoned) => json!(zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()),
        }
    }

    /// The word by which an `on` exit names it, if it has one.
    pub fn exit_word(&self) -> Option<String> {
        match self {
            Self::YesNo(true) => Some("yes".to_owned()),
            Self::YesNo(false) => Some("no".to_owned()),
            Self::Digits(text) | Self::Option(text) => Some(text.clone()),
            Self::Number(number) => Some(number_json(*number).to_string()),
            Self::Amount { .. } | Self::Date(_) | Self::Time(_) | Self::DateTime(_) | Self::Name(_) | Self::Text(_) => {
                None
            }
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::YesNo(_) => "YesNo",
            Self::Digits(_) => "Digits",
            Self::Number(_) => "Number",
            Self::Amount { .. } => "Amount",
            Self::Date(_) => "Date",
            Self::Time(_) => "Time",
            Self::DateTime(_) => "DateTime",
            Self::Option(_) => "Option",
            Self::Name(_) => "Name",
            Self::Text(_) => "Text",
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(***)", self.kind())
    }
}

/// A whole number without its point, so that `3` is not `3.0` to a customer's program.
#[expect(clippy::cast_possible_truncation, reason = "the bound is checked")]
pub(super) fn number_json(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9e15 {
        json!(number as i64)
    } else {
        json!(number)
    }
}

/// An answer and how sure it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Understood {
    /// The answer.
    pub answer: Answer,
    /// 0 to 100. Under 70 it is read back before it counts; under 40 it is nothing.
    pub confidence_percent: u8,
}

impl Understood {
    /// An answer that needs no reading back.
    pub fn sure(answer: Answer) -> Self {
        Self {
            answer,
            confidence_percent: 95,
        }
    }

    /// An answer with this confidence.
    pub fn with_confidence(answer: Answer, confidence_percent: u8) -> Self {
        Self {
            answer,
            confidence_percent,
        }
    }
}

/// Why there is no answer.
#[derive(Clone, PartialEq, thiserror::Error)]
pub enum NotUnderstood {
    /// There are no words.
    #[error("nothing was said")]
    Nothing,
    /// The words hold no answer of this kind.
    #[error("no such answer in what was said")]
    NoAnswer,
    /// They say that they do not know.
    #[error("the callee does not know")]
    DoesNotKnow,
    /// Several answers fit; their spoken forms.
    #[error("several answers fit")]
    Ambiguous(Vec<String>),
    /// Too few digits so far.
    #[error("too few digits")]
    TooFewDigits {
        /// Those that were heard.
        heard: String,
    },
    /// Too many digits.
    #[error("too many digits")]
    TooManyDigits,
    /// Under the bound; its spoken form.
    #[error("less than allowed")]
    TooSmall(String),
    /// Over the bound; its spoken form.
    #[error("more than allowed")]
    TooLarge(String),
    /// A whole number is wanted.
    #[error("not a whole number")]
    NotWhole,
    /// A day in the past.
    #[error("in the past")]
    InThePast,
    /// Later than allowed; the last day's spoken form.
    #[error("too far away")]
    TooFar(String),
    /// A time of day outside of the bounds; their spoken forms.
    #[error("outside of the hours")]
    OutsideHours(String, String),
    /// A day without a time.
    #[error("a day without a time")]
    TimeMissing(Date),
    /// A time without a day.
    #[error("a time without a day")]
    DateMissing(Time),
    /// There is no such day (the 31st of February).
    #[error("no such day")]
    NoSuchDate,
}

impl fmt::Debug for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn one() -> u8 {
    1
}

fn twenty() -> u8 {
    20
}

fn thousand() -> u32 {
    1000
}
