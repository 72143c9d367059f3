//! Calls between two engines on loopback.

mod common;

use carillon_domain::script::{Digit, KeyAction, Script, ScriptResult};
use carillon_interfaces::voice::{EndpointSpec, VoiceError, VoiceEvent, VoiceRuntime as _};
use carillon_voice::{FarEndCommand, FarEndEvent, HeardFrame, repair_recording};
use common::*;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn digit(key: char) -> Digit {
    Digit::parse(key).expect("a key")
}

fn keys(keys: &str) -> FarEndCommand {
    FarEndCommand::PressKeys {
        keys: keys.chars().map(digit).collect(),
        hold_ms: 60,
        gap_ms: 40,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announcement_is_heard_and_recorded_on_both_sides() {
    let (us, them) = (Side::start(1), Side::start(2));
    let clip = us.tone_clip(440.0, 1_000);
    us.engine.warm(clip).await.expect("loaded");
    let mut call = call(&us, &them).await;
    let started = Instant::now();
    us.engine.start_script(call.ours, announce(clip)).await;
    assert_eq!(
        next(&mut call.events).await,
        VoiceEvent::ScriptFinished(ScriptResult::default())
    );
    let ours = us.engine.release(call.ours).await;
    let took_ms = started.elapsed().as_millis() as u64;
    let theirs = them.engine.release(call.theirs).await;

    assert_eq!(ours.script, None, "it finished");
    assert!((50..=52).contains(&ours.packets_sent), "{ours:?}");
    assert_eq!(ours.packets_lost + theirs.packets_lost, 0);
    let duration_ms = ours.recording.as_ref().expect("a recording").duration_ms;
    assert!(
        (995..=took_ms + 5).contains(&duration_ms),
        "{duration_ms} ms, the script took {took_ms} ms"
    );

    let (far, near) = us.recorded(&ours);
    assert_eq!(far.len(), near.len());
    assert_eq!(duration_ms, near.len() as u64 / 8);
    assert!(tone_ms(&near, 440.0) >= 960, "our side: {} ms", tone_ms(&near, 440.0));
    assert_eq!(tone_ms(&far, 440.0), 0, "nothing but silence came back");
    let (heard, _) = them.recorded(&theirs);
    assert!(
        tone_ms(&heard, 440.0) >= 960,
        "their side: {} ms",
        tone_ms(&heard, 440.0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_directions_carry_different_sounds_in_a_law() {
    let (us, them) = (Side::start(3), Side::start(4));
    let clip = us.tone_clip(440.0, 500);
    let theirs = EndpointSpec {
        codecs: vec![carillon_domain::trunk::Codec::Pcma],
        ..spec()
    };
    let mut call = call_with(&us, &them, spec(), theirs).await;
    let answer = them.tone_clip(1_000.0, 500);
    us.engine.start_script(call.ours, announce(clip)).await;
    them.engine
        .command(call.theirs, FarEndCommand::PlayClip(answer))
        .await
        .expect("playing");
    until(&mut call.heard, &FarEndEvent::PlaybackFinished).await;
    until(&mut call.events, &VoiceEvent::ScriptFinished(ScriptResult::default())).await;
    let ours = us.engine.release(call.ours).await;
    let (far, near) = us.recorded(&ours);
    assert!(tone_ms(&far, 1_000.0) >= 440, "{}", tone_ms(&far, 1_000.0));
    assert!(tone_ms(&near, 440.0) >= 460, "{}", tone_ms(&near, 440.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_packet_of_a_script_leaves_at_once() {
    let us = Side::start(5);
    let clip = us.tone_clip(440.0, 200);
    us.engine.warm(clip).await.expect("loaded");
    let stranger = Stranger::new().await;
    let mut fastest = Duration::MAX;
    for _ in 0..10 {
        let spec = spec();
        let call_id = spec.call_id;
        let (events, _kept) = tokio::sync::mpsc::channel(8);
        us.engine.prepare(spec, events).await.expect("an offer");
        stranger.forget();
        let answered = Instant::now();
        us.engine
            .connect(call_id, stranger.sdp(""), false)
            .await
            .expect("connected");
        us.engine.start_script(call_id, announce(clip)).await;
        let (datagram, _) = stranger.hear().await;
        fastest = fastest.min(answered.elapsed());
        assert_ne!(datagram[12..60], [0xFF; 48], "sound, not silence");
        us.engine.release(call_id).await;
    }
    // The best of several, as the machine may be busy; a wait for the wheel would cost up to 20 ms every time.
    assert!(fastest < Duration::from_millis(5), "{fastest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_travel_both_ways_and_count_once() {
    let (us, them) = (Side::start(6), Side::start(7));
    let clip = us.tone_clip(440.0, 3_000);
    let mark = KeyAction::Mark {
        name: "plan".into(),
        value: "gold".into(),
        clip: None,
    };
    let script = Script::Press1 {
        clip,
        times: 1,
        wait_ms: 5_000,
        keys: BTreeMap::from([(digit('#'), mark)]),
    };
    let mut call = call(&us, &them).await;
    us.engine.start_script(call.ours, script).await;
    us.engine.command(call.ours, keys("19")).await.expect("pressing");
    for key in "19".chars() {
        until(&mut call.heard, &FarEndEvent::Key(digit(key))).await;
    }
    them.engine.command(call.theirs, keys("#")).await.expect("pressing");
    let result = ScriptResult {
        keys: "#".into(),
        marks: BTreeMap::from([("plan".into(), "gold".into())]),
        acted: true,
        ..ScriptResult::default()
    };
    assert_eq!(next(&mut call.events).await, VoiceEvent::ScriptFinished(result));
    us.engine.release(call.ours).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_by_info_counts_and_its_twin_in_rtp_does_not() {
    let (us, them) = (Side::start(8), Side::start(9));
    let clip = us.tone_clip(440.0, 3_000);
    let mut call = call(&us, &them).await;
    us.engine.start_script(call.ours, announce(clip)).await;
    us.engine.info_digit(call.ours, digit('5')).await;
    them.engine.command(call.theirs, keys("5")).await.expect("pressing");
    until(&mut call.heard, &FarEndEvent::KeysPressed).await;
    us.engine.info_digit(call.ours, digit('7')).await;
    let summary = us.engine.release(call.ours).await;
    assert_eq!(summary.script.map(|script| script.keys), Some("57".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_clip_fails_the_script_by_name() {
    let (us, them) = (Side::start(10), Side::start(11));
    let clip = carillon_domain::ids::ClipId::new(uuid::Uuid::from_u128(404));
    let mut call = call(&us, &them).await;
    us.engine.start_script(call.ours, announce(clip)).await;
    assert_eq!(
        next(&mut call.events).await,
        VoiceEvent::ScriptFailed(format!("clip {clip} is missing"))
    );
    let refused = them.engine.command(call.theirs, FarEndCommand::PlayClip(clip)).await;
    assert_eq!(
        refused,
        Err(VoiceError::NotAcceptable(format!("clip {clip} is missing")))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_of_the_far_end_is_reported_once_unless_it_holds() {
    let (us, them) = (Side::start(12), Side::start(13));
    let ours = EndpointSpec {
        rtp_timeout_ms: 200,
        ..spec()
    };
    let mut call = call_with(&us, &them, ours, spec()).await;
    figures_until(&us.engine, call.ours, |figures| figures.packets_received > 1).await;

    // On hold nobody sends, for longer than the time-out.
    let stranger = Stranger::new().await;
    let hold = us
        .engine
        .reoffer(call.ours, stranger.sdp("a=sendonly\r\n"))
        .await
        .expect("an answer");
    assert!(String::from_utf8_lossy(&hold).contains("a=recvonly"));
    them.engine
        .command(call.theirs, FarEndCommand::StopSending)
        .await
        .expect("stopped");
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert!(call.events.try_recv().is_err(), "a hold is no loss");

    let resumed = Instant::now();
    us.engine
        .reoffer(call.ours, stranger.sdp("a=sendrecv\r\n"))
        .await
        .expect("an answer");
    assert_eq!(next(&mut call.events).await, VoiceEvent::MediaLost);
    assert!(
        resumed.elapsed() >= Duration::from_millis(195),
        "the time-out starts at the resume"
    );
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert!(call.events.try_recv().is_err(), "once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_media_is_heard_but_neither_recorded_nor_timed_out() {
    let (us, them) = (Side::start(14), Side::start(15));
    let clip = us.tone_clip(440.0, 100);
    let (ours, theirs) = (
        EndpointSpec {
            rtp_timeout_ms: 100,
            ..spec()
        },
        spec(),
    );
    let (our_id, their_id) = (ours.call_id, theirs.call_id);
    let (event_sender, mut events) = tokio::sync::mpsc::channel(8);
    let (heard_sender, _heard) = tokio::sync::mpsc::channel(64);
    let offer = us.engine.prepare(ours, event_sender).await.expect("an offer");
    let answer = them
        .engine
        .answer_offer(theirs, offer, false, heard_sender)
        .await
        .expect("an answer");
    us.engine.start_script(our_id, announce(clip)).await;
    us.engine.connect(our_id, answer, true).await.expect("connected");
    let figures = figures_until(&us.engine, our_id, |figures| figures.packets_received >= 10).await;
    assert_eq!(figures.packets_sent, 0);
    assert!(events.try_recv().is_err(), "the script waits for the answer");
    // The answer may come without SDP when the early one stands.
    us.engine
        .connect(our_id, bytes::Bytes::new(), false)
        .await
        .expect("connected");
    assert_eq!(
        next(&mut events).await,
        VoiceEvent::ScriptFinished(ScriptResult::default())
    );
    let summary = us.engine.release(our_id).await;
    let duration_ms = summary.recording.as_ref().map(|recording| recording.duration_ms);
    assert!(duration_ms.is_some_and(|ms| (95..160).contains(&ms)), "{duration_ms:?}");
    them.engine.release(their_id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_is_as_long_as_the_call_when_nothing_is_heard() {
    let us = Side::start(16);
    let stranger = Stranger::new().await;
    let spec = spec();
    let call_id = spec.call_id;
    let (events, _kept) = tokio::sync::mpsc::channel(8);
    us.engine.prepare(spec, events).await.expect("an offer");
    us.engine
        .connect(call_id, stranger.sdp(""), false)
        .await
        .expect("connected");
    let answered = Instant::now();
    tokio::time::sleep(Duration::from_millis(730)).await;
    let took_ms = answered.elapsed().as_millis() as u64;
    let summary = us.engine.release(call_id).await;
    let duration_ms = summary.recording.as_ref().expect("a recording").duration_ms;
    assert!(duration_ms.abs_diff(took_ms) <= 10, "{duration_ms} ms of {took_ms}");
    assert_eq!(us.recorded(&summary).0.len() as u64 / 8, duration_ms);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_cut_off_is_readable_and_repaired() {
    let (us, them) = (Side::start(17), Side::start(18));
    let clip = us.tone_clip(440.0, 3_000);
    let call = call(&us, &them).await;
    us.engine.start_script(call.ours, announce(clip)).await;
    figures_until(&us.engine, call.ours, |figures| figures.packets_sent >= 80).await;
    // What a kill leaves behind is what is on disk now.
    let path = us
        .folder
        .path()
        .join("recordings")
        .join(spec().workspace_id.to_string())
        .join(format!("{}.wav", call.ours));
    let cut_off = us.folder.path().join("cut-off.wav");
    std::fs::copy(path, &cut_off).expect("copied");
    let bytes = std::fs::read(&cut_off).expect("read");
    let in_header = u32::from_le_bytes([bytes[40], bytes[41], bytes[42], bytes[43]]) as usize;
    assert!(
        in_header >= 4 * 8_000 / 2,
        "the header is at most a second behind: {in_header} bytes"
    );
    assert!(in_header <= bytes.len() - 44, "and promises no more than there is");
    let duration_ms = repair_recording(&cut_off).expect("repaired");
    assert!(duration_ms >= 1_100, "{duration_ms}");
    assert_eq!(repair_recording(&cut_off).expect("whole"), duration_ms);
    let repaired = std::fs::read(&cut_off).expect("read");
    assert_eq!(
        u32::from_le_bytes([repaired[40], repaired[41], repaired[42], repaired[43]]) as usize,
        repaired.len() - 44
    );
    let near: Vec<i16> = repaired[44..]
        .chunks_exact(4)
        .map(|frame| i16::from_le_bytes([frame[2], frame[3]]))
        .collect();
    assert!(tone_ms(&near, 440.0) >= 1_000, "{}", tone_ms(&near, 440.0));
    them.engine.release(call.theirs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_ends_finishes_its_recordings() {
    let us = Side::start(19);
    let stranger = Stranger::new().await;
    let spec = spec();
    let path = us
        .folder
        .path()
        .join("recordings")
        .join(format!("{}/{}.wav", spec.workspace_id, spec.call_id));
    let call_id = spec.call_id;
    let (events, _kept) = tokio::sync::mpsc::channel(8);
    us.engine.prepare(spec, events).await.expect("an offer");
    us.engine
        .connect(call_id, stranger.sdp(""), false)
        .await
        .expect("connected");
    let answered = Instant::now();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let Side { engine, folder } = us;
    let took_ms = answered.elapsed().as_millis() as u64;
    tokio::task::spawn_blocking(move || drop(engine)).await.expect("ended");
    let duration_ms = repair_recording(&path).expect("whole");
    assert!(duration_ms >= took_ms - 10, "{duration_ms} ms of {took_ms}");
    drop(folder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_and_jitter_are_made_by_the_far_end_and_counted_by_us() {
    let (us, them) = (Side::start(20), Side::start(21));
    let call = call(&us, &them).await;
    let spoil = FarEndCommand::Impair {
        loss_percent: 20.0,
        jitter_ms: 30,
        seed: 3,
    };
    them.engine.command(call.theirs, spoil).await.expect("spoiled");
    let figures = figures_until(&us.engine, call.ours, |figures| figures.packets_received >= 60).await;
    assert!((5..=30).contains(&figures.packets_lost), "{figures:?}");
    assert!(figures.jitter_us > 2_000, "{figures:?}");
    them.engine
        .command(call.theirs, FarEndCommand::StopSending)
        .await
        .expect("stopped");
    let summary = us.engine.release(call.ours).await;
    assert!(summary.packets_lost >= figures.packets_lost);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_hears_the_far_end_in_order_through_jitter() {
    let (us, them) = (Side::start(24), Side::start(25));
    let call = call(&us, &them).await;
    let (sender, mut frames) = tokio::sync::mpsc::channel(64);
    us.engine.listen(call.ours, sender).await.expect("listening");
    let spoil = FarEndCommand::Impair {
        loss_percent: 0.0,
        jitter_ms: 50,
        seed: 9,
    };
    them.engine.command(call.theirs, spoil).await.expect("spoiled");
    let clip = them.tone_clip(440.0, 600);
    them.engine
        .command(call.theirs, FarEndCommand::PlayClip(clip))
        .await
        .expect("playing");
    let mut sound = Vec::new();
    while tone_ms(&sound, 440.0) < 400 {
        if let HeardFrame::Sound(samples) = next(&mut frames).await {
            sound.extend_from_slice(&samples[..]);
        }
        assert!(sound.len() < 3 * 8_000, "{} ms of tone", tone_ms(&sound, 440.0));
    }
    us.engine.release(call.ours).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_survives_a_move_to_another_address_and_codec() {
    let us = Side::start(22);
    let clip = us.tone_clip(440.0, 2_000);
    let (first, second) = (Stranger::new().await, Stranger::new().await);
    let spec = spec();
    let call_id = spec.call_id;
    let (events, mut kept) = tokio::sync::mpsc::channel(8);
    us.engine.prepare(spec, events).await.expect("an offer");
    us.engine
        .connect(call_id, first.sdp(""), false)
        .await
        .expect("connected");
    us.engine.start_script(call_id, announce(clip)).await;
    for _ in 0..3 {
        assert_eq!(first.hear().await.0[1] & 0x7F, 0, "mu-law");
    }
    // No SDP asks for an offer; its answer comes by connect.
    let offer = us.engine.reoffer(call_id, bytes::Bytes::new()).await.expect("an offer");
    assert!(String::from_utf8_lossy(&offer).contains("RTP/AVP 0 8 101"));
    let text = String::from_utf8_lossy(&second.sdp("")).replace("RTP/AVP 0 101", "RTP/AVP 8 101");
    us.engine
        .connect(call_id, text.into_bytes().into(), false)
        .await
        .expect("connected");
    let mut sound = Vec::new();
    while sound.len() < 3 * 160 {
        let (datagram, _) = second.hear().await;
        assert_eq!(datagram[1] & 0x7F, 8, "A-law");
        sound.extend(
            datagram[12..]
                .iter()
                .map(|byte| carillon_media::g711::decode_byte(carillon_domain::trunk::Codec::Pcma, *byte)),
        );
    }
    assert!(tone_ms(&sound, 440.0) >= 60, "the clip goes on in the new codec");
    assert!(kept.try_recv().is_err(), "and the script with it");
    us.engine.release(call_id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_and_doubled_calls_are_refused() {
    let us = Side::start(23);
    let unknown = spec();
    let clip = us.tone_clip(440.0, 20);
    assert_eq!(
        us.engine.connect(unknown.call_id, bytes::Bytes::new(), false).await,
        Err(VoiceError::UnknownCall)
    );
    assert_eq!(
        us.engine.reoffer(unknown.call_id, bytes::Bytes::new()).await,
        Err(VoiceError::UnknownCall)
    );
    us.engine.start_script(unknown.call_id, announce(clip)).await;
    us.engine.info_digit(unknown.call_id, digit('1')).await;
    assert_eq!(us.engine.release(unknown.call_id).await, Default::default());

    let (events, _kept) = tokio::sync::mpsc::channel(8);
    us.engine
        .prepare(unknown.clone(), events.clone())
        .await
        .expect("an offer");
    assert!(matches!(
        us.engine.prepare(unknown.clone(), events.clone()).await,
        Err(VoiceError::NoRoom(_))
    ));
    assert_eq!(us.engine.live_calls(), 1);
    let bad = us
        .engine
        .connect(unknown.call_id, bytes::Bytes::from_static(b"nonsense"), false)
        .await;
    assert!(matches!(bad, Err(VoiceError::BadSdp(_))), "{bad:?}");
    let summary = us.engine.release(unknown.call_id).await;
    assert_eq!((summary.recording, us.engine.live_calls()), (None, 0));

    // Ten pairs of ports, all of which come back.
    for _ in 0..2 {
        let specs: Vec<_> = (0..10).map(|_| spec()).collect();
        for spec in &specs {
            us.engine.prepare(spec.clone(), events.clone()).await.expect("an offer");
        }
        assert!(matches!(
            us.engine.prepare(spec(), events.clone()).await,
            Err(VoiceError::NoRoom(_))
        ));
        for spec in &specs {
            us.engine.release(spec.call_id).await;
        }
    }
}
