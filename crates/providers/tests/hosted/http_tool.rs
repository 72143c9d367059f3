//! Tools that are HTTP requests, against a server that answers well, badly, late, or from where it must not be asked.

use crate::stub::{PATIENCE, Step, Stub, answer, answer_with, chunk, chunked_head};
use carillon_domain::http_tool::HttpTool;
use carillon_interfaces::tools::{ToolError, ToolRunner};
use carillon_providers::hosted::http_tool::HttpToolRunner;
use carillon_providers::outbound::{AllowedTargets, GuardedClients};
use serde_json::{Map, Value, json};

const JSON: &str = "application/json";

fn runner(allowed: &[&str]) -> HttpToolRunner {
    let allowed: Vec<String> = allowed.iter().map(|entry| (*entry).to_owned()).collect();
    let targets = AllowedTargets::parse("tools.allow_targets", &allowed).unwrap();
    HttpToolRunner::new(GuardedClients::new(targets).unwrap())
}

fn tool(url: &str, more: Value) -> HttpTool {
    let mut tool = json!({ "name": "t", "description": "", "url": url });
    tool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(tool).unwrap()
}

fn variables() -> Map<String, Value> {
    json!({ "customer": "C 7", "name": "from the call" })
        .as_object()
        .unwrap()
        .clone()
}

async fn run(tool: &HttpTool, arguments: &str) -> Result<String, ToolError> {
    let running = runner(&["127.0.0.1"]);
    tokio::time::timeout(PATIENCE, running.run(tool, arguments, &variables()))
        .await
        .expect("in time")
}

#[tokio::test]
async fn a_request_is_made_from_arguments_and_variables() {
    let mut stub = Stub::start([vec![Step::Send(answer("200 OK", JSON, "{\"status\":\"sent\"}"))]]).await;
    let get = tool(
        &format!("http://{}/orders/{{{{ id }}}}?by={{{{ customer }}}}", stub.address),
        json!({ "method": "GET", "headers": [{ "name": "X-Key", "value": "k-{{ customer }}" }] }),
    );
    assert_eq!(run(&get, r#"{"id":"a/b"}"#).await.unwrap(), "{\"status\":\"sent\"}");
    let sent = stub.next_request().await;
    assert_eq!(sent.line, "GET /orders/a%2Fb?by=C%207");
    assert_eq!(sent.header("x-key"), Some("k-C 7"));
    assert_eq!(sent.header("content-type"), None);
    let url = format!("http://{}/x", stub.address);
    run(&tool(&url, json!({})), r#"{"a":1}"#).await.unwrap();
    let sent = stub.next_request().await;
    assert_eq!((sent.line.as_str(), sent.json()), ("POST /x", json!({ "a": 1 })));
    let with_body = tool(
        &url,
        json!({ "method": "PUT", "body": r#"{"who": {{ name }}, "by": {{ customer }}, "no": {{ none }}}"# }),
    );
    run(&with_body, r#"{"name":"A \"quoted\" one"}"#).await.unwrap();
    let sent = stub.next_request().await;
    assert_eq!(
        sent.json(),
        json!({ "who": "A \"quoted\" one", "by": "C 7", "no": null })
    );
    assert_eq!(sent.header("content-type"), Some(JSON));
}

#[tokio::test]
async fn what_a_tool_cannot_do_is_told() {
    let head = || Step::Send(chunked_head(JSON));
    let key = "sk-12345678";
    let is_status =
        |code: u16| move |error: &ToolError| matches!(error, ToolError::Status { status, .. } if *status == code);
    let is_answer = |error: &ToolError| matches!(error, ToolError::Answer(_));
    let is_unreachable = |error: &ToolError| matches!(error, ToolError::Unreachable(_));
    let (not_found, server_error, moved) = (is_status(404), is_status(500), is_status(302));
    let elsewhere = answer_with("302 Found", "text/plain", &["location: http://127.0.0.1:1/"], "");
    let table: Vec<(&str, Vec<Step>, &dyn Fn(&ToolError) -> bool)> = vec![
        (
            "not found",
            vec![Step::Send(answer("404 Not Found", JSON, format!("no {key}")))],
            &not_found,
        ),
        (
            "an error that is no text",
            vec![Step::Send(answer("500 Oh", JSON, [0xff, 0xfe]))],
            &server_error,
        ),
        ("a redirect", vec![Step::Send(elsewhere)], &moved),
        (
            "too long by its length",
            vec![Step::Send(answer("200 OK", JSON, vec![b'x'; 20_000]))],
            &is_answer,
        ),
        (
            "too long in chunks",
            vec![head(), Step::Send(chunk(vec![b'x'; 20_000])), Step::Stall],
            &is_answer,
        ),
        (
            "no text",
            vec![Step::Send(answer("200 OK", JSON, [0xff, 0xfe]))],
            &is_answer,
        ),
        ("cut", vec![head(), Step::Send(chunk("{")), Step::Cut], &is_unreachable),
        ("cut at once", vec![Step::Cut], &is_unreachable),
        ("stalls before the head", vec![Step::Stall], &|error| {
            *error == ToolError::TimedOut(300)
        }),
        (
            "stalls in the body",
            vec![head(), Step::Send(chunk("{")), Step::Stall],
            &|error| *error == ToolError::TimedOut(300),
        ),
    ];
    for (name, script, expected) in table {
        let stub = Stub::start([script]).await;
        let more =
            json!({ "timeout_ms": 300, "headers": [{ "name": "Authorization", "value": format!("Bearer {key}") }] });
        let error = run(&tool(&format!("http://{}/", stub.address), more), "{}")
            .await
            .expect_err(name);
        assert!(expected(&error), "{name}: {error:?}");
        assert!(!error.to_string().contains(key), "{name}: {error}");
    }
}

#[tokio::test]
async fn nothing_that_came_back_holds_the_key() {
    let stub = Stub::start([vec![Step::Send(answer("200 OK", JSON, "you sent sk-12345678"))]]).await;
    let more = json!({ "headers": [{ "name": "Authorization", "value": "Bearer sk-12345678" }] });
    let text = run(&tool(&format!("http://{}/", stub.address), more), "{}")
        .await
        .unwrap();
    assert_eq!(text, "you sent ***");
}

#[tokio::test]
async fn an_empty_answer_says_that_it_is_done() {
    let stub = Stub::start([vec![Step::Send(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())]]).await;
    assert_eq!(
        run(&tool(&format!("http://{}/", stub.address), json!({})), "")
            .await
            .unwrap(),
        "Done."
    );
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_not_sent() {
    let mut stub = Stub::start([vec![Step::Send(answer("200 OK", JSON, "{}"))]]).await;
    let schema = json!({ "parameters": { "type": "object", "required": ["id"] } });
    let error = run(&tool(&format!("http://{}/", stub.address), schema), "{}")
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ToolError::Arguments(why) if why.contains("id")),
        "{error}"
    );
    for (more, arguments) in [
        (json!({ "body": "{\"a\": \"{{ a }}\"}" }), r#"{"a":"x"}"#),
        (json!({ "headers": [{ "name": "Host", "value": "x" }] }), "{}"),
        (json!({ "headers": [{ "name": "a b", "value": "x" }] }), "{}"),
    ] {
        let error = run(&tool(&format!("http://{}/", stub.address), more), arguments)
            .await
            .unwrap_err();
        assert!(matches!(error, ToolError::Setup(_)), "{error:?}");
    }
    let header = json!({ "headers": [{ "name": "X-Name", "value": "{{ name }}" }] });
    let error = run(
        &tool(&format!("http://{}/", stub.address), header),
        r#"{"name":"a\r\nX-Evil: 1"}"#,
    )
    .await
    .unwrap_err();
    assert!(matches!(error, ToolError::Arguments(_)), "{error:?}");
    assert!(stub.requests.try_recv().is_err());
}

#[tokio::test]
async fn addresses_that_nobody_opened_are_refused() {
    let mut stub = Stub::start([vec![Step::Send(answer("200 OK", JSON, "{}"))]]).await;
    let port = stub.address.port();
    let closed = runner(&[]);
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("https://localhost:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("https://[::1]:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://10.0.0.1/".to_owned(),
        "https://0.0.0.0/".to_owned(),
        "ftp://example.com/".to_owned(),
    ] {
        let error = closed
            .run(&tool(&url, json!({})), "{}", &variables())
            .await
            .unwrap_err();
        assert!(matches!(error, ToolError::Refused(_)), "{url}: {error:?}");
    }
    assert!(stub.requests.try_recv().is_err(), "nobody was asked");
    let listed = runner(&[&format!("127.0.0.1:{port}")]);
    listed
        .run(
            &tool(&format!("http://127.0.0.1:{port}/"), json!({})),
            "{}",
            &variables(),
        )
        .await
        .unwrap();
    assert_eq!(stub.next_request().await.line, "POST /");
}
