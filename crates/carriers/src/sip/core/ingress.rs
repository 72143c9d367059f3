//! The guard: what a datagram must pass before it can change anything.

use super::leg::ALLOW;
use super::server::{Answer, ServerKey};
use super::{Core, Flow};
use crate::sip::config::SourcePolicy;
use crate::sip::message::{DropReason, Message, Method, Start};
use bytes::Bytes;
use std::net::IpAddr;
use std::time::Instant;

impl Core {
    /// Whether messages from this address are read.
    pub(crate) fn source_allowed(&self, ip: IpAddr) -> bool {
        matches!(self.config.sources, SourcePolicy::Any)
            || self.peers.contains(&ip)
            || self.dialog_peers.contains_key(&ip)
    }

    /// One whole message from the network.
    pub(crate) fn on_message(&mut self, now: Instant, flow: Flow, bytes: &Bytes) {
        if !self.source_allowed(flow.peer.ip()) {
            self.counters.drop(DropReason::Source);
            return;
        }
        // Keep-alives of RFC 5626 section 3.5.1 and empty datagrams of NAT keepers are no messages.
        if bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return;
        }
        match Message::parse(bytes) {
            Ok(message) => match &message.start {
                Start::Response { .. } => self.on_response(now, flow, &message),
                Start::Request { .. } => self.on_request(now, flow, &message),
            },
            Err(reason) => {
                tracing::debug!(peer = %flow.peer, reason = reason.name(), "dropped a malformed message");
                self.counters.drop(reason);
            }
        }
    }

    fn on_request(&mut self, now: Instant, flow: Flow, message: &Message) {
        let Start::Request {
            method,
            uri,
            version_known,
        } = &message.start
        else {
            return;
        };
        let counted = match method {
            Method::Other(_) => "other",
            known => known.as_str(),
        };
        *self.counters.requests_in.entry(counted.to_owned()).or_default() += 1;
        let key = ServerKey::of(message);
        if *method == Method::Ack {
            self.on_ack(now, &key, message);
            return;
        }
        if !self.open_server(&key, message, flow) {
            return;
        }
        if let Some(refusal) = refusal(message, method, uri, *version_known) {
            self.refuse(now, &key, message, refusal);
            return;
        }
        if *method == Method::Cancel {
            self.on_cancel(now, &key);
            return;
        }
        match &message.to_tag {
            Some(tag) => match self.find_leg(&message.call_id, tag) {
                Some(leg) => self.on_dialog_request(now, leg, &key, message, method),
                None => self.refuse(now, &key, message, Answer::code(481)),
            },
            None => match method {
                Method::Invite => self.on_invite(now, &key, flow, message, uri),
                Method::Options => {
                    let answer = options_answer();
                    self.refuse(now, &key, message, answer);
                }
                Method::Known(_) => self.refuse(now, &key, message, Answer::code(405).header("Allow", ALLOW)),
                _ => self.refuse(now, &key, message, Answer::code(481)),
            },
        }
    }

    /// Answers a request outside of any leg of ours; a tag goes on To as every final answer needs one.
    pub(super) fn refuse(&mut self, now: Instant, key: &ServerKey, message: &Message, answer: Answer<'_>) {
        let tag = if message.to_tag.is_none() {
            Some(self.new_tag())
        } else {
            None
        };
        let answer = Answer {
            to_tag: tag.as_deref(),
            ..answer
        };
        self.respond(now, key, answer);
    }
}

/// The answer to OPTIONS (RFC 3261 section 11.2).
pub(super) fn options_answer() -> Answer<'static> {
    Answer::code(200)
        .header("Allow", ALLOW)
        .header("Accept", "application/sdp")
        .header("Supported", "timer")
}

/// Why a request cannot be taken whatever it is for.
fn refusal(message: &Message, method: &Method, uri: &str, version_known: bool) -> Option<Answer<'static>> {
    if !version_known {
        return Some(Answer::code(505));
    }
    if matches!(method, Method::Other(_)) {
        return Some(Answer::code(501).header("Allow", ALLOW));
    }
    if message.from_tag.is_none() {
        return Some(Answer::code(400).header("Warning", "399 carillon \"From has no tag\""));
    }
    let scheme = uri.split(':').next().unwrap_or_default();
    if !["sip", "sips", "tel"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        return Some(Answer::code(416));
    }
    if *method != Method::Cancel {
        let unknown: Vec<&str> = message
            .headers
            .list("Require")
            .filter(|option| !option.eq_ignore_ascii_case("timer"))
            .collect();
        if !unknown.is_empty() {
            return Some(Answer::code(420).header("Unsupported", unknown.join(", ")));
        }
    }
    None
}
