//! The SIP names of a call: what must be on disk so that a restart can end a leg that is still up.

use crate::ids::CallId;
use serde::{Deserialize, Serialize};

/// Names decided before the INVITE leaves. They follow from the call's id alone, so they are never wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SipIdentity {
    /// Call-ID.
    pub sip_call_id: String,
    /// Our tag in From.
    pub local_tag: String,
}

impl SipIdentity {
    /// The names of the attempt.
    pub fn of(call_id: CallId) -> Self {
        let simple = call_id.uuid().simple().to_string();
        Self {
            sip_call_id: format!("{simple}@carillon"),
            local_tag: format!("c{}", &simple[16..]),
        }
    }

    /// Branch of the attempt's INVITE with this CSeq number (RFC 3261 section 8.1.1.7). It follows from the names too, so
    /// that CANCEL can be sent for an INVITE of which nothing but its attempt is on disk.
    pub fn invite_branch(&self, cseq: u32) -> String {
        let unique: String = self.sip_call_id.chars().filter(char::is_ascii_alphanumeric).collect();
        format!("z9hG4bK{unique}{}n{cseq}", self.local_tag)
    }
}

/// All that is needed to send CANCEL or BYE for a leg without the SIP stack's memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialogFacts {
    /// Call-ID and our tag.
    pub identity: SipIdentity,
    /// Branch of the INVITE that is in progress (the last one, after an auth challenge). CANCEL repeats it.
    pub invite_branch: Option<String>,
    /// CSeq number of that INVITE.
    pub invite_cseq: u32,
    /// Request URI of that INVITE.
    pub invite_uri: String,
    /// Our From URI.
    pub local_uri: String,
    /// Our Contact URI.
    pub contact_uri: Option<String>,
    /// To URI.
    pub remote_uri: String,
    /// The far end's tag, once it has one.
    pub remote_tag: Option<String>,
    /// The far end's Contact: request URI of BYE.
    pub remote_target: Option<String>,
    /// Route set in sending order.
    pub route_set: Vec<String>,
    /// Where the far end's messages come from (`host:port`).
    pub peer: Option<String>,
    /// Whether a 200 came.
    pub answered: bool,
}
