//! HTTP: the dialects' routes, recordings and health behind the layers that every request passes.
//!
//! What belongs to no handler (unknown paths, oversized bodies, panics) is answered in the style of the dialect that owns
//! the path. Logs carry the route's pattern, never the path itself: paths may hold phone numbers and signatures.

mod audio;
mod clips;
mod health;
mod layers;
mod links;
mod ranges;
mod recordings;
mod wav;

pub(crate) use audio::Audio;
pub(crate) use links::SignedRecordingLinks;
pub(crate) use wav::mono_file;

use axum::routing::get;
use axum::{Json, Router, middleware};
use carillon_dialects::DialectState;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use std::sync::Arc;
use tower_http::limit::RequestBodyLimitLayer;

/// What the routes need.
pub(crate) struct HttpState {
    /// For the dialects.
    pub(crate) dialects: DialectState,
    /// Checks links to recordings.
    pub(crate) links: Arc<SignedRecordingLinks>,
    /// Finds and converts recordings.
    pub(crate) audio: Audio,
    /// Renders metrics.
    pub(crate) metrics: PrometheusHandle,
    /// Largest request body, in bytes.
    pub(crate) body_limit_bytes: usize,
}

/// All routes with all layers.
pub(crate) fn router(state: HttpState) -> Router {
    let HttpState {
        dialects,
        links,
        audio,
        metrics,
        body_limit_bytes,
    } = state;
    let app = dialects.app.clone();
    Router::new()
        .route("/", get(about))
        .merge(
            carillon_dialects::router(dialects).layer(middleware::from_fn(|request, next| {
                layers::limit_time(layers::REQUEST_TIMEOUT, request, next)
            })),
        )
        .merge(recordings::router(app.clone(), links, audio))
        .merge(health::router(app, metrics))
        .layer(RequestBodyLimitLayer::new(body_limit_bytes))
        .layer(middleware::from_fn(move |request, next| {
            layers::limit_body(body_limit_bytes, request, next)
        }))
        .layer(middleware::from_fn(layers::observe))
}

/// What a person sees who opens the address in a browser.
async fn about() -> Json<Value> {
    Json(json!({
        "name": "Carillon",
        "version": env!("CARGO_PKG_VERSION"),
        "openapi": "/carillon/v1/openapi.json",
        "health": "/readyz",
    }))
}

#[cfg(test)]
mod tests;
