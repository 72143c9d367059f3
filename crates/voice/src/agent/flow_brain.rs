//! The brain that is a flow: no model, the same answer every time.

use super::brain::{Brain, BrainError, CallFacts, Decision, Heard, Line, LookBack, Piece, Turn};
use async_trait::async_trait;
use carillon_domain::campaign::calling_window::ZoneName;
use carillon_domain::conversation::Expect;
use carillon_domain::flow::{CannotRun, Flow, FlowContext, FlowInput, FlowOutput, FlowResult, FlowRun};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

/// A flow that runs.
pub(crate) struct FlowBrain {
    run: FlowRun,
    told: Map<String, Value>,
    /// The turn before, to take it back when the callee goes on.
    before: Option<FlowRun>,
}

impl FlowBrain {
    /// # Errors
    /// Nothing understands the flow's language.
    pub(crate) fn new(flow: Flow, facts: &CallFacts, zone: ZoneName) -> Result<Self, CannotRun> {
        let text = |name: &str| facts.variables.get(name).and_then(Value::as_str).map(str::to_owned);
        let context = FlowContext {
            zone,
            callee_name: text("callee_name").or_else(|| text("name")),
            company: text("company"),
            has_model: false,
        };
        Ok(Self {
            run: FlowRun::new(flow, &facts.variables, context)?,
            told: Map::new(),
            before: None,
        })
    }

    fn inputs(heard: Heard) -> Vec<FlowInput> {
        match heard {
            Heard::Begin { .. } => vec![FlowInput::Start],
            Heard::Turn { words, keys, .. } => {
                let mut inputs = Vec::new();
                if !keys.is_empty() {
                    inputs.push(FlowInput::Keys(keys));
                }
                if !words.trim().is_empty() {
                    inputs.push(FlowInput::Heard { text: words });
                }
                inputs
            }
            // Nothing that could be understood is an answer that was not understood.
            Heard::NotUnderstood { .. } => vec![FlowInput::Heard { text: String::new() }],
            Heard::Silence { .. } => vec![FlowInput::Silence],
            Heard::WrapUp { .. } => vec![FlowInput::TimeUp],
            Heard::GiveUp => vec![FlowInput::Silence, FlowInput::TimeUp],
        }
    }

    /// New and changed values, and what was decided.
    async fn tell(&mut self, result: &FlowResult, pieces: &mpsc::Sender<Piece>) -> Result<(), BrainError> {
        for (name, value) in &result.values {
            if self.told.get(name) != Some(value) {
                self.told.insert(name.clone(), value.clone());
                send(
                    pieces,
                    Piece::Value {
                        name: name.clone(),
                        value: value.clone(),
                    },
                )
                .await?;
            }
        }
        let decisions = [
            result.do_not_call.then_some(Decision::DoNotCall),
            result.call_back_at.map(Decision::CallBack),
            result.follow_up_at.map(Decision::FollowUp),
            result
                .transfer_requested
                .as_ref()
                .map(|request| Decision::TransferRequested {
                    to: (!request.to.is_empty()).then(|| request.to.clone()),
                }),
        ];
        for decision in decisions.into_iter().flatten() {
            send(pieces, Piece::Decision(decision)).await?;
        }
        Ok(())
    }
}

async fn send(pieces: &mpsc::Sender<Piece>, piece: Piece) -> Result<(), BrainError> {
    let sent = pieces.send(piece).await;
    sent.map_err(|_| BrainError::Broken("nobody listens to the answer".to_owned()))
}

#[async_trait]
impl Brain for FlowBrain {
    async fn answer(&mut self, turn: Turn, pieces: &mpsc::Sender<Piece>) -> Result<(), BrainError> {
        if let Heard::Turn { added: Some(_), .. } = &turn.heard
            && let Some(before) = self.before.take()
        {
            self.run = before;
        }
        self.before = Some(self.run.clone());
        let mut outputs = Vec::new();
        if let Some(heard) = turn.cut_off_after {
            outputs.extend(self.run.handle(turn.at, FlowInput::Interrupted { heard }));
        }
        let last = matches!(turn.heard, Heard::GiveUp | Heard::WrapUp { .. });
        for input in Self::inputs(turn.heard) {
            if !self.run.is_finished() {
                let spoken = self.run.handle(turn.at, input);
                // The goodbye replaces the question that the silence would have asked again.
                if last {
                    outputs.clear();
                }
                outputs.extend(spoken);
            }
        }
        // A goodbye is over when it has been heard, and nothing else is waited for: what the flow does then is done now.
        let mut after = self.run.clone();
        let ends = !self.run.is_finished() && {
            let then = after.handle(turn.at, FlowInput::SpeechFinished);
            then.iter().any(|output| matches!(output, FlowOutput::Finish { .. }))
        };
        let result = if ends { after.result() } else { self.run.result() };
        self.tell(&result, pieces).await?;
        let mut expect = None;
        for output in outputs {
            match output {
                FlowOutput::Say {
                    text,
                    expect: awaited,
                    interruptible,
                    ..
                } => {
                    expect = Some(awaited);
                    send(pieces, Piece::Interruptible(interruptible)).await?;
                    send(pieces, Piece::Words(text)).await?;
                    send(pieces, Piece::Words("\n".to_owned())).await?;
                }
                // It is in the result.
                FlowOutput::Transfer(_) | FlowOutput::Finish { .. } | FlowOutput::Wait => {}
                FlowOutput::AskModel { node, .. } => {
                    return Err(BrainError::Broken(format!(
                        "node `{node}` wants a model, and there is none"
                    )));
                }
            }
        }
        send(pieces, Piece::Expect(expect.unwrap_or(Expect::Open))).await?;
        if ends || self.run.is_finished() {
            send(
                pieces,
                Piece::HangUp {
                    outcome: result.outcome,
                },
            )
            .await?;
        }
        Ok(())
    }

    async fn look_back(&mut self, _: &[Line]) -> Result<LookBack, BrainError> {
        let result = self.run.result();
        Ok(LookBack {
            summary: result.summary,
            values: Map::new(),
        })
    }
}
