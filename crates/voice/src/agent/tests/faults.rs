//! Every part fails in every way it can: the callee is never left in silence, and every call ends with a name.

use super::super::spare::SparePhrases;
use super::scripted::{EarFault, Faults, JudgeFault, MouthFault};
use super::stage::{Act, Cue, Scene, Step, Steps};
use carillon_domain::script::{TalkEnd, TalkPart};

fn fault(part: TalkPart) -> Option<TalkEnd> {
    Some(TalkEnd::Fault { part })
}

const GOODBYE: Option<TalkEnd> = Some(TalkEnd::Goodbye);

struct Row {
    what: &'static str,
    faults: Faults,
    steps: Vec<Step>,
    ended_by: Option<TalkEnd>,
    /// Whether anything can be said at all.
    can_speak: bool,
    /// Whether it is so bad that the call's record names it.
    named: bool,
}

fn row(what: &'static str, ended_by: Option<TalkEnd>) -> Row {
    Row {
        what,
        faults: Faults::default(),
        steps: vec![
            Step::Say("Hello, is this a good time?"),
            Step::Close("Thank you. Goodbye."),
        ],
        ended_by,
        can_speak: true,
        named: true,
    }
}

fn ear(what: &'static str, fault: EarFault, ended_by: Option<TalkEnd>) -> Row {
    let mut row = row(what, ended_by);
    row.faults.ear = fault;
    row.steps.insert(1, Step::Say("Sorry, can you say that again?"));
    row.steps.insert(1, Step::Say("Sorry, what did you say?"));
    row
}

fn mouth(what: &'static str, fault: MouthFault, ended_by: Option<TalkEnd>, can_speak: bool) -> Row {
    let mut row = row(what, ended_by);
    (row.faults.mouth, row.can_speak) = (fault, can_speak);
    // It was asked again, and nobody noticed.
    row.named = fault != MouthFault::FailsOnce;
    row
}

fn judge(what: &'static str, fault: JudgeFault) -> Row {
    let mut row = row(what, GOODBYE);
    (row.faults.judge, row.named) = (fault, false);
    row
}

fn brain(what: &'static str, steps: &[Step], ended_by: Option<TalkEnd>) -> Row {
    Row {
        steps: steps.to_vec(),
        ..row(what, ended_by)
    }
}

/// It is only slow, or the callee's next words made up for it.
fn unnamed(mut row: Row) -> Row {
    row.named = false;
    row
}

fn table() -> Vec<Row> {
    let hello = || Step::Say("Hello, is this a good time?");
    vec![
        unnamed(row("nothing", GOODBYE)),
        ear("no recogniser", EarFault::Unavailable, fault(TalkPart::Hearing)),
        ear(
            "a recogniser that does not open",
            EarFault::HangsOnOpen,
            fault(TalkPart::Hearing),
        ),
        ear("a recogniser that tells nothing", EarFault::Mute, GOODBYE),
        ear(
            "a recogniser that fails always",
            EarFault::Fails,
            fault(TalkPart::Hearing),
        ),
        ear(
            "a recogniser that dies always",
            EarFault::FailsForGood,
            fault(TalkPart::Hearing),
        ),
        ear("a recogniser that dies once", EarFault::FailsOnce, GOODBYE),
        mouth("no synthesiser", MouthFault::Refuses, fault(TalkPart::Voice), false),
        mouth(
            "a synthesiser that dies",
            MouthFault::RefusesLater,
            fault(TalkPart::Voice),
            true,
        ),
        mouth(
            "a synthesiser that hangs",
            MouthFault::Hangs,
            fault(TalkPart::Voice),
            false,
        ),
        mouth(
            "a synthesiser that stalls",
            MouthFault::Stalls,
            fault(TalkPart::Voice),
            true,
        ),
        mouth(
            "a synthesiser that breaks off",
            MouthFault::BreaksOff,
            fault(TalkPart::Voice),
            true,
        ),
        mouth(
            "a synthesiser without sound",
            MouthFault::Empty,
            fault(TalkPart::Voice),
            false,
        ),
        mouth("a synthesiser that fails once", MouthFault::FailsOnce, GOODBYE, true),
        judge("a judge that fails", JudgeFault::Fails),
        judge("a judge that hangs", JudgeFault::Hangs),
        judge("a judge without sense", JudgeFault::Garbage),
        brain(
            "a brain that fails at first",
            &[Step::Fail, Step::Close("Goodbye.")],
            GOODBYE,
        ),
        brain(
            "a brain that fails twice",
            &[Step::Fail, Step::Fail],
            fault(TalkPart::Brain),
        ),
        brain(
            "a brain that hangs at first",
            &[Step::Hang, Step::Close("Goodbye.")],
            GOODBYE,
        ),
        brain("a brain that hangs", &[const { Step::Hang }; 9], fault(TalkPart::Brain)),
        unnamed(brain("a brain that hangs once", &[hello(), Step::Hang], GOODBYE)),
        brain("a brain that dies", &[hello(), Step::Panic], fault(TalkPart::Brain)),
        unnamed(brain("a slow brain", &[hello(), Step::Slow(5_000, "Well.")], GOODBYE)),
    ]
}

#[tokio::test(start_paused = true)]
async fn no_fault_leaves_a_callee_in_silence_or_a_call_without_an_end() {
    let mut wrong = Vec::new();
    for row in table() {
        let scene = Scene {
            faults: row.faults,
            spare: SparePhrases::default(),
            ..Scene::new(
                Steps::new(&row.steps),
                &["yes", "are you there", "hello"],
                &[
                    (Cue::AfterUs(600), Act::Say(0, 700)),
                    (Cue::AfterUs(600), Act::Say(1, 700)),
                    (Cue::AfterUs(600), Act::Say(2, 700)),
                    (Cue::AfterUs(600), Act::Say(0, 700)),
                    (Cue::AfterUs(600), Act::Say(1, 700)),
                ],
            )
        };
        let played = scene.play().await;
        let conversation = played.conversation();
        let mut say = |problem: String| {
            wrong.push(format!(
                "{}: {problem}; {:?}\n{}",
                row.what,
                conversation.faults,
                played.dialogue()
            ))
        };
        if conversation.ended_by != row.ended_by {
            say(format!("ended by {:?}", conversation.ended_by));
        }
        if played.ended_ms.is_none_or(|ms| ms > 60_000) {
            say(format!("ended at {:?} ms", played.ended_ms));
        }
        let longest_ms = played.longest_silence_ms();
        if longest_ms > 10_500 {
            say(format!("{longest_ms} ms of silence"));
        }
        if row.can_speak != (played.ours_ms() > 0) {
            say(format!("{} ms of ours", played.ours_ms()));
        }
        if row.named == conversation.faults.is_empty() {
            say("the record does not name it rightly".to_owned());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
