//! What the far end says, as samples that are made while the sandbox starts: nothing binary is kept in the repository.

use crate::speech::{self, Voice};
use carillon_media::{SAMPLE_RATE, tone};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Something to be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phrase {
    Greeting,
    Yes,
    No,
    CallLater,
    DoNotCall,
    Digits,
    Interruption,
    Hum,
    NoisyTalk,
    VoicemailGreeting,
    Beep,
    CallScreening,
    CallScreeningThanks,
    Menu,
    Ringback,
    Fine,
    ThatIsAll,
    Thanks,
    NoisyYes,
}

impl Phrase {
    pub(crate) const ALL: [Self; 19] = [
        Self::Greeting,
        Self::Yes,
        Self::No,
        Self::CallLater,
        Self::DoNotCall,
        Self::Digits,
        Self::Interruption,
        Self::Hum,
        Self::NoisyTalk,
        Self::VoicemailGreeting,
        Self::Beep,
        Self::CallScreening,
        Self::CallScreeningThanks,
        Self::Menu,
        Self::Ringback,
        Self::Fine,
        Self::ThatIsAll,
        Self::Thanks,
        Self::NoisyYes,
    ];

    /// Its words; empty for what is not speech.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Greeting => "Hello? Good morning.",
            Self::Yes | Self::NoisyYes => "Yes, please.",
            Self::Fine => "Yes, that is fine.",
            Self::ThatIsAll => "No, that is all.",
            Self::Thanks => "Thank you. Goodbye.",
            Self::No => "No, thank you.",
            Self::CallLater => "This is not a good time. Please call me back tomorrow at ten.",
            Self::DoNotCall => "Please do not call me again.",
            Self::Digits => "Four, seven, one, nine.",
            Self::Interruption => "Sorry, wait a moment. Who is this?",
            Self::NoisyTalk => "Hello? I am in the street, it is loud here. Can you hear me?",
            Self::VoicemailGreeting => {
                "You have reached the voicemail of a sandbox number. Please leave a message after the tone."
            }
            Self::CallScreening => {
                "Hello. The person you are calling uses a call assistant. Please say your name and why you are calling."
            }
            Self::CallScreeningThanks => "Thank you. Stay on the line, I will ask.",
            Self::Menu => "Welcome. For sales, press one. For support, press two. To hear this again, press nine.",
            Self::Hum | Self::Beep | Self::Ringback => "",
        }
    }
}

/// All phrases, 8,000 samples a second, each made when it is first asked for.
pub(crate) struct PhraseBook {
    voice: Voice,
    seed: u64,
    samples: [OnceCell<Arc<[i16]>>; Phrase::ALL.len()],
}

impl PhraseBook {
    /// A book of phrases that are still to be made. With [`Voice::Auto`] each falls back to synthetic sound by itself.
    pub(crate) fn new(voice: Voice, seed: u64) -> Self {
        Self {
            voice,
            seed,
            samples: std::array::from_fn(|_| OnceCell::new()),
        }
    }

    /// Makes all that have not been made yet.
    pub(crate) async fn make_all(&self) {
        for phrase in Phrase::ALL {
            self.samples(phrase).await;
        }
    }

    pub(crate) async fn samples(&self, phrase: Phrase) -> Arc<[i16]> {
        let made = self.samples[phrase as usize].get_or_init(|| async { self.make(phrase).await.into() });
        Arc::clone(made.await)
    }

    async fn make(&self, phrase: Phrase) -> Vec<i16> {
        let seed = self.seed;
        match phrase {
            Phrase::Beep => tone::sine(1_000.0, 9_000, 500),
            Phrase::Ringback => ringback(),
            Phrase::Hum => speech::hum(),
            Phrase::NoisyTalk | Phrase::NoisyYes => {
                speech::with_noise(&speech::say(phrase.text(), &self.voice, seed).await, seed)
            }
            _ => speech::say(phrase.text(), &self.voice, seed).await,
        }
    }
}

/// The ringback tone of North America (440 and 480 Hz): two seconds, then four of silence.
fn ringback() -> Vec<i16> {
    let (low, high) = (tone::sine(440.0, 4_000, 2_000), tone::sine(480.0, 4_000, 2_000));
    let ring = low.iter().zip(high).map(|(low, high)| low + high);
    ring.chain(std::iter::repeat_n(0, 4 * SAMPLE_RATE as usize)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loudness(samples: &[i16]) -> f64 {
        (samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    #[tokio::test]
    async fn every_phrase_is_heard_and_says_the_same_under_the_same_seed() {
        let (book, again, other) = (
            PhraseBook::new(Voice::Synthetic, 7),
            PhraseBook::new(Voice::Synthetic, 7),
            PhraseBook::new(Voice::Synthetic, 8),
        );
        for (index, phrase) in Phrase::ALL.into_iter().enumerate() {
            assert_eq!(phrase as usize, index);
            let samples = book.samples(phrase).await;
            let seconds = samples.len() as f64 / f64::from(SAMPLE_RATE);
            assert!((0.3..16.0).contains(&seconds), "{phrase:?}: {seconds} s");
            assert!(
                (500.0..8_000.0).contains(&loudness(&samples)),
                "{phrase:?}: {}",
                loudness(&samples)
            );
            assert_eq!(samples, again.samples(phrase).await, "{phrase:?}");
            assert!(
                phrase.text().is_empty() || samples != other.samples(phrase).await,
                "{phrase:?}"
            );
        }
    }

    #[tokio::test]
    async fn noise_goes_on_between_words() {
        let book = PhraseBook::new(Voice::Synthetic, 7);
        let quietest = |samples: Arc<[i16]>| samples.chunks(800).map(loudness).fold(f64::MAX, f64::min);
        let (noisy, clear) = (
            book.samples(Phrase::NoisyTalk).await,
            book.samples(Phrase::Greeting).await,
        );
        let (noisy, clear) = (quietest(noisy), quietest(clear));
        assert!(noisy > 300.0 && clear < 50.0, "{noisy} {clear}");
    }
}
