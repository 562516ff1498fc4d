//! The line from HTTP to a channel and back. One folder per stage; `app` is the only file that knows them all.

pub mod accept;
pub mod admit;
pub mod app;
pub mod callback;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod ctl;
pub mod descriptors;
mod few;
pub mod fleet;
pub mod ids;
pub mod journal;
mod json;
pub mod listen;
pub mod meter;
pub mod observe;
pub mod report;
pub mod route;
pub mod switch;
pub mod vital;
