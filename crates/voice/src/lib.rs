//! carillon-voice.
