//! Deliver (SGIP 1.2 §4.2.3.4): a message from a handset.

use crate::layout::{Fixed, Hidden, Prefixed, Tail, layout};

layout! {
    /// A message from a handset.
    pub struct Deliver<'a> {
        /// The handset, with 86.
        user_number: &'a [u8] as Hidden<Fixed<21>>,
        /// The access number written to.
        sp_number: &'a [u8] as Fixed<21>,
        /// GSM 03.40 protocol identifier.
        tp_pid: u8,
        /// Whether the text has a user data header: see [`crate::text::udh::is_indicated`].
        tp_udhi: u8,
        /// As in [`super::Submit`].
        message_coding: u8,
        /// The text.
        message_content: &'a [u8] as Hidden<Prefixed<u32>>,
        /// For the answer to the handset to carry.
        link_id: &'a [u8] as Tail<Fixed<8>>,
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
        fn layouts_round_trip(entropy in proptest::collection::vec(any::<u8>(), 0..400)) {
            round_trip::<Deliver<'_>, _>(&entropy, (), &mut BytesMut::new());
        }
    }
}
