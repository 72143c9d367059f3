//! Units of speech become sound, one after the other, ahead of what is played.

use carillon_domain::language::Language;
use carillon_interfaces::speech::{SpeakRequest, SpeechError, SpeechKit};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Units that may wait to be made.
const UNITS_WAITING_MAX: usize = 64;
/// Pieces of sound that may wait to be played.
const PIECES_WAITING_MAX: usize = 16;
/// How often a unit is tried.
const TRIES: u32 = 2;
/// Sound that is sent on in one piece at most, in samples: a second.
const PIECE_SAMPLES_MAX: usize = 8_000;

/// How a conversation sounds.
#[derive(Clone, Debug)]
pub(crate) struct VoiceChoice {
    pub(crate) language: Language,
    pub(crate) voice: Option<String>,
    pub(crate) speed_percent: u16,
}

impl VoiceChoice {
    pub(crate) fn request(&self, text: &str) -> SpeakRequest {
        SpeakRequest {
            text: text.to_owned(),
            language: self.language.clone(),
            voice: self.voice.clone(),
            speed_percent: self.speed_percent,
        }
    }
}

/// What the maker tells.
#[derive(Debug)]
pub(crate) enum Made {
    /// More sound of a unit.
    Sound { unit: u32, samples: Vec<i16> },
    /// A unit is complete.
    Complete { unit: u32 },
    /// A unit cannot be made, or not to its end.
    Failed { unit: u32, error: SpeechError },
}

/// Makes the units of one stretch of speech; dropping it stops at once.
pub(crate) struct Mouth {
    units: mpsc::Sender<(u32, String)>,
    made: mpsc::Receiver<Made>,
    task: JoinHandle<()>,
}

impl Drop for Mouth {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Mouth {
    /// `patience`: how long the next piece of a unit may take.
    pub(crate) fn open(kit: Arc<dyn SpeechKit>, voice: VoiceChoice, patience: Duration) -> Self {
        let (units, mut wanted) = mpsc::channel::<(u32, String)>(UNITS_WAITING_MAX);
        let (sender, made) = mpsc::channel(PIECES_WAITING_MAX);
        let task = tokio::spawn(async move {
            while let Some((unit, text)) = wanted.recv().await {
                let last = match make(&*kit, &voice, patience, unit, &text, &sender).await {
                    Ok(()) => Made::Complete { unit },
                    Err(error) => Made::Failed { unit, error },
                };
                if sender.send(last).await.is_err() {
                    return;
                }
            }
        });
        Self { units, made, task }
    }

    /// Has a unit made. Returns whether there was room.
    pub(crate) fn say(&self, unit: u32, text: String) -> bool {
        self.units.try_send((unit, text)).is_ok()
    }

    /// What was made; never ends while the mouth is kept.
    pub(crate) async fn next(&mut self) -> Made {
        match self.made.recv().await {
            Some(made) => made,
            None => std::future::pending().await,
        }
    }
}

/// A unit that gave no sound at all is tried again; one that broke off is not, as its beginning was heard.
async fn make(
    kit: &dyn SpeechKit,
    voice: &VoiceChoice,
    patience: Duration,
    unit: u32,
    text: &str,
    out: &mpsc::Sender<Made>,
) -> Result<(), SpeechError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut any = false;
        match stream(kit, voice, patience, unit, text, out, &mut any).await {
            Ok(()) if any => return Ok(()),
            Ok(()) if tries >= TRIES => return Err(SpeechError::Provider("no sound came".to_owned())),
            Err(error) if any || tries >= TRIES => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
}

async fn stream(
    kit: &dyn SpeechKit,
    voice: &VoiceChoice,
    patience: Duration,
    unit: u32,
    text: &str,
    out: &mpsc::Sender<Made>,
    any: &mut bool,
) -> Result<(), SpeechError> {
    let late = || SpeechError::TimedOut(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX));
    let speaking = tokio::time::timeout(patience, kit.mouth().speak(voice.request(text)));
    let mut sound = speaking.await.map_err(|_| late())??;
    while let Some(piece) = tokio::time::timeout(patience, sound.recv()).await.map_err(|_| late())? {
        for samples in piece?.chunks(PIECE_SAMPLES_MAX) {
            *any = true;
            let samples = samples.to_vec();
            if out.send(Made::Sound { unit, samples }).await.is_err() {
                // Nobody listens any more; the task is about to be ended.
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Makes a phrase to keep; `None` when that fails.
pub(crate) async fn prepare(
    kit: &dyn SpeechKit,
    voice: &VoiceChoice,
    patience: Duration,
    text: &str,
) -> Option<Vec<i16>> {
    let whole = async {
        let mut sound = kit.mouth().speak(voice.request(text)).await.ok()?;
        let mut samples = Vec::new();
        while let Some(piece) = sound.recv().await {
            samples.extend(piece.ok()?);
        }
        (!samples.is_empty()).then_some(samples)
    };
    tokio::time::timeout(patience, whole).await.ok().flatten()
}
