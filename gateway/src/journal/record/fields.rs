//! The fields that records are made of, put behind one another and taken off again.

use carriers::compact::Text;

use super::{Because, Unreadable, WITH_OPTIONS};
use crate::clock::Wall;
use crate::switch::{Cause, Reason};

pub(super) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

#[inline]
pub(super) fn put_u64s<const N: usize>(out: &mut Vec<u8>, values: [u64; N]) {
    let mut octets = [[0; 8]; N];
    octets.iter_mut().zip(&values).for_each(|(octets, value)| *octets = value.to_le_bytes());
    out.extend_from_slice(octets.as_flattened());
}

/// At most 14 octets of fields of a fixed size, and behind them in the same copy the length of the octets that follow. What
/// is longer than a 16-bit length is cut: the stages before limit every field far below.
#[inline]
pub(super) fn put_behind<const N: usize>(out: &mut Vec<u8>, fixed: [u8; N], octets: &[u8]) {
    const { assert!(N <= 14) };
    let (length, mut head) = (u16::try_from(octets.len()).unwrap_or(u16::MAX), [0; 16]);
    if let Some((start, rest)) = head.split_first_chunk_mut()
        && let Some(end) = rest.first_chunk_mut()
    {
        (*start, *end) = (fixed, length.to_le_bytes());
    }
    out.extend_from_slice(&head[..N + 2]);
    out.extend_from_slice(&octets[..usize::from(length)]);
}

pub(super) fn put_octets(out: &mut Vec<u8>, octets: &[u8]) {
    put_behind(out, [], octets);
}

pub(super) fn put_str(out: &mut Vec<u8>, text: &str) {
    put_behind(out, [], short(text));
}

/// A text's octets, of whole characters as many as a 16-bit length can tell.
#[inline]
pub(super) fn short(text: &str) -> &[u8] {
    if text.len() <= usize::from(u16::MAX) { text.as_bytes() } else { cut(text) }
}

/// As [`short`].
#[inline]
pub(super) fn short_text(text: Text<'_>) -> &[u8] {
    if text.octets().len() <= usize::from(u16::MAX) { text.octets() } else { cut(text.as_str()) }
}

#[cold]
fn cut(text: &str) -> &[u8] {
    let mut end = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text.as_bytes()[..end]
}

/// What is there only where the flags say so.
pub(super) fn put_last(out: &mut Vec<u8>, text: &str) {
    if !text.is_empty() {
        put_str(out, text);
    }
}

pub(super) fn put_option(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => put_behind(out, [1], short(text)),
        None => out.extend_from_slice(&[0; 3]),
    }
}

/// Takes fields off a record's body.
pub(super) struct Take<'a> {
    kind: u8,
    /// Octets of the whole body.
    of: usize,
    /// What was not taken yet.
    pub(super) rest: &'a [u8],
}

impl<'a> Take<'a> {
    pub(super) fn from(kind: u8, body: &'a [u8]) -> Self {
        Take { kind, of: body.len(), rest: body }
    }

    /// Octets taken.
    pub(super) fn at(&self) -> usize {
        self.of - self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[cold]
    pub(super) fn unreadable(&self) -> Unreadable {
        Unreadable { kind: self.kind, at: self.at() }
    }

    #[inline]
    pub(super) fn bytes(&mut self, n: usize) -> Result<&'a [u8], Unreadable> {
        let Some((bytes, rest)) = self.rest.split_at_checked(n) else { return Err(self.unreadable()) };
        self.rest = rest;
        Ok(bytes)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let Some((array, rest)) = self.rest.split_first_chunk() else { return Err(self.unreadable()) };
        self.rest = rest;
        Ok(*array)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, Unreadable> {
        self.array().map(u8::from_le_bytes)
    }

    #[inline]
    pub(super) fn flag(&mut self) -> Result<bool, Unreadable> {
        Ok(self.u8()? != 0)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Unreadable> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Unreadable> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn wall(&mut self) -> Result<Wall, Unreadable> {
        Ok(Wall(self.u64()?))
    }

    #[inline]
    pub(super) fn octets(&mut self) -> Result<&'a [u8], Unreadable> {
        let length = u16::from_le_bytes(self.array()?);
        self.bytes(usize::from(length))
    }

    #[inline]
    pub(super) fn str(&mut self) -> Result<&'a str, Unreadable> {
        match self.octets()? {
            [] => Ok(""),
            octets => std::str::from_utf8(octets).map_err(|_| self.unreadable()),
        }
    }

    /// See [`put_last`].
    pub(super) fn last(&mut self, flags: u8) -> Result<&'a str, Unreadable> {
        if flags & WITH_OPTIONS == 0 { Ok("") } else { self.str() }
    }

    pub(super) fn because(&mut self) -> Result<Because<'a>, Unreadable> {
        let (reason, cause) = (Reason::read(self.u8()?), Cause::read(self.u8()?));
        Ok(Because { reason, cause, number: u32::from_le_bytes(self.array()?), other: self.str()? })
    }

    #[inline]
    pub(super) fn option(&mut self) -> Result<Option<&'a str>, Unreadable> {
        let present = self.flag()?;
        let text = self.str()?;
        Ok(present.then_some(text))
    }

    pub(super) fn one_of<T: Copy>(&mut self, values: &[T]) -> Result<T, Unreadable> {
        let index = self.u8()?;
        values.get(usize::from(index)).copied().ok_or(self.unreadable())
    }
}
