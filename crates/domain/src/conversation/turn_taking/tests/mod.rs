//! Turn taking as timelines, as a dialogue simulator, and by properties.

mod dialogues;
mod properties;
mod stage;
mod timelines;
