//! Templates, conditions and variables: errors in them, variables that nobody gives, texts that are too long to say.

use super::Finding;
use crate::flow::answer::AnswerType;
use crate::flow::grammar::Speech;
use crate::flow::graph::{Assignment, Delay, Flow, Node, VariableType};
use crate::flow::template::{Templates, as_type};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// About twenty seconds of speech: nobody listens longer to a machine.
const SPOKEN_CHARS_MAX: usize = 400;
/// Variables that are always there.
const BUILT_IN: [&str; 4] = ["today", "now", "callee_name", "company"];

struct Checker<'a> {
    flow: &'a Flow,
    templates: Templates,
    known: BTreeSet<String>,
    /// Values to try templates out with.
    samples: Map<String, Value>,
    findings: Vec<Finding>,
}

pub(super) fn check(flow: &Flow, speech: &'static dyn Speech) -> Vec<Finding> {
    let mut known: BTreeSet<String> = BUILT_IN.iter().map(|&name| name.to_owned()).collect();
    known.extend(flow.variables.keys().cloned());
    for node in &flow.nodes {
        known.extend(stored_by(node));
    }
    let mut checker = Checker {
        templates: Templates::new(speech),
        samples: samples(flow),
        findings: Vec::new(),
        known,
        flow,
    };
    checker.variables();
    for node in &flow.nodes {
        checker.node(node);
    }
    checker.intents();
    if let Some(summary) = &flow.summary {
        checker.known.insert("outcome".to_owned());
        checker.template("summary", summary, false);
    }
    checker.findings
}

fn stored_by(node: &Node) -> Vec<String> {
    match node {
        Node::Ask(ask) => ask.store.iter().cloned().collect(),
        Node::Set(set) => set.values.keys().cloned().collect(),
        Node::Model(model) => model.store.clone(),
        Node::Say(_) | Node::Branch(_) | Node::Transfer(_) | Node::End(_) => Vec::new(),
    }
}

fn sample(kind: VariableType) -> Value {
    match kind {
        VariableType::Text | VariableType::Any => json!("text"),
        VariableType::Number => json!(3),
        VariableType::YesNo => json!(true),
        VariableType::Digits => json!("1234"),
        VariableType::Amount => json!({"minor": 1250, "currency": "USD"}),
        VariableType::Date => json!("2026-03-03"),
        VariableType::Time => json!("17:00"),
        VariableType::DateTime => json!("2026-03-03T17:00:00+00:00"),
    }
}

fn kind_of(answer: &AnswerType) -> VariableType {
    match answer {
        AnswerType::YesNo => VariableType::YesNo,
        AnswerType::Digits { .. } => VariableType::Digits,
        AnswerType::Number { .. } => VariableType::Number,
        AnswerType::Amount { .. } => VariableType::Amount,
        AnswerType::Date { .. } => VariableType::Date,
        AnswerType::Time { .. } => VariableType::Time,
        AnswerType::DateTime { .. } => VariableType::DateTime,
        AnswerType::Options { .. } | AnswerType::Name | AnswerType::Text { .. } => VariableType::Text,
    }
}

fn samples(flow: &Flow) -> Map<String, Value> {
    let mut samples = Map::new();
    for name in BUILT_IN {
        samples.insert(name.to_owned(), json!("2026-03-03"));
    }
    for node in &flow.nodes {
        for name in stored_by(node) {
            samples.insert(name, json!("text"));
        }
        if let Node::Ask(ask) = node
            && let Some(name) = &ask.store
        {
            samples.insert(name.clone(), sample(kind_of(&ask.answer)));
        }
    }
    for (name, variable) in &flow.variables {
        samples.insert(name.clone(), sample(variable.kind));
    }
    samples.insert("outcome".to_owned(), json!("completed"));
    samples
}

impl Checker<'_> {
    fn variables(&mut self) {
        for (name, variable) in &self.flow.variables {
            let path = format!("variables.{name}");
            let plain = name
                .chars()
                .next()
                .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
                && name.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '_');
            if !plain {
                self.findings.push(Finding::error(
                    &path,
                    "templates cannot use this name",
                    "use letters, digits and `_`, and begin with a letter",
                ));
            }
            if let Some(default) = &variable.default
                && as_type(default, variable.kind, variable.currency.as_deref()).is_none()
            {
                self.findings.push(Finding::error(
                    format!("{path}.default"),
                    "does not fit the variable's type",
                    "change the default or the type",
                ));
            }
        }
        for node in &self.flow.nodes {
            if let Node::Ask(ask) = node
                && let Some(name) = &ask.store
                && let Some(variable) = self.flow.variables.get(name)
            {
                let answered = kind_of(&ask.answer);
                let fits = variable.kind == answered || matches!(variable.kind, VariableType::Any | VariableType::Text);
                if !fits {
                    self.findings.push(Finding::error(
                        format!("nodes.{}.store", node.id()),
                        format!("the answer does not fit the type of variable `{name}`"),
                        "change the variable's type, or store into another one",
                    ));
                }
            }
        }
    }

    fn node(&mut self, node: &Node) {
        let place = |field: &str| format!("nodes.{}.{field}", node.id());
        match node {
            Node::Say(say) => self.spoken(&place("text"), &say.text),
            Node::Ask(ask) => {
                self.spoken(&place("text"), &ask.text);
                for (index, text) in ask.retry.iter().enumerate() {
                    self.spoken(&place(&format!("retry.{index}")), text);
                }
                for (index, text) in ask.silence.iter().enumerate() {
                    self.spoken(&place(&format!("silence.{index}")), text);
                }
                for (index, when) in ask.when.iter().enumerate() {
                    self.condition(&place(&format!("when.{index}.if")), &when.condition);
                }
            }
            Node::Branch(branch) => {
                for (index, when) in branch.when.iter().enumerate() {
                    self.condition(&place(&format!("when.{index}.if")), &when.condition);
                }
            }
            Node::Set(set) => {
                for (name, assignment) in &set.values {
                    let path = place(&format!("values.{name}"));
                    match assignment {
                        Assignment::Expression { expression } => self.condition(&path, expression),
                        Assignment::Value(Value::String(template)) => self.template(&path, template, false),
                        Assignment::Value(_) => {}
                    }
                }
            }
            Node::Model(model) => {
                self.template(&place("instructions"), &model.instructions, false);
                if model.instructions.trim().is_empty() {
                    self.findings.push(Finding::error(
                        place("instructions"),
                        "the model is told nothing",
                        "write what it is to do",
                    ));
                }
                if let Some(text) = &model.text {
                    self.spoken(&place("text"), text);
                }
            }
            Node::Transfer(transfer) => {
                if let Some(text) = &transfer.text {
                    self.spoken(&place("text"), text);
                }
                self.template(&place("to"), &transfer.to, false);
                if let Some(reason) = &transfer.reason {
                    self.template(&place("reason"), reason, false);
                }
            }
            Node::End(end) => {
                if let Some(text) = &end.text {
                    self.spoken(&place("text"), text);
                }
                if end.outcome.trim().is_empty() {
                    self.findings
                        .push(Finding::error(place("outcome"), "is empty", "name how the call ended"));
                }
                self.delay(&place("follow_up"), end.follow_up.as_ref());
                self.delay(&place("call_back"), end.call_back.as_ref());
            }
        }
    }

    fn delay(&mut self, path: &str, delay: Option<&Delay>) {
        if let Some(Delay::At { at }) = delay
            && !self.known.contains(at)
        {
            self.unknown_variable(path, at);
        }
    }

    fn intents(&mut self) {
        let intents = &self.flow.intents;
        let texts = [
            ("later.ask", &intents.later.ask),
            ("do_not_call.text", &intents.do_not_call.text),
            ("wrong_person.text", &intents.wrong_person.text),
            ("person.text", &intents.person.text),
            ("goodbye.text", &intents.goodbye.text),
            ("repeat.text", &intents.repeat.text),
            ("hold_on.text", &intents.hold_on.text),
            ("who.text", &intents.who.text),
            ("about.text", &intents.about.text),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                self.spoken(&format!("intents.{name}"), text);
            }
        }
        if let Some(to) = &intents.person.transfer_to {
            self.template("intents.person.transfer_to", to, false);
        }
        self.known.insert("call_back_at".to_owned());
        if let Some(text) = &intents.later.text {
            self.spoken("intents.later.text", text);
        }
        if !intents.do_not_call.enabled {
            self.findings.push(Finding::warning(
                "intents.do_not_call.enabled",
                "callees who ask not to be called again are not heard",
                "enable it; many countries demand it",
            ));
        }
    }

    fn spoken(&mut self, path: &str, template: &str) {
        if template.trim().is_empty() {
            self.findings.push(Finding::error(
                path,
                "there is nothing to say",
                "write a text, or leave the field out",
            ));
            return;
        }
        self.template(path, template, true);
    }

    fn template(&mut self, path: &str, template: &str, spoken: bool) {
        match self.templates.names(template) {
            Err(problem) => self.findings.push(Finding::error(path, problem, "mend the template")),
            Ok(names) => {
                for name in names.difference(&self.known).cloned().collect::<Vec<_>>() {
                    self.unknown_variable(path, &name);
                }
                let rendered = self.templates.render(template, &self.samples);
                for note in rendered.notes.iter().filter(|note| !note.starts_with("variable")) {
                    self.findings
                        .push(Finding::error(path, note.clone(), "mend the template"));
                }
                let length = rendered.text.chars().count();
                if spoken && length > SPOKEN_CHARS_MAX {
                    self.findings.push(Finding::warning(
                        path,
                        format!("{length} characters take about {} seconds to say", length / 15),
                        format!("cut it to {SPOKEN_CHARS_MAX} characters, or ask something in between"),
                    ));
                }
            }
        }
    }

    fn condition(&mut self, path: &str, condition: &str) {
        match self.templates.expression_names(condition) {
            Err(problem) => self.findings.push(Finding::error(path, problem, "mend the condition")),
            Ok(names) => {
                for name in names.difference(&self.known).cloned().collect::<Vec<_>>() {
                    self.unknown_variable(path, &name);
                }
                if let Err(problem) = self.templates.evaluate(condition, &self.samples) {
                    self.findings.push(Finding::error(path, problem, "mend the condition"));
                }
            }
        }
    }

    fn unknown_variable(&mut self, path: &str, name: &str) {
        self.findings.push(Finding::error(
            path,
            format!("uses `{name}`, which nothing defines"),
            format!("add `{name}` to `variables`, or store it in a node"),
        ));
    }
}
