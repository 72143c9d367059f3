//! As much of SIP's grammar as the witness needs: read a message, write a reply, write a BYE.

use std::net::SocketAddr;

/// A SIP message, its headers in order.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Empty for responses.
    pub(crate) method: String,
    /// Request URI, or the status code as text.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Message {
    /// Reads a datagram. `None`: it is no SIP.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let mut start = lines.next()?.split(' ');
        let (first, second) = (start.next()?, start.next()?);
        let method = if first == "SIP/2.0" {
            String::new()
        } else {
            first.to_owned()
        };
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        Some(Self {
            method,
            target: second.to_owned(),
            headers: headers.collect(),
            body: body.to_owned(),
        })
    }

    /// The first header of this name, or nothing.
    pub(crate) fn header(&self, name: &str) -> String {
        let found = self
            .headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    pub(crate) fn call_id(&self) -> String {
        self.header("Call-ID")
    }

    pub(crate) fn cseq_number(&self) -> String {
        self.header("CSeq").split(' ').next().unwrap_or_default().to_owned()
    }

    /// The branch of the topmost Via.
    pub(crate) fn branch(&self) -> String {
        parameter(&self.header("Via"), "branch")
    }

    /// The tag of To; empty outside a dialog.
    pub(crate) fn to_tag(&self) -> String {
        parameter(&self.header("To"), "tag")
    }

    /// The user part of the request URI.
    pub(crate) fn number(&self) -> String {
        let user = self.target.split('@').next().unwrap_or_default();
        user.trim_start_matches("sip:").to_owned()
    }

    /// A reply with the request's own Via, From, To, Call-ID and CSeq (RFC 3261 section 8.2.6.2).
    pub(crate) fn reply(&self, code: u16, reason: &str, tag: &str, more: &[(&str, &str)], sdp: &str) -> Vec<u8> {
        let mut text = format!("SIP/2.0 {code} {reason}\r\n");
        for (name, value) in &self.headers {
            match name.to_ascii_lowercase().as_str() {
                "via" | "from" | "call-id" | "cseq" | "record-route" => text.push_str(&format!("{name}: {value}\r\n")),
                "to" if code > 100 && self.to_tag().is_empty() => text.push_str(&format!("To: {value};tag={tag}\r\n")),
                "to" => text.push_str(&format!("To: {value}\r\n")),
                _ => {}
            }
        }
        for (name, value) in more {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !sdp.is_empty() {
            text.push_str("Content-Type: application/sdp\r\n");
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n{sdp}", sdp.len()));
        text.into_bytes()
    }

    /// A BYE from the called side of the dialog that this INVITE began.
    pub(crate) fn bye(&self, us: SocketAddr, tag: &str) -> Vec<u8> {
        let contact = self.header("Contact");
        let target = contact
            .split('<')
            .nth(1)
            .and_then(|rest| rest.split('>').next())
            .unwrap_or(&contact)
            .to_owned();
        let (from, to, call_id) = (self.header("To"), self.header("From"), self.call_id());
        format!(
            "BYE {target} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK-bye-{tag}-{call_id}\r\nMax-Forwards: 70\r\n\
             From: {from};tag={tag}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }
}

fn parameter(value: &str, name: &str) -> String {
    let wanted = format!("{name}=");
    let found = value
        .split(';')
        .map(str::trim)
        .find_map(|part| part.strip_prefix(&wanted));
    found.unwrap_or_default().to_owned()
}
