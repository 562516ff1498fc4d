//! The order of a PDU body's fields, written once.
//!
//! `layout!` takes a struct whose fields say what they hold and, after `as`, their *kind* on the wire ([`CString`],
//! [`Fixed`], [`Prefixed`], ...; integers are their own kind). It makes of it the struct and its [`Layout`]: reading,
//! writing, length, and in tests the sampling that round trips need. A kind says how one field lies on the wire
//! ([`Field`]). Protocols with editions that differ in a width or a field (`struct Submit<'a> in Version`) hand the
//! edition to every kind; the others use `()`.
//!
//! Values that do not fit their field are cut when written, so that no value can break the framing;
//! [`Layout::unfit`] tells beforehand.

mod kinds;

use std::fmt;

use bytes::{BufMut, BytesMut};

use crate::octets::{Cause, Reader};

pub use kinds::{CString, Fixed, Hidden, Items, Prefixed, Repeated, Tail};

/// How one field lies on the wire. `E` is the protocol's edition, `()` where there is only one.
pub trait Field<'a, E: Copy = ()> {
    /// What a struct holds for it.
    type Value: Copy;
    /// Takes the field from the front.
    fn read(from: &mut Reader<'a>, edition: E) -> Result<Self::Value, Cause>;
    /// Appends the field.
    fn write(value: Self::Value, edition: E, out: &mut impl BufMut);
    /// How many octets `write` appends.
    fn octets(value: Self::Value, edition: E) -> usize;
    /// How many it would append if nothing of the value had to be cut: without a look at the value, where that is more.
    fn uncut(value: Self::Value, edition: E) -> usize {
        Self::octets(value, edition)
    }
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
    fn write(&self, edition: E, out: &mut impl BufMut);
    /// How many octets `write` appends.
    fn octets(&self, edition: E) -> usize;
    /// How many it would append if no value had to be cut.
    fn uncut(&self, edition: E) -> usize;
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
    ($(#[$meta:meta])* $vis:vis struct $name:ident<$life:lifetime> { $($fields:tt)+ }) => {
        layout! { @ $life () [<$life>] $(#[$meta])* $vis struct $name { $($fields)+ } }
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident<$life:lifetime> in $edition:ty { $($fields:tt)+ }) => {
        layout! { @ $life $edition [<$life>] $(#[$meta])* $vis struct $name { $($fields)+ } }
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($fields:tt)+ }) => {
        layout! { @ 'a () [] $(#[$meta])* $vis struct $name { $($fields)+ } }
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident in $edition:ty { $($fields:tt)+ }) => {
        layout! { @ 'a $edition [] $(#[$meta])* $vis struct $name { $($fields)+ } }
    };
    (@ $life:lifetime $edition:ty [$($generics:tt)*] $(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field:ident: $value:ty $(as $kind:ty)?,)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Default, PartialEq, Eq)]
        $vis struct $name $($generics)* {
            $($(#[$field_meta])* $vis $field: $value,)+
        }

        const _: () = {
            use bytes::BufMut;
            #[cfg(test)]
            use bytes::BytesMut;
            use std::fmt;
            use $crate::layout::{Field, Layout, Misread, Show, kind as on_wire};
            use $crate::octets::Reader;

            impl<$life> Layout<$life, $edition> for $name $($generics)* {
                fn read(from: &mut Reader<$life>, edition: $edition) -> Result<Self, Misread> {
                    Ok($name {
                        $($field: <on_wire!($value $(, $kind)?) as Field<$life, $edition>>::read(from, edition)
                            .map_err(|cause| Misread { field: stringify!($field), cause })?,)+
                    })
                }
                fn write(&self, edition: $edition, out: &mut impl BufMut) {
                    $(<on_wire!($value $(, $kind)?) as Field<$life, $edition>>::write(self.$field, edition, out);)+
                }
                fn octets(&self, edition: $edition) -> usize {
                    0 $(+ <on_wire!($value $(, $kind)?) as Field<$life, $edition>>::octets(self.$field, edition))+
                }
                fn uncut(&self, edition: $edition) -> usize {
                    0 $(+ <on_wire!($value $(, $kind)?) as Field<$life, $edition>>::uncut(self.$field, edition))+
                }
                fn unfit(&self, edition: $edition) -> Option<&'static str> {
                    $(if !<on_wire!($value $(, $kind)?) as Field<$life, $edition>>::fits(self.$field, edition) {
                        return Some(stringify!($field));
                    })+
                    None
                }
                #[cfg(test)]
                fn sample(entropy: &mut $crate::layout::Entropy<'_>, edition: $edition, out: &mut BytesMut) {
                    $(<on_wire!($value $(, $kind)?) as Field<$life, $edition>>::sample(entropy, edition, out);)+
                }
            }

            impl $($generics)* fmt::Debug for $name $($generics)* {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.debug_struct(stringify!($name))
                        $(.field(stringify!($field), &Show(|f: &mut fmt::Formatter<'_>| {
                            <on_wire!($value $(, $kind)?) as Field<'_, $edition>>::show(self.$field, f)
                        })))+
                        .finish()
                }
            }
        };
    };
}
pub(crate) use layout;

/// A field's kind: its value's type where none is named.
macro_rules! kind {
    ($value:ty) => {
        $value
    };
    ($value:ty, $kind:ty) => {
        $kind
    };
}
pub(crate) use kind;

/// Appends exactly `octets` octets, which `write` fills from the front: one look at the room instead of one per field.
pub(crate) fn in_place<R>(octets: usize, out: &mut BytesMut, write: impl FnOnce(&mut [u8]) -> R) -> R {
    let start = out.len();
    out.put_bytes(0, octets);
    write(out.get_mut(start..).unwrap_or_default())
}

/// Lends a closure to `debug_struct`.
pub(crate) struct Show<F>(pub(crate) F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Debug for Show<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
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
        (0..length).for_each(|_| out.extend_from_slice(&[self.next().max(1)]));
    }
}

/// Samples a body of layout `L` into `room`; proves that reading takes exactly it, that writing gives it back and that
/// `octets` is true.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Editions as CMPP has them: widths and fields differ.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Edition {
        Two,
        Three,
    }

    /// 21 octets, or 32 in edition three.
    struct Number;

    impl<'a> Field<'a, Edition> for Number {
        type Value = &'a [u8];
        fn read(from: &mut Reader<'a>, edition: Edition) -> Result<&'a [u8], Cause> {
            match edition {
                Edition::Two => <Fixed<21> as Field<'a>>::read(from, ()),
                Edition::Three => <Fixed<32> as Field<'a>>::read(from, ()),
            }
        }
        fn write(value: &'a [u8], edition: Edition, out: &mut impl BufMut) {
            match edition {
                Edition::Two => <Fixed<21> as Field<'a>>::write(value, (), out),
                Edition::Three => <Fixed<32> as Field<'a>>::write(value, (), out),
            }
        }
        fn octets(_: &'a [u8], edition: Edition) -> usize {
            if edition == Edition::Two { 21 } else { 32 }
        }
        fn fits(value: &'a [u8], edition: Edition) -> bool {
            value.len() <= Self::octets(value, edition)
        }
        fn show(value: &'a [u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
            <Hidden<Fixed<21>> as Field<'a>>::show(value, f)
        }
        fn sample(entropy: &mut Entropy<'_>, edition: Edition, out: &mut BytesMut) {
            match edition {
                Edition::Two => <Fixed<21> as Field<'a>>::sample(entropy, (), out),
                Edition::Three => <Fixed<32> as Field<'a>>::sample(entropy, (), out),
            }
        }
    }

    layout! {
        struct Submit<'a> in Edition {
            msg_id: u64,
            timestamp: u32,
            port: u16,
            service_id: &'a [u8] as Fixed<10>,
            numbers: Items<'a> as Repeated<Number>,
            number_type: u8,
            content: &'a [u8] as Prefixed<u8>,
            long_content: &'a [u8] as Hidden<Prefixed<u32>>,
            middling: &'a [u8] as Prefixed<u16>,
            password: &'a [u8] as Hidden<CString<9>>,
        }
    }

    #[test]
    fn an_edition_decides_widths_inside_repeated_blocks() {
        let mut numbers = BytesMut::new();
        Number::write(b"8613800138000", Edition::Three, &mut numbers);
        Number::write(b"8613900139000", Edition::Three, &mut numbers);
        let submit = Submit { numbers: Items::new(2, &numbers), content: b"hi", ..Submit::default() };
        assert_eq!(submit.octets(Edition::Three), 8 + 4 + 2 + 10 + 1 + 2 * 32 + 1 + 3 + 4 + 2 + 1);
        let mut octets = BytesMut::new();
        submit.write(Edition::Three, &mut octets);
        let read = Submit::read(&mut Reader::new(&octets), Edition::Three).unwrap();
        let found: Vec<_> = Repeated::<Number>::iter(read.numbers, Edition::Three).collect();
        assert_eq!(found, [b"8613800138000", b"8613900139000"]);
    }

    #[test]
    fn a_single_text_needs_no_room_and_reads_as_it_was() {
        let one = Submit { numbers: Items::one(b"13800138000"), ..Submit::default() };
        for edition in [Edition::Two, Edition::Three] {
            let (mut octets, mut room) = (BytesMut::new(), BytesMut::new());
            one.write(edition, &mut octets);
            assert_eq!(octets.len(), one.octets(edition));
            assert_eq!(Submit::read(&mut Reader::new(&octets), edition), Ok(one));
            assert_eq!(Repeated::<Number>::iter(one.numbers, edition).collect::<Vec<_>>(), [b"13800138000"]);
            assert_eq!(Repeated::<Number>::gather([&b"13800138000"[..]], edition, &mut room), one.numbers);
        }
        let long = Submit { numbers: Items::one(&[b'1'; 22]), ..Submit::default() };
        assert_eq!((long.unfit(Edition::Two), long.unfit(Edition::Three)), (Some("numbers"), None));
    }

    #[test]
    fn texts_gathered_are_at_most_255() {
        let mut room = BytesMut::new();
        let items = Repeated::<Number>::gather(std::iter::repeat_n(&b"1"[..], 300), Edition::Two, &mut room);
        assert_eq!((items.count(), Repeated::<Number>::iter(items, Edition::Two).count()), (255, 255));
        assert_eq!(Repeated::<Number>::gather([], Edition::Two, &mut BytesMut::new()), Items::default());
    }

    #[test]
    fn a_last_field_may_be_cut_and_is_written_whole() {
        layout! {
            struct Answer<'a> {
                result: u8,
                digest: [u8; 4] as Tail<Hidden<[u8; 4]>>,
                reserve: &'a [u8] as Tail<Fixed<2>>,
            }
        }
        let whole = Answer { result: 1, digest: [2, 3, 4, 5], reserve: b"ab" };
        let octets = [1, 2, 3, 4, 5, b'a', b'b'];
        for (end, expected) in [
            (7, whole),
            (6, Answer { reserve: b"", ..whole }),
            (5, Answer { reserve: b"", ..whole }),
            (4, Answer { result: 1, ..Answer::default() }),
            (1, Answer { result: 1, ..Answer::default() }),
        ] {
            let read = Answer::read(&mut Reader::new(&octets[..end]), ());
            assert_eq!(read, Ok(expected), "{end}");
            assert_eq!(expected.octets(()), 7);
        }
        assert_eq!(Answer::read(&mut Reader::new(b""), ()).unwrap_err().field, "result");
        let mut written = BytesMut::new();
        whole.write((), &mut written);
        assert_eq!(written[..], octets);
        assert_eq!(format!("{whole:?}"), "Answer { result: 0x1, digest: 4 octets, reserve: \"ab\" }");
    }

    #[test]
    fn the_first_field_that_cannot_be_read_is_named() {
        for (length, field) in
            [(0, "msg_id"), (23, "service_id"), (24, "numbers"), (25, "number_type"), (30, "long_content")]
        {
            let misread = Submit::read(&mut Reader::new(&[0; 64][..length]), Edition::Two).map(drop);
            assert_eq!(misread, Err(Misread { field, cause: Cause::Short }), "{length}");
        }
    }

    #[test]
    fn a_value_that_does_not_fit_is_named_and_cut() {
        let submit = Submit { service_id: b"ten octets+", password: b"nine char", ..Submit::default() };
        assert_eq!(submit.unfit(Edition::Two), Some("service_id"));
        let submit = Submit { service_id: b"a\0b", password: b"a\0b", content: &[7; 300], ..submit };
        assert_eq!(submit.unfit(Edition::Two), Some("service_id"));
        let mut octets = BytesMut::new();
        submit.write(Edition::Two, &mut octets);
        assert_eq!(octets.len(), submit.octets(Edition::Two));
        let read = Submit::read(&mut Reader::new(&octets), Edition::Two).unwrap();
        assert_eq!((read.service_id, read.password, read.content.len()), (&b"a"[..], &b"a"[..], 255));
        assert_eq!(read.unfit(Edition::Two), None);
    }

    #[test]
    fn a_claimed_count_or_length_is_not_believed() {
        let mut octets = vec![0; 24];
        octets.extend([255, b'x']);
        assert_eq!(Submit::read(&mut Reader::new(&octets), Edition::Two).unwrap_err().field, "numbers");
        let mut octets = vec![0; 27];
        octets.extend([0xff; 4]);
        assert_eq!(Submit::read(&mut Reader::new(&octets), Edition::Two).unwrap_err().field, "long_content");
    }

    #[test]
    fn logs_do_not_show_what_is_hidden() {
        let submit = Submit { service_id: b"HELP", password: b"secret", long_content: b"secret", ..Submit::default() };
        let shown = format!("{submit:?}");
        assert!(shown.contains("HELP") && !shown.contains("secret"), "{shown}");
    }

    proptest! {
        #[test]
        fn every_kind_round_trips(entropy in proptest::collection::vec(any::<u8>(), 0..1500)) {
            round_trip::<Submit<'_>, _>(&entropy, Edition::Two, &mut BytesMut::new());
            round_trip::<Submit<'_>, _>(&entropy, Edition::Three, &mut BytesMut::new());
        }
    }
}
