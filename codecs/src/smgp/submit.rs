//! Submit and Submit_Resp (SMGP 3.0): a message to handsets.

use crate::layout::{Fixed, Hidden, Items, Prefixed, Repeated, Tail, layout};
use crate::tlv::Tlvs;

layout! {
    /// A message to one handset or several.
    pub struct Submit<'a> {
        /// 0 from a handset, 6 to handsets, 7 between them.
        msg_type: u8,
        /// 0 no report, 1 a report.
        need_report: u8,
        /// 0 to 3.
        priority: u8,
        /// The service code, as the carrier gave it.
        service_id: &'a [u8] as Fixed<10>,
        /// `00` free, `01` per message, `02` by month, `03` capped.
        fee_type: &'a [u8] as Fixed<2>,
        /// The price of a message, in hundredths of a yuan.
        fee_code: &'a [u8] as Fixed<6>,
        /// The price of a month or the cap, in hundredths of a yuan.
        fixed_fee: &'a [u8] as Fixed<6>,
        /// How the text is written: see [`crate::text::msg_fmt`].
        msg_format: u8,
        /// Until when it is worth delivering; empty for the carrier's default. See [`crate::time::Moment::absolute`].
        valid_time: &'a [u8] as Fixed<17>,
        /// When it is to be sent; empty for now.
        at_time: &'a [u8] as Fixed<17>,
        /// The sender shown: service number and extension.
        src_term_id: &'a [u8] as Fixed<21>,
        /// Who pays; empty for the recipient.
        charge_term_id: &'a [u8] as Hidden<Fixed<21>>,
        /// The recipients, at most 100.
        dest_term_id: Items<'a> as Repeated<Fixed<21>>,
        /// The text, at most 140 octets with its header.
        msg_content: &'a [u8] as Hidden<Prefixed<u8>>,
        /// Nothing yet.
        reserve: &'a [u8] as Tail<Fixed<8>>,
        /// The rest: see [`super::tag`].
        tlvs: Tlvs<'a>,
    }
}

layout! {
    /// The answer to Submit.
    pub struct SubmitResp {
        /// The SMGW's id for the message; of several recipients, the first one's.
        msg_id: [u8; 10],
        /// See [`super::status`].
        status: u32,
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
        fn layouts_round_trip(entropy in proptest::collection::vec(any::<u8>(), 0..800)) {
            round_trip::<Submit<'_>, _>(&entropy, (), &mut BytesMut::new());
            round_trip::<SubmitResp, _>(&entropy, (), &mut BytesMut::new());
        }
    }
}
