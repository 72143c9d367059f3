//! One call: what SIP, sound and the clock report goes into the run of its behaviour, and what comes out is done.

use crate::behaviour::{Behaviour, digits_of};
use crate::far_end::{FarEnd, Presented};
use crate::log::{EndedHow, LoggedCall, LoggedEnd};
use crate::measure::{self, Heard};
use crate::offer::next_offer;
use crate::phrases::Phrase;
use crate::run::{BehaviourRun, Input, Output};
use bytes::Bytes;
use carillon_carriers::ua::{InboundEvent, IncomingCall, LegId, OfferRefused, SipUa as _};
use carillon_domain::ids::{CallId, WorkspaceId};
use carillon_domain::script::Digit;
use carillon_domain::trunk::Codec;
use carillon_interfaces::voice::{EndpointSpec, MediaSummary, VoiceError, VoiceRuntime as _};
use carillon_voice::{FarEndCommand, FarEndEvent};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

/// How long after its last sample a phrase counts as heard when nothing says so.
const PLAYBACK_GRACE: Duration = Duration::from_millis(500);
/// How long a call that went dead goes on swallowing what comes.
const DEAD_FOR: Duration = Duration::from_secs(40);
/// How long a call may take to end when the sandbox stops.
const END_WITHIN: Duration = Duration::from_secs(2);
/// How long a key is held, in milliseconds.
const KEY_MS: u32 = 160;

/// The answer to an offer of ours.
type OfferAnswer = Pin<Box<dyn Future<Output = Result<Bytes, OfferRefused>> + Send>>;

/// What an offer of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfferFor {
    Hold,
    Resume,
    /// Sound goes on at this endpoint if the caller agrees.
    Move(CallId),
}

pub(crate) struct CallTask {
    far_end: Arc<FarEnd>,
    leg: LegId,
    sip_call_id: String,
    behaviour: &'static Behaviour,
    run: BehaviourRun,
    presented: Presented,
    logged: LoggedCall,
    /// The caller's offer, if the INVITE had one.
    offer: Option<Bytes>,
    sip_events: mpsc::Receiver<InboundEvent>,
    sip_closed: bool,
    sound_events: mpsc::Receiver<FarEndEvent>,
    sound_sender: mpsc::Sender<FarEndEvent>,
    /// Our endpoint, once there is one.
    sound: Option<CallId>,
    endpoints: u128,
    /// Our first SDP of the dialog, and the version of the last.
    first_sdp: Bytes,
    sdp_version: u64,
    awaited_answer: Option<(OfferFor, OfferAnswer)>,
    began: Instant,
    wake: Option<Instant>,
    playback_over: Option<Instant>,
    give_up: Option<Instant>,
    how: Option<EndedHow>,
    /// How it ends if it is given up.
    otherwise: EndedHow,
    stopping: bool,
    end: Sums,
}

/// What the call's endpoints have seen.
#[derive(Default)]
struct Sums {
    packets_received: u64,
    packets_sent: u64,
    packets_lost: u64,
    keys: String,
    heard: Option<Heard>,
}

impl CallTask {
    pub(crate) fn new(far_end: Arc<FarEnd>, call: IncomingCall) -> Self {
        let (behaviour, mut logged) = far_end.look_at(&call);
        logged.number = far_end.log.invited(logged.clone());
        let presented = far_end.presented(&call, behaviour);
        let deadline_ms = u64::try_from(far_end.call_deadline.as_millis()).unwrap_or(u64::MAX);
        let run = BehaviourRun::new(behaviour, far_end.seed, &digits_of(&call.to_user), deadline_ms);
        let (sound_sender, sound_events) = mpsc::channel(256);
        Self {
            far_end,
            leg: call.leg,
            sip_call_id: call.call_id,
            behaviour,
            run,
            presented,
            logged,
            offer: call.offer,
            sip_events: call.events,
            sip_closed: false,
            sound_events,
            sound_sender,
            sound: None,
            endpoints: 0,
            first_sdp: Bytes::new(),
            sdp_version: 1,
            awaited_answer: None,
            began: Instant::now(),
            wake: None,
            playback_over: None,
            give_up: None,
            how: None,
            otherwise: EndedHow::Stopped,
            stopping: false,
            end: Sums::default(),
        }
    }

    pub(crate) async fn run(mut self) {
        if self.presented == Presented::Wrong {
            self.reject(403, Vec::new()).await;
        } else {
            self.feed(Input::Invited {
                authorized: self.presented == Presented::Right,
            })
            .await;
        }
        while self.how.is_none() {
            self.next().await;
        }
        self.finish().await;
    }

    /// Waits for one thing to happen and deals with it.
    async fn next(&mut self) {
        let stop = self.far_end.stop.clone();
        tokio::select! {
            event = self.sip_events.recv(), if !self.sip_closed => match event {
                Some(event) => self.on_sip(event).await,
                None => self.on_sip_closed(),
            },
            Some(event) = self.sound_events.recv() => self.on_sound(event).await,
            (purpose, answer) = answered(&mut self.awaited_answer) => {
                self.awaited_answer = None;
                self.on_offer_answered(purpose, answer).await;
                self.feed(Input::OfferAnswered).await;
            }
            () = sleep_until(self.wake) => {
                self.wake = None;
                self.feed(Input::Tick).await;
            }
            () = sleep_until(self.playback_over) => self.on_sound(FarEndEvent::PlaybackFinished).await,
            () = sleep_until(self.give_up) => self.how = Some(self.otherwise),
            () = stop.cancelled(), if !self.stopping => self.on_stop().await,
        }
    }

    async fn on_sip(&mut self, event: InboundEvent) {
        match event {
            InboundEvent::Established { sdp } => {
                if self.offer.is_none()
                    && let (Some(sound), Some(sdp)) = (self.sound, sdp)
                {
                    self.unless_refused(self.far_end.media.connect(sound, sdp, false).await)
                        .await;
                }
            }
            InboundEvent::Cancelled => self.ended(EndedHow::Cancelled),
            InboundEvent::AckMissing => self.ended(EndedHow::NotAcknowledged),
            InboundEvent::RemoteHangUp { .. } => self.ended(EndedHow::CallerHungUp),
            InboundEvent::LocalHangUp { confirmed } => self.ended(EndedHow::HungUp { confirmed }),
            InboundEvent::Reoffer { sdp, answer } => {
                let Some(sound) = self.sound else { return };
                match self.far_end.media.reoffer(sound, sdp).await {
                    // A caller that gave up waiting takes no answer.
                    Ok(reply) => drop(answer.send(reply)),
                    Err(error) => tracing::debug!(%error, "the caller's new offer is refused"),
                }
            }
            InboundEvent::InfoDigit(digit) => match self.sound {
                Some(sound) => self.far_end.media.info_digit(sound, digit).await,
                None => self.end.keys.push(digit.as_char()),
            },
        }
    }

    fn on_sip_closed(&mut self) {
        self.sip_closed = true;
        if self.give_up.is_none() {
            self.ended(EndedHow::Stopped);
        }
    }

    fn ended(&mut self, how: EndedHow) {
        self.how.get_or_insert(how);
    }

    async fn on_sound(&mut self, event: FarEndEvent) {
        match event {
            FarEndEvent::Key(digit) => self.end.keys.push(digit.as_char()),
            FarEndEvent::PlaybackFinished => {
                self.playback_over = None;
                self.feed(Input::PlaybackFinished).await;
            }
            FarEndEvent::Loudness(loudness) => self.feed(Input::Loudness(loudness)).await,
            FarEndEvent::Heard | FarEndEvent::KeysPressed | FarEndEvent::MediaLost => {}
        }
    }

    /// The sandbox stops: whatever the call was doing, it ends.
    async fn on_stop(&mut self) {
        self.stopping = true;
        self.wake = None;
        self.run.handle(0, Input::Ended);
        if self.give_up.is_some() {
            // It went dead: nobody is left to end it with.
            self.ended(self.otherwise);
            return;
        }
        self.give_up = Some(Instant::now() + END_WITHIN);
        if self.logged.answered_after_ms.is_some() {
            self.far_end.sip.hang_up(self.leg).await;
        } else {
            self.reject(480, Vec::new()).await;
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn feed(&mut self, input: Input) {
        for output in self.run.handle(self.elapsed_ms(), input) {
            if self.how.is_none() {
                self.perform(output).await;
            }
        }
    }

    async fn perform(&mut self, output: Output) {
        match output {
            Output::Challenge { proxy } => {
                let challenge = self.far_end.challenge(&self.sip_call_id, proxy);
                self.far_end.sip.challenge(self.leg, challenge).await;
                self.ended(EndedHow::Refused {
                    code: if proxy { 407 } else { 401 },
                });
            }
            Output::Ring(code) => self.far_end.sip.ring(self.leg, code, None).await,
            Output::EarlyMedia(phrase) => self.early_media(phrase).await,
            Output::Reject { code, retry_after_s } => {
                let headers = retry_after_s.map(|seconds| ("Retry-After".to_owned(), seconds.to_string()));
                self.reject(code, headers.into_iter().collect()).await;
            }
            Output::Answer { mute } => self.answer(mute).await,
            Output::ListenForSpeech => self.command(FarEndCommand::ReportLoudness).await,
            Output::Play(phrase) => self.play(phrase).await,
            Output::Press(key) => {
                let keys = Digit::parse(key).into_iter().collect();
                self.command(FarEndCommand::PressKeys {
                    keys,
                    hold_ms: KEY_MS,
                    gap_ms: KEY_MS,
                })
                .await;
            }
            Output::PressInfo(key) => {
                if let Some(digit) = Digit::parse(key) {
                    self.far_end.sip.send_info_digit(self.leg, digit).await;
                }
            }
            Output::StopSending => self.command(FarEndCommand::StopSending).await,
            Output::Impair {
                loss_percent,
                jitter_ms,
            } => {
                let (loss_percent, seed) = (f64::from(loss_percent), self.run.draw());
                self.command(FarEndCommand::Impair {
                    loss_percent,
                    jitter_ms,
                    seed,
                })
                .await;
            }
            Output::Hold => self.offer(OfferFor::Hold).await,
            Output::Resume => self.offer(OfferFor::Resume).await,
            Output::Move => self.offer_to_move().await,
            Output::Vanish => {
                self.command(FarEndCommand::StopSending).await;
                self.far_end.sip.vanish(self.leg).await;
                self.give_up = Some(Instant::now() + DEAD_FOR);
                self.otherwise = EndedHow::Vanished;
            }
            Output::HangUp => self.far_end.sip.hang_up(self.leg).await,
            Output::WakeAt(at_ms) => self.wake = Some(self.began + Duration::from_millis(at_ms)),
        }
    }

    async fn reject(&mut self, code: u16, headers: Vec<(String, String)>) {
        self.far_end.sip.reject(self.leg, code, "", headers).await;
        self.ended(EndedHow::Refused { code });
    }

    async fn early_media(&mut self, phrase: Phrase) {
        let opened = self.open_sound(false).await;
        if self.unless_refused(opened).await.is_some() {
            self.play(phrase).await;
            self.far_end.sip.ring(self.leg, 183, Some(self.first_sdp.clone())).await;
        }
    }

    async fn answer(&mut self, mute: bool) {
        if self.sound.is_some() {
            self.command(FarEndCommand::StopPlayback).await;
            self.playback_over = None;
        } else {
            let opened = self.open_sound(mute).await;
            if self.unless_refused(opened).await.is_none() {
                return;
            }
        }
        self.logged.answered_after_ms = Some(self.elapsed_ms());
        self.far_end.log.answered(self.logged.clone());
        self.far_end.sip.answer(self.leg, self.first_sdp.clone()).await;
    }

    fn next_endpoint(&mut self) -> EndpointSpec {
        self.endpoints += 1;
        EndpointSpec {
            // Legs are random numbers: their neighbours are free.
            call_id: CallId::new(Uuid::from_u128(self.leg.0.wrapping_add(self.endpoints))),
            workspace_id: WorkspaceId::new(Uuid::nil()),
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            media_address: None,
            record: self.far_end.measure,
            rtp_timeout_ms: 0,
        }
    }

    /// Opens the first endpoint: an answer to the caller's offer, or an offer if there was none.
    async fn open_sound(&mut self, mute: bool) -> Result<(), VoiceError> {
        let spec = self.next_endpoint();
        let sound = spec.call_id;
        let media = &self.far_end.media;
        let sdp = match &self.offer {
            Some(offer) => {
                media
                    .answer_offer(spec, offer.clone(), mute, self.sound_sender.clone())
                    .await
            }
            // Nothing reports when its phrases are over; `playback_over` stands in.
            None => media.prepare(spec, mpsc::channel(1).0).await,
        };
        self.first_sdp = sdp?;
        self.sound = Some(sound);
        if mute {
            media.command(sound, FarEndCommand::StopSending).await?;
            media.answered(sound).await?;
        }
        Ok(())
    }

    /// Ends the call if there is no sound for it.
    async fn unless_refused(&mut self, result: Result<(), VoiceError>) -> Option<()> {
        let error = match result {
            Ok(()) => return Some(()),
            Err(error) => error,
        };
        tracing::info!(behaviour = self.behaviour.name, %error, "a call to the sandbox has no sound");
        if self.logged.answered_after_ms.is_some() {
            self.far_end.sip.hang_up(self.leg).await;
            return None;
        }
        let code = match error {
            VoiceError::BadSdp(_) | VoiceError::NotAcceptable(_) => 488,
            VoiceError::NoRoom(_) | VoiceError::UnknownCall => 503,
        };
        self.reject(code, Vec::new()).await;
        None
    }

    async fn command(&mut self, command: FarEndCommand) {
        let Some(sound) = self.sound else { return };
        if let Err(error) = self.far_end.media.command(sound, command).await {
            tracing::warn!(behaviour = self.behaviour.name, %error, "the far end cannot do what it should");
        }
    }

    async fn play(&mut self, phrase: Phrase) {
        if !phrase.text().is_empty() && self.logged.answered_after_ms.is_some() {
            self.logged.said.push(phrase.text());
        }
        let samples = self.far_end.phrases.samples(phrase).await;
        let length = Duration::from_millis(samples.len() as u64 / 8);
        self.playback_over = Some(Instant::now() + length + PLAYBACK_GRACE);
        self.command(FarEndCommand::PlaySamples(samples)).await;
    }

    /// Sends a re-INVITE for the endpoint that there is.
    async fn offer(&mut self, purpose: OfferFor) {
        let Some(sound) = self.sound else {
            return self.offer_failed();
        };
        let Ok(sdp) = self.far_end.media.reoffer(sound, Bytes::new()).await else {
            return self.offer_failed();
        };
        let direction = if purpose == OfferFor::Hold {
            "sendonly"
        } else {
            "sendrecv"
        };
        if purpose == OfferFor::Hold {
            self.command(FarEndCommand::StopSending).await;
        }
        self.send_offer(purpose, &sdp, direction);
    }

    async fn offer_to_move(&mut self) {
        let Some(offer) = self.offer.clone() else {
            return self.offer_failed();
        };
        let spec = self.next_endpoint();
        let sound = spec.call_id;
        match self
            .far_end
            .media
            .answer_offer(spec, offer, true, self.sound_sender.clone())
            .await
        {
            Ok(sdp) => self.send_offer(OfferFor::Move(sound), &sdp, "sendrecv"),
            Err(_) => self.offer_failed(),
        }
    }

    fn send_offer(&mut self, purpose: OfferFor, sdp: &[u8], direction: &str) {
        self.sdp_version += 1;
        let offer = next_offer(sdp, &self.first_sdp, self.sdp_version, direction);
        let (far_end, leg) = (Arc::clone(&self.far_end), self.leg);
        let answer = Box::pin(async move { far_end.sip.reinvite(leg, offer).await });
        self.awaited_answer = Some((purpose, answer));
    }

    /// There is nothing to offer: goes on as if it had been refused.
    fn offer_failed(&mut self) {
        let refused = Box::pin(std::future::ready(Err(OfferRefused::NotNow)));
        self.awaited_answer = Some((OfferFor::Resume, refused));
    }

    async fn on_offer_answered(&mut self, purpose: OfferFor, answer: Result<Bytes, OfferRefused>) {
        let media = self.far_end.media.clone();
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                tracing::info!(behaviour = self.behaviour.name, %error, "the caller refused a re-INVITE");
                if let OfferFor::Move(new) = purpose {
                    media.release(new).await;
                }
                return;
            }
        };
        let Some(sound) = self.sound else { return };
        let now_at = if let OfferFor::Move(new) = purpose { new } else { sound };
        if let Err(error) = media.connect(now_at, answer, false).await {
            tracing::info!(behaviour = self.behaviour.name, %error, "the caller's answer cannot be used");
        }
        match purpose {
            OfferFor::Hold => {}
            OfferFor::Resume => self.command(FarEndCommand::ResumeSending).await,
            OfferFor::Move(new) => {
                self.sound = Some(new);
                let summary = media.release(sound).await;
                self.add(summary).await;
            }
        }
    }

    async fn finish(mut self) {
        self.run.handle(0, Input::Ended);
        if let Some((OfferFor::Move(new), _)) = self.awaited_answer.take() {
            self.far_end.media.release(new).await;
        }
        let lasted_ms = self.elapsed_ms();
        if let Some(sound) = self.sound.take() {
            let summary = self.far_end.media.release(sound).await;
            self.add(summary).await;
        }
        let Sums {
            packets_received,
            packets_sent,
            packets_lost,
            keys,
            heard,
        } = self.end;
        self.logged.ended = Some(LoggedEnd {
            how: self.how.unwrap_or(self.otherwise),
            lasted_ms,
            packets_received,
            packets_sent,
            packets_lost,
            keys,
            heard,
        });
        self.far_end.log.ended(self.logged);
    }

    /// Adds what an endpoint has seen, and measures what it recorded.
    async fn add(&mut self, summary: MediaSummary) {
        self.end.packets_received += summary.packets_received;
        self.end.packets_sent += summary.packets_sent;
        self.end.packets_lost += summary.packets_lost;
        let Some(recording) = summary.recording else { return };
        let path = self.far_end.recordings.join(recording.path);
        let measured = tokio::task::spawn_blocking(move || measure::take_recording(&path)).await;
        match measured {
            Ok(Ok(heard)) => self.end.heard = Some(self.end.heard.unwrap_or_default().and(heard)),
            Ok(Err(error)) => tracing::warn!(%error, "a call to the sandbox cannot be measured"),
            Err(error) => tracing::warn!(%error, "a call to the sandbox cannot be measured"),
        }
    }
}

/// The answer to our offer, if one is waited for.
async fn answered(awaited: &mut Option<(OfferFor, OfferAnswer)>) -> (OfferFor, Result<Bytes, OfferRefused>) {
    match awaited {
        Some((purpose, answer)) => (*purpose, answer.await),
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
