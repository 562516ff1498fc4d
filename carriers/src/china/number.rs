//! Numbers as China's carriers write them: handsets with or without 86, access numbers with the sender's extension.

use std::borrow::Cow;

use codecs::octets::all_digits;
use codecs::stat::trimmed;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::message::Unsendable;

/// Digits of a handset's number in China, without 86.
const NATIONAL: usize = 11;
/// Most digits of a handset's number.
const HANDSET: usize = 20;

/// How a handset in China is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[schemars(rename = "number_prefix")]
pub enum Prefix {
    /// `13800138000`.
    #[default]
    #[serde(rename = "")]
    None,
    /// `8613800138000`.
    #[serde(rename = "86")]
    Country,
    /// `+8613800138000`.
    #[serde(rename = "+86")]
    Plus,
}

impl Prefix {
    /// A number in E.164 as it goes on the wire. Numbers of other countries have their country code, with a plus sign
    /// where China's have one.
    pub fn write(self, e164: &str) -> &str {
        let digits = e164.strip_prefix('+').unwrap_or(e164);
        match self {
            Prefix::None => digits.strip_prefix("86").filter(|rest| rest.len() == NATIONAL).unwrap_or(digits),
            Prefix::Country => digits,
            Prefix::Plus => e164,
        }
    }
}

/// Whether a recipient's number is one.
pub fn check(e164: &str) -> Result<(), Unsendable> {
    match e164.strip_prefix('+') {
        Some(digits) if digits.len() > HANDSET => Err(Unsendable::Number("more than 20 digits")),
        Some(digits) if !digits.is_empty() && are_digits(digits) => Ok(()),
        _ => Err(Unsendable::Number("a plus sign and digits are wanted")),
    }
}

/// The sender shown: the access number, or it with the extension that the message asks for. A message may also name the
/// whole number.
pub fn sender<'a>(access: &'a str, asked: Option<&'a str>, most: usize) -> Result<Cow<'a, str>, Unsendable> {
    let Some(asked) = asked else { return Ok(Cow::Borrowed(access)) };
    if asked.is_empty() {
        return Err(Unsendable::Sender("it is empty"));
    }
    if !are_digits(asked) {
        return Err(Unsendable::Sender("only digits after the access number"));
    }
    let number = if asked.starts_with(access) { Cow::Borrowed(asked) } else { Cow::Owned(format!("{access}{asked}")) };
    if number.len() > most { Err(Unsendable::Sender("too long after the access number")) } else { Ok(number) }
}

/// A handset's number as a carrier wrote it, with a plus sign where it is certainly one of China's.
pub fn handset(octets: &[u8]) -> String {
    let number = plain(octets);
    let digits = are_digits(&number);
    if digits && number.len() == NATIONAL && number.starts_with('1') {
        return format!("+86{number}");
    }
    if digits && number.len() == NATIONAL + 2 && number.starts_with("861") {
        return format!("+{number}");
    }
    number.into()
}

/// A number as the carrier wrote it, without what pads it.
pub fn plain(octets: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(trimmed(octets))
}

fn are_digits(text: &str) -> bool {
    all_digits(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handsets_are_written_as_the_carrier_wants_them() {
        let cases = [
            (Prefix::None, "+8613800138000", "13800138000"),
            (Prefix::Country, "+8613800138000", "8613800138000"),
            (Prefix::Plus, "+8613800138000", "+8613800138000"),
            (Prefix::None, "+85291234567", "85291234567"),
            (Prefix::None, "+8610690001", "8610690001"),
        ];
        for (prefix, e164, wire) in cases {
            assert_eq!(prefix.write(e164), wire);
        }
        assert!(check("+8613800138000").is_ok());
        for bad in ["13800138000", "+", "", "+123456789012345678901", "+86x"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn handsets_meet_in_one_form() {
        for wire in [&b"13800138000"[..], b"8613800138000", b"+8613800138000", b"8613800138000   ", b" 13800138000\0\0"]
        {
            assert_eq!(handset(wire), "+8613800138000");
        }
        for (wire, as_is) in [(&b"10690001"[..], "10690001"), (b"85291234567", "85291234567"), (b"P19x", "P19x")] {
            assert_eq!(handset(wire), as_is);
        }
    }

    #[test]
    fn extensions_follow_the_access_number() {
        let sent = |asked| sender("10690001", asked, 20).map(Cow::into_owned);
        assert_eq!(sent(None).unwrap(), "10690001");
        assert_eq!(sent(Some("23")).unwrap(), "1069000123");
        assert_eq!(sent(Some("1069000123")).unwrap(), "1069000123");
        for bad in ["", "Shop", "+1", "1234567890123"] {
            assert!(matches!(sent(Some(bad)), Err(Unsendable::Sender(_))), "{bad}");
        }
        assert!(sender("10690001", Some("1234567890123"), 21).is_ok());
    }
}
