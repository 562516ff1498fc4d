//! FWD and FWD_RESP (CMPP 3.0 §8.4.8): what gateways hand each other. No SP sees them.

use super::version::{Absent, Either, Status, Version};
use crate::layout::{Fixed, Hidden, Items, Prefixed, Repeated, layout};

/// A field of 3.0.
type Added<K> = Either<Absent<K>, K>;

layout! {
    /// A message or report handed on. Numbers are as wide as in 2.0; 3.0 adds pseudonyms beside them.
    pub struct Fwd<'a> in Version {
        /// The gateway that hands on, six digits.
        source_id: &'a [u8] as Fixed<6>,
        /// The gateway it goes to.
        destination_id: &'a [u8] as Fixed<6>,
        /// Gateways passed.
        nodes_count: u8,
        /// 0 to a handset, 1 from one, 2 and 3 their reports.
        msg_fwd_type: u8,
        /// As its first gateway named it.
        msg_id: [u8; 8],
        /// Parts of the long message, from 1.
        pk_total: u8,
        /// Which part this is, from 1.
        pk_number: u8,
        /// As in [`super::Submit`], and so on.
        registered_delivery: u8,
        /// 0 to 9.
        msg_level: u8,
        /// The service code.
        service_id: &'a [u8] as Fixed<10>,
        /// Who pays.
        fee_user_type: u8,
        /// The payer.
        fee_terminal_id: &'a [u8] as Hidden<Fixed<21>>,
        /// The payer's pseudonym.
        fee_terminal_pseudo: &'a [u8] as Hidden<Added<Fixed<32>>>,
        /// 0 post-paid, 1 pre-paid.
        fee_terminal_user_type: u8 as Added<u8>,
        /// GSM 03.40 protocol identifier.
        tp_pid: u8,
        /// Whether the text has a user data header.
        tp_udhi: u8,
        /// The text's coding.
        msg_fmt: u8,
        /// The SP's account.
        msg_src: &'a [u8] as Fixed<6>,
        /// How it is charged.
        fee_type: &'a [u8] as Fixed<2>,
        /// The price, in hundredths of a yuan.
        fee_code: &'a [u8] as Fixed<6>,
        /// Until when.
        valid_time: &'a [u8] as Fixed<17>,
        /// From when.
        at_time: &'a [u8] as Fixed<17>,
        /// The sender.
        src_id: &'a [u8] as Hidden<Fixed<21>>,
        /// The sender's pseudonym.
        src_pseudo: &'a [u8] as Hidden<Added<Fixed<32>>>,
        /// 0 post-paid, 1 pre-paid.
        src_user_type: u8 as Added<u8>,
        /// 0 a number, 1 a pseudonym.
        src_type: u8 as Added<u8>,
        /// The recipients; one in 3.0.
        dest_id: Items<'a> as Repeated<Fixed<21>>,
        /// The recipient's pseudonym.
        dest_pseudo: &'a [u8] as Hidden<Added<Fixed<32>>>,
        /// 0 post-paid, 1 pre-paid.
        dest_user_type: u8 as Added<u8>,
        /// The text, or a report.
        msg_content: &'a [u8] as Hidden<Prefixed<u8>>,
        /// As in [`super::Submit`].
        link_id: &'a [u8] as Either<Fixed<8>, Fixed<20>>,
    }
}

layout! {
    /// The answer to FWD.
    pub struct FwdResp in Version {
        /// As in the FWD.
        msg_id: [u8; 8],
        /// As in the FWD.
        pk_total: u8,
        /// As in the FWD.
        pk_number: u8,
        /// See [`super::status::result`]; 9 here: not to be handed to this gateway.
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
                round_trip::<Fwd<'_>, _>(&entropy, version, &mut BytesMut::new());
                round_trip::<FwdResp, _>(&entropy, version, &mut BytesMut::new());
            }
        }
    }
}
