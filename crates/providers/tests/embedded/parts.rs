//! What is missing, changed or turned off is named, and something else does its work.

use super::*;
use std::path::Path;

fn report(speech: &Speech) -> Vec<(&'static str, Option<String>, String)> {
    let parts = speech.parts().iter();
    parts
        .map(|it| {
            (
                it.part.name(),
                it.problem.as_ref().map(ToString::to_string),
                it.in_use.clone(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_models_programs_speak_and_hearing_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let speech = Speech::open(&Options::with_models(folder.path()));
    let report = report(&speech);
    assert_eq!(report.len(), Part::ALL.len(), "{report:?}");
    assert!(report.iter().all(|(_, problem, _)| problem.is_some()), "{report:?}");
    assert!(speech.turn_judge().is_none());
    assert!(speech.voice_activity().judge(&[0; 160]) < 0.5);

    let (events, _told) = mpsc::channel(1);
    let asked = HearingRequest {
        language: Language::english(),
        hints: Vec::new(),
    };
    let Err(SpeechError::Unavailable(why)) = speech.ears().open(asked, events).await else {
        panic!("an ear without a model");
    };
    assert!(why.contains("scripts/models"), "{why}");

    match speech.mouth().voices().first() {
        Some(voice) => {
            let sound = say(&speech, "Good morning, this is the clinic.").await.expect("sound");
            let seconds = sound.len() as f64 / 8_000.0;
            assert!((1.0..5.0).contains(&seconds), "{}: {seconds} s", voice.name);
        }
        None => {
            say_skipped("neither flite nor espeak-ng is installed");
            let refused = say(&speech, "Good morning.").await;
            assert!(matches!(refused, Err(SpeechError::Unavailable(_))), "{refused:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn languages_and_voices_that_are_not_here_are_refused_by_name() {
    let speech = Speech::open(&options_with(&[Part::Runtime, Part::Hearing]));
    let hindi: Language = "hi-IN".parse().expect("a language");
    let british: Language = "en-GB".parse().expect("a language");
    let speak = |language: &Language, voice: Option<&str>| SpeakRequest {
        language: language.clone(),
        voice: voice.map(str::to_owned),
        ..request("Hello there.")
    };
    if speech.mouth().voices().is_empty() {
        say_skipped("nothing here speaks");
    } else {
        let refused = speech.mouth().speak(speak(&hindi, None)).await.map(|_| ());
        assert_eq!(refused, Err(SpeechError::Language(hindi.clone())));
        let refused = speech.mouth().speak(speak(&british, Some("nobody"))).await.map(|_| ());
        assert!(
            matches!(&refused, Err(SpeechError::Unavailable(why)) if why.contains("nobody")),
            "{refused:?}"
        );
        let spoken = speech
            .mouth()
            .speak(speak(&british, None))
            .await
            .expect("a region is an accent");
        assert!(!gather(spoken).await.expect("sound").is_empty());
    }
    if speech
        .parts()
        .iter()
        .any(|it| it.part == Part::Hearing && it.problem.is_some())
    {
        return say_skipped("no recogniser");
    }
    let (events, _told) = mpsc::channel(1);
    let asked = HearingRequest {
        language: hindi.clone(),
        hints: Vec::new(),
    };
    let refused = speech.ears().open(asked, events).await.map(|_| ());
    assert_eq!(refused, Err(SpeechError::Language(hindi)));
}

/// A folder with links to the models, but for one file.
fn models_with_one_changed(changed: &str) -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().expect("a folder");
    let models = Models::default_folder();
    for part in std::fs::read_dir(&models)
        .ok()?
        .flatten()
        .filter(|it| it.path().is_dir())
    {
        let into = folder.path().join(part.file_name());
        std::fs::create_dir_all(&into).expect("a folder");
        for file in std::fs::read_dir(part.path()).ok()?.flatten() {
            std::os::unix::fs::symlink(file.path(), into.join(file.file_name())).expect("a link");
        }
    }
    let path = folder.path().join(changed);
    if !Path::new(&path).exists() {
        return None;
    }
    let mut bytes = std::fs::read(&path).expect("the model");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&path).expect("the link");
    std::fs::write(&path, bytes).expect("another model");
    Some(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_with_one_bit_changed_is_refused_and_the_others_work() {
    let rows = [
        ("silero/silero_vad.onnx", "silero", "loudness and pitch"),
        ("piper/en_US-joe-medium.onnx", "piper", ""),
        ("onnxruntime/libonnxruntime.so", "onnxruntime", "no model runs"),
    ];
    for (file, part, instead) in rows {
        let Some(folder) = models_with_one_changed(file) else {
            return say_skipped("no models");
        };
        let speech = Speech::open(&Options::with_models(folder.path()));
        let report = report(&speech);
        let (_, problem, in_use) = report.iter().find(|it| it.0 == part).expect("the part");
        let problem = problem.as_ref().expect("a problem");
        assert!(
            problem.contains("has the SHA-256") && problem.contains(part),
            "{problem}"
        );
        assert!(instead.is_empty() || in_use == instead, "{in_use}");
        let refused = report.iter().filter(|it| it.1.is_some()).count();
        let expected = if part == "onnxruntime" { Part::ALL.len() } else { 1 };
        assert_eq!(refused, expected, "{report:?}");
        if !speech.mouth().voices().is_empty() {
            assert!(
                !say(&speech, "Good morning.").await.expect("sound").is_empty(),
                "{part}"
            );
        }
    }
}
