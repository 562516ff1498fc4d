//! Reading a record's body, field by field.

use super::{Because, Cause, Reason, Unreadable, WITH_OPTIONS};
use crate::clock::Wall;

/// Takes fields off a record's body.
pub(super) struct Take<'a> {
    pub(super) kind: u8,
    body: &'a [u8],
    pub(super) at: usize,
    /// A piece of the body that is known to be text, and where it begins.
    known: (usize, &'a str),
}

impl<'a> Take<'a> {
    /// From the body of a record of that kind.
    pub(super) fn new(kind: u8, body: &'a [u8]) -> Self {
        Take { kind, body, at: 0, known: (0, "") }
    }

    /// Looks at the next `texts` texts and `options` optional ones together: the lengths of short ones are ASCII, and one
    /// look is cheaper than one at each.
    pub(super) fn know(&mut self, texts: usize, options: usize) {
        let mut end = self.at;
        for flag in std::iter::repeat_n(0, texts).chain(std::iter::repeat_n(1, options)) {
            let length = self.body.get(end + flag..).and_then(|rest| rest.first_chunk::<2>());
            end += flag + 2 + length.map_or(0, |length| usize::from(u16::from_le_bytes(*length)));
        }
        let piece = self.body.get(self.at..end).and_then(|piece| std::str::from_utf8(piece).ok());
        self.known = (self.at, piece.unwrap_or_default());
    }

    pub(super) fn unreadable(&self) -> Unreadable {
        Unreadable { kind: self.kind, at: self.at }
    }

    #[inline]
    pub(super) fn bytes(&mut self, n: usize) -> Result<&'a [u8], Unreadable> {
        let rest = self.body.get(self.at..).and_then(|rest| rest.get(..n));
        let bytes = rest.ok_or_else(|| self.unreadable())?;
        self.at += n;
        Ok(bytes)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let array = self.body.get(self.at..).and_then(|rest| rest.first_chunk());
        let array = *array.ok_or_else(|| self.unreadable())?;
        self.at += N;
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Unreadable> {
        Ok(self.bytes(1)?[0])
    }

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

    pub(super) fn str(&mut self) -> Result<&'a str, Unreadable> {
        let octets = self.octets()?;
        let (begin, known) = self.known;
        let place = (self.at - octets.len()).checked_sub(begin).zip(self.at.checked_sub(begin));
        match place.and_then(|(from, to)| known.get(from..to)) {
            _ if octets.is_empty() => Ok(""),
            Some(text) => Ok(text),
            None => std::str::from_utf8(octets).map_err(|_| self.unreadable()),
        }
    }

    /// See [`put_last`](super::put_last).
    pub(super) fn last(&mut self, flags: u8) -> Result<&'a str, Unreadable> {
        if flags & WITH_OPTIONS == 0 { Ok("") } else { self.str() }
    }

    pub(super) fn because(&mut self) -> Result<Because<'a>, Unreadable> {
        let (reason, cause) = (Reason::read(self.u8()?), Cause::read(self.u8()?));
        Ok(Because { reason, cause, number: u32::from_le_bytes(self.array()?), other: self.str()? })
    }

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
