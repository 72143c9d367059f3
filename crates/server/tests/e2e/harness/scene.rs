//! A server, our own far end, a receiver, an agent and a trunk: what most tests begin with.

use super::api::{Api, TrunkTo};
use super::far_end::{FarEnd, Plan};
use super::receiver::{Receiver, SECRET};
use super::rtp::Sound;
use super::server::{Installation, Server};
use super::wav::Wav;
use serde_json::{Value, json};
use std::time::Duration;

/// The tone that every prompt of these tests is.
pub(crate) const PROMPT_HZ: f64 = 440.0;
/// The tone that far ends answer with.
pub(crate) const FAR_END_HZ: f64 = 620.0;

/// Rings shortly, answers, talks until the caller hangs up.
pub(crate) const ANSWERS: Plan = Plan::Answer {
    ring: Duration::from_millis(100),
    talk: None,
    sound: Sound::Tone {
        hz: FAR_END_HZ,
        lasting: None,
    },
};

/// What a test acts in.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) far_end: FarEnd,
    pub(crate) receiver: Receiver,
    pub(crate) installation: Installation,
    /// An agent that plays one prompt.
    pub(crate) agent: String,
    pub(crate) trunk: String,
    /// The prompt.
    pub(crate) clip: String,
}

impl Scene {
    /// Starts everything. The agent plays a prompt of `prompt_ms` once; a call may ring for `ring_timeout_s`.
    pub(crate) async fn start(
        installation: Installation,
        rule: impl Fn(&str) -> Plan + Send + Sync + 'static,
        prompt_ms: u32,
        ring_timeout_s: u32,
    ) -> Self {
        let far_end = FarEnd::start(rule).await;
        let receiver = Receiver::start().await;
        let server = installation.start().await;
        let api = &server.api;
        api.endpoint(&receiver.url, SECRET).await;
        let clip = api.clip("prompt", &Wav::tone(PROMPT_HZ, prompt_ms)).await;
        let agent = api.agent(announce(&clip), ring_timeout_s).await;
        let trunk = api.trunk("far end", &TrunkTo::udp(far_end.addr)).await;
        Self {
            server,
            far_end,
            receiver,
            installation,
            agent,
            trunk,
            clip,
        }
    }

    /// The client.
    pub(crate) fn api(&self) -> &Api {
        &self.server.api
    }

    /// A launched campaign of the agent over the trunk.
    pub(crate) async fn campaign(&self, policy: &Value) -> String {
        self.api().campaign(&self.agent, &self.trunk, policy).await
    }

    /// A killed server comes back with the same data and addresses.
    pub(crate) async fn restart(&mut self, variables: &[(&str, &str)]) {
        self.server.kill_now();
        self.server = self.installation.start_with(variables).await;
    }
}

/// A script that plays a clip once.
pub(crate) fn announce(clip: &str) -> Value {
    json!({"kind": "announce", "clip_id": clip, "times": 1, "gap_ms": 0})
}
