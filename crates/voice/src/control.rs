//! What the engine knows of a call away from its media thread: the negotiation and the script.

use crate::agent::RunningAgent;
use carillon_domain::ids::ClipId;
use carillon_domain::script::{KeyAction, Script};
use carillon_domain::trunk::Codec;
use carillon_interfaces::voice::{EndpointSpec, VoiceError, VoiceEvent};
use carillon_media::sdp::{self, Agreed, Local, SdpError};
use std::collections::BTreeSet;
use tokio::sync::mpsc;

/// One call's negotiation.
pub(crate) struct Control {
    pub(crate) spec: EndpointSpec,
    /// The media thread that has it.
    pub(crate) thread: usize,
    pub(crate) agreed: Option<Agreed>,
    /// When it was answered, by the engine's clock.
    pub(crate) answered_us: Option<u64>,
    pub(crate) has_rtcp: bool,
    pub(crate) script: Option<Script>,
    /// The script has been handed to the media thread.
    pub(crate) script_sent: bool,
    /// Who is told what happens to the call.
    pub(crate) events: Option<mpsc::Sender<VoiceEvent>>,
    /// The conversation that is held on it.
    pub(crate) agent: Option<RunningAgent>,
    /// The number of its recording, once there is one.
    pub(crate) recording: Option<u64>,
    local: Local,
    last_sdp: Option<String>,
}

impl Control {
    pub(crate) fn new(spec: EndpointSpec, thread: usize, local: Local) -> Self {
        Self {
            spec,
            thread,
            agreed: None,
            answered_us: None,
            has_rtcp: false,
            script: None,
            script_sent: false,
            events: None,
            agent: None,
            recording: None,
            local,
            last_sdp: None,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.local.port
    }

    /// An offer of all our codecs.
    pub(crate) fn offer(&mut self) -> String {
        self.versioned(|local| Ok(sdp::write_offer(local))).unwrap_or_default()
    }

    /// The answer to an offer, and what it agrees on.
    pub(crate) fn answer(&mut self, offer: &[u8]) -> Result<(Agreed, String), VoiceError> {
        let (agreed, _) = sdp::answer_offer(&self.local, offer).map_err(refusal)?;
        let answer = self.versioned(|local| sdp::answer_offer(local, offer).map(|(_, answer)| answer));
        Ok((agreed, answer.map_err(refusal)?))
    }

    /// Reads the far end's answer. None at all, after early media, means that nothing has changed since.
    pub(crate) fn read_answer(&self, answer: &[u8]) -> Result<Agreed, VoiceError> {
        match &self.agreed {
            Some(agreed) if answer.is_empty() => Ok(agreed.clone()),
            _ => sdp::read_answer(&self.local.codecs, answer).map_err(refusal),
        }
    }

    /// Raises the version of our SDP exactly when it differs from the last one (RFC 3264 section 8).
    fn versioned(&mut self, write: impl Fn(&Local) -> Result<String, SdpError>) -> Result<String, SdpError> {
        let mut sdp = write(&self.local)?;
        if self.last_sdp.as_ref().is_some_and(|last| *last != sdp) {
            self.local.version += 1;
            sdp = write(&self.local)?;
        }
        self.last_sdp = Some(sdp.clone());
        Ok(sdp)
    }
}

fn refusal(error: SdpError) -> VoiceError {
    match error {
        SdpError::Unreadable(_) => VoiceError::BadSdp(error.to_string()),
        SdpError::NoAudio | SdpError::Refused | SdpError::NoCodec(_) | SdpError::NoAddress(_) => {
            VoiceError::NotAcceptable(error.to_string())
        }
    }
}

/// The clips that a script may play.
pub(crate) fn clips_of(script: &Script) -> BTreeSet<ClipId> {
    match script {
        Script::Converse(_) => BTreeSet::new(),
        Script::Announce { clip, .. } => BTreeSet::from([*clip]),
        Script::Press1 { clip, keys, .. } => {
            let of_key = |action: &KeyAction| match action {
                KeyAction::HangUp => None,
                KeyAction::Play { clip } => Some(*clip),
                KeyAction::DoNotCall { clip }
                | KeyAction::CallBack { clip, .. }
                | KeyAction::FollowUp { clip, .. }
                | KeyAction::Mark { clip, .. } => *clip,
            };
            keys.values().filter_map(of_key).chain([*clip]).collect()
        }
    }
}

/// The codecs of a call without duplicates; all of ours when none is named.
pub(crate) fn codecs(wanted: &[Codec]) -> Vec<Codec> {
    let mut codecs = Vec::new();
    for codec in if wanted.is_empty() {
        &[Codec::Pcmu, Codec::Pcma][..]
    } else {
        wanted
    } {
        if !codecs.contains(codec) {
            codecs.push(*codec);
        }
    }
    codecs
}
