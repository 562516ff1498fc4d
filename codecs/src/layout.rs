//! The order of a PDU body's fields, written once.
//!
//! `layout!` takes a struct whose fields name their *kind* ([`CString<21>`], `u8`, [`Prefixed<u8>`], ...) and makes of it
//! the struct with borrowed values and its [`Layout`]: reading, writing, length, and in tests the sampling that round
//! trips need. A kind says how one field lies on the wire ([`Field`]). Protocols with editions that differ in a width or
//! a field (`struct Submit<'a> in Version`) hand the edition to every kind; the others use `()`.
//!
//! Values that do not fit their field are cut when written, so that no value can break the framing;
//! [`Layout::unfit`] tells beforehand.

use std::fmt;
use std::marker::PhantomData;

use bytes::{BufMut, BytesMut};

use crate::octets::{Cause, Reader, at_most, until_nul};

/// How one field lies on the wire. `E` is the protocol's edition, `()` where there is only one.
pub trait Field<'a, E: Copy = ()> {
    /// What a struct holds for it.
    type Value: Copy;
    /// Takes the field from the front.
    fn read(from: &mut Reader<'a>, edition: E) -> Result<Self::Value, Cause>;
    /// Appends the field.
    fn write(value: Self::Value, edition: E, out: &mut BytesMut);
    /// How many octets `write` appends.
    fn octets(value: Self::Value, edition: E) -> usize;
    /// Whether `write` appends all of the value.
    fn fits(value: Self::Value, edition: E) -> bool;
    /// Shows the value in logs; private ones show their size only.
    fn show(value: Self::Value, f: &mut fmt::Formatter<'_>) -> fmt::Result;
    /// Appends some valid field.
    #[cfg(test)]
    fn sample(entropy: &mut Entropy<'_>, edition: E, out: &mut BytesMut);
}

/// A struct of fields in wire order; made by `layout!`.
pub trait Layout<'a, E: Copy = ()>: Sized {
    /// Takes all fields from the front; the error names the first that cannot be read.
    fn read(from: &mut Reader<'a>, edition: E) -> Result<Self, Misread>;
    /// Appends all fields.
    fn write(&self, edition: E, out: &mut BytesMut);
    /// How many octets `write` appends.
    fn octets(&self, edition: E) -> usize;
    /// The first field whose value `write` would cut.
    fn unfit(&self, edition: E) -> Option<&'static str>;
    /// Appends some valid body.
    #[cfg(test)]
    fn sample(entropy: &mut Entropy<'_>, edition: E, out: &mut BytesMut);
}

/// A field that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {cause}")]
pub struct Misread {
    /// Its name.
    pub field: &'static str,
    /// Why.
    pub cause: Cause,
}

macro_rules! layout {
    ($(#[$meta:meta])* pub struct $name:ident<$life:lifetime> { $($fields:tt)+ }) => {
        layout! { $(#[$meta])* pub struct $name<$life> in () { $($fields)+ } }
    };
    ($(#[$meta:meta])* pub struct $name:ident<$life:lifetime> in $edition:ty {
        $($(#[$field_meta:meta])* $field:ident: $kind:ty,)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Default, PartialEq, Eq)]
        pub struct $name<$life> {
            $($(#[$field_meta])* pub $field: <$kind as $crate::layout::Field<$life, $edition>>::Value,)+
        }

        impl<$life> $crate::layout::Layout<$life, $edition> for $name<$life> {
            fn read(
                from: &mut $crate::octets::Reader<$life>,
                edition: $edition,
            ) -> Result<Self, $crate::layout::Misread> {
                Ok($name {
                    $($field: <$kind as $crate::layout::Field<$life, $edition>>::read(from, edition)
                        .map_err(|cause| $crate::layout::Misread { field: stringify!($field), cause })?,)+
                })
            }
            fn write(&self, edition: $edition, out: &mut bytes::BytesMut) {
                $(<$kind as $crate::layout::Field<$life, $edition>>::write(self.$field, edition, out);)+
            }
            fn octets(&self, edition: $edition) -> usize {
                0 $(+ <$kind as $crate::layout::Field<$life, $edition>>::octets(self.$field, edition))+
            }
            fn unfit(&self, edition: $edition) -> Option<&'static str> {
                $(if !<$kind as $crate::layout::Field<$life, $edition>>::fits(self.$field, edition) {
                    return Some(stringify!($field));
                })+
                None
            }
            #[cfg(test)]
            fn sample(entropy: &mut $crate::layout::Entropy<'_>, edition: $edition, out: &mut bytes::BytesMut) {
                $(<$kind as $crate::layout::Field<$life, $edition>>::sample(entropy, edition, out);)+
            }
        }

        impl<$life> std::fmt::Debug for $name<$life> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($field), &$crate::layout::Show(|f: &mut std::fmt::Formatter<'_>| {
                        <$kind as $crate::layout::Field<$life, $edition>>::show(self.$field, f)
                    })))+
                    .finish()
            }
        }
    };
}
pub(crate) use layout;

/// Lends a closure to `debug_struct`.
pub(crate) struct Show<F>(pub(crate) F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Debug for Show<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

macro_rules! integer {
    ($($kind:ident $put:ident)+) => {$(
        impl<'a, E: Copy> Field<'a, E> for $kind {
            type Value = $kind;
            fn read(from: &mut Reader<'a>, _: E) -> Result<$kind, Cause> {
                from.$kind()
            }
            fn write(value: $kind, _: E, out: &mut BytesMut) {
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

/// Text ended by NUL, at most `MAX` octets with it.
pub struct CString<const MAX: usize>;

impl<'a, E: Copy, const MAX: usize> Field<'a, E> for CString<MAX> {
    type Value = &'a [u8];
    fn read(from: &mut Reader<'a>, _: E) -> Result<&'a [u8], Cause> {
        from.cstring(MAX)
    }
    fn write(value: &'a [u8], _: E, out: &mut BytesMut) {
        out.put_slice(at_most(until_nul(value), MAX - 1));
        out.put_u8(0);
    }
    fn octets(value: &'a [u8], _: E) -> usize {
        at_most(until_nul(value), MAX - 1).len() + 1
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
    fn write(value: &'a [u8], _: E, out: &mut BytesMut) {
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
            fn write(value: &'a [u8], _: E, out: &mut BytesMut) {
                let length = $prefix::try_from(value.len()).unwrap_or($prefix::MAX);
                out.$put(length);
                out.put_slice(at_most(value, length as usize));
            }
            fn octets(value: &'a [u8], _: E) -> usize {
                size_of::<$prefix>() + value.len().min($prefix::MAX as usize)
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

/// A field as `K` has it whose content logs must not show: passwords, numbers, message text.
pub struct Hidden<K>(PhantomData<K>);

impl<'a, E: Copy, K: Field<'a, E, Value = &'a [u8]>> Field<'a, E> for Hidden<K> {
    type Value = &'a [u8];
    fn read(from: &mut Reader<'a>, edition: E) -> Result<&'a [u8], Cause> {
        K::read(from, edition)
    }
    fn write(value: &'a [u8], edition: E, out: &mut BytesMut) {
        K::write(value, edition, out);
    }
    fn octets(value: &'a [u8], edition: E) -> usize {
        K::octets(value, edition)
    }
    fn fits(value: &'a [u8], edition: E) -> bool {
        K::fits(value, edition)
    }
    fn show(value: &'a [u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets", value.len())
    }
    #[cfg(test)]
    fn sample(entropy: &mut Entropy<'_>, edition: E, out: &mut BytesMut) {
        K::sample(entropy, edition, out);
    }
}

/// A source of choices for samples: what a property test drew, and zeros for ever after.
#[cfg(test)]
pub struct Entropy<'e>(pub(crate) &'e [u8]);

#[cfg(test)]
impl Entropy<'_> {
    pub(crate) fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Appends up to `max` octets, none of them NUL.
    pub(crate) fn text(&mut self, max: usize, out: &mut BytesMut) {
        let length = self.next() as usize % (max + 1);
        (0..length).for_each(|_| out.put_u8(self.next().max(1)));
    }
}

/// Samples a body of layout `L` into `room`; proves that reading takes exactly it, writing gives it back, `octets` is true.
#[cfg(test)]
pub(crate) fn round_trip<'a, L: Layout<'a, E>, E: Copy>(entropy: &[u8], edition: E, room: &'a mut BytesMut) {
    L::sample(&mut Entropy(entropy), edition, room);
    let sample: &'a [u8] = room;
    let mut reader = Reader::new(sample);
    let body = L::read(&mut reader, edition).expect("a sample can be read");
    assert_eq!(reader.left(), 0);
    assert_eq!(body.octets(edition), sample.len());
    assert_eq!(body.unfit(edition), None);
    let mut written = BytesMut::new();
    body.write(edition, &mut written);
    assert_eq!(written, sample);
}
