//! A stage: one conversation, a simulated callee, and a log of who was heard when.

use super::super::brain::{Brain, BrainError, CallFacts, Heard, Piece, Turn};
use super::super::machine::Watch;
use super::super::mouth::VoiceChoice;
use super::super::spare::SparePhrases;
use super::super::talk::{Talk, TalkParts, Timing};
use super::super::thinker::Thinker;
use super::super::{Line, Report};
use super::scripted::{Faults, ScriptedKit, VOICE_BASE};
use crate::line::SoundFeed;
use crate::listener::{HeardFrame, TimedFrame};
use crate::speech::{Speech, SpeechAction};
use async_trait::async_trait;
use carillon_domain::conversation::{TurnSettings, Turns, VoiceSettings};
use carillon_domain::language::Language;
use carillon_domain::machine_detection::Policy;
use carillon_domain::model_agent::Phrases;
use carillon_domain::phone::PhoneNumber;
use carillon_domain::script::{Conversation, Digit, ScriptResult};
use carillon_domain::time::UnixMicros;
use carillon_domain::trunk::Codec;
use carillon_interfaces::language_model::ModelError;
use carillon_media::{FRAME_SAMPLES, g711};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// When the callee does something.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cue {
    /// At this time of the call, in milliseconds.
    At(u64),
    /// When we have spoken and then been silent for so long.
    AfterUs(u64),
    /// When we have been speaking for so long without a break.
    IntoUs(u64),
}

/// What the callee does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Says the words of this number, for so many milliseconds.
    Say(usize, u64),
    Press(char),
    HangUp,
}

/// The callee's part.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part(pub(crate) Vec<(Cue, Act)>);

struct Far {
    part: std::collections::VecDeque<(Cue, Act)>,
    saying: Option<(usize, u64)>,
    we_began_ms: Option<u64>,
    we_ended_ms: Option<u64>,
    any_of_us: bool,
}

struct State {
    speech: Speech,
    far: Far,
    /// For each frame of 20 ms: we were heard, they were.
    heard: Vec<(bool, bool)>,
    hung_up: bool,
}

/// The sound of a simulated call.
#[derive(Clone)]
pub(crate) struct SimLine {
    began: Instant,
    state: Arc<Mutex<State>>,
}

impl SimLine {
    fn us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }
}

#[async_trait]
impl Line for SimLine {
    async fn act(&self, action: SpeechAction) -> bool {
        let mut state = self.state.lock().unwrap();
        state.speech.act(self.us(), Codec::Pcmu, action);
        true
    }

    async fn say(&self, unit: u32, samples: &[i16], more: bool) -> bool {
        let action = SpeechAction::Say {
            unit,
            codec: Codec::Pcmu,
            bytes: g711::encode(Codec::Pcmu, samples).into(),
            more,
        };
        self.act(action).await
    }

    async fn press(&self, _: Digit) {}

    fn now_us(&self) -> u64 {
        self.us()
    }

    fn answered_us(&self) -> u64 {
        0
    }
}

/// Runs the simulated call until the conversation is over or the callee hangs up.
async fn run_line(line: SimLine, frames: mpsc::Sender<TimedFrame>, ended: oneshot::Sender<()>, over: Arc<Mutex<bool>>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    loop {
        ticks.tick().await;
        let now_us = line.us();
        let now_ms = now_us / 1_000;
        let frame = {
            let mut state = line.state.lock().unwrap();
            let mut bytes = [g711::silence(Codec::Pcmu); FRAME_SAMPLES];
            let ours = state.speech.render(now_us, Codec::Pcmu, &mut bytes);
            let theirs = state.far_turn(now_ms, now_us, ours);
            state.heard.push((ours, theirs.is_some()));
            let value = theirs.map_or(0, |number| VOICE_BASE + number as i16);
            if state.hung_up || *over.lock().unwrap() {
                break;
            }
            TimedFrame {
                sound: HeardFrame::Sound(Box::new([value; FRAME_SAMPLES])),
                arrived_us: Some(now_us.saturating_sub(20_000)),
                at_us: now_us,
            }
        };
        let _ = frames.try_send(frame);
        assert!(now_ms < 900_000, "a conversation without an end");
    }
    drop(ended);
}

impl State {
    fn far_turn(&mut self, now_ms: u64, now_us: u64, ours: bool) -> Option<usize> {
        let far = &mut self.far;
        if ours {
            far.we_began_ms.get_or_insert(now_ms);
            (far.we_ended_ms, far.any_of_us) = (None, true);
        } else {
            far.we_began_ms = None;
            far.we_ended_ms.get_or_insert(now_ms);
        }
        let due = far.part.front().is_some_and(|(cue, _)| match *cue {
            Cue::At(ms) => now_ms >= ms,
            Cue::AfterUs(ms) => far.any_of_us && far.we_ended_ms.is_some_and(|ended| now_ms >= ended + ms),
            Cue::IntoUs(ms) => far.we_began_ms.is_some_and(|began| now_ms >= began + ms),
        });
        if due
            && far.saying.is_none()
            && let Some((_, act)) = far.part.pop_front()
        {
            match act {
                Act::Say(number, ms) => {
                    far.saying = Some((number, now_ms + ms));
                    far.any_of_us = false;
                }
                Act::Press(key) => {
                    far.any_of_us = false;
                    let digit = Digit::parse(key).unwrap();
                    self.speech.key_pressed(now_us, digit);
                }
                Act::HangUp => self.hung_up = true,
            }
        }
        self.far.saying = self.far.saying.filter(|(_, until)| now_ms < *until);
        self.far.saying.map(|(number, _)| number)
    }
}

/// How a scene is played.
pub(crate) struct Scene {
    pub(crate) words: Vec<&'static str>,
    pub(crate) part: Part,
    pub(crate) faults: Faults,
    pub(crate) brain: Box<dyn Brain>,
    pub(crate) settings: TurnSettings,
    pub(crate) policy: Option<Policy>,
    pub(crate) message: Option<&'static str>,
    pub(crate) spare: SparePhrases,
}

impl Scene {
    pub(crate) fn new(brain: impl Brain + 'static, words: &[&'static str], part: &[(Cue, Act)]) -> Self {
        Self {
            words: words.to_vec(),
            part: Part(part.to_vec()),
            faults: Faults::default(),
            brain: Box::new(brain),
            settings: TurnSettings::default(),
            policy: None,
            message: None,
            spare: SparePhrases::default(),
        }
    }

    pub(crate) async fn play(self) -> Played {
        let kit = Arc::new(ScriptedKit::new(&self.words, self.faults));
        let (note_sender, notes) = mpsc::channel(64);
        let (frame_sender, frames) = mpsc::channel(64);
        let line = SimLine {
            began: Instant::now(),
            state: Arc::new(Mutex::new(State {
                speech: Speech::new(note_sender),
                far: Far {
                    part: self.part.0.into(),
                    saying: None,
                    we_began_ms: None,
                    we_ended_ms: None,
                    any_of_us: false,
                },
                heard: Vec::new(),
                hung_up: false,
            })),
        };
        let voice = VoiceChoice {
            language: Language::english(),
            voice: None,
            speed_percent: 100,
        };
        let watch = self
            .policy
            .map(|policy| Watch::new(policy, VoiceSettings::default(), self.message.map(str::to_owned), None));
        let talk = Talk::new(TalkParts {
            line: line.clone(),
            feed: SoundFeed { frames, notes },
            kit: Arc::clone(&kit) as _,
            thinker: Thinker::open(self.brain),
            turns: Turns::new(self.settings, &voice.language),
            watch,
            voice,
            phrases: Phrases::default(),
            hints: Vec::new(),
            spare: self.spare,
            facts: facts(),
            timing: Timing::default(),
        });
        let over = Arc::new(Mutex::new(false));
        let (ended_sender, ended) = oneshot::channel();
        let reported = Arc::new(Mutex::new(None));
        let report: Report = {
            let (over, reported, began) = (Arc::clone(&over), Arc::clone(&reported), line.began);
            Box::new(move |result| {
                *over.lock().unwrap() = true;
                *reported.lock().unwrap() = Some((began.elapsed(), result));
            })
        };
        let runner = tokio::spawn(run_line(line.clone(), frame_sender, ended_sender, over));
        let result = talk.run(ended, report).await;
        runner.await.unwrap();
        let state = line.state.lock().unwrap();
        let reported = reported.lock().unwrap().take();
        Played {
            result,
            ended_ms: reported.as_ref().map(|(at, _)| at.as_millis() as u64),
            reported: reported.map(|(_, result)| result),
            heard: state.heard.clone(),
            said: kit.said(),
        }
    }
}

/// What a scene left.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) result: ScriptResult,
    /// When we ended it, if we did.
    pub(crate) ended_ms: Option<u64>,
    pub(crate) reported: Option<ScriptResult>,
    heard: Vec<(bool, bool)>,
    pub(crate) said: Vec<String>,
}

impl Played {
    pub(crate) fn conversation(&self) -> &Conversation {
        self.result.conversation.as_deref().unwrap()
    }

    pub(crate) fn dialogue(&self) -> String {
        self.conversation().transcript.as_dialogue()
    }

    /// The longest time in which nobody was heard, in milliseconds.
    pub(crate) fn longest_silence_ms(&self) -> u64 {
        let (mut longest, mut now) = (0, 0);
        for (ours, theirs) in &self.heard {
            now = if *ours || *theirs { 0 } else { now + 20 };
            longest = longest.max(now);
        }
        longest
    }

    /// Milliseconds in which we were heard.
    pub(crate) fn ours_ms(&self) -> u64 {
        self.heard.iter().filter(|(ours, _)| *ours).count() as u64 * 20
    }
}

pub(crate) fn facts() -> CallFacts {
    let answered_at = UnixMicros::from_seconds(1_800_000_000);
    CallFacts {
        to: PhoneNumber::parse("+14155550100", "US").unwrap(),
        variables: serde_json::Map::new(),
        language: Language::english(),
        answered_at,
        ends_at: answered_at + Duration::from_secs(600),
    }
}

/// What a scripted brain does at one turn.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Say(&'static str),
    /// Says it, and hangs up.
    Close(&'static str),
    Send(Piece),
    Fail,
    Hang,
    Panic,
    /// So long, then the words.
    Slow(u64, &'static str),
}

/// A brain that goes through its steps, one a question, and keeps what it was asked.
#[derive(Clone)]
pub(crate) struct Steps {
    steps: Arc<Mutex<std::collections::VecDeque<Step>>>,
    pub(crate) asked: Arc<Mutex<Vec<(Heard, Option<String>)>>>,
}

impl Steps {
    pub(crate) fn new(steps: &[Step]) -> Self {
        Self {
            steps: Arc::new(Mutex::new(steps.iter().cloned().collect())),
            asked: Arc::default(),
        }
    }
}

#[async_trait]
impl Brain for Steps {
    async fn answer(&mut self, turn: Turn, pieces: &mpsc::Sender<Piece>) -> Result<(), BrainError> {
        let closes = matches!(turn.heard, Heard::GiveUp | Heard::WrapUp { .. });
        self.asked.lock().unwrap().push((turn.heard, turn.cut_off_after));
        let step = self.steps.lock().unwrap().pop_front();
        let say = |words: &str| Piece::Words(words.to_owned());
        let hang_up = || Piece::HangUp {
            outcome: "done".to_owned(),
        };
        match step {
            _ if closes => pieces.send(say("I will let you go.")).await.unwrap(),
            Some(Step::Say(words)) => pieces.send(say(words)).await.unwrap(),
            Some(Step::Close(words)) => {
                pieces.send(say(words)).await.unwrap();
                pieces.send(hang_up()).await.unwrap();
            }
            Some(Step::Send(piece)) => pieces.send(piece).await.unwrap(),
            Some(Step::Fail) => return Err(ModelError::BrokenOff.into()),
            Some(Step::Hang) => std::future::pending().await,
            Some(Step::Panic) => panic!("a brain with a bug"),
            Some(Step::Slow(ms, words)) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                pieces.send(say(words)).await.unwrap();
            }
            None => {
                pieces.send(say("Goodbye.")).await.unwrap();
                pieces.send(hang_up()).await.unwrap();
            }
        }
        Ok(())
    }
}
