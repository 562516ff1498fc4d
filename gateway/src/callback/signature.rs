//! The signature of Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, base64, one per secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Octets of a signature in the header: `v1,`, 32 octets in base64, and the space before the next.
const SIGNATURE: usize = 3 + 44 + 1;

/// The secrets of an endpoint, ready to sign: each has its key hashed already.
pub struct Signer {
    keys: Vec<Hmac<Sha256>>,
}

impl Signer {
    /// Of these secrets, newest first.
    pub fn new(secrets: &[Vec<u8>]) -> Signer {
        // HMAC takes keys of any length.
        Signer { keys: secrets.iter().filter_map(|secret| Hmac::new_from_slice(secret).ok()).collect() }
    }

    /// The header's value: `v1,…` for each secret, separated by spaces, so that a receiver may hold either during a
    /// rotation.
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mut header = String::with_capacity(self.keys.len() * SIGNATURE);
        let between = format!(".{timestamp}.");
        for key in &self.keys {
            let mut mac = key.clone();
            mac.update(id.as_bytes());
            mac.update(between.as_bytes());
            mac.update(body);
            header.push_str(if header.is_empty() { "v1," } else { " v1," });
            STANDARD.encode_string(mac.finalize().into_bytes(), &mut header);
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks libraries' own test suites.
    #[test]
    fn the_published_vector_comes_out() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let body = br#"{"test": 2432232314}"#;
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let header = Signer::new(std::slice::from_ref(&secret)).sign(id, 1_614_265_330, body);
        assert_eq!(header, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let rotating = Signer::new(&[b"new".to_vec(), secret]).sign(id, 1_614_265_330, body);
        assert_eq!(rotating.split(' ').nth(1), Some(&*header));
    }
}
