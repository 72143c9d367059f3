//! Writing SIP messages.

use bytes::Bytes;
use std::fmt::Write as _;

/// Writes a message line by line.
#[derive(Debug)]
pub(crate) struct Writer(String);

impl Writer {
    /// Begins a request.
    pub(crate) fn request(method: &str, uri: &str) -> Self {
        let mut text = String::with_capacity(768);
        text.push_str(method);
        text.push(' ');
        text.push_str(uri);
        text.push_str(" SIP/2.0\r\n");
        Self(text)
    }

    /// Begins a response. A reason phrase cannot break out of its line.
    pub(crate) fn response(code: u16, reason: &str) -> Self {
        let mut text = String::with_capacity(512);
        let written = write!(text, "SIP/2.0 {code} ");
        debug_assert!(written.is_ok(), "writing to a String");
        text.extend(reason.chars().filter(|c| !c.is_control()));
        text.push_str("\r\n");
        Self(text)
    }

    /// Adds a header line. Control characters in the value are left out.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.0.push_str(name);
        self.0.push_str(": ");
        if value.bytes().any(|b| b < 0x20) {
            self.0.extend(value.chars().filter(|c| !c.is_control()));
        } else {
            self.0.push_str(value);
        }
        self.0.push_str("\r\n");
        self
    }

    /// Adds a header line with a value to format.
    pub(crate) fn header_fmt(mut self, name: &str, value: std::fmt::Arguments<'_>) -> Self {
        let written = write!(self.0, "{name}: {value}\r\n");
        debug_assert!(written.is_ok(), "writing to a String");
        self
    }

    /// Ends the message without a body.
    pub(crate) fn finish(self) -> Bytes {
        self.body("", &[])
    }

    /// Ends the message with a body; an empty one has no Content-Type.
    pub(crate) fn body(mut self, content_type: &str, body: &[u8]) -> Bytes {
        if !body.is_empty() {
            self = self.header("Content-Type", content_type);
        }
        self = self.header_fmt("Content-Length", format_args!("{}", body.len()));
        self.0.push_str("\r\n");
        let mut bytes = self.0.into_bytes();
        bytes.extend_from_slice(body);
        Bytes::from(bytes)
    }
}

/// The usual phrase of a status code (RFC 3261 section 21 and later RFCs).
pub(crate) fn phrase(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        422 => "Session Interval Too Small",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        _ => match code / 100 {
            1 => "Progress",
            2 => "OK",
            3 => "Redirection",
            4 => "Request Failure",
            5 => "Server Failure",
            _ => "Global Failure",
        },
    }
}
