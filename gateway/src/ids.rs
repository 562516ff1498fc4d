//! Message ids: 56 bits, ordered by time, never repeated by one node. Written as 12 letters of Crockford's base 32.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Wall;

/// Milliseconds since the Unix epoch at which ids start: 2024-01-01T00:00:00Z.
const EPOCH_MS: u64 = 1_704_067_200_000;
/// Bits below the milliseconds.
const COUNTER_BITS: u32 = 15;
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A message's id (also a batch's, an event's or an orphan's: one space).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

impl MessageId {
    /// Of a batch: the id of its message at `index`, accepted or not.
    #[must_use]
    pub fn item(self, index: u16) -> MessageId {
        MessageId(self.0.saturating_add(1 + u64::from(index)))
    }

    /// Its text form.
    pub fn letters(self) -> [u8; 12] {
        let (mut letters, mut rest) = ([0; 12], self.0);
        for letter in letters.iter_mut().rev() {
            *letter = LETTERS[(rest & 31) as usize];
            rest >>= 5;
        }
        letters
    }

    /// When it was made, to the millisecond.
    pub fn wall(self) -> Wall {
        Wall(EPOCH_MS + (self.0 >> COUNTER_BITS))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.letters()).unwrap_or_default())
    }
}

impl serde::Serialize for MessageId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.letters()).unwrap_or_default())
    }
}

/// Not a message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message id")]
pub struct NotAnId;

impl FromStr for MessageId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text.len() != 12 {
            return Err(NotAnId);
        }
        let mut value = 0u64;
        for letter in text.bytes() {
            let digit = LETTERS.iter().position(|l| *l == letter).ok_or(NotAnId)?;
            value = value << 5 | digit as u64;
        }
        Ok(MessageId(value))
    }
}

/// Makes ids: the wall clock's milliseconds where it runs forward, a count above the last one where it does not.
#[derive(Debug, Default)]
pub struct Ids {
    last: AtomicU64,
}

impl Ids {
    /// Ids above `last`, the highest one ever seen (from the journal).
    pub fn above(last: u64) -> Self {
        Ids { last: AtomicU64::new(last) }
    }

    /// References of attempts above all that earlier lives gave, of which the disk has `last` as the highest number.
    /// A power cut takes the last attempts' records with it, and where numbers run ahead of a clock that was set back,
    /// counting on from `last` would give theirs again: a second's worth is left out, more than any sync takes.
    pub fn of_attempts(last: u64) -> Self {
        Ids::above(if last == 0 { 0 } else { last.saturating_add(1_000 << COUNTER_BITS) })
    }

    /// The next id.
    pub fn next(&self, wall: Wall) -> MessageId {
        self.block(wall, 1)
    }

    /// The first of the next `count` ids, which follow one another.
    pub fn block(&self, wall: Wall, count: u16) -> MessageId {
        let floor = wall.0.saturating_sub(EPOCH_MS) << COUNTER_BITS;
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            let next = floor.max(last + 1);
            let end = next + u64::from(count.max(1)) - 1;
            match self.last.compare_exchange_weak(last, end, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return MessageId(next),
                Err(seen) => last = seen,
            }
        }
    }
}

/// A map by an id or an attempt's reference.
pub type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// Ids that follow one another are those of a batch, or of what was made together, and are mostly looked up one after the
/// other: sixteen of them have neighbouring places in a table, so that one finds in near memory what the one before it has
/// fetched. The highest seven bits, by which a table tells neighbours apart, are each id's own.
#[derive(Default)]
pub struct IdHasher(u64);

/// Bits of an id that tell neighbours apart.
const NEIGHBOURS: u32 = 4;

/// An odd number with nothing regular about it.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl IdHasher {
    /// What neighbours have in common, well mixed: ids are anything but drawn at random.
    fn block(value: u64) -> u64 {
        let wide = u128::from(value >> NEIGHBOURS) * u128::from(GOLDEN);
        ((wide >> 64) as u64 ^ wide as u64).wrapping_mul(GOLDEN)
    }

    /// Sixteen bits of that; a place in a table of less than a million shows none of them but the lowest four.
    pub fn spread(value: u64) -> u16 {
        (Self::block(value) >> 48) as u16
    }
}

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(GOLDEN);
        }
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = beside(Self::block(value).rotate_left(32), value);
    }
}

/// The hash of one of sixteen neighbours, which have `block` in common and differ in the lowest bits of `value`.
fn beside(block: u64, value: u64) -> u64 {
    let block = block << NEIGHBOURS;
    // Ids that come alone all end in zeros: each block begins elsewhere.
    let place = (value ^ block >> 20) & ((1 << NEIGHBOURS) - 1);
    (block | place) & (u64::MAX >> 7) | value.wrapping_mul(GOLDEN) & !(u64::MAX >> 7)
}

/// A map by what apps and carriers choose: numbers, carriers' ids.
pub type SeededMap<K, V> = HashMap<K, V, Seed>;

/// A secret of each map's own, so that nobody can choose keys that collide.
#[derive(Clone, Debug)]
pub struct Seed(u64);

impl Default for Seed {
    fn default() -> Self {
        // Odd, so that a product loses nothing.
        Seed(RandomState::new().hash_one(0) | 1)
    }
}

impl BuildHasher for Seed {
    type Hasher = SeededHasher;

    fn build_hasher(&self) -> SeededHasher {
        SeededHasher { seed: self.0, state: self.0 }
    }
}

/// Each word is multiplied with the seed, and the product's halves are laid over each other.
pub struct SeededHasher {
    seed: u64,
    state: u64,
}

impl Hasher for SeededHasher {
    fn finish(&self) -> u64 {
        self.state
    }
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        words.iter().for_each(|word| self.write_u64(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.write_u64(u64::from_le_bytes(last));
    }
    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.state ^ value) * u128::from(self.seed);
        // Rotated, so that a word which makes the product nothing does not end it.
        self.state = (product as u64 ^ (product >> 64) as u64).wrapping_add(self.seed.rotate_left(23));
    }
}

/// As [`Seed`], where others count: carriers number what they take, so what goes out together has ids that differ in the last
/// digit, and is answered together. As with ours ([`IdHasher`]) such neighbours have neighbouring places; nobody can choose
/// more than sixteen for one.
#[derive(Clone, Debug, Default)]
pub struct CountedSeed(Seed);

impl BuildHasher for CountedSeed {
    type Hasher = CountedHasher;

    fn build_hasher(&self) -> CountedHasher {
        CountedHasher { block: self.0.build_hasher(), last: 0 }
    }
}

/// A map by what is a hash already, such as a [`CountedSeed`]'s.
pub type HashMapped<V> = HashMap<u64, V, BuildHasherDefault<Hashed>>;

/// See [`HashMapped`].
#[derive(Default)]
pub struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Everything but the lowest bits of the last octet decides on the block.
pub struct CountedHasher {
    block: SeededHasher,
    last: u64,
}

impl Hasher for CountedHasher {
    fn finish(&self) -> u64 {
        let block = self.block.finish();
        beside(block, block ^ self.last)
    }
    fn write(&mut self, bytes: &[u8]) {
        let Some((last, bytes)) = bytes.split_last() else { return };
        self.block.write(bytes);
        self.block.write_u64(u64::from(last >> NEIGHBOURS));
        self.last = u64::from(last & ((1 << NEIGHBOURS) - 1));
    }
    fn write_usize(&mut self, value: usize) {
        self.block.write_usize(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_sorts_by_time() {
        let ids = Ids::default();
        let a = ids.next(Wall(EPOCH_MS + 5));
        let b = ids.next(Wall(EPOCH_MS + 5));
        let c = ids.next(Wall(EPOCH_MS + 1));
        assert!(a < b && b < c, "ids grow even when the clock goes back");
        assert_eq!(a.to_string().parse(), Ok(a));
        assert!(a.to_string() < b.to_string() && b.to_string() < c.to_string());
        assert_eq!(a.wall(), Wall(EPOCH_MS + 5));
        assert_eq!("0000000000u0".parse::<MessageId>(), Err(NotAnId));
    }

    #[test]
    fn a_block_of_ids_is_nobody_elses() {
        let ids = Ids::default();
        let first = ids.block(Wall(EPOCH_MS + 5), 10_001);
        assert_eq!(ids.next(Wall(EPOCH_MS + 5)), MessageId(first.0 + 10_001));
        assert_eq!(first.wall(), Wall(EPOCH_MS + 5));
    }

    #[test]
    fn neighbours_lie_side_by_side_and_others_are_spread() {
        use std::collections::BTreeSet;
        let hash = |value| {
            let mut hasher = IdHasher::default();
            hasher.write_u64(value);
            hasher.finish()
        };
        let start = 91_000_000_000 << COUNTER_BITS;
        for first in [0, start, start + 160] {
            let all: Vec<u64> = (first..first + 16).map(hash).collect();
            let blocks: BTreeSet<u64> = all.iter().map(|hash| hash >> 4 & 0xffff).collect();
            let tags: BTreeSet<u64> = all.iter().map(|hash| hash >> 57).collect();
            assert_eq!((blocks.len(), all.iter().map(|hash| hash & 15).collect::<BTreeSet<_>>().len()), (1, 16));
            assert!(tags.len() > 12, "{tags:?}");
            assert_eq!((first..first + 16).map(IdHasher::spread).collect::<BTreeSet<_>>().len(), 1);
        }
        // In a batch, one in each millisecond, one in each second. Of a thousand drawn at random 647 would differ.
        for step in [16, 1 << COUNTER_BITS, 1_000 << COUNTER_BITS] {
            let blocks: BTreeSet<u64> = (0..1_024).map(|n| hash(start + n * step) >> 4 & 1_023).collect();
            let spread: BTreeSet<u16> = (0..1_024).map(|n| IdHasher::spread(start + n * step) >> 6).collect();
            assert!(blocks.len() > 560 && spread.len() > 560, "{step}: {} {}", blocks.len(), spread.len());
        }
    }

    #[test]
    fn keys_that_differ_little_spread_well_by_every_seed() {
        for _ in 0..20 {
            let seed = Seed::default();
            let mut buckets = vec![0u32; 1 << 10];
            for n in 0..10_240u32 {
                let key = (7u16, format!("{n:010}").into_bytes());
                let hash = seed.hash_one(&key);
                assert_ne!(hash, seed.hash_one((8u16, &key.1)), "{n}");
                buckets[(hash & 0x3FF) as usize] += 1;
            }
            let most = buckets.iter().max().unwrap();
            assert!(*most < 40, "{most} keys in a bucket where 10 are due");
        }
    }

    #[test]
    fn ids_that_carriers_count_lie_side_by_side_and_others_are_spread() {
        use std::collections::BTreeSet;
        for _ in 0..20 {
            let seed = CountedSeed::default();
            let mut blocks = BTreeSet::new();
            for ten in 100_000..101_024 {
                let all: Vec<u64> = (0..10).map(|n| seed.hash_one(format!("{ten}{n}").as_bytes())).collect();
                let block: BTreeSet<u64> = all.iter().map(|hash| hash >> 4 & 0xffff).collect();
                let places: BTreeSet<u64> = all.iter().map(|hash| hash & 15).collect();
                let tags: BTreeSet<u64> = all.iter().map(|hash| hash >> 57).collect();
                assert_eq!((block.len(), places.len()), (1, 10));
                assert!(tags.len() > 6, "{tags:?}");
                blocks.extend(block.iter().map(|block| block & 1_023));
            }
            // Of a thousand drawn at random 647 would differ.
            assert!(blocks.len() > 560, "{}", blocks.len());
            let hash = |id: &[u8]| seed.hash_one(id);
            assert!(hash(b"1234") != hash(b"01234") && hash(b"a1") != hash(b"b1") && hash(b"1A") != hash(b"11"));
            assert_eq!(hash(b""), hash(b""));
        }
    }

    #[test]
    fn ids_start_above_what_the_journal_holds() {
        let ids = Ids::above(1 << 50);
        assert_eq!(ids.next(Wall(EPOCH_MS)), MessageId((1 << 50) + 1));
    }

    #[test]
    fn attempts_whose_records_the_power_took_keep_their_references() {
        let before = Ids::of_attempts(0);
        let wall = |ms| Wall(EPOCH_MS + ms);
        // The clock goes back an hour; what is given from then on is counted, and the disk has not all of it.
        let known = before.next(wall(3_600_000));
        let lost: Vec<MessageId> = (0..1_000).map(|_| before.next(wall(0))).collect();
        let after = Ids::of_attempts(known.0);
        let first = after.next(wall(3_000));
        assert!(lost.iter().all(|lost| *lost < first));
    }

    /// Protocols write the time of an attempt, whose reference is an id, on the wire.
    #[test]
    fn an_attempts_reference_tells_the_same_time() {
        let id = Ids::default().next(Wall(1_795_350_000_123));
        let made = carriers::AttemptRef(id.0).made().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(u64::try_from(made.as_millis()).unwrap(), id.wall().0);
        assert_eq!(COUNTER_BITS, carriers::AttemptRef::COUNT_BITS);
    }
}
