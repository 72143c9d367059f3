//! Which of our words were heard: samples played become words, by estimated or given timing.

/// Samples of a millisecond of the telephone's sound.
pub const SAMPLES_PER_MS: u64 = 8;

/// What a unit of weight lasts when nothing better is known, in milliseconds: about 160 words a minute.
const WEIGHT_MS: u64 = 48;

#[derive(Clone, Debug, PartialEq, Eq)]
struct WordSpan {
    /// Byte range in the text, punctuation included.
    begin: usize,
    end: usize,
    /// Where it begins and ends, in weight from the start of the unit; the pause of its punctuation comes after its end.
    from: u64,
    to: u64,
}

/// The words of a unit of speech over its samples. Without given times a word lasts as its letters suggest, punctuation pauses, and
/// figures are read out.
#[derive(Clone, PartialEq, Eq)]
pub struct WordTimes {
    text: String,
    words: Vec<WordSpan>,
    weight: u64,
    /// The spans are samples, not estimates.
    given: bool,
}

/// Like the text itself, what is said stays out of logs.
impl std::fmt::Debug for WordTimes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{} words>", self.words.len())
    }
}

impl WordTimes {
    /// Times estimated from the letters.
    pub fn estimated(text: &str) -> Self {
        let mut at = 0_u64;
        let mut words = Vec::new();
        for (begin, end) in word_ranges(text) {
            let word = &text[begin..end];
            let from = at;
            at = at.saturating_add(word_weight(word));
            words.push(WordSpan {
                begin,
                end,
                from,
                to: at,
            });
            at = at.saturating_add(pause_weight(word));
        }
        Self {
            text: text.to_owned(),
            words,
            weight: at.max(1),
            given: false,
        }
    }

    /// Times as the voice tells them: for each word of the text (cut at white space) its first sample and the sample after its last.
    /// Falls back to estimates when their number or order does not fit the text.
    pub fn given(text: &str, spans: &[(u64, u64)]) -> Self {
        let ranges: Vec<(usize, usize)> = word_ranges(text).collect();
        let ordered = spans.windows(2).all(|pair| pair[0].1 <= pair[1].0) && spans.iter().all(|(from, to)| from <= to);
        if ranges.len() != spans.len() || !ordered {
            return Self::estimated(text);
        }
        Self {
            text: text.to_owned(),
            words: ranges
                .iter()
                .zip(spans)
                .map(|((begin, end), (from, to))| WordSpan {
                    begin: *begin,
                    end: *end,
                    from: *from,
                    to: *to,
                })
                .collect(),
            weight: spans.last().map_or(1, |(_, to)| (*to).max(1)),
            given: true,
        }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many samples it will probably take.
    pub fn estimated_samples(&self) -> u64 {
        if self.given {
            self.weight
        } else {
            self.weight.saturating_mul(WEIGHT_MS * SAMPLES_PER_MS)
        }
    }

    fn sample_of(&self, weight: u64, total_samples: u64) -> u64 {
        if self.given {
            return weight;
        }
        let sample = u128::from(weight) * u128::from(total_samples) / u128::from(self.weight);
        u64::try_from(sample).unwrap_or(u64::MAX)
    }

    /// The words heard when `played` of `total` samples were, and the rest. A word counts as heard from its middle on; all of them do
    /// at the end.
    pub fn heard(&self, played: u64, total: u64) -> (&str, &str) {
        if played >= total && total > 0 {
            return (self.text.trim(), "");
        }
        let heard = self.words.iter().take_while(|word| {
            let (from, to) = (self.sample_of(word.from, total), self.sample_of(word.to, total));
            played >= from + (to - from).div_ceil(2) && played > 0
        });
        let end = heard.last().map_or(0, |word| word.end);
        (self.text[..end].trim(), self.text[end..].trim())
    }

    /// Where to go on after having stopped at `played` of `total` samples: the start of the word that was cut, so that it is heard
    /// whole. Between words, or past the end, it is `played` itself.
    pub fn resume_at(&self, played: u64, total: u64) -> u64 {
        self.words
            .iter()
            .map(|word| (self.sample_of(word.from, total), self.sample_of(word.to, total)))
            .find(|(from, to)| (*from..*to).contains(&played))
            .map_or(played, |(from, _)| from)
    }
}

fn word_ranges(text: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
    let start = text.as_ptr() as usize;
    text.split_whitespace().map(move |word| {
        let begin = word.as_ptr() as usize - start;
        (begin, begin + word.len())
    })
}

/// A letter weighs 1, a figure 5 (it is read as a word), a word 2 more.
fn word_weight(word: &str) -> u64 {
    let letters: u64 = word
        .chars()
        .map(|c| match c {
            _ if c.is_numeric() => 5,
            _ if c.is_alphabetic() => 1,
            '%' | '$' | '€' | '£' | '@' | '&' | '+' | '=' => 6,
            _ => 0,
        })
        .sum();
    letters.saturating_add(2)
}

fn pause_weight(word: &str) -> u64 {
    match word.trim_end_matches(['"', '\'', ')', ']', '”', '’']).chars().last() {
        Some('.' | '!' | '?' | '…') => 7,
        Some(',' | ';' | ':' | '–' | '—') => 4,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_word_is_heard_from_its_middle_on() {
        // Four words of 1000 samples each, 100 between them.
        let times = WordTimes::given(
            "one two three four.",
            &[(0, 1_000), (1_100, 2_100), (2_200, 3_200), (3_300, 4_300)],
        );
        let rows = [
            (0, "", "one two three four."),
            (499, "", "one two three four."),
            (500, "one", "two three four."),
            (1_050, "one", "two three four."),
            (1_600, "one two", "three four."),
            (3_799, "one two three", "four."),
            (3_800, "one two three four.", ""),
            (9_999, "one two three four.", ""),
        ];
        for (played, heard, unheard) in rows {
            assert_eq!(times.heard(played, 4_300), (heard, unheard), "{played}");
        }
    }

    #[test]
    fn speech_resumes_at_the_start_of_the_word_that_was_cut() {
        let times = WordTimes::given("one two three", &[(0, 1_000), (1_100, 2_100), (2_200, 3_200)]);
        for (played, resumed) in [
            (0, 0),
            (700, 0),
            (1_000, 1_000),
            (1_050, 1_050),
            (1_100, 1_100),
            (2_000, 1_100),
            (9_000, 9_000),
        ] {
            assert_eq!(times.resume_at(played, 3_200), resumed, "{played}");
        }
    }

    #[test]
    fn estimates_follow_letters_figures_and_punctuation() {
        let seconds = |text: &str| WordTimes::estimated(text).estimated_samples() / (SAMPLES_PER_MS * 100);
        // In tenths of a second, by a stopwatch each within a third of these.
        assert_eq!(seconds("Hello."), 6);
        assert_eq!(seconds("Would you like to confirm your appointment for tomorrow?"), 34);
        assert!(seconds("0123456789") > 2 * seconds("abcdefghij"));
        let halves = WordTimes::estimated("aaaa bbbb");
        assert_eq!(halves.heard(500, 1_000), ("aaaa", "bbbb"));
        assert_eq!(halves.resume_at(700, 1_000), 500);
    }

    #[test]
    fn times_that_do_not_fit_are_estimated() {
        for spans in [&[(0, 10)][..], &[(10, 0), (20, 30)], &[(0, 20), (10, 30)]] {
            assert_eq!(WordTimes::given("one two", spans), WordTimes::estimated("one two"));
        }
    }

    proptest! {
        #[test]
        fn heard_and_unheard_make_the_whole_and_heard_only_grows(
            text in "[a-zA-Z0-9 ,.?é]{0,80}",
            total in 0_u64..400_000,
            a in 0_u64..500_000,
            b in 0_u64..500_000,
        ) {
            let times = WordTimes::estimated(&text);
            let (early, late) = (a.min(b), a.max(b));
            for played in [early, late] {
                let (heard, unheard) = times.heard(played, total);
                let joined: Vec<&str> = heard.split_whitespace().chain(unheard.split_whitespace()).collect();
                prop_assert_eq!(joined, text.split_whitespace().collect::<Vec<_>>());
                prop_assert!(times.resume_at(played, total) <= played);
            }
            prop_assert!(times.heard(early, total).0.len() <= times.heard(late, total).0.len());
            if total > 0 {
                prop_assert_eq!(times.heard(total, total).0, text.trim());
            }
        }
    }
}
