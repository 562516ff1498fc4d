//! CONNECT and CONNECT_RESP (CMPP 3.0 §8.4.1), and the digests in them.

use super::version::{Status, Version};
use crate::digest::{md5, timestamp_digits};
use crate::layout::{Fixed, Hidden, Tail, layout};

/// Stands between account and secret in the digest.
const GAP: [u8; 9] = [0; 9];
/// Octets of `source_addr`.
const ACCOUNT: usize = 6;

layout! {
    /// Who connects, and its proof.
    pub struct Connect<'a> in Version {
        /// The account (SP_Id), six digits.
        source_addr: &'a [u8] as Fixed<ACCOUNT>,
        /// Digest over account, secret and timestamp.
        authenticator_source: [u8; 16] as Hidden<[u8; 16]>,
        /// See [`Version::octet`].
        version: u8,
        /// `MMDDHHMMSS` as a number, in China's time; see [`crate::time::Moment::timestamp`].
        timestamp: u32,
    }
}

impl<'a> Connect<'a> {
    /// The request that proves knowledge of `secret`.
    pub fn new(source_addr: &'a [u8], secret: &[u8], version: Version, timestamp: u32) -> Connect<'a> {
        let authenticator_source = authenticator_source(source_addr, secret, timestamp);
        Connect { source_addr, authenticator_source, version: version.octet(), timestamp }
    }

    /// Whether the digest is right. Accounts of fewer than six characters are digested as they are by some and filled up
    /// with NUL by others.
    pub fn is_authentic(&self, secret: &[u8]) -> bool {
        let mut padded = [0; ACCOUNT];
        padded.iter_mut().zip(self.source_addr).for_each(|(octet, &from)| *octet = from);
        [self.source_addr, &padded]
            .into_iter()
            .any(|account| self.authenticator_source == authenticator_source(account, secret, self.timestamp))
    }
}

fn authenticator_source(account: &[u8], secret: &[u8], timestamp: u32) -> [u8; 16] {
    md5(&[account, &GAP, secret, &timestamp_digits(timestamp)])
}

layout! {
    /// The answer to CONNECT.
    pub struct ConnectResp in Version {
        /// See [`super::status::connect`].
        status: u32 as Status<17>,
        /// Digest over status, the request's digest and the secret; zeros where the client was refused.
        authenticator_ismg: [u8; 16] as Tail<Hidden<[u8; 16]>>,
        /// The highest version the server speaks; see [`Version::octet`].
        version: u8 as Tail<u8>,
    }
}

impl ConnectResp {
    /// The server's answer to a client that proved itself.
    pub fn accepted(connect: &Connect<'_>, secret: &[u8], version: Version) -> ConnectResp {
        let status = super::status::connect::OK;
        let authenticator_ismg = match version {
            Version::V20 => narrow(status, connect, secret),
            Version::V30 => wide(status, connect, secret),
        };
        ConnectResp { status, authenticator_ismg, version: version.octet() }
    }

    /// The server's answer to one that did not.
    pub fn refused(status: u32, version: Version) -> ConnectResp {
        ConnectResp { status, authenticator_ismg: [0; 16], version: version.octet() }
    }

    /// Whether the digest proves that the server knows the secret. Some servers digest a status as wide as in the other
    /// version, which counts; several send what proves nothing, so that a wrong digest is worth a warning, no more.
    pub fn is_authentic(&self, connect: &Connect<'_>, secret: &[u8]) -> bool {
        [narrow(self.status, connect, secret), wide(self.status, connect, secret)].contains(&self.authenticator_ismg)
    }
}

/// The server's digest with a status of one octet, as in 2.0.
fn narrow(status: u32, connect: &Connect<'_>, secret: &[u8]) -> [u8; 16] {
    md5(&[&status.to_be_bytes()[3..], &connect.authenticator_source, secret])
}

/// The server's digest with a status of four octets, as in 3.0.
fn wide(status: u32, connect: &Connect<'_>, secret: &[u8]) -> [u8; 16] {
    md5(&[&status.to_be_bytes(), &connect.authenticator_source, secret])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::round_trip;
    use bytes::BytesMut;
    use proptest::prelude::*;

    #[test]
    fn digests_prove_the_secret_and_nothing_else() {
        let connect = Connect::new(b"900001", b"888888", Version::V30, 1_021_080_510);
        assert!(connect.is_authentic(b"888888") && !connect.is_authentic(b"888889"));
        assert!(!Connect { timestamp: 1_021_080_511, ..connect }.is_authentic(b"888888"));
        for version in [Version::V20, Version::V30] {
            let accepted = ConnectResp::accepted(&connect, b"888888", version);
            assert!(accepted.is_authentic(&connect, b"888888") && !accepted.is_authentic(&connect, b"888889"));
            assert!(!ConnectResp::refused(3, version).is_authentic(&connect, b"888888"));
        }
    }

    #[test]
    fn short_accounts_are_believed_padded_or_not() {
        let connect = Connect::new(b"9001", b"888888", Version::V20, 101_000_000);
        assert!(connect.is_authentic(b"888888"));
        let authenticator_source = authenticator_source(b"9001\0\0", b"888888", 101_000_000);
        assert_ne!(authenticator_source, connect.authenticator_source);
        assert!(Connect { authenticator_source, ..connect }.is_authentic(b"888888"));
    }

    proptest! {
        #[test]
        fn layouts_round_trip(entropy in proptest::collection::vec(any::<u8>(), 0..100)) {
            for version in [Version::V20, Version::V30] {
                round_trip::<Connect<'_>, _>(&entropy, version, &mut BytesMut::new());
                round_trip::<ConnectResp, _>(&entropy, version, &mut BytesMut::new());
            }
        }
    }
}
