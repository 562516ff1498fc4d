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
