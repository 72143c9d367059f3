//! Hosted services against servers on loopback that speak their wire formats, and against some that do not.

mod chat;
mod http_tool;
mod stub;
