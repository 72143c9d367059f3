//! What callees want apart from answering, by the rules of `intents.txt`.

use super::pattern::Pattern;
use super::words::{distance, words};
use crate::flow::grammar::{Intent, IntentHeard};
use std::sync::LazyLock;

/// Which intent counts when several are heard, first to last.
const ORDER: &[Intent] = &[
    Intent::DoNotCall,
    Intent::WrongPerson,
    Intent::Person,
    Intent::Later,
    Intent::Who,
    Intent::About,
    Intent::Repeat,
    Intent::Goodbye,
    Intent::HoldOn,
];

const RULES: &str = include_str!("intents.txt");

struct Rule {
    intent: Intent,
    percent: u8,
    pattern: Pattern,
    unless: Vec<Pattern>,
}

static COMPILED: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let named = |kind: &str| -> Vec<(&'static str, &'static str)> {
        let lines = RULES
            .lines()
            .filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' '));
        lines.filter_map(|line| line.split_once(' ')).collect()
    };
    let (classes, guards) = (named("class"), named("guard"));
    RULES.lines().filter_map(|line| rule(line, &classes, &guards)).collect()
});

/// Reads `later 95 pattern ! pattern; &guard`. Lines that are no rules give none; a test counts them.
fn rule(line: &'static str, classes: &[(&str, &'static str)], guards: &[(&str, &'static str)]) -> Option<Rule> {
    let (intent, rest) = line.split_once(' ')?;
    let intent = match intent {
        "later" => Intent::Later,
        "do_not_call" => Intent::DoNotCall,
        "wrong_person" => Intent::WrongPerson,
        "repeat" => Intent::Repeat,
        "person" => Intent::Person,
        "goodbye" => Intent::Goodbye,
        "who" => Intent::Who,
        "about" => Intent::About,
        "hold_on" => Intent::HoldOn,
        _ => return None,
    };
    let (percent, rest) = rest.split_once(' ')?;
    let (pattern, unless) = rest.split_once(" ! ").unwrap_or((rest, ""));
    let unless = unless
        .split("; ")
        .filter(|text| !text.is_empty())
        .flat_map(|text| match text.strip_prefix('&') {
            Some(name) => guards
                .iter()
                .find(|(known, _)| *known == name)
                .map_or("", |(_, text)| *text)
                .split("; "),
            None => text.split("; "),
        });
    Some(Rule {
        intent,
        percent: percent.parse().ok()?,
        pattern: Pattern::new(pattern, classes),
        unless: unless.map(|text| Pattern::new(text, classes)).collect(),
    })
}

/// The intent of what was heard.
pub(super) fn understand(heard: &str, callee_name: Option<&str>) -> Option<IntentHeard> {
    // A monologue of ten minutes is no wish about the call; its end is what counts.
    let mut words = words(heard);
    if words.len() > WORDS_MAX {
        words = words.split_off(words.len() - WORDS_MAX);
    }
    if words.is_empty() {
        return None;
    }
    ORDER.iter().find_map(|&intent| heard_as(intent, &words, callee_name))
}

const WORDS_MAX: usize = 60;

fn heard_as(intent: Intent, words: &[String], callee_name: Option<&str>) -> Option<IntentHeard> {
    let mut best: Option<IntentHeard> = None;
    let rules = COMPILED.iter().filter(|rule| rule.intent == intent);
    for rule in rules {
        let Some((from, to)) = rule.pattern.find(words) else {
            continue;
        };
        if rule.unless.iter().any(|pattern| pattern.find(words).is_some()) {
            continue;
        }
        let whole = words.len() <= (to - from) + 5;
        if best.as_ref().is_none_or(|best| rule.percent > best.confidence_percent) {
            best = Some(IntentHeard {
                intent,
                confidence_percent: rule.percent,
                whole,
            });
        }
    }
    if best.is_none() && intent == Intent::WrongPerson && denies_name(words, callee_name) {
        return Some(IntentHeard {
            intent,
            confidence_percent: 90,
            whole: true,
        });
    }
    best
}

/// "This is not John": of the callee's own name, or of one word that is no ordinary one.
fn denies_name(words: &[String], callee_name: Option<&str>) -> bool {
    let subject = [
        "this is not",
        "i am not",
        "that is not",
        "you are not talking to",
        "not speaking to",
    ];
    subject.iter().any(|subject| {
        let needle: Vec<&str> = subject.split(' ').collect();
        let Some(at) = super::words::find(words, &needle) else {
            return false;
        };
        let rest = words.get(at + needle.len()..).unwrap_or(&[]);
        let Some(first) = rest.first() else { return false };
        match callee_name {
            Some(name) => super::words::words(name)
                .iter()
                .any(|part| distance(part, first) <= usize::from(part.len() > 4)),
            None => subject.starts_with("this") && rest.len() == 1 && !NO_NAMES.contains(&first.as_str()),
        }
    })
}

/// What else follows "this is not".
const NO_NAMES: &[&str] = &[
    "right",
    "correct",
    "true",
    "fair",
    "good",
    "ok",
    "fine",
    "funny",
    "it",
    "possible",
    "working",
    "necessary",
    "important",
    "urgent",
    "enough",
    "clear",
    "acceptable",
    "what",
    "mine",
    "ours",
    "wrong",
    "bad",
    "helpful",
    "new",
    "easy",
    "me",
    "about",
    "real",
    "cool",
    "nice",
    "yes",
    "no",
    "certain",
    "sure",
    "convenient",
    "great",
    "useful",
    "interesting",
    "relevant",
    "allowed",
    "legal",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_rules_is_read() {
        let other =
            |line: &&str| !line.is_empty() && !["#", "class ", "guard "].iter().any(|start| line.starts_with(start));
        assert_eq!(RULES.lines().filter(other).count(), COMPILED.len());
        assert!(
            ORDER
                .iter()
                .all(|intent| COMPILED.iter().any(|rule| rule.intent == *intent))
        );
    }
}
