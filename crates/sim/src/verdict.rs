//! What the checkers say.

use carillon_domain::time::UnixMicros;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// A rule that is watched from outside: by the far end's log of INVITEs, the log of commits and the receivers' log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Checker {
    /// An INVITE leaves only for a durable attempt, once, under one Call-ID, and no second call for a record is up.
    DialledOnce,
    /// After an attempt of unknown fate there is no other without a recorded decision and a rule that allows it.
    UnknownSettled,
    /// No INVITE outside the campaign's hours or days.
    Window,
    /// No first INVITE before the first-attempt day.
    FirstDate,
    /// No INVITE while the campaign is not running.
    Status,
    /// No INVITE after the end date.
    EndDate,
    /// No INVITE to a number on the do-not-call list; a wish heard on a call is on the list once the call is closed.
    DoNotCall,
    /// No INVITE outside the callee's hours, in any zone that the number may be in.
    QuietHours,
    /// No number is called more often on a day than a campaign allows.
    DailyCap,
    /// No more legs than lines: campaign, workspace, trunk.
    Lines,
    /// No more INVITEs over a trunk in any sliding second than it allows.
    Rate,
    /// Retries, follow-ups and callbacks come for a reason, not too early, not too often.
    AttemptRules,
    /// A campaign's eight counters add up to its records, and each is right.
    Counters,
    /// Every record has ended when its campaign has.
    RecordsEnd,
    /// No open call past its deadline; no record in progress without an open call.
    NothingStuck,
    /// Calls that hold a line are legs that are up, and the reverse.
    Slots,
    /// Every closed call has its deliveries, each delivered under one event id with one body.
    Webhooks,
    /// What is stored of a call and a record is what happened at the far end.
    History,
    /// What was acknowledged is still there.
    Durable,
}

impl Checker {
    /// Every checker.
    pub const ALL: [Self; 19] = [
        Self::DialledOnce,
        Self::UnknownSettled,
        Self::Window,
        Self::FirstDate,
        Self::Status,
        Self::EndDate,
        Self::DoNotCall,
        Self::QuietHours,
        Self::DailyCap,
        Self::Lines,
        Self::Rate,
        Self::AttemptRules,
        Self::Counters,
        Self::RecordsEnd,
        Self::NothingStuck,
        Self::Slots,
        Self::Webhooks,
        Self::History,
        Self::Durable,
    ];

    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DialledOnce => "dialled_once",
            Self::UnknownSettled => "unknown_settled",
            Self::Window => "window",
            Self::FirstDate => "first_date",
            Self::Status => "status",
            Self::EndDate => "end_date",
            Self::DoNotCall => "do_not_call",
            Self::QuietHours => "quiet_hours",
            Self::DailyCap => "daily_cap",
            Self::Lines => "lines",
            Self::Rate => "rate",
            Self::AttemptRules => "attempt_rules",
            Self::Counters => "counters",
            Self::RecordsEnd => "records_end",
            Self::NothingStuck => "nothing_stuck",
            Self::Slots => "slots",
            Self::Webhooks => "webhooks",
            Self::History => "history",
            Self::Durable => "durable",
        }
    }
}

impl fmt::Display for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub checker: Checker,
    /// When, in simulated time.
    pub at: UnixMicros,
    /// What happened.
    pub what: String,
}

/// The first violation of a run, which ends it.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    first: Mutex<Option<Violation>>,
    broken: Notify,
}

impl Verdict {
    pub(crate) fn fail(&self, checker: Checker, at: UnixMicros, what: String) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            *first = Some(Violation { checker, at, what });
            self.broken.notify_one();
        }
    }

    pub(crate) fn first(&self) -> Option<Violation> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns at the first violation.
    pub(crate) async fn broken(&self) {
        self.broken.notified().await;
    }
}
