//! Submit (SGIP 1.2 §4.2.3.3): a message to handsets. Its sequence number is the message's id.

use crate::layout::{Fixed, Hidden, Items, Prefixed, Repeated, Tail, layout};

layout! {
    /// A message to one handset or several. All numbers begin with 86.
    pub struct Submit<'a> {
        /// The sender shown: access number and extension.
        sp_number: &'a [u8] as Fixed<21>,
        /// Who pays: a number; empty for the recipient; 21 times `0` for the SP.
        charge_number: &'a [u8] as Hidden<Fixed<21>>,
        /// The recipients, 1 to 100.
        user_number: Items<'a> as Repeated<Fixed<21>>,
        /// The company code, up to five digits.
        corp_id: &'a [u8] as Fixed<5>,
        /// The service code, as the carrier gave it.
        service_type: &'a [u8] as Fixed<10>,
        /// 0 no fee for content, 1 free, 2 per message, 3 by month, 4 charged by the SP.
        fee_type: u8,
        /// The price, in hundredths of a yuan.
        fee_value: &'a [u8] as Fixed<6>,
        /// What the user is given, in hundredths of a yuan.
        given_value: &'a [u8] as Fixed<6>,
        /// 0 the fee is still to be charged, 1 it was.
        agent_flag: u8,
        /// 0 the first answer to a message from the handset, 1 a later one, 2 no answer.
        morelate_to_mt_flag: u8,
        /// 0 to 9.
        priority: u8,
        /// Until when it is worth delivering; empty for the carrier's default. See [`crate::time::Moment::absolute`].
        expire_time: &'a [u8] as Fixed<16>,
        /// When it is to be sent; empty for now.
        schedule_time: &'a [u8] as Fixed<16>,
        /// See [`report_flag`].
        report_flag: u8,
        /// GSM 03.40 protocol identifier.
        tp_pid: u8,
        /// 1 where the text has a user data header; see [`crate::text::udh::is_indicated`].
        tp_udhi: u8,
        /// How the text is written: see [`crate::text::msg_fmt`].
        message_coding: u8,
        /// 0 a short message.
        message_type: u8,
        /// The text, at most 160 octets where it is ASCII, else 140 with its header.
        message_content: &'a [u8] as Hidden<Prefixed<u32>>,
        /// What the message from the handset had here, where this answers it.
        link_id: &'a [u8] as Tail<Fixed<8>>,
    }
}

/// Values of `report_flag`. Whoever wants receipts asks for [`report_flag::ALWAYS`]: what a zeroed field says is not
/// that.
pub mod report_flag {
    /// A report only where delivery fails.
    pub const ON_FAILURE: u8 = 0;
    /// A report in the end, however it ends.
    pub const ALWAYS: u8 = 1;
    /// No report.
    pub const NEVER: u8 = 2;
    /// A record of a monthly fee: nothing goes to the handset, and there is a report.
    pub const MONTHLY_FEE: u8 = 3;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::round_trip;
    use bytes::BytesMut;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn layouts_round_trip(entropy in proptest::collection::vec(any::<u8>(), 0..700)) {
            round_trip::<Submit<'_>, _>(&entropy, (), &mut BytesMut::new());
        }
    }
}
