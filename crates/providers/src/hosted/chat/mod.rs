//! A language model behind an OpenAI-compatible chat API (`POST {base}/chat/completions`, streamed): hosted ones, and Ollama,
//! vLLM or llama.cpp next door.
//!
//! A request goes out, pieces come back on a channel as the server sends them. Time-outs for the first word and for the whole;
//! dropping the receiver closes the connection, which is how such servers are told to stop.

mod answer;
mod quirks;
mod wire;

use super::http::{Connections, Endpoint, Failure, KeyStyle, SetupError, media_type};
use super::settings::ModelSettings;
use super::sse::EventParser;
use answer::Answer;
use async_trait::async_trait;
use bytes::Bytes;
use carillon_interfaces::language_model::{ChatAnswer, ChatPiece, ChatRequest, LanguageModel, ModelError};
use quirks::Quirks;
use reqwest::Response;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Pieces that wait for whoever speaks them. A full channel holds the server back.
const PIECES_MAX: usize = 64;
const EVENT_BYTES_MAX: usize = 256 * 1024;
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How often a request is put differently for a server that does not know a part of it.
const WORDINGS_MAX: usize = 5;
/// How long the usage may follow the end of the words.
const USAGE_GRACE: Duration = Duration::from_millis(200);

/// A model at an OpenAI-compatible server.
#[derive(Debug)]
pub struct ChatModel {
    endpoint: Endpoint,
    model: String,
    quirks: Mutex<Quirks>,
}

impl ChatModel {
    /// The model that `settings` name. Nothing is sent yet.
    pub fn new(connections: &Connections, settings: &ModelSettings) -> Result<Self, SetupError> {
        if settings.model.trim().is_empty() {
            return Err(SetupError::Missing("model.model"));
        }
        let endpoint = Endpoint::new(
            connections,
            &settings.base_url,
            &settings.api_key,
            KeyStyle::Bearer,
            "model",
        )?;
        Ok(Self {
            endpoint,
            model: settings.model.trim().to_owned(),
            quirks: Mutex::new(Quirks::default()),
        })
    }

    /// Sends the request, put differently if the server does not know a part of it.
    async fn send(&self, request: &ChatRequest) -> Result<Response, Failure> {
        let mut wording = 0;
        loop {
            let quirks = *self.quirks.lock().unwrap_or_else(PoisonError::into_inner);
            let body = wire::request_body(request, &self.model, quirks).to_string();
            let url = self.endpoint.url("chat/completions");
            let failure = match self.endpoint.post(url, "application/json", Bytes::from(body)).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            wording += 1;
            let next = quirks.after(&failure, request.answer_schema.is_some());
            let Some(next) = next.filter(|_| wording < WORDINGS_MAX) else {
                return Err(failure);
            };
            tracing::info!(model = %self.name(), "asks again without what the model's server does not know");
            *self.quirks.lock().unwrap_or_else(PoisonError::into_inner) = next;
        }
    }
}

#[async_trait]
impl LanguageModel for ChatModel {
    fn name(&self) -> String {
        format!("{} at {}", self.model, self.endpoint.host())
    }

    async fn chat(&self, request: ChatRequest) -> Result<ChatAnswer, ModelError> {
        let started = Instant::now();
        let deadlines = Deadlines {
            first_word: Deadline::after(started, request.first_word_timeout.min(request.total_timeout)),
            total: Deadline::after(started, request.total_timeout),
        };
        let sent = deadlines.first_word.hold(self.send(&request)).await;
        let response = sent
            .and_then(|sent| sent.map_err(ModelError::from))
            .inspect_err(count)?;
        let form = form_of(&response).inspect_err(count)?;
        let (pieces, answer) = mpsc::channel(PIECES_MAX);
        let reader = Reader {
            endpoint: self.endpoint.clone(),
            response,
            pieces,
            deadlines,
            started,
        };
        tokio::spawn(reader.run(form));
        Ok(answer)
    }
}

/// How an answer arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Events,
    /// Some servers cannot stream and send it whole.
    Whole,
}

fn form_of(response: &Response) -> Result<Form, ModelError> {
    match media_type(response).as_deref() {
        None | Some("" | "text/event-stream" | "application/octet-stream" | "text/plain") => Ok(Form::Events),
        Some("application/json") => Ok(Form::Whole),
        Some(other) => Err(ModelError::Garbage(format!(
            "it is `{other}`, not a stream of events; is `model.base_url` right?"
        ))),
    }
}

#[derive(Clone, Copy, Debug)]
struct Deadline {
    at: Instant,
    ms: u64,
}

impl Deadline {
    fn after(start: Instant, duration: Duration) -> Self {
        Self {
            at: start + duration,
            ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        }
    }

    async fn hold<T>(self, work: impl Future<Output = T>) -> Result<T, ModelError> {
        timeout_at(self.at, work)
            .await
            .map_err(|_| ModelError::TimedOut(self.ms))
    }
}

#[derive(Clone, Copy, Debug)]
struct Deadlines {
    first_word: Deadline,
    total: Deadline,
}

/// Reads one answer off the wire.
struct Reader {
    endpoint: Endpoint,
    response: Response,
    pieces: mpsc::Sender<Result<ChatPiece, ModelError>>,
    deadlines: Deadlines,
    started: Instant,
}

impl Reader {
    async fn run(mut self, form: Form) {
        let receiver_gone = self.pieces.clone();
        let read = async {
            match form {
                Form::Events => self.read_events().await,
                Form::Whole => self.read_whole().await,
            }
        };
        let outcome = tokio::select! {
            // Nobody listens any more: dropping the response closes the connection.
            () = receiver_gone.closed() => return,
            outcome = read => outcome,
        };
        match outcome {
            Ok(()) => metrics::counter!("carillon_model_answers_total", "outcome" => "done").increment(1),
            Err(error) => {
                count(&error);
                drop(receiver_gone.send(Err(error)).await);
            }
        }
    }

    async fn read_events(&mut self) -> Result<(), ModelError> {
        let mut parser = EventParser::new(EVENT_BYTES_MAX);
        let mut answer = Answer::default();
        let mut events = Vec::new();
        let mut bytes_left = ANSWER_BYTES_MAX;
        loop {
            let chunk = match self.next_chunk(&answer).await? {
                Some(chunk) => chunk,
                None => break,
            };
            bytes_left = bytes_left
                .checked_sub(chunk.len())
                .ok_or_else(|| ModelError::Garbage("it never ends".to_owned()))?;
            parser
                .push(&chunk, &mut events)
                .map_err(|_| ModelError::Garbage("one of its events never ends".to_owned()))?;
            if self.take_events(&mut answer, &mut events).await? {
                return self.finish(answer, true).await;
            }
        }
        let whole_events = answer.has_stopped();
        parser.finish(&mut events);
        match self.take_events(&mut answer, &mut events).await {
            Ok(announced) => self.finish(answer, announced).await,
            // Half an event at the end of a stream is a break, not nonsense.
            Err(ModelError::Garbage(_)) if !whole_events => Err(ModelError::BrokenOff),
            Err(ModelError::Garbage(_)) => self.finish(answer, true).await,
            Err(error) => Err(error),
        }
    }

    /// More of the stream; `None` at its end, or when only the usage was still missing and does not come.
    async fn next_chunk(&mut self, answer: &Answer) -> Result<Option<Bytes>, ModelError> {
        let deadlines = self.deadlines;
        let next = self.endpoint.chunk(&mut self.response);
        if answer.has_stopped() {
            let waited = tokio::time::timeout(USAGE_GRACE, next).await;
            return Ok(waited.unwrap_or(Ok(None)).unwrap_or(None));
        }
        let deadline = if answer.has_begun() {
            deadlines.total
        } else {
            deadlines.first_word
        };
        Ok(deadline.hold(next).await??)
    }

    /// Hands on what the events hold. True: the stream's end mark was among them.
    async fn take_events(&self, answer: &mut Answer, events: &mut Vec<Vec<u8>>) -> Result<bool, ModelError> {
        for data in events.drain(..) {
            let data = data.trim_ascii();
            if data.is_empty() {
                continue;
            }
            if data == b"[DONE]" {
                return Ok(true);
            }
            let had_begun = answer.has_begun();
            let mut pieces = Vec::new();
            answer.take(data, &mut pieces).map_err(|error| self.cleaned(error))?;
            if !had_begun && answer.has_begun() {
                metrics::histogram!("carillon_model_first_word_seconds").record(self.started.elapsed().as_secs_f64());
            }
            self.hand_on(pieces).await?;
        }
        Ok(false)
    }

    async fn read_whole(&mut self) -> Result<(), ModelError> {
        let deadline = self.deadlines.total;
        let body = deadline
            .hold(self.endpoint.body(&mut self.response, ANSWER_BYTES_MAX))
            .await??;
        let mut answer = Answer::default();
        let mut pieces = Vec::new();
        answer.take(&body, &mut pieces).map_err(|error| self.cleaned(error))?;
        self.hand_on(pieces).await?;
        if !answer.has_begun() && !answer.has_stopped() {
            return Err(ModelError::Garbage("it is JSON, but no answer".to_owned()));
        }
        self.finish(answer, true).await
    }

    async fn finish(&self, answer: Answer, announced: bool) -> Result<(), ModelError> {
        let mut pieces = Vec::new();
        answer.finish(announced, &mut pieces)?;
        self.hand_on(pieces).await
    }

    async fn hand_on(&self, pieces: Vec<ChatPiece>) -> Result<(), ModelError> {
        for piece in pieces {
            // A receiver that is gone ends `run` by itself.
            let sent = self.deadlines.total.hold(self.pieces.send(Ok(piece))).await?;
            drop(sent);
        }
        Ok(())
    }

    /// Words of the server inside a stream, as an error may repeat them.
    fn cleaned(&self, error: ModelError) -> ModelError {
        match error {
            ModelError::Refused { status, message } => ModelError::Refused {
                status,
                message: self.endpoint.quoted(&message),
            },
            ModelError::Garbage(what) => ModelError::Garbage(self.endpoint.quoted(&what)),
            other => other,
        }
    }
}

fn count(error: &ModelError) {
    let outcome = match error {
        ModelError::TimedOut(_) => "timed_out",
        ModelError::Unreachable(_) => "unreachable",
        ModelError::Unauthorized => "unauthorized",
        ModelError::RateLimited { .. } => "rate_limited",
        ModelError::Refused { .. } => "refused",
        ModelError::Garbage(_) => "garbage",
        ModelError::BrokenOff => "broken_off",
    };
    metrics::counter!("carillon_model_answers_total", "outcome" => outcome).increment(1);
}
