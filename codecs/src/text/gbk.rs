//! GBK, which CMPP, SGIP and SMGP call coding 15: ASCII in one octet, Chinese in two. Read as GB18030, its superset.

use bytes::{BufMut, BytesMut};
use encoding_rs::{EncoderResult, GB18030, GBK};

use super::SUBSTITUTE;

/// What a character costs, in octets. Private characters and the euro sign count as lacking, though tables have codes
/// for them: handsets disagree on what these show.
pub(super) fn units(c: char) -> Option<usize> {
    match c {
        '\0'..='\x7f' => Some(1),
        // GB 13000.1 came into GBK whole.
        '\u{4e00}'..='\u{9fa5}' => Some(2),
        '€' | '\u{e000}'..='\u{f8ff}' => None,
        c => {
            let (mut utf8, mut octets) = ([0; 4], [0; 8]);
            let text = c.encode_utf8(&mut utf8);
            let (result, _, written) = GBK.new_encoder().encode_from_utf8_without_replacement(text, &mut octets, true);
            (result == EncoderResult::InputEmpty).then_some(written)
        }
    }
}

pub(super) fn encode(text: &str, out: &mut BytesMut) {
    out.reserve(text.len());
    for (index, held) in text.split(|c| units(c).is_none()).enumerate() {
        if index > 0 {
            out.put_u8(SUBSTITUTE);
        }
        let (octets, _, lossy) = GBK.encode(held);
        debug_assert!(!lossy, "units and table agree");
        out.put_slice(&octets);
    }
}

pub(super) fn decode(octets: &[u8]) -> String {
    let (text, _) = GB18030.decode_without_bom_handling(octets);
    text.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every character there is: what has units is written in as many octets and read back.
    #[test]
    fn what_has_units_comes_back() {
        let mut held = 0;
        for c in '\0'..=char::MAX {
            let Some(units) = units(c) else { continue };
            let mut out = BytesMut::new();
            encode(c.encode_utf8(&mut [0; 4]), &mut out);
            assert_eq!(out.len(), units, "{c}");
            assert_eq!(decode(&out), c.to_string());
            held += 1;
        }
        assert!((21_000..24_000).contains(&held), "{held}");
    }

    #[test]
    fn octets_are_those_of_the_table() {
        let mut out = BytesMut::new();
        encode("【签名】A€é中", &mut out);
        assert_eq!(out[..], *b"\xa1\xbe\xc7\xa9\xc3\xfb\xa1\xbfA?\xa8\xa6\xd6\xd0");
        assert_eq!(decode(b"\xd6\xd0A\x95\x32\x82\x36"), "中A\u{20000}");
        assert_eq!(decode(b"\xd6"), "\u{fffd}");
        assert_eq!(decode(b"a\xff\xd6\xd0"), "a\u{fffd}中");
    }
}
