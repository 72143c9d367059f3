//! Where transitions lead: names that are there twice or not at all, nodes that nothing reaches, exits that are missing,
//! loops without a question.

use super::Finding;
use crate::flow::answer::AnswerType;
use crate::flow::graph::{Ask, Flow, Node};
use std::collections::BTreeSet;

pub(super) fn check(flow: &Flow) -> Vec<Finding> {
    let mut findings = Vec::new();
    if flow.nodes.is_empty() {
        findings.push(Finding::error(
            "nodes",
            "there are no nodes",
            "add at least one `end` node",
        ));
        return findings;
    }
    names(flow, &mut findings);
    for (path, target) in all_targets(flow) {
        if flow.node(&target).is_none() {
            findings.push(Finding::error(
                path,
                format!("leads to `{target}`, which is no node"),
                format!("add a node `{target}`, or lead to one of: {}", some_ids(flow)),
            ));
        }
    }
    unreachable(flow, &mut findings);
    for node in &flow.nodes {
        exits(node, &mut findings);
    }
    loops(flow, &mut findings);
    dead_ends(flow, &mut findings);
    findings
}

fn some_ids(flow: &Flow) -> String {
    let ids: Vec<&str> = flow.nodes.iter().map(Node::id).take(6).collect();
    ids.join(", ")
}

fn names(flow: &Flow, findings: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    for node in &flow.nodes {
        if node.id().trim().is_empty() {
            findings.push(Finding::error(
                "nodes",
                "a node has an empty id",
                "give every node an id of its own",
            ));
        } else if !seen.insert(node.id()) {
            findings.push(Finding::error(
                format!("nodes.{}.id", node.id()),
                "two nodes have this id; the second is never used",
                "rename one of them",
            ));
        }
    }
}

/// Where a node may lead, with the place that says so.
pub(super) fn targets(node: &Node) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut add = |place: String, target: &Option<String>| {
        if let Some(target) = target {
            found.push((format!("nodes.{}.{place}", node.id()), target.clone()));
        }
    };
    match node {
        Node::Say(say) => add("next".to_owned(), &say.next),
        Node::Ask(ask) => {
            for (word, target) in &ask.on {
                add(format!("on.{word}"), &Some(target.clone()));
            }
            for (index, when) in ask.when.iter().enumerate() {
                add(format!("when.{index}"), &Some(when.to.clone()));
            }
            add("next".to_owned(), &ask.next);
            add("no_answer".to_owned(), &ask.no_answer);
            add("not_understood".to_owned(), &ask.not_understood);
        }
        Node::Branch(branch) => {
            for (index, when) in branch.when.iter().enumerate() {
                add(format!("when.{index}"), &Some(when.to.clone()));
            }
            add("next".to_owned(), &branch.next);
        }
        Node::Set(set) => add("next".to_owned(), &set.next),
        Node::Model(model) => {
            for (name, exit) in &model.exits {
                add(format!("exits.{name}"), &Some(exit.to.clone()));
            }
            add("next".to_owned(), &model.next);
            add("failed".to_owned(), &model.failed);
        }
        Node::Transfer(transfer) => add("next".to_owned(), &transfer.next),
        Node::End(_) => {}
    }
    found
}

fn intent_targets(flow: &Flow) -> Vec<(String, String)> {
    let intents = &flow.intents;
    let all = [
        ("later", &intents.later.to),
        ("do_not_call", &intents.do_not_call.to),
        ("wrong_person", &intents.wrong_person.to),
        ("person", &intents.person.to),
        ("goodbye", &intents.goodbye.to),
        ("repeat", &intents.repeat.to),
        ("hold_on", &intents.hold_on.to),
        ("who", &intents.who.to),
        ("about", &intents.about.to),
    ];
    all.into_iter()
        .filter_map(|(name, target)| Some((format!("intents.{name}.to"), target.clone()?)))
        .collect()
}

fn all_targets(flow: &Flow) -> Vec<(String, String)> {
    let start = ("start".to_owned(), flow.start.clone());
    std::iter::once(start)
        .chain(flow.nodes.iter().flat_map(targets))
        .chain(intent_targets(flow))
        .collect()
}

fn reachable(flow: &Flow) -> BTreeSet<String> {
    let mut open: Vec<String> = std::iter::once(flow.start.clone())
        .chain(intent_targets(flow).into_iter().map(|(_, target)| target))
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        let Some(node) = flow.node(&id) else { continue };
        if seen.insert(id) {
            open.extend(targets(node).into_iter().map(|(_, target)| target));
        }
    }
    seen
}

fn unreachable(flow: &Flow, findings: &mut Vec<Finding>) {
    let reached = reachable(flow);
    for node in flow.nodes.iter().filter(|node| !reached.contains(node.id())) {
        findings.push(Finding::warning(
            format!("nodes.{}", node.id()),
            "nothing leads to this node",
            "lead to it from another node, or remove it",
        ));
    }
}

fn missing(node: &Node, place: &str, problem: &str, fix: &str) -> Finding {
    Finding::error(format!("nodes.{}.{place}", node.id()), problem, fix)
}

fn exits(node: &Node, findings: &mut Vec<Finding>) {
    match node {
        Node::Say(say) if say.next.is_none() => {
            findings.push(missing(
                node,
                "next",
                "there is no way on from here",
                "set `next`, for example to an `end` node",
            ));
        }
        Node::Branch(branch) => {
            if branch.next.is_none() {
                findings.push(missing(
                    node,
                    "next",
                    "there is no way on when no condition holds",
                    "set `next`",
                ));
            }
            if branch.when.is_empty() {
                findings.push(Finding::warning(
                    format!("nodes.{}.when", node.id()),
                    "there are no conditions",
                    "add one, or lead past this node",
                ));
            }
        }
        Node::Set(set) if set.next.is_none() => {
            findings.push(missing(node, "next", "there is no way on from here", "set `next`"))
        }
        Node::Model(model) => {
            if model.exits.is_empty() {
                findings.push(missing(
                    node,
                    "exits",
                    "the model has no way out",
                    "add an exit with a description",
                ));
            }
            if model.next.is_none() && model.failed.is_none() {
                findings.push(missing(
                    node,
                    "failed",
                    "there is no way on without a model",
                    "set `failed` to a node that works without one, and `next` for a callee who falls silent",
                ));
            }
            for (name, exit) in model
                .exits
                .iter()
                .filter(|(_, exit)| exit.description.trim().is_empty())
            {
                findings.push(Finding::warning(
                    format!("nodes.{}.exits.{name}.description", node.id()),
                    format!("the model cannot know when to take the exit to `{}`", exit.to),
                    "describe when to take it",
                ));
            }
        }
        Node::Ask(ask) => ask_exits(node, ask, findings),
        Node::Say(_) | Node::Set(_) | Node::Transfer(_) | Node::End(_) => {}
    }
}

fn ask_exits(node: &Node, ask: &Ask, findings: &mut Vec<Finding>) {
    let words: Option<Vec<&str>> = match &ask.answer {
        AnswerType::YesNo => Some(vec!["yes", "no"]),
        AnswerType::Options { options } => Some(options.iter().map(|option| option.value.as_str()).collect()),
        _ => None,
    };
    if ask.next.is_none() {
        match &words {
            Some(words) => {
                for word in words.iter().filter(|word| !ask.on.contains_key(**word)) {
                    findings.push(missing(
                        node,
                        &format!("on.{word}"),
                        &format!("there is no way on after the answer `{word}`"),
                        "add it to `on`, or set `next`",
                    ));
                }
            }
            None => findings.push(missing(
                node,
                "next",
                "there is no way on after an answer",
                "set `next`",
            )),
        }
    }
    if let Some(words) = &words {
        for word in ask.on.keys().filter(|word| !words.contains(&word.as_str())) {
            findings.push(Finding::error(
                format!("nodes.{}.on.{word}", node.id()),
                format!("`{word}` is no answer to this question"),
                format!("use one of: {}", words.join(", ")),
            ));
        }
    } else if !ask.on.is_empty() && !matches!(ask.answer, AnswerType::Digits { .. } | AnswerType::Number { .. }) {
        findings.push(Finding::error(
            format!("nodes.{}.on", node.id()),
            "answers of this type have no words to go by",
            "use `when` with a condition on the stored variable",
        ));
    }
    if ask.no_answer.is_none() {
        findings.push(Finding::warning(
            format!("nodes.{}.no_answer", node.id()),
            "nothing says where to go when nobody answers; the call ends with a goodbye",
            "set `no_answer`",
        ));
    }
    answer_bounds(node, &ask.answer, findings);
    if ask.tries_max == 0 || ask.silences_max == 0 {
        findings.push(Finding::error(
            format!("nodes.{}.tries_max", node.id()),
            "a question needs at least one try",
            "set `tries_max` and `silences_max` to 1 or more",
        ));
    }
}

fn answer_bounds(node: &Node, answer: &AnswerType, findings: &mut Vec<Finding>) {
    let place = |field: &str| format!("nodes.{}.answer.{field}", node.id());
    match answer {
        AnswerType::Digits { at_least, at_most } if at_least > at_most || *at_most == 0 => {
            findings.push(Finding::error(
                place("at_least"),
                "no number of digits fits",
                "set `at_least` to 1 or more and not over `at_most`",
            ))
        }
        AnswerType::Number {
            min: Some(min),
            max: Some(max),
            ..
        } if min > max => {
            findings.push(Finding::error(
                place("min"),
                "no number fits",
                "set `min` not over `max`",
            ));
        }
        AnswerType::Amount {
            currency,
            min_minor,
            max_minor,
        } => {
            if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
                findings.push(Finding::error(
                    place("currency"),
                    format!("`{currency}` is no currency"),
                    "use an ISO 4217 code such as `USD`",
                ));
            }
            if min_minor.zip(*max_minor).is_some_and(|(min, max)| min > max) {
                findings.push(Finding::error(
                    place("min_minor"),
                    "no amount fits",
                    "set `min_minor` not over `max_minor`",
                ));
            }
        }
        AnswerType::Time {
            earliest: Some(from),
            latest: Some(to),
        }
        | AnswerType::DateTime {
            earliest: Some(from),
            latest: Some(to),
            ..
        } if from > to => {
            findings.push(Finding::error(
                place("earliest"),
                "no time fits",
                "set `earliest` before `latest`",
            ));
        }
        AnswerType::Options { options } => {
            if options.is_empty() {
                findings.push(Finding::error(
                    place("options"),
                    "there is nothing to choose from",
                    "add at least two options",
                ));
            }
            let mut values = BTreeSet::new();
            let mut phrases = BTreeSet::new();
            for option in options {
                if option.value.trim().is_empty() || !values.insert(&option.value) {
                    findings.push(Finding::error(
                        place("options"),
                        format!("the value `{}` is empty or there twice", option.value),
                        "give every option a value of its own",
                    ));
                }
                let own: BTreeSet<String> = option.phrases().map(str::to_lowercase).collect();
                for phrase in own {
                    if !phrases.insert(phrase.clone()) {
                        findings.push(Finding::error(
                            place("options"),
                            format!("two options are called `{phrase}`"),
                            "remove it from one of them",
                        ));
                    }
                }
            }
        }
        _ => {}
    }
}

/// Nodes at which the conversation stands still and listens, or ends.
fn rests(node: &Node) -> bool {
    matches!(node, Node::Ask(_) | Node::Model(_) | Node::End(_))
}

/// Going round without a question: whoever comes here never speaks again.
fn loops(flow: &Flow, findings: &mut Vec<Finding>) {
    for node in flow.nodes.iter().filter(|node| !rests(node)) {
        let mut open: Vec<String> = targets(node).into_iter().map(|(_, target)| target).collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if id == node.id() {
                findings.push(Finding::error(
                    format!("nodes.{}", node.id()),
                    "leads back to itself without a question in between",
                    "put an `ask` node in the loop, or lead out of it",
                ));
                break;
            }
            if let Some(next) = flow.node(&id).filter(|next| !rests(next))
                && seen.insert(id)
            {
                open.extend(targets(next).into_iter().map(|(_, target)| target));
            }
        }
    }
}

/// Nodes from which no end can be reached: the conversation goes on until its turns are used up.
fn dead_ends(flow: &Flow, findings: &mut Vec<Finding>) {
    let mut ends: BTreeSet<&str> = BTreeSet::new();
    loop {
        let before = ends.len();
        for node in &flow.nodes {
            let finishes =
                matches!(node, Node::End(_)) || matches!(node, Node::Transfer(transfer) if transfer.next.is_none());
            if finishes || targets(node).iter().any(|(_, target)| ends.contains(target.as_str())) {
                ends.insert(node.id());
            }
        }
        if ends.len() == before {
            break;
        }
    }
    if ends.is_empty() {
        findings.push(Finding::error(
            "nodes",
            "no node ends the call",
            "add an `end` node and lead to it",
        ));
        return;
    }
    let reached = reachable(flow);
    for node in flow
        .nodes
        .iter()
        .filter(|node| reached.contains(node.id()) && !ends.contains(node.id()))
    {
        findings.push(Finding::error(
            format!("nodes.{}", node.id()),
            "no `end` can be reached from here",
            "lead to an `end` node, at least by `no_answer`",
        ));
    }
}
