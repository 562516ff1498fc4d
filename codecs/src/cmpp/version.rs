//! The two versions, and the kinds of field that differ between them.

use std::fmt;
use std::marker::PhantomData;

use bytes::BufMut;
#[cfg(test)]
use bytes::BytesMut;

#[cfg(test)]
use crate::layout::Entropy;
use crate::layout::{Field, Fixed};
use crate::octets::{Cause, Reader};

/// Which widths and fields a connection uses. Agreed with the carrier, not negotiated: servers answer in the version
/// of the account whatever the client claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// 2.0; 2.1 is the same on the wire.
    V20,
    /// 3.0.
    V30,
}

impl Version {
    /// As CONNECT carries it: major version in the high half, minor in the low.
    pub fn octet(self) -> u8 {
        match self {
            Version::V20 => 0x20,
            Version::V30 => 0x30,
        }
    }

    /// The version whose layouts a peer that claims this octet uses; 0 and 1 are seen for 2.0.
    pub fn claimed(octet: u8) -> Option<Version> {
        match octet {
            0x00 | 0x01 | 0x20..=0x2f => Some(Version::V20),
            0x30..=0x3f => Some(Version::V30),
            _ => None,
        }
    }

    /// The version a server answered CONNECT in, by the length of that PDU in octets: what it says of itself may differ.
    pub fn of_connect_resp(length: usize) -> Option<Version> {
        match length {
            30 => Some(Version::V20),
            33 => Some(Version::V30),
            _ => None,
        }
    }
}

/// A field as `A` has it in 2.0 and as `B` has it in 3.0.
pub struct Either<A, B>(PhantomData<(A, B)>);

impl<'a, A, B> Field<'a, Version> for Either<A, B>
where
    A: Field<'a, Version>,
    B: Field<'a, Version, Value = A::Value>,
{
    type Value = A::Value;
    fn read(from: &mut Reader<'a>, version: Version) -> Result<A::Value, Cause> {
        match version {
            Version::V20 => A::read(from, version),
            Version::V30 => B::read(from, version),
        }
    }
    fn write(value: A::Value, version: Version, out: &mut impl BufMut) {
        match version {
            Version::V20 => A::write(value, version, out),
            Version::V30 => B::write(value, version, out),
        }
    }
    fn octets(value: A::Value, version: Version) -> usize {
        match version {
            Version::V20 => A::octets(value, version),
            Version::V30 => B::octets(value, version),
        }
    }
    fn fits(value: A::Value, version: Version) -> bool {
        match version {
            Version::V20 => A::fits(value, version),
            Version::V30 => B::fits(value, version),
        }
    }
    fn show(value: A::Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        B::show(value, f)
    }
    #[cfg(test)]
    fn sample(entropy: &mut Entropy<'_>, version: Version, out: &mut BytesMut) {
        match version {
            Version::V20 => A::sample(entropy, version, out),
            Version::V30 => B::sample(entropy, version, out),
        }
    }
}

/// A phone number.
pub type Number = Either<Fixed<21>, Fixed<32>>;

/// A field of kind `K` that is not there: always its type's default.
pub struct Absent<K>(PhantomData<K>);

impl<'a, E: Copy, K: Field<'a, E, Value: Default + PartialEq>> Field<'a, E> for Absent<K> {
    type Value = K::Value;
    fn read(_: &mut Reader<'a>, _: E) -> Result<K::Value, Cause> {
        Ok(K::Value::default())
    }
    fn write(_: K::Value, _: E, _: &mut impl BufMut) {}
    fn octets(_: K::Value, _: E) -> usize {
        0
    }
    fn fits(value: K::Value, _: E) -> bool {
        value == K::Value::default()
    }
    fn show(value: K::Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        K::show(value, f)
    }
    #[cfg(test)]
    fn sample(_: &mut Entropy<'_>, _: E, _: &mut BytesMut) {}
}

/// The verdict in an answer, with `AFTER` octets after it: one octet in 2.0, four in 3.0. Where what is left is just as
/// long as in the other version, the other version is read: some gateways answer in it.
pub struct Status<const AFTER: usize>;

impl<'a, const AFTER: usize> Field<'a, Version> for Status<AFTER> {
    type Value = u32;
    fn read(from: &mut Reader<'a>, version: Version) -> Result<u32, Cause> {
        let left = from.left();
        let version = match left {
            1 => Version::V20,
            4 => Version::V30,
            left if left == AFTER + 1 => Version::V20,
            left if left == AFTER + 4 => Version::V30,
            _ => version,
        };
        match version {
            Version::V20 => from.u8().map(u32::from),
            Version::V30 => from.u32(),
        }
    }
    fn write(value: u32, version: Version, out: &mut impl BufMut) {
        match version {
            Version::V20 => out.put_u8(u8::try_from(value).unwrap_or(u8::MAX)),
            Version::V30 => out.put_u32(value),
        }
    }
    fn octets(_: u32, version: Version) -> usize {
        match version {
            Version::V20 => 1,
            Version::V30 => 4,
        }
    }
    fn fits(value: u32, version: Version) -> bool {
        version == Version::V30 || u8::try_from(value).is_ok()
    }
    fn show(value: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{value}")
    }
    #[cfg(test)]
    fn sample(entropy: &mut Entropy<'_>, version: Version, out: &mut BytesMut) {
        Self::write(entropy.next().into(), version, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_seen_in_connect_has_its_version() {
        for (octet, version) in [
            (0x20, Some(Version::V20)),
            (0x21, Some(Version::V20)),
            (0x00, Some(Version::V20)),
            (0x01, Some(Version::V20)),
            (0x30, Some(Version::V30)),
            (0x7f, None),
        ] {
            assert_eq!(Version::claimed(octet), version, "{octet:#x}");
        }
        for version in [Version::V20, Version::V30] {
            assert_eq!(Version::claimed(version.octet()), Some(version));
        }
    }

    #[test]
    fn a_status_in_the_other_width_is_read() {
        let read = |octets: &[u8], version| <Status<2> as Field<'_, _>>::read(&mut Reader::new(octets), version);
        for version in [Version::V20, Version::V30] {
            assert_eq!(read(&[8, 0, 0], version), Ok(8));
            assert_eq!(read(&[0, 0, 0, 8, 0, 0], version), Ok(8));
            assert_eq!(read(&[8], version), Ok(8));
            assert_eq!(read(&[0, 0, 0, 8], version), Ok(8));
        }
        assert_eq!(read(&[8, 0, 0, 0, 0, 0, 0, 0], Version::V20), Ok(8));
        assert_eq!(read(&[0, 0, 0, 8, 0, 0, 0, 0], Version::V30), Ok(8));
        assert_eq!(read(&[0, 0], Version::V30), Err(Cause::Short));
    }

    #[test]
    fn what_a_version_cannot_say_does_not_fit() {
        assert!(!<Status<0> as Field<'_, _>>::fits(256, Version::V20));
        assert!(<Status<0> as Field<'_, _>>::fits(256, Version::V30));
        type Added = Either<Absent<u8>, u8>;
        assert!(!<Added as Field<'_, _>>::fits(1, Version::V20));
        assert!(<Added as Field<'_, _>>::fits(0, Version::V20) && <Added as Field<'_, _>>::fits(1, Version::V30));
        assert!(!<Number as Field<'_, _>>::fits(&[b'1'; 22], Version::V20));
        assert!(<Number as Field<'_, _>>::fits(&[b'1'; 32], Version::V30));
    }
}
