//! Waiting for facts: look, rest briefly, look again, and give up at a deadline.

use std::time::{Duration, Instant};

/// Rest between two looks.
const REST: Duration = Duration::from_millis(10);

/// Looks until `look` finds something. Panics after `within`, naming `what` was waited for.
#[track_caller]
pub fn until<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    match found(within, &mut look) {
        Some(fact) => fact,
        None => panic!("waited {within:?} in vain for: {what}"),
    }
}

/// As [`until`], but `None` where nothing was found in time.
pub fn found<T>(within: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        // One look is always taken after the deadline, so that a slow machine cannot skip it.
        let last = Instant::now() >= deadline;
        if let Some(fact) = look() {
            return Some(fact);
        }
        if last {
            return None;
        }
        std::thread::sleep(REST);
    }
}

/// Lets load run for this long: the moment of a fault is the only thing a test may choose by time.
pub fn let_pass(time: Duration) {
    std::thread::sleep(time);
}

/// Seconds, for deadlines.
pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
