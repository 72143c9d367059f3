//! The conversation as a model is shown it: who said what, tools and their results, and of the agent only what was heard.
//!
//! An answer may be dropped at any await, so it is written here word by word as it is sent.

use carillon_interfaces::language_model::{ChatMessage, ToolCall};

const MESSAGES_MAX: usize = 80;
const BYTES_MAX: usize = 48 * 1024;
const INTERRUPTED: &str = "Not done: the callee interrupted.";
const GO_ON: &str = "(Go on from where you stopped.)";

/// What was said so far, instructions left out.
#[derive(Debug, Default)]
pub(super) struct History {
    messages: Vec<ChatMessage>,
    /// Where the latest answer begins.
    answer_from: usize,
    /// How much of the message before it is older than the latest turn, in bytes.
    older_bytes: usize,
}

impl History {
    /// Something from the callee's side; the answer to it begins.
    pub(super) fn callee(&mut self, text: &str) {
        self.repair();
        self.older_bytes = 0;
        match self.messages.last_mut() {
            // Some models refuse two turns of one side in a row.
            Some(ChatMessage::User(before)) => {
                self.older_bytes = before.len();
                before.push('\n');
                before.push_str(text);
            }
            _ => self.messages.push(ChatMessage::User(text.to_owned())),
        }
        self.forget_the_oldest();
        self.answer_from = self.messages.len();
    }

    /// The latest turn went on before a word of the answer to it was heard: it is `whole`, of which `added` is new. What tools have
    /// done stays done, so an answer that used some stays as well.
    pub(super) fn callee_again(&mut self, whole: &str, added: &str) {
        let answer = &self.messages[self.answer_from..];
        let is_done = |message: &ChatMessage| !matches!(message, ChatMessage::Assistant { tool_calls, .. } if tool_calls.is_empty());
        let turn = self.answer_from.checked_sub(1);
        if answer.iter().any(is_done) || !matches!(turn.map(|at| &self.messages[at]), Some(ChatMessage::User(_))) {
            return self.callee(added);
        }
        self.messages.truncate(self.answer_from);
        if let Some(ChatMessage::User(text)) = self.messages.last_mut() {
            text.truncate(self.older_bytes);
            if text.is_empty() {
                self.messages.pop();
            }
        }
        self.callee(whole);
    }

    /// More words of the answer.
    pub(super) fn words(&mut self, words: &str) {
        if let Some(ChatMessage::Assistant { text, tool_calls }) = self.messages[self.answer_from..].last_mut()
            && tool_calls.is_empty()
        {
            text.push_str(words);
            return;
        }
        self.messages.push(ChatMessage::Assistant {
            text: words.to_owned(),
            tool_calls: Vec::new(),
        });
    }

    /// The agent calls tools.
    pub(super) fn calls(&mut self, calls: Vec<ToolCall>) {
        match self.messages[self.answer_from..].last_mut() {
            Some(ChatMessage::Assistant { tool_calls, .. }) if tool_calls.is_empty() => *tool_calls = calls,
            _ => self.messages.push(ChatMessage::Assistant {
                text: String::new(),
                tool_calls: calls,
            }),
        }
    }

    /// What a tool gave back.
    pub(super) fn result(&mut self, call_id: &str, result: &str) {
        self.messages.push(ChatMessage::Tool {
            call_id: call_id.to_owned(),
            result: result.to_owned(),
        });
    }

    /// Of the latest answer only `heard` was heard.
    pub(super) fn cut(&mut self, heard: &str) {
        // Sentences come back with other spaces than they were sent with; their words are the same.
        let mut words_left = heard.split_whitespace().count();
        let mut is_cut = false;
        for message in &mut self.messages[self.answer_from..] {
            let ChatMessage::Assistant { text, .. } = message else {
                continue;
            };
            let words = text.split_whitespace().count();
            if words <= words_left && !is_cut {
                words_left -= words;
                continue;
            }
            let kept: Vec<&str> = text.split_whitespace().take(words_left).collect();
            let mark = if kept.is_empty() { "" } else { " …" };
            *text = format!("{}{mark}", kept.join(" "));
            words_left = 0;
            is_cut = true;
        }
        self.repair();
    }

    /// The messages for a request.
    pub(super) fn for_request(&self) -> Vec<ChatMessage> {
        let mut messages = self.messages.clone();
        // Servers take an answer at the end for the beginning of the next one, or refuse it.
        if matches!(messages.last(), Some(ChatMessage::Assistant { tool_calls, .. }) if tool_calls.is_empty()) {
            messages.push(ChatMessage::User(GO_ON.to_owned()));
        }
        messages
    }

    /// About how many tokens it holds: four bytes each.
    pub(super) fn tokens(&self) -> u64 {
        self.messages.iter().map(|message| size(message) as u64).sum::<u64>() / 4
    }

    /// Makes whole what was left when an answer was dropped: every call has a result, no message is empty.
    fn repair(&mut self) {
        self.messages
            .retain(|message| !matches!(message, ChatMessage::Assistant { text, tool_calls } if text.is_empty() && tool_calls.is_empty()));
        self.answer_from = self.answer_from.min(self.messages.len());
        let mut at = self.answer_from;
        while at < self.messages.len() {
            let missing = self.calls_without_result(at);
            for id in missing.into_iter().rev() {
                let result = ChatMessage::Tool {
                    call_id: id,
                    result: INTERRUPTED.to_owned(),
                };
                self.messages.insert(at + 1, result);
            }
            at += 1;
        }
    }

    fn calls_without_result(&self, at: usize) -> Vec<String> {
        let ChatMessage::Assistant { tool_calls, .. } = &self.messages[at] else {
            return Vec::new();
        };
        let has_result = |id: &str| {
            self.messages[at + 1..]
                .iter()
                .any(|later| matches!(later, ChatMessage::Tool { call_id, .. } if call_id == id))
        };
        let missing = tool_calls.iter().filter(|call| !has_result(&call.id));
        missing.map(|call| call.id.clone()).collect()
    }

    /// Drops whole exchanges from the front until what is left fits.
    fn forget_the_oldest(&mut self) {
        while self.messages.len() > MESSAGES_MAX || self.messages.iter().map(size).sum::<usize>() > BYTES_MAX {
            let next_turn = self.messages[1..]
                .iter()
                .position(|message| matches!(message, ChatMessage::User(_)));
            match next_turn {
                Some(offset) => drop(self.messages.drain(..=offset)),
                None => return,
            }
        }
    }
}

fn size(message: &ChatMessage) -> usize {
    match message {
        ChatMessage::System(text) | ChatMessage::User(text) => text.len(),
        ChatMessage::Assistant { text, tool_calls } => {
            text.len()
                + tool_calls
                    .iter()
                    .map(|call| call.name.len() + call.arguments.len())
                    .sum::<usize>()
        }
        ChatMessage::Tool { result, .. } => result.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str) -> ToolCall {
        ToolCall {
            id: id.to_owned(),
            name: "look_up".to_owned(),
            arguments: "{}".to_owned(),
        }
    }

    fn user(text: &str) -> ChatMessage {
        ChatMessage::User(text.to_owned())
    }

    fn agent(text: &str, tool_calls: Vec<ToolCall>) -> ChatMessage {
        ChatMessage::Assistant {
            text: text.to_owned(),
            tool_calls,
        }
    }

    fn tool(id: &str, result: &str) -> ChatMessage {
        ChatMessage::Tool {
            call_id: id.to_owned(),
            result: result.to_owned(),
        }
    }

    #[test]
    fn only_what_was_heard_is_kept() {
        for (heard, expected) in [
            (
                "Good morning.  How are",
                vec![user("Hello"), agent("Good morning. How are …", vec![])],
            ),
            (
                "Good morning. How are you?",
                vec![user("Hello"), agent("Good morning. How are you?", vec![])],
            ),
            ("", vec![user("Hello\nWait")]),
        ] {
            let mut history = History::default();
            history.callee("Hello");
            history.words("Good morning. ");
            history.words("How are you?");
            history.cut(heard);
            history.callee("Wait");
            let mut expected = expected;
            if !heard.is_empty() {
                expected.push(user("Wait"));
            }
            assert_eq!(history.for_request(), expected, "{heard:?}");
        }
    }

    #[test]
    fn a_turn_that_goes_on_takes_the_place_of_its_beginning() {
        let mut history = History::default();
        history.callee("(Answered.)");
        history.callee("I would");
        history.words("What would");
        history.cut("");
        history.callee_again("I would like two", "like two");
        assert_eq!(history.messages, [user("(Answered.)\nI would like two")]);
        history.words("Two of what?");
        history.callee("Of the");
        history.words("Of");
        history.callee_again("Of the red ones", "red ones");
        let expected = [
            user("(Answered.)\nI would like two"),
            agent("Two of what?", vec![]),
            user("Of the red ones"),
        ];
        assert_eq!(history.messages, expected);
        history.calls(vec![call("a")]);
        history.result("a", "ordered");
        history.callee_again("Of the red ones please", "please");
        assert_eq!(
            history.messages[3..],
            [agent("", vec![call("a")]), tool("a", "ordered"), user("please")]
        );
    }

    #[test]
    fn a_cut_reaches_over_tool_calls() {
        let mut history = History::default();
        history.callee("Hello");
        history.words("One moment.");
        history.calls(vec![call("a")]);
        history.result("a", "42");
        history.words("It is forty two.");
        history.cut("One moment. It is");
        let expected = [
            user("Hello"),
            agent("One moment.", vec![call("a")]),
            tool("a", "42"),
            agent("It is …", vec![]),
        ];
        assert_eq!(history.messages, expected);
    }

    #[test]
    fn a_dropped_answer_leaves_whole_messages() {
        let mut history = History::default();
        history.callee("Hello");
        history.calls(vec![call("a"), call("b")]);
        history.result("a", "42");
        history.callee("Stop");
        let expected = [
            user("Hello"),
            agent("", vec![call("a"), call("b")]),
            tool("b", INTERRUPTED),
            tool("a", "42"),
            user("Stop"),
        ];
        assert_eq!(history.for_request(), expected);
    }

    #[test]
    fn an_answer_at_the_end_is_asked_to_go_on() {
        let mut history = History::default();
        history.callee("Hello");
        history.words("Sorry, one moment please.");
        assert_eq!(history.for_request().last(), Some(&user(GO_ON)));
    }

    #[test]
    fn the_oldest_is_forgotten_in_whole_exchanges() {
        let mut history = History::default();
        for n in 0..100 {
            history.callee(&format!("question {n}"));
            history.calls(vec![call(&format!("c{n}"))]);
            history.result(&format!("c{n}"), &"x".repeat(1_000));
            history.words("answer");
        }
        history.callee("last");
        let messages = history.for_request();
        assert!(messages.len() <= MESSAGES_MAX);
        assert!(messages.iter().map(size).sum::<usize>() <= BYTES_MAX);
        assert!(matches!(&messages[0], ChatMessage::User(text) if text.starts_with("question")));
        assert_eq!(messages.last(), Some(&user("last")));
    }
}
