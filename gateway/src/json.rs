//! JSON written straight into octets, for what is written for every message. The rest is serde's.

/// Appends a string with its quotes.
pub(crate) fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    // One pass without branches; hardly a text needs more.
    if text.bytes().fold(false, |any, octet| any | is_special(octet)) {
        escaped(text, out);
    } else {
        out.extend_from_slice(text.as_bytes());
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

#[cold]
fn escaped(text: &str, out: &mut Vec<u8>) {
    for octet in text.bytes() {
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
            let text = format!("a{character}b");
            assert_eq!(written(|out| string(&text, out)), serde_json::to_string(&text).unwrap());
        }
    }

    proptest! {
        #[test]
        fn texts_and_numbers_are_written_as_serde_writes_them(text in any::<String>(), n in any::<u64>(), bits in 0..64u32) {
            prop_assert_eq!(written(|out| string(&text, out)), serde_json::to_string(&text).unwrap());
            let n = n >> bits;
            prop_assert_eq!(written(|out| number(n, out)), n.to_string());
        }
    }
}
