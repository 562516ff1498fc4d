//! Reading octets without ever looking past their end.
//!
//! [`Reader`] takes fields from the front of a slice and borrows from it; each method checks the length first and
//! leaves the reader where it was when it fails. Writing needs no twin: `BufMut` appends fields to a `BytesMut`.

/// Why a field could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The octets end before the field does.
    #[error("the octets end early")]
    Short,
    /// No NUL within the field's greatest size.
    #[error("the text is longer than its field")]
    Long,
}

/// Takes fields from the front of a slice.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first octet.
    pub fn new(octets: &'a [u8]) -> Self {
        Reader { left: octets }
    }

    /// How many octets are left.
    pub fn left(&self) -> usize {
        self.left.len()
    }

    /// Exactly `N` octets.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Cause> {
        let (chunk, left) = self.left.split_first_chunk::<N>().ok_or(Cause::Short)?;
        self.left = left;
        Ok(*chunk)
    }

    /// One octet.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Cause> {
        self.array().map(u8::from_be_bytes)
    }

    /// Two octets, big endian.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, Cause> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four octets, big endian.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, Cause> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight octets, big endian.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, Cause> {
        self.array().map(u64::from_be_bytes)
    }

    /// Exactly `count` octets.
    #[inline]
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Cause> {
        let (bytes, left) = self.left.split_at_checked(count).ok_or(Cause::Short)?;
        self.left = left;
        Ok(bytes)
    }

    /// Text ended by NUL within `max` octets, the NUL counted; given back without it.
    #[inline]
    pub fn cstring(&mut self, max: usize) -> Result<&'a [u8], Cause> {
        let window = &self.left[..self.left.len().min(max)];
        match window.iter().position(|&octet| octet == 0) {
            Some(end) => {
                self.left = &self.left[end + 1..];
                Ok(&window[..end])
            }
            None if window.len() < max => Err(Cause::Short),
            None => Err(Cause::Long),
        }
    }

    /// A field of exactly `width` octets, padded with NUL on the right; given back up to the first NUL.
    #[inline]
    pub fn fixed(&mut self, width: usize) -> Result<&'a [u8], Cause> {
        self.bytes(width).map(until_nul)
    }

    /// All octets left, perhaps none.
    #[inline]
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.left)
    }
}

/// What stands before the first NUL; everything where there is none.
pub fn until_nul(octets: &[u8]) -> &[u8] {
    &octets[..nul(octets).unwrap_or(octets.len())]
}

/// Where the first NUL is. PDUs are full of padded fields, so eight octets are looked at together: taking 1 from each
/// borrows into the highest bit of those that are 0, and of none before the first of them.
fn nul(octets: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    let first = |eight: &[u8; 8]| {
        let word = u64::from_le_bytes(*eight);
        let zeros = word.wrapping_sub(ONES) & !word & HIGHS;
        (zeros != 0).then(|| zeros.trailing_zeros() as usize / 8)
    };
    let (words, rest) = octets.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        if let Some(at) = first(word) {
            return Some(8 * index + at);
        }
    }
    match octets.last_chunk::<8>() {
        // What the last eight share with those before holds no NUL.
        Some(last) => first(last).map(|at| octets.len() - 8 + at),
        None => rest.iter().position(|&octet| octet == 0),
    }
}

/// Whether all of a text are ASCII digits, eight looked at together.
pub fn all_digits(text: &[u8]) -> bool {
    let digits = |eight: &[u8; 8]| eight.iter().fold(true, |all, octet| all & octet.is_ascii_digit());
    match text.last_chunk() {
        Some(last) => text.as_chunks().0.iter().all(digits) && digits(last),
        None => text.iter().all(u8::is_ascii_digit),
    }
}

/// The first `max` octets of `octets`, or fewer.
pub fn at_most(octets: &[u8], max: usize) -> &[u8] {
    &octets[..octets.len().min(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_big_endian() {
        let mut reader = Reader::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(reader.u8(), Ok(0x01));
        assert_eq!(reader.u16(), Ok(0x0203));
        assert_eq!(reader.u32(), Ok(0x0405_0607));
        assert_eq!(reader.u64(), Ok(0x0809_0a0b_0c0d_0e0f));
        assert_eq!(reader.u8(), Err(Cause::Short));
    }

    #[test]
    fn a_failed_read_takes_nothing() {
        let mut reader = Reader::new(b"abc");
        assert_eq!(reader.u32(), Err(Cause::Short));
        assert_eq!(reader.bytes(usize::MAX), Err(Cause::Short));
        assert_eq!(reader.cstring(3), Err(Cause::Long));
        assert_eq!(reader.cstring(4), Err(Cause::Short));
        assert_eq!(reader.fixed(4), Err(Cause::Short));
        assert_eq!(reader.rest(), b"abc");
        assert_eq!(reader.left(), 0);
    }

    #[test]
    fn cstrings_count_their_nul() {
        assert_eq!(Reader::new(b"abc\0").cstring(4), Ok(&b"abc"[..]));
        assert_eq!(Reader::new(b"abc\0").cstring(3), Err(Cause::Long));
        assert_eq!(Reader::new(b"\0rest").cstring(1), Ok(&b""[..]));
    }

    #[test]
    fn the_first_nul_is_found_wherever_it_is() {
        for length in 0..40 {
            for (at, fill) in (0..=length).flat_map(|at| [0x01, 0x80, 0xff, b'1'].map(|fill| (at, fill))) {
                let mut octets = vec![fill; length];
                octets[at..].iter_mut().step_by(3).for_each(|octet| *octet = 0);
                assert_eq!(until_nul(&octets), &octets[..at], "{octets:x?}");
                assert_eq!(nul(&octets), octets.iter().position(|&octet| octet == 0));
            }
        }
    }

    #[test]
    fn one_other_octet_anywhere_is_no_digit() {
        for length in 0..30 {
            let mut text = vec![b'0'; length];
            assert!(all_digits(&text));
            for (at, other) in (0..length).flat_map(|at| [b'/', b':', b'9' | 0x80, 0].map(|other| (at, other))) {
                text[at] = other;
                assert!(!all_digits(&text), "{text:x?}");
                text[at] = b'9';
            }
        }
    }

    #[test]
    fn fixed_text_ends_at_the_first_nul() {
        let mut reader = Reader::new(b"ab\0x\0full");
        assert_eq!(reader.fixed(5), Ok(&b"ab"[..]));
        assert_eq!(reader.fixed(4), Ok(&b"full"[..]));
    }
}
