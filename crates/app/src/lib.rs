//! carillon-app.
