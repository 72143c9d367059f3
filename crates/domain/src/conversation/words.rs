//! What words tell about turns: hums and acknowledgements, words that stop a speaker, words that promise more, digits.
//!
//! Only as much as timing needs. What an answer means is for the brain. A language that is not here has no lists: then any word is a
//! word, and the rest is left to sound and silence.

use super::english::ENGLISH;
use crate::language::Language;

/// The lists of one language.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lexicon {
    pub(super) backchannels: &'static [&'static str],
    pub(super) answers: &'static [&'static str],
    pub(super) stops: &'static [&'static str],
    pub(super) greetings: &'static [&'static str],
    pub(super) farewells: &'static [&'static str],
    pub(super) trailing: &'static [&'static str],
    pub(super) not_trailing: &'static [&'static str],
    pub(super) digits: &'static [(&'static str, u8)],
    pub(super) times: &'static [&'static str],
}

const NONE: Lexicon = Lexicon {
    backchannels: &[],
    answers: &[],
    stops: &[],
    greetings: &[],
    farewells: &[],
    trailing: &[],
    not_trailing: &[],
    digits: &[],
    times: &[],
};

/// The words of a text: lower case, without punctuation, cut at hyphens; letters drawn out (`yeahhh`, `mmmm`) are shortened.
pub(super) fn tokens(text: &str) -> Vec<String> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '’'))
        .filter_map(|word| {
            let word: String = word
                .chars()
                .flat_map(char::to_lowercase)
                .map(|c| if c == '’' { '\'' } else { c })
                .collect();
            let token = undrawn(word.trim_matches('\''));
            (!token.is_empty()).then_some(token)
        })
        .collect()
}

/// Three equal letters in a row or more are one.
fn undrawn(word: &str) -> String {
    let chars: Vec<char> = word.chars().collect();
    let mut token = String::with_capacity(word.len());
    for run in chars.chunk_by(|a, b| a == b) {
        let kept = if run.len() >= 3 && !run[0].is_numeric() {
            1
        } else {
            run.len()
        };
        token.extend(&run[..kept]);
    }
    token
}

/// A sound without words: `mm`, `mhm`, `uh`, `huh`, `hmm`, `ah`.
fn is_hum(token: &str) -> bool {
    token.chars().count() <= 8
        && token.chars().all(|c| matches!(c, 'm' | 'h' | 'u' | 'a'))
        && !matches!(token, "a" | "ham" | "ma" | "mama" | "ha" | "haha")
}

impl Lexicon {
    /// The lists of a language; empty ones for a language that has none here.
    pub(super) fn of(language: &Language) -> &'static Lexicon {
        match language.primary() {
            "en" => &ENGLISH,
            _ => &NONE,
        }
    }

    /// Whether the words only show that somebody listens: `mhm`, `okay`, `yeah, right`.
    pub(super) fn is_backchannel(&self, tokens: &[String]) -> bool {
        tokens.len() <= 5 && made_of(tokens, is_hum, self.backchannels)
    }

    /// Whether the words are the beginning of a backchannel: `got` of `got it`, `okay that's` of `okay that's right`.
    pub(super) fn begins_backchannel(&self, tokens: &[String]) -> bool {
        tokens.len() <= 5
            && (0..tokens.len()).any(|start| {
                let rest = &tokens[start..];
                let is_prefix = |phrase: &&&str| {
                    let mut words = phrase.split(' ');
                    rest.iter().all(|token| words.next() == Some(token)) && words.next().is_some()
                };
                (start == 0 || self.is_backchannel(&tokens[..start]))
                    && self.backchannels.iter().any(|phrase| is_prefix(&phrase))
            })
    }

    /// Whether the words are a whole answer to a yes-or-no question: `yes`, `yeah`, `no thank you`, `mhm`.
    pub(super) fn is_answer(&self, tokens: &[String]) -> bool {
        let hum = |token: &str| is_hum(token) && !matches!(token, "um" | "uh" | "hm" | "hmm" | "uhm" | "umm" | "ah");
        let doubled_hum = tokens.len() >= 2 && tokens.iter().all(|token| is_hum(token) && token != "um");
        tokens.len() <= 6 && (doubled_hum || made_of(tokens, hum, self.answers))
    }

    /// Whether the words tell a speaker to stop: `wait`, `hold on`, `who is this`.
    pub(super) fn has_stop(&self, tokens: &[String]) -> bool {
        self.stops.iter().any(|phrase| position(tokens, phrase).is_some())
    }

    /// Whether the words are no more than the answering of a telephone.
    pub(super) fn is_greeting(&self, tokens: &[String]) -> bool {
        tokens.len() <= 6 && made_of(tokens, is_hum, self.greetings)
    }

    /// Whether the words are no more than a goodbye or thanks.
    pub(super) fn is_farewell(&self, tokens: &[String]) -> bool {
        tokens.len() <= 10 && made_of(tokens, is_hum, self.farewells)
    }

    /// Whether more must follow: the words end in `and`, `my number is`, `um`, or the text in an ellipsis, dash or comma.
    pub(super) fn trails_off(&self, text: &str, tokens: &[String]) -> bool {
        let text = text.trim_end();
        if text.ends_with("...") || text.ends_with(['…', ',', '-', '–', '—', ':']) {
            return true;
        }
        ends_with_any(tokens, self.trailing) && !ends_with_any(tokens, self.not_trailing)
    }

    /// Digits said: `4155`, `four one double five`, `twenty one` (2). Words that are no digits count nothing.
    pub(super) fn count_digits(&self, tokens: &[String]) -> usize {
        let (mut count, mut times, mut after_tens) = (0_usize, 1_usize, false);
        for token in tokens {
            let figures = token.chars().filter(|c| c.is_ascii_digit()).count();
            if figures > 0 {
                count = count.saturating_add(figures);
                (times, after_tens) = (1, false);
                continue;
            }
            match (token.as_str(), self.digits.iter().find(|(word, _)| word == token)) {
                ("double", _) => times = 2,
                ("triple" | "treble", _) => times = 3,
                (_, Some((_, digits))) => {
                    // The unit of `twenty one` stands in the place of the zero.
                    if !(after_tens && *digits == 1) {
                        count = count.saturating_add(usize::from(*digits) * times);
                    }
                    after_tens = *digits == 2 && token.ends_with("ty");
                    times = 1;
                }
                _ => (times, after_tens) = (1, false),
            }
        }
        count
    }

    /// Whether the words name a day, a time or a number.
    pub(super) fn names_a_value(&self, tokens: &[String]) -> bool {
        self.count_digits(tokens) > 0 || tokens.iter().any(|token| self.times.contains(&token.as_str()))
    }
}

/// Whether the words are nothing but these phrases (and sounds that `loose` takes). No words are not made of anything.
fn made_of(tokens: &[String], loose: impl Fn(&str) -> bool, phrases: &[&str]) -> bool {
    if tokens.is_empty() {
        return false;
    }
    // reachable[i]: the first i words are made of phrases.
    let mut reachable = vec![false; tokens.len() + 1];
    reachable[0] = true;
    for start in 0..tokens.len() {
        if !reachable[start] {
            continue;
        }
        let rest = &tokens[start..];
        if loose(&rest[0]) {
            reachable[start + 1] = true;
        }
        for phrase in phrases {
            if let Some(length) = begins_with(rest, phrase) {
                reachable[start + length] = true;
            }
        }
    }
    reachable[tokens.len()]
}

/// How many words of `tokens` the phrase at their beginning takes.
fn begins_with(tokens: &[String], phrase: &str) -> Option<usize> {
    let mut length = 0;
    for word in phrase.split(' ') {
        if tokens.get(length).map(String::as_str) != Some(word) {
            return None;
        }
        length += 1;
    }
    Some(length)
}

fn position(tokens: &[String], phrase: &str) -> Option<usize> {
    (0..tokens.len()).find(|start| begins_with(&tokens[*start..], phrase).is_some())
}

fn ends_with_any(tokens: &[String], phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| {
        let length = phrase.split(' ').count();
        tokens.len() >= length && begins_with(&tokens[tokens.len() - length..], phrase).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn english(check: impl Fn(&Lexicon, &[String]) -> bool, rows: &[(&str, bool)]) {
        for (text, expected) in rows {
            assert_eq!(check(&ENGLISH, &tokens(text)), *expected, "{text:?}");
        }
    }

    #[test]
    fn backchannels_are_told_from_words() {
        english(
            Lexicon::is_backchannel,
            &[
                ("Mhm.", true),
                ("mm-hmm", true),
                ("Mmmmm", true),
                ("Uh-huh.", true),
                ("Okay.", true),
                ("Yeah, right.", true),
                ("Oh, I see.", true),
                ("all right, got it", true),
                ("", false),
                ("No.", false),
                ("Okay, but I have a question.", false),
                ("I see a problem", false),
                ("ham", false),
                ("the", true),
                ("the price", false),
            ],
        );
    }

    #[test]
    fn the_beginning_of_a_backchannel_is_not_taken_for_words() {
        english(
            Lexicon::begins_backchannel,
            &[
                ("got", true),
                ("Okay, that's", true),
                ("all", true),
                ("I see", false),
                ("I want", false),
                ("two", false),
                ("", false),
            ],
        );
    }

    #[test]
    fn yes_in_any_spelling_is_a_whole_answer() {
        english(
            Lexicon::is_answer,
            &[
                ("Yes.", true),
                ("Yeah.", true),
                ("Yep", true),
                ("yup!", true),
                ("Yeahhh", true),
                ("uh-huh", true),
                ("mhm", true),
                ("Yes, please.", true),
                ("No, thank you.", true),
                ("nope", true),
                ("I don’t think so.", true),
                ("um", false),
                ("Yes, but", false),
                ("the blue one", false),
                ("", false),
            ],
        );
    }

    #[test]
    fn words_that_stop_a_speaker_are_found_anywhere() {
        english(
            Lexicon::has_stop,
            &[
                ("Wait, wait.", true),
                ("no hold on please", true),
                ("Sorry, who is this?", true),
                ("Hello?", true),
                ("okay", false),
                ("I waited", false),
            ],
        );
    }

    #[test]
    fn words_that_promise_more_trail_off() {
        let rows = [
            ("I want to order a pizza and", true),
            ("My number is", true),
            ("um", true),
            ("It's four one five,", true),
            ("I was thinking...", true),
            ("So, my name's", true),
            ("Yes it is", false),
            ("I think so.", false),
            ("I want a pizza.", false),
            ("Tomorrow at five", false),
            ("tomorrow at", true),
            ("", false),
        ];
        for (text, expected) in rows {
            assert_eq!(ENGLISH.trails_off(text, &tokens(text)), expected, "{text:?}");
        }
    }

    #[test]
    fn digits_are_counted_as_figures_and_as_words() {
        let rows = [
            ("4155", 4),
            ("415-555 0100", 10),
            ("four one five", 3),
            ("four one double five", 4),
            ("triple oh", 3),
            ("twenty one", 2),
            ("twenty one forty", 4),
            ("nineteen eighty four", 4),
            ("I don't know", 0),
            ("it's one two", 2),
        ];
        for (text, expected) in rows {
            assert_eq!(ENGLISH.count_digits(&tokens(text)), expected, "{text:?}");
        }
    }

    #[test]
    fn greetings_and_farewells() {
        english(
            Lexicon::is_greeting,
            &[
                ("Hello?", true),
                ("hi, who's this", true),
                ("Hello, stop calling", false),
            ],
        );
        english(
            Lexicon::is_farewell,
            &[
                ("okay thank you bye bye", true),
                ("You too!", true),
                ("bye, wait one more thing", false),
            ],
        );
    }

    #[test]
    fn a_language_without_lists_takes_every_word_for_a_word() {
        let lexicon = Lexicon::of(&"hi-IN".parse().unwrap());
        let words = tokens("अच्छा ठीक है");
        assert!(!words.is_empty());
        assert!(!lexicon.is_backchannel(&words));
        assert!(!lexicon.trails_off("अच्छा", &words));
        assert_eq!(lexicon.count_digits(&tokens("415")), 3);
    }
}
