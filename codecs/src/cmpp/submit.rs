//! SUBMIT and SUBMIT_RESP (CMPP 3.0 §8.4.3): a message to handsets.

use super::version::{Absent, Either, Number, Status, Version};
use crate::layout::{Fixed, Hidden, Items, Prefixed, Repeated, layout};

layout! {
    /// A message to one handset or several.
    pub struct Submit<'a> in Version {
        /// Zeros: the ISMG fills it. What some clients put here means nothing.
        msg_id: [u8; 8],
        /// Parts of the long message, from 1.
        pk_total: u8,
        /// Which part this is, from 1.
        pk_number: u8,
        /// 0 no report, 1 a report, 2 a record of charging only (2.0).
        registered_delivery: u8,
        /// 0 to 9.
        msg_level: u8,
        /// The service code, as the carrier gave it.
        service_id: &'a [u8] as Fixed<10>,
        /// Who pays: 0 the recipient, 1 the sender, 2 the SP, 3 `fee_terminal_id`.
        fee_user_type: u8,
        /// The payer, where `fee_user_type` is 3.
        fee_terminal_id: &'a [u8] as Hidden<Number>,
        /// 0 a number, 1 a pseudonym; 3.0 only.
        fee_terminal_type: u8 as Either<Absent<u8>, u8>,
        /// GSM 03.40 protocol identifier.
        tp_pid: u8,
        /// 1 where the text has a user data header; see [`crate::text::udh::is_indicated`].
        tp_udhi: u8,
        /// How the text is written: see [`crate::text::msg_fmt`].
        msg_fmt: u8,
        /// The account (SP_Id).
        msg_src: &'a [u8] as Fixed<6>,
        /// `01` free, `02` per message, `03` by month; in 2.0 also `04` capped, `05` paid by the SP.
        fee_type: &'a [u8] as Fixed<2>,
        /// The price, in hundredths of a yuan.
        fee_code: &'a [u8] as Fixed<6>,
        /// Until when it is worth delivering; empty for the carrier's default. See [`crate::time::Moment::absolute`].
        valid_time: &'a [u8] as Fixed<17>,
        /// When it is to be sent; empty for now.
        at_time: &'a [u8] as Fixed<17>,
        /// The sender shown: service number and extension.
        src_id: &'a [u8] as Fixed<21>,
        /// The recipients, fewer than 100.
        dest_terminal_id: Items<'a> as Repeated<Number>,
        /// 0 numbers, 1 pseudonyms; 3.0 only.
        dest_terminal_type: u8 as Either<Absent<u8>, u8>,
        /// The text, at most 160 octets where it is ASCII, else 140 with its header.
        msg_content: &'a [u8] as Hidden<Prefixed<u8>>,
        /// What the message from the handset had here, where this answers it; reserved in 2.0.
        link_id: &'a [u8] as Either<Fixed<8>, Fixed<20>>,
    }
}

layout! {
    /// The answer to SUBMIT.
    pub struct SubmitResp in Version {
        /// The ISMG's id for the message; of several recipients, the first one's.
        msg_id: [u8; 8],
        /// See [`super::status::result`].
        result: u32 as Status<0>,
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
        fn layouts_round_trip(entropy in proptest::collection::vec(any::<u8>(), 0..900)) {
            for version in [Version::V20, Version::V30] {
                round_trip::<Submit<'_>, _>(&entropy, version, &mut BytesMut::new());
                round_trip::<SubmitResp, _>(&entropy, version, &mut BytesMut::new());
            }
        }
    }
}
