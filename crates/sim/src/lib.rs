//! carillon-sim.
