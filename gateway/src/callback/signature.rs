//! The signature of Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, base64, one per secret.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// The header's value: `v1,…` for each secret, separated by spaces, so that a receiver may hold either during a rotation.
pub fn sign(secrets: &[Vec<u8>], id: &str, timestamp: u64, body: &[u8]) -> String {
    let mut header = String::with_capacity(secrets.len() * 48);
    for secret in secrets {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { continue };
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(timestamp.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        let space = if header.is_empty() { "" } else { " " };
        let _ = write!(header, "{space}v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    }
    header
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
        let header = sign(std::slice::from_ref(&secret), id, 1_614_265_330, body);
        assert_eq!(header, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let rotating = sign(&[b"new".to_vec(), secret], id, 1_614_265_330, body);
        assert_eq!(rotating.split(' ').nth(1), Some(&*header));
    }
}
