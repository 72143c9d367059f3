//! Conversations in which everything works.

use super::super::brain::{Decision, Heard, Piece};
use super::stage::{Act, Cue, Scene, Step, Steps};
use carillon_domain::script::TalkEnd;

#[tokio::test(start_paused = true)]
async fn a_conversation_goes_back_and_forth_and_ends_with_a_goodbye_that_is_heard() {
    let brain = Steps::new(&[
        Step::Say("Hello, this is Ada. Is this a good time?"),
        Step::Close("Thank you very much. Goodbye."),
    ]);
    let asked = brain.asked.clone();
    let scene = Scene::new(
        brain,
        &["hello", "yes it is"],
        &[(Cue::At(300), Act::Say(0, 500)), (Cue::AfterUs(600), Act::Say(1, 800))],
    );
    let played = scene.play().await;
    assert_eq!(
        played.dialogue(),
        "callee: hello\nagent: Hello, this is Ada. Is this a good time?\ncallee: yes it is\nagent: Thank you very much. Goodbye.\n"
    );
    let conversation = played.conversation();
    assert_eq!(conversation.ended_by, Some(TalkEnd::Goodbye));
    assert_eq!(conversation.outcome.as_deref(), Some("done"));
    let spare = played
        .said
        .iter()
        .filter(|text| text.contains("technical problem"))
        .count();
    assert_eq!(
        spare, 1,
        "the last words are made before they are needed: {:?}",
        played.said
    );
    assert_eq!(conversation.faults, [""; 0]);
    let heard: Vec<Heard> = asked.lock().unwrap().iter().map(|(heard, _)| heard.clone()).collect();
    let words = |words: &str| Heard::Turn {
        words: words.to_owned(),
        keys: String::new(),
        added: None,
    };
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(matches!(heard[0], Heard::Begin { .. }));
    assert!(heard[1] == words("yes it is"));
    assert_eq!(
        played
            .reported
            .as_ref()
            .and_then(|result| result.conversation.clone())
            .map(|it| it.ended_by),
        Some(Some(TalkEnd::Goodbye))
    );
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_an_answer_is_measured_in_its_parts() {
    let brain = Steps::new(&[Step::Say("Is this a good time?"), Step::Slow(300, "Good. Goodbye.")]);
    let scene = Scene::new(
        brain,
        &["yes"],
        &[(Cue::AfterUs(600), Act::Say(0, 600)), (Cue::AfterUs(500), Act::HangUp)],
    );
    let played = scene.play().await;
    let latencies = &played.conversation().latencies;
    assert_eq!(latencies.len(), 1, "{latencies:?}");
    let latency = latencies[0];
    assert!((300..340).contains(&latency.brain_ms), "{latency:?}");
    assert!((80..120).contains(&latency.synthesis_ms), "{latency:?}");
    assert!((60..100).contains(&latency.recognition_ms), "{latency:?}");
    assert!((200..1_000).contains(&latency.end_of_turn_ms), "{latency:?}");
    let sum = latency.end_of_turn_ms + latency.brain_ms + latency.synthesis_ms;
    assert!(latency.total_ms.abs_diff(sum) <= 3, "{latency:?}");
}

#[tokio::test(start_paused = true)]
async fn an_interruption_stops_us_and_the_brain_learns_what_was_heard() {
    let brain = Steps::new(&[
        Step::Say("Let me tell you everything about our long and wonderful history, which began many years ago."),
        Step::Close("I am sorry. Goodbye."),
    ]);
    let asked = brain.asked.clone();
    let scene = Scene::new(
        brain,
        &["please stop talking to me now"],
        &[(Cue::IntoUs(2_000), Act::Say(0, 1_500))],
    );
    let played = scene.play().await;
    let asked = asked.lock().unwrap();
    let cut_off = asked[1].1.as_deref().expect("it was cut off");
    assert!(
        cut_off.starts_with("Let me tell") && !cut_off.contains("years ago"),
        "{cut_off}"
    );
    assert!(
        played.dialogue().contains("callee: please stop talking to me now"),
        "{}",
        played.dialogue()
    );
    assert!(!played.dialogue().contains("years ago"));
}

#[tokio::test(start_paused = true)]
async fn a_hum_ducks_us_and_we_go_on_to_the_end() {
    let brain = Steps::new(&[Step::Close(
        "We have a long message for you today, so please listen to all of it. Goodbye.",
    )]);
    let scene = Scene::new(brain, &["mhm"], &[(Cue::IntoUs(1_500), Act::Say(0, 300))]);
    let played = scene.play().await;
    assert!(
        played.dialogue().contains("listen to all of it. Goodbye."),
        "{}",
        played.dialogue()
    );
    assert_eq!(played.conversation().ended_by, Some(TalkEnd::Goodbye));
}

#[tokio::test(start_paused = true)]
async fn a_silent_callee_is_asked_again_and_then_let_go() {
    let brain = Steps::new(&[
        Step::Say("Hello, who is there?"),
        Step::Say("Are you there?"),
        Step::Say("Hello?"),
    ]);
    let asked = brain.asked.clone();
    let played = Scene::new(brain, &[], &[]).play().await;
    let asked: Vec<String> = asked
        .lock()
        .unwrap()
        .iter()
        .map(|(heard, _)| format!("{heard:?}"))
        .collect();
    assert_eq!(asked, ["Begin", "Silence(1)", "Silence(2)", "GiveUp"]);
    assert_eq!(played.conversation().ended_by, Some(TalkEnd::Silence));
    assert!(played.longest_silence_ms() < 8_000);
}

#[tokio::test(start_paused = true)]
async fn keys_are_a_turn_and_are_kept() {
    let brain = Steps::new(&[Step::Say("Please press one or two."), Step::Close("Thank you.")]);
    let asked = brain.asked.clone();
    let played = Scene::new(brain, &[], &[(Cue::AfterUs(400), Act::Press('1'))])
        .play()
        .await;
    assert_eq!(played.result.keys, "1");
    assert!(
        asked
            .lock()
            .unwrap()
            .iter()
            .any(|(heard, _)| matches!(heard, Heard::Turn { keys, .. } if keys == "1"))
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_known_is_not_lost_when_the_callee_hangs_up() {
    let brain = Steps::new(&[
        Step::Say("Shall we call you again?"),
        Step::Send(Piece::Decision(Decision::DoNotCall)),
    ]);
    let scene = Scene::new(
        brain,
        &["no never call me again"],
        &[(Cue::AfterUs(400), Act::Say(0, 1_000)), (Cue::At(7_000), Act::HangUp)],
    );
    let played = scene.play().await;
    assert!(played.result.do_not_call);
    assert_eq!(played.conversation().ended_by, None, "the callee ended it");
    assert!(played.reported.is_none());
    assert!(played.dialogue().contains("callee: no never call me again"));
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_longest_duration_with_a_word_before() {
    let steps: Vec<Step> = (0..200).map(|_| Step::Say("Tell me more about it.")).collect();
    let brain = Steps::new(&steps);
    let asked = brain.asked.clone();
    let part: Vec<(Cue, Act)> = (0..100).map(|_| (Cue::AfterUs(500), Act::Say(0, 2_000))).collect();
    let mut scene = Scene::new(brain, &["so then I went to the market"], &part);
    scene.settings.limits.call_max_ms = 60_000;
    let played = scene.play().await;
    assert!(
        asked
            .lock()
            .unwrap()
            .iter()
            .any(|(heard, _)| matches!(heard, Heard::WrapUp { .. }))
    );
    assert!(
        played.ended_ms.is_some_and(|ms| (30_000..=60_100).contains(&ms)),
        "{:?}",
        played.ended_ms
    );
}
