//! The REST APIs in front of [`App`](carillon_app::App): one folder for each dialect, and the renderer of webhook bodies.
//!
//! In come requests as a vendor documents them, out go the replies that vendor would give; everything between is a call of
//! the façade. This crate alone knows vendor JSON. Listening, limits that bind every route, recordings and health are the
//! server's.

mod errors;
mod native;
mod renderer;
mod revrag;
mod state;

pub use errors::{Problem, problem_response};
pub use native::{native_error, openapi};
pub use renderer::Renderer;
pub use state::{ClipAudio, ClipAudioError, ConvertedClip, DialectState, RecordingUrls, SandboxNumber};

use axum::Router;
use axum::http::Uri;
use axum::response::Response;

/// Every dialect's routes, each below its own prefix, and an answer to every other path: in the style of the dialect that
/// owns its beginning, else in our own.
pub fn router(state: DialectState) -> Router {
    Router::new()
        .merge(revrag::router(state.clone()))
        .merge(native::router(state))
        .fallback(unknown_path)
}

async fn unknown_path(uri: Uri) -> Response {
    problem_response(uri.path(), Problem::NotFound)
}
