//! ACTIVE_TEST_RESP (CMPP 3.0 §8.4.7): the answer to ACTIVE_TEST, which has no body itself.

use super::version::Version;
use crate::layout::{Tail, layout};

layout! {
    /// A sign of life. Some peers leave its only octet out.
    pub struct ActiveTestResp in Version {
        /// Nothing yet.
        reserved: u8 as Tail<u8>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::round_trip;
    use bytes::BytesMut;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn layouts_round_trip(entropy in proptest::collection::vec(any::<u8>(), 0..4)) {
            for version in [Version::V20, Version::V30] {
                round_trip::<ActiveTestResp, _>(&entropy, version, &mut BytesMut::new());
            }
        }
    }
}
