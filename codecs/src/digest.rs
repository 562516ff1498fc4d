//! The one digest of CMPP and SMGP logins.

use md5::{Digest, Md5};

/// MD5 over the parts, one after the other.
pub(crate) fn md5(parts: &[&[u8]]) -> [u8; 16] {
    parts.iter().fold(Md5::new(), |digest, part| digest.chain_update(part)).finalize().into()
}

/// The text of a timestamp that stands in the login as a number: `MMDDHHMMSS`, January with its leading zero.
pub(crate) fn timestamp_digits(timestamp: u32) -> [u8; 10] {
    let mut digits = [0; 10];
    let mut left = timestamp;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_have_ten_digits() {
        assert_eq!(&timestamp_digits(1_021_080_510), b"1021080510");
        assert_eq!(&timestamp_digits(0x11f0_e540), b"0301000000");
        assert_eq!(&timestamp_digits(0), b"0000000000");
        assert_eq!(&timestamp_digits(u32::MAX), b"4294967295");
    }
}
