//! A language model converses, until it takes an exit or the callee wishes something that ends the call.

use super::asking::leaves;
use super::{FlowInput, FlowOutput, FlowRun, ModelExitOffered, Modelling, State};
use crate::conversation::Expect;
use crate::flow::grammar::Phrase;
use crate::flow::template::as_type;
use serde_json::{Map, Value};

/// How many silences there may be at a model's node, or while the model thinks.
const SILENCES_MAX: u8 = 3;

impl FlowRun {
    pub(super) fn ask_model(&mut self, modelling: &mut Modelling, heard: Option<String>) -> FlowOutput {
        modelling.waiting = true;
        let node = &modelling.node;
        FlowOutput::AskModel {
            node: node.id.clone(),
            instructions: self.render(&node.instructions),
            exits: node
                .exits
                .iter()
                .map(|(name, exit)| ModelExitOffered {
                    name: name.clone(),
                    description: exit.description.clone(),
                })
                .collect(),
            store: node.store.clone(),
            heard,
        }
    }

    pub(super) fn while_modelling(&mut self, mut modelling: Modelling, input: FlowInput) -> Vec<FlowOutput> {
        match input {
            FlowInput::Heard { text } => {
                // In a free conversation only words that are nothing but a wish are one.
                let wish = self
                    .wish_in(&text)
                    .filter(|wish| wish.whole && wish.confidence_percent >= 85);
                match wish {
                    Some(wish) if leaves(wish.intent) => self.leave(wish.intent, &text),
                    _ => self.pass_on(modelling, text),
                }
            }
            FlowInput::Keys(keys) => self.pass_on(modelling, format!("(pressed {keys})")),
            FlowInput::Silence => {
                modelling.silences = modelling.silences.saturating_add(1);
                let (waiting, over) = (modelling.waiting, modelling.silences >= SILENCES_MAX);
                match (waiting, over) {
                    (true, true) => self.model_failed(&modelling),
                    (false, true) => self.leave_model(&modelling, "no_answer"),
                    (true, false) => {
                        self.state = State::Modelling(modelling);
                        vec![FlowOutput::Wait]
                    }
                    (false, false) => {
                        self.state = State::Modelling(modelling);
                        let text = self.speech.phrase(&Phrase::StillThere);
                        vec![self.say(text, Expect::Open, true, Vec::new())]
                    }
                }
            }
            FlowInput::ModelSaid {
                text,
                already_spoken,
                exit,
                values,
            } => self.model_said(modelling, &text, already_spoken, exit.as_deref(), &values),
            FlowInput::ModelFailed => self.model_failed(&modelling),
            FlowInput::Interrupted { .. }
            | FlowInput::SpeechFinished
            | FlowInput::Start
            | FlowInput::TimeUp
            | FlowInput::HungUp => {
                vec![FlowOutput::Wait]
            }
        }
    }

    fn pass_on(&mut self, mut modelling: Modelling, heard: String) -> Vec<FlowOutput> {
        modelling.turns = modelling.turns.saturating_add(1);
        modelling.silences = 0;
        if modelling.turns > modelling.node.turns_max.max(1) {
            return self.leave_model(&modelling, "too_many_turns");
        }
        let output = self.ask_model(&mut modelling, Some(heard));
        self.state = State::Modelling(modelling);
        vec![output]
    }

    fn model_said(
        &mut self,
        mut modelling: Modelling,
        text: &str,
        already_spoken: bool,
        exit: Option<&str>,
        values: &Map<String, Value>,
    ) -> Vec<FlowOutput> {
        let node = modelling.node.clone();
        for name in &node.store {
            if let Some(value) = values.get(name).filter(|value| !value.is_null()) {
                self.store_model_value(name, value);
            }
        }
        let speakable = text.chars().any(char::is_alphanumeric);
        let mut outputs = Vec::new();
        if speakable && !already_spoken {
            let expect = if exit.is_some() { Expect::Nothing } else { Expect::Open };
            outputs.push(self.say(text.trim().to_owned(), expect, true, Vec::new()));
        }
        if let Some(exit) = exit {
            if let Some(to) = node.exits.get(exit).map(|exit| exit.to.clone()) {
                outputs.extend(self.enter(Some(to)));
                return outputs;
            }
            self.note(format!(
                "the model took exit `{exit}`, which node `{}` does not have",
                node.id
            ));
        }
        if !speakable {
            // Neither words nor a way out.
            return self.model_failed(&modelling);
        }
        modelling.waiting = false;
        modelling.silences = 0;
        self.state = State::Modelling(modelling);
        if outputs.is_empty() {
            outputs.push(FlowOutput::Wait);
        }
        outputs
    }

    fn store_model_value(&mut self, name: &str, value: &Value) {
        let declared = self
            .flow
            .variables
            .get(name)
            .map(|variable| (variable.kind, variable.currency.clone()));
        let typed = match declared {
            Some((kind, currency)) => as_type(value, kind, currency.as_deref()),
            None => Some(value.clone()),
        };
        match typed {
            Some(value) => self.store(name, value),
            None => self.note(format!("the model's value for `{name}` does not fit its type")),
        }
    }

    fn leave_model(&mut self, modelling: &Modelling, outcome: &str) -> Vec<FlowOutput> {
        match modelling.node.next.clone() {
            Some(next) => self.enter(Some(next)),
            None => {
                let goodbye = self.speech.phrase(&Phrase::Goodbye);
                self.say_goodbye(goodbye, outcome)
            }
        }
    }

    fn model_failed(&mut self, modelling: &Modelling) -> Vec<FlowOutput> {
        match modelling.node.failed.clone().or_else(|| modelling.node.next.clone()) {
            Some(next) => self.enter(Some(next)),
            None => {
                let trouble = self.speech.phrase(&Phrase::Trouble);
                self.say_goodbye(trouble, "model_failed")
            }
        }
    }
}
