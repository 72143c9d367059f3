//! Days and times of day in words.
