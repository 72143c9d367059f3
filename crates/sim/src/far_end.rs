//! The far end and the carrier in front of it: every leg that an INVITE made, whatever becomes of the process that sent it.

use crate::crowd::Reaction;
use crate::dice::Dice;
use crate::leg::{LegCommand, LegTask};
use crate::life::Life;
use crate::sound::Sound;
use crate::world::World;
use async_trait::async_trait;
use carillon_domain::call::DialogFacts;
use carillon_domain::ids::{CallId, CampaignId, TrunkId, WorkspaceId};
use carillon_domain::trunk::Trunk;
use carillon_interfaces::carrier::{Carrier, CarrierEvent, NotSent, OriginateRequest};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A carrier's ACK waits this long for the answer to be stored.
pub(crate) const ACK_WAITS_MAX: Duration = Duration::from_secs(2);

/// How a leg ended, as the far end knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LegEnd {
    /// A final response with this code.
    Response(u16),
    /// No response ever came.
    NoResponse,
    /// It rang until the ring time-out cancelled it.
    RangOut,
    /// It was answered while it was being cancelled.
    CrossedCancel,
    /// The far end hung up.
    TheyHungUp,
    /// We hung up, or cancelled.
    WeHungUp,
    /// It was ended after the process that made it had died.
    Orphaned,
}

/// A leg.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) call_id: CallId,
    pub(crate) workspace_id: WorkspaceId,
    pub(crate) campaign_id: Option<CampaignId>,
    pub(crate) trunk_id: TrunkId,
    /// The far end's tag.
    pub(crate) tag: String,
    pub(crate) up: bool,
    pub(crate) answered: bool,
    /// When it was answered.
    pub(crate) answered_at: Option<Instant>,
    /// The ACK of its answer has been sent.
    pub(crate) acknowledged: bool,
    /// Nobody can end it any more: its tag was never stored, and its 200 is not repeated. The far end notices that its sound stopped.
    pub(crate) beyond_reach: bool,
    pub(crate) end: Option<LegEnd>,
    /// The life that made it is over.
    pub(crate) orphan: bool,
    /// The life that made it.
    pub(crate) life: u32,
    pub(crate) commands: mpsc::Sender<LegCommand>,
}

/// All legs by Call-ID, and those that are up.
#[derive(Debug, Default)]
pub(crate) struct Legs {
    pub(crate) by_sip_call_id: BTreeMap<String, Leg>,
    pub(crate) sip_call_id_of: BTreeMap<CallId, String>,
    pub(crate) up: BTreeMap<CallId, String>,
}

impl Legs {
    pub(crate) fn of_call(&self, call: CallId) -> Option<&Leg> {
        self.by_sip_call_id.get(self.sip_call_id_of.get(&call)?)
    }

    pub(crate) fn get_mut(&mut self, sip_call_id: &str) -> Option<&mut Leg> {
        self.by_sip_call_id.get_mut(sip_call_id)
    }

    /// Adds a leg that is up.
    pub(crate) fn add(&mut self, sip_call_id: &str, leg: Leg) {
        self.up.insert(leg.call_id, sip_call_id.to_owned());
        self.sip_call_id_of.insert(leg.call_id, sip_call_id.to_owned());
        self.by_sip_call_id.insert(sip_call_id.to_owned(), leg);
    }

    /// The leg is down.
    pub(crate) fn ended(&mut self, sip_call_id: &str, end: LegEnd) {
        if let Some(leg) = self.by_sip_call_id.get_mut(sip_call_id) {
            leg.up = false;
            leg.end.get_or_insert(end);
            self.up.remove(&leg.call_id);
        }
    }

    pub(crate) fn up_legs(&self) -> impl Iterator<Item = &Leg> {
        self.up
            .values()
            .filter_map(|sip_call_id| self.by_sip_call_id.get(sip_call_id))
    }
}

/// The carrier of one life.
pub(crate) struct FakeCarrier {
    world: Arc<World>,
    life: Arc<Life>,
    sound: Arc<Sound>,
    /// Times of the last INVITEs of each trunk.
    sent: Mutex<BTreeMap<TrunkId, VecDeque<Instant>>>,
}

impl FakeCarrier {
    pub(crate) fn new(world: Arc<World>, life: Arc<Life>, sound: Arc<Sound>) -> Self {
        Self {
            world,
            life,
            sound,
            sent: Mutex::default(),
        }
    }

    /// Waits until the trunk may take one more call, and counts it.
    async fn pace(&self, trunk: &Trunk) {
        loop {
            let now = Instant::now();
            let opens_at = {
                let mut all = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
                let sent = all.entry(trunk.id).or_default();
                while sent
                    .front()
                    .is_some_and(|at| now.duration_since(*at) >= Duration::from_millis(1_010))
                {
                    sent.pop_front();
                }
                if sent.len() < usize::try_from(trunk.calls_per_second).unwrap_or(usize::MAX).max(1) {
                    sent.push_back(now);
                    return;
                }
                sent.front().map_or(now, |at| *at + Duration::from_millis(1_010))
            };
            tokio::time::sleep_until(opens_at).await;
        }
    }

    fn command(&self, call_id: CallId, command: LegCommand) {
        let legs = self.world.legs();
        if let Some(leg) = legs.of_call(call_id).filter(|leg| leg.up && !leg.orphan) {
            // The queue holds more than a leg is ever told.
            let _ = leg.commands.try_send(command);
        }
    }

    /// Puts the leg up and lets it live by itself.
    pub(crate) fn invite(
        &self,
        request: &OriginateRequest,
        sip_call_id: &str,
        reaction: Reaction,
        events: mpsc::Sender<CarrierEvent>,
    ) {
        let (sender, commands) = mpsc::channel(16);
        let call = self.world.ledger().call(request.call_id).cloned();
        let leg = Leg {
            call_id: request.call_id,
            workspace_id: request.trunk.workspace_id,
            campaign_id: call.as_ref().and_then(|call| call.campaign_id),
            trunk_id: request.trunk.id,
            tag: format!("far{}", &sip_call_id[..8.min(sip_call_id.len())]),
            up: true,
            answered: false,
            answered_at: None,
            acknowledged: false,
            beyond_reach: false,
            end: None,
            orphan: false,
            life: self.life.number,
            commands: sender,
        };
        let tag = leg.tag.clone();
        self.world.legs().add(sip_call_id, leg);
        let dice = Dice::of(self.world.seed, "leg", request.call_id.uuid().as_u128());
        let task = LegTask {
            world: Arc::clone(&self.world),
            life: Arc::clone(&self.life),
            call_id: request.call_id,
            sip_call_id: sip_call_id.to_owned(),
            ring_timeout: request.ring_timeout,
            facts: facts(request, sip_call_id, tag),
            events: Some(events),
            voice: self.sound.events_of(request.call_id),
            sound: Arc::clone(&self.sound),
            commands,
            dice,
            rang: false,
        };
        tokio::spawn(task.run(reaction));
    }
}

#[async_trait]
impl Carrier for FakeCarrier {
    async fn originate(&self, request: OriginateRequest, events: mpsc::Sender<CarrierEvent>) -> Result<(), NotSent> {
        let mut dice = Dice::of(self.world.seed, "reaction", request.call_id.uuid().as_u128());
        let reaction = Reaction::draw(&mut dice);
        if matches!(reaction, Reaction::NotSent) {
            tokio::time::sleep(dice.ms(0, 4_000)).await;
            return Err(NotSent::Unreachable("the name does not resolve".to_owned()));
        }
        self.pace(&request.trunk).await;
        let sip_call_id = request.identity.sip_call_id.clone();
        crate::checkers::on_invite(&self.world, &request, &sip_call_id);
        self.invite(&request, &sip_call_id, reaction, events);
        Ok(())
    }

    async fn acknowledge(&self, call_id: CallId) {
        let mut legs = self.world.legs();
        let leg = legs.sip_call_id_of.get(&call_id).cloned();
        if let Some(leg) = leg.and_then(|sip_call_id| legs.by_sip_call_id.get_mut(&sip_call_id)) {
            leg.acknowledged |= leg.up && !leg.orphan;
        }
    }

    async fn hang_up(&self, call_id: CallId) {
        self.command(call_id, LegCommand::HangUp);
    }

    async fn end_orphan(&self, trunk: Arc<Trunk>, dialog: DialogFacts) -> bool {
        let sip_call_id = &dialog.identity.sip_call_id;
        let mut dice = Dice::of(self.world.seed, sip_call_id, u128::from(self.life.number));
        crate::planted::on_end_orphan(&self.world, self, &trunk, &dialog);
        let slow = dice.chance(30);
        tokio::time::sleep(if slow { dice.seconds(2, 4) } else { dice.ms(20, 500) }).await;
        if self.world.bug == Some(crate::Bug::OrphansLeftUp) {
            return true;
        }
        let beyond_reach = {
            let mut legs = self.world.legs();
            // 481 to CANCEL and BYE alike: there is no such leg any more, which is as good.
            let Some(leg) = legs.get_mut(sip_call_id).filter(|leg| leg.up) else {
                return true;
            };
            // A 200 without its ACK is repeated, with its tag.
            leg.beyond_reach |= leg.acknowledged && dialog.remote_tag.as_ref() != Some(&leg.tag);
            let _ = leg.commands.try_send(LegCommand::EndOrphan);
            leg.beyond_reach
        };
        if beyond_reach {
            tokio::time::sleep(Duration::from_secs(32)).await;
        }
        !beyond_reach
    }

    async fn set_trunks(&self, _: Vec<Arc<Trunk>>) {}
}

/// What the carrier knows of a leg before it was answered.
fn facts(request: &OriginateRequest, sip_call_id: &str, tag: String) -> DialogFacts {
    let host = &request.trunk.host;
    let mut identity = request.identity.clone();
    sip_call_id.clone_into(&mut identity.sip_call_id);
    DialogFacts {
        identity,
        invite_branch: Some(format!("z9hG4bK{}", &sip_call_id[..8.min(sip_call_id.len())])),
        invite_cseq: 1,
        invite_uri: format!("sip:{}@{host}", request.to_user),
        local_uri: format!("sip:{}@{host}", request.from_user),
        contact_uri: None,
        remote_uri: format!("sip:{}@{host}", request.to_user),
        remote_tag: Some(tag),
        remote_target: Some(format!("sip:far@{host}")),
        route_set: Vec::new(),
        peer: None,
        answered: false,
    }
}
