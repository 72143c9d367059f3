//! The pieces of SIP header values that we read: addresses, Via, URIs, parameters (RFC 3261 section 25).
//!
//! Everything here takes untrusted text and answers `None` for what it cannot read.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// An address header value: `"Name" <uri>;param=value` or `uri;param=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The URI without angle brackets.
    pub uri: &'a str,
    /// What follows the address, beginning with `;` if not empty.
    params: &'a str,
}

impl<'a> NameAddr<'a> {
    /// Reads one address (RFC 3261 section 20.10).
    pub fn parse(value: &'a str) -> Option<Self> {
        let value = value.trim();
        let (uri, params) = match open_bracket(value) {
            Some(open) => {
                let rest = value.get(open + 1..)?;
                let close = rest.find('>')?;
                (rest.get(..close)?, rest.get(close + 1..)?)
            }
            // Without brackets, parameters belong to the header, not to the URI.
            None => match value.find(';') {
                Some(at) => (value.get(..at)?, value.get(at..)?),
                None => (value, ""),
            },
        };
        let uri = uri.trim();
        (!uri.is_empty() && !uri.contains(char::is_whitespace)).then_some(Self {
            uri,
            params: params.trim(),
        })
    }

    /// The value of a header parameter; empty for a parameter without a value.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        param(self.params, name)
    }

    /// The tag, if it has one that is not empty.
    pub fn tag(&self) -> Option<&'a str> {
        self.param("tag").filter(|tag| !tag.is_empty())
    }
}

/// Position of the `<` that opens the address, skipping a quoted display name.
fn open_bracket(value: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Splits a header value at commas outside quotes and angle brackets.
pub fn split_list(value: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped, mut bracket) = (0, false, false, false);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => bracket = true,
            b'>' if !quoted => bracket = false,
            b',' if !quoted && !bracket => {
                parts.extend(value.get(start..at).map(str::trim));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(value.get(start..).map(str::trim));
    parts.retain(|part| !part.is_empty());
    parts
}

/// Value of a `;name=value` parameter, case-insensitive; quotes are taken off.
pub fn param<'a>(params: &'a str, name: &str) -> Option<&'a str> {
    params.split(';').find_map(|part| {
        let part = part.trim();
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        key.trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim().trim_matches('"'))
    })
}

/// The topmost Via (RFC 3261 section 20.42).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// `UDP`, `TCP`, ... in upper case.
    pub transport: String,
    /// Host of sent-by, without brackets.
    pub host: String,
    /// Port of sent-by.
    pub port: Option<u16>,
    /// The branch.
    pub branch: String,
    /// Whether an `rport` parameter asks for the answer to go to the source port (RFC 3581).
    pub rport: bool,
}

impl Via {
    /// Reads one Via value.
    pub fn parse(value: &str) -> Option<Self> {
        let (protocol, rest) = value.trim().split_once(char::is_whitespace)?;
        let mut parts = protocol.split('/');
        let (name, version, transport) = (parts.next()?, parts.next()?, parts.next()?);
        if !name.eq_ignore_ascii_case("SIP") || version != "2.0" || parts.next().is_some() {
            return None;
        }
        let rest = rest.trim_start();
        let (sent_by, params) = rest.split_once(';').unwrap_or((rest, ""));
        let (host, port) = host_port(sent_by.trim())?;
        let branch = param(params, "branch").filter(|branch| !branch.is_empty())?;
        Some(Self {
            transport: transport.to_ascii_uppercase(),
            host: host.to_owned(),
            port,
            branch: branch.to_owned(),
            rport: param(params, "rport").is_some(),
        })
    }
}

/// Splits `host[:port]`, with brackets around an IPv6 address taken off.
pub fn host_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(port.parse().ok()?),
            None if after.is_empty() => None,
            None => return None,
        };
        return Some((host, port));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port.trim().parse().ok()?)),
        None => (text, None),
    };
    let host = host.trim();
    let fine = !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    fine.then_some((host, port))
}

/// A SIP URI taken apart (RFC 3261 section 19.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipUri<'a> {
    /// Scheme in the case it was written in.
    pub scheme: &'a str,
    /// User part without a password; empty if there is none.
    pub user: &'a str,
    /// Host without brackets.
    pub host: &'a str,
    /// Port, if written.
    pub port: Option<u16>,
    params: &'a str,
}

impl<'a> SipUri<'a> {
    /// Takes a `sip:` or `sips:` URI apart.
    pub fn parse(uri: &'a str) -> Option<Self> {
        let (scheme, rest) = uri.split_once(':')?;
        if !scheme.eq_ignore_ascii_case("sip") && !scheme.eq_ignore_ascii_case("sips") {
            return None;
        }
        let rest = rest.split('?').next().unwrap_or(rest);
        // The user part may hold `;`, so the host begins after the last `@`.
        let (user, host_and_params) = match rest.rsplit_once('@') {
            Some((user, host)) => (user.split(':').next().unwrap_or(user), host),
            None => ("", rest),
        };
        let (host, params) = match host_and_params.find(';') {
            Some(at) => (host_and_params.get(..at)?, host_and_params.get(at..)?),
            None => (host_and_params, ""),
        };
        let (host, port) = host_port(host)?;
        Some(Self {
            scheme,
            user,
            host,
            port,
            params,
        })
    }

    /// A URI parameter.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        param(self.params, name)
    }

    /// The address it names, if its host is a literal.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let host = self.param("maddr").unwrap_or(self.host);
        let ip: IpAddr = host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port.unwrap_or(5060)))
    }
}

/// Whether a text may stand as the user part of a URI as it is (RFC 3261 section 25.1, without escapes).
pub fn is_plain_user(user: &str) -> bool {
    !user.is_empty()
        && user.len() <= 128
        && user
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/#".contains(&b))
}

/// The user part as it is written in a URI: `#` is escaped.
pub fn escape_user(user: &str) -> String {
    user.replace('#', "%23")
}

/// An address as sent-by or URI host, with brackets for IPv6.
pub fn host_of(addr: SocketAddr) -> String {
    let mut text = String::new();
    let written = match addr.ip() {
        IpAddr::V4(ip) => write!(text, "{ip}:{}", addr.port()),
        IpAddr::V6(ip) => write!(text, "[{ip}]:{}", addr.port()),
    };
    debug_assert!(written.is_ok(), "writing to a String");
    text
}

/// The text of a Reason header for people: the `text` parameter, or the value itself (RFC 3326).
pub fn reason_text(value: &str) -> String {
    match param(value.split_once(';').map_or("", |(_, params)| params), "text") {
        Some(text) if !text.is_empty() => {
            let protocol = value.split(';').next().unwrap_or_default().trim();
            match param(value, "cause") {
                Some(cause) => format!("{protocol} {cause} {text}"),
                None => format!("{protocol} {text}"),
            }
        }
        _ => value.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_written() {
        let cases = [
            ("<sip:a@b>;tag=1", Some(("sip:a@b", Some("1")))),
            (
                "\"A, <b>\" <sip:a@b:5060;lr>;tag=x;q=1",
                Some(("sip:a@b:5060;lr", Some("x"))),
            ),
            ("sip:a@b;tag=1", Some(("sip:a@b", Some("1")))),
            ("Bob <sip:a@b>", Some(("sip:a@b", None))),
            ("<sip:a@b", None),
            ("", None),
            ("<>", None),
        ];
        for (text, expected) in cases {
            let got = NameAddr::parse(text).map(|a| (a.uri, a.tag()));
            assert_eq!(got, expected, "{text}");
        }
    }

    #[test]
    fn lists_are_split_outside_quotes_and_brackets() {
        assert_eq!(
            split_list("<sip:a,b>, \"x,y\" <sip:c>;p=1 , d"),
            ["<sip:a,b>", "\"x,y\" <sip:c>;p=1", "d"]
        );
        assert_eq!(split_list(" , "), Vec::<&str>::new());
    }

    #[test]
    fn vias_are_read_or_refused() {
        let via = Via::parse("SIP/2.0/UDP 192.0.2.1:5062 ;branch=z9hG4bKx;rport").unwrap();
        assert_eq!(
            (via.host.as_str(), via.port, via.branch.as_str(), via.rport),
            ("192.0.2.1", Some(5062), "z9hG4bKx", true)
        );
        let v6 = Via::parse("SIP/2.0/TCP [2001:db8::1];branch=z9").unwrap();
        assert_eq!((v6.host.as_str(), v6.port), ("2001:db8::1", None));
        for bad in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP host",
            "SIP/3.0/UDP h;branch=x",
            "SIP/2.0/UDP h:99999;branch=x",
            "X/2.0/UDP h;branch=1",
        ] {
            assert_eq!(Via::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn uris_are_taken_apart() {
        let uri = SipUri::parse("sip:+4912;x=1:pw@192.0.2.7:5080;transport=tcp;lr?h=1").unwrap();
        assert_eq!(
            (uri.user, uri.host, uri.port, uri.param("transport")),
            ("+4912;x=1", "192.0.2.7", Some(5080), Some("tcp"))
        );
        assert_eq!(uri.socket_addr(), Some("192.0.2.7:5080".parse().unwrap()));
        assert_eq!(SipUri::parse("sip:host.example").unwrap().socket_addr(), None);
        for bad in ["tel:123", "sip:", "sip:a@", "sip:a@b c", "nothing"] {
            assert_eq!(SipUri::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn reason_texts_are_for_people() {
        assert_eq!(
            reason_text("Q.850;cause=16;text=\"Normal call clearing\""),
            "Q.850 16 Normal call clearing"
        );
        assert_eq!(reason_text("SIP ;cause=200"), "SIP ;cause=200");
    }
}
