//! The chat API's JSON: what is asked, and the pieces that come back. Fields are those of OpenAI's chat completions
//! reference; servers that follow it leave some out, so nothing that is read here is required.

use super::quirks::Quirks;
use carillon_interfaces::language_model::{ChatMessage, ChatRequest, ToolCall, ToolDescription};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The body of a request to `model`.
pub(super) fn request_body(request: &ChatRequest, model: &str, quirks: Quirks) -> Value {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        body.insert(name.to_owned(), value);
    };
    put("model", request.model.as_deref().unwrap_or(model).into());
    put("messages", messages(request, quirks));
    put("stream", true.into());
    if quirks.stream_options {
        put("stream_options", json!({ "include_usage": true }));
    }
    let tokens = if quirks.completion_tokens {
        "max_completion_tokens"
    } else {
        "max_tokens"
    };
    put(tokens, request.max_tokens.into());
    if let Some(milli) = request.temperature_milli.filter(|_| quirks.temperature) {
        put("temperature", (f64::from(milli) / 1_000.0).into());
    }
    if !request.tools.is_empty() {
        put("tools", request.tools.iter().map(tool).collect());
    }
    if let Some(schema) = &request.answer_schema {
        if quirks.json_schema {
            let strict = is_strict(schema);
            let named = json!({ "name": "answer", "schema": schema, "strict": strict });
            put(
                "response_format",
                json!({ "type": "json_schema", "json_schema": named }),
            );
        } else if quirks.json_object {
            put("response_format", json!({ "type": "json_object" }));
        }
    }
    Value::Object(body)
}

fn messages(request: &ChatRequest, quirks: Quirks) -> Value {
    let mut messages: Vec<Value> = request.messages.iter().map(message).collect();
    if let Some(schema) = request.answer_schema.as_ref().filter(|_| !quirks.json_schema) {
        let wish =
            format!("Answer with one JSON object that matches this JSON Schema, and with nothing else:\n{schema}");
        messages.push(json!({ "role": "system", "content": wish }));
    }
    Value::Array(messages)
}

fn message(message: &ChatMessage) -> Value {
    match message {
        ChatMessage::System(text) => json!({ "role": "system", "content": text }),
        ChatMessage::User(text) => json!({ "role": "user", "content": text }),
        ChatMessage::Assistant { text, tool_calls } if tool_calls.is_empty() => {
            json!({ "role": "assistant", "content": text })
        }
        ChatMessage::Assistant { text, tool_calls } => {
            let content = (!text.is_empty()).then_some(text);
            let calls: Vec<Value> = tool_calls.iter().map(tool_call).collect();
            json!({ "role": "assistant", "content": content, "tool_calls": calls })
        }
        ChatMessage::Tool { call_id, result } => {
            json!({ "role": "tool", "tool_call_id": call_id, "content": result })
        }
    }
}

fn tool_call(call: &ToolCall) -> Value {
    json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": call.arguments } })
}

fn tool(tool: &ToolDescription) -> Value {
    let function = json!({ "name": tool.name, "description": tool.description, "parameters": tool.parameters });
    json!({ "type": "function", "function": function })
}

/// Whether a schema keeps the rules of strict answers: every object lists all its properties as required and allows no others.
fn is_strict(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => {
            let keeps = map
                .get("properties")
                .and_then(Value::as_object)
                .is_none_or(|properties| {
                    let required = map.get("required").and_then(Value::as_array);
                    let is_required = |name: &String| required.is_some_and(|all| all.iter().any(|one| one == name));
                    map.get("additionalProperties") == Some(&Value::Bool(false)) && properties.keys().all(is_required)
                });
            keeps && map.values().all(is_strict)
        }
        Value::Array(items) => items.iter().all(is_strict),
        _ => true,
    }
}

/// One event of a streamed answer, or the whole of one that was not streamed.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Chunk {
    #[serde(default)]
    pub(super) choices: Option<Vec<Choice>>,
    #[serde(default)]
    pub(super) usage: Option<WireUsage>,
    /// In place of the rest, when something goes wrong after the answer has begun.
    #[serde(default)]
    pub(super) error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Choice {
    /// `message` is what an answer says that is not streamed.
    #[serde(default, alias = "message")]
    pub(super) delta: Option<Delta>,
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Delta {
    #[serde(default)]
    pub(super) content: Option<String>,
    #[serde(default)]
    pub(super) refusal: Option<String>,
    #[serde(default)]
    pub(super) tool_calls: Option<Vec<ToolCallDelta>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ToolCallDelta {
    #[serde(default)]
    pub(super) index: Option<u32>,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) function: Option<FunctionDelta>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct FunctionDelta {
    #[serde(default)]
    pub(super) name: Option<String>,
    /// A string by the reference; some servers send the object itself.
    #[serde(default)]
    pub(super) arguments: Option<Value>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct WireUsage {
    #[serde(default)]
    pub(super) prompt_tokens: Option<u64>,
    #[serde(default)]
    pub(super) completion_tokens: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn request(answer_schema: Option<Value>) -> ChatRequest {
        let call = ToolCall {
            id: "c1".to_owned(),
            name: "look_up".to_owned(),
            arguments: "{\"a\":1}".to_owned(),
        };
        ChatRequest {
            messages: vec![
                ChatMessage::System("Be kind.".to_owned()),
                ChatMessage::User("Hello".to_owned()),
                ChatMessage::Assistant {
                    text: String::new(),
                    tool_calls: vec![call],
                },
                ChatMessage::Tool {
                    call_id: "c1".to_owned(),
                    result: "{\"b\":2}".to_owned(),
                },
                ChatMessage::Assistant {
                    text: "Hi.".to_owned(),
                    tool_calls: Vec::new(),
                },
            ],
            tools: vec![ToolDescription {
                name: "look_up".to_owned(),
                description: "Looks up.".to_owned(),
                parameters: json!({ "type": "object" }),
            }],
            model: None,
            temperature_milli: Some(250),
            max_tokens: 100,
            answer_schema,
            first_word_timeout: Duration::from_secs(1),
            total_timeout: Duration::from_secs(2),
        }
    }

    #[test]
    fn a_request_is_written_as_the_reference_says() {
        let body = request_body(&request(None), "small", Quirks::default());
        let expected = json!({
            "model": "small",
            "messages": [
                { "role": "system", "content": "Be kind." },
                { "role": "user", "content": "Hello" },
                {
                    "role": "assistant",
                    "content": null,
                    "tool_calls": [{
                        "id": "c1",
                        "type": "function",
                        "function": { "name": "look_up", "arguments": "{\"a\":1}" },
                    }],
                },
                { "role": "tool", "tool_call_id": "c1", "content": "{\"b\":2}" },
                { "role": "assistant", "content": "Hi." },
            ],
            "stream": true,
            "stream_options": { "include_usage": true },
            "max_tokens": 100,
            "temperature": 0.25,
            "tools": [{
                "type": "function",
                "function": { "name": "look_up", "description": "Looks up.", "parameters": { "type": "object" } },
            }],
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn what_a_server_does_not_know_is_left_out() {
        let quirks = Quirks {
            completion_tokens: true,
            stream_options: false,
            temperature: false,
            json_schema: false,
            json_object: true,
        };
        let body = request_body(&request(Some(json!({ "type": "object" }))), "small", quirks);
        assert_eq!(body["max_completion_tokens"], 100);
        for absent in ["max_tokens", "stream_options", "temperature"] {
            assert!(body.get(absent).is_none(), "{absent}");
        }
        assert_eq!(body["response_format"], json!({ "type": "json_object" }));
        let last = body["messages"].as_array().unwrap().last().unwrap();
        assert_eq!(last["role"], "system");
        assert!(last["content"].as_str().unwrap().ends_with(r#"{"type":"object"}"#));
    }

    #[test]
    fn a_schema_is_strict_only_if_it_keeps_the_rules_everywhere() {
        let strict = json!({
            "type": "object", "additionalProperties": false, "required": ["a"],
            "properties": { "a": { "type": "string" } },
        });
        let loose = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
        let mixed = json!({
            "type": "object", "additionalProperties": false, "required": ["a"], "properties": { "a": loose },
        });
        for (schema, expected) in [(strict, true), (loose, false), (mixed, false)] {
            let body = request_body(&request(Some(schema.clone())), "small", Quirks::default());
            let format = &body["response_format"];
            assert_eq!(format["type"], "json_schema");
            assert_eq!(format["json_schema"]["schema"], schema);
            assert_eq!(format["json_schema"]["strict"], expected, "{schema}");
        }
    }
}
