//! One conversation: sound, words, turns and the brain joined in one loop. Nothing in it waits without a deadline.
//!
//! What is heard and what happens comes in here; what turn taking wants is done in [`super::doing`], what is said in
//! [`super::saying`], and who answered is watched in [`super::machine`].

use super::brain::CallFacts;
use super::findings::{Findings, lines};
use super::latency::{Stopwatch, publish};
use super::machine::Watch;
use super::mouth::{Made, Mouth, VoiceChoice};
use super::saying::Units;
use super::spare::SparePhrases;
use super::thinker::{Thinker, Thought};
use super::{Line, Report};
use crate::line::SoundFeed;
use crate::listener::{HeardFrame, TimedFrame};
use crate::speech::{SpeechAction, SpeechNote};
use carillon_domain::conversation::{CallMs, Expect, SentenceSettings, Sentences, SpokenText, TurnInput, Turns};
use carillon_domain::model_agent::Phrases;
use carillon_domain::script::{Digit, ScriptResult, TalkEnd, TalkPart};
use carillon_interfaces::speech::{Ear, HearingEvent, HearingRequest, SpeechError, SpeechKit, VoiceActivity};
use carillon_media::{FRAME_SAMPLES, level};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Sound that is remembered, in samples: what a judge of turns looks at, and the lead of an utterance.
const RECENT_SAMPLES: usize = 8_000 * 8;
/// Words that may wait to be taken.
const HEARING_WAITING_MAX: usize = 64;
/// Judgements that may wait.
const JUDGED_WAITING_MAX: usize = 8;
/// A frame at or above this probability counts as voiced for the latency.
const VOICED: f32 = 0.5;
/// How long opening the recogniser may take.
const EAR_PATIENCE: Duration = Duration::from_secs(5);
/// How often the recogniser is opened in a call.
const EARS_MAX: u32 = 3;
/// So many failures of the recogniser in a row end the call.
const HEARING_FAILURES_MAX: u32 = 3;
/// Sound of ours that is made ahead of what is heard, in samples: a minute.
const AHEAD_MAX: u64 = 8_000 * 60;
/// How long looking back may take when the call is over.
const LOOK_BACK_PATIENCE: Duration = Duration::from_secs(12);

/// What a conversation starts from.
pub(crate) struct TalkParts<L> {
    pub(crate) line: L,
    pub(crate) feed: SoundFeed,
    pub(crate) kit: Arc<dyn SpeechKit>,
    pub(crate) thinker: Thinker,
    pub(crate) turns: Turns,
    pub(crate) watch: Option<Watch>,
    pub(crate) voice: VoiceChoice,
    pub(crate) phrases: Phrases,
    pub(crate) hints: Vec<String>,
    pub(crate) spare: SparePhrases,
    pub(crate) facts: CallFacts,
    pub(crate) timing: Timing,
}

/// How long parts may take before something else is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// The next piece of a unit's sound.
    pub(crate) sound: Duration,
    /// The judge of turns.
    pub(crate) judge: Duration,
    /// The synthesiser's first sign of life, at the start of the call.
    pub(crate) ear: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            sound: Duration::from_secs(3),
            judge: Duration::from_millis(500),
            ear: EAR_PATIENCE,
        }
    }
}

pub(crate) struct Talk<L> {
    pub(super) line: L,
    feed: SoundFeed,
    pub(super) kit: Arc<dyn SpeechKit>,
    pub(super) thinker: Thinker,
    pub(super) turns: Turns,
    pub(super) watch: Option<Watch>,
    pub(super) voice: VoiceChoice,
    pub(super) phrases: Phrases,
    pub(super) spare: SparePhrases,
    pub(super) facts: CallFacts,
    pub(super) timing: Timing,
    pub(super) findings: Findings,
    pub(super) stopwatch: Stopwatch,
    pub(super) mouth: Mouth,
    pub(super) units: Units,
    pub(super) sentences: Sentences,
    pub(super) interruptible: bool,
    pub(super) expect: Expect,
    /// The brain wants to hang up once it has been heard.
    pub(super) hanging_up: bool,
    /// The brain must come to an end now, whatever it says.
    pub(super) must_end: bool,
    /// What was heard of the answer before, if it was cut off.
    pub(super) cut_off_after: Option<String>,
    pub(super) not_understood: u32,
    pub(super) brain_failures: u32,
    pub(super) voice_failures: u32,
    hearing_failures: u32,
    activity: Box<dyn VoiceActivity>,
    hints: Vec<String>,
    pub(super) ear: Option<Box<dyn Ear>>,
    ears: u32,
    pub(super) open_utterance: Option<u32>,
    hearing: mpsc::Receiver<HearingEvent>,
    hearing_sender: mpsc::Sender<HearingEvent>,
    judged: mpsc::Receiver<(u32, f32)>,
    pub(super) judged_sender: mpsc::Sender<(u32, f32)>,
    recent: VecDeque<i16>,
    pub(super) wake: Option<CallMs>,
    /// Where the clocks stood when the conversation began.
    began: Instant,
    began_ms: u64,
    now: CallMs,
    /// The conversation is over from our side.
    pub(super) over: bool,
}

/// Everything that can wake a conversation.
enum Event {
    Ended,
    Note(Option<SpeechNote>),
    Frame(Option<TimedFrame>),
    Heard(HearingEvent),
    Judged(u32, f32),
    Thought(Thought),
    Made(Made),
    Wake,
}

impl<L: Line> Talk<L> {
    pub(crate) fn new(parts: TalkParts<L>) -> Self {
        let (hearing_sender, hearing) = mpsc::channel(HEARING_WAITING_MAX);
        let (judged_sender, judged) = mpsc::channel(JUDGED_WAITING_MAX);
        let began_ms = parts.line.now_us().saturating_sub(parts.line.answered_us()) / 1_000;
        Self {
            mouth: Mouth::open(Arc::clone(&parts.kit), parts.voice.clone(), parts.timing.sound),
            activity: parts.kit.voice_activity(),
            line: parts.line,
            feed: parts.feed,
            kit: parts.kit,
            thinker: parts.thinker,
            turns: parts.turns,
            watch: parts.watch,
            voice: parts.voice,
            phrases: parts.phrases,
            spare: parts.spare,
            facts: parts.facts,
            timing: parts.timing,
            findings: Findings::default(),
            stopwatch: Stopwatch::default(),
            units: Units::default(),
            sentences: Sentences::new(SentenceSettings::default()),
            interruptible: true,
            expect: Expect::Open,
            hanging_up: false,
            must_end: false,
            cut_off_after: None,
            not_understood: 0,
            brain_failures: 0,
            voice_failures: 0,
            hearing_failures: 0,
            hints: parts.hints,
            ear: None,
            ears: 0,
            open_utterance: None,
            hearing,
            hearing_sender,
            judged,
            judged_sender,
            recent: VecDeque::with_capacity(RECENT_SAMPLES),
            wake: None,
            began: Instant::now(),
            began_ms,
            now: CallMs(began_ms),
            over: false,
        }
    }

    /// Talks until the conversation is over from our side, which is reported, and then until the call is: `ended` says so, or its sender
    /// is gone. Returns everything that is known then.
    pub(crate) async fn run(mut self, mut ended: oneshot::Receiver<()>, report: Report) -> ScriptResult {
        self.spare.want(&self.kit, &self.voice, &self.phrases.cannot_go_on);
        self.open_ear().await;
        self.tell(TurnInput::Answered).await;
        while !self.over {
            let wake = self.next_wake();
            let room = self.units.ahead() < AHEAD_MAX;
            let event = tokio::select! {
                biased;
                _ = &mut ended => Event::Ended,
                note = self.feed.notes.recv() => Event::Note(note),
                frame = self.feed.frames.recv() => Event::Frame(frame),
                Some(heard) = self.hearing.recv() => Event::Heard(heard),
                Some((pause, probability)) = self.judged.recv() => Event::Judged(pause, probability),
                thought = self.thinker.next() => Event::Thought(thought),
                made = self.mouth.next(), if room => Event::Made(made),
                () = sleep_until(wake) => Event::Wake,
            };
            match event {
                Event::Ended | Event::Note(None) | Event::Frame(None) => {
                    self.tell(TurnInput::CallEnded).await;
                    return self.look_back().await;
                }
                Event::Note(Some(note)) => self.noted(note).await,
                Event::Frame(Some(frame)) => self.frame(frame).await,
                Event::Heard(heard) => self.heard(heard).await,
                Event::Judged(pause, probability) => self.tell(TurnInput::TurnOver { pause, probability }).await,
                Event::Thought(thought) => self.thought(thought).await,
                Event::Made(made) => self.made(made).await,
                Event::Wake => {
                    self.watch_machine_tick().await;
                    self.tell(TurnInput::Tick).await;
                }
            }
        }
        self.thinker.cancel();
        report(self.findings.result(self.turns.transcript()));
        // The hang-up is on its way; the call is over when the engine says so.
        let _ = ended.await;
        self.look_back().await
    }

    /// The last work on a conversation, when nobody waits on the line any more.
    async fn look_back(mut self) -> ScriptResult {
        let lines = lines(self.turns.transcript());
        if !lines.is_empty() {
            let looking = tokio::time::timeout(LOOK_BACK_PATIENCE, self.thinker.look_back(lines));
            match looking.await {
                Ok(Some(look_back)) => self.findings.look_back(look_back),
                Ok(None) => {}
                Err(_) => self.findings.fault("the look back took too long".to_owned()),
            }
        }
        self.findings.result(self.turns.transcript())
    }

    /// Milliseconds of the call now.
    pub(super) fn now_ms(&self) -> CallMs {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        CallMs(self.began_ms.saturating_add(passed)).max(self.now)
    }

    fn next_wake(&self) -> Option<Instant> {
        let watch = self.watch.as_ref().and_then(Watch::wake_at_ms).map(CallMs);
        let wake = [self.wake, watch].into_iter().flatten().min()?;
        Some(self.began + Duration::from_millis(wake.0.saturating_sub(self.began_ms)))
    }

    /// Feeds turn taking now, and does what it asks for.
    pub(super) async fn tell(&mut self, input: TurnInput) {
        self.tell_at(self.now_ms(), input).await;
    }

    async fn tell_at(&mut self, at: CallMs, input: TurnInput) {
        self.now = self.now.max(at);
        let mut inputs = VecDeque::from([input]);
        // What is done may be known at once (a unit that cannot be made): it is told in turn, and never endlessly.
        for _ in 0..64 {
            let Some(input) = inputs.pop_front() else { return };
            for output in self.turns.handle(self.now, input) {
                inputs.extend(self.perform(output).await);
            }
            if self.over {
                return;
            }
        }
        self.findings.fault("turn taking went in a circle".to_owned());
        self.finish(TalkEnd::Fault {
            part: TalkPart::Runtime,
        });
    }

    /// The conversation is over from our side.
    pub(super) fn finish(&mut self, end: TalkEnd) {
        self.findings.end(end);
        self.over = true;
    }

    pub(super) async fn act(&mut self, action: SpeechAction) {
        if !self.line.act(action).await {
            // The call is gone, or its thread does not keep up: there is nobody to talk to.
            self.finish(TalkEnd::Fault {
                part: TalkPart::Runtime,
            });
        }
    }

    async fn frame(&mut self, frame: TimedFrame) {
        let at = CallMs(frame.at_us.saturating_sub(self.line.answered_us()) / 1_000).max(self.now);
        let silence = [0; FRAME_SAMPLES];
        let samples: &[i16] = match &frame.sound {
            HeardFrame::Sound(samples) => &samples[..],
            HeardFrame::Lost | HeardFrame::Silence => &silence,
        };
        let loudness_dbfs = level::db(samples) as f32;
        let voice_probability = self.activity.judge(samples);
        if voice_probability >= VOICED
            && let Some(arrived_us) = frame.arrived_us
        {
            self.stopwatch.voiced(arrived_us);
        }
        if self.recent.len() + samples.len() > RECENT_SAMPLES {
            self.recent.drain(..samples.len());
        }
        self.recent.extend(samples);
        if self.open_utterance.is_some()
            && let Some(ear) = self.ear.as_mut()
        {
            ear.hear(samples);
        }
        if let Some(watch) = self.watch.as_mut() {
            let advice = watch.frame(at.0, samples, voice_probability, loudness_dbfs);
            self.follow(advice).await;
        }
        let input = TurnInput::Frame {
            voice_probability,
            loudness_dbfs,
        };
        self.tell_at(at, input).await;
    }

    /// The last samples that were heard.
    pub(super) fn recent(&self, samples: usize) -> Vec<i16> {
        let skip = self.recent.len().saturating_sub(samples);
        self.recent.iter().skip(skip).copied().collect()
    }

    async fn noted(&mut self, note: SpeechNote) {
        match note {
            SpeechNote::Started { unit, at_us } => {
                if let Some(latency) = self.stopwatch.started(unit, at_us, self.line.answered_us()) {
                    publish(&latency);
                    self.findings.latency(latency);
                }
                self.watch_us(true).await;
                self.tell(TurnInput::PlaybackAt { unit, samples: 0 }).await;
            }
            SpeechNote::Played { unit, samples, .. } => {
                self.units.played(unit, samples);
                self.tell(TurnInput::PlaybackAt { unit, samples }).await;
            }
            SpeechNote::Finished { unit, samples, .. } => {
                let broken = self.units.is_broken(unit);
                self.units.finished(unit);
                if self.units.is_empty() {
                    self.watch_us(false).await;
                }
                if broken {
                    self.tell(TurnInput::PlaybackAt { unit, samples }).await;
                    self.tell(TurnInput::SpeechFailed { unit }).await;
                } else if samples > 0 {
                    // A unit that failed before its first sample has been told already.
                    self.tell(TurnInput::PlaybackFinished { unit }).await;
                }
            }
            SpeechNote::Halted { unit, samples, .. } => {
                self.watch_us(false).await;
                if let Some(unit) = unit {
                    self.tell(TurnInput::PlaybackAt { unit, samples }).await;
                }
            }
            SpeechNote::Key { digit, .. } => self.key(digit).await,
        }
    }

    async fn key(&mut self, digit: Digit) {
        self.findings.key(digit.as_char());
        self.tell(TurnInput::Key(digit)).await;
    }

    async fn heard(&mut self, heard: HearingEvent) {
        match heard {
            HearingEvent::Partial { utterance, text } => {
                let text = SpokenText::from(text);
                self.watch_words(&text, false).await;
                self.tell(TurnInput::Partial { utterance, text }).await;
            }
            HearingEvent::Final { utterance, text } => {
                self.hearing_failures = 0;
                self.stopwatch.words_came(self.line.now_us());
                let text = SpokenText::from(text);
                self.watch_words(&text, true).await;
                self.tell(TurnInput::Final { utterance, text }).await;
            }
            HearingEvent::Failed {
                utterance,
                error,
                fatal,
            } => self.hearing_failed(utterance, &error, fatal).await,
        }
    }

    async fn hearing_failed(&mut self, utterance: u32, error: &SpeechError, fatal: bool) {
        metrics::counter!("carillon_talk_faults_total", "part" => "hearing").increment(1);
        self.findings.fault(format!("hearing: {error}"));
        self.hearing_failures += 1;
        if self.hearing_failures >= HEARING_FAILURES_MAX {
            self.cannot_go_on(TalkPart::Hearing).await;
            return;
        }
        if fatal {
            self.open_ear().await;
        }
        self.tell(TurnInput::HearingFailed { utterance }).await;
    }

    /// Opens a recogniser. Without one there is no conversation: the callee is told so.
    async fn open_ear(&mut self) {
        self.ear = None;
        self.ears += 1;
        let request = HearingRequest {
            language: self.voice.language.clone(),
            hints: self.hints.clone(),
        };
        let opened = if self.ears > EARS_MAX {
            Err(SpeechError::Unavailable("it failed again and again".to_owned()))
        } else {
            let opening = self.kit.ears().open(request, self.hearing_sender.clone());
            tokio::time::timeout(self.timing.ear, opening)
                .await
                .unwrap_or(Err(SpeechError::TimedOut(self.timing.ear.as_millis() as u64)))
        };
        match opened {
            Ok(mut ear) => {
                // The utterance that was being heard goes on in the new one, from where it is.
                if let Some(utterance) = self.open_utterance {
                    ear.begin(utterance, &[]);
                }
                self.ear = Some(ear);
            }
            Err(error) => {
                metrics::counter!("carillon_talk_faults_total", "part" => "hearing").increment(1);
                self.findings.fault(format!("hearing: {error}"));
                self.cannot_go_on(TalkPart::Hearing).await;
            }
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
