//! Conversations as tables.

use super::*;
use crate::campaign::calling_window::ZoneName;

/// Tuesday the 3rd of March 2026, 10:00 in London (UTC).
pub(super) const NOW: UnixMicros = UnixMicros::from_seconds(1_772_532_000);

pub(super) fn context() -> FlowContext {
    FlowContext {
        zone: ZoneName::parse("Europe/London").expect("a zone"),
        callee_name: Some("Anna".to_owned()),
        company: Some("Hill Dental".to_owned()),
        has_model: true,
    }
}

pub(super) fn flow(json: Value) -> Flow {
    serde_json::from_value(json).expect("a flow")
}

pub(super) fn simple() -> Flow {
    flow(json!({
        "name": "test", "start": "ask",
        "nodes": [
            {"type": "ask", "id": "ask", "text": "Will you come?", "answer": {"type": "yes_no"}, "store": "coming",
             "on": {"yes": "fine", "no": "pity"}, "no_answer": "pity"},
            {"type": "end", "id": "fine", "text": "See you then.", "outcome": "confirmed"},
            {"type": "end", "id": "pity", "text": "What a pity.", "outcome": "declined"}
        ],
        "summary": "Coming: {{ coming | spoken }}."
    }))
}

/// Plays a conversation: `> heard`, `# keys`, `~` silence, `.` our words were spoken; `< part of what we say`, `= outcome`.
pub(super) fn play(flow: Flow, script: &str) -> FlowResult {
    let mut run = FlowRun::new(flow, &Map::new(), context()).expect("runs");
    let mut outputs = run.handle(NOW, FlowInput::Start);
    let mut result = FlowResult::default();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (kind, rest) = line.split_at(1);
        let rest = rest.trim();
        let said: Vec<String> = outputs
            .iter()
            .filter_map(|output| match output {
                FlowOutput::Say { text, .. } => Some(text.clone()),
                _ => None,
            })
            .collect();
        match kind {
            "<" => {
                assert!(
                    said.join(" | ").contains(rest),
                    "wanted {rest:?}, said {said:?} in\n{script}"
                );
                continue;
            }
            ">" => outputs = run.handle(NOW, FlowInput::Heard { text: rest.to_owned() }),
            "#" => outputs = run.handle(NOW, FlowInput::Keys(rest.to_owned())),
            "~" => outputs = run.handle(NOW, FlowInput::Silence),
            "!" => outputs = run.handle(NOW, FlowInput::Interrupted { heard: rest.to_owned() }),
            "." => outputs = run.handle(NOW, FlowInput::SpeechFinished),
            "=" => {
                if !run.is_finished() {
                    outputs = run.handle(NOW, FlowInput::SpeechFinished);
                }
                match outputs.last() {
                    Some(FlowOutput::Finish { result: finished }) => result = finished.as_ref().clone(),
                    other => panic!("not finished but {other:?} in\n{script}"),
                }
                assert_eq!(result.outcome, rest, "in\n{script}");
            }
            other => panic!("what is {other}?"),
        }
    }
    result
}

#[test]
fn a_question_is_asked_answered_and_the_call_ends() {
    let result = play(
        simple(),
        "< Will you come?\n> yes of course\n< See you then.\n= confirmed",
    );
    assert_eq!(result.values.get("coming"), Some(&json!(true)));
    assert_eq!(result.path, ["ask", "fine"]);
    assert_eq!(result.summary.as_deref(), Some("Coming: yes."));
    assert_eq!(result.notes, [""; 0]);
}

#[test]
fn what_callees_say_at_any_node_is_done() {
    let rows = [
        ("> stop calling me\n< not call you again\n= do_not_call"),
        ("> wrong number\n< sorry\n= wrong_person"),
        ("> this is not Anna\n< sorry\n= wrong_person"),
        ("> bye\n< Goodbye\n= goodbye"),
        ("> pardon\n< Will you come?\n> no\n= declined"),
        ("> who is this?\n< Hill Dental. Will you come?\n> yes\n= confirmed"),
        ("> hold on\n< take your time\n~\n< still there\n> yes\n= confirmed"),
        ("> can I talk to a human\n< pass that on\n= transfer_requested"),
        ("> I'm busy\n< When shall we call\n> I don't know\n< try again later\n= call_back"),
    ];
    for script in rows {
        play(simple(), script);
    }
}

#[test]
fn silence_and_nonsense_are_asked_again_and_end() {
    play(
        simple(),
        "~\n< did not hear anything. Will you come?\n~\n< What a pity.\n= declined",
    );
    play(
        simple(),
        "> blue\n< a yes or a no? Will you come?\n> blue\n> green\n< What a pity.\n= declined",
    );
}

#[test]
fn keys_answer_too() {
    play(simple(), "# 1\n= confirmed");
    play(simple(), "# 2#\n= declined");
    play(simple(), "# *\n< Will you come?\n# 1\n= confirmed");
    play(simple(), "# 0\n= transfer_requested");
}
