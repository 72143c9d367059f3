//! One leg, from the INVITE to its end: it plays what the crowd does and tells the carrier's side of it.

use crate::crowd::{Key, Person, Reaction, failure, no_response};
use crate::dice::Dice;
use crate::far_end::{ACK_WAITS_MAX, LegEnd};
use crate::life::Life;
use crate::sound::Sound;
use crate::world::World;
use bytes::Bytes;
use carillon_domain::call::{CallFailure, DialogFacts};
use carillon_domain::ids::CallId;
use carillon_domain::script::ScriptResult;
use carillon_interfaces::carrier::CarrierEvent;
use carillon_interfaces::voice::VoiceEvent;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What a leg is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LegCommand {
    /// Our side ends it.
    HangUp,
    /// The script has begun.
    ScriptStarted,
    /// A later life ends it.
    EndOrphan,
}

pub(crate) const BAD_SDP: &[u8] = b"v=0 unusable";

/// SIP's own time-out (RFC 3261 timers B and F).
const TIMER_B: Duration = Duration::from_secs(32);

/// What a leg that waits wakes up for.
enum Wake {
    Time,
    HangUp,
    ScriptStarted,
    /// The life that made the leg is over.
    Crash,
}

/// A leg.
pub(crate) struct LegTask {
    pub(crate) world: Arc<World>,
    pub(crate) life: Arc<Life>,
    pub(crate) call_id: CallId,
    pub(crate) sip_call_id: String,
    pub(crate) ring_timeout: Duration,
    pub(crate) facts: DialogFacts,
    pub(crate) events: Option<mpsc::Sender<CarrierEvent>>,
    pub(crate) voice: Option<mpsc::Sender<VoiceEvent>>,
    pub(crate) sound: Arc<Sound>,
    pub(crate) commands: mpsc::Receiver<LegCommand>,
    pub(crate) dice: Dice,
    pub(crate) rang: bool,
}

/// A step that the far end takes, some time after the INVITE.
enum Step {
    Rings { early_media: bool },
    Fails { code: u16, retry_after_s: Option<u32> },
    Answers(Person),
    RingTimeout { crosses: bool },
    GivenUp,
}

impl LegTask {
    /// Lives until the leg is down.
    pub(crate) async fn run(mut self, reaction: Reaction) {
        let silent = matches!(reaction, Reaction::Silence);
        let invited = Instant::now();
        for (after, step) in self.steps(reaction) {
            match self.wait(invited + after).await {
                Wake::Time => {}
                Wake::HangUp => return self.cancelled(silent).await,
                Wake::ScriptStarted => {}
                Wake::Crash => return self.orphaned(silent).await,
            }
            match step {
                Step::Rings { early_media } => self.ring(early_media).await,
                Step::Fails { code, retry_after_s } => {
                    self.down(LegEnd::Response(code));
                    return self
                        .last(CarrierEvent::Failed(failure(code, self.rang, retry_after_s)))
                        .await;
                }
                Step::GivenUp => {
                    self.down(LegEnd::NoResponse);
                    return self.last(CarrierEvent::Failed(no_response())).await;
                }
                Step::RingTimeout { crosses } => return self.ring_timeout(crosses).await,
                Step::Answers(person) => return self.answered(person).await,
            }
        }
    }

    /// What happens when nobody interferes, by time. The carrier's ring time-out is among it.
    fn steps(&self, reaction: Reaction) -> Vec<(Duration, Step)> {
        let ring = |at: Option<Duration>, early_media| at.map(|at| (at, Step::Rings { early_media }));
        let mut steps: Vec<(Duration, Step)> = Vec::new();
        let mut crossing = false;
        match reaction {
            Reaction::NotSent => {}
            Reaction::Silence => return vec![(TIMER_B, Step::GivenUp)],
            Reaction::Fails {
                rings_at,
                after,
                code,
                retry_after_s,
            } => {
                steps.extend(ring(rings_at, false));
                steps.push((after, Step::Fails { code, retry_after_s }));
            }
            Reaction::RingsOut { rings_at, crosses } => {
                steps.extend(ring(Some(rings_at), false));
                crossing = crosses;
            }
            Reaction::Answers {
                rings_at,
                early_media,
                after,
                then,
            } => {
                steps.extend(ring(rings_at, early_media));
                steps.push((after, Step::Answers(then)));
            }
        }
        steps.push((self.ring_timeout, Step::RingTimeout { crosses: crossing }));
        steps.sort_by_key(|(at, _)| *at);
        steps
    }

    /// Waits until `at`, or for something that comes before.
    async fn wait(&mut self, at: Instant) -> Wake {
        loop {
            tokio::select! {
                biased;
                () = self.life.over() => return Wake::Crash,
                command = self.commands.recv() => match command {
                    Some(LegCommand::HangUp) => return Wake::HangUp,
                    Some(LegCommand::ScriptStarted) => return Wake::ScriptStarted,
                    // Said to the legs of earlier lives only.
                    Some(LegCommand::EndOrphan) | None => {}
                },
                () = tokio::time::sleep_until(at) => return Wake::Time,
            }
        }
    }

    async fn ring(&mut self, early_media: bool) {
        self.rang = true;
        let progress = |facts: &DialogFacts, code| CarrierEvent::Progress {
            code,
            sdp: early_media.then(|| Bytes::from_static(b"v=0 early")),
            dialog: facts.clone(),
        };
        let code = if early_media { 183 } else { 180 };
        self.send(progress(&self.facts, code)).await;
        if self.dice.chance(200) {
            self.send(progress(&self.facts, 180)).await;
        }
    }

    async fn ring_timeout(mut self, crosses: bool) {
        if crosses {
            self.down(LegEnd::CrossedCancel);
            return self.last(CarrierEvent::LocalHangUp { confirmed: true }).await;
        }
        if self.dice.chance(80) {
            return self.cancel_unheard().await;
        }
        self.down(LegEnd::RangOut);
        let failed = failure(487, self.rang, None);
        self.last(CarrierEvent::Failed(failed)).await;
    }

    /// It rang, and nothing answers our CANCEL: for all we know it rings on.
    async fn cancel_unheard(mut self) {
        let given_up = Instant::now() + TIMER_B;
        loop {
            match self.wait(given_up).await {
                Wake::Crash => return self.orphaned(true).await,
                Wake::Time => break,
                // A hang-up during the CANCEL changes nothing.
                Wake::HangUp | Wake::ScriptStarted => {}
            }
        }
        self.down(LegEnd::NoResponse);
        let failed = CallFailure {
            rang: self.rang,
            ..no_response()
        };
        self.last(CarrierEvent::Failed(failed)).await;
    }

    /// Our side gave up before an answer.
    async fn cancelled(mut self, silent: bool) {
        if silent {
            if matches!(self.wait(Instant::now() + TIMER_B).await, Wake::Crash) {
                return self.orphaned(true).await;
            }
            self.down(LegEnd::NoResponse);
            return self.last(CarrierEvent::LocalHangUp { confirmed: false }).await;
        }
        let round_trip = self.dice.ms(20, 400);
        if matches!(self.wait(Instant::now() + round_trip).await, Wake::Crash) {
            return self.orphaned(false).await;
        }
        if self.dice.chance(200) {
            // The 200 was on its way: the carrier acknowledges it at once, says so, and sends BYE.
            self.facts.answered = true;
            self.send(CarrierEvent::Answered {
                sdp: Bytes::from_static(b"v=0"),
                dialog: self.facts.clone(),
            })
            .await;
        }
        self.down(LegEnd::WeHungUp);
        let event = if self.dice.chance(500) {
            CarrierEvent::LocalHangUp { confirmed: true }
        } else {
            CarrierEvent::Failed(failure(487, self.rang, None))
        };
        self.last(event).await;
    }

    async fn answered(mut self, person: Person) {
        if let Some(leg) = self.world.legs().get_mut(&self.sip_call_id) {
            leg.answered = true;
            leg.answered_at = Some(Instant::now());
        }
        self.world.note(format_args!("answered {}", self.call_id));
        self.facts.answered = true;
        let sdp = if person == Person::BadSdp {
            Bytes::from_static(BAD_SDP)
        } else {
            Bytes::from_static(b"v=0")
        };
        self.send(CarrierEvent::Answered {
            sdp,
            dialog: self.facts.clone(),
        })
        .await;
        let never = Instant::now() + Duration::from_secs(1_000_000);
        let mut next: (Instant, Option<Person>) = (never, None);
        loop {
            match self.wait(next.0).await {
                Wake::Crash => return self.orphaned(false).await,
                Wake::HangUp => return self.hung_up().await,
                Wake::ScriptStarted => {
                    next = begin(person).map_or((never, None), |after| (Instant::now() + after, Some(person)))
                }
                Wake::Time => match next.1.take() {
                    Some(Person::HangsUp { .. }) => return self.they_hang_up().await,
                    Some(Person::PressesAndHangsUp { .. }) => {
                        self.sound.pressed(self.call_id, self.result(Key::DoNotCall));
                        return self.they_hang_up().await;
                    }
                    Some(Person::HangsUpAtTheEnd { .. }) => {
                        self.say(VoiceEvent::ScriptFinished(self.result(Key::Nothing))).await;
                        let crossing = self.dice.ms(0, 60);
                        // Whichever BYE comes first, the far end is gone.
                        match self.wait(Instant::now() + crossing).await {
                            Wake::Crash => return self.orphaned(false).await,
                            _ => return self.they_hang_up().await,
                        }
                    }
                    Some(Person::Listens { .. }) => {
                        next = (never, None);
                        self.say(VoiceEvent::ScriptFinished(self.result(Key::Nothing))).await;
                    }
                    Some(Person::Presses { key, .. }) => {
                        next = (never, None);
                        self.say(VoiceEvent::ScriptFinished(self.result(key))).await;
                    }
                    Some(Person::SoundStops { .. }) => {
                        next = (never, None);
                        self.say(VoiceEvent::MediaLost).await;
                    }
                    Some(Person::ClipFails { .. }) => {
                        next = (never, None);
                        self.say(VoiceEvent::ScriptFailed("a clip is missing".to_owned())).await;
                    }
                    Some(Person::Stays | Person::BadSdp) | None => next = (never, None),
                },
            }
        }
    }

    fn result(&self, key: Key) -> ScriptResult {
        let now = self.world.now();
        let mut result = ScriptResult {
            acted: key != Key::Nothing,
            ..ScriptResult::default()
        };
        let mut pressed = |digit: &str| result.keys.push_str(digit);
        match key {
            Key::Nothing => {}
            Key::Mark => {
                pressed("1");
                result.marks.insert("interested".to_owned(), "yes".to_owned());
            }
            Key::DoNotCall => {
                pressed("9");
                result.do_not_call = true;
            }
            Key::CallBack { after_s } => {
                pressed("2");
                result.call_back_at = Some(now + Duration::from_secs(u64::from(after_s)));
            }
            Key::FollowUp { after_s } => {
                pressed("3");
                result.follow_up_at = Some(now + Duration::from_secs(u64::from(after_s)));
            }
        }
        result
    }

    async fn they_hang_up(mut self) {
        self.down(LegEnd::TheyHungUp);
        self.last(CarrierEvent::RemoteHangUp { reason: None }).await;
    }

    /// Our BYE.
    async fn hung_up(mut self) {
        let confirmed = !self.dice.chance(20);
        let through = if confirmed { self.dice.ms(10, 400) } else { TIMER_B };
        if matches!(self.wait(Instant::now() + through).await, Wake::Crash) {
            return self.orphaned(false).await;
        }
        self.down(LegEnd::WeHungUp);
        self.last(CarrierEvent::LocalHangUp { confirmed }).await;
    }

    /// The process is gone and the leg is still up: until a later life ends it, or the far end loses patience.
    async fn orphaned(mut self, silent: bool) {
        self.events = None;
        self.voice = None;
        let answered = {
            let mut legs = self.world.legs();
            let Some(leg) = legs.get_mut(&self.sip_call_id) else {
                return;
            };
            leg.orphan = true;
            leg.acknowledged |= leg.answered_at.is_some_and(|at| at.elapsed() >= ACK_WAITS_MAX);
            leg.answered
        };
        let impatient = self.dice.chance(if answered { 300 } else { 100 });
        let patience = if impatient {
            self.dice.seconds(2, 60)
        } else {
            Duration::from_secs(1_000_000)
        };
        if !silent {
            tokio::select! {
                biased;
                () = self.told_to_end() => {}
                () = tokio::time::sleep(patience) => {}
            }
        }
        self.down(LegEnd::Orphaned);
    }

    async fn told_to_end(&mut self) {
        while let Some(command) = self.commands.recv().await {
            if command == LegCommand::EndOrphan {
                let beyond_reach = self
                    .world
                    .legs()
                    .get_mut(&self.sip_call_id)
                    .is_some_and(|leg| leg.beyond_reach);
                if beyond_reach {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                }
                return;
            }
        }
    }

    fn down(&mut self, end: LegEnd) {
        self.world.legs().ended(&self.sip_call_id, end);
        self.world.note(format_args!("down {} {end:?}", self.call_id));
    }

    /// Sends an event, late at times.
    async fn send(&mut self, event: CarrierEvent) {
        if self.dice.chance(60) {
            let late = self.dice.ms(1, 2_500);
            tokio::select! {
                biased;
                () = self.life.over() => return,
                () = tokio::time::sleep(late) => {}
            }
        }
        if let Some(events) = &self.events {
            // Nobody takes it when the process has died.
            let _ = events.send(event).await;
        }
    }

    async fn last(&mut self, event: CarrierEvent) {
        self.send(event).await;
    }

    async fn say(&mut self, event: VoiceEvent) {
        if let Some(voice) = &self.voice {
            let _ = voice.send(event).await;
        }
    }
}

/// When a person does what they do, counted from the beginning of the script.
fn begin(person: Person) -> Option<Duration> {
    match person {
        Person::Listens { script } | Person::HangsUpAtTheEnd { script } => Some(script),
        Person::Presses { after, .. }
        | Person::PressesAndHangsUp { after }
        | Person::HangsUp { after }
        | Person::SoundStops { after }
        | Person::ClipFails { after } => Some(after),
        Person::Stays | Person::BadSdp => None,
    }
}
