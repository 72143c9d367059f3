//! The far end's thread: signalling as it comes, sound every few milliseconds.

use super::sip::{Dialog, Message, answer};
use super::socket::{BATCH, Inbox, TimedSocket, now_us};
use super::sound::{Heard, packet};
use super::{Behaviour, Command, Figures};
use crate::bench::quantiles::Quantiles;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io;
use std::net::SocketAddrV4;
use std::sync::mpsc::{Receiver, TryRecvError};

/// Longest rest between two looks at the sound, in microseconds.
const REST_US: u64 = 5_000;
/// Turns of our own sound, a millisecond apart.
const SLOTS: usize = 20;
/// T1 of RFC 3261, in microseconds.
const T1_US: u64 = 500_000;
/// T2 of RFC 3261, in microseconds.
const T2_US: u64 = 4_000_000;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Awaited {
    /// The ACK of our 200.
    Ack,
    /// The answer to our BYE.
    ByeAnswer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Refused; its ACK is awaited.
    Refused,
    /// Answered; its ACK is awaited.
    Answered,
    Up,
    /// Our BYE has left.
    Closing,
    Ended,
}

struct Leg {
    number: String,
    peer: SocketAddrV4,
    state: State,
    invited_us: u64,
    answered_us: u64,
    /// Our last final response.
    reply: String,
    dialog: Option<Dialog>,
    /// Where our sound goes.
    sound: Option<SocketAddrV4>,
    heard: Heard,
    turn: u64,
}

pub(super) struct FarEndThread {
    signalling: TimedSocket,
    sound: TimedSocket,
    behaviour: Behaviour,
    legs: Vec<Leg>,
    by_call_id: HashMap<String, usize>,
    /// Legs that were forgotten. Tags and branches count on: the server remembers the old ones for 32 s.
    forgotten: u64,
    /// The leg, plus one, whose sound comes from each port; zero for none.
    by_port: Vec<u32>,
    /// What is sent again when nothing comes back: when, for which leg, after which wait.
    timers: BinaryHeap<Reverse<(u64, usize, Awaited, u64)>>,
    slots: [Vec<usize>; SLOTS],
    /// The next millisecond in which we send sound.
    next_ms: u64,
    hanging_up: VecDeque<usize>,
    hang_up_every_us: u64,
    next_hang_up_us: u64,
    figures: Figures,
    /// Overflows of both sockets before the last time that all was forgotten.
    overflows_before: u64,
}

impl FarEndThread {
    pub(super) fn new(behaviour: Behaviour) -> io::Result<Self> {
        Ok(Self {
            signalling: TimedSocket::bind()?,
            sound: TimedSocket::bind()?,
            behaviour,
            legs: Vec::new(),
            by_call_id: HashMap::new(),
            forgotten: 0,
            by_port: vec![0; 1 << 16],
            timers: BinaryHeap::new(),
            slots: std::array::from_fn(|_| Vec::new()),
            next_ms: 0,
            hanging_up: VecDeque::new(),
            hang_up_every_us: 0,
            next_hang_up_us: 0,
            figures: Figures::default(),
            overflows_before: 0,
        })
    }

    pub(super) fn address(&self) -> SocketAddrV4 {
        self.signalling.address()
    }

    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        let mut inbox = Inbox::new();
        loop {
            match commands.try_recv() {
                Ok(Command::End) | Err(TryRecvError::Disconnected) => return,
                Ok(command) => self.obey(command),
                Err(TryRecvError::Empty) => {}
            }
            while self.take_signalling(&mut inbox) {}
            while self.take_sound(&mut inbox) {}
            let now_us = now_us();
            self.send_again(now_us);
            self.hang_up(now_us);
            self.talk(now_us);
            self.signalling.wait(self.rest_us(now_us));
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::HangUpAll { per_second } => {
                self.hanging_up = (0..self.legs.len())
                    .filter(|leg| self.legs[*leg].state == State::Up)
                    .collect();
                self.hang_up_every_us = 1_000_000 / per_second.max(1);
                self.next_hang_up_us = now_us();
            }
            // Whoever asked may have gone away.
            Command::Report(reply) => drop(reply.send(self.report())),
            Command::Forget => self.forget(),
            Command::End => {}
        }
    }

    fn forget(&mut self) {
        self.overflows_before = self.overflows();
        self.forgotten += self.legs.len() as u64;
        self.legs.clear();
        self.by_call_id.clear();
        self.by_port.fill(0);
        self.timers.clear();
        self.slots = std::array::from_fn(|_| Vec::new());
        self.hanging_up.clear();
        self.figures = Figures::default();
    }

    fn overflows(&self) -> u64 {
        u64::from(self.signalling.overflows) + u64::from(self.sound.overflows)
    }

    fn report(&self) -> Figures {
        let mut figures = self.figures.clone();
        figures.overflows = self.overflows() - self.overflows_before;
        let mut first_packets = Vec::new();
        for leg in &self.legs {
            figures.invited_us.insert(leg.number.clone(), leg.invited_us);
            figures.up += u64::from(leg.state == State::Up);
            figures.ended += u64::from(leg.state == State::Ended);
            if leg.answered_us == 0 {
                continue;
            }
            let heard = &leg.heard;
            figures.packets += heard.received;
            figures.lost += heard.lost();
            figures.late += heard.late;
            figures.latest_us = figures.latest_us.max(heard.latest_us);
            if heard.received > 0 {
                first_packets.push(heard.first_at_us.saturating_sub(leg.answered_us));
            } else {
                figures.silent += 1;
            }
            if leg.state == State::Ended {
                let (fewest, most) = figures.packets_per_call.unwrap_or((heard.received, heard.received));
                figures.packets_per_call = Some((fewest.min(heard.received), most.max(heard.received)));
            }
        }
        figures.first_packet = Quantiles::of(first_packets);
        figures
    }

    /// Returns whether there may be more.
    fn take_signalling(&mut self, inbox: &mut Inbox) -> bool {
        let more = self.signalling.receive(inbox);
        for (from, at_us, datagram) in inbox.datagrams() {
            let Some(message) = Message::read(datagram) else {
                continue;
            };
            match message.method() {
                Some(method) => self.request(from, at_us, method, &message),
                None => self.response(&message),
            }
        }
        more
    }

    fn request(&mut self, from: SocketAddrV4, at_us: u64, method: &str, message: &Message<'_>) {
        let leg = message
            .header("Call-ID")
            .and_then(|call_id| self.by_call_id.get(call_id).copied());
        match (method, leg) {
            ("INVITE", None) => self.invited(from, at_us, message),
            ("INVITE", Some(leg)) if message.cseq().is_some_and(|(number, _)| number == 1) => {
                self.figures.retransmissions += 1;
                self.signalling.send(self.legs[leg].reply.as_bytes(), from);
            }
            ("ACK", Some(leg)) => self.acknowledged(leg),
            ("BYE", leg) => {
                self.reply(message, "200 OK", leg.unwrap_or(0), from);
                if let Some(leg) = leg {
                    self.figures.retransmissions += u64::from(self.legs[leg].state == State::Ended);
                    self.end(leg);
                }
            }
            ("ACK", None) => {}
            _ => {
                self.figures.unexpected += 1;
                self.reply(message, "481 Call/Transaction Does Not Exist", leg.unwrap_or(0), from);
            }
        }
    }

    /// Our tag in a leg, and the branch of its BYE.
    fn tag(&self, leg: usize) -> u64 {
        0x00b0_0000 + self.forgotten + leg as u64
    }

    fn reply(&self, message: &Message<'_>, status: &str, leg: usize, to: SocketAddrV4) {
        let text = message.response(status, self.tag(leg), self.signalling.address(), "");
        self.signalling.send(text.as_bytes(), to);
    }

    fn invited(&mut self, from: SocketAddrV4, invited_us: u64, message: &Message<'_>) {
        let (Some(number), Some(call_id)) = (message.user(), message.header("Call-ID")) else {
            return;
        };
        let index = self.legs.len();
        let own = self.signalling.address();
        let mut leg = Leg {
            number: number.to_owned(),
            peer: from,
            state: State::Refused,
            invited_us,
            answered_us: 0,
            reply: String::new(),
            dialog: None,
            sound: None,
            heard: Heard::default(),
            turn: 0,
        };
        match self.behaviour {
            Behaviour::Busy => {
                self.reply(message, "100 Trying", index, from);
                leg.reply = message.response("486 Busy Here", self.tag(index), own, "");
            }
            Behaviour::Answer { .. } => {
                leg.reply = message.response("200 OK", self.tag(index), own, &answer(self.sound.address()));
                leg.dialog = Dialog::of(message, self.tag(index));
                leg.sound = message.sound();
                leg.state = State::Answered;
                self.figures.answered += 1;
                if let Some(sound) = leg.sound {
                    self.by_port[usize::from(sound.port())] = index as u32 + 1;
                }
            }
        }
        let now_us = now_us();
        if leg.state == State::Answered {
            leg.answered_us = now_us;
        }
        self.signalling.send(leg.reply.as_bytes(), from);
        self.timers.push(Reverse((now_us + T1_US, index, Awaited::Ack, T1_US)));
        self.by_call_id.insert(call_id.to_owned(), index);
        self.legs.push(leg);
    }

    fn acknowledged(&mut self, index: usize) {
        let leg = &mut self.legs[index];
        match leg.state {
            State::Refused => leg.state = State::Ended,
            State::Answered => {
                leg.state = State::Up;
                if self.behaviour == (Behaviour::Answer { talks: true }) {
                    self.slots[index % SLOTS].push(index);
                }
            }
            State::Up | State::Closing | State::Ended => {}
        }
    }

    fn response(&mut self, message: &Message<'_>) {
        let Some(leg) = message
            .header("Call-ID")
            .and_then(|call_id| self.by_call_id.get(call_id).copied())
        else {
            return;
        };
        if message.cseq().is_some_and(|(_, method)| method == "BYE")
            && message.status().is_some_and(|status| status >= 200)
        {
            self.end(leg);
        }
    }

    fn end(&mut self, index: usize) {
        let leg = &mut self.legs[index];
        leg.state = State::Ended;
        self.slots[index % SLOTS].retain(|other| *other != index);
    }

    fn send_again(&mut self, now_us: u64) {
        while let Some(Reverse((at_us, index, awaited, wait_us))) = self.timers.peek().copied() {
            if at_us > now_us {
                return;
            }
            self.timers.pop();
            let leg = &self.legs[index];
            let bytes = match (awaited, leg.state) {
                (Awaited::Ack, State::Refused | State::Answered) => leg.reply.clone(),
                (Awaited::ByeAnswer, State::Closing) => self.bye_of(index),
                _ => continue,
            };
            self.figures.own_retransmissions += 1;
            self.signalling.send(bytes.as_bytes(), leg.peer);
            let wait_us = (wait_us * 2).min(T2_US);
            self.timers.push(Reverse((now_us + wait_us, index, awaited, wait_us)));
        }
    }

    fn bye_of(&self, index: usize) -> String {
        let dialog = self.legs[index].dialog.as_ref();
        dialog
            .map(|dialog| dialog.bye(self.signalling.address(), self.tag(index)))
            .unwrap_or_default()
    }

    fn hang_up(&mut self, now_us: u64) {
        while self.next_hang_up_us <= now_us {
            let Some(index) = self.hanging_up.pop_front() else {
                return;
            };
            self.next_hang_up_us += self.hang_up_every_us;
            if self.legs[index].state != State::Up {
                continue;
            }
            self.legs[index].state = State::Closing;
            self.signalling
                .send(self.bye_of(index).as_bytes(), self.legs[index].peer);
            self.timers
                .push(Reverse((now_us + T1_US, index, Awaited::ByeAnswer, T1_US)));
        }
    }

    /// Returns whether there may be more.
    fn take_sound(&mut self, inbox: &mut Inbox) -> bool {
        let more = self.sound.receive(inbox);
        for (from, at_us, datagram) in inbox.datagrams() {
            let leg = self.by_port[usize::from(from.port())] as usize;
            // What comes after the end was on its way.
            if let Some(leg) = leg
                .checked_sub(1)
                .map(|leg| &mut self.legs[leg])
                .filter(|leg| leg.state != State::Ended)
            {
                leg.heard.take(at_us, datagram);
            }
        }
        more
    }

    fn is_talking(&self) -> bool {
        self.slots.iter().any(|slot| !slot.is_empty())
    }

    /// Sends the sound that is due. A lag of more than a turn is skipped.
    fn talk(&mut self, now_us: u64) {
        let now_ms = now_us / 1_000;
        if !self.is_talking() {
            self.next_ms = now_ms;
            return;
        }
        self.next_ms = self.next_ms.max(now_ms.saturating_sub(SLOTS as u64));
        let mut batch = Vec::with_capacity(BATCH);
        while self.next_ms <= now_ms {
            for index in &self.slots[(self.next_ms % SLOTS as u64) as usize] {
                let leg = &mut self.legs[*index];
                let Some(to) = leg.sound else { continue };
                batch.push((to, packet(*index as u32, leg.turn)));
                leg.turn += 1;
                if batch.len() == BATCH {
                    self.sound.send_many(&batch);
                    batch.clear();
                }
            }
            self.next_ms += 1;
        }
        if !batch.is_empty() {
            self.sound.send_many(&batch);
        }
    }

    fn rest_us(&self, now_us: u64) -> u64 {
        let mut rest_us = REST_US;
        if self.is_talking() {
            rest_us = rest_us.min((self.next_ms * 1_000).saturating_sub(now_us));
        }
        if !self.hanging_up.is_empty() {
            rest_us = rest_us.min(self.next_hang_up_us.saturating_sub(now_us));
        }
        rest_us
    }
}
