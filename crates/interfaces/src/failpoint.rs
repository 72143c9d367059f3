//! failpoint.
