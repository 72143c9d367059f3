//! The rules: who is it, by what has been heard so far.
//!
//! They stand in order of precedence; the first that holds gives the verdict. Voicemail wants two signals of different kinds
//! (words, length, no reply) or a beep after a greeting. A dialogue outweighs words, and two exchanges outweigh everything.

use super::heard::{Heard, STRONG, Turn, WEAK};
use super::{Class, Evidence, Phrase, Policy, Reason, Tone};

/// A greeting this long, in milliseconds, is a signal of its own.
const LONG_GREETING_MS: u64 = 3_500;
/// So long a greeting, in milliseconds, may stand for voicemail without any words, if then nobody replies.
const VERY_LONG_GREETING_MS: u64 = 8_000;
/// A hello is at most this long, in milliseconds.
const SHORT_GREETING_MS: u64 = 2_200;
/// A pause after which a short greeting is over, in milliseconds.
const GREETING_PAUSE_MS: u64 = 600;
/// So long without an answer to our words, in milliseconds, is a signal after words of a mailbox.
const NO_REPLY_MS: u64 = 3_500;
/// And so long where there are no words to go by.
const NO_REPLY_WITHOUT_WORDS_MS: u64 = 6_000;
/// A beep counts after a greeting of at least this length, in milliseconds; a waiting-call tone may follow any hello.
const GREETING_BEFORE_BEEP_MS: u64 = 2_500;
/// A beep comes at most this long after the greeting, in milliseconds.
const BEEP_WITHIN_MS: u64 = 8_000;

/// Below the confidence that a hang-up wants by default.
const MAILBOX_AFTER_US_PERCENT: u8 = 80;
/// A voice that goes on for longer than this after a beep, in milliseconds: no mailbox is listening.
const VOICE_AFTER_BEEP_MS: u64 = 700;

/// After this many exchanges a person stays a person.
pub(super) const DIALOGUE_EXCHANGES: u32 = 2;

/// The verdict that what was heard allows now, if any.
pub(super) fn weigh(heard: &Heard, policy: &Policy) -> Option<Evidence> {
    let case = Case::new(heard);
    let (class, confidence, mut reasons) = None
        .or_else(|| case.dialogue())
        .or_else(|| case.fax())
        .or_else(|| case.screening())
        .or_else(|| case.menu())
        .or_else(|| case.voicemail())
        .or_else(|| case.network())
        .or_else(|| case.person())
        .or_else(|| case.silence(policy))?;
    reasons.sort_unstable();
    reasons.dedup();
    Some(Evidence {
        class,
        confidence,
        at_ms: heard.now_ms,
        reasons,
    })
}

/// The verdict on whoever speaks behind a screening assistant: the assistant itself goes on with words of its kind.
pub(super) fn weigh_behind_assistant(heard: &Heard) -> Option<Evidence> {
    let case = Case::new(heard);
    let voicemail = || case.voicemail().filter(|(_, confidence, _)| *confidence >= 85);
    let (class, confidence, mut reasons) = None
        .or_else(|| case.dialogue())
        .or_else(voicemail)
        .or_else(|| case.person_behind_assistant())?;
    reasons.sort_unstable();
    reasons.dedup();
    Some(Evidence {
        class,
        confidence,
        at_ms: heard.now_ms,
        reasons,
    })
}

type Finding = (Class, u8, Vec<Reason>);

struct Case<'a> {
    heard: &'a Heard,
    exchanges: u32,
    opening_ms: u64,
    /// All voice before they first reacted to us.
    monologue_ms: u64,
    /// The turns whose words count: what was said before they first answered us.
    turns: &'a [Turn],
}

impl<'a> Case<'a> {
    fn new(heard: &'a Heard) -> Self {
        let exchanges = heard.exchanges();
        let turns = heard.monologue();
        Self {
            heard,
            exchanges,
            opening_ms: turns.first().map_or(0, Turn::length_ms),
            monologue_ms: turns.iter().map(Turn::length_ms).sum(),
            turns,
        }
    }

    fn count(&self, phrase: Phrase) -> u32 {
        self.turns.iter().map(|turn| turn.count(phrase)).sum()
    }

    fn has(&self, phrase: Phrase) -> bool {
        self.count(phrase) > 0
    }

    /// Whether the opening, or what came before our first words, holds one of these.
    fn has_before_us(&self, phrases: &[Phrase]) -> bool {
        let early = self
            .turns
            .iter()
            .enumerate()
            .filter(|(place, turn)| *place == 0 || turn.before_us);
        early
            .into_iter()
            .any(|(_, turn)| phrases.iter().any(|phrase| turn.count(*phrase) > 0))
    }

    fn of(&self, phrases: &[Phrase]) -> Vec<Reason> {
        let heard = phrases.iter().filter(|phrase| self.has(**phrase));
        heard.map(|phrase| Reason::Phrase { phrase: *phrase }).collect()
    }

    fn long_greeting(&self) -> Option<Reason> {
        (self.monologue_ms >= LONG_GREETING_MS).then_some(Reason::LongGreeting {
            length_ms: self.monologue_ms,
        })
    }

    fn no_reply(&self, least_ms: u64) -> Option<Reason> {
        let silent_ms = self.heard.no_reply_ms();
        (silent_ms >= least_ms).then_some(Reason::NoReply { silent_ms })
    }

    fn pause_of(&self, least_ms: u64) -> bool {
        self.heard.far_silent_ms().is_some_and(|silent| silent >= least_ms)
    }

    fn dialogue(&self) -> Option<Finding> {
        let exchanges = self.exchanges;
        (exchanges >= DIALOGUE_EXCHANGES).then(|| (Class::Human, 99, vec![Reason::Dialogue { exchanges }]))
    }

    fn fax(&self) -> Option<Finding> {
        let tones = &self.heard.tones;
        let found = |tone| Some((Class::Fax, 98, vec![Reason::Tone { tone }]));
        if self.exchanges > 0 {
            None
        } else if tones.fax_answering {
            found(Tone::FaxAnswering)
        } else if tones.fax_calling >= 2 || tones.fax_calling == 1 && !self.heard.any_voice() {
            found(Tone::FaxCalling)
        } else {
            None
        }
    }

    fn screening(&self) -> Option<Finding> {
        let asks = self.of(&[Phrase::StateYourName, Phrase::StateReason]);
        let serves = self.of(&[Phrase::ScreeningService, Phrase::WillConnect]);
        let asks_after_tone =
            self.has(Phrase::AfterTheTone) && (self.has(Phrase::WillConnect) || self.has(Phrase::StateYourName));
        let asks_as_service = self.has(Phrase::ScreeningService) && self.has(Phrase::Question);
        let named = self.has(Phrase::StateYourName) || self.has(Phrase::ScreeningService);
        if self.exchanges > 0
            || !(named && !asks.is_empty() || asks_after_tone || asks_as_service)
            || self.has(Phrase::LeaveMessage)
        {
            return None;
        }
        // A person asks for a name too, but in a breath and as a question.
        let by_question = self.has(Phrase::Question) && serves.is_empty();
        let signals = asks.len() + serves.len() + usize::from(asks_after_tone) + usize::from(asks_as_service);
        let long = self
            .long_greeting()
            .or((self.opening_ms >= 2_500).then_some(Reason::LongGreeting {
                length_ms: self.opening_ms,
            }));
        if by_question || signals < 2 && long.is_none() {
            return None;
        }
        let confidence = if signals >= 2 { 92 } else { 80 };
        Some((
            Class::Screening,
            confidence,
            [asks, serves].into_iter().flatten().chain(long).collect(),
        ))
    }

    fn menu(&self) -> Option<Finding> {
        let keys = self.count(Phrase::PressKey);
        let kinds = self.of(&[Phrase::PressKey, Phrase::MenuOptions, Phrase::PleaseHold]);
        let is_mailbox = STRONG.iter().any(|phrase| self.has(*phrase)) && keys < 3;
        if self.exchanges > 0 || is_mailbox || kinds.is_empty() {
            return None;
        }
        let long = self.long_greeting();
        let confidence = match (keys, kinds.len(), &long) {
            (2.., _, _) => 95,
            (_, 2.., _) => 90,
            (0, _, _) if self.count(Phrase::PleaseHold) >= 2 => 88,
            (_, _, Some(_)) if !self.listens() && !self.has(Phrase::WillConnect) => 80,
            _ => return None,
        };
        Some((Class::Menu, confidence, kinds.into_iter().chain(long).collect()))
    }

    /// Whether what was said was said by somebody who listens.
    fn listens(&self) -> bool {
        self.has(Phrase::Question) || self.has(Phrase::Listener)
    }

    fn voicemail(&self) -> Option<Finding> {
        let strong = self.of(STRONG);
        let weak = self.of(WEAK);
        let beep = self.beep(!strong.is_empty() || !weak.is_empty());
        let words: Vec<Reason> = strong.iter().chain(&weak).copied().collect();
        if let Some(beep) = beep {
            let confidence = if strong.is_empty() { 95 } else { 98 };
            return Some((Class::Voicemail, confidence, words.into_iter().chain([beep]).collect()));
        }
        if self.exchanges > 0 {
            return None;
        }
        if let Some(later) = self.mailbox_after_us() {
            return Some(later);
        }
        let any_beep = self.any_beep();
        // That the mailbox is full says no more than that there is one.
        let kinds = strong.len() - usize::from(self.has(Phrase::Mailbox) && self.has(Phrase::MailboxFull));
        // One phrase after we have spoken may be a person's who answers.
        let kinds = if kinds == 1 && !self.has_before_us(STRONG) {
            0
        } else {
            kinds
        };
        if kinds == 0 && weak.len() < 2 || self.listens() && kinds < 2 {
            let very_long = self.monologue_ms >= VERY_LONG_GREETING_MS && !self.listens();
            let silent = self
                .no_reply(NO_REPLY_WITHOUT_WORDS_MS)
                .filter(|_| very_long || any_beep.is_some())?;
            let reasons = [Some(silent), self.long_greeting(), any_beep];
            return Some((
                Class::Voicemail,
                70,
                reasons.into_iter().flatten().chain(words).collect(),
            ));
        }
        let others: Vec<Reason> = [self.long_greeting(), self.no_reply(NO_REPLY_MS), any_beep]
            .into_iter()
            .flatten()
            .collect();
        if others.is_empty() {
            return None;
        }
        let kinds = u8::try_from(words.len() + others.len()).unwrap_or(u8::MAX);
        let confidence = 80_u8.saturating_add(kinds.saturating_mul(3)).min(96);
        Some((Class::Voicemail, confidence, words.into_iter().chain(others).collect()))
    }

    /// A greeting that seems to answer us, as its beginning was not heard: two kinds of a mailbox's words in one long turn.
    /// It never ends a call by itself: a person may explain a mailbox.
    fn mailbox_after_us(&self) -> Option<Finding> {
        let turn = self.heard.turns[self.turns.len()..].last()?;
        let words = [Phrase::LeaveMessage, Phrase::AfterTheTone, Phrase::Mailbox];
        let words = words.into_iter().filter(|phrase| turn.count(*phrase) > 0);
        let reasons: Vec<Reason> = words.map(|phrase| Reason::Phrase { phrase }).collect();
        let length_ms = turn.length_ms();
        let listens = turn.count(Phrase::Question) + turn.count(Phrase::Listener) > 0;
        if reasons.len() < 2 || length_ms < LONG_GREETING_MS || listens || self.listens() {
            return None;
        }
        let reasons = reasons
            .into_iter()
            .chain([Reason::LongGreeting { length_ms }])
            .collect();
        Some((Class::Voicemail, MAILBOX_AFTER_US_PERCENT, reasons))
    }

    /// The last beep, if it came after a voice and no voice went on after it.
    fn any_beep(&self) -> Option<Reason> {
        self.beep_after_ms().map(|(tone, _)| Reason::Tone { tone })
    }

    /// And how long the turn before it was.
    fn beep_after_ms(&self) -> Option<(Tone, u64)> {
        let (tone, at_ms) = self.heard.tones.beep?;
        let turns = &self.heard.turns;
        let turn = turns.iter().rev().find(|turn| turn.began_ms < at_ms)?;
        let ended_ms = turn.ended_ms.min(at_ms);
        let goes_on = turns
            .last()
            .is_some_and(|last| last.ended_ms > at_ms + VOICE_AFTER_BEEP_MS);
        let soon = at_ms - ended_ms <= BEEP_WITHIN_MS;
        (soon && !goes_on).then_some((tone, ended_ms - turn.began_ms))
    }

    /// A beep that decides alone: after a greeting, not after a mere hello, and not in a dialogue.
    fn beep(&self, with_words: bool) -> Option<Reason> {
        let (tone, greeting_ms) = self.beep_after_ms()?;
        let long = greeting_ms >= GREETING_BEFORE_BEEP_MS;
        let enough = if self.exchanges == 0 {
            with_words || long
        } else {
            with_words && long
        };
        enough.then_some(Reason::Tone { tone })
    }

    fn network(&self) -> Option<Finding> {
        let tones = &self.heard.tones;
        let found = |tone, confidence| Some((Class::Network, confidence, vec![Reason::Tone { tone }]));
        if self.exchanges > 0 {
            return None;
        }
        if tones.special_information {
            return found(Tone::SpecialInformation, 95);
        }
        if tones.busy {
            return found(Tone::Busy, 90);
        }
        let said = self.count(Phrase::NotInService);
        // A mailbox begins as the network does: what follows tells them apart.
        let over = self.pause_of(if said >= 2 { 800 } else { 1_500 });
        let signals = said + u32::from(self.has(Phrase::Unavailable)) + u32::from(self.opening_ms >= 2_500);
        if said == 0 || signals < 2 || !over || self.listens() {
            return None;
        }
        let long = (self.opening_ms >= 2_500).then_some(Reason::LongGreeting {
            length_ms: self.opening_ms,
        });
        let words = self.of(&[Phrase::NotInService, Phrase::Unavailable]);
        let confidence = if said >= 2 && long.is_some() { 92 } else { 80 };
        Some((Class::Network, confidence, words.into_iter().chain(long).collect()))
    }

    fn person(&self) -> Option<Finding> {
        let opening = self.heard.turns.first()?;
        let human = self.of(&[Phrase::Hello, Phrase::Question, Phrase::Listener]);
        if self.exchanges > 0 {
            let exchanges = self.exchanges;
            let reasons = human.into_iter().chain([Reason::Dialogue { exchanges }]).collect();
            return Some((Class::Human, 88, reasons));
        }
        if opening.sounds_recorded() && !self.listens() || !self.pause_of(GREETING_PAUSE_MS) {
            return None;
        }
        if self.opening_ms <= SHORT_GREETING_MS && self.heard.turns.len() == 1 {
            let length_ms = self.opening_ms;
            let confidence = if human.is_empty() { 70 } else { 80 };
            let reasons = human.into_iter().chain([Reason::ShortGreeting { length_ms }]).collect();
            return Some((Class::Human, confidence, reasons));
        }
        self.listens().then_some((Class::Human, 80, human))
    }

    fn person_behind_assistant(&self) -> Option<Finding> {
        let turn = self.heard.turns.last()?;
        let machine = turn.sounds_recorded() || turn.count(Phrase::WillConnect) > 0;
        if machine || !turn.has_words() || !self.pause_of(GREETING_PAUSE_MS) || turn.length_ms() > LONG_GREETING_MS {
            return None;
        }
        let human: Vec<Reason> = [Phrase::Hello, Phrase::Question, Phrase::Listener]
            .into_iter()
            .filter(|phrase| turn.count(*phrase) > 0)
            .map(|phrase| Reason::Phrase { phrase })
            .collect();
        let length_ms = turn.length_ms();
        (!human.is_empty()).then(|| {
            let reasons = human.into_iter().chain([Reason::ShortGreeting { length_ms }]).collect();
            (Class::Human, 80, reasons)
        })
    }

    fn silence(&self, policy: &Policy) -> Option<Finding> {
        let silent_ms = self.heard.now_ms;
        let nobody = !self.heard.any_voice() && self.heard.tones.beep.is_none() && silent_ms >= policy.silence_ms;
        nobody.then(|| (Class::Silence, 80, vec![Reason::NoVoice { silent_ms }]))
    }
}
