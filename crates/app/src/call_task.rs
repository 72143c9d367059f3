//! One task per live call: it feeds what happens to the rules, does what they say, and keeps the store up to date.
//!
//! Sound and signalling never wait for the store: effects on them are performed at once, and what must be stored is
//! written beside the loop, the newest state each time. Only the INVITE waits, since its call is committed before the
//! task starts.

use crate::{App, committed};
use bytes::Bytes;
use carillon_domain::agent::Variables;
use carillon_domain::call::{Call, CallInput, CallState, Recording, SipIdentity};
use carillon_domain::campaign::Gate;
use carillon_domain::ids::CallId;
use carillon_domain::script::{CallContext, Script};
use carillon_domain::transition::{Change, Effect, Transition};
use carillon_domain::trunk::Trunk;
use carillon_interfaces::carrier::{CarrierEvent, OriginateRequest};
use carillon_interfaces::failpoint::Failpoint;
use carillon_interfaces::store::{CommitError, StoreError};
use carillon_interfaces::voice::{EndpointSpec, MediaSummary, VoiceEvent};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What others may ask of a call's task.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CallControl {
    /// End it.
    Cancel,
}

/// How a task begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskStart {
    /// The call is durably `Dialing`: place it.
    Place,
    /// An earlier process left it open: end its leg and settle it.
    Orphan,
}

/// Everything that can wake the task.
enum Event {
    Carrier(Option<CarrierEvent>),
    Voice(VoiceEvent),
    Control(CallControl),
    Deadline,
    Stored(Result<(), CommitError>),
    OrphanEnded(bool),
    Released(MediaSummary),
}

struct CallTask {
    app: App,
    call: Call,
    /// The state of the call that the store has, or is being given.
    stored: Call,
    writing: Option<BoxFuture<'static, (Call, Result<(), CommitError>)>>,
    being_written: Option<CallState>,
    write_pause: Option<Instant>,
    /// A state that mostly passes at once is written then, if it has not passed.
    settles_at: Option<Instant>,
    orphan: Option<BoxFuture<'static, bool>>,
    /// The sound is being closed: its recording is what the work after a call waits for.
    releasing: Option<BoxFuture<'static, MediaSummary>>,
    media_open: bool,
    recovered: bool,
    /// What a conversation may say: what was sent, and the agent's defaults for the rest.
    spoken: Option<Variables>,
}

const WRITE_RETRY: Duration = Duration::from_millis(250);
/// A leg mostly ends this soon after we hang up, and a call without much to do after it is closed this soon after its leg
/// ended. Then only what comes of it is written: one durable write of a call less. A crash before that finds the call as it
/// was before the end, and ends a leg that may be gone already.
const SETTLES: Duration = Duration::from_millis(20);

impl App {
    pub(crate) fn spawn_call(&self, call: Call, start: TaskStart) {
        let (control, controls) = mpsc::channel(8);
        let id = call.id;
        self.lock_calls().insert(id, control);
        metrics::gauge!("carillon_call_tasks").increment(1.0);
        let guard = TaskGuard { app: self.clone(), id };
        let app = self.clone();
        self.spawn(async move {
            let _guard = guard;
            CallTask::new(app, call).run(start, controls).await;
        });
    }
}

/// Removes the task from the registry however it ends.
struct TaskGuard {
    app: App,
    id: CallId,
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.app.lock_calls().remove(&self.id);
        metrics::gauge!("carillon_call_tasks").decrement(1.0);
    }
}

impl CallTask {
    fn new(app: App, call: Call) -> Self {
        Self {
            app,
            stored: call.clone(),
            call,
            writing: None,
            being_written: None,
            write_pause: None,
            settles_at: None,
            orphan: None,
            releasing: None,
            media_open: false,
            recovered: false,
            spoken: None,
        }
    }

    async fn run(mut self, start: TaskStart, mut controls: mpsc::Receiver<CallControl>) {
        let (carrier_sender, mut carrier_events) = mpsc::channel(32);
        let (voice_sender, mut voice_events) = mpsc::channel(16);
        match start {
            TaskStart::Place => self.place(carrier_sender, voice_sender).await,
            TaskStart::Orphan => {
                drop((carrier_sender, voice_sender));
                self.recovered = true;
                self.feed(CallInput::Recovered).await;
            }
        }
        let mut carrier_open = start == TaskStart::Place;
        while !self.is_done() {
            self.begin_write();
            let deadline = self.next_wake();
            let event = tokio::select! {
                biased;
                event = carrier_events.recv(), if carrier_open => Event::Carrier(event),
                Some(event) = voice_events.recv() => Event::Voice(event),
                Some(control) = controls.recv() => Event::Control(control),
                confirmed = wait(&mut self.orphan) => Event::OrphanEnded(confirmed),
                summary = wait(&mut self.releasing) => Event::Released(summary),
                (call, result) = wait(&mut self.writing) => {
                    self.writing = None;
                    if result.is_ok() {
                        self.stored = call;
                    }
                    Event::Stored(result)
                }
                () = sleep_until(deadline) => Event::Deadline,
            };
            match event {
                Event::Carrier(Some(event)) => self.on_carrier(event).await,
                // The carrier dropped the call without a last word: our own deadline is behind it, but why wait.
                Event::Carrier(None) => {
                    carrier_open = false;
                    self.feed(CallInput::LocalHangUp { confirmed: false }).await;
                }
                Event::Voice(event) => self.on_voice(event).await,
                Event::Control(CallControl::Cancel) => self.feed(CallInput::Cancel).await,
                Event::Deadline => self.feed(CallInput::Tick).await,
                Event::OrphanEnded(confirmed) => {
                    self.orphan = None;
                    self.feed(CallInput::LocalHangUp { confirmed }).await;
                }
                Event::Released(summary) => {
                    self.releasing = None;
                    self.on_released(summary).await;
                }
                Event::Stored(result) => self.on_stored(result).await,
            }
        }
    }

    fn is_done(&self) -> bool {
        self.writing.is_none() && self.releasing.is_none() && self.stored.state == CallState::Closed
    }

    fn next_wake(&self) -> Option<Instant> {
        let deadline = self
            .call
            .deadline
            .map(|deadline| Instant::now() + deadline.since(self.app.now()));
        [deadline, self.write_pause, self.settles_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// The last gate, the endpoint, the INVITE.
    async fn place(&mut self, events: mpsc::Sender<CarrierEvent>, voice: mpsc::Sender<VoiceEvent>) {
        self.app.pass(Failpoint::DialCommitted).await;
        match self.last_gate().await {
            Ok(None) => {}
            Ok(Some(gate)) => return self.feed(CallInput::Refuse(gate)).await,
            Err(error) => return self.feed(CallInput::NotSent(error.to_string())).await,
        }
        if matches!(self.call.script, Script::Converse(_)) {
            self.complete_variables().await;
        }
        let request = match self.prepare(voice).await {
            Ok(request) => request,
            Err(reason) => return self.feed(CallInput::NotSent(reason)).await,
        };
        match self.app.inner.parts.carrier.originate(request, events).await {
            Ok(()) => {
                metrics::counter!("carillon_invites_sent_total").increment(1);
                self.app.pass(Failpoint::InviteSent).await;
            }
            Err(not_sent) => self.feed(CallInput::NotSent(not_sent.to_string())).await,
        }
    }

    /// What can have changed between the decision and now: the do-not-call list, the campaign, its window.
    async fn last_gate(&mut self) -> Result<Option<Gate>, StoreError> {
        let store = self.app.store();
        let workspace = self.call.workspace_id;
        if !store
            .do_not_call(workspace, std::slice::from_ref(&self.call.to))
            .await?
            .is_empty()
        {
            return Ok(Some(Gate::DoNotCall));
        }
        let Some(campaign_id) = self.call.campaign_id() else {
            return Ok(None);
        };
        let Some(campaign) = store.campaign(workspace, campaign_id).await? else {
            return Ok(Some(Gate::CampaignEnded));
        };
        Ok(campaign.closed_gate(self.app.now()))
    }

    /// Before the INVITE, since the answer must not wait for the store. Without its agent a conversation has what was sent.
    async fn complete_variables(&mut self) {
        let (workspace, agent) = (self.call.workspace_id, self.call.agent_id);
        match self.app.store().agent(workspace, agent).await {
            Ok(agent) => self.spoken = agent.map(|agent| agent.complete_variables(&self.call.variables)),
            Err(error) => {
                tracing::warn!(call = %self.call.id, %error, "the defaults of an agent's variables are missing")
            }
        }
    }

    async fn prepare(&mut self, voice: mpsc::Sender<VoiceEvent>) -> Result<OriginateRequest, String> {
        let trunk = self.trunk().await?;
        let spec = EndpointSpec {
            call_id: self.call.id,
            workspace_id: self.call.workspace_id,
            codecs: trunk.codecs.clone(),
            media_address: self.app.inner.settings.media_address,
            record: self.call.record_call,
            rtp_timeout_ms: self.app.inner.settings.rtp_timeout_ms,
        };
        let offer_sdp = self
            .app
            .inner
            .parts
            .voice
            .prepare(spec, voice)
            .await
            .map_err(|error| error.to_string())?;
        self.media_open = true;
        let from = self
            .call
            .from
            .as_ref()
            .map(|from| trunk.number_format.format(from))
            .unwrap_or_default();
        Ok(OriginateRequest {
            call_id: self.call.id,
            identity: SipIdentity::of(self.call.id),
            to_user: trunk.number_format.format(&self.call.to),
            from_user: from,
            trunk,
            offer_sdp,
            ring_timeout: Duration::from_secs(u64::from(self.call.ring_timeout_s)),
        })
    }

    async fn trunk(&mut self) -> Result<Arc<Trunk>, String> {
        let id = self.call.trunk_id.ok_or("the call has no trunk")?;
        let trunk = self
            .app
            .store()
            .trunk(self.call.workspace_id, id)
            .await
            .map_err(|error| error.to_string())?;
        trunk.map(Arc::new).ok_or_else(|| "the trunk is gone".to_owned())
    }

    async fn on_carrier(&mut self, event: CarrierEvent) {
        match event {
            CarrierEvent::Progress { code: _, sdp, dialog } => {
                self.app.pass(Failpoint::ProgressReceived).await;
                let early_media = sdp.as_ref().is_some_and(|sdp| !sdp.is_empty());
                if let Some(sdp) = sdp.filter(|sdp| !sdp.is_empty())
                    && let Err(error) = self.app.inner.parts.voice.connect(self.call.id, sdp, true).await
                {
                    tracing::debug!(call = %self.call.id, %error, "early media cannot be used");
                }
                self.feed(CallInput::Progress { early_media, dialog }).await;
            }
            CarrierEvent::Answered { sdp, dialog } => {
                self.app.pass(Failpoint::AnswerReceived).await;
                self.answered(sdp, dialog).await;
            }
            CarrierEvent::Failed(failure) => self.feed(CallInput::Failed(failure)).await,
            CarrierEvent::RemoteHangUp { reason } => self.feed(CallInput::RemoteHangUp(reason)).await,
            CarrierEvent::LocalHangUp { confirmed } => self.feed(CallInput::LocalHangUp { confirmed }).await,
            CarrierEvent::Reoffer { sdp, answer } => {
                match self.app.inner.parts.voice.reoffer(self.call.id, sdp).await {
                    // The far end may have given up waiting; then nobody takes the answer.
                    Ok(reply) => drop(answer.send(reply)),
                    Err(error) => tracing::info!(call = %self.call.id, %error, "a new offer is refused"),
                }
            }
            CarrierEvent::InfoDigit(digit) => self.app.inner.parts.voice.info_digit(self.call.id, digit).await,
        }
    }

    async fn answered(&mut self, sdp: Bytes, dialog: carillon_domain::call::DialogFacts) {
        let connected = self.app.inner.parts.voice.connect(self.call.id, sdp, false).await;
        match connected {
            Ok(()) => self.feed(CallInput::Answered { dialog }).await,
            Err(error) => {
                let step = self.call.handle(self.app.now(), CallInput::Answered { dialog });
                self.call = step.call;
                self.feed(CallInput::NotAcceptable(error.to_string())).await;
            }
        }
    }

    async fn on_voice(&mut self, event: VoiceEvent) {
        let input = match event {
            VoiceEvent::ScriptFinished(result) => CallInput::ScriptFinished(result),
            VoiceEvent::MediaLost => CallInput::MediaLost,
            VoiceEvent::ScriptFailed(reason) => CallInput::ScriptFailed(reason),
        };
        self.feed(input).await;
    }

    async fn on_released(&mut self, summary: MediaSummary) {
        if self.call.answered_at.is_none() {
            return;
        }
        self.app.pass(Failpoint::PostCallStarted).await;
        let recording = summary.recording.map(|file| Recording {
            path: file.path,
            duration_ms: file.duration_ms,
        });
        self.feed(CallInput::MediaReleased {
            recording,
            script: summary.script,
        })
        .await;
    }

    /// Feeds the rules and does at once what they want at once.
    async fn feed(&mut self, input: CallInput) {
        let step = self.call.handle(self.app.now(), input);
        let settles = matches!(step.call.state, CallState::HangingUp | CallState::PostCall);
        if settles && step.call.state != self.call.state {
            self.settles_at = Some(Instant::now() + SETTLES);
        }
        self.call = step.call;
        for effect in step.effects {
            self.perform(effect).await;
        }
    }

    async fn perform(&mut self, effect: Effect) {
        let parts = &self.app.inner.parts;
        match effect {
            Effect::StartScript(id) => {
                let context = CallContext {
                    to: self.call.to.clone(),
                    variables: self.spoken.take().unwrap_or_else(|| self.call.variables.clone()),
                    ends_at: self.call.deadline.unwrap_or_else(|| self.app.now()),
                };
                parts.voice.start_script(id, self.call.script.on_call(context)).await;
            }
            Effect::HangUp(id) => {
                self.app.pass(Failpoint::HangUpDecided).await;
                parts.carrier.hang_up(id).await;
            }
            Effect::ReleaseMedia(_) => self.releasing = Some(self.release_media().boxed()),
            Effect::EndOrphan(_) => self.orphan = Some(self.end_orphan().boxed()),
            // These wait for the commit: see `on_stored` and `App::close`. `PlaceCall` is never one of this task's own.
            Effect::WakeRunner | Effect::WakeWebhooks | Effect::PlaceCall(_) => {}
        }
    }

    /// Closes the sound beside the loop, so that the end of the leg is stored meanwhile.
    fn release_media(&mut self) -> impl Future<Output = MediaSummary> + Send + use<> {
        let app = self.app.clone();
        let (workspace, id) = (self.call.workspace_id, self.call.id);
        let open = std::mem::take(&mut self.media_open);
        let recovered = self.recovered;
        async move {
            match (open, recovered) {
                (true, _) => app.inner.parts.voice.release(id).await,
                (false, true) => app.inner.parts.voice.recover(workspace, id).await,
                (false, false) => MediaSummary::default(),
            }
        }
    }

    fn end_orphan(&self) -> impl Future<Output = bool> + Send + use<> {
        let app = self.app.clone();
        let call = self.call.clone();
        async move {
            let Some(trunk_id) = call.trunk_id else { return false };
            let trunk = loop {
                match app.store().trunk(call.workspace_id, trunk_id).await {
                    Ok(Some(trunk)) => break Arc::new(trunk),
                    Ok(None) => return false,
                    // The leg stays up until it is told: the call's deadline alone ends this.
                    Err(error) => {
                        tracing::warn!(call = %call.id, %error, "the trunk of a leg to end could not be read")
                    }
                }
                tokio::time::sleep(WRITE_RETRY).await;
            };
            let dialog = call
                .dialog
                .clone()
                .unwrap_or_else(|| crate::closing::dialog_without_reply(&call, &trunk));
            app.inner.parts.carrier.end_orphan(trunk, dialog).await
        }
    }

    /// Starts writing the call as it is now, unless a write is under way or nothing changed.
    fn begin_write(&mut self) {
        let now = Instant::now();
        self.write_pause = self.write_pause.filter(|until| now < *until);
        let settles = matches!(self.call.state, CallState::HangingUp | CallState::PostCall);
        self.settles_at = self.settles_at.filter(|at| settles && now < *at);
        let paused = self.write_pause.or(self.settles_at).is_some();
        if self.writing.is_some() || paused || self.call == self.stored {
            return;
        }
        self.being_written = Some(self.call.state);
        let app = self.app.clone();
        let mut call = self.call.clone();
        call.version = self.stored.version;
        self.writing = Some(
            async move {
                if call.state == CallState::Closed {
                    app.pass(Failpoint::PostCallDone).await;
                    return app.close(call).await;
                }
                let transition = Transition::new(call.workspace_id).with(Change::PutCall(Box::new(call.clone())));
                let result = app.commit(transition).await;
                (committed(call), result)
            }
            .boxed(),
        );
    }

    async fn on_stored(&mut self, result: Result<(), CommitError>) {
        let written = self.being_written.take();
        match result {
            Ok(()) => {
                // The version moves with the store, and what closing adds to the call comes from there.
                self.call.version = self.stored.version;
                match written {
                    Some(CallState::Ringing) => self.app.pass(Failpoint::ProgressCommitted).await,
                    Some(CallState::InCall) => {
                        self.app.pass(Failpoint::AnswerCommitted).await;
                        self.app.inner.parts.carrier.acknowledge(self.call.id).await;
                    }
                    Some(CallState::Closed) => {
                        self.call = self.stored.clone();
                        self.app.pass(Failpoint::CallClosed).await;
                    }
                    _ => {}
                }
                if written.is_some_and(|state| !state.is_live()) {
                    self.app.line_freed();
                }
            }
            Err(error) => {
                metrics::counter!("carillon_call_writes_failed_total").increment(1);
                tracing::warn!(call = %self.call.id, %error, "a call could not be stored; it will be tried again");
                self.write_pause = Some(Instant::now() + WRITE_RETRY);
                if matches!(error, CommitError::Stale(_) | CommitError::Conflict(_)) {
                    self.refresh().await;
                }
            }
        }
    }

    /// Somebody else wrote the call: take its version, keep what happened here.
    async fn refresh(&mut self) {
        if let Ok(Some(theirs)) = self.app.store().call(self.call.workspace_id, self.call.id).await {
            self.call.version = theirs.version;
            self.stored = theirs;
        }
    }
}

async fn wait<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
