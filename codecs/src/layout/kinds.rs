//! The kinds of field that carrier protocols are made of.

use std::fmt;
use std::marker::PhantomData;

use bytes::{BufMut, BytesMut};

#[cfg(test)]
use super::Entropy;
use super::Field;
use crate::octets::{Cause, Reader, at_most, until_nul};

macro_rules! integer {
    ($($kind:ident $put:ident)+) => {$(
        impl<'a, E: Copy> Field<'a, E> for $kind {
            type Value = $kind;
            fn read(from: &mut Reader<'a>, _: E) -> Result<$kind, Cause> {
                from.$kind()
            }
            fn write(value: $kind, _: E, out: &mut impl BufMut) {
                out.$put(value);
            }
            fn octets(_: $kind, _: E) -> usize {
                size_of::<$kind>()
            }
            fn fits(_: $kind, _: E) -> bool {
                true
            }
            fn show(value: $kind, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{value:#x}")
            }
            #[cfg(test)]
            fn sample(entropy: &mut Entropy<'_>, _: E, out: &mut BytesMut) {
                (0..size_of::<$kind>()).for_each(|_| out.put_u8(entropy.next()));
            }
        }
    )+};
}
integer! { u8 put_u8 u16 put_u16 u32 put_u32 u64 put_u64 }

/// Octets as they are: ids, digests.
impl<'a, E: Copy, const N: usize> Field<'a, E> for [u8; N] {
    type Value = [u8; N];
    fn read(from: &mut Reader<'a>, _: E) -> Result<[u8; N], Cause> {
        from.array()
    }
    fn write(value: [u8; N], _: E, out: &mut impl BufMut) {
        out.put_slice(&value);
    }
    fn octets(_: [u8; N], _: E) -> usize {
        N
    }
    fn fits(_: [u8; N], _: E) -> bool {
        true
    }
    fn show(value: [u8; N], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        value.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
    #[cfg(test)]
    fn sample(entropy: &mut Entropy<'_>, _: E, out: &mut BytesMut) {
        (0..N).for_each(|_| out.put_u8(entropy.next()));
    }
}

/// Text ended by NUL, at most `MAX` octets with it.
pub struct CString<const MAX: usize>;

impl<'a, E: Copy, const MAX: usize> Field<'a, E> for CString<MAX> {
    type Value = &'a [u8];
    fn read(from: &mut Reader<'a>, _: E) -> Result<&'a [u8], Cause> {
        from.cstring(MAX)
    }
    fn write(value: &'a [u8], _: E, out: &mut impl BufMut) {
        // Many are empty.
        if !value.is_empty() {
            out.put_slice(at_most(until_nul(value), MAX - 1));
        }
        out.put_u8(0);
    }
    fn octets(value: &'a [u8], _: E) -> usize {
        at_most(until_nul(value), MAX - 1).len() + 1
    }
    fn uncut(value: &'a [u8], _: E) -> usize {
        value.len() + 1
    }
    fn fits(value: &'a [u8], _: E) -> bool {
        value.len() < MAX && !value.contains(&0)
    }
    fn show(value: &'a [u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", value.escape_ascii())
    }
    #[cfg(test)]
    fn sample(entropy: &mut Entropy<'_>, _: E, out: &mut BytesMut) {
        entropy.text(MAX - 1, out);
        out.put_u8(0);
    }
}

/// Text in a field of exactly `WIDTH` octets, padded with NUL on the right; no NUL where the text fills it.
pub struct Fixed<const WIDTH: usize>;

impl<'a, E: Copy, const WIDTH: usize> Field<'a, E> for Fixed<WIDTH> {
    type Value = &'a [u8];
    fn read(from: &mut Reader<'a>, _: E) -> Result<&'a [u8], Cause> {
        from.fixed(WIDTH)
    }
    fn write(value: &'a [u8], _: E, out: &mut impl BufMut) {
        let value = at_most(until_nul(value), WIDTH);
        out.put_slice(value);
        out.put_bytes(0, WIDTH - value.len());
    }
    fn octets(_: &'a [u8], _: E) -> usize {
        WIDTH
    }
    fn fits(value: &'a [u8], _: E) -> bool {
        value.len() <= WIDTH && !value.contains(&0)
    }
    fn show(value: &'a [u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", value.escape_ascii())
    }
    #[cfg(test)]
    fn sample(entropy: &mut Entropy<'_>, _: E, out: &mut BytesMut) {
        let end = out.len() + WIDTH;
        entropy.text(WIDTH, out);
        out.resize(end, 0);
    }
}

/// Any octets, as many as the number before them (`u8`, `u16`, `u32`) says.
pub struct Prefixed<P>(PhantomData<P>);

macro_rules! prefixed {
    ($($prefix:ident $put:ident)+) => {$(
        impl<'a, E: Copy> Field<'a, E> for Prefixed<$prefix> {
            type Value = &'a [u8];
            fn read(from: &mut Reader<'a>, _: E) -> Result<&'a [u8], Cause> {
                let mut ahead = *from;
                let length = usize::try_from(ahead.$prefix()?).map_err(|_| Cause::Short)?;
                let value = ahead.bytes(length)?;
                *from = ahead;
                Ok(value)
            }
            fn write(value: &'a [u8], _: E, out: &mut impl BufMut) {
                let length = $prefix::try_from(value.len()).unwrap_or($prefix::MAX);
                out.$put(length);
                out.put_slice(at_most(value, length as usize));
            }
            fn octets(value: &'a [u8], _: E) -> usize {
                size_of::<$prefix>() + value.len().min($prefix::MAX as usize)
            }
            fn uncut(value: &'a [u8], _: E) -> usize {
                size_of::<$prefix>() + value.len()
            }
            fn fits(value: &'a [u8], _: E) -> bool {
                $prefix::try_from(value.len()).is_ok()
            }
            fn show(value: &'a [u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "\"{}\"", value.escape_ascii())
            }
            #[cfg(test)]
            fn sample(entropy: &mut Entropy<'_>, _: E, out: &mut BytesMut) {
                let length = entropy.next();
                out.$put(length.into());
                (0..length).for_each(|_| out.put_u8(entropy.next()));
            }
        }
    )+};
}
prefixed! { u8 put_u8 u16 put_u16 u32 put_u32 }

/// A field as `K` has it whose content logs must not show: passwords and their digests, numbers, message text.
pub struct Hidden<K>(PhantomData<K>);

impl<'a, E: Copy, K: Field<'a, E, Value: AsRef<[u8]>>> Field<'a, E> for Hidden<K> {
    type Value = K::Value;
    fn read(from: &mut Reader<'a>, edition: E) -> Result<K::Value, Cause> {
        K::read(from, edition)
    }
    fn write(value: K::Value, edition: E, out: &mut impl BufMut) {
        K::write(value, edition, out);
    }
    fn octets(value: K::Value, edition: E) -> usize {
        K::octets(value, edition)
    }
    fn uncut(value: K::Value, edition: E) -> usize {
        K::uncut(value, edition)
    }
    fn fits(value: K::Value, edition: E) -> bool {
        K::fits(value, edition)
    }
    fn show(value: K::Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets", value.as_ref().len())
    }
    #[cfg(test)]
    fn sample(entropy: &mut Entropy<'_>, edition: E, out: &mut BytesMut) {
        K::sample(entropy, edition, out);
    }
}

/// A last field as `K` has it that peers cut or leave out: where not all of it is there, it is taken to be empty.
pub struct Tail<K>(PhantomData<K>);

impl<'a, E: Copy, K: Field<'a, E, Value: Default>> Field<'a, E> for Tail<K> {
    type Value = K::Value;
    fn read(from: &mut Reader<'a>, edition: E) -> Result<K::Value, Cause> {
        Ok(K::read(from, edition).unwrap_or_else(|_| {
            from.rest();
            K::Value::default()
        }))
    }
    fn write(value: K::Value, edition: E, out: &mut impl BufMut) {
        K::write(value, edition, out);
    }
    fn octets(value: K::Value, edition: E) -> usize {
        K::octets(value, edition)
    }
    fn fits(value: K::Value, edition: E) -> bool {
        K::fits(value, edition)
    }
    fn show(value: K::Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        K::show(value, f)
    }
    #[cfg(test)]
    fn sample(entropy: &mut Entropy<'_>, edition: E, out: &mut BytesMut) {
        K::sample(entropy, edition, out);
    }
}

/// As many texts of kind `K`, padded or ended by NUL, as the octet before them says; see [`Repeated::iter`].
pub struct Repeated<K>(PhantomData<K>);

/// Repeated texts: the only one, or the octets of several.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Items<'a> {
    count: u8,
    /// Where `count` is 1 the text itself; else every field as on the wire.
    octets: &'a [u8],
}

impl<'a> Items<'a> {
    /// A single text.
    pub fn one(text: &'a [u8]) -> Self {
        Items { count: 1, octets: text }
    }

    /// Takes `octets` to be `count` fields, as their kind wrote them.
    pub fn new(count: u8, octets: &'a [u8]) -> Self {
        Items { count, octets: if count == 1 { until_nul(octets) } else { octets } }
    }

    /// How many there are.
    pub fn count(&self) -> u8 {
        self.count
    }
}

/// Shows the count only: repeated fields are mostly numbers.
impl fmt::Debug for Items<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} items", self.count)
    }
}

impl<K> Repeated<K> {
    /// The texts, in order.
    pub fn iter<'a, E: Copy>(items: Items<'a>, edition: E) -> impl Iterator<Item = &'a [u8]>
    where
        K: Field<'a, E, Value = &'a [u8]>,
    {
        let mut reader = Reader::new(items.octets);
        (0..items.count).map_while(move |_| match items.count {
            1 => Some(items.octets),
            _ => K::read(&mut reader, edition).ok(),
        })
    }

    /// Writes the texts into `room`, so that they can be [`Items`]; no more than 255 of them.
    pub fn gather<'a, 't, E: Copy>(
        texts: impl IntoIterator<Item = &'t [u8]>,
        edition: E,
        room: &'a mut BytesMut,
    ) -> Items<'a>
    where
        K: Field<'t, E, Value = &'t [u8]>,
    {
        let mut count = 0;
        for text in texts.into_iter().take(usize::from(u8::MAX)) {
            K::write(text, edition, room);
            count += 1;
        }
        Items::new(count, room)
    }
}

impl<'a, E: Copy, K: Field<'a, E, Value = &'a [u8]>> Field<'a, E> for Repeated<K> {
    type Value = Items<'a>;
    fn read(from: &mut Reader<'a>, edition: E) -> Result<Items<'a>, Cause> {
        let mut ahead = *from;
        let count = ahead.u8()?;
        let mut items = ahead;
        for _ in 0..count {
            K::read(&mut ahead, edition)?;
        }
        let octets = items.bytes(items.left() - ahead.left())?;
        *from = ahead;
        Ok(Items::new(count, octets))
    }
    fn write(value: Items<'a>, edition: E, out: &mut impl BufMut) {
        out.put_u8(value.count);
        match value.count {
            1 => K::write(value.octets, edition, out),
            _ => out.put_slice(value.octets),
        }
    }
    fn octets(value: Items<'a>, edition: E) -> usize {
        1 + match value.count {
            1 => K::octets(value.octets, edition),
            _ => value.octets.len(),
        }
    }
    fn fits(value: Items<'a>, edition: E) -> bool {
        match value.count {
            1 => K::fits(value.octets, edition),
            count => Repeated::<K>::iter(value, edition).count() == usize::from(count),
        }
    }
    fn show(value: Items<'a>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&value, f)
    }
    #[cfg(test)]
    fn sample(entropy: &mut Entropy<'_>, edition: E, out: &mut BytesMut) {
        let count = entropy.next() % 5;
        out.put_u8(count);
        (0..count).for_each(|_| K::sample(entropy, edition, out));
    }
}
