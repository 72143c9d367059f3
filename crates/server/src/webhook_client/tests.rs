use super::*;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap as RequestHeaders, StatusCode};
use axum::response::{IntoResponse, Redirect};
use axum::routing::post;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// A receiver on loopback. Paths say how it answers.
async fn receiver() -> SocketAddr {
    let router = Router::new()
        .route(
            "/echo",
            post(async |headers: RequestHeaders, body: Bytes| {
                let signed = headers
                    .get("x-webhook-signature")
                    .is_some_and(|value| value == "t=1,v1=ab");
                let json = headers
                    .get("content-type")
                    .is_some_and(|value| value == "application/json");
                if signed && json && body == "{\"a\":1}" {
                    StatusCode::NO_CONTENT
                } else {
                    StatusCode::BAD_REQUEST
                }
            }),
        )
        .route("/moved", post(async || Redirect::permanent("/echo")))
        .route(
            "/busy",
            post(async || (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "77")])),
        )
        .route("/large", post(async || vec![b'x'; 10 << 20].into_response()))
        .route("/hang", post(async || std::future::pending::<()>().await));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

fn client(allowed: &[String]) -> WebhookClient {
    crate::wiring::install_crypto();
    WebhookClient::new(allowed).unwrap()
}

fn request(url: String) -> WebhookRequest {
    let headers = vec![
        ("Content-Type", "application/json".to_owned()),
        ("X-Webhook-Signature", "t=1,v1=ab".to_owned()),
    ];
    WebhookRequest {
        url,
        headers,
        body: "{\"a\":1}".to_owned(),
        timeout: Duration::from_millis(500),
    }
}

fn status(code: u16) -> Reply {
    Reply::Status {
        code,
        retry_after_s: None,
    }
}

#[tokio::test]
async fn an_allowed_receiver_gets_headers_and_body() {
    let address = receiver().await;
    let reply = client(&[address.to_string()])
        .post(request(format!("http://{address}/echo")))
        .await;
    assert_eq!(reply, status(204));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let address = receiver().await;
    let reply = client(&[address.to_string()])
        .post(request(format!("http://{address}/moved")))
        .await;
    assert_eq!(reply, status(308));
}

#[tokio::test]
async fn retry_after_is_read() {
    let address = receiver().await;
    let reply = client(&[address.to_string()])
        .post(request(format!("http://{address}/busy")))
        .await;
    assert_eq!(
        reply,
        Reply::Status {
            code: 503,
            retry_after_s: Some(77)
        }
    );
}

#[tokio::test]
async fn a_huge_reply_counts_by_its_status() {
    let address = receiver().await;
    let reply = client(&[address.to_string()])
        .post(request(format!("http://{address}/large")))
        .await;
    assert_eq!(reply, status(200));
}

#[tokio::test]
async fn a_receiver_that_hangs_fails_in_time() {
    let address = receiver().await;
    let reply = client(&[address.to_string()])
        .post(request(format!("http://{address}/hang")))
        .await;
    assert_eq!(reply, failed("the receiver did not answer in time"));
}

#[tokio::test]
async fn loopback_is_refused_by_address_and_by_name() {
    let address = receiver().await;
    let port = address.port();
    for url in [
        format!("http://{address}/echo"),
        format!("https://{address}/echo"),
        format!("http://localhost:{port}/echo"),
        format!("https://localhost:{port}/echo"),
        "not a url".to_owned(),
    ] {
        let reply = client(&[]).post(request(url.clone())).await;
        assert!(matches!(reply, Reply::Refused { .. }), "{url}: {reply:?}");
    }
}

#[tokio::test]
async fn a_name_that_leads_into_an_allowed_network_is_reached() {
    let port = receiver().await.port();
    let networks = ["127.0.0.0/8".to_owned()];
    assert_eq!(
        client(&networks)
            .post(request(format!("http://localhost:{port}/echo")))
            .await,
        status(204)
    );
    let elsewhere = ["10.0.0.0/8".to_owned()];
    let reply = client(&elsewhere)
        .post(request(format!("http://localhost:{port}/echo")))
        .await;
    let Reply::Refused { reason } = reply else {
        panic!("{reply:?}")
    };
    assert!(reason.contains("`localhost` leads to a loopback"), "{reason}");
}

#[tokio::test]
async fn a_closed_port_is_a_named_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let reply = client(&[address.to_string()])
        .post(request(format!("http://{address}/")))
        .await;
    let Reply::Failed { reason } = reply else {
        panic!("{reply:?}")
    };
    assert!(reason.starts_with("cannot connect: "), "{reason}");
}

#[test]
fn retry_after_may_be_a_number_or_a_date() {
    let now = std::time::UNIX_EPOCH + Duration::from_secs(784_111_777);
    let table = [
        ("120", Some(120)),
        ("99999999999", Some(u32::MAX)),
        ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
        ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
        ("soon", None),
        ("", None),
    ];
    for (text, expected) in table {
        assert_eq!(
            seconds_from(&HeaderValue::from_str(text).unwrap(), now),
            expected,
            "{text}"
        );
    }
}
