//! Long messages: a text becomes segments that each fit a short message, joined again by the handset.
//!
//! A character is never torn: no escape from its septet, no half of a surrogate pair or of a Chinese character. Sizes,
//! in units of the alphabet: alone 160 septets, 140 octets, 70 of UCS-2; joined 153, 134, 67, or with a 16-bit reference 152, 133, 66.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Alphabet, gsm};

/// User data of one short message, in octets on the air.
const USER_DATA: usize = 140;

/// How the segments of a long message are known to belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A user data header of 6 octets.
    Udh8(u8),
    /// A user data header of 7 octets.
    Udh16(u16),
    /// Fields of the protocol (SMPP `sar_*`), from which the carrier makes a header of 6 octets: no header here.
    Apart,
}

impl Reference {
    /// Octets the header takes on the air.
    fn room(self) -> usize {
        match self {
            Reference::Udh8(_) | Reference::Apart => 6,
            Reference::Udh16(_) => 7,
        }
    }

    fn write(self, total: u8, sequence: u8, out: &mut BytesMut) {
        match self {
            Reference::Udh8(reference) => out.put_slice(&[5, 0, 3, reference, total, sequence]),
            Reference::Udh16(reference) => {
                out.put_slice(&[6, 8, 4]);
                out.put_u16(reference);
                out.put_slice(&[total, sequence]);
            }
            Reference::Apart => {}
        }
    }
}

/// One short message's user data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Whether `data` starts with a user data header.
    pub udh: bool,
    /// Header, if any, then the text's octets.
    pub data: Bytes,
}

/// The text needs more segments than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text needs {needed} parts, more than {allowed}")]
pub struct TooMany {
    /// How many it needs.
    pub needed: usize,
    /// How many were allowed.
    pub allowed: u8,
}

/// How many segments the text becomes, at least 1; nothing is encoded or allocated.
pub fn count(text: &str, alphabet: Alphabet, reference: Reference) -> usize {
    Cuts::new(text, alphabet, reference).count()
}

/// The segments, in order; a single one has no header. What the alphabet lacks becomes `?`.
pub fn split(text: &str, alphabet: Alphabet, reference: Reference, max_parts: u8) -> Result<Vec<Segment>, TooMany> {
    Ok(segments(text, alphabet, reference, max_parts)?.collect())
}

/// The only segment of a short text in ASCII that costs the alphabet a unit for each character, as most short texts are;
/// `None` where it is another. Nothing is measured: that the alphabet holds it shows as it is written.
pub fn plain(text: &str, alphabet: Alphabet) -> Option<Segment> {
    if text.len() > alphabet.capacity(USER_DATA) {
        return None;
    }
    let mut octets = BytesMut::with_capacity(text.len());
    alphabet.encode_plain(text, &mut octets).then(|| Segment { udh: false, data: octets.freeze() })
}

/// As [`split`], each segment made when it is asked for.
pub fn segments(text: &str, alphabet: Alphabet, reference: Reference, max_parts: u8) -> Result<Segments<'_>, TooMany> {
    let cuts = Cuts::new(text, alphabet, reference);
    let needed = cuts.clone().count();
    let total = u8::try_from(needed).ok().filter(|&total| total <= max_parts);
    let total = total.ok_or(TooMany { needed, allowed: max_parts })?;
    Ok(Segments { cuts, reference, total, made: 0 })
}

/// The segments of a text; their number is known.
#[derive(Debug)]
pub struct Segments<'t> {
    cuts: Cuts<'t>,
    reference: Reference,
    total: u8,
    made: u8,
}

impl Iterator for Segments<'_> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        let text = self.cuts.next()?;
        self.made += 1;
        let udh = self.total > 1 && self.reference != Reference::Apart;
        let header = if udh { self.reference.room() } else { 0 };
        let alphabet = self.cuts.alphabet;
        let mut octets = BytesMut::with_capacity(header + alphabet.usual_octets(text));
        if udh {
            self.reference.write(self.total, self.made, &mut octets);
        }
        alphabet.encode(text, &mut octets);
        Some(Segment { udh, data: octets.freeze() })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.total - self.made);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Segments<'_> {}

/// The pieces of text that each fit a segment; one, perhaps empty, where the whole fits.
#[derive(Clone, Debug)]
struct Cuts<'t> {
    left: Option<&'t str>,
    alphabet: Alphabet,
    /// Units in a piece; none where one piece is all.
    capacity: Option<usize>,
}

impl<'t> Cuts<'t> {
    fn new(text: &'t str, alphabet: Alphabet, reference: Reference) -> Self {
        let whole = fitting(text, alphabet, alphabet.capacity(USER_DATA)) == text.len();
        let capacity = (!whole).then(|| alphabet.capacity(USER_DATA - reference.room()));
        Cuts { left: Some(text), alphabet, capacity }
    }
}

impl<'t> Iterator for Cuts<'t> {
    type Item = &'t str;
    fn next(&mut self) -> Option<&'t str> {
        let left = self.left.take()?;
        let Some(capacity) = self.capacity else { return Some(left) };
        let (piece, rest) = left.split_at(fitting(left, self.alphabet, capacity));
        self.left = (!rest.is_empty()).then_some(rest);
        Some(piece)
    }
}

/// How many octets of `text`, up to a character boundary, fit into `capacity` units.
fn fitting(text: &str, alphabet: Alphabet, capacity: usize) -> usize {
    // Short texts are not looked at.
    if text.len() <= capacity / alphabet.units_of_octet() {
        return text.len();
    }
    match alphabet {
        Alphabet::Gsm7 => walk(text, capacity, gsm::units),
        _ if text.is_ascii() => text.len().min(capacity),
        _ => walk(text, capacity, |c| alphabet.units(c)),
    }
}

fn walk(text: &str, capacity: usize, units: impl Fn(char) -> Option<usize>) -> usize {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += units(c).unwrap_or(1);
        if used > capacity {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::super::udh;
    use super::*;
    use proptest::prelude::*;

    const ALL: [Alphabet; 5] = [Alphabet::Gsm7, Alphabet::Ascii, Alphabet::Latin1, Alphabet::Gbk, Alphabet::Ucs2];
    const REFERENCES: [Reference; 3] = [Reference::Udh8(0xfe), Reference::Udh16(0xfedc), Reference::Apart];

    #[test]
    fn sizes_are_those_of_the_air() {
        let [udh8, udh16, apart] = REFERENCES;
        for (alphabet, alone, joined, wide) in [
            (Alphabet::Gsm7, 160, 153, 152),
            (Alphabet::Ascii, 160, 153, 152),
            (Alphabet::Latin1, 140, 134, 133),
            (Alphabet::Gbk, 140, 134, 133),
            (Alphabet::Ucs2, 70, 67, 66),
        ] {
            for (units, reference, parts) in [
                (0, udh8, 1),
                (alone, udh8, 1),
                (alone + 1, udh8, 2),
                (2 * joined, udh8, 2),
                (2 * joined + 1, udh8, 3),
                (2 * joined, apart, 2),
                (alone, udh16, 1),
                (2 * wide, udh16, 2),
                (2 * wide + 1, udh16, 3),
            ] {
                assert_eq!(count(&"a".repeat(units), alphabet, reference), parts, "{alphabet:?} {units} {reference:?}");
            }
        }
    }

    #[test]
    fn what_is_escaped_counts_twice() {
        for (text, parts) in [("[".repeat(80), 1), ("[".repeat(81), 2), ("[a".repeat(53), 1), ("[a".repeat(54), 2)] {
            assert_eq!(count(&text, Alphabet::Gsm7, Reference::Udh8(1)), parts, "{}", text.len());
        }
    }

    #[test]
    fn a_pair_moves_whole_to_the_next_segment() {
        let text = format!("{}€{}", "a".repeat(152), "b".repeat(20));
        let parts = split(&text, Alphabet::Gsm7, Reference::Udh8(7), 9).unwrap();
        assert_eq!(parts[0].data.len(), 6 + 152);
        assert_eq!(parts[1].data[..9], [5, 0, 3, 7, 2, 2, 0x1b, 0x65, b'b']);

        let text = format!("{}中{}", "a".repeat(133), "b".repeat(20));
        let parts = split(&text, Alphabet::Gbk, Reference::Udh8(7), 9).unwrap();
        assert_eq!(parts[0].data.len(), 6 + 133);
        assert_eq!(parts[1].data[..9], [5, 0, 3, 7, 2, 2, 0xd6, 0xd0, b'b']);

        let text = format!("{}😀{}", "a".repeat(66), "b".repeat(20));
        let parts = split(&text, Alphabet::Ucs2, Reference::Udh16(0x0102), 9).unwrap();
        assert_eq!(parts[0].data.len(), 7 + 132);
        assert_eq!(parts[1].data[..11], [6, 8, 4, 1, 2, 2, 2, 0xd8, 0x3d, 0xde, 0]);
    }

    #[test]
    fn more_parts_than_allowed_is_an_error() {
        let text = "a".repeat(400);
        let [udh8, ..] = REFERENCES;
        assert_eq!(split(&text, Alphabet::Gsm7, udh8, 2), Err(TooMany { needed: 3, allowed: 2 }));
        assert_eq!(split(&text, Alphabet::Gsm7, udh8, 3).map(|parts| parts.len()), Ok(3));
        assert_eq!(split("", Alphabet::Gsm7, udh8, 0), Err(TooMany { needed: 1, allowed: 0 }));
        let text = "a".repeat(153 * 256);
        assert_eq!(split(&text, Alphabet::Gsm7, udh8, 255), Err(TooMany { needed: 256, allowed: 255 }));
    }

    proptest! {
        #[test]
        fn a_plain_text_is_what_one_segment_would_be(text in "[a-z \\[@~é中]{0,20}|[a-z @_]{0,200}|[\\x00-\\x7f]{0,170}") {
            for alphabet in ALL {
                if let Some(segment) = plain(&text, alphabet) {
                    prop_assert_eq!(alphabet.measure(&text), Some(text.len()));
                    prop_assert_eq!(split(&text, alphabet, Reference::Udh8(7), 9), Ok(vec![segment]));
                } else {
                    let short = text.is_ascii() && text.len() <= alphabet.capacity(USER_DATA);
                    let usual = |c| matches!(c, 'a'..='z' | '@' | '_' | ' ');
                    prop_assert!(!short || alphabet == Alphabet::Ucs2 || !text.chars().all(usual));
                }
            }
        }

        #[test]
        fn as_much_fits_as_its_characters_cost(text in "([a-z \\[]|\\PC|[€Δ]|中){0,200}", capacity in 60usize..170) {
            for alphabet in ALL {
                prop_assert_eq!(fitting(&text, alphabet, capacity), walk(&text, capacity, |c| alphabet.units(c)));
            }
        }

        #[test]
        fn joined_segments_give_the_text_back(
            text in "([a-z ]|\\PC|[€{}\\[\\]~^]|😀|中){0,500}",
            lossless in any::<bool>(),
        ) {
            for (alphabet, reference) in ALL.into_iter().flat_map(|a| REFERENCES.map(|r| (a, r))) {
                let text: String = text.chars().filter(|&c| !lossless || alphabet.units(c).is_some()).collect();
                let parts = split(&text, alphabet, reference, 255).unwrap();
                prop_assert_eq!(parts.len(), count(&text, alphabet, reference));
                let mut joined = String::new();
                for (index, part) in parts.iter().enumerate() {
                    let header = part.udh.then(|| udh::read(&part.data).unwrap());
                    prop_assert_eq!(part.udh, parts.len() > 1 && reference != Reference::Apart);
                    if let Some(header) = header {
                        let concat = header.concat.unwrap();
                        prop_assert_eq!((concat.total as usize, concat.sequence as usize), (parts.len(), index + 1));
                    }
                    let body = &part.data[header.map_or(0, |header| header.octets)..];
                    let room = if parts.len() == 1 { USER_DATA } else { USER_DATA - reference.room() };
                    let per_unit = if alphabet == Alphabet::Ucs2 { 2 } else { 1 };
                    prop_assert!(body.len() <= alphabet.capacity(room) * per_unit);
                    joined += &alphabet.decode(body);
                }
                if alphabet.measure(&text).is_some() {
                    prop_assert_eq!(joined, text);
                }
            }
        }
    }
}
