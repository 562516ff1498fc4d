//! UserRpt (SGIP 1.2): a subscriber's state changed.

use crate::layout::{Fixed, Hidden, Tail, layout};

layout! {
    /// A subscriber's new state.
    pub struct UserRpt<'a> {
        /// The access number it is told to.
        sp_number: &'a [u8] as Fixed<21>,
        /// The subscriber, with 86.
        user_number: &'a [u8] as Hidden<Fixed<21>>,
        /// See [`user_condition`].
        user_condition: u8,
        /// Nothing yet.
        reserve: &'a [u8] as Tail<Fixed<8>>,
    }
}

/// Values of `user_condition`.
pub mod user_condition {
    use crate::words::codes;

    codes! { u8:
        CANCELLED = 0 "注销" "cancelled"
        SUSPENDED = 1 "欠费停机" "suspended for debt"
        NORMAL = 2 "恢复正常" "normal"
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
            round_trip::<UserRpt<'_>, _>(&entropy, (), &mut BytesMut::new());
        }
    }
}
