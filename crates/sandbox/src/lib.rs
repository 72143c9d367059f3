//! carillon-sandbox.
