//! Ears: what is heard, and how an ear behaves at its edges.

use super::*;
use carillon_media::tone;
use std::time::Instant;

const SENTENCES: [&str; 8] = [
    "Good morning, this is Mary from the dental clinic.",
    "I am calling to remind you of your appointment on Friday at half past two.",
    "Yes, that works for me, thank you very much.",
    "Can you please call me again tomorrow afternoon?",
    "No, I am not interested, please do not call me again.",
    "My sister lives next door, and she will be here at noon.",
    "I would rather talk to a real person about the invoice.",
    "He is not at home right now, but I can take a message.",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_the_voice_says_comes_back_from_the_ears_by_both_laws() {
    let Some(speech) = speech_with(&[Part::Runtime, Part::VoiceActivity, Part::Hearing, Part::Voice]) else {
        return;
    };
    let (mut wrong, mut all, mut seconds, mut took) = (0, 0, 0.0, Duration::ZERO);
    for (number, sentence) in SENTENCES.into_iter().enumerate() {
        let law = if number % 2 == 0 { Codec::Pcmu } else { Codec::Pcma };
        let sound = over_the_wire(law, &say(&speech, sentence).await.expect("sound"));
        let began = Instant::now();
        let heard = hear(&speech, &sound).await;
        took += began.elapsed();
        seconds += sound.len() as f64 / 8_000.0;
        let said = words(sentence);
        let errors = word_errors(&said, &words(&heard));
        wrong += errors;
        all += said.len();
        if errors > 0 {
            say_measured(&format!("{errors} wrong: {sentence} -> {heard}"));
        }
    }
    let rate = wrong as f64 / all as f64;
    say_measured(&format!(
        "{wrong} of {all} words wrong; {:.3} s of waiting for a second of sound; {:?}; {:?} conversations",
        took.as_secs_f64() / seconds,
        speech.costs(),
        speech.capacity()
    ));
    assert!(rate < 0.15, "{wrong} of {all} words are wrong");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_speech_is_heard_as_nothing() {
    let Some(speech) = speech_with(&[Part::Runtime, Part::VoiceActivity, Part::Hearing]) else {
        return;
    };
    let mut ringing = tone::sine(440.0, 4_000, 2_000);
    for (sample, other) in ringing.iter_mut().zip(tone::sine(480.0, 4_000, 2_000)) {
        *sample += other;
    }
    let hum: Vec<i16> = (0..24_000)
        .map(|at| if (at / 80) % 2 == 0 { 1_500 } else { -1_500 })
        .collect();
    let clicks: Vec<i16> = (0..24_000).map(|at| if at % 1_700 < 2 { 15_000 } else { 0 }).collect();
    let rows = [
        ("no sound", Vec::new()),
        ("one sample", vec![7]),
        ("silence", vec![0; 24_000]),
        ("soft hiss", hiss(80.0, 24_000)),
        ("hiss", hiss(1_500.0, 8_000)),
        ("long hiss", hiss(1_500.0, 60_000)),
        ("loud hiss", hiss(6_000.0, 24_000)),
        ("ringing", ringing),
        ("beep", tone::sine(1_000.0, 9_000, 800)),
        ("hum", hum),
        ("clicks", clicks),
    ];
    let mut wrong = Vec::new();
    for (name, sound) in rows {
        let heard = hear(&speech, &over_the_wire(Codec::Pcmu, &sound)).await;
        if !heard.is_empty() {
            wrong.push((name, heard));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ear_tells_each_utterance_once_and_nothing_of_what_was_discarded() {
    let Some(speech) = speech_with(&[Part::Runtime, Part::VoiceActivity, Part::Hearing, Part::Voice]) else {
        return;
    };
    let sound = say(&speech, "Please call me back tomorrow.").await.expect("sound");
    let (mut ear, mut told) = open_ear(&speech).await;
    // Sound, words and ends that belong to nothing.
    ear.hear(&sound);
    ear.ask_partial();
    ear.end(9);
    // 1 is discarded, 2 is left for 3 without an end, 3 is told, 4 has no sound.
    ear.begin(1, &sound);
    ear.discard(1);
    ear.end(1);
    ear.begin(2, &sound);
    ear.hear(&sound);
    ear.begin(3, &sound[..1_600]);
    ear.hear(&sound[1_600..]);
    ear.discard(2);
    ear.end(3);
    ear.end(3);
    ear.begin(4, &[]);
    ear.end(4);
    let mut finals = vec![next(&mut told).await, next(&mut told).await];
    // Two workers may finish in either order.
    finals.sort_by_key(|event| matches!(event, HearingEvent::Final { utterance: 4, .. }));
    let HearingEvent::Final { utterance: 3, text } = &finals[0] else {
        panic!("{finals:?}");
    };
    assert!(
        word_errors(&words("Please call me back tomorrow"), &words(text)) <= 1,
        "{text}"
    );
    let nothing = HearingEvent::Final {
        utterance: 4,
        text: String::new(),
    };
    assert_eq!(finals[1], nothing);
    drop(ear);
    assert_eq!(
        tokio::time::timeout(DEADLINE, told.recv()).await,
        Ok(None),
        "nothing more is told"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn partials_grow_towards_the_final_and_stop_at_the_end() {
    let Some(speech) = speech_with(&[Part::Runtime, Part::VoiceActivity, Part::Hearing, Part::Voice]) else {
        return;
    };
    let sentence = "I would rather talk to a real person about the invoice that came on Monday.";
    let sound = say(&speech, sentence).await.expect("sound");
    let (mut ear, mut told) = open_ear(&speech).await;
    ear.begin(1, &[]);
    let mut partials = Vec::new();
    for stretch in sound.chunks(8_000) {
        ear.hear(stretch);
        // Asked twice: one at a time is made.
        ear.ask_partial();
        ear.ask_partial();
        match next(&mut told).await {
            HearingEvent::Partial { utterance: 1, text } => partials.push(text),
            other => panic!("{other:?}"),
        }
    }
    ear.end(1);
    ear.ask_partial();
    let HearingEvent::Final { text, .. } = next(&mut told).await else {
        panic!("no final")
    };
    assert!(words(&partials[0]).len() < words(&text).len(), "{partials:?} {text}");
    assert!(
        word_errors(&words(sentence), &words(partials.last().expect("partials"))) <= 2,
        "{partials:?}"
    );
    drop(ear);
    assert_eq!(tokio::time::timeout(DEADLINE, told.recv()).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monologue_of_ten_minutes_is_heard_in_passes() {
    let parts = [Part::Runtime, Part::VoiceActivity, Part::Hearing, Part::Voice];
    // All comes at once here, not as fast as somebody speaks.
    let options = Options {
        queue_limit: 200,
        ..options_with(&parts)
    };
    let Some(speech) = speech_by(&options, &parts) else {
        return;
    };
    let sentence = "I would rather talk to a real person about the invoice that came on Monday.";
    let mut stretch = say(&speech, sentence).await.expect("sound");
    stretch.resize(stretch.len() + 3_000, 0);
    let times = 600 * 8_000 / stretch.len();
    let (mut ear, mut told) = open_ear(&speech).await;
    let before = resident_mb();
    ear.begin(1, &[]);
    for _ in 0..times {
        ear.hear(&stretch);
    }
    let began = Instant::now();
    ear.end(1);
    let HearingEvent::Final { text, .. } = tokio::time::timeout(3 * DEADLINE, told.recv())
        .await
        .expect("words in time")
        .expect("an event")
    else {
        panic!("no final")
    };
    say_measured(&format!(
        "ten minutes: {:?} for {times} sentences heard at once, {before} -> {} MB",
        began.elapsed(),
        resident_mb()
    ));
    let heard = words(&text).len();
    let said = times * words(sentence).len();
    assert!(heard.abs_diff(said) * 10 < said, "{heard} words heard of {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_fails_the_utterance_and_not_the_ear() {
    let parts = [Part::Runtime, Part::VoiceActivity, Part::Hearing];
    let options = Options {
        queue_limit: 2,
        hearing_threads: Some(1),
        ..options_with(&parts)
    };
    let Some(speech) = speech_by(&options, &parts) else {
        return;
    };
    let sound = hiss(3_000.0, 80_000);
    let (mut ear, mut told) = open_ear(&speech).await;
    for number in 1..=8 {
        ear.begin(number, &[]);
        ear.hear(&sound);
        ear.end(number);
    }
    let (mut failed, mut heard) = (0, 0);
    for _ in 1..=8 {
        match next(&mut told).await {
            HearingEvent::Failed {
                error: SpeechError::Busy,
                fatal: false,
                ..
            } => failed += 1,
            HearingEvent::Final { .. } => heard += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(failed >= 5 && heard >= 2, "{failed} failed, {heard} heard");
    assert_eq!(hear_next(&mut *ear, &mut told).await, "", "the ear goes on");
}

async fn hear_next(ear: &mut dyn Ear, told: &mut Events) -> String {
    ear.begin(99, &[]);
    ear.end(99);
    match next(told).await {
        HearingEvent::Final { utterance: 99, text } => text,
        other => panic!("{other:?}"),
    }
}

/// Memory of this process, in megabytes.
pub(super) fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .unwrap_or(0)
        / 1_024
}
