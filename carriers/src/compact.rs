//! What nearly every message or receipt has one or little of, kept in its own memory: a message on its way is one
//! allocation, and so is a receipt. What does not fit has memory of its own.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// A list of which nearly all have one entry at most.
#[derive(Clone)]
pub struct MostlyOne<T>(Kept<T>);

#[derive(Clone)]
enum Kept<T> {
    One(Option<T>),
    Many(Vec<T>),
}

impl<T> MostlyOne<T> {
    /// One more, at the end.
    pub fn push(&mut self, value: T) {
        match &mut self.0 {
            Kept::One(one) => match one.take() {
                None => *one = Some(value),
                Some(first) => self.0 = Kept::Many(vec![first, value]),
            },
            Kept::Many(many) => many.push(value),
        }
    }

    /// Takes the last one if it is such a one.
    pub fn pop_if(&mut self, such: impl FnOnce(&mut T) -> bool) -> Option<T> {
        match &mut self.0 {
            Kept::One(one) => one.take_if(such),
            Kept::Many(many) => many.pop_if(such),
        }
    }
}

impl<T: Clone> MostlyOne<T> {
    /// So many times the same.
    pub fn of(value: T, times: usize) -> Self {
        MostlyOne(match times {
            0 => Kept::One(None),
            1 => Kept::One(Some(value)),
            _ => Kept::Many(vec![value; times]),
        })
    }
}

impl<T: PartialEq> PartialEq for MostlyOne<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for MostlyOne<T> {}

impl<T: fmt::Debug> fmt::Debug for MostlyOne<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> Default for MostlyOne<T> {
    fn default() -> Self {
        MostlyOne(Kept::One(None))
    }
}

impl<T> FromIterator<T> for MostlyOne<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        values.into_iter().fold(MostlyOne::default(), |mut list, value| {
            list.push(value);
            list
        })
    }
}

impl<T> Deref for MostlyOne<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.0 {
            Kept::One(one) => one.as_slice(),
            Kept::Many(many) => many,
        }
    }
}

impl<T> DerefMut for MostlyOne<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Kept::One(one) => one.as_mut_slice(),
            Kept::Many(many) => many,
        }
    }
}

impl<'a, T> IntoIterator for &'a MostlyOne<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut MostlyOne<T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

/// Text of which nearly all is at most `N` octets long.
#[derive(Clone, PartialEq, Eq)]
pub enum Short<const N: usize> {
    /// So many octets; those behind are 0.
    Here(u8, [u8; N]),
    /// Longer.
    There(Box<str>),
}

impl<const N: usize> Short<N> {
    /// Two texts in a row.
    pub fn joined(first: &str, second: &str) -> Self {
        let (cut, end) = (first.len(), first.len() + second.len());
        let mut octets = [0; N];
        let Some((room, length)) = octets.get_mut(..end).zip(u8::try_from(end).ok()) else {
            return Short::There([first, second].concat().into());
        };
        room[..cut].copy_from_slice(first.as_bytes());
        room[cut..].copy_from_slice(second.as_bytes());
        Short::Here(length, octets)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.octets().is_empty()
    }

    /// It and another behind it.
    pub fn push_str(&mut self, more: &str) {
        if let Short::Here(length, octets) = self {
            let (from, to) = (usize::from(*length), usize::from(*length) + more.len());
            if let Some((room, end)) = octets.get_mut(from..to).zip(u8::try_from(to).ok()) {
                room.copy_from_slice(more.as_bytes());
                *length = end;
                return;
            }
        }
        *self = Short::There([&**self, more].concat().into());
    }

    /// Its octets, which need not be looked at for being text.
    pub fn octets(&self) -> &[u8] {
        match self {
            Short::Here(length, octets) => octets.get(..usize::from(*length)).unwrap_or_default(),
            Short::There(text) => text.as_bytes(),
        }
    }
}

impl<const N: usize> Deref for Short<N> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        match self {
            Short::Here(0, _) => "",
            Short::Here(..) => std::str::from_utf8(self.octets()).unwrap_or_default(),
            Short::There(text) => text,
        }
    }
}

impl<const N: usize> Default for Short<N> {
    fn default() -> Self {
        Short::Here(0, [0; N])
    }
}

impl<const N: usize> From<&str> for Short<N> {
    fn from(text: &str) -> Self {
        Text::from(text).into()
    }
}

/// Text that is mostly copied and seldom read: it is looked at as such only where it is read.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// Its octets, which are UTF-8.
    pub fn octets(self) -> &'a [u8] {
        self.0
    }

    /// To be read.
    pub fn as_str(self) -> &'a str {
        std::str::from_utf8(self.0).unwrap_or_default()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What stands before so many octets, and after. `None` within a character.
    pub fn split_at(self, at: usize) -> Option<(Text<'a>, Text<'a>)> {
        let (before, after) = self.0.split_at_checked(at)?;
        let within = after.first().is_some_and(|octet| (0x80..0xC0).contains(octet));
        (!within).then_some((Text(before), Text(after)))
    }
}

impl serde::Serialize for Text<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Text(text.as_bytes())
    }
}

impl<'a, const N: usize> From<&'a Short<N>> for Text<'a> {
    fn from(text: &'a Short<N>) -> Self {
        Text(text.octets())
    }
}

impl<const N: usize> From<Text<'_>> for Short<N> {
    fn from(Text(text): Text<'_>) -> Self {
        let mut octets = [0; N];
        match octets.get_mut(..text.len()).zip(u8::try_from(text.len()).ok()) {
            Some((room, length)) => {
                room.copy_from_slice(text);
                Short::Here(length, octets)
            }
            None => Short::There(Text(text).as_str().into()),
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl<const N: usize> From<Cow<'_, str>> for Short<N> {
    fn from(text: Cow<'_, str>) -> Self {
        Short::from(&*text)
    }
}

impl<const N: usize> fmt::Write for Short<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

impl<const N: usize> Extend<char> for Short<N> {
    fn extend<I: IntoIterator<Item = char>>(&mut self, more: I) {
        more.into_iter().for_each(|character| self.push_str(character.encode_utf8(&mut [0; 4])));
    }
}

impl<const N: usize> fmt::Display for Short<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<const N: usize> fmt::Debug for Short<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_a_list_like_any_other() {
        let (mut few, mut list) = (MostlyOne::default(), Vec::new());
        for n in 0..5 {
            assert_eq!(*few, *list);
            few.push(n);
            list.push(n);
        }
        few.iter_mut().for_each(|n| *n *= 2);
        assert_eq!(*few, [0, 2, 4, 6, 8]);
        assert_eq!((few.pop_if(|n| *n == 0), few.pop_if(|n| *n == 8)), (None, Some(8)));
        let mut one: MostlyOne<u8> = std::iter::once(7).collect();
        assert_eq!((one.pop_if(|n| *n == 8), one.pop_if(|n| *n == 7), one.pop_if(|_| true)), (None, Some(7), None));
        for times in 0..4 {
            assert_eq!(*MostlyOne::of(1u8, times), *vec![1u8; times]);
        }
    }

    #[test]
    fn short_text_is_text_however_long() {
        let text: String = "号码7".repeat(60);
        let cuts = || (0..=text.len()).filter(|at| text.is_char_boundary(*at));
        for (from, to) in cuts().flat_map(|from| cuts().filter(move |to| from <= *to).map(move |to| (from, to))) {
            let joined = Short::<22>::joined(&text[..from], &text[from..to]);
            assert_eq!(&*joined, &text[..to]);
            assert_eq!(matches!(joined, Short::Here(..)), to <= 22);
            assert!(joined == Short::from(&text[..to]));
            let mut pushed = Short::from(&text[..from]);
            pushed.push_str(&text[from..to]);
            assert!(pushed == joined);
            let parts = (Text::from(&text[..from]), Text::from(&text[from..to]));
            assert_eq!(Text::from(&joined).split_at(from), Some(parts));
            assert!(Short::from(Text::from(&joined)) == joined && Text::from(&joined) == Text::from(&text[..to]));
        }
        assert_eq!(Text::from(&*text).split_at(1), None, "within a character");
        let mut extended = Short::<22>::default();
        extended.extend(text.chars());
        assert_eq!(&*extended, text);
        assert_eq!(size_of::<Short<22>>(), 24);
    }
}
