//! What has been heard and said so far, in the units that the rules weigh: turns, exchanges, silence, phrases, tones.

use super::phrases::{self, Found};
use super::{Phrase, Tone};

/// A silence that ends a turn, in milliseconds. Greetings of mailboxes have pauses of up to a second between sentences.
const TURN_GAP_MS: u64 = 1_500;
/// A silence in which we say something from end to end closes a turn sooner, in milliseconds.
const TURN_GAP_AROUND_US_MS: u64 = 500;
/// An answer that begins later than this after our words answers nothing, in milliseconds.
const REPLY_WITHIN_MS: u64 = 6_000;
/// A first turn longer than this, in milliseconds, answers nothing, even if we had spoken before.
const OPENING_REPLY_MAX_MS: u64 = 4_000;
/// A later turn longer than this, in milliseconds, answers nothing.
const REPLY_MAX_MS: u64 = 10_000;
/// A turn that begins under our words is the greeting going on, unless its pause was longer than this, in milliseconds.
const INTERRUPTS_AFTER_MS: u64 = 2_500;
/// Turns that are remembered; what comes after them can change no verdict.
const TURNS_MAX: usize = 40;

/// Something that the far end said, with pauses.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    /// When it began.
    pub(super) began_ms: u64,
    /// When its last voice ended; while it lasts, the latest time known.
    pub(super) ended_ms: u64,
    /// Whether it answers what we said, by its timing: it began after our words, not under them.
    follows_us: bool,
    /// Whether it reacts to us at all: it answers, or it interrupts after a long pause.
    reacts: bool,
    /// Whether we had said nothing before it.
    pub(super) before_us: bool,
    finals: Found,
    partial: Found,
    has_words: bool,
}

impl Turn {
    /// From its first to its last voice, in milliseconds.
    pub(super) fn length_ms(&self) -> u64 {
        self.ended_ms.saturating_sub(self.began_ms)
    }

    /// How often a phrase stands in it.
    pub(super) fn count(&self, phrase: Phrase) -> u32 {
        let of = |found: &Found| found.get(&phrase).copied().unwrap_or(0);
        of(&self.finals) + of(&self.partial)
    }

    /// Whether anything was recognised in it.
    pub(super) fn has_words(&self) -> bool {
        self.has_words
    }

    /// Whether it says what only machines say.
    pub(super) fn sounds_recorded(&self) -> bool {
        STRONG
            .iter()
            .chain(OTHER_MACHINES)
            .any(|phrase| self.count(*phrase) > 0)
    }
}

/// Phrases that hardly anybody but a mailbox says.
pub(super) const STRONG: &[Phrase] = &[
    Phrase::LeaveMessage,
    Phrase::AfterTheTone,
    Phrase::Mailbox,
    Phrase::MailboxFull,
];
/// Phrases that mailboxes say, and people too.
pub(super) const WEAK: &[Phrase] = &[Phrase::Unavailable, Phrase::Reached, Phrase::WillCallBack];
/// Phrases of menus, assistants and networks.
const OTHER_MACHINES: &[Phrase] = &[
    Phrase::PressKey,
    Phrase::MenuOptions,
    Phrase::PleaseHold,
    Phrase::StateYourName,
    Phrase::ScreeningService,
    Phrase::NotInService,
];

/// The tones so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tones {
    /// The last beep, and when its end was told.
    pub(super) beep: Option<(Tone, u64)>,
    /// Fax calling tones.
    pub(super) fax_calling: u32,
    /// A fax answered.
    pub(super) fax_answering: bool,
    /// The three rising tones.
    pub(super) special_information: bool,
    /// Busy.
    pub(super) busy: bool,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// Now, in milliseconds since the answer.
    pub(super) now_ms: u64,
    /// The far end's turns; the first is the opening.
    pub(super) turns: Vec<Turn>,
    /// The tones.
    pub(super) tones: Tones,
    far_talks: bool,
    turn_closed: bool,
    we_talk_since_ms: Option<u64>,
    we_ended_ms: Option<u64>,
    far_silent_while_we_talk: bool,
    first_voice_ms: Option<u64>,
}

impl Heard {
    /// Starts over at `now_ms`: whoever speaks next is somebody else. What we do at the moment goes on.
    pub(super) fn start_over(&mut self) {
        *self = Self {
            now_ms: self.now_ms,
            far_talks: self.far_talks,
            turn_closed: true,
            we_talk_since_ms: self.we_talk_since_ms,
            we_ended_ms: self.we_ended_ms,
            far_silent_while_we_talk: self.far_silent_while_we_talk,
            first_voice_ms: self.first_voice_ms,
            ..Self::default()
        };
    }

    /// Moves the time on, never back.
    pub(super) fn advance(&mut self, at_ms: u64) {
        self.now_ms = self.now_ms.max(at_ms);
        let now = self.now_ms;
        if self.far_talks
            && let Some(turn) = self.turns.last_mut()
        {
            turn.ended_ms = now;
        }
        if !self.far_talks && self.turns.last().is_some_and(|turn| now - turn.ended_ms >= TURN_GAP_MS) {
            self.turn_closed = true;
        }
    }

    /// The far end began to speak at `since_ms`.
    pub(super) fn voice_began(&mut self, since_ms: u64) {
        let since = since_ms.min(self.now_ms);
        self.first_voice_ms.get_or_insert(since);
        self.far_talks = true;
        self.far_silent_while_we_talk = false;
        let gap_is_short = self
            .turns
            .last()
            .is_some_and(|turn| since.saturating_sub(turn.ended_ms) < TURN_GAP_MS);
        if gap_is_short && !self.turn_closed {
            return;
        }
        self.turn_closed = false;
        if self.turns.len() == TURNS_MAX {
            return;
        }
        let previous_ended = self.turns.last().map_or(0, |turn| turn.ended_ms);
        // What begins under our words may be an interruption or a greeting that goes on: it answers nothing.
        let follows_us = !self.we_talk()
            && self
                .we_ended_ms
                .is_some_and(|ended| ended >= previous_ended && since.saturating_sub(ended) <= REPLY_WITHIN_MS);
        self.turns.push(Turn {
            began_ms: since,
            ended_ms: self.now_ms,
            follows_us,
            before_us: !self.we_talk() && self.we_ended_ms.is_none(),
            reacts: follows_us || self.we_talk() && since.saturating_sub(previous_ended) >= INTERRUPTS_AFTER_MS,
            finals: Found::new(),
            partial: Found::new(),
            has_words: false,
        });
    }

    /// The far end fell silent at `since_ms`.
    pub(super) fn voice_ended(&mut self, since_ms: u64) {
        self.far_talks = false;
        let now = self.now_ms;
        if let Some(turn) = self.turns.last_mut() {
            turn.ended_ms = since_ms.clamp(turn.began_ms, now.max(turn.began_ms));
        }
    }

    /// Words of the far end's latest turn. They may come before the voice was noticed, or without any edge at all.
    pub(super) fn words(&mut self, text: &str, is_final: bool) {
        let found = phrases::find(text);
        let spoken = text.chars().any(char::is_alphanumeric);
        if self.turns.is_empty() && spoken {
            self.voice_began(self.now_ms);
            self.voice_ended(self.now_ms);
        }
        let Some(turn) = self.turns.last_mut() else { return };
        turn.has_words |= spoken;
        if is_final {
            turn.partial = Found::new();
            for (phrase, count) in found {
                let sum = turn.finals.entry(phrase).or_insert(0);
                *sum = sum.saturating_add(count);
            }
        } else {
            turn.partial = found;
        }
    }

    /// A tone was heard.
    pub(super) fn tone(&mut self, tone: Tone) {
        match tone {
            Tone::Beep { .. } => self.tones.beep = Some((tone, self.now_ms)),
            Tone::FaxCalling => {
                self.tones.fax_calling += 1;
                // One burst after a greeting is a beep that happens to have this pitch.
                let (hertz, length_ms) = (1_100, 500);
                self.tones.beep = Some((Tone::Beep { hertz, length_ms }, self.now_ms));
            }
            Tone::FaxAnswering => self.tones.fax_answering = true,
            Tone::SpecialInformation => self.tones.special_information = true,
            Tone::Busy => self.tones.busy = true,
            Tone::Ringback => {}
        }
    }

    /// We began to talk.
    pub(super) fn we_began(&mut self) {
        self.we_talk_since_ms.get_or_insert(self.now_ms);
        self.far_silent_while_we_talk = !self.far_talks;
    }

    /// We fell silent.
    pub(super) fn we_ended(&mut self) {
        let Some(_) = self.we_talk_since_ms.take() else { return };
        self.we_ended_ms = Some(self.now_ms);
        let gap = self
            .turns
            .last()
            .map_or(0, |turn| self.now_ms.saturating_sub(turn.ended_ms));
        if self.far_silent_while_we_talk && gap >= TURN_GAP_AROUND_US_MS {
            self.turn_closed = true;
        }
    }

    /// Whether we talk now.
    pub(super) fn we_talk(&self) -> bool {
        self.we_talk_since_ms.is_some()
    }

    /// Whether the far end has spoken since the answer.
    pub(super) fn any_voice(&self) -> bool {
        self.first_voice_ms.is_some()
    }

    /// When the far end's turn, which goes on, began.
    pub(super) fn far_talks_since_ms(&self) -> Option<u64> {
        self.turns.last().filter(|_| self.far_talks).map(|turn| turn.began_ms)
    }

    /// For how long the far end has been silent after having spoken; `None` while it speaks or before it has.
    pub(super) fn far_silent_ms(&self) -> Option<u64> {
        let turn = self.turns.last().filter(|_| !self.far_talks)?;
        Some(self.now_ms.saturating_sub(turn.ended_ms))
    }

    /// For how long nobody has answered our words: neither side speaks, and we were the last.
    pub(super) fn no_reply_ms(&self) -> u64 {
        let (Some(_), Some(ended), false) = (self.far_silent_ms(), self.we_ended_ms, self.we_talk()) else {
            return 0;
        };
        let far_ended = self.turns.last().map_or(0, |turn| turn.ended_ms);
        if ended < far_ended {
            return 0;
        }
        self.now_ms.saturating_sub(ended)
    }

    /// The opening and what they said on their own after it, until they first reacted to us.
    pub(super) fn monologue(&self) -> &[Turn] {
        let answer = self.turns.iter().skip(1).position(|turn| turn.reacts);
        &self.turns[..answer.map_or(self.turns.len(), |place| place + 1)]
    }

    /// How often we spoke and they answered.
    pub(super) fn exchanges(&self) -> u32 {
        let last = self.turns.len().saturating_sub(1);
        let answered = |(index, turn): &(usize, &Turn)| {
            let length_max = if *index == 0 {
                OPENING_REPLY_MAX_MS
            } else {
                REPLY_MAX_MS
            };
            // The turn that still goes on may become anything.
            let over = *index < last || self.turn_closed || self.far_silent_ms().is_some_and(|silent| silent >= 600);
            turn.follows_us && over && turn.length_ms() <= length_max && !turn.sounds_recorded()
        };
        u32::try_from(self.turns.iter().enumerate().filter(answered).count()).unwrap_or(u32::MAX)
    }
}
