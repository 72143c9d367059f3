//! An agent's half of a call on loopback: what it says is heard, stops, goes on, and is recorded as it was heard.

mod common;

use carillon_interfaces::voice::VoiceRuntime as _;
use carillon_media::tone;
use carillon_voice::{FarEndCommand, HeardFrame, SpeechAction, SpeechNote};
use common::*;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_piece_by_piece_is_heard_without_a_gap_and_tells_how_far_it_is() {
    let (us, them) = (Side::start(41), Side::start(42));
    let pair = call(&us, &them).await;
    let (line, mut feed) = us.engine.take_sound(pair.ours).await.expect("a line");
    let sound = tone::sine(440.0, 8_000, 600);
    let pieces: Vec<&[i16]> = sound.chunks(500).collect();
    for (index, piece) in pieces.iter().enumerate() {
        assert!(line.say(1, piece, index + 1 < pieces.len()).await);
    }
    line.say(2, &tone::sine(1_000.0, 8_000, 200), false).await;
    let mut told = Vec::new();
    loop {
        let note = next(&mut feed.notes).await;
        let done = matches!(note, SpeechNote::Finished { unit: 2, .. });
        match note {
            SpeechNote::Started { unit, .. } => told.push(format!("{unit} started")),
            SpeechNote::Finished { unit, samples, .. } => told.push(format!("{unit} finished {samples}")),
            SpeechNote::Played { unit, samples, .. } => assert!(samples <= if unit == 1 { 4_800 } else { 1_600 }),
            other => panic!("{other:?}"),
        }
        if done {
            break;
        }
    }
    assert_eq!(told, ["1 started", "1 finished 4800", "2 started", "2 finished 1600"]);
    let theirs = them.engine.release(pair.theirs).await;
    let ours = us.engine.release(pair.ours).await;
    assert!(
        !line.act(SpeechAction::Stop).await || feed.notes.recv().await.is_none(),
        "the call is over"
    );
    let (heard, _) = them.recorded(&theirs);
    assert!(
        (580..=620).contains(&tone_ms(&heard, 440.0)),
        "{}",
        tone_ms(&heard, 440.0)
    );
    assert!(
        (180..=220).contains(&tone_ms(&heard, 1_000.0)),
        "{}",
        tone_ms(&heard, 1_000.0)
    );
    let (_, near) = us.recorded(&ours);
    assert!((580..=620).contains(&tone_ms(&near, 440.0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_is_silent_at_once_and_goes_on_where_it_should() {
    let (us, them) = (Side::start(43), Side::start(44));
    let pair = call(&us, &them).await;
    let (line, mut feed) = us.engine.take_sound(pair.ours).await.expect("a line");
    line.say(1, &tone::sine(440.0, 8_000, 1_000), false).await;
    let far_enough = |note: &SpeechNote| matches!(note, SpeechNote::Played { samples, .. } if *samples >= 3_200);
    while !far_enough(&next(&mut feed.notes).await) {}
    line.act(SpeechAction::Pause).await;
    let (samples, halted_us) = loop {
        if let SpeechNote::Halted { samples, at_us, .. } = next(&mut feed.notes).await {
            break (samples, at_us);
        }
    };
    assert!((3_200..7_000).contains(&samples), "{samples}");
    let sample = samples - 1_600;
    line.act(SpeechAction::ResumeFrom { unit: 1, sample }).await;
    let finished_us = loop {
        if let SpeechNote::Finished { at_us, samples, .. } = next(&mut feed.notes).await {
            assert_eq!(samples, 8_000);
            break at_us;
        }
    };
    let rest_ms = (8_000 - sample) / 8;
    let took_ms = (finished_us - halted_us) / 1_000;
    assert!(
        (rest_ms - 20..rest_ms + 150).contains(&took_ms),
        "{took_ms} ms for {rest_ms} ms"
    );
    us.engine.release(pair.ours).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_heard_within_a_packet_and_the_recording_holds_what_was_sent() {
    let (us, them) = (Side::start(45), Side::start(46));
    let pair = call(&us, &them).await;
    let (line, mut feed) = us.engine.take_sound(pair.ours).await.expect("a line");
    line.act(SpeechAction::Duck { decibels: 12 }).await;
    line.say(1, &tone::sine(440.0, 16_000, 2_000), false).await;
    while !matches!(next(&mut feed.notes).await, SpeechNote::Played { .. }) {}
    line.act(SpeechAction::Stop).await;
    let samples = loop {
        if let SpeechNote::Halted { samples, .. } = next(&mut feed.notes).await {
            break samples;
        }
    };
    let ours = us.engine.release(pair.ours).await;
    let (_, near) = us.recorded(&ours);
    // The packet that fades, and a frame of the recording that holds parts of two packets.
    let heard_ms = tone_ms(&near, 440.0) as u64;
    assert!(heard_ms <= samples / 8 + 40, "{heard_ms} ms of {samples} samples");
    let loudest = near.iter().map(|sample| sample.unsigned_abs()).max().expect("samples");
    let settled = near
        .iter()
        .skip(near.len().min(samples as usize / 2))
        .map(|sample| sample.unsigned_abs())
        .max();
    assert!(
        settled.is_some_and(|settled| settled < 16_000 / 3),
        "{settled:?} of {loudest}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_come_with_the_time_of_their_packets() {
    let (us, them) = (Side::start(47), Side::start(48));
    let pair = call(&us, &them).await;
    let (line, mut feed) = us.engine.take_sound(pair.ours).await.expect("a line");
    let sound: Arc<[i16]> = tone::sine(440.0, 8_000, 400).into();
    them.engine
        .command(pair.theirs, FarEndCommand::PlaySamples(sound))
        .await
        .expect("playing");
    let (mut loud, mut last_us) = (0, 0);
    while loud < 15 {
        let frame = next(&mut feed.frames).await;
        assert!(frame.at_us >= last_us && frame.at_us >= line.answered_us());
        last_us = frame.at_us;
        if let HeardFrame::Sound(samples) = &frame.sound
            && samples.iter().any(|sample| sample.unsigned_abs() > 4_000)
        {
            let arrived_us = frame.arrived_us.expect("a packet");
            assert!(arrived_us <= frame.at_us, "{arrived_us} {}", frame.at_us);
            assert!(frame.at_us - arrived_us < 200_000, "{arrived_us} {}", frame.at_us);
            loud += 1;
        }
    }
    assert_eq!(
        them.engine.figures(pair.theirs).await.expect("figures").packets_refused,
        0
    );
    drop(feed);
    us.engine.release(pair.ours).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_no_line_before_the_answer() {
    let us = Side::start(49);
    let spec = spec();
    let call_id = spec.call_id;
    let (events, _kept) = tokio::sync::mpsc::channel(8);
    us.engine.prepare(spec, events).await.expect("an offer");
    assert!(us.engine.take_sound(call_id).await.is_err());
    us.engine.release(call_id).await;
}
