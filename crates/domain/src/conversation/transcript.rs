//! What was said on a call, by whom and when, with a mark on what of our words was not heard.

use super::clock::CallMs;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Deref;

/// Words that somebody said on a call. They are private: the `Debug` form tells only how long they are.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpokenText(pub String);

impl SpokenText {
    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SpokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} characters>", self.0.chars().count())
    }
}

impl Deref for SpokenText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for SpokenText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for SpokenText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// Our side.
    Agent,
    /// The far end.
    Callee,
}

/// How much of it reached the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    /// All of it.
    Full,
    /// Its beginning: `unheard_text` holds the rest.
    Cut,
}

/// One stretch of somebody's speech.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptEntry {
    /// Who.
    pub who: Speaker,
    /// The words that were heard. For the callee: as recognised.
    pub text: SpokenText,
    /// Keys that the callee pressed with these words, as printed.
    #[serde(default, skip_serializing_if = "SpokenText::is_empty_text")]
    pub keys: SpokenText,
    /// When it began.
    pub begin_ms: CallMs,
    /// When it ended.
    pub end_ms: CallMs,
    /// How much was heard.
    pub heard: Heard,
    /// The words of ours that were made but not heard.
    #[serde(default, skip_serializing_if = "SpokenText::is_empty_text")]
    pub unheard_text: SpokenText,
}

impl SpokenText {
    fn is_empty_text(text: &SpokenText) -> bool {
        text.0.is_empty()
    }
}

/// Everything that was said on a call, ordered by when it began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Transcript {
    entries: Vec<TranscriptEntry>,
}

impl Transcript {
    /// The entries in order.
    pub fn entries(&self) -> &[TranscriptEntry] {
        &self.entries
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an entry behind all that began no later. An entry that ends before it begins is given no length. Returns its place.
    pub fn add(&mut self, mut entry: TranscriptEntry) -> usize {
        entry.end_ms = entry.end_ms.max(entry.begin_ms);
        let place = self.entries.partition_point(|other| other.begin_ms <= entry.begin_ms);
        self.entries.insert(place, entry);
        place
    }

    /// Replaces the words of the callee's entry that began at `begin_ms`: a recogniser that was late knows better. Does nothing when
    /// there is none.
    pub fn correct(&mut self, begin_ms: CallMs, text: SpokenText) {
        if let Some(entry) = self
            .entries
            .iter_mut()
            .find(|entry| entry.who == Speaker::Callee && entry.begin_ms == begin_ms)
        {
            entry.text = text;
        }
    }

    /// The whole as lines of `agent: words` and `callee: words`, heard words only; lines without words are left out.
    pub fn as_dialogue(&self) -> String {
        let mut lines = String::new();
        for entry in self.entries.iter().filter(|entry| !entry.text.trim().is_empty()) {
            lines.push_str(match entry.who {
                Speaker::Agent => "agent: ",
                Speaker::Callee => "callee: ",
            });
            lines.push_str(entry.text.trim());
            lines.push('\n');
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(who: Speaker, text: &str, begin_ms: u64, end_ms: u64) -> TranscriptEntry {
        TranscriptEntry {
            who,
            text: text.into(),
            keys: SpokenText::default(),
            begin_ms: CallMs(begin_ms),
            end_ms: CallMs(end_ms),
            heard: Heard::Full,
            unheard_text: SpokenText::default(),
        }
    }

    #[test]
    fn entries_stand_in_the_order_in_which_they_began() {
        let mut transcript = Transcript::default();
        for (text, begin_ms) in [("b", 200), ("a", 100), ("c", 200), ("d", 300)] {
            transcript.add(entry(Speaker::Agent, text, begin_ms, 0));
        }
        assert_eq!(
            transcript.as_dialogue(),
            "agent: a\nagent: b\nagent: c\nagent: d\n",
            "by begin, then by arrival"
        );
        assert!(
            transcript.entries().iter().all(|entry| entry.end_ms == entry.begin_ms),
            "no entry ends before it begins"
        );
    }

    #[test]
    fn what_was_said_stays_out_of_debug_output() {
        let mut transcript = Transcript::default();
        transcript.add(entry(Speaker::Callee, "my number is 4155550100", 0, 10));
        let debug = format!("{transcript:?}");
        assert!(!debug.contains("4155550100"), "{debug}");
        assert!(debug.contains("<23 characters>"), "{debug}");
    }

    #[test]
    fn a_late_recogniser_corrects_only_the_callee() {
        let mut transcript = Transcript::default();
        transcript.add(entry(Speaker::Agent, "hello", 5, 10));
        transcript.add(entry(Speaker::Callee, "high", 5, 10));
        transcript.correct(CallMs(5), "hi".into());
        transcript.correct(CallMs(6), "nothing there".into());
        assert_eq!(transcript.as_dialogue(), "agent: hello\ncallee: hi\n");
    }

    #[test]
    fn a_stored_transcript_reads_back() {
        let mut transcript = Transcript::default();
        transcript.add(TranscriptEntry {
            heard: Heard::Cut,
            unheard_text: "do for you?".into(),
            ..entry(Speaker::Agent, "What can I", 5, 900)
        });
        let json = serde_json::to_string(&transcript).unwrap();
        assert_eq!(
            json,
            r#"[{"who":"agent","text":"What can I","begin_ms":5,"end_ms":900,"heard":"cut","unheard_text":"do for you?"}]"#
        );
        assert_eq!(serde_json::from_str::<Transcript>(&json).unwrap(), transcript);
    }
}
