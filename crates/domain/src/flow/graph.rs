//! The graph of a flow. Its serde form is its stored form (`docs/flows.md`): fields that are not known are refused.

use super::answer::AnswerType;
use crate::language::Language;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The name of a node, unique in its flow.
pub type NodeId = String;

/// A conversation as a graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// A name for people.
    pub name: String,
    /// The language in which it speaks and understands.
    #[serde(default = "Language::english")]
    pub language: Language,
    /// The first node.
    pub start: NodeId,
    /// Variables by name. What a call carries beside them is kept too.
    #[serde(default)]
    pub variables: BTreeMap<String, Variable>,
    /// The nodes. A list, so that a name used twice can be found.
    pub nodes: Vec<Node>,
    /// What callees may say at any node.
    #[serde(default)]
    pub intents: IntentSettings,
    /// Bounds of the conversation.
    #[serde(default)]
    pub limits: Limits,
    /// Template of the summary that is left when the call is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

impl Flow {
    /// The node of this name; the first one, should there be several.
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id() == id)
    }
}

/// A value with a name and a type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// What it holds; text that a call carries is read as this.
    #[serde(rename = "type", default)]
    pub kind: VariableType,
    /// Its value when neither the call nor the conversation gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// ISO 4217 code of amounts without a currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// What a variable holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariableType {
    /// Text.
    #[default]
    Text,
    /// A number.
    Number,
    /// `true` or `false`.
    YesNo,
    /// Digits, as text: leading zeros count.
    Digits,
    /// `{"minor": 1250, "currency": "USD"}`.
    Amount,
    /// `2026-03-03`.
    Date,
    /// `17:00`.
    Time,
    /// `2026-03-03T17:00:00+01:00`.
    DateTime,
    /// Whatever JSON it is.
    Any,
}

/// One step of the conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Node {
    /// Say something and go on.
    Say(Say),
    /// Ask something and go on by the answer.
    Ask(Box<Ask>),
    /// Go on by the variables.
    Branch(Branch),
    /// Change variables.
    Set(Set),
    /// Let a language model converse.
    Model(Box<Model>),
    /// Ask for the callee to be connected with somebody.
    Transfer(Transfer),
    /// Say goodbye.
    End(End),
}

impl Node {
    /// Its name.
    pub fn id(&self) -> &str {
        match self {
            Self::Say(node) => &node.id,
            Self::Ask(node) => &node.id,
            Self::Branch(node) => &node.id,
            Self::Set(node) => &node.id,
            Self::Model(node) => &node.id,
            Self::Transfer(node) => &node.id,
            Self::End(node) => &node.id,
        }
    }
}

/// Say something and go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Say {
    /// Its name.
    pub id: NodeId,
    /// Template of what is said.
    pub text: String,
    /// Whether the callee may talk over it (a disclosure that must be heard says `false`).
    #[serde(default = "yes")]
    pub interruptible: bool,
    /// Where to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NodeId>,
}

/// Ask something and go on by the answer. Exits are tried in this order: `on`, `when`, `next`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Its name.
    pub id: NodeId,
    /// Template of the question.
    pub text: String,
    /// What counts as an answer.
    pub answer: AnswerType,
    /// Variable that takes the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Templates said when the answer was not understood, one for each try, the last one for all further ones. Without
    /// them: the language's own words for what was wrong, then the question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retry: Vec<String>,
    /// Templates said when nothing was said. Without them: the language's own words, then the question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silence: Vec<String>,
    /// How many answers may be not understood before `not_understood` is taken; at least 1.
    #[serde(default = "three")]
    pub tries_max: u8,
    /// How many silences there may be before `no_answer` is taken; at least 1.
    #[serde(default = "two")]
    pub silences_max: u8,
    /// Whether the answer is read back.
    #[serde(default)]
    pub confirm: Confirm,
    /// Whether the callee may talk over the question.
    #[serde(default = "yes")]
    pub interruptible: bool,
    /// Where to go by the answer's own word: `yes`, `no`, an option's value, exact digits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub on: BTreeMap<String, NodeId>,
    /// Where to go by conditions, the first that holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<When>,
    /// Where to go on otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NodeId>,
    /// Where to go when nothing was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_answer: Option<NodeId>,
    /// Where to go when nothing was understood; without it `no_answer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_understood: Option<NodeId>,
}

/// Whether an answer is read back before it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirm {
    /// Never.
    Never,
    /// When it was understood with little confidence.
    #[default]
    WhenUnsure,
    /// Always.
    Always,
}

/// A condition and where it leads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// An expression over the variables, as in templates: `age >= 18 and city == "Leeds"`.
    #[serde(rename = "if")]
    pub condition: String,
    /// Where to go if it holds.
    pub to: NodeId,
}

/// Go on by the variables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// Its name.
    pub id: NodeId,
    /// Conditions, the first that holds.
    pub when: Vec<When>,
    /// Where to go if none holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NodeId>,
}

/// Change variables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// Its name.
    pub id: NodeId,
    /// New values by variable.
    pub values: BTreeMap<String, Assignment>,
    /// Where to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NodeId>,
}

/// What a variable becomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Assignment {
    /// The result of an expression: `{"expression": "tries + 1"}`.
    Expression {
        /// As in a condition.
        expression: String,
    },
    /// The value itself. Text is a template.
    Value(Value),
}

/// Let a language model converse until it takes an exit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name.
    pub id: NodeId,
    /// Template of the instructions.
    pub instructions: String,
    /// Template of what is said first; without it the model speaks first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The ways out that the model may choose from, by name.
    pub exits: BTreeMap<String, ModelExit>,
    /// Variables that the model may fill when it leaves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub store: Vec<String>,
    /// How many times the callee may speak here before `next` is taken; at least 1.
    #[serde(default = "twenty")]
    pub turns_max: u8,
    /// Where to go when the turns are used up or the callee stays silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NodeId>,
    /// Where to go when there is no model or it fails; without it `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<NodeId>,
}

/// A way out of a model's node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelExit {
    /// Tells the model when to take it.
    pub description: String,
    /// Where it leads.
    pub to: NodeId,
}

/// Ask for the callee to be connected with somebody. The request is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// Its name.
    pub id: NodeId,
    /// Template of what is said before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Template of the number or queue.
    pub to: String,
    /// Template of what the other side should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where to go on if the callee is not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NodeId>,
}

/// Say goodbye.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Its name.
    pub id: NodeId,
    /// Template of the goodbye.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// How the conversation ended, in the flow's own words.
    pub outcome: String,
    /// The callee is not to be called again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub do_not_call: bool,
    /// Another call should follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up: Option<Delay>,
    /// The callee is to be called back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_back: Option<Delay>,
}

/// When another call should come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Delay {
    /// So long after the end: `{"after_minutes": 120}`.
    After {
        /// Minutes.
        after_minutes: u32,
    },
    /// At the time that a variable holds: `{"at": "when"}`.
    At {
        /// Name of a variable of type `date_time` or `date` (then at 10:00).
        at: String,
    },
}

/// What callees may say at any node. Texts are templates; without one the language's own words are used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntentSettings {
    /// "Call me later."
    pub later: LaterSettings,
    /// "Do not call me again."
    pub do_not_call: IntentSetting,
    /// "You have the wrong number."
    pub wrong_person: IntentSetting,
    /// "Can I talk to a person?"
    pub person: PersonSettings,
    /// "Goodbye."
    pub goodbye: IntentSetting,
    /// "Say that again."
    pub repeat: IntentSetting,
    /// "One moment, please."
    pub hold_on: IntentSetting,
    /// "Who is this?" Its text is the answer; without one the question is asked again.
    pub who: IntentSetting,
    /// "What is this about?" Its text is the answer; without one the question is asked again.
    pub about: IntentSetting,
}

/// One thing that callees may say at any node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntentSetting {
    /// Whether it is listened for.
    pub enabled: bool,
    /// What is said then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Where to go then, instead of ending the call (or asking again).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<NodeId>,
}

impl Default for IntentSetting {
    fn default() -> Self {
        Self {
            enabled: true,
            text: None,
            to: None,
        }
    }
}

/// "Call me later."
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LaterSettings {
    /// Whether it is listened for.
    pub enabled: bool,
    /// The question for a time, if none was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ask: Option<String>,
    /// What is said when the time is known (`call_back_at`) or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// When to call if no time is said, in minutes from now.
    pub default_after_minutes: u32,
    /// Where to go then, instead of ending the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<NodeId>,
}

impl Default for LaterSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            ask: None,
            text: None,
            default_after_minutes: 180,
            to: None,
        }
    }
}

/// "Can I talk to a person?"
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PersonSettings {
    /// Whether it is listened for.
    pub enabled: bool,
    /// What is said then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Where to go then (mostly a `transfer` node), instead of ending the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<NodeId>,
    /// The number or queue of the recorded request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_to: Option<String>,
}

impl Default for PersonSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            text: None,
            to: None,
            transfer_to: None,
        }
    }
}

/// Bounds of the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How many times the callee may speak, press or stay silent before we say goodbye.
    pub turns_max: u16,
    /// How many nodes may be passed without a question before we say goodbye: a loop.
    pub steps_max: u16,
    /// How many times the callee may have a question repeated.
    pub repeats_max: u8,
    /// How many times the callee may ask us to hold on, for one question.
    pub holds_max: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            turns_max: 80,
            steps_max: 50,
            repeats_max: 3,
            holds_max: 4,
        }
    }
}

fn yes() -> bool {
    true
}

fn two() -> u8 {
    2
}

fn three() -> u8 {
    3
}

fn twenty() -> u8 {
    20
}

fn is_false(value: &bool) -> bool {
    !*value
}
