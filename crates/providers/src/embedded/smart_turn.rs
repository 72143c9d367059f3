//! Smart Turn: whether a turn is over, by how it sounds.

use super::mel::{BANDS, FRAMES, MelPicture, RATE_HZ, SPAN};
use super::models::{ModelProblem, Models, Part};
use super::resample::{Resampler, to_float};
use super::runtime;
use super::workers::{Urgency, Workers};
use async_trait::async_trait;
use carillon_interfaces::speech::{SAMPLE_RATE_HZ, SpeechError, TurnJudge};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::Tensor;
use std::time::Duration;
use tokio::sync::oneshot;

/// Samples that are looked at, at the telephone's rate.
const SPAN_HEARD: usize = SPAN * SAMPLE_RATE_HZ as usize / RATE_HZ as usize;

/// The model; it computes on the thread that asks.
pub(super) struct SmartTurn {
    session: Session,
    picture: MelPicture,
    resampler: Resampler,
}

impl SmartTurn {
    /// From the models folder.
    pub(super) fn open(environment: &Environment, models: &Models) -> Result<Self, ModelProblem> {
        let model = models.checked_bytes(Part::TurnJudge, "smart-turn-v3.2-cpu.onnx")?;
        Ok(Self {
            session: runtime::session(environment, &model)?,
            picture: MelPicture::new(),
            resampler: Resampler::new(SAMPLE_RATE_HZ, RATE_HZ),
        })
    }

    fn judge(&mut self, sound: &[i16]) -> Result<f32, String> {
        let recent = &sound[sound.len().saturating_sub(SPAN_HEARD)..];
        let picture = self.picture.draw(&self.resampler.apply(&to_float(recent)));
        self.run(picture).map_err(|error| error.to_string())
    }

    fn run(&mut self, picture: Vec<f32>) -> ort::Result<f32> {
        let picture = Tensor::from_array(([1_i64, BANDS as i64, FRAMES as i64], picture))?;
        let outputs = self.session.run(ort::inputs!["input_features" => picture])?;
        let missing = || ort::Error::new("the model's answer is not Smart Turn's");
        // The output is called logits and is a probability.
        let answer = outputs
            .get("logits")
            .ok_or_else(missing)?
            .try_extract_tensor::<f32>()?
            .1;
        answer
            .first()
            .map(|probability| probability.clamp(0.0, 1.0))
            .ok_or_else(missing)
    }
}

/// The judge that calls ask.
pub(super) struct Judge {
    workers: Workers<SmartTurn>,
    limit_ms: u64,
}

impl Judge {
    /// A judge with a thread for each model; a judgement may wait and take so long.
    pub(super) fn with(workers: Workers<SmartTurn>, limit_ms: u64) -> Self {
        Self { workers, limit_ms }
    }
}

#[async_trait]
impl TurnJudge for Judge {
    async fn is_over(&self, sound: Vec<i16>) -> Result<f32, SpeechError> {
        let (answer, judged) = oneshot::channel();
        let job = move |model: &mut SmartTurn| {
            if !answer.is_closed() {
                let _ = answer.send(model.judge(&sound));
            }
        };
        self.workers.submit(Urgency::Now, job).map_err(|_| SpeechError::Busy)?;
        match tokio::time::timeout(Duration::from_millis(self.limit_ms), judged).await {
            Ok(Ok(judged)) => judged.map_err(SpeechError::Provider),
            Ok(Err(_)) => Err(SpeechError::Provider("the judge of turns broke off".to_owned())),
            Err(_) => Err(SpeechError::TimedOut(self.limit_ms)),
        }
    }
}
