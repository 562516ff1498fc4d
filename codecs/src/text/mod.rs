//! Text as short messages carry it: alphabets, the cheapest one for a text, splitting with user data headers.
//!
//! An [`Alphabet`] costs each character a number of *units* ([`Alphabet::units`]) and that is all that splitting needs
//! to know; a further alphabet is a file with `units`, `encode` and `decode`, and an arm in each `match` here.

mod gbk;
mod gsm;
pub mod msg_fmt;
pub mod split;
pub mod udh;

use bytes::{BufMut, BytesMut};

/// What stands in for a character that the alphabet lacks.
const SUBSTITUTE: u8 = b'?';

/// How characters become octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alphabet {
    /// GSM 03.38 default alphabet with its extension table, unpacked: a septet in each octet. Unit: the septet.
    Gsm7,
    /// US-ASCII, which travels the air as septets. Unit: the character.
    Ascii,
    /// ISO 8859-1. Unit: the octet.
    Latin1,
    /// GBK; read as GB18030. Unit: the octet, two for a Chinese character.
    Gbk,
    /// UTF-16 big endian, called UCS-2 by carriers. Unit: two octets.
    Ucs2,
}

impl Alphabet {
    /// What a character costs, in units; `None` where the alphabet lacks it.
    pub fn units(self, c: char) -> Option<usize> {
        match self {
            Alphabet::Gsm7 => gsm::units(c),
            Alphabet::Ascii => c.is_ascii().then_some(1),
            Alphabet::Latin1 => u8::try_from(c).is_ok().then_some(1),
            Alphabet::Gbk => gbk::units(c),
            Alphabet::Ucs2 => Some(c.len_utf16()),
        }
    }

    /// What a whole text costs, in units; `None` where something would be lost.
    pub fn measure(self, text: &str) -> Option<usize> {
        match self {
            Alphabet::Gsm7 => gsm::measure(text),
            _ if text.is_ascii() => Some(text.len()),
            _ => text.chars().map(|c| self.units(c)).sum(),
        }
    }

    /// The most units that an octet of a text in UTF-8 costs.
    fn units_of_octet(self) -> usize {
        match self {
            // `[` is one octet, and escaped.
            Alphabet::Gsm7 => 2,
            Alphabet::Ascii | Alphabet::Latin1 | Alphabet::Gbk | Alphabet::Ucs2 => 1,
        }
    }

    /// The octets that [`Alphabet::encode`] appends for most texts.
    fn usual_octets(self, text: &str) -> usize {
        let characters = if text.is_ascii() { text.len() } else { text.chars().count() };
        match self {
            Alphabet::Gsm7 | Alphabet::Ascii | Alphabet::Latin1 => characters,
            // Two for a Chinese character, which has three in UTF-8.
            Alphabet::Gbk => text.len().midpoint(characters),
            Alphabet::Ucs2 => 2 * characters,
        }
    }

    /// The units that fit into `octets` octets of user data on the air (140 in a message without header).
    pub fn capacity(self, octets: usize) -> usize {
        match self {
            Alphabet::Gsm7 | Alphabet::Ascii => octets * 8 / 7,
            Alphabet::Latin1 | Alphabet::Gbk => octets,
            Alphabet::Ucs2 => octets / 2,
        }
    }

    /// Appends the text's octets; `?` for what the alphabet lacks.
    pub fn encode(self, text: &str, out: &mut BytesMut) {
        match self {
            Alphabet::Gsm7 => gsm::encode(text, out),
            Alphabet::Ascii | Alphabet::Latin1 | Alphabet::Gbk if text.is_ascii() => out.put_slice(text.as_bytes()),
            Alphabet::Ascii => out.extend(text.chars().map(|c| if c.is_ascii() { c as u8 } else { SUBSTITUTE })),
            Alphabet::Latin1 => out.extend(text.chars().map(|c| u8::try_from(c).unwrap_or(SUBSTITUTE))),
            Alphabet::Gbk => gbk::encode(text, out),
            Alphabet::Ucs2 => text.encode_utf16().for_each(|unit| out.put_u16(unit)),
        }
    }

    /// Appends the octets of a text in ASCII that costs a unit, and is an octet, for each character; false, with nothing
    /// appended, where it is another.
    fn encode_plain(self, text: &str, out: &mut BytesMut) -> bool {
        match self {
            Alphabet::Gsm7 => gsm::encode_plain(text, out),
            Alphabet::Ascii | Alphabet::Latin1 | Alphabet::Gbk if text.is_ascii() => {
                out.put_slice(text.as_bytes());
                true
            }
            Alphabet::Ascii | Alphabet::Latin1 | Alphabet::Gbk | Alphabet::Ucs2 => false,
        }
    }

    /// Reads octets as text; U+FFFD for what cannot be read. Nothing is trimmed: in GSM 03.38, 0x00 is `@`.
    pub fn decode(self, octets: &[u8]) -> String {
        match self {
            Alphabet::Gsm7 => gsm::decode(octets),
            Alphabet::Ascii => octets.iter().map(|&o| if o.is_ascii() { o.into() } else { REPLACEMENT }).collect(),
            Alphabet::Latin1 => octets.iter().map(|&octet| char::from(octet)).collect(),
            Alphabet::Gbk => gbk::decode(octets),
            Alphabet::Ucs2 => decode_utf16(octets),
        }
    }
}

const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

fn decode_utf16(octets: &[u8]) -> String {
    let (pairs, odd) = octets.as_chunks::<2>();
    let units = pairs.iter().map(|&pair| u16::from_be_bytes(pair));
    let text = char::decode_utf16(units).map(|unit| unit.unwrap_or(REPLACEMENT));
    text.chain(odd.iter().map(|_| REPLACEMENT)).collect()
}

/// The alphabet that carries `text` without loss in the fewest parts; of equals the first of `allowed`.
/// UCS-2 where none of them can.
pub fn cheapest(text: &str, allowed: &[Alphabet]) -> Alphabet {
    let able = allowed.iter().copied().filter(|alphabet| alphabet.measure(text).is_some());
    able.min_by_key(|&alphabet| split::count(text, alphabet, split::Reference::Apart)).unwrap_or(Alphabet::Ucs2)
}

#[cfg(test)]
mod tests {
    use super::Alphabet::*;
    use super::*;
    use proptest::prelude::*;

    const ALL: [Alphabet; 5] = [Gsm7, Ascii, Latin1, Gbk, Ucs2];

    fn encoded(alphabet: Alphabet, text: &str) -> Vec<u8> {
        let mut out = BytesMut::new();
        alphabet.encode(text, &mut out);
        out.to_vec()
    }

    #[test]
    fn octets_of_each_alphabet() {
        assert_eq!(encoded(Gsm7, "@£a€["), [0x00, 0x01, b'a', 0x1b, 0x65, 0x1b, 0x3c]);
        assert_eq!(encoded(Ascii, "a@é"), *b"a@?");
        assert_eq!(encoded(Latin1, "é€"), [0xe9, b'?']);
        assert_eq!(encoded(Gbk, "a中😀"), [b'a', 0xd6, 0xd0, b'?']);
        assert_eq!(encoded(Ucs2, "中😀"), [0x4e, 0x2d, 0xd8, 0x3d, 0xde, 0x00]);
    }

    #[test]
    fn what_cannot_be_read_is_marked() {
        assert_eq!(Ascii.decode(b"a\x80"), "a\u{fffd}");
        assert_eq!(Ucs2.decode(&[0, b'a', 0xd8, 0x3d, 0, b'b', 0]), "a\u{fffd}b\u{fffd}");
        assert_eq!(Gbk.decode(&[0xd6, 0xd0, 0xd6]), "中\u{fffd}");
        assert_eq!(Gsm7.decode(&[0, 0x80, 0]), "@\u{fffd}@");
    }

    #[test]
    fn cheapest_loses_nothing_and_takes_fewest_parts() {
        assert_eq!(cheapest("Your code is 4711", &ALL), Gsm7);
        assert_eq!(cheapest("Your code is 4711", &[Latin1, Gsm7]), Latin1);
        assert_eq!(cheapest(&"x".repeat(150), &[Latin1, Gsm7]), Gsm7);
        assert_eq!(cheapest(&"[".repeat(100), &[Gsm7, Latin1]), Latin1);
        assert_eq!(cheapest("õ", &[Gsm7, Latin1]), Latin1);
        assert_eq!(cheapest("ç", &[Gsm7]), Ucs2);
        assert_eq!(cheapest("验证码", &[Gsm7, Latin1]), Ucs2);
        assert_eq!(cheapest(&"验证码1234".repeat(12), &[Gbk, Ucs2]), Gbk);
        assert_eq!(cheapest("", &[]), Ucs2);
    }

    proptest! {
        #[test]
        fn what_an_alphabet_holds_comes_back(text in "([ -~]{0,60})|(\\PC|[a-zA-Z@£$_Δ€中文验证码{}\\[\\]~^\u{c}\n\r]){0,200}") {
            for alphabet in ALL {
                let kept: String = text.chars().filter(|&c| alphabet.units(c).is_some()).collect();
                let octets = encoded(alphabet, &kept);
                prop_assert_eq!(alphabet.decode(&octets), kept.clone());
                let per_unit = if alphabet == Ucs2 { 2 } else { 1 };
                prop_assert_eq!(alphabet.measure(&kept).unwrap() * per_unit, octets.len());
                prop_assert_eq!(alphabet.measure(&text).is_some(), kept == text);
                prop_assert_eq!(alphabet.measure(&text), text.chars().map(|c| alphabet.units(c)).sum());
                let each: Vec<u8> = text.chars().flat_map(|c| encoded(alphabet, c.encode_utf8(&mut [0; 4]))).collect();
                prop_assert_eq!(encoded(alphabet, &text), each);
            }
        }

        #[test]
        fn any_octets_can_be_decoded(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            for alphabet in ALL {
                prop_assert!(alphabet.decode(&octets).chars().count() <= octets.len());
            }
        }
    }
}
