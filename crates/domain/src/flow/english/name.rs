//! Names, said or spelled.

use super::words::corrected;
use super::words::words;
use crate::flow::answer::{Answer, NotUnderstood, Understood};

/// What people say before their name.
const LEADS: &[&str] = &[
    "my full name is",
    "my name is",
    "the name is",
    "name is",
    "i am called",
    "they call me",
    "people call me",
    "you can call me",
    "call me",
    "it is",
    "this is",
    "i am",
    "that is",
    "that would be",
    "yes it is",
    "yes",
    "well",
    "so",
    "hello",
    "hi",
    "sure",
    "ok",
    "please",
    "put",
    "under",
    "spelled",
    "spelt",
    "it is spelled",
    "that is spelled",
    "make it",
    "mr",
    "mrs",
    "ms",
    "mister",
    "miss",
    "doctor",
];

/// What people say after it.
const TAILS: &[&str] = &[
    "speaking",
    "here",
    "please",
    "thank you",
    "thanks",
    "sir",
    "madam",
    "is my name",
];

/// Words that no name is made of.
const NOT_NAMES: &[&str] = &[
    "what", "why", "who", "how", "when", "where", "do", "does", "not", "no", "yes", "i", "you", "he", "she", "they",
    "we", "the", "a", "can", "want", "would", "could", "should", "know", "say", "tell", "again", "sorry", "pardon",
    "repeat", "is", "are", "it", "that", "this", "need", "have", "rather",
];

pub(super) fn understand(heard: &str) -> Result<Understood, NotUnderstood> {
    let words = words(heard);
    if words.is_empty() {
        return Err(NotUnderstood::Nothing);
    }
    if let Some((_, after)) = corrected(&words)
        && let Some(understood) = of_words(after)
    {
        return Ok(understood);
    }
    of_words(&words).ok_or(NotUnderstood::NoAnswer)
}

fn of_words(words: &[String]) -> Option<Understood> {
    let mut rest = words;
    while let Some(shorter) = without_lead(rest) {
        rest = shorter;
    }
    while let Some(shorter) = without_tail(rest) {
        rest = shorter;
    }
    // "Anna Smith, that is S M I T H": the letters mend the last name.
    let letters: String = spelled(rest);
    let said: Vec<&String> = rest
        .iter()
        .take_while(|word| {
            word.chars().count() > 1
                && !matches!(word.as_str(), "spelled" | "spelt" | "that" | "with" | "as" | "double")
        })
        .collect();
    if letters.len() >= 2 {
        let first: Vec<String> = match said.as_slice() {
            [] => Vec::new(),
            [names @ .., last] if alike(last, &letters) => names.iter().map(|name| capital(name)).collect(),
            names => names.iter().map(|name| capital(name)).collect(),
        };
        let name = first
            .into_iter()
            .chain([capital(&letters)])
            .collect::<Vec<_>>()
            .join(" ");
        return Some(Understood::with_confidence(Answer::Name(name), 88));
    }
    let plausible = !rest.is_empty()
        && rest.len() <= 5
        && rest
            .iter()
            .all(|word| !NOT_NAMES.contains(&word.as_str()) && word.chars().all(char::is_alphabetic));
    if !plausible {
        return None;
    }
    let name = rest.iter().map(|word| capital(word)).collect::<Vec<_>>().join(" ");
    let confidence = if rest.len() <= 3 { 82 } else { 60 };
    Some(Understood::with_confidence(Answer::Name(name), confidence))
}

fn alike(said: &str, letters: &str) -> bool {
    super::words::distance(said, letters) <= 1 + letters.len() / 3
        || super::words::sound(said) == super::words::sound(letters)
}

fn without_lead(words: &[String]) -> Option<&[String]> {
    LEADS
        .iter()
        .filter_map(|lead| {
            let needle: Vec<&str> = lead.split(' ').collect();
            let fits = words.len() > needle.len() && words.iter().zip(&needle).all(|(word, wanted)| word == wanted);
            fits.then(|| words.get(needle.len()..)).flatten()
        })
        .min_by_key(|rest| rest.len())
}

fn without_tail(words: &[String]) -> Option<&[String]> {
    TAILS.iter().find_map(|tail| {
        let needle: Vec<&str> = tail.split(' ').collect();
        let keep = words.len().checked_sub(needle.len()).filter(|keep| *keep > 0)?;
        let fits = words
            .get(keep..)?
            .iter()
            .zip(&needle)
            .all(|(word, wanted)| word == wanted);
        fits.then(|| words.get(..keep)).flatten()
    })
}

/// The letters that are spelled: "S M I T H", "double t", "b as in bravo".
fn spelled(words: &[String]) -> String {
    let mut letters = String::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let next = words.get(at + 1).map_or("", String::as_str);
        let mut chars = word.chars();
        if word == "double" && next.chars().count() == 1 {
            letters.push_str(next);
            letters.push_str(next);
            at += 2;
            continue;
        }
        if let (Some(letter), None) = (chars.next(), chars.next())
            && letter.is_alphabetic()
        {
            letters.push(letter);
            // "as in bravo", "like bravo", "for bravo": the word is an example.
            at += match (next, words.get(at + 2).map_or("", String::as_str)) {
                ("as", "in") => 4,
                ("like" | "for", _) => 3,
                _ => 1,
            };
            continue;
        }
        at += 1;
    }
    letters
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_what_is_said_around_them() {
        let rows = [
            ("My name is Anna Smith.", Some("Anna Smith")),
            ("it's anna", Some("Anna")),
            ("Anna speaking", Some("Anna")),
            ("yes, this is Peter Jones speaking", Some("Peter Jones")),
            ("S M I T H", Some("Smith")),
            ("Smith, S-M-I-T-H", Some("Smith")),
            ("Anna Smyth, that is s m i t h", Some("Anna Smith")),
            ("b as in bravo o b", Some("Bob")),
            ("m a double t", Some("Matt")),
            ("anna no wait hannah", Some("Hannah")),
            ("what do you want", None),
            ("I would rather not say", None),
            ("", None),
        ];
        for (heard, expected) in rows {
            let answer = understand(heard).ok().map(|understood| understood.answer);
            let expected = expected.map(|name| Answer::Name(name.to_owned()));
            assert!(answer == expected, "{heard:?}");
        }
    }
}
