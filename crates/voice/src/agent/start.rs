//! Conversations begin here, and are ended with their calls.

use super::brain::{Brain, CallFacts};
use super::flow_brain::FlowBrain;
use super::machine::Watch;
use super::model::{ModelBrain, ModelServices};
use super::mouth::VoiceChoice;
use super::spare::SparePhrases;
use super::talk::{Talk, TalkParts, Timing};
use super::thinker::Thinker;
use super::{Line, Report};
use crate::line::{SoundFeed, SoundLine};
use carillon_domain::campaign::calling_window::ZoneName;
use carillon_domain::conversation::{TurnSettings, Turns};
use carillon_domain::phone;
use carillon_domain::script::{BrainScript, ConverseScript, ScriptResult};
use carillon_domain::time::UnixMicros;
use carillon_interfaces::speech::SpeechKit;
use carillon_interfaces::voice::VoiceEvent;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

/// The zone of a callee whose number tells none.
const ZONE_UNKNOWN: &str = "Etc/UTC";
/// How long the end of a conversation may take, its look back included.
const END_PATIENCE: Duration = Duration::from_secs(15);
/// A conversation ends so long before its call's own deadline, in milliseconds.
const BEFORE_DEADLINE_MS: u64 = 1_500;

/// What conversations need beside a call's sound.
#[derive(Clone)]
pub struct ConverseParts {
    /// Ears, mouth and judges.
    pub kit: Arc<dyn SpeechKit>,
    /// A language model with its tools; `None`: agents that want one fail by name.
    pub model: Option<ModelServices>,
}

impl std::fmt::Debug for ConverseParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConverseParts")
    }
}

/// A call on which a conversation begins.
pub(crate) struct ConverseCall {
    pub(crate) script: ConverseScript,
    pub(crate) answered_at: UnixMicros,
    pub(crate) events: Option<mpsc::Sender<VoiceEvent>>,
}

impl ConverseCall {
    /// The conversation cannot begin.
    pub(crate) fn fail(self, reason: String) {
        metrics::counter!("carillon_talk_faults_total", "part" => "start").increment(1);
        tell(self.events, VoiceEvent::ScriptFailed(reason));
    }
}

/// Tells beside the caller: the queue may be full for a moment.
fn tell(events: Option<mpsc::Sender<VoiceEvent>>, event: VoiceEvent) {
    if let Some(events) = events {
        tokio::spawn(async move {
            // Nobody takes it when the call is over.
            let _ = events.send(event).await;
        });
    }
}

/// A conversation that is being held.
pub(crate) struct RunningAgent {
    ended: oneshot::Sender<()>,
    task: JoinHandle<Option<ScriptResult>>,
}

impl RunningAgent {
    /// The call is over: what the conversation has brought, its look back included.
    pub(crate) async fn end(self) -> Option<ScriptResult> {
        let Self { ended, mut task } = self;
        drop(ended);
        match tokio::time::timeout(END_PATIENCE, &mut task).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => None,
            Err(_) => {
                task.abort();
                tracing::error!("a conversation did not end with its call");
                None
            }
        }
    }
}

/// The conversations of an engine.
#[derive(Default)]
pub(crate) struct Agents {
    spare: SparePhrases,
    count: Arc<AtomicUsize>,
}

/// Counts a conversation for as long as it is kept.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        metrics::gauge!("carillon_conversations").increment(1.0);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("carillon_conversations").decrement(1.0);
    }
}

impl Agents {
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Begins a conversation. `None`: it cannot begin, and that has been told.
    pub(crate) fn start(
        &self,
        parts: Option<&ConverseParts>,
        (line, feed): (SoundLine, SoundFeed),
        call: ConverseCall,
    ) -> Option<RunningAgent> {
        let talk = match self.build(parts, line, feed, &call.script, call.answered_at) {
            Ok(talk) => talk,
            Err(reason) => {
                call.fail(reason);
                return None;
            }
        };
        let counted = Counted::new(&self.count);
        let (ended, over) = oneshot::channel();
        let events = call.events.clone();
        let report: Report = Box::new(move |result| tell(events, VoiceEvent::ScriptFinished(result)));
        let task = tokio::spawn(async move {
            let _counted = counted;
            // A set ends what it holds when this task is ended.
            let mut talking = JoinSet::new();
            talking.spawn(talk.run(over, report));
            match talking.join_next().await {
                Some(Ok(result)) => Some(result),
                // A bug must not leave the callee in silence.
                broken => {
                    tracing::error!(?broken, "a conversation broke off");
                    call.fail("the conversation broke off".to_owned());
                    None
                }
            }
        });
        Some(RunningAgent { ended, task })
    }

    fn build<L: Line>(
        &self,
        parts: Option<&ConverseParts>,
        line: L,
        feed: SoundFeed,
        script: &ConverseScript,
        answered_at: UnixMicros,
    ) -> Result<Talk<L>, String> {
        let parts = parts.ok_or("speech is not set up, or not loaded yet; see `carillon doctor`")?;
        let call = script
            .call
            .as_deref()
            .ok_or("the call of the conversation is not known")?;
        let voice = VoiceChoice {
            language: script.language(),
            voice: script.voice.clone(),
            speed_percent: script.speed_percent,
        };
        let facts = CallFacts {
            to: call.to.clone(),
            variables: call.variables.clone(),
            language: voice.language.clone(),
            answered_at,
            ends_at: call.ends_at,
        };
        let zone = phone::zones(&facts.to).into_iter().next();
        let zone = match zone {
            Some(zone) => zone,
            None => ZoneName::parse(ZONE_UNKNOWN).map_err(|error| error.to_string())?,
        };
        let brain = brain(&script.brain, &facts, zone, parts.model.as_ref())?;
        let settings = settings(script, &facts, parts.kit.turn_judge().is_some());
        let watch = script.machine_detection.clone().map(|policy| {
            Watch::new(
                policy,
                settings.voice,
                script.voicemail_message.clone().or_else(|| brain.message_for_machine()),
                script.screening_words.clone().or_else(|| brain.words_for_screening()),
            )
        });
        Ok(Talk::new(TalkParts {
            turns: Turns::new(settings, &voice.language),
            line,
            feed,
            kit: Arc::clone(&parts.kit),
            thinker: Thinker::open(brain),
            watch,
            voice,
            phrases: script.phrases.clone(),
            hints: Vec::new(),
            spare: self.spare.clone(),
            facts,
            timing: Timing::default(),
        }))
    }
}

fn brain(
    script: &BrainScript,
    facts: &CallFacts,
    zone: ZoneName,
    model: Option<&ModelServices>,
) -> Result<Box<dyn Brain>, String> {
    match script {
        BrainScript::Flow { flow } => match FlowBrain::new(flow.as_ref().clone(), facts, zone) {
            Ok(brain) => Ok(Box::new(brain)),
            Err(error) => Err(error.to_string()),
        },
        BrainScript::Model { agent } => {
            let services = model.ok_or("no language model is set up; see `carillon doctor`")?;
            let agent = Arc::new(agent.as_ref().clone());
            match ModelBrain::new(agent, facts.clone(), zone.as_str(), services.clone()) {
                Ok(brain) => Ok(Box::new(brain)),
                Err(error) => Err(error.to_string()),
            }
        }
    }
}

/// The script's settings, held to what the call and the parts allow.
fn settings(script: &ConverseScript, facts: &CallFacts, has_judge: bool) -> TurnSettings {
    let mut settings = script.turns.clone();
    settings.end_of_turn.has_judge &= has_judge;
    let call_ms = u64::try_from(facts.ends_at.since(facts.answered_at).as_millis()).unwrap_or(u64::MAX);
    let limit_ms = call_ms.saturating_sub(BEFORE_DEADLINE_MS).max(1_000);
    settings.limits.call_max_ms = settings.limits.call_max_ms.min(limit_ms);
    settings
}
