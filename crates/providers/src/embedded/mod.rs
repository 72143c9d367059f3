//! Speech on this machine: models by ONNX Runtime, and programs (espeak-ng, flite) as processes.
//!
//! [`Speech`] is opened once on a models folder and shared by all calls. Every part is optional: what is missing, changed or turned
//! off is named in [`Speech::parts`] with what is used instead. English only. Nothing here blocks a thread that carries sound: work
//! is done by a few threads of lower priority behind queues with a limit.

mod activity;
mod capacity;
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

pub use capacity::Costs;
pub use models::{ModelProblem, Models, Part};

use activity::Activity;
use async_trait::async_trait;
use carillon_interfaces::speech::{SpeechKit, SpeechToText, TextToSpeech, TurnJudge, VoiceActivity};
use hearing::{Ears, Listener};
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
    /// How long a judgement of a turn may wait and take, in milliseconds; later, silence has decided.
    pub judging_limit_ms: u64,
    /// How long a piece of speech may wait and take, in milliseconds.
    pub speaking_limit_ms: u64,
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
            judging_limit_ms: 800,
            speaking_limit_ms: 10_000,
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
    costs: Costs,
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
        let environment = |part| usable(options, &runtime, part);
        let hearing_threads = options.hearing_threads.unwrap_or((cores() - 1).clamp(1, 8)).max(1);
        let speaking_threads = options.speaking_threads.unwrap_or((cores() / 2).clamp(1, 4)).max(1);

        // The voice takes as long to load as all the others together.
        let (voice, silero, judge, hearing) = std::thread::scope(|scope| {
            let voice = scope.spawn(|| {
                if !programs::is_installed("espeak-ng") {
                    return Err(ModelProblem::NotInstalled("espeak-ng"));
                }
                Piper::open(environment(Part::Voice)?, &models, speaking_threads)
            });
            let silero = environment(Part::VoiceActivity).and_then(|it| Silero::open(it, &models, cores().clamp(1, 4)));
            let judge = environment(Part::TurnJudge).and_then(|it| SmartTurn::open(it, &models));
            let hearing = environment(Part::Hearing).and_then(|it| Moonshine::open(it, &models, hearing_threads));
            let voice = voice.join();
            let panicked = |_| Err(ModelProblem::Runtime("loading it panicked".to_owned()));
            (voice.unwrap_or_else(panicked), silero, judge, hearing)
        });
        let (mut voice, mut hearing) = (voice, hearing);
        let costs = match (&mut voice, &mut hearing) {
            (Ok((voices, facts)), Ok(recognisers)) => voices
                .first_mut()
                .zip(recognisers.first_mut())
                .and_then(|(piper, moonshine)| Costs::measure(piper, facts, moonshine)),
            _ => None,
        };
        let costs = costs.unwrap_or(Costs::as_designed());

        let mut parts = Parts::default();
        parts.settle(Part::Runtime, runtime, |_| ort::info().to_owned(), "no model runs");
        let name = |part: Part, model: &str| format!("{model} {}", part.version());
        let silero = parts
            .settle(
                Part::VoiceActivity,
                silero,
                |_| name(Part::VoiceActivity, "Silero"),
                "loudness and pitch",
            )
            .map(Arc::new);
        let judge = judge.and_then(|judge| start("turns", vec![judge], options));
        let judge = parts
            .settle(
                Part::TurnJudge,
                judge,
                |_| name(Part::TurnJudge, "Smart Turn"),
                "silence and words alone",
            )
            .map(|workers| Judge::with(workers, options.judging_limit_ms));
        let hearing = hearing.and_then(|models| {
            let listeners = models.into_iter().map(|moonshine| Listener {
                moonshine,
                silero: silero.clone(),
            });
            start("hearing", listeners.collect(), options)
        });
        let why_deaf = hearing
            .as_ref()
            .err()
            .map(|problem| format!("no recogniser: {problem}"));
        let in_use =
            |workers: &Workers<Listener>| format!("{}, {} at once", name(Part::Hearing, "Moonshine"), workers.count());
        let ears = match parts.settle(Part::Hearing, hearing, in_use, "nothing is heard") {
            Some(workers) => Ears::with(workers),
            None => Ears::deaf(why_deaf.unwrap_or_default()),
        };
        let voice = voice.and_then(|(voices, facts)| {
            let workers = start("speaking", voices, options)?;
            Ok(Voice::Piper { workers, facts })
        });
        let fallback = fallback_voice();
        let instead = fallback.as_ref().map_or("nothing speaks", Voice::program);
        let in_use = |_: &Voice| format!("{} with espeak-ng", name(Part::Voice, "Piper"));
        let voice = parts.settle(Part::Voice, voice, in_use, instead).or(fallback);

        Self {
            ears,
            mouth: Mouth::new(voice, options.clips_bytes, cores(), options.speaking_limit_ms),
            silero,
            judge,
            parts: parts.0,
            costs,
            capacity: options.capacity.unwrap_or_else(|| costs.conversations(cores())),
        }
    }

    /// What each part is, for `carillon doctor`.
    pub fn parts(&self) -> &[PartReport] {
        &self.parts
    }

    /// What hearing and speaking cost on this machine; [`SpeechKit::capacity`] follows from it.
    pub fn costs(&self) -> Costs {
        self.costs
    }
}

#[derive(Default)]
struct Parts(Vec<PartReport>);

impl Parts {
    /// Notes what became of a part, and gives it on if it is there.
    fn settle<T>(
        &mut self,
        part: Part,
        loaded: Result<T, ModelProblem>,
        in_use: impl Fn(&T) -> String,
        instead: &str,
    ) -> Option<T> {
        let (in_use, problem, loaded) = match loaded {
            Ok(loaded) => (in_use(&loaded), None, Some(loaded)),
            Err(problem) => (instead.to_owned(), Some(problem), None),
        };
        if let Some(problem) = problem.as_ref().filter(|problem| **problem != ModelProblem::TurnedOff) {
            tracing::warn!(part = part.name(), %problem, in_use, "a part of the speech falls back");
        }
        self.0.push(PartReport { part, problem, in_use });
        loaded
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
