//! Silence is nobody's answer: an INVITE that left and was never finally answered may have rung.

use crate::harness::api::{TrunkTo, calls_of, numbers};
use crate::harness::far_end::Plan;
use crate::harness::ports;
use crate::harness::scene::Scene;
use crate::harness::server::Installation;
use crate::harness::sipp::Transport;
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;

/// From the ring time-out on, our own user agent waits 32 s for a word.
const SILENCE: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_unknown_and_not_dialled_again_and_a_refused_connection_is() {
    let scene = Scene::start(Installation::new(), |_| Plan::Silence, 400, 5).await;
    let api = scene.api();
    let retry = json!({"retry": {"max_attempts": 2, "rules": {"not_connected": {"intervals_s": [1]}}}});
    let silent = scene.campaign(&retry).await;
    api.push(&silent, &numbers(81_000_000, 1)).await;

    // Nobody listens there: TCP says so before anything has left, and the rule for `not_connected` counts.
    let nobody = TrunkTo {
        transport: Transport::Tcp,
        ..TrunkTo::udp(SocketAddr::from(([127, 0, 0, 1], ports::free())))
    };
    let trunk = api.trunk("nobody", &nobody).await;
    let refused = api.campaign(&scene.agent, &trunk, &retry).await;
    api.push(&refused, &numbers(82_000_000, 1)).await;
    let record = api.wait_for_all(&refused, SILENCE).await.remove(0);
    assert_eq!(
        (&record["status"], &record["attempt_count"]),
        (&json!("failed"), &json!(2))
    );
    let call = api.call(&calls_of(&record)[0]).await;
    assert_eq!(
        (&call["outcome"], &call["wire"]),
        (&json!("not_connected"), &json!("nothing_sent")),
        "{call}"
    );

    let record = api.wait_for_all(&silent, SILENCE).await.remove(0);
    assert_eq!(
        (&record["status"], &record["attempt_count"]),
        (&json!("failed"), &json!(1)),
        "{record}"
    );
    let call_id = calls_of(&record).remove(0);
    let call = api.call(&call_id).await;
    assert_eq!(
        (&call["outcome"], &call["wire"]),
        (&json!("unknown"), &json!("unknown")),
        "{call}"
    );
    assert_eq!(
        call["unknown_settled_by"],
        json!("not retried: the campaign has no retry rule for `unknown`"),
        "{call}"
    );
    let status = api.status(&call_id).await;
    assert_eq!(status["disconnection_reason"], json!("error_occurred"), "{status}");
    scene.receiver.wait_for_call(&call_id).await;
}
