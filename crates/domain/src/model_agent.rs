//! An agent that a language model speaks for: what it is told, what it may do, and where it must stop.

use crate::http_tool::{HttpTool, is_tool_name};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Tools that every such agent knows, besides its own.
pub const BUILT_IN_TOOLS: [&str; 4] = ["end_call", "schedule_callback", "do_not_call", "transfer_request"];

/// What a language model needs to hold a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelAgent {
    /// Who it is, what the call is for, what it may say. `{{ name }}` stands for a variable of the call.
    pub instructions: String,
    /// Its first words, said without asking the model; `None`: the model begins.
    #[serde(default)]
    pub greeting: Option<String>,
    /// What it leaves on an answering machine; `None`: nothing.
    #[serde(default)]
    pub voicemail_message: Option<String>,
    /// What it says to a service that asks who is calling; `None`: the same as to a person.
    #[serde(default)]
    pub screening_words: Option<String>,
    /// The model by its name; `None`: the configured one.
    #[serde(default)]
    pub model: Option<String>,
    /// Sampling temperature in thousandths; `None`: the configured one.
    #[serde(default)]
    pub temperature_milli: Option<u16>,
    /// HTTP requests that it may make.
    #[serde(default)]
    pub tools: Vec<HttpTool>,
    /// What it may decide.
    #[serde(default)]
    pub may: Permissions,
    /// JSON Schema, an object, of values to be found in the conversation after the call.
    #[serde(default)]
    pub extraction_schema: Option<Value>,
    /// Words for when the model has none, in the agent's language.
    #[serde(default)]
    pub phrases: Phrases,
    /// Where it must stop.
    #[serde(default)]
    pub limits: ModelLimits,
}

/// What an agent may decide by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Permissions {
    /// Promise another call at a time that the callee names.
    pub schedule_callback: bool,
    /// Note that the callee wants no more calls.
    pub do_not_call: bool,
    /// Note that the callee wants a person.
    pub transfer_request: bool,
}

impl Default for Permissions {
    fn default() -> Self {
        Self {
            schedule_callback: true,
            do_not_call: true,
            transfer_request: true,
        }
    }
}

/// What is said when the model cannot say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Phrases {
    /// While something takes long, or is tried again.
    pub one_moment: String,
    /// Before hanging up because nothing works.
    pub cannot_go_on: String,
    /// Before hanging up.
    pub goodbye: String,
    /// Before hanging up because the call is as long as it may be.
    pub time_is_up: String,
    /// Into a long silence.
    pub are_you_there: String,
    /// When nothing could be understood.
    pub say_again: String,
}

impl Default for Phrases {
    fn default() -> Self {
        Self {
            one_moment: "Sorry, one moment please.".to_owned(),
            cannot_go_on: "I am sorry, I have a technical problem and cannot go on. Goodbye.".to_owned(),
            goodbye: "Goodbye.".to_owned(),
            time_is_up: "I am sorry, our time is up. Goodbye.".to_owned(),
            are_you_there: "Are you still there?".to_owned(),
            say_again: "Sorry, I did not understand that. Could you say it again?".to_owned(),
        }
    }
}

/// Where an agent must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelLimits {
    /// Turns of the callee that are answered.
    pub turns_max: u32,
    /// Tokens read and written in the whole conversation.
    pub tokens_max: u64,
    /// Tool calls within one answer.
    pub tool_calls_max: u32,
}

impl Default for ModelLimits {
    fn default() -> Self {
        Self {
            turns_max: 60,
            tokens_max: 400_000,
            tool_calls_max: 6,
        }
    }
}

/// Something about an agent that cannot work, with what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgentProblem {
    /// There are no instructions.
    #[error("`instructions` is empty: say who the agent is and what the call is for")]
    NoInstructions,
    /// A tool's name is none that a model can call.
    #[error("tool `{0}`: a name has letters, digits, `_` and `-`, at most 64")]
    ToolName(String),
    /// Two tools have one name, or a tool has that of a built-in one.
    #[error("tool `{0}`: the name is taken")]
    ToolNameTaken(String),
    /// A schema is not an object's.
    #[error("{0}: the schema must be an object with `\"type\": \"object\"`")]
    NoObject(String),
    /// A template names a variable without closing it.
    #[error("{0}: `{{{{` without `}}}}`")]
    Template(&'static str),
    /// A limit is zero.
    #[error("`limits.{0}` is zero: nothing could be said")]
    ZeroLimit(&'static str),
}

impl ModelAgent {
    /// Everything about it that cannot work; empty: it can talk.
    pub fn problems(&self) -> Vec<AgentProblem> {
        let mut problems = Vec::new();
        if self.instructions.trim().is_empty() {
            problems.push(AgentProblem::NoInstructions);
        }
        let mut names: Vec<&str> = BUILT_IN_TOOLS.to_vec();
        for tool in &self.tools {
            if !is_tool_name(&tool.name) {
                problems.push(AgentProblem::ToolName(tool.name.clone()));
            } else if names.contains(&tool.name.as_str()) {
                problems.push(AgentProblem::ToolNameTaken(tool.name.clone()));
            }
            names.push(&tool.name);
            if !is_object_schema(&tool.parameters) {
                problems.push(AgentProblem::NoObject(format!("tool `{}`", tool.name)));
            }
        }
        if self
            .extraction_schema
            .as_ref()
            .is_some_and(|schema| !is_object_schema(schema))
        {
            problems.push(AgentProblem::NoObject("extraction_schema".to_owned()));
        }
        for (what, text) in [
            ("instructions", Some(&self.instructions)),
            ("greeting", self.greeting.as_ref()),
            ("voicemail_message", self.voicemail_message.as_ref()),
            ("screening_words", self.screening_words.as_ref()),
        ] {
            if text.is_some_and(|text| !is_closed(text)) {
                problems.push(AgentProblem::Template(what));
            }
        }
        if self.limits.turns_max == 0 {
            problems.push(AgentProblem::ZeroLimit("turns_max"));
        }
        if self.limits.tokens_max == 0 {
            problems.push(AgentProblem::ZeroLimit("tokens_max"));
        }
        problems
    }
}

/// Fills `{{ name }}` with the values of `variables`; a name without a value becomes nothing. Text goes in as it is, other values as JSON.
pub fn fill(template: &str, variables: &Map<String, Value>) -> String {
    fill_with(template, |name| variables.get(name).map(plain_text).unwrap_or_default())
}

/// Fills `{{ name }}` with what `value_of` says.
pub fn fill_with(template: &str, mut value_of: impl FnMut(&str) -> String) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, behind)) = after.split_once("}}") else {
            break;
        };
        filled.push_str(before);
        filled.push_str(&value_of(name.trim()));
        rest = behind;
    }
    filled.push_str(rest);
    filled
}

/// A value as words: text as it is, nothing for null, other values as JSON.
pub fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn is_object_schema(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("object")
}

fn is_closed(template: &str) -> bool {
    let mut rest = template;
    while let Some((_, after)) = rest.split_once("{{") {
        match after.split_once("}}") {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn agent(value: Value) -> ModelAgent {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn instructions_are_enough() {
        let agent = agent(json!({ "instructions": "You are Ada." }));
        assert_eq!(agent.problems(), []);
        assert!(agent.may.do_not_call);
        assert_eq!(agent.limits.tool_calls_max, 6);
    }

    #[test]
    fn what_cannot_work_is_named() {
        let tool = |name: &str, parameters: Value| json!({ "name": name, "description": "", "url": "https://a.example", "parameters": parameters });
        let agent = agent(json!({
            "instructions": " ",
            "greeting": "Hello {{ name",
            "tools": [
                tool("a b", json!({ "type": "object" })),
                tool("end_call", json!({ "type": "object" })),
                tool("x", json!({ "type": "object" })),
                tool("x", json!({ "type": "array" })),
            ],
            "extraction_schema": { "type": "string" },
            "limits": { "turns_max": 0, "tokens_max": 0 },
        }));
        let expected = [
            AgentProblem::NoInstructions,
            AgentProblem::ToolName("a b".to_owned()),
            AgentProblem::ToolNameTaken("end_call".to_owned()),
            AgentProblem::ToolNameTaken("x".to_owned()),
            AgentProblem::NoObject("tool `x`".to_owned()),
            AgentProblem::NoObject("extraction_schema".to_owned()),
            AgentProblem::Template("greeting"),
            AgentProblem::ZeroLimit("turns_max"),
            AgentProblem::ZeroLimit("tokens_max"),
        ];
        assert_eq!(agent.problems(), expected);
        assert_eq!(
            AgentProblem::Template("greeting").to_string(),
            "greeting: `{{` without `}}`"
        );
    }

    #[test]
    fn templates_are_filled_once() {
        let variables = json!({ "name": "Asha", "sum": 12.5, "none": null, "trick": "{{ name }}" });
        let variables = variables.as_object().unwrap();
        for (template, expected) in [
            ("Hello {{ name }}, {{sum}}.", "Hello Asha, 12.5."),
            ("{{ unknown }}{{ none }}", ""),
            ("{{ trick }}", "{{ name }}"),
            ("open {{ name", "open {{ name"),
            ("plain", "plain"),
        ] {
            assert_eq!(fill(template, variables), expected, "{template}");
        }
    }
}
