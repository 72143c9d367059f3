//! What an engine is started with.

use crate::clips::{ClipSource, FolderClips};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

/// Settings of a [`crate::MediaEngine`].
#[derive(Clone)]
pub struct EngineConfig {
    /// Address that media sockets are bound to.
    pub bind_address: IpAddr,
    /// Address written into SDP when an endpoint names none; `None`: the address of the default route.
    pub advertised_address: Option<IpAddr>,
    /// UDP ports to take. A call takes an even one for RTP and the odd one after it for RTCP.
    pub ports: RangeInclusive<u16>,
    /// Media threads; `None`: one a core, and a single one (not pinned) on one or two cores.
    pub media_threads: Option<usize>,
    /// Where recordings are written, in a folder for each workspace.
    pub recordings: PathBuf,
    /// Where clips come from.
    pub clips: Arc<dyn ClipSource>,
    /// How many bytes of encoded clips are kept in memory.
    pub clip_cache_bytes: usize,
    /// Our RTCP name (RFC 3550 section 6.5.1); says nothing about users or calls.
    pub canonical_name: String,
    /// Where SSRCs, first sequence numbers and first timestamps are drawn from.
    pub seed: u64,
}

impl EngineConfig {
    /// Defaults for clips and recordings in the given folders. `seed` should be random outside of tests.
    pub fn new(clips: PathBuf, recordings: PathBuf, seed: u64) -> Self {
        Self {
            bind_address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            advertised_address: None,
            ports: 16_384..=32_767,
            media_threads: None,
            recordings,
            clips: Arc::new(FolderClips::new(clips)),
            clip_cache_bytes: 64 << 20,
            canonical_name: "media@carillon".to_owned(),
            seed,
        }
    }
}
