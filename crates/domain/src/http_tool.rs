//! A tool of an agent that is an HTTP request: looked up or told while the call goes on.

use crate::pii::Secret;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An HTTP request that an agent may make. `{{ name }}` in URL, headers and body stands for an argument of the tool or, if it has none
/// of that name, for a variable of the call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTool {
    /// What the model calls it: letters, digits, `_`, `-`, at most 64.
    pub name: String,
    /// When to use it, for the model.
    pub description: String,
    /// JSON Schema of its arguments, an object.
    #[serde(default = "no_arguments")]
    pub parameters: Value,
    /// How it asks.
    #[serde(default)]
    pub method: HttpMethod,
    /// Where: https, or http to a host that the operator allows. What is filled in is encoded; scheme and host are fixed.
    pub url: String,
    /// Headers besides `Content-Type`. Their values do not show in logs.
    #[serde(default)]
    pub headers: Vec<HttpHeader>,
    /// The body, JSON; what is filled in is written as JSON itself, with its quotes: `{"name": {{ name }}}`. `None`: the arguments as
    /// an object, where the method carries a body.
    #[serde(default)]
    pub body: Option<String>,
    /// How long it may take, in milliseconds.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u32,
    /// Most bytes of the answer that are read.
    #[serde(default = "default_answer_bytes_max")]
    pub answer_bytes_max: u32,
}

/// A header of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpHeader {
    /// Its name.
    pub name: String,
    /// Its value; it may be a key.
    pub value: Secret,
}

/// How a tool asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// Looks something up.
    Get,
    /// Tells something.
    #[default]
    Post,
    /// Replaces something.
    Put,
    /// Changes a part of something.
    Patch,
    /// Removes something.
    Delete,
}

impl HttpMethod {
    /// Whether a request of this kind carries a body.
    pub fn has_body(self) -> bool {
        !matches!(self, Self::Get | Self::Delete)
    }
}

fn no_arguments() -> Value {
    serde_json::json!({ "type": "object", "properties": {} })
}

fn default_timeout_ms() -> u32 {
    5_000
}

fn default_answer_bytes_max() -> u32 {
    16 * 1024
}

/// Whether a model can call a tool by this name.
pub fn is_tool_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tool_is_written_with_few_words() {
        let tool: HttpTool = serde_json::from_value(json!({
            "name": "order_status", "description": "Finds an order.", "url": "https://shop.example/orders/{{ number }}",
            "method": "GET", "headers": [{ "name": "Authorization", "value": "Bearer abc" }],
        }))
        .unwrap();
        assert_eq!((tool.timeout_ms, tool.answer_bytes_max), (5_000, 16_384));
        assert!(!tool.method.has_body());
        assert!(!format!("{tool:?}").contains("abc"));
    }

    #[test]
    fn names_are_those_that_models_can_call() {
        for (name, expected) in [
            ("a", true),
            ("order_status-2", true),
            ("", false),
            ("a b", false),
            ("größe", false),
        ] {
            assert_eq!(is_tool_name(name), expected, "{name}");
        }
        assert!(!is_tool_name(&"x".repeat(65)));
    }
}
