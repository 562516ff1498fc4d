//! Texts to parts and back: which encoding, how many octets, how a long one is marked, and what a handset sent.

use bytes::Bytes;
use codecs::text::split::{self, Reference};
use codecs::text::{Alphabet, cheapest, msg_fmt, udh};
use schemars::JsonSchema;
use serde::Deserialize;

use super::dialect::Dialect;
use crate::message::{Coding, Mt, Parts, Quote, Segment, Unsendable};
use crate::protocol::Common;

/// Most characters of ASCII that are one part even where they are counted as septets on the air.
const ASCII_SEPTETS: usize = 160;

/// An encoding a carrier takes.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "encoding")]
pub enum Encoding {
    /// US-ASCII (0).
    Ascii,
    /// GBK, or GB18030 (15).
    Gbk,
    /// UCS-2 (8).
    Ucs2,
}

/// How a channel's texts are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// What the carrier takes, dearest to it first; UCS-2 where none of it can carry a text.
    pub encodings: Vec<Encoding>,
    /// Most characters of ASCII in a single part: 140 where the carrier counts octets, 159 or 160 where septets.
    pub ascii_limit: usize,
    /// Whether references of long messages have 16 bits, not 8.
    pub wide_reference: bool,
    /// Most parts a message may become.
    pub max_parts: u8,
}

impl Texts {
    /// As the account has them: in `written`, or what is `usual`.
    pub fn of(written: Option<Vec<Encoding>>, usual: &[Encoding], dialect: &Dialect, common: &Common) -> Texts {
        Texts {
            encodings: written.unwrap_or_else(|| usual.to_vec()),
            ascii_limit: dialect.ascii_limit,
            wide_reference: dialect.wide_reference,
            max_parts: common.max_parts,
        }
    }

    /// What [`Texts::split`] would make of it; nothing is encoded.
    pub fn quote(&self, mt: &Mt<'_>) -> Result<Quote, Unsendable> {
        let (alphabet, coding) = self.choose(mt.text);
        let needed = split::count(mt.text, alphabet, self.reference(mt));
        let parts = u8::try_from(needed).ok().filter(|&parts| parts <= self.max_parts);
        let parts = parts.ok_or(Unsendable::TooLong(needed, self.max_parts.into()))?;
        Ok(Quote { parts, coding })
    }

    /// The parts, each with a user data header where there are several.
    pub fn split(&self, mt: &Mt<'_>) -> Result<Parts, Unsendable> {
        let (alphabet, coding) = self.choose(mt.text);
        let segments = split::segments(mt.text, alphabet, self.reference(mt), self.max_parts)
            .map_err(|split::TooMany { needed, allowed }| Unsendable::TooLong(needed, allowed.into()))?;
        Ok(mt.parts(coding, segments))
    }

    /// The alphabet to split by, and what the parts are written in. ASCII in octets splits as GBK, which has it whole.
    fn choose(&self, text: &str) -> (Alphabet, Coding) {
        if text.is_ascii() && self.encodings.contains(&Encoding::Ascii) {
            let octets = self.ascii_limit < ASCII_SEPTETS - 1;
            let between = (self.ascii_limit + 1..=ASCII_SEPTETS).contains(&text.len());
            return (if octets || between { Alphabet::Gbk } else { Alphabet::Ascii }, Coding::Ascii);
        }
        let (mut able, mut count) = ([Alphabet::Ucs2; 2], 0);
        for encoding in &self.encodings {
            let alphabet = match encoding {
                Encoding::Ascii => continue,
                Encoding::Gbk => Alphabet::Gbk,
                Encoding::Ucs2 => Alphabet::Ucs2,
            };
            if let Some(slot) = able.get_mut(count) {
                *slot = alphabet;
                count += 1;
            }
        }
        match cheapest(text, able.get(..count).unwrap_or_default()) {
            Alphabet::Gbk => (Alphabet::Gbk, Coding::Gbk),
            _ => (Alphabet::Ucs2, Coding::Ucs2),
        }
    }

    fn reference(&self, mt: &Mt<'_>) -> Reference {
        if self.wide_reference { Reference::Udh16(mt.reference) } else { Reference::Udh8(mt.reference as u8) }
    }
}

/// The octet that says how a part is written. GSM 03.38 and Latin-1, which older parts may have, have none of their own.
pub fn octet(coding: Coding) -> u8 {
    match coding {
        Coding::Ascii | Coding::Gsm7 | Coding::Latin1 => msg_fmt::ASCII,
        Coding::Gbk => msg_fmt::GBK,
        Coding::Ucs2 => msg_fmt::UCS2,
        Coding::Binary => msg_fmt::BINARY,
    }
}

/// What a handset sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Content {
    /// How `data` is to be read.
    pub coding: Coding,
    /// The user data header, as it came.
    pub header: Bytes,
    /// What follows it.
    pub data: Bytes,
    /// Its place in a long message.
    pub segment: Option<Segment>,
    /// What was overlooked.
    pub leniency: Option<&'static str>,
}

/// Takes apart what a handset sent. A header that cannot be read is left where it is.
pub fn content(tp_udhi: u8, format: u8, octets: &[u8]) -> Content {
    let mut leniency = None;
    let (mut header, mut segment) = (0, None);
    if udh::is_indicated(tp_udhi) {
        match udh::read(octets) {
            Some(read) => {
                header = read.octets;
                segment = read.concat.and_then(|c| Segment::of(c.reference, c.total, c.sequence));
            }
            None => leniency = Some("a user data header that cannot be read"),
        }
    }
    let (header, mut data) = octets.split_at_checked(header).unwrap_or((&[], octets));
    // Some end their text as C does.
    while let (msg_fmt::ASCII | msg_fmt::GBK, [text @ .., 0]) = (format, data) {
        data = text;
    }
    let coding = match msg_fmt::alphabet(format, data) {
        // Parts of one text are to be read alike, whichever of them happens to be all ASCII.
        Some(Alphabet::Ascii) if segment.is_some() => Coding::Gbk,
        Some(Alphabet::Ascii) => Coding::Ascii,
        Some(Alphabet::Gbk) => Coding::Gbk,
        Some(Alphabet::Ucs2) => Coding::Ucs2,
        Some(Alphabet::Gsm7) => Coding::Gsm7,
        Some(Alphabet::Latin1) => Coding::Latin1,
        None => Coding::Binary,
    };
    if format == msg_fmt::ASCII && !data.is_ascii() {
        leniency = leniency.or(Some("text called ASCII that is not"));
    }
    let (header, data) = (Bytes::copy_from_slice(header), Bytes::copy_from_slice(data));
    Content { coding, header, data, segment, leniency }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::options::Options;

    fn texts(encodings: &[Encoding], ascii_limit: usize) -> Texts {
        Texts { encodings: encodings.to_vec(), ascii_limit, wide_reference: false, max_parts: 10 }
    }

    fn mt(text: &str) -> Mt<'_> {
        Mt {
            to: "+8613800138000",
            sender: None,
            text,
            valid_for: Duration::ZERO,
            until: None,
            receipt: true,
            reference: 0x1234,
            options: Options::default(),
        }
    }

    #[test]
    fn the_encoding_follows_text_and_carrier() {
        use Encoding::*;
        let signed = "【云桥】验证码 4711";
        let cases = [
            (&[Ascii, Ucs2][..], "code 4711", Coding::Ascii),
            (&[Ascii, Ucs2], signed, Coding::Ucs2),
            (&[Ascii, Gbk, Ucs2], signed, Coding::Gbk),
            (&[Gbk], signed, Coding::Gbk),
            (&[Gbk], "code", Coding::Gbk),
            (&[Gbk], "😀", Coding::Ucs2),
            (&[Ucs2], "code", Coding::Ucs2),
            (&[Ucs2, Gbk], signed, Coding::Ucs2),
            (&[], signed, Coding::Ucs2),
        ];
        for (encodings, text, coding) in cases {
            let texts = texts(encodings, 159);
            let parts = texts.split(&mt(text)).unwrap();
            assert_eq!((parts.len(), parts[0].coding), (1, coding), "{text} in {encodings:?}");
            assert_eq!(texts.quote(&mt(text)).unwrap(), Quote { parts: 1, coding });
            assert_eq!(coding.decode(&parts[0].data), text, "signature and all");
        }
    }

    #[test]
    fn ascii_is_as_long_as_the_carrier_counts_it() {
        for (limit, whole) in [(140, 140), (159, 159), (160, 160)] {
            let texts = texts(&[Encoding::Ascii], limit);
            for (length, expected) in [(whole, 1), (whole + 1, 2)] {
                let text = "x".repeat(length);
                let parts = texts.split(&mt(&text)).unwrap();
                assert_eq!(parts.len(), expected, "{length} at {limit}");
                assert_eq!(usize::from(texts.quote(&mt(&text)).unwrap().parts), expected);
                assert!(parts.iter().all(|part| part.data.len() <= limit && part.coding == Coding::Ascii));
            }
        }
    }

    #[test]
    fn long_texts_have_headers_and_no_torn_character() {
        for encoding in [Encoding::Ucs2, Encoding::Gbk] {
            let mut texts = texts(&[encoding], 159);
            let text = format!("【云桥】{}", "桥a".repeat(120));
            let parts = texts.split(&mt(&text)).unwrap();
            assert!(parts.len() > 2);
            let mut joined = String::new();
            for (part, index) in parts.iter().zip(1u8..) {
                assert!(part.udh && part.data.len() <= 140);
                assert_eq!(&part.data[..6], [5, 0, 3, 0x34, parts.len() as u8, index]);
                joined += &part.coding.decode(&part.data[6..]);
            }
            assert_eq!(joined, text);
            texts.wide_reference = true;
            assert_eq!(&texts.split(&mt(&text)).unwrap()[0].data[..5], [6, 8, 4, 0x12, 0x34]);
            texts.max_parts = 2;
            assert!(matches!(texts.split(&mt(&text)), Err(Unsendable::TooLong(_, 2))));
            assert!(matches!(texts.quote(&mt(&text)), Err(Unsendable::TooLong(_, 2))));
        }
    }

    #[test]
    fn what_a_handset_sent_is_read_leniently() {
        let long = content(0x40, 8, b"\x05\x00\x03\x07\x02\x01\x4f\x60");
        assert_eq!((long.segment, &long.data[..]), (Segment::of(7, 2, 1), &b"\x4f\x60"[..]));
        assert_eq!((&long.header[..], long.coding), (&b"\x05\x00\x03\x07\x02\x01"[..], Coding::Ucs2));
        let wide = content(1, 15, b"\x06\x08\x04\x12\x34\x02\x02\xd7\xa2");
        assert_eq!((wide.segment, wide.coding), (Segment::of(0x1234, 2, 2), Coding::Gbk));
        let broken = content(1, 0, b"\x20hi");
        assert_eq!((&broken.data[..], broken.leniency.is_some()), (&b"\x20hi"[..], true));
        let disguised = content(0, 0, b"\xd7\xa2\xb2\xe1");
        assert_eq!((disguised.coding, disguised.leniency.is_some()), (Coding::Gbk, true));
        assert_eq!(content(0, 0, b"hi").coding, Coding::Ascii);
        assert_eq!(&content(0, 0, b"hi\0\0").data[..], b"hi");
        assert_eq!(&content(0, 8, b"\x01\0").data[..], b"\x01\0");
        assert_eq!(content(1, 0, b"\x05\x00\x03\x07\x02\x01hi").coding, Coding::Gbk);
        for (flash, coding) in [(0x10, Coding::Gsm7), (0x18, Coding::Ucs2), (4, Coding::Binary), (246, Coding::Binary)]
        {
            assert_eq!(content(0, flash, b"hi").coding, coding);
        }
    }
}
