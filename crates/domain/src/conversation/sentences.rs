//! A stream of a model's words cut into units that can be spoken: sentences, or clauses where a sentence is long.
//!
//! The first unit is short, so that speech starts early. A cut is made only where what follows is known: a stop at the end of the
//! buffer may still become `3.5` or `example.com`.

use super::plain_text::plain_text;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How long units are. Lengths are characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SentenceSettings {
    /// The first unit may end at a clause (comma, colon, dash) from this length on. Default 24.
    pub first_clause_chars: usize,
    /// Later sentences shorter than this are spoken with the next one. Default 16.
    pub min_chars: usize,
    /// Longer units are cut at a clause, else between words. Default 200.
    pub max_chars: usize,
}

impl Default for SentenceSettings {
    fn default() -> Self {
        Self {
            first_clause_chars: 24,
            min_chars: 16,
            max_chars: 200,
        }
    }
}

/// Cuts a stream into units. In: pieces of text as they come. Out: plain text units, in order, none of them empty.
#[derive(Clone)]
pub struct Sentences {
    settings: SentenceSettings,
    pending: String,
    any_out: bool,
}

impl fmt::Debug for Sentences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sentences {{ {} bytes pending }}", self.pending.len())
    }
}

impl Sentences {
    /// An empty stream.
    pub fn new(settings: SentenceSettings) -> Self {
        Self {
            settings,
            pending: String::new(),
            any_out: false,
        }
    }

    /// More text; the units that it completes.
    pub fn push(&mut self, piece: &str) -> Vec<String> {
        self.pending.push_str(piece);
        let mut units = Vec::new();
        while let Some(end) = self.cut() {
            self.take(end, &mut units);
        }
        units
    }

    /// The stream has ended: what is left.
    pub fn finish(&mut self) -> Vec<String> {
        let mut units = self.push("\n");
        let end = self.pending.len();
        self.take(end, &mut units);
        units
    }

    fn take(&mut self, end: usize, units: &mut Vec<String>) {
        let rest = self.pending.split_off(end);
        let unit = plain_text(&std::mem::replace(&mut self.pending, rest));
        if unit.chars().any(char::is_alphanumeric) {
            self.any_out = true;
            units.push(unit);
        }
    }

    /// Byte position behind the next unit, if it is complete.
    fn cut(&self) -> Option<usize> {
        let min_chars = if self.any_out { self.settings.min_chars } else { 2 };
        let max_chars = self.settings.max_chars.max(20);
        let (mut clause, mut space) = (None, None);
        let mut chars = self.pending.char_indices().enumerate().peekable();
        let mut spoken = 0_usize;
        while let Some((_, (at, c))) = chars.next() {
            let end = at + c.len_utf8();
            if !c.is_whitespace() {
                spoken += 1;
            }
            let next = chars.peek().map(|(_, (_, next))| *next);
            if c == '\n' && spoken > 0 && self.line_ends(at) {
                return Some(end);
            }
            if c.is_whitespace() && spoken > 0 {
                space = Some(end);
            }
            if is_stop(c) && self.stop_ends(at, end)? && spoken >= min_chars {
                return Some(self.with_closers(end));
            }
            if is_clause(c) && next.is_some_and(char::is_whitespace) && spoken >= 12 {
                if !self.any_out && spoken >= self.settings.first_clause_chars {
                    return Some(end);
                }
                clause = Some(end);
            }
            if spoken >= max_chars {
                return clause.or(space).or(Some(end));
            }
        }
        None
    }

    /// A line break ends a unit unless the line is only a mark.
    fn line_ends(&self, at: usize) -> bool {
        let before = self.pending[..at].trim_end();
        before.chars().any(char::is_alphanumeric)
    }

    /// Whether the stop before `end` ends a sentence; `None` while what follows is not known.
    fn stop_ends(&self, at: usize, end: usize) -> Option<bool> {
        let rest = self.pending[end..].trim_start_matches(is_closer);
        let wide = self.pending[at..end]
            .chars()
            .all(|c| matches!(c, '。' | '！' | '？' | '।'));
        if wide {
            return Some(true);
        }
        let Some(next) = rest.chars().next() else {
            // Nothing is known of what follows; a later look will tell.
            return None;
        };
        if !next.is_whitespace() {
            return Some(false);
        }
        if !self.pending[at..].starts_with('.') {
            return Some(true);
        }
        let before = &self.pending[..at];
        let word = before
            .rsplit(|c: char| c.is_whitespace() || matches!(c, '(' | '"' | '“'))
            .next()
            .unwrap_or_default();
        // A list's number (`1. Say`), an initial (`J. Smith`), an abbreviation (`Dr. Who`) end nothing.
        let line_start = before.trim_end_matches(word).ends_with('\n') || before.trim_end_matches(word).is_empty();
        let list_number = line_start && !word.is_empty() && word.len() <= 2 && word.chars().all(|c| c.is_ascii_digit());
        let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase) && word != "I";
        Some(!(list_number || initial || is_abbreviation(word)))
    }

    fn with_closers(&self, end: usize) -> usize {
        let rest = &self.pending[end..];
        end + (rest.len() - rest.trim_start_matches(is_closer).len())
    }
}

fn is_stop(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '。' | '！' | '？' | '।')
}

fn is_clause(c: char) -> bool {
    matches!(c, ',' | ';' | ':' | '–' | '—' | '،' | '，' | '、')
}

fn is_closer(c: char) -> bool {
    matches!(
        c,
        '"' | '\'' | ')' | ']' | '”' | '’' | '*' | '_' | '`' | '.' | '!' | '?'
    )
}

fn is_abbreviation(word: &str) -> bool {
    const KNOWN: &[&str] = &[
        "mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "vs", "etc", "e.g", "i.e", "approx", "no", "nr", "ext",
        "dept", "inc", "ltd", "co", "corp", "ave", "blvd", "rd", "apt", "mt", "ft", "jan", "feb", "mar", "apr", "jun",
        "jul", "aug", "sep", "sept", "oct", "nov", "dec", "mon", "tue", "tues", "wed", "thu", "thurs", "fri", "u.s",
        "u.k", "gen", "col", "capt", "rev", "hon", "fig", "max", "min", "tel",
    ];
    let lower = word.to_lowercase();
    // These are words as well: only their capitalised or following forms abbreviate, and a sentence rarely ends in them.
    let ambiguous = matches!(word, "no" | "co" | "mar" | "max" | "min" | "sun" | "mon" | "fig");
    !ambiguous && KNOWN.contains(&lower.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn units_of(pieces: &[&str]) -> Vec<String> {
        let mut sentences = Sentences::new(SentenceSettings::default());
        let mut units: Vec<String> = pieces.iter().flat_map(|piece| sentences.push(piece)).collect();
        units.extend(sentences.finish());
        units
    }

    #[test]
    fn text_is_cut_into_units_that_can_be_spoken() {
        let rows: &[(&str, &[&str])] = &[
            ("Hello.", &["Hello."]),
            (
                "Hi! How are you today, my friend?",
                &["Hi!", "How are you today, my friend?"],
            ),
            (
                "Thank you for calling the clinic, this is the assistant. How can I help you?",
                &[
                    "Thank you for calling the clinic,",
                    "this is the assistant.",
                    "How can I help you?",
                ],
            ),
            (
                "Your total is 3.50 dollars. It is due on Friday, Jan. 5 at noon.",
                &["Your total is 3.50 dollars.", "It is due on Friday, Jan. 5 at noon."],
            ),
            (
                "Dr. J. Smith sees you. Please visit www.example.com/a.b for more details.",
                &[
                    "Dr. J. Smith sees you.",
                    "Please visit www.example.com/a.b for more details.",
                ],
            ),
            (
                "Great. Yes. I can certainly do that for you.",
                &["Great.", "Yes. I can certainly do that for you."],
            ),
            (
                "He said \"stop.\" Then we left the building together.",
                &["He said \"stop.\"", "Then we left the building together."],
            ),
            (
                "**Sure!** Let us do it right now, then.",
                &["Sure!", "Let us do it right now, then."],
            ),
            (
                "1. First do this thing.\n2. Then do that thing.",
                &["1. First do this thing.", "2. Then do that thing."],
            ),
            (
                "Wait... what did you say to me?!",
                &["Wait...", "what did you say to me?!"],
            ),
            (
                "एक वाक्य यहाँ है। दूसरा वाक्य भी यहाँ पर लिखा हुआ है।",
                &["एक वाक्य यहाँ है।", "दूसरा वाक्य भी यहाँ पर लिखा हुआ है।"],
            ),
            ("🎉", &[]),
            ("", &[]),
            ("no punctuation at all", &["no punctuation at all"]),
            (
                "I said no. That is the end of the matter.",
                &["I said no.", "That is the end of the matter."],
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(units_of(&[text]), *expected, "{text:?}");
        }
    }

    #[test]
    fn a_unit_is_told_as_soon_as_its_end_is_certain() {
        let mut sentences = Sentences::new(SentenceSettings::default());
        let steps: &[(&str, &[&str])] = &[
            ("It is 3", &[]),
            (".", &[]),
            ("5 percent", &[]),
            (".", &[]),
            (" Is", &["It is 3.5 percent."]),
            (" that all right with you?", &[]),
            ("\n", &["Is that all right with you?"]),
        ];
        for (piece, expected) in steps {
            assert_eq!(sentences.push(piece), *expected, "{piece:?}");
        }
        assert_eq!(sentences.finish(), [""; 0]);
    }

    #[test]
    fn a_sentence_without_end_is_cut_at_a_clause_and_then_between_words() {
        let clause = "one two three four five six seven eight nine ten, ".repeat(12);
        for unit in units_of(&[&clause]) {
            assert!(unit.ends_with("ten,"), "{unit:?}");
            assert!(unit.chars().count() <= 260, "{unit:?}");
        }
        let words = "word ".repeat(200);
        for unit in units_of(&[&words]) {
            assert!(unit.split(' ').all(|word| word == "word"), "{unit:?}");
        }
    }

    proptest! {
        #[test]
        fn no_word_is_lost_however_the_stream_is_cut(
            text in "[a-zA-Z0-9]{1,10}([ ,.?!]{1,2}[a-zA-Z0-9]{1,10}){0,60}",
            cuts in proptest::collection::vec(1_usize..9, 0..80),
        ) {
            let mut pieces = Vec::new();
            let mut rest = text.as_str();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            let streamed = units_of(&pieces);
            let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            prop_assert_eq!(letters(&streamed.concat()), letters(&text));
            prop_assert_eq!(&streamed, &units_of(&[&text]), "the pieces do not matter");
        }

        #[test]
        fn any_text_is_taken(text in "\\PC{0,300}") {
            for unit in units_of(&[&text]) {
                prop_assert!(!unit.trim().is_empty());
            }
        }
    }
}
