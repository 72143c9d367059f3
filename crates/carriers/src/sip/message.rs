//! SIP messages: strict reading of untrusted bytes.
//!
//! Reading refuses with a named [`DropReason`] and never panics. What is refused here never reaches a transaction.

pub use crate::sip::drop_reason::DropReason;
use crate::sip::grammar::{NameAddr, Via, split_list};
use bytes::Bytes;
use std::borrow::Cow;

/// Most bytes of one message.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024;
/// Most header lines of one message.
pub const MAX_HEADERS: usize = 96;
/// Most bytes of one header value.
const MAX_VALUE_BYTES: usize = 4096;

/// A request method (RFC 3261 section 7.1; case-sensitive).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// INVITE
    Invite,
    /// ACK
    Ack,
    /// BYE
    Bye,
    /// CANCEL
    Cancel,
    /// OPTIONS
    Options,
    /// INFO (RFC 6086)
    Info,
    /// UPDATE (RFC 3311)
    Update,
    /// A method that exists and that we do not take.
    Known(&'static str),
    /// Anything else.
    Other(String),
}

impl Method {
    fn parse(token: &str) -> Option<Self> {
        Some(match token {
            "INVITE" => Self::Invite,
            "ACK" => Self::Ack,
            "BYE" => Self::Bye,
            "CANCEL" => Self::Cancel,
            "OPTIONS" => Self::Options,
            "INFO" => Self::Info,
            "UPDATE" => Self::Update,
            "PRACK" => Self::Known("PRACK"),
            "REGISTER" => Self::Known("REGISTER"),
            "SUBSCRIBE" => Self::Known("SUBSCRIBE"),
            "NOTIFY" => Self::Known("NOTIFY"),
            "REFER" => Self::Known("REFER"),
            "MESSAGE" => Self::Known("MESSAGE"),
            "PUBLISH" => Self::Known("PUBLISH"),
            other if is_token(other) && other.len() <= 32 => Self::Other(other.to_owned()),
            _ => return None,
        })
    }

    /// The method as written on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Info => "INFO",
            Self::Update => "UPDATE",
            Self::Known(name) => name,
            Self::Other(name) => name,
        }
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
}

/// First line of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A request.
    Request {
        /// Its method.
        method: Method,
        /// The request URI, unread.
        uri: String,
        /// Whether the version is `SIP/2.0`; any other is answered 505.
        version_known: bool,
    },
    /// A response.
    Response {
        /// 100-699.
        code: u16,
        /// Reason phrase as it came.
        reason: String,
    },
}

/// Header lines in order; compact names are written out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Cow<'static, str>, String)>);

impl Headers {
    /// First value under a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// All values under a name, each line as it is.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// All values under a name, with comma-separated lists taken apart.
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all(name).flat_map(split_list)
    }

    /// All lines.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_ref(), v.as_str()))
    }
}

/// A message that passed the reader: the headers that every message needs are there and readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Request line or status line.
    pub start: Start,
    /// All headers.
    pub headers: Headers,
    /// Body, cut to Content-Length.
    pub body: Bytes,
    /// Topmost Via.
    pub via: Via,
    /// Call-ID.
    pub call_id: String,
    /// Tag of From.
    pub from_tag: Option<String>,
    /// Tag of To.
    pub to_tag: Option<String>,
    /// CSeq number.
    pub cseq: u32,
    /// CSeq method.
    pub cseq_method: Method,
}

impl Message {
    /// Reads one whole message (RFC 3261 section 7).
    ///
    /// # Errors
    /// The named reason for which it must be dropped.
    pub fn parse(bytes: &Bytes) -> Result<Self, DropReason> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(DropReason::TooLarge);
        }
        let head_end = find(bytes, b"\r\n\r\n").ok_or(DropReason::Framing)?;
        let head = std::str::from_utf8(&bytes[..head_end]).map_err(|_| DropReason::Encoding)?;
        if head.bytes().any(|b| b < 0x20 && !matches!(b, b'\r' | b'\n' | b'\t')) {
            return Err(DropReason::Encoding);
        }
        let mut lines = head.split("\r\n");
        let start = parse_start(lines.next().unwrap_or_default()).ok_or(DropReason::StartLine)?;
        let headers = parse_headers(lines)?;
        for name in ["From", "To", "Call-ID", "CSeq", "Content-Length", "Max-Forwards"] {
            if headers.all(name).nth(1).is_some() {
                return Err(DropReason::Duplicate);
            }
        }
        let body = bytes.slice(head_end + 4..);
        let body = match headers.get("Content-Length") {
            Some(length) => {
                let length: usize = length.trim().parse().map_err(|_| DropReason::ContentLength)?;
                if length > body.len() {
                    return Err(DropReason::ContentLength);
                }
                body.slice(..length)
            }
            None => body,
        };
        Self::assemble(start, headers, body)
    }

    fn assemble(start: Start, headers: Headers, body: Bytes) -> Result<Self, DropReason> {
        let tag = |name: &str| -> Result<Option<String>, DropReason> {
            let address = headers
                .get(name)
                .and_then(NameAddr::parse)
                .ok_or(DropReason::Mandatory)?;
            Ok(address.tag().map(str::to_owned))
        };
        let from_tag = tag("From")?;
        let to_tag = tag("To")?;
        let call_id = headers
            .get("Call-ID")
            .filter(|id| !id.is_empty() && !id.contains(' '))
            .ok_or(DropReason::Mandatory)?;
        let via = headers
            .list("Via")
            .next()
            .and_then(Via::parse)
            .ok_or(DropReason::Mandatory)?;
        let (number, method) = headers
            .get("CSeq")
            .and_then(|v| v.split_once([' ', '\t']))
            .ok_or(DropReason::Mandatory)?;
        let cseq: u32 = number.trim().parse().map_err(|_| DropReason::Mandatory)?;
        let cseq_method = Method::parse(method.trim()).ok_or(DropReason::Mandatory)?;
        if let Start::Request { method, .. } = &start
            && *method != cseq_method
        {
            return Err(DropReason::CSeqMismatch);
        }
        let call_id = call_id.to_owned();
        Ok(Self {
            start,
            headers,
            body,
            via,
            call_id,
            from_tag,
            to_tag,
            cseq,
            cseq_method,
        })
    }

    /// First value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The status code, for a response.
    pub fn code(&self) -> Option<u16> {
        match self.start {
            Start::Response { code, .. } => Some(code),
            Start::Request { .. } => None,
        }
    }

    /// The first Contact's URI.
    pub fn contact_uri(&self) -> Option<&str> {
        self.headers
            .list("Contact")
            .next()
            .and_then(NameAddr::parse)
            .map(|address| address.uri)
    }

    /// The body if it is SDP and not empty.
    pub fn sdp(&self) -> Option<Bytes> {
        let is_sdp = self
            .header("Content-Type")
            .is_some_and(|t| media_type(t).eq_ignore_ascii_case("application/sdp"));
        (is_sdp && !self.body.is_empty()).then(|| self.body.clone())
    }

    /// Whether a token stands in a list header such as Supported.
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.headers.list(name).any(|item| item.eq_ignore_ascii_case(token))
    }
}

/// A media type without its parameters.
pub fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

fn parse_start(line: &str) -> Option<Start> {
    if let Some(rest) = line.strip_prefix("SIP/") {
        let (version, rest) = rest.split_once(' ')?;
        let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let code: u16 = code.parse().ok().filter(|code| (100..700).contains(code))?;
        return (version == "2.0").then(|| Start::Response {
            code,
            reason: reason.trim().chars().take(256).collect(),
        });
    }
    let mut parts = line.split(' ');
    let (method, uri, version) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || uri.is_empty() || uri.len() > 2048 || !version.starts_with("SIP/") {
        return None;
    }
    let method = Method::parse(method)?;
    Some(Start::Request {
        method,
        uri: uri.to_owned(),
        version_known: version == "SIP/2.0",
    })
}

fn parse_headers<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Headers, DropReason> {
    let mut headers: Vec<(Cow<'static, str>, String)> = Vec::with_capacity(16);
    for line in lines {
        if line.contains(['\r', '\n']) {
            return Err(DropReason::Framing);
        }
        if line.starts_with([' ', '\t']) {
            // A folded line continues the value before it.
            let (_, value) = headers.last_mut().ok_or(DropReason::Header)?;
            value.push(' ');
            value.push_str(line.trim());
            if value.len() > MAX_VALUE_BYTES {
                return Err(DropReason::TooManyHeaders);
            }
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(DropReason::Header)?;
        let name = name.trim_end();
        if !is_token(name) {
            return Err(DropReason::Header);
        }
        if headers.len() == MAX_HEADERS || value.len() > MAX_VALUE_BYTES {
            return Err(DropReason::TooManyHeaders);
        }
        headers.push((canonical(name), value.trim().to_owned()));
    }
    Ok(Headers(headers))
}

/// Names that nearly every message has: they need no memory of their own.
const USUAL: [&str; 24] = [
    "Via",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "Max-Forwards",
    "Content-Type",
    "Content-Length",
    "Allow",
    "Supported",
    "Record-Route",
    "Route",
    "User-Agent",
    "Server",
    "Require",
    "Reason",
    "Retry-After",
    "Session-Expires",
    "Min-SE",
    "Accept",
    "Expires",
    "WWW-Authenticate",
    "Proxy-Authenticate",
];

/// The long form of a compact name; other names as they are (RFC 3261 section 7.3.3).
fn canonical(name: &str) -> Cow<'static, str> {
    let compact = match name.as_bytes() {
        [one] => one.to_ascii_lowercase(),
        _ => 0,
    };
    Cow::Borrowed(match compact {
        b'i' => "Call-ID",
        b'm' => "Contact",
        b'e' => "Content-Encoding",
        b'l' => "Content-Length",
        b'c' => "Content-Type",
        b'f' => "From",
        b's' => "Subject",
        b'k' => "Supported",
        b't' => "To",
        b'v' => "Via",
        b'x' => "Session-Expires",
        _ => match USUAL.iter().find(|usual| **usual == name) {
            Some(usual) => usual,
            None => return Cow::Owned(name.to_owned()),
        },
    })
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
