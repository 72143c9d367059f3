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

fn example(name: &str) -> Flow {
    let (_, json) = crate::flow::EXAMPLES
        .iter()
        .find(|(known, _)| *known == name)
        .expect("an example");
    serde_json::from_str(json).expect("a flow")
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

#[test]
fn an_appointment_is_moved_by_voice() {
    let result = play(
        example("appointment"),
        "< Hello Anna, this is the automated assistant of
         < You have an appointment on Tuesday the third of March at ten thirty a.m. Will you come?
         > no I can't make it
         < another time
         > yes please
         < Which day and time
         > next Tuesday
         < At what time?
         > quarter past two
         < Did you say on Tuesday the tenth of March at two fifteen p.m.?
         > no, Wednesday at three
         < Did you say tomorrow at three p.m.?
         > yes
         < I have noted Wednesday the fourth of March at three p.m.
         = other_time_wanted",
    );
    assert_eq!(
        result.values.get("other_time"),
        Some(&json!("2026-03-04T15:00:00+00:00"))
    );
    assert_eq!(
        result.summary.as_deref(),
        Some("Another time is wanted: Wednesday the fourth of March at three p.m.")
    );
    assert_eq!(result.notes, [""; 0]);
}

#[test]
fn a_payment_is_promised_in_part() {
    let result = play(
        example("payment"),
        "< Am I speaking with Anna?
         > speaking
         < forty five dollars and fifty cents was due on Friday the twentieth of March
         > no I don't have that much
         < How much
         > twenty dollars
         < Did you say twenty dollars?
         # 1
         < I have noted twenty dollars
         = partial_payment",
    );
    assert_eq!(
        result.values.get("can_pay_amount"),
        Some(&json!({"minor": 2000, "currency": "USD"}))
    );
}

#[test]
fn a_survey_asks_what_went_wrong() {
    let result = play(
        example("survey"),
        "> sure
         < From one to ten
         > eleven
         < at most ten
         > four
         < What mattered most
         > the weather
         < You can say the price, the service or the choice
         > the staff
         < What went wrong?
         > nobody had time for me and I had to wait an hour
         < somebody to call you
         > no thanks
         = completed",
    );
    assert_eq!(result.values.get("score"), Some(&json!(4)));
    assert_eq!(result.values.get("topic"), Some(&json!("service")));
}

#[test]
fn digits_may_come_in_parts_by_voice_and_keys() {
    let asks = flow(json!({
        "name": "test", "start": "ask",
        "nodes": [
            {"type": "ask", "id": "ask", "text": "Your code?", "answer": {"type": "digits", "at_least": 6, "at_most": 6}, "store": "code",
             "next": "end", "no_answer": "end"},
            {"type": "end", "id": "end", "text": "Thanks.", "outcome": "done"}
        ]
    }));
    let result = play(
        asks.clone(),
        "> four two double seven\n< I need six digits\n# 01\n= done",
    );
    assert_eq!(result.values.get("code"), Some(&json!("427701")));
    let result = play(asks, "# 427701#\n= done");
    assert_eq!(result.values.get("code"), Some(&json!("427701")));
}

#[test]
fn a_callback_is_at_the_callees_clock() {
    let seconds = |result: &FlowResult| result.call_back_at.map(UnixMicros::seconds);
    let tomorrow_at_five = NOW.seconds() + 31 * 3600;
    let result = play(
        simple(),
        "> call me tomorrow at five\n< we will call you tomorrow at five p.m.\n= call_back",
    );
    assert_eq!(seconds(&result), Some(tomorrow_at_five));
    let result = play(simple(), "> I'm busy\n< When shall we call\n> tomorrow\n= call_back");
    assert_eq!(seconds(&result), Some(NOW.seconds() + 24 * 3600));
    let result = play(
        simple(),
        "> not now\n< When shall we call\n~\n< try again later\n= call_back",
    );
    assert_eq!(seconds(&result), Some(NOW.seconds() + 3 * 3600));
}

#[test]
fn a_last_word_over_the_goodbye_counts() {
    let result = play(
        simple(),
        "> yes\n< See you then\n! See\n> and don't call me again\n< not call you again\n= confirmed",
    );
    assert!(result.do_not_call);
}

#[test]
fn whoever_breaks_us_off_and_says_nothing_hears_the_question_again() {
    play(simple(), "! Will\n~\n< Will you come?\n> yes\n= confirmed");
}

#[test]
fn a_callee_who_hangs_up_leaves_what_was_said() {
    let mut run = FlowRun::new(simple(), &Map::new(), context()).expect("runs");
    run.handle(NOW, FlowInput::Start);
    let outputs = run.handle(NOW, FlowInput::HungUp);
    assert!(
        matches!(outputs.as_slice(), [FlowOutput::Finish { result }] if result.outcome == "hung_up" && result.path == ["ask"])
    );
    assert_eq!(run.handle(NOW, FlowInput::Silence), []);
}

fn with_model() -> Flow {
    flow(json!({
        "name": "test", "start": "talk",
        "variables": {"size": {"type": "number"}},
        "nodes": [
            {"type": "model", "id": "talk", "instructions": "Find out the size for {{ callee_name }}.", "text": "What can I do for you?",
             "exits": {"done": {"description": "the size is known", "to": "end"}}, "store": ["size"], "turns_max": 2,
             "next": "end", "failed": "sorry"},
            {"type": "end", "id": "end", "text": "Size {{ size | spoken }}. Goodbye.", "outcome": "done"},
            {"type": "end", "id": "sorry", "text": "Sorry. Goodbye.", "outcome": "no_model"}
        ]
    }))
}

#[test]
fn a_model_converses_until_it_takes_an_exit() {
    let mut run = FlowRun::new(with_model(), &Map::new(), context()).expect("runs");
    run.handle(NOW, FlowInput::Start);
    let asked = run.handle(
        NOW,
        FlowInput::Heard {
            text: "I need a box".to_owned(),
        },
    );
    assert!(
        matches!(asked.as_slice(), [FlowOutput::AskModel { instructions, heard: Some(heard), .. }]
        if instructions == "Find out the size for Anna." && heard == "I need a box")
    );
    let said = |text: &str, already_spoken, exit: Option<&str>, values: Value| FlowInput::ModelSaid {
        text: text.to_owned(),
        already_spoken,
        exit: exit.map(str::to_owned),
        values: values.as_object().cloned().unwrap_or_default(),
    };
    let outputs = run.handle(NOW, said("How big?", true, None, json!({})));
    assert_eq!(outputs, [FlowOutput::Wait], "what was spoken is not said again");
    run.handle(
        NOW,
        FlowInput::Heard {
            text: "three".to_owned(),
        },
    );
    let outputs = run.handle(NOW, said("", false, Some("done"), json!({"size": "3", "other": 1})));
    assert!(matches!(outputs.as_slice(), [FlowOutput::Say { text, .. }] if text == "Size three. Goodbye."));
    assert_eq!(
        Value::Object(run.result().values),
        json!({"size": 3}),
        "only what the node may fill, as its type"
    );
}

#[test]
fn without_a_model_or_with_a_failing_one_the_flow_goes_on() {
    let no_model = FlowContext {
        has_model: false,
        ..context()
    };
    let mut run = FlowRun::new(with_model(), &Map::new(), no_model).expect("runs");
    run.handle(NOW, FlowInput::Start);
    assert_eq!(run.result().outcome, "no_model");
    let mut run = FlowRun::new(with_model(), &Map::new(), context()).expect("runs");
    run.handle(NOW, FlowInput::Start);
    run.handle(
        NOW,
        FlowInput::Heard {
            text: "hello".to_owned(),
        },
    );
    run.handle(NOW, FlowInput::ModelFailed);
    assert_eq!(run.result().outcome, "no_model");
}

#[test]
fn a_wish_that_ends_the_call_is_heard_while_a_model_converses() {
    let mut run = FlowRun::new(with_model(), &Map::new(), context()).expect("runs");
    run.handle(NOW, FlowInput::Start);
    run.handle(
        NOW,
        FlowInput::Heard {
            text: "stop calling me".to_owned(),
        },
    );
    assert!(run.result().do_not_call);
}

#[test]
fn a_loop_without_a_question_ends_politely() {
    let flow = flow(json!({
        "name": "test", "start": "a",
        "nodes": [{"type": "say", "id": "a", "text": "Round.", "next": "b"}, {"type": "say", "id": "b", "text": "And round.", "next": "a"}]
    }));
    play(flow, "< not getting anywhere\n= loop");
}

#[test]
fn a_transfer_is_asked_for_and_recorded() {
    let flow = flow(json!({
        "name": "test", "start": "a",
        "nodes": [{"type": "transfer", "id": "a", "text": "I will connect you.", "to": "sales", "reason": "{{ callee_name }} wants to buy"}]
    }));
    let mut run = FlowRun::new(flow, &Map::new(), context()).expect("runs");
    let outputs = run.handle(NOW, FlowInput::Start);
    let request = TransferRequest {
        to: "sales".to_owned(),
        reason: "Anna wants to buy".to_owned(),
    };
    assert!(outputs.contains(&FlowOutput::Transfer(request.clone())));
    assert_eq!(run.result().transfer_requested, Some(request));
}

#[test]
fn what_must_be_heard_stays_apart_from_what_may_be_interrupted() {
    let flow = flow(json!({
        "name": "test", "start": "a",
        "nodes": [
            {"type": "say", "id": "a", "text": "This call is recorded.", "interruptible": false, "next": "b"},
            {"type": "say", "id": "b", "text": "Hello.", "next": "c"},
            {"type": "ask", "id": "c", "text": "Well?", "answer": {"type": "yes_no"}, "next": "c"}
        ]
    }));
    let mut run = FlowRun::new(flow, &Map::new(), context()).expect("runs");
    let said: Vec<(String, bool)> = run
        .handle(NOW, FlowInput::Start)
        .into_iter()
        .filter_map(|output| match output {
            FlowOutput::Say {
                text, interruptible, ..
            } => Some((text, interruptible)),
            _ => None,
        })
        .collect();
    assert_eq!(
        said,
        [
            ("This call is recorded.".to_owned(), false),
            ("Hello. Well?".to_owned(), true)
        ]
    );
}

#[test]
fn what_was_said_does_not_show_in_debug_forms() {
    let mut run = FlowRun::new(simple(), &Map::new(), context()).expect("runs");
    let outputs = run.handle(NOW, FlowInput::Start);
    let input = FlowInput::Heard {
        text: "my secret".to_owned(),
    };
    let shown = format!("{outputs:?} {input:?} {:?} {:?}", context(), run.result());
    assert!(
        !shown.contains("Will you come") && !shown.contains("secret") && !shown.contains("Anna"),
        "{shown}"
    );
}
