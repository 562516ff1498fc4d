//! The line from HTTP to a channel and back. One folder per stage; `app` is the only file that knows them all.

pub mod cli;
pub mod clock;
pub mod config;
pub mod ids;
pub mod journal;
pub mod observe;
pub mod report;
pub mod route;
pub mod switch;
