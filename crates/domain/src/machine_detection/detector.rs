//! The detector: takes signals, keeps the verdict, and says what to do about it.

use super::heard::Heard;
use super::rules::{weigh, weigh_behind_assistant};
use super::{Advice, Class, Evidence, Phrase, Policy, Reaction, Reason, Signal, SpeakFirst, Tone};
use crate::script::Digit;

/// How often the detector wants to be asked while something is open, in milliseconds.
const WAKE_EVERY_MS: u64 = 100;
/// A pause after which a short greeting is answered, in milliseconds.
const SPEAK_AFTER_HELLO_MS: u64 = 500;
/// A pause after which a longer greeting is answered, in milliseconds; mailboxes pause between sentences.
const SPEAK_AFTER_GREETING_MS: u64 = 1_000;
/// What is longer than this, in milliseconds, is no hello.
const HELLO_MAX_MS: u64 = 2_200;
/// A pause after which an assistant or a menu listens, in milliseconds.
const MACHINE_LISTENS_AFTER_MS: u64 = 700;
/// How often who calls is told to an assistant, and how many keys are pressed.
const TRIES_MAX: u8 = 3;
/// Voice of this length, in milliseconds, under a message that was begun without a beep: the greeting had only paused.
const GREETING_GOES_ON_MS: u64 = 1_000;
/// For how long after the begin of a message its mailbox may still beep or go on, in milliseconds.
const BEEP_AFTER_ALL_MS: u64 = 15_000;
/// A confidence that differs by less is no news.
const NEWS_PERCENT: u8 = 5;

/// What the detector is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Finding out.
    Listening,
    /// It is a mailbox that has not beeped.
    AwaitBeep { since_ms: u64 },
    /// The message is being left.
    Message { since_ms: u64, after_beep: bool },
    /// An assistant asks.
    Asked,
    /// The assistant was told; a person may come.
    Told { since_ms: u64 },
    /// A menu will get a key at its next pause.
    WillPress(Digit),
    /// Acted on; nothing more to advise.
    Done,
}

/// Decides who answered and what to do about it. Times are milliseconds since the answer, by the call's own audio.
#[derive(Clone, Debug)]
pub struct Detector {
    policy: Policy,
    heard: Heard,
    stage: Stage,
    verdict: Option<Evidence>,
    spoke: bool,
    /// From when the time to decide counts.
    asked_at_ms: u64,
    tries: u8,
    message_tries: u8,
}

impl Detector {
    /// A detector for a call that is answered now.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            heard: Heard::default(),
            stage: Stage::Listening,
            verdict: None,
            spoke: false,
            asked_at_ms: 0,
            tries: 0,
            message_tries: 0,
        }
    }

    /// The verdict so far, for the call's record.
    pub fn evidence(&self) -> Option<&Evidence> {
        self.verdict.as_ref()
    }

    /// When to send [`Signal::Tick`] if nothing else happens, in milliseconds since the answer; `None`: nothing is waited for.
    pub fn wake_at_ms(&self) -> Option<u64> {
        (self.stage != Stage::Done).then_some(self.heard.now_ms + WAKE_EVERY_MS)
    }

    /// Takes one signal at `at_ms`; a time before the last one counts as the last one.
    pub fn handle(&mut self, at_ms: u64, signal: Signal) -> Vec<Advice> {
        let mut advice = Vec::new();
        if self.stage == Stage::Done {
            return advice;
        }
        self.heard.advance(at_ms);
        let mut beep = false;
        match signal {
            Signal::VoiceBegan { since_ms } => self.heard.voice_began(since_ms),
            Signal::VoiceEnded { since_ms } => self.heard.voice_ended(since_ms),
            Signal::Words { text, is_final } => self.heard.words(&text, is_final),
            Signal::Tone(tone) => {
                beep = matches!(tone, Tone::Beep { .. } | Tone::FaxCalling);
                self.heard.tone(tone);
            }
            Signal::WeBegan => {
                self.spoke = true;
                self.heard.we_began();
            }
            Signal::WeEnded => self.heard.we_ended(),
            Signal::Tick => {}
        }
        if matches!(self.stage, Stage::Told { .. }) {
            self.decide_behind_assistant(&mut advice);
        } else if !matches!(self.stage, Stage::Message { .. }) {
            self.decide(&mut advice);
        }
        self.go_on(beep, &mut advice);
        self.speak(&mut advice);
        advice
    }

    fn now_ms(&self) -> u64 {
        self.heard.now_ms
    }

    fn decide(&mut self, advice: &mut Vec<Advice>) {
        let now = self.now_ms();
        let late = || Evidence {
            class: Class::Undecided,
            confidence: 0,
            at_ms: now,
            reasons: vec![Reason::Deadline],
        };
        let deadline = self.verdict.is_none() && now >= self.asked_at_ms.saturating_add(self.policy.decide_by_ms);
        let Some(found) = weigh(&self.heard, &self.policy).or_else(|| deadline.then(late)) else {
            return;
        };
        self.take(found, advice);
    }

    fn decide_behind_assistant(&mut self, advice: &mut Vec<Advice>) {
        if let Some(found) = weigh_behind_assistant(&self.heard) {
            self.take(found, advice);
        }
    }

    fn take(&mut self, found: Evidence, advice: &mut Vec<Advice>) {
        let old = self.verdict.as_ref();
        let same = old.is_some_and(|old| old.class == found.class);
        // Fewer grounds for the same class are no news: words of a pause are forgotten, a verdict is not.
        if same && old.is_some_and(|old| found.confidence < old.confidence.saturating_add(NEWS_PERCENT)) {
            return;
        }
        advice.push(Advice::Verdict(found.clone()));
        let (class, confidence) = (found.class, found.confidence);
        self.verdict = Some(found);
        self.react(class, confidence, same, advice);
    }

    fn react(&mut self, class: Class, confidence: u8, same: bool, advice: &mut Vec<Advice>) {
        let reaction = self.policy.reaction(class);
        let under_way = same && self.stage != Stage::Listening;
        // Behind an assistant, the person who comes has not been greeted.
        if class == Class::Human && matches!(self.stage, Stage::Told { .. }) {
            self.spoke = false;
        }
        self.stage = match reaction {
            Reaction::Continue => Stage::Listening,
            Reaction::HangUp if confidence >= self.policy.hang_up_confidence || class == Class::Silence => {
                advice.push(Advice::HangUp);
                Stage::Done
            }
            Reaction::HangUp => Stage::Listening,
            _ if under_way => self.stage,
            Reaction::LeaveMessage => Stage::AwaitBeep {
                since_ms: self.now_ms(),
            },
            Reaction::Announce => Stage::Asked,
            Reaction::Press { key } => Stage::WillPress(key),
        };
        let waits = !matches!(self.stage, Stage::Listening | Stage::Done) && !under_way;
        if waits && self.heard.we_talk() {
            advice.push(Advice::StopTalking);
        }
    }

    fn go_on(&mut self, beep: bool, advice: &mut Vec<Advice>) {
        match self.stage {
            Stage::Listening | Stage::Done => {}
            Stage::AwaitBeep { since_ms } => self.await_beep(since_ms, beep, advice),
            Stage::Message { since_ms, after_beep } => self.watch_message(since_ms, after_beep, beep, advice),
            Stage::Asked => self.asked(beep, advice),
            Stage::Told { since_ms } => self.told(since_ms, advice),
            Stage::WillPress(key) => self.will_press(key, advice),
        }
    }

    fn await_beep(&mut self, since_ms: u64, beep: bool, advice: &mut Vec<Advice>) {
        let now = self.now_ms();
        let full = self.heard.turns.iter().any(|turn| turn.count(Phrase::MailboxFull) > 0);
        let silent = self.heard.far_silent_ms().unwrap_or(0);
        if full && silent >= MACHINE_LISTENS_AFTER_MS || now.saturating_sub(since_ms) >= self.policy.message_wait_max_ms
        {
            advice.push(Advice::HangUp);
            self.stage = Stage::Done;
        } else if beep || silent >= self.policy.message_after_silence_ms {
            advice.push(Advice::LeaveMessage { after_beep: beep });
            self.message_tries += 1;
            self.stage = Stage::Message {
                since_ms: now,
                after_beep: beep,
            };
        }
    }

    fn watch_message(&mut self, since_ms: u64, after_beep: bool, beep: bool, advice: &mut Vec<Advice>) {
        let now = self.now_ms();
        let over = after_beep || self.message_tries >= TRIES_MAX || now.saturating_sub(since_ms) > BEEP_AFTER_ALL_MS;
        let talks_ms = self
            .heard
            .far_talks_since_ms()
            .map_or(0, |began| now.saturating_sub(began.max(since_ms)));
        if over {
            self.stage = Stage::Done;
        } else if beep {
            advice.push(Advice::StopTalking);
            advice.push(Advice::LeaveMessage { after_beep: true });
            self.stage = Stage::Done;
        } else if talks_ms >= GREETING_GOES_ON_MS {
            advice.push(Advice::StopTalking);
            self.stage = Stage::AwaitBeep { since_ms: now };
        }
    }

    fn asked(&mut self, beep: bool, advice: &mut Vec<Advice>) {
        let silent = self.heard.far_silent_ms().unwrap_or(0);
        let tone_follows = self.heard.turns.iter().any(|turn| turn.count(Phrase::AfterTheTone) > 0);
        let pause = if tone_follows { 2_000 } else { MACHINE_LISTENS_AFTER_MS };
        if beep || silent >= pause {
            advice.push(Advice::Announce);
            self.tries += 1;
            self.heard.start_over();
            self.stage = Stage::Told {
                since_ms: self.now_ms(),
            };
        }
    }

    fn told(&mut self, since_ms: u64, advice: &mut Vec<Advice>) {
        let asks = |phrase| self.heard.turns.last().is_some_and(|turn| turn.count(phrase) > 0);
        let again = asks(Phrase::StateYourName) || asks(Phrase::StateReason);
        if self.now_ms().saturating_sub(since_ms) >= self.policy.screening_wait_max_ms {
            advice.push(Advice::HangUp);
            self.stage = Stage::Done;
        } else if again && self.tries < TRIES_MAX && !self.heard.we_talk() {
            self.stage = Stage::Asked;
        }
    }

    fn will_press(&mut self, key: Digit, advice: &mut Vec<Advice>) {
        let listens = self
            .heard
            .far_silent_ms()
            .is_some_and(|silent| silent >= MACHINE_LISTENS_AFTER_MS);
        if !listens {
            return;
        }
        self.tries += 1;
        if self.tries > TRIES_MAX {
            advice.push(Advice::HangUp);
            self.stage = Stage::Done;
            return;
        }
        advice.push(Advice::Press(key));
        // Whoever comes next, another menu or a person, is judged anew.
        self.heard.start_over();
        self.verdict = None;
        self.asked_at_ms = self.now_ms();
        self.spoke = false;
        self.stage = Stage::Listening;
    }

    fn speak(&mut self, advice: &mut Vec<Advice>) {
        if self.spoke || self.stage != Stage::Listening || !self.may_speak() {
            return;
        }
        self.spoke = true;
        advice.push(Advice::SpeakNow);
    }

    fn may_speak(&self) -> bool {
        let class = self.verdict.as_ref().map(|verdict| verdict.class);
        if class.is_some_and(|class| class.is_machine() && self.policy.reaction(class) != Reaction::Continue) {
            return false;
        }
        if self.policy.speak_first == SpeakFirst::AtOnce {
            return true;
        }
        let Some(turn) = self.heard.turns.last() else {
            return self.now_ms() >= self.policy.speak_into_silence_ms;
        };
        let pause = if turn.sounds_recorded() {
            self.policy.message_after_silence_ms
        } else if turn.length_ms() <= HELLO_MAX_MS {
            SPEAK_AFTER_HELLO_MS
        } else {
            SPEAK_AFTER_GREETING_MS
        };
        self.heard.far_silent_ms().is_some_and(|silent| silent >= pause)
    }
}
