//! The transitions of a call.

use super::{Call, CallEnd, CallFailure, CallState, DialogFacts, Outcome, Recording, WireState};
use crate::campaign::Gate;
use crate::ids::TrunkId;
use crate::phone::PhoneNumber;
use crate::script::{ScriptResult, TalkEnd, TalkPart};
use crate::time::UnixMicros;
use crate::transition::Effect;
use std::time::Duration;

/// How long a single call may wait for a line.
pub const QUEUE_LIFETIME: Duration = Duration::from_secs(3_600);
/// How much longer than the ring time-out the carrier may take to report the end of a dialling.
pub const DIAL_GRACE: Duration = Duration::from_secs(45);
/// How long the carrier may take to end a leg: more than SIP's own 32 s (RFC 3261 timers B and F).
pub const HANG_UP_DEADLINE: Duration = Duration::from_secs(40);
/// How long the work after a call may take before the call is closed without it (contracts 1.9, item 9).
pub const POST_CALL_DEADLINE: Duration = Duration::from_secs(60);

/// What happens to a call.
#[derive(Clone, Debug, PartialEq)]
pub enum CallInput {
    /// A line is free: dial.
    Dispatch {
        /// Over this trunk.
        trunk_id: TrunkId,
        /// Showing this number.
        from: PhoneNumber,
    },
    /// A gate refuses it before anything was sent.
    Refuse(Gate),
    /// Nothing could be sent.
    NotSent(String),
    /// A response above 100.
    Progress {
        /// With a body: early media.
        early_media: bool,
        /// What a restart needs.
        dialog: DialogFacts,
    },
    /// A 200; the ACK is out.
    Answered {
        /// What a restart needs.
        dialog: DialogFacts,
    },
    /// It ended without an answer.
    Failed(CallFailure),
    /// The far end sent BYE.
    RemoteHangUp(Option<String>),
    /// Our CANCEL or BYE is through, or given up.
    LocalHangUp {
        /// The far end confirmed it.
        confirmed: bool,
    },
    /// The script is over.
    ScriptFinished(ScriptResult),
    /// The script or the sound cannot go on.
    ScriptFailed(String),
    /// Sound stopped arriving.
    MediaLost,
    /// The answer's SDP cannot be used.
    NotAcceptable(String),
    /// An operator, or the end of its campaign, cancels it.
    Cancel,
    /// The process that ran it is gone.
    Recovered,
    /// The sound is closed. `script` is set when the script was cut off.
    MediaReleased {
        /// The recording.
        recording: Option<Recording>,
        /// What the script knew.
        script: Option<ScriptResult>,
    },
    /// Time passes.
    Tick,
}

/// What came of an input.
#[derive(Clone, Debug, PartialEq)]
pub struct CallStep {
    /// The call after it.
    pub call: Call,
    /// What to do.
    pub effects: Vec<Effect>,
    /// Whether the call differs and must be committed.
    pub changed: bool,
}

impl CallStep {
    /// Whether this step closed the call: its record and webhooks belong into the same commit.
    pub fn closed_it(&self) -> bool {
        self.changed && self.call.state == CallState::Closed
    }
}

impl Call {
    /// Feeds one input at `now`. Inputs that mean nothing in a state leave the call as it is.
    pub fn handle(&self, now: UnixMicros, input: CallInput) -> CallStep {
        use CallInput as I;
        use CallState as S;
        let mut call = self.clone();
        let effects = match (self.state, input) {
            (S::Queued, I::Dispatch { trunk_id, from }) => call.dial(now, trunk_id, from),
            (S::Queued | S::Dialing, I::Refuse(gate)) => call.refuse(now, gate),
            (S::Queued, I::Cancel) => call.close_unsent(now, Outcome::Cancelled, "cancelled before it was dialled"),
            (S::Queued, I::Tick) if self.is_late(now) => {
                call.close_unsent(now, Outcome::Cancelled, "no line became free in time")
            }
            (S::Dialing, I::NotSent(reason)) => call.close_unsent(now, Outcome::NotConnected, &reason),

            (S::Dialing | S::Ringing, I::Progress { early_media, dialog }) => call.ring(now, early_media, dialog),
            (S::Dialing | S::Ringing, I::Answered { dialog }) => call.answer(now, dialog),
            (S::Dialing | S::Ringing, I::Failed(failure)) => call.fail(now, &failure),
            (S::Dialing | S::Ringing, I::Cancel) => call.hang_up(now, Outcome::Cancelled, "cancelled"),
            (S::Dialing | S::Ringing, I::NotAcceptable(reason)) => call.hang_up(now, Outcome::NotConnected, &reason),
            (S::Dialing | S::Ringing, I::ScriptFailed(reason)) => call.hang_up(now, Outcome::InternalError, &reason),
            (S::Dialing | S::Ringing, I::RemoteHangUp(reason)) => call.gone(
                now,
                Outcome::NotConnected,
                reason.as_deref().unwrap_or("BYE before an answer"),
            ),
            (S::Dialing | S::Ringing, I::LocalHangUp { confirmed: false }) => {
                call.gone(now, Outcome::Unknown, ended_by_us(false))
            }
            (S::Dialing, I::LocalHangUp { confirmed: true }) => {
                call.gone(now, Outcome::NotConnected, ended_by_us(true))
            }
            // The ring time-out, with a 200 that crossed our CANCEL.
            (S::Ringing, I::LocalHangUp { confirmed: true }) => call.gone(now, Outcome::NoAnswer, ended_by_us(true)),
            (S::Dialing | S::Ringing, I::Recovered) => call.orphan(now, Outcome::Unknown),
            (S::Dialing | S::Ringing, I::Tick) if self.is_late(now) => {
                call.hang_up(now, Outcome::Unknown, "the carrier reported no end in time")
            }

            (S::InCall, I::ScriptFinished(result)) => {
                let (outcome, reason) = script_end(&result);
                call.result = result;
                call.hang_up(now, outcome, reason)
            }
            (S::InCall, I::ScriptFailed(reason)) => call.hang_up(now, Outcome::InternalError, &reason),
            (S::InCall, I::NotAcceptable(reason)) => call.hang_up(now, Outcome::NotConnected, &reason),
            (S::InCall, I::MediaLost) => call.hang_up(now, Outcome::Dropped, "no RTP arrived"),
            (S::InCall, I::Cancel) => call.hang_up(now, Outcome::AgentHungUp, "ended by an operator"),
            (S::InCall, I::RemoteHangUp(reason)) => {
                call.gone(now, Outcome::CalleeHungUp, reason.as_deref().unwrap_or("BYE"))
            }
            (S::InCall, I::LocalHangUp { confirmed }) => call.gone(now, Outcome::Dropped, ended_by_us(confirmed)),
            (S::InCall, I::Failed(failure)) => call.gone(now, Outcome::Dropped, &failure.reason),
            (S::InCall, I::Recovered) => call.orphan(now, Outcome::InternalError),
            (S::InCall, I::Tick) if self.is_late(now) => {
                call.hang_up(now, Outcome::MaxDuration, "the longest duration was reached")
            }

            (S::HangingUp, I::LocalHangUp { .. } | I::RemoteHangUp(_)) => call.leg_ended(now),
            (S::HangingUp, I::Failed(failure)) => {
                call.note_failure(&failure);
                call.leg_ended(now)
            }
            // A 200 that crossed our CANCEL: the carrier ACKs and ends it, and we ask once more to be sure.
            (S::HangingUp, I::Answered { dialog }) => {
                call.dialog = Some(dialog);
                vec![Effect::HangUp(call.id)]
            }
            (S::HangingUp, I::ScriptFinished(result)) => {
                call.result = result;
                Vec::new()
            }
            (S::HangingUp, I::MediaReleased { recording, script }) => {
                call.note_sound(recording, script);
                Vec::new()
            }
            // The old deadline may be long past; the leg is ended all the same, and holds its line until it is.
            (S::HangingUp, I::Recovered) => {
                call.deadline = Some(now + HANG_UP_DEADLINE);
                call.end_orphan()
            }
            (S::HangingUp, I::Tick) if self.is_late(now) => call.leg_ended(now),

            (S::PostCall, I::MediaReleased { recording, script }) => {
                call.note_sound(recording, script);
                call.close()
            }
            (S::PostCall, I::Recovered) => {
                call.deadline = Some(now + POST_CALL_DEADLINE);
                vec![Effect::ReleaseMedia(call.id)]
            }
            (S::PostCall, I::Tick) if self.is_late(now) => call.close(),

            (S::Queued, _) | (S::Dialing | S::Ringing, _) | (S::InCall, _) | (S::HangingUp, _) => Vec::new(),
            (S::PostCall, _) | (S::Closed, _) => Vec::new(),
        };
        let changed = call != *self;
        CallStep { call, effects, changed }
    }

    fn is_late(&self, now: UnixMicros) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    fn dial(&mut self, now: UnixMicros, trunk_id: TrunkId, from: PhoneNumber) -> Vec<Effect> {
        self.state = CallState::Dialing;
        self.trunk_id = Some(trunk_id);
        self.from = Some(from);
        self.dialing_at = Some(now);
        self.deadline = Some(now + Duration::from_secs(u64::from(self.ring_timeout_s)) + DIAL_GRACE);
        vec![Effect::PlaceCall(self.id)]
    }

    fn ring(&mut self, now: UnixMicros, early_media: bool, dialog: DialogFacts) -> Vec<Effect> {
        self.state = CallState::Ringing;
        self.ringing_at.get_or_insert(now);
        self.early_media |= early_media;
        self.dialog = Some(dialog);
        Vec::new()
    }

    fn answer(&mut self, now: UnixMicros, dialog: DialogFacts) -> Vec<Effect> {
        self.state = CallState::InCall;
        self.answered_at = Some(now);
        self.dialog = Some(dialog);
        self.deadline = Some(now + Duration::from_secs(u64::from(self.max_duration_s)));
        vec![Effect::StartScript(self.id)]
    }

    fn refuse(&mut self, now: UnixMicros, gate: Gate) -> Vec<Effect> {
        let effects = self.close_unsent(now, Outcome::Refused, gate.describe());
        if let Some(end) = &mut self.end {
            end.gate = Some(gate);
        }
        effects
    }

    /// Nothing reached the wire: there is no leg to end and no work after it.
    fn close_unsent(&mut self, now: UnixMicros, outcome: Outcome, reason: &str) -> Vec<Effect> {
        self.end = Some(end(outcome, reason, WireState::NothingSent));
        self.ended_at = Some(now);
        let mut effects = vec![Effect::ReleaseMedia(self.id)];
        effects.extend(self.close());
        effects
    }

    fn fail(&mut self, now: UnixMicros, failure: &CallFailure) -> Vec<Effect> {
        self.end = Some(end(failure.outcome(), &failure.reason, failure.wire));
        self.note_failure(failure);
        self.leg_ended(now)
    }

    fn note_failure(&mut self, failure: &CallFailure) {
        if let Some(end) = &mut self.end {
            end.sip_code = failure.code;
            end.reason_header.clone_from(&failure.reason_header);
            end.retry_after_s = failure.retry_after_s;
            end.wire = failure.wire;
        }
        if failure.rang && self.ringing_at.is_none() {
            self.ringing_at = self.dialing_at;
        }
    }

    fn hang_up(&mut self, now: UnixMicros, outcome: Outcome, reason: &str) -> Vec<Effect> {
        self.state = CallState::HangingUp;
        self.end = Some(self.end_as(outcome, reason));
        self.ended_at = Some(now);
        self.deadline = Some(now + HANG_UP_DEADLINE);
        let mut effects = vec![Effect::HangUp(self.id)];
        if self.answered_at.is_some() {
            // The sound ends with our wish, not with the far end's consent: the recording is as long as the call.
            effects.push(Effect::ReleaseMedia(self.id));
        }
        effects
    }

    /// The leg has ended without our asking.
    fn gone(&mut self, now: UnixMicros, outcome: Outcome, reason: &str) -> Vec<Effect> {
        self.end = Some(self.end_as(outcome, reason));
        self.leg_ended(now)
    }

    /// The process that ran the call is gone, the leg may still be up.
    fn orphan(&mut self, now: UnixMicros, outcome: Outcome) -> Vec<Effect> {
        self.state = CallState::HangingUp;
        self.end = Some(self.end_as(outcome, "the server stopped during the call"));
        self.ended_at = Some(now);
        self.deadline = Some(now + HANG_UP_DEADLINE);
        self.end_orphan()
    }

    fn end_orphan(&self) -> Vec<Effect> {
        let mut effects = vec![Effect::EndOrphan(self.id)];
        if self.answered_at.is_some() && !self.sound_closed {
            effects.push(Effect::ReleaseMedia(self.id));
        }
        effects
    }

    fn note_sound(&mut self, recording: Option<Recording>, script: Option<ScriptResult>) {
        self.sound_closed = true;
        self.recording = recording;
        if let Some(result) = script {
            self.result = result;
        }
    }

    fn leg_ended(&mut self, now: UnixMicros) -> Vec<Effect> {
        self.ended_at.get_or_insert(now);
        if self.answered_at.is_some() && self.sound_closed {
            return self.close();
        }
        // An answered call that we hung up has its sound closed already, or is about to.
        let closing = self.answered_at.is_some() && self.state == CallState::HangingUp;
        let mut effects = if closing {
            Vec::new()
        } else {
            vec![Effect::ReleaseMedia(self.id)]
        };
        if self.answered_at.is_some() {
            self.state = CallState::PostCall;
            self.deadline = Some(now + POST_CALL_DEADLINE);
            effects.push(Effect::WakeRunner);
        } else {
            effects.extend(self.close());
        }
        effects
    }

    fn close(&mut self) -> Vec<Effect> {
        self.state = CallState::Closed;
        self.deadline = None;
        vec![Effect::WakeRunner, Effect::WakeWebhooks]
    }

    /// An end that is not the wire's own word: what the wire said so far stands beside it.
    fn end_as(&self, outcome: Outcome, reason: &str) -> CallEnd {
        let answered = self.answered_at.is_some();
        let wire = if answered { WireState::Final } else { WireState::Unknown };
        CallEnd {
            sip_code: answered.then_some(200),
            ..end(outcome, reason, wire)
        }
    }
}

fn ended_by_us(confirmed: bool) -> &'static str {
    if confirmed {
        "the carrier ended the leg"
    } else {
        "the carrier gave the leg up"
    }
}

fn end(outcome: Outcome, reason: &str, wire: WireState) -> CallEnd {
    CallEnd {
        outcome,
        sip_code: None,
        reason: reason.to_owned(),
        reason_header: None,
        retry_after_s: None,
        wire,
        gate: None,
    }
}

/// How a call ends whose script is over, and why.
fn script_end(result: &ScriptResult) -> (Outcome, &'static str) {
    let ended_by = result
        .conversation
        .as_ref()
        .and_then(|conversation| conversation.ended_by);
    match ended_by {
        None | Some(TalkEnd::Goodbye) => (Outcome::AgentHungUp, "the script is over"),
        Some(TalkEnd::Silence) => (Outcome::Silence, "the callee said nothing"),
        Some(TalkEnd::TooLong) => (Outcome::MaxDuration, "the longest duration was reached"),
        Some(TalkEnd::Machine { message_left: true, .. }) => (Outcome::Voicemail, "a message was left"),
        Some(TalkEnd::Machine { .. }) => (Outcome::Voicemail, "no person answered"),
        Some(TalkEnd::Fault { part }) => (
            Outcome::InternalError,
            match part {
                TalkPart::Brain => "the agent had no answer",
                TalkPart::Hearing => "the agent could not hear",
                TalkPart::Voice => "the agent could not speak",
                TalkPart::Runtime => "the conversation broke off",
            },
        ),
    }
}
