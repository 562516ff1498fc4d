//! What the door and the courier count; the metrics registry implements it.

use std::time::Duration;

use crate::config::plan::TierId;

/// Counters of the stages that face applications.
pub trait Meter: Send + Sync {
    /// A request for a message was refused, for the problem code `reason`.
    fn rejected(&self, reason: &'static str);
    /// A message is durable and answered with 202.
    fn accepted(&self, tier: TierId, kind: &'static str);
    /// A batch of so many messages was answered: how many of each tier are durable, and how many were refused for each
    /// problem code.
    fn batch(&self, _messages: usize, _accepted: &[(TierId, u64)], _rejected: &[(&'static str, u64)]) {}
    /// A request was answered.
    fn http(&self, route: &'static str, method: &'static str, code: u16, took: Duration);
    /// The delivery of events ended or was put off: `delivered`, `retried`, `given_up`, `no_endpoint`, `overflow`. The
    /// delays, one for each, count from the event's own time where it was `delivered`.
    fn callback(&self, result: &'static str, delays: &mut dyn Iterator<Item = Duration>);
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMeter;

impl Meter for NoMeter {
    fn rejected(&self, _: &'static str) {}
    fn accepted(&self, _: TierId, _: &'static str) {}
    fn http(&self, _: &'static str, _: &'static str, _: u16, _: Duration) {}
    fn callback(&self, _: &'static str, _: &mut dyn Iterator<Item = Duration>) {}
}
