//! Tools that an agent uses while it talks: HTTP requests on behalf of a call.

use async_trait::async_trait;
use carillon_domain::http_tool::HttpTool;
use serde_json::{Map, Value};

/// Why a tool has no result. Its text is told to the model, so it says what can be done about it and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The arguments are not JSON, or do not match the tool's schema.
    #[error("the arguments do not fit: {0}")]
    Arguments(String),
    /// The tool itself cannot be used as it is written.
    #[error("the tool is not set up rightly: {0}")]
    Setup(String),
    /// Its address may not be called from here.
    #[error("the tool may not be used: {0}")]
    Refused(String),
    /// No answer in time.
    #[error("no answer within {0} ms")]
    TimedOut(u64),
    /// The server could not be reached, or the exchange broke.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The server answered with an error.
    #[error("the server answered {status}: {body}")]
    Status {
        /// HTTP status.
        status: u16,
        /// What it said, cut short.
        body: String,
    },
    /// The answer is longer than the tool allows, or no text.
    #[error("the answer cannot be used: {0}")]
    Answer(String),
}

/// Makes the requests of [`HttpTool`]s.
#[async_trait]
pub trait ToolRunner: Send + Sync {
    /// Uses `tool` with the `arguments` that the model wrote (JSON) and the `variables` of the call. Gives back the answer's text.
    /// Bounded by the tool's own time-out; dropping the future breaks off.
    async fn run(&self, tool: &HttpTool, arguments: &str, variables: &Map<String, Value>) -> Result<String, ToolError>;
}
