//! carillon-store.
