//! The vocabulary of the recogniser: numbers to text.

use super::models::ModelProblem;

/// Where a word begins in the vocabulary's pieces (U+2581).
const WORD_MARK: char = '\u{2581}';

/// What the model writes for music, which is no word.
const MUSIC: char = '♪';

/// The pieces of text behind token numbers.
pub(super) struct Vocabulary {
    pieces: Vec<Vec<u8>>,
}

/// Begins a text; the first input of the decoder.
pub(super) const BEGIN: i64 = 1;
/// Ends a text.
pub(super) const END: i64 = 2;

impl Vocabulary {
    /// Reads Moonshine's `tokenizer.bin`: for each token its length (one byte, or two from 128 on, low seven bits first), then
    /// its bytes.
    pub(super) fn read(file: &[u8]) -> Result<Self, ModelProblem> {
        let cut_off = || ModelProblem::Malformed("tokenizer.bin ends within a token");
        let mut pieces = Vec::new();
        let mut rest = file;
        while let Some((first, after)) = rest.split_first() {
            let (length, after) = if *first < 128 {
                (usize::from(*first), after)
            } else {
                let (second, after) = after.split_first().ok_or_else(cut_off)?;
                (usize::from(*second) * 128 + usize::from(*first) - 128, after)
            };
            let (piece, after) = after.split_at_checked(length).ok_or_else(cut_off)?;
            pieces.push(piece.to_vec());
            rest = after;
        }
        if pieces.len() <= END as usize {
            return Err(ModelProblem::Malformed("tokenizer.bin holds no vocabulary"));
        }
        Ok(Self { pieces })
    }

    /// The text of tokens, without the marks of beginning and end. A token that is none stands for nothing.
    pub(super) fn text(&self, tokens: &[i64]) -> String {
        let mut bytes = Vec::new();
        for token in tokens.iter().filter(|token| **token > END) {
            if let Some(piece) = usize::try_from(*token).ok().and_then(|index| self.pieces.get(index)) {
                let is_mark = piece.starts_with(b"<<") && piece.ends_with(b">>");
                if !is_mark {
                    bytes.extend_from_slice(piece);
                }
            }
        }
        // A text that was stopped within a letter ends before it.
        let text = String::from_utf8_lossy(&bytes);
        let text = text
            .replace(WORD_MARK, " ")
            .replace([char::REPLACEMENT_CHARACTER, MUSIC], "");
        text.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(pieces: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in pieces {
            if piece.len() < 128 {
                bytes.push(piece.len() as u8);
            } else {
                bytes.push((piece.len() % 128 + 128) as u8);
                bytes.push((piece.len() / 128) as u8);
            }
            bytes.extend_from_slice(piece);
        }
        bytes
    }

    #[test]
    fn tokens_become_words_and_marks_become_nothing() {
        let long = vec![b'a'; 300];
        let vocabulary = Vocabulary::read(&file(&[
            b"<unk>",
            b"<s>",
            b"</s>",
            "\u{2581}hel".as_bytes(),
            b"lo",
            "\u{2581}you".as_bytes(),
            b"<<ST_1>>",
            &[0xc3],
            &[0xa9],
            &long,
        ]))
        .expect("a vocabulary");
        let rows: [(&[i64], &str); 5] = [
            (&[BEGIN, 3, 4, 5, END], "hello you"),
            (&[3, 6, 4, 99, -4], "hello"),
            (&[5, 7, 8], "youé"),
            (&[], ""),
            (&[9], &"a".repeat(300)),
        ];
        for (tokens, text) in rows {
            assert_eq!(vocabulary.text(tokens), text);
        }
    }

    #[test]
    fn half_a_file_is_refused() {
        for bytes in [&[][..], &[5, b'a'], &[200], &[1, b'a']] {
            assert!(Vocabulary::read(bytes).is_err(), "{bytes:?}");
        }
    }
}
