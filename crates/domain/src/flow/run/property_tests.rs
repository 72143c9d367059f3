//! Random flows and random callees: every conversation ends, nothing panics, nothing empty is said.

use super::tests::{NOW, context};
use super::*;
use crate::flow::graph::{Node, NodeId};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::json;

/// What callees say, sense and nonsense.
fn words() -> impl Strategy<Value = String> {
    let phrases = prop::sample::select(vec![
        "yes",
        "no",
        "no wait yes",
        "maybe",
        "four two double seven",
        "twenty dollars",
        "tomorrow at five",
        "the 31st of February",
        "blue",
        "call me later",
        "call me tomorrow",
        "do not call me again",
        "wrong number",
        "who is this",
        "what is this about",
        "pardon",
        "hold on",
        "a person please",
        "goodbye",
        "not tuesday, wednesday",
        "at seven",
        "the third",
        "",
        "…",
        "my name is Anna",
        "one",
        "half past",
        "nine thousand nine hundred ninety nine trillion billion",
        "the 29th of February",
        "3/4/2026",
        "in 5000 years",
        "{{ 1/0 }}",
    ]);
    prop_oneof![
        4 => phrases.prop_map(str::to_owned),
        1 => "\\PC{0,40}",
        1 => "[a-z0-9 :.,$]{0,60}",
    ]
}

fn input() -> impl Strategy<Value = FlowInput> {
    prop_oneof![
        8 => words().prop_map(|text| FlowInput::Heard { text }),
        2 => "[0-9*#]{0,8}".prop_map(FlowInput::Keys),
        3 => Just(FlowInput::Silence),
        2 => words().prop_map(|heard| FlowInput::Interrupted { heard }),
        2 => Just(FlowInput::SpeechFinished),
        1 => Just(FlowInput::Start),
        1 => Just(FlowInput::ModelFailed),
        2 => (words(), any::<bool>(), option::of("[ab]")).prop_map(|(text, already_spoken, exit)| FlowInput::ModelSaid {
            text,
            already_spoken,
            exit,
            values: serde_json::from_value(json!({"x": 3, "y": null})).unwrap_or_default(),
        }),
    ]
}

/// One of a few names, of which some are no node's.
fn target() -> impl Strategy<Value = NodeId> {
    prop::sample::select(vec!["n0", "n1", "n2", "n3", "n4", "n5", "nowhere"]).prop_map(str::to_owned)
}

fn template() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "Hello.",
        "",
        "{{ x }}",
        "{{ missing }}",
        "{{ x | spoken }}?",
        "{{ broken",
        "{% for i in [1,2,3] %}{{ i }} {% endfor %}",
        "{{ x | nothing }}",
        "{{ 1 / 0 }}",
        "   ",
        "{% if x %}Yes{% endif %}",
        "{{ x | spoken_date }} {{ x | ordinal }}",
    ])
    .prop_map(str::to_owned)
}

fn answer() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!({"type": "yes_no"}),
        json!({"type": "digits", "at_least": 4, "at_most": 6}),
        json!({"type": "digits", "at_least": 9, "at_most": 2}),
        json!({"type": "number", "min": 5, "max": 1}),
        json!({"type": "amount", "currency": "USD", "max_minor": 5000}),
        json!({"type": "amount", "currency": "no currency"}),
        json!({"type": "date", "within_days": 30}),
        json!({"type": "date", "past": true}),
        json!({"type": "time", "earliest": "18:00", "latest": "09:00"}),
        json!({"type": "date_time", "within_days": 4_000_000}),
        json!({"type": "options", "options": []}),
        json!({"type": "options", "options": [{"value": "blue"}, {"value": "red", "synonyms": ["one", ""]}]}),
        json!({"type": "name"}),
        json!({"type": "text", "chars_max": 5}),
    ])
}

/// Boxed: a strategy of strategies by value would take the whole stack of a test.
fn node(index: usize) -> BoxedStrategy<Node> {
    let id = format!("n{index}");
    let next = || option::of(target());
    let read = |value: Value| serde_json::from_value::<Node>(value).expect("a node");
    let (a, b, c, d, e, f, g) = (
        id.clone(),
        id.clone(),
        id.clone(),
        id.clone(),
        id.clone(),
        id.clone(),
        id,
    );
    prop_oneof![
        (template(), next(), any::<bool>())
            .prop_map(move |(text, next, interruptible)| read(json!({"type": "say", "id": a, "text": text, "next": next, "interruptible": interruptible}))),
        (template(), answer(), next(), next(), btree_map("yes|no|blue|1234", target(), 0..3), vec(template(), 0..2), 0u8..4, option::of(Just("x")),
            prop::sample::select(vec!["never", "when_unsure", "always"]))
            .prop_map(move |(text, answer, next, no_answer, on, retry, tries, store, confirm)| read(json!({
                "type": "ask", "id": b, "text": text, "answer": answer, "next": next, "no_answer": no_answer, "on": on, "retry": retry,
                "tries_max": tries, "silences_max": tries, "store": store, "confirm": confirm}))),
        (prop::sample::select(vec!["x", "x > 3", "missing == 1", "x +", "1 / 0"]), target(), next())
            .prop_map(move |(condition, to, next)| read(json!({"type": "branch", "id": c, "when": [{"if": condition, "to": to}], "next": next}))),
        (prop::sample::select(vec![json!({"expression": "x + 1"}), json!("{{ x }}{{ x }}"), json!(7), json!({"expression": "x *"})]), next())
            .prop_map(move |(value, next)| read(json!({"type": "set", "id": d, "values": {"x": value}, "next": next}))),
        (template(), option::of(template()), target(), next(), 0u8..4)
            .prop_map(move |(instructions, text, to, next, turns)| read(json!({
                "type": "model", "id": e, "instructions": instructions, "text": text, "exits": {"a": {"description": "", "to": to}},
                "store": ["x", "y"], "turns_max": turns, "next": next}))),
        (template(), option::of(template()), next())
            .prop_map(move |(to, text, next)| read(json!({"type": "transfer", "id": f, "to": to, "text": text, "next": next}))),
        (option::of(template()), prop::sample::select(vec![json!(null), json!({"after_minutes": 4_294_967_295u32}), json!({"at": "x"})]))
            .prop_map(move |(text, delay)| read(json!({"type": "end", "id": g, "text": text, "outcome": "done", "follow_up": delay, "call_back": delay}))),
    ]
    .boxed()
}

fn random_flow() -> BoxedStrategy<Flow> {
    let nodes =
        (node(0), node(1), node(2), node(3), node(4), node(5)).prop_map(|(a, b, c, d, e, f)| vec![a, b, c, d, e, f]);
    (
        nodes,
        target(),
        option::of(template()),
        option::of(target()),
        0u16..30,
        0u16..30,
    )
        .prop_map(|(nodes, start, summary, to, turns, steps)| {
            let mut flow: Flow = serde_json::from_value(
                json!({"name": "random", "start": start, "nodes": [], "summary": summary,
            "variables": {"x": {"type": "number", "default": 1}},
            "intents": {"later": {"to": to}, "person": {"transfer_to": "{{ x }}"}},
            "limits": {"turns_max": turns, "steps_max": steps}}),
            )
            .expect("a flow");
            flow.nodes = nodes;
            flow
        })
        .boxed()
}

/// What must hold of every batch.
fn check(outputs: &[FlowOutput], finished: bool) {
    for (index, output) in outputs.iter().enumerate() {
        match output {
            FlowOutput::Say { text, .. } => {
                assert!(
                    text.chars().any(char::is_alphanumeric),
                    "something empty was said: {text:?}"
                );
            }
            FlowOutput::Finish { result } => {
                assert!(finished && index + 1 == outputs.len(), "something follows the end");
                assert!(!result.outcome.is_empty(), "no outcome");
            }
            FlowOutput::AskModel { .. } | FlowOutput::Wait | FlowOutput::Transfer(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_conversation_ends_and_says_nothing_empty(flow in random_flow(), inputs in vec(input(), 0..60), has_model in any::<bool>()) {
        let context = FlowContext { has_model, ..context() };
        let mut run = FlowRun::new(flow, &Map::new(), context).expect("English");
        let outputs = run.handle(NOW, FlowInput::Start);
        prop_assert!(!outputs.is_empty());
        check(&outputs, run.is_finished());
        for input in inputs {
            let finished = run.is_finished();
            let outputs = run.handle(NOW, input);
            prop_assert_eq!(outputs.is_empty(), finished, "every input is answered until the end, and none after it");
            check(&outputs, run.is_finished());
        }
        // A callee who has gone silent: each question is asked a few times and given up.
        for _ in 0..600 {
            let outputs = run.handle(NOW, FlowInput::Silence);
            check(&outputs, run.is_finished());
        }
        prop_assert!(run.is_finished(), "it never ends");
    }

    #[test]
    fn goodbye_always_ends(flow in random_flow(), inputs in vec(input(), 0..20)) {
        let mut run = FlowRun::new(flow, &Map::new(), context()).expect("English");
        run.handle(NOW, FlowInput::Start);
        for input in inputs {
            run.handle(NOW, input);
        }
        for _ in 0..3 {
            run.handle(NOW, FlowInput::Heard { text: "goodbye".to_owned() });
            run.handle(NOW, FlowInput::SpeechFinished);
        }
        prop_assert!(run.is_finished(), "goodbye was said three times");
    }

    #[test]
    fn any_words_are_understood_or_not_but_never_panic(words in words(), wanted in answer()) {
        let wanted: crate::flow::answer::AnswerType = serde_json::from_value(wanted).expect("an answer type");
        let moment = Moment { now: NOW, zone: context().zone };
        let speech = speech(&Language::english()).expect("English");
        if let Ok(understood) = speech.understand(&wanted, &words, &moment) {
            prop_assert!(understood.confidence_percent <= 100);
            let _ = understood.answer.to_json();
        }
        let _ = speech.intent(&words, Some("Anna"));
        let _ = speech.call_back_time(&words, &moment);
    }
}
