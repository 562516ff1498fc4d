//! One channel's states: what its links show, with hysteresis, hold-down, trial and weight.

/// A channel's health.
#[derive(Debug)]
pub struct Channel {}
