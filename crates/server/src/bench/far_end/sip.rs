//! As much SIP as a far end needs that answers one kind of peer: fields are found by name, and copied as they are.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A message, as bytes that are text.
pub(super) struct Message<'a> {
    start: &'a str,
    headers: &'a str,
    body: &'a str,
}

impl<'a> Message<'a> {
    /// Reads a datagram; `None` if it is no message.
    pub(super) fn read(datagram: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(datagram).ok()?;
        let (start, rest) = text.split_once("\r\n")?;
        let (headers, body) = rest.split_once("\r\n\r\n")?;
        start.contains("SIP/2.0").then_some(Self { start, headers, body })
    }

    /// The method of a request; `None` for a response.
    pub(super) fn method(&self) -> Option<&'a str> {
        if self.start.starts_with("SIP/2.0") {
            None
        } else {
            self.start.split(' ').next()
        }
    }

    /// The status of a response.
    pub(super) fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// User part of the request URI.
    pub(super) fn user(&self) -> Option<&'a str> {
        let (_, uri) = self.start.split_once("sip:")?;
        uri.split(['@', ';', ' ']).next()
    }

    /// Values of a header, one a line.
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'a str> {
        self.headers.split("\r\n").filter_map(move |line| {
            let (found, value) = line.split_once(':')?;
            found.trim_end().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The first value of a header.
    pub(super) fn header(&self, name: &'static str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// Number and method of `CSeq`.
    pub(super) fn cseq(&self) -> Option<(u32, &'a str)> {
        let (number, method) = self.header("CSeq")?.split_once(' ')?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// The URI of `Contact`.
    pub(super) fn contact(&self) -> Option<&'a str> {
        let contact = self.header("Contact")?;
        contact.split_once('<')?.1.split('>').next()
    }

    /// Where the sender takes sound: `c=` and the port of `m=audio` (RFC 8866 sections 5.7 and 5.14).
    pub(super) fn sound(&self) -> Option<SocketAddrV4> {
        let line = |start: &str| self.body.lines().find_map(|line| line.trim_end().strip_prefix(start));
        let address: Ipv4Addr = line("c=IN IP4 ")?.parse().ok()?;
        let port = line("m=audio ")?.split(' ').next()?.parse().ok()?;
        Some(SocketAddrV4::new(address, port))
    }

    /// A response to this request, with our tag (RFC 3261 section 8.2.6).
    pub(super) fn response(&self, status: &str, tag: u64, own: SocketAddrV4, body: &str) -> String {
        let mut text = String::with_capacity(768);
        // Writing to a string cannot fail.
        let _ = write!(text, "SIP/2.0 {status}\r\n");
        for via in self.all("Via") {
            let _ = write!(text, "Via: {via}\r\n");
        }
        let (from, to) = (
            self.header("From").unwrap_or_default(),
            self.header("To").unwrap_or_default(),
        );
        let tag = if to.contains(";tag=") || status.starts_with("100") {
            String::new()
        } else {
            format!(";tag={tag:x}")
        };
        let (call_id, cseq) = (
            self.header("Call-ID").unwrap_or_default(),
            self.header("CSeq").unwrap_or_default(),
        );
        let _ = write!(
            text,
            "From: {from}\r\nTo: {to}{tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n"
        );
        let _ = write!(text, "Contact: <sip:far-end@{own}>\r\n");
        if !body.is_empty() {
            let _ = write!(text, "Content-Type: application/sdp\r\n");
        }
        let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
        text
    }
}

/// Our answer to an offer: G.711 mu-law at this address.
pub(super) fn answer(sound: SocketAddrV4) -> String {
    let (ip, port) = (sound.ip(), sound.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    )
}

/// What is kept of an INVITE to end its dialog by BYE.
pub(super) struct Dialog {
    target: String,
    local: String,
    remote: String,
    call_id: String,
}

impl Dialog {
    /// Of an INVITE that was answered with this tag.
    pub(super) fn of(invite: &Message<'_>, tag: u64) -> Option<Self> {
        Some(Self {
            target: invite.contact()?.to_owned(),
            local: format!("{};tag={tag:x}", invite.header("To")?),
            remote: invite.header("From")?.to_owned(),
            call_id: invite.header("Call-ID")?.to_owned(),
        })
    }

    /// Our BYE.
    pub(super) fn bye(&self, own: SocketAddrV4, branch: u64) -> String {
        let Self {
            target,
            local,
            remote,
            call_id,
        } = self;
        format!(
            "BYE {target} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKb{branch:x}\r\nMax-Forwards: 70\r\nFrom: {local}\r\n\
             To: {remote}\r\nCall-ID: {call_id}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:+919800000001@127.0.0.1:5070 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1;rport\r\n\
        From: <sip:+911140000000@127.0.0.1>;tag=a\r\nTo: <sip:+919800000001@127.0.0.1>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\n\
        Contact: <sip:127.0.0.1:5060>\r\nContent-Length: 60\r\n\r\nv=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 20000 RTP/AVP 0 101\r\n";

    #[test]
    fn an_invite_is_read_and_answered() {
        let invite = Message::read(INVITE.as_bytes()).unwrap();
        assert_eq!(
            (invite.method(), invite.user(), invite.cseq()),
            (Some("INVITE"), Some("+919800000001"), Some((1, "INVITE")))
        );
        assert_eq!(invite.sound(), Some("127.0.0.1:20000".parse().unwrap()));
        let own = "127.0.0.1:5070".parse().unwrap();
        let reply = invite.response("200 OK", 0xbe, own, &answer(own));
        let reply = Message::read(reply.as_bytes()).unwrap();
        assert_eq!(
            (reply.method(), reply.status(), reply.sound()),
            (None, Some(200), Some(own))
        );
        assert_eq!(reply.header("to"), Some("<sip:+919800000001@127.0.0.1>;tag=be"));
        assert_eq!(reply.header("via"), invite.header("Via"));
        let bye = Dialog::of(&invite, 0xbe).unwrap().bye(own, 7);
        let bye = Message::read(bye.as_bytes()).unwrap();
        assert_eq!(
            (bye.method(), bye.header("From"), bye.header("To")),
            (Some("BYE"), reply.header("To"), invite.header("From"))
        );
        assert!(bye.start.starts_with("BYE sip:127.0.0.1:5060 SIP/2.0"));
    }

    #[test]
    fn what_is_no_message_is_not_read() {
        for datagram in [
            &b"\r\n\r\n"[..],
            b"",
            b"INVITE",
            b"\xff\r\n\r\n\r\n",
            b"hello\r\na: b\r\n\r\n",
        ] {
            assert!(Message::read(datagram).is_none());
        }
    }
}
