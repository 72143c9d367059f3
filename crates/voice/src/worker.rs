//! A media thread: commands, then the wheel, then the sockets, then rest until the next millisecond.
//!
//! Between two busy milliseconds the thread sleeps on nothing but its command queue. Packets do not wake it: they are
//! taken in batches, a millisecond late at most while it is busy and five when it is not, which costs nothing and saves
//! a wake-up for each packet.

use crate::call::{Call, Context, NewCall, Released, ScriptClips};
use crate::clips::EncodedClip;
use crate::clock::Clock;
use crate::far_end::CallFigures;
use crate::keys::KeyPath;
use crate::listener::Listener;
use crate::recording::RecorderQueue;
use crate::speech::{Speech, SpeechAction};
use crate::statistics::Statistics;
use crate::wheel::{self, Wheel};
use carillon_domain::ids::CallId;
use carillon_domain::script::{Digit, ScriptRun};
use carillon_media::sdp::Agreed;
use rustix::event::{PollFd, PollFlags, Timespec, epoll};
use rustix::fd::OwnedFd;
use std::collections::HashMap;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// Commands that may wait.
const QUEUE_COMMANDS: usize = 4_096;
/// Commands that are served before the wheel is looked at again.
const COMMANDS_AT_ONCE: usize = 256;
/// A call's next packet after its first may come this much early or as much late, to find a good slot.
const FIRST_CHOICE_MS: u64 = wheel::SLOTS - wheel::CHOICE / 2;
/// Sockets that one look at the kernel's list returns.
const READY_AT_ONCE: usize = 256;
/// The longest rest while there are calls, in microseconds.
const REST_MAX_US: u64 = 5_000;
/// How often counts are handed to the metrics recorder, in microseconds.
const PUBLISH_EVERY_US: u64 = 1_000_000;
/// Longer than any packet of 60 ms G.711 with a header and room for extensions; a longer datagram is cut and refused.
const DATAGRAM_MAX: usize = 2_048;

pub(crate) enum Command {
    Add(Box<NewCall>),
    Connect {
        call_id: CallId,
        agreed: Box<Agreed>,
        /// When it was answered; `None` for early media and later agreements.
        answered_us: Option<u64>,
        rtcp: Option<UdpSocket>,
        recording: Option<(u64, RecorderQueue)>,
    },
    Script {
        call_id: CallId,
        run: Box<ScriptRun>,
        clips: ScriptClips,
    },
    ReplaceClips {
        call_id: CallId,
        clips: ScriptClips,
    },
    InfoKey {
        call_id: CallId,
        digit: Digit,
    },
    FarEnd {
        call_id: CallId,
        action: Action,
    },
    Listen {
        call_id: CallId,
        listener: Box<Listener>,
    },
    /// An agent takes the call's sound.
    Converse {
        call_id: CallId,
        speech: Box<Speech>,
        listener: Box<Listener>,
    },
    Speak {
        call_id: CallId,
        action: SpeechAction,
    },
    Figures {
        call_id: CallId,
        reply: oneshot::Sender<CallFigures>,
    },
    Release {
        call_id: CallId,
        reply: oneshot::Sender<Released>,
    },
}

/// A far end's command, made ready for the media thread.
pub(crate) enum Action {
    Play(EncodedClip),
    StopPlayback,
    PressKeys {
        keys: Vec<Digit>,
        hold_ms: u32,
        gap_ms: u32,
    },
    Impair {
        loss_percent: f64,
        jitter_ms: u32,
        seed: u64,
    },
    SetMuted(bool),
    ReportLoudness,
}

/// A media thread's queue.
pub(crate) struct WorkerQueue {
    commands: SyncSender<Command>,
    bell: Arc<OwnedFd>,
    calls: Arc<AtomicUsize>,
}

impl WorkerQueue {
    /// How many calls the thread has.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Puts a command in, waiting for room up to a second. Returns whether it is in.
    pub(crate) async fn send(&self, command: Command) -> bool {
        let mut command = command;
        for _ in 0..200 {
            match self.commands.try_send(command) {
                Ok(()) => {
                    self.ring();
                    return true;
                }
                Err(TrySendError::Full(refused)) => command = refused,
                Err(TrySendError::Disconnected(_)) => return false,
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        metrics::counter!("carillon_media_command_drops_total").increment(1);
        false
    }

    /// Wakes the thread. A bell that cannot take another ring is ringing already.
    pub(crate) fn ring(&self) {
        let _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
    }

    /// Closes the queue and wakes the thread, which then ends.
    pub(crate) fn close(self) {
        let Self { commands, bell, .. } = self;
        drop(commands);
        let _ = rustix::io::write(&*bell, &1_u64.to_ne_bytes());
    }
}

/// Starts a media thread. `pinned`: it stays on one core.
pub(crate) fn start(
    index: usize,
    pinned: bool,
    clock: Clock,
    canonical_name: Arc<str>,
) -> io::Result<(WorkerQueue, JoinHandle<()>)> {
    let (sender, receiver) = sync_channel(QUEUE_COMMANDS);
    let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
    let bell = Arc::new(rustix::event::eventfd(0, flags)?);
    let sockets = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let calls = Arc::new(AtomicUsize::new(0));
    let context = Context {
        now_us: 0,
        clock,
        statistics: Statistics::default(),
        canonical_name,
    };
    let worker = Worker {
        index,
        bell: Arc::clone(&bell),
        sockets,
        calls: Vec::new(),
        free: Vec::new(),
        by_id: HashMap::new(),
        count: Arc::clone(&calls),
        wheel: Wheel::default(),
        impaired: Vec::new(),
        context,
        published_us: 0,
    };
    let thread = std::thread::Builder::new()
        .name(format!("media-{index}"))
        .spawn(move || {
            if pinned && let Err(error) = stay_on_core(index) {
                tracing::warn!(index, %error, "a media thread cannot be pinned to a core and floats");
            }
            worker.run(&receiver);
        })?;
    Ok((
        WorkerQueue {
            commands: sender,
            bell,
            calls,
        },
        thread,
    ))
}

/// Keeps this thread on the `index`th of the cores that the process may use.
fn stay_on_core(index: usize) -> rustix::io::Result<()> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let allowed = sched_getaffinity(None)?;
    let mut core = CpuSet::new();
    (0..CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .nth(index)
        .into_iter()
        .for_each(|number| core.set(number));
    sched_setaffinity(None, &core)
}

struct Worker {
    index: usize,
    bell: Arc<OwnedFd>,
    sockets: OwnedFd,
    calls: Vec<Option<Box<Call>>>,
    free: Vec<u32>,
    by_id: HashMap<CallId, u32>,
    count: Arc<AtomicUsize>,
    wheel: Wheel,
    /// Calls that hold packets back on purpose.
    impaired: Vec<u32>,
    context: Context,
    published_us: u64,
}

impl Worker {
    fn run(mut self, commands: &Receiver<Command>) {
        let mut ready = Vec::with_capacity(READY_AT_ONCE);
        loop {
            self.context.now_us = self.context.clock.now_us();
            let Some(more) = self.serve_commands(commands) else {
                return self.publish();
            };
            self.serve_wheel();
            self.serve_sockets(&mut ready);
            self.serve_impaired();
            if self.context.now_us >= self.published_us + PUBLISH_EVERY_US {
                self.publish();
            }
            if !more {
                self.rest();
            }
        }
    }

    /// Returns whether there are more, or `None` when the engine is gone.
    fn serve_commands(&mut self, commands: &Receiver<Command>) -> Option<bool> {
        for _ in 0..COMMANDS_AT_ONCE {
            match commands.try_recv() {
                Ok(command) => self.handle(command),
                Err(TryRecvError::Empty) => return Some(false),
                Err(TryRecvError::Disconnected) => return None,
            }
        }
        Some(true)
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Add(new) => self.add(*new),
            Command::Connect {
                call_id,
                agreed,
                answered_us,
                rtcp,
                recording,
            } => {
                self.connect(call_id, *agreed, answered_us, rtcp, recording);
            }
            Command::Script { call_id, run, clips } => {
                if let Some((call, _)) = self.call(call_id) {
                    call.set_script(*run, clips);
                }
                self.start_script(call_id);
            }
            Command::ReplaceClips { call_id, clips } => {
                if let Some((call, _)) = self.call(call_id) {
                    call.replace_clips(clips);
                }
            }
            Command::InfoKey { call_id, digit } => {
                if let Some((call, context)) = self.call(call_id) {
                    call.key_pressed(context, KeyPath::Info, digit);
                }
            }
            Command::FarEnd { call_id, action } => self.act(call_id, action),
            Command::Listen { call_id, listener } => {
                if let Some((call, _)) = self.call(call_id) {
                    call.listener = Some(listener);
                }
            }
            Command::Converse {
                call_id,
                speech,
                listener,
            } => {
                if let Some((call, _)) = self.call(call_id) {
                    call.set_speech(speech);
                    call.listener = Some(listener);
                }
            }
            Command::Speak { call_id, action } => {
                let says = matches!(action, SpeechAction::Say { .. });
                if let Some((call, context)) = self.call(call_id) {
                    call.speak(context, action);
                }
                if says {
                    self.send_at_once(call_id);
                }
            }
            Command::Figures { call_id, reply } => {
                if let Some((call, _)) = self.call(call_id) {
                    // Whoever asked may have gone away.
                    let _ = reply.send(call.figures());
                }
            }
            Command::Release { call_id, reply } => self.release(call_id, reply),
        }
    }

    fn call(&mut self, call_id: CallId) -> Option<(&mut Call, &mut Context)> {
        let index = *self.by_id.get(&call_id)?;
        let call = self.calls.get_mut(index as usize)?.as_deref_mut()?;
        Some((call, &mut self.context))
    }

    fn add(&mut self, new: NewCall) {
        let call = Box::new(Call::new(new));
        let index = self.free.pop().unwrap_or_else(|| {
            self.calls.push(None);
            self.calls.len() as u32 - 1
        });
        self.listen(&call.rtp, u64::from(index) << 1);
        self.by_id.insert(call.id, index);
        self.calls[index as usize] = Some(call);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn listen(&self, socket: &UdpSocket, key: u64) {
        let data = epoll::EventData::new_u64(key);
        if let Err(error) = epoll::add(&self.sockets, socket, data, epoll::EventFlags::IN) {
            tracing::error!(%error, "a media socket cannot be listened to");
        }
    }

    fn connect(
        &mut self,
        call_id: CallId,
        agreed: Agreed,
        answered_us: Option<u64>,
        rtcp: Option<UdpSocket>,
        recording: Option<(u64, RecorderQueue)>,
    ) {
        let Some(index) = self.by_id.get(&call_id).copied() else {
            return;
        };
        if let Some(rtcp) = &rtcp {
            self.listen(rtcp, (u64::from(index) << 1) | 1);
        }
        let now_us = self.context.now_us;
        let Some(call) = self.calls[index as usize].as_mut() else {
            return;
        };
        call.connect(now_us, agreed);
        if rtcp.is_some() {
            call.rtcp = rtcp;
        }
        if let Some(answered_us) = answered_us {
            call.recording = recording;
            call.answer(answered_us);
            // Silence waits a turn, in case a script starts at once.
            call.enter_slot(self.wheel.add(index, now_us / 1_000 + FIRST_CHOICE_MS), None);
            self.start_script(call_id);
        }
    }

    fn start_script(&mut self, call_id: CallId) {
        let started = self
            .call(call_id)
            .is_some_and(|(call, context)| call.start_script(context));
        if started {
            self.send_at_once(call_id);
        }
    }

    /// The first sound of a call leaves now and not at the end of a turn. A call that has sent already keeps its pace.
    fn send_at_once(&mut self, call_id: CallId) {
        let Some(index) = self.by_id.get(&call_id).copied() else {
            return;
        };
        let Some(call) = self.calls[index as usize].as_mut().filter(|call| call.is_fresh()) else {
            return;
        };
        let Some(slot_ms) = call.slot_ms else { return };
        let now_ms = self.context.now_us / 1_000;
        call.send_first(&mut self.context, now_ms);
        self.wheel.remove(index, slot_ms);
        let slot_ms = self.wheel.add(index, now_ms + FIRST_CHOICE_MS);
        call.enter_slot(slot_ms, Some(now_ms + wheel::SLOTS));
    }

    fn act(&mut self, call_id: CallId, action: Action) {
        let Some((call, _)) = self.call(call_id) else { return };
        match action {
            Action::Play(bytes) => {
                call.play(bytes);
                self.send_at_once(call_id);
            }
            Action::StopPlayback => call.stop_playback(),
            Action::PressKeys { keys, hold_ms, gap_ms } => call.press_keys(&keys, hold_ms, gap_ms),
            Action::SetMuted(muted) => call.set_muted(muted),
            Action::ReportLoudness => call.report_loudness(),
            Action::Impair {
                loss_percent,
                jitter_ms,
                seed,
            } => {
                call.impair(loss_percent, jitter_ms, seed);
                let index = self.by_id.get(&call_id).copied();
                self.impaired
                    .extend(index.filter(|index| !self.impaired.contains(index)));
            }
        }
    }

    fn release(&mut self, call_id: CallId, reply: oneshot::Sender<Released>) {
        let Some(index) = self.by_id.remove(&call_id) else {
            return;
        };
        let Some(call) = self.calls[index as usize].take() else {
            return;
        };
        if let Some(slot_ms) = call.slot_ms {
            self.wheel.remove(index, slot_ms);
        }
        self.impaired.retain(|other| *other != index);
        self.free.push(index);
        self.count.fetch_sub(1, Ordering::Relaxed);
        // Closing a socket takes it out of the list that the kernel keeps.
        let released = call.release(&mut self.context);
        let _ = reply.send(released);
    }

    fn serve_wheel(&mut self) {
        if self.wheel.next_busy_ms().is_none() {
            self.wheel.rest_until(self.context.now_us / 1_000 + 1);
            return;
        }
        loop {
            let (due, skipped) = self.wheel.next(self.context.now_us / 1_000);
            self.context.statistics.skipped_turns += skipped;
            let Some(due) = due else { return };
            let mut place = 0;
            while let Some(index) = self.wheel.call_at(due.ms, place) {
                if let Some(call) = self.calls.get_mut(index as usize).and_then(Option::as_mut) {
                    call.turn(&mut self.context, due.ms);
                }
                place += 1;
            }
            if place > 0 {
                let lag_us = self.context.now_us.saturating_sub(due.ms * 1_000);
                let statistics = &mut self.context.statistics;
                statistics.late_slots += u64::from(due.late);
                statistics.lag_us_max = statistics.lag_us_max.max(lag_us);
            }
        }
    }

    fn serve_sockets(&mut self, ready: &mut Vec<epoll::Event>) {
        if self.by_id.is_empty() {
            return;
        }
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Every socket is looked at about once, however much more comes in meanwhile.
        for _ in 0..=2 * self.by_id.len() / READY_AT_ONCE {
            ready.clear();
            if epoll::wait(&self.sockets, rustix::buffer::spare_capacity(ready), Some(&now)).is_err() {
                return;
            }
            for event in ready.iter() {
                self.receive(event.data.u64());
            }
            if ready.len() < READY_AT_ONCE {
                return;
            }
        }
    }

    /// Takes one datagram. What waits behind it is announced again at the next look, so that nobody's flood holds up the
    /// others.
    fn receive(&mut self, key: u64) {
        let Some(call) = self.calls.get_mut((key >> 1) as usize).and_then(Option::as_mut) else {
            return;
        };
        let mut buffer = [0; DATAGRAM_MAX];
        let control = key & 1 == 1;
        let socket = if control { call.rtcp.as_ref() } else { Some(&call.rtp) };
        // Errors are those of earlier sends (unreachable), and pass.
        let Some(Ok((length, from))) = socket.map(|socket| socket.recv_from(&mut buffer)) else {
            return;
        };
        if control {
            call.receive_control(&mut self.context, from, &buffer[..length]);
        } else {
            call.receive(&mut self.context, from, &buffer[..length]);
        }
    }

    fn serve_impaired(&mut self) {
        for index in &self.impaired {
            if let Some(call) = self.calls.get_mut(*index as usize).and_then(Option::as_mut) {
                call.send_held(&mut self.context);
            }
        }
    }

    fn publish(&mut self) {
        self.published_us = self.context.now_us;
        self.context.statistics.publish(self.index, self.by_id.len());
    }

    /// Sleeps until the next busy millisecond or command.
    fn rest(&mut self) {
        let timeout = if self.by_id.is_empty() {
            None
        } else {
            let busy_us = self.wheel.next_busy_ms().map_or(u64::MAX, |ms| ms * 1_000);
            let held_us = if self.impaired.is_empty() {
                u64::MAX
            } else {
                self.context.now_us + 1_000
            };
            let now_us = self.context.clock.now_us();
            let wake_us = busy_us.min(held_us).min(self.context.now_us + REST_MAX_US);
            let rest_us = wake_us.saturating_sub(now_us);
            if rest_us == 0 {
                return;
            }
            Some(Timespec {
                tv_sec: 0,
                tv_nsec: (rest_us * 1_000) as i64,
            })
        };
        let mut bell = [PollFd::new(&*self.bell, PollFlags::IN)];
        if rustix::event::poll(&mut bell, timeout.as_ref()).is_ok_and(|rung| rung > 0) {
            // Reading resets the bell; it cannot block.
            let _ = rustix::io::read(&*self.bell, &mut [0; 8]);
        }
    }
}
