//! What became of messages.

pub mod story;
