//! CANCEL and CANCEL_RESP (CMPP 3.0 §8.4.6): a message taken back.

use super::version::{Status, Version};
use crate::layout::layout;

layout! {
    /// Which message.
    pub struct Cancel in Version {
        /// As SUBMIT_RESP named it.
        msg_id: [u8; 8],
    }
}

layout! {
    /// Whether it was still there.
    pub struct CancelResp in Version {
        /// 0 taken back, 1 too late.
        success_id: u32 as Status<0>,
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
        fn layouts_round_trip(entropy in proptest::collection::vec(any::<u8>(), 0..20)) {
            for version in [Version::V20, Version::V30] {
                round_trip::<Cancel, _>(&entropy, version, &mut BytesMut::new());
                round_trip::<CancelResp, _>(&entropy, version, &mut BytesMut::new());
            }
        }
    }
}
