//! What of a channel's health is worth keeping over a restart.

use serde::{Deserialize, Serialize};

/// Plain data; times are durations as of when it was taken. The owner writes it down with a wall time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Flaps held against the channel.
    pub flaps: u32,
    /// What was left of its hold-down, in milliseconds.
    pub hold_ms: u64,
    /// Whether it was well; if not, its next bind is followed by a trial.
    pub well: bool,
    /// Latency histogram: bucket (10 ms each) and count, only those not empty.
    pub latency: Vec<(u16, u32)>,
    /// The 1 h baseline: bucket (eight to an octave, from 1 ms) and count, only those not empty.
    pub baseline: Vec<(u16, u32)>,
}
