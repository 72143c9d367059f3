//! Speech that follows a script: voices are numbers, words are what stands beside them, and every part can fail.

use async_trait::async_trait;
use carillon_domain::language::Language;
use carillon_interfaces::speech::{
    Ear, HearingCapabilities, HearingEvent, HearingRequest, SpeakRequest, SpeechError, SpeechKit, SpeechToText,
    SpokenSound, TextToSpeech, TurnJudge, VoiceActivity, VoiceDescription,
};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// Samples of a voice that says the words of this number have this value; everything quieter is silence.
pub(crate) const VOICE_BASE: i16 = 8_000;
/// How long recognising takes.
const RECOGNITION: Duration = Duration::from_millis(60);
/// How long the first sound of a unit takes.
const SYNTHESIS: Duration = Duration::from_millis(80);
/// What a character of ours lasts, in samples.
const CHARACTER_SAMPLES: usize = 480;

/// What goes wrong with the recogniser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EarFault {
    #[default]
    None,
    /// It cannot be opened.
    Unavailable,
    /// Opening it never ends.
    HangsOnOpen,
    /// It never gives words.
    Mute,
    /// It fails on every utterance.
    Fails,
    /// It fails on every utterance and must be opened again.
    FailsForGood,
    /// It fails once.
    FailsOnce,
}

/// What goes wrong with the synthesiser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MouthFault {
    #[default]
    None,
    /// It refuses everything.
    Refuses,
    /// It refuses everything but the first request (a phrase made before the need).
    RefusesLater,
    /// It never answers.
    Hangs,
    /// It begins and never ends.
    Stalls,
    /// It fails in the middle of each unit.
    BreaksOff,
    /// It says nothing, and calls that success.
    Empty,
    /// It fails once.
    FailsOnce,
}

/// What goes wrong with the judge of turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum JudgeFault {
    #[default]
    None,
    Fails,
    Hangs,
    Garbage,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) ear: EarFault,
    pub(crate) mouth: MouthFault,
    pub(crate) judge: JudgeFault,
}

/// The kit of one scene.
pub(crate) struct ScriptedKit {
    ears: ScriptedEars,
    mouth: ScriptedMouth,
    judge: ScriptedJudge,
}

impl ScriptedKit {
    /// `words`: what each voice number says.
    pub(crate) fn new(words: &[&str], faults: Faults) -> Self {
        Self {
            ears: ScriptedEars {
                words: words.iter().map(|words| (*words).to_owned()).collect(),
                fault: faults.ear,
                failures: std::sync::Arc::default(),
            },
            mouth: ScriptedMouth {
                fault: faults.mouth,
                requests: AtomicU32::new(0),
                said: Mutex::default(),
            },
            judge: ScriptedJudge { fault: faults.judge },
        }
    }

    /// Every text that was asked for.
    pub(crate) fn said(&self) -> Vec<String> {
        self.mouth.said.lock().unwrap().clone()
    }
}

#[async_trait]
impl SpeechKit for ScriptedKit {
    fn ears(&self) -> &dyn SpeechToText {
        &self.ears
    }

    fn mouth(&self) -> &dyn TextToSpeech {
        &self.mouth
    }

    fn voice_activity(&self) -> Box<dyn VoiceActivity> {
        Box::new(Loudness)
    }

    fn turn_judge(&self) -> Option<&dyn TurnJudge> {
        Some(&self.judge)
    }

    fn capacity(&self) -> Option<u32> {
        Some(1)
    }
}

struct Loudness;

impl VoiceActivity for Loudness {
    fn judge(&mut self, frame: &[i16]) -> f32 {
        if frame.iter().any(|sample| *sample >= VOICE_BASE) {
            0.95
        } else {
            0.02
        }
    }

    fn reset(&mut self) {}
}

struct ScriptedEars {
    words: Vec<String>,
    fault: EarFault,
    failures: std::sync::Arc<AtomicU32>,
}

#[async_trait]
impl SpeechToText for ScriptedEars {
    fn capabilities(&self) -> HearingCapabilities {
        HearingCapabilities {
            name: "scripted",
            languages: vec![Language::english()],
            partials: false,
        }
    }

    async fn open(&self, _: HearingRequest, events: mpsc::Sender<HearingEvent>) -> Result<Box<dyn Ear>, SpeechError> {
        match self.fault {
            EarFault::Unavailable => return Err(SpeechError::Unavailable("no model".to_owned())),
            EarFault::HangsOnOpen => std::future::pending().await,
            _ => {}
        }
        Ok(Box::new(ScriptedEar {
            words: self.words.clone(),
            fault: self.fault,
            failures: std::sync::Arc::clone(&self.failures),
            events,
            utterance: 0,
            heard: Vec::new(),
        }))
    }
}

struct ScriptedEar {
    words: Vec<String>,
    fault: EarFault,
    failures: std::sync::Arc<AtomicU32>,
    events: mpsc::Sender<HearingEvent>,
    utterance: u32,
    /// Voice numbers in the order in which they were heard.
    heard: Vec<usize>,
}

impl ScriptedEar {
    fn text(&self) -> String {
        let words = self.heard.iter().filter_map(|number| self.words.get(*number));
        words.map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    fn tell(&self, event: HearingEvent) {
        let events = self.events.clone();
        tokio::spawn(async move {
            tokio::time::sleep(RECOGNITION).await;
            let _ = events.send(event).await;
        });
    }
}

impl Ear for ScriptedEar {
    fn begin(&mut self, utterance: u32, pre_roll: &[i16]) {
        self.utterance = utterance;
        self.heard.clear();
        self.hear(pre_roll);
    }

    fn hear(&mut self, samples: &[i16]) {
        for sample in samples.iter().filter(|sample| **sample >= VOICE_BASE) {
            let number = usize::try_from(*sample - VOICE_BASE).unwrap_or(0);
            if self.heard.last() != Some(&number) {
                self.heard.push(number);
            }
        }
    }

    fn ask_partial(&mut self) {
        if self.fault == EarFault::None && !self.heard.is_empty() {
            self.tell(HearingEvent::Partial {
                utterance: self.utterance,
                text: self.text(),
            });
        }
    }

    fn end(&mut self, utterance: u32) {
        let failed = |fatal| HearingEvent::Failed {
            utterance,
            error: SpeechError::Provider("scripted".to_owned()),
            fatal,
        };
        let event = match self.fault {
            EarFault::Mute => return,
            EarFault::Fails => failed(false),
            EarFault::FailsForGood => failed(true),
            EarFault::FailsOnce if self.failures.fetch_add(1, Ordering::Relaxed) == 0 => failed(true),
            EarFault::None | EarFault::Unavailable | EarFault::HangsOnOpen | EarFault::FailsOnce => {
                HearingEvent::Final {
                    utterance,
                    text: self.text(),
                }
            }
        };
        self.tell(event);
    }

    fn discard(&mut self, _: u32) {
        self.heard.clear();
    }
}

struct ScriptedMouth {
    fault: MouthFault,
    requests: AtomicU32,
    said: Mutex<Vec<String>>,
}

#[async_trait]
impl TextToSpeech for ScriptedMouth {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn voices(&self) -> Vec<VoiceDescription> {
        Vec::new()
    }

    async fn speak(&self, request: SpeakRequest) -> Result<SpokenSound, SpeechError> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let refused = || Err(SpeechError::Provider("scripted".to_owned()));
        match self.fault {
            MouthFault::Refuses => return refused(),
            MouthFault::RefusesLater if number > 0 => return refused(),
            MouthFault::FailsOnce if number == 1 => return refused(),
            MouthFault::Hangs => std::future::pending().await,
            _ => {}
        }
        self.said.lock().unwrap().push(request.text.clone());
        let (sender, sound) = mpsc::channel(4);
        let samples = vec![4_000; request.text.len() * CHARACTER_SAMPLES];
        let fault = self.fault;
        tokio::spawn(async move {
            tokio::time::sleep(SYNTHESIS).await;
            if fault == MouthFault::Empty {
                return;
            }
            for (index, piece) in samples.chunks(1_600).enumerate() {
                if index == 2 && fault == MouthFault::Stalls {
                    std::future::pending::<()>().await;
                }
                if index == 2 && fault == MouthFault::BreaksOff {
                    let _ = sender.send(Err(SpeechError::Provider("scripted".to_owned()))).await;
                    return;
                }
                if sender.send(Ok(piece.to_vec())).await.is_err() {
                    return;
                }
            }
        });
        Ok(sound)
    }
}

struct ScriptedJudge {
    fault: JudgeFault,
}

#[async_trait]
impl TurnJudge for ScriptedJudge {
    async fn is_over(&self, _: Vec<i16>) -> Result<f32, SpeechError> {
        match self.fault {
            JudgeFault::None => Ok(0.95),
            JudgeFault::Garbage => Ok(f32::NAN),
            JudgeFault::Fails => Err(SpeechError::Busy),
            JudgeFault::Hangs => std::future::pending().await,
        }
    }
}
