//! The brain that a language model speaks for: a turn goes to the model with the conversation so far, and its words come out as
//! they are made, its tool calls are done in between.
//!
//! Whatever the model does, the callee hears something and the call ends: a failure is apologised for and tried once more, then
//! there is a goodbye with a named outcome. An answer may be dropped at any moment; the conversation then holds what was heard.

mod built_in;
mod history;
mod look_back;
mod prompt;
#[cfg(test)]
mod tests;

use super::brain::{Brain, BrainError, CallFacts, Heard, Line, LookBack, Piece, Turn};
use async_trait::async_trait;
use built_in::Done;
use carillon_domain::model_agent::{ModelAgent, fill};
use carillon_domain::time::UnixMicros;
use carillon_interfaces::language_model::{
    ChatMessage, ChatPiece, ChatRequest, LanguageModel, ModelError, StopReason, ToolCall, ToolDescription,
};
use carillon_interfaces::tools::ToolRunner;
use history::History;
use jiff::tz::TimeZone;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// After this long a tool that is still at work is excused.
const PATIENCE_WITH_TOOLS: Duration = Duration::from_millis(1_500);
/// A rate limit is waited for at most this long: nobody on a telephone waits longer.
const RATE_LIMIT_WAIT_MAX: Duration = Duration::from_secs(2);
/// Most bytes of a tool's result that the model is shown.
const RESULT_BYTES_MAX: usize = 8 * 1024;
/// What a tool may take beyond its own time-out before it is given up.
const TOOL_GRACE: Duration = Duration::from_secs(1);

/// How a model is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelSettings {
    /// Sampling temperature in thousandths, where the agent names none; `None`: the server's default.
    pub temperature_milli: Option<u16>,
    /// Most tokens of one answer.
    pub answer_tokens_max: u32,
    /// How long the first word may take.
    pub first_word_timeout: Duration,
    /// How long a whole answer may take.
    pub total_timeout: Duration,
    /// How long the look back after the call may take.
    pub look_back_timeout: Duration,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            temperature_milli: None,
            answer_tokens_max: 300,
            first_word_timeout: Duration::from_secs(4),
            total_timeout: Duration::from_secs(20),
            look_back_timeout: Duration::from_secs(15),
        }
    }
}

/// What the brains of all calls share.
#[derive(Clone)]
pub struct ModelServices {
    /// The language model.
    pub model: Arc<dyn LanguageModel>,
    /// Makes the requests of HTTP tools.
    pub tools: Arc<dyn ToolRunner>,
    /// How the model is asked.
    pub settings: ModelSettings,
}

/// The brain of one call.
pub struct ModelBrain {
    agent: Arc<ModelAgent>,
    facts: CallFacts,
    zone: TimeZone,
    services: ModelServices,
    history: History,
    turns: u32,
    tokens: u64,
    now: UnixMicros,
    /// Whether the answer under way has said anything.
    has_spoken: bool,
}

impl ModelBrain {
    /// A brain for a call that was just answered. `zone`: the callee's, by its IANA name.
    pub fn new(
        agent: Arc<ModelAgent>,
        facts: CallFacts,
        zone: &str,
        services: ModelServices,
    ) -> Result<Self, BrainError> {
        let zone = TimeZone::get(zone).map_err(|_| BrainError::Broken(format!("`{zone}` is no time zone")))?;
        let now = facts.answered_at;
        Ok(Self {
            agent,
            facts,
            zone,
            services,
            history: History::default(),
            turns: 0,
            tokens: 0,
            now,
            has_spoken: false,
        })
    }

    async fn respond(&mut self, heard: &Heard, pieces: &mpsc::Sender<Piece>) -> Result<(), Stop> {
        let agent = Arc::clone(&self.agent);
        let (phrases, limits) = (&agent.phrases, agent.limits);
        match heard {
            Heard::Begin { greeting } => {
                self.history.callee(&match greeting.trim() {
                    "" => "(The callee has answered the call.)".to_owned(),
                    words => format!("(The callee has answered the call, saying:) {words}"),
                });
                if let Some(greeting) = &agent.greeting {
                    return self.say(&fill(greeting, &self.facts.variables), pieces).await;
                }
            }
            Heard::Turn { words, keys, added } => {
                match added {
                    Some(added) => self
                        .history
                        .callee_again(&turn_text(words, keys), &turn_text(added, keys)),
                    None => self.history.callee(&turn_text(words, keys)),
                }
                self.turns += 1;
            }
            Heard::Silence { .. } => {
                self.history.callee("(The callee is silent.)");
                return self.say(&phrases.are_you_there, pieces).await;
            }
            Heard::NotUnderstood { .. } => {
                self.history
                    .callee("(The callee said something that could not be understood.)");
                return self.say(&phrases.say_again, pieces).await;
            }
            Heard::WrapUp { .. } => {
                self.history.callee("(The call is as long as it may be.)");
                return self.goodbye(&phrases.time_is_up, "time_limit", pieces).await;
            }
            Heard::GiveUp => {
                self.history.callee("(The callee has been silent for too long.)");
                return self.goodbye(&phrases.goodbye, "silence", pieces).await;
            }
        }
        if self.turns > limits.turns_max || self.tokens >= limits.tokens_max {
            return self.goodbye(&phrases.goodbye, "limit_reached", pieces).await;
        }
        self.converse(pieces).await
    }

    /// Asks the model, does what it wants done, and asks again, until it has nothing more to do.
    async fn converse(&mut self, pieces: &mpsc::Sender<Piece>) -> Result<(), Stop> {
        let mut calls_left = self.agent.limits.tool_calls_max;
        let mut has_failed = false;
        // Each round but the last uses up a tool call or the one failure.
        for _ in 0..self.agent.limits.tool_calls_max.saturating_add(3) {
            let failure = match self.round(calls_left > 0, pieces).await {
                Ok(calls) if calls.is_empty() => return Ok(()),
                Ok(calls) => {
                    if self.use_tools(calls, &mut calls_left, pieces).await? {
                        return Ok(());
                    }
                    continue;
                }
                Err(Stop::Unheard) => return Err(Stop::Unheard),
                Err(Stop::Model(failure)) => failure,
            };
            tracing::warn!(error = %failure, "the model does not answer");
            if has_failed || !is_worth_another_try(&failure) {
                let words = self.agent.phrases.cannot_go_on.clone();
                return self.goodbye(&words, outcome_of(&failure), pieces).await;
            }
            has_failed = true;
            self.say_apart(&self.agent.phrases.one_moment.clone(), pieces).await?;
            if let ModelError::RateLimited {
                retry_after: Some(wait),
            } = failure
            {
                tokio::time::sleep(wait.min(RATE_LIMIT_WAIT_MAX)).await;
            }
        }
        let words = self.agent.phrases.cannot_go_on.clone();
        self.goodbye(&words, "model_goes_in_circles", pieces).await
    }

    /// One request: says the words that come, gives back the tool calls.
    async fn round(&mut self, with_tools: bool, pieces: &mpsc::Sender<Piece>) -> Result<Vec<ToolCall>, Stop> {
        let request = self.request(with_tools);
        let asked_tokens = self.history.tokens();
        let mut answer = self.services.model.chat(request).await?;
        let mut calls = Vec::new();
        let mut answer_bytes = 0;
        loop {
            match answer.recv().await {
                Some(Ok(ChatPiece::Text(text))) => {
                    answer_bytes += text.len() as u64;
                    self.say(&prompt::speakable(&text), pieces).await?;
                }
                Some(Ok(ChatPiece::ToolCall(call))) => calls.push(call),
                Some(Ok(ChatPiece::Done { reason, usage })) => {
                    let counted = usage.map(|usage| usage.prompt_tokens.saturating_add(usage.completion_tokens));
                    let counted = counted.filter(|tokens| *tokens > 0);
                    self.tokens = self
                        .tokens
                        .saturating_add(counted.unwrap_or(asked_tokens + answer_bytes / 4));
                    if calls.is_empty() && (answer_bytes == 0 || reason == StopReason::Filtered && !self.has_spoken) {
                        return Err(Stop::Model(ModelError::Garbage("it says nothing".to_owned())));
                    }
                    return Ok(calls);
                }
                Some(Err(error)) => return Err(Stop::Model(error)),
                None => return Err(Stop::Model(ModelError::BrokenOff)),
            }
        }
    }

    fn request(&self, with_tools: bool) -> ChatRequest {
        let settings = self.services.settings;
        let instructions = prompt::instructions(&self.agent, &self.facts, &self.zone, self.now);
        let mut messages = vec![ChatMessage::System(instructions)];
        messages.extend(self.history.for_request());
        ChatRequest {
            messages,
            tools: if with_tools { self.tools() } else { Vec::new() },
            model: self.agent.model.clone(),
            temperature_milli: self.agent.temperature_milli.or(settings.temperature_milli),
            max_tokens: settings.answer_tokens_max,
            answer_schema: None,
            first_word_timeout: settings.first_word_timeout,
            total_timeout: settings.total_timeout,
        }
    }

    fn tools(&self) -> Vec<ToolDescription> {
        let mut tools = built_in::descriptions(self.agent.may);
        tools.extend(self.agent.tools.iter().map(|tool| ToolDescription {
            name: tool.name.clone(),
            description: tool.description.clone(),
            parameters: tool.parameters.clone(),
        }));
        tools
    }

    /// Does what the model asked for. True: the call ends.
    async fn use_tools(
        &mut self,
        calls: Vec<ToolCall>,
        calls_left: &mut u32,
        pieces: &mpsc::Sender<Piece>,
    ) -> Result<bool, Stop> {
        self.history.calls(calls.clone());
        let mut hang_up = None;
        for call in calls {
            let result = match calls_left.checked_sub(1) {
                None => "Not done: too many tools were called. Answer with what you know.".to_owned(),
                Some(left) => {
                    *calls_left = left;
                    match built_in::run(&call.name, &call.arguments, self.agent.may, self.now, &self.zone) {
                        Some(Done::HangUp { outcome, goodbye }) => {
                            hang_up = Some((outcome, goodbye));
                            "The call ends.".to_owned()
                        }
                        Some(Done::Decided(decision, told)) => {
                            send(pieces, Piece::Decision(decision)).await?;
                            told
                        }
                        Some(Done::Refused(why)) => why,
                        None => self.use_own_tool(&call, pieces).await?,
                    }
                }
            };
            self.history.result(&call.id, &result);
        }
        let Some((outcome, goodbye)) = hang_up else {
            return Ok(false);
        };
        let last_words = match goodbye {
            Some(words) => Some(prompt::speakable(&words)),
            None if !self.has_spoken => Some(self.agent.phrases.goodbye.clone()),
            None => None,
        };
        match last_words {
            Some(words) => self.goodbye(&words, &outcome, pieces).await?,
            None => send(pieces, Piece::HangUp { outcome }).await?,
        }
        Ok(true)
    }

    /// Uses one of the agent's own tools; what comes back is for the model.
    async fn use_own_tool(&mut self, call: &ToolCall, pieces: &mpsc::Sender<Piece>) -> Result<String, Stop> {
        let agent = Arc::clone(&self.agent);
        let Some(tool) = agent.tools.iter().find(|tool| tool.name == call.name) else {
            return Ok(format!(
                "There is no tool `{}`.",
                call.name.chars().take(64).collect::<String>()
            ));
        };
        send(pieces, Piece::Thinking).await?;
        let runner = Arc::clone(&self.services.tools);
        let variables = self.facts.variables.clone();
        let limit = Duration::from_millis(u64::from(tool.timeout_ms)) + TOOL_GRACE;
        let work = tokio::time::timeout(limit, runner.run(tool, &call.arguments, &variables));
        tokio::pin!(work);
        let done = tokio::select! {
            done = &mut work => done,
            () = tokio::time::sleep(PATIENCE_WITH_TOOLS), if !self.has_spoken => {
                self.say_apart(&agent.phrases.one_moment, pieces).await?;
                work.await
            }
        };
        Ok(match done {
            Ok(Ok(result)) => cut_to(result, RESULT_BYTES_MAX),
            Ok(Err(error)) => {
                tracing::info!(tool = %tool.name, %error, "a tool has no result");
                format!("The tool failed: {error}")
            }
            Err(_) => "The tool failed: no answer in time.".to_owned(),
        })
    }

    async fn say(&mut self, words: &str, pieces: &mpsc::Sender<Piece>) -> Result<(), Stop> {
        if words.is_empty() {
            return Ok(());
        }
        // Written first: the answer may be dropped while the piece waits for room, and a word too many is mended by the cut.
        self.has_spoken = true;
        self.history.words(words);
        send(pieces, Piece::Words(words.to_owned())).await
    }

    /// Says a whole sentence of ours, apart from what the model said before.
    async fn say_apart(&mut self, words: &str, pieces: &mpsc::Sender<Piece>) -> Result<(), Stop> {
        let gap = if self.has_spoken { " " } else { "" };
        self.say(&format!("{gap}{words} "), pieces).await
    }

    async fn goodbye(&mut self, words: &str, outcome: &str, pieces: &mpsc::Sender<Piece>) -> Result<(), Stop> {
        self.say_apart(words, pieces).await?;
        let outcome = outcome.to_owned();
        send(pieces, Piece::HangUp { outcome }).await
    }
}

#[async_trait]
impl Brain for ModelBrain {
    async fn answer(&mut self, turn: Turn, pieces: &mpsc::Sender<Piece>) -> Result<(), BrainError> {
        if let Some(heard) = &turn.cut_off_after {
            self.history.cut(heard);
        }
        self.now = turn.at;
        self.has_spoken = false;
        match self.respond(&turn.heard, pieces).await {
            // Nobody listens any more.
            Ok(()) | Err(Stop::Unheard) => Ok(()),
            Err(Stop::Model(error)) => Err(error.into()),
        }
    }

    fn message_for_machine(&self) -> Option<String> {
        self.agent
            .voicemail_message
            .as_ref()
            .map(|message| fill(message, &self.facts.variables))
    }

    fn words_for_screening(&self) -> Option<String> {
        self.agent
            .screening_words
            .as_ref()
            .map(|words| fill(words, &self.facts.variables))
    }

    async fn look_back(&mut self, lines: &[Line]) -> Result<LookBack, BrainError> {
        look_back::look_back(&self.agent, &self.facts, &self.services, lines).await
    }
}

/// Why an answer stops.
#[derive(Debug)]
enum Stop {
    /// Nobody takes its pieces.
    Unheard,
    /// The model failed.
    Model(ModelError),
}

impl From<ModelError> for Stop {
    fn from(error: ModelError) -> Self {
        Self::Model(error)
    }
}

async fn send(pieces: &mpsc::Sender<Piece>, piece: Piece) -> Result<(), Stop> {
    pieces.send(piece).await.map_err(|_| Stop::Unheard)
}

fn turn_text(words: &str, keys: &str) -> String {
    match (words.trim(), keys) {
        (words, "") => words.to_owned(),
        ("", keys) => format!("(The callee pressed the keys {keys}.)"),
        (words, keys) => format!("{words}\n(The callee pressed the keys {keys}.)"),
    }
}

fn cut_to(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let mut end = bytes_max;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(" (cut off)");
    }
    text
}

fn is_worth_another_try(error: &ModelError) -> bool {
    match error {
        ModelError::Unauthorized => false,
        ModelError::Refused { status, .. } => *status >= 500 || *status == 408,
        ModelError::RateLimited { retry_after } => retry_after.is_none_or(|wait| wait <= RATE_LIMIT_WAIT_MAX),
        ModelError::TimedOut(_) | ModelError::Unreachable(_) | ModelError::Garbage(_) | ModelError::BrokenOff => true,
    }
}

/// The name of a call's end that a failure caused.
fn outcome_of(error: &ModelError) -> &'static str {
    match error {
        ModelError::TimedOut(_) => "model_timed_out",
        ModelError::Unreachable(_) => "model_unreachable",
        ModelError::Unauthorized => "model_unauthorized",
        ModelError::RateLimited { .. } => "model_rate_limited",
        ModelError::Refused { .. } => "model_refused",
        ModelError::Garbage(_) => "model_garbage",
        ModelError::BrokenOff => "model_broke_off",
    }
}
