//! Bearer keys: kept as SHA-256 only, compared in constant time.

use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::config::plan::App;

/// All keys of all apps. Digests are grouped by their first octet, so a look-up compares with about 1/256 of them; what
/// its time can tell is how many keys share that octet of a digest, nothing about a key.
#[derive(Debug)]
pub struct Keys {
    digests: Vec<([u8; 32], u32)>,
    /// Where each first octet's digests start; one more for the end.
    starts: Vec<u32>,
}

impl Keys {
    /// The keys of these apps; a look-up gives the position in this slice.
    pub fn new(apps: &[App]) -> Self {
        let mut digests: Vec<([u8; 32], u32)> =
            (0u32..).zip(apps).flat_map(|(at, app)| app.keys.iter().map(move |key| (*key, at))).collect();
        digests.sort_unstable();
        let starts = (0..=256usize)
            .map(|first| digests.partition_point(|(digest, _)| usize::from(digest[0]) < first) as u32)
            .collect();
        Keys { digests, starts }
    }

    /// The app whose key this is, as a position.
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        let digest: [u8; 32] = Sha256::digest(key).into();
        let first = usize::from(digest[0]);
        let group = &self.digests[self.starts[first] as usize..self.starts[first + 1] as usize];
        let mut found = u32::MAX;
        for (candidate, at) in group {
            found.conditional_assign(at, candidate.ct_eq(&digest));
        }
        (found != u32::MAX).then_some(found as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::AppId;

    fn app(id: u16, keys: &[&str]) -> App {
        App {
            id: AppId(id),
            name: "a".into(),
            keys: keys.iter().map(|k| Sha256::digest(k).into()).collect(),
            rate: 1,
            send_rate: None,
            tiers: vec![],
            signatures: vec![],
            numbers: Vec::new(),
            default_country: None,
            allow_ips: vec![],
            callback: None,
            options: String::new(),
        }
    }

    #[test]
    fn each_key_finds_its_app_and_no_other_key_does() {
        let many: Vec<String> = (0..1000).map(|i| format!("key-{i}")).collect();
        let apps: Vec<App> = many.chunks(2).map(|pair| app(0, &[&pair[0], &pair[1]])).collect();
        let keys = Keys::new(&apps);
        for (i, key) in many.iter().enumerate() {
            assert_eq!(keys.find(key.as_bytes()), Some(i / 2));
        }
        assert_eq!(keys.find(b"key-1000"), None);
        assert_eq!(keys.find(b""), None);
        assert_eq!(Keys::new(&[]).find(b"key-1"), None);
    }
}
