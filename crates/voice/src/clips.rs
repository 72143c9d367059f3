//! Clips: loaded, encoded once per codec, and kept in memory up to a number of bytes.

use carillon_domain::ids::ClipId;
use carillon_domain::trunk::Codec;
use carillon_media::g711;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Why a clip cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClipError {
    /// There is no such clip.
    #[error("clip {0} is missing")]
    Missing(ClipId),
    /// It is there and cannot be read.
    #[error("clip {0} cannot be read: {1}")]
    Unreadable(ClipId, String),
}

/// Where clips come from.
pub trait ClipSource: Send + Sync {
    /// The samples of a clip, 8,000 a second, one channel. May block: it is never called on a media thread.
    fn load(&self, clip: ClipId) -> Result<Vec<i16>, ClipError>;
}

/// Clips as files `<clip id>.pcm` in one folder: signed 16-bit little-endian samples without a header.
#[derive(Clone, Debug)]
pub struct FolderClips {
    folder: PathBuf,
}

impl FolderClips {
    /// The clips of a folder.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }
}

impl ClipSource for FolderClips {
    fn load(&self, clip: ClipId) -> Result<Vec<i16>, ClipError> {
        let bytes = std::fs::read(self.folder.join(format!("{clip}.pcm"))).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ClipError::Missing(clip),
            _ => ClipError::Unreadable(clip, error.to_string()),
        })?;
        Ok(bytes
            .chunks_exact(2)
            .map(|sample| i16::from_le_bytes([sample[0], sample[1]]))
            .collect())
    }
}

/// A clip encoded for one codec: a byte a sample.
pub(crate) type EncodedClip = Arc<[u8]>;

/// Encoded clips, the least recently used of which make room for others.
pub(crate) struct ClipCache {
    source: Arc<dyn ClipSource>,
    kept: Mutex<Kept>,
}

/// A clip and the payload type of its codec.
type Key = (ClipId, u8);

fn key(clip: ClipId, codec: Codec) -> Key {
    (clip, g711::payload_type(codec))
}

#[derive(Default)]
struct Kept {
    clips: HashMap<Key, (EncodedClip, u64)>,
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    bytes: usize,
    bytes_max: usize,
}

impl ClipCache {
    pub(crate) fn new(source: Arc<dyn ClipSource>, bytes_max: usize) -> Self {
        Self {
            source,
            kept: Mutex::new(Kept {
                bytes_max,
                ..Kept::default()
            }),
        }
    }

    /// The clip, if it is in memory.
    pub(crate) fn cached(&self, clip: ClipId, codec: Codec) -> Option<EncodedClip> {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key(clip, codec))
    }

    /// Loads and encodes the clip. Blocks on the source.
    pub(crate) fn load(&self, clip: ClipId, codec: Codec) -> Result<EncodedClip, ClipError> {
        let encoded: EncodedClip = g711::encode(codec, &self.source.load(clip)?).into();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(key(clip, codec), Arc::clone(&encoded));
        Ok(encoded)
    }

    /// Forgets a clip whose sound has changed. Calls that play it go on with the old sound.
    pub(crate) fn forget(&self, clip: ClipId) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(key(clip, Codec::Pcmu));
        kept.remove(key(clip, Codec::Pcma));
    }
}

impl Kept {
    fn get(&mut self, key: Key) -> Option<EncodedClip> {
        self.uses += 1;
        let (clip, used) = self.clips.get_mut(&key)?;
        self.by_use.remove(used);
        *used = self.uses;
        self.by_use.insert(self.uses, key);
        Some(Arc::clone(clip))
    }

    fn insert(&mut self, key: Key, clip: EncodedClip) {
        self.remove(key);
        self.uses += 1;
        self.bytes += clip.len();
        self.by_use.insert(self.uses, key);
        self.clips.insert(key, (clip, self.uses));
        while self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            self.remove(oldest);
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some((clip, used)) = self.clips.remove(&key) {
            self.by_use.remove(&used);
            self.bytes -= clip.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use uuid::Uuid;

    struct Counting(AtomicUsize);

    impl ClipSource for Counting {
        fn load(&self, _: ClipId) -> Result<Vec<i16>, ClipError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(vec![0; 400])
        }
    }

    fn clip(number: u128) -> ClipId {
        ClipId::new(Uuid::from_u128(number))
    }

    #[test]
    fn the_least_recently_used_clip_makes_room() {
        let cache = ClipCache::new(Arc::new(Counting(AtomicUsize::new(0))), 1_000);
        for number in [1, 2] {
            cache.load(clip(number), Codec::Pcmu).expect("loaded");
        }
        assert!(cache.cached(clip(1), Codec::Pcmu).is_some());
        cache.load(clip(3), Codec::Pcmu).expect("loaded");
        let kept = |number| cache.cached(clip(number), Codec::Pcmu).is_some();
        assert_eq!([kept(1), kept(2), kept(3)], [true, false, true]);
    }

    #[test]
    fn a_clip_is_kept_per_codec_and_forgotten_in_all() {
        let cache = ClipCache::new(Arc::new(Counting(AtomicUsize::new(0))), 1_000);
        let mu = cache.load(clip(1), Codec::Pcmu).expect("loaded");
        let a = cache.load(clip(1), Codec::Pcma).expect("loaded");
        assert_eq!((mu[0], a[0]), (0xFF, 0xD5));
        cache.forget(clip(1));
        assert!(cache.cached(clip(1), Codec::Pcmu).is_none() && cache.cached(clip(1), Codec::Pcma).is_none());
    }

    #[test]
    fn a_folder_says_which_clip_it_lacks() {
        let folder = tempfile::tempdir().expect("a folder");
        let clips = FolderClips::new(folder.path().to_owned());
        assert_eq!(clips.load(clip(1)), Err(ClipError::Missing(clip(1))));
        std::fs::write(folder.path().join(format!("{}.pcm", clip(1))), [1, 0, 255, 255, 9]).expect("written");
        assert_eq!(clips.load(clip(1)), Ok(vec![1, -1]));
    }
}
