use super::*;
use crate::agent::brain::Decision;
use carillon_domain::http_tool::HttpTool;
use carillon_domain::language::Language;
use carillon_interfaces::language_model::{ChatAnswer, Usage};
use carillon_interfaces::tools::ToolError;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::sync::Mutex;

/// What the model does at one request.
enum Act {
    /// It sends these, then the channel closes.
    Pieces(Vec<Result<ChatPiece, ModelError>>),
    /// It fails before a word.
    Fails(ModelError),
    /// It says these words, and then nothing until the answer is dropped.
    Hangs(&'static str),
}

#[derive(Default)]
struct Stage {
    acts: Mutex<VecDeque<Act>>,
    asked: Mutex<Vec<ChatRequest>>,
    tool_runs: Mutex<Vec<(String, String)>>,
}

#[async_trait]
impl LanguageModel for Stage {
    fn name(&self) -> String {
        "stage".to_owned()
    }

    async fn chat(&self, request: ChatRequest) -> Result<ChatAnswer, ModelError> {
        self.asked.lock().unwrap().push(request);
        let act = self.acts.lock().unwrap().pop_front().expect("an act for each request");
        let (sender, answer) = mpsc::channel(64);
        match act {
            Act::Fails(error) => return Err(error),
            Act::Pieces(pieces) => {
                for piece in pieces {
                    sender.try_send(piece).unwrap();
                }
            }
            Act::Hangs(words) => {
                sender.try_send(Ok(ChatPiece::Text(words.to_owned()))).unwrap();
                tokio::spawn(async move { sender.closed().await });
            }
        }
        Ok(answer)
    }
}

#[async_trait]
impl ToolRunner for Stage {
    async fn run(&self, tool: &HttpTool, arguments: &str, _: &Map<String, Value>) -> Result<String, ToolError> {
        self.tool_runs
            .lock()
            .unwrap()
            .push((tool.name.clone(), arguments.to_owned()));
        match tool.name.as_str() {
            "slow" => {
                tokio::time::sleep(Duration::from_secs(3)).await;
                Ok("late".to_owned())
            }
            "stuck" => std::future::pending().await,
            "broken" => Err(ToolError::Status {
                status: 500,
                body: "no".to_owned(),
            }),
            _ => Ok("{\"status\":\"sent\"}".to_owned()),
        }
    }
}

fn says(words: &str) -> Act {
    Act::Pieces(vec![Ok(ChatPiece::Text(words.to_owned())), done(StopReason::Finished)])
}

fn done(reason: StopReason) -> Result<ChatPiece, ModelError> {
    Ok(ChatPiece::Done { reason, usage: None })
}

fn calls(words: &str, tools: &[(&str, &str)]) -> Act {
    let mut pieces = Vec::new();
    if !words.is_empty() {
        pieces.push(Ok(ChatPiece::Text(words.to_owned())));
    }
    for (n, (name, arguments)) in tools.iter().enumerate() {
        pieces.push(Ok(ChatPiece::ToolCall(ToolCall {
            id: format!("c{n}"),
            name: (*name).to_owned(),
            arguments: (*arguments).to_owned(),
        })));
    }
    pieces.push(done(StopReason::ToolCalls));
    Act::Pieces(pieces)
}

const NOW: UnixMicros = UnixMicros::from_seconds(1_795_400_000);

struct Play {
    stage: Arc<Stage>,
    brain: ModelBrain,
}

fn play(agent: Value, acts: Vec<Act>) -> Play {
    let mut agent = agent;
    agent["instructions"] = json!("You are Ada and call {{ name }} about an order.");
    let agent: ModelAgent = serde_json::from_value(agent).unwrap();
    assert_eq!(agent.problems(), []);
    let stage = Arc::new(Stage::default());
    *stage.acts.lock().unwrap() = acts.into();
    let variables = json!({ "name": "Asha" }).as_object().unwrap().clone();
    let facts = CallFacts {
        to: carillon_domain::phone::PhoneNumber::from_e164_shape("+911234567890").unwrap(),
        variables,
        language: Language::english(),
        answered_at: NOW,
        ends_at: NOW + Duration::from_secs(600),
    };
    let services = ModelServices {
        model: stage.clone(),
        tools: stage.clone(),
        settings: ModelSettings::default(),
    };
    let brain = ModelBrain::new(Arc::new(agent), facts, "Asia/Kolkata", services).unwrap();
    Play { stage, brain }
}

impl Play {
    async fn hear(&mut self, heard: Heard) -> Vec<Piece> {
        self.hear_after(heard, None).await
    }

    async fn words(&mut self, words: &str) -> Vec<Piece> {
        self.hear(turn(words)).await
    }

    async fn hear_after(&mut self, heard: Heard, cut_off_after: Option<&str>) -> Vec<Piece> {
        let (sender, mut receiver) = mpsc::channel(256);
        let turn = Turn {
            heard,
            at: NOW,
            cut_off_after: cut_off_after.map(str::to_owned),
        };
        self.brain.answer(turn, &sender).await.unwrap();
        drop(sender);
        let mut pieces = Vec::new();
        while let Ok(piece) = receiver.try_recv() {
            pieces.push(piece);
        }
        pieces
    }

    /// The messages of the latest request, instructions left out.
    fn asked(&self) -> Vec<ChatMessage> {
        self.stage.asked.lock().unwrap().last().unwrap().messages[1..].to_vec()
    }
}

fn turn(words: &str) -> Heard {
    Heard::Turn {
        words: words.to_owned(),
        keys: String::new(),
        added: None,
    }
}

fn begin() -> Heard {
    Heard::Begin {
        greeting: String::new(),
    }
}

fn said(pieces: &[Piece]) -> String {
    let words = pieces.iter().filter_map(|piece| match piece {
        Piece::Words(words) => Some(words.as_str()),
        _ => None,
    });
    words.collect::<String>().trim().to_owned()
}

fn outcome(pieces: &[Piece]) -> Option<&str> {
    match pieces.last() {
        Some(Piece::HangUp { outcome }) => Some(outcome),
        _ => None,
    }
}

fn user(text: &str) -> ChatMessage {
    ChatMessage::User(text.to_owned())
}

fn agent(text: &str) -> ChatMessage {
    ChatMessage::Assistant {
        text: text.to_owned(),
        tool_calls: Vec::new(),
    }
}

#[tokio::test]
async fn a_greeting_is_said_without_the_model() {
    let mut play = play(
        json!({ "greeting": "Hello {{ name }}, this is Ada." }),
        vec![says("**Good.** 👍")],
    );
    assert_eq!(said(&play.hear(begin()).await), "Hello Asha, this is Ada.");
    assert!(play.stage.asked.lock().unwrap().is_empty());
    assert_eq!(said(&play.words("Fine").await), "Good.");
    let expected = [
        user("(The callee has answered the call.)"),
        agent("Hello Asha, this is Ada."),
        user("Fine"),
    ];
    assert_eq!(play.asked(), expected);
}

#[tokio::test]
async fn the_model_is_told_who_when_and_how() {
    let mut play = play(
        json!({ "model": "large", "temperature_milli": 300 }),
        vec![says("Hello.")],
    );
    play.hear(begin()).await;
    let asked = play.stage.asked.lock().unwrap();
    let ChatMessage::System(instructions) = &asked[0].messages[0] else {
        panic!("instructions come first");
    };
    for part in [
        "You are Ada and call Asha about an order.",
        "- name: Asha",
        "Monday, 23 November 2026, 07:43 (Asia/Kolkata)",
        "this language: en",
    ] {
        assert!(instructions.contains(part), "{part}: {instructions}");
    }
    assert!(!instructions.contains("1234567890"), "the number stays here");
    assert_eq!(asked[0].model.as_deref(), Some("large"));
    assert_eq!(asked[0].temperature_milli, Some(300));
    let tools: Vec<&str> = asked[0].tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(tools, carillon_domain::model_agent::BUILT_IN_TOOLS);
}

#[tokio::test]
async fn an_interrupted_answer_is_kept_as_it_was_heard() {
    let mut play = play(
        json!({}),
        vec![says("It costs ten rupees. Shall I order it?"), says("No, ten.")],
    );
    play.words("How much?").await;
    play.hear_after(turn("A hundred?"), Some("It costs ten")).await;
    let expected = [user("How much?"), agent("It costs ten …"), user("A hundred?")];
    assert_eq!(play.asked(), expected);
}

#[tokio::test]
async fn dropping_an_answer_drops_the_request_and_loses_nothing() {
    let mut play = play(json!({}), vec![Act::Hangs("Let me tell you "), says("Yes.")]);
    let (sender, mut receiver) = mpsc::channel(8);
    let first = Turn {
        heard: turn("Well?"),
        at: NOW,
        cut_off_after: None,
    };
    tokio::select! {
        _ = play.brain.answer(first, &sender) => panic!("the model hangs"),
        piece = receiver.recv() => assert_eq!(piece, Some(Piece::Words("Let me tell you ".to_owned()))),
    }
    play.hear_after(turn("Stop"), Some("Let me")).await;
    assert_eq!(play.asked(), [user("Well?"), agent("Let me …"), user("Stop")]);
}

#[tokio::test]
async fn calls_end_as_the_model_says() {
    let table: Vec<(Vec<Act>, &str, &str)> = vec![
        (
            vec![calls("Thank you, goodbye!", &[("end_call", r#"{"outcome":"Agreed"}"#)])],
            "Thank you, goodbye!",
            "agreed",
        ),
        (
            vec![calls("", &[("end_call", r#"{"goodbye":"*Bye* then."}"#)])],
            "Bye then.",
            "completed",
        ),
        (vec![calls("", &[("end_call", "")])], "Goodbye.", "completed"),
    ];
    for (acts, words, name) in table {
        let mut play = play(json!({}), acts);
        let pieces = play.words("Bye").await;
        assert_eq!(said(&pieces), words);
        assert_eq!(outcome(&pieces), Some(name), "{words}");
    }
}

#[tokio::test]
async fn decisions_are_made_and_the_model_is_told() {
    let table = [
        ("do_not_call", "{}", Decision::DoNotCall),
        (
            "schedule_callback",
            r#"{"at":"2026-11-23T17:00"}"#,
            Decision::CallBack(UnixMicros::from_seconds(1_795_433_400)),
        ),
        (
            "transfer_request",
            r#"{"to":"billing"}"#,
            Decision::TransferRequested {
                to: Some("billing".to_owned()),
            },
        ),
    ];
    for (tool, arguments, decision) in table {
        let mut play = play(json!({}), vec![calls("", &[(tool, arguments)]), says("I noted that.")]);
        let pieces = play.words("Please").await;
        assert_eq!(pieces[0], Piece::Decision(decision), "{tool}");
        assert_eq!(said(&pieces), "I noted that.");
        assert_eq!(outcome(&pieces), None);
        let asked = play.asked();
        assert!(
            matches!(asked.last(), Some(ChatMessage::Tool { call_id, result }) if call_id == "c0" && result.starts_with("Noted")),
            "{asked:?}"
        );
    }
    let mut play = play(
        json!({}),
        vec![calls("", &[("schedule_callback", "{}")]), says("When?")],
    );
    let pieces = play.words("Later").await;
    assert_eq!(pieces, [Piece::Words("When?".to_owned())]);
}

#[tokio::test]
async fn own_tools_are_used_and_their_failures_told() {
    let tool = |name: &str| json!({ "name": name, "description": "d", "url": "https://a.example", "timeout_ms": 500 });
    let tools = json!({ "tools": [tool("order"), tool("broken"), tool("stuck")] });
    let round = calls(
        "One moment.",
        &[
            ("order", r#"{"n":1}"#),
            ("broken", "{}"),
            ("stuck", "{}"),
            ("unknown", "{}"),
        ],
    );
    let mut play = play(tools, vec![round, says(" It was sent.")]);
    tokio::time::pause();
    let pieces = play.words("Where is it?").await;
    assert_eq!(said(&pieces), "One moment. It was sent.");
    let results: Vec<String> = play
        .asked()
        .into_iter()
        .filter_map(|message| match message {
            ChatMessage::Tool { result, .. } => Some(result),
            _ => None,
        })
        .collect();
    let expected = [
        "{\"status\":\"sent\"}",
        "The tool failed: the server answered 500: no",
        "The tool failed: no answer in time.",
        "There is no tool `unknown`.",
    ];
    assert_eq!(results, expected);
    assert_eq!(
        play.stage.tool_runs.lock().unwrap()[0],
        ("order".to_owned(), r#"{"n":1}"#.to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_tool_is_excused() {
    let tools = json!({ "tools": [{ "name": "slow", "description": "d", "url": "https://a.example" }] });
    let mut play = play(tools, vec![calls("", &[("slow", "{}")]), says("Done.")]);
    assert_eq!(said(&play.words("Now").await), "Sorry, one moment please. Done.");
}

#[tokio::test(start_paused = true)]
async fn no_fault_leaves_the_callee_in_silence() {
    let sorry = "Sorry, one moment please.";
    let give_up = "I am sorry, I have a technical problem and cannot go on. Goodbye.";
    let refused = |status| ModelError::Refused {
        status,
        message: "m".to_owned(),
    };
    let limited = |seconds| ModelError::RateLimited {
        retry_after: Some(Duration::from_secs(seconds)),
    };
    let empty = || Act::Pieces(vec![done(StopReason::Finished)]);
    let broken = |words: &str| Act::Pieces(vec![Ok(ChatPiece::Text(words.to_owned())), Err(ModelError::BrokenOff)]);
    let table: Vec<(&str, Vec<Act>, String, Option<&str>)> = vec![
        (
            "one time-out",
            vec![Act::Fails(ModelError::TimedOut(9)), says("Yes.")],
            format!("{sorry} Yes."),
            None,
        ),
        (
            "two time-outs",
            vec![Act::Fails(ModelError::TimedOut(9)), Act::Fails(ModelError::TimedOut(9))],
            format!("{sorry}  {give_up}"),
            Some("model_timed_out"),
        ),
        (
            "unreachable",
            vec![
                Act::Fails(ModelError::Unreachable("x".into())),
                Act::Fails(ModelError::Unreachable("x".into())),
            ],
            format!("{sorry}  {give_up}"),
            Some("model_unreachable"),
        ),
        (
            "a wrong key",
            vec![Act::Fails(ModelError::Unauthorized)],
            give_up.to_owned(),
            Some("model_unauthorized"),
        ),
        (
            "a bad request",
            vec![Act::Fails(refused(400))],
            give_up.to_owned(),
            Some("model_refused"),
        ),
        (
            "overloaded once",
            vec![Act::Fails(refused(503)), says("Yes.")],
            format!("{sorry} Yes."),
            None,
        ),
        (
            "a short limit",
            vec![Act::Fails(limited(1)), says("Yes.")],
            format!("{sorry} Yes."),
            None,
        ),
        (
            "a long limit",
            vec![Act::Fails(limited(60))],
            give_up.to_owned(),
            Some("model_rate_limited"),
        ),
        (
            "says nothing once",
            vec![empty(), says("Yes.")],
            format!("{sorry} Yes."),
            None,
        ),
        (
            "says nothing",
            vec![empty(), empty()],
            format!("{sorry}  {give_up}"),
            Some("model_garbage"),
        ),
        (
            "breaks off",
            vec![broken("I think"), says("Yes.")],
            format!("I think {sorry} Yes."),
            None,
        ),
        (
            "breaks off twice",
            vec![broken("I"), broken("I")],
            format!("I {sorry} I {give_up}"),
            Some("model_broke_off"),
        ),
        (
            "closes without an end",
            vec![Act::Pieces(vec![]), says("Yes.")],
            format!("{sorry} Yes."),
            None,
        ),
        (
            "filtered",
            vec![Act::Pieces(vec![done(StopReason::Filtered)]), says("Yes.")],
            format!("{sorry} Yes."),
            None,
        ),
        (
            "cut by its length",
            vec![Act::Pieces(vec![
                Ok(ChatPiece::Text("A long".into())),
                done(StopReason::Length),
            ])],
            "A long".to_owned(),
            None,
        ),
    ];
    for (name, acts, words, end) in table {
        let mut play = play(json!({}), acts);
        let pieces = play.words("Hello?").await;
        assert_eq!(said(&pieces), words, "{name}");
        assert_eq!(outcome(&pieces), end, "{name}");
        assert!(play.stage.acts.lock().unwrap().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_model_that_only_calls_tools_is_stopped() {
    let acts = (0..20).map(|_| calls("", &[("transfer_request", "{}")])).collect();
    let mut play = play(json!({ "limits": { "tool_calls_max": 2 } }), acts);
    let pieces = play.words("Hello?").await;
    assert_eq!(outcome(&pieces), Some("model_goes_in_circles"));
    let decisions = pieces
        .iter()
        .filter(|piece| matches!(piece, Piece::Decision(_)))
        .count();
    assert_eq!(decisions, 2);
    let asked = play.stage.asked.lock().unwrap();
    assert!(
        asked.len() <= 5 && asked.last().unwrap().tools.is_empty(),
        "{}",
        asked.len()
    );
}

#[tokio::test]
async fn limits_end_the_call_with_their_name() {
    let mut by_turns = play(json!({ "limits": { "turns_max": 1 } }), vec![says("One.")]);
    assert_eq!(outcome(&by_turns.words("a").await), None);
    assert_eq!(outcome(&by_turns.words("b").await), Some("limit_reached"));
    let usage = Usage {
        prompt_tokens: 90,
        completion_tokens: 10,
    };
    let costly = Act::Pieces(vec![
        Ok(ChatPiece::Text("One.".to_owned())),
        Ok(ChatPiece::Done {
            reason: StopReason::Finished,
            usage: Some(usage),
        }),
    ]);
    let mut by_tokens = play(json!({ "limits": { "tokens_max": 100 } }), vec![costly]);
    assert_eq!(outcome(&by_tokens.words("a").await), None);
    assert_eq!(outcome(&by_tokens.words("b").await), Some("limit_reached"));
}

#[tokio::test]
async fn what_needs_no_model_is_said_without_it() {
    let wrap_up = Heard::WrapUp { left_ms: 9_000 };
    for (heard, words, end) in [
        (Heard::Silence { times: 1 }, "Are you still there?", None),
        (
            Heard::NotUnderstood { times: 1 },
            "Sorry, I did not understand that. Could you say it again?",
            None,
        ),
        (wrap_up, "I am sorry, our time is up. Goodbye.", Some("time_limit")),
        (Heard::GiveUp, "Goodbye.", Some("silence")),
    ] {
        let mut play = play(json!({}), vec![]);
        let pieces = play.hear(heard.clone()).await;
        assert_eq!((said(&pieces).as_str(), outcome(&pieces)), (words, end), "{heard:?}");
    }
}

#[tokio::test]
async fn a_turn_that_goes_on_is_asked_as_one() {
    let mut play = play(json!({}), vec![says("Which?"), says("Two, then.")]);
    play.words("I want").await;
    let went_on = Heard::Turn {
        words: "I want two".to_owned(),
        keys: String::new(),
        added: Some("two".to_owned()),
    };
    play.hear_after(went_on, Some("")).await;
    assert_eq!(play.asked(), [user("I want two")]);
}

#[tokio::test]
async fn how_the_callee_answered_is_known() {
    let mut play = play(json!({}), vec![says("Good day.")]);
    let greeting = "Hello, Asha speaking".to_owned();
    play.hear(Heard::Begin { greeting }).await;
    assert_eq!(
        play.asked(),
        [user("(The callee has answered the call, saying:) Hello, Asha speaking")]
    );
}

#[tokio::test]
async fn keys_are_told_apart_from_words() {
    let mut play = play(json!({}), vec![says("Thanks.")]);
    let heard = Heard::Turn {
        words: "My number is".to_owned(),
        keys: "123#".to_owned(),
        added: None,
    };
    play.hear(heard).await;
    assert_eq!(
        play.asked(),
        [user("My number is\n(The callee pressed the keys 123#.)")]
    );
}

#[tokio::test]
async fn the_look_back_finds_what_the_schema_asks_for() {
    let schema = json!({ "type": "object", "properties": { "interested": { "type": "boolean" } } });
    let answer = says(r#"{"summary":"Asha agreed.","values":{"interested":true,"x":1}}"#);
    let mut play = play(json!({ "extraction_schema": schema }), vec![says("sorry"), answer]);
    let line = |by_agent, text: &str| Line {
        by_agent,
        text: text.to_owned(),
    };
    let lines = [line(true, "Are you\nin?"), line(false, "Yes")];
    let found = play.brain.look_back(&lines).await.unwrap();
    assert_eq!(found.summary.as_deref(), Some("Asha agreed."));
    assert_eq!(Value::Object(found.values), json!({ "interested": true }));
    assert_eq!(play.asked(), [user("Agent: Are you in?\nCallee: Yes\n")]);
    let asked = play.stage.asked.lock().unwrap();
    assert_eq!(asked.len(), 2, "what is no JSON is asked for once more");
    assert_eq!(
        asked[0].answer_schema.as_ref().unwrap()["properties"]["values"]["properties"]["interested"]["type"],
        "boolean"
    );
}

#[tokio::test]
async fn a_look_back_without_an_answer_is_an_error_and_without_words_is_nothing() {
    let lines = [Line {
        by_agent: false,
        text: "Yes".to_owned(),
    }];
    for (acts, expected) in [
        (vec![Act::Fails(ModelError::Unauthorized)], ModelError::Unauthorized),
        (
            vec![Act::Fails(ModelError::BrokenOff), Act::Fails(ModelError::TimedOut(5))],
            ModelError::TimedOut(5),
        ),
    ] {
        let mut play = play(json!({}), acts);
        let error = play.brain.look_back(&lines).await.unwrap_err();
        assert_eq!(error, BrainError::Model(expected));
    }
    let mut unasked = play(json!({}), vec![]);
    let silent = [Line {
        by_agent: true,
        text: "Hello?".to_owned(),
    }];
    assert_eq!(unasked.brain.look_back(&silent).await.unwrap(), LookBack::default());
}

#[tokio::test]
async fn machines_and_screeners_hear_their_own_words() {
    let full = play(
        json!({ "voicemail_message": "Call back, {{ name }}.", "screening_words": "It is Ada." }),
        vec![],
    );
    assert_eq!(full.brain.message_for_machine().as_deref(), Some("Call back, Asha."));
    assert_eq!(full.brain.words_for_screening().as_deref(), Some("It is Ada."));
    let bare = play(json!({}), vec![]);
    assert_eq!(
        (bare.brain.message_for_machine(), bare.brain.words_for_screening()),
        (None, None)
    );
}
