//! Messages that are alike: what arrived of them within the window, and in the past by the hour of the day.

use crate::clock::{Time, Wall};

use super::SLOTS;

/// Bits of each generation of [`Seen`].
const BITS: u64 = 16_384;
/// A generation with so many bits set is full: of new numbers nearly half at most are taken for known ones then.
const FULL: u32 = 4_096;
/// A generation lasts no longer than this.
const GENERATION: std::time::Duration = std::time::Duration::from_secs(300);
/// What a day leaves of an hour's past: seven days, the last the most.
const DAY: f32 = 6.0 / 7.0;
/// A past of fewer receipts is none.
const FEWEST: f32 = 200.0;

/// Receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) delivered: u32,
    pub(super) all: u32,
}

impl Count {
    pub(super) fn add(&mut self, other: Count) {
        self.delivered = self.delivered.saturating_add(other.delivered);
        self.all = self.all.saturating_add(other.all);
    }

    pub(super) fn ratio(self) -> f64 {
        f64::from(self.delivered) / f64::from(self.all.max(1))
    }
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Stratum {
    window: [Count; SLOTS],
    seen: Option<Box<Seen>>,
    pub(super) past: Past,
    /// When its last receipt came.
    pub(super) used: Wall,
}

impl Stratum {
    /// One of which only the past is known.
    pub(super) fn of(past: Past, used: Wall) -> Stratum {
        Stratum { past, used, ..Stratum::default() }
    }

    /// A receipt in that slot; of a number that has just had one, it does not count.
    pub(super) fn add(&mut self, slot: usize, now: Time, wall: Wall, number: u64, delivered: bool) {
        self.used = wall;
        if !self.seen.get_or_insert_with(|| Box::new(Seen::new(now))).is_new(now, number) {
            return;
        }
        if let Some(count) = self.window.get_mut(slot) {
            count.add(Count { delivered: u32::from(delivered), all: 1 });
        }
    }

    /// That slot begins anew; what was in it has left the window.
    pub(super) fn turn(&mut self, slot: usize, learns: bool) {
        let Some(count) = self.window.get_mut(slot) else { return };
        let left = std::mem::take(count);
        if learns {
            self.past.open.add(left);
        }
        if self.total().all == 0 {
            self.seen = None;
        }
    }

    pub(super) fn total(&self) -> Count {
        let mut sum = Count::default();
        self.window.iter().for_each(|count| sum.add(*count));
        sum
    }
}

/// What arrived before.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Past {
    /// By the hour of the day in UTC: delivered, all. Each day leaves [`DAY`] of it.
    pub(super) hours: [(f32, f32); 24],
    /// Of the hour under way.
    pub(super) open: Count,
}

impl Past {
    /// That hour is over. One without receipts is as it was the day before.
    pub(super) fn fold(&mut self, hour: usize) {
        let open = std::mem::take(&mut self.open);
        if let Some((delivered, all)) = self.hours.get_mut(hour).filter(|_| open.all > 0) {
            *delivered = *delivered * DAY + open.delivered as f32;
            *all = *all * DAY + open.all as f32;
        }
    }

    /// The usual ratio at that hour, and from how many receipts it is known: those of the same hour, or where these are
    /// too few, all there are.
    pub(super) fn usual(&self, hour: usize) -> Option<(f64, f64)> {
        let same = self.hours.get(hour).copied().unwrap_or_default();
        let sum = |(d, a): (f32, f32), (delivered, all): (f32, f32)| (d + delivered, a + all);
        let open = (self.open.delivered as f32, self.open.all as f32);
        let (delivered, all) = if same.1 >= FEWEST { same } else { self.hours.iter().copied().fold(open, sum) };
        (all >= FEWEST).then(|| (f64::from(delivered / all), f64::from(all)))
    }
}

/// Which numbers have had a receipt of late: within the last five to ten minutes, and of the last four thousand or so.
/// May take a new number for a known one, by a hash that knows nothing of how messages end.
#[derive(Debug)]
struct Seen {
    generations: [[u64; (BITS / 64) as usize]; 2],
    set: u32,
    since: Time,
}

impl Seen {
    fn new(now: Time) -> Seen {
        Seen { generations: [[0; (BITS / 64) as usize]; 2], set: 0, since: now }
    }

    fn is_new(&mut self, now: Time, number: u64) -> bool {
        if self.set >= FULL || now.since(self.since) >= GENERATION {
            self.generations.swap(0, 1);
            self.generations[0].fill(0);
            (self.set, self.since) = (0, now);
        }
        let hash = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 50;
        let (word, bit) = ((hash / 64) as usize, 1u64 << (hash % 64));
        let known = self.generations.iter().any(|g| g.get(word).is_some_and(|word| word & bit != 0));
        if let Some(word) = self.generations[0].get_mut(word).filter(|word| **word & bit == 0) {
            *word |= bit;
            self.set += 1;
        }
        !known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_counts_once_and_again_after_a_while() {
        let mut stratum = Stratum::default();
        let mut now = Time(0);
        for _ in 0..100 {
            stratum.add(0, now, Wall(0), 8_613_800_138_000, false);
        }
        assert_eq!(stratum.total(), Count { delivered: 0, all: 1 });
        for _ in 0..3 {
            now = now.after(GENERATION);
            stratum.add(1, now, Wall(0), 8_613_800_138_001, true);
        }
        assert_eq!(stratum.total().all, 2, "a number that goes on is known all the while");
        stratum.add(1, now, Wall(0), 8_613_800_138_000, false);
        assert_eq!(stratum.total().all, 3);
    }

    #[test]
    fn of_many_numbers_more_than_half_count_however_many_there_are() {
        let mut stratum = Stratum::default();
        for number in 0..300_000u64 {
            stratum.add(0, Time(number), Wall(0), 8_613_000_000_000 + number * 7, number % 10 != 0);
        }
        let total = stratum.total();
        assert!(total.all > 150_000, "{total:?}");
        assert!((total.ratio() - 0.9).abs() < 0.01, "{total:?}");
    }

    #[test]
    fn the_past_is_of_the_same_hour_where_that_is_known() {
        let mut past = Past::default();
        assert_eq!(past.usual(3), None);
        past.open = Count { delivered: 150, all: 200 };
        assert_eq!(past.usual(3), Some((0.75, 200.0)), "what there is");
        past.fold(2);
        past.open = Count { delivered: 500, all: 1_000 };
        past.fold(3);
        assert_eq!(past.usual(3), Some((0.5, 1_000.0)));
        for _ in 0..30 {
            past.open = Count { delivered: 900, all: 1_000 };
            past.fold(3);
        }
        let (ratio, known) = past.usual(3).unwrap();
        assert!((ratio - 0.9).abs() < 0.01 && (6_000.0..7_001.0).contains(&known), "{ratio} {known}");
        past.fold(3);
        assert_eq!(past.usual(3).unwrap().1, known, "an hour without receipts says nothing");
    }
}
