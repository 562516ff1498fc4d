//! When to dial again: back-off with full jitter. Pure: the randomness is seeded, the time comes in as durations.

use std::time::Duration;

use crate::Settings;

/// What became of one try at a connection, as far as the next wait depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It ended without a login.
    Failed,
    /// The login was refused for good: repeating it soon would only lock the account.
    Barred,
    /// It ended this long after the login.
    Bound(Duration),
}

/// The waits between one link's dials.
#[derive(Debug)]
pub(crate) struct Backoff {
    steps: Vec<Duration>,
    refused_pause: Duration,
    lived: Duration,
    next: usize,
    random: fastrand::Rng,
}

impl Backoff {
    /// Starts at the first wait.
    pub(crate) fn new(settings: &Settings, seed: u64) -> Self {
        Backoff {
            steps: settings.retry.clone(),
            refused_pause: settings.refused_pause,
            lived: settings.lived,
            next: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// How long to wait now. Drawn from 0 to the current step, so that a carrier's return is not met by all links of
    /// all its customers at once. After a refusal for good: the pause and up to half of it more.
    pub(crate) fn after(&mut self, outcome: Outcome) -> Duration {
        if let Outcome::Barred = outcome {
            return self.refused_pause + self.draw(self.refused_pause / 2);
        }
        if let Outcome::Bound(lived) = outcome
            && lived >= self.lived
        {
            self.next = 0;
        }
        let step = self.steps.get(self.next).or(self.steps.last()).copied().unwrap_or_default();
        self.next = (self.next + 1).min(self.steps.len());
        self.draw(step)
    }

    fn draw(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.random.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [u64; 7] = [200, 500, 1_000, 2_000, 5_000, 10_000, 30_000];

    fn backoff(seed: u64) -> Backoff {
        Backoff::new(&Settings::default(), seed)
    }

    fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Asserts that over many seeds the wait after `before` spreads over all of 0..=most.
    fn spreads_to(most: Duration, before: &[Outcome]) {
        let mut least = Duration::MAX;
        let mut longest = Duration::ZERO;
        for seed in 0..500 {
            let mut backoff = backoff(seed);
            let wait = before.iter().map(|&outcome| backoff.after(outcome)).last().unwrap();
            least = least.min(wait);
            longest = longest.max(wait);
        }
        assert!(longest <= most, "{longest:?} beyond {most:?}");
        assert!(longest > most.mul_f64(0.95), "never near {most:?}: {longest:?}");
        assert!(least < most.mul_f64(0.05), "no full jitter below {most:?}: {least:?}");
    }

    #[test]
    fn waits_grow_by_the_table_and_stay_at_its_end() {
        for tries in 1..=12 {
            let step = STEPS[(tries - 1).min(STEPS.len() - 1)];
            spreads_to(millis(step), &vec![Outcome::Failed; tries]);
        }
    }

    #[test]
    fn a_login_that_lived_starts_the_table_again() {
        for tries in 0..9 {
            let mut outcomes = vec![Outcome::Failed; tries];
            outcomes.push(Outcome::Bound(Duration::from_secs(10)));
            spreads_to(millis(STEPS[0]), &outcomes);
            outcomes.push(Outcome::Failed);
            spreads_to(millis(STEPS[1]), &outcomes);
        }
    }

    #[test]
    fn a_login_that_died_young_does_not() {
        let flapping = [Outcome::Bound(millis(9_999)); 4];
        spreads_to(millis(STEPS[3]), &flapping);
    }

    #[test]
    fn a_refusal_for_good_waits_a_minute_at_least_and_costs_no_step() {
        for seed in 0..500 {
            let mut backoff = backoff(seed);
            for _ in 0..3 {
                let wait = backoff.after(Outcome::Barred);
                assert!((millis(60_000)..=millis(90_000)).contains(&wait), "{wait:?}");
            }
            assert!(backoff.after(Outcome::Failed) <= millis(STEPS[0]));
        }
    }

    #[test]
    fn the_same_seed_waits_the_same_and_another_does_not() {
        let waits = |seed| (0..8).scan(backoff(seed), |b, _| Some(b.after(Outcome::Failed))).collect::<Vec<_>>();
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }

    #[test]
    fn an_empty_table_means_at_once() {
        let mut backoff = Backoff::new(&Settings { retry: Vec::new(), ..Settings::default() }, 1);
        for _ in 0..3 {
            assert_eq!(backoff.after(Outcome::Failed), Duration::ZERO);
        }
    }
}
