//! Long messages: a text becomes segments that each fit a short message, joined again by the handset.
//!
//! A character is never torn: no escape from its septet, no half of a surrogate pair or of a Chinese character. Sizes,
//! in units of the alphabet: alone 160 septets, 140 octets, 70 of UCS-2; joined 153, 134, 67, or with a 16-bit reference 152, 133, 66.

use bytes::{BufMut, Bytes, BytesMut};

use super::Alphabet;

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
    let needed = count(text, alphabet, reference);
    let total = u8::try_from(needed).ok().filter(|&total| total <= max_parts);
    let total = total.ok_or(TooMany { needed, allowed: max_parts })?;
    let udh = total > 1 && reference != Reference::Apart;
    let mut octets = BytesMut::with_capacity(2 * text.len() + needed * reference.room());
    let segment = |(text, sequence)| {
        if udh {
            reference.write(total, sequence, &mut octets);
        }
        alphabet.encode(text, &mut octets);
        Segment { udh, data: octets.split().freeze() }
    };
    Ok(Cuts::new(text, alphabet, reference).zip(1..=total).map(segment).collect())
}

/// The pieces of text that each fit a segment; one, perhaps empty, where the whole fits.
struct Cuts<'t> {
    left: Option<&'t str>,
    alphabet: Alphabet,
    capacity: usize,
}

impl<'t> Cuts<'t> {
    fn new(text: &'t str, alphabet: Alphabet, reference: Reference) -> Self {
        let alone = alphabet.capacity(USER_DATA);
        let whole = fitting(text, alphabet, alone) == text.len();
        let capacity = if whole { alone } else { alphabet.capacity(USER_DATA - reference.room()) };
        Cuts { left: Some(text), alphabet, capacity }
    }
}

impl<'t> Iterator for Cuts<'t> {
    type Item = &'t str;
    fn next(&mut self) -> Option<&'t str> {
        let left = self.left.take()?;
        let (piece, rest) = left.split_at(fitting(left, self.alphabet, self.capacity));
        self.left = (!rest.is_empty()).then_some(rest);
        Some(piece)
    }
}

/// How many octets of `text`, up to a character boundary, fit into `capacity` units.
fn fitting(text: &str, alphabet: Alphabet, capacity: usize) -> usize {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += alphabet.units(c).unwrap_or(1);
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
