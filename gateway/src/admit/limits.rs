//! Per-app rates at the door, in parts per second with a burst of two seconds.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::clock::Time;
use crate::config::plan::App;

/// The time as its caller last told it, so that the limiters read no clock of their own.
#[derive(Clone, Debug, Default)]
struct Told(Arc<AtomicU64>);

impl Clock for Told {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// One limiter per app. Made afresh on reload: carrying state into a new quota would stall it.
pub struct Limits {
    told: Told,
    apps: Vec<RateLimiter<NotKeyed, InMemoryState, Told, NoOpMiddleware<Duration>>>,
    bursts: Vec<NonZeroU32>,
}

impl Limits {
    /// Full buckets for these apps, in their order.
    pub fn new(apps: &[App]) -> Self {
        let told = Told::default();
        let rate = |app: &App| NonZeroU32::new(app.rate).unwrap_or(NonZeroU32::MIN);
        let bursts: Vec<NonZeroU32> =
            apps.iter().map(|app| rate(app).saturating_mul(NonZeroU32::MIN.saturating_add(1))).collect();
        let apps = apps
            .iter()
            .zip(&bursts)
            .map(|(app, burst)| {
                RateLimiter::direct_with_clock(Quota::per_second(rate(app)).allow_burst(*burst), told.clone())
            })
            .collect();
        Limits { told, apps, bursts }
    }

    /// Takes `parts` from the app at that position, or says when they would be there. A message longer than the whole
    /// burst takes the whole burst.
    pub fn take(&self, now: Time, app: usize, parts: u8) -> Result<(), Duration> {
        let (Some(limiter), Some(burst)) = (self.apps.get(app), self.bursts.get(app)) else { return Ok(()) };
        self.told.0.store(now.0, Ordering::Relaxed);
        let parts = NonZeroU32::new(u32::from(parts)).unwrap_or(NonZeroU32::MIN).min(*burst);
        match limiter.check_n(parts) {
            Ok(Ok(())) | Err(_) => Ok(()),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(Duration::from_micros(now.0))),
        }
    }
}
