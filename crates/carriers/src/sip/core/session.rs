//! Session timers (RFC 4028): refreshes that we owe, and the end of a session that the far end does not refresh.

use super::client::{ClientKey, ClientKind, Purpose};
use super::leg::{Leg, OwnOffer, Phase};
use super::server::{Answer, ServerKey};
use super::{Core, TimerOf};
use crate::sip::grammar::param;
use crate::sip::message::Message;
use crate::ua::LegId;
use std::time::{Duration, Instant};

/// Shortest session interval that we take (RFC 4028 section 5).
pub(super) const MIN_SECONDS: u32 = 90;

/// The running session timer of a leg.
#[derive(Debug)]
pub(super) struct Session {
    seconds: u32,
    we_refresh: bool,
    /// When we refresh; unused where the far end does.
    refresh_at: Instant,
    /// When the session ends without a refresh.
    expires_at: Instant,
}

/// Interval of a request, and whether we are to refresh as its receiver.
pub(super) fn asked_by(message: &Message) -> Option<(u32, bool)> {
    let (seconds, refresher) = session_expires(message)?;
    if !message.lists("Supported", "timer") && !message.lists("Require", "timer") {
        // The far end cannot refresh: it falls to us (RFC 4028 section 9).
        return Some((seconds, true));
    }
    Some((seconds, refresher == Some("uas")))
}

/// Session-Expires of an answer of ours.
pub(super) fn value_as_uas(seconds: u32, we_refresh: bool) -> String {
    format!("{seconds};refresher={}", if we_refresh { "uas" } else { "uac" })
}

fn session_expires(message: &Message) -> Option<(u32, Option<&str>)> {
    let value = message.header("Session-Expires")?;
    let (seconds, params) = value.split_once(';').unwrap_or((value, ""));
    let seconds = seconds
        .trim()
        .parse::<u32>()
        .ok()
        .filter(|seconds| (1..=604_800).contains(seconds))?;
    Some((seconds, param(params, "refresher")))
}

impl Core {
    /// Takes up what a 2xx to a request of ours says.
    pub(super) fn start_session(&mut self, now: Instant, leg: &mut Leg, response: &Message) {
        match session_expires(response) {
            Some((seconds, refresher)) => {
                self.set_session(now, leg, seconds.max(MIN_SECONDS), refresher != Some("uas"));
            }
            None => leg.session = None,
        }
    }

    pub(super) fn set_session(&mut self, now: Instant, leg: &mut Leg, seconds: u32, we_refresh: bool) {
        let interval = Duration::from_secs(u64::from(seconds));
        let refresh_at = now + interval / 2;
        // RFC 4028 section 10: BYE the smaller of 32 s and a third of the interval before it ends.
        let expires_at = now + interval - (interval / 3).min(Duration::from_secs(32));
        if we_refresh {
            self.schedule(refresh_at, TimerOf::Leg(leg.id));
        }
        self.schedule(expires_at, TimerOf::Leg(leg.id));
        leg.session = Some(Session {
            seconds,
            we_refresh,
            refresh_at,
            expires_at,
        });
    }

    pub(super) fn session_timer(&mut self, now: Instant, leg: &mut Leg) {
        let Some(session) = &mut leg.session else { return };
        if leg.phase != Phase::Up {
            return;
        }
        if session.expires_at <= now {
            self.send_bye(now, leg, None);
        } else if session.we_refresh && session.refresh_at <= now {
            session.refresh_at = session.expires_at;
            let value = format!("{};refresher=uac", session.seconds);
            self.refresh(now, leg, &value);
        }
    }

    /// Refreshes by UPDATE without an offer, or by a re-INVITE with our present description.
    fn refresh(&mut self, now: Instant, leg: &mut Leg, session_expires: &str) {
        if leg.own_offer.as_ref().is_some_and(|offer| !offer.done) || leg.reoffer.is_some() {
            // An offer is under way, which refreshes as well.
            return;
        }
        leg.local_cseq += 1;
        let cseq = leg.local_cseq;
        let dialog = leg.dialog.clone();
        let headers = [("Session-Expires", session_expires), ("Supported", "timer")];
        let (kind, (branch, request, flow)) = if leg.remote_allows_update || leg.local_sdp.is_empty() {
            (
                ClientKind::Other,
                self.dialog_request(leg, &dialog, "UPDATE", cseq, &headers, None),
            )
        } else {
            let sdp = leg.local_sdp.clone();
            leg.own_offer = Some(OwnOffer {
                cseq,
                reply: None,
                ack: None,
                done: false,
            });
            let body = Some(("application/sdp", sdp.as_ref()));
            (
                ClientKind::Invite,
                self.dialog_request(leg, &dialog, "INVITE", cseq, &headers, body),
            )
        };
        let purpose = if kind == ClientKind::Invite {
            Purpose::Reinvite
        } else {
            Purpose::Refresh
        };
        let key = ClientKey { branch, kind };
        self.start_client(now, key, leg, purpose, request, flow);
    }

    /// The answer to an UPDATE that refreshes.
    pub(super) fn on_refresh_response(&mut self, now: Instant, id: LegId, message: &Message, code: u16) {
        self.with_leg(id, |core, leg| match code {
            ..200 => {}
            200..300 => core.start_session(now, leg, message),
            408 | 481 if leg.phase == Phase::Up => core.send_bye(now, leg, None),
            422 => {
                let min = message.header("Min-SE").and_then(|v| v.trim().parse::<u32>().ok());
                if let Some(seconds) = min.filter(|seconds| (MIN_SECONDS..=86_400).contains(seconds)) {
                    core.set_session(now, leg, seconds, true);
                    core.refresh(now, leg, &format!("{seconds};refresher=uac"));
                }
            }
            // The far end may refuse and live on; the session's end is still watched.
            _ => {}
        });
    }

    pub(super) fn on_refresh_silence(&mut self, now: Instant, id: LegId) {
        self.with_leg(id, |core, leg| {
            if leg.phase == Phase::Up {
                core.send_bye(now, leg, None);
            }
        });
    }

    /// An UPDATE without an offer: a refresh, or a new target.
    pub(super) fn on_refresh_request(&mut self, now: Instant, leg: &mut Leg, key: &ServerKey, message: &Message) {
        if matches!(leg.phase, Phase::Closing | Phase::Over) {
            self.respond(now, key, Answer::code(481));
            return;
        }
        let session = asked_by(message);
        if session.is_some_and(|(seconds, _)| seconds < MIN_SECONDS) {
            self.respond(now, key, Answer::code(422).header("Min-SE", MIN_SECONDS.to_string()));
            return;
        }
        if let Some(target) = message.contact_uri() {
            leg.dialog.target = Some(target.to_owned());
            self.name_peers(leg);
        }
        let mut answer = Answer::code(200).header("Contact", format!("<{}>", leg.contact));
        if let Some((seconds, we_refresh)) = session {
            answer = answer.header("Session-Expires", value_as_uas(seconds, we_refresh));
            self.set_session(now, leg, seconds, we_refresh);
        }
        self.respond(now, key, answer);
    }
}
