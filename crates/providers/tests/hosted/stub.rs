//! A server on loopback that answers by a script, byte for byte: what is well-formed, and what is not.

use serde_json::Value;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What a test waits for at most.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Method and target, such as `POST /v1/x`.
    pub(crate) line: String,
    /// Name (lower case) and value.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Which connection it came on, from 0.
    pub(crate) connection: usize,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

/// A step of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// These bytes at once.
    Send(Vec<u8>),
    /// These bytes, one packet each.
    Trickle(Vec<u8>),
    /// Nothing more until the client hangs up.
    Stall,
    /// The connection is cut.
    Cut,
    /// The connection is reset.
    Reset,
}

pub(crate) type Script = Vec<Step>;

pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    pub(crate) requests: mpsc::Receiver<Received>,
    /// One message for each connection that a client hung up during [`Step::Stall`].
    pub(crate) hung_up: mpsc::Receiver<()>,
}

impl Stub {
    /// A server that answers the first request by the first script, and so on; the last script is used again.
    pub(crate) async fn start(scripts: impl IntoIterator<Item = Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (seen, requests) = mpsc::channel(64);
        let (closed, hung_up) = mpsc::channel(64);
        let scripts: Arc<Mutex<VecDeque<Script>>> = Arc::new(Mutex::new(scripts.into_iter().collect()));
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                stream.set_nodelay(true).expect("no delay");
                let serving = Serving {
                    stream,
                    connection,
                    scripts: Arc::clone(&scripts),
                    seen: seen.clone(),
                    closed: closed.clone(),
                };
                tokio::spawn(serving.run());
            }
        });
        Self {
            address,
            requests,
            hung_up,
        }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) async fn next_request(&mut self) -> Received {
        tokio::time::timeout(PATIENCE, self.requests.recv())
            .await
            .expect("a request in time")
            .expect("the stub lives")
    }

    pub(crate) async fn client_hung_up(&mut self) {
        tokio::time::timeout(PATIENCE, self.hung_up.recv())
            .await
            .expect("the client hangs up in time")
            .expect("the stub lives");
    }
}

struct Serving {
    stream: TcpStream,
    connection: usize,
    scripts: Arc<Mutex<VecDeque<Script>>>,
    seen: mpsc::Sender<Received>,
    closed: mpsc::Sender<()>,
}

impl Serving {
    async fn run(mut self) {
        while let Some(request) = self.read_request().await {
            if self.seen.send(request).await.is_err() {
                return;
            }
            let script = {
                let mut scripts = self.scripts.lock().expect("not poisoned");
                if scripts.len() > 1 {
                    scripts.pop_front()
                } else {
                    scripts.front().cloned()
                }
            };
            if !self.play(script.expect("a script")).await {
                return;
            }
        }
    }

    /// False: the connection is over.
    async fn play(&mut self, script: Script) -> bool {
        for step in script {
            match step {
                Step::Send(bytes) => {
                    if self.stream.write_all(&bytes).await.is_err() {
                        return false;
                    }
                }
                Step::Trickle(bytes) => {
                    for byte in bytes {
                        if self.stream.write_all(&[byte]).await.is_err() {
                            return false;
                        }
                        tokio::task::yield_now().await;
                    }
                }
                Step::Stall => {
                    let mut rest = [0; 64];
                    while matches!(self.stream.read(&mut rest).await, Ok(1..)) {}
                    self.closed.send(()).await.ok();
                    return false;
                }
                Step::Cut => return false,
                Step::Reset => {
                    let stream = &self.stream;
                    stream.set_zero_linger().expect("linger");
                    return false;
                }
            }
        }
        true
    }

    async fn read_request(&mut self) -> Option<Received> {
        let mut bytes = Vec::new();
        let head_end = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if self.stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8(bytes[..head_end].to_vec()).expect("a readable head");
        let mut lines = head.lines();
        let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers
            .iter()
            .find(|(name, _)| name == "content-length")
            .map_or(0, |(_, value)| value.parse().expect("a length"));
        while bytes.len() < head_end + length {
            if self.stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
        Some(Received {
            line,
            headers,
            body: bytes[head_end..head_end + length].to_vec(),
            connection: self.connection,
        })
    }
}

/// An answer with a length.
pub(crate) fn answer(status: &str, content_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    answer_with(status, content_type, &[], body)
}

/// An answer with a length and more headers.
pub(crate) fn answer_with(status: &str, content_type: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let more: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n{more}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The head of an answer that goes on in [`chunk`]s.
pub(crate) fn chunked_head(content_type: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes()
}

/// A chunk of an answer; an empty one ends it.
pub(crate) fn chunk(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}
