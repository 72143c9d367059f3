//! Time, randomness and ids: handed to every part of the shell, so that a simulator can be the world.

use carillon_domain::time::UnixMicros;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// Tells the time of day.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> UnixMicros;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMicros {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMicros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }
}

/// Makes ids.
pub trait IdMaker: Send + Sync {
    /// A new id, unique and (for one maker) ascending.
    fn next_id(&self) -> Uuid;
}

/// Makes UUIDs of version 7 that ascend even within a millisecond.
#[derive(Debug, Default)]
pub struct UuidV7Maker {
    context: Mutex<uuid::ContextV7>,
}

impl IdMaker for UuidV7Maker {
    fn next_id(&self) -> Uuid {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match self.context.lock() {
            Ok(context) => Uuid::new_v7(uuid::Timestamp::from_unix(
                &*context,
                since_epoch.as_secs(),
                since_epoch.subsec_nanos(),
            )),
            Err(_) => Uuid::now_v7(),
        }
    }
}
