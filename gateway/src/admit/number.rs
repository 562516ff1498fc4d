//! Phone numbers at the door: one form inside (E.164 with plus), one place where they are masked.
//!
//! Taken: `+` and 7 to 15 digits; and, only where the app names a default country we know, that country's international
//! prefix (`0086138…`), its code without plus (`86138…`) and its bare mobile numbers (`138…`). Spaces, dashes and brackets
//! are refused: a client that sends them has not decided what its numbers are.

use std::borrow::Cow;
use std::fmt;

/// A number in E.164 with plus: as it was written, where it was written so. Shows itself masked in `Debug`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct E164<'a>(Cow<'a, str>);

/// Why a number was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNumber {
    /// Something other than digits behind an optional plus.
    #[error("only digits may follow an optional plus sign")]
    Digits,
    /// Not 7 to 15 digits, or a country code that starts with 0.
    #[error("an international number has 7 to 15 digits and does not start with 0")]
    Length,
    /// No plus, and no country to read it by.
    #[error("the number needs a plus sign and its country code")]
    Bare,
    /// Not a mobile number of that country.
    #[error("not a mobile number of its country")]
    National,
}

/// How a country writes its own mobile numbers.
struct Country {
    iso: &'static str,
    code: &'static str,
    /// Dialled before a country code.
    exit: &'static str,
    mobile: fn(&str) -> bool,
}

const COUNTRIES: [Country; 1] = [Country { iso: "CN", code: "86", exit: "00", mobile: mainland_mobile }];

fn mainland_mobile(digits: &str) -> bool {
    digits.len() == 11 && matches!(digits.as_bytes(), [b'1', b'3'..=b'9', ..])
}

/// Whether bare numbers of this ISO country can be read.
pub fn knows(iso: &str) -> bool {
    COUNTRIES.iter().any(|c| c.iso == iso)
}

/// Digits without the code of a country we know that they begin with.
pub fn without_country(digits: &str) -> Option<&str> {
    COUNTRIES.iter().find_map(|c| digits.strip_prefix(c.code)).filter(|rest| !rest.is_empty())
}

impl<'a> E164<'a> {
    /// Reads a number as a client wrote it. `country` is the app's default (ISO 3166 letters).
    pub fn read(text: &'a str, country: Option<&str>) -> Result<E164<'a>, BadNumber> {
        let plus = text.as_bytes().first() == Some(&b'+');
        let digits = if plus { text.get(1..).unwrap_or_default() } else { text };
        if digits.is_empty() || !carriers::all_digits(digits.as_bytes()) {
            return Err(BadNumber::Digits);
        }
        if plus {
            return international(digits).map(|()| E164(Cow::Borrowed(text)));
        }
        let country = COUNTRIES.iter().find(|c| Some(c.iso) == country).ok_or(BadNumber::Bare)?;
        if let Some(rest) = digits.strip_prefix(country.exit) {
            return international(rest).map(|()| E164(format!("+{rest}").into()));
        }
        let national = match digits.strip_prefix(country.code) {
            Some(rest) if (country.mobile)(rest) => rest,
            _ => digits,
        };
        if !(country.mobile)(national) {
            return Err(BadNumber::National);
        }
        Ok(E164(["+", country.code, national].concat().into()))
    }

    /// The number.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether these digits are a number with its country's code.
fn international(digits: &str) -> Result<(), BadNumber> {
    let octets = digits.as_bytes();
    if !(7..=15).contains(&octets.len()) || octets.first() == Some(&b'0') {
        return Err(BadNumber::Length);
    }
    // Mainland mobiles all start with 1 and have one length: a digit too few or too many is caught here, before it costs
    // money.
    match octets {
        [b'8', b'6', b'1', ..] if !digits.get(2..).is_some_and(mainland_mobile) => Err(BadNumber::National),
        _ => Ok(()),
    }
}

impl fmt::Debug for E164<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask(self.as_str()))
    }
}

/// A number as logs and the admin door may show it: all but its first five characters (at most half of it) and its last
/// two are hidden.
pub fn mask(number: &str) -> String {
    let count = number.chars().count();
    let shown = (count / 2).min(5);
    let tail = if count > 8 { 2 } else { 0 };
    number.chars().enumerate().map(|(i, c)| if i < shown || i >= count - tail { c } else { '*' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, country: Option<&str>) -> Result<String, BadNumber> {
        E164::read(text, country).map(|n| n.as_str().to_owned())
    }

    #[test]
    fn numbers_become_international_or_are_refused() {
        for (text, country, want) in [
            ("+8613800138000", None, Ok("+8613800138000")),
            ("+447700900123", None, Ok("+447700900123")),
            ("13800138000", Some("CN"), Ok("+8613800138000")),
            ("8613800138000", Some("CN"), Ok("+8613800138000")),
            ("008613800138000", Some("CN"), Ok("+8613800138000")),
            ("00447700900123", Some("CN"), Ok("+447700900123")),
            ("13800138000", None, Err(BadNumber::Bare)),
            ("13800138000", Some("GB"), Err(BadNumber::Bare)),
            ("12800138000", Some("CN"), Err(BadNumber::National)),
            ("1380013800", Some("CN"), Err(BadNumber::National)),
            ("+861380013800", None, Err(BadNumber::National)),
            ("+86138001380001", None, Err(BadNumber::National)),
            ("+862088886666", None, Ok("+862088886666")),
            ("+123456", None, Err(BadNumber::Length)),
            ("+1234567890123456", None, Err(BadNumber::Length)),
            ("+0123456789", None, Err(BadNumber::Length)),
            ("138 0013 8000", Some("CN"), Err(BadNumber::Digits)),
            ("+86-13800138000", None, Err(BadNumber::Digits)),
            ("++8613800138000", None, Err(BadNumber::Digits)),
            ("", Some("CN"), Err(BadNumber::Digits)),
            ("１３８００１３８０００", Some("CN"), Err(BadNumber::Digits)),
        ] {
            assert_eq!(read(text, country).as_deref(), want.as_deref(), "{text} in {country:?}");
        }
    }

    #[test]
    fn masks_hide_the_middle() {
        assert_eq!(mask("+8613800138000"), "+8613*******00");
        assert_eq!(mask("12345"), "12***");
        assert_eq!(mask(""), "");
        let number = E164::read("+8613800138000", None).expect("a good number");
        assert_eq!(format!("{number:?}"), "+8613*******00");
    }
}
