//! GSM 03.38 (3GPP TS 23.038 §6.2.1): the default alphabet and its extension table, a septet to an octet.

use bytes::{BufMut, BytesMut};

use super::{REPLACEMENT, SUBSTITUTE};

/// Says that the next septet is one of the extension table.
const ESCAPE: u8 = 0x1b;

/// The default alphabet by septet; [`ESCAPE`] has no character.
const ALPHABET: [char; 128] = [
    '@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å', //
    'Δ', '_', 'Φ', 'Γ', 'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', '\u{1b}', 'Æ', 'æ', 'ß', 'É', //
    ' ', '!', '"', '#', '¤', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/', //
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?', //
    '¡', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', //
    'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§', //
    '¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', //
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö', 'ñ', 'ü', 'à',
];

/// The extension table.
const EXTENSION: [(u8, char); 10] = [
    (0x0a, '\u{c}'),
    (0x14, '^'),
    (0x28, '{'),
    (0x29, '}'),
    (0x2f, '\\'),
    (0x3c, '['),
    (0x3d, '~'),
    (0x3e, ']'),
    (0x40, '|'),
    (0x65, '€'),
];

/// Set in a code to say: escaped.
const ESCAPED: u8 = 0x80;
/// No code.
const NONE: u8 = 0xff;

/// The codes of U+0000 to U+00FF.
const LATIN: [u8; 256] = latin();

const fn latin() -> [u8; 256] {
    let mut codes = [NONE; 256];
    let mut septet = 0;
    while septet < ALPHABET.len() {
        let c = ALPHABET[septet] as usize;
        if c < codes.len() && septet != ESCAPE as usize {
            codes[c] = septet as u8;
        }
        septet += 1;
    }
    let mut entry = 0;
    while entry < EXTENSION.len() {
        let (septet, c) = EXTENSION[entry];
        if (c as usize) < codes.len() {
            codes[c as usize] = septet | ESCAPED;
        }
        entry += 1;
    }
    codes
}

/// The code of a character, or [`NONE`].
fn code(c: char) -> u8 {
    match c {
        '\0'..='ÿ' => LATIN[c as usize],
        '€' => 0x65 | ESCAPED,
        // The capital Greek letters that Latin has no likeness of.
        'Γ'..='Ω' => (0x10..=0x1a).find(|&septet| ALPHABET[usize::from(septet)] == c).unwrap_or(NONE),
        _ => NONE,
    }
}

pub(super) fn units(c: char) -> Option<usize> {
    match code(c) {
        NONE => None,
        code if code & ESCAPED != 0 => Some(2),
        _ => Some(1),
    }
}

/// Whether a text of at least eight octets holds only those that stand for the same character here and in ASCII, as most
/// do: letters, digits and what is between ` ` and `?` but `$`. Eight are looked at together: the highest bit of one shows
/// that it, or one before it, is another.
fn is_same(octets: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    let same = |eight: &[u8; 8]| {
        let word = u64::from_le_bytes(*eight);
        // `@` and `` ` ``, and what follows `Z` and `z`, are the same but for a bit.
        let letters = word & (ONES * 0x5f);
        let is = |word: u64, octet: u8| (word ^ (ONES * u64::from(octet))).wrapping_sub(ONES);
        let beyond_z = letters + ONES * (0x80 - 0x5b);
        let other = word | word.wrapping_sub(ONES * 0x20) | is(word, b'$') | is(letters, b'@') | beyond_z;
        other & (ONES * 0x80) == 0
    };
    let (words, _) = octets.as_chunks();
    octets.last_chunk().is_some_and(|last| words.iter().all(same) && same(last))
}

/// What a text costs; `None` where it has other characters.
pub(super) fn measure(text: &str) -> Option<usize> {
    if is_same(text.as_bytes()) {
        return Some(text.len());
    }
    if !text.is_ascii() {
        return text.chars().map(units).sum();
    }
    let (mut escaped, mut lacking) = (0, false);
    for octet in text.bytes() {
        let code = LATIN[usize::from(octet)];
        escaped += usize::from(code >> 7);
        lacking |= code == NONE;
    }
    (!lacking).then_some(text.len() + escaped)
}

/// Encodes a text of one septet for each octet, as nearly all in ASCII are; false, with nothing appended, where it is
/// another.
pub(super) fn encode_plain(text: &str, out: &mut BytesMut) -> bool {
    if is_same(text.as_bytes()) {
        out.put_slice(text.as_bytes());
        return true;
    }
    if !text.is_ascii() {
        return false;
    }
    let start = out.len();
    out.put_slice(text.as_bytes());
    let mut codes = 0;
    for octet in out[start..].iter_mut() {
        *octet = LATIN[usize::from(*octet)];
        codes |= *octet;
    }
    let plain = codes & ESCAPED == 0;
    if !plain {
        out.truncate(start);
    }
    plain
}

pub(super) fn encode(text: &str, out: &mut BytesMut) {
    if encode_plain(text, out) {
        return;
    }
    out.reserve(text.len());
    for c in text.chars() {
        match code(c) {
            NONE => out.put_u8(SUBSTITUTE),
            code if code & ESCAPED != 0 => out.put_slice(&[ESCAPE, code & !ESCAPED]),
            septet => out.put_u8(septet),
        }
    }
}

/// An unknown escaped septet is read from the default alphabet, as handsets do; an escape with nothing after it, or
/// with another escape, is a space.
pub(super) fn decode(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    let mut septets = octets.iter().copied();
    while let Some(septet) = septets.next() {
        text.push(match septet {
            ESCAPE => septets.next().map_or(' ', escaped),
            septet => plain(septet),
        });
    }
    text
}

fn plain(septet: u8) -> char {
    ALPHABET.get(usize::from(septet)).copied().unwrap_or(REPLACEMENT)
}

fn escaped(septet: u8) -> char {
    match EXTENSION.iter().find(|(code, _)| *code == septet) {
        Some((_, c)) => *c,
        None if septet == ESCAPE => ' ',
        None => plain(septet),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_septet_comes_back() {
        for septet in (0..0x80).filter(|&septet| septet != ESCAPE) {
            let text = decode(&[septet]);
            let mut out = BytesMut::new();
            encode(&text, &mut out);
            assert_eq!(out[..], [septet], "{text}");
        }
        for (septet, c) in EXTENSION {
            let mut out = BytesMut::new();
            encode(c.encode_utf8(&mut [0; 4]), &mut out);
            assert_eq!(out[..], [ESCAPE, septet]);
            assert_eq!(decode(&out), c.to_string());
        }
    }

    #[test]
    fn only_the_tables_characters_have_codes() {
        let held = ('\0'..=char::MAX).filter(|&c| units(c).is_some()).count();
        assert_eq!(held, 127 + 10);
        assert_eq!(units('ç'), None);
        assert_eq!(units('Α'), None);
        assert_eq!(units('`'), None);
        assert_eq!(units('\u{1b}'), None);
    }

    #[test]
    fn what_is_the_same_in_ascii_is_known_wherever_it_stands() {
        let text = "abcdefgh IJKLMNOP 0123";
        assert!(is_same(&text.as_bytes()[..8]) && !is_same(&text.as_bytes()[..7]));
        for c in '\0'..='\u{ff}' {
            let same = c.is_ascii() && c >= ' ' && code(c) == c as u8;
            for length in 8..text.len() {
                for at in 0..=length {
                    let text = format!("{}{c}{}", &text[..at], &text[at..length]);
                    assert_eq!(is_same(text.as_bytes()), same, "{text}");
                }
            }
        }
    }

    #[test]
    fn odd_escapes_are_read_as_handsets_do() {
        assert_eq!(decode(&[ESCAPE, b'a']), "a");
        assert_eq!(decode(&[ESCAPE, ESCAPE, b'a']), " a");
        assert_eq!(decode(&[b'a', ESCAPE]), "a ");
    }
}
