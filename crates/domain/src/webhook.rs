//! Webhooks: endpoints, and deliveries as a state machine. Bodies are rendered and signed elsewhere.

use crate::ids::{AgentId, CallId, CampaignId, DeliveryId, EndpointId, WorkspaceId};
use crate::pii::Secret;
use crate::time::UnixMicros;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A receiver of webhooks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its workspace.
    pub workspace_id: WorkspaceId,
    /// Its id.
    pub id: EndpointId,
    /// Where to POST.
    pub url: String,
    /// Signing secret.
    pub secret: Secret,
    /// Events it wants; empty: all.
    pub events: Vec<String>,
    /// Only calls of this agent.
    pub agent_id: Option<AgentId>,
    /// Only calls of this campaign.
    pub campaign_id: Option<CampaignId>,
    /// In whose form it is told.
    pub dialect: Dialect,
    /// Whether it is told at all.
    pub enabled: bool,
    /// When it was made.
    pub created_at: UnixMicros,
    /// The version that a change was decided on.
    pub version: u64,
}

impl Endpoint {
    /// Whether it wants an event about a call of this agent and campaign.
    pub fn wants(&self, event: &str, agent_id: AgentId, campaign_id: Option<CampaignId>) -> bool {
        self.enabled
            && (self.events.is_empty() || self.events.iter().any(|wanted| wanted == event))
            && self.agent_id.is_none_or(|wanted| wanted == agent_id)
            && self.campaign_id.is_none_or(|wanted| Some(wanted) == campaign_id)
    }
}

/// Whose API a key, a call or an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Our own.
    Native,
    /// RevRag.
    Revrag,
    /// Agentive Voice.
    Agentive,
    /// Agoralia.
    Agoralia,
    /// JagCall.
    Jagcall,
}

impl Dialect {
    /// The word in the store and in our own API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Revrag => "revrag",
            Self::Agentive => "agentive",
            Self::Agoralia => "agoralia",
            Self::Jagcall => "jagcall",
        }
    }
}

/// One event on its way to one endpoint. The body never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its workspace.
    pub workspace_id: WorkspaceId,
    /// Its id; over all retries and replays the receiver sees one event id made from it.
    pub id: DeliveryId,
    /// Where it goes.
    pub endpoint_id: EndpointId,
    /// Name of the event, such as `call.ended`.
    pub event: String,
    /// The call it is about.
    pub call_id: CallId,
    /// The body, byte for byte.
    pub body: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Requests made so far.
    pub attempts: u32,
    /// Requests made since it was created or last replayed: the place in the retry schedule.
    pub round: u32,
    /// When the fact happened.
    pub created_at: UnixMicros,
    /// The version that a change was decided on.
    pub version: u64,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DeliveryState {
    /// To be sent at `due_at`.
    Pending {
        /// When.
        due_at: UnixMicros,
    },
    /// The receiver answered 2xx.
    Delivered {
        /// When.
        at: UnixMicros,
    },
    /// The schedule is used up; it waits for a replay.
    Exhausted {
        /// When.
        at: UnixMicros,
    },
}

/// One request of a delivery, for the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliveryAttempt {
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// From 1, over all replays.
    pub number: u32,
    /// When the request was made.
    pub at: UnixMicros,
    /// How long it took, in milliseconds.
    pub duration_ms: u32,
    /// How it went.
    pub reply: Reply,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reply {
    /// The receiver answered.
    Status {
        /// HTTP status.
        code: u16,
        /// `Retry-After` in seconds, if it sent one.
        retry_after_s: Option<u32>,
    },
    /// It did not.
    Failed {
        /// Why.
        reason: String,
    },
    /// The address may not be called (loopback, private, not https).
    Refused {
        /// Why, and what to change.
        reason: String,
    },
}

/// Waits between requests, in seconds (contracts 1.7): then the delivery is exhausted.
pub const RETRY_SCHEDULE_S: [u64; 7] = [10, 60, 300, 1_800, 7_200, 18_000, 36_000];

/// What happens to a delivery.
#[derive(Clone, Debug, PartialEq)]
pub enum DeliveryInput {
    /// A request was made, with this reply.
    Replied(Reply),
    /// Somebody asked for it to be sent again.
    Replay,
}

impl Delivery {
    /// When it is to be sent next.
    pub fn due_at(&self) -> Option<UnixMicros> {
        match self.state {
            DeliveryState::Pending { due_at } => Some(due_at),
            DeliveryState::Delivered { .. } | DeliveryState::Exhausted { .. } => None,
        }
    }

    /// The delivery after `input`.
    pub fn handle(&self, now: UnixMicros, input: &DeliveryInput) -> Self {
        let mut next = self.clone();
        match input {
            DeliveryInput::Replay => {
                next.round = 0;
                next.state = DeliveryState::Pending { due_at: now };
            }
            DeliveryInput::Replied(reply) => {
                next.attempts = self.attempts.saturating_add(1);
                next.round = self.round.saturating_add(1);
                next.state = match reply {
                    Reply::Status { code, .. } if (200..300).contains(code) => DeliveryState::Delivered { at: now },
                    Reply::Status { retry_after_s, .. } => retry_at(now, self.round, *retry_after_s),
                    Reply::Failed { .. } | Reply::Refused { .. } => retry_at(now, self.round, None),
                };
            }
        }
        next
    }
}

fn retry_at(now: UnixMicros, round: u32, retry_after_s: Option<u32>) -> DeliveryState {
    let wait = usize::try_from(round)
        .ok()
        .and_then(|index| RETRY_SCHEDULE_S.get(index));
    match wait {
        // A receiver may ask for more time, but not put us off for longer than the longest wait of the schedule.
        Some(wait_s) => {
            let asked = u64::from(retry_after_s.unwrap_or(0)).min(RETRY_SCHEDULE_S[RETRY_SCHEDULE_S.len() - 1]);
            DeliveryState::Pending {
                due_at: now + Duration::from_secs((*wait_s).max(asked)),
            }
        }
        None => DeliveryState::Exhausted { at: now },
    }
}

/// The event id that a receiver sees: `evt_` and 26 characters of Crockford base 32 (the form of a ULID).
pub fn event_id(delivery_id: DeliveryId) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let value = delivery_id.uuid().as_u128();
    let text: String = (0..26)
        .rev()
        .map(|place| char::from(ALPHABET[usize::try_from((value >> (place * 5)) & 31).unwrap_or(0)]))
        .collect();
    format!("evt_{text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn delivery() -> Delivery {
        Delivery {
            workspace_id: WorkspaceId::new(Uuid::nil()),
            id: DeliveryId::new(Uuid::from_u128(1)),
            endpoint_id: EndpointId::new(Uuid::nil()),
            event: "call.ended".into(),
            call_id: CallId::new(Uuid::nil()),
            body: "{}".into(),
            state: DeliveryState::Pending { due_at: UnixMicros(0) },
            attempts: 0,
            round: 0,
            created_at: UnixMicros(0),
            version: 1,
        }
    }

    fn status(code: u16) -> DeliveryInput {
        DeliveryInput::Replied(Reply::Status {
            code,
            retry_after_s: None,
        })
    }

    #[test]
    fn a_2xx_delivers() {
        let next = delivery().handle(UnixMicros(5), &status(204));
        assert_eq!(next.state, DeliveryState::Delivered { at: UnixMicros(5) });
        assert_eq!(next.attempts, 1);
    }

    #[test]
    fn every_other_reply_follows_the_schedule_and_then_gives_up() {
        let mut current = delivery();
        let mut now = UnixMicros::from_seconds(0);
        for wait_s in RETRY_SCHEDULE_S {
            current = current.handle(now, &status(302));
            assert_eq!(current.due_at(), Some(now + Duration::from_secs(wait_s)));
            now = now + Duration::from_secs(wait_s);
        }
        current = current.handle(now, &status(500));
        assert_eq!(current.state, DeliveryState::Exhausted { at: now });
        assert_eq!(current.attempts, 8);
    }

    #[test]
    fn retry_after_may_lengthen_a_wait_but_not_without_bound() {
        let input = |s| {
            DeliveryInput::Replied(Reply::Status {
                code: 429,
                retry_after_s: Some(s),
            })
        };
        let due = |s| delivery().handle(UnixMicros(0), &input(s)).due_at();
        assert_eq!(due(3), Some(UnixMicros::from_seconds(10)));
        assert_eq!(due(99), Some(UnixMicros::from_seconds(99)));
        assert_eq!(due(u32::MAX), Some(UnixMicros::from_seconds(36_000)));
    }

    #[test]
    fn a_replay_starts_the_schedule_again_and_keeps_the_event_id() {
        let exhausted = Delivery {
            state: DeliveryState::Exhausted { at: UnixMicros(1) },
            round: 8,
            ..delivery()
        };
        let next = exhausted.handle(UnixMicros(9), &DeliveryInput::Replay);
        assert_eq!(
            (next.state, next.round),
            (DeliveryState::Pending { due_at: UnixMicros(9) }, 0)
        );
        assert_eq!(event_id(next.id), event_id(exhausted.id));
    }

    #[test]
    fn event_ids_have_the_form_of_a_ulid() {
        assert_eq!(
            event_id(DeliveryId::new(Uuid::from_u128(33))),
            "evt_00000000000000000000000011"
        );
    }
}
