//! Legs of an earlier life of this process: ended from stored facts alone.

use super::client::{ClientKey, ClientKind, Purpose};
use super::leg::{Dialog, Leg, Phase, Side, Sink, route_uri};
use super::{Core, Flow, TimerOf};
use crate::sip::grammar::{SipUri, host_of};
use crate::sip::message::Message;
use crate::sip::writer::Writer;
use crate::ua::{Destination, LegId};
use bytes::Bytes;
use carillon_domain::call::DialogFacts;
use carillon_domain::trunk::Credentials;
use std::time::Instant;
use tokio::sync::oneshot;

/// Added to the INVITE's CSeq: requests of the earlier life that nobody wrote down stay below it.
const CSEQ_GAP: u32 = 1000;

/// With a challenge the INVITE that rings is the second one. If there was none, the first is tried next.
const CSEQ_GUESSED: u32 = 2;

#[derive(Debug)]
pub(super) struct OrphanSide {
    reply: Option<oneshot::Sender<bool>>,
    give_up_by: Instant,
    /// After a confirmed CANCEL: how long the INVITE's own final response is waited for.
    settle_by: Option<Instant>,
    /// No response was ever stored: which INVITE was the last is guessed.
    guesses: bool,
    bye_sent: bool,
    ack: Option<(Bytes, Flow)>,
    facts: DialogFacts,
}

impl Core {
    /// Ends a leg that is known by its facts only. The result comes by `reply` within the orphan deadline.
    pub(crate) fn end_orphan(
        &mut self,
        now: Instant,
        destination: Destination,
        conn: Option<u64>,
        credentials: Option<Credentials>,
        facts: DialogFacts,
        reply: oneshot::Sender<bool>,
    ) {
        if let Some(id) = self.find_leg(&facts.identity.sip_call_id, &facts.identity.local_tag) {
            // It is no orphan: this life knows it.
            self.hang_up(now, id);
            let _ = reply.send(false);
            return;
        }
        let peer = facts
            .peer
            .as_deref()
            .and_then(|peer| peer.parse().ok())
            .unwrap_or(destination.addr);
        let flow = Flow {
            transport: destination.transport,
            peer,
            conn,
        };
        // CANCEL must carry the INVITE's own sent-by, which its Contact shows.
        let sent_by = facts
            .contact_uri
            .as_deref()
            .and_then(|uri| SipUri::parse(uri)?.socket_addr())
            .map_or_else(|| self.sent_by(peer), host_of);
        let id = LegId(u128::from(self.new_number()) << 64 | u128::from(self.new_number()));
        let give_up_by = now + self.config.timers.orphan_deadline;
        let side = OrphanSide {
            reply: Some(reply),
            give_up_by,
            settle_by: None,
            guesses: !facts.answered && facts.invite_branch.is_none() && facts.remote_tag.is_none(),
            bye_sent: false,
            ack: None,
            facts: facts.clone(),
        };
        let mut leg = Leg {
            id,
            call_id: facts.identity.sip_call_id.clone(),
            local_tag: facts.identity.local_tag.clone(),
            local_uri: facts.local_uri.clone(),
            remote_uri: facts.remote_uri.clone(),
            dialog: Dialog {
                remote_tag: facts.remote_tag.clone(),
                target: facts.remote_target.clone(),
                routes: facts
                    .route_set
                    .iter()
                    .filter(|r| route_uri(r).is_some())
                    .cloned()
                    .collect(),
            },
            flow,
            sent_by,
            contact: facts.contact_uri.clone().unwrap_or_else(|| self.contact(flow)),
            local_cseq: facts.invite_cseq + CSEQ_GAP,
            remote_cseq: None,
            credentials,
            phase: Phase::Early,
            side: Side::Orphan(Box::new(side)),
            sink: Sink::Nobody,
            close_by: None,
            bye_challenged: false,
            reoffer: None,
            own_offer: None,
            unacked: Vec::new(),
            session: None,
            local_sdp: Bytes::new(),
            remote_allows_update: false,
            linger_until: None,
            named_peers: Vec::new(),
        };
        self.name_peer(&mut leg, peer.ip());
        self.name_peers(&mut leg);
        self.schedule(give_up_by, TimerOf::Leg(id));
        match facts.invite_branch {
            Some(branch) if !facts.answered => self.send_orphan_cancel(now, &mut leg, branch),
            None if !facts.answered && facts.remote_tag.is_none() => self.cancel_guessed(now, &mut leg, CSEQ_GUESSED),
            _ => self.send_orphan_bye(now, &mut leg),
        }
        self.insert_leg(leg);
    }

    /// Cancels the INVITE with this CSeq number, whose branch follows from the attempt.
    fn cancel_guessed(&mut self, now: Instant, leg: &mut Leg, cseq: u32) {
        let branch = leg.identity().invite_branch(cseq);
        if let Side::Orphan(orphan) = &mut leg.side {
            orphan.facts.invite_cseq = cseq;
        }
        self.send_orphan_cancel(now, leg, branch);
    }

    fn send_orphan_cancel(&mut self, now: Instant, leg: &mut Leg, branch: String) {
        let Side::Orphan(orphan) = &leg.side else { return };
        let facts = &orphan.facts;
        let transport = leg.flow.via_transport();
        let cancel = Writer::request("CANCEL", &facts.invite_uri)
            .header_fmt(
                "Via",
                format_args!("SIP/2.0/{transport} {};branch={branch};rport", leg.sent_by),
            )
            .header("Max-Forwards", "70")
            .header_fmt("From", format_args!("<{}>;tag={}", leg.local_uri, leg.local_tag))
            .header_fmt("To", format_args!("<{}>", leg.remote_uri))
            .header("Call-ID", &leg.call_id)
            .header_fmt("CSeq", format_args!("{} CANCEL", facts.invite_cseq))
            .header("User-Agent", &self.config.user_agent)
            .finish();
        let key = ClientKey {
            branch,
            kind: ClientKind::Cancel,
        };
        self.start_client(now, key, leg, Purpose::Cancel, cancel, leg.flow);
    }

    fn send_orphan_bye(&mut self, now: Instant, leg: &mut Leg) {
        let Side::Orphan(orphan) = &mut leg.side else { return };
        if std::mem::replace(&mut orphan.bye_sent, true) {
            return;
        }
        if orphan.facts.answered {
            // The answer was stored, its ACK may still have been held back. A second one does no harm.
            let cseq = orphan.facts.invite_cseq;
            let (_, ack, to) = self.dialog_request(leg, &leg.dialog.clone(), "ACK", cseq, &[], None);
            if let Side::Orphan(orphan) = &mut leg.side {
                orphan.ack = Some((ack.clone(), to));
            }
            self.send(to, ack);
        }
        self.send_bye(now, leg, None);
    }

    pub(super) fn orphan_cancel_response(&mut self, now: Instant, leg: &mut Leg, code: u16) {
        // Who has no tag yet can only wait for the far end to send its 200 again, which takes up to T2.
        let settle_by = match leg.dialog.remote_tag {
            Some(_) => now + self.config.timers.t1 * 4,
            None => now + self.config.timers.t2 + self.config.timers.t1,
        };
        let Side::Orphan(orphan) = &mut leg.side else { return };
        match code {
            ..200 => {}
            200..300 => {
                orphan.settle_by = Some(settle_by);
                self.schedule(settle_by, TimerOf::Leg(leg.id));
            }
            // There was no such INVITE: the one before it, then.
            481 if orphan.guesses && orphan.facts.invite_cseq > 1 => {
                let before = orphan.facts.invite_cseq - 1;
                self.cancel_guessed(now, leg, before);
            }
            // The INVITE is over at the far end: if it made a dialog, BYE ends that.
            _ if leg.dialog.remote_tag.is_some() => self.send_orphan_bye(now, leg),
            _ => self.conclude_orphan(now, leg, code == 481),
        }
    }

    /// A response to the INVITE of an earlier life.
    pub(super) fn orphan_invite_response(
        &mut self,
        now: Instant,
        leg: &mut Leg,
        flow: Flow,
        message: &Message,
        code: u16,
    ) {
        let Side::Orphan(orphan) = &mut leg.side else { return };
        if message.cseq != orphan.facts.invite_cseq && !orphan.guesses {
            return;
        }
        let uri = orphan.facts.invite_uri.clone();
        match code {
            ..200 => {}
            200..300 => {
                if let Some((ack, flow)) = orphan.ack.clone() {
                    self.send(flow, ack);
                    return;
                }
                leg.dialog = Dialog::of_response(message);
                self.name_peers(leg);
                let (_, ack, to) = self.dialog_request(leg, &leg.dialog.clone(), "ACK", message.cseq, &[], None);
                if let Side::Orphan(orphan) = &mut leg.side {
                    orphan.ack = Some((ack.clone(), to));
                    orphan.bye_sent = true;
                }
                self.send(to, ack);
                self.send_bye(now, leg, None);
            }
            _ => {
                let via = message.header("Via").unwrap_or_default();
                let ack = Writer::request("ACK", &uri)
                    .header("Via", via)
                    .header("Max-Forwards", "70")
                    .header_fmt("From", format_args!("<{}>;tag={}", leg.local_uri, leg.local_tag))
                    .header("To", message.header("To").unwrap_or_default())
                    .header("Call-ID", &leg.call_id)
                    .header_fmt("CSeq", format_args!("{} ACK", message.cseq))
                    .finish();
                self.send(flow, ack);
                if leg.phase == Phase::Early {
                    self.conclude_orphan(now, leg, true);
                }
            }
        }
    }

    pub(super) fn orphan_timer(&mut self, now: Instant, leg: &mut Leg) {
        let Side::Orphan(orphan) = &mut leg.side else { return };
        if orphan.give_up_by <= now {
            self.conclude_orphan(now, leg, false);
        } else if orphan.settle_by.is_some_and(|at| at <= now) {
            orphan.settle_by = None;
            if leg.dialog.remote_tag.is_some() {
                // The INVITE's final response may have gone to a port of the earlier life: make sure.
                self.send_orphan_bye(now, leg);
            } else {
                self.conclude_orphan(now, leg, true);
            }
        }
    }

    pub(super) fn conclude_orphan(&mut self, now: Instant, leg: &mut Leg, confirmed: bool) {
        self.end_leg(now, leg);
        if let Side::Orphan(orphan) = &mut leg.side
            && let Some(reply) = orphan.reply.take()
        {
            let _ = reply.send(confirmed);
        }
    }
}
