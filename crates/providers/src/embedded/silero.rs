//! Silero: the probability that a window of sound is a voice. One model for all calls, a state for each.

use super::models::{ModelProblem, Models, Part};
use super::runtime;
use carillon_interfaces::speech::SAMPLE_RATE_HZ;
use ort::environment::Environment;
use ort::session::Session;
use ort::value::TensorRef;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// Samples that the model takes at once, at 8,000 a second: 32 ms.
pub(super) const WINDOW: usize = 256;
/// Samples of the window before that it wants to see again.
const CONTEXT: usize = 32;
/// Numbers of the state that goes from window to window.
const STATE: usize = 2 * 128;

/// What the model remembers of one call.
pub(super) struct State {
    state: Vec<f32>,
    /// The end of the window before, and room for the next window.
    input: Vec<f32>,
}

impl State {
    /// Nothing was heard yet.
    pub(super) fn new() -> Self {
        Self {
            state: vec![0.0; STATE],
            input: vec![0.0; CONTEXT + WINDOW],
        }
    }
}

/// The model, loaded a few times: a session computes for one call at a time, and no call waits long for another.
pub(super) struct Silero {
    sessions: Vec<Mutex<Session>>,
}

impl Silero {
    /// From the models folder.
    pub(super) fn open(environment: &Environment, models: &Models, count: usize) -> Result<Self, ModelProblem> {
        let model = models.checked_bytes(Part::VoiceActivity, "silero_vad.onnx")?;
        let sessions = (0..count.max(1))
            .map(|_| runtime::session(environment, &model).map(Mutex::new))
            .collect::<Result<_, _>>()?;
        Ok(Self { sessions })
    }

    /// The probability (0 to 1) that a window of [`WINDOW`] samples is a voice.
    pub(super) fn judge(&self, state: &mut State, window: &[f32]) -> Result<f32, String> {
        state.input[CONTEXT..].copy_from_slice(window);
        let judged = self.run(state).map_err(|error| error.to_string());
        state.input.copy_within(WINDOW.., 0);
        judged
    }

    fn run(&self, state: &mut State) -> ort::Result<f32> {
        let rate = [i64::from(SAMPLE_RATE_HZ)];
        let mut session = self.free_session();
        let outputs = session.run(ort::inputs![
            "input" => TensorRef::from_array_view(([1_i64, (CONTEXT + WINDOW) as i64], state.input.as_slice()))?,
            "state" => TensorRef::from_array_view(([2_i64, 1, 128], state.state.as_slice()))?,
            "sr" => TensorRef::from_array_view((Vec::<i64>::new(), rate.as_slice()))?,
        ])?;
        let missing = || ort::Error::new("the model's answer is not Silero's");
        let probability = outputs
            .get("output")
            .ok_or_else(missing)?
            .try_extract_tensor::<f32>()?
            .1;
        let probability = *probability.first().ok_or_else(missing)?;
        let next = outputs
            .get("stateN")
            .ok_or_else(missing)?
            .try_extract_tensor::<f32>()?
            .1;
        if next.len() != STATE {
            return Err(missing());
        }
        state.state.copy_from_slice(next);
        Ok(probability.clamp(0.0, 1.0))
    }

    fn free_session(&self) -> MutexGuard<'_, Session> {
        for session in &self.sessions {
            match session.try_lock() {
                Ok(session) => return session,
                Err(TryLockError::Poisoned(session)) => return session.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        self.sessions[0].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
