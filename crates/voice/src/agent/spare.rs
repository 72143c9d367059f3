//! Phrases that were made before they were needed: what a caller hears when nothing can be made any more.

use super::mouth::{self, VoiceChoice};
use carillon_interfaces::speech::SpeechKit;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Phrases that are kept, over all voices.
const PHRASES_MAX: usize = 64;
/// How long making one may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The phrases of all conversations of an engine.
#[derive(Clone, Default)]
pub(crate) struct SparePhrases {
    kept: Arc<Mutex<BTreeMap<Key, Arc<[i16]>>>>,
}

/// Language, voice, speed, words.
type Key = (String, Option<String>, u16, String);

fn key(voice: &VoiceChoice, text: &str) -> Key {
    (
        voice.language.to_string(),
        voice.voice.clone(),
        voice.speed_percent,
        text.to_owned(),
    )
}

impl SparePhrases {
    /// The sound of a phrase, if it was made before.
    pub(crate) fn get(&self, voice: &VoiceChoice, text: &str) -> Option<Arc<[i16]>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&key(voice, text)).cloned()
    }

    /// Makes a phrase beside the call, unless it is there.
    pub(crate) fn want(&self, kit: &Arc<dyn SpeechKit>, voice: &VoiceChoice, text: &str) {
        if text.is_empty() || self.get(voice, text).is_some() {
            return;
        }
        let (phrases, kit, voice, text) = (self.clone(), Arc::clone(kit), voice.clone(), text.to_owned());
        tokio::spawn(async move {
            if let Some(samples) = mouth::prepare(&*kit, &voice, PATIENCE, &text).await {
                phrases.keep(key(&voice, &text), samples.into());
            }
        });
    }

    fn keep(&self, key: Key, samples: Arc<[i16]>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= PHRASES_MAX {
            kept.pop_first();
        }
        kept.insert(key, samples);
    }
}
