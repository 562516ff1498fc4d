//! Until when messages wait for receipts. Nearly all receipts come within seconds of the days that they may take: so a
//! message first stands in a line, from where nobody has to take it, and only one that still waits after [`SOON`] gets
//! its place in the order of time. Who waits no more leaves the line once all before it have: it is as long as what is
//! under way, not as what came in that time.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::clock::Time;

/// How long a message stands in the line.
const SOON: Duration = Duration::from_secs(5);
/// Most that leave the line at once, but for twice as many as came since: after a start as many may stand there as there
/// are.
const MOST: usize = 1_024;

/// See the module.
#[derive(Debug)]
pub(super) struct Waits {
    /// Since when, until when, and who: as they came. Who waits no more is passed over.
    line: VecDeque<(Time, Time, u64)>,
    /// How many came since the last tick.
    came: usize,
    /// Nobody in the line waits until an earlier time.
    bound: Time,
    order: BTreeSet<(Time, u64)>,
}

impl Default for Waits {
    fn default() -> Self {
        Waits { line: VecDeque::new(), came: 0, bound: Time::NEVER, order: BTreeSet::new() }
    }
}

impl Waits {
    /// A message waits until then.
    pub(super) fn insert(&mut self, now: Time, until: Time, id: u64) {
        if until <= now.after(SOON) {
            self.order.insert((until, id));
        } else {
            self.line.push_back((now, until, id));
            self.came += 1;
            self.bound = self.bound.min(until);
        }
    }

    /// It waits no more, as whoever is asked by [`Waits::tick`] from now on says as well.
    pub(super) fn remove(&mut self, until: Time, id: u64) {
        self.order.remove(&(until, id));
    }

    /// When the next wait may be over.
    pub(super) fn deadline(&self) -> Option<Time> {
        let first = self.order.first().map(|(until, _)| *until);
        first.into_iter().chain(Some(self.bound).filter(|_| !self.line.is_empty())).min()
    }

    /// Takes from the line's front who waits no more, and moves on who has stood there for long enough and does `still`
    /// wait until that time.
    pub(super) fn tick(&mut self, now: Time, still: impl Fn(u64, Time) -> bool) {
        let mut left = MOST.max(2 * std::mem::take(&mut self.came));
        while let Some((since, until, id)) = self.line.front().copied().filter(|_| left > 0) {
            let waits = still(id, until);
            if waits && since.after(SOON) > now {
                break;
            }
            left -= 1;
            self.line.pop_front();
            if waits {
                self.order.insert((until, id));
            }
        }
        if self.bound <= now && left > 0 {
            self.bound = self.line.iter().map(|(_, until, _)| *until).min().unwrap_or(Time::NEVER);
        }
    }

    /// The next one whose wait is over; it waits no more.
    pub(super) fn over(&mut self, now: Time) -> Option<u64> {
        let (until, id) = self.order.first().copied()?;
        if until > now {
            return None;
        }
        self.order.pop_first();
        Some(id)
    }

    /// How many have a place in the order.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Against a map of who waits: nobody's wait ends early, late or twice, or once it was over; and the line is short.
    #[test]
    fn waits_end_on_time_unless_they_are_over_before() {
        for seed in 0..8 {
            let (mut waits, mut model) = (Waits::default(), BTreeMap::new());
            let mut dice = fastrand::Rng::with_seed(seed);
            let mut now = Time(0);
            for id in 0..3_000u64 {
                let next = now.after(Duration::from_millis(dice.u64(..20)));
                while let Some(at) = waits.deadline().filter(|at| *at <= next) {
                    now = now.max(at);
                    waits.tick(now, |id, until| model.get(&id) == Some(&until));
                    let due: Vec<u64> = model.iter().filter(|(_, until)| **until <= now).map(|(id, _)| *id).collect();
                    let mut over: Vec<u64> = std::iter::from_fn(|| waits.over(now)).collect();
                    over.sort_unstable();
                    assert_eq!(over, due, "seed {seed}");
                    model.retain(|_, until| *until > now);
                }
                now = next;
                assert!(model.values().all(|until| *until > now));
                let span = if dice.u8(..4) == 0 { dice.u64(..8_000) } else { dice.u64(10_000..40_000) };
                let until = now.after(Duration::from_millis(span));
                waits.insert(now, until, id);
                model.insert(id, until);
                if let Some(gone) = id.checked_sub(dice.u64(..300))
                    && dice.u8(..10) != 0
                    && let Some(until) = model.remove(&gone)
                {
                    waits.remove(until, gone);
                    if dice.u8(..20) == 0 {
                        // It waits again.
                        let until = if dice.bool() { until } else { until.after(SOON) };
                        waits.insert(now, until, gone);
                        model.insert(gone, until);
                    }
                }
                if dice.u8(..10) == 0 {
                    waits.tick(now, |id, until| model.get(&id) == Some(&until));
                    assert!(waits.line.front().is_none_or(|(since, ..)| since.after(SOON) > now));
                }
            }
        }
    }

    #[test]
    fn however_many_come_at_a_time_the_line_stays_short() {
        let mut waits = Waits::default();
        for turn in 0..2_000u64 {
            let now = Time(turn * 100_000);
            (0..3_000).for_each(|n| waits.insert(now, now.after(Duration::from_secs(600)), turn * 3_000 + n));
            waits.tick(now, |_, _| false);
        }
        let seconds = SOON.as_secs() as usize + 1;
        assert!(waits.line.len() <= seconds * 10 * 3_000, "{}", waits.line.len());
    }

    #[test]
    fn who_waits_no_more_leaves_the_line_behind_nobody_who_does() {
        let mut waits = Waits::default();
        let until = Time(0).after(Duration::from_secs(600));
        (0..10).for_each(|id| waits.insert(Time(0), until, id));
        waits.tick(Time(1), |id, _| id >= 3);
        assert_eq!(waits.line.front().map(|(.., id)| *id), Some(3));
        waits.tick(Time(2), |id, _| id == 3);
        assert_eq!((waits.line.len(), waits.len()), (7, 0), "the first still waits, and for no long time yet");
        waits.tick(Time(0).after(SOON), |id, _| id == 3);
        assert_eq!((waits.line.len(), waits.len()), (0, 1));
    }

    #[test]
    fn a_long_line_moves_on_in_pieces_and_its_first_is_not_forgotten() {
        let mut waits = Waits::default();
        let until = Time(10_000_000);
        (0..10_000).for_each(|id| waits.insert(Time(0), until, id));
        waits.tick(Time(0), |_, _| true);
        assert_eq!(waits.deadline(), Some(until));
        let (mut ticks, mut over) = (0, 0);
        while let Some(at) = waits.deadline() {
            assert_eq!(at, until);
            waits.tick(at, |_, _| true);
            over += std::iter::from_fn(|| waits.over(at)).count();
            ticks += 1;
        }
        assert_eq!((ticks, over), (10, 10_000));
    }
}
