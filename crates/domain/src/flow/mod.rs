//! The flow brain: a declarative graph that says templates and expects typed answers. Pure, deterministic, without any model.
//!
//! In: a [`Flow`], the call's variables, and what was heard ([`FlowInput`]). Out: what to say and how it ended
//! ([`FlowOutput`]). When somebody has finished speaking, who may interrupt whom and how long silence lasts are decided by
//! [`crate::conversation`]; sound is made and recognised elsewhere. `docs/flows.md` is the reference of the stored JSON.

mod answer;
mod bounds;
mod english;
mod examples;
mod extract;
mod grammar;
mod graph;
mod lint;
mod run;
mod template;

pub use answer::{Answer, AnswerType, Choice, NotUnderstood, Understood};
pub use examples::EXAMPLES;
pub use extract::{ExtractionField, extract};
pub use grammar::{Grammar, Intent, IntentHeard, Moment, grammar};
pub use graph::{
    Ask, Assignment, Branch, Confirm, Delay, End, Flow, IntentSetting, IntentSettings, LaterSettings, Limits, Model,
    ModelExit, Node, NodeId, PersonSettings, Say, Set, Transfer, Variable, VariableType, When,
};
pub use lint::{Finding, Severity, lint};
pub use run::{CannotRun, FlowContext, FlowInput, FlowOutput, FlowResult, FlowRun, ModelExitOffered, TransferRequest};
