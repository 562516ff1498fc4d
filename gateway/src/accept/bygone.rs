//! Idempotency keys that memory has let go, and those of earlier lives: enough of each to say that a key is certainly
//! not among them, so that the durable memory is asked only where it may have an answer.
//!
//! Keys go into ages of a fixed size. An age goes as a whole, once everything in it is outdated, by the monotonic clock:
//! a jump of the wall clock forgets nothing. Whatever is not known here makes us ask, never answer.

use std::collections::VecDeque;
use std::time::Duration;

use super::idempotency::KEPT;
use crate::clock::Time;

/// Keys in an age; with 16 bits each, one new key in a thousand is asked for in vain.
const KEYS: usize = 1 << 21;
const BLOCKS: usize = KEYS / 16;
/// Ages at most: 64 MB.
const AGES: usize = 16;
/// How long a key counts after it was let go: more than its day, since it is let go after it was answered, and
/// reckoned from the last claim before that.
const COUNTS: Duration = KEPT.saturating_add(Duration::from_secs(3_600));

/// A key's hash.
pub(super) type Mark = [u64; 2];

/// Keys that the durable memory may have and the table has not.
pub(super) struct Bygone {
    /// Oldest first; the last one takes what comes.
    ages: VecDeque<Age>,
    /// Until when keys count that no age holds: those of earlier lives that were not learned, those of ages that had to
    /// make room.
    unlearned: Time,
    crowded: Time,
}

/// A Bloom filter whose answer lies in one cache line: eight words, a bit in each.
struct Age {
    blocks: Vec<[u32; 8]>,
    keys: usize,
    last: Time,
}

impl Bygone {
    /// Nothing is known of the process's earlier lives.
    pub(super) fn new() -> Self {
        Bygone { ages: VecDeque::new(), unlearned: Time::default().after(COUNTS), crowded: Time::default() }
    }

    /// Takes a key in.
    pub(super) fn add(&mut self, now: Time, mark: Mark) {
        while self.ages.front().is_some_and(|age| age.last.after(COUNTS) <= now) {
            self.ages.pop_front();
        }
        if self.ages.back().is_none_or(|age| age.keys >= KEYS) {
            self.push(Age::new());
        }
        if let Some(age) = self.ages.back_mut() {
            age.add(now, mark);
        }
    }

    /// Whether the durable memory may have it.
    pub(super) fn may_hold(&self, now: Time, mark: Mark) -> bool {
        now < self.unlearned.max(self.crowded) || self.ages.iter().any(|age| age.may_hold(mark))
    }

    /// Takes in what earlier lives left: all of it, so that nothing else of theirs counts.
    pub(super) fn learn(&mut self, earlier: Bygone) {
        for age in earlier.ages.into_iter().rev() {
            if self.ages.len() < AGES {
                self.ages.push_front(age);
            } else {
                self.crowded = self.crowded.max(age.last.after(COUNTS));
            }
        }
        self.crowded = self.crowded.max(earlier.crowded);
        self.unlearned = Time::default();
    }

    /// Whether it has had to let go of keys that count.
    pub(super) fn is_crowded(&self) -> bool {
        self.crowded > Time::default()
    }

    fn push(&mut self, age: Age) {
        if self.ages.len() >= AGES
            && let Some(oldest) = self.ages.pop_front()
        {
            self.crowded = self.crowded.max(oldest.last.after(COUNTS));
        }
        self.ages.push_back(age);
    }
}

impl Age {
    fn new() -> Self {
        Age { blocks: vec![[0; 8]; BLOCKS], keys: 0, last: Time::default() }
    }

    fn add(&mut self, now: Time, mark: Mark) {
        let (at, bits) = place(mark);
        if let Some(block) = self.blocks.get_mut(at) {
            block.iter_mut().zip(bits).for_each(|(word, bit)| *word |= bit);
        }
        (self.keys, self.last) = (self.keys + 1, now);
    }

    fn may_hold(&self, mark: Mark) -> bool {
        let (at, bits) = place(mark);
        self.blocks.get(at).is_none_or(|block| block.iter().zip(bits).all(|(word, bit)| word & bit != 0))
    }
}

/// A key's block and its bits there. The table's buckets are made of the mark's first half, these of the second.
fn place([_, mark]: Mark) -> (usize, [u32; 8]) {
    const ODD: [u32; 8] =
        [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1, 0x7feb_352d, 0x846c_a68b, 0x68e3_1da5];
    let (high, low) = ((mark >> 32) as usize, mark as u32);
    ((high * BLOCKS) >> 32, ODD.map(|odd| 1 << (low.wrapping_mul(odd) >> 27)))
}

#[cfg(test)]
mod tests {
    use super::super::seal::Seal;
    use super::*;

    const HOUR: u64 = 3_600_000_000;

    /// Well spread and cheap to make.
    fn mark(n: u64) -> Mark {
        let mixed = (n ^ n >> 30).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        [n, (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb)]
    }

    fn learned() -> Bygone {
        let mut bygone = Bygone::new();
        bygone.learn(Bygone::new());
        bygone
    }

    #[test]
    fn what_was_taken_in_is_held_and_hardly_anything_else() {
        let (mut bygone, known) = (learned(), KEYS as u64 + 1_000);
        (0..known).for_each(|n| bygone.add(Time(1), mark(n)));
        assert_eq!(bygone.ages.len(), 2);
        assert!((0..known).step_by(7).all(|n| bygone.may_hold(Time(2), mark(n))));
        let vain = (known..).take(100_000).filter(|n| bygone.may_hold(Time(2), mark(*n))).count();
        assert!(vain < 500, "{vain} of 100,000");
    }

    #[test]
    fn until_the_past_is_learned_anything_may_be_in_it() {
        let (seal, mut bygone) = (Seal::default(), Bygone::new());
        let [old, new] = [seal.of(&[b"old"]), seal.of(&[b"new"])];
        assert!(bygone.may_hold(Time(24 * HOUR), new) && !bygone.may_hold(Time(25 * HOUR), new));
        let mut past = Bygone::new();
        past.add(Time(1), old);
        bygone.learn(past);
        assert!(bygone.may_hold(Time(2), old) && !bygone.may_hold(Time(2), new));
    }

    #[test]
    fn an_age_goes_after_its_last_key_has_counted_a_day() {
        let (seal, mut bygone) = (Seal::default(), learned());
        let [first, second, third] = [&b"1"[..], b"2", b"3"].map(|name| seal.of(&[name]));
        bygone.add(Time(HOUR), first);
        bygone.add(Time(24 * HOUR), second);
        bygone.add(Time(30 * HOUR), third);
        assert!([first, second, third].iter().all(|mark| bygone.may_hold(Time(30 * HOUR), *mark)));
        bygone.add(Time(55 * HOUR), third);
        assert!(!bygone.may_hold(Time(55 * HOUR), first) && bygone.may_hold(Time(55 * HOUR), third));
    }

    #[test]
    fn what_had_to_make_room_makes_us_ask_for_everything_as_long_as_it_counts() {
        let (seal, mut bygone) = (Seal::default(), learned());
        let new = seal.of(&[b"new"]);
        for hour in 0..AGES as u64 + 1 {
            bygone.push(Age { blocks: vec![[0; 8]; BLOCKS], keys: KEYS, last: Time(hour * HOUR) });
        }
        assert_eq!(bygone.ages.len(), AGES);
        assert!(bygone.is_crowded() && bygone.may_hold(Time(24 * HOUR), new) && !bygone.may_hold(Time(25 * HOUR), new));
    }
}
