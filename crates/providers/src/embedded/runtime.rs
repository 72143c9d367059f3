//! ONNX Runtime: one library and one environment for the whole process, and sessions that compute on the thread that asks.

use super::models::{ModelProblem, Models, Part};
use ort::environment::Environment;
use ort::session::Session;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The library is loaded once in a process's life, and `ort` allows one environment in it. So the first models folder that has a
/// runtime decides; a later one shares it.
static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// Loads ONNX Runtime from the models folder, or gives what was loaded before.
pub(super) fn load(models: &Models) -> Result<Environment, ModelProblem> {
    // Each folder's library is checked, also when another's is in use: a folder is good or bad by itself.
    let library = models.checked_path(Part::Runtime, "libonnxruntime.so")?;
    let _loading = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = ENVIRONMENT.get() {
        return Ok(environment.clone());
    }
    let library = std::path::absolute(&library).unwrap_or(library);
    let environment = ort::init_from(&library)
        .map_err(|error| ModelProblem::Runtime(error.to_string()))?
        .with_name("carillon")
        .with_telemetry(false)
        .build()
        .map_err(|error| ModelProblem::Runtime(error.to_string()))?;
    Ok(ENVIRONMENT.get_or_init(|| environment).clone())
}

/// A session for a model. It uses no threads of its own: many calls share few cores, and a call's work must not wake all of them.
pub(super) fn session(environment: &Environment, model: &[u8]) -> Result<Session, ModelProblem> {
    let build = || -> ort::Result<Session> {
        Session::builder(environment)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?
            // Lengths differ from run to run, so that a pattern remembered for one is memory kept for nothing.
            .with_memory_pattern(false)?
            .commit_from_memory(model)
    };
    build().map_err(|error| ModelProblem::Runtime(format!("ONNX Runtime refuses the model: {error}")))
}
