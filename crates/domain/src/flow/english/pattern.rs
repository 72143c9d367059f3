//! Patterns over words, for intents. A pattern is words parted by spaces:
//! `a|b` is either; `go_on` is two words in a row; `~` lets up to two words stand between, `~~` up to five; `^` is the
//! beginning, `$` the end (also as one of several: `please|$`); `@name` is a class of words. Recognisers lose words, so patterns name only those that matter.

/// One part of a pattern.
#[derive(Clone, Debug)]
enum Part {
    Begin,
    End,
    Gap(usize),
    AnyOf(Vec<Vec<&'static str>>),
}

/// A pattern that is ready to be looked for.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Vec<Part>);

impl Pattern {
    /// Reads a pattern; `classes` are its `@name`s.
    pub(super) fn new(text: &'static str, classes: &[(&str, &'static str)]) -> Self {
        let part = |word: &'static str| match word {
            "^" => Part::Begin,
            "$" => Part::End,
            "~" => Part::Gap(2),
            "~~" => Part::Gap(5),
            word => Part::AnyOf(alternatives(word, classes)),
        };
        Self(text.split(' ').filter(|word| !word.is_empty()).map(part).collect())
    }

    /// Where it first matches: from which word to which.
    pub(super) fn find(&self, words: &[String]) -> Option<(usize, usize)> {
        (0..=words.len()).find_map(|start| Some((start, matches(&self.0, words, start)?)))
    }
}

fn alternatives(word: &'static str, classes: &[(&str, &'static str)]) -> Vec<Vec<&'static str>> {
    let mut all = Vec::new();
    for one in word.split('|') {
        match one.strip_prefix('@') {
            Some(name) => {
                let class = classes
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map_or("", |(_, words)| *words);
                all.extend(
                    class
                        .split(['|', ' '])
                        .filter(|word| !word.is_empty())
                        .map(|word| word.split('_').collect()),
                );
            }
            None => all.push(one.split('_').collect()),
        }
    }
    all
}

/// Where the match ends that begins at `at`. Patterns are short and gaps small, so trying all ways is cheap.
fn matches(parts: &[Part], words: &[String], at: usize) -> Option<usize> {
    let Some((part, rest)) = parts.split_first() else {
        return Some(at);
    };
    match part {
        Part::Begin => (at == 0).then(|| matches(rest, words, at)).flatten(),
        Part::End => (at == words.len()).then(|| matches(rest, words, at)).flatten(),
        Part::Gap(most) => (at..=(at + most).min(words.len())).find_map(|next| matches(rest, words, next)),
        Part::AnyOf(phrases) => phrases.iter().find_map(|phrase| {
            if phrase.as_slice() == ["$"] {
                return (at == words.len()).then(|| matches(rest, words, at)).flatten();
            }
            let here = words.get(at..)?;
            let fits = here.len() >= phrase.len() && here.iter().zip(phrase).all(|(word, wanted)| word == wanted);
            fits.then(|| matches(rest, words, at + phrase.len())).flatten()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::words;
    use super::*;

    #[test]
    fn patterns_find_their_words() {
        let classes = [("day", "monday|next_week")];
        let rows = [
            ("stop|quit ~ calling", "please stop always calling", true),
            ("stop|quit ~ calling", "stop it at once and begin calling", false),
            ("^ wait $", "wait", true),
            ("^ wait $", "wait no", false),
            ("human ~ please|$", "a human", true),
            ("human ~ please|$", "a human being of the old kind", false),
            ("call ~ @day", "call me next week", true),
            ("call ~ @day", "call me on monday", true),
            ("call ~ @day", "call me john", false),
            ("a b", "", false),
        ];
        for (pattern, text, expected) in rows {
            assert_eq!(
                Pattern::new(pattern, &classes).find(&words(text)).is_some(),
                expected,
                "{pattern} {text}"
            );
        }
    }
}
