//! The voice: a text cut into pieces, each made into sound by Piper, flite or espeak-ng, one after the other.

use super::clips::{ClipKey, Clips};
use super::loudness;
use super::piper::{Piper, VoiceFacts};
use super::programs;
use super::resample::{Resampler, to_float};
use super::text::{self, Piece};
use super::workers::{Urgency, Workers};
use async_trait::async_trait;
use carillon_domain::language::Language;
use carillon_interfaces::speech::{
    SAMPLE_RATE_HZ, SpeakRequest, SpeechError, SpokenSound, TextToSpeech, VoiceDescription,
};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Pieces that may wait for their listener: what is made ahead of what is played.
const PIECES_AHEAD: usize = 2;

/// What makes the sound.
pub(super) enum Voice {
    /// Piper, with phonemes by espeak-ng.
    Piper {
        /// The voices, one for each thread.
        workers: Workers<Piper>,
        /// What the voice is.
        facts: VoiceFacts,
    },
    /// The program flite.
    Flite,
    /// The program espeak-ng.
    Espeak,
}

impl Voice {
    /// Its name in a [`SpeakRequest`] and in `doctor`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Voice::Piper { .. } => "joe",
            Voice::Flite => "slt",
            Voice::Espeak => "espeak-ng",
        }
    }

    /// The program that makes the sound.
    pub(super) fn program(&self) -> &'static str {
        match self {
            Voice::Piper { .. } => "Piper",
            Voice::Flite => "flite",
            Voice::Espeak => "espeak-ng",
        }
    }
}

/// The embedded voice; `voice` is `None` where nothing here can speak.
pub(super) struct Mouth {
    inner: Arc<Inner>,
}

struct Inner {
    voice: Option<Voice>,
    clips: Clips,
    /// Programs that run at once: each takes a core for a moment.
    programs: Semaphore,
    limit_ms: u64,
}

impl Mouth {
    /// A mouth with a voice, that keeps so many bytes of what it said. A piece may wait and take so long.
    pub(super) fn new(voice: Option<Voice>, clips_bytes: usize, programs_at_once: usize, limit_ms: u64) -> Self {
        Self {
            inner: Arc::new(Inner {
                voice,
                clips: Clips::new(clips_bytes),
                programs: Semaphore::new(programs_at_once.max(1)),
                limit_ms,
            }),
        }
    }

    fn check(&self, request: &SpeakRequest) -> Result<Vec<Piece>, SpeechError> {
        let Some(voice) = &self.inner.voice else {
            return Err(SpeechError::Unavailable(
                "no voice: run `scripts/models`, or install flite or espeak-ng".to_owned(),
            ));
        };
        if !Language::english().serves(&request.language) {
            return Err(SpeechError::Language(request.language.clone()));
        }
        if let Some(wanted) = request.voice.as_deref().filter(|wanted| *wanted != voice.name()) {
            return Err(SpeechError::Unavailable(format!(
                "there is no voice `{wanted}` here, only `{}`",
                voice.name()
            )));
        }
        if request.text.chars().count() > text::TEXT_LETTERS_MAX {
            return Err(SpeechError::Provider(format!(
                "the text is longer than {} letters; say it in parts",
                text::TEXT_LETTERS_MAX
            )));
        }
        Ok(text::pieces(&request.text))
    }
}

#[async_trait]
impl TextToSpeech for Mouth {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn voices(&self) -> Vec<VoiceDescription> {
        let voice = self.inner.voice.iter();
        voice
            .map(|voice| VoiceDescription {
                name: voice.name().to_owned(),
                language: Language::english(),
            })
            .collect()
    }

    async fn speak(&self, request: SpeakRequest) -> Result<SpokenSound, SpeechError> {
        let pieces = self.check(&request)?;
        let (pieces_out, sound) = mpsc::channel(PIECES_AHEAD);
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            let speaking = async {
                for (number, piece) in pieces.into_iter().enumerate() {
                    let urgency = if number == 0 { Urgency::Now } else { Urgency::Later };
                    let made = inner.say(piece, request.speed_percent, urgency).await;
                    let failed = made.is_err();
                    if pieces_out.send(made).await.is_err() || failed {
                        return;
                    }
                }
            };
            // Whoever no longer listens must not make a program or a worker go on.
            tokio::select! {
                () = speaking => {}
                () = pieces_out.closed() => {}
            }
        });
        Ok(sound)
    }
}

impl Inner {
    async fn say(
        self: &Arc<Self>,
        piece: Piece,
        speed_percent: u16,
        urgency: Urgency,
    ) -> Result<Vec<i16>, SpeechError> {
        let Some(voice) = &self.voice else {
            return Err(SpeechError::Unavailable("no voice".to_owned()));
        };
        let key = ClipKey {
            voice: voice.name(),
            speed_percent,
            text: piece.text.clone(),
            pause_ms: piece.pause.duration_ms(),
        };
        if let Some(sound) = self.clips.find(&key) {
            return Ok(sound.to_vec());
        }
        let sound = match voice {
            Voice::Piper { workers, facts } => self.by_piper(workers, facts, &piece, speed_percent, urgency).await?,
            Voice::Flite => {
                self.by_program(programs::flite_sound(&piece.text, speed_percent), &piece)
                    .await?
            }
            Voice::Espeak => {
                self.by_program(programs::espeak_sound(&piece.text, speed_percent), &piece)
                    .await?
            }
        };
        self.clips.keep(key, sound.as_slice().into());
        Ok(sound)
    }

    async fn by_piper(
        &self,
        workers: &Workers<Piper>,
        facts: &VoiceFacts,
        piece: &Piece,
        speed_percent: u16,
        urgency: Urgency,
    ) -> Result<Vec<i16>, SpeechError> {
        let phonemes = self.phonemes(facts, &piece.text).await?;
        let (rate_hz, pause_ms) = (facts.sample_rate_hz, piece.pause.duration_ms());
        let (answer, made) = oneshot::channel();
        let job = move |piper: &mut Piper| {
            if answer.is_closed() {
                return;
            }
            let began = Instant::now();
            let sound = piper
                .say(&phonemes, speed_percent)
                .map(|sound| loudness::finish(Resampler::new(rate_hz, SAMPLE_RATE_HZ).apply(&sound), pause_ms));
            metrics::histogram!("carillon_speech_synthesise_seconds").record(began.elapsed().as_secs_f64());
            let _ = answer.send(sound);
        };
        workers.submit(urgency, job).map_err(|_| SpeechError::Busy)?;
        match tokio::time::timeout(Duration::from_millis(self.limit_ms), made).await {
            Ok(Ok(sound)) => sound.map_err(SpeechError::Provider),
            Ok(Err(_)) => Err(SpeechError::Provider("the voice broke off".to_owned())),
            Err(_) => Err(SpeechError::TimedOut(self.limit_ms)),
        }
    }

    /// Phonemes with the marks that shape the melody, which espeak-ng leaves out.
    async fn phonemes(&self, facts: &VoiceFacts, text: &str) -> Result<String, SpeechError> {
        let clauses = text::clauses(text);
        let _permit = self.programs.acquire().await;
        let lines = programs::phonemes(&facts.phonemes_by, &clauses)
            .await
            .map_err(SpeechError::Provider)?;
        let mut phonemes = String::new();
        for (clause, line) in clauses.iter().zip(lines) {
            if !phonemes.is_empty() {
                phonemes.push(' ');
            }
            phonemes.push_str(&line);
            phonemes.push(match clause.chars().next_back() {
                Some(mark @ (',' | ';' | ':' | '!' | '?' | '.')) => mark,
                Some('–' | '—') => ',',
                _ => '.',
            });
        }
        Ok(phonemes)
    }

    async fn by_program(
        &self,
        program: impl Future<Output = Result<Vec<u8>, String>>,
        piece: &Piece,
    ) -> Result<Vec<i16>, SpeechError> {
        let _permit = self.programs.acquire().await;
        let wav = program.await.map_err(SpeechError::Provider)?;
        let pause_ms = piece.pause.duration_ms();
        let made = tokio::task::spawn_blocking(move || {
            let (rate_hz, samples) = programs::read_wav(&wav)?;
            let sound = Resampler::new(rate_hz, SAMPLE_RATE_HZ).apply(&to_float(&samples));
            Some(loudness::finish(sound, pause_ms))
        });
        made.await
            .ok()
            .flatten()
            .ok_or_else(|| SpeechError::Provider("the program wrote no WAV of one channel".to_owned()))
    }
}
