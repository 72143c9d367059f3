//! An answer as it grows: events of the stream in, pieces out. Tool calls come in fragments and leave whole.

use super::wire::{Choice, Chunk, ToolCallDelta, WireUsage};
use carillon_interfaces::language_model::{ChatPiece, ModelError, StopReason, ToolCall, Usage};
use serde_json::Value;

/// Most words of an answer, in bytes: far above any token limit that a conversation asks for.
const TEXT_BYTES_MAX: usize = 256 * 1024;
const TOOL_CALLS_MAX: usize = 32;
const ARGUMENT_BYTES_MAX: usize = 64 * 1024;

/// An answer that is coming in.
#[derive(Debug, Default)]
pub(super) struct Answer {
    calls: Vec<(Option<u32>, ToolCall)>,
    thoughts: ThoughtFilter,
    text_bytes: usize,
    stopped: Option<StopReason>,
    usage: Option<Usage>,
    has_begun: bool,
}

impl Answer {
    /// Whether a word or a part of a tool call has come.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether the server has said why it stopped; only the usage may still come.
    pub(super) fn has_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Takes an event; adds what it completes to `pieces`.
    pub(super) fn take(&mut self, data: &[u8], pieces: &mut Vec<ChatPiece>) -> Result<(), ModelError> {
        let chunk: Chunk = serde_json::from_slice(data)
            .map_err(|error| ModelError::Garbage(format!("an event is not the chat API's JSON ({error})")))?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(refusal(&error));
        }
        if let Some(usage) = chunk.usage {
            self.usage = Some(usage_of(usage));
        }
        // Only one answer is asked for.
        let Some(choice) = chunk.choices.unwrap_or_default().into_iter().next() else {
            return Ok(());
        };
        self.take_choice(choice, pieces)
    }

    fn take_choice(&mut self, choice: Choice, pieces: &mut Vec<ChatPiece>) -> Result<(), ModelError> {
        let delta = choice.delta.unwrap_or_default();
        let words = delta.content.filter(|text| !text.is_empty()).or(delta.refusal);
        if let Some(text) = words.filter(|text| !text.is_empty()) {
            self.text_bytes += text.len();
            if self.text_bytes > TEXT_BYTES_MAX {
                return Err(ModelError::Garbage("it never ends".to_owned()));
            }
            self.say(self.thoughts.clone_through(&text), pieces);
        }
        for part in delta.tool_calls.unwrap_or_default() {
            self.has_begun = true;
            self.take_call(part)?;
        }
        if let Some(reason) = choice.finish_reason {
            self.stopped = Some(stop_reason(&reason));
        }
        Ok(())
    }

    fn say(&mut self, (filter, text): (ThoughtFilter, String), pieces: &mut Vec<ChatPiece>) {
        self.thoughts = filter;
        if !text.is_empty() {
            self.has_begun = true;
            pieces.push(ChatPiece::Text(text));
        }
    }

    fn take_call(&mut self, part: ToolCallDelta) -> Result<(), ModelError> {
        let id = part.id.filter(|id| !id.is_empty());
        // By the reference fragments belong together by index. Servers that send whole calls leave it out, or give them all
        // the same; there a new id begins a new call.
        let known = match (part.index, &id) {
            (Some(index), id) => self
                .calls
                .iter()
                .rposition(|(at, call)| *at == Some(index) && id.as_ref().is_none_or(|id| *id == call.id)),
            (None, Some(id)) => self.calls.iter().rposition(|(_, call)| call.id == *id),
            (None, None) => self.calls.len().checked_sub(1),
        };
        let position = match known {
            Some(position) => position,
            None if self.calls.len() >= TOOL_CALLS_MAX => {
                return Err(ModelError::Garbage("it calls too many tools".to_owned()));
            }
            None => {
                let id = id.unwrap_or_else(|| format!("call_{}", self.calls.len() + 1));
                let call = ToolCall {
                    id,
                    name: String::new(),
                    arguments: String::new(),
                };
                self.calls.push((part.index, call));
                self.calls.len() - 1
            }
        };
        let (Some((_, call)), Some(function)) = (self.calls.get_mut(position), part.function) else {
            return Ok(());
        };
        if let Some(name) = function.name.filter(|name| *name != call.name) {
            call.name.push_str(&name);
        }
        match function.arguments {
            Some(Value::String(text)) => call.arguments.push_str(&text),
            None | Some(Value::Null) => {}
            Some(whole) => call.arguments = whole.to_string(),
        }
        if call.arguments.len() > ARGUMENT_BYTES_MAX || call.name.len() > ARGUMENT_BYTES_MAX {
            return Err(ModelError::Garbage("a tool call is too long".to_owned()));
        }
        Ok(())
    }

    /// The answer is over. `announced`: the server said so, by its end mark or by a reason.
    pub(super) fn finish(mut self, announced: bool, pieces: &mut Vec<ChatPiece>) -> Result<(), ModelError> {
        if !announced && self.stopped.is_none() {
            return Err(ModelError::BrokenOff);
        }
        let rest = self.thoughts.rest();
        if !rest.is_empty() {
            pieces.push(ChatPiece::Text(rest));
        }
        let mut reason = self.stopped.unwrap_or(StopReason::Finished);
        if !self.calls.is_empty() && reason == StopReason::Finished {
            reason = StopReason::ToolCalls;
        }
        // A call that was cut off would be done with half its arguments.
        if reason == StopReason::ToolCalls {
            self.calls.retain(|(_, call)| !call.name.is_empty());
            pieces.extend(self.calls.into_iter().map(|(_, call)| ChatPiece::ToolCall(call)));
        }
        pieces.push(ChatPiece::Done {
            reason,
            usage: self.usage,
        });
        Ok(())
    }
}

/// Leaves out what a reasoning model thinks aloud at the beginning of its answer, in `<think>` marks, where its server does not.
#[derive(Clone, Debug, Default)]
struct ThoughtFilter {
    state: Thought,
    held: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Thought {
    #[default]
    Beginning,
    Thinking,
    Speaking,
}

const THOUGHT_BEGINS: &str = "<think>";
const THOUGHT_ENDS: &str = "</think>";

impl ThoughtFilter {
    /// The filter after `text`, and what of it is to be said.
    fn clone_through(&self, text: &str) -> (Self, String) {
        let mut next = self.clone();
        let said = next.through(text);
        (next, said)
    }

    fn through(&mut self, text: &str) -> String {
        if self.state == Thought::Speaking {
            return text.to_owned();
        }
        self.held.push_str(text);
        if self.state == Thought::Beginning {
            let start = self.held.trim_start();
            if let Some(thought) = start.strip_prefix(THOUGHT_BEGINS) {
                self.held = thought.to_owned();
                self.state = Thought::Thinking;
            } else if THOUGHT_BEGINS.starts_with(start) {
                return String::new();
            } else {
                self.state = Thought::Speaking;
                return std::mem::take(&mut self.held);
            }
        }
        let Some(end) = self.held.find(THOUGHT_ENDS) else {
            // Only what may be the beginning of the end mark is kept.
            let mut keep = self.held.len().saturating_sub(THOUGHT_ENDS.len());
            while !self.held.is_char_boundary(keep) {
                keep -= 1;
            }
            self.held.drain(..keep);
            return String::new();
        };
        let said = self.held[end + THOUGHT_ENDS.len()..].trim_start().to_owned();
        self.held.clear();
        // What follows may begin with space again; speech does not mind.
        self.state = Thought::Speaking;
        said
    }

    /// What was held back when the answer ended: words, unless they were thoughts.
    fn rest(&mut self) -> String {
        match self.state {
            Thought::Beginning => std::mem::take(&mut self.held).trim_start().to_owned(),
            Thought::Thinking | Thought::Speaking => String::new(),
        }
    }
}

fn stop_reason(text: &str) -> StopReason {
    match text {
        "tool_calls" | "function_call" => StopReason::ToolCalls,
        "length" | "max_tokens" => StopReason::Length,
        "content_filter" => StopReason::Filtered,
        _ => StopReason::Finished,
    }
}

fn usage_of(usage: WireUsage) -> Usage {
    Usage {
        prompt_tokens: usage.prompt_tokens.unwrap_or(0),
        completion_tokens: usage.completion_tokens.unwrap_or(0),
    }
}

/// An error in the middle of a stream: an object with a message and perhaps a status, or a text.
fn refusal(error: &Value) -> ModelError {
    let status = ["/code", "/status"]
        .iter()
        .find_map(|place| error.pointer(place)?.as_u64())
        .and_then(|code| u16::try_from(code).ok())
        .unwrap_or(500);
    let message = error.pointer("/message").and_then(Value::as_str).or(error.as_str());
    ModelError::Refused {
        status,
        message: message.unwrap_or("an error without words").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces_of(events: &[&str], announced: bool) -> Result<Vec<ChatPiece>, ModelError> {
        let mut answer = Answer::default();
        let mut pieces = Vec::new();
        for event in events {
            answer.take(event.as_bytes(), &mut pieces)?;
        }
        answer.finish(announced, &mut pieces)?;
        Ok(pieces)
    }

    fn text(words: &str) -> ChatPiece {
        ChatPiece::Text(words.to_owned())
    }

    fn call(id: &str, name: &str, arguments: &str) -> ChatPiece {
        ChatPiece::ToolCall(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        })
    }

    fn done(reason: StopReason) -> ChatPiece {
        ChatPiece::Done { reason, usage: None }
    }

    #[test]
    fn words_come_as_they_are_said() {
        let events = [
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"Good"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":" day."},"finish_reason":null}],"usage":null}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}"#,
        ];
        let usage = Usage {
            prompt_tokens: 9,
            completion_tokens: 3,
        };
        let end = ChatPiece::Done {
            reason: StopReason::Finished,
            usage: Some(usage),
        };
        assert_eq!(pieces_of(&events, true).unwrap(), [text("Good"), text(" day."), end]);
    }

    #[test]
    fn reasons_are_told_apart() {
        for (reason, expected) in [
            ("stop", StopReason::Finished),
            ("length", StopReason::Length),
            ("content_filter", StopReason::Filtered),
            ("end_turn", StopReason::Finished),
        ] {
            let event = format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#);
            assert_eq!(pieces_of(&[&event], false).unwrap(), [done(expected)], "{reason}");
        }
    }

    #[test]
    fn tool_calls_are_put_together() {
        let by_index: &[&str] = &[
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"end_call","arguments":""}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"rea"}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"look_up","arguments":"{}"}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"son\":1}"}}]}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
        ];
        let all_at_index_0: &[&str] = &[
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"end_call","arguments":"{\"reason\":1}"}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"look_up","arguments":"{}"}}]},"finish_reason":"stop"}]}"#,
        ];
        let without_index: &[&str] = &[
            r#"{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"end_call","arguments":{"reason":1}}},{"id":"b","function":{"name":"look_up","arguments":"{}"}}]}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
        ];
        let expected = [
            call("a", "end_call", r#"{"reason":1}"#),
            call("b", "look_up", "{}"),
            done(StopReason::ToolCalls),
        ];
        for events in [by_index, all_at_index_0, without_index] {
            assert_eq!(pieces_of(events, false).unwrap(), expected, "{events:?}");
        }
        let without_id =
            [r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"x","arguments":"{}"}}]}}]}"#];
        assert_eq!(
            pieces_of(&without_id, true).unwrap(),
            [call("call_1", "x", "{}"), done(StopReason::ToolCalls)]
        );
    }

    #[test]
    fn a_call_that_was_cut_off_is_not_made() {
        let events = [
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"end_call","arguments":"{\"rea"}}]}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#,
        ];
        assert_eq!(pieces_of(&events, true).unwrap(), [done(StopReason::Length)]);
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let table = [
            (r#"{"choices":[{"delta":{"content":"Half"}}]}"#, ModelError::BrokenOff),
            (
                r#"{"error":{"message":"overloaded","code":503}}"#,
                ModelError::Refused {
                    status: 503,
                    message: "overloaded".to_owned(),
                },
            ),
            (
                r#"{"error":"out of memory"}"#,
                ModelError::Refused {
                    status: 500,
                    message: "out of memory".to_owned(),
                },
            ),
        ];
        for (event, expected) in table {
            assert_eq!(pieces_of(&[event], false).unwrap_err(), expected, "{event}");
        }
        for event in ["", "no json", "[1]", r#"{"choices":"x"}"#] {
            let error = pieces_of(&[event], false).unwrap_err();
            assert!(matches!(error, ModelError::Garbage(_)), "{event}: {error}");
        }
    }

    #[test]
    fn endless_answers_are_cut() {
        let long = format!(
            r#"{{"choices":[{{"delta":{{"content":"{}"}}}}]}}"#,
            "x".repeat(TEXT_BYTES_MAX + 1)
        );
        assert!(matches!(pieces_of(&[&long], true), Err(ModelError::Garbage(_))));
        let calls: Vec<String> = (0..=TOOL_CALLS_MAX)
            .map(|n| format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{{"index":{n},"id":"c{n}"}}]}}}}]}}"#))
            .collect();
        let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
        assert!(matches!(pieces_of(&calls, true), Err(ModelError::Garbage(_))));
    }

    #[test]
    fn thoughts_are_not_said() {
        let say = |parts: &[&str]| {
            let events: Vec<String> = parts
                .iter()
                .map(|part| serde_json::json!({ "choices": [{ "delta": { "content": part } }] }).to_string())
                .collect();
            let events: Vec<&str> = events.iter().map(String::as_str).collect();
            let pieces = pieces_of(&events, true).unwrap();
            let words = pieces.into_iter().filter_map(|piece| match piece {
                ChatPiece::Text(text) => Some(text),
                _ => None,
            });
            words.collect::<String>()
        };
        for (parts, expected) in [
            (&["<think>Hm. Größe…</think>\n\nHello."][..], "Hello."),
            (&["\n<th", "ink>Hm.", "</th", "ink>", "Hello."], "Hello."),
            (&["<", "3 you"], "<3 you"),
            (&["<thin"], "<thin"),
            (&["Hello <think>"], "Hello <think>"),
            (&["<think>and never an end, नमस्ते"], ""),
            (&["Hel", "lo."], "Hello."),
        ] {
            assert_eq!(say(parts), expected, "{parts:?}");
        }
    }
}
