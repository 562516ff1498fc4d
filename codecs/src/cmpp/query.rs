//! QUERY and QUERY_RESP (CMPP 3.0 §8.4.4): how many messages went through on a day.

use super::version::Version;
use crate::layout::{Fixed, Tail, layout};

layout! {
    /// Which day, and whose messages.
    pub struct Query<'a> in Version {
        /// The day, `YYYYMMDD`.
        time: &'a [u8] as Fixed<8>,
        /// 0 all of them, 1 one service's.
        query_type: u8,
        /// The service code, where `query_type` is 1.
        query_code: &'a [u8] as Fixed<10>,
        /// Nothing yet.
        reserve: &'a [u8] as Tail<Fixed<8>>,
    }
}

layout! {
    /// The day's numbers.
    pub struct QueryResp<'a> in Version {
        /// As asked.
        time: &'a [u8] as Fixed<8>,
        /// As asked.
        query_type: u8,
        /// As asked.
        query_code: &'a [u8] as Fixed<10>,
        /// Messages taken from the SP.
        mt_tl_msg: u32,
        /// Their recipients.
        mt_tl_usr: u32,
        /// Forwarded.
        mt_scs: u32,
        /// Waiting.
        mt_wt: u32,
        /// Failed.
        mt_fl: u32,
        /// Delivered to the SP.
        mo_scs: u32,
        /// Waiting for the SP.
        mo_wt: u32,
        /// Not delivered to the SP.
        mo_fl: u32,
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
        fn layouts_round_trip(entropy in proptest::collection::vec(any::<u8>(), 0..100)) {
            for version in [Version::V20, Version::V30] {
                round_trip::<Query<'_>, _>(&entropy, version, &mut BytesMut::new());
                round_trip::<QueryResp<'_>, _>(&entropy, version, &mut BytesMut::new());
            }
        }
    }
}
