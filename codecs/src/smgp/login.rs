//! Login and Login_Resp (SMGP 3.0), and the digests in them.

use super::{VERSION, status};
use crate::digest::{md5, timestamp_digits};
use crate::layout::{Fixed, Hidden, Tail, layout};

/// Stands between account and secret in the digest.
const GAP: [u8; 7] = [0; 7];
/// Octets of `client_id`.
const ACCOUNT: usize = 8;

layout! {
    /// Who logs in, and its proof.
    pub struct Login<'a> {
        /// The account.
        client_id: &'a [u8] as Fixed<ACCOUNT>,
        /// Digest over account, secret and timestamp.
        authenticator_client: [u8; 16] as Hidden<[u8; 16]>,
        /// See [`login_mode`].
        login_mode: u8,
        /// `MMDDHHMMSS` as a number, in China's time; see [`crate::time::Moment::timestamp`].
        timestamp: u32,
        /// See [`VERSION`].
        client_version: u8,
    }
}

/// Values of `login_mode`.
pub mod login_mode {
    /// Submits only.
    pub const SEND: u8 = 0;
    /// Takes messages from handsets and reports only.
    pub const RECEIVE: u8 = 1;
    /// Both.
    pub const BOTH: u8 = 2;
}

impl<'a> Login<'a> {
    /// The request that proves knowledge of `secret` (at most 15 octets by the specification).
    pub fn new(client_id: &'a [u8], secret: &[u8], login_mode: u8, timestamp: u32) -> Login<'a> {
        let authenticator_client = authenticator_client(client_id, secret, timestamp);
        Login { client_id, authenticator_client, login_mode, timestamp, client_version: VERSION }
    }

    /// Whether the digest is right. Accounts of fewer than eight characters are digested as they are by some and filled
    /// up with NUL by others.
    pub fn is_authentic(&self, secret: &[u8]) -> bool {
        let mut padded = [0; ACCOUNT];
        padded.iter_mut().zip(self.client_id).for_each(|(octet, &from)| *octet = from);
        [self.client_id, &padded]
            .into_iter()
            .any(|account| self.authenticator_client == authenticator_client(account, secret, self.timestamp))
    }
}

fn authenticator_client(account: &[u8], secret: &[u8], timestamp: u32) -> [u8; 16] {
    md5(&[account, &GAP, secret, &timestamp_digits(timestamp)])
}

layout! {
    /// The answer to Login.
    pub struct LoginResp {
        /// See [`super::status`].
        status: u32,
        /// Digest over status, the request's digest and the secret; zeros where the client was refused.
        authenticator_server: [u8; 16] as Tail<Hidden<[u8; 16]>>,
        /// The highest version the server speaks; see [`VERSION`].
        server_version: u8 as Tail<u8>,
    }
}

impl LoginResp {
    /// The server's answer to a client that proved itself.
    pub fn accepted(login: &Login<'_>, secret: &[u8]) -> LoginResp {
        let authenticator_server = authenticator_server(status::OK, login, secret);
        LoginResp { status: status::OK, authenticator_server, server_version: VERSION }
    }

    /// The server's answer to one that did not.
    pub fn refused(status: u32) -> LoginResp {
        LoginResp { status, authenticator_server: [0; 16], server_version: VERSION }
    }

    /// Whether the digest proves that the server knows the secret. Several servers send what proves nothing, so that a
    /// wrong digest is worth a warning, no more.
    pub fn is_authentic(&self, login: &Login<'_>, secret: &[u8]) -> bool {
        self.authenticator_server == authenticator_server(self.status, login, secret)
    }
}

fn authenticator_server(status: u32, login: &Login<'_>, secret: &[u8]) -> [u8; 16] {
    md5(&[&status.to_be_bytes(), &login.authenticator_client, secret])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::round_trip;
    use bytes::BytesMut;
    use proptest::prelude::*;

    #[test]
    fn digests_prove_the_secret_and_nothing_else() {
        let login = Login::new(b"10000001", b"12345678", login_mode::BOTH, 1_122_034_716);
        assert!(login.is_authentic(b"12345678") && !login.is_authentic(b"12345679"));
        let accepted = LoginResp::accepted(&login, b"12345678");
        assert!(accepted.is_authentic(&login, b"12345678") && !accepted.is_authentic(&login, b"12345679"));
        assert!(!LoginResp::refused(status::AUTHENTICATION).is_authentic(&login, b"12345678"));
    }

    #[test]
    fn short_accounts_are_believed_padded_or_not() {
        let login = Login::new(b"100", b"12345678", login_mode::SEND, 101_000_000);
        assert!(login.is_authentic(b"12345678"));
        let authenticator_client = authenticator_client(b"100\0\0\0\0\0", b"12345678", 101_000_000);
        assert_ne!(authenticator_client, login.authenticator_client);
        assert!(Login { authenticator_client, ..login }.is_authentic(b"12345678"));
    }

    proptest! {
        #[test]
        fn layouts_round_trip(entropy in proptest::collection::vec(any::<u8>(), 0..60)) {
            round_trip::<Login<'_>, _>(&entropy, (), &mut BytesMut::new());
            round_trip::<LoginResp, _>(&entropy, (), &mut BytesMut::new());
        }
    }
}
