//! carillon-media.
