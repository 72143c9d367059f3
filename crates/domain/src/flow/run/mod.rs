//! One conversation over a flow: what was heard goes in, what to say comes out, until it is finished.
//!
//! The machine is pure and never stored: a call that dies takes it along. Each pair of state and input is answered in one of
//! the files beside this one: `asking` (a question is open), `wishes` (what callees say at any node), `walking` (from node to
//! node), `modelling` (a model converses), `ending` (goodbye has been said).

mod asking;
mod ending;
mod modelling;
mod types;
mod walking;
mod wishes;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

use super::answer::Answer;
use super::grammar::{Moment, Phrase, Speech, speech};
use super::graph::{Ask, Flow, Model};
use super::template::{Templates, as_type};
use crate::conversation::Expect;
use crate::language::Language;
use crate::time::UnixMicros;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub use types::{FlowContext, FlowInput, FlowOutput, FlowResult, ModelExitOffered, TransferRequest};

/// One conversation over a flow.
///
/// Feed [`FlowInput::Start`] first. After [`FlowOutput::Finish`] every input gives nothing.
#[derive(Clone)]
pub struct FlowRun {
    flow: Arc<Flow>,
    speech: &'static dyn Speech,
    templates: Templates,
    context: FlowContext,
    variables: Map<String, Value>,
    values: Map<String, Value>,
    state: State,
    result: FlowResult,
    turns: u16,
    now: UnixMicros,
    /// What was said last, to be said again.
    last_said: Option<Said>,
}

/// A flow cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotRun {
    /// Nothing here understands its language.
    #[error("the flow's language is `{0}`, and answers are understood in `en` only; change the flow's language")]
    NoGrammar(Language),
}

/// Something that was said and may have to be said again.
#[derive(Clone)]
struct Said {
    text: String,
    expect: Expect,
    interruptible: bool,
    hints: Vec<String>,
}

/// Where the conversation stands.
#[derive(Clone)]
enum State {
    /// Not begun.
    Idle,
    /// A question is open.
    Asking(Asking),
    /// A callback is wished and its time asked for.
    AskingCallback {
        /// How many answers were no time.
        tries: u8,
        /// What was said of it before.
        earlier: String,
    },
    /// A model converses.
    Modelling(Modelling),
    /// Goodbye is being said.
    Ending {
        /// How much has happened since.
        inputs: u8,
        /// The goodbye was broken off.
        interrupted: bool,
    },
    /// Over.
    Finished,
}

/// An open question.
#[derive(Clone)]
struct Asking {
    node: Arc<Ask>,
    tries: u8,
    silences: u8,
    repeats: u8,
    holds: u8,
    /// The callee asked us to wait: the next silences do not count.
    held: bool,
    /// Our question was broken off before its end.
    interrupted: bool,
    /// A part of an answer ("the third", four digits of six) that the next words may complete.
    earlier: String,
    /// An answer that was read back and awaits a yes.
    candidate: Option<Answer>,
}

/// A model's node.
#[derive(Clone)]
struct Modelling {
    node: Arc<Model>,
    turns: u8,
    silences: u8,
    /// The model was asked and has not answered.
    waiting: bool,
}

impl FlowRun {
    /// A conversation that has not begun. `variables` are what the call carries; the flow's defaults fill what is missing.
    ///
    /// # Errors
    /// When nothing understands the flow's language.
    pub fn new(flow: Flow, variables: &Map<String, Value>, context: FlowContext) -> Result<Self, CannotRun> {
        let speech = speech(&flow.language).ok_or_else(|| CannotRun::NoGrammar(flow.language.clone()))?;
        let mut run = Self {
            templates: Templates::new(speech),
            speech,
            context,
            variables: variables.clone(),
            values: Map::new(),
            state: State::Idle,
            result: FlowResult::default(),
            turns: 0,
            now: UnixMicros::default(),
            last_said: None,
            flow: Arc::new(flow),
        };
        run.take_defaults();
        Ok(run)
    }

    /// Feeds one input; the outputs are to be done in order.
    pub fn handle(&mut self, now: UnixMicros, input: FlowInput) -> Vec<FlowOutput> {
        self.now = now;
        if matches!(self.state, State::Finished) {
            return Vec::new();
        }
        let outputs = match input {
            FlowInput::HungUp => return self.finish("hung_up"),
            FlowInput::TimeUp => self.give_up("time_up"),
            FlowInput::Start => match self.state {
                State::Idle => self.enter_start(),
                _ => vec![FlowOutput::Wait],
            },
            FlowInput::Heard { .. } | FlowInput::Keys(_) | FlowInput::Silence if self.turn_is_too_many() => {
                self.give_up("too_many_turns")
            }
            input => match &self.state {
                // Whoever speaks before we do has begun the conversation.
                State::Idle => match input {
                    FlowInput::Heard { .. } | FlowInput::Keys(_) | FlowInput::Silence => self.enter_start(),
                    _ => vec![FlowOutput::Wait],
                },
                State::Asking(asking) => {
                    let asking = asking.clone();
                    self.while_asking(asking, input)
                }
                State::AskingCallback { tries, earlier } => {
                    let (tries, earlier) = (*tries, earlier.clone());
                    self.while_asking_callback(tries, earlier, input)
                }
                State::Modelling(modelling) => {
                    let modelling = modelling.clone();
                    self.while_modelling(modelling, input)
                }
                State::Ending { inputs, interrupted } => {
                    let (inputs, interrupted) = (*inputs, *interrupted);
                    self.while_ending(inputs, interrupted, input)
                }
                State::Finished => Vec::new(),
            },
        };
        self.merged(outputs)
    }

    /// What there is so far: what [`FlowOutput::Finish`] would carry if the call broke off now.
    pub fn result(&self) -> FlowResult {
        let mut result = self.result.clone();
        result.values = self.values.clone();
        result.summary = self.summary(&mut result.notes);
        result
    }

    /// Whether the conversation is over.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    fn summary(&self, notes: &mut Vec<String>) -> Option<String> {
        let mut variables = self.seen();
        variables.insert("outcome".to_owned(), json!(self.result.outcome));
        let rendered = self.templates.render(self.flow.summary.as_deref()?, &variables);
        // A value that nobody gave is no fault of a summary.
        notes.extend(rendered.notes.into_iter().filter(|note| !note.starts_with("variable")));
        (!rendered.text.is_empty()).then_some(rendered.text)
    }

    fn turn_is_too_many(&mut self) -> bool {
        self.turns = self.turns.saturating_add(1);
        self.turns > self.flow.limits.turns_max.clamp(1, TURNS_MAX) && !matches!(self.state, State::Ending { .. })
    }

    fn take_defaults(&mut self) {
        let flow = Arc::clone(&self.flow);
        for (name, variable) in &flow.variables {
            let carried = self.variables.get(name).filter(|value| !value.is_null()).cloned();
            // What is known of the call comes before a default.
            let given = carried.or_else(|| match name.as_str() {
                "callee_name" => self.context.callee_name.clone().map(Value::String),
                "company" => self.context.company.clone().map(Value::String),
                _ => None,
            });
            let typed = given
                .as_ref()
                .and_then(|value| as_type(value, variable.kind, variable.currency.as_deref()));
            if given.is_some() && typed.is_none() {
                self.note(format!("variable `{name}` does not fit its type; the default is used"));
            }
            let default = || {
                let value = variable.default.as_ref()?;
                Some(as_type(value, variable.kind, variable.currency.as_deref()).unwrap_or_else(|| value.clone()))
            };
            match typed.or_else(default) {
                Some(value) => {
                    self.variables.insert(name.clone(), value);
                }
                None => {
                    self.variables.remove(name);
                }
            }
        }
    }

    /// What templates see: the variables, and a few values of the call.
    fn seen(&self) -> Map<String, Value> {
        let mut seen = Map::new();
        let local = self.moment().local();
        seen.insert("today".to_owned(), json!(local.date().to_string()));
        seen.insert(
            "now".to_owned(),
            json!(local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()),
        );
        for (name, value) in [
            ("callee_name", &self.context.callee_name),
            ("company", &self.context.company),
        ] {
            if let Some(value) = value {
                seen.insert(name.to_owned(), json!(value));
            }
        }
        for (name, value) in &self.variables {
            seen.insert(name.clone(), value.clone());
        }
        seen
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.now,
            zone: self.context.zone.clone(),
        }
    }

    fn callee_name(&self) -> Option<String> {
        let by_variable = || {
            self.variables
                .get("callee_name")
                .or_else(|| self.variables.get("name"))?
                .as_str()
                .map(str::to_owned)
        };
        self.context.callee_name.clone().or_else(by_variable)
    }

    fn note(&mut self, note: String) {
        if self.result.notes.len() < NOTES_MAX && !self.result.notes.contains(&note) {
            self.result.notes.push(note);
        }
    }

    fn render(&mut self, source: &str) -> String {
        let rendered = self.templates.render(source, &self.seen());
        for note in rendered.notes {
            self.note(note);
        }
        rendered.text
    }

    fn render_or(&mut self, source: Option<&str>, phrase: &Phrase<'_>) -> String {
        let own = source.map(|source| self.render(source)).unwrap_or_default();
        if own.is_empty() {
            self.speech.phrase(phrase)
        } else {
            own
        }
    }

    fn store(&mut self, name: &str, value: Value) {
        self.variables.insert(name.to_owned(), value.clone());
        self.values.insert(name.to_owned(), value);
    }

    /// Says goodbye with this text and stays for a last word.
    fn say_goodbye(&mut self, text: String, outcome: &str) -> Vec<FlowOutput> {
        if self.result.outcome.is_empty() {
            self.result.outcome = outcome.to_owned();
        }
        if text.is_empty() {
            return self.finish(outcome);
        }
        self.state = State::Ending {
            inputs: 0,
            interrupted: false,
        };
        vec![self.say(text, Expect::Nothing, true, Vec::new())]
    }

    fn give_up(&mut self, outcome: &str) -> Vec<FlowOutput> {
        if matches!(self.state, State::Ending { .. }) {
            return self.finish(outcome);
        }
        let text = self.speech.phrase(&Phrase::GivingUp);
        self.say_goodbye(text, outcome)
    }

    fn finish(&mut self, outcome: &str) -> Vec<FlowOutput> {
        if self.result.outcome.is_empty() {
            self.result.outcome = outcome.to_owned();
        }
        self.state = State::Finished;
        vec![FlowOutput::Finish {
            result: Box::new(self.result()),
        }]
    }

    fn say(&mut self, text: String, expect: Expect, interruptible: bool, hints: Vec<String>) -> FlowOutput {
        let said = Said {
            text,
            expect,
            interruptible,
            hints,
        };
        self.last_said = Some(said.clone());
        said.into()
    }

    /// Neighbouring sentences become one utterance: one synthesis, one place to interrupt. What must be heard stays apart.
    fn merged(&mut self, outputs: Vec<FlowOutput>) -> Vec<FlowOutput> {
        let mut merged: Vec<FlowOutput> = Vec::new();
        for output in outputs {
            match (merged.last_mut(), output) {
                (
                    Some(FlowOutput::Say {
                        text,
                        expect,
                        interruptible,
                        hints,
                    }),
                    FlowOutput::Say {
                        text: next,
                        expect: next_expect,
                        interruptible: next_interruptible,
                        hints: next_hints,
                    },
                ) if *interruptible == next_interruptible => {
                    text.push(' ');
                    text.push_str(&next);
                    *expect = next_expect;
                    *hints = next_hints;
                }
                (_, output) => merged.push(output),
            }
        }
        merged
    }
}

impl From<Said> for FlowOutput {
    fn from(said: Said) -> Self {
        Self::Say {
            text: said.text,
            expect: said.expect,
            interruptible: said.interruptible,
            hints: said.hints,
        }
    }
}

/// Whatever a flow asks for, a conversation has at most so many turns.
const TURNS_MAX: u16 = 500;
/// Whatever a flow asks for, at most so many nodes are passed between two questions.
const STEPS_MAX: u16 = 500;
const NOTES_MAX: usize = 50;
const PATH_MAX: usize = 1_000;
