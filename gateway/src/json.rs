//! JSON written straight into octets, for what is written for every message. The rest is serde's.

use carriers::compact::Text;

/// Appends a string with its quotes.
pub(crate) fn string(text: &str, out: &mut Vec<u8>) {
    self::text(text.into(), out);
}

/// The same of text that nobody has read.
pub(crate) fn text(text: Text<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    if has_special(text.octets()) {
        escaped(text.octets(), out);
    } else {
        out.extend_from_slice(text.octets());
    }
    out.push(b'"');
}

/// Appends a whole number.
pub(crate) fn number(mut number: u64, out: &mut Vec<u8>) {
    if let Ok(digit @ 0..10) = u8::try_from(number) {
        return out.push(b'0' + digit);
    }
    let (mut digits, mut at) = ([0; 20], 20);
    while number > 0 {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

/// Cannot stand in a string by itself (RFC 8259 §7).
fn is_special(octet: u8) -> bool {
    octet < b' ' || octet == b'"' || octet == b'\\'
}

/// Those of eight octets, looked at together: the lowest bit set is in the first of them, the lowest octet first. Taking so
/// much from each borrows into the highest bit of those that hold less, and of none before the first of them.
fn specials(eight: [u8; 8]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    let word = u64::from_le_bytes(eight);
    let less = |word: u64, than: u8| word.wrapping_sub(ONES * u64::from(than));
    let is = |octet: u8| less(word ^ (ONES * u64::from(octet)), 1);
    (less(word, b' ') | is(b'"') | is(b'\\')) & !word & HIGHS
}

/// Whether there is any such.
fn has_special(octets: &[u8]) -> bool {
    let found = |eight: &[u8; 8]| specials(*eight) != 0;
    match octets.last_chunk() {
        Some(last) => octets.as_chunks().0.iter().any(found) || found(last),
        None => octets.iter().any(|octet| is_special(*octet)),
    }
}

/// How many octets stand before the first such.
pub(crate) fn up_to_special(octets: &[u8]) -> Option<usize> {
    let (eights, rest) = octets.as_chunks();
    for (index, eight) in eights.iter().enumerate() {
        match specials(*eight) {
            0 => {}
            found => return Some(8 * index + found.trailing_zeros() as usize / 8),
        }
    }
    let plain = octets.len() - rest.len();
    rest.iter().position(|octet| is_special(*octet)).map(|at| plain + at)
}

#[cold]
fn escaped(octets: &[u8], out: &mut Vec<u8>) {
    for &octet in octets {
        match octet {
            b'"' | b'\\' => out.extend([b'\\', octet]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x08 => out.extend(b"\\b"),
            0x0C => out.extend(b"\\f"),
            0..b' ' => {
                out.extend(b"\\u00");
                out.extend([octet >> 4, octet & 0x0F].map(|nibble| b"0123456789abcdef"[usize::from(nibble)]));
            }
            _ => out.push(octet),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_character_is_written_as_serde_writes_it() {
        for character in (0..0x250).filter_map(char::from_u32).chain("\u{4f60}\u{1f600}\u{2028}".chars()) {
            for around in ["a", "\u{7f}eight or more", "\u{80} !#[]"] {
                let text = format!("{around}{character}{around}");
                assert_eq!(written(|out| string(&text, out)), serde_json::to_string(&text).unwrap());
            }
        }
    }

    proptest! {
        #[test]
        fn the_first_special_octet_is_found(octets: Vec<u8>, plain in "[ -~]{0,40}") {
            for octets in [&octets[..], plain.as_bytes(), &[plain.as_bytes(), &octets].concat()] {
                prop_assert_eq!(up_to_special(octets), octets.iter().position(|octet| is_special(*octet)));
                prop_assert_eq!(has_special(octets), up_to_special(octets).is_some());
            }
        }

        #[test]
        fn texts_and_numbers_are_written_as_serde_writes_them(text in any::<String>(), n in any::<u64>(), bits in 0..64u32) {
            prop_assert_eq!(written(|out| string(&text, out)), serde_json::to_string(&text).unwrap());
            let n = n >> bits;
            prop_assert_eq!(written(|out| number(n, out)), n.to_string());
        }
    }
}
