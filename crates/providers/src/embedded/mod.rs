//! Speech on this machine: models by ONNX Runtime, and programs (espeak-ng, flite) as processes.
//!
//! [`Speech`] is opened once on a models folder and shared by all calls. Every part is optional: what is missing, changed or turned
//! off is named in [`Speech::parts`] with what is used instead. English only. Nothing here blocks a thread that carries sound: work
//! is done by a few threads of lower priority behind queues with a limit.

mod activity;
mod clips;
mod hearing;
mod loudness;
mod mel;
mod models;
mod moonshine;
mod mouth;
mod piper;
mod programs;
mod resample;
mod runtime;
mod silero;
mod smart_turn;
mod text;
mod tokens;
mod workers;

pub use models::{ModelProblem, Models, Part};

use activity::Activity;
use async_trait::async_trait;
use carillon_interfaces::speech::{SpeechKit, SpeechToText, TextToSpeech, TurnJudge, VoiceActivity};
use hearing::Ears;
use moonshine::Moonshine;
use mouth::{Mouth, Voice};
use ort::environment::Environment;
use piper::Piper;
use silero::Silero;
use smart_turn::{Judge, SmartTurn};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use workers::Workers;

/// How the embedded speech is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The models folder; it need not exist.
    pub models_folder: PathBuf,
    /// Parts that are not to be used, though they are there.
    pub without: Vec<Part>,
    /// Threads that recognise; `None`: the machine's cores but one, at least one, at most eight.
    pub hearing_threads: Option<usize>,
    /// Threads that synthesise; `None`: half the machine's cores, at least one, at most four.
    pub speaking_threads: Option<usize>,
    /// Jobs of one kind that may wait for a thread.
    pub queue_limit: usize,
    /// Bytes of sound that are kept of what was said.
    pub clips_bytes: usize,
    /// How many conversations this machine may hear; `None`: as measured.
    pub capacity: Option<u32>,
}

impl Options {
    /// Everything as it comes, with models from this folder.
    pub fn with_models(models_folder: impl Into<PathBuf>) -> Self {
        Self {
            models_folder: models_folder.into(),
            without: Vec::new(),
            hearing_threads: None,
            speaking_threads: None,
            queue_limit: 64,
            clips_bytes: 64 << 20,
            capacity: None,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::with_models(Models::default_folder())
    }
}

/// One part as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartReport {
    /// Which part.
    pub part: Part,
    /// Why the model is not used; `None`: it is.
    pub problem: Option<ModelProblem>,
    /// What does its work now, in a few words.
    pub in_use: String,
}

/// Embedded speech. Made once, shared by all calls.
pub struct Speech {
    ears: Ears,
    mouth: Mouth,
    silero: Option<Arc<Silero>>,
    judge: Option<Judge>,
    parts: Vec<PartReport>,
    capacity: u32,
}

impl std::fmt::Debug for Speech {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Speech")
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

impl Speech {
    /// Loads what is there. Reads and checks some 150 MB and computes for a moment: call it where waiting is allowed.
    pub fn open(options: &Options) -> Self {
        let models = Models::in_folder(&options.models_folder);
        let runtime = wanted(options, Part::Runtime).and_then(|()| runtime::load(&models));
        let mut parts = Vec::new();
        let mut report = |part: Part, problem: Option<ModelProblem>, in_use: String| {
            if let Some(problem) = &problem {
                tracing::warn!(part = part.name(), %problem, in_use, "a part of the speech falls back");
            }
            parts.push(PartReport { part, problem, in_use });
        };
        let runtime_in_use = if runtime.is_ok() { ort::info() } else { "no model runs" };
        report(
            Part::Runtime,
            runtime.as_ref().err().cloned(),
            runtime_in_use.to_owned(),
        );

        let silero = usable(options, &runtime, Part::VoiceActivity)
            .and_then(|environment| Silero::open(environment, &models, cores().clamp(1, 4)));
        let silero = match silero {
            Ok(silero) => {
                report(
                    Part::VoiceActivity,
                    None,
                    format!("Silero {}", Part::VoiceActivity.version()),
                );
                Some(Arc::new(silero))
            }
            Err(problem) => {
                report(Part::VoiceActivity, Some(problem), "loudness and pitch".to_owned());
                None
            }
        };

        let judge = usable(options, &runtime, Part::TurnJudge)
            .and_then(|environment| start("turns", vec![SmartTurn::open(environment, &models)?], options));
        let judge = match judge {
            Ok(workers) => {
                report(
                    Part::TurnJudge,
                    None,
                    format!("Smart Turn {}", Part::TurnJudge.version()),
                );
                Some(Judge::with(workers))
            }
            Err(problem) => {
                report(Part::TurnJudge, Some(problem), "silence and words alone".to_owned());
                None
            }
        };

        let hearing = usable(options, &runtime, Part::Hearing).and_then(|environment| {
            let threads = options.hearing_threads.unwrap_or((cores() - 1).clamp(1, 8)).max(1);
            start("hearing", Moonshine::open(environment, &models, threads)?, options)
        });
        let ears = match hearing {
            Ok(workers) => {
                report(
                    Part::Hearing,
                    None,
                    format!("Moonshine {}, {} threads", Part::Hearing.version(), workers.count()),
                );
                Ears::with(workers)
            }
            Err(problem) => {
                let why = format!("no recogniser: {problem}");
                report(Part::Hearing, Some(problem), "nothing is heard".to_owned());
                Ears::deaf(why)
            }
        };

        let voice = usable(options, &runtime, Part::Voice).and_then(|environment| {
            if !programs::is_installed("espeak-ng") {
                return Err(ModelProblem::Runtime(
                    "espeak-ng, which makes the phonemes, is not installed".to_owned(),
                ));
            }
            let threads = options.speaking_threads.unwrap_or((cores() / 2).clamp(1, 4)).max(1);
            let (voices, facts) = Piper::open(environment, &models, threads)?;
            let workers = start("speaking", voices, options)?;
            Ok(Voice::Piper { workers, facts })
        });
        let (voice, problem) = match voice {
            Ok(voice) => (Some(voice), None),
            Err(problem) => (fallback_voice(), Some(problem)),
        };
        let voice_in_use = match &voice {
            Some(Voice::Piper { .. }) => format!("Piper {} with espeak-ng", Part::Voice.version()),
            Some(Voice::Flite) => "flite".to_owned(),
            Some(Voice::Espeak) => "espeak-ng".to_owned(),
            None => "nothing speaks".to_owned(),
        };
        report(Part::Voice, problem, voice_in_use);
        let mouth = Mouth::new(voice, options.clips_bytes, cores());

        Self {
            ears,
            mouth,
            silero,
            judge,
            parts,
            capacity: options.capacity.unwrap_or(1),
        }
    }

    /// What each part is, for `carillon doctor`.
    pub fn parts(&self) -> &[PartReport] {
        &self.parts
    }
}

fn wanted(options: &Options, part: Part) -> Result<(), ModelProblem> {
    if options.without.contains(&part) {
        return Err(ModelProblem::TurnedOff);
    }
    Ok(())
}

fn usable<'a>(
    options: &Options,
    runtime: &'a Result<Environment, ModelProblem>,
    part: Part,
) -> Result<&'a Environment, ModelProblem> {
    wanted(options, part)?;
    runtime
        .as_ref()
        .map_err(|problem| ModelProblem::Runtime(format!("ONNX Runtime is not to be had: {problem}")))
}

fn start<M: Send + 'static>(name: &'static str, models: Vec<M>, options: &Options) -> Result<Workers<M>, ModelProblem> {
    Workers::start(name, models, options.queue_limit)
        .map_err(|error| ModelProblem::Runtime(format!("no thread can be started: {error}")))
}

fn fallback_voice() -> Option<Voice> {
    if programs::is_installed("flite") {
        Some(Voice::Flite)
    } else if programs::is_installed("espeak-ng") {
        Some(Voice::Espeak)
    } else {
        None
    }
}

#[async_trait]
impl SpeechKit for Speech {
    fn ears(&self) -> &dyn SpeechToText {
        &self.ears
    }

    fn mouth(&self) -> &dyn TextToSpeech {
        &self.mouth
    }

    fn voice_activity(&self) -> Box<dyn VoiceActivity> {
        Box::new(Activity::new(self.silero.clone()))
    }

    fn turn_judge(&self) -> Option<&dyn TurnJudge> {
        self.judge.as_ref().map(|judge| judge as &dyn TurnJudge)
    }

    fn capacity(&self) -> Option<u32> {
        Some(self.capacity)
    }
}
