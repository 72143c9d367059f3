//! A script that holds a conversation: who decides what is said, in which voice, and how turns are taken.

use super::Script;
use crate::agent::Variables;
use crate::conversation::{FirstSpeaker, TurnSettings};
use crate::flow::{self, Flow};
use crate::language::Language;
use crate::machine_detection::Policy;
use crate::model_agent::{ModelAgent, Phrases};
use crate::phone::PhoneNumber;
use crate::time::UnixMicros;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConverseScript {
    /// Who decides what is said.
    pub brain: BrainScript,
    /// The language that is spoken and understood; `None`: the flow's own, and English for a model.
    #[serde(default)]
    pub language: Option<Language>,
    /// A voice by its name; `None`: the default one of the language.
    #[serde(default)]
    pub voice: Option<String>,
    /// Speed in percent of the voice's own.
    #[serde(default = "hundred")]
    pub speed_percent: u16,
    /// Who speaks first and when a turn is over.
    #[serde(default)]
    pub turns: TurnSettings,
    /// What to do when no person answers; `None`: nobody looks.
    #[serde(default)]
    pub machine_detection: Option<Policy>,
    /// What is left in a mailbox; `None`: nothing, and the call ends.
    #[serde(default)]
    pub voicemail_message: Option<String>,
    /// What is said to a service that asks who is calling; `None`: as to a person.
    #[serde(default)]
    pub screening_words: Option<String>,
    /// Words for when something does not work, in the language.
    #[serde(default)]
    pub phrases: Phrases,
    /// The call that it is held on, once there is one; not stored.
    #[serde(skip)]
    pub call: Option<Box<CallContext>>,
}

/// What a conversation knows of its call.
#[derive(Clone, PartialEq)]
pub struct CallContext {
    /// The callee.
    pub to: PhoneNumber,
    /// What was sent for the call, defaults included.
    pub variables: Variables,
    /// When the call ends whatever is being said.
    pub ends_at: UnixMicros,
}

impl fmt::Debug for CallContext {
    /// Numbers and names stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("variables", &self.variables.len())
            .field("ends_at", &self.ends_at)
            .finish_non_exhaustive()
    }
}

/// Who decides what is said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BrainScript {
    /// A flow: no model needed.
    Flow {
        /// The graph.
        flow: Box<Flow>,
    },
    /// A language model.
    Model {
        /// What it is told and may do.
        agent: Box<ModelAgent>,
    },
}

/// Something in a script that cannot work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptProblem {
    /// Where, as a path into the script.
    pub at: String,
    /// What, and what to do.
    pub message: String,
}

impl Script {
    /// The script as it begins on a call.
    pub fn on_call(&self, context: CallContext) -> Self {
        match self {
            Self::Converse(script) => Self::Converse(Box::new(ConverseScript {
                call: Some(Box::new(context)),
                ..script.as_ref().clone()
            })),
            Self::Announce { .. } | Self::Press1 { .. } => self.clone(),
        }
    }
}

impl ConverseScript {
    /// A conversation over a flow, with every other setting as it comes.
    pub fn of_flow(flow: Flow) -> Self {
        Self::of(BrainScript::Flow { flow: Box::new(flow) })
    }

    /// A conversation that a language model holds, with every other setting as it comes.
    pub fn of_model(agent: ModelAgent) -> Self {
        Self::of(BrainScript::Model { agent: Box::new(agent) })
    }

    fn of(brain: BrainScript) -> Self {
        Self {
            brain,
            language: None,
            voice: None,
            speed_percent: 100,
            turns: TurnSettings::default(),
            machine_detection: None,
            voicemail_message: None,
            screening_words: None,
            phrases: Phrases::default(),
            call: None,
        }
    }

    /// The language that is spoken.
    pub fn language(&self) -> Language {
        match (&self.language, &self.brain) {
            (Some(language), _) => language.clone(),
            (None, BrainScript::Flow { flow }) => flow.language.clone(),
            (None, BrainScript::Model { .. }) => Language::english(),
        }
    }

    /// Everything about it that cannot work; empty: it can talk.
    pub fn problems(&self) -> Vec<ScriptProblem> {
        let mut problems = Vec::new();
        let mut add = |at: &str, message: String| {
            problems.push(ScriptProblem {
                at: at.to_owned(),
                message,
            });
        };
        match &self.brain {
            BrainScript::Flow { flow } => {
                for finding in flow::lint(flow) {
                    if finding.severity == flow::Severity::Error {
                        add(
                            "brain.flow",
                            format!("{}: {}; {}", finding.path, finding.problem, finding.fix),
                        );
                    }
                }
                if self
                    .language
                    .as_ref()
                    .is_some_and(|language| !language.serves(&flow.language))
                {
                    add(
                        "language",
                        format!(
                            "the flow speaks `{}`; leave this out or make both the same",
                            flow.language
                        ),
                    );
                }
            }
            BrainScript::Model { agent } => {
                for problem in agent.problems() {
                    add("brain.agent", problem.to_string());
                }
            }
        }
        if !(50..=200).contains(&self.speed_percent) {
            add("speed_percent", "must be between 50 and 200".to_owned());
        }
        if let Some(Err(problem)) = self.machine_detection.as_ref().map(Policy::check) {
            add("machine_detection", problem.to_string());
        }
        if let FirstSpeaker::AgentAfterGreeting { silence_ms } | FirstSpeaker::Callee { silence_ms } =
            self.turns.first_speaker
            && silence_ms > 20_000
        {
            add("turns.first_speaker.silence_ms", "must be at most 20000".to_owned());
        }
        problems
    }
}

fn hundred() -> u16 {
    100
}
