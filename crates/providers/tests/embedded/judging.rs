//! The judges: is that a voice, is the turn over.

use super::*;
use carillon_media::tone;
use std::time::Instant;

/// How much of a sound is taken for a voice, in percent of its frames.
fn voiced_percent(speech: &Speech, sound: &[i16]) -> usize {
    let mut judge = speech.voice_activity();
    let judged = sound.chunks_exact(160).filter(|frame| judge.judge(frame) > 0.5).count();
    judged * 100 / (sound.len() / 160).max(1)
}

fn ringing() -> Vec<i16> {
    let other = tone::sine(480.0, 4_000, 2_000);
    let mut sound: Vec<i16> = tone::sine(440.0, 4_000, 2_000)
        .iter()
        .zip(other)
        .map(|(a, b)| a + b)
        .collect();
    sound.resize(6 * 8_000, 0);
    sound
}

fn no_voices() -> [(&'static str, Vec<i16>); 6] {
    [
        ("silence", vec![0; 24_000]),
        ("soft hiss", hiss(60.0, 24_000)),
        ("hiss", hiss(1_500.0, 48_000)),
        ("ringing", ringing()),
        ("European ringing", tone::sine(425.0, 8_000, 1_000)),
        ("a beep", tone::sine(1_000.0, 9_000, 800)),
    ]
}

async fn voices_and_no_voices_are_told_apart(judge: &Speech, voice: &Speech) {
    let sound = say(voice, "I am calling about your appointment on Friday at half past two.")
        .await
        .expect("sound");
    let softly: Vec<i16> = sound.iter().map(|sample| sample / 10).collect();
    let noisy: Vec<i16> = sound
        .iter()
        .zip(hiss(600.0, sound.len()))
        .map(|(a, b)| a.saturating_add(b))
        .collect();
    let after_silence: Vec<i16> = std::iter::repeat_n(0, 80_000).chain(sound.clone()).collect();
    for (name, sound) in [("speech", &sound), ("soft speech", &softly), ("noisy speech", &noisy)] {
        let percent = voiced_percent(judge, &over_the_wire(Codec::Pcmu, sound));
        say_measured(&format!("{name}: {percent} % voice"));
        assert!(percent >= 50, "{name}: {percent} %");
    }
    for (name, sound) in no_voices() {
        let percent = voiced_percent(judge, &over_the_wire(Codec::Pcmu, &sound));
        say_measured(&format!("{name}: {percent} % voice"));
        assert!(percent <= 4, "{name}: {percent} %");
    }
    let mut judging = judge.voice_activity();
    let onset = after_silence
        .chunks_exact(160)
        .position(|frame| judging.judge(frame) > 0.5);
    let late_ms = onset.map(|frame| frame as i64 * 20 - 10_000);
    say_measured(&format!("noticed {late_ms:?} ms after the voice began"));
    assert!(
        late_ms.is_some_and(|late_ms| (0..=300).contains(&late_ms)),
        "{late_ms:?}"
    );
    judging.reset();
    assert!(judging.judge(&[0; 160]) < 0.5, "nothing is left of the past");
}

#[tokio::test(flavor = "multi_thread")]
async fn silero_tells_voices_from_other_sound() {
    let Some(speech) = speech_with(&[Part::Runtime, Part::VoiceActivity, Part::Voice]) else {
        return;
    };
    voices_and_no_voices_are_told_apart(&speech, &speech).await;
    let sound = say(
        &speech,
        "I am calling about your appointment on Friday at half past two.",
    )
    .await
    .expect("sound");
    let began = Instant::now();
    let mut judge = speech.voice_activity();
    for frame in sound.chunks_exact(160) {
        judge.judge(frame);
    }
    let share = began.elapsed().as_secs_f64() / (sound.len() as f64 / 8_000.0);
    say_measured(&format!(
        "Silero takes {:.2} % of a core while somebody speaks",
        share * 100.0
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn loudness_and_pitch_tell_voices_from_other_sound_where_silero_is_missing() {
    let judge = Speech::open(&options_with(&[]));
    let voice = Speech::open(&options_with(&[Part::Runtime, Part::Voice]));
    if voice.mouth().voices().is_empty() {
        return say_skipped("nothing here speaks");
    }
    voices_and_no_voices_are_told_apart(&judge, &voice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn smart_turn_knows_a_finished_sentence_from_one_that_goes_on() {
    let Some(speech) = speech_with(&[Part::Runtime, Part::TurnJudge, Part::Voice]) else {
        return;
    };
    let judge = speech.turn_judge().expect("a judge");
    let finished = [
        "I would like to book a table for two people.",
        "Please call me back later.",
        "My address is twelve Main Street.",
    ];
    let unfinished = [
        "Yes, and the thing is that,",
        "Well, I was thinking that maybe,",
        "I can not come on Friday because,",
    ];
    let (mut over, mut going_on, mut took) = (Vec::new(), Vec::new(), Duration::ZERO);
    for (sentences, judged) in [(finished, &mut over), (unfinished, &mut going_on)] {
        for sentence in sentences {
            let mut sound = say(&speech, sentence).await.expect("sound");
            sound.extend([0; 1_600]);
            let began = Instant::now();
            let sound = over_the_wire(Codec::Pcmu, &sound);
            judged.push(judge.is_over(sound).await.expect("a judgement"));
            took += began.elapsed();
        }
    }
    say_measured(&format!(
        "over {over:?}, going on {going_on:?}, {:?} a judgement",
        took / 6
    ));
    let mean = |judged: &[f32]| judged.iter().sum::<f32>() / judged.len() as f32;
    assert!(mean(&over) > 0.7, "{over:?}");
    assert!(mean(&going_on) < 0.5, "{going_on:?}");
    for sound in [Vec::new(), vec![0; 100], hiss(500.0, 200_000)] {
        let judged = judge.is_over(sound).await.expect("a judgement");
        assert!((0.0..=1.0).contains(&judged), "{judged}");
    }
}
