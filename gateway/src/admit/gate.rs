//! The gate: whether the line can take more of a tier just now, and whether an operator holds the app.

use std::sync::Arc;
use std::time::Duration;

use crate::config::plan::{AppId, TierId};

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

    /// Where an operator holds the app: what it is to be told, empty for nothing in particular.
    fn held(&self, _app: AppId) -> Option<Arc<str>> {
        None
    }
}
