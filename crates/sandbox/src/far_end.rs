//! Takes calls: finds the behaviour, checks credentials, logs the INVITE, and gives each call a task.

use crate::behaviour::{Behaviour, Step, behaviour_of, digits_of};
use crate::call::CallTask;
use crate::log::{CallLog, LoggedCall};
use crate::phrases::PhraseBook;
use crate::run::Dice;
use carillon_carriers::sip::SipEngine;
use carillon_carriers::ua::{Challenge, IncomingCall};
use carillon_domain::pii::Secret;
use carillon_domain::trunk::Credentials;
use carillon_voice::MediaEngine;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What all calls share.
pub(crate) struct FarEnd {
    pub(crate) sip: SipEngine,
    pub(crate) media: MediaEngine,
    pub(crate) phrases: PhraseBook,
    pub(crate) log: Arc<CallLog>,
    pub(crate) recordings: PathBuf,
    pub(crate) seed: u64,
    pub(crate) call_deadline: Duration,
    pub(crate) measure: bool,
    pub(crate) stop: CancellationToken,
}

/// What an INVITE brings as credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presented {
    Nothing,
    Wrong,
    Right,
}

/// Takes calls until the sandbox stops. The SIP engine bounds how many there are at once.
pub(crate) async fn take_calls(far_end: Arc<FarEnd>, mut incoming: mpsc::Receiver<IncomingCall>, calls: TaskTracker) {
    loop {
        let call = tokio::select! {
            call = incoming.recv() => call,
            () = far_end.stop.cancelled() => None,
        };
        let Some(call) = call else { return };
        calls.spawn(CallTask::new(Arc::clone(&far_end), call).run());
    }
}

impl FarEnd {
    /// The called number's behaviour, and what the log says of the INVITE.
    pub(crate) fn look_at(&self, call: &IncomingCall) -> (&'static Behaviour, LoggedCall) {
        let behaviour = behaviour_of(&call.to_user);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let logged = LoggedCall {
            number: 0,
            at_unix_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
            call_id: call.call_id.clone(),
            cseq: call.cseq,
            attempt: call.header("X-Carillon-Attempt").map(str::to_owned),
            called: digits_of(&call.to_user),
            behaviour: behaviour.name,
            answered_after_ms: None,
            said: Vec::new(),
            ended: None,
        };
        (behaviour, logged)
    }

    /// The challenge of a call. Its nonce follows from the seed and the Call-ID, so that nothing need be remembered.
    pub(crate) fn challenge(&self, call_id: &str, proxy: bool) -> Challenge {
        let mut dice = Dice::of(self.seed, call_id);
        let nonce = format!("{:016x}{:016x}", dice.next(), dice.next());
        Challenge {
            proxy,
            realm: "sandbox".to_owned(),
            nonce,
            qop: true,
            sha256: false,
        }
    }

    /// What credentials an INVITE brings for the challenge of its number.
    pub(crate) fn presented(&self, call: &IncomingCall, behaviour: &Behaviour) -> Presented {
        let Some(proxy) = behaviour.steps.iter().find_map(|step| match step {
            Step::Challenge { proxy } => Some(*proxy),
            _ => None,
        }) else {
            return Presented::Nothing;
        };
        let name = if proxy { "Proxy-Authorization" } else { "Authorization" };
        let Some(value) = call.header(name) else {
            return Presented::Nothing;
        };
        let (username, password) = crate::CREDENTIALS;
        let credentials = Credentials {
            username: username.to_owned(),
            password: Secret::new(password),
        };
        if self
            .challenge(&call.call_id, proxy)
            .is_answered_by(value, &credentials, "INVITE")
        {
            Presented::Right
        } else {
            Presented::Wrong
        }
    }
}
