//! Phrases that tell who speaks, found in what a recogniser made of them. English.
//!
//! A recogniser drops and bends words, so a phrase is a few telling words in order with room between them, and a long word
//! may differ by one letter. A phrase is never more than one piece of evidence; `rules` weighs it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a phrase says, whatever its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phrase {
    /// "Leave a message", and not as an offer to write one down.
    LeaveMessage,
    /// "After the tone".
    AfterTheTone,
    /// "The voicemail of".
    Mailbox,
    /// "The mailbox is full".
    MailboxFull,
    /// "Cannot take your call".
    Unavailable,
    /// "You have reached".
    Reached,
    /// "Will get back to you as soon as".
    WillCallBack,
    /// "Press one".
    PressKey,
    /// "Listen carefully, our menu has changed".
    MenuOptions,
    /// "Your call is important to us".
    PleaseHold,
    /// "State your name".
    StateYourName,
    /// "And why you are calling".
    StateReason,
    /// "I will try to connect you".
    WillConnect,
    /// "Is using a call screening service".
    ScreeningService,
    /// "The number you have dialed is not in service".
    NotInService,
    /// "Hello?"
    Hello,
    /// What only somebody who listens asks: "Who is this?", "Can I take a message?"
    Question,
    /// What only somebody who listens says: "Hold on", "You have the wrong number".
    Listener,
}

/// Telling words in order: `|` between words that do as well, `_2` for up to two words of any kind.
const PATTERNS: &[(Phrase, &[&str])] = &[
    (
        Phrase::LeaveMessage,
        &[
            "leave|leaving|record|recording _3 message|messages|voicemail",
            "leave|leaving _2 your _3 name|number|details|message",
            "leave _1 word|details|one",
            "text me",
            "send _2 text",
        ],
    ),
    (
        Phrase::AfterTheTone,
        &[
            "after|at|following|hear|until|for _2 tone|beep|bleep|signal",
            "the _1 tone|beep|bleep",
            "when youre|you _2 finished|done _2 hang|press",
            "finished|done recording",
        ],
    ),
    (
        Phrase::Mailbox,
        &[
            "voicemail|voicemailbox|mailbox",
            "voice mail|mailbox",
            "mail box",
            "answering machine|service",
            "voice|automatic|automated messaging|message system|service",
            "messaging service|system",
        ],
    ),
    (
        Phrase::MailboxFull,
        &[
            "mailbox|voicemail|mail|box _3 full",
            "cannot|cant|not|unable _3 accept|receive|take _3 messages",
            "mailbox|voicemail|mail|box _6 set up",
        ],
    ),
    (
        Phrase::Unavailable,
        &[
            "not|isnt|arent|wont|never _2 available",
            "unavailable",
            "cannot|cant|unable|not|couldnt _2 take|answer|come|get|pick|reach _4 phone|call|calls",
            "missed|missing your call|you",
            "cant|cannot pick up",
            "nobody|noone|one _2 available|able|home",
            "away from _2 phone|desk|office",
            "out of the office",
            "on another call|line",
            "on the other line",
        ],
    ),
    (
        Phrase::Reached,
        &["you have reached", "youve|you reached", "youve|you got _1 through to"],
    ),
    (
        Phrase::WillCallBack,
        &[
            "get|getting back to you",
            "return|returning your call",
            "call|ring|phone you _1 back _2 soon|when",
            "as soon as _2 can|possible",
            "earliest convenience|opportunity",
        ],
    ),
    (
        Phrase::PressKey,
        &[
            "press|dial|push|select|say _1 zero|one|two|three|four|five|six|seven|eight|nine|star|pound|hash|0|1|2|3|4|5|6|7|8|9",
            "press any key",
            "oprima|marque|presione|pulse",
        ],
    ),
    (
        Phrase::MenuOptions,
        &[
            "main|following|our menu",
            "menu options|has|have",
            "listen carefully",
            "options have changed",
            "following options",
            "dial _1 by name",
            "your partys|party",
            "followed by _2 pound|hash|key|star",
            "choose _2 following",
            "company|staff directory",
            "know _5 extension",
            "enter _4 extension|number|code|pin",
            "customer|account number followed",
            "briefly tell|say _3 calling",
            "in _1 few words",
            "can say _3 like",
        ],
    ),
    (
        Phrase::PleaseHold,
        &[
            "call _2 important",
            "may|will be _2 recorded|monitored",
            "next available",
            "remain|stay on the line",
            "please hold|wait while|for|until|the|and",
            "continue to hold",
            "number|caller _2 in _1 queue|line",
            "be with you _1 shortly|soon",
            "agents|representatives|operators|advisors|advisers _4 busy|assisting|helping",
            "order _3 received",
            "place|position in _1 queue|line",
            "high|higher call volume|volumes",
        ],
    ),
    (
        Phrase::StateYourName,
        &[
            "say|state|record|speak|provide|give|tell _2 your _2 name",
            "say|state who you are|is",
            "your name and _1 reason|why|purpose",
        ],
    ),
    (
        Phrase::StateReason,
        &[
            "why youre|you _1 calling|called|call",
            "reason|reasons for _2 call|calling",
            "purpose of _2 call",
            "what youre|you _1 calling about",
        ],
    ),
    (
        Phrase::WillConnect,
        &[
            "try|trying|attempt to connect|reach _1 you|them|him|her|your",
            "before|and _4 connect you|your",
            "see if _4 available",
            "see if _4 can|wants _3 call|talk|answer",
            "let _2 know _3 calling",
            "let them|him|her know",
        ],
    ),
    (
        Phrase::ScreeningService,
        &[
            "screening",
            "calls|call _4 screened",
            "screens|screen|screened _2 calls|call",
            "call|virtual|personal|digital|automated|google assist|assistant",
            "unwanted|unknown|spam calls|callers",
            "on behalf of",
        ],
    ),
    (
        Phrase::NotInService,
        &[
            "not|no _1 in service",
            "no longer in service",
            "cannot|cant|not|unable _1 be completed|connected",
            "has|been disconnected",
            "number|customer|subscriber|party _3 dialed|dialled|called|calling",
            "check _2 number",
            "switched|turned off",
            "not reachable|responding",
            "out of coverage|reach|range",
            "does not exist",
            "hang up and _1 try|dial",
            "try|call _4 again _1 later|after",
            "did not go through",
            "subscriber",
        ],
    ),
    (
        Phrase::Hello,
        &[
            "hello|hi|hey|yes|yeah|yep|yello|hiya",
            "good morning|afternoon|evening|day",
        ],
    ),
    (
        Phrase::Question,
        &[
            "who is|are|am _1 this|calling|speaking|there|you|it|that|i",
            "whos this|calling|speaking|there|that|it",
            "whats|what is|this|it _2 this|it|about|regarding",
            "whats it|this|that",
            "what do you want|need",
            "how can|may|could|might _2 help|assist",
            "how may|can i|we direct",
            "can|may|could|shall i|we help|take|ask|get|have|pass",
            "do|would|did you want|like|care _3 leave|hold|speak|wait",
            "can you hear",
            "could|can you say|repeat|speak|call",
            "say|come _1 again",
            "are you there|calling|selling",
            "where are you",
            "what can i do",
            "is this|that _4 again",
        ],
    ),
    (
        Phrase::Listener,
        &[
            "hold on|please",
            "one|a|just moment|second|sec|minute",
            "wrong number",
            "im|am driving|working|eating|sleeping",
            "not interested",
            "stop|dont|quit call|calling",
            "call _2 later",
            "leave me alone",
            "tell|ask him|her|them",
            "with me",
            "ill|will|let get|fetch|grab|tell|take _2 him|her|it|them|down",
            "i cant hear",
            "cant talk",
            "you _1 looking for",
        ],
    ),
];

/// How often each phrase was found.
pub(super) type Found = BTreeMap<Phrase, u32>;

/// Finds the phrases of one utterance.
pub(super) fn find(text: &str) -> Found {
    let words = words(text);
    let mut found = Found::new();
    for (phrase, patterns) in PATTERNS {
        let starts = (0..words.len())
            .filter(|start| {
                patterns.iter().any(|pattern| {
                    matched(&words[*start..], pattern).is_some_and(|length| !vetoed(*phrase, &words, *start, length))
                })
            })
            .count();
        if starts > 0 {
            found.insert(*phrase, u32::try_from(starts).unwrap_or(u32::MAX));
        }
    }
    found
}

/// The words in lower case, without the marks that one recogniser writes and another does not.
fn words(text: &str) -> Vec<String> {
    text.split(|letter: char| letter.is_whitespace() || matches!(letter, '-' | ',' | '.' | '?' | '!' | ';' | ':' | '/'))
        .map(|word| {
            word.chars()
                .filter(|letter| letter.is_alphanumeric())
                .flat_map(char::to_lowercase)
                .collect::<String>()
        })
        .filter(|word| !word.is_empty())
        .collect()
}

/// How many words from the first on the pattern takes, if it stands there.
fn matched(words: &[String], pattern: &str) -> Option<usize> {
    let mut place = 0;
    let mut gap = 0;
    for part in pattern.split(' ') {
        if let Some(count) = part.strip_prefix('_') {
            gap = count.parse().unwrap_or(0);
            continue;
        }
        let reach = words.len().min(place + gap + 1);
        let step = words
            .get(place..reach)?
            .iter()
            .position(|word| part.split('|').any(|wanted| same(word, wanted)))?;
        place += step + 1;
        gap = 0;
    }
    Some(place)
}

/// Whether two words are the same, or long and one letter apart.
fn same(heard: &str, wanted: &str) -> bool {
    heard == wanted || (wanted.len() >= 5 && heard.len() >= 4 && within_one_letter(heard.as_bytes(), wanted.as_bytes()))
}

fn within_one_letter(a: &[u8], b: &[u8]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if long.len() - short.len() > 1 {
        return false;
    }
    let alike = short.iter().zip(long).take_while(|(x, y)| x == y).count();
    match long.len() - short.len() {
        0 => short[alike..].iter().skip(1).eq(long[alike..].iter().skip(1)),
        _ => short[alike..] == long[alike + 1..],
    }
}

/// Whether the words around a phrase make it something a person says.
fn vetoed(phrase: Phrase, words: &[String], start: usize, length: usize) -> bool {
    let before = &words[start.saturating_sub(6)..start];
    let after = &words[start + length..words.len().min(start + length + 4)];
    let stands = |place: &[String], any: &[&str]| place.iter().any(|word| any.contains(&word.as_str()));
    // "Would you like to leave a message?", "you can leave it with me".
    let offered = stands(
        before,
        &["would", "do", "can", "could", "shall", "may", "want", "wanna", "did"],
    ) && stands(before, &["you", "i", "we"])
        && !stands(before, &["if", "please", "so", "but", "cant", "not"]);
    match phrase {
        Phrase::LeaveMessage => {
            stands(after, &["me", "him", "her"]) && stands(after, &["with", "for"])
                || offered && !stands(words, &["tone", "beep", "press"])
        }
        // The number for emergencies is no key of a menu.
        Phrase::PressKey => stands(after, &["one", "1"]) && words[..start + length].ends_with(&["nine".to_owned()]),
        // "What is the reason for your call?", "can you tell me your name and why you call?"
        Phrase::StateYourName | Phrase::StateReason
            if !stands(words, &["assistant", "screening", "screen", "connect"]) =>
        {
            let before = &words[start.saturating_sub(9)..start];
            stands(before, &["what", "whats", "can", "could", "may", "mind"])
                || words[start..start + length].first().is_some_and(|word| word == "your")
                    && stands(before, &["have", "get", "take"])
        }
        // "I will not call you back" is a promise to nobody.
        Phrase::Question => before.last().is_some_and(|word| word == "if" || word == "know"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<Phrase> {
        find(text).into_keys().collect()
    }

    #[test]
    fn telling_words_are_found_however_they_are_wrapped() {
        use Phrase as P;
        let rows: [(&str, &[P]); 20] = [
            ("Please leave a message.", &[P::LeaveMessage]),
            ("leave me your name and number", &[P::LeaveMessage]),
            (
                "Leave your message after the tone!",
                &[P::LeaveMessage, P::AfterTheTone],
            ),
            ("you've reached the voice mail of Tom", &[P::Mailbox, P::Reached]),
            ("I can't come to the phone right now", &[P::Unavailable]),
            ("he is not available at the moment", &[P::Unavailable]),
            ("The mailbox is full", &[P::Mailbox, P::MailboxFull]),
            ("For sales, press one. For service press 2", &[P::PressKey]),
            (
                "state your name and why you're calling",
                &[P::StateYourName, P::StateReason],
            ),
            ("this call may be recorded", &[P::PleaseHold]),
            ("the number you have dialed is not in service", &[P::NotInService]),
            ("leave me alone", &[P::Listener]),
            ("Can I take a message?", &[P::Question]),
            ("do you want to leave a message?", &[P::Question]),
            ("you can leave the message with me", &[P::Listener]),
            ("may I have your name and the reason for the call?", &[P::Question]),
            ("Hello?", &[P::Hello]),
            ("leave a massage", &[P::LeaveMessage]),
            ("", &[]),
            ("the weather is fine", &[]),
        ];
        for (text, expected) in rows {
            assert_eq!(names(text), expected, "{text}");
        }
    }

    #[test]
    fn each_key_counts() {
        assert_eq!(find("press one for sales, press two for service")[&Phrase::PressKey], 2);
    }

    #[test]
    fn words_one_letter_apart_are_the_same_only_if_long() {
        let rows = [
            ("message", "message", true),
            ("massage", "message", true),
            ("messages", "message", true),
            ("mesage", "message", true),
            ("passage", "message", false),
            ("bone", "tone", false),
            ("", "message", false),
        ];
        for (heard, wanted, expected) in rows {
            assert_eq!(same(heard, wanted), expected, "{heard} {wanted}");
        }
    }
}
