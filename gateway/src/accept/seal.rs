//! Keyed hashes of what clients choose: whoever does not know this process's random keys can neither make two inputs
//! meet nor guess one from its hash. They last as long as the process; what goes to disk is hashed otherwise.

use std::hash::{BuildHasher, Hasher, RandomState};

/// 128 bits of hash under a key of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Seal(RandomState);

impl Seal {
    /// The hash of these octets, one piece after another: theirs, and that of the same with an octet more. Of a keyed hash
    /// one says nothing about the other, and the octets are gone through once.
    pub(super) fn of(&self, pieces: &[&[u8]]) -> [u64; 2] {
        let mut hasher = self.0.build_hasher();
        pieces.iter().for_each(|piece| hasher.write(piece));
        let first = hasher.finish();
        hasher.write_u8(1);
        [first, hasher.finish()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_the_octets_and_of_this_seal() {
        let (seal, other) = (Seal::default(), Seal::default());
        assert_eq!(seal.of(&[b"ab", b"c"]), seal.of(&[b"a", b"bc"]));
        assert_ne!(seal.of(&[b"abc"]), seal.of(&[b"abd"]));
        assert_ne!(seal.of(&[b"abc"]), other.of(&[b"abc"]));
        let [one, two] = seal.of(&[b"abc"]);
        assert_ne!(one, two);
    }
}
