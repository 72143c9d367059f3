//! The sound of all live calls: media threads, their sockets, clips and recordings.
//!
//! [`MediaEngine`] implements the `VoiceRuntime` interface. A few threads without an async runtime each own a slab of
//! calls; commands come in and events go out through bounded queues, and nothing on such a thread waits for anything but
//! the next millisecond. Clips are loaded and encoded before they get there, recordings are written by threads of their
//! own. What the packets mean is decided in `carillon_media`.

pub mod agent;
mod call;
mod clips;
mod clock;
mod config;
mod control;
mod engine;
mod far_end;
mod gain;
mod impairment;
mod keys;
mod line;
mod listener;
mod ports;
mod receive;
mod recording;
mod source;
mod speech;
mod statistics;
mod wheel;
mod worker;

pub use agent::ConverseParts;
pub use clips::{ClipError, ClipSource, FolderClips};
pub use config::EngineConfig;
pub use engine::{EngineError, MediaEngine};
pub use far_end::{CallFigures, FarEndCommand, FarEndEvent};
pub use line::{SoundFeed, SoundLine};
pub use listener::{HeardFrame, TimedFrame};
pub use recording::{RepairError, repair_recording};
pub use speech::{SpeechAction, SpeechNote};
