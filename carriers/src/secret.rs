//! A carrier account's secret: written into the login and shown nowhere else.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

/// A password or shared secret; shows itself to nobody but the login.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps it.
    pub fn new(secret: String) -> Self {
        Secret(secret)
    }

    /// The octets for the login.
    pub fn reveal(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether that is it, in a time that tells nothing of how much of it is right.
    pub fn is(&self, told: &[u8]) -> bool {
        let ours = self.reveal();
        let octets = ours.len().max(told.len());
        let at = |octets: &[u8], at: usize| octets.get(at).copied().unwrap_or(0);
        let differs = (0..octets).fold(0, |differs, i| differs | at(ours, i) ^ at(told, i));
        std::hint::black_box(differs) == 0 && ours.len() == told.len()
    }

    /// Comparable within this process and meaningless outside it: the key is drawn at the first call.
    pub fn mark(&self) -> u64 {
        static KEY: OnceLock<RandomState> = OnceLock::new();
        KEY.get_or_init(RandomState::new).hash_one(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_itself_is_it() {
        let secret = Secret::new("1234".into());
        assert!(secret.is(b"1234"));
        for wrong in ["", "123", "12345", "1235", "0234", "1234\0"] {
            assert!(!secret.is(wrong.as_bytes()), "{wrong:?}");
        }
        assert!(!Secret::new("a".repeat(300)).is(&b"a".repeat(44)));
    }
}
