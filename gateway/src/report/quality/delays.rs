//! How long receipts take, in powers of two: what is usual must hold for carriers of seconds and of hours.

use std::time::Duration;

/// The bounds are this, twice this, and so on: up to 29 hours.
const FIRST: Duration = Duration::from_millis(100);
/// How many bounds there are; what is longer counts with the last.
pub(super) const BOUNDS: usize = 21;
/// With so many delays all counts are halved, so that a carrier's new habits show.
const HALVED_AT: f32 = 20_000.0;
/// Fewer say nothing.
const FEWEST: f32 = 200.0;
/// What is taken for usual until something is known.
const UNKNOWN: Duration = Duration::from_secs(600);

/// A histogram of delays that forgets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Delays(pub(super) [f32; BOUNDS]);

impl Delays {
    pub(super) fn add(&mut self, delay: Duration) {
        let at = (0..BOUNDS).find(|at| delay <= bound(*at)).unwrap_or(BOUNDS - 1);
        if let Some(count) = self.0.get_mut(at) {
            *count += 1.0;
        }
        if self.total() >= HALVED_AT {
            self.0.iter_mut().for_each(|count| *count /= 2.0);
        }
    }

    fn total(&self) -> f32 {
        self.0.iter().sum()
    }

    /// The 99th percentile, rounded up to a bound.
    pub(super) fn usual(&self) -> Duration {
        let total = self.total();
        if total < FEWEST {
            return UNKNOWN;
        }
        let mut below = 0.0;
        for (at, count) in self.0.iter().enumerate() {
            below += count;
            if below >= total * 0.99 {
                return bound(at);
            }
        }
        bound(BOUNDS - 1)
    }
}

fn bound(at: usize) -> Duration {
    FIRST * 2u32.saturating_pow(u32::try_from(at).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_delay_is_the_99th_percentile_and_follows_the_carrier() {
        let mut delays = Delays::default();
        assert_eq!(delays.usual(), UNKNOWN);
        (0..990).for_each(|_| delays.add(Duration::from_secs(3)));
        (0..10).for_each(|_| delays.add(Duration::from_secs(3600)));
        assert_eq!(delays.usual(), Duration::from_millis(3_200));
        (0..100_000).for_each(|_| delays.add(Duration::from_secs(60)));
        assert_eq!(delays.usual(), Duration::from_millis(102_400));
        delays.add(Duration::from_secs(1_000_000));
        assert!(delays.total() < HALVED_AT);
    }
}
