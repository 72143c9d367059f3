//! Text to be said, cut where a speaker breathes: so that the first words come early and no stretch is too long to compute.

/// A first piece shorter than this sounds chopped off.
const FIRST_PIECE_LETTERS_MIN: usize = 12;
/// The longest piece, in letters; a longer sentence is cut at its commas, then between words.
const PIECE_LETTERS_MAX: usize = 180;
/// The longest text of one request, in letters; about ten minutes of speech.
pub(super) const TEXT_LETTERS_MAX: usize = 8_000;

/// The pause after a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Pause {
    /// The text goes on in the same breath.
    Breath,
    /// A sentence is over.
    Sentence,
    /// The text is over.
    End,
}

impl Pause {
    /// How long it is, in milliseconds.
    pub(super) fn duration_ms(self) -> u32 {
        match self {
            Pause::Breath => 120,
            Pause::Sentence => 280,
            Pause::End => 60,
        }
    }
}

/// A piece of a text, and the pause after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) pause: Pause,
}

/// Cuts a text into pieces that are said one after the other. The first is a clause, if it is not too short; the others are
/// sentences. Empty if there is nothing to say.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for sentence in sentences(text) {
        let clauses = clauses(sentence);
        let mut piece = String::new();
        for clause in clauses {
            let is_first = pieces.is_empty();
            let enough = if is_first {
                FIRST_PIECE_LETTERS_MIN
            } else {
                PIECE_LETTERS_MAX
            };
            let would_be_too_long = letters(&piece) + letters(clause) > PIECE_LETTERS_MAX;
            if !piece.is_empty() && (would_be_too_long || (is_first && letters(&piece) >= enough)) {
                push(&mut pieces, std::mem::take(&mut piece), Pause::Breath);
            }
            if !piece.is_empty() {
                piece.push(' ');
            }
            piece.push_str(clause);
        }
        push(&mut pieces, piece, Pause::Sentence);
    }
    if let Some(last) = pieces.last_mut() {
        last.pause = Pause::End;
    }
    pieces
}

fn letters(text: &str) -> usize {
    text.chars().count()
}

fn push(pieces: &mut Vec<Piece>, text: String, pause: Pause) {
    if !text.chars().any(char::is_alphanumeric) {
        return;
    }
    let mut rest = text.as_str();
    while letters(rest) > PIECE_LETTERS_MAX {
        let limit = rest
            .char_indices()
            .nth(PIECE_LETTERS_MAX)
            .map_or(rest.len(), |(at, _)| at);
        // Between words, or in the middle of a word that has no end.
        let cut = rest[..limit].rfind(' ').filter(|at| *at > 0).unwrap_or(limit);
        pieces.push(Piece {
            text: rest[..cut].trim().to_owned(),
            pause: Pause::Breath,
        });
        rest = rest[cut..].trim_start();
    }
    if !rest.is_empty() {
        pieces.push(Piece {
            text: rest.to_owned(),
            pause,
        });
    }
}

/// Sentences, each with its mark. A mark ends one only before white space or the end, so that `2.5` and `e.g.x` stay whole; a
/// full stop after a short title or a single letter does not.
fn sentences(text: &str) -> Vec<&str> {
    let ends = |before: &str, mark: char| mark != '.' || !is_abbreviation(before);
    cut_after(text, |mark| matches!(mark, '.' | '!' | '?' | '…' | '\n'), ends)
}

/// Clauses of a sentence, each with its mark.
pub(super) fn clauses(sentence: &str) -> Vec<&str> {
    cut_after(
        sentence,
        |mark| matches!(mark, ',' | ';' | ':' | '–' | '—'),
        |_, _| true,
    )
}

fn cut_after(text: &str, is_mark: impl Fn(char) -> bool, ends: impl Fn(&str, char) -> bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let after = at + letter.len_utf8();
        let before_space = letters.peek().is_none_or(|(_, next)| next.is_whitespace());
        if is_mark(letter) && (before_space || letter == '\n') && ends(&text[start..at], letter) {
            parts.push(text[start..after].trim());
            start = after;
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

fn is_abbreviation(before: &str) -> bool {
    const TITLES: [&str; 9] = ["mr", "mrs", "ms", "dr", "st", "prof", "no", "vs", "etc"];
    let word = before
        .rsplit(|letter: char| letter.is_whitespace())
        .next()
        .unwrap_or_default();
    let word = word.to_ascii_lowercase();
    TITLES.contains(&word.as_str()) || (word.len() == 1 && word != "i" && word.chars().all(char::is_alphabetic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_where_a_speaker_breathes() {
        // text, pieces
        let rows: [(&str, &[&str]); 10] = [
            ("Yes.", &["Yes."]),
            ("", &[]),
            ("  … !  ", &[]),
            ("Hello. How are you?", &["Hello.", "How are you?"]),
            (
                "Good morning Mary, this is Ann from the clinic, and I am calling about Friday. All right?",
                &[
                    "Good morning Mary,",
                    "this is Ann from the clinic, and I am calling about Friday.",
                    "All right?",
                ],
            ),
            (
                "Well, that costs 2.50, doesn't it?",
                &["Well, that costs 2.50,", "doesn't it?"],
            ),
            (
                "I saw Dr. Smith at 3.30. He left.",
                &["I saw Dr. Smith at 3.30.", "He left."],
            ),
            ("So did I. Then J. Jones came.", &["So did I.", "Then J. Jones came."]),
            ("One\nTwo", &["One", "Two"]),
            ("No stop at the end", &["No stop at the end"]),
        ];
        for (text, wanted) in rows {
            let found = pieces(text);
            let texts: Vec<&str> = found.iter().map(|piece| piece.text.as_str()).collect();
            assert_eq!(texts, wanted, "{text}");
            assert_eq!(
                found.iter().filter(|piece| piece.pause == Pause::End).count(),
                usize::from(!wanted.is_empty()),
                "{text}"
            );
        }
    }

    #[test]
    fn nothing_is_lost_and_nothing_is_too_long() {
        let long = "word ".repeat(200) + "end. " + &"x".repeat(500);
        let found = pieces(&long);
        assert!(
            found.iter().all(|piece| letters(&piece.text) <= PIECE_LETTERS_MAX),
            "{found:?}"
        );
        let joined: String = found
            .iter()
            .flat_map(|piece| piece.text.chars())
            .filter(|c| *c != ' ')
            .collect();
        assert_eq!(joined, long.replace(' ', ""));
    }
}
