//! event_renderer.
