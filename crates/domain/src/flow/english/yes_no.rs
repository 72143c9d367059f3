//! Yes and no in their many forms.

use super::words::{corrected, has, words};
use crate::flow::answer::{Answer, NotUnderstood, Understood};

/// Phrases that say yes, with how surely. The longest match at a place counts.
const YES: &[(&str, u8)] = &[
    ("yes", 95),
    ("yeah", 95),
    ("yep", 95),
    ("yup", 95),
    ("yea", 90),
    ("ya", 85),
    ("aye", 85),
    ("yes please", 95),
    ("sure", 92),
    ("of course", 95),
    ("certainly", 95),
    ("absolutely", 95),
    ("definitely", 95),
    ("correct", 95),
    ("that is correct", 95),
    ("that is right", 95),
    ("right", 80),
    ("exactly", 92),
    ("indeed", 90),
    ("ok", 85),
    ("all right", 85),
    ("alright", 85),
    ("fine", 82),
    ("that is fine", 90),
    ("sounds good", 92),
    ("that works", 92),
    ("works for me", 92),
    ("go ahead", 90),
    ("please do", 92),
    ("i do", 85),
    ("i am", 80),
    ("i will", 85),
    ("i can", 80),
    ("i have", 78),
    ("i did", 78),
    ("it is", 80),
    ("it does", 85),
    ("that is me", 92),
    ("this is he", 92),
    ("this is she", 92),
    ("this is him", 90),
    ("this is her", 90),
    ("speaking", 80),
    ("you can", 75),
    ("you may", 80),
    ("uh huh", 85),
    ("mhm", 80),
    ("mm hmm", 82),
    ("true", 88),
    ("affirmative", 95),
    ("why not", 78),
    ("i agree", 92),
    ("i would", 78),
    ("i would like that", 92),
    ("i would love to", 92),
    ("no problem", 82),
    ("not a problem", 85),
    ("no worries", 80),
    ("i do not mind", 80),
    ("i do not see why not", 85),
    ("by all means", 92),
    ("perfect", 85),
    ("great", 78),
    ("good", 70),
    ("deal", 80),
    ("i guess so", 72),
    ("i think so", 75),
    ("i suppose so", 72),
    ("i believe so", 75),
    ("you bet", 92),
    ("yes sir", 95),
    ("yes madam", 95),
    ("that would be great", 90),
    ("that would be good", 90),
    ("that would be fine", 90),
    ("still works", 85),
    ("i will be there", 90),
    ("i can make it", 90),
    ("sounds great", 92),
    ("sounds fine", 90),
    ("that is good", 85),
    ("that is ok", 88),
    ("we do", 82),
    ("we are", 78),
    ("we can", 80),
    ("si", 80),
    ("without a doubt", 92),
    ("count me in", 92),
    ("confirmed", 90),
    ("i confirm", 92),
    ("agreed", 90),
    ("accepted", 85),
    ("approved", 85),
    ("makes sense", 75),
    ("you are not wrong", 85),
    ("not wrong", 82),
    ("confirm", 85),
];

/// Phrases that say no.
const NO: &[(&str, u8)] = &[
    ("no", 95),
    ("nope", 95),
    ("nah", 95),
    ("naw", 90),
    ("no thanks", 95),
    ("no thank you", 95),
    ("not really", 88),
    ("never", 85),
    ("no way", 95),
    ("not at all", 92),
    ("negative", 92),
    ("incorrect", 95),
    ("that is wrong", 92),
    ("wrong", 80),
    ("false", 85),
    ("not correct", 95),
    ("not right", 92),
    ("not true", 92),
    ("do not", 82),
    ("i do not", 88),
    ("i am not", 85),
    ("i will not", 90),
    ("i can not", 85),
    ("i have not", 85),
    ("i did not", 85),
    ("it is not", 88),
    ("it does not", 88),
    ("that is not", 80),
    ("would not", 80),
    ("will not", 82),
    ("can not", 80),
    ("does not", 80),
    ("did not", 78),
    ("is not", 75),
    ("are not", 75),
    ("was not", 75),
    ("not interested", 90),
    ("i would rather not", 92),
    ("rather not", 90),
    ("not today", 80),
    ("not me", 85),
    ("not yet", 80),
    ("no can do", 92),
    ("i am afraid not", 92),
    ("afraid not", 90),
    ("absolutely not", 97),
    ("certainly not", 97),
    ("definitely not", 97),
    ("of course not", 97),
    ("sure not", 85),
    ("i do not think so", 88),
    ("do not think so", 88),
    ("i doubt it", 80),
    ("unfortunately not", 92),
    ("not possible", 88),
    ("not for me", 85),
    ("i refuse", 92),
    ("no sir", 95),
    ("no madam", 95),
    ("i would not", 85),
    ("uh uh", 82),
    ("nuh uh", 85),
    ("forget it", 85),
    ("pass", 72),
    ("i pass", 80),
    ("out of the question", 92),
    ("not ok", 90),
    ("not fine", 90),
    ("not good", 82),
    ("does not work", 90),
    ("not work", 85),
    ("not convenient", 85),
    ("cancel", 70),
    ("cancel it", 72),
    ("we do not", 85),
    ("we can not", 85),
    ("not happening", 90),
    ("negatory", 85),
    ("invalid", 75),
    ("no chance", 92),
    ("prefer not", 88),
    ("i would prefer not", 92),
    ("not sure", 0),
    ("no idea", 0),
];

/// Words that ask, doubt or put off: neither yes nor no.
const DOUBT: &[&str] = &[
    "i do not know",
    "do not know",
    "not sure",
    "no idea",
    "maybe",
    "perhaps",
    "possibly",
    "it depends",
    "depends",
    "i am not certain",
    "hard to say",
    "i can not say",
    "who knows",
    "could be",
    "i am unsure",
    "unsure",
    "let me think",
];

/// The yes or no of an answer.
pub(super) fn understand(heard: &str) -> Result<Understood, NotUnderstood> {
    let words = words(heard);
    if words.is_empty() {
        return Err(NotUnderstood::Nothing);
    }
    if let Some((_, after)) = corrected(&words)
        && let Ok(understood) = of_words(after)
    {
        return Ok(understood);
    }
    if words.len() > 1 && words.last().is_some_and(|last| last == "wait" || last == "actually") {
        return Err(NotUnderstood::NoAnswer);
    }
    of_words(&words)
}

fn of_words(words: &[String]) -> Result<Understood, NotUnderstood> {
    if DOUBT.iter().any(|phrase| has(words, phrase))
        && !matches!(words.first().map(String::as_str), Some("yes" | "yeah" | "no" | "nope"))
    {
        return Err(NotUnderstood::DoesNotKnow);
    }
    let mut votes: Vec<(usize, bool, u8)> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let rest = words.get(at..).unwrap_or(&[]);
        match longest(rest) {
            // "That is not right": what follows a "not" is denied by it.
            Some((length, true, _)) if at > 0 && words.get(at - 1).is_some_and(|word| word == "not") => at += length,
            // "I would really not": a yes that is only a beginning.
            Some((length, true, confidence)) if confidence <= WEAK_PERCENT && denies_soon(words, at + length) => {
                at += length
            }
            Some((length, yes, confidence)) => {
                votes.push((at, yes, confidence));
                at += length;
            }
            None => at += 1,
        }
    }
    let Some(&(first_at, first, first_confidence)) = votes.first() else {
        return Err(NotUnderstood::NoAnswer);
    };
    let agree = votes.iter().all(|(_, yes, _)| *yes == first);
    let best = votes
        .iter()
        .filter(|(_, yes, _)| *yes == first)
        .map(|(_, _, confidence)| *confidence)
        .max();
    let mut confidence = best.unwrap_or(first_confidence);
    let strongest = |wanted: bool| {
        let side = votes.iter().filter(|(_, yes, _)| *yes == wanted);
        side.map(|(_, _, confidence)| *confidence).max().unwrap_or(0)
    };
    let (yes, no) = (strongest(true), strongest(false));
    if !agree && no >= yes + 15 && !has(words, "but") {
        return Ok(Understood::with_confidence(Answer::YesNo(false), 72));
    }
    if !agree {
        // "Yes, I do not mind" begins with its answer; two that contradict each other later on are no answer.
        let plain = !has(words, "but")
            && matches!(
                words.get(first_at).map(String::as_str),
                Some("yes" | "yeah" | "yep" | "no" | "nope")
            );
        if !plain || first_at > 0 {
            return Err(NotUnderstood::Ambiguous(vec!["yes".to_owned(), "no".to_owned()]));
        }
        confidence = 72;
    }
    // A long sentence that merely holds the word somewhere says less.
    if first_at > 3 {
        confidence = confidence.saturating_sub(20);
    }
    if words.len() > 12 {
        confidence = confidence.saturating_sub(10);
    }
    Ok(Understood::with_confidence(Answer::YesNo(first), confidence))
}

/// Up to this a yes is a beginning such as "I would", which what follows may turn round.
const WEAK_PERCENT: u8 = 80;

fn denies_soon(words: &[String], from: usize) -> bool {
    words.iter().skip(from).take(2).any(|word| word == "not")
}

fn longest(words: &[String]) -> Option<(usize, bool, u8)> {
    exact(words).or_else(|| misheard(words.first()?))
}

/// A long word with a letter or two wrong ("affirmitive", "absolutly").
fn misheard(word: &str) -> Option<(usize, bool, u8)> {
    let long = |phrase: &str| phrase.len() >= 7 && !phrase.contains(' ');
    let near = |phrase: &str| long(phrase) && word.len() >= 7 && super::words::distance(word, phrase) == 1;
    let yes = YES.iter().filter(|(phrase, _)| near(phrase)).map(|_| true);
    let no = NO.iter().filter(|(phrase, _)| near(phrase)).map(|_| false);
    yes.chain(no).next().map(|yes| (1, yes, 72))
}

fn exact(words: &[String]) -> Option<(usize, bool, u8)> {
    let begins = |phrase: &str| {
        let needed: Vec<&str> = phrase.split(' ').collect();
        let fits = words.len() >= needed.len() && words.iter().zip(&needed).all(|(word, wanted)| word == wanted);
        fits.then_some(needed.len())
    };
    let yes = YES
        .iter()
        .filter_map(|(phrase, confidence)| Some((begins(phrase)?, true, *confidence)));
    let no = NO
        .iter()
        .filter_map(|(phrase, confidence)| Some((begins(phrase)?, false, *confidence)));
    yes.chain(no)
        .max_by_key(|(length, ..)| *length)
        .filter(|(.., confidence)| *confidence > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_and_no_in_many_forms() {
        let rows = [
            ("Yes.", Some(true)),
            ("yeah that's fine", Some(true)),
            ("no wait, yes", Some(true)),
            ("yes, no, wait, no", Some(false)),
            ("Sure, why not?", Some(true)),
            ("no problem", Some(true)),
            ("I don't mind", Some(true)),
            ("I don't think so", Some(false)),
            ("of course not", Some(false)),
            ("absolutely", Some(true)),
            ("That's not right", Some(false)),
            ("that is right", Some(true)),
            ("not at all", Some(false)),
            ("no, that's not correct", Some(false)),
            ("yes I am", Some(true)),
            ("I'm not", Some(false)),
            ("mhm", Some(true)),
            ("I can't make it", Some(false)),
            ("I'm afraid not", Some(false)),
            ("I would prefer not", Some(false)),
            ("I am saying no", Some(false)),
            ("yes but I can't", None),
            ("absolutly", Some(true)),
            ("maybe", None),
            ("I don't know", None),
            ("not sure", None),
            ("blue", None),
            ("", None),
            ("what do you mean", None),
        ];
        for (heard, expected) in rows {
            let answer = understand(heard).ok().map(|understood| understood.answer);
            assert_eq!(answer, expected.map(Answer::YesNo), "{heard:?}");
        }
    }

    #[test]
    fn a_doubtful_answer_is_less_sure() {
        let confidence = |heard: &str| {
            understand(heard)
                .map(|understood| understood.confidence_percent)
                .unwrap_or(0)
        };
        assert!(confidence("yes") > 90);
        assert!(confidence("good") <= 70);
        assert_eq!(understand("I don't know"), Err(NotUnderstood::DoesNotKnow));
    }
}
