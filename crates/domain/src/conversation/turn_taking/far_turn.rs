//! The callee's open turn: its utterances, keys and pauses.

use super::io::{Hearing, UtteranceNumber};
use crate::conversation::clock::CallMs;
use crate::conversation::transcript::SpokenText;

/// The longest text of one turn that is kept, in bytes: recognisers of others may send anything.
const TEXT_BYTES_MAX: usize = 20_000;

#[derive(Clone)]
pub(super) struct Utterance {
    pub(super) number: UtteranceNumber,
    pub(super) begun: CallMs,
    pub(super) partial_asked: CallMs,
    pub(super) partial: Option<SpokenText>,
    /// Its words, or that there will be none.
    pub(super) result: Option<Result<SpokenText, ()>>,
    pub(super) ended: Option<CallMs>,
    pub(super) voiced_ms: u64,
}

impl Utterance {
    /// Its words as far as they are known.
    fn words(&self) -> Option<&SpokenText> {
        match &self.result {
            Some(Ok(words)) => Some(words),
            Some(Err(())) | None => self.partial.as_ref(),
        }
    }
}

#[derive(Clone)]
pub(super) struct FarTurn {
    pub(super) begun: CallMs,
    pub(super) utterances: Vec<Utterance>,
    pub(super) keys: String,
    pub(super) last_key: Option<CallMs>,
    /// The pause that the judge was asked about, until the voice goes on.
    pub(super) pause: Option<u32>,
    pub(super) judge: Option<f32>,
    /// It began before our first words: how the telephone was answered.
    pub(super) is_greeting: bool,
}

impl FarTurn {
    pub(super) fn new(begun: CallMs) -> Self {
        Self {
            begun,
            utterances: Vec::new(),
            keys: String::new(),
            last_key: None,
            pause: None,
            judge: None,
            is_greeting: false,
        }
    }

    pub(super) fn open_utterance(&mut self) -> Option<&mut Utterance> {
        self.utterances.last_mut().filter(|last| last.ended.is_none())
    }

    pub(super) fn last_open(&self) -> Option<&Utterance> {
        self.utterances.last().filter(|last| last.ended.is_none())
    }

    /// When the last utterance ended; `None` while one is open, or when there is none.
    pub(super) fn last_ended(&self) -> Option<CallMs> {
        self.utterances.last().and_then(|last| last.ended)
    }

    /// Whether no words are to come any more.
    pub(super) fn is_settled(&self) -> bool {
        self.utterances.iter().all(|utterance| utterance.result.is_some())
    }

    /// Whether the recogniser has said anything at all about it.
    pub(super) fn anything_told(&self) -> bool {
        self.utterances
            .iter()
            .any(|utterance| utterance.partial.is_some() || utterance.result.is_some())
    }

    pub(super) fn voiced_ms(&self) -> u64 {
        self.utterances.iter().map(|utterance| utterance.voiced_ms).sum()
    }

    pub(super) fn hearing(&self) -> Hearing {
        if self.utterances.iter().any(|utterance| utterance.result.is_none()) {
            Hearing::Late
        } else if self
            .utterances
            .iter()
            .any(|utterance| utterance.result == Some(Err(())))
        {
            Hearing::Failed
        } else {
            Hearing::Complete
        }
    }

    /// Whether any words are known.
    pub(super) fn has_words(&self) -> bool {
        self.utterances
            .iter()
            .any(|utterance| utterance.words().is_some_and(|words| !words.trim().is_empty()))
    }

    /// The words known so far.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for words in self.utterances.iter().filter_map(Utterance::words) {
            let words = words.trim();
            if words.is_empty() || text.len() + words.len() > TEXT_BYTES_MAX {
                continue;
            }
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(words);
        }
        text
    }

    pub(super) fn find(&mut self, number: UtteranceNumber) -> Option<&mut Utterance> {
        self.utterances.iter_mut().find(|utterance| utterance.number == number)
    }
}
