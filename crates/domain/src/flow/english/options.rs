//! One of a list, over recognition errors: the words that matter, how far they are apart in letters, how they sound.

use super::number::ordinal;
use super::words::{corrected, distance, has, sound, words};
use crate::flow::answer::{Answer, Choice, NotUnderstood, Understood};
use std::collections::BTreeSet;

/// Words that say nothing about which option is meant.
const EMPTY: &[&str] = &[
    "the", "a", "an", "i", "want", "would", "like", "please", "it", "is", "that", "this", "my", "to", "of", "for",
    "one", "option", "number", "and", "me", "give", "take", "choose", "go", "with", "let", "us", "have", "think",
    "prefer", "will", "am", "in", "on", "be", "should", "just", "maybe", "well", "so", "ok", "yes", "yeah",
];

/// The option of an answer.
pub(super) fn understand(heard: &str, options: &[Choice]) -> Result<Understood, NotUnderstood> {
    let words = words(heard);
    if words.is_empty() {
        return Err(NotUnderstood::Nothing);
    }
    if let Some((_, after)) = corrected(&words)
        && !after.is_empty()
        && let Ok(understood) = of_words(after, options)
    {
        return Ok(understood);
    }
    of_words(&words, options)
}

fn of_words(heard: &[String], options: &[Choice]) -> Result<Understood, NotUnderstood> {
    let (denied, meant) = split_denied(heard);
    let shared = shared_words(options);
    let mut scores: Vec<(u8, &Choice)> = options
        .iter()
        .filter(|option| denied.is_empty() || score(&denied, option, &shared) < 80)
        .map(|option| (score(&meant, option, &shared), option))
        .collect();
    scores.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    let best = scores.first().filter(|(score, _)| *score >= 55);
    let Some((best_score, best)) = best.copied() else {
        if !denied.is_empty() && scores.len() == 1 && options.len() == 2 {
            // "Not the red one" of two leaves the other.
            if let Some((_, left)) = scores.first() {
                return Ok(Understood::with_confidence(Answer::Option(left.value.clone()), 60));
            }
        }
        return by_place(heard, options).ok_or_else(|| {
            if ["do not know", "no idea", "not sure"]
                .iter()
                .any(|phrase| has(heard, phrase))
            {
                NotUnderstood::DoesNotKnow
            } else {
                NotUnderstood::NoAnswer
            }
        });
    };
    let rivals: Vec<&Choice> = scores
        .iter()
        .filter(|(score, _)| u16::from(*score) + 12 > u16::from(best_score))
        .map(|(_, option)| *option)
        .collect();
    if rivals.len() > 1 {
        return Err(NotUnderstood::Ambiguous(
            rivals.iter().take(4).map(|option| option.name().to_owned()).collect(),
        ));
    }
    Ok(Understood::with_confidence(
        Answer::Option(best.value.clone()),
        best_score.min(97),
    ))
}

/// "Not Tuesday, Wednesday": what is denied, and the rest.
fn split_denied(heard: &[String]) -> (Vec<String>, Vec<String>) {
    let Some(at) = heard.iter().position(|word| word == "not") else {
        return (Vec::new(), heard.to_vec());
    };
    let after = heard.get(at + 1..).unwrap_or(&[]);
    let end = after
        .iter()
        .position(|word| matches!(word.as_str(), "but" | "rather" | "instead"))
        .map(|end| end + 1);
    // Without a word that turns, the first word that means something is what is denied.
    let end = end.unwrap_or_else(|| {
        after
            .iter()
            .position(|word| !EMPTY.contains(&word.as_str()))
            .map_or(after.len(), |first| first + 1)
    });
    let denied = after.iter().take(end).cloned().collect();
    let mut meant: Vec<String> = heard.iter().take(at).cloned().collect();
    meant.extend(after.iter().skip(end).cloned());
    (denied, meant)
}

/// Words of several options ("plan" of "standard plan" and "premium plan"): they tell none from another.
fn shared_words(options: &[Choice]) -> Vec<String> {
    let of_option = |option: &Choice| -> BTreeSet<String> { option.phrases().flat_map(words).collect() };
    let mut seen = BTreeSet::new();
    let mut shared = Vec::new();
    for word in options.iter().flat_map(of_option) {
        if !seen.insert(word.clone()) {
            shared.push(word);
        }
    }
    shared
}

fn score(heard: &[String], option: &Choice, shared: &[String]) -> u8 {
    option
        .phrases()
        .map(|phrase| score_phrase(heard, &words(phrase), shared))
        .max()
        .unwrap_or(0)
}

/// How well a phrase is found in what was heard, 0 to 97.
fn score_phrase(heard: &[String], phrase: &[String], shared: &[String]) -> u8 {
    if phrase.is_empty() || heard.is_empty() {
        return 0;
    }
    if heard == phrase {
        return 97;
    }
    let needle: Vec<&str> = phrase.iter().map(String::as_str).collect();
    if super::words::find(heard, &needle).is_some() {
        // A longer phrase that is found whole is better evidence than a shorter one.
        return 88 + u8::try_from(phrase.len().min(4)).unwrap_or(4) * 2;
    }
    // Run together or parted: "check up" and "checkup".
    let joined: String = phrase.concat();
    let heard_joined: String = heard.concat();
    if joined.len() >= 4 && heard_joined.contains(&joined) {
        return 86;
    }
    let tells = |word: &&String| !EMPTY.contains(&word.as_str()) && !shared.contains(*word);
    let meaning: Vec<&String> = phrase.iter().filter(tells).collect();
    let meaning = if meaning.is_empty() {
        phrase.iter().collect()
    } else {
        meaning
    };
    let total: usize = meaning.iter().map(|word| word.len()).sum();
    let found: usize = meaning
        .iter()
        .map(|word| heard.iter().map(|other| likeness(other, word)).max().unwrap_or(0) * word.len())
        .sum();
    let joined_likeness = if heard.len() <= phrase.len() + 2 {
        likeness(&heard_joined, &joined)
    } else {
        0
    };
    let likeness = (found / total.max(1)).max(joined_likeness);
    u8::try_from(likeness.min(85)).unwrap_or(85)
}

/// How alike two words are, in percent.
fn likeness(heard: &str, wanted: &str) -> usize {
    if heard == wanted {
        return 85;
    }
    let longer = heard.chars().count().max(wanted.chars().count());
    if longer < 3 || heard.starts_with(|first: char| first.is_ascii_digit()) {
        return 0;
    }
    if heard.strip_suffix('s') == Some(wanted) || wanted.strip_suffix('s') == Some(heard) {
        return 82;
    }
    let apart = distance(heard, wanted);
    let allowed = match longer {
        0..=3 => 0,
        4..=5 => 1,
        6..=8 => 2,
        _ => 3,
    };
    let by_letters = if apart <= allowed { 80 - apart * 50 / longer } else { 0 };
    let (a, b) = (sound(heard), sound(wanted));
    let by_sound = if a == b && a.len() >= 2 { 70 } else { 0 };
    by_letters.max(by_sound)
}

/// "The first one", "number two", "the last".
fn by_place(heard: &[String], options: &[Choice]) -> Option<Understood> {
    let place = heard.iter().enumerate().find_map(|(at, word)| {
        if word == "last" {
            return Some(options.len());
        }
        if let Some(place) = ordinal(word) {
            return usize::try_from(place).ok();
        }
        let named = at > 0
            && heard
                .get(at - 1)
                .is_some_and(|before| before == "number" || before == "option");
        let alone = heard.len() == 1;
        let value = super::number::small(word).or_else(|| word.parse().ok())?;
        (named || alone).then(|| usize::try_from(value).ok()).flatten()
    })?;
    let option = options.get(place.checked_sub(1)?)?;
    Some(Understood::with_confidence(Answer::Option(option.value.clone()), 80))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(value: &str, synonyms: &[&str]) -> Choice {
        Choice {
            value: value.to_owned(),
            label: None,
            synonyms: synonyms.iter().map(|&text| text.to_owned()).collect(),
            key: None,
        }
    }

    #[test]
    fn an_option_is_found_over_recognition_errors() {
        let options = [
            option("haircut", &["hair cut", "a trim"]),
            option("colouring", &["colour", "dye"]),
            option("manicure", &["nails"]),
        ];
        let rows = [
            ("haircut", Some("haircut")),
            ("I'd like a hair cut please", Some("haircut")),
            ("a harecut", Some("haircut")),
            ("the colour", Some("colouring")),
            ("color", Some("colouring")),
            ("manicures", Some("manicure")),
            ("manny cure", Some("manicure")),
            ("not haircut, manicure", Some("manicure")),
            ("haircut no wait colouring", Some("colouring")),
            ("the second one", Some("colouring")),
            ("the last", Some("manicure")),
            ("number three", Some("manicure")),
            ("one", Some("haircut")),
            ("pizza", None),
            ("I don't know", None),
            ("", None),
        ];
        for (heard, expected) in rows {
            let answer = understand(heard, &options).ok().map(|understood| understood.answer);
            assert_eq!(
                answer,
                expected.map(|value| Answer::Option(value.to_owned())),
                "{heard:?}"
            );
        }
    }

    #[test]
    fn two_options_that_fit_are_asked_about() {
        let options = [option("standard plan", &[]), option("premium plan", &[])];
        assert_eq!(understand("the plan", &options), Err(NotUnderstood::NoAnswer));
        let premium = understand("premium", &options).map(|understood| understood.answer);
        assert_eq!(premium, Ok(Answer::Option("premium plan".to_owned())));
        assert!(matches!(
            understand("standard plan or premium plan", &options),
            Err(NotUnderstood::Ambiguous(_))
        ));
    }
}
