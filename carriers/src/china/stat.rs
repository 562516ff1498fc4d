//! What the `Stat` of a report comes to (CMPP 3.0 §8.4.5.1, SMGP 3.0 §6.2.63).
//!
//! Carriers and platforms write far more words there than the books have. Whatever is neither "delivered" nor "on its way"
//! is an end without delivery, and stays readable as it came.

use std::ascii;
use std::fmt::Write as _;

use codecs::stat;
use codecs::words::Words;

use crate::message::{Brief, ReceiptState};

/// How misspelt a delivery may be: `DELIVRD`, `DELIVERED`, `DELIVED`.
const DELIVERED: &[u8] = b"DELIV";

/// The words that are no plain failure.
const WORDS: &[(&[u8], ReceiptState)] = &[
    (stat::DELIVRD, ReceiptState::Delivered),
    (stat::ACCEPTD, ReceiptState::Intermediate),
    (b"ENROUTE", ReceiptState::Intermediate),
    (b"UNDELIV", ReceiptState::Failed),
    (b"EXPIRED", ReceiptState::Expired),
    (b"DELETED", ReceiptState::Deleted),
    (b"REJECTD", ReceiptState::Rejected),
    (b"UNKNOWN", ReceiptState::Unknown),
];

/// What became of the message, and what was overlooked in saying so.
pub fn state(stat: &[u8]) -> (ReceiptState, Option<&'static str>) {
    let word = stat::trimmed(stat);
    let known = WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
    match known {
        Some((_, state)) => (*state, None),
        None if word.is_empty() => (ReceiptState::Unknown, Some("a receipt without a state")),
        None if word.get(..DELIVERED.len()).is_some_and(|start| start.eq_ignore_ascii_case(DELIVERED)) => {
            (ReceiptState::Delivered, Some("a misspelt delivery"))
        }
        None => (ReceiptState::Failed, None),
    }
}

/// The carrier's word as it came, its error where it names one, and what they mean (`meaning` first) where that is known
/// and no delivery.
pub fn code(stat: &[u8], err: Option<&[u8]>, meaning: Option<Words>) -> Brief {
    let word = stat::trimmed(stat);
    let mut code = Brief::default();
    put(word, &mut code);
    if let Some(err) = err {
        code.push_str(" err:");
        put(err, &mut code);
    }
    if word != stat::DELIVRD
        && let Some(Words { zh, en }) = meaning.or_else(|| stat::words(word))
    {
        let _ = write!(code, " ({zh}, {en})");
    }
    code
}

/// Appends a carrier's octets, escaped where they need it.
fn put(word: &[u8], code: &mut Brief) {
    match std::str::from_utf8(word) {
        Ok(plain) if plain.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b':') => code.push_str(plain),
        _ => code.extend(word.iter().copied().flat_map(ascii::escape_default).map(char::from)),
    }
}

#[cfg(test)]
mod tests {
    use super::ReceiptState::*;
    use super::*;

    #[test]
    fn every_word_is_an_end_but_two() {
        let cases: [(&[u8], _); 18] = [
            (b"DELIVRD", Delivered),
            (b"DELIVED", Delivered),
            (b"delivrd", Delivered),
            (b"ACCEPTD", Intermediate),
            (b"ENROUTE", Intermediate),
            (b"EXPIRED", Expired),
            (b"DELETED", Deleted),
            (b"UNDELIV", Failed),
            (b"UNKNOWN", Unknown),
            (b"REJECTD", Rejected),
            (b"MK:0024", Failed),
            (b"MK00001", Failed),
            (b"ID:0076", Failed),
            (b"NOSEND\0", Failed),
            (b"3      ", Failed),
            (b"660", Failed),
            (b"\xff\xfe", Failed),
            (b"\0\0\0\0\0\0\0", Unknown),
        ];
        for (stat, expected) in cases {
            let (state, _) = state(stat);
            assert_eq!(state, expected, "{}", stat.escape_ascii());
        }
        assert!(state(b"DELIVED").1.is_some() && state(b"       ").1.is_some() && state(b"MK:0001").1.is_none());
    }

    #[test]
    fn words_are_kept_and_explained() {
        assert_eq!(&*code(b"DELIVRD", None, None), "DELIVRD");
        assert_eq!(&*code(b"MK:0024", None, None), "MK:0024 (用户关机, switched off)");
        assert_eq!(&*code(b"NOSEND ", None, None), "NOSEND (签名未报备, signature missing or not registered)");
        assert_eq!(&*code(b"660\0\0\0\0", None, None), "660");
        assert_eq!(&*code(b"\xffX", None, None), "\\xffX");
        assert_eq!(&*code(b"a'b\\", Some(b"\x01 \""), None), r#"a\'b\\ err:\x01 \""#, "as escape_ascii has it");
        let meaning = Words { zh: "用户忙", en: "user busy" };
        assert_eq!(&*code(b"EXPIRED", Some(b"002"), Some(meaning)), "EXPIRED err:002 (用户忙, user busy)");
    }
}
