//! The gate: whether the line can take more of a tier just now, and whether an operator holds the app.

use std::sync::Arc;
use std::time::Duration;

use crate::config::plan::{AppId, GroupId, TierId};

/// Who asks, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The app.
    pub app: AppId,
    /// The message's tier.
    pub tier: TierId,
    /// The group it would wait for.
    pub group: GroupId,
    /// How long it may wait.
    pub valid_for: Duration,
    /// Messages of the same request that come in before it.
    pub ahead: u32,
}

/// Not now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Busy {
    /// Why, in a word (`journal`, `messages`, `wait`, `down`, `late`, `draining`).
    pub reason: &'static str,
    /// When to come back; the door adds jitter.
    pub retry_after: Duration,
    /// How long the message would wait, where that is the reason.
    pub wait: Option<Wait>,
}

/// What a message would have to wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wait {
    /// Until it leaves.
    pub wait: Duration,
    /// Parts that leave before it.
    pub parts_ahead: u64,
    /// Parts per second its channels take.
    pub pace: f64,
    /// For how long all of its channels have been down; zero where one is not.
    pub down: Duration,
}

/// Says whether the line can take more. Lower tiers are shed first.
pub trait Gate: Send + Sync {
    /// May this message come in now? If it may, so may one that asks alike with fewer ahead.
    fn admit(&self, ask: &Ask) -> Result<(), Busy>;

    /// Where an operator holds the app: what it is to be told, empty for nothing in particular.
    fn held(&self, _app: AppId) -> Option<Arc<str>> {
        None
    }
}
