//! From node to node, until something is asked or the call ends.

use super::{Asking, FlowOutput, FlowRun, Modelling, PATH_MAX, STEPS_MAX, State, TransferRequest};
use crate::conversation::Expect;
use crate::flow::answer::{Answer, AnswerType};
use crate::flow::grammar::{Moment, Phrase};
use crate::flow::graph::{Ask, Assignment, Delay, End, Model, Node, NodeId, Set, Transfer, When};
use crate::flow::template::as_type;
use crate::time::UnixMicros;
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// What a node leads to.
enum Step {
    Next(Option<NodeId>),
    Stop,
}

impl FlowRun {
    pub(super) fn enter_start(&mut self) -> Vec<FlowOutput> {
        let start = self.flow.start.clone();
        self.enter(Some(start))
    }

    /// Walks from this node on. A target that is missing or unknown ends the call politely.
    pub(super) fn enter(&mut self, target: Option<NodeId>) -> Vec<FlowOutput> {
        let mut outputs = Vec::new();
        let mut target = target;
        let steps_max = self.flow.limits.steps_max.clamp(1, STEPS_MAX);
        for _ in 0..steps_max {
            let flow = Arc::clone(&self.flow);
            let Some(node) = target.as_deref().and_then(|id| flow.node(id)) else {
                match target {
                    Some(id) => self.note(format!("node `{id}` does not exist")),
                    None => self.note("an exit that is needed is missing".to_owned()),
                }
                let goodbye = self.speech.phrase(&Phrase::Goodbye);
                outputs.extend(self.say_goodbye(goodbye, "broken_flow"));
                return outputs;
            };
            if self.result.path.len() < PATH_MAX {
                self.result.path.push(node.id().to_owned());
            }
            match self.step(node, &mut outputs) {
                Step::Next(next) => target = next,
                Step::Stop => return outputs,
            }
        }
        self.note(format!("more than {steps_max} nodes without a question"));
        // What was gathered on the way round would be said again and again.
        outputs.truncate(1);
        outputs.extend(self.give_up("loop"));
        outputs
    }

    fn step(&mut self, node: &Node, outputs: &mut Vec<FlowOutput>) -> Step {
        match node {
            Node::Say(say) => {
                let text = self.render(&say.text);
                if !text.is_empty() {
                    outputs.push(self.say(text, Expect::Nothing, say.interruptible, Vec::new()));
                }
                Step::Next(say.next.clone())
            }
            Node::Ask(ask) => {
                let asking = Asking::new(Arc::new(ask.as_ref().clone()));
                outputs.push(self.ask(&asking));
                self.state = State::Asking(asking);
                Step::Stop
            }
            Node::Branch(branch) => Step::Next(self.first_that_holds(&branch.when).or_else(|| branch.next.clone())),
            Node::Set(set) => {
                self.assign(set);
                Step::Next(set.next.clone())
            }
            Node::Model(model) => self.enter_model(model, outputs),
            Node::Transfer(transfer) => self.request_transfer(transfer, outputs),
            Node::End(end) => {
                outputs.extend(self.end(end));
                Step::Stop
            }
        }
    }

    /// The question itself.
    pub(super) fn ask(&mut self, asking: &Asking) -> FlowOutput {
        let text = self.question(&asking.node);
        self.ask_in_words(asking, text)
    }

    /// The question in other words.
    pub(super) fn ask_in_words(&mut self, asking: &Asking, text: String) -> FlowOutput {
        let node = &asking.node;
        let hints = match &node.answer {
            AnswerType::Options { options } => options
                .iter()
                .flat_map(|option| option.phrases().map(str::to_owned))
                .collect(),
            _ => Vec::new(),
        };
        self.say(text, node.answer.expect(), node.interruptible, hints)
    }

    pub(super) fn question(&mut self, node: &Ask) -> String {
        self.render_or(Some(&node.text), &Phrase::PleaseAnswer)
    }

    pub(super) fn first_that_holds(&mut self, conditions: &[When]) -> Option<NodeId> {
        let seen = self.seen();
        conditions
            .iter()
            .find_map(|when| match self.templates.holds(&when.condition, &seen) {
                Ok(holds) => holds.then(|| when.to.clone()),
                Err(problem) => {
                    self.note(format!("condition `{}`: {problem}", when.condition));
                    None
                }
            })
    }

    fn assign(&mut self, set: &Set) {
        // All of them see the variables as they were, so that their order does not matter.
        let seen = self.seen();
        let mut values = Vec::new();
        for (name, assignment) in &set.values {
            let value = match assignment {
                Assignment::Expression { expression } => match self.templates.evaluate(expression, &seen) {
                    Ok(value) => value,
                    Err(problem) => {
                        self.note(format!("expression `{expression}`: {problem}"));
                        continue;
                    }
                },
                Assignment::Value(Value::String(template)) => Value::String(self.render(template)),
                Assignment::Value(value) => value.clone(),
            };
            let declared = self
                .flow
                .variables
                .get(name)
                .map(|variable| (variable.kind, variable.currency.clone()));
            let typed = declared.map(|(kind, currency)| as_type(&value, kind, currency.as_deref()));
            match typed {
                Some(None) => self.note(format!("the value that is set does not fit variable `{name}`")),
                Some(Some(value)) => values.push((name.clone(), value)),
                None => values.push((name.clone(), value)),
            }
        }
        for (name, value) in values {
            self.store(&name, value);
        }
    }

    fn enter_model(&mut self, model: &Model, outputs: &mut Vec<FlowOutput>) -> Step {
        if !self.context.has_model {
            return match model.failed.clone().or_else(|| model.next.clone()) {
                Some(next) => Step::Next(Some(next)),
                None => {
                    let trouble = self.speech.phrase(&Phrase::Trouble);
                    outputs.extend(self.say_goodbye(trouble, "model_failed"));
                    Step::Stop
                }
            };
        }
        let text = model.text.as_deref().map(|text| self.render(text)).unwrap_or_default();
        let mut modelling = Modelling {
            node: Arc::new(model.clone()),
            turns: 0,
            silences: 0,
            waiting: false,
        };
        if text.is_empty() {
            outputs.push(self.ask_model(&mut modelling, None));
        } else {
            outputs.push(self.say(text, Expect::Open, true, Vec::new()));
        }
        self.state = State::Modelling(modelling);
        Step::Stop
    }

    fn request_transfer(&mut self, transfer: &Transfer, outputs: &mut Vec<FlowOutput>) -> Step {
        let text = transfer
            .text
            .as_deref()
            .map(|text| self.render(text))
            .unwrap_or_default();
        if !text.is_empty() {
            outputs.push(self.say(text, Expect::Nothing, true, Vec::new()));
        }
        let request = TransferRequest {
            to: self.render(&transfer.to),
            reason: transfer
                .reason
                .as_deref()
                .map(|reason| self.render(reason))
                .unwrap_or_default(),
        };
        self.result.transfer_requested = Some(request.clone());
        outputs.push(FlowOutput::Transfer(request));
        match &transfer.next {
            Some(next) => Step::Next(Some(next.clone())),
            None => {
                let goodbye = self.speech.phrase(&Phrase::WillPassOn);
                outputs.extend(self.say_goodbye(goodbye, "transfer_requested"));
                Step::Stop
            }
        }
    }

    fn end(&mut self, end: &End) -> Vec<FlowOutput> {
        self.result.do_not_call |= end.do_not_call;
        if let Some(delay) = &end.follow_up {
            self.result.follow_up_at = self.moment_of(delay);
        }
        if let Some(delay) = &end.call_back {
            self.result.call_back_at = self.moment_of(delay).or(self.result.call_back_at);
        }
        self.result.outcome.clone_from(&end.outcome);
        let text = end.text.as_deref().map(|text| self.render(text)).unwrap_or_default();
        self.say_goodbye(text, &end.outcome)
    }

    fn moment_of(&mut self, delay: &Delay) -> Option<UnixMicros> {
        match delay {
            Delay::After { after_minutes } => Some(self.now + Duration::from_secs(u64::from(*after_minutes) * 60)),
            Delay::At { at } => {
                let moment = self.moment();
                let found = self
                    .variables
                    .get(at)
                    .and_then(Value::as_str)
                    .and_then(|text| moment_in(text, &moment));
                if found.is_none() {
                    self.note(format!("variable `{at}` holds no time"));
                }
                found
            }
        }
    }

    /// Where an answer leads; it is stored first, so that conditions see it.
    pub(super) fn accept(&mut self, asking: &Asking, answer: &Answer) -> Vec<FlowOutput> {
        let node = Arc::clone(&asking.node);
        if let Some(name) = &node.store {
            self.store(name, answer.to_json());
        }
        let by_word = answer.exit_word().and_then(|word| node.on.get(&word).cloned());
        let next = by_word
            .or_else(|| self.first_that_holds(&node.when))
            .or_else(|| node.next.clone());
        self.enter(next)
    }
}

impl Asking {
    pub(super) fn new(node: Arc<Ask>) -> Self {
        Self {
            node,
            tries: 0,
            silences: 0,
            repeats: 0,
            holds: 0,
            held: false,
            interrupted: false,
            earlier: String::new(),
            candidate: None,
        }
    }
}

/// Ten in the morning is when a day without a time begins for a call.
const MORNING: Time = Time::constant(10, 0, 0, 0);

fn moment_in(text: &str, moment: &Moment) -> Option<UnixMicros> {
    let timestamp = if let Ok(timestamp) = text.parse::<Timestamp>() {
        timestamp
    } else {
        let zone = moment.local().time_zone().clone();
        let civil = match text.parse::<Date>() {
            Ok(day) if text.len() == 10 => day.to_datetime(MORNING),
            _ => text.parse().ok()?,
        };
        civil.to_zoned(zone).ok()?.timestamp()
    };
    Some(UnixMicros(timestamp.as_microsecond()))
}
