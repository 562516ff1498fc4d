//! Query and Query_Resp (SMGP 3.0): how many messages went through on a day.

use crate::layout::{Fixed, Tail, layout};

layout! {
    /// Which day, and whose messages.
    pub struct Query<'a> {
        /// The day, `YYYYMMDD`.
        query_time: &'a [u8] as Fixed<8>,
        /// 0 all of them, 1 one service's.
        query_type: u8,
        /// The service code, where `query_type` is 1.
        query_code: &'a [u8] as Fixed<10>,
    }
}

layout! {
    /// The day's numbers.
    pub struct QueryResp<'a> {
        /// As asked.
        query_time: &'a [u8] as Fixed<8>,
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
        /// Nothing yet.
        reserve: &'a [u8] as Tail<Fixed<8>>,
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
            round_trip::<Query<'_>, _>(&entropy, (), &mut BytesMut::new());
            round_trip::<QueryResp<'_>, _>(&entropy, (), &mut BytesMut::new());
        }
    }
}
