//! TLVs after the mandatory fields (SMPP 3.4 §3.2.4, SMGP 3.0): kept as they came, looked at when asked.
//!
//! Unknown tags are kept. Octets at the end that are no whole TLV are kept too and passed over ([`Tlvs::stray`]).

use std::fmt;

use bytes::{BufMut, BytesMut};

use crate::layout::Field;
use crate::octets::{Cause, Reader, at_most, until_nul};

/// Tag and length before a value.
const TLV_HEADER: usize = 4;

/// TLVs in the octets they came in.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Tlvs<'a> {
    octets: &'a [u8],
}

impl<'a> Tlvs<'a> {
    /// Takes octets to be TLVs: received ones, or those [`put`] wrote.
    pub fn new(octets: &'a [u8]) -> Self {
        Tlvs { octets }
    }

    /// The octets as they came.
    pub fn as_octets(&self) -> &'a [u8] {
        self.octets
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Tag and value of each whole TLV, in order.
    pub fn iter(&self) -> Iter<'a> {
        Iter { left: Reader::new(self.octets) }
    }

    /// The first value under `tag`.
    pub fn get(&self, tag: u16) -> Option<&'a [u8]> {
        self.iter().find(|(found, _)| *found == tag).map(|(_, value)| value)
    }

    /// The first value under `tag` up to its NUL, which is often missing.
    pub fn get_cstring(&self, tag: u16) -> Option<&'a [u8]> {
        self.get(tag).map(until_nul)
    }

    /// The first value under `tag`, where it is one octet.
    pub fn get_u8(&self, tag: u16) -> Option<u8> {
        self.get(tag)?.try_into().ok().map(u8::from_be_bytes)
    }

    /// The first value under `tag`, where it is two octets.
    pub fn get_u16(&self, tag: u16) -> Option<u16> {
        self.get(tag)?.try_into().ok().map(u16::from_be_bytes)
    }

    /// How many octets at the end are no whole TLV.
    pub fn stray(&self) -> usize {
        let mut iter = self.iter();
        iter.by_ref().for_each(drop);
        iter.left.left()
    }
}

impl fmt::Debug for Tlvs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(tag, value)| (tag, value.len()))).finish()
    }
}

impl<'a> IntoIterator for Tlvs<'a> {
    type Item = (u16, &'a [u8]);
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Tag and value of each whole TLV.
#[derive(Clone)]
pub struct Iter<'a> {
    left: Reader<'a>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (u16, &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> {
        let mut ahead = self.left;
        let tag = ahead.u16().ok()?;
        let length = ahead.u16().ok()?;
        let value = ahead.bytes(length.into()).ok()?;
        self.left = ahead;
        Some((tag, value))
    }
}

/// Appends a TLV; of the value, no more than a length can say (65535 octets).
pub fn put(out: &mut BytesMut, tag: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    let ([t, u], [l, m]) = (tag.to_be_bytes(), length.to_be_bytes());
    out.reserve(TLV_HEADER + usize::from(length));
    out.put_slice(&[t, u, l, m]);
    out.put_slice(at_most(value, length.into()));
}

/// The kind of field that takes all that is left as TLVs.
impl<'a, E: Copy> Field<'a, E> for Tlvs<'a> {
    type Value = Tlvs<'a>;
    fn read(from: &mut Reader<'a>, _: E) -> Result<Tlvs<'a>, Cause> {
        Ok(Tlvs::new(from.rest()))
    }
    fn write(value: Tlvs<'a>, _: E, out: &mut impl BufMut) {
        out.put_slice(value.octets);
    }
    fn octets(value: Tlvs<'a>, _: E) -> usize {
        value.octets.len()
    }
    fn fits(value: Tlvs<'a>, _: E) -> bool {
        value.stray() == 0
    }
    fn show(value: Tlvs<'a>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&value, f)
    }
    #[cfg(test)]
    fn sample(entropy: &mut crate::layout::Entropy<'_>, _: E, out: &mut BytesMut) {
        for _ in 0..entropy.next() % 4 {
            let tag = u16::from_be_bytes([entropy.next(), entropy.next()]);
            let mut value = BytesMut::new();
            entropy.text(40, &mut value);
            put(out, tag, &value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smpp::tag;

    #[test]
    fn found_by_tag_and_unknown_ones_kept() {
        let mut octets = BytesMut::new();
        put(&mut octets, 0x1454, b"?");
        put(&mut octets, tag::RECEIPTED_MESSAGE_ID, b"1f\0");
        put(&mut octets, tag::MESSAGE_STATE, &[2]);
        assert_eq!(&octets[..5], [0x14, 0x54, 0, 1, b'?']);
        let tlvs = Tlvs::new(&octets);
        assert_eq!(tlvs.iter().count(), 3);
        assert_eq!(tlvs.get(tag::RECEIPTED_MESSAGE_ID), Some(&b"1f\0"[..]));
        assert_eq!(tlvs.get_cstring(tag::RECEIPTED_MESSAGE_ID), Some(&b"1f"[..]));
        assert_eq!(tlvs.get_cstring(0x1454), Some(&b"?"[..]));
        assert_eq!(tlvs.get_u8(tag::MESSAGE_STATE), Some(2));
        assert_eq!(tlvs.get_u16(tag::MESSAGE_STATE), None);
        assert_eq!(tlvs.get(tag::MESSAGE_PAYLOAD), None);
        assert_eq!(tlvs.stray(), 0);
    }

    #[test]
    fn a_lying_length_ends_the_list_and_nothing_is_read_outside() {
        let octets = [0x04, 0x27, 0, 1, 5, 0x04, 0x24, 0xff, 0xff, b'x'];
        let tlvs = Tlvs::new(&octets);
        assert_eq!(tlvs.iter().collect::<Vec<_>>(), [(tag::MESSAGE_STATE, &[5_u8][..])]);
        assert_eq!(tlvs.stray(), 5);
        assert_eq!(tlvs.as_octets(), octets);
    }

    #[test]
    fn a_value_too_long_for_its_length_is_cut() {
        let mut octets = BytesMut::new();
        put(&mut octets, 1, &[7; 70_000]);
        assert_eq!(Tlvs::new(&octets).get(1).map(<[u8]>::len), Some(65_535));
        assert_eq!(Tlvs::new(&octets).stray(), 0);
    }
}
