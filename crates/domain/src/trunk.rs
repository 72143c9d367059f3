//! Trunks: SIP peers that carry calls.

use crate::ids::{TrunkId, WorkspaceId};
use crate::phone::PhoneNumber;
use crate::pii::Secret;
use crate::time::UnixMicros;
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
            Self::National {
                country_code,
                prefix,
                international_prefix,
            } => match number.digits().strip_prefix(country_code.as_str()) {
                Some(national) => format!("{prefix}{national}"),
                None => format!("{international_prefix}{}", number.digits()),
            },
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

/// The calls that a trunk started lately: keeps new calls at or under a rate in every sliding second.
#[derive(Clone, Debug, Default)]
pub struct StartRate {
    starts: std::collections::VecDeque<UnixMicros>,
}

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

impl StartRate {
    /// How many calls may start at `now`.
    pub fn allowed(&self, calls_per_second: u32, now: UnixMicros) -> u32 {
        let lately = self
            .starts
            .iter()
            .rev()
            .take_while(|start| **start + SECOND > now)
            .count();
        calls_per_second.saturating_sub(u32::try_from(lately).unwrap_or(u32::MAX))
    }

    /// When the next call may start; `None` if one may start now, or never (a rate of 0).
    pub fn next_start_at(&self, calls_per_second: u32, now: UnixMicros) -> Option<UnixMicros> {
        if calls_per_second == 0 || self.allowed(calls_per_second, now) > 0 {
            return None;
        }
        let back = usize::try_from(calls_per_second).unwrap_or(usize::MAX);
        let index = self.starts.len().checked_sub(back)?;
        self.starts.get(index).map(|start| *start + SECOND)
    }

    /// A call starts at `now`. Times that go backwards count as the latest one.
    pub fn started(&mut self, now: UnixMicros) {
        let now = self.starts.back().map_or(now, |latest| now.max(*latest));
        while self.starts.front().is_some_and(|start| *start + SECOND <= now) {
            self.starts.pop_front();
        }
        self.starts.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_sliding_second_has_more_starts_than_the_rate(
            rate in 1_u32..5,
            gaps in proptest::collection::vec(0_i64..700_000, 1..60),
        ) {
            let mut starts = StartRate::default();
            let mut made = Vec::new();
            let mut now = UnixMicros(0);
            for gap in gaps {
                now = UnixMicros(now.0 + gap);
                if starts.allowed(rate, now) > 0 {
                    starts.started(now);
                    made.push(now);
                } else {
                    let next = starts.next_start_at(rate, now).unwrap();
                    prop_assert!(next > now);
                    prop_assert!(starts.allowed(rate, next) > 0);
                }
            }
            for start in &made {
                let within = made.iter().filter(|other| **other >= *start && **other < *start + SECOND).count();
                prop_assert!(within <= rate as usize);
            }
        }
    }

    #[test]
    fn numbers_are_written_as_the_trunk_wants_them() {
        let national = NumberFormat::National {
            country_code: "91".into(),
            prefix: "0".into(),
            international_prefix: "00".into(),
        };
        let indian = PhoneNumber::from_e164_shape("+919876543210").unwrap();
        let british = PhoneNumber::from_e164_shape("+442071838750").unwrap();
        assert_eq!(NumberFormat::E164.format(&indian), "+919876543210");
        assert_eq!(NumberFormat::Digits.format(&indian), "919876543210");
        assert_eq!(national.format(&indian), "09876543210");
        assert_eq!(national.format(&british), "00442071838750");
    }
}
