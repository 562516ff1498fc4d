//! Message ids: 56 bits, ordered by time, never repeated by one node. Written as 12 letters of Crockford's base 32.

use std::fmt;
use std::hash::Hasher;
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
        std::array::from_fn(|i| LETTERS[(self.0 >> (55 - 5 * i) & 31) as usize])
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

/// Message ids are well spread in their low bits already; one multiplication is enough.
#[derive(Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_right(20);
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
