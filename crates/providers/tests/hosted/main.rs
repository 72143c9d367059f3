//! Hosted services against servers on loopback that speak their wire formats, and against some that do not.

mod chat;
mod deepgram;
mod http_tool;
mod speech;
mod stub;
mod transcription;
