//! Per-app rates at the door, in parts per second with a burst of two seconds.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::clock::Time;
use crate::config::plan::{App, AppId};

/// The time as its caller last told it, so that the limiters read no clock of their own.
#[derive(Clone, Debug, Default)]
struct Told(Arc<AtomicU64>);

impl Clock for Told {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// One limiter per app, which lives on over reloads as long as the app's rate stays.
pub struct Limits {
    apps: Vec<Arc<Limiter>>,
    by_id: BTreeMap<AppId, Arc<Limiter>>,
}

struct Limiter {
    rate: u32,
    burst: NonZeroU32,
    told: Told,
    bucket: RateLimiter<NotKeyed, InMemoryState, Told, NoOpMiddleware<Duration>>,
}

impl Limiter {
    /// A full bucket.
    fn new(rate: u32) -> Limiter {
        let told = Told::default();
        let per_second = NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
        let burst = per_second.saturating_mul(NonZeroU32::MIN.saturating_add(1));
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Limiter { rate, burst, bucket: RateLimiter::direct_with_clock(quota, told.clone()), told }
    }
}

impl Limits {
    /// Full buckets for these apps, in their order.
    pub fn new(apps: &[App]) -> Self {
        Limits { apps: Vec::new(), by_id: BTreeMap::new() }.next(apps)
    }

    /// Limits for the apps of the next plan, in their order. An app whose rate is the same keeps its bucket: a reload
    /// is no new quota. A new rate starts with a full bucket, for what was saved under another rate means nothing.
    pub fn next(&self, apps: &[App]) -> Self {
        let limiter = |app: &App| match self.by_id.get(&app.id).filter(|known| known.rate == app.rate) {
            Some(known) => known.clone(),
            None => Arc::new(Limiter::new(app.rate)),
        };
        let limiters: Vec<Arc<Limiter>> = apps.iter().map(limiter).collect();
        let by_id = apps.iter().map(|app| app.id).zip(limiters.iter().cloned()).collect();
        Limits { apps: limiters, by_id }
    }

    /// Takes `parts` from the app at that position, or says when they would be there. A message longer than the whole
    /// burst takes the whole burst.
    pub fn take(&self, now: Time, app: usize, parts: u8) -> Result<(), Duration> {
        let Some(limiter) = self.apps.get(app) else { return Ok(()) };
        limiter.told.0.store(now.0, Ordering::Relaxed);
        let parts = NonZeroU32::new(u32::from(parts)).unwrap_or(NonZeroU32::MIN).min(limiter.burst);
        match limiter.bucket.check_n(parts) {
            Ok(Ok(())) | Err(_) => Ok(()),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(Duration::from_micros(now.0))),
        }
    }

    /// Takes the parts of many messages, if they are all there and no more than a burst; else nothing.
    pub fn take_all(&self, now: Time, app: usize, parts: u32) -> bool {
        let Some(limiter) = self.apps.get(app) else { return true };
        limiter.told.0.store(now.0, Ordering::Relaxed);
        let parts = NonZeroU32::new(parts).filter(|parts| *parts <= limiter.burst);
        parts.is_some_and(|parts| matches!(limiter.bucket.check_n(parts), Ok(Ok(()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(id: u16, rate: u32) -> App {
        App {
            id: AppId(id),
            name: "app".into(),
            keys: Vec::new(),
            rate,
            send_rate: None,
            tiers: Vec::new(),
            signatures: Vec::new(),
            numbers: Vec::new(),
            default_country: None,
            allow_ips: Vec::new(),
            callback: None,
            options: String::new(),
        }
    }

    /// Parts of one that pass at once.
    fn passes(limits: &Limits, app: usize) -> usize {
        (0..1_000).take_while(|_| limits.take(Time(1_000_000), app, 1).is_ok()).count()
    }

    #[test]
    fn a_reload_is_no_new_quota() {
        let mut limits = Limits::new(&[app(0, 10), app(1, 20)]);
        assert_eq!((passes(&limits, 0), passes(&limits, 1)), (20, 40), "two seconds each");
        for _ in 0..5 {
            limits = limits.next(&[app(1, 20), app(2, 5), app(0, 10)]);
        }
        assert_eq!([0, 1, 2].map(|at| passes(&limits, at)), [0, 10, 0], "by app, not by place");
    }

    #[test]
    fn many_take_what_each_of_them_would() {
        let at = Time(1_000_000);
        let limits = Limits::new(&[app(0, 10)]);
        assert!(!limits.take_all(at, 0, 21), "more than the burst");
        assert!(limits.take_all(at, 0, 15));
        assert!(!limits.take_all(at, 0, 6), "of which nothing was taken");
        assert_eq!(passes(&limits, 0), 5);
        assert!(limits.take_all(Time(2_000_000), 0, 10) && !limits.take_all(Time(2_000_000), 0, 1));
    }

    #[test]
    fn another_rate_counts_from_the_reload_on() {
        let limits = Limits::new(&[app(0, 10)]);
        passes(&limits, 0);
        let faster = limits.next(&[app(0, 30)]);
        assert_eq!(passes(&faster, 0), 60);
        let late = Time(2_000_000);
        assert_eq!((0..1_000).take_while(|_| faster.take(late, 0, 1).is_ok()).count(), 30);
    }
}
