//! carillon-carriers.
