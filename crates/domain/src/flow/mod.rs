//! The flow brain: a declarative graph that says templates and expects typed answers. Pure, deterministic, without any model.
