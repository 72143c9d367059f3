//! Sound that was made before, so that a sentence said to a thousand people is computed once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// A piece of text as one voice says it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct ClipKey {
    pub(super) voice: &'static str,
    pub(super) speed_percent: u16,
    pub(super) text: String,
    pub(super) pause_ms: u32,
}

/// Sounds by what they say, up to a number of bytes; what was not used for longest goes first.
pub(super) struct Clips {
    limit_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    sounds: HashMap<ClipKey, (u64, Arc<[i16]>)>,
    /// From when a sound was last used to which it is.
    by_use: BTreeMap<u64, ClipKey>,
    uses: u64,
    bytes: usize,
}

impl Clips {
    /// A cache of at most so many bytes.
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            kept: Mutex::default(),
        }
    }

    /// The sound, if it is there.
    pub(super) fn find(&self, key: &ClipKey) -> Option<Arc<[i16]>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let now = kept.uses;
        let (used, sound) = kept.sounds.get_mut(key)?;
        let before = std::mem::replace(used, now);
        let sound = Arc::clone(sound);
        if let Some(key) = kept.by_use.remove(&before) {
            kept.by_use.insert(now, key);
        }
        Some(sound)
    }

    /// Keeps a sound, unless it is larger than all that may be kept.
    pub(super) fn keep(&self, key: ClipKey, sound: Arc<[i16]>) {
        let size = size(&key, &sound);
        if size > self.limit_bytes {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(&key);
        while kept.bytes + size > self.limit_bytes {
            let Some((_, oldest)) = kept.by_use.pop_first() else {
                break;
            };
            kept.remove(&oldest);
        }
        kept.uses += 1;
        let now = kept.uses;
        kept.bytes += size;
        kept.by_use.insert(now, key.clone());
        kept.sounds.insert(key, (now, sound));
    }
}

impl Kept {
    fn remove(&mut self, key: &ClipKey) {
        if let Some((used, sound)) = self.sounds.remove(key) {
            self.by_use.remove(&used);
            self.bytes = self.bytes.saturating_sub(size(key, &sound));
        }
    }
}

fn size(key: &ClipKey, sound: &[i16]) -> usize {
    std::mem::size_of_val(sound) + 2 * key.text.len() + 200
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> ClipKey {
        ClipKey {
            voice: "test",
            speed_percent: 100,
            text: text.to_owned(),
            pause_ms: 0,
        }
    }

    #[test]
    fn the_least_used_goes_when_there_is_no_room() {
        let clips = Clips::new(3 * 1_300);
        for text in ["a", "b", "c"] {
            clips.keep(key(text), vec![0; 500].into());
        }
        assert!(clips.find(&key("a")).is_some());
        clips.keep(key("d"), vec![0; 500].into());
        let there: Vec<bool> = ["a", "b", "c", "d"]
            .map(|text| clips.find(&key(text)).is_some())
            .to_vec();
        assert_eq!(there, [true, false, true, true]);
        clips.keep(key("large"), vec![0; 5_000].into());
        assert!(clips.find(&key("large")).is_none());
        for _ in 0..3 {
            clips.keep(key("a"), vec![0; 500].into());
        }
        assert!(clips.find(&key("d")).is_some(), "the same again takes no more room");
    }
}
