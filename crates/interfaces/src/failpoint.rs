//! Named points at which a crash can fall between two steps. A test kills the process (or the simulated one) there.

use std::fmt;

/// A named point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failpoint {
    /// A push is durable, its answer has not been written.
    PushCommitted,
    /// A call is durably `Dialing`, the INVITE has not left.
    DialCommitted,
    /// The INVITE has left.
    InviteSent,
    /// A response above 100 came and is not stored.
    ProgressReceived,
    /// A response above 100 is stored.
    ProgressCommitted,
    /// A 200 came and is not stored.
    AnswerReceived,
    /// A 200 is stored.
    AnswerCommitted,
    /// We decided to hang up; nothing was sent.
    HangUpDecided,
    /// The leg has ended, the call is durably in its post-call work.
    PostCallStarted,
    /// The post-call work is done, the call is not closed.
    PostCallDone,
    /// The call is closed and its webhooks are rows.
    CallClosed,
    /// A webhook was answered, the answer is not stored.
    DeliveryReplied,
    /// The answer is stored.
    DeliveryCommitted,
}

impl Failpoint {
    /// Every point.
    pub const ALL: [Self; 13] = [
        Self::PushCommitted,
        Self::DialCommitted,
        Self::InviteSent,
        Self::ProgressReceived,
        Self::ProgressCommitted,
        Self::AnswerReceived,
        Self::AnswerCommitted,
        Self::HangUpDecided,
        Self::PostCallStarted,
        Self::PostCallDone,
        Self::CallClosed,
        Self::DeliveryReplied,
        Self::DeliveryCommitted,
    ];

    /// The name by which a test asks for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PushCommitted => "push_committed",
            Self::DialCommitted => "dial_committed",
            Self::InviteSent => "invite_sent",
            Self::ProgressReceived => "progress_received",
            Self::ProgressCommitted => "progress_committed",
            Self::AnswerReceived => "answer_received",
            Self::AnswerCommitted => "answer_committed",
            Self::HangUpDecided => "hang_up_decided",
            Self::PostCallStarted => "post_call_started",
            Self::PostCallDone => "post_call_done",
            Self::CallClosed => "call_closed",
            Self::DeliveryReplied => "delivery_replied",
            Self::DeliveryCommitted => "delivery_committed",
        }
    }

    /// The point of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|point| point.as_str() == name)
    }
}

impl fmt::Display for Failpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Is told whenever a point is passed.
#[async_trait::async_trait]
pub trait Failpoints: Send + Sync {
    /// A point is passed. May kill the process, or never return.
    async fn pass(&self, point: Failpoint);
}

/// Lets everything pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFailpoints;

#[async_trait::async_trait]
impl Failpoints for NoFailpoints {
    async fn pass(&self, _point: Failpoint) {}
}
