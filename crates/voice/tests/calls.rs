//! Calls between two engines on loopback.

mod common;

use carillon_domain::script::ScriptResult;
use carillon_interfaces::voice::{VoiceEvent, VoiceRuntime as _};
use common::*;
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announcement_is_heard_and_recorded_on_both_sides() {
    let (us, them) = (Side::start(1), Side::start(2));
    let clip = us.tone_clip(440.0, 1_000);
    us.engine.warm(clip).await.expect("loaded");
    let mut call = call(&us, &them).await;
    let started = Instant::now();
    us.engine.start_script(call.ours, announce(clip)).await;
    assert_eq!(next(&mut call.events).await, VoiceEvent::ScriptFinished(ScriptResult::default()));
    let ours = us.engine.release(call.ours).await;
    let took_ms = started.elapsed().as_millis() as u64;
    let theirs = them.engine.release(call.theirs).await;

    assert_eq!(ours.script, None, "it finished");
    assert!((50..=52).contains(&ours.packets_sent), "{ours:?}");
    assert_eq!(ours.packets_lost + theirs.packets_lost, 0);
    let duration_ms = ours.recording.as_ref().expect("a recording").duration_ms;
    assert!((1_000..=took_ms + 5).contains(&duration_ms), "{duration_ms} ms, the script took {took_ms} ms");

    let (far, near) = us.recorded(&ours);
    assert_eq!(far.len(), near.len());
    assert_eq!(duration_ms, near.len() as u64 / 8);
    assert!(tone_ms(&near, 440.0) >= 960, "our side: {} ms", tone_ms(&near, 440.0));
    assert_eq!(tone_ms(&far, 440.0), 0, "nothing but silence came back");
    let (heard, _) = them.recorded(&theirs);
    assert!(tone_ms(&heard, 440.0) >= 960, "their side: {} ms", tone_ms(&heard, 440.0));
}
