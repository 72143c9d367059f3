use super::{BODY_LIMIT, World};
use crate::http::layers;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use axum::{Router, middleware};
use carillon_dialects::{Problem, problem_response};
use serde_json::json;
use std::time::Duration;
use tower::ServiceExt;

#[tokio::test]
async fn health_readiness_and_metrics_need_no_key() {
    let world = World::new().await;
    assert_eq!(world.get("/healthz").await.json(), json!({"status": "ok"}));
    let ready = world.get("/readyz").await;
    assert_eq!(
        (ready.status.as_u16(), ready.json()["store"].clone()),
        (200, json!("ok"))
    );
    let metrics = world.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4");
    assert_eq!(world.get("/").await.json()["openapi"], "/carillon/v1/openapi.json");
    assert_eq!(world.get("/carillon/v1/openapi.json").await.status, 200);
}

#[tokio::test]
async fn a_request_has_an_id_and_keeps_a_sane_one() {
    let world = World::new().await;
    let made = world.get("/healthz").await;
    assert!(uuid::Uuid::try_parse(made.header("x-request-id")).is_ok());
    let ask = async |id: &str| {
        let request = Request::get("/healthz")
            .header("X-Request-ID", id)
            .body(Body::empty())
            .unwrap();
        world.send(request).await.header("x-request-id").to_owned()
    };
    assert_eq!(ask("order-17:retry.2").await, "order-17:retry.2");
    for insane in ["a b", &"x".repeat(65), "\"><script>"] {
        assert_ne!(ask(insane).await, insane);
    }
}

#[tokio::test]
async fn unknown_paths_are_answered_in_the_style_of_their_prefix() {
    let world = World::new().await;
    let ours = world.get("/carillon/v1/unheard-of").await;
    assert_eq!(
        (ours.status.as_u16(), ours.json()["error"]["code"].clone()),
        (404, json!("unknown_path"))
    );
    let theirs = world.get("/v1/campaigns/unheard-of").await;
    assert_eq!(
        (theirs.status.as_u16(), theirs.json()),
        (404, json!({"detail": "Not Found"}))
    );
    let nobodys = world.get("/unheard-of").await;
    assert_eq!(
        (nobodys.status.as_u16(), nobodys.json()["error"]["code"].clone()),
        (404, json!("unknown_path"))
    );
}

#[tokio::test]
async fn oversized_bodies_are_refused_in_the_style_of_their_prefix() {
    let world = World::new().await;
    let path = "/v1/campaigns/11111111-1111-1111-1111-111111111111/records/push-bulk";
    let declared = Request::post(path)
        .header("Content-Length", BODY_LIMIT + 1)
        .body(Body::empty())
        .unwrap();
    let answer = world.send(declared).await;
    assert_eq!(answer.status, 413);
    assert!(answer.json()["detail"].is_string());
    let ours = Request::post("/carillon/v1/agents")
        .header("Content-Length", u64::MAX)
        .body(Body::empty())
        .unwrap();
    let answer = world.send(ours).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["error"]["code"].clone()),
        (413, json!("payload_too_large"))
    );
}

#[tokio::test]
async fn a_panic_is_a_500_in_the_style_of_its_prefix() {
    let router = Router::new()
        .route("/v1/campaigns/broken", get(async || -> () { panic!("planted") }))
        .route("/carillon/v1/broken", get(async || -> () { panic!("planted") }))
        .fallback(async |request: Request<Body>| problem_response(request.uri().path(), Problem::NotFound))
        .layer(middleware::from_fn(layers::observe));
    let ask = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
        let body: serde_json::Value =
            serde_json::from_slice(&axum::body::to_bytes(body, usize::MAX).await.unwrap()).unwrap();
        (parts.status.as_u16(), body)
    };
    assert_eq!(
        ask("/v1/campaigns/broken").await,
        (500, json!({"detail": "Internal Server Error"}))
    );
    let (status, body) = ask("/carillon/v1/broken").await;
    assert_eq!((status, body["error"]["code"].clone()), (500, json!("internal_error")));
    assert_eq!(ask("/elsewhere").await.0, 404);
}

#[tokio::test]
async fn a_body_that_never_comes_is_given_up() {
    let router = Router::new()
        .route("/v1/campaigns/slow", get(async |body: axum::body::Bytes| body))
        .layer(middleware::from_fn(|request, next| {
            layers::limit_time(Duration::from_millis(20), request, next)
        }));
    let never = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let response = router
        .oneshot(Request::get("/v1/campaigns/slow").body(never).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), 408);
}
