//! A language model that converses: messages and tools in, words and tool calls out, as they come.

use async_trait::async_trait;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::mpsc;

/// Who says a message of the conversation.
#[derive(Clone, Debug, PartialEq)]
pub enum ChatMessage {
    /// The instructions.
    System(String),
    /// The callee.
    User(String),
    /// The agent: what was heard of it, and the tools that it called.
    Assistant {
        /// Its words.
        text: String,
        /// Its tool calls.
        tool_calls: Vec<ToolCall>,
    },
    /// What a tool gave back.
    Tool {
        /// Id of the [`ToolCall`].
        call_id: String,
        /// Its result as text (mostly JSON).
        result: String,
    },
}

/// A tool that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolDescription {
    /// Its name: letters, digits, `_`, `-`, at most 64.
    pub name: String,
    /// When to use it.
    pub description: String,
    /// JSON Schema of its arguments, an object.
    pub parameters: Value,
}

/// A tool call of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// The model's id of the call.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Its arguments as the model wrote them: JSON if all is well.
    pub arguments: String,
}

/// One question to the model.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// The conversation so far, instructions first.
    pub messages: Vec<ChatMessage>,
    /// The tools that it may call.
    pub tools: Vec<ToolDescription>,
    /// The model by its name; `None`: the configured one.
    pub model: Option<String>,
    /// Sampling temperature in thousandths; `None`: the server's default.
    pub temperature_milli: Option<u16>,
    /// At most this many tokens come back.
    pub max_tokens: u32,
    /// A JSON Schema that the whole answer must match (extraction); `None`: free text.
    pub answer_schema: Option<Value>,
    /// How long the first word may take.
    pub first_word_timeout: Duration,
    /// How long the whole answer may take.
    pub total_timeout: Duration,
}

/// A piece of the model's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum ChatPiece {
    /// More words.
    Text(String),
    /// A whole tool call.
    ToolCall(ToolCall),
    /// The answer is complete.
    Done {
        /// Why it stopped.
        reason: StopReason,
        /// Tokens read and written, if the server tells.
        usage: Option<Usage>,
    },
}

/// Why an answer stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It is finished.
    Finished,
    /// It wants its tools called.
    ToolCalls,
    /// It reached `max_tokens`.
    Length,
    /// The server's filter stopped it.
    Filtered,
}

/// Tokens of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Read.
    pub prompt_tokens: u64,
    /// Written.
    pub completion_tokens: u64,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// No word, or no end, in time.
    #[error("no answer within {0} ms")]
    TimedOut(u64),
    /// The server could not be reached.
    #[error("the model's server cannot be reached: {0}")]
    Unreachable(String),
    /// The server refused the key.
    #[error("the model's server refuses the key; check `model.api_key`")]
    Unauthorized,
    /// The server wants us to wait.
    #[error("the model's server is at its limit")]
    RateLimited {
        /// For how long, if it says.
        retry_after: Option<Duration>,
    },
    /// The server refused the request; its own words.
    #[error("the model's server refuses the request ({status}): {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The server's words, cut short.
        message: String,
    },
    /// What came cannot be read.
    #[error("the model's answer cannot be read: {0}")]
    Garbage(String),
    /// The answer broke off.
    #[error("the model's answer broke off")]
    BrokenOff,
}

/// The answer as it comes: the channel closes after [`ChatPiece::Done`] or an error. Dropping the receiver cancels the request.
pub type ChatAnswer = mpsc::Receiver<Result<ChatPiece, ModelError>>;

/// A language model behind an API.
#[async_trait]
pub trait LanguageModel: Send + Sync {
    /// What settings and `doctor` call it: the model's name and its server's host.
    fn name(&self) -> String;

    /// Asks; pieces come as the server sends them.
    async fn chat(&self, request: ChatRequest) -> Result<ChatAnswer, ModelError>;
}
