//! How many retries a channel takes: a carrier in trouble must not get the same messages again and again on top of the
//! new ones. Counted over ten seconds, in proportion to first attempts; what is over budget waits for its turn.

use std::time::Duration;

use super::health::Settings;
use crate::clock::Time;

/// Seconds over which is counted.
const SPAN: u64 = 10;
/// Of four retries, the first tier may use all, the others three: they never take the last from it.
const OTHERS: (u32, u32) = (3, 4);
/// One second more than [`SPAN`]: the second under way and the one it cuts.
const SECONDS: usize = SPAN as usize + 1;

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    nth: u64,
    first: u32,
    retries: u32,
}

/// One channel's count.
#[derive(Debug)]
pub(super) struct Budget {
    /// Retries that are always allowed within [`SPAN`].
    floor: u32,
    /// Retries per hundred first attempts.
    share: u32,
    seconds: [Second; SECONDS],
    /// The last turn that was given away: to the first tier, to the others. It books no turn behind these.
    booked: [Time; 2],
}

impl Default for Budget {
    fn default() -> Budget {
        let mut budget = Budget { floor: 0, share: 0, seconds: Default::default(), booked: Default::default() };
        budget.set(&Settings::default());
        budget
    }
}

impl Budget {
    /// How much it is from now on.
    pub(super) fn set(&mut self, s: &Settings) {
        (self.floor, self.share) = (s.retry_floor.saturating_mul(SPAN as u32), s.retry_share);
    }

    fn second(&mut self, now: Time) -> Option<&mut Second> {
        let nth = now.0 / 1_000_000;
        let second = self.seconds.get_mut(nth as usize % SECONDS)?;
        if second.nth != nth {
            *second = Second { nth, ..Second::default() };
        }
        Some(second)
    }

    /// A message starts there, for the first time or again.
    pub(super) fn started(&mut self, now: Time, again: bool) {
        let Some(second) = self.second(now) else { return };
        let count = if again { &mut second.retries } else { &mut second.first };
        *count = count.saturating_add(1);
    }

    /// Retries of the last ten seconds, and how many there may be.
    fn level(&self, now: Time) -> (u32, u32) {
        let nth = now.0 / 1_000_000;
        let within = |span| self.seconds.iter().filter(move |second| nth.saturating_sub(second.nth) <= span);
        let first: u32 = within(SPAN - 1).map(|second| second.first).sum();
        (within(SPAN).map(|second| second.retries).sum(), self.floor.max(share(first, self.share)))
    }

    /// Whether one more retry may start now; `first`: of the first tier.
    pub(super) fn allows(&self, now: Time, first: bool) -> bool {
        let (retries, most) = self.level(now);
        retries < if first { most } else { most * OTHERS.0 / OTHERS.1 }
    }

    /// When a retry that is over budget is to come again: each has a turn of its own, so that a crowd of them costs one
    /// look each.
    pub(super) fn book(&mut self, now: Time, first: bool) -> Time {
        let (_, most) = self.level(now);
        let most = if first { most } else { most * OTHERS.0 / OTHERS.1 };
        let [firsts, others] = &mut self.booked;
        let booked = if first { firsts } else { others };
        *booked = (*booked).max(now).after(Duration::from_secs(SPAN) / most.max(1));
        *booked
    }
}

/// So many percent.
fn share(of: u32, percent: u32) -> u32 {
    u32::try_from(u64::from(of) * u64::from(percent) / 100).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time(5_000_000_000 + ms * 1_000)
    }

    /// Retries that start of those asked for each millisecond, over the given time.
    fn taken(budget: &mut Budget, from: u64, to: u64, first: bool) -> Vec<u64> {
        let mut taken = Vec::new();
        for ms in from..to {
            if budget.allows(at(ms), first) {
                budget.started(at(ms), true);
                taken.push(ms);
            }
        }
        taken
    }

    #[test]
    fn ten_a_second_are_always_allowed_and_no_ten_seconds_have_more() {
        let mut budget = Budget::default();
        let taken = taken(&mut budget, 0, 60_000, true);
        assert!(taken.len() >= 500, "{}", taken.len());
        for from in (0..50_000).step_by(37) {
            let within = taken.iter().filter(|ms| (from..from + 10_000).contains(*ms)).count();
            assert!(within <= 100, "{within} from {from}");
        }
    }

    #[test]
    fn a_tenth_of_the_first_attempts_go_again() {
        let mut budget = Budget::default();
        for ms in 0..20_000 {
            budget.started(at(ms), false);
        }
        // A thousand a second.
        let count = taken(&mut budget, 20_000, 20_001, true).len();
        assert_eq!(count, 1, "one a look");
        let mut more = count;
        while budget.allows(at(20_001), true) {
            budget.started(at(20_001), true);
            more += 1;
        }
        assert!((850..=1_000).contains(&more), "{more}");
        assert!(!budget.allows(at(20_900), true) && budget.allows(at(32_000), true), "they come back with time");
    }

    #[test]
    fn what_is_configured_holds_from_then_on() {
        let mut budget = Budget::default();
        budget.set(&Settings { retry_floor: 1, retry_share: 50, ..Settings::default() });
        assert_eq!(taken(&mut budget, 0, 1_000, true).len(), 10);
        (0..100).for_each(|_| budget.started(at(20_000), false));
        assert_eq!(taken(&mut budget, 20_000, 20_500, true).len(), 50);
    }

    #[test]
    fn lower_tiers_leave_the_first_a_quarter() {
        let mut budget = Budget::default();
        assert_eq!(taken(&mut budget, 0, 1_000, false).len(), 75);
        assert_eq!(taken(&mut budget, 1_000, 2_000, true).len(), 25);
    }

    #[test]
    fn turns_are_given_away_one_by_one() {
        let mut budget = Budget::default();
        let mut book = |first| -> Vec<Time> { (0..300).map(|_| budget.book(at(0), first)).collect() };
        let (others, firsts) = (book(false), book(true));
        assert!(others.iter().is_sorted_by(|a, b| a < b) && firsts.iter().is_sorted_by(|a, b| a < b));
        assert!(others[299] >= at(39_000), "three hundred take forty seconds: {:?}", others[299]);
        assert_eq!(firsts[0], at(100), "the first tier does not queue behind them");
        assert_eq!(firsts[299], at(30_000), "but its own come one after another too");
    }
}
