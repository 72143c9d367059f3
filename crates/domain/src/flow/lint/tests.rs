//! Every rule of the linter, broken once.

use super::*;
use serde_json::{Value, json};

fn findings(json: Value) -> Vec<String> {
    let flow: Flow = serde_json::from_value(json).expect("a flow");
    lint(&flow)
        .into_iter()
        .map(|finding| {
            assert!(!finding.fix.is_empty(), "{finding:?}");
            format!("{}: {}", finding.path, finding.problem)
        })
        .collect()
}

fn with_nodes(nodes: Value) -> Value {
    json!({"name": "test", "start": "a", "nodes": nodes})
}

fn end() -> Value {
    json!({"type": "end", "id": "z", "text": "Bye.", "outcome": "done"})
}

#[test]
fn a_sound_flow_has_no_findings() {
    let ask =
        json!({"type": "ask", "id": "a", "text": "Well?", "answer": {"type": "yes_no"}, "next": "z", "no_answer": "z"});
    assert_eq!(findings(with_nodes(json!([ask, end()]))), [""; 0]);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let say = |next: Value| json!({"type": "say", "id": "a", "text": "Hello.", "next": next});
    let ask = |more: Value| {
        let mut node = json!({"type": "ask", "id": "a", "text": "Well?", "answer": {"type": "yes_no"}, "next": "z", "no_answer": "z"});
        for (name, value) in more.as_object().expect("an object") {
            node[name] = value.clone();
        }
        node
    };
    let rows: Vec<(Value, &str)> = vec![
        (json!([]), "nodes: there are no nodes"),
        (
            json!([say(json!("x")), end()]),
            "nodes.a.next: leads to `x`, which is no node",
        ),
        (
            json!([say(json!(null)), end()]),
            "nodes.a.next: there is no way on from here",
        ),
        (
            json!([say(json!("z")), end(), end()]),
            "nodes.z.id: two nodes have this id; the second is never used",
        ),
        (json!([end()]), "start: leads to `a`, which is no node"),
        (
            json!([say(json!("z")), end(), {"type": "end", "id": "lost", "outcome": "x"}]),
            "nodes.lost: nothing leads to this node",
        ),
        (
            json!([say(json!("a")), end()]),
            "nodes.a: leads back to itself without a question in between",
        ),
        (
            json!([ask(json!({"next": null, "on": {"yes": "z"}})), end()]),
            "nodes.a.on.no: there is no way on after the answer `no`",
        ),
        (
            json!([ask(json!({"on": {"maybe": "z"}})), end()]),
            "nodes.a.on.maybe: `maybe` is no answer to this question",
        ),
        (
            json!([ask(json!({"no_answer": null})), end()]),
            "nodes.a.no_answer: nothing says where to go when nobody answers; the call ends with a goodbye",
        ),
        (
            json!([ask(json!({"next": "a", "no_answer": "a"}))]),
            "nodes: no node ends the call",
        ),
        (
            json!([ask(json!({"text": "Hello {{ nobody }}"})), end()]),
            "nodes.a.text: uses `nobody`, which nothing defines",
        ),
        (
            json!([ask(json!({"text": "Hello {{ today"})), end()]),
            "nodes.a.text: syntax error",
        ),
        (
            json!([ask(json!({"text": "{{ today | shout }}"})), end()]),
            "nodes.a.text: unknown filter",
        ),
        (
            json!([ask(json!({"text": "{% set a = 1 %}Hello"})), end()]),
            "nodes.a.text: `set` is not allowed in a template",
        ),
        (
            json!([ask(json!({"text": " "})), end()]),
            "nodes.a.text: there is nothing to say",
        ),
        (
            json!([ask(json!({"text": "word ".repeat(100)})), end()]),
            "nodes.a.text: 499 characters take about 33 seconds to say",
        ),
        (
            json!([ask(json!({"when": [{"if": "age >", "to": "z"}]})), end()]),
            "nodes.a.when.0.if: syntax error",
        ),
        (
            json!([ask(json!({"when": [{"if": "age > 3", "to": "z"}]})), end()]),
            "nodes.a.when.0.if: uses `age`, which nothing defines",
        ),
        (
            json!([
                ask(json!({"answer": {"type": "digits", "at_least": 5, "at_most": 4}})),
                end()
            ]),
            "nodes.a.answer.at_least: no number of digits fits",
        ),
        (
            json!([
                ask(
                    json!({"answer": {"type": "options", "options": [{"value": "x"}, {"value": "y", "synonyms": ["X"]}]}})
                ),
                end()
            ]),
            "nodes.a.answer.options: two options are called `x`",
        ),
        (
            json!([ask(json!({"answer": {"type": "amount", "currency": "dollars"}})), end()]),
            "nodes.a.answer.currency: `dollars` is no currency",
        ),
        (
            json!([{"type": "model", "id": "a", "instructions": "Talk.", "exits": {}}, end()]),
            "nodes.a.exits: the model has no way out",
        ),
    ];
    for (nodes, expected) in rows {
        let found = findings(with_nodes(nodes));
        assert!(
            found.iter().any(|finding| finding.starts_with(expected)),
            "wanted {expected:?}, found {found:#?}"
        );
    }
}

#[test]
fn variables_and_languages_are_checked() {
    let flow = json!({
        "name": "test", "start": "a", "language": "hi-IN",
        "nodes": [{"type": "end", "id": "a", "outcome": "done"}]
    });
    assert_eq!(findings(flow), ["language: answers are not understood in `hi-IN`"]);
    let flow = json!({
        "name": "test", "start": "a",
        "variables": {"my age": {"type": "number", "default": "old"}},
        "nodes": [{"type": "end", "id": "a", "outcome": "done"}]
    });
    assert_eq!(
        findings(flow),
        [
            "variables.my age: templates cannot use this name",
            "variables.my age.default: does not fit the variable's type"
        ]
    );
}

#[test]
fn unknown_fields_are_refused_by_name() {
    let read = serde_json::from_value::<Flow>(with_nodes(
        json!([{"type": "say", "id": "a", "text": "Hi.", "nxt": "z"}]),
    ));
    let problem = read.expect_err("refused").to_string();
    assert!(problem.contains("nxt"), "{problem}");
}
