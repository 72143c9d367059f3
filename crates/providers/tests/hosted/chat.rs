//! The chat client against a server that speaks the chat API's wire format, and against one that does not.

use crate::stub::{PATIENCE, Script, Step, Stub, answer, answer_with, chunk, chunked_head};
use carillon_domain::pii::Secret;
use carillon_interfaces::language_model::{
    ChatMessage, ChatPiece, ChatRequest, LanguageModel, ModelError, StopReason, ToolCall, ToolDescription, Usage,
};
use carillon_providers::hosted::Connections;
use carillon_providers::hosted::chat::ChatModel;
use carillon_providers::hosted::settings::ModelSettings;
use serde_json::json;
use std::time::Duration;

const KEY: &str = "sk-very-secret";
const EVENTS: &str = "text/event-stream";

fn model_at(base_url: &str) -> ChatModel {
    let settings = ModelSettings {
        base_url: base_url.to_owned(),
        api_key: Secret::new(KEY),
        model: "small".to_owned(),
        ..ModelSettings::default()
    };
    ChatModel::new(&Connections::new().unwrap(), &settings).unwrap()
}

fn request() -> ChatRequest {
    ChatRequest {
        messages: vec![ChatMessage::User("Hello".to_owned())],
        tools: Vec::new(),
        model: None,
        temperature_milli: None,
        max_tokens: 50,
        answer_schema: None,
        first_word_timeout: PATIENCE,
        total_timeout: PATIENCE,
    }
}

/// The words, the tool calls, and how it ended.
type Heard = (String, Vec<ToolCall>, Result<(StopReason, Option<Usage>), ModelError>);

async fn ask(model: &ChatModel, request: ChatRequest) -> Heard {
    let mut pieces = match model.chat(request).await {
        Ok(pieces) => pieces,
        Err(error) => return (String::new(), Vec::new(), Err(error)),
    };
    let mut words = String::new();
    let mut calls = Vec::new();
    while let Some(piece) = tokio::time::timeout(PATIENCE, pieces.recv())
        .await
        .expect("a piece in time")
    {
        match piece {
            Ok(ChatPiece::Text(text)) => words.push_str(&text),
            Ok(ChatPiece::ToolCall(call)) => calls.push(call),
            Ok(ChatPiece::Done { reason, usage }) => {
                assert_eq!(pieces.recv().await, None, "nothing follows the end");
                return (words, calls, Ok((reason, usage)));
            }
            Err(error) => {
                assert_eq!(pieces.recv().await, None, "nothing follows an error");
                return (words, calls, Err(error));
            }
        }
    }
    panic!("the channel closed without an end");
}

fn words(text: &str) -> String {
    format!(
        "data: {}\n\n",
        json!({ "choices": [{ "index": 0, "delta": { "content": text } }] })
    )
}

fn stop(reason: &str) -> String {
    format!(
        "data: {}\n\n",
        json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] })
    )
}

const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn whole_answer() -> String {
    [&words("Guten "), &words("Tag – नमस्ते."), &stop("stop"), USAGE, DONE].concat()
}

#[tokio::test]
async fn an_answer_comes_in_pieces_with_its_usage() {
    let mut stub = Stub::start([vec![Step::Send(answer("200 OK", EVENTS, whole_answer()))]]).await;
    let model = model_at(&stub.base_url());
    assert_eq!(model.name(), format!("small at {}", stub.address));
    let (said, calls, end) = ask(&model, request()).await;
    assert_eq!(said, "Guten Tag – नमस्ते.");
    assert_eq!(calls, []);
    let usage = Usage {
        prompt_tokens: 5,
        completion_tokens: 2,
    };
    assert_eq!(end, Ok((StopReason::Finished, Some(usage))));
    let sent = stub.next_request().await;
    assert_eq!(sent.line, "POST /v1/chat/completions");
    assert_eq!(sent.header("authorization"), Some("Bearer sk-very-secret"));
    assert_eq!(sent.header("content-type"), Some("application/json"));
    assert_eq!(sent.json()["model"], "small");
    assert_eq!(sent.json()["stream"], true);
}

#[tokio::test]
async fn no_key_sends_no_header() {
    let mut stub = Stub::start([vec![Step::Send(answer("200 OK", EVENTS, whole_answer()))]]).await;
    let settings = ModelSettings {
        base_url: stub.base_url(),
        model: "small".to_owned(),
        ..ModelSettings::default()
    };
    let model = ChatModel::new(&Connections::new().unwrap(), &settings).unwrap();
    ask(&model, request()).await.2.unwrap();
    assert_eq!(stub.next_request().await.header("authorization"), None);
}

#[tokio::test]
async fn every_way_to_send_the_same_answer_is_understood() {
    let text = whole_answer();
    let crlf = text.replace('\n', "\r\n");
    let chatty = format!(
        ": ping\n\n{}",
        text.replace("data: {", ": ping\n\nevent: x\nid: 1\ndata: {")
    );
    let no_done = text.replace(DONE, "");
    let ends_in_a_line = text.trim_end().to_owned();
    let cut_into = |size: usize| {
        let mut script = vec![Step::Send(chunked_head(EVENTS))];
        script.extend(text.as_bytes().chunks(size).map(|part| Step::Send(chunk(part))));
        script.push(Step::Send(chunk("")));
        script
    };
    let closing = |body: &str| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {EVENTS}; charset=utf-8\r\nconnection: close\r\n\r\n");
        vec![Step::Send([head.as_bytes(), body.as_bytes()].concat()), Step::Cut]
    };
    let table: Vec<(&str, Script)> = vec![
        ("line ends of HTTP", vec![Step::Send(answer("200 OK", EVENTS, crlf))]),
        (
            "comments and other fields",
            vec![Step::Send(answer("200 OK", EVENTS, chatty))],
        ),
        ("no end mark", vec![Step::Send(answer("200 OK", EVENTS, no_done))]),
        (
            "no last empty line",
            vec![Step::Send(answer("200 OK", EVENTS, ends_in_a_line))],
        ),
        ("chunks of 7", cut_into(7)),
        ("chunks of 1", cut_into(1)),
        (
            "byte by byte",
            vec![Step::Trickle(answer("200 OK", EVENTS, text.clone()))],
        ),
        ("no length", closing(&text)),
        (
            "another type",
            vec![Step::Send(answer("200 OK", "application/octet-stream", text.clone()))],
        ),
    ];
    for (name, script) in table {
        let stub = Stub::start([script]).await;
        let (said, _, end) = ask(&model_at(&stub.base_url()), request()).await;
        assert_eq!(said, "Guten Tag – नमस्ते.", "{name}");
        assert_eq!(
            end.map(|(reason, usage)| (reason, usage.is_some())),
            Ok((StopReason::Finished, true)),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_server_that_cannot_stream_is_understood() {
    let body = json!({
        "object": "chat.completion",
        "choices": [{
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "One moment.",
                "tool_calls": [{ "id": "c1", "type": "function", "function": { "name": "look_up", "arguments": "{}" } }],
            },
        }],
        "usage": { "prompt_tokens": 5, "completion_tokens": 2 },
    });
    let stub = Stub::start([vec![Step::Send(answer("200 OK", "application/json", body.to_string()))]]).await;
    let (said, calls, end) = ask(&model_at(&stub.base_url()), request()).await;
    assert_eq!(said, "One moment.");
    assert_eq!(
        calls.iter().map(|call| call.name.as_str()).collect::<Vec<_>>(),
        ["look_up"]
    );
    assert_eq!(end.unwrap().0, StopReason::ToolCalls);
}

#[tokio::test]
async fn tools_are_offered_and_their_calls_come_whole() {
    let part = |value: serde_json::Value| {
        format!(
            "data: {}\n\n",
            json!({ "choices": [{ "delta": { "tool_calls": [value] } }] })
        )
    };
    let body = [
        part(json!({ "index": 0, "id": "c1", "type": "function", "function": { "name": "look_up", "arguments": "" } })),
        part(json!({ "index": 0, "function": { "arguments": "{\"day\":" } })),
        part(json!({ "index": 0, "function": { "arguments": "\"Montag\"}" } })),
        stop("tool_calls"),
        DONE.to_owned(),
    ]
    .concat();
    let mut stub = Stub::start([vec![Step::Send(answer("200 OK", EVENTS, body))]]).await;
    let with_tool = ChatRequest {
        tools: vec![ToolDescription {
            name: "look_up".to_owned(),
            description: "Looks up a day.".to_owned(),
            parameters: json!({ "type": "object", "properties": { "day": { "type": "string" } } }),
        }],
        ..request()
    };
    let (_, calls, end) = ask(&model_at(&stub.base_url()), with_tool).await;
    let expected = ToolCall {
        id: "c1".to_owned(),
        name: "look_up".to_owned(),
        arguments: "{\"day\":\"Montag\"}".to_owned(),
    };
    assert_eq!(calls, [expected]);
    assert_eq!(end, Ok((StopReason::ToolCalls, None)));
    assert_eq!(
        stub.next_request().await.json()["tools"][0]["function"]["name"],
        "look_up"
    );
}

#[tokio::test]
async fn refusals_become_named_errors_without_the_key() {
    let refused = |status: u16, message: &str| ModelError::Refused {
        status,
        message: message.to_owned(),
    };
    let limited = |retry_after| ModelError::RateLimited { retry_after };
    let own_words = json!({ "error": { "message": format!("bad key\n{KEY} here") } }).to_string();
    let table = [
        (
            answer("401 Unauthorized", "application/json", &own_words),
            ModelError::Unauthorized,
        ),
        (
            answer("403 Forbidden", "application/json", &own_words),
            refused(403, "bad key *** here"),
        ),
        (
            answer("400 Bad Request", "text/plain", "too long"),
            refused(400, "too long"),
        ),
        (
            answer("404 Not Found", "text/html", "<html>nginx</html>"),
            refused(404, "Not Found"),
        ),
        (
            answer("500 Internal Server Error", "application/json", "{}"),
            refused(500, "{}"),
        ),
        (
            answer("503 Service Unavailable", "text/plain", ""),
            refused(503, "Service Unavailable"),
        ),
        (answer("429 Too Many Requests", "application/json", "{}"), limited(None)),
        (
            answer_with("429 Too Many Requests", "application/json", &["retry-after: 7"], "{}"),
            limited(Some(Duration::from_secs(7))),
        ),
        (
            answer_with(
                "307 Temporary Redirect",
                "text/plain",
                &["location: http://127.0.0.1:1/v1"],
                "",
            ),
            refused(
                307,
                "it points to another address, which is not followed; write that one as the base URL",
            ),
        ),
    ];
    for (reply, expected) in table {
        let mut stub = Stub::start([vec![Step::Send(reply)]]).await;
        let error = model_at(&stub.base_url()).chat(request()).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains(KEY), "{error}");
        assert_eq!(error, expected);
        stub.next_request().await;
        assert!(stub.requests.try_recv().is_err(), "asked once only: {expected}");
    }
}

#[tokio::test]
async fn a_refusals_endless_words_are_cut() {
    let head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n".to_vec();
    let mut stub = Stub::start([vec![Step::Send(head), Step::Send(vec![b'x'; 1 << 20]), Step::Stall]]).await;
    let error = model_at(&stub.base_url()).chat(request()).await.unwrap_err();
    let ModelError::Refused { status: 400, message } = error else {
        panic!("{error}");
    };
    assert_eq!(message, "x".repeat(300));
    stub.client_hung_up().await;
}

#[tokio::test]
async fn faults_in_the_middle_are_told_after_the_words_that_came() {
    let garbage = |error: &ModelError| matches!(error, ModelError::Garbage(_));
    let broken = |error: &ModelError| *error == ModelError::BrokenOff;
    let refused = |error: &ModelError| matches!(error, ModelError::Refused { status: 503, .. });
    let begun = |rest: Vec<Step>| {
        let mut script = vec![Step::Send(chunked_head(EVENTS)), Step::Send(chunk(words("Half")))];
        script.extend(rest);
        script
    };
    let whole = |body: String| vec![Step::Send(answer("200 OK", EVENTS, body))];
    let half_event = words(" an answer");
    let half_event = &half_event[..half_event.len() - 20];
    let overloaded = "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n";
    let table: Vec<(&str, Script, &dyn Fn(&ModelError) -> bool, &str)> = vec![
        ("cut between chunks", begun(vec![Step::Cut]), &broken, "Half"),
        ("reset between chunks", begun(vec![Step::Reset]), &broken, "Half"),
        (
            "cut in an event",
            begun(vec![Step::Send(chunk(half_event)), Step::Cut]),
            &broken,
            "Half",
        ),
        (
            "ends without a reason",
            begun(vec![Step::Send(chunk(""))]),
            &broken,
            "Half",
        ),
        (
            "ends in an event",
            begun(vec![Step::Send(chunk(half_event)), Step::Send(chunk(""))]),
            &broken,
            "Half",
        ),
        (
            "an error inside",
            begun(vec![Step::Send(chunk(overloaded))]),
            &refused,
            "Half",
        ),
        (
            "an event of garbage",
            begun(vec![Step::Send(chunk("data: {{{\n\n"))]),
            &garbage,
            "Half",
        ),
        (
            "a chunk of garbage",
            begun(vec![Step::Send(b"zz\r\n".to_vec())]),
            &broken,
            "Half",
        ),
        (
            "no character",
            begun(vec![Step::Send(chunk(
                b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\xfe\"}}]}\n\n",
            ))]),
            &garbage,
            "Half",
        ),
        (
            "an event without end",
            begun(vec![Step::Send(chunk(vec![b'x'; 300_000]))]),
            &garbage,
            "Half",
        ),
        ("nothing at all", whole(String::new()), &broken, ""),
        (
            "a web page",
            vec![Step::Send(answer("200 OK", "text/html", "<html>"))],
            &garbage,
            "",
        ),
        (
            "JSON that is no answer",
            vec![Step::Send(answer("200 OK", "application/json", "[]"))],
            &garbage,
            "",
        ),
        (
            "a JSON error",
            vec![Step::Send(answer(
                "200 OK",
                "application/json",
                "{\"error\":{\"message\":\"x\",\"code\":503}}",
            ))],
            &refused,
            "",
        ),
        (
            "JSON that is too long",
            vec![Step::Send(answer("200 OK", "application/json", vec![b' '; 5 << 20]))],
            &garbage,
            "",
        ),
    ];
    for (name, script, expected, before) in table {
        let stub = Stub::start([script]).await;
        let (said, calls, end) = ask(&model_at(&stub.base_url()), request()).await;
        let error = end.expect_err(name);
        assert!(expected(&error), "{name}: {error:?}");
        assert_eq!(said, before, "{name}");
        assert_eq!(calls, [], "{name}");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_named_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let refused = model_at(&format!("http://{address}/v1"))
        .chat(request())
        .await
        .unwrap_err();
    assert!(matches!(refused, ModelError::Unreachable(_)), "{refused:?}");
    for script in [
        vec![Step::Cut],
        vec![Step::Reset],
        vec![Step::Send(b"SSH-2.0\r\n\r\n".to_vec())],
    ] {
        let stub = Stub::start([script]).await;
        let error = model_at(&stub.base_url()).chat(request()).await.unwrap_err();
        assert!(matches!(error, ModelError::Unreachable(_)), "{error:?}");
    }
}

#[tokio::test]
async fn silence_ends_at_its_time_out_and_closes_the_connection() {
    let soon = Duration::from_millis(150);
    let head = || Step::Send(chunked_head(EVENTS));
    let role = || {
        Step::Send(chunk(
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
        ))
    };
    let ping = || Step::Send(chunk(": ping\n\n"));
    let table: Vec<(&str, Script, Duration, Duration)> = vec![
        ("before the head", vec![Step::Stall], soon, PATIENCE),
        (
            "in the head",
            vec![Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), Step::Stall],
            soon,
            PATIENCE,
        ),
        ("before the first word", vec![head(), Step::Stall], soon, PATIENCE),
        (
            "pings are no words",
            vec![head(), ping(), role(), ping(), Step::Stall],
            soon,
            PATIENCE,
        ),
        (
            "after the first word",
            vec![head(), Step::Send(chunk(words("Half"))), Step::Stall],
            PATIENCE,
            soon,
        ),
        (
            "in a JSON answer",
            vec![
                Step::Send(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{".to_vec(),
                ),
                Step::Stall,
            ],
            PATIENCE,
            soon,
        ),
    ];
    for (name, script, first_word_timeout, total_timeout) in table {
        let mut stub = Stub::start([script]).await;
        let limited = ChatRequest {
            first_word_timeout,
            total_timeout,
            ..request()
        };
        let started = std::time::Instant::now();
        let end = ask(&model_at(&stub.base_url()), limited).await.2;
        assert_eq!(end, Err(ModelError::TimedOut(150)), "{name}");
        assert!(started.elapsed() >= soon, "{name}");
        stub.client_hung_up().await;
    }
}

#[tokio::test]
async fn a_missing_end_mark_delays_nothing() {
    let script = vec![
        Step::Send(chunked_head(EVENTS)),
        Step::Send(chunk([words("Hello."), stop("stop")].concat())),
        Step::Stall,
    ];
    let mut stub = Stub::start([script]).await;
    let started = std::time::Instant::now();
    let (said, _, end) = ask(&model_at(&stub.base_url()), request()).await;
    assert_eq!((said.as_str(), end), ("Hello.", Ok((StopReason::Finished, None))));
    assert!(started.elapsed() < PATIENCE / 2);
    stub.client_hung_up().await;
}

#[tokio::test]
async fn dropping_the_answer_closes_the_connection() {
    let script = vec![
        Step::Send(chunked_head(EVENTS)),
        Step::Send(chunk(words("Well, "))),
        Step::Stall,
    ];
    let mut stub = Stub::start([script]).await;
    let mut pieces = model_at(&stub.base_url()).chat(request()).await.unwrap();
    assert_eq!(pieces.recv().await, Some(Ok(ChatPiece::Text("Well, ".to_owned()))));
    drop(pieces);
    stub.client_hung_up().await;
}

#[tokio::test]
async fn giving_up_before_the_answer_closes_the_connection() {
    let mut stub = Stub::start([vec![Step::Stall]]).await;
    let model = model_at(&stub.base_url());
    let asking = tokio::spawn(async move { model.chat(request()).await.map(drop) });
    stub.next_request().await;
    asking.abort();
    stub.client_hung_up().await;
}

#[tokio::test]
async fn connections_are_used_again() {
    let mut stub = Stub::start([vec![Step::Send(answer("200 OK", EVENTS, whole_answer()))]]).await;
    let model = model_at(&stub.base_url());
    for _ in 0..3 {
        ask(&model, request()).await.2.unwrap();
        assert_eq!(stub.next_request().await.connection, 0);
    }
}

#[tokio::test]
async fn a_schema_that_is_refused_becomes_an_instruction_and_that_is_remembered() {
    let refuse = |message: &str| {
        let body = json!({ "error": { "message": message } }).to_string();
        vec![Step::Send(answer("400 Bad Request", "application/json", body))]
    };
    let good = vec![Step::Send(answer("200 OK", EVENTS, whole_answer()))];
    let mut stub = Stub::start([
        refuse("'response_format.type' must be text or json_object"),
        refuse("response_format is not supported by this model"),
        refuse("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        good,
    ])
    .await;
    let model = model_at(&stub.base_url());
    let extraction = ChatRequest {
        answer_schema: Some(json!({ "type": "object" })),
        ..request()
    };
    ask(&model, extraction.clone()).await.2.unwrap();
    let formats: Vec<_> = [
        stub.next_request().await,
        stub.next_request().await,
        stub.next_request().await,
    ]
    .iter()
    .map(|sent| sent.json()["response_format"]["type"].clone())
    .collect();
    assert_eq!(formats, [json!("json_schema"), json!("json_object"), json!(null)]);
    let last = stub.next_request().await.json();
    assert_eq!(last["max_completion_tokens"], 50);
    assert_eq!(last["messages"][1]["role"], "system");
    ask(&model, extraction).await.2.unwrap();
    assert_eq!(stub.next_request().await.json(), last, "learned once");
    assert!(stub.requests.try_recv().is_err());
}

#[tokio::test]
async fn a_server_that_refuses_every_wording_is_asked_a_few_times_only() {
    let body = json!({ "error": { "message": "temperature, stream_options, response_format, max_completion_tokens" } });
    let mut stub = Stub::start([vec![Step::Send(answer(
        "400 Bad Request",
        "application/json",
        body.to_string(),
    ))]])
    .await;
    let extraction = ChatRequest {
        answer_schema: Some(json!({ "type": "object" })),
        temperature_milli: Some(0),
        ..request()
    };
    let error = model_at(&stub.base_url()).chat(extraction).await.unwrap_err();
    assert!(matches!(error, ModelError::Refused { status: 400, .. }), "{error:?}");
    let mut asked = 0;
    while stub.requests.try_recv().is_ok() {
        asked += 1;
    }
    assert!((2..=5).contains(&asked), "{asked}");
}

#[tokio::test]
async fn settings_that_lead_nowhere_are_named() {
    let connections = Connections::new().unwrap();
    let of = |base_url: &str, model: &str| {
        let settings = ModelSettings {
            base_url: base_url.to_owned(),
            model: model.to_owned(),
            api_key: Secret::new(KEY),
            ..ModelSettings::default()
        };
        ChatModel::new(&connections, &settings).unwrap_err().to_string()
    };
    for (base_url, model, part) in [
        ("http://127.0.0.1:1/v1", " ", "model.model is empty"),
        ("127.0.0.1:1", "small", "base_url"),
        ("", "small", "base_url"),
    ] {
        let error = of(base_url, model);
        assert!(error.contains(part) && !error.contains(KEY), "{error}");
    }
}
