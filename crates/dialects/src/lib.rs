//! carillon-dialects.
