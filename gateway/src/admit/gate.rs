//! The pressure gate: whether the line can take more of a tier just now.

use std::time::Duration;

use crate::config::plan::TierId;

/// Not now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    /// Why, in a word (`journal`, `messages`, `draining`).
    pub reason: &'static str,
    /// When to come back; the door adds jitter.
    pub retry_after: Duration,
}

/// Says whether the line can take more. Lower tiers are shed first.
pub trait Gate: Send + Sync {
    /// May a message of this tier come in now?
    fn admit(&self, tier: TierId) -> Result<(), Busy>;
}
