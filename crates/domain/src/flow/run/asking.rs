//! A question is open.

use super::{Asking, FlowInput, FlowOutput, FlowRun, State};
use crate::conversation::Expect;
use crate::flow::answer::{Answer, AnswerType, Choice, NotUnderstood, Understood};
use crate::flow::bounds;
use crate::flow::grammar::{Intent, IntentHeard, Phrase};
use crate::flow::graph::Confirm;
use jiff::civil::Time;

/// Under this an answer is read back.
const SURE_PERCENT: u8 = 70;
/// Under this there is no answer.
const NOTHING_PERCENT: u8 = 40;
/// At an open question only this much makes a wish.
const WISH_AT_OPEN_PERCENT: u8 = 85;

impl FlowRun {
    pub(super) fn while_asking(&mut self, mut asking: Asking, input: FlowInput) -> Vec<FlowOutput> {
        match input {
            FlowInput::Heard { text } => self.hear(asking, &text),
            FlowInput::Keys(keys) => self.press(asking, &keys),
            FlowInput::Silence => self.stay_silent(asking),
            FlowInput::Interrupted { .. } => {
                asking.interrupted = true;
                self.state = State::Asking(asking);
                vec![FlowOutput::Wait]
            }
            // A model that answers late has nobody to talk to; the others are answered before.
            FlowInput::SpeechFinished
            | FlowInput::ModelSaid { .. }
            | FlowInput::ModelFailed
            | FlowInput::Start
            | FlowInput::TimeUp
            | FlowInput::HungUp => vec![FlowOutput::Wait],
        }
    }

    fn hear(&mut self, asking: Asking, text: &str) -> Vec<FlowOutput> {
        if !text.chars().any(char::is_alphanumeric) {
            return self.not_understood(asking, &NotUnderstood::Nothing, "");
        }
        let wish = self.wish_in(text);
        if asking.candidate.is_some() {
            return match wish {
                Some(wish) if leaves(wish.intent) || wish.intent == Intent::Repeat || wish.intent == Intent::HoldOn => {
                    self.follow_wish(asking, wish.intent, text)
                }
                _ => self.hear_confirmation(asking, text),
            };
        }
        let understood = self.understand(&asking, text);
        match wish {
            Some(wish) if wish_wins(&wish, &asking.node.answer, understood.as_ref().ok()) => {
                self.follow_wish(asking, wish.intent, text)
            }
            _ => match understood {
                Ok(understood) => self.weigh(asking, understood, text),
                Err(reason) => self.not_understood(asking, &reason, text),
            },
        }
    }

    /// The answer in these words, alone or together with the part that came before ("the third" - "at five").
    fn understand(&self, asking: &Asking, text: &str) -> Result<Understood, NotUnderstood> {
        let moment = self.moment();
        let wanted = &asking.node.answer;
        let alone = self.speech.understand(wanted, text, &moment);
        match alone {
            Err(reason) if !asking.earlier.is_empty() => {
                let joined = format!("{} {text}", asking.earlier);
                self.speech.understand(wanted, &joined, &moment).map_err(|_| reason)
            }
            alone => alone,
        }
    }

    fn weigh(&mut self, mut asking: Asking, understood: Understood, text: &str) -> Vec<FlowOutput> {
        let unsure = understood.confidence_percent < SURE_PERCENT;
        let read_back = match (asking.node.confirm, &understood.answer) {
            // "Did you say yes?" helps nobody; an open answer is not repeated to whoever gave it.
            (_, Answer::YesNo(_) | Answer::Text(_)) | (Confirm::Never, _) => false,
            (Confirm::WhenUnsure, _) => unsure,
            (Confirm::Always, _) => true,
        };
        if understood.confidence_percent < NOTHING_PERCENT {
            return self.not_understood(asking, &NotUnderstood::NoAnswer, text);
        }
        if !read_back {
            return self.accept(&asking, &understood.answer);
        }
        let question = self.reads_back(&asking, &understood.answer);
        asking.candidate = Some(understood.answer);
        self.state = State::Asking(asking);
        vec![self.say(question, Expect::YesNo, true, Vec::new())]
    }

    pub(super) fn reads_back(&self, asking: &Asking, answer: &Answer) -> String {
        let spoken = bounds::spoken(self.speech, &asking.node.answer, answer, &self.moment());
        self.speech.phrase(&Phrase::DidYouSay(spoken))
    }

    fn hear_confirmation(&mut self, mut asking: Asking, text: &str) -> Vec<FlowOutput> {
        let moment = self.moment();
        let Some(candidate) = asking.candidate.clone() else {
            return vec![FlowOutput::Wait];
        };
        let yes = self
            .speech
            .understand(&AnswerType::YesNo, text, &moment)
            .map(|understood| understood.answer);
        // "No, Wednesday" brings its own answer; so does "Wednesday".
        let other = self.speech.understand(&asking.node.answer, text, &moment).ok();
        match (yes, other) {
            (Ok(Answer::YesNo(true)), _) => self.accept(&asking, &candidate),
            (_, Some(other)) if other.answer == candidate => self.accept(&asking, &candidate),
            (_, Some(other)) if !matches!(other.answer, Answer::Text(_)) => {
                asking.candidate = None;
                asking.tries = asking.tries.saturating_add(1);
                if asking.tries >= asking.node.tries_max.max(1) {
                    return self.leave_not_understood(&asking);
                }
                self.weigh(asking, other, text)
            }
            (Ok(_), _) => {
                asking.candidate = None;
                asking.earlier.clear();
                self.not_understood(asking, &NotUnderstood::NoAnswer, "")
            }
            (Err(_), _) => {
                asking.tries = asking.tries.saturating_add(1);
                if asking.tries >= asking.node.tries_max.max(1) {
                    return self.leave_not_understood(&asking);
                }
                let question = self.reads_back(&asking, &candidate);
                self.state = State::Asking(asking);
                vec![self.say(question, Expect::YesNo, true, Vec::new())]
            }
        }
    }

    pub(super) fn not_understood(&mut self, mut asking: Asking, reason: &NotUnderstood, text: &str) -> Vec<FlowOutput> {
        asking.tries = asking.tries.saturating_add(1);
        asking.held = false;
        if asking.tries >= asking.node.tries_max.max(1) {
            return self.leave_not_understood(&asking);
        }
        let asks_by_itself = matches!(
            reason,
            NotUnderstood::TimeMissing(_) | NotUnderstood::DateMissing(_) | NotUnderstood::Ambiguous(_)
        );
        asking.earlier = if asks_by_itself || matches!(reason, NotUnderstood::TooFewDigits { .. }) {
            format!("{} {text}", asking.earlier)
                .trim()
                .chars()
                .take(EARLIER_CHARS_MAX)
                .collect()
        } else {
            String::new()
        };
        let own = nth_or_last(&asking.node.retry, asking.tries)
            .map(|template| self.render(&template))
            .unwrap_or_default();
        let text = if asks_by_itself {
            self.speech.phrase(&Phrase::Why(reason, &asking.node.answer))
        } else if own.is_empty() {
            let why = self.speech.phrase(&Phrase::Why(reason, &asking.node.answer));
            format!("{why} {}", self.question(&asking.node))
        } else {
            own
        };
        let output = self.ask_in_words(&asking, text);
        self.state = State::Asking(asking);
        vec![output]
    }

    fn leave_not_understood(&mut self, asking: &Asking) -> Vec<FlowOutput> {
        let exit = asking
            .node
            .not_understood
            .clone()
            .or_else(|| asking.node.no_answer.clone());
        match exit {
            Some(exit) => self.enter(Some(exit)),
            None => self.give_up("not_understood"),
        }
    }

    fn stay_silent(&mut self, mut asking: Asking) -> Vec<FlowOutput> {
        if asking.held {
            asking.held = false;
            let text = self.speech.phrase(&Phrase::StillThere);
            let output = self.ask_in_words(&asking, text);
            self.state = State::Asking(asking);
            return vec![output];
        }
        asking.silences = asking.silences.saturating_add(1);
        if asking.silences >= asking.node.silences_max.max(1) {
            return match asking.node.no_answer.clone() {
                Some(exit) => self.enter(Some(exit)),
                None => {
                    let goodbye = self.speech.phrase(&Phrase::Goodbye);
                    self.say_goodbye(goodbye, "no_answer")
                }
            };
        }
        let own = nth_or_last(&asking.node.silence, asking.silences)
            .map(|template| self.render(&template))
            .unwrap_or_default();
        let question = match &asking.candidate {
            Some(candidate) => self.reads_back(&asking, &candidate.clone()),
            None => self.question(&asking.node),
        };
        let text = if asking.interrupted && asking.candidate.is_none() {
            // Whoever broke us off and then said nothing has missed the question; that is not their silence.
            question
        } else if own.is_empty() || asking.candidate.is_some() {
            format!("{} {question}", self.speech.phrase(&Phrase::Silence))
        } else {
            own
        };
        asking.interrupted = false;
        let output = match &asking.candidate {
            Some(_) => self.say(text, Expect::YesNo, true, Vec::new()),
            None => self.ask_in_words(&asking, text),
        };
        self.state = State::Asking(asking);
        vec![output]
    }

    fn press(&mut self, asking: Asking, keys: &str) -> Vec<FlowOutput> {
        let entry = keys.trim_end_matches('#');
        if asking.candidate.is_some() {
            return match entry {
                "1" => self.hear_confirmation(asking, "yes"),
                "2" => self.hear_confirmation(asking, "no"),
                _ => self.hear_confirmation(asking, ""),
            };
        }
        let answer = match &asking.node.answer {
            AnswerType::YesNo => match entry {
                "1" => Ok(Answer::YesNo(true)),
                "2" => Ok(Answer::YesNo(false)),
                _ => Err(NotUnderstood::NoAnswer),
            },
            AnswerType::Digits { .. } => {
                let digits: String = entry.chars().filter(char::is_ascii_digit).collect();
                return match self.understand(&asking, &digits) {
                    Ok(understood) => self.weigh(asking, Understood::sure(understood.answer), &digits),
                    Err(reason) => self.special_key(asking, entry, &reason, &digits),
                };
            }
            AnswerType::Options { options } => option_of_key(options, entry).ok_or(NotUnderstood::NoAnswer),
            AnswerType::Number { .. } => number_of_keys(entry).map(Answer::Number).ok_or(NotUnderstood::NoAnswer),
            AnswerType::Amount { currency, .. } => number_of_keys(entry)
                .and_then(|units| crate::flow::english::minor_units(units, currency))
                .map(|minor| Answer::Amount {
                    minor,
                    currency: currency.clone(),
                })
                .ok_or(NotUnderstood::NoAnswer),
            AnswerType::Time { .. } => time_of_keys(entry).map(Answer::Time).ok_or(NotUnderstood::NoAnswer),
            // Days, names and sentences are not typed on a telephone.
            AnswerType::Date { .. } | AnswerType::DateTime { .. } | AnswerType::Name | AnswerType::Text { .. } => {
                Err(NotUnderstood::NoAnswer)
            }
        };
        let checked = answer.and_then(|answer| {
            bounds::check(
                self.speech,
                &asking.node.answer,
                Understood::sure(answer),
                &self.moment(),
            )
        });
        match checked {
            Ok(understood) => self.weigh(asking, understood, ""),
            Err(reason) => self.special_key(asking, entry, &reason, ""),
        }
    }

    /// `*` says the question again, `0` asks for a person, as telephones have taught everybody.
    fn special_key(&mut self, asking: Asking, entry: &str, reason: &NotUnderstood, text: &str) -> Vec<FlowOutput> {
        match entry {
            "*" => self.follow_wish(asking, Intent::Repeat, ""),
            "0" if self.listens_for(Intent::Person) => self.follow_wish(asking, Intent::Person, ""),
            _ => self.not_understood(asking, reason, text),
        }
    }
}

const EARLIER_CHARS_MAX: usize = 300;

/// Intents that end the call or leave the question.
pub(super) fn leaves(intent: Intent) -> bool {
    match intent {
        Intent::Later | Intent::DoNotCall | Intent::WrongPerson | Intent::Person | Intent::Goodbye => true,
        Intent::Repeat | Intent::Who | Intent::About | Intent::HoldOn => false,
    }
}

/// Whether a wish counts more than the answer that the same words hold.
fn wish_wins(wish: &IntentHeard, wanted: &AnswerType, understood: Option<&Understood>) -> bool {
    let answered = understood.filter(|understood| understood.confidence_percent >= SURE_PERCENT);
    match wanted {
        AnswerType::Text { .. } => wish.whole && wish.confidence_percent >= WISH_AT_OPEN_PERCENT,
        // "Goodbye" could be anybody's name.
        AnswerType::Name => wish.whole || answered.is_none(),
        // An option may be called "goodbye" or "call me later".
        AnswerType::Options { .. } if answered.is_some_and(|understood| understood.confidence_percent >= 90) => {
            wish.intent == Intent::DoNotCall
        }
        // "Call me tomorrow at five" answers "When shall we call?".
        AnswerType::Date { .. } | AnswerType::Time { .. } | AnswerType::DateTime { .. }
            if wish.intent == Intent::Later && answered.is_some() =>
        {
            false
        }
        _ => match wish.intent {
            Intent::DoNotCall | Intent::WrongPerson | Intent::Person | Intent::Later => true,
            Intent::Repeat | Intent::Goodbye | Intent::Who | Intent::About | Intent::HoldOn => answered.is_none(),
        },
    }
}

fn nth_or_last(templates: &[String], nth: u8) -> Option<String> {
    templates
        .get(usize::from(nth).saturating_sub(1))
        .or_else(|| templates.last())
        .cloned()
}

fn option_of_key(options: &[Choice], entry: &str) -> Option<Answer> {
    let mut chars = entry.chars();
    let key = chars.next().filter(|_| chars.as_str().is_empty());
    let by_key = key.and_then(|key| options.iter().find(|option| option.key == Some(key)));
    let by_place = || {
        let place: usize = entry.parse().ok()?;
        options.get(place.checked_sub(1)?).filter(|option| option.key.is_none())
    };
    by_key
        .or_else(by_place)
        .map(|option| Answer::Option(option.value.clone()))
}

fn number_of_keys(entry: &str) -> Option<f64> {
    let text = entry.replacen('*', ".", 1);
    let digits = text.chars().any(|sign| sign.is_ascii_digit()) && text.len() <= 15;
    digits
        .then(|| text.parse().ok())
        .flatten()
        .filter(|number: &f64| number.is_finite())
}

fn time_of_keys(entry: &str) -> Option<Time> {
    let padded = format!("{entry:0>4}");
    let (hour, minute) = (padded.get(..2)?, padded.get(2..)?);
    if entry.len() < 3 || padded.len() != 4 {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}
