//! What a language must bring so that a flow can speak and understand it. English is the first; another is one more
//! implementation of [`Grammar`] and one more line in [`grammar`].

use super::answer::{AnswerType, NotUnderstood, Understood};
use super::english::English;
use crate::campaign::calling_window::ZoneName;
use crate::language::Language;
use crate::time::UnixMicros;
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// When and where an answer is given: "tomorrow at five" means nothing without it.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Now.
    pub now: UnixMicros,
    /// The callee's zone.
    pub zone: ZoneName,
}

impl Moment {
    /// Now by the callee's clock; UTC if the zone is not known to this database.
    pub fn local(&self) -> Zoned {
        let timestamp = Timestamp::from_microsecond(self.now.micros()).unwrap_or(Timestamp::UNIX_EPOCH);
        timestamp.to_zoned(self.zone.time_zone().unwrap_or(jiff::tz::TimeZone::UTC))
    }
}

/// What a callee may say at any node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// Call me later.
    Later,
    /// Do not call me again.
    DoNotCall,
    /// You have the wrong person.
    WrongPerson,
    /// Say that again.
    Repeat,
    /// I want a person.
    Person,
    /// Goodbye.
    Goodbye,
    /// Who is this?
    Who,
    /// What is this about?
    About,
    /// One moment.
    HoldOn,
}

/// An intent that was heard.
#[derive(Clone, Debug, PartialEq)]
pub struct IntentHeard {
    /// Which.
    pub intent: Intent,
    /// 0 to 100.
    pub confidence_percent: u8,
    /// Whether hardly anything else was said, so that it can be no answer to an open question.
    pub whole: bool,
}

/// How a value is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpokenAs {
    /// By its shape.
    Shape,
    /// Digit by digit.
    Digits,
    /// As an ordinal.
    Ordinal,
    /// As a day.
    Date,
    /// As a time of day.
    Time,
    /// As an amount; for a number, of this currency.
    Amount,
}

/// Words of our own that a flow need not write.
#[derive(Clone, Debug)]
pub(super) enum Phrase<'a> {
    /// Nothing was heard.
    Silence,
    /// An answer was not understood, and why.
    Why(&'a NotUnderstood, &'a AnswerType),
    /// Reads an answer back.
    DidYouSay(String),
    /// Asks for a time to call back.
    WhenToCallBack,
    /// Confirms a callback at a spoken time.
    WillCallBackAt(String),
    /// Confirms a callback at no particular time.
    WillCallBack,
    /// Confirms that nobody will call again.
    WillNotCall,
    /// To a person whom nobody wanted to call.
    SorryWrongPerson,
    /// A person will see to it.
    WillPassOn,
    /// The last words.
    Goodbye,
    /// "Take your time."
    TakeYourTime,
    /// Are they still there, after they asked us to hold on?
    StillThere,
    /// Who we are, when the flow does not say.
    WhoWeAre {
        /// The company, if known.
        company: Option<&'a str>,
    },
    /// The conversation leads nowhere.
    GivingUp,
    /// A question whose own words failed.
    PleaseAnswer,
    /// No model answers.
    Trouble,
}

/// A language: how answers and intents are understood and values are spoken.
pub trait Grammar: Sync {
    /// The answer of the wanted kind in what was heard. Bounds are kept.
    ///
    /// # Errors
    /// Why there is none, so that the right thing can be asked next.
    fn understand(&self, wanted: &AnswerType, heard: &str, moment: &Moment) -> Result<Understood, NotUnderstood>;

    /// What the callee wants apart from answering, if anything. `callee_name` makes "this is not John" certain.
    fn intent(&self, heard: &str, callee_name: Option<&str>) -> Option<IntentHeard>;

    /// A value as a person says it, in words.
    fn speak(&self, value: &Value) -> String;
}

/// What the rest of the flow needs of a language beside [`Grammar`].
pub(super) trait Speech: Grammar {
    /// A value in words.
    fn speak_as(&self, value: &Value, how: SpokenAs, currency: Option<&str>) -> String;

    /// Words of our own.
    fn phrase(&self, phrase: &Phrase<'_>) -> String;

    /// When to call back, if a time is said; `Err` tells what is missing.
    fn call_back_time(&self, heard: &str, moment: &Moment) -> Result<Zoned, NotUnderstood>;

    /// A moment as it is spoken to somebody whose clock shows `moment`.
    fn speak_moment(&self, at: &Zoned, moment: &Moment) -> String;
}

static ENGLISH: English = English;

pub(super) fn speech(language: &Language) -> Option<&'static dyn Speech> {
    match language.primary() {
        "en" => Some(&ENGLISH),
        _ => None,
    }
}

/// The grammar of a language, if there is one.
pub fn grammar(language: &Language) -> Option<&'static dyn Grammar> {
    match language.primary() {
        "en" => Some(&ENGLISH),
        _ => None,
    }
}
