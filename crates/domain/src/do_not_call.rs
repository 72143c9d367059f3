//! do_not_call.
