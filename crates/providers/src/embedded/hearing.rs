//! Ears: a call's sound gathered by utterance, cut at pauses, recognised by a few workers, told in order.

use super::activity;
use super::moonshine::{Moonshine, Recognised};
use super::silero::Silero;
use super::workers::{Urgency, Workers};
use async_trait::async_trait;
use carillon_domain::language::Language;
use carillon_interfaces::speech::{
    Ear, HearingCapabilities, HearingEvent, HearingRequest, SAMPLE_RATE_HZ, SpeechError, SpeechToText, UtteranceNumber,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::mpsc;

/// Sound that the model takes at once, in samples: 14.5 s, a little less than it can.
const PASS_MAX: usize = SAMPLE_RATE_HZ as usize * 29 / 2;
/// A longer stretch is cut at its quietest place after this many samples.
const CUT_FROM: usize = SAMPLE_RATE_HZ as usize * 8;
/// The window whose loudness decides where to cut, in samples: 160 ms, a short pause.
const CUT_WINDOW: usize = SAMPLE_RATE_HZ as usize * 4 / 25;
/// Passes of one utterance: about an hour of speech without an end. What is said after that is not heard.
const PASSES_MAX: usize = 360;
/// Less sound than this is no word: 60 ms.
const SOUND_MIN: usize = SAMPLE_RATE_HZ as usize * 3 / 50;
/// Mean logarithm of probability from which on the model is believed: clear words are at -0.1 to 0, "you" in clicks at -0.17.
const SURE: f32 = -0.1;
/// Events that may wait for their listener; beyond it a listener that takes nothing has lost them.
const EVENTS_WAITING: usize = 64;

/// The embedded recogniser; `workers` is `None` where no model is.
pub(super) struct Ears {
    workers: Option<Arc<Workers<Listener>>>,
    why_deaf: String,
}

/// A recogniser, and the judge that says whether there was a voice at all.
pub(super) struct Listener {
    pub(super) moonshine: Moonshine,
    pub(super) silero: Option<Arc<Silero>>,
}

impl Listener {
    /// The words in a stretch of sound. The model finds words in hums, clicks and hiss too; where it is not sure of itself, a
    /// judge of voices is asked.
    fn words(&mut self, sound: &[i16]) -> Result<String, String> {
        let began = Instant::now();
        let Recognised {
            text,
            mean_log_probability,
        } = self.moonshine.recognise(sound)?;
        metrics::histogram!("carillon_speech_recognise_seconds").record(began.elapsed().as_secs_f64());
        if !text.is_empty() && mean_log_probability < SURE && !activity::has_voice(self.silero.as_ref(), sound) {
            return Ok(String::new());
        }
        Ok(text)
    }
}

impl Ears {
    /// Ears that hear.
    pub(super) fn with(workers: Workers<Listener>) -> Self {
        Self {
            workers: Some(Arc::new(workers)),
            why_deaf: String::new(),
        }
    }

    /// Ears that say why they do not hear.
    pub(super) fn deaf(why: String) -> Self {
        Self {
            workers: None,
            why_deaf: why,
        }
    }
}

#[async_trait]
impl SpeechToText for Ears {
    fn capabilities(&self) -> HearingCapabilities {
        HearingCapabilities {
            name: "embedded",
            languages: vec![Language::english()],
            partials: true,
        }
    }

    async fn open(
        &self,
        request: HearingRequest,
        events: mpsc::Sender<HearingEvent>,
    ) -> Result<Box<dyn Ear>, SpeechError> {
        let Some(workers) = &self.workers else {
            return Err(SpeechError::Unavailable(self.why_deaf.clone()));
        };
        if !Language::english().serves(&request.language) {
            return Err(SpeechError::Language(request.language));
        }
        let (outbox, inbox) = mpsc::channel(EVENTS_WAITING);
        tokio::spawn(forward(inbox, events));
        Ok(Box::new(OneEar {
            workers: Arc::clone(workers),
            outbox,
            current: None,
            is_making_partial: Arc::new(AtomicBool::new(false)),
        }))
    }
}

/// Passes events on, so that a worker never waits for a listener.
async fn forward(mut inbox: mpsc::Receiver<HearingEvent>, events: mpsc::Sender<HearingEvent>) {
    while let Some(event) = inbox.recv().await {
        let taken = match event {
            HearingEvent::Partial { .. } => {
                !matches!(events.try_send(event), Err(mpsc::error::TrySendError::Closed(_)))
            }
            HearingEvent::Final { .. } | HearingEvent::Failed { .. } => events.send(event).await.is_ok(),
        };
        if !taken {
            return;
        }
    }
}

struct OneEar {
    workers: Arc<Workers<Listener>>,
    outbox: mpsc::Sender<HearingEvent>,
    current: Option<Utterance>,
    is_making_partial: Arc<AtomicBool>,
}

/// The utterance that is being heard.
struct Utterance {
    number: UtteranceNumber,
    /// Its sound since the last cut.
    sound: Vec<i16>,
    words: Arc<Mutex<Words>>,
}

/// The words of an utterance as they are recognised, in whatever order its passes finish.
struct Words {
    number: UtteranceNumber,
    passes: Vec<Option<String>>,
    /// All its sound has been handed over.
    is_whole: bool,
    /// Nothing more is told of it: it was told, or it failed, or it was discarded.
    is_closed: bool,
}

impl Words {
    fn text(&self, last: Option<&str>) -> String {
        let passes = self.passes.iter().flatten().map(String::as_str);
        let parts: Vec<&str> = passes.chain(last).filter(|text| !text.is_empty()).collect();
        parts.join(" ")
    }
}

impl Ear for OneEar {
    fn begin(&mut self, utterance: UtteranceNumber, pre_roll: &[i16]) {
        if let Some(previous) = self.current.take() {
            close(&previous.words);
        }
        self.current = Some(Utterance {
            number: utterance,
            sound: pre_roll[pre_roll.len().saturating_sub(CUT_FROM)..].to_vec(),
            words: Arc::new(Mutex::new(Words {
                number: utterance,
                passes: Vec::new(),
                is_whole: false,
                is_closed: false,
            })),
        });
    }

    fn hear(&mut self, samples: &[i16]) {
        let Some(current) = &mut self.current else { return };
        for part in samples.chunks(PASS_MAX - CUT_FROM) {
            current.sound.extend_from_slice(part);
            if current.sound.len() >= PASS_MAX {
                let rest = current.sound.split_off(quietest_place(&current.sound));
                let pass = std::mem::replace(&mut current.sound, rest);
                recognise_pass(&self.workers, &self.outbox, &current.words, pass, false);
            }
        }
    }

    fn ask_partial(&mut self) {
        let Some(current) = &self.current else { return };
        if current.sound.len() < SOUND_MIN || self.is_making_partial.swap(true, Ordering::AcqRel) {
            return;
        }
        let free = FreeOnDrop(Arc::clone(&self.is_making_partial));
        let (outbox, words, sound) = (self.outbox.clone(), Arc::clone(&current.words), current.sound.clone());
        let job = move |listener: &mut Listener| {
            let mut free = Some(free);
            if is_over(&words) {
                return;
            }
            let Ok(text) = listener.words(&sound) else {
                return;
            };
            let words = words.lock().unwrap_or_else(PoisonError::into_inner);
            let text = words.text(Some(&text));
            // Whoever gets this one may ask for the next at once.
            drop(free.take());
            if !words.is_whole && !words.is_closed && !text.is_empty() {
                let _ = outbox.try_send(HearingEvent::Partial {
                    utterance: words.number,
                    text,
                });
            }
        };
        // A partial that finds no room is not made; the next one may be.
        let _ = self.workers.submit(Urgency::Later, job);
    }

    fn end(&mut self, utterance: UtteranceNumber) {
        match self.current.take() {
            Some(current) if current.number == utterance => {
                recognise_pass(&self.workers, &self.outbox, &current.words, current.sound, true);
            }
            other => self.current = other,
        }
    }

    fn discard(&mut self, utterance: UtteranceNumber) {
        match self.current.take() {
            Some(current) if current.number == utterance => close(&current.words),
            other => self.current = other,
        }
    }
}

struct FreeOnDrop(Arc<AtomicBool>);

impl Drop for FreeOnDrop {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn is_over(words: &Mutex<Words>) -> bool {
    let words = words.lock().unwrap_or_else(PoisonError::into_inner);
    words.is_whole || words.is_closed
}

fn close(words: &Mutex<Words>) {
    words.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
}

/// Where to cut a stretch that is too long: in the middle of its quietest window.
fn quietest_place(sound: &[i16]) -> usize {
    let energy = |at: usize| -> u64 {
        let window = &sound[at..at + CUT_WINDOW];
        window
            .iter()
            .map(|sample| u64::from(sample.unsigned_abs()).pow(2))
            .sum()
    };
    (CUT_FROM..sound.len().saturating_sub(CUT_WINDOW))
        .step_by(CUT_WINDOW / 4)
        .min_by_key(|at| energy(*at))
        .map_or(sound.len(), |at| at + CUT_WINDOW / 2)
}

/// Hands a stretch of an utterance to the workers; `is_last`: its words are told when all its stretches are recognised.
fn recognise_pass(
    workers: &Workers<Listener>,
    outbox: &mpsc::Sender<HearingEvent>,
    words: &Arc<Mutex<Words>>,
    sound: Vec<i16>,
    is_last: bool,
) {
    let place = {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.is_whole |= is_last;
        if words.passes.len() < PASSES_MAX && sound.len() >= SOUND_MIN {
            words.passes.push(None);
            Some(words.passes.len() - 1)
        } else {
            None
        }
    };
    let Some(place) = place else {
        return tell_if_complete(outbox, words);
    };
    let (outbox_of_job, words_of_job) = (outbox.clone(), Arc::clone(words));
    let job = move |listener: &mut Listener| {
        if words_of_job.lock().unwrap_or_else(PoisonError::into_inner).is_closed {
            return;
        }
        match listener.words(&sound) {
            Ok(text) => {
                let mut words = words_of_job.lock().unwrap_or_else(PoisonError::into_inner);
                words.passes[place] = Some(text);
                drop(words);
                tell_if_complete(&outbox_of_job, &words_of_job);
            }
            Err(reason) => fail(&outbox_of_job, &words_of_job, SpeechError::Provider(reason)),
        }
    };
    if workers.submit(Urgency::Now, job).is_err() {
        fail(outbox, words, SpeechError::Busy);
    }
}

fn tell_if_complete(outbox: &mpsc::Sender<HearingEvent>, words: &Mutex<Words>) {
    let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
    if words.is_closed || !words.is_whole || words.passes.iter().any(Option::is_none) {
        return;
    }
    words.is_closed = true;
    tell(
        outbox,
        HearingEvent::Final {
            utterance: words.number,
            text: words.text(None),
        },
    );
}

fn fail(outbox: &mpsc::Sender<HearingEvent>, words: &Mutex<Words>, error: SpeechError) {
    let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
    if !std::mem::replace(&mut words.is_closed, true) {
        let failed = HearingEvent::Failed {
            utterance: words.number,
            error,
            fatal: false,
        };
        tell(outbox, failed);
    }
}

fn tell(outbox: &mpsc::Sender<HearingEvent>, event: HearingEvent) {
    if let Err(mpsc::error::TrySendError::Full(_)) = outbox.try_send(event) {
        tracing::warn!("words were lost: nobody took the {EVENTS_WAITING} events before them");
        metrics::counter!("carillon_speech_events_lost_total").increment(1);
    }
}
