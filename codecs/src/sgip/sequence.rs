//! Sequence numbers (SGIP 1.2): who made the command, when, and as which. A Submit's is the message's id.

use std::fmt;

use bytes::BufMut;
#[cfg(test)]
use bytes::BytesMut;

#[cfg(test)]
use crate::layout::Entropy;
use crate::layout::Field;
use crate::octets::{Cause, Reader};

/// A sequence number; an answer repeats all of its request's. Some peers put 0 or anything else into the first two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence {
    /// Whose command it is; see [`sp_node`].
    pub node: u32,
    /// When it was made, `MMDDHHMMSS` as a number, in China's time; see [`crate::time::Moment::timestamp`].
    pub time: u32,
    /// Counts up, and wraps.
    pub counter: u32,
}

impl Sequence {
    /// The twelve octets, as on the wire.
    pub fn octets(&self) -> [u8; 12] {
        let mut octets = [0; 12];
        let words = [self.node, self.time, self.counter];
        octets.chunks_exact_mut(4).zip(words).for_each(|(four, word)| four.copy_from_slice(&word.to_be_bytes()));
        octets
    }
}

impl From<[u8; 12]> for Sequence {
    fn from(octets: [u8; 12]) -> Self {
        let word = |at: usize| u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
        Sequence { node: word(0), time: word(4), counter: word(8) }
    }
}

/// As operators write it: the three numbers in decimal.
impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}-{:010}-{}", self.node, self.time, self.counter)
    }
}

impl<'a, E: Copy> Field<'a, E> for Sequence {
    type Value = Sequence;
    fn read(from: &mut Reader<'a>, _: E) -> Result<Sequence, Cause> {
        from.array::<12>().map(Sequence::from)
    }
    fn write(value: Sequence, _: E, out: &mut impl BufMut) {
        out.put_slice(&value.octets());
    }
    fn octets(_: Sequence, _: E) -> usize {
        12
    }
    fn fits(_: Sequence, _: E) -> bool {
        true
    }
    fn show(value: Sequence, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&value, f)
    }
    #[cfg(test)]
    fn sample(entropy: &mut Entropy<'_>, _: E, out: &mut BytesMut) {
        (0..12).for_each(|_| out.put_u8(entropy.next()));
    }
}

/// An SP's node id: 3, the area code of its home (`010`, `0755`), its five-digit company code. `None` where either is out
/// of range.
pub fn sp_node(area: &str, corp_id: u32) -> Option<u32> {
    let area_is_good = (1..=4).contains(&area.len()) && area.bytes().all(|digit| digit.is_ascii_digit());
    let area: u32 = format!("{area:0<4}").parse().ok().filter(|_| area_is_good)?;
    (corp_id <= 99_999).then_some(3_000_000_000 + area * 100_000 + corp_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lie_on_the_wire_in_their_order() {
        let sequence = Sequence { node: 3_010_012_345, time: 1_122_034_716, counter: 2 };
        let octets = [0xb3, 0x69, 0x24, 0xb9, 0x42, 0xe0, 0xe4, 0x1c, 0, 0, 0, 2];
        assert_eq!(sequence.octets(), octets);
        assert_eq!(Sequence::from(octets), sequence);
        assert_eq!(sequence.to_string(), "3010012345-1122034716-2");
    }

    #[test]
    fn node_ids_are_made_from_area_and_company() {
        assert_eq!(sp_node("010", 12_345), Some(3_010_012_345));
        assert_eq!(sp_node("0755", 1), Some(3_075_500_001));
        for (area, corp_id) in [("", 1), ("01000", 1), ("1x", 1), ("+10", 1), ("010", 100_000)] {
            assert_eq!(sp_node(area, corp_id), None, "{area} {corp_id}");
        }
    }
}
