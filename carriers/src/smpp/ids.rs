//! Message ids in one form, so that answer and receipt compare equal whatever base the carrier writes them in.
//!
//! A number becomes its decimal digits without leading zeros; everything else is compared in lower case without
//! leading zeros. What is not a number of the expected base is taken as opaque: both sides then still agree.

use codecs::octets::until_nul;

use super::config::IdBase;
use crate::message::CarrierId;

/// The id in its one form, or `None` where there is none.
pub(super) fn normalise(raw: &[u8], base: IdBase) -> Option<CarrierId> {
    let raw = until_nul(raw).trim_ascii();
    if raw.is_empty() {
        return None;
    }
    Some(match base {
        IdBase::Hex => match hexadecimal(raw) {
            Some(value) => CarrierId::new(value.to_string().as_bytes()),
            None => opaque(raw),
        },
        // Decimal digits need no arithmetic: without their zeros they are in the one form already.
        IdBase::Dec | IdBase::Opaque => opaque(raw),
    })
}

fn hexadecimal(raw: &[u8]) -> Option<u128> {
    let digits = raw.strip_prefix(b"0x").or_else(|| raw.strip_prefix(b"0X")).unwrap_or(raw);
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u128::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn opaque(raw: &[u8]) -> CarrierId {
    let zeros = raw.iter().take_while(|&&b| b == b'0').count();
    let kept = &raw[zeros.min(raw.len() - 1)..];
    CarrierId::new(kept).lower()
}

#[cfg(test)]
mod tests {
    use super::IdBase::{Dec, Hex, Opaque};
    use super::*;

    fn one(raw: &str, base: IdBase) -> String {
        normalise(raw.as_bytes(), base).map_or(String::new(), |id| id.to_string())
    }

    #[test]
    fn bases_meet_in_one_form() {
        assert_eq!(one("4A3F", Hex), one("0000019007", Dec));
        assert_eq!(one("0x0004a3f\0", Hex), "19007");
        assert_eq!(one(" 000A-b\0junk", Opaque), "a-b");
        assert_eq!(one("0000", Dec), "0");
        assert_eq!(one("0", Hex), "0");
        assert_eq!(one("f47ac10b-58cc-4372", Hex), one("F47AC10B-58CC-4372", Dec));
        assert_eq!(normalise(b"\0", Dec), None);
        assert_eq!(normalise(b"  ", Opaque), None);
    }

    #[test]
    fn ids_too_long_for_arithmetic_are_compared_as_they_are() {
        let long = "F".repeat(40);
        assert_eq!(one(&long, Hex), long.to_lowercase());
    }
}
