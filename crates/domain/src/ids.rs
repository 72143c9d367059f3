//! Ids that cannot be mixed up. All are UUIDs made outside the core (version 7, so that they sort by age).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The id of a UUID.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

id!(
    /// A tenant.
    WorkspaceId
);
id!(
    /// What talks on a call.
    AgentId
);
id!(
    /// An agent or audio with a schedule, attempt rules and records.
    CampaignId
);
id!(
    /// One person to reach (RevRag's `run_id`).
    RecordId
);
id!(
    /// One call, which is one attempt: one INVITE transaction and its dialogs.
    CallId
);
id!(
    /// A SIP peer that carries calls.
    TrunkId
);
id!(
    /// A piece of audio.
    ClipId
);
id!(
    /// A receiver of webhooks.
    EndpointId
);
id!(
    /// One event on its way to one endpoint.
    DeliveryId
);
id!(
    /// An API key.
    ApiKeyId
);
