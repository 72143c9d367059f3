//! The voice.

use super::*;
use std::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_clause_comes_before_the_rest_and_all_is_as_loud_as_a_telephone_wants() {
    let Some(speech) = speech_with(&[Part::Runtime, Part::Voice]) else {
        return;
    };
    let text = "Good morning, this is the clinic. I am calling to remind you of your appointment on Friday. \
                Is that still a good time for you?";
    let began = Instant::now();
    let mut pieces = speech.mouth().speak(request(text)).await.expect("a voice");
    let mut times = Vec::new();
    let mut sound = Vec::new();
    while let Some(piece) = tokio::time::timeout(DEADLINE, pieces.recv()).await.expect("in time") {
        times.push(began.elapsed());
        sound.extend(piece.expect("sound"));
    }
    let seconds = sound.len() as f64 / 8_000.0;
    say_measured(&format!(
        "first clause after {:?}, all {seconds:.1} s of sound after {:?}, {:?}, {} MB",
        times[0],
        times.last(),
        speech.costs(),
        hearing::resident_mb()
    ));
    assert_eq!(times.len(), 4);
    assert!((5.0..12.0).contains(&seconds), "{seconds}");
    let mut levels: Vec<f64> = sound
        .chunks(160)
        .map(|frame| (frame.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>() / frame.len() as f64).sqrt())
        .collect();
    levels.sort_by(f64::total_cmp);
    let loud = levels[levels.len() * 7 / 10];
    assert!((1_500.0..8_000.0).contains(&loud), "{loud}");
    assert!(sound.iter().all(|sample| sample.unsigned_abs() < 32_200), "clipped");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_before_is_said_again_from_memory() {
    let Some(speech) = speech_with(&[Part::Runtime, Part::Voice]) else {
        return;
    };
    let text = "Good morning, this is the clinic. How are you today?";
    let first = say(&speech, text).await.expect("sound");
    let began = Instant::now();
    let second = say(&speech, text).await.expect("sound");
    say_measured(&format!("from memory after {:?}", began.elapsed()));
    // The voice draws lots, so that no two renderings are alike.
    assert_eq!(first, second);
    let slower = SpeakRequest {
        speed_percent: 60,
        ..request(text)
    };
    let slower = gather(speech.mouth().speak(slower).await.expect("a voice"))
        .await
        .expect("sound");
    assert!(slower.len() > first.len() * 5 / 4, "{} {}", slower.len(), first.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_speak_at_once_and_who_hangs_up_stops_the_making() {
    let Some(speech) = speech_with(&[Part::Runtime, Part::Voice]) else {
        return;
    };
    let long = "This is a sentence that nobody waits for. ".repeat(40);
    for number in 0..10 {
        let text = format!("{number}. {long}");
        drop(speech.mouth().speak(request(&text)).await.expect("a voice"));
    }
    let mut calls = Vec::new();
    for number in 0..8 {
        let text = format!("Hello, this is call number {number}.");
        calls.push(speech.mouth().speak(request(&text)).await.expect("a voice"));
    }
    for call in calls {
        assert!(gather(call).await.expect("sound").len() > 8_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_cannot_be_said_are_refused_by_name_or_are_silence() {
    let Some(speech) = speech_with(&[Part::Runtime, Part::Voice]) else {
        return;
    };
    assert_eq!(say(&speech, "").await, Ok(Vec::new()));
    assert_eq!(say(&speech, " … \n ♪ ").await, Ok(Vec::new()));
    let refused = say(&speech, &"word ".repeat(10_000)).await.expect_err("too long");
    assert!(refused.to_string().contains("say it in parts"), "{refused}");
    // Nothing of this is an option or a command of a program.
    for text in [
        "--help -w /etc/passwd",
        "$(reboot); `ls` | cat",
        "<speak>tag</speak>",
        "naïve café 北京 🎉 done",
    ] {
        assert!(say(&speech, text).await.expect("sound").len() > 2_000, "{text}");
    }
}
