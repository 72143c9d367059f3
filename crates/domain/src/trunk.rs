//! Trunks: SIP peers that carry calls.

use crate::ids::{TrunkId, WorkspaceId};
use crate::phone::PhoneNumber;
use crate::pii::Secret;
use serde::{Deserialize, Serialize};

/// A SIP peer that carries calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trunk {
    /// Its workspace.
    pub workspace_id: WorkspaceId,
    /// Its id.
    pub id: TrunkId,
    /// A name for people, unique in the workspace.
    pub name: String,
    /// Host name or address of the peer.
    pub host: String,
    /// Port; 5060 by default.
    pub port: u16,
    /// Transport of the signalling.
    pub transport: Transport,
    /// Digest credentials.
    pub credentials: Option<Credentials>,
    /// Domain for From and the request URI when it differs from `host`.
    pub domain: Option<String>,
    /// Numbers that may be shown to the callee; the first is the default.
    pub caller_ids: Vec<PhoneNumber>,
    /// How numbers are written on this trunk.
    pub number_format: NumberFormat,
    /// Codecs to offer, best first.
    pub codecs: Vec<Codec>,
    /// Most calls at once.
    pub lines: u32,
    /// Most new calls in any sliding second.
    pub calls_per_second: u32,
    /// Whether `P-Asserted-Identity` carries the caller id.
    pub assert_identity: bool,
    /// Whether this is a far end of ours that rings nobody.
    pub sandbox: bool,
    /// Whether it may be used.
    pub enabled: bool,
    /// The version that a change was decided on.
    pub version: u64,
}

/// Transport of the signalling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// RFC 3261 section 18 over UDP.
    Udp,
    /// Over TCP.
    Tcp,
}

/// Digest credentials (RFC 3261 section 22).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

/// How a number is written in the request URI and From.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NumberFormat {
    /// `+919876543210`
    E164,
    /// `919876543210`
    Digits,
    /// The country code is taken off and a prefix put on: `09876543210` for prefix `0`, country `91`. Other countries'
    /// numbers are written as `international_prefix` and all digits.
    National {
        /// Country calling code without `+`.
        country_code: String,
        /// Put before national numbers.
        prefix: String,
        /// Put before other countries' numbers.
        international_prefix: String,
    },
}

impl NumberFormat {
    /// Writes a number for this trunk.
    pub fn format(&self, number: &PhoneNumber) -> String {
        match self {
            Self::E164 => number.as_str().to_owned(),
            Self::Digits => number.digits().to_owned(),
            Self::National { country_code, prefix, international_prefix } => {
                match number.digits().strip_prefix(country_code.as_str()) {
                    Some(national) => format!("{prefix}{national}"),
                    None => format!("{international_prefix}{}", number.digits()),
                }
            }
        }
    }
}

/// An audio codec that we can offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// G.711 mu-law (payload type 0).
    Pcmu,
    /// G.711 A-law (payload type 8).
    Pcma,
}
