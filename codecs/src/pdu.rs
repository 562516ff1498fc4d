//! Whole PDUs of the protocols whose header is length, command and sequence: CMPP, SGIP, SMGP.
//!
//! `commands!` names a protocol's commands, `bodies!` says which layout follows which; reading, writing and naming all
//! follow from these two tables. Octets after a body are passed over: peers pad, and cut their last field too (see
//! [`crate::layout::Tail`]).

use bytes::{BufMut, BytesMut};

use crate::framing::Skip;
use crate::layout::{Field, Misread, in_place};
use crate::octets::{Cause, Reader};

/// One PDU, its body one of `B`, numbered by an `S`; its length is known when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pdu<B, S = u32> {
    /// The sender's number for it; an answer repeats its request's.
    pub sequence: S,
    /// What it is.
    pub body: B,
}

/// A sequence number: a field of any octets, always as long.
pub trait Sequence: Copy + Default + for<'a> Field<'a, Value = Self> {}
impl<S: Copy + Default + for<'a> Field<'a, Value = S>> Sequence for S {}

/// The bodies of a protocol's PDUs; made by `bodies!`.
pub trait Bodies<'a, E: Copy>: Sized {
    /// The command id.
    fn command(&self) -> u32;
    /// Takes the body of `command`; all that is left where the command is not known.
    fn read(command: u32, from: &mut Reader<'a>, edition: E) -> Result<Self, Misread>;
    /// Appends the body.
    fn write(&self, edition: E, out: &mut impl BufMut);
    /// How many octets `write` appends.
    fn octets(&self, edition: E) -> usize;
    /// The first field whose value `write` would cut.
    fn unfit(&self, edition: E) -> Option<&'static str>;
    /// The status that says a field cannot be read.
    fn fault(field: &'static str) -> u32;
}

impl<B, S: Sequence> Pdu<B, S> {
    /// Reads exactly one PDU, as [`crate::framing::cut`] found it.
    pub fn read<'a, E: Copy>(octets: &'a [u8], edition: E) -> Result<Self, Skip<S>>
    where
        B: Bodies<'a, E>,
    {
        const LENGTH: &str = "length";
        let mut reader = Reader::new(octets);
        let misframed = Skip { command: 0, sequence: S::default(), status: B::fault(LENGTH), reason: LENGTH };
        let (length, command, sequence) = header::<S>(&mut reader).map_err(|_| misframed)?;
        if usize::try_from(length) != Ok(octets.len()) {
            return Err(Skip { command, sequence, ..misframed });
        }
        let skip = |Misread { field, .. }| Skip { command, sequence, status: B::fault(field), reason: field };
        Ok(Pdu { sequence, body: B::read(command, &mut reader, edition).map_err(skip)? })
    }

    /// Appends the PDU. Values too long for their field are cut: see [`Pdu::unfit`].
    pub fn write<'a, E: Copy>(&self, edition: E, out: &mut BytesMut)
    where
        B: Bodies<'a, E>,
    {
        let octets = self.octets(edition);
        in_place(octets, out, |mut out| {
            out.put_u32(u32::try_from(octets).unwrap_or(u32::MAX));
            out.put_u32(self.body.command());
            S::write(self.sequence, (), &mut out);
            self.body.write(edition, &mut out);
        });
    }

    /// How many octets `write` appends.
    pub fn octets<'a, E: Copy>(&self, edition: E) -> usize
    where
        B: Bodies<'a, E>,
    {
        2 * size_of::<u32>() + S::octets(self.sequence, ()) + self.body.octets(edition)
    }

    /// The first field whose value does not fit and would be cut by `write`.
    pub fn unfit<'a, E: Copy>(&self, edition: E) -> Option<&'static str>
    where
        B: Bodies<'a, E>,
    {
        self.body.unfit(edition)
    }
}

fn header<S: Sequence>(from: &mut Reader<'_>) -> Result<(u32, u32, S), Cause> {
    Ok((from.u32()?, from.u32()?, S::read(from, ())?))
}

macro_rules! commands {
    ($($name:ident = $id:literal $wire:literal)+) => {
        $(#[doc = concat!("`", $wire, "`")] pub const $name: u32 = $id;)+

        /// The command's name in the specification; an answer has its request's.
        pub fn name(command: u32) -> Option<&'static str> {
            match command & !RESPONSE {
                $($name => Some($wire),)+
                _ => None,
            }
        }
    };
}
pub(crate) use commands;

macro_rules! bodies {
    ($(#[$meta:meta])* $vis:vis enum $name:ident<$life:lifetime> in $edition:ty, fault $fault:path {
        $($variant:ident $(($fields:ty))? = $command:expr,)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "named as in the specification")]
        #[allow(clippy::large_enum_variant, reason = "the largest is the one that travels")]
        $vis enum $name<$life> {
            $($variant $(($fields))?,)+
            /// A command not listed above, with all that follows its header.
            Unknown {
                command: u32,
                body: &$life [u8],
            },
        }

        const _: () = {
            use bytes::BufMut;
            use std::fmt;
            use $crate::layout::{Layout, Misread, Show};
            use $crate::octets::Reader;
            use $crate::pdu::{Bodies, given};

            #[allow(non_upper_case_globals, reason = "one constant per variant, so that patterns can name it")]
            mod ids {
                use super::*;
                $(pub(super) const $variant: u32 = $command;)+
            }

            impl<$life> Bodies<$life, $edition> for $name<$life> {
                fn command(&self) -> u32 {
                    match self {
                        $($name::$variant $((given!(_ for $fields)))? => ids::$variant,)+
                        $name::Unknown { command, .. } => *command,
                    }
                }
                fn read(command: u32, from: &mut Reader<$life>, edition: $edition) -> Result<Self, Misread> {
                    Ok(match command {
                        $(ids::$variant => $name::$variant $((
                            <$fields as Layout<$life, $edition>>::read(from, edition)?
                        ))?,)+
                        command => $name::Unknown { command, body: from.rest() },
                    })
                }
                fn write(&self, edition: $edition, out: &mut impl BufMut) {
                    match self {
                        $($name::$variant $((given!(body for $fields)))? => {
                            $(<$fields as Layout<$life, $edition>>::write(body, edition, out);)?
                        })+
                        $name::Unknown { body, .. } => out.put_slice(body),
                    }
                }
                fn octets(&self, edition: $edition) -> usize {
                    match self {
                        $($name::$variant $((given!(body for $fields)))? => {
                            0 $(+ <$fields as Layout<$life, $edition>>::octets(body, edition))?
                        })+
                        $name::Unknown { body, .. } => body.len(),
                    }
                }
                fn unfit(&self, edition: $edition) -> Option<&'static str> {
                    match self {
                        $($name::$variant $((given!(body for $fields)))? => {
                            None $(.or(<$fields as Layout<$life, $edition>>::unfit(body, edition)))?
                        })+
                        $name::Unknown { .. } => None,
                    }
                }
                fn fault(field: &'static str) -> u32 {
                    $fault(field)
                }
            }

            impl fmt::Debug for $name<'_> {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    match self {
                        $($name::$variant $((given!(body for $fields)))? => {
                            f.debug_tuple(stringify!($variant)) $(.field(given!(body for $fields)))? .finish()
                        })+
                        $name::Unknown { command, body } => f
                            .debug_struct("Unknown")
                            .field("command", &Show(|f: &mut fmt::Formatter<'_>| write!(f, "{command:#x}")))
                            .field("octets", &body.len())
                            .finish(),
                    }
                }
            }
        };
    };
}
pub(crate) use bodies;

/// What is given, where the variant has fields.
macro_rules! given {
    (_ for $fields:ty) => {
        _
    };
    ($body:ident for $fields:ty) => {
        $body
    };
}
pub(crate) use given;
