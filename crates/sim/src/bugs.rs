//! Bugs that can be planted, so that every checker is seen failing.

use crate::verdict::Checker;
use std::fmt;

macro_rules! bugs {
    ($($(#[$doc:meta])* $bug:ident $name:literal => [$($checker:ident),+];)+) => {
        /// A bug that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug {
            $($(#[$doc])* $bug,)+
        }

        impl Bug {
            /// Every bug.
            pub const ALL: &[Self] = &[$(Self::$bug,)+];

            /// Its name on the command line.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$bug => $name,)+
                }
            }

            /// The checkers that may catch it; any other would be luck.
            pub const fn caught_by(self) -> &'static [Checker] {
                match self {
                    $(Self::$bug => &[$(Checker::$checker,)+],)+
                }
            }
        }
    };
}

bugs! {
    /// A dial is reported durable, and is written only later (or never, if a crash falls in between).
    SendBeforeCommit "send_before_commit" => [DialledOnce];
    /// Due records are read late, versions are not compared, and two calls for one attempt are not refused.
    DroppedUnique "dropped_unique" => [DialledOnce];
    /// After a restart, a leg is dialled again instead of ended.
    RecoveredRedialled "recovered_redialled" => [DialledOnce];
    /// A `Put` replaces a row of any version.
    VersionsIgnored "versions_ignored" => [DialledOnce, History, Webhooks];
    /// Every attempt of unknown fate is retried.
    UnknownRetried "unknown_retried" => [UnknownSettled];
    /// The decision on an attempt of unknown fate is not recorded.
    UnknownUnrecorded "unknown_unrecorded" => [UnknownSettled];
    /// The campaign's hours and days do not count.
    WindowIgnored "window_ignored" => [Window];
    /// Zones do not change their clocks.
    ClockChangeIgnored "clock_change_ignored" => [Window, FirstDate];
    /// The first-attempt day does not count.
    FirstDateIgnored "first_date_ignored" => [FirstDate];
    /// A paused campaign is read as running.
    PauseIgnored "pause_ignored" => [Status];
    /// A campaign has no end date.
    EndDateIgnored "end_date_ignored" => [EndDate, RecordsEnd];
    /// The do-not-call list is read an hour late.
    DoNotCallStale "do_not_call_stale" => [DoNotCall];
    /// A wish not to be called again is not written down.
    DoNotCallLost "do_not_call_lost" => [DoNotCall];
    /// The callee's own hours do not count.
    QuietHoursIgnored "quiet_hours_ignored" => [QuietHours];
    /// Counters have no bounds.
    CapIgnored "cap_ignored" => [DailyCap];
    /// Trunks have a thousand lines.
    TrunkLinesIgnored "trunk_lines_ignored" => [Lines];
    /// Some calls that are being ended or ring hold no line.
    LinesForgotten "lines_forgotten" => [Lines];
    /// Trunks take a thousand calls per second.
    RateIgnored "rate_ignored" => [Rate];
    /// Records may be dialled a hundred times.
    MaxAttemptsIgnored "max_attempts_ignored" => [AttemptRules];
    /// Retries, follow-ups and callbacks are due at once.
    RetryTooEarly "retry_too_early" => [AttemptRules];
    /// One status is not counted.
    CounterWrong "counter_wrong" => [Counters];
    /// The end of some calls is not written to their record.
    RecordForgotten "record_forgotten" => [NothingStuck];
    /// Records of an ended campaign are not closed.
    SettlingForgotten "settling_forgotten" => [RecordsEnd];
    /// Calls whose task was lost are not swept.
    SweeperOff "sweeper_off" => [NothingStuck, Slots];
    /// The write that ends some answered calls is lost, and their line with it.
    SlotLeaked "slot_leaked" => [Slots, NothingStuck];
    /// Legs of an earlier life are settled without being ended.
    OrphansLeftUp "orphans_left_up" => [Slots];
    /// Some webhooks are not written in the commit that closes their call.
    WebhookRowLost "webhook_row_lost" => [Webhooks];
    /// A webhook's body is rendered anew for each request.
    BodyRenderedAgain "body_rendered_again" => [Webhooks];
    /// Each request of a webhook has an event id of its own.
    EventIdPerRequest "event_id_per_request" => [Webhooks];
    /// Webhooks are tried three times.
    WebhookGivenUp "webhook_given_up" => [Webhooks];
    /// Busy is stored as no answer.
    OutcomeWrong "outcome_wrong" => [History];
    /// Some pushes are acknowledged and not written.
    PushLost "push_lost" => [Durable];
}

impl Bug {
    /// The bug of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|bug| bug.as_str() == name)
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
