//! Report (SGIP 1.2 §4.2.3.5): what became of a message, for one of its recipients. It holds no times and no text.

use super::sequence::Sequence;
use crate::layout::{Fixed, Hidden, Tail, layout};

layout! {
    /// What became of a message for one recipient.
    pub struct Report<'a> {
        /// The sequence number of its Submit.
        submit_sequence: Sequence,
        /// 0 about a Submit, 1 about a Deliver handed on.
        report_type: u8,
        /// The recipient, with 86.
        user_number: &'a [u8] as Hidden<Fixed<21>>,
        /// See [`state`].
        state: u8,
        /// Why it failed, see [`super::result`]; 0 otherwise, and sometimes then too.
        error_code: u8,
        /// Nothing yet.
        reserve: &'a [u8] as Tail<Fixed<8>>,
    }
}

/// Values of a report's `state`.
pub mod state {
    use crate::words::codes;

    codes! { u8:
        DELIVERED = 0 "发送成功" "delivered"
        WAITING = 1 "等待发送" "waiting, not the end"
        FAILED = 2 "发送失败" "failed"
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
        fn layouts_round_trip(entropy in proptest::collection::vec(any::<u8>(), 0..60)) {
            round_trip::<Report<'_>, _>(&entropy, (), &mut BytesMut::new());
        }
    }
}
