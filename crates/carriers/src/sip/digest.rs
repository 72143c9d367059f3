//! Digest access authentication (RFC 7616; RFC 2617 for peers without `qop`), both sides.

use crate::ua::Challenge;
use carillon_domain::trunk::Credentials;
use md5::Md5;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text.as_bytes())),
            Self::Sha256 => hex(&Sha256::digest(text.as_bytes())),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let written = write!(text, "{byte:02x}");
            debug_assert!(written.is_ok(), "writing to a String");
            text
        })
}

/// A challenge that came from a far end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    algorithm_token: Option<String>,
    session: bool,
    qop: bool,
    /// The nonce was too old; the credentials were right.
    pub stale: bool,
}

impl Asked {
    /// Reads the best of the challenges in WWW-Authenticate or Proxy-Authenticate values: SHA-256 before MD5.
    pub fn best_of<'a>(values: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut asked: Vec<Self> = values.filter_map(Self::parse).collect();
        asked.sort_by_key(|a| a.algorithm == Algorithm::Md5);
        asked.into_iter().next()
    }

    fn parse(value: &str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(char::is_whitespace)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let params = auth_params(rest);
        let get = |name: &str| {
            params
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, v)| v.clone())
        };
        let algorithm_token = get("algorithm");
        let (algorithm, session) = match algorithm_token.as_deref().map(str::to_ascii_uppercase).as_deref() {
            None | Some("MD5") => (Algorithm::Md5, false),
            Some("MD5-SESS") => (Algorithm::Md5, true),
            Some("SHA-256") => (Algorithm::Sha256, false),
            Some("SHA-256-SESS") => (Algorithm::Sha256, true),
            Some(_) => return None,
        };
        let qop = match get("qop") {
            None => false,
            // Only auth-int is on offer: its body hash is not made here.
            Some(list) if !list.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")) => return None,
            Some(_) => true,
        };
        Some(Self {
            realm: get("realm")?,
            nonce: get("nonce")?,
            opaque: get("opaque"),
            algorithm,
            algorithm_token,
            session,
            qop,
            stale: get("stale").is_some_and(|s| s.eq_ignore_ascii_case("true")),
        })
    }

    /// The value of Authorization or Proxy-Authorization. `qop`, `nc` and `algorithm` are tokens and go unquoted
    /// (RFC 7616 section 3.4).
    pub fn answer(&self, credentials: &Credentials, method: &str, uri: &str, cnonce: &str) -> String {
        let algorithm = self.algorithm;
        let mut ha1 = algorithm.hash(&format!(
            "{}:{}:{}",
            credentials.username,
            self.realm,
            credentials.password.expose()
        ));
        if self.session {
            ha1 = algorithm.hash(&format!("{ha1}:{}:{cnonce}", self.nonce));
        }
        let ha2 = algorithm.hash(&format!("{method}:{uri}"));
        let response = if self.qop {
            algorithm.hash(&format!("{ha1}:{}:00000001:{cnonce}:auth:{ha2}", self.nonce))
        } else {
            algorithm.hash(&format!("{ha1}:{}:{ha2}", self.nonce))
        };
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{response}\"",
            quote(&credentials.username),
            quote(&self.realm),
            quote(&self.nonce),
        );
        if let Some(token) = &self.algorithm_token {
            value.push_str(", algorithm=");
            value.push_str(token);
        }
        if self.qop || self.session {
            value.push_str(&format!(", cnonce=\"{cnonce}\""));
        }
        if self.qop {
            value.push_str(", qop=auth, nc=00000001");
        }
        if let Some(opaque) = &self.opaque {
            value.push_str(&format!(", opaque=\"{}\"", quote(opaque)));
        }
        value
    }
}

fn quote(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// `name=value` and `name="value"` pairs separated by commas.
fn auth_params(text: &str) -> Vec<(String, String)> {
    let mut params = Vec::new();
    let mut chars = text.chars().peekable();
    while chars.peek().is_some() {
        let name: String = std::iter::from_fn(|| chars.next_if(|c| *c != '=' && *c != ',')).collect();
        if chars.next_if_eq(&'=').is_none() {
            chars.next();
            continue;
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let mut value = String::new();
        if chars.next_if_eq(&'"').is_some() {
            while let Some(c) = chars.next() {
                match c {
                    '"' => break,
                    '\\' => value.extend(chars.next()),
                    c => value.push(c),
                }
            }
        }
        let rest: String = std::iter::from_fn(|| chars.next_if(|c| *c != ',')).collect();
        value.push_str(rest.trim());
        chars.next();
        params.push((name.trim().to_owned(), value));
    }
    params
}

impl Challenge {
    /// The header that carries it: name and value.
    pub fn header(&self) -> (&'static str, String) {
        let name = if self.proxy {
            "Proxy-Authenticate"
        } else {
            "WWW-Authenticate"
        };
        let algorithm = if self.sha256 { "SHA-256" } else { "MD5" };
        let qop = if self.qop { ", qop=\"auth\"" } else { "" };
        let value = format!(
            "Digest realm=\"{}\", nonce=\"{}\", algorithm={algorithm}{qop}",
            quote(&self.realm),
            quote(&self.nonce)
        );
        (name, value)
    }

    /// Whether an Authorization (or Proxy-Authorization) value answers this challenge with the right password.
    pub fn is_answered_by(&self, value: &str, credentials: &Credentials, method: &str) -> bool {
        let Some((scheme, rest)) = value.trim().split_once(char::is_whitespace) else {
            return false;
        };
        let params = auth_params(rest);
        let get = |name: &str| {
            params
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name))
                .map_or("", |(_, v)| v.as_str())
        };
        let algorithm = if self.sha256 { Algorithm::Sha256 } else { Algorithm::Md5 };
        let named = (get("username"), get("realm"), get("nonce"));
        if !scheme.eq_ignore_ascii_case("Digest")
            || named != (credentials.username.as_str(), self.realm.as_str(), self.nonce.as_str())
        {
            return false;
        }
        let ha1 = algorithm.hash(&format!(
            "{}:{}:{}",
            credentials.username,
            self.realm,
            credentials.password.expose()
        ));
        let ha2 = algorithm.hash(&format!("{method}:{}", get("uri")));
        let expected = match get("qop") {
            "" if !self.qop => algorithm.hash(&format!("{ha1}:{}:{ha2}", self.nonce)),
            "auth" if self.qop => algorithm.hash(&format!(
                "{ha1}:{}:{}:{}:auth:{ha2}",
                self.nonce,
                get("nc"),
                get("cnonce")
            )),
            _ => return false,
        };
        expected == get("response")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_domain::pii::Secret;

    fn mufasa() -> Credentials {
        Credentials {
            username: "Mufasa".to_owned(),
            password: Secret::new("Circle of Life".to_owned()),
        }
    }

    /// RFC 7616 section 3.9.1 gives both responses for one request.
    #[test]
    fn the_rfc_7616_example_comes_out() {
        let common = "realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
                      nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
        let cases = [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            (
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ];
        for (algorithm, response) in cases {
            let challenge = format!("Digest {common}, algorithm={algorithm}");
            let asked = Asked::parse(&challenge).unwrap();
            let answer = asked.answer(
                &mufasa(),
                "GET",
                "/dir/index.html",
                "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            );
            assert!(answer.contains(&format!("response=\"{response}\"")), "{answer}");
            assert!(answer.contains("qop=auth, nc=00000001"), "{answer}");
            assert!(answer.contains(&format!("algorithm={algorithm},")), "{answer}");
        }
    }

    /// RFC 2617 section 3.5 with the parts that `qop` adds taken away, as RFC 2069 peers ask.
    #[test]
    fn peers_without_qop_get_the_old_form() {
        let asked = Asked::parse("Digest realm=\"r\", nonce=\"n\"").unwrap();
        let answer = asked.answer(&mufasa(), "INVITE", "sip:1@h", "c");
        let expected = Algorithm::Md5.hash(&format!(
            "{}:n:{}",
            Algorithm::Md5.hash("Mufasa:r:Circle of Life"),
            Algorithm::Md5.hash("INVITE:sip:1@h")
        ));
        assert!(
            answer.contains(&expected) && !answer.contains("qop") && !answer.contains("cnonce"),
            "{answer}"
        );
    }

    #[test]
    fn what_one_side_answers_the_other_accepts() {
        for proxy in [false, true] {
            for qop in [false, true] {
                for sha256 in [false, true] {
                    let challenge = Challenge {
                        proxy,
                        realm: "a \"b\"".into(),
                        nonce: "n1".into(),
                        qop,
                        sha256,
                    };
                    let (_, value) = challenge.header();
                    let asked = Asked::best_of([value.as_str()].into_iter()).unwrap();
                    let answer = asked.answer(&mufasa(), "INVITE", "sip:1@h", "cn");
                    assert!(challenge.is_answered_by(&answer, &mufasa(), "INVITE"), "{answer}");
                    let wrong = Credentials {
                        username: "Mufasa".into(),
                        password: Secret::new("no".to_owned()),
                    };
                    assert!(!challenge.is_answered_by(&answer, &wrong, "INVITE"));
                }
            }
        }
    }

    #[test]
    fn unknown_algorithms_and_schemes_are_passed_over() {
        let values = [
            "Basic realm=\"x\"",
            "Digest realm=\"x\", nonce=\"1\", algorithm=SHA-512-256",
            "Digest realm=\"x\", nonce=\"2\", algorithm=MD5",
        ];
        let asked = Asked::best_of(values.into_iter()).unwrap();
        assert_eq!(asked.nonce, "2");
        for hostile in [
            "Digest",
            "Digest ,,,=,",
            "Digest realm=\"",
            "Digest realm=\"\\",
            "Digest nonce=\"1\"",
        ] {
            assert_eq!(Asked::parse(hostile), None, "{hostile}");
        }
    }
}
