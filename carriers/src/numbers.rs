//! Tables keyed by numbers that we gave ourselves: tickets, sequences, inbounds.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// A set of such numbers.
pub type NumberSet<K> = HashSet<K, BuildHasherDefault<NumberHasher>>;
/// A table of them.
pub type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// One multiplication each. Only for keys that nobody outside can choose: what is looked up may be anybody's, what is
/// put in is our own.
#[derive(Clone, Copy, Debug, Default)]
pub struct NumberHasher(u64);

impl NumberHasher {
    fn mix(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32);
    }
}

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, octets: &[u8]) {
        octets.iter().for_each(|octet| self.mix(u64::from(*octet)));
    }
    fn write_u32(&mut self, number: u32) {
        self.mix(u64::from(number));
    }
    fn write_u64(&mut self, number: u64) {
        self.mix(number);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, Hash};

    use super::*;

    fn hash(value: impl Hash) -> u64 {
        BuildHasherDefault::<NumberHasher>::default().hash_one(value)
    }

    /// A table of 2^n places takes the low bits for the place and the highest seven for a first look.
    #[test]
    fn numbers_that_follow_each_other_are_spread() {
        let spread = |of: &dyn Fn(u64) -> u64| {
            let places: HashSet<u64> = (0..1024).map(|n| of(n) & 1023).collect();
            let looks: HashSet<u64> = (0..1024).map(|n| of(n) >> 57).collect();
            assert!(places.len() > 512 && looks.len() > 96, "{} places, {} looks", places.len(), looks.len());
        };
        spread(&|n| hash(n));
        spread(&|n| hash(n as u32));
        // Tickets: a count within a millisecond above the part's octet.
        spread(&|n| hash((1 << 55) + (n << 8)));
        spread(&|n| hash((1 << 55) + (n << 23)));
        spread(&|n| hash([7u32, 1_126_000_000, n as u32]));
    }
}
