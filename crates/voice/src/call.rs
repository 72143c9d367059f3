//! One call on its media thread: what it sends, when, and how its script goes on.
//!
//! What it hears is in `receive`. Nothing here waits: a full queue or socket costs a packet, which is counted.

use crate::clips::EncodedClip;
use crate::clock::Clock;
use crate::far_end::{CallFigures, FarEndEvent};
use crate::impairment::Impairment;
use crate::keys::{KeyMerger, KeyPath};
use crate::listener::Listener;
use crate::ports::PortLease;
use crate::receive::Incoming;
use crate::recording::{Place, RecorderQueue, Sound};
use crate::source::SourceGuard;
use crate::speech::{Speech, SpeechAction};
use crate::statistics::Statistics;
use carillon_domain::ids::{CallId, ClipId};
use carillon_domain::script::{Digit, ScriptInput, ScriptOutput, ScriptResult, ScriptRun};
use carillon_domain::trunk::Codec;
use carillon_interfaces::voice::VoiceEvent;
use carillon_media::dtmf::KeySender;
use carillon_media::rtcp::{self, LastReport, Sent};
use carillon_media::rtp::{self, RtpPacket};
use carillon_media::sdp::Agreed;
use carillon_media::{FRAME_SAMPLES, g711, samples_in};
use std::collections::VecDeque;
use std::net::UdpSocket;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Time between two RTCP reports (RFC 3550 section 6.2), in microseconds.
const REPORT_EVERY_US: u64 = 5_000_000;
/// Keys that may wait to be pressed.
const KEYS_WAITING_MAX: usize = 64;

/// What a media thread lends to its calls.
pub(crate) struct Context {
    pub(crate) now_us: u64,
    pub(crate) clock: Clock,
    pub(crate) statistics: Statistics,
    pub(crate) canonical_name: Arc<str>,
}

/// Who is told what happens.
pub(crate) enum Sink {
    Voice(mpsc::Sender<VoiceEvent>),
    FarEnd(mpsc::Sender<FarEndEvent>),
}

/// What a call starts from.
pub(crate) struct NewCall {
    pub(crate) id: CallId,
    pub(crate) rtp: UdpSocket,
    pub(crate) lease: PortLease,
    pub(crate) sink: Sink,
    /// Zero: no time-out.
    pub(crate) rtp_timeout_us: u64,
    pub(crate) ssrc: u32,
    pub(crate) first_sequence: u16,
    pub(crate) first_timestamp: u32,
}

/// Clips of a script, each ready or with the reason why it is not.
pub(crate) type ScriptClips = Vec<(ClipId, Result<EncodedClip, String>)>;

/// A call.
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: Option<UdpSocket>,
    pub(crate) lease: PortLease,
    /// The millisecond of its slot, once it is in the wheel.
    pub(crate) slot_ms: Option<u64>,
    pub(crate) source: SourceGuard,
    pub(crate) agreed: Option<Agreed>,
    pub(crate) answered_us: Option<u64>,
    pub(crate) recording: Option<(u64, RecorderQueue)>,
    pub(crate) incoming: Incoming,
    pub(crate) rtp_timeout_us: u64,
    pub(crate) listener: Option<Box<Listener>>,
    outgoing: Outgoing,
    sink: Sink,
    waiting_events: VecDeque<VoiceEvent>,
    playback: Option<Playback>,
    speech: Option<Box<Speech>>,
    script: Option<ScriptState>,
    keys: KeyMerger,
    press: Option<Presses>,
    impairment: Option<Box<Impairment>>,
    muted: bool,
}

struct Outgoing {
    ssrc: u32,
    sequence: u16,
    /// Timestamp of the first sample.
    timestamp: u32,
    /// The millisecond of the first sample: that of the answer, give or take the choice of a slot.
    origin_ms: u64,
    packets: u64,
    octets: u32,
    /// The next packet follows a silence in which none was sent.
    marker: bool,
    /// No turn before this millisecond sends.
    not_before_ms: u64,
    next_report_us: u64,
}

struct Playback {
    clip: Option<ClipId>,
    bytes: EncodedClip,
    offset: usize,
}

struct ScriptState {
    run: ScriptRun,
    clips: ScriptClips,
    wake_us: Option<u64>,
    started: bool,
    /// A clip was missing: the script is cut off where it was.
    failed: bool,
}

struct Presses {
    waiting: VecDeque<Digit>,
    sender: Option<KeySender>,
    hold_ms: u32,
    gap_turns: u32,
    gap_left: u32,
}

/// What a released call leaves behind.
pub(crate) struct Released {
    pub(crate) script: Option<ScriptResult>,
    pub(crate) figures: CallFigures,
    /// Returned with the reply, so that the port is given back away from the media thread.
    pub(crate) _lease: PortLease,
}

impl Call {
    pub(crate) fn new(new: NewCall) -> Self {
        Self {
            id: new.id,
            rtp: new.rtp,
            rtcp: None,
            lease: new.lease,
            slot_ms: None,
            source: SourceGuard::default(),
            agreed: None,
            answered_us: None,
            recording: None,
            incoming: Incoming::default(),
            rtp_timeout_us: new.rtp_timeout_us,
            listener: None,
            outgoing: Outgoing {
                ssrc: new.ssrc,
                sequence: new.first_sequence,
                timestamp: new.first_timestamp,
                origin_ms: 0,
                packets: 0,
                octets: 0,
                marker: true,
                not_before_ms: 0,
                next_report_us: 0,
            },
            sink: new.sink,
            waiting_events: VecDeque::new(),
            playback: None,
            speech: None,
            script: None,
            keys: KeyMerger::default(),
            press: None,
            impairment: None,
            muted: false,
        }
    }

    pub(crate) fn ssrc(&self) -> u32 {
        self.outgoing.ssrc
    }

    /// Whether nothing has been sent yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.outgoing.packets == 0
    }

    /// A new agreement with the far end.
    pub(crate) fn connect(&mut self, now_us: u64, agreed: Agreed) {
        let expected_before = self.agreed.as_ref().is_some_and(Agreed::they_send);
        self.source.tell(agreed.rtp);
        if !expected_before {
            self.incoming.expected_since_us = now_us;
        }
        self.agreed = Some(agreed);
    }

    /// The call is answered: sound flows from now on.
    pub(crate) fn answer(&mut self, answered_us: u64) {
        self.answered_us = Some(answered_us);
        self.incoming.expected_since_us = self.incoming.expected_since_us.max(answered_us);
        self.outgoing.origin_ms = answered_us / 1_000;
        self.outgoing.next_report_us = answered_us + REPORT_EVERY_US;
    }

    /// Its place in the wheel, from `slot_ms` on. `due_ms`: when the next packet is due by the pace so far, if there is
    /// one; the clock of what we send follows the difference, so that it goes on in steps of a packet.
    pub(crate) fn enter_slot(&mut self, slot_ms: u64, due_ms: Option<u64>) {
        self.slot_ms = Some(slot_ms);
        self.outgoing.not_before_ms = slot_ms;
        if let Some(due_ms) = due_ms {
            self.outgoing.origin_ms = (self.outgoing.origin_ms + slot_ms).saturating_sub(due_ms);
        }
    }

    /// Sends the first packet out of turn.
    pub(crate) fn send_first(&mut self, context: &mut Context, now_ms: u64) {
        self.send_frame(context, now_ms);
    }

    /// Its turn of the wheel at `ms`.
    pub(crate) fn turn(&mut self, context: &mut Context, ms: u64) {
        self.tell_waiting();
        self.check_time_out(context.now_us);
        self.count_speech(context);
        self.pass_on_what_is_heard(context);
        if let Some(script) = self.script.as_mut()
            && script.wake_us.is_some_and(|wake_us| context.now_us >= wake_us)
        {
            script.wake_us = None;
            self.feed(context, ScriptInput::Tick);
        }
        if ms >= self.outgoing.not_before_ms {
            self.outgoing.not_before_ms = ms + 1;
            self.send_frame(context, ms);
        }
        if context.now_us >= self.outgoing.next_report_us {
            self.outgoing.next_report_us = context.now_us + REPORT_EVERY_US;
            self.send_report(context, false);
        }
    }

    fn count_speech(&mut self, context: &mut Context) {
        let Some(speech) = self.speech.as_mut() else { return };
        context.statistics.event_drops += std::mem::take(&mut speech.dropped);
        context.statistics.speech_gaps += std::mem::take(&mut speech.starved);
        if speech.is_deserted() {
            self.speech = None;
        }
    }

    fn pass_on_what_is_heard(&mut self, context: &mut Context) {
        let Some(listener) = self.listener.as_mut() else { return };
        if !listener.turn(context.now_us) {
            if listener.is_closed() {
                self.listener = None;
            } else {
                context.statistics.event_drops += 1;
            }
        }
    }

    fn send_frame(&mut self, context: &mut Context, ms: u64) {
        let Some(agreed) = self.agreed.as_ref().filter(|_| self.answered_us.is_some()) else {
            return;
        };
        if !agreed.we_send() || self.muted {
            self.outgoing.marker = true;
            return;
        }
        let (codec, payload_type, key_payload_type) = (agreed.codec, agreed.payload_type, agreed.key_payload_type);
        self.finish_playback(context);
        let position = samples_in(ms.saturating_sub(self.outgoing.origin_ms) * 1_000);
        let timestamp = self.outgoing.timestamp.wrapping_add(position as u32);
        if key_payload_type.is_none() && self.press.take().is_some() {
            // The far end takes no key presses in RTP: nothing is left to wait for.
            self.tell_far_end(context, FarEndEvent::KeysPressed);
        }
        if let Some(key_payload_type) = key_payload_type
            && let Some(packet) = self.next_key_packet(timestamp)
        {
            let payload = packet.event.write();
            let (timestamp, marker) = (packet.timestamp, packet.marker);
            self.send_packet(context, key_payload_type, timestamp, marker, &payload);
            return;
        }
        let mut payload = [g711::silence(codec); FRAME_SAMPLES];
        if let Some(playback) = self.playback.as_mut() {
            let chunk = &playback.bytes[playback.offset..];
            let length = chunk.len().min(FRAME_SAMPLES);
            payload[..length].copy_from_slice(&chunk[..length]);
            playback.offset += length;
            self.record_ours(context, codec, position, &payload);
        } else if let Some(speech) = self.speech.as_mut()
            && speech.render(context.now_us, codec, &mut payload)
        {
            self.record_ours(context, codec, position, &payload);
        }
        let marker = std::mem::take(&mut self.outgoing.marker);
        self.send_packet(context, payload_type, timestamp, marker, &payload);
    }

    /// A clip is over a turn after its last packet left, when that packet has been heard.
    fn finish_playback(&mut self, context: &mut Context) {
        if self
            .playback
            .as_ref()
            .is_some_and(|playback| playback.offset >= playback.bytes.len())
        {
            self.playback = None;
            self.tell_far_end(context, FarEndEvent::PlaybackFinished);
            self.feed(context, ScriptInput::ClipFinished);
        }
    }

    fn next_key_packet(&mut self, timestamp: u32) -> Option<carillon_media::dtmf::KeyPacket> {
        let press = self.press.as_mut()?;
        if let Some(packet) = press.sender.as_mut().and_then(Iterator::next) {
            return Some(packet);
        }
        if press.sender.take().is_some() {
            press.gap_left = press.gap_turns;
        }
        if press.gap_left > 0 {
            press.gap_left -= 1;
            return None;
        }
        let Some(digit) = press.waiting.pop_front() else {
            self.press = None;
            self.tell_far_end_quietly(FarEndEvent::KeysPressed);
            return None;
        };
        press
            .sender
            .insert(KeySender::new(digit, timestamp, press.hold_ms))
            .next()
    }

    fn record_ours(&self, context: &mut Context, codec: Codec, position: u64, payload: &[u8; FRAME_SAMPLES]) {
        let Some((recording, queue)) = &self.recording else {
            return;
        };
        let place = Place::Near { position };
        let sound = Sound {
            recording: *recording,
            place,
            codec,
            length: FRAME_SAMPLES as u8,
            payload: *payload,
        };
        context.statistics.recorder_drops += u64::from(!queue.record(sound));
    }

    fn send_packet(&mut self, context: &mut Context, payload_type: u8, timestamp: u32, marker: bool, payload: &[u8]) {
        let Outgoing { ssrc, sequence, .. } = self.outgoing;
        let mut datagram = [0; rtp::HEADER_BYTES + FRAME_SAMPLES];
        let packet = RtpPacket {
            payload_type,
            marker,
            sequence,
            timestamp,
            ssrc,
            payload,
        };
        let length = rtp::write(&packet, &mut datagram);
        self.outgoing.sequence = sequence.wrapping_add(1);
        self.outgoing.packets += 1;
        self.outgoing.octets = self.outgoing.octets.wrapping_add(payload.len() as u32);
        if self.impairment.is_some() {
            self.send_impaired(context, &datagram[..length]);
        } else {
            self.transmit(context, &datagram[..length]);
        }
    }

    fn transmit(&self, context: &mut Context, datagram: &[u8]) {
        let Some(target) = self.source.target() else { return };
        match self.rtp.send_to(datagram, target) {
            Ok(_) => context.statistics.packets_out += 1,
            Err(_) => context.statistics.send_errors += 1,
        }
    }

    fn send_impaired(&mut self, context: &mut Context, datagram: &[u8]) {
        if self
            .impairment
            .as_mut()
            .is_some_and(|impairment| impairment.lets_through(context.now_us, datagram))
        {
            self.transmit(context, datagram);
        }
    }

    /// Sends what an impairment held back and is due.
    pub(crate) fn send_held(&mut self, context: &mut Context) {
        let Some(impairment) = self.impairment.as_mut() else {
            return;
        };
        for datagram in impairment.due(context.now_us) {
            self.transmit(context, &datagram);
        }
    }

    fn send_report(&mut self, context: &mut Context, bye: bool) {
        let (Some(agreed), Some(socket)) = (&self.agreed, &self.rtcp) else {
            return;
        };
        if !agreed.we_send() || self.muted {
            return;
        }
        let position = samples_in(context.now_us.saturating_sub(self.outgoing.origin_ms * 1_000));
        let sent = Sent {
            ssrc: self.outgoing.ssrc,
            timestamp: self.outgoing.timestamp.wrapping_add(position as u32),
            at: context.clock.wall(context.now_us),
            packets: self.outgoing.packets as u32,
            octets: self.outgoing.octets,
        };
        let last = self
            .incoming
            .last_report
            .map_or(LastReport::default(), |(ntp_middle, at_us)| LastReport {
                ntp_middle,
                age_us: context.now_us.saturating_sub(at_us),
            });
        let reception = self.incoming.tracker.report().map(|reception| (reception, last));
        let datagram = rtcp::write(&sent, reception, &context.canonical_name, bye);
        if socket.send_to(&datagram, agreed.rtcp).is_err() {
            context.statistics.send_errors += 1;
        }
    }

    fn check_time_out(&mut self, now_us: u64) {
        let expected = self.agreed.as_ref().is_some_and(Agreed::they_send) && self.answered_us.is_some();
        if expected && self.rtp_timeout_us > 0 && self.incoming.is_overdue(now_us, self.rtp_timeout_us) {
            self.incoming.media_lost = true;
            self.tell(VoiceEvent::MediaLost);
            self.tell_far_end_quietly(FarEndEvent::MediaLost);
        }
    }

    /// Takes a script; it starts when the call is answered.
    pub(crate) fn set_script(&mut self, run: ScriptRun, clips: ScriptClips) {
        self.script = Some(ScriptState {
            run,
            clips,
            wake_us: None,
            started: false,
            failed: false,
        });
    }

    /// Starts the script if it has not started and the call is answered. Returns whether it did.
    pub(crate) fn start_script(&mut self, context: &mut Context) -> bool {
        let Some(script) = self.script.as_mut().filter(|script| !script.started) else {
            return false;
        };
        if self.answered_us.is_none() {
            return false;
        }
        script.started = true;
        self.feed(context, ScriptInput::Start);
        true
    }

    /// The codec changed: the same clips in another encoding. A byte is a sample in both, so playback goes on in place.
    pub(crate) fn replace_clips(&mut self, clips: ScriptClips) {
        if let Some(playback) = self.playback.as_mut()
            && let Some((_, Ok(bytes))) = clips.iter().find(|(clip, _)| Some(*clip) == playback.clip)
            && bytes.len() == playback.bytes.len()
        {
            playback.bytes = Arc::clone(bytes);
        }
        if let Some(script) = self.script.as_mut() {
            script.clips = clips;
        }
    }

    /// A key press by either path.
    pub(crate) fn key_pressed(&mut self, context: &mut Context, path: KeyPath, digit: Digit) {
        if self.keys.is_new(context.now_us, path, digit) {
            self.tell_far_end(context, FarEndEvent::Key(digit));
            if let Some(speech) = self.speech.as_mut() {
                speech.key_pressed(context.now_us, digit);
            }
            self.feed(context, ScriptInput::Key(digit));
        }
    }

    pub(crate) fn key_held(&mut self, now_us: u64, digit: Digit) {
        self.keys.still_down(now_us, digit);
    }

    fn feed(&mut self, context: &mut Context, input: ScriptInput) {
        let now = context.clock.wall(context.now_us);
        let Some(script) = self.script.as_mut().filter(|script| script.started && !script.failed) else {
            return;
        };
        for output in script.run.handle(now, input) {
            match output {
                ScriptOutput::Play(clip) => self.play_of_script(clip),
                ScriptOutput::StopPlayback => self.playback = None,
                ScriptOutput::WakeAt(at) => {
                    if let Some(script) = self.script.as_mut() {
                        script.wake_us = Some(context.clock.moment_us(at));
                    }
                }
                ScriptOutput::Finish(result) => self.tell(VoiceEvent::ScriptFinished(result)),
            }
        }
    }

    fn play_of_script(&mut self, clip: ClipId) {
        let Some(script) = self.script.as_mut() else { return };
        let reason = match script.clips.iter().find(|(other, _)| *other == clip) {
            Some((_, Ok(bytes))) => {
                self.playback = Some(Playback {
                    clip: Some(clip),
                    bytes: Arc::clone(bytes),
                    offset: 0,
                });
                return;
            }
            Some((_, Err(reason))) => reason.clone(),
            None => format!("clip {clip} was not prepared"),
        };
        script.failed = true;
        self.playback = None;
        self.tell(VoiceEvent::ScriptFailed(reason));
    }

    /// An agent takes the call: what it says replaces whatever was playing.
    pub(crate) fn set_speech(&mut self, speech: Box<Speech>) {
        self.playback = None;
        self.speech = Some(speech);
    }

    pub(crate) fn speak(&mut self, context: &mut Context, action: SpeechAction) {
        let codec = self.agreed.as_ref().map_or(Codec::Pcmu, |agreed| agreed.codec);
        let Some(speech) = self.speech.as_mut() else { return };
        speech.act(context.now_us, codec, action);
    }

    /// Plays sound that no script asked for.
    pub(crate) fn play(&mut self, bytes: EncodedClip) {
        self.playback = Some(Playback {
            clip: None,
            bytes,
            offset: 0,
        });
    }

    pub(crate) fn stop_playback(&mut self) {
        self.playback = None;
    }

    pub(crate) fn press_keys(&mut self, keys: &[Digit], hold_ms: u32, gap_ms: u32) {
        let press = self.press.get_or_insert_with(|| Presses {
            waiting: VecDeque::new(),
            sender: None,
            hold_ms,
            gap_turns: gap_ms.div_ceil(20),
            gap_left: 0,
        });
        (press.hold_ms, press.gap_turns) = (hold_ms, gap_ms.div_ceil(20));
        let room = KEYS_WAITING_MAX.saturating_sub(press.waiting.len());
        press.waiting.extend(keys.iter().take(room));
    }

    pub(crate) fn impair(&mut self, loss_percent: f64, jitter_ms: u32, seed: u64) {
        self.impairment = Some(Box::new(Impairment::new(loss_percent, jitter_ms, seed)));
    }

    pub(crate) fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
    }

    fn tell(&mut self, event: VoiceEvent) {
        self.waiting_events.push_back(event);
        self.tell_waiting();
    }

    /// Events of the interface are never dropped: each comes at most once a call, so the queue stays short.
    fn tell_waiting(&mut self) {
        let Sink::Voice(sender) = &self.sink else {
            self.waiting_events.clear();
            return;
        };
        while let Some(event) = self.waiting_events.pop_front() {
            match sender.try_send(event) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.waiting_events.push_front(event);
                    return;
                }
            }
        }
    }

    pub(crate) fn tell_far_end(&self, context: &mut Context, event: FarEndEvent) {
        context.statistics.event_drops += u64::from(!self.tell_far_end_quietly(event));
    }

    fn tell_far_end_quietly(&self, event: FarEndEvent) -> bool {
        match &self.sink {
            Sink::FarEnd(sender) => sender.try_send(event).is_ok(),
            Sink::Voice(_) => true,
        }
    }

    pub(crate) fn figures(&self) -> CallFigures {
        CallFigures {
            packets_sent: self.outgoing.packets,
            ..self.incoming.figures()
        }
    }

    /// Ends the call; its sockets close.
    pub(crate) fn release(mut self, context: &mut Context) -> Released {
        if self.outgoing.packets > 0 {
            self.send_report(context, true);
        }
        let figures = self.figures();
        let script = self
            .script
            .filter(|script| !script.run.is_finished())
            .map(|script| script.run.result().clone());
        Released {
            script,
            figures,
            _lease: self.lease,
        }
    }
}
