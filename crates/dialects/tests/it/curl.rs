//! Reads a curl command as documentation pages write it, so that the page's own example is what is sent.

use axum::body::Body;
use axum::http::Request;

/// The request of a curl command, its host taken off.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Curl {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Curl {
    pub(crate) fn parse(text: &str) -> Self {
        let mut words = words(text).into_iter();
        assert_eq!(words.next().as_deref(), Some("curl"));
        let mut curl = Self {
            method: String::new(),
            path: String::new(),
            headers: Vec::new(),
            body: String::new(),
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap();
            match word.as_str() {
                "-X" => curl.method = value(),
                "-H" => {
                    let header = value();
                    let (name, value) = header.split_once(':').unwrap();
                    curl.headers.push((name.to_owned(), value.trim().to_owned()));
                }
                "-d" => curl.body = value(),
                url => {
                    let rest = url.strip_prefix("https://").unwrap();
                    curl.path = rest[rest.find('/').unwrap()..].to_owned();
                }
            }
        }
        curl
    }

    pub(crate) fn request(self) -> Request<Body> {
        let mut request = Request::builder().method(self.method.as_str()).uri(self.path);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(Body::from(self.body)).unwrap()
    }
}

/// Words as a shell splits them: both quotes, and a backslash at the end of a line.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in text.replace("\\\n", " ").chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => words.last_mut().unwrap().push(c),
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c.is_whitespace() => words.push(String::new()),
            None => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn curl_commands_are_read() {
    let text =
        "curl -X POST \\\n  \"https://api.example/v1/a\" \\\n  -H \"X-API-Key: KEY\" \\\n  -d '{\"a\": \"b c\"}'";
    let expected = Curl {
        method: "POST".to_owned(),
        path: "/v1/a".to_owned(),
        headers: vec![("X-API-Key".to_owned(), "KEY".to_owned())],
        body: "{\"a\": \"b c\"}".to_owned(),
    };
    assert_eq!(Curl::parse(text), expected);
}
