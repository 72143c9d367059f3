//! The callee's side: voice, utterances, words, keys, and the end of a turn.

use super::barge_in::Overlap;
use super::far_turn::{FarTurn, Utterance};
use super::io::{Hearing, Turn, TurnOutput, UtteranceNumber};
use super::{Brain, Handed, Phase, Turns};
use crate::conversation::clock::CallMs;
use crate::conversation::echo::is_echo;
use crate::conversation::end_of_turn::{EndReason, wait_after, wait_after_keys};
use crate::conversation::expect::Expect;
use crate::conversation::settings::FirstSpeaker;
use crate::conversation::transcript::{Heard, Speaker, SpokenText, TranscriptEntry};
use crate::conversation::voice_edges::VoiceEdge;
use crate::conversation::words::tokens;

/// The most keys of one turn that are kept.
const KEYS_MAX: usize = 64;

/// Voice that a failed recogniser may miss without anybody asking back: a cough.
const MISSED_VOICE_MS: u64 = 300;

impl Turns {
    pub(super) fn voice_edge(&mut self, edge: Option<VoiceEdge>, out: &mut Vec<TurnOutput>) {
        match edge {
            Some(VoiceEdge::Started { since }) => self.voice_started(since, out),
            Some(VoiceEdge::Stopped { last_voice }) => self.voice_stopped(last_voice),
            None => {}
        }
    }

    pub(super) fn voice_started(&mut self, since: CallMs, out: &mut Vec<TurnOutput>) {
        if self.voice_since.is_some() {
            return;
        }
        let since = since.min(self.now);
        self.voice_since = Some(since);
        self.last_voice = self.now;
        if matches!(self.phase, Phase::Closing { .. }) {
            return;
        }
        let far = self.far.get_or_insert_with(|| FarTurn::new(since));
        (far.pause, far.judge) = (None, None);
        if far.last_open().is_none() {
            self.begin_utterance(self.now.since(since).saturating_add(self.settings.voice.lead_ms), out);
        }
        if self.has_floor() {
            self.overlap_begins(since, out);
        }
    }

    pub(super) fn voice_stopped(&mut self, last_voice: CallMs) {
        let Some(since) = self.voice_since.take() else {
            return;
        };
        self.last_voice = last_voice.min(self.now).max(since);
        let voiced_ms = self.last_voice.since(since);
        if let Some(utterance) = self.far.as_mut().and_then(FarTurn::open_utterance) {
            utterance.voiced_ms = utterance.voiced_ms.saturating_add(voiced_ms);
        }
    }

    fn begin_utterance(&mut self, pre_roll_ms: u64, out: &mut Vec<TurnOutput>) {
        self.utterances = self.utterances.saturating_add(1);
        let (number, now) = (self.utterances, self.now);
        if let Some(far) = &mut self.far {
            far.utterances.push(Utterance {
                number,
                begun: now,
                partial_asked: now,
                partial: None,
                result: None,
                ended: None,
                voiced_ms: 0,
            });
        }
        out.push(TurnOutput::BeginUtterance {
            utterance: number,
            pre_roll_ms,
        });
    }

    fn end_utterance(&mut self, out: &mut Vec<TurnOutput>) {
        let now = self.now;
        if let Some(open) = self.far.as_mut().and_then(FarTurn::open_utterance) {
            open.ended = Some(now);
            out.push(TurnOutput::EndUtterance { utterance: open.number });
        }
    }

    pub(super) fn partial_due(&self) -> Option<CallMs> {
        self.voice_since?;
        let open = self.far.as_ref()?.last_open()?;
        let settings = &self.settings.end_of_turn;
        let every_ms = if self.overlap.is_some() || matches!(self.expect, Expect::Digits { .. }) {
            settings.partial_every_ms
        } else {
            settings.partial_seldom_ms
        };
        Some(open.partial_asked.plus(every_ms.max(20)))
    }

    pub(super) fn ask_partial(&mut self, out: &mut Vec<TurnOutput>) {
        let now = self.now;
        if let Some(open) = self.far.as_mut().and_then(FarTurn::open_utterance) {
            open.partial_asked = now;
            out.push(TurnOutput::AskPartial { utterance: open.number });
        }
    }

    pub(super) fn utterance_too_long_due(&self) -> Option<CallMs> {
        self.voice_since?;
        let open = self.far.as_ref()?.last_open()?;
        Some(open.begun.plus(self.settings.end_of_turn.utterance_max_ms.max(1_000)))
    }

    pub(super) fn cut_utterance(&mut self, out: &mut Vec<TurnOutput>) {
        let since = self.voice_since;
        let now = self.now;
        if let (Some(since), Some(open)) = (since, self.far.as_mut().and_then(FarTurn::open_utterance)) {
            open.voiced_ms = open.voiced_ms.saturating_add(now.since(since.max(open.begun)));
        }
        self.end_utterance(out);
        self.begin_utterance(0, out);
    }

    /// The pause after which words are asked for.
    pub(super) fn pause_due(&self) -> Option<CallMs> {
        if self.voice_since.is_some() {
            return None;
        }
        self.far.as_ref()?.last_open()?;
        Some(self.last_voice.plus(self.settings.end_of_turn.pause_ms))
    }

    pub(super) fn voice_pauses(&mut self, out: &mut Vec<TurnOutput>) {
        let min_ms = self.settings.end_of_turn.utterance_min_ms;
        let too_short =
            self.far.as_ref().and_then(FarTurn::last_open).is_some_and(|open| {
                open.voiced_ms < min_ms && open.partial.as_ref().is_none_or(|text| text.is_empty())
            });
        if too_short {
            self.discard_utterance(out);
            return;
        }
        self.end_utterance(out);
        let wants_judge = self.settings.end_of_turn.has_judge && !matches!(self.expect, Expect::Digits { .. });
        if wants_judge
            && !self.has_floor()
            && let Some(far) = &mut self.far
        {
            self.pauses = self.pauses.saturating_add(1);
            far.pause = Some(self.pauses);
            out.push(TurnOutput::AskTurnJudge { pause: self.pauses });
        }
    }

    fn discard_utterance(&mut self, out: &mut Vec<TurnOutput>) {
        let Some(far) = &mut self.far else { return };
        if let Some(open) = far.utterances.pop() {
            out.push(TurnOutput::DiscardUtterance { utterance: open.number });
        }
        if far.utterances.is_empty() && far.keys.is_empty() {
            self.overlap_was_nothing(out);
        } else {
            self.weigh_overlap(out);
        }
    }

    pub(super) fn words_so_far(&mut self, number: UtteranceNumber, text: SpokenText, out: &mut Vec<TurnOutput>) {
        let Some(utterance) = self.far.as_mut().and_then(|far| far.find(number)) else {
            return;
        };
        if utterance.result.is_some() {
            return;
        }
        let grew = !text.trim().is_empty() && utterance.partial.as_ref() != Some(&text);
        utterance.partial = Some(text);
        self.words_came(grew, out);
    }

    pub(super) fn words_are(
        &mut self,
        number: UtteranceNumber,
        result: Result<SpokenText, ()>,
        out: &mut Vec<TurnOutput>,
    ) {
        let Some(utterance) = self.far.as_mut().and_then(|far| far.find(number)) else {
            self.late_words(number, result);
            return;
        };
        if utterance.result.is_some() {
            return;
        }
        if utterance.ended.is_none() {
            // A recogniser that closes utterances by itself ends them.
            utterance.ended = Some(self.now);
            out.push(TurnOutput::EndUtterance { utterance: number });
        }
        let grew = result.as_ref().is_ok_and(|text| !text.trim().is_empty());
        utterance.result = Some(result);
        if self.voice_since.is_some() && self.far.as_ref().is_some_and(|far| far.last_open().is_none()) {
            self.begin_utterance(0, out);
        }
        self.words_came(grew, out);
    }

    fn words_came(&mut self, grew: bool, out: &mut Vec<TurnOutput>) {
        if grew && !self.is_own_echo() {
            self.sound_at = self.now;
            if self.voice_since.is_some() {
                self.last_voice = self.now;
            }
        }
        self.weigh_overlap(out);
    }

    /// Words of a turn that was handed over without them: the transcript learns them.
    fn late_words(&mut self, number: UtteranceNumber, result: Result<SpokenText, ()>) {
        if let (Some(handed), Ok(text)) = (&mut self.handed, result)
            && handed.awaited == Some(number)
            && !text.trim().is_empty()
        {
            handed.awaited = None;
            self.transcript.correct(handed.begun, text);
        }
    }

    pub(super) fn judged(&mut self, pause: u32, probability: f32) {
        if let Some(far) = &mut self.far
            && far.pause == Some(pause)
        {
            far.judge = Some(probability);
        }
    }

    pub(super) fn key(&mut self, key: char, out: &mut Vec<TurnOutput>) {
        if matches!(self.phase, Phase::Closing { .. }) {
            return;
        }
        let now = self.now;
        let far = self.far.get_or_insert_with(|| FarTurn::new(now));
        if far.keys.chars().count() < KEYS_MAX {
            far.keys.push(key);
        }
        far.last_key = Some(now);
        self.sound_at = now;
        self.quiet_since = now;
        if self.has_floor() {
            if self.overlap.is_none() {
                self.overlap = Some(Overlap::unasked(now));
            }
            self.weigh_overlap(out);
        }
    }

    /// When the callee's turn is over and why, if nothing else happens.
    pub(super) fn turn_over(&self) -> Option<(CallMs, EndReason)> {
        let listens = match self.phase {
            Phase::Talking => !self.has_floor(),
            Phase::Opening { .. } => matches!(self.settings.first_speaker, FirstSpeaker::Callee { .. }),
            Phase::Waiting | Phase::Closing { .. } | Phase::Over => false,
        };
        let far = self.far.as_ref().filter(|_| listens)?;
        if far.last_key.is_none() && (self.voice_since.is_some() || far.last_open().is_some()) {
            return None;
        }
        let settings = &self.settings.end_of_turn;
        let text = far.text();
        let keys_due = match far.last_key {
            None => None,
            Some(last_key) => match wait_after_keys(settings, self.expect, &far.keys) {
                None => return Some((last_key, EndReason::Keys)),
                Some(wait_ms) => Some(last_key.plus(wait_ms)),
            },
        };
        if let Some(due) = keys_due
            && text.is_empty()
        {
            // Voice without words does not keep keys waiting.
            return Some((due, EndReason::Keys));
        }
        if self.voice_since.is_some() {
            return None;
        }
        let ended = far.last_ended()?;
        let wait = wait_after(settings, self.lexicon, self.expect, &text, far.judge);
        let mut due = self.last_voice.plus(wait.ms);
        if !far.is_settled() {
            due = due.max(ended.plus(settings.recognition_ms));
        } else if text.is_empty() && far.hearing() == Hearing::Complete {
            // It was nothing: nobody has to wait for that.
            due = ended;
        }
        Some((due.max(keys_due.unwrap_or(due)), wait.why))
    }

    pub(super) fn turn_is_over(&mut self, out: &mut Vec<TurnOutput>) {
        if let Some((_, why)) = self.turn_over() {
            self.end_utterance(out);
            self.hand_over(why, out);
            self.reopen_if_voiced(out);
        }
    }

    pub(super) fn turn_too_long_due(&self) -> Option<CallMs> {
        let opens = matches!(
            (self.phase, self.settings.first_speaker),
            (Phase::Opening { .. }, FirstSpeaker::Callee { .. })
        );
        if self.has_floor() || !(opens || self.phase == Phase::Talking) {
            return None;
        }
        let far = self.far.as_ref()?;
        Some(far.begun.plus(self.settings.end_of_turn.turn_max_ms.max(1_000)))
    }

    pub(super) fn turn_too_long(&mut self, out: &mut Vec<TurnOutput>) {
        self.end_utterance(out);
        self.hand_over(EndReason::TooLong, out);
        self.reopen_if_voiced(out);
    }

    /// The voice goes on after its turn was taken away: what follows is a new one, against ours.
    fn reopen_if_voiced(&mut self, out: &mut Vec<TurnOutput>) {
        if self.voice_since.is_none() || self.phase == Phase::Over {
            return;
        }
        self.far = Some(FarTurn::new(self.now));
        self.begin_utterance(0, out);
        if self.has_floor() {
            self.overlap = Some(Overlap::unasked(self.now));
        }
    }

    /// Whether the open turn is our own voice coming back.
    pub(super) fn is_own_echo(&self) -> bool {
        let Some(far) = &self.far else { return false };
        if !self.settings.interruption.echo_guard {
            return false;
        }
        let heard = tokens(&far.text());
        if self.mouth.as_ref().is_some_and(|mouth| mouth.begun.is_some()) {
            return is_echo(self.lexicon, &heard, &self.words_around_now());
        }
        let tail_ms = self.settings.interruption.echo_tail_ms;
        far.begun <= self.last_said_at.plus(tail_ms) && is_echo(self.lexicon, &heard, &self.last_said)
    }

    /// Takes the open turn away and hands it to the brain, unless it was nothing.
    fn hand_over(&mut self, why: EndReason, out: &mut Vec<TurnOutput>) {
        let echo = self.is_own_echo();
        let Some(far) = self.far.take() else { return };
        self.overlap = None;
        let text = far.text();
        let hearing = far.hearing();
        let missed = hearing != Hearing::Complete && far.voiced_ms() >= MISSED_VOICE_MS;
        if echo || (text.is_empty() && far.keys.is_empty() && !missed) {
            return;
        }
        let end = far.last_key.unwrap_or(CallMs(0)).max(if far.utterances.is_empty() {
            far.begun
        } else {
            self.last_voice
        });
        self.record_far(&far, &text, end);
        self.sound_at = self.sound_at.max(end);
        if far.is_greeting {
            return;
        }
        let awaited = far
            .utterances
            .iter()
            .find(|utterance| utterance.result.is_none())
            .map(|utterance| utterance.number)
            .filter(|_| far.utterances.len() == 1);
        self.give_turn(&text, &far.keys, hearing, (far.begun, end), why, awaited, out);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of a turn, told apart by their types"
    )]
    pub(super) fn give_turn(
        &mut self,
        text: &str,
        keys: &str,
        hearing: Hearing,
        (begin_ms, end_ms): (CallMs, CallMs),
        why: EndReason,
        awaited: Option<UtteranceNumber>,
        out: &mut Vec<TurnOutput>,
    ) {
        let before = self.handed.take().map(|handed| handed.text);
        let continues = before.is_some();
        let whole = match before {
            Some(before) if !before.is_empty() && !text.is_empty() => format!("{before} {text}"),
            Some(before) if text.is_empty() => before,
            Some(_) | None => text.to_owned(),
        };
        self.handed = Some(Handed {
            text: whole.clone(),
            begun: begin_ms,
            awaited,
        });
        self.early = None;
        self.cut_for_words = false;
        self.reprompts = 0;
        self.gave_up = false;
        self.phase = Phase::Talking;
        self.brain = Brain::Idle;
        self.ask_brain(false);
        out.push(TurnOutput::TurnIs(Turn {
            text: Self::spoken(whole),
            added: Self::spoken(text),
            continues,
            keys: Self::spoken(keys),
            hearing,
            begin_ms,
            end_ms,
            why,
        }));
    }

    pub(super) fn record_far(&mut self, far: &FarTurn, text: &str, end: CallMs) {
        if text.is_empty() && far.keys.is_empty() && far.hearing() == Hearing::Complete {
            return;
        }
        self.transcript.add(TranscriptEntry {
            who: Speaker::Callee,
            text: Self::spoken(text),
            keys: Self::spoken(far.keys.as_str()),
            begin_ms: far.begun,
            end_ms: end,
            heard: Heard::Full,
            unheard_text: SpokenText::default(),
        });
    }
}
