//! `/healthz` (the process answers), `/readyz` (it can do its work), `/metrics` (Prometheus).

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use carillon_app::App;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use std::time::Duration;

/// A store that does not answer by then counts as gone.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Health {
    app: App,
    metrics: PrometheusHandle,
}

pub(super) fn router(app: App, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .with_state(Health { app, metrics })
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

async fn readyz(State(health): State<Health>) -> Response {
    let store = match tokio::time::timeout(STORE_TIMEOUT, health.app.store().workspaces()).await {
        Ok(Ok(_)) => "ok",
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the store fails");
            "failing"
        }
        Err(_) => "not answering",
    };
    let ready = store == "ok";
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({
        "status": if ready { "ok" } else { "unavailable" },
        "store": store,
        "calls_in_progress": health.app.calls_in_progress(),
    });
    (status, Json(body)).into_response()
}

async fn metrics_text(State(health): State<Health>) -> impl IntoResponse {
    health.metrics.run_upkeep();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], health.metrics.render())
}
