//! Sound without sound: a voice runtime that keeps its promises and plays nothing.

use crate::dice::Dice;
use crate::leg::{BAD_SDP, LegCommand};
use crate::world::World;
use async_trait::async_trait;
use bytes::Bytes;
use carillon_domain::ids::{CallId, WorkspaceId};
use carillon_domain::script::{Digit, Script, ScriptResult};
use carillon_interfaces::voice::{EndpointSpec, MediaSummary, RecordingFile, VoiceError, VoiceEvent, VoiceRuntime};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// The voice runtime of one life.
pub(crate) struct Sound {
    world: Arc<World>,
    endpoints: Mutex<BTreeMap<CallId, Endpoint>>,
}

struct Endpoint {
    events: mpsc::Sender<VoiceEvent>,
    recorded: bool,
    connected: bool,
    pressed: Option<ScriptResult>,
}

impl Sound {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self {
            world,
            endpoints: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<CallId, Endpoint>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn events_of(&self, call: CallId) -> Option<mpsc::Sender<VoiceEvent>> {
        self.lock().get(&call).map(|endpoint| endpoint.events.clone())
    }

    /// Keys were pressed, and the script has not finished.
    pub(crate) fn pressed(&self, call: CallId, result: ScriptResult) {
        if let Some(endpoint) = self.lock().get_mut(&call) {
            endpoint.pressed = Some(result);
        }
    }

    fn dice(&self, purpose: &str, call: CallId) -> Dice {
        Dice::of(self.world.seed, purpose, call.uuid().as_u128())
    }
}

#[async_trait]
impl VoiceRuntime for Sound {
    async fn prepare(&self, spec: EndpointSpec, events: mpsc::Sender<VoiceEvent>) -> Result<Bytes, VoiceError> {
        if self.dice("prepare", spec.call_id).chance(2) {
            return Err(VoiceError::NoRoom("no socket left".to_owned()));
        }
        let endpoint = Endpoint {
            events,
            recorded: spec.record,
            connected: false,
            pressed: None,
        };
        self.lock().insert(spec.call_id, endpoint);
        Ok(Bytes::from_static(b"v=0 offer"))
    }

    async fn connect(&self, call_id: CallId, answer_sdp: Bytes, _early: bool) -> Result<(), VoiceError> {
        if answer_sdp.as_ref() == BAD_SDP {
            return Err(VoiceError::NotAcceptable("no codec in common".to_owned()));
        }
        let mut endpoints = self.lock();
        endpoints.get_mut(&call_id).ok_or(VoiceError::UnknownCall)?.connected = true;
        Ok(())
    }

    async fn reoffer(&self, _call_id: CallId, _offer_sdp: Bytes) -> Result<Bytes, VoiceError> {
        Ok(Bytes::from_static(b"v=0"))
    }

    async fn start_script(&self, call_id: CallId, _script: Script) {
        let legs = self.world.legs();
        if let Some(leg) = legs.of_call(call_id) {
            let _ = leg.commands.try_send(LegCommand::ScriptStarted);
        }
    }

    async fn info_digit(&self, _call_id: CallId, _digit: Digit) {}

    async fn release(&self, call_id: CallId) -> MediaSummary {
        let Some(endpoint) = self.lock().remove(&call_id) else {
            return MediaSummary::default();
        };
        let mut dice = self.dice("release", call_id);
        if endpoint.connected && dice.chance(100) {
            tokio::time::sleep(dice.ms(5, 3_000)).await;
        }
        let recorded = endpoint.recorded && endpoint.connected;
        let recording = recorded.then(|| RecordingFile {
            path: format!("{call_id}.wav"),
            duration_ms: 1_000,
        });
        MediaSummary {
            recording,
            script: endpoint.pressed,
            ..MediaSummary::default()
        }
    }

    async fn recover(&self, _workspace_id: WorkspaceId, call_id: CallId) -> MediaSummary {
        let recording = Some(RecordingFile {
            path: format!("{call_id}.wav"),
            duration_ms: 1_000,
        });
        MediaSummary {
            recording,
            ..MediaSummary::default()
        }
    }
}
