//! JSON as nearly every program writes it: a flat object of strings without escapes, whole numbers and booleans. Read in
//! one pass over octets known to be UTF-8. A reader here refuses nothing: what is rare or wrong it gives up, and leaves
//! to the parser that knows all of JSON and says what is wrong with it.

use crate::json;

/// Reads on from a place in a text. `None` of any method: give up.
#[derive(Clone, Debug)]
pub(super) struct Plain<'a> {
    text: &'a str,
    at: usize,
}

/// Digits of a number that is certain to fit.
const DIGITS: usize = 18;

impl<'a> Plain<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Plain { text, at: 0 }
    }

    /// The next octet that is no white space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            let octet = *self.text.as_bytes().get(self.at)?;
            if octet > b' ' || !matches!(octet, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(octet);
            }
            self.at += 1;
        }
    }

    /// Takes the next octet, if it is this one.
    #[inline]
    pub(super) fn take(&mut self, octet: u8) -> Option<()> {
        let next = *self.text.as_bytes().get(self.at)?;
        // White space is rare.
        if next != octet && (next > b' ' || self.peek()? != octet) {
            return None;
        }
        self.at += 1;
        Some(())
    }

    /// A string.
    pub(super) fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let (start, octets) = (self.at, self.text.as_bytes());
        let end = start + json::up_to_special(octets.get(start..)?)?;
        if octets.get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        self.text.get(start..end)
    }

    /// A whole number that is not negative.
    pub(super) fn number(&mut self) -> Option<u64> {
        self.peek()?;
        let rest = self.text.as_bytes().get(self.at..)?;
        let digits = rest.iter().position(|octet| !octet.is_ascii_digit())?;
        let digits = rest.get(..digits).filter(|digits| (1..=DIGITS).contains(&digits.len()))?;
        if digits.len() > 1 && digits.starts_with(b"0") {
            return None;
        }
        self.at += digits.len();
        Some(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self) -> Option<bool> {
        let (word, value) = if self.peek()? == b't' { ("true", true) } else { ("false", false) };
        self.rest().starts_with(word).then(|| self.at += word.len())?;
        Some(value)
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Octets read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Goes on behind so many octets, which somebody else has read.
    pub(super) fn pass(&mut self, octets: usize) {
        self.at += octets;
    }
}
