//! What callees want apart from answering, at any node.

use super::asking::leaves;
use super::{Asking, FlowInput, FlowOutput, FlowRun, State, TransferRequest};
use crate::conversation::Expect;
use crate::flow::answer::{AnswerType, NotUnderstood};
use crate::flow::grammar::{Intent, IntentHeard, Phrase};
use crate::time::UnixMicros;
use jiff::Zoned;
use serde_json::json;
use std::time::Duration;

/// How many answers to "When shall we call you back?" may hold no time.
const CALLBACK_TRIES_MAX: u8 = 2;

impl FlowRun {
    /// The wish in these words, if the flow listens for it.
    pub(super) fn wish_in(&self, text: &str) -> Option<IntentHeard> {
        let heard = self.speech.intent(text, self.callee_name().as_deref())?;
        self.listens_for(heard.intent).then_some(heard)
    }

    pub(super) fn listens_for(&self, intent: Intent) -> bool {
        let intents = &self.flow.intents;
        match intent {
            Intent::Later => intents.later.enabled,
            Intent::DoNotCall => intents.do_not_call.enabled,
            Intent::WrongPerson => intents.wrong_person.enabled,
            Intent::Repeat => intents.repeat.enabled,
            Intent::Person => intents.person.enabled,
            Intent::Goodbye => intents.goodbye.enabled,
            Intent::Who => intents.who.enabled,
            Intent::About => intents.about.enabled,
            Intent::HoldOn => intents.hold_on.enabled,
        }
    }

    /// Does what is wished while a question is open.
    pub(super) fn follow_wish(&mut self, asking: Asking, intent: Intent, text: &str) -> Vec<FlowOutput> {
        if leaves(intent) {
            return self.leave(intent, text);
        }
        let settings = &self.flow.intents;
        let setting = match intent {
            Intent::HoldOn => settings.hold_on.clone(),
            Intent::Who => settings.who.clone(),
            Intent::About => settings.about.clone(),
            _ => settings.repeat.clone(),
        };
        if let Some(to) = setting.to {
            let mut outputs = self.say_if_any(setting.text.as_deref());
            outputs.extend(self.enter(Some(to)));
            return outputs;
        }
        match intent {
            Intent::HoldOn => self.hold_on(asking, setting.text.as_deref()),
            Intent::Who => {
                let company = self.context.company.clone();
                let phrase = Phrase::WhoWeAre {
                    company: company.as_deref(),
                };
                let answer = self.render_or(setting.text.as_deref(), &phrase);
                self.ask_again(asking, answer)
            }
            _ => {
                let answer = setting
                    .text
                    .as_deref()
                    .map(|text| self.render(text))
                    .unwrap_or_default();
                self.ask_again(asking, answer)
            }
        }
    }

    fn say_if_any(&mut self, template: Option<&str>) -> Vec<FlowOutput> {
        let text = template.map(|template| self.render(template)).unwrap_or_default();
        if text.is_empty() {
            return Vec::new();
        }
        vec![self.say(text, Expect::Nothing, true, Vec::new())]
    }

    fn hold_on(&mut self, mut asking: Asking, template: Option<&str>) -> Vec<FlowOutput> {
        asking.holds = asking.holds.saturating_add(1);
        if asking.holds > self.flow.limits.holds_max {
            return self.not_understood(asking, &NotUnderstood::NoAnswer, "");
        }
        asking.held = true;
        let text = self.render_or(template, &Phrase::TakeYourTime);
        let last = self.last_said.clone();
        // What is awaited stays: they come back with the answer.
        let output = match (&asking.candidate, last) {
            (Some(_), _) => self.say(text, Expect::YesNo, true, Vec::new()),
            (None, _) => self.ask_in_words(&asking, text),
        };
        self.state = State::Asking(asking);
        vec![output]
    }

    fn ask_again(&mut self, mut asking: Asking, before: String) -> Vec<FlowOutput> {
        asking.repeats = asking.repeats.saturating_add(1);
        if asking.repeats > self.flow.limits.repeats_max {
            return self.not_understood(asking, &NotUnderstood::NoAnswer, "");
        }
        asking.held = false;
        let question = match &asking.candidate {
            Some(candidate) => self.reads_back(&asking, candidate),
            None => self.question(&asking.node),
        };
        let text = if before.is_empty() {
            question
        } else {
            format!("{before} {question}")
        };
        let output = match &asking.candidate {
            Some(_) => self.say(text, Expect::YesNo, true, Vec::new()),
            None => self.ask_in_words(&asking, text),
        };
        self.state = State::Asking(asking);
        vec![output]
    }

    /// Does what is wished and leaves the question.
    pub(super) fn leave(&mut self, intent: Intent, text: &str) -> Vec<FlowOutput> {
        let intents = self.flow.intents.clone();
        match intent {
            Intent::Later => match self.speech.call_back_time(text, &self.moment()) {
                Ok(at) => self.promise_callback(&at),
                Err(_) => {
                    let question = self.render_or(intents.later.ask.as_deref(), &Phrase::WhenToCallBack);
                    self.state = State::AskingCallback {
                        tries: 0,
                        earlier: text.chars().take(300).collect(),
                    };
                    vec![self.say(question, Expect::DateTime, true, Vec::new())]
                }
            },
            Intent::DoNotCall => {
                self.result.do_not_call = true;
                let own = intents.do_not_call;
                self.depart(own.text.as_deref(), own.to, &Phrase::WillNotCall, "do_not_call")
            }
            Intent::WrongPerson => {
                self.result.wrong_person = true;
                let own = intents.wrong_person;
                self.depart(own.text.as_deref(), own.to, &Phrase::SorryWrongPerson, "wrong_person")
            }
            Intent::Person => {
                let request = TransferRequest {
                    to: intents
                        .person
                        .transfer_to
                        .as_deref()
                        .map(|to| self.render(to))
                        .unwrap_or_default(),
                    reason: String::new(),
                };
                self.result.transfer_requested = Some(request.clone());
                let wants_bridge = !request.to.is_empty() && intents.person.to.is_none();
                let mut outputs = self.depart(
                    intents.person.text.as_deref(),
                    intents.person.to,
                    &Phrase::WillPassOn,
                    "transfer_requested",
                );
                if wants_bridge {
                    outputs.push(FlowOutput::Transfer(request));
                }
                outputs
            }
            Intent::Goodbye => self.depart(
                intents.goodbye.text.as_deref(),
                intents.goodbye.to,
                &Phrase::Goodbye,
                "goodbye",
            ),
            // These leave nothing; they are answered where the question is.
            Intent::Repeat | Intent::Who | Intent::About | Intent::HoldOn => vec![FlowOutput::Wait],
        }
    }

    fn depart(
        &mut self,
        text: Option<&str>,
        to: Option<String>,
        phrase: &Phrase<'_>,
        outcome: &str,
    ) -> Vec<FlowOutput> {
        if let Some(to) = to {
            let mut outputs = self.say_if_any(text);
            outputs.extend(self.enter(Some(to)));
            return outputs;
        }
        let text = self.render_or(text, phrase);
        self.say_goodbye(text, outcome)
    }

    fn promise_callback(&mut self, at: &Zoned) -> Vec<FlowOutput> {
        self.result.call_back_at = Some(UnixMicros(at.timestamp().as_microsecond()));
        let stored = at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        self.variables.insert("call_back_at".to_owned(), json!(stored));
        let spoken = self.speech.speak_moment(at, &self.moment());
        self.depart_later(&Phrase::WillCallBackAt(spoken))
    }

    /// A callback at no particular time.
    fn promise_some_callback(&mut self) -> Vec<FlowOutput> {
        let minutes = u64::from(self.flow.intents.later.default_after_minutes);
        self.result.call_back_at = Some(self.now + Duration::from_secs(minutes * 60));
        self.variables.remove("call_back_at");
        self.depart_later(&Phrase::WillCallBack)
    }

    fn depart_later(&mut self, phrase: &Phrase<'_>) -> Vec<FlowOutput> {
        let later = self.flow.intents.later.clone();
        self.depart(later.text.as_deref(), later.to, phrase, "call_back")
    }

    pub(super) fn while_asking_callback(&mut self, tries: u8, earlier: String, input: FlowInput) -> Vec<FlowOutput> {
        match input {
            FlowInput::Heard { text } => self.hear_callback_time(tries, &earlier, &text),
            // Keys name no time that could be read safely; silence names none either.
            FlowInput::Keys(_) | FlowInput::Silence => self.promise_some_callback(),
            FlowInput::Interrupted { .. }
            | FlowInput::SpeechFinished
            | FlowInput::ModelSaid { .. }
            | FlowInput::ModelFailed
            | FlowInput::Start
            | FlowInput::TimeUp
            | FlowInput::HungUp => vec![FlowOutput::Wait],
        }
    }

    fn hear_callback_time(&mut self, tries: u8, earlier: &str, text: &str) -> Vec<FlowOutput> {
        let moment = self.moment();
        let wish = self.wish_in(text).map(|wish| wish.intent);
        match wish {
            Some(intent @ (Intent::DoNotCall | Intent::WrongPerson | Intent::Person)) => {
                return self.leave(intent, text);
            }
            Some(Intent::HoldOn | Intent::Repeat) if tries + 1 < CALLBACK_TRIES_MAX => {
                self.state = State::AskingCallback {
                    tries: tries + 1,
                    earlier: earlier.to_owned(),
                };
                let question = self.last_said.clone().map_or(FlowOutput::Wait, FlowOutput::from);
                return vec![question];
            }
            _ => {}
        }
        let alone = self.speech.call_back_time(text, &moment);
        let found = alone.or_else(|reason| {
            let joined = format!("{earlier} {text}");
            self.speech.call_back_time(&joined, &moment).map_err(|_| reason)
        });
        match found {
            Ok(at) => self.promise_callback(&at),
            Err(reason)
                if tries + 1 < CALLBACK_TRIES_MAX
                    && !matches!(reason, NotUnderstood::NoAnswer | NotUnderstood::DoesNotKnow) =>
            {
                self.state = State::AskingCallback {
                    tries: tries + 1,
                    earlier: format!("{earlier} {text}").chars().take(300).collect(),
                };
                let wanted = AnswerType::DateTime {
                    within_days: None,
                    earliest: None,
                    latest: None,
                };
                let question = self.speech.phrase(&Phrase::Why(&reason, &wanted));
                vec![self.say(question, Expect::DateTime, true, Vec::new())]
            }
            Err(_) => self.promise_some_callback(),
        }
    }
}
